package lang

import "tapnet/glossary"

// What `tapnet token` and `tapnet bench tokens` say.
var (
	TokenStates     = glossary.Term{EN: "Life cycle of a token", ZH: "令牌生命周期"}
	TokenFrom       = glossary.Term{EN: "from", ZH: "原状态"}
	TokenEvent      = glossary.Term{EN: "event", ZH: "事件"}
	TokenTo         = glossary.Term{EN: "to", ZH: "新状态"}
	TokenSuspenders = glossary.Term{EN: "A token pays only while nobody of these suspends it: %s", ZH: "以下任何一方暂停时令牌不可支付：%s"}
	TokenReasons    = glossary.Term{EN: "Why a token is resolved or refused, in the order of the rules", ZH: "令牌解析或拒绝的原因（按规则顺序）"}
	BenchTokens     = glossary.Term{EN: "tokens", ZH: "令牌数"}
	BenchPlainCard  = glossary.Term{EN: "%d cards, plain", ZH: "%d张实体卡"}
	BenchTokenTap   = glossary.Term{EN: "%d tokens", ZH: "%d个令牌"}
	BenchResolve    = glossary.Term{EN: "resolved", ZH: "解析用时"}
	BenchLook       = glossary.Term{EN: "of which look-up", ZH: "其中查找"}
	BenchInStore    = glossary.Term{EN: "look-up in the store", ZH: "从存储查找"}
	BenchFill       = glossary.Term{EN: "filled in", ZH: "填充用时"}
	BenchFilling    = glossary.Term{EN: "filling a vault with %s tokens …", ZH: "正在向保管库写入%s个令牌……"}
)

package lang

import "tapnet/glossary"

// demo.
var (
	DemoTitle       = glossary.Term{EN: "tapnet demo · seed %d · simulated day %s · test keys only", ZH: "tapnet demo · 种子%d · 模拟日期%s · 仅用测试密钥"}
	DemoWorld       = glossary.Term{EN: "World", ZH: "测试环境"}
	DemoWorldIs     = glossary.Term{EN: "%d CA · %d issuers · %d acquirer · %d switch · %d merchants · %d cards", ZH: "%d个认证中心 · %d个发卡行 · %d个收单机构 · %d个交换中心 · %d个商户 · %d张卡"}
	DemoOneTap      = glossary.Term{EN: "One tap, byte by byte", ZH: "逐字节看一次挥卡"}
	DemoTaps        = glossary.Term{EN: "Taps", ZH: "挥卡"}
	DemoSteps       = glossary.Term{EN: "Chip in the slot, purse, SM, script", ZH: "插卡、电子现金、国密、脚本"}
	DemoSettled     = glossary.Term{EN: "settled", ZH: "已结算"}
	DemoDone        = glossary.Term{EN: "done", ZH: "完成"}
	DemoFaults      = glossary.Term{EN: "Broken on purpose", ZH: "故意制造的故障"}
	DemoMoney       = glossary.Term{EN: "The money", ZH: "账目"}
	DemoHolds       = glossary.Term{EN: "%d of %d invariants hold", ZH: "%d项不变量成立，共%d项"}
	DemoDigest      = glossary.Term{EN: "journal digest %s: the same for the same seed", ZH: "流水摘要%s：同一种子结果相同"}
	DemoTook        = glossary.Term{EN: "%d taps, %d steps with chip, purse and phone, %d faults, %s", ZH: "%d次挥卡，%d步插卡、电子现金与手机，%d个故障，用时%s"}
	DemoNext        = glossary.Term{EN: "Next", ZH: "下一步"}
	DemoNextTrace   = glossary.Term{EN: "every byte of the first tap", ZH: "第一次挥卡的全部字节"}
	DemoNextUp      = glossary.Term{EN: "keep the network running", ZH: "让网络持续运行"}
	DemoNextDecode  = glossary.Term{EN: "explain any bytes you have", ZH: "解释手头的任何字节"}
	DemoNotGood     = glossary.Term{EN: "Something is not as it must be: see %s above.", ZH: "有结果与预期不符：见上面的%s标记。"}
	DemoPINAsked    = glossary.Term{EN: "PIN", ZH: "密码"}
	DemoTriesLeft   = glossary.Term{EN: "%d tries left", ZH: "剩余%d次"}
	DemoAccount     = glossary.Term{EN: "account", ZH: "账户"}
	DemoMember      = glossary.Term{EN: "member", ZH: "成员"}
	DemoPosted      = glossary.Term{EN: "posted", ZH: "已入账"}
	DemoHeld        = glossary.Term{EN: "held", ZH: "冻结"}
	Comma           = glossary.Term{EN: ", ", ZH: "，"}
	Colon           = glossary.Term{EN: ": ", ZH: "："}
	DemoProgress    = glossary.Term{EN: "%s  %s", ZH: "%s  %s"}
	DemoFailed      = glossary.Term{EN: "The demo could not run to its end.", ZH: "演示未能完成。"}
	DemoTraceUnkept = glossary.Term{EN: "the trace could not be saved: %s", ZH: "无法保存跟踪记录：%s"}
)

// How a tap ended.
var (
	TapApproved        = glossary.Term{EN: "approved", ZH: "批准"}
	TapApprovedOffline = glossary.Term{EN: "approved offline", ZH: "脱机批准"}
	TapDeclined        = glossary.Term{EN: "declined", ZH: "拒绝"}
	TapReversed        = glossary.Term{EN: "reversed", ZH: "已冲正"}
	TapPINNeeded       = glossary.Term{EN: "PIN asked", ZH: "要求密码"}
	TapFailed          = glossary.Term{EN: "no payment", ZH: "未支付"}
)

// tap.
var (
	TapLineApproved   = glossary.Term{EN: "Approved: %s from %s at %s.", ZH: "批准：%[2]s在%[3]s支付%[1]s。"}
	TapLineDeclined   = glossary.Term{EN: "Declined: %s.", ZH: "拒绝：%s。"}
	TapLineField39    = glossary.Term{EN: "Declined (field 39: %s): %s.", ZH: "拒绝（39域：%s）：%s。"}
	TapLineReversed   = glossary.Term{EN: "Not paid, and taken back: %s.", ZH: "未支付，已冲正：%s。"}
	TapLinePIN        = glossary.Term{EN: "The terminal asks for the PIN: %s.", ZH: "终端要求输入密码：%s。"}
	TapLineFailed     = glossary.Term{EN: "No payment: %s.", ZH: "未支付：%s。"}
	TapThrowaway      = glossary.Term{EN: "No network runs on %s: this tap happens in a world made for it and then thrown away.", ZH: "%s上没有运行中的网络：本次挥卡在临时环境中进行，之后即丢弃。"}
	TapLabelCard      = glossary.Term{EN: "card", ZH: "卡片"}
	TapLabelVerified  = glossary.Term{EN: "cardholder", ZH: "持卡人验证"}
	TapLabelRRN       = glossary.Term{EN: "RRN", ZH: "参考号"}
	TapLabelAuth      = glossary.Term{EN: "authorization", ZH: "授权码"}
	TapLabelPurse     = glossary.Term{EN: "purse", ZH: "电子现金"}
	TapLabelTime      = glossary.Term{EN: "time", ZH: "用时"}
	TapAmount         = glossary.Term{EN: "The amount cannot be read.", ZH: "无法解析金额。"}
	TapAmountWhy      = glossary.Term{EN: "an amount is written 299 or 299.00, above zero", ZH: "金额应写为299或299.00，且大于零"}
	TapAmountNext     = glossary.Term{EN: "tapnet tap --card %s --at %s --amount 299.00", ZH: "tapnet tap --card %s --at %s --amount 299.00"}
	TapPIN            = glossary.Term{EN: "The PIN cannot be read.", ZH: "无法解析密码。"}
	TapPINWhy         = glossary.Term{EN: "a PIN has 4 to 12 digits", ZH: "密码为4至12位数字"}
	TapPINNext        = glossary.Term{EN: "give it with --pin, or type it in with --pin -", ZH: "用--pin给出，或用--pin -输入"}
	TapPINPrompt      = glossary.Term{EN: "PIN: ", ZH: "密码："}
	TapUnknownCard    = glossary.Term{EN: "There is no card %s in this world.", ZH: "该环境中没有卡片%s。"}
	TapCardNext       = glossary.Term{EN: "tapnet card list", ZH: "tapnet card list"}
	TapUnknownShop    = glossary.Term{EN: "There is no merchant %s in this world.", ZH: "该环境中没有商户%s。"}
	TapShops          = glossary.Term{EN: "merchants are %s", ZH: "商户有%s"}
	TapGiveAmount     = glossary.Term{EN: "tapnet tap --card %s --at %s --amount %s --pin …", ZH: "tapnet tap --card %s --at %s --amount %s --pin …"}
	TapTraceCommand   = glossary.Term{EN: "tapnet trace %s", ZH: "tapnet trace %s"}
	TapNextWithAdvice = glossary.Term{EN: "%s; tapnet trace last", ZH: "%s；tapnet trace last"}
)

// up.
var (
	UpTitle      = glossary.Term{EN: "tapnet is up · data in %s", ZH: "tapnet已启动 · 数据目录%s"}
	UpConnects   = glossary.Term{EN: "connects to the others", ZH: "主动连接其他角色"}
	UpStop       = glossary.Term{EN: "Stop it with Ctrl-C. In another window: tapnet tap --card lin --at shop-1 --amount 299.00", ZH: "按Ctrl-C停止。在另一窗口：tapnet tap --card lin --at shop-1 --amount 299.00"}
	UpDraining   = glossary.Term{EN: "Stopping: finishing what is under way.", ZH: "正在停止：处理完未完成的交易。"}
	UpStopped    = glossary.Term{EN: "Stopped. Nothing was left open.", ZH: "已停止。没有遗留未完成的处理。"}
	UpRole       = glossary.Term{EN: "There is no role %s.", ZH: "没有角色%s。"}
	UpRoles      = glossary.Term{EN: "roles are %s", ZH: "角色有%s"}
	UpRoleNext   = glossary.Term{EN: "tapnet up --roles %s", ZH: "tapnet up --roles %s"}
	UpInUse      = glossary.Term{EN: "A network already runs on %s.", ZH: "%s上已有网络在运行。"}
	UpInUseNext  = glossary.Term{EN: "use it, or choose another directory: tapnet up --data DIR", ZH: "直接使用，或换一个目录：tapnet up --data 目录"}
	UpPort       = glossary.Term{EN: "A port is taken.", ZH: "端口已被占用。"}
	UpListenNext = glossary.Term{EN: "tapnet up --listen acquirer=127.0.0.1:0,switch=127.0.0.1:0    picks free ports", ZH: "tapnet up --listen acquirer=127.0.0.1:0,switch=127.0.0.1:0    自动选择空闲端口"}
	UpFails      = glossary.Term{EN: "The network could not start.", ZH: "网络无法启动。"}
	UpStopFails  = glossary.Term{EN: "The network did not stop cleanly.", ZH: "网络未能正常停止。"}
	UpBroke      = glossary.Term{EN: "The network stopped by itself.", ZH: "网络自行停止。"}
	UpStore      = glossary.Term{EN: "The journals cannot be kept in that database.", ZH: "无法在该数据库中保存日志。"}
	UpStoreNext  = glossary.Term{
		EN: "start the server or correct --store postgres://user@host/database; without --store the journals are files in the data directory",
		ZH: "启动服务器，或改正 --store postgres://用户@主机/数据库；不带 --store 时日志为数据目录中的文件",
	}
	UpShards     = glossary.Term{EN: "The issuers cannot be cut like that.", ZH: "无法这样划分发卡行。"}
	UpShardsNext = glossary.Term{
		EN: "give every node and the switch the same --issuer-shards as when the world was made, or another --data directory",
		ZH: "各节点和转接中心须使用建立时的 --issuer-shards，或换一个 --data 目录",
	}
	UpRestart = glossary.Term{EN: "tapnet up    opens the same data again", ZH: "tapnet up    重新打开同一数据"}
)

// trace.
var (
	TraceNone      = glossary.Term{EN: "There is no trace of %s.", ZH: "没有%s的跟踪记录。"}
	TraceNoneWhy   = glossary.Term{EN: "no network runs on %s, and the last demo or tap left none under this name", ZH: "%s上没有运行中的网络，上次演示或挥卡也没有留下该记录"}
	TraceNoneUp    = glossary.Term{EN: "the network keeps its last payments only", ZH: "网络只保留最近的交易"}
	TraceNoneNext  = glossary.Term{EN: "tapnet demo, then tapnet trace last", ZH: "先运行tapnet demo，再运行tapnet trace last"}
	TraceSaved     = glossary.Term{EN: "saved by the last demo or tap, %s", ZH: "由上次演示或挥卡保存，%s"}
	TraceBad       = glossary.Term{EN: "The saved trace cannot be read.", ZH: "无法读取已保存的跟踪记录。"}
	TraceNext      = glossary.Term{EN: "tapnet trace %s --full    explains every field", ZH: "tapnet trace %s --full    解释每个域"}
	TraceNotReveal = glossary.Term{EN: "A trace is kept masked: nothing can be revealed in it.", ZH: "跟踪记录以屏蔽形式保存，无法还原。"}
)

// card read.
var (
	ReadTitle       = glossary.Term{EN: "What any reader can read from the card %s without a payment, from a few centimetres", ZH: "任何读卡器在几厘米内、不经支付即可从卡片%s读到的内容"}
	ReadNever       = glossary.Term{EN: "None of this can pay: a payment needs a new cryptogram from the card.", ZH: "以上内容都不能用于支付：支付需要卡片产生新的密文。"}
	ReadWithheld    = glossary.Term{EN: "(the card does not tell)", ZH: "（卡片不提供）"}
	ReadApplication = glossary.Term{EN: "application", ZH: "应用"}
	ReadCounter     = glossary.Term{EN: "transaction counter", ZH: "应用交易计数器"}
	ReadLastOnline  = glossary.Term{EN: "last online counter", ZH: "上次联机计数器"}
	ReadPINTries    = glossary.Term{EN: "PIN tries left", ZH: "剩余密码次数"}
	ReadBalance     = glossary.Term{EN: "e-cash balance", ZH: "电子现金余额"}

	ReadSecondBalance = glossary.Term{EN: "in another currency", ZH: "第二币种余额"}
	ReadBalanceLimit  = glossary.Term{EN: "e-cash ceiling", ZH: "电子现金余额上限"}
	ReadSingleLimit   = glossary.Term{EN: "e-cash limit for one payment", ZH: "电子现金单笔限额"}
	ReadLog           = glossary.Term{EN: "log, newest first", ZH: "交易日志，最新在前"}
	ReadFails         = glossary.Term{EN: "The card cannot be read.", ZH: "无法读取卡片。"}
)

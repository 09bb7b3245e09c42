package lang

import "tapnet/glossary"

// phoneHelp is the help of the phone simulator.
var phoneHelp = []HelpText{
	{"phone", glossary.Term{EN: "A simulated phone that pays with tokens: keys from the cloud, one for each tap.", ZH: "模拟手机：用令牌支付，密钥由云端下发，一次一密。"}},
	{"phone_show", glossary.Term{EN: "Show the tokens on the phone and how many taps are left.", ZH: "显示手机上的令牌及剩余可用次数。"}},
	{"phone_add", glossary.Term{EN: "Put a token on the phone and fetch its first keys. The first one is the default.", ZH: "向手机添加令牌并获取首批密钥，第一张为默认卡。"}},
	{"phone_add_label", glossary.Term{EN: "Name of the card, up to 16 characters.", ZH: "卡片名称，最多16个字符。"}},
	{"phone_add_password", glossary.Term{EN: "Payment password, 6 digits; - reads it from standard input.", ZH: "支付密码，6位数字；-表示从标准输入读取。"}},
	{"phone_add_card", glossary.Term{EN: "Card of the running network that the token stands for.", ZH: "令牌对应的卡（运行中的网络里的卡）。"}},
	{"phone_tap_at", glossary.Term{EN: "Merchant of the running network at whose till the phone pays.", ZH: "收款商户（运行中的网络里的商户）。"}},
	{"phone_tap", glossary.Term{EN: "Hold the phone to a terminal.", ZH: "将手机靠近终端支付。"}},
	{"phone_tap_token", glossary.Term{EN: "Token to pay with, for this tap only. Default: the default token.", ZH: "本次支付使用的令牌，省略时用默认卡。"}},
	{"phone_tap_verify", glossary.Term{EN: "How the holder verifies: fingerprint, password or none.", ZH: "持卡人验证方式：fingerprint（指纹）、password（密码）或none（不验证）。"}},
	{"phone_tap_password", glossary.Term{EN: "Payment password for --verify password; - reads it from standard input.", ZH: "--verify password时的支付密码；-表示从标准输入读取。"}},
	{"phone_pay", glossary.Term{EN: "Pay in a merchant's app, without a reader: the cryptogram is good for this merchant and amount alone.", ZH: "在商户应用内支付，无需终端：密文仅对该商户和金额有效。"}},
	{"phone_pay_merchant", glossary.Term{EN: "Merchant of the running network in whose app the phone pays.", ZH: "应用内收款商户（运行中的网络里的商户）。"}},
	{"phone_drill", glossary.Term{EN: "Attack a phone in a world that is thrown away, and tell what happens.", ZH: "在一次性测试世界中攻击手机，讲述结果。"}},
	{"phone_drill_name", glossary.Term{EN: "Which attack; none runs all.", ZH: "攻击名称，省略则全部演练。"}},
	{"phone_drill_seed", glossary.Term{EN: "Everything random follows from this number.", ZH: "随机数种子，同一种子结果相同。"}},
	{"phone_refresh", glossary.Term{EN: "Fetch new keys for every token.", ZH: "为所有令牌获取新密钥。"}},
	{"phone_lose", glossary.Term{EN: "Report the phone lost: its tokens stop at once, the cards behind them go on working.", ZH: "挂失手机：令牌立即停用，实体卡不受影响。"}},
	{"phone_find", glossary.Term{EN: "Report the phone found: its tokens work again, with new keys.", ZH: "手机找回：更新密钥后令牌恢复可用。"}},
	{"phone_default", glossary.Term{EN: "Make a token the default.", ZH: "将令牌设为默认卡。"}},
	{"phone_default_token", glossary.Term{EN: "Reference of the token, as tapnet phone show lists it.", ZH: "令牌编号，见tapnet phone show。"}},
	{"phone_remove", glossary.Term{EN: "Take a token off the phone.", ZH: "从手机删除令牌。"}},
	{"flag_phone", glossary.Term{EN: "Which phone. A name that is new makes a new phone.", ZH: "手机名称；新名称即新手机。"}},
	{"flag_no_network", glossary.Term{EN: "The phone has no network: it pays with the keys it has.", ZH: "手机无网络：只用已有密钥支付。"}},
}

// phoneExamples are the example lines.
var phoneExamples = map[string][]Example{
	"phone": {
		{"tapnet phone add DEBIT", glossary.Term{EN: "a new phone with a token", ZH: "新手机，添加一张令牌卡"}},
		{"tapnet phone tap --amount 12.50", glossary.Term{EN: "pay with a fingerprint", ZH: "指纹支付"}},
		{"tapnet phone refresh", glossary.Term{EN: "when the keys run out", ZH: "密钥将用尽时"}},
		{"tapnet phone drill", glossary.Term{EN: "stolen, copied, relayed: what happens", ZH: "被盗、被复制、被中继时会怎样"}},
	},
	"phone add": {
		{"tapnet phone add DEBIT --password -", glossary.Term{EN: "with a payment password", ZH: "设置支付密码"}},
	},
	"phone pay": {
		{"tapnet phone pay --merchant shop-1 --amount 12.50", glossary.Term{EN: "in an app, with a fingerprint", ZH: "应用内支付，指纹验证"}},
	},
	"phone drill": {
		{"tapnet phone drill", glossary.Term{EN: "all of them", ZH: "全部演练"}},
		{"tapnet phone drill relay", glossary.Term{EN: "a relay of 0 to 500 ms", ZH: "0至500毫秒的中继"}},
	},
	"phone tap": {
		{"tapnet phone tap --amount 12.50", glossary.Term{EN: "the default token, with a fingerprint", ZH: "默认卡，指纹验证"}},
		{"tapnet phone tap --amount 1200 --verify password --password -", glossary.Term{EN: "with the payment password", ZH: "支付密码验证"}},
		{"tapnet phone tap --amount 80 --verify none --no-network", glossary.Term{EN: "a small amount, without network", ZH: "小额免验证，无网络"}},
	},
}

// The phone.
var (
	PhoneTitle     = glossary.Term{EN: "Phone %s", ZH: "手机%s"}
	PhoneEmpty     = glossary.Term{EN: "There is no token on the phone.", ZH: "手机上没有令牌。"}
	PhoneEmptyNext = glossary.Term{EN: "tapnet phone add DEBIT", ZH: "tapnet phone add DEBIT"}
	PhoneHeadToken = glossary.Term{EN: "TOKEN", ZH: "令牌"}
	PhoneHeadLabel = glossary.Term{EN: "NAME", ZH: "名称"}
	PhoneHeadLast  = glossary.Term{EN: "NUMBER", ZH: "尾号"}
	PhoneHeadTaps  = glossary.Term{EN: "TAPS LEFT", ZH: "剩余次数"}
	PhoneHeadOpen  = glossary.Term{EN: "UNVERIFIED", ZH: "免验证次数"}
	PhoneHeadUntil = glossary.Term{EN: "UNTIL", ZH: "有效至"}
	PhoneHeadState = glossary.Term{EN: "STATE", ZH: "状态"}

	PhoneDefault    = glossary.Term{EN: "default", ZH: "默认"}
	PhoneReady      = glossary.Term{EN: "ready", ZH: "可用"}
	PhoneRefresh    = glossary.Term{EN: "needs the network: tapnet phone refresh", ZH: "需要联网：tapnet phone refresh"}
	PhoneRefreshDue = glossary.Term{EN: "refresh soon", ZH: "建议尽快联网更新"}
	PhoneSuspended  = glossary.Term{EN: "suspended: %s", ZH: "已暂停：%s"}
	PhoneDamaged    = glossary.Term{EN: "damaged on the phone", ZH: "手机上的数据已损坏"}

	PhoneAdded        = glossary.Term{EN: "Token %s is on the phone, with %d taps.", ZH: "令牌%s已添加到手机，可用%d次。"}
	PhoneTapNext      = glossary.Term{EN: "tapnet phone tap --amount 12.50", ZH: "tapnet phone tap --amount 12.50"}
	PhonePayNext      = glossary.Term{EN: "tapnet phone pay --amount 12.50", ZH: "tapnet phone pay --amount 12.50"}
	PhoneDrillUnknown = glossary.Term{EN: "There is no drill %s: %s.", ZH: "没有演练%s，可选：%s。"}
	PhoneDrillFails   = glossary.Term{EN: "The drill could not run to its end.", ZH: "演练未能完成。"}
	PhoneDrillHeld    = glossary.Term{EN: "%s of %s attacks ended as they must, in %s steps.", ZH: "%s/%s项攻击的结果符合预期，共%s步。"}
	PhoneSlip         = glossary.Term{EN: "Trace number %s: tapnet pos void --trace, tapnet pos refund --trace", ZH: "凭证号%s：可用tapnet pos void --trace或tapnet pos refund --trace"}
	PhonePayAlone     = glossary.Term{EN: "A payment in an app needs a running network with its token service.", ZH: "应用内支付需要运行中的网络和令牌服务。"}
	PhonePaid         = glossary.Term{EN: "%s paid with the phone", ZH: "已用手机支付%s"}
	PhoneNotPaid      = glossary.Term{EN: "The phone does not pay.", ZH: "手机支付未成功。"}
	PhoneRefused      = glossary.Term{EN: "The cloud refuses: %s.", ZH: "云端拒绝：%s。"}
	PhoneAskHolder    = glossary.Term{EN: "the terminal wants the holder to verify on the phone", ZH: "终端要求持卡人在手机上验证"}
	PhoneAskNext      = glossary.Term{EN: "again with --verify fingerprint", ZH: "加上 --verify fingerprint 重试"}
	PhoneCounter      = glossary.Term{EN: "counter", ZH: "交易计数器"}
	PhoneVerified     = glossary.Term{EN: "verified by", ZH: "验证方式"}
	PhoneBatch        = glossary.Term{EN: "batch of keys", ZH: "密钥批次"}
	PhoneLatency      = glossary.Term{EN: "longest silence", ZH: "最长间隔"}
	PhoneLeft         = glossary.Term{EN: "taps left", ZH: "剩余次数"}
	PhoneRefreshed    = glossary.Term{EN: "New keys are on the phone.", ZH: "新密钥已下发到手机。"}
	PhoneNoKeys       = glossary.Term{EN: "The phone gets no new keys.", ZH: "手机未能获取新密钥。"}
	PhoneLost         = glossary.Term{EN: "The phone is reported lost: its tokens are stopped at the service. The cards go on working.", ZH: "手机已挂失：令牌已在服务端停用，实体卡照常使用。"}
	PhoneFound        = glossary.Term{EN: "The phone is reported found: its tokens work, with new keys.", ZH: "手机已找回：令牌已恢复并更新密钥。"}
	PhoneFoundBank    = glossary.Term{EN: "The phone is reported found: the bank has verified its holder, and its tokens work, with new keys.", ZH: "手机已找回：银行已验证持卡人，令牌已恢复并更新密钥。"}
	PhoneDefaulted    = glossary.Term{EN: "Token %s is the default.", ZH: "令牌%s已设为默认卡。"}
	PhoneRemoved      = glossary.Term{EN: "Token %s is off the phone.", ZH: "令牌%s已从手机删除。"}
	PhoneInUse        = glossary.Term{EN: "Another command uses the phone.", ZH: "另一个命令正在使用该手机。"}
	PhoneUnknown      = glossary.Term{EN: "There is no token %s on the phone.", ZH: "手机上没有令牌%s。"}
	PhoneUnknownNext  = glossary.Term{EN: "tapnet phone show", ZH: "tapnet phone show"}
	PhonePassword     = glossary.Term{EN: "A payment password has 6 digits.", ZH: "支付密码为6位数字。"}
	PhoneFails        = glossary.Term{EN: "The phone cannot be switched on.", ZH: "手机无法启动。"}
	PhoneName         = glossary.Term{EN: "A phone's name has letters, digits and hyphens.", ZH: "手机名称只能包含字母、数字和连字符。"}
	PhoneNotAdded     = glossary.Term{EN: "The token is not added.", ZH: "未能添加令牌。"}
)

// Why a phone could not be armed.
var (
	PhoneArmNetwork  = glossary.Term{EN: "no key of this kind is left, or the taps without contact are used up", ZH: "此类密钥已用完，或离线次数已达上限"}
	PhoneArmPassword = glossary.Term{EN: "no payment password was given", ZH: "未提供支付密码"}
	PhoneArmLocked   = glossary.Term{EN: "the phone is locked", ZH: "手机已锁定"}
	PhoneArmOther    = glossary.Term{EN: "the phone's storage cannot be used", ZH: "手机存储不可用"}
)

// How the holder was verified.
var (
	PhoneByNobody      = glossary.Term{EN: "nobody", ZH: "未验证"}
	PhoneByFingerprint = glossary.Term{EN: "fingerprint", ZH: "指纹"}
	PhoneByPassword    = glossary.Term{EN: "payment password", ZH: "支付密码"}
)

// Why the cloud refuses a tap or has stopped a token.
var (
	PhoneWhyUnknown   = glossary.Term{EN: "the token is not known", ZH: "令牌不存在"}
	PhoneWhySuspended = glossary.Term{EN: "the token is suspended", ZH: "令牌已暂停"}
	PhoneWhyEvidence  = glossary.Term{EN: "the issuer data are no phone's", ZH: "发卡行数据并非来自手机"}
	PhoneWhyCounter   = glossary.Term{EN: "the counter was never issued, or its key is revoked", ZH: "该计数器未下发，或密钥已撤销"}
	PhoneWhyExpired   = glossary.Term{EN: "the key is too old", ZH: "密钥已过期"}
	PhoneWhyWrong     = glossary.Term{EN: "the cryptogram is wrong: a wrong password, or a wrong key", ZH: "应用密文错误：密码错误或密钥错误"}
	PhoneWhyTag       = glossary.Term{EN: "the device tag is wrong: the key is used off its device", ZH: "设备标签错误：密钥被用于其他设备"}
	PhoneWhyClone     = glossary.Term{EN: "the counter was used by another tap: there is a copy of the phone", ZH: "计数器已被另一笔交易使用：手机被复制"}
	PhoneWhyClass     = glossary.Term{EN: "the key does not stand for the verification that is needed", ZH: "密钥类别与所需验证方式不符"}
	PhoneWhyLost      = glossary.Term{EN: "lost", ZH: "已挂失"}
	PhoneWhyCopied    = glossary.Term{EN: "a copy of the phone", ZH: "手机被复制"}
	PhoneWhyGuessed   = glossary.Term{EN: "wrong password or key", ZH: "密码或密钥错误"}
)

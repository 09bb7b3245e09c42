package explain

import (
	"fmt"

	"tapnet/glossary"
)

// transactionTypes is tag 9C: the first two digits of the processing code [ISO 8583:1987 4.4], with the loads of [REF 5].
var transactionTypes = map[byte]glossary.Term{
	0x00: {EN: "purchase", ZH: "消费"},
	0x01: {EN: "cash", ZH: "取现"},
	0x02: {EN: "void", ZH: "撤销"},
	0x03: {EN: "pre-authorization", ZH: "预授权"},
	0x09: {EN: "purchase with cashback", ZH: "消费返现"},
	0x17: {EN: "cash load cancelled", ZH: "现金充值撤销"},
	0x20: {EN: "refund", ZH: "退货"},
	0x31: {EN: "balance inquiry", ZH: "余额查询"},
	0x60: {EN: "load from the designated account", ZH: "指定账户圈存"},
	0x62: {EN: "load from another account", ZH: "非指定账户圈存"},
	0x63: {EN: "cash load", ZH: "现金充值"},
}

// TransactionType names tag 9C; empty for a type that nobody has named.
func TransactionType(b byte) glossary.Term { return transactionTypes[b] }

// processingCodes is field 3.
var processingCodes = map[string]glossary.Term{
	"000000": {EN: "purchase", ZH: "消费"},
	"030000": {EN: "pre-authorization", ZH: "预授权"},
	"170000": {EN: "cash load cancelled", ZH: "现金充值撤销"},
	"200000": {EN: "void, refund or cancellation", ZH: "撤销、退货或取消"},
	"310000": {EN: "balance inquiry", ZH: "余额查询"},
	"600000": {EN: "load from the designated account", ZH: "指定账户圈存"},
	"620000": {EN: "load from another account", ZH: "非指定账户圈存"},
	"630000": {EN: "cash load", ZH: "现金充值"},
}

// entryModes is tag 9F39 and the first two digits of field 22 [REF 6.1].
var entryModes = map[string]glossary.Term{
	"00": {EN: "not specified", ZH: "未指明"},
	"01": {EN: "typed in", ZH: "手工输入"},
	"02": {EN: "magnetic stripe", ZH: "磁条"},
	"03": {EN: "QR code or bar code", ZH: "二维码或条码"},
	"05": {EN: "chip, contact", ZH: "接触式 IC 卡"},
	"07": {EN: "chip, contactless", ZH: "非接触式 IC 卡（qPBOC）"},
	"91": {EN: "contactless magnetic stripe data", ZH: "非接触式磁条"},
	"95": {EN: "chip, data possibly unreliable", ZH: "IC 卡，数据可能不可靠"},
	"96": {EN: "chip of a phone", ZH: "手机芯片"},
	"98": {EN: "contactless, full PBOC", ZH: "非接触式标准 PBOC"},
}

var entryPINs = map[byte]glossary.Term{
	'0': {EN: "PIN not specified", ZH: "未指明密码"},
	'1': {EN: "PIN entered", ZH: "有密码"},
	'2': {EN: "no PIN", ZH: "无密码"},
}

// conditions is field 25 [REF 6.1].
var conditions = map[string]glossary.Term{
	"00": {EN: "normal", ZH: "正常"},
	"06": {EN: "pre-authorization", ZH: "预授权"},
	"64": {EN: "special", ZH: "特殊"},
	"65": {EN: "special", ZH: "特殊"},
	"91": {EN: "load of electronic cash", ZH: "电子现金圈存"},
}

// messageKinds is field 60.1 [REF 6.1] [REF 5].
var messageKinds = map[string]glossary.Term{
	"00": {EN: "network management", ZH: "网络管理"},
	"01": {EN: "balance inquiry", ZH: "余额查询"},
	"10": {EN: "pre-authorization", ZH: "预授权"},
	"11": {EN: "pre-authorization cancelled", ZH: "预授权撤销"},
	"20": {EN: "completion", ZH: "预授权完成请求"},
	"21": {EN: "completion voided", ZH: "预授权完成撤销"},
	"22": {EN: "sale", ZH: "消费"},
	"23": {EN: "sale voided", ZH: "消费撤销"},
	"24": {EN: "completion notice", ZH: "预授权完成通知"},
	"25": {EN: "refund", ZH: "退货"},
	"27": {EN: "offline refund", ZH: "脱机退货"},
	"36": {EN: "offline payment uploaded", ZH: "脱机消费上送"},
	"45": {EN: "load from the designated account", ZH: "指定账户圈存"},
	"46": {EN: "cash load", ZH: "现金充值"},
	"47": {EN: "load from another account", ZH: "非指定账户圈存"},
	"51": {EN: "cash load cancelled", ZH: "现金充值撤销"},
}

var readCapabilities = map[string]glossary.Term{
	"0": {EN: "not specified", ZH: "未指明"},
	"2": {EN: "stripe", ZH: "磁条"},
	"5": {EN: "stripe and contact chip", ZH: "磁条和接触式 IC 卡"},
	"6": {EN: "stripe, contact and contactless chip", ZH: "磁条、接触式和非接触式 IC 卡"},
}

var chipConditions = map[string]glossary.Term{
	"0": {EN: "chip not used, or last read well", ZH: "未使用或上次读取成功"},
	"1": {EN: "chip last read well", ZH: "上次 IC 卡读取成功"},
	"2": {EN: "fallback: last chip read failed", ZH: "降级：上次 IC 卡读取失败"},
}

var partialAuths = map[string]glossary.Term{
	"0": {EN: "no partial approval", ZH: "不支持部分批准"},
	"1": {EN: "partial approval accepted", ZH: "支持部分批准"},
}

// messageTypes is the message type indicator [ISO 8583:1987].
var messageTypes = map[string]glossary.Term{
	"0100": {EN: "authorization request", ZH: "授权请求"},
	"0104": {EN: "token question", ZH: "令牌查询请求"},
	"0110": {EN: "authorization answer", ZH: "授权应答"},
	"0114": {EN: "token answer", ZH: "令牌查询应答"},
	"0200": {EN: "financial request", ZH: "金融交易请求"},
	"0210": {EN: "financial answer", ZH: "金融交易应答"},
	"0220": {EN: "financial advice", ZH: "金融交易通知"},
	"0230": {EN: "financial advice answered", ZH: "金融交易通知应答"},
	"0320": {EN: "batch upload", ZH: "批上送"},
	"0330": {EN: "batch upload answered", ZH: "批上送应答"},
	"0400": {EN: "reversal", ZH: "冲正请求"},
	"0410": {EN: "reversal answered", ZH: "冲正应答"},
	"0420": {EN: "reversal advice", ZH: "冲正通知"},
	"0430": {EN: "reversal advice answered", ZH: "冲正通知应答"},
	"0422": {EN: "reversal advice", ZH: "确认通知"},
	"0432": {EN: "reversal advice answered", ZH: "确认通知应答"},
	"0500": {EN: "batch settlement", ZH: "批结算"},
	"0510": {EN: "batch settlement answered", ZH: "批结算应答"},
	"0620": {EN: "script result notice", ZH: "脚本结果通知"},
	"0630": {EN: "script result notice answered", ZH: "脚本结果通知应答"},
	"0800": {EN: "network management request", ZH: "网络管理请求"},
	"0810": {EN: "network management answer", ZH: "网络管理应答"},
	"0820": {EN: "network management advice", ZH: "网络管理通知"},
	"0830": {EN: "network management advice answered", ZH: "网络管理通知应答"},
}

// pinFormats and pinAlgorithms are the first two digits of field 53 in payments [REF 6.1].
var (
	pinFormats = map[byte]glossary.Term{
		'0': {EN: "no PIN", ZH: "无密码"},
		'1': {EN: "PIN block without account number", ZH: "不含主账号的 PIN 块"},
		'2': {EN: "PIN block with account number", ZH: "含主账号的 PIN 块"},
	}
	pinAlgorithms = map[byte]glossary.Term{
		'0': {EN: "single DES", ZH: "单倍长 DES"},
		'3': {EN: "SM4", ZH: "SM4"},
		'6': {EN: "triple DES", ZH: "双倍长 DES（3DES）"},
	}
	keyKinds = map[byte]glossary.Term{
		'1': {EN: "PIN key", ZH: "PIN 密钥"},
		'2': {EN: "MAC key", ZH: "MAC 密钥"},
	}
	keyLengths = map[byte]glossary.Term{
		'0': {EN: "single length", ZH: "单倍长"},
		'6': {EN: "double length", ZH: "双倍长"},
	}
)

var balanceTypes = map[string]glossary.Term{
	"01": {EN: "ledger balance", ZH: "账面余额"},
	"02": {EN: "available balance", ZH: "可用余额"},
}

// documents is tag 9F62, cappIndicators DF60, versions 9F08 and 9F09 [REF 1.3].
var (
	documents = map[byte]glossary.Term{
		0x00: {EN: "identity card", ZH: "身份证"},
		0x01: {EN: "officer's card", ZH: "军官证"},
		0x02: {EN: "passport", ZH: "护照"},
		0x03: {EN: "entry permit", ZH: "入境证"},
		0x04: {EN: "temporary identity card", ZH: "临时身份证"},
		0x05: {EN: "other document", ZH: "其他证件"},
	}
	cappIndicators = map[byte]glossary.Term{
		0x00: {EN: "no extended application", ZH: "不支持扩展应用"},
		0x01: {EN: "segmented deduction", ZH: "分段扣费"},
		0x02: {EN: "offline pre-authorization", ZH: "脱机预授权"},
		0x03: {EN: "pre-authorization completion", ZH: "脱机预授权完成"},
	}
	versions = map[string]glossary.Term{
		"0020": {EN: "PBOC 2.0", ZH: "PBOC 2.0"},
		"0030": {EN: "PBOC 3.0", ZH: "PBOC 3.0"},
	}
)

// countries is the part of [ISO 3166] that the test world and its neighbours use.
var countries = map[string]glossary.Term{
	"036": {EN: "Australia", ZH: "澳大利亚"},
	"124": {EN: "Canada", ZH: "加拿大"},
	"156": {EN: "China", ZH: "中国"},
	"250": {EN: "France", ZH: "法国"},
	"276": {EN: "Germany", ZH: "德国"},
	"344": {EN: "Hong Kong, China", ZH: "中国香港"},
	"360": {EN: "Indonesia", ZH: "印度尼西亚"},
	"380": {EN: "Italy", ZH: "意大利"},
	"392": {EN: "Japan", ZH: "日本"},
	"410": {EN: "Korea", ZH: "韩国"},
	"446": {EN: "Macao, China", ZH: "中国澳门"},
	"458": {EN: "Malaysia", ZH: "马来西亚"},
	"643": {EN: "Russia", ZH: "俄罗斯"},
	"702": {EN: "Singapore", ZH: "新加坡"},
	"704": {EN: "Viet Nam", ZH: "越南"},
	"756": {EN: "Switzerland", ZH: "瑞士"},
	"764": {EN: "Thailand", ZH: "泰国"},
	"784": {EN: "United Arab Emirates", ZH: "阿联酋"},
	"826": {EN: "United Kingdom", ZH: "英国"},
	"840": {EN: "United States", ZH: "美国"},
}

func countryTerm(digits string) glossary.Term {
	if t, ok := countries[digits]; ok {
		return t
	}
	return term("another country", "其他国家或地区")
}

// terminalType reads tag 9F35: who operates it, whether somebody attends, how it goes online [EMV B4 Annex A1].
func terminalType(b byte) glossary.Term {
	operators := map[byte]glossary.Term{1: term("bank", "银行"), 2: term("merchant", "商户"), 3: term("cardholder", "持卡人")}
	operator, ok := operators[b>>4]
	if !ok || b&0xF < 1 || b&0xF > 6 {
		return term("reserved for future use", "保留")
	}
	attended := term("attended", "有人值守")
	if b&0xF > 3 {
		attended = term("unattended", "无人值守")
	}
	reach := [...]glossary.Term{term("online only", "仅联机"), term("offline with online", "脱机带联机"), term("offline only", "仅脱机")}[(b&0xF-1)%3]
	return term(fmt.Sprintf("%s, %s, %s", operator.EN, attended.EN, reach.EN), fmt.Sprintf("%s，%s，%s", operator.ZH, attended.ZH, reach.ZH))
}

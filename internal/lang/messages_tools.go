package lang

import "tapnet/glossary"

// decode.
var (
	DecodeEmpty = glossary.Term{EN: "There is nothing to decode.", ZH: "没有可解码的内容。"}
	DecodeDigit = glossary.Term{EN: "Not hexadecimal: the character %s.", ZH: "不是十六进制：字符%s。"}
	DecodeAt    = glossary.Term{EN: "at character %d of the input", ZH: "位于输入的第%d个字符"}
	DecodeOdd   = glossary.Term{EN: "Half a byte is missing: %d hexadecimal digits.", ZH: "缺少半个字节：共%d个十六进制数字。"}
	DecodeKind  = glossary.Term{EN: "There is no kind %s.", ZH: "没有类型%s。"}
	DecodeKinds = glossary.Term{EN: "kinds are %s", ZH: "类型有%s"}
	DecodeStops = glossary.Term{EN: "These bytes cannot be read to the end.", ZH: "这些字节无法完整解析。"}
	DecodeNext  = glossary.Term{EN: "tapnet decode --help    lists the kinds: say which one it is", ZH: "tapnet decode --help    列出类型，可指定其一"}
	DecodeBytes = glossary.Term{EN: "%d bytes", ZH: "%d字节"}
	DecodeInput = glossary.Term{EN: "digits 0-9 and A-F, blanks and colons are read", ZH: "可读0-9、A-F、空格和冒号"}
	DecodeDOL   = glossary.Term{EN: "The object list given with --dol cannot be read.", ZH: "--dol给出的数据对象列表无法解析。"}
	DecodeOf    = glossary.Term{EN: "The command given with --of cannot be read.", ZH: "--of给出的命令无法解析。"}
)

// oda.
var (
	ODATitle      = glossary.Term{EN: "Offline data authentication for %s", ZH: "脱机数据认证，日期%s"}
	ODAAuthentic  = glossary.Term{EN: "Authentic: the card's data was signed by its issuer, the issuer's key by the certification authority.", ZH: "认证通过：卡片数据由发卡行签名，发卡行公钥由认证中心签名。"}
	ODANothing    = glossary.Term{EN: "Nothing failed, and nothing was proved: no signature covers the card's data.", ZH: "没有失败，也没有得到证明：没有签名覆盖卡片数据。"}
	ODAFailed     = glossary.Term{EN: "Not authentic: %s.", ZH: "认证失败：%s。"}
	ODABad        = glossary.Term{EN: "The dump cannot be read: %s.", ZH: "无法解析该记录：%s。"}
	ODANextForm   = glossary.Term{EN: "tapnet oda --example --show    prints a dump in the right form", ZH: "tapnet oda --example --show    输出格式正确的示例"}
	ODANoFile     = glossary.Term{EN: "A file is missing.", ZH: "缺少文件。"}
	ODADate       = glossary.Term{EN: "The date is not of the form YYYY-MM-DD.", ZH: "日期不是YYYY-MM-DD的形式。"}
	ODADateNext   = glossary.Term{EN: "tapnet oda FILE --date 2015-03-16", ZH: "tapnet oda 文件 --date 2015-03-16"}
	ODANextDate   = glossary.Term{EN: "tapnet oda FILE --date YYYY-MM-DD    verifies for the day of the recording", ZH: "tapnet oda 文件 --date YYYY-MM-DD    按记录当日验证"}
	ODANextDecode = glossary.Term{EN: "tapnet decode tlv HEX    explains the record in question", ZH: "tapnet decode tlv 十六进制    解释相关记录"}
)

// version.
var (
	VersionRevision = glossary.Term{EN: "revision", ZH: "版本库修订"}
	VersionModified = glossary.Term{EN: "%s, with local changes", ZH: "%s，含本地修改"}
	VersionUnknown  = glossary.Term{EN: "unknown", ZH: "未知"}
	VersionGo       = glossary.Term{EN: "Go", ZH: "Go"}
	VersionPlatform = glossary.Term{EN: "platform", ZH: "平台"}
	VersionCGO      = glossary.Term{EN: "C code", ZH: "C代码"}
	VersionNone     = glossary.Term{EN: "none", ZH: "无"}
	VersionLinked   = glossary.Term{EN: "linked", ZH: "已链接"}
	VersionNotice   = glossary.Term{
		EN: "Test keys and made-up cards only. Not certified, not affiliated with any card scheme.",
		ZH: "只使用测试密钥和虚构卡片。未经认证，与任何卡组织无关。"}
)

// docs.
var (
	DocsWritten = glossary.Term{EN: "written: %s", ZH: "已写入：%s"}
	DocsCurrent = glossary.Term{EN: "%d generated documents are current.", ZH: "%d个生成文档均为最新。"}
	DocsStale   = glossary.Term{EN: "Generated documents are not current: %s.", ZH: "生成文档不是最新：%s。"}
	DocsWhy     = glossary.Term{EN: "a table in the program changed, or somebody edited a generated file", ZH: "程序内的表已改变，或有人改动了生成文件"}
	DocsNext    = glossary.Term{EN: "go run ./cmd/tapnet docs", ZH: "go run ./cmd/tapnet docs"}
	DocsNoTree  = glossary.Term{EN: "This is not the source tree of tapnet: %s.", ZH: "这不是tapnet的源代码目录：%s。"}
	DocsNoMod   = glossary.Term{EN: "there is no go.mod of module tapnet", ZH: "没有tapnet模块的go.mod"}
	DocsGoThere = glossary.Term{EN: "go to the source tree, or say where it is: tapnet docs --dir DIR", ZH: "进入源代码目录，或用tapnet docs --dir 目录指定"}
)

// card.
var (
	CardHeadName    = glossary.Term{EN: "card", ZH: "卡片"}
	CardHeadNumber  = glossary.Term{EN: "number", ZH: "卡号"}
	CardHeadProduct = glossary.Term{EN: "product", ZH: "产品"}
	CardHeadExpiry  = glossary.Term{EN: "expiry", ZH: "有效期"}
	CardHeadCounter = glossary.Term{EN: "ATC", ZH: "计数器"}
	CardHeadPurse   = glossary.Term{EN: "purse", ZH: "电子现金"}
	CardHeadNoPIN   = glossary.Term{EN: "no PIN", ZH: "免密"}
	CardOn          = glossary.Term{EN: "on", ZH: "开"}
	CardOff         = glossary.Term{EN: "off", ZH: "关"}
)

package unionpay

import "tapnet/glossary"

// NetworkCode says what a network management message is for; the digits differ between the dialects.
type NetworkCode uint8

// The network management codes of [REF 6.1] and [REF 6.4].
const (
	NoNetworkCode NetworkCode = iota
	// SignOn opens the session; at the terminal it asks for double-length working keys.
	SignOn
	SignOnSingleLength // terminal: sign-on with single-length working keys
	SignOnTrackKey     // terminal: sign-on with double-length keys and a track key
	SignOff
	Echo
	KeyExchange // switch: new working key
	DayEnd      // switch: business day ends
	DayStart    // switch: business day starts
	MasterKeyDownload
	ParameterQuery
	ParameterGet
	ParameterGetMore
	ParameterEnd
	CAKeyGet
	CAKeyEnd
	CAKeyQuery
	CAKeyEndSM
	ApplicationGet
	ApplicationEnd
	ApplicationQuery
	BlacklistGet
	BlacklistEnd
	SmallAmountGet
	SmallAmountEnd
	SmallAmountBinsGet
	SmallAmountBinsEnd
	SmallAmountBlacklistGet
	SmallAmountBlacklistEnd
)

type networkCodeRow struct {
	code               NetworkCode
	terminal, atSwitch string // digits; "" = not in this dialect
	request            MTI    // usual type of the request
	name               glossary.Term
}

// networkCodes: sign-off, echo and queries travel in 0820, what brings data in 0800. At the switch only the key
// exchange is 0800, as in the sample of [REF 6.4].
var networkCodes = [...]networkCodeRow{
	{SignOn, "003", "001", TypeNetworkRequest, glossary.Term{EN: "sign-on", ZH: "签到"}},
	{SignOnSingleLength, "001", "", TypeNetworkRequest, glossary.Term{EN: "sign-on, single-length keys", ZH: "签到(单倍长密钥)"}},
	{SignOnTrackKey, "004", "", TypeNetworkRequest, glossary.Term{EN: "sign-on, with track key", ZH: "签到(含磁道密钥)"}},
	{SignOff, "002", "002", TypeNetworkAdvice, glossary.Term{EN: "sign-off", ZH: "签退"}},
	{Echo, "301", "301", TypeNetworkAdvice, glossary.Term{EN: "echo test", ZH: "回响测试"}},
	{KeyExchange, "", "101", TypeNetworkRequest, glossary.Term{EN: "key exchange", ZH: "重置密钥"}},
	{DayEnd, "", "201", TypeNetworkAdvice, glossary.Term{EN: "business day ends", ZH: "日切开始"}},
	{DayStart, "", "202", TypeNetworkAdvice, glossary.Term{EN: "business day starts", ZH: "日切结束"}},
	{MasterKeyDownload, "401", "", TypeNetworkRequest, glossary.Term{EN: "terminal master key download", ZH: "终端主密钥下载"}},
	{ParameterGet, "360", "", TypeNetworkRequest, glossary.Term{EN: "terminal parameters, download", ZH: "终端参数下载"}},
	{ParameterEnd, "361", "", TypeNetworkRequest, glossary.Term{EN: "terminal parameters, end", ZH: "终端参数下载结束"}},
	{ParameterQuery, "362", "", TypeNetworkAdvice, glossary.Term{EN: "terminal parameters, query", ZH: "终端参数查询"}},
	{ParameterGetMore, "364", "", TypeNetworkRequest, glossary.Term{EN: "terminal parameters, further download", ZH: "终端参数继续下载"}},
	{CAKeyGet, "370", "", TypeNetworkRequest, glossary.Term{EN: "CA public key, download", ZH: "IC卡公钥下载"}},
	{CAKeyEnd, "371", "", TypeNetworkRequest, glossary.Term{EN: "CA public key, end", ZH: "IC卡公钥下载结束"}},
	{CAKeyQuery, "372", "", TypeNetworkAdvice, glossary.Term{EN: "CA public key, query", ZH: "IC卡公钥查询"}},
	{CAKeyEndSM, "373", "", TypeNetworkRequest, glossary.Term{EN: "CA public key (SM), end", ZH: "国密公钥下载结束"}},
	{ApplicationGet, "380", "", TypeNetworkRequest, glossary.Term{EN: "application parameters, download", ZH: "IC卡参数下载"}},
	{ApplicationEnd, "381", "", TypeNetworkRequest, glossary.Term{EN: "application parameters, end", ZH: "IC卡参数下载结束"}},
	{ApplicationQuery, "382", "", TypeNetworkAdvice, glossary.Term{EN: "application parameters, query", ZH: "IC卡参数查询"}},
	{BlacklistGet, "390", "", TypeNetworkRequest, glossary.Term{EN: "card blacklist, download", ZH: "黑名单下载"}},
	{BlacklistEnd, "391", "", TypeNetworkRequest, glossary.Term{EN: "card blacklist, end", ZH: "黑名单下载结束"}},
	{SmallAmountGet, "394", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN parameters, download", ZH: "免密参数下载"}},
	{SmallAmountEnd, "395", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN parameters, end", ZH: "免密参数下载结束"}},
	{SmallAmountBinsGet, "396", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN BIN table B, download", ZH: "免密BIN表B下载"}},
	{SmallAmountBinsEnd, "397", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN BIN table B, end", ZH: "免密BIN表B下载结束"}},
	{SmallAmountBlacklistGet, "398", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN BIN blacklist C, download", ZH: "免密BIN黑名单C下载"}},
	{SmallAmountBlacklistEnd, "399", "", TypeNetworkRequest, glossary.Term{EN: "no-PIN BIN blacklist C, end", ZH: "免密BIN黑名单C下载结束"}},
}

func (c NetworkCode) row() (networkCodeRow, bool) {
	for i := range networkCodes {
		if networkCodes[i].code == c {
			return networkCodes[i], true
		}
	}
	return networkCodeRow{}, false
}

// Wire gives the three digits of c in d; false when the dialect has no such code.
func (c NetworkCode) Wire(d Dialect) (string, bool) {
	row, _ := c.row()
	digits := row.terminal
	if d == Switch {
		digits = row.atSwitch
	}
	return digits, digits != ""
}

// ParseNetworkCode reads the three digits of d.
func ParseNetworkCode(d Dialect, digits string) (NetworkCode, bool) {
	for i := range networkCodes {
		if wire, ok := networkCodes[i].code.Wire(d); ok && wire == digits {
			return networkCodes[i].code, true
		}
	}
	return NoNetworkCode, false
}

// Term names the code in both languages.
func (c NetworkCode) Term() glossary.Term {
	if row, ok := c.row(); ok {
		return row.name
	}
	return glossary.Term{EN: "no network code", ZH: "无网络管理码"}
}

// String is the English name.
func (c NetworkCode) String() string { return c.Term().EN }

// usualType is the type indicator a request with this code has in d.
func (c NetworkCode) usualType(Dialect) MTI {
	if row, ok := c.row(); ok {
		return row.request
	}
	return TypeNetworkRequest
}

// SignsOn says whether the code opens a session.
func (c NetworkCode) SignsOn() bool {
	return c == SignOn || c == SignOnSingleLength || c == SignOnTrackKey
}

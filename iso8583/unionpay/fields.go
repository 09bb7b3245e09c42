package unionpay

import (
	"slices"
	"strconv"

	"tapnet/glossary"
	"tapnet/iso8583"
)

// Field numbers [ISO 8583:1987 4.4].
const (
	fieldPAN            = 2
	fieldProcessing     = 3
	fieldAmount         = 4
	fieldTransmission   = 7
	fieldSTAN           = 11
	fieldLocalTime      = 12
	fieldLocalDate      = 13
	fieldExpiry         = 14
	fieldSettlement     = 15
	fieldMerchantType   = 18
	fieldCountry        = 19
	fieldEntryMode      = 22
	fieldCardSequence   = 23
	fieldCondition      = 25
	fieldPINCapture     = 26
	fieldFee            = 28
	fieldAcquirer       = 32
	fieldForwarder      = 33
	fieldTrack2         = 35
	fieldTrack3         = 36
	fieldRRN            = 37
	fieldAuthCode       = 38
	fieldResponse       = 39
	fieldTerminal       = 41
	fieldMerchant       = 42
	fieldMerchantName   = 43
	fieldInstitutions   = 44
	fieldAdditional     = 48
	fieldCurrency       = 49
	fieldPIN            = 52
	fieldSecurity       = 53
	fieldBalance        = 54
	fieldICC            = 55
	fieldNewPIN         = 57
	fieldPBOC           = 58
	fieldDetail         = 59
	fieldInfo           = 60
	fieldOriginal       = 61 // terminal
	fieldCustom         = 62
	fieldReserved       = 63
	fieldTerminalMAC    = 64
	fieldNetworkCode    = 70
	fieldOriginalSwitch = 90
	fieldKey            = 96
	fieldReceiver       = 100
	fieldAccountFrom    = 102
	fieldAccountTo      = 103
	fieldNational       = 121 // and the two behind it
	fieldSwitchMAC      = 128
)

// Limits that other files need too.
const (
	maxTrack3       = 104
	maxInstitution  = 11
	balanceChars    = 20
	originalChars   = 42 // field 90
	maxInfoDigits   = 17
	maxOriginalRef  = 29 // field 61
	macBytes        = 8
	pinBlockBytes   = 8
	maxSTAN         = 999999
	maxTerminalICC  = 999 // some terminals are limited to 255 [REF 6.1]
	maxSwitchICC    = 255
	maxPrivateBytes = 999
)

type dialects uint8

const (
	atTerminal dialects = 1 << iota
	atSwitch
	both = atTerminal | atSwitch
)

// fieldRow describes a field once for both dialects: digits and tracks are packed at the terminal and ASCII at the
// switch; everything else lies the same way in both.
type fieldRow struct {
	number    int
	in        dialects
	kind      iso8583.Kind
	length    iso8583.Length
	min, max  int
	sensitive bool
	name      glossary.Term
}

const (
	numeric = iso8583.Digits
	alpha   = iso8583.AlphaNumeric
	special = iso8583.Printable
	track   = iso8583.Track
	raw     = iso8583.Bytes
	fixed   = iso8583.Fixed
	ll      = iso8583.LL
	lll     = iso8583.LLL
)

var fieldRows = [...]fieldRow{
	{fieldPAN, both, numeric, ll, 1, 19, true, glossary.Term{EN: "primary account number", ZH: "主账号"}},
	{fieldProcessing, both, numeric, fixed, 6, 6, false, glossary.Term{EN: "processing code", ZH: "交易处理码"}},
	{fieldAmount, both, numeric, fixed, 12, 12, false, glossary.Term{EN: "amount", ZH: "交易金额"}},
	{fieldTransmission, atSwitch, numeric, fixed, 10, 10, false, glossary.Term{EN: "transmission date and time", ZH: "交易传输时间"}},
	{fieldSTAN, both, numeric, fixed, 6, 6, false, glossary.Term{EN: "system trace audit number", ZH: "系统跟踪号"}},
	{fieldLocalTime, both, numeric, fixed, 6, 6, false, glossary.Term{EN: "local time", ZH: "受卡方所在地时间"}},
	{fieldLocalDate, both, numeric, fixed, 4, 4, false, glossary.Term{EN: "local date", ZH: "受卡方所在地日期"}},
	{fieldExpiry, both, numeric, fixed, 4, 4, true, glossary.Term{EN: "expiry date", ZH: "卡有效期"}},
	{fieldSettlement, both, numeric, fixed, 4, 4, false, glossary.Term{EN: "settlement date", ZH: "清算日期"}},
	{fieldMerchantType, atSwitch, numeric, fixed, 4, 4, false, glossary.Term{EN: "merchant type", ZH: "商户类型"}},
	{fieldCountry, atSwitch, numeric, fixed, 3, 3, false, glossary.Term{EN: "acquirer's country", ZH: "受理机构国家代码"}},
	{fieldEntryMode, both, numeric, fixed, 3, 3, false, glossary.Term{EN: "entry mode", ZH: "服务点输入方式码"}},
	{fieldCardSequence, both, numeric, fixed, 3, 3, false, glossary.Term{EN: "card sequence number", ZH: "卡序列号"}},
	{fieldCondition, both, numeric, fixed, 2, 2, false, glossary.Term{EN: "condition code", ZH: "服务点条件码"}},
	{fieldPINCapture, both, numeric, fixed, 2, 2, false, glossary.Term{EN: "PIN capture code", ZH: "服务点PIN获取码"}},
	{fieldFee, atSwitch, alpha, fixed, 9, 9, false, glossary.Term{EN: "transaction fee", ZH: "交易费"}},
	{fieldAcquirer, both, numeric, ll, 1, maxInstitution, false, glossary.Term{EN: "acquiring institution", ZH: "受理机构标识码"}},
	{fieldForwarder, atSwitch, numeric, ll, 1, maxInstitution, false, glossary.Term{EN: "forwarding institution", ZH: "发送机构标识码"}},
	{fieldTrack2, both, track, ll, 1, 37, true, glossary.Term{EN: "track 2", ZH: "第二磁道数据"}},
	{fieldTrack3, both, track, lll, 1, maxTrack3, true, glossary.Term{EN: "track 3", ZH: "第三磁道数据"}},
	{fieldRRN, both, alpha, fixed, 12, 12, false, glossary.Term{EN: "retrieval reference number", ZH: "检索参考号"}},
	{fieldAuthCode, both, alpha, fixed, 6, 6, false, glossary.Term{EN: "authorization code", ZH: "授权标识应答码"}},
	{fieldResponse, both, alpha, fixed, 2, 2, false, glossary.Term{EN: "response code", ZH: "应答码"}},
	{fieldTerminal, both, special, fixed, 8, 8, false, glossary.Term{EN: "terminal", ZH: "受卡机终端标识码"}},
	{fieldMerchant, both, special, fixed, 15, 15, false, glossary.Term{EN: "merchant", ZH: "受卡方标识码"}},
	{fieldMerchantName, atSwitch, special, fixed, 40, 40, false, glossary.Term{EN: "merchant name and place", ZH: "受卡方名称地址"}},
	{fieldInstitutions, atTerminal, alpha, ll, 1, 25, false, glossary.Term{EN: "issuer and acquirer", ZH: "附加响应数据"}},
	{fieldAdditional, both, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "additional data", ZH: "附加数据"}},
	{fieldCurrency, both, alpha, fixed, 3, 3, false, glossary.Term{EN: "currency", ZH: "交易货币代码"}},
	{fieldPIN, both, raw, fixed, pinBlockBytes, pinBlockBytes, true, glossary.Term{EN: "PIN block, enciphered", ZH: "个人标识码数据"}},
	{fieldSecurity, both, numeric, fixed, 16, 16, false, glossary.Term{EN: "security control", ZH: "安全控制信息"}},
	{fieldBalance, both, alpha, lll, balanceChars, balanceChars, true, glossary.Term{EN: "balance", ZH: "账户余额"}},
	{fieldICC, both, raw, lll, 1, maxTerminalICC, true, glossary.Term{EN: "chip data", ZH: "IC卡数据域"}},
	// No public source has a place for the new PIN of a change: this one is ours.
	{fieldNewPIN, both, raw, fixed, pinBlockBytes, pinBlockBytes, true, glossary.Term{EN: "new PIN block, enciphered", ZH: "新个人标识码数据"}},
	{fieldPBOC, atTerminal, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "electronic cash data", ZH: "PBOC电子钱包标准的交易信息"}},
	{fieldDetail, both, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "detail", ZH: "自定义域"}},
	{fieldInfo, both, numeric, lll, 2, maxInfoDigits, false, glossary.Term{EN: "message information", ZH: "自定义域(交易类型、批次号、网络管理码)"}},
	{fieldOriginal, atTerminal, numeric, lll, 1, maxOriginalRef, false, glossary.Term{EN: "original message", ZH: "原始信息域"}},
	{fieldCustom, atTerminal, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "private data: keys, parameters", ZH: "自定义域(密钥、参数)"}},
	{fieldReserved, atTerminal, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "private data: operator, card scheme", ZH: "自定义域(操作员、卡组织)"}},
	{fieldTerminalMAC, atTerminal, raw, fixed, macBytes, macBytes, false, glossary.Term{EN: "message authentication code", ZH: "报文鉴别码"}},
	{fieldNetworkCode, atSwitch, numeric, fixed, 3, 3, false, glossary.Term{EN: "network management code", ZH: "网络管理信息码"}},
	{fieldOriginalSwitch, atSwitch, numeric, fixed, originalChars, originalChars, false, glossary.Term{EN: "original data elements", ZH: "原始数据元"}},
	{fieldKey, atSwitch, raw, fixed, keyBytes, keyBytes, true, glossary.Term{EN: "new key, enciphered", ZH: "报文安全码(新密钥)"}},
	{fieldReceiver, atSwitch, numeric, ll, 1, maxInstitution, false, glossary.Term{EN: "receiving institution", ZH: "接收机构标识码"}},
	{fieldAccountFrom, atSwitch, special, ll, 1, 28, true, glossary.Term{EN: "account, from", ZH: "账户标识1"}},
	{fieldAccountTo, atSwitch, special, ll, 1, 28, true, glossary.Term{EN: "account, to", ZH: "账户标识2"}},
	{fieldNational, atSwitch, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "reserved, switch", ZH: "CUPS保留"}},
	{fieldNational + 1, atSwitch, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "reserved, acquirer", ZH: "受理方保留"}},
	{fieldNational + 2, atSwitch, raw, lll, 1, maxPrivateBytes, true, glossary.Term{EN: "reserved, issuer", ZH: "发卡方保留"}},
	{fieldSwitchMAC, atSwitch, raw, fixed, macBytes, macBytes, false, glossary.Term{EN: "message authentication code", ZH: "报文鉴别码"}},
}

// FieldInfo describes a field of a dialect for people and for tools that print messages.
type FieldInfo struct {
	Number    int
	Name      glossary.Term
	Format    string // "n6", "n..19 LL", "b..255 LLL"
	Sensitive bool   // do not show the content unasked
	Spec      iso8583.FieldSpec
}

// Fields lists the fields of d in order.
func Fields(d Dialect) []FieldInfo {
	var infos []FieldInfo
	for i := range fieldRows {
		if spec, ok := fieldRows[i].spec(d); ok {
			infos = append(infos, FieldInfo{
				Number: spec.Number, Name: fieldRows[i].name, Format: formatOf(spec), Sensitive: fieldRows[i].sensitive, Spec: spec,
			})
		}
	}
	return infos
}

// FieldOf describes field number of d; false when the dialect has none.
func FieldOf(d Dialect, number int) (FieldInfo, bool) {
	infos := Fields(d)
	i := slices.IndexFunc(infos, func(f FieldInfo) bool { return f.Number == number })
	if i < 0 {
		return FieldInfo{}, false
	}
	return infos[i], true
}

// SpecOf is the table by which iso8583 unpacks messages of d without their meaning.
func SpecOf(d Dialect) *iso8583.Spec {
	if d == Switch {
		return switchSpec
	}
	return terminalSpec
}

var terminalSpec, switchSpec = newSpec(Terminal), newSpec(Switch)

func newSpec(d Dialect) *iso8583.Spec {
	config := iso8583.SpecConfig{Name: d.String(), Numbers: iso8583.BCD}
	if d == Switch {
		config.Numbers = iso8583.ASCII
	}
	for i := range fieldRows {
		if spec, ok := fieldRows[i].spec(d); ok {
			config.Fields = append(config.Fields, spec)
		}
	}
	spec, err := iso8583.NewSpec(config)
	if err != nil {
		panic(err) // the table above is wrong
	}
	return spec
}

func (r *fieldRow) spec(d Dialect) (iso8583.FieldSpec, bool) {
	in, digits := atTerminal, iso8583.BCD
	if d == Switch {
		in, digits = atSwitch, iso8583.ASCII
	}
	spec := iso8583.FieldSpec{Number: r.number, Kind: r.kind, Encoding: iso8583.ASCII, Length: r.length, Min: r.min, Max: r.max}
	switch r.kind {
	case numeric, track:
		spec.Encoding = digits
	case raw:
		spec.Encoding = iso8583.Binary
	}
	if r.number == fieldCardSequence && spec.Encoding == iso8583.BCD {
		spec.Padding = iso8583.PadLeft // the one packed field with its zero in front [REF 6.1]
	}
	if r.number == fieldICC && d == Switch {
		spec.Max = maxSwitchICC
	}
	return spec, r.in&in != 0
}

func formatOf(spec iso8583.FieldSpec) string {
	kinds := map[iso8583.Kind]string{numeric: "n", alpha: "an", special: "ans", track: "z", raw: "b"}
	switch spec.Length {
	case ll:
		return kinds[spec.Kind] + ".." + strconv.Itoa(spec.Max) + " LL"
	case lll:
		return kinds[spec.Kind] + ".." + strconv.Itoa(spec.Max) + " LLL"
	}
	return kinds[spec.Kind] + strconv.Itoa(spec.Max)
}

// macField is the field of d that carries the MAC; it is the last one.
func macField(d Dialect) int {
	if d == Switch {
		return fieldSwitchMAC
	}
	return fieldTerminalMAC
}

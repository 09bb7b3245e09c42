package emv

import "tapnet/glossary"

// TTQ is the terminal transaction qualifiers, tag 9F66: what the terminal can do and asks for [REF 1.4].
type TTQ [4]byte

// TTQBit is one bit of TTQ: high nibble the byte from 1, low nibble the bit from 8.
type TTQBit uint8

// Bits of TTQ.
const (
	TTQMSD                      TTQBit = 0x18
	TTQFullContactless          TTQBit = 0x17
	TTQQPBOC                    TTQBit = 0x16
	TTQContact                  TTQBit = 0x15
	TTQOfflineOnly              TTQBit = 0x14
	TTQOnlinePIN                TTQBit = 0x13
	TTQSignature                TTQBit = 0x12
	TTQODAForOnline             TTQBit = 0x11 // medium confidence
	TTQOnlineCryptogramRequired TTQBit = 0x28 // set by pre-processing
	TTQCVMRequired              TTQBit = 0x27 // set by pre-processing
	TTQFDDA01                   TTQBit = 0x48
)

var ttqTable = []bitName{
	row(uint8(TTQMSD), "magnetic stripe mode supported (legacy)", "支持磁条模式（遗留）"),
	row(uint8(TTQFullContactless), "contactless full PBOC debit/credit supported", "支持非接触式借贷记应用"),
	row(uint8(TTQQPBOC), "qPBOC (QuickPass) supported", "支持 qPBOC（闪付）"),
	row(uint8(TTQContact), "contact chip supported", "支持接触式借贷记应用"),
	row(uint8(TTQOfflineOnly), "terminal is offline only", "终端仅支持脱机"),
	row(uint8(TTQOnlinePIN), "online PIN supported", "支持联机 PIN"),
	row(uint8(TTQSignature), "signature supported", "支持签名"),
	row(uint8(TTQODAForOnline),
		"offline data authentication for online authorisation supported", "支持联机交易的脱机数据认证"),
	row(uint8(TTQOnlineCryptogramRequired), "online cryptogram required", "要求联机应用密文"),
	row(uint8(TTQCVMRequired), "cardholder verification required", "要求 CVM"),
	row(uint8(TTQFDDA01), "fDDA version 01 supported", "支持 fDDA 01 版本"),
}

// ParseTTQ reads the 4 bytes of the field.
func ParseTTQ(b []byte) (t TTQ, err error) {
	err = parseField(t[:], b, "TTQ")
	return t, err
}

// Has reports whether bit is set.
func (t TTQ) Has(bit TTQBit) bool { return hasBit(t[:], uint8(bit)) }

// Set sets bit.
func (t *TTQ) Set(bit TTQBit) { t[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (t *TTQ) Clear(bit TTQBit) { t[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (t TTQ) Bits() []BitInfo { return describe(t[:], ttqTable, nil) }

// Names lists the bits that are set.
func (t TTQ) Names(l glossary.Lang) []string { return setNames(t.Bits(), l) }

// Hex returns the field in upper-case hex.
func (t TTQ) Hex() string { return hexString(t[:]) }

// String returns hex and the English names of the bits that are set.
func (t TTQ) String() string { return bitString(t[:], t.Bits()) }

// CTQ is the card transaction qualifiers, tag 9F6C: what the card wants the terminal to do [REF 1.5].
type CTQ [2]byte

// CTQBit is one bit of CTQ: high nibble the byte from 1, low nibble the bit from 8.
type CTQBit uint8

// Bits of CTQ.
const (
	CTQOnlinePIN        CTQBit = 0x18
	CTQSignature        CTQBit = 0x17
	CTQOnlineIfODAFails CTQBit = 0x16
	CTQSwitchIfODAFails CTQBit = 0x15
	CTQOnlineIfExpired  CTQBit = 0x14
	CTQCDCVM            CTQBit = 0x28
)

var ctqTable = []bitName{
	row(uint8(CTQOnlinePIN), "online PIN required", "要求联机 PIN"),
	row(uint8(CTQSignature), "signature required", "要求签名"),
	row(uint8(CTQOnlineIfODAFails),
		"go online if offline data authentication fails and the reader can",
		"脱机数据认证失败且读卡器支持联机时转联机"),
	row(uint8(CTQSwitchIfODAFails),
		"use the contact interface if offline data authentication fails and the reader can",
		"脱机数据认证失败且支持接触界面时转接触"),
	row(uint8(CTQOnlineIfExpired), "go online if the application has expired", "应用失效时转联机"),
	row(uint8(CTQCDCVM), "consumer device cardholder verification performed", "已执行持卡人设备验证（CDCVM）"),
}

// ParseCTQ reads the 2 bytes of the field.
func ParseCTQ(b []byte) (c CTQ, err error) {
	err = parseField(c[:], b, "CTQ")
	return c, err
}

// Has reports whether bit is set.
func (c CTQ) Has(bit CTQBit) bool { return hasBit(c[:], uint8(bit)) }

// Set sets bit.
func (c *CTQ) Set(bit CTQBit) { c[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (c *CTQ) Clear(bit CTQBit) { c[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (c CTQ) Bits() []BitInfo { return describe(c[:], ctqTable, nil) }

// Names lists the bits that are set.
func (c CTQ) Names(l glossary.Lang) []string { return setNames(c.Bits(), l) }

// Hex returns the field in upper-case hex.
func (c CTQ) Hex() string { return hexString(c[:]) }

// String returns hex and the English names of the bits that are set.
func (c CTQ) String() string { return bitString(c[:], c.Bits()) }

// AdditionalProcessing is the card additional processing, tag 9F68: which checks the issuer switched on [REF 1.6].
type AdditionalProcessing [4]byte

// AdditionalProcessingBit is one bit of AdditionalProcessing: high nibble the byte from 1, low nibble the bit from 8.
type AdditionalProcessingBit uint8

// Bits of AdditionalProcessing.
const (
	APLowValue                 AdditionalProcessingBit = 0x18
	APLowValueAndCTTA          AdditionalProcessingBit = 0x17
	APLowValueOrCTTA           AdditionalProcessingBit = 0x16
	APNewCard                  AdditionalProcessingBit = 0x15
	APPINTriesExceeded         AdditionalProcessingBit = 0x14
	APAllowMismatchedCurrency  AdditionalProcessingBit = 0x13
	APPreferContact            AdditionalProcessingBit = 0x12
	APReturnAvailable          AdditionalProcessingBit = 0x11
	APPrepay                   AdditionalProcessingBit = 0x28
	APRefuseMismatchedCurrency AdditionalProcessingBit = 0x27
	APDeclineNewCardOffline    AdditionalProcessingBit = 0x26
	APLogOffline               AdditionalProcessingBit = 0x25
	APOnlinePINMatched         AdditionalProcessingBit = 0x38
	APOnlinePINMismatched      AdditionalProcessingBit = 0x37
	APCVMMismatched            AdditionalProcessingBit = 0x36
	APSignature                AdditionalProcessingBit = 0x35
)

var additionalProcessingTable = []bitName{
	row(uint8(APLowValue), "low-value check supported", "支持小额检查"),
	row(uint8(APLowValueAndCTTA), "low-value AND cumulative total (CTTA) check", "小额和 CTTA 检查"),
	row(uint8(APLowValueOrCTTA), "low-value OR cumulative total (CTTA) check", "小额或 CTTA 检查"),
	row(uint8(APNewCard), "new card check", "新卡检查"),
	row(uint8(APPINTriesExceeded), "PIN tries exceeded check", "PIN 重试次数超限检查"),
	row(uint8(APAllowMismatchedCurrency), "offline allowed in a mismatched currency", "允许货币不匹配的脱机交易"),
	row(uint8(APPreferContact), "contact interface preferred for online", "联机交易优先选择接触界面"),
	row(uint8(APReturnAvailable), "available offline amount (9F5D) returned", "返回可用脱机金额（9F5D）"),
	row(uint8(APPrepay), "pre-pay: balance deducted when asking to go online", "支持预付（请求联机时扣减余额）"),
	row(uint8(APRefuseMismatchedCurrency), "mismatched currency refused", "不允许货币不匹配的交易"),
	row(uint8(APDeclineNewCardOffline),
		"new card declined when the reader is offline only", "新卡且读卡器仅支持脱机时拒绝"),
	row(uint8(APLogOffline), "offline approved qPBOC written to the log", "脱机批准的 qPBOC 交易记录日志"),
	row(uint8(APOnlinePINMatched), "online PIN supported in the matched currency", "货币匹配时支持联机 PIN"),
	row(uint8(APOnlinePINMismatched), "online PIN supported in a mismatched currency", "货币不匹配时支持联机 PIN"),
	row(uint8(APCVMMismatched), "cardholder verification required in a mismatched currency", "货币不匹配时要求 CVM"),
	row(uint8(APSignature), "signature supported", "支持签名"),
}

// ParseAdditionalProcessing reads the 4 bytes of the field.
func ParseAdditionalProcessing(b []byte) (a AdditionalProcessing, err error) {
	err = parseField(a[:], b, "card additional processing")
	return a, err
}

// Has reports whether bit is set.
func (a AdditionalProcessing) Has(bit AdditionalProcessingBit) bool { return hasBit(a[:], uint8(bit)) }

// Set sets bit.
func (a *AdditionalProcessing) Set(bit AdditionalProcessingBit) {
	a[code(bit).index()] |= code(bit).mask()
}

// Clear clears bit.
func (a *AdditionalProcessing) Clear(bit AdditionalProcessingBit) {
	a[code(bit).index()] &^= code(bit).mask()
}

// Bits lists every named bit, and each reserved bit that is set.
func (a AdditionalProcessing) Bits() []BitInfo { return describe(a[:], additionalProcessingTable, nil) }

// Names lists the bits that are set.
func (a AdditionalProcessing) Names(l glossary.Lang) []string { return setNames(a.Bits(), l) }

// Hex returns the field in upper-case hex.
func (a AdditionalProcessing) Hex() string { return hexString(a[:]) }

// String returns hex and the English names of the bits that are set.
func (a AdditionalProcessing) String() string { return bitString(a[:], a.Bits()) }

// DefaultAction is the application default action (ADA), tag 9F52: what the card does in special conditions [REF 1.9].
type DefaultAction [2]byte

// DefaultActionBit is one bit of DefaultAction: high nibble the byte from 1, low nibble the bit from 8.
type DefaultActionBit uint8

// Bits of DefaultAction.
const (
	ADAIssuerAuthFailedOnline  DefaultActionBit = 0x18
	ADAIssuerAuthFailedDecline DefaultActionBit = 0x17
	ADANoARPCDecline           DefaultActionBit = 0x16
	ADADeclinedAdvice          DefaultActionBit = 0x15
	ADAPINLimitAdvice          DefaultActionBit = 0x14
	ADAIssuerAuthAdvice        DefaultActionBit = 0x13
	ADANewCardOnline           DefaultActionBit = 0x12
	ADANewCardDecline          DefaultActionBit = 0x11
	ADAPINLimitBlock           DefaultActionBit = 0x28
	ADAPINLimitPreviousDecline DefaultActionBit = 0x27
	ADAPINLimitPreviousOnline  DefaultActionBit = 0x26
	ADAPINLimitPreviousOffline DefaultActionBit = 0x25
	ADAScriptFailedOnline      DefaultActionBit = 0x24
	ADAPINLimitPreviousBlock   DefaultActionBit = 0x23
)

var defaultActionTable = []bitName{
	row(uint8(ADAIssuerAuthFailedOnline),
		"issuer authentication failed: next transaction online", "发卡行认证失败，下次交易联机"),
	row(uint8(ADAIssuerAuthFailedDecline),
		"issuer authentication performed and failed: decline", "执行发卡行认证但失败，拒绝交易"),
	row(uint8(ADANoARPCDecline),
		"issuer authentication mandatory and no ARPC received: decline", "发卡行认证必备但无 ARPC，拒绝交易"),
	row(uint8(ADADeclinedAdvice), "transaction declined: create advice", "交易拒绝，生成通知"),
	row(uint8(ADAPINLimitAdvice),
		"PIN limit exceeded in this transaction and declined: create advice", "本次 PIN 超限且交易拒绝，生成通知"),
	row(uint8(ADAIssuerAuthAdvice),
		"declined because issuer authentication failed or was not performed: create advice",
		"因发卡行认证失败或未执行而拒绝，生成通知"),
	row(uint8(ADANewCardOnline), "new card: go online", "新卡，联机"),
	row(uint8(ADANewCardDecline), "new card and unable to go online: decline", "新卡且无法联机，拒绝"),
	row(uint8(ADAPINLimitBlock),
		"PIN limit exceeded in this transaction: block the application", "本次 PIN 超限，锁定应用"),
	row(uint8(ADAPINLimitPreviousDecline),
		"PIN limit exceeded in an earlier transaction: decline", "以前交易 PIN 超限，拒绝"),
	row(uint8(ADAPINLimitPreviousOnline),
		"PIN limit exceeded in an earlier transaction: go online", "以前交易 PIN 超限，联机"),
	row(uint8(ADAPINLimitPreviousOffline),
		"PIN limit exceeded in an earlier transaction and unable to go online: decline",
		"以前交易 PIN 超限且无法联机，拒绝"),
	row(uint8(ADAScriptFailedOnline),
		"issuer script failed in an earlier transaction: go online", "以前交易脚本失败，联机"),
	row(uint8(ADAPINLimitPreviousBlock),
		"PIN limit exceeded in an earlier transaction: decline and block the application",
		"以前交易 PIN 超限，拒绝并锁定应用"),
}

// ParseDefaultAction reads the 2 bytes of the field.
func ParseDefaultAction(b []byte) (d DefaultAction, err error) {
	err = parseField(d[:], b, "application default action")
	return d, err
}

// Has reports whether bit is set.
func (d DefaultAction) Has(bit DefaultActionBit) bool { return hasBit(d[:], uint8(bit)) }

// Set sets bit.
func (d *DefaultAction) Set(bit DefaultActionBit) { d[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (d *DefaultAction) Clear(bit DefaultActionBit) { d[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (d DefaultAction) Bits() []BitInfo { return describe(d[:], defaultActionTable, nil) }

// Names lists the bits that are set.
func (d DefaultAction) Names(l glossary.Lang) []string { return setNames(d.Bits(), l) }

// Hex returns the field in upper-case hex.
func (d DefaultAction) Hex() string { return hexString(d[:]) }

// String returns hex and the English names of the bits that are set.
func (d DefaultAction) String() string { return bitString(d[:], d.Bits()) }

// IssuerAuthIndicator is the issuer authentication indicator, tag 9F56 [REF 1.3].
type IssuerAuthIndicator [1]byte

// IssuerAuthIndicatorBit is one bit of IssuerAuthIndicator: high nibble the byte from 1, low nibble the bit from 8.
type IssuerAuthIndicatorBit uint8

// Bits of IssuerAuthIndicator.
const (
	IAIMandatory IssuerAuthIndicatorBit = 0x18
)

var issuerAuthIndicatorTable = []bitName{
	row(uint8(IAIMandatory), "issuer authentication is mandatory", "发卡行认证必备"),
}

// ParseIssuerAuthIndicator reads the 1 byte of the field.
func ParseIssuerAuthIndicator(b []byte) (i IssuerAuthIndicator, err error) {
	err = parseField(i[:], b, "issuer authentication indicator")
	return i, err
}

// Has reports whether bit is set.
func (i IssuerAuthIndicator) Has(bit IssuerAuthIndicatorBit) bool { return hasBit(i[:], uint8(bit)) }

// Set sets bit.
func (i *IssuerAuthIndicator) Set(bit IssuerAuthIndicatorBit) {
	i[code(bit).index()] |= code(bit).mask()
}

// Clear clears bit.
func (i *IssuerAuthIndicator) Clear(bit IssuerAuthIndicatorBit) {
	i[code(bit).index()] &^= code(bit).mask()
}

// Bits lists every named bit, and each reserved bit that is set.
func (i IssuerAuthIndicator) Bits() []BitInfo { return describe(i[:], issuerAuthIndicatorTable, nil) }

// Names lists the bits that are set.
func (i IssuerAuthIndicator) Names(l glossary.Lang) []string { return setNames(i.Bits(), l) }

// Hex returns the field in upper-case hex.
func (i IssuerAuthIndicator) Hex() string { return hexString(i[:]) }

// String returns hex and the English names of the bits that are set.
func (i IssuerAuthIndicator) String() string { return bitString(i[:], i.Bits()) }

// ExtendedIndicator is the extended application indicator, tag DF61 [REF 1.3].
type ExtendedIndicator [1]byte

// ExtendedIndicatorBit is one bit of ExtendedIndicator: high nibble the byte from 1, low nibble the bit from 8.
type ExtendedIndicatorBit uint8

// Bits of ExtendedIndicator.
const (
	EIRMAC             ExtendedIndicatorBit = 0x18 // medium confidence
	EIODAForOnline     ExtendedIndicatorBit = 0x17 // medium confidence
	EICreditLowValue   ExtendedIndicatorBit = 0x15 // medium confidence
	EIPreauthorisation ExtendedIndicatorBit = 0x12
	EISegmented        ExtendedIndicatorBit = 0x11
)

var extendedIndicatorTable = []bitName{
	row(uint8(EIRMAC), "response MAC on READ CAPP DATA", "READ CAPP DATA 返回 R-MAC"),
	row(uint8(EIODAForOnline), "offline data authentication for online supported", "支持联机交易的脱机数据认证"),
	row(uint8(EICreditLowValue), "credit-type low value", "支持信用型小额"),
	row(uint8(EIPreauthorisation),
		"segmented deduction and offline pre-authorisation supported", "支持分段扣费和脱机预授权"),
	row(uint8(EISegmented), "segmented deduction supported", "支持分段扣费"),
}

// ParseExtendedIndicator reads the 1 byte of the field.
func ParseExtendedIndicator(b []byte) (e ExtendedIndicator, err error) {
	err = parseField(e[:], b, "extended application indicator")
	return e, err
}

// Has reports whether bit is set.
func (e ExtendedIndicator) Has(bit ExtendedIndicatorBit) bool { return hasBit(e[:], uint8(bit)) }

// Set sets bit.
func (e *ExtendedIndicator) Set(bit ExtendedIndicatorBit) { e[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (e *ExtendedIndicator) Clear(bit ExtendedIndicatorBit) {
	e[code(bit).index()] &^= code(bit).mask()
}

// Bits lists every named bit, and each reserved bit that is set.
func (e ExtendedIndicator) Bits() []BitInfo { return describe(e[:], extendedIndicatorTable, nil) }

// Names lists the bits that are set.
func (e ExtendedIndicator) Names(l glossary.Lang) []string { return setNames(e.Bits(), l) }

// Hex returns the field in upper-case hex.
func (e ExtendedIndicator) Hex() string { return hexString(e[:]) }

// String returns hex and the English names of the bits that are set.
func (e ExtendedIndicator) String() string { return bitString(e[:], e.Bits()) }

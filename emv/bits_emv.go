package emv

import "tapnet/glossary"

// TVR is the terminal verification results, tag 95: what the terminal found [EMV B3 Annex C5].
type TVR [5]byte

// TVRBit is one bit of TVR: high nibble the byte from 1, low nibble the bit from 8.
type TVRBit uint8

// Bits of TVR.
const (
	TVRODANotPerformed      TVRBit = 0x18
	TVRSDAFailed            TVRBit = 0x17
	TVRICCDataMissing       TVRBit = 0x16
	TVRExceptionFile        TVRBit = 0x15
	TVRDDAFailed            TVRBit = 0x14
	TVRCDAFailed            TVRBit = 0x13
	TVRSDASelected          TVRBit = 0x12
	TVRVersionsDiffer       TVRBit = 0x28
	TVRExpired              TVRBit = 0x27
	TVRNotYetEffective      TVRBit = 0x26
	TVRServiceNotAllowed    TVRBit = 0x25
	TVRNewCard              TVRBit = 0x24
	TVRCVMFailed            TVRBit = 0x38
	TVRUnrecognisedCVM      TVRBit = 0x37
	TVRPINTriesExceeded     TVRBit = 0x36
	TVRPINPadMissing        TVRBit = 0x35
	TVRPINNotEntered        TVRBit = 0x34
	TVROnlinePINEntered     TVRBit = 0x33
	TVRFloorLimitExceeded   TVRBit = 0x48
	TVRLowerLimitExceeded   TVRBit = 0x47
	TVRUpperLimitExceeded   TVRBit = 0x46
	TVRRandomlySelected     TVRBit = 0x45
	TVRMerchantForcedOnline TVRBit = 0x44
	TVRDefaultTDOL          TVRBit = 0x58
	TVRIssuerAuthFailed     TVRBit = 0x57
	TVRScriptFailedBefore   TVRBit = 0x56
	TVRScriptFailedAfter    TVRBit = 0x55
)

var tvrTable = []bitName{
	row(uint8(TVRODANotPerformed), "offline data authentication was not performed", "未进行脱机数据认证"),
	row(uint8(TVRSDAFailed), "SDA failed", "SDA 失败"),
	row(uint8(TVRICCDataMissing), "card data missing", "卡片数据缺失"),
	row(uint8(TVRExceptionFile), "card appears on terminal exception file", "卡片在终端异常文件中"),
	row(uint8(TVRDDAFailed), "DDA failed", "DDA 失败"),
	row(uint8(TVRCDAFailed), "CDA failed", "CDA 失败"),
	row(uint8(TVRSDASelected), "SDA selected", "选择了 SDA"),
	row(uint8(TVRVersionsDiffer), "card and terminal have different application versions", "卡片与终端应用版本不一致"),
	row(uint8(TVRExpired), "expired application", "应用已过期"),
	row(uint8(TVRNotYetEffective), "application not yet effective", "应用尚未生效"),
	row(uint8(TVRServiceNotAllowed), "requested service not allowed for card product", "卡片不允许所请求的服务"),
	row(uint8(TVRNewCard), "new card", "新卡"),
	row(uint8(TVRCVMFailed), "cardholder verification was not successful", "持卡人验证失败"),
	row(uint8(TVRUnrecognisedCVM), "unrecognised CVM", "未知的 CVM"),
	row(uint8(TVRPINTriesExceeded), "PIN try limit exceeded", "PIN 重试次数超限"),
	row(uint8(TVRPINPadMissing),
		"PIN required but PIN pad not present or not working", "要求输入 PIN，但密码键盘不存在或故障"),
	row(uint8(TVRPINNotEntered),
		"PIN required, PIN pad present, but PIN was not entered", "要求输入 PIN，密码键盘存在，但未输入"),
	row(uint8(TVROnlinePINEntered), "online PIN entered", "已输入联机 PIN"),
	row(uint8(TVRFloorLimitExceeded), "transaction exceeds floor limit", "交易超过最低限额"),
	row(uint8(TVRLowerLimitExceeded), "lower consecutive offline limit exceeded", "超过连续脱机交易下限"),
	row(uint8(TVRUpperLimitExceeded), "upper consecutive offline limit exceeded", "超过连续脱机交易上限"),
	row(uint8(TVRRandomlySelected), "transaction selected randomly for online processing", "交易被随机选择联机处理"),
	row(uint8(TVRMerchantForcedOnline), "merchant forced transaction online", "商户要求联机交易"),
	row(uint8(TVRDefaultTDOL), "default TDOL used", "使用缺省 TDOL"),
	row(uint8(TVRIssuerAuthFailed), "issuer authentication failed", "发卡行认证失败"),
	row(uint8(TVRScriptFailedBefore),
		"script processing failed before final GENERATE AC", "最后一次 GENERATE AC 之前脚本处理失败"),
	row(uint8(TVRScriptFailedAfter),
		"script processing failed after final GENERATE AC", "最后一次 GENERATE AC 之后脚本处理失败"),
}

// ParseTVR reads the 5 bytes of the field.
func ParseTVR(b []byte) (t TVR, err error) {
	err = parseField(t[:], b, "TVR")
	return t, err
}

// Has reports whether bit is set.
func (t TVR) Has(bit TVRBit) bool { return hasBit(t[:], uint8(bit)) }

// Set sets bit.
func (t *TVR) Set(bit TVRBit) { t[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (t *TVR) Clear(bit TVRBit) { t[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (t TVR) Bits() []BitInfo { return describe(t[:], tvrTable, nil) }

// Names lists the bits that are set.
func (t TVR) Names(l glossary.Lang) []string { return setNames(t.Bits(), l) }

// Hex returns the field in upper-case hex.
func (t TVR) Hex() string { return hexString(t[:]) }

// String returns hex and the English names of the bits that are set.
func (t TVR) String() string { return bitString(t[:], t.Bits()) }

// TSI is the transaction status information, tag 9B: what the terminal did [EMV B3 Annex C6].
type TSI [2]byte

// TSIBit is one bit of TSI: high nibble the byte from 1, low nibble the bit from 8.
type TSIBit uint8

// Bits of TSI.
const (
	TSIODAPerformed          TSIBit = 0x18
	TSICVMPerformed          TSIBit = 0x17
	TSICardRiskPerformed     TSIBit = 0x16
	TSIIssuerAuthPerformed   TSIBit = 0x15
	TSITerminalRiskPerformed TSIBit = 0x14
	TSIScriptPerformed       TSIBit = 0x13
)

var tsiTable = []bitName{
	row(uint8(TSIODAPerformed), "offline data authentication was performed", "已进行脱机数据认证"),
	row(uint8(TSICVMPerformed), "cardholder verification was performed", "已进行持卡人验证"),
	row(uint8(TSICardRiskPerformed), "card risk management was performed", "已进行卡片风险管理"),
	row(uint8(TSIIssuerAuthPerformed), "issuer authentication was performed", "已进行发卡行认证"),
	row(uint8(TSITerminalRiskPerformed), "terminal risk management was performed", "已进行终端风险管理"),
	row(uint8(TSIScriptPerformed), "script processing was performed", "已进行脚本处理"),
}

// ParseTSI reads the 2 bytes of the field.
func ParseTSI(b []byte) (t TSI, err error) {
	err = parseField(t[:], b, "TSI")
	return t, err
}

// Has reports whether bit is set.
func (t TSI) Has(bit TSIBit) bool { return hasBit(t[:], uint8(bit)) }

// Set sets bit.
func (t *TSI) Set(bit TSIBit) { t[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (t *TSI) Clear(bit TSIBit) { t[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (t TSI) Bits() []BitInfo { return describe(t[:], tsiTable, nil) }

// Names lists the bits that are set.
func (t TSI) Names(l glossary.Lang) []string { return setNames(t.Bits(), l) }

// Hex returns the field in upper-case hex.
func (t TSI) Hex() string { return hexString(t[:]) }

// String returns hex and the English names of the bits that are set.
func (t TSI) String() string { return bitString(t[:], t.Bits()) }

// AIP is the application interchange profile, tag 82: what the card supports [EMV B3 Annex C1], [REF 1.10].
type AIP [2]byte

// AIPBit is one bit of AIP: high nibble the byte from 1, low nibble the bit from 8.
type AIPBit uint8

// Bits of AIP.
const (
	AIPSDA                    AIPBit = 0x17
	AIPDDA                    AIPBit = 0x16
	AIPCardholderVerification AIPBit = 0x15
	AIPTerminalRisk           AIPBit = 0x14
	AIPIssuerAuthentication   AIPBit = 0x13
	AIPOnDeviceCVM            AIPBit = 0x12
	AIPCDA                    AIPBit = 0x11
	AIPFullContactless        AIPBit = 0x28
)

var aipTable = []bitName{
	row(uint8(AIPSDA), "SDA supported", "支持 SDA"),
	row(uint8(AIPDDA), "DDA supported", "支持 DDA"),
	row(uint8(AIPCardholderVerification), "cardholder verification is supported", "支持持卡人验证"),
	row(uint8(AIPTerminalRisk), "terminal risk management is to be performed", "要求终端风险管理"),
	row(uint8(AIPIssuerAuthentication),
		"issuer authentication is supported (EXTERNAL AUTHENTICATE)",
		"支持发卡行认证（EXTERNAL AUTHENTICATE）"),
	row(uint8(AIPOnDeviceCVM), "on-device cardholder verification is supported", "支持设备上持卡人验证"),
	row(uint8(AIPCDA), "CDA supported", "支持 CDA"),
	row(uint8(AIPFullContactless),
		"contactless full PBOC path (GENERATE AC); 0 means qPBOC",
		"非接触式借贷记流程（GENERATE AC），为 0 表示 qPBOC"),
}

// ParseAIP reads the 2 bytes of the field.
func ParseAIP(b []byte) (a AIP, err error) {
	err = parseField(a[:], b, "AIP")
	return a, err
}

// Has reports whether bit is set.
func (a AIP) Has(bit AIPBit) bool { return hasBit(a[:], uint8(bit)) }

// Set sets bit.
func (a *AIP) Set(bit AIPBit) { a[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (a *AIP) Clear(bit AIPBit) { a[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (a AIP) Bits() []BitInfo { return describe(a[:], aipTable, nil) }

// Names lists the bits that are set.
func (a AIP) Names(l glossary.Lang) []string { return setNames(a.Bits(), l) }

// Hex returns the field in upper-case hex.
func (a AIP) Hex() string { return hexString(a[:]) }

// String returns hex and the English names of the bits that are set.
func (a AIP) String() string { return bitString(a[:], a.Bits()) }

// TerminalCapabilities is the terminal capabilities, tag 9F33 [EMV B4 Annex A2].
type TerminalCapabilities [3]byte

// TerminalCapabilityBit is one bit of TerminalCapabilities: high nibble the byte from 1, low nibble the bit from 8.
type TerminalCapabilityBit uint8

// Bits of TerminalCapabilities.
const (
	CapManualKey            TerminalCapabilityBit = 0x18
	CapMagneticStripe       TerminalCapabilityBit = 0x17
	CapContactChip          TerminalCapabilityBit = 0x16
	CapOfflinePlaintextPIN  TerminalCapabilityBit = 0x28
	CapOnlinePIN            TerminalCapabilityBit = 0x27
	CapSignature            TerminalCapabilityBit = 0x26
	CapOfflineEncipheredPIN TerminalCapabilityBit = 0x25
	CapNoCVM                TerminalCapabilityBit = 0x24
	CapHolderDocument       TerminalCapabilityBit = 0x21
	CapSDA                  TerminalCapabilityBit = 0x38
	CapDDA                  TerminalCapabilityBit = 0x37
	CapCardCapture          TerminalCapabilityBit = 0x36
	CapCDA                  TerminalCapabilityBit = 0x34
)

var terminalCapabilitiesTable = []bitName{
	row(uint8(CapManualKey), "manual key entry", "手工键盘输入"),
	row(uint8(CapMagneticStripe), "magnetic stripe", "磁条"),
	row(uint8(CapContactChip), "chip with contacts", "接触式 IC 卡"),
	row(uint8(CapOfflinePlaintextPIN), "plaintext PIN checked by the card", "IC 卡明文 PIN 验证"),
	row(uint8(CapOnlinePIN), "enciphered PIN checked online", "加密 PIN 联机验证"),
	row(uint8(CapSignature), "signature (paper)", "签名（纸质）"),
	row(uint8(CapOfflineEncipheredPIN), "enciphered PIN checked by the card", "加密 PIN 脱机验证"),
	row(uint8(CapNoCVM), "no CVM required", "无需 CVM"),
	row(uint8(CapHolderDocument), "cardholder document check (PBOC)", "持卡人证件验证（PBOC）"),
	row(uint8(CapSDA), "SDA", "静态数据认证（SDA）"),
	row(uint8(CapDDA), "DDA", "动态数据认证（DDA）"),
	row(uint8(CapCardCapture), "card capture", "吞卡"),
	row(uint8(CapCDA), "CDA", "复合动态数据认证（CDA）"),
}

// ParseTerminalCapabilities reads the 3 bytes of the field.
func ParseTerminalCapabilities(b []byte) (t TerminalCapabilities, err error) {
	err = parseField(t[:], b, "terminal capabilities")
	return t, err
}

// Has reports whether bit is set.
func (t TerminalCapabilities) Has(bit TerminalCapabilityBit) bool { return hasBit(t[:], uint8(bit)) }

// Set sets bit.
func (t *TerminalCapabilities) Set(bit TerminalCapabilityBit) {
	t[code(bit).index()] |= code(bit).mask()
}

// Clear clears bit.
func (t *TerminalCapabilities) Clear(bit TerminalCapabilityBit) {
	t[code(bit).index()] &^= code(bit).mask()
}

// Bits lists every named bit, and each reserved bit that is set.
func (t TerminalCapabilities) Bits() []BitInfo { return describe(t[:], terminalCapabilitiesTable, nil) }

// Names lists the bits that are set.
func (t TerminalCapabilities) Names(l glossary.Lang) []string { return setNames(t.Bits(), l) }

// Hex returns the field in upper-case hex.
func (t TerminalCapabilities) Hex() string { return hexString(t[:]) }

// String returns hex and the English names of the bits that are set.
func (t TerminalCapabilities) String() string { return bitString(t[:], t.Bits()) }

// AdditionalTerminalCapabilities is the additional terminal capabilities, tag 9F40 [EMV B4 Annex A3].
type AdditionalTerminalCapabilities [5]byte

// AdditionalTerminalCapabilityBit is one bit of AdditionalTerminalCapabilities: high nibble the byte from 1, low nibble the bit from 8.
type AdditionalTerminalCapabilityBit uint8

// Bits of AdditionalTerminalCapabilities.
const (
	AddCapCash              AdditionalTerminalCapabilityBit = 0x18
	AddCapGoods             AdditionalTerminalCapabilityBit = 0x17
	AddCapServices          AdditionalTerminalCapabilityBit = 0x16
	AddCapCashback          AdditionalTerminalCapabilityBit = 0x15
	AddCapInquiry           AdditionalTerminalCapabilityBit = 0x14
	AddCapTransfer          AdditionalTerminalCapabilityBit = 0x13
	AddCapPayment           AdditionalTerminalCapabilityBit = 0x12
	AddCapAdministrative    AdditionalTerminalCapabilityBit = 0x11
	AddCapCashDeposit       AdditionalTerminalCapabilityBit = 0x28
	AddCapNumericKeys       AdditionalTerminalCapabilityBit = 0x38
	AddCapAlphaKeys         AdditionalTerminalCapabilityBit = 0x37
	AddCapCommandKeys       AdditionalTerminalCapabilityBit = 0x36
	AddCapFunctionKeys      AdditionalTerminalCapabilityBit = 0x35
	AddCapPrintAttendant    AdditionalTerminalCapabilityBit = 0x48
	AddCapPrintCardholder   AdditionalTerminalCapabilityBit = 0x47
	AddCapDisplayAttendant  AdditionalTerminalCapabilityBit = 0x46
	AddCapDisplayCardholder AdditionalTerminalCapabilityBit = 0x45
	AddCapCodeTable10       AdditionalTerminalCapabilityBit = 0x42
	AddCapCodeTable9        AdditionalTerminalCapabilityBit = 0x41
	AddCapCodeTable8        AdditionalTerminalCapabilityBit = 0x58
	AddCapCodeTable7        AdditionalTerminalCapabilityBit = 0x57
	AddCapCodeTable6        AdditionalTerminalCapabilityBit = 0x56
	AddCapCodeTable5        AdditionalTerminalCapabilityBit = 0x55
	AddCapCodeTable4        AdditionalTerminalCapabilityBit = 0x54
	AddCapCodeTable3        AdditionalTerminalCapabilityBit = 0x53
	AddCapCodeTable2        AdditionalTerminalCapabilityBit = 0x52
	AddCapCodeTable1        AdditionalTerminalCapabilityBit = 0x51
)

var additionalTerminalTable = []bitName{
	row(uint8(AddCapCash), "cash", "现金"),
	row(uint8(AddCapGoods), "goods", "商品"),
	row(uint8(AddCapServices), "services", "服务"),
	row(uint8(AddCapCashback), "cashback", "返现"),
	row(uint8(AddCapInquiry), "inquiry", "查询"),
	row(uint8(AddCapTransfer), "transfer", "转账"),
	row(uint8(AddCapPayment), "payment", "付款"),
	row(uint8(AddCapAdministrative), "administrative", "管理"),
	row(uint8(AddCapCashDeposit), "cash deposit", "现金存款"),
	row(uint8(AddCapNumericKeys), "numeric keys", "数字键"),
	row(uint8(AddCapAlphaKeys), "alphabetic and special character keys", "字母和特殊字符键"),
	row(uint8(AddCapCommandKeys), "command keys", "命令键"),
	row(uint8(AddCapFunctionKeys), "function keys", "功能键"),
	row(uint8(AddCapPrintAttendant), "print for the attendant", "打印（服务员）"),
	row(uint8(AddCapPrintCardholder), "print for the cardholder", "打印（持卡人）"),
	row(uint8(AddCapDisplayAttendant), "display for the attendant", "显示（服务员）"),
	row(uint8(AddCapDisplayCardholder), "display for the cardholder", "显示（持卡人）"),
	row(uint8(AddCapCodeTable10), "code table 10", "代码表 10"),
	row(uint8(AddCapCodeTable9), "code table 9", "代码表 9"),
	row(uint8(AddCapCodeTable8), "code table 8", "代码表 8"),
	row(uint8(AddCapCodeTable7), "code table 7", "代码表 7"),
	row(uint8(AddCapCodeTable6), "code table 6", "代码表 6"),
	row(uint8(AddCapCodeTable5), "code table 5", "代码表 5"),
	row(uint8(AddCapCodeTable4), "code table 4", "代码表 4"),
	row(uint8(AddCapCodeTable3), "code table 3", "代码表 3"),
	row(uint8(AddCapCodeTable2), "code table 2", "代码表 2"),
	row(uint8(AddCapCodeTable1), "code table 1", "代码表 1"),
}

// ParseAdditionalTerminalCapabilities reads the 5 bytes of the field.
func ParseAdditionalTerminalCapabilities(b []byte) (a AdditionalTerminalCapabilities, err error) {
	err = parseField(a[:], b, "additional terminal capabilities")
	return a, err
}

// Has reports whether bit is set.
func (a AdditionalTerminalCapabilities) Has(bit AdditionalTerminalCapabilityBit) bool {
	return hasBit(a[:], uint8(bit))
}

// Set sets bit.
func (a *AdditionalTerminalCapabilities) Set(bit AdditionalTerminalCapabilityBit) {
	a[code(bit).index()] |= code(bit).mask()
}

// Clear clears bit.
func (a *AdditionalTerminalCapabilities) Clear(bit AdditionalTerminalCapabilityBit) {
	a[code(bit).index()] &^= code(bit).mask()
}

// Bits lists every named bit, and each reserved bit that is set.
func (a AdditionalTerminalCapabilities) Bits() []BitInfo {
	return describe(a[:], additionalTerminalTable, nil)
}

// Names lists the bits that are set.
func (a AdditionalTerminalCapabilities) Names(l glossary.Lang) []string { return setNames(a.Bits(), l) }

// Hex returns the field in upper-case hex.
func (a AdditionalTerminalCapabilities) Hex() string { return hexString(a[:]) }

// String returns hex and the English names of the bits that are set.
func (a AdditionalTerminalCapabilities) String() string { return bitString(a[:], a.Bits()) }

// UsageControl is the application usage control, tag 9F07 [EMV B3 Annex C2].
type UsageControl [2]byte

// UsageControlBit is one bit of UsageControl: high nibble the byte from 1, low nibble the bit from 8.
type UsageControlBit uint8

// Bits of UsageControl.
const (
	AUCDomesticCash          UsageControlBit = 0x18
	AUCInternationalCash     UsageControlBit = 0x17
	AUCDomesticGoods         UsageControlBit = 0x16
	AUCInternationalGoods    UsageControlBit = 0x15
	AUCDomesticServices      UsageControlBit = 0x14
	AUCInternationalServices UsageControlBit = 0x13
	AUCATM                   UsageControlBit = 0x12
	AUCNotATM                UsageControlBit = 0x11
	AUCDomesticCashback      UsageControlBit = 0x28
	AUCInternationalCashback UsageControlBit = 0x27
)

var usageControlTable = []bitName{
	row(uint8(AUCDomesticCash), "valid for domestic cash", "国内现金交易有效"),
	row(uint8(AUCInternationalCash), "valid for international cash", "国际现金交易有效"),
	row(uint8(AUCDomesticGoods), "valid for domestic goods", "国内商品有效"),
	row(uint8(AUCInternationalGoods), "valid for international goods", "国际商品有效"),
	row(uint8(AUCDomesticServices), "valid for domestic services", "国内服务有效"),
	row(uint8(AUCInternationalServices), "valid for international services", "国际服务有效"),
	row(uint8(AUCATM), "valid at ATMs", "ATM 有效"),
	row(uint8(AUCNotATM), "valid at terminals other than ATMs", "ATM 以外的终端有效"),
	row(uint8(AUCDomesticCashback), "domestic cashback allowed", "允许国内返现"),
	row(uint8(AUCInternationalCashback), "international cashback allowed", "允许国际返现"),
}

// ParseUsageControl reads the 2 bytes of the field.
func ParseUsageControl(b []byte) (u UsageControl, err error) {
	err = parseField(u[:], b, "application usage control")
	return u, err
}

// Has reports whether bit is set.
func (u UsageControl) Has(bit UsageControlBit) bool { return hasBit(u[:], uint8(bit)) }

// Set sets bit.
func (u *UsageControl) Set(bit UsageControlBit) { u[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (u *UsageControl) Clear(bit UsageControlBit) { u[code(bit).index()] &^= code(bit).mask() }

// Bits lists every named bit, and each reserved bit that is set.
func (u UsageControl) Bits() []BitInfo { return describe(u[:], usageControlTable, nil) }

// Names lists the bits that are set.
func (u UsageControl) Names(l glossary.Lang) []string { return setNames(u.Bits(), l) }

// Hex returns the field in upper-case hex.
func (u UsageControl) Hex() string { return hexString(u[:]) }

// String returns hex and the English names of the bits that are set.
func (u UsageControl) String() string { return bitString(u[:], u.Bits()) }

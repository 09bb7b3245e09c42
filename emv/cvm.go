package emv

import (
	"encoding/binary"
	"fmt"

	"tapnet/glossary"
)

// CVMList is the card's list of cardholder verification methods, tag 8E [EMV B3 10.5]: two amounts in the application
// currency, minor units, and rules in order of preference. A list without rules counts as no list.
type CVMList struct {
	X, Y  uint32
	Rules []CVMRule
}

// CVMRule is one method and when it applies [EMV B3 Annex C3].
type CVMRule struct {
	Code      CVMCode
	Condition CVMCondition
}

// CVMCode is the first byte of a rule: a method, and what to do when it fails.
type CVMCode byte

// Methods. CVMNotPerformed appears in CVM results only [EMV B4 Annex A4].
const (
	CVMFail                      CVMCode = 0x00
	CVMPlaintextPIN              CVMCode = 0x01
	CVMOnlinePIN                 CVMCode = 0x02
	CVMPlaintextPINAndSignature  CVMCode = 0x03
	CVMEncipheredPIN             CVMCode = 0x04
	CVMEncipheredPINAndSignature CVMCode = 0x05
	CVMSignature                 CVMCode = 0x1E
	CVMNone                      CVMCode = 0x1F
	CVMHolderDocument            CVMCode = 0x20 // PBOC: check of the holder's document, 9F61 and 9F62 [REF 1.11]
	CVMNotPerformed              CVMCode = 0x3F
)

const (
	cvmMethodMask CVMCode = 0x3F
	cvmNextMask   CVMCode = 0x40
)

// Method strips the bit that says what to do on failure.
func (c CVMCode) Method() CVMCode { return c & cvmMethodMask }

// ApplyNextOnFailure reports whether the next rule applies when this method fails; otherwise verification has failed.
func (c CVMCode) ApplyNextOnFailure() bool { return c&cvmNextMask != 0 }

// Term names the method.
func (c CVMCode) Term() glossary.Term {
	switch c.Method() {
	case CVMFail:
		return glossary.Term{EN: "fail CVM processing", ZH: "CVM 失败"}
	case CVMPlaintextPIN:
		return glossary.Term{EN: "plaintext PIN checked by the card", ZH: "卡片脱机明文 PIN 验证"}
	case CVMOnlinePIN:
		return glossary.Term{EN: "enciphered PIN checked online", ZH: "联机加密 PIN 验证"}
	case CVMPlaintextPINAndSignature:
		return glossary.Term{EN: "plaintext PIN checked by the card and signature", ZH: "卡片脱机明文 PIN 验证和签名"}
	case CVMEncipheredPIN:
		return glossary.Term{EN: "enciphered PIN checked by the card", ZH: "卡片脱机加密 PIN 验证"}
	case CVMEncipheredPINAndSignature:
		return glossary.Term{EN: "enciphered PIN checked by the card and signature", ZH: "卡片脱机加密 PIN 验证和签名"}
	case CVMSignature:
		return glossary.Term{EN: "signature", ZH: "签名"}
	case CVMNone:
		return glossary.Term{EN: "no CVM required", ZH: "无需 CVM"}
	case CVMHolderDocument:
		return glossary.Term{EN: "cardholder document check (PBOC)", ZH: "持卡人证件验证（PBOC）"}
	case CVMNotPerformed:
		return glossary.Term{EN: "no CVM performed", ZH: "未执行 CVM"}
	default:
		return glossary.Term{EN: "unknown method", ZH: "未知方法"}
	}
}

// CVMCondition is the second byte of a rule: when it applies.
type CVMCondition byte

// Conditions.
const (
	CVMAlways              CVMCondition = 0x00
	CVMUnattendedCash      CVMCondition = 0x01
	CVMNotCash             CVMCondition = 0x02 // neither unattended cash, manual cash nor cashback
	CVMIfSupported         CVMCondition = 0x03
	CVMManualCash          CVMCondition = 0x04
	CVMCashback            CVMCondition = 0x05
	CVMApplicationUnderX   CVMCondition = 0x06
	CVMApplicationOverX    CVMCondition = 0x07
	CVMApplicationUnderY   CVMCondition = 0x08
	CVMApplicationOverY    CVMCondition = 0x09
	cvmConditionTermsCount              = 10
)

var cvmConditionTerms = [cvmConditionTermsCount]glossary.Term{
	{EN: "always", ZH: "总是"},
	{EN: "if unattended cash", ZH: "无人值守现金交易"},
	{EN: "if not unattended cash, manual cash or cashback", ZH: "非无人值守现金、非人工现金、非返现"},
	{EN: "if the terminal supports the method", ZH: "终端支持该 CVM"},
	{EN: "if manual cash", ZH: "人工现金交易"},
	{EN: "if purchase with cashback", ZH: "返现消费"},
	{EN: "if in the application currency and under X", ZH: "应用货币交易且金额小于 X"},
	{EN: "if in the application currency and over X", ZH: "应用货币交易且金额大于 X"},
	{EN: "if in the application currency and under Y", ZH: "应用货币交易且金额小于 Y"},
	{EN: "if in the application currency and over Y", ZH: "应用货币交易且金额大于 Y"},
}

// Term names the condition.
func (c CVMCondition) Term() glossary.Term {
	if int(c) < len(cvmConditionTerms) {
		return cvmConditionTerms[c]
	}
	return glossary.Term{EN: "unknown condition", ZH: "未知条件"}
}

const (
	cvmAmountsBytes = 8
	cvmListMax      = 252 // [EMV B3 Annex A]
)

// ParseCVMList reads the value of tag 8E. Unknown methods and conditions are kept: the rules say what they lead to.
func ParseCVMList(b []byte) (CVMList, error) {
	if len(b) < cvmAmountsBytes || len(b)%2 != 0 || len(b) > cvmListMax {
		return CVMList{}, fmt.Errorf("parse CVM list: %d bytes, want an even number from %d to %d", len(b), cvmAmountsBytes, cvmListMax)
	}
	list := CVMList{X: binary.BigEndian.Uint32(b), Y: binary.BigEndian.Uint32(b[4:])}
	for i := cvmAmountsBytes; i < len(b); i += 2 {
		list.Rules = append(list.Rules, CVMRule{Code: CVMCode(b[i]), Condition: CVMCondition(b[i+1])})
	}
	return list, nil
}

// Bytes returns the value of tag 8E.
func (l CVMList) Bytes() []byte {
	b := make([]byte, 0, cvmAmountsBytes+2*len(l.Rules))
	b = binary.BigEndian.AppendUint32(b, l.X)
	b = binary.BigEndian.AppendUint32(b, l.Y)
	for _, r := range l.Rules {
		b = append(b, byte(r.Code), byte(r.Condition))
	}
	return b
}

// CVMResults is the result of cardholder verification, tag 9F34: method, condition, result [EMV B4 Annex A4].
type CVMResults [3]byte

// Results of a method.
const (
	CVMResultUnknown    byte = 0x00 // for example a signature, which nobody has compared yet
	CVMResultFailed     byte = 0x01
	CVMResultSuccessful byte = 0x02
)

// NewCVMResults records what was done.
func NewCVMResults(c CVMCode, condition CVMCondition, result byte) CVMResults {
	return CVMResults{byte(c), byte(condition), result}
}

// ParseCVMResults reads the 3 bytes of the field.
func ParseCVMResults(b []byte) (c CVMResults, err error) {
	err = parseField(c[:], b, "CVM results")
	return c, err
}

// Code returns the method performed.
func (c CVMResults) Code() CVMCode { return CVMCode(c[0]) }

// Condition returns the condition under which it was performed.
func (c CVMResults) Condition() CVMCondition { return CVMCondition(c[1]) }

// Result returns CVMResultUnknown, CVMResultFailed or CVMResultSuccessful, or a reserved value.
func (c CVMResults) Result() byte { return c[2] }

// ResultTerm names the result.
func (c CVMResults) ResultTerm() glossary.Term {
	switch c[2] {
	case CVMResultUnknown:
		return glossary.Term{EN: "result unknown", ZH: "结果未知"}
	case CVMResultFailed:
		return glossary.Term{EN: "failed", ZH: "失败"}
	case CVMResultSuccessful:
		return glossary.Term{EN: "successful", ZH: "成功"}
	default:
		return reservedBit
	}
}

// Bits describes the three bytes as values of eight bits.
func (c CVMResults) Bits() []BitInfo {
	return []BitInfo{
		{Byte: 1, Bit: 8, Width: 8, Name: c.Code().Term(), Set: true, Value: c[0]},
		{Byte: 2, Bit: 8, Width: 8, Name: c.Condition().Term(), Set: true, Value: c[1]},
		{Byte: 3, Bit: 8, Width: 8, Name: c.ResultTerm(), Set: true, Value: c[2]},
	}
}

// Names lists method, condition and result.
func (c CVMResults) Names(l glossary.Lang) []string { return setNames(c.Bits(), l) }

// Hex returns the field in upper-case hex.
func (c CVMResults) Hex() string { return hexString(c[:]) }

// String returns hex and the English names.
func (c CVMResults) String() string { return bitString(c[:], c.Bits()) }

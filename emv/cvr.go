package emv

import (
	"fmt"

	"tapnet/glossary"
)

// CVR is the card verification results inside the issuer application data: a length byte 03 and three bytes of what the
// card found [REF 1.8]. Byte numbers count the length byte as byte 1.
type CVR [4]byte

// CVRBit is one bit of CVR: high nibble the byte from 1, low nibble the bit from 8.
type CVRBit uint8

// Bits of CVR. The cryptogram types of byte 2 and the script count of byte 4 have methods of their own.
const (
	CVRSecondACNotRequested CVRBit = 0x28
	CVRIssuerAuthFailed     CVRBit = 0x24
	CVROfflinePINPerformed  CVRBit = 0x23
	CVROfflinePINFailed     CVRBit = 0x22
	CVRUnableOnline         CVRBit = 0x21
	CVRLastOnlineIncomplete CVRBit = 0x38
	CVRPINLimitExceeded     CVRBit = 0x37
	CVRVelocityExceeded     CVRBit = 0x36
	CVRNewCard              CVRBit = 0x35
	CVRLastIssuerAuthFailed CVRBit = 0x34
	CVRIssuerAuthMissing    CVRBit = 0x33
	CVRBlockedByPIN         CVRBit = 0x32
	CVRLastSDAFailed        CVRBit = 0x31
	CVRLastScriptFailed     CVRBit = 0x44
	CVRLastDDAFailed        CVRBit = 0x43
	CVRDDAPerformed         CVRBit = 0x42
)

var cvrTable = []bitName{
	row(uint8(CVRIssuerAuthFailed), "issuer authentication performed and failed", "发卡行认证已执行但失败"),
	row(uint8(CVROfflinePINPerformed), "offline PIN verification performed", "已执行脱机 PIN 验证"),
	row(uint8(CVROfflinePINFailed), "offline PIN verification performed and failed", "脱机 PIN 验证已执行但失败"),
	row(uint8(CVRUnableOnline), "unable to go online", "无法联机"),
	row(uint8(CVRLastOnlineIncomplete), "last online transaction not completed", "上次联机交易未完成"),
	row(uint8(CVRPINLimitExceeded), "PIN try limit exceeded", "PIN 重试次数超限"),
	row(uint8(CVRVelocityExceeded), "exceeded velocity checking counters", "频度检查计数器超限"),
	row(uint8(CVRNewCard), "new card", "新卡"),
	row(uint8(CVRLastIssuerAuthFailed),
		"issuer authentication failed on last online transaction", "上次联机交易发卡行认证失败"),
	row(uint8(CVRIssuerAuthMissing),
		"issuer authentication not performed after online authorisation", "联机授权后未执行发卡行认证"),
	row(uint8(CVRBlockedByPIN), "application blocked because PIN try limit exceeded", "因 PIN 重试次数超限锁定应用"),
	row(uint8(CVRLastSDAFailed), "SDA failed on last transaction and declined offline", "上次交易 SDA 失败且脱机拒绝"),
	row(uint8(CVRLastScriptFailed),
		"issuer script processing failed on last transaction", "上次交易发卡行脚本处理失败"),
	row(uint8(CVRLastDDAFailed), "DDA failed on last transaction and declined offline", "上次交易 DDA 失败且脱机拒绝"),
	row(uint8(CVRDDAPerformed), "offline dynamic data authentication performed", "已执行脱机动态数据认证"),
}

const (
	cvrLength       = 0x03
	cvrSecondMask   = 0xC0 // byte 2
	cvrFirstMask    = 0x30 // byte 2
	cvrScriptsMask  = 0xF0 // byte 4
	cvrScriptsShift = 4
	cvrScriptsMax   = 15
)

// NewCVR returns the results at the start of a transaction: no bits set, second cryptogram not requested.
func NewCVR() CVR { return CVR{cvrLength, byte(ARQC)} }

// ParseCVR reads 4 bytes, the first of which is 03.
func ParseCVR(b []byte) (c CVR, err error) {
	if err := parseField(c[:], b, "CVR"); err != nil {
		return CVR{}, err
	}
	if c[0] != cvrLength {
		return CVR{}, fmt.Errorf("parse CVR: length byte %02X, want 03", c[0])
	}
	return c, nil
}

// Has reports whether bit is set.
func (c CVR) Has(bit CVRBit) bool { return hasBit(c[:], uint8(bit)) }

// Set sets bit.
func (c *CVR) Set(bit CVRBit) { c[code(bit).index()] |= code(bit).mask() }

// Clear clears bit.
func (c *CVR) Clear(bit CVRBit) { c[code(bit).index()] &^= code(bit).mask() }

// First returns the cryptogram of the first GENERATE AC or of GET PROCESSING OPTIONS. The shift is the published rule
// for answers that omit 9F27 [REF 1.8].
func (c CVR) First() CID { return CID(c[1]&cvrFirstMask) << 2 }

// SetFirst records the cryptogram of the first GENERATE AC or of GET PROCESSING OPTIONS.
func (c *CVR) SetFirst(cid CID) { c[1] = c[1]&^cvrFirstMask | byte(cid.Type())>>2 }

// Second returns the cryptogram of the second GENERATE AC; false when it was not requested.
func (c CVR) Second() (CID, bool) {
	cid := CID(c[1] & cvrSecondMask)
	if cid == ARQC { // the value 10 means "not requested" here
		return AAC, false
	}
	return cid, true
}

// SetSecond records the cryptogram of the second GENERATE AC, AAC or TC.
func (c *CVR) SetSecond(cid CID) { c[1] = c[1]&^cvrSecondMask | byte(cid.Type()) }

// SetSecondNotRequested records that there was no second GENERATE AC (yet).
func (c *CVR) SetSecondNotRequested() { c.SetSecond(ARQC) }

// ScriptCount returns the number of issuer script commands processed, 0 to 15.
func (c CVR) ScriptCount() int { return int(c[3]) >> cvrScriptsShift }

// SetScriptCount records the number of issuer script commands; what four bits cannot hold stays at 15.
func (c *CVR) SetScriptCount(n int) {
	n = max(0, min(n, cvrScriptsMax))
	c[3] = c[3]&^cvrScriptsMask | byte(n)<<cvrScriptsShift
}

// Bits lists the values of byte 2 and byte 4, every named bit, and each reserved bit that is set.
func (c CVR) Bits() []BitInfo {
	second := glossary.Term{EN: "2nd GENERATE AC: not requested", ZH: "第二次 GENERATE AC：未请求"}
	if cid, requested := c.Second(); requested {
		second = glossary.Term{EN: "2nd GENERATE AC: " + cid.String(), ZH: "第二次 GENERATE AC：" + cid.String()}
	}
	first := glossary.Term{EN: "1st GENERATE AC or GPO: " + c.First().String(), ZH: "第一次 GENERATE AC 或 GPO：" + c.First().String()}
	scripts := glossary.Term{
		EN: fmt.Sprintf("issuer script commands processed: %d", c.ScriptCount()),
		ZH: fmt.Sprintf("已处理的发卡行脚本命令数：%d", c.ScriptCount()),
	}
	infos := []BitInfo{
		{Byte: 2, Bit: 8, Width: 2, Name: second, Set: true, Value: c[1] >> 6},
		{Byte: 2, Bit: 6, Width: 2, Name: first, Set: true, Value: c[1] >> 4 & 3},
	}
	flags := describe(c[:], cvrTable, func(bit code) bool {
		return bit.index() == 0 || bit.index() == 1 && bit&0xF >= 5 || bit.index() == 3 && bit&0xF >= 5
	})
	count := BitInfo{Byte: 4, Bit: 8, Width: 4, Name: scripts, Set: c.ScriptCount() > 0, Value: byte(c.ScriptCount())}
	for i, info := range flags {
		if info.Byte == 4 {
			infos = append(infos, flags[:i]...)
			infos = append(infos, count)
			return append(infos, flags[i:]...)
		}
	}
	return append(append(infos, flags...), count)
}

// Names lists the cryptogram types, the script count when there is one, and the bits that are set.
func (c CVR) Names(l glossary.Lang) []string { return setNames(c.Bits(), l) }

// Hex returns the field in upper-case hex, length byte included.
func (c CVR) Hex() string { return hexString(c[:]) }

// String returns hex and the English names.
func (c CVR) String() string { return bitString(c[:], c.Bits()) }

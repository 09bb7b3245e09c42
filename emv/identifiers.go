package emv

import (
	"encoding/hex"
	"errors"
	"strings"

	"tapnet/glossary"
)

// Names of the two payment system environments: the directory a terminal selects first [EMV B1 12.2.2], [EMV BookB 3.3].
const (
	PSE  AID = "1PAY.SYS.DDF01"
	PPSE AID = "2PAY.SYS.DDF01"
)

// Application identifiers [REF 1.1].
const (
	AIDDebit          AID = "\xA0\x00\x00\x03\x33\x01\x01\x01"
	AIDCredit         AID = "\xA0\x00\x00\x03\x33\x01\x01\x02"
	AIDQuasiCredit    AID = "\xA0\x00\x00\x03\x33\x01\x01\x03"
	AIDElectronicCash AID = "\xA0\x00\x00\x03\x33\x01\x01\x06"
	AIDUSDebit        AID = "\xA0\x00\x00\x03\x33\x01\x01\x08"
	AIDTransitCash    AID = "\xA0\x00\x00\x06\x32\x01\x01\x05" // T-Union, not UnionPay, same command model
	AIDTransitPurse   AID = "\xA0\x00\x00\x06\x32\x01\x01\x06"
)

// UnionPayKernelPrefix is the start of every AID that the entry point hands to kernel 7 [REF 1.1].
const UnionPayKernelPrefix AID = "\xA0\x00\x00\x03\x33\x01\x01"

// KernelUnionPay is the kernel identifier of UnionPay [EMV BookB 3.3], "C-7".
const KernelUnionPay byte = 0x07

// RIDUnionPay is the registered application provider of UnionPay.
var RIDUnionPay = [5]byte{0xA0, 0x00, 0x00, 0x03, 0x33}

// AID is the name of an application or of a directory (DF name), 5 to 16 bytes, held as raw bytes in a string so that
// it is immutable and comparable. The zero value names nothing.
type AID string

const (
	aidMin = 5  // a registered identifier alone [ISO 7816-4 8.2.1.2]
	aidMax = 16 // RID and an 11-byte extension
)

// ErrAID says that bytes are not an application identifier.
var ErrAID = errors.New("AID is 5 to 16 bytes long")

// ParseAID checks the length of b and copies it.
func ParseAID(b []byte) (AID, error) {
	if len(b) < aidMin || len(b) > aidMax {
		return "", ErrAID
	}
	return AID(b), nil
}

// Bytes returns a fresh copy of the identifier.
func (a AID) Bytes() []byte { return []byte(a) }

// String returns upper-case hex.
func (a AID) String() string { return strings.ToUpper(hex.EncodeToString([]byte(a))) }

// Matches reports whether a card's identifier answers to a terminal's: equal, or, when partial selection is allowed,
// beginning with it [EMV B1 12.3.1].
func (a AID) Matches(terminal AID, partial bool) bool {
	if partial {
		return terminal != "" && strings.HasPrefix(string(a), string(terminal))
	}
	return a == terminal
}

// providerKernels is the kernel of each registered provider that has one of its own [EMV BookB 3.3].
var providerKernels = [...]struct {
	rid    AID
	kernel byte
}{
	{"\xA0\x00\x00\x00\x04", 0x02},
	{"\xA0\x00\x00\x00\x03", 0x03},
	{"\xA0\x00\x00\x00\x25", 0x04},
	{"\xA0\x00\x00\x00\x65", 0x05},
	{"\xA0\x00\x00\x01\x52", 0x06},
	{"\xA0\x00\x00\x03\x33", KernelUnionPay},
}

// Kernel returns the kernel that the identifier leads to when the directory entry names none: that of the registered provider. Of
// another provider it is 0 and false: then any kernel will do that the terminal has for the identifier [EMV BookB 3.3].
func (a AID) Kernel() (byte, bool) {
	for _, p := range providerKernels {
		if strings.HasPrefix(string(a), string(p.rid)) {
			return p.kernel, true
		}
	}
	return 0, false
}

// Term names a known identifier in both languages.
func (a AID) Term() (glossary.Term, bool) {
	for _, known := range aidTerms {
		if known.aid == a {
			return known.term, true
		}
	}
	return glossary.Term{}, false
}

var aidTerms = [...]struct {
	aid  AID
	term glossary.Term
}{
	{PSE, glossary.Term{EN: "payment system environment (contact directory)", ZH: "支付系统环境（接触式目录）"}},
	{PPSE, glossary.Term{EN: "proximity payment system environment (contactless directory)",
		ZH: "近距离支付系统环境（非接目录）"}},
	{AIDDebit, glossary.Term{EN: "UnionPay debit", ZH: "银联借记"}},
	{AIDCredit, glossary.Term{EN: "UnionPay credit", ZH: "银联贷记"}},
	{AIDQuasiCredit, glossary.Term{EN: "UnionPay quasi-credit", ZH: "银联准贷记"}},
	{AIDElectronicCash, glossary.Term{EN: "UnionPay stand-alone electronic cash", ZH: "银联纯电子现金"}},
	{AIDUSDebit, glossary.Term{EN: "UnionPay US common debit", ZH: "银联美国通用借记"}},
	{AIDTransitCash, glossary.Term{EN: "T-Union electronic cash", ZH: "交通联合电子现金"}},
	{AIDTransitPurse, glossary.Term{EN: "T-Union electronic purse", ZH: "交通联合电子钱包"}},
}

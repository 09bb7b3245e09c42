package emv

import (
	"fmt"

	"tapnet/glossary"
)

// CID is the cryptogram information data, tag 9F27 [EMV B3 6.5.5.4]. The type of the cryptogram stands in the two high
// bits; constants and Type mask the rest.
type CID byte

// Types of application cryptogram.
const (
	AAC  CID = 0x00 // declined
	TC   CID = 0x40 // approved offline, or after the issuer's answer
	ARQC CID = 0x80 // online authorisation requested
)

const (
	cidTypeMask   CID = 0xC0
	cidAdviceMask CID = 0x08
	cidReasonMask CID = 0x07
)

// Type keeps the cryptogram type only.
func (c CID) Type() CID { return c & cidTypeMask }

// Advice reports whether the card asks for an advice message.
func (c CID) Advice() bool { return c&cidAdviceMask != 0 }

// Reason returns the reason code of an advice: 0 none, 1 service not allowed, 2 PIN limit, 3 issuer authentication failed.
func (c CID) Reason() byte { return byte(c & cidReasonMask) }

// String returns AAC, TC or ARQC.
func (c CID) String() string {
	switch c.Type() {
	case AAC:
		return "AAC"
	case TC:
		return "TC"
	case ARQC:
		return "ARQC"
	default:
		return fmt.Sprintf("CID(%02X)", byte(c))
	}
}

// Term says what the cryptogram means.
func (c CID) Term() glossary.Term {
	switch c.Type() {
	case AAC:
		return glossary.Term{EN: "AAC: declined", ZH: "AAC：拒绝"}
	case TC:
		return glossary.Term{EN: "TC: approved", ZH: "TC：批准"}
	case ARQC:
		return glossary.Term{EN: "ARQC: online authorisation requested", ZH: "ARQC：请求联机授权"}
	default:
		return reservedBit
	}
}

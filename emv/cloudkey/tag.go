package cloudkey

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/emv"
)

// IDDEvidence is the identifier of the issuer discretionary data that carry Evidence. It is the project's own [REF 1.7].
const IDDEvidence byte = 0xE1

// TagBytes is the length of a device tag.
const TagBytes = 7

// MaxBSEQ is the last number a batch can have.
const MaxBSEQ = 1<<24 - 1

// CVMType is how the holder was verified, as the device says.
type CVMType byte

// The ways.
const (
	CVMTypeNone        CVMType = iota
	CVMTypeCredential          // the device's own lock
	CVMTypeFingerprint         //
	CVMTypeFace                //
	CVMTypePassword            // the payment password
)

// Valid reports whether the type is known.
func (t CVMType) Valid() bool { return t <= CVMTypePassword }

// Class is the class of key the type can use.
func (t CVMType) Class() Class {
	switch t {
	case CVMTypeNone:
		return ClassOpen
	case CVMTypePassword:
		return ClassPassword
	}
	return ClassDevice
}

// String names the type.
func (t CVMType) String() string {
	names := [...]string{"none", "device credential", "fingerprint", "face", "payment password"}
	if !t.Valid() {
		return fmt.Sprintf("CVMType(%d)", byte(t))
	}
	return names[t]
}

// Risk is what a device admits about itself.
type Risk byte

// The bits. The others are zero.
const (
	RiskSoftwareKeys Risk = 1 << iota // keys are not in hardware
	RiskNotPreferred                  // another application is the preferred payment service
	RiskClock                         // the clock went back
	RiskUnconfirmed                   // a batch has not been confirmed
)

// Units of what is counted in one byte; more than fits stays at 255.
const (
	CVMAgeUnitSeconds  = 2
	LatencyUnitMillis  = 4
	oneByteMax         = 255
	nanosecondsOfMilli = 1_000_000
)

// CVMAge is seconds since verification in units, never negative.
func CVMAge(millis int64) byte { return units(millis, CVMAgeUnitSeconds*1000) }

// Latency is the longest silence between two commands in units.
func Latency(nanos int64) byte { return units(nanos, LatencyUnitMillis*nanosecondsOfMilli) }

func units(v, unit int64) byte {
	if v <= 0 {
		return 0
	}
	return byte(min(v/unit, oneByteMax))
}

// Evidence is what the phone says in the issuer data beside the cryptogram.
type Evidence struct {
	BSEQ    uint32 // number of the batch of the key
	CVM     CVMType
	CVMAge  byte // units of CVMAgeUnitSeconds
	Risk    Risk
	Latency byte // units of LatencyUnitMillis
}

// IAD is tag 9F10 of a phone: the form of the scheme with 15 bytes of discretionary data, 24 in all [REF 1.7] [REF 8].
type IAD struct {
	DKI, CVN  byte
	CVR       emv.CVR
	Algorithm byte
	Evidence
	Tag [TagBytes]byte
}

// Layout of the discretionary data: identifier, batch, verification, age, risk, latency, tag.
const (
	IADBytes      = 24
	IADCVMAgeAt   = 14 // offsets in the 24 bytes that are known only at the tap
	IADLatencyAt  = 16
	IADTagAt      = 17
	evidenceBytes = 11 // what the discretionary data hold before the last four bytes
	tagInData     = 3  // bytes of the tag among them
)

// ErrEvidence says that issuer data carry no evidence of a phone: it is a card's, or a phone's of somebody else.
var ErrEvidence = errors.New("issuer data carry no device evidence")

// ParseIAD reads the value of tag 9F10. Data of another kind wrap ErrEvidence.
func ParseIAD(b []byte) (IAD, error) {
	parsed, err := emv.ParseIAD(b)
	if err != nil {
		return IAD{}, fmt.Errorf("parse a phone's issuer data: %w", err)
	}
	d := parsed.IDD
	if len(b) != IADBytes || len(d) != evidenceBytes || d[0] != IDDEvidence {
		return IAD{}, fmt.Errorf("parse a phone's issuer data: %w", ErrEvidence)
	}
	iad := IAD{DKI: parsed.DKI, CVN: parsed.CVN, CVR: parsed.CVR, Algorithm: parsed.Algorithm, Evidence: Evidence{
		BSEQ: uint32(d[1])<<16 | uint32(d[2])<<8 | uint32(d[3]), CVM: CVMType(d[4]), CVMAge: d[5], Risk: Risk(d[6]), Latency: d[7],
	}}
	copy(iad.Tag[:], b[IADTagAt:])
	if !iad.CVM.Valid() {
		return IAD{}, fmt.Errorf("parse a phone's issuer data: %v: %w", iad.CVM, ErrEvidence)
	}
	return iad, nil
}

// AppendTo appends the value of tag 9F10, 24 bytes.
func (i IAD) AppendTo(dst []byte) []byte {
	data := appendBSEQ([]byte{IDDEvidence}, i.BSEQ)
	data = append(data, byte(i.CVM), i.CVMAge, byte(i.Risk), i.Latency)
	data = append(data, i.Tag[:tagInData]...)
	return emv.IAD{DKI: i.DKI, CVN: i.CVN, CVR: i.CVR, Algorithm: i.Algorithm, IDD: data, IDDMAC: [4]byte(i.Tag[tagInData:])}.AppendTo(dst)
}

// TagInput is what the device tag covers, besides the token and the label. It proves that the bound device made this cryptogram, for this
// amount, and says the evidence: the cryptogram covers only the card verification results of the issuer data.
type TagInput struct {
	ATC                 uint16
	UnpredictableNumber [4]byte
	Amount              [6]byte // as 9F02
	Currency            [2]byte // as 5F2A
	Evidence
	Cryptogram [8]byte
	// Merchant is that of field 42 when the payment is made without a reader, in an application or a browser; "" at a reader. It stands under a label of its
	// own, so that no tag of one kind is good for the other.
	Merchant string
}

// MaxMerchantBytes bounds the merchant of a TagInput: field 42 [ISO 8583:1987].
const MaxMerchantBytes = 15

const (
	tagInputBytes   = 2 + 4 + 6 + 2 + 3 + 4 + 8
	tagMessageBytes = 2 + len(labelTag) + 2 + MaxRefBytes + 2 + MaxMerchantBytes + tagInputBytes
	shaBlockBytes   = 64
	innerPad        = 0x36
	outerPad        = 0x5C
)

// DeviceTag computes DT with the key of the counter. The token is a valid reference. It does not allocate: a phone computes it while the
// reader waits.
func DeviceTag(key Secret, token string, in TagInput) (tag [TagBytes]byte) {
	if len(token) > MaxRefBytes || len(in.Merchant) > MaxMerchantBytes {
		panic("cloudkey: reference and merchant were checked")
	}
	var buffer [shaBlockBytes + tagMessageBytes]byte // HMAC-SHA256 by hand [RFC 2104]: the inner hash over one buffer on the stack
	pad(buffer[:shaBlockBytes], &key, innerPad)
	label := labelTag
	if in.Merchant != "" {
		label = labelRemote
	}
	message := appendText(buffer[:shaBlockBytes], label)
	message = appendText(message, token)
	if in.Merchant != "" {
		message = appendText(message, in.Merchant)
	}
	message = binary.BigEndian.AppendUint16(message, in.ATC)
	message = append(message, in.UnpredictableNumber[:]...)
	message = append(message, in.Amount[:]...)
	message = append(message, in.Currency[:]...)
	message = appendBSEQ(message, in.BSEQ)
	message = append(message, byte(in.CVM), in.CVMAge, byte(in.Risk), in.Latency)
	message = append(message, in.Cryptogram[:]...)
	inner := sha256.Sum256(message)

	var outer [shaBlockBytes + sha256.Size]byte
	pad(outer[:shaBlockBytes], &key, outerPad)
	copy(outer[shaBlockBytes:], inner[:])
	full := sha256.Sum256(outer[:])
	copy(tag[:], full[:])
	return tag
}

func pad(block []byte, key *Secret, with byte) {
	for i := range block {
		block[i] = with
	}
	for i, b := range key.b {
		block[i] ^= b
	}
}

// CheckTag compares a device tag in constant time.
func CheckTag(key Secret, token string, in TagInput, tag [TagBytes]byte) bool {
	want := DeviceTag(key, token, in)
	return subtle.ConstantTimeCompare(want[:], tag[:]) == 1
}

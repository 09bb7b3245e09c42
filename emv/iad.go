package emv

import (
	"fmt"
)

// IAD is the issuer application data, tag 9F10, in the form UnionPay and PBOC use [REF 1.7]. Only this form is known
// here: other issuers' forms are an error of ParseIAD, and opaque to everyone but their issuer.
type IAD struct {
	DKI       byte // derivation key index: which version of the issuer's master keys
	CVN       byte // cryptogram version number: which data the cryptogram covers
	CVR       CVR
	Algorithm byte    // 01 3DES, 04 SM4
	IDD       []byte  // issuer discretionary data: identifier and value, 6 or 11 bytes; empty when the IAD has none
	IDDMAC    [4]byte // MAC over the value; zero when there is no IDD
}

// Identifiers of issuer discretionary data [REF 1.7].
const (
	IDDBalance        byte = 0x01 // e-cash balance
	IDDCTTA           byte = 0x02 // cumulative total transaction amount
	IDDBalanceAndCTTA byte = 0x03
	IDDCTTAAndCTTAL   byte = 0x04 // cumulative total and its limit
	IDDAvailable      byte = 0x05 // available offline amount
)

const (
	iadHeader      = 7  // length of DKI, CVN, CVR and algorithm, as the first byte says
	iadHeaderBytes = 8  // the length byte and what it counts
	iddShort       = 10 // identifier, 5 bytes, MAC
	iddLong        = 15 // identifier, 10 bytes, MAC
	iddMACBytes    = 4
	iddAmountBytes = 5 // low-order five of the six BCD bytes of an amount
)

// ParseIAD reads the value of tag 9F10. IDD aliases b.
func ParseIAD(b []byte) (IAD, error) {
	if len(b) < iadHeaderBytes {
		return IAD{}, fmt.Errorf("parse IAD: %d bytes, want at least %d", len(b), iadHeaderBytes)
	}
	if b[0] != iadHeader {
		return IAD{}, fmt.Errorf("parse IAD: header length %02X at offset 0, want %02X", b[0], iadHeader)
	}
	if b[3] != cvrLength {
		return IAD{}, fmt.Errorf("parse IAD: CVR length %02X at offset 3, want %02X", b[3], cvrLength)
	}
	iad := IAD{DKI: b[1], CVN: b[2], CVR: CVR(b[3:7]), Algorithm: b[7]}
	rest := b[iadHeaderBytes:]
	if len(rest) == 0 {
		return iad, nil
	}
	length := int(rest[0])
	if len(rest) != 1+length {
		return IAD{}, fmt.Errorf("parse IAD: IDD length %d at offset %d, but %d bytes follow", length, iadHeaderBytes, len(rest)-1)
	}
	if length != iddShort && length != iddLong {
		return IAD{}, fmt.Errorf("parse IAD: IDD length %d at offset %d, want %d or %d", length, iadHeaderBytes, iddShort, iddLong)
	}
	iad.IDD = rest[1 : 1+length-iddMACBytes]
	copy(iad.IDDMAC[:], rest[1+length-iddMACBytes:])
	if want, known := iddLength(iad.IDD[0]); known && want != length {
		return IAD{}, fmt.Errorf("parse IAD: IDD %02X has length %d, want %d", iad.IDD[0], length, want)
	}
	return iad, nil
}

// iddLength returns the length byte that goes with a known identifier.
func iddLength(id byte) (int, bool) {
	switch id {
	case IDDBalance, IDDCTTA, IDDAvailable:
		return iddShort, true
	case IDDBalanceAndCTTA, IDDCTTAAndCTTAL:
		return iddLong, true
	default:
		return 0, false
	}
}

// AppendTo appends the value of tag 9F10 to dst. It panics when IDD has an impossible length: that is a bug of the caller.
func (i IAD) AppendTo(dst []byte) []byte {
	dst = append(dst, iadHeader, i.DKI, i.CVN)
	dst = append(dst, i.CVR[:]...)
	dst = append(dst, i.Algorithm)
	if len(i.IDD) == 0 {
		return dst
	}
	length := len(i.IDD) + iddMACBytes
	if length != iddShort && length != iddLong {
		panic(fmt.Sprintf("emv: IDD of %d bytes", len(i.IDD)))
	}
	dst = append(dst, byte(length))
	dst = append(dst, i.IDD...)
	return append(dst, i.IDDMAC[:]...)
}

// Bytes returns the value of tag 9F10.
func (i IAD) Bytes() []byte { return i.AppendTo(nil) }

// CryptogramType tells the type of the first cryptogram from the CVR, for answers without tag 9F27 [REF 1.8].
func (i IAD) CryptogramType() CID { return i.CVR.First() }

// IADCryptogramType is CryptogramType for a value of tag 9F10 that has not been parsed; false when it is no such value.
func IADCryptogramType(iad []byte) (CID, bool) {
	if len(iad) < iadHeaderBytes || iad[0] != iadHeader || iad[3] != cvrLength {
		return AAC, false
	}
	return CVR(iad[3:7]).First(), true
}

// IDDValue returns the value the IDD MAC covers; nil when there is no IDD.
func (i IAD) IDDValue() []byte {
	if len(i.IDD) == 0 {
		return nil
	}
	return i.IDD[1:]
}

// Balance returns the e-cash balance in minor units that the card put into the IAD; false when it put none. The balance
// is true only if the IDD MAC is.
func (i IAD) Balance() (int64, bool) {
	if len(i.IDD) < 1+iddAmountBytes || i.IDD[0] != IDDBalance && i.IDD[0] != IDDBalanceAndCTTA {
		return 0, false
	}
	var minor int64
	for _, b := range i.IDD[1 : 1+iddAmountBytes] {
		high, low := b>>4, b&0xF
		if high > 9 || low > 9 {
			return 0, false
		}
		minor = minor*100 + int64(high)*10 + int64(low)
	}
	return minor, true
}

package oda

import (
	"slices"

	"tapnet/sm"
)

// SM2Certificate is an SM2 certificate taken apart, for people who want to look at it: unlike one of RSA it is readable without a
// key. Nothing about it has been verified: that is what RecoverIssuerKey and RecoverICCKey do. Its slices alias what was read. An ICC
// certificate holds the account number: do not print Subject.
type SM2Certificate struct {
	Format             byte   // 12 of an issuer, 14 of a card
	Subject            []byte // 4 bytes of issuer identifier or 10 of account number, filled with F
	ExpiryMMYY         [2]byte
	Serial             [3]byte
	SignatureAlgorithm byte // 04 SM2 with SM3
	EncipherAlgorithm  byte
	Parameter          byte   // of the curve; published certificates hold 11 and 04
	Point              []byte // X ‖ Y
	Signature          []byte // r ‖ s
}

// Issuer reports whether the certificate is an issuer's, not a card's.
func (c SM2Certificate) Issuer() bool { return c.Format == sm2FormatIssuer }

// ReadSM2Certificate takes the value of tag 90 or 9F46 apart; false when it has not the form of an SM2 certificate [REF 4.6].
func ReadSM2Certificate(b []byte) (SM2Certificate, bool) {
	subject := 0
	switch {
	case len(b) == sm2IssuerLength && b[0] == sm2FormatIssuer:
		subject = 4
	case len(b) == sm2ICCLength && b[0] == sm2FormatICC:
		subject = 10
	default:
		return SM2Certificate{}, false
	}
	c := SM2Certificate{Format: b[0], Subject: b[1 : 1+subject]}
	rest := b[1+subject:]
	c.ExpiryMMYY, c.Serial = [2]byte(rest), [3]byte(rest[2:])
	c.SignatureAlgorithm, c.EncipherAlgorithm, c.Parameter = rest[5], rest[6], rest[7]
	if rest[8] != sm.PointBytes {
		return SM2Certificate{}, false
	}
	rest = rest[9:]
	c.Point, c.Signature = rest[:sm.PointBytes], rest[sm.PointBytes:]
	return c, true
}

// Bytes puts the certificate together again.
func (c SM2Certificate) Bytes() []byte {
	return slices.Concat([]byte{c.Format}, c.Subject, c.ExpiryMMYY[:], c.Serial[:],
		[]byte{c.SignatureAlgorithm, c.EncipherAlgorithm, c.Parameter, sm.PointBytes}, c.Point, c.Signature)
}

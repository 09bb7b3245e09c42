package oda

import (
	"crypto/sha1" // the standard's hash algorithm 01
	"fmt"
	"time"

	"tapnet/pan"
)

// Field positions in a recovered issuer certificate [EMV B2 5.3] and ICC certificate [EMV B2 6.4].
const (
	issuerFixed = 15            // header to exponent length
	issuerRoom  = 15 + trailing // what the certificate needs besides the modulus: N − 36 bytes are left for it
	iccFixed    = 21
	iccRoom     = 21 + trailing // N − 42
)

// Certificate is what a card presents for one public key: tags 90, 92, 9F32 or 9F46, 9F48, 9F47, and the PAN.
type Certificate struct {
	Certificate, Remainder, Exponent []byte
	PAN                              pan.Number
}

// certified is what issuer and ICC certificates have in common.
type certified struct {
	key    PublicKey
	expiry [2]byte // MMYY, packed digits
	serial [3]byte
	hash   [sha1.Size]byte
}

// PublicKey is the certified key.
func (c certified) PublicKey() PublicKey { return c.key }

// Serial is the certificate's serial number.
func (c certified) Serial() [3]byte { return c.serial }

// ExpiryMMYY is the certificate's last month as four packed digits.
func (c certified) ExpiryMMYY() [2]byte { return c.expiry }

// Hash is the verified SHA-1 value inside the certificate; zero for SM2, whose certificates hold none.
func (c certified) Hash() [sha1.Size]byte { return c.hash }

// ExpiredAt reports whether the certificate's month lies before now's month. A cached key needs this at each use.
func (c certified) ExpiredAt(now time.Time) bool { return monthExpired(c.expiry, now) }

// IssuerKey is an issuer public key out of a verified certificate. It is comparable; only RecoverIssuerKey makes one.
type IssuerKey struct {
	certified
	iin [4]byte
}

// IIN is the issuer identifier: 3 to 8 digits of the PAN, filled with F.
func (k IssuerKey) IIN() [4]byte { return k.iin }

// String describes the key without printing it.
func (k IssuerKey) String() string { return fmt.Sprintf("issuer %X %v", k.iin, k.key) }

// ICCKey is a card's public key out of a verified certificate. It is comparable; only RecoverICCKey makes one.
// It does not hold the PAN: whoever caches it keeps the card's certificate, static data or a fingerprint as the key.
type ICCKey struct{ certified }

// String describes the key without printing it.
func (k ICCKey) String() string { return fmt.Sprintf("ICC %v", k.key) }

// RecoverIssuerKey verifies an issuer certificate (tag 90) with the CA key that tag 8F names [EMV B2 5.3].
// remainder is tag 92 (empty when absent), exponent 9F32; with an SM2 key neither counts, and a published card has one left over
// [REF 4.6]. The certificate must be for the start of number, and
// neither it nor the CA key may have expired at now, whose time zone is the terminal's. Errors are *Failure.
func RecoverIssuerKey(ca CAKey, cert, remainder, exponent []byte, number pan.Number, now time.Time) (IssuerKey, error) {
	caKey, err := ca.PublicKey()
	if err != nil {
		return IssuerKey{}, fail(StepCAKey, CheckModulus)
	}
	if ca.expired(now) {
		return IssuerKey{}, fail(StepCAKey, CheckExpired)
	}
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	if caKey.algorithm == SM2 {
		key, check := a.sm2IssuerKey(&caKey, cert, number, now)
		if check != CheckNone {
			return IssuerKey{}, fail(StepIssuerCertificate, check)
		}
		return key, nil
	}
	block, check := a.recover(&caKey, cert)
	if check != CheckNone {
		return IssuerKey{}, fail(StepIssuerCertificate, check)
	}
	key, check := a.issuerKey(block, remainder, exponent, number, now)
	if check != CheckNone {
		return IssuerKey{}, fail(StepIssuerCertificate, check)
	}
	return key, nil
}

// issuerKey reads a recovered block. The checks stand in the order of [EMV B2 5.3].
func (a *arith) issuerKey(block, remainder, exponent []byte, number pan.Number, now time.Time) (IssuerKey, Check) {
	if check := checkFrame(block, formatIssuer); check != CheckNone {
		return IssuerKey{}, check
	}
	if block[11] != hashSHA1 {
		return IssuerKey{}, CheckHashAlgorithm
	}
	hashed, sum := split(block)
	if !a.hashMatches(sum, hashed, remainder, exponent) {
		return IssuerKey{}, CheckHash
	}
	key := IssuerKey{iin: [4]byte(block[2:6])}
	if !iinMatches(key.iin, number) {
		return IssuerKey{}, CheckIIN
	}
	key.expiry, key.serial, key.hash = [2]byte(block[6:8]), [3]byte(block[8:11]), [sha1.Size]byte(sum)
	if check := checkMonth(key.expiry, now); check != CheckNone {
		return IssuerKey{}, check
	}
	if block[12] != algorithmRSA {
		return IssuerKey{}, CheckPublicKeyAlgorithm
	}
	field := block[issuerFixed : len(block)-trailing]
	var check Check
	key.key, check = assemble(field, int(block[13]), int(block[14]), len(block), remainder, exponent)
	return key, check
}

// RecoverICCKey verifies an ICC certificate (tag 9F46) with the issuer's key [EMV B2 6.4]. remainder is 9F48 (empty
// when absent), exponent 9F47, static the data of StaticData. With SM2 only the certificate and the static data count.
// Errors are *Failure.
func RecoverICCKey(issuer IssuerKey, cert, remainder, exponent []byte, number pan.Number, static []byte,
	now time.Time) (ICCKey, error) {
	a := ariths.Get().(*arith)
	defer ariths.Put(a)
	if issuer.key.algorithm == SM2 {
		key, check := a.sm2ICCKey(&issuer.key, cert, number, static, now)
		if check != CheckNone {
			return ICCKey{}, fail(StepICCCertificate, check)
		}
		return key, nil
	}
	block, check := a.recover(&issuer.key, cert)
	if check != CheckNone {
		return ICCKey{}, fail(StepICCCertificate, check)
	}
	key, check := a.iccKey(block, remainder, exponent, number, static, now)
	if check != CheckNone {
		return ICCKey{}, fail(StepICCCertificate, check)
	}
	return key, nil
}

// iccKey reads a recovered block. The checks stand in the order of [EMV B2 6.4].
func (a *arith) iccKey(block, remainder, exponent []byte, number pan.Number, static []byte, now time.Time) (ICCKey, Check) {
	if check := checkFrame(block, formatICC); check != CheckNone {
		return ICCKey{}, check
	}
	if block[17] != hashSHA1 {
		return ICCKey{}, CheckHashAlgorithm
	}
	hashed, sum := split(block)
	if !a.hashMatches(sum, hashed, remainder, exponent, static) {
		return ICCKey{}, CheckHash
	}
	want, ok := panField(number)
	if !ok || want != [10]byte(block[2:12]) {
		return ICCKey{}, CheckPAN
	}
	var key ICCKey
	key.expiry, key.serial, key.hash = [2]byte(block[12:14]), [3]byte(block[14:17]), [sha1.Size]byte(sum)
	if check := checkMonth(key.expiry, now); check != CheckNone {
		return ICCKey{}, check
	}
	if block[18] != algorithmRSA {
		return ICCKey{}, CheckPublicKeyAlgorithm
	}
	field := block[iccFixed : len(block)-trailing]
	var check Check
	key.key, check = assemble(field, int(block[19]), int(block[20]), len(block), remainder, exponent)
	return key, check
}

// assemble joins the certificate's part of the modulus with the remainder. A modulus shorter than its field is
// padded with BB there; the hash covers the padding, so that its value is not looked at.
func assemble(field []byte, length, exponentLength, signerLength int, remainder, exponent []byte) (PublicKey, Check) {
	// A certified key is never longer than the one that certifies it [EMV B2 6.1].
	if length < MinModulusBytes || length > signerLength {
		return PublicKey{}, CheckKeyLength
	}
	inside := min(length, len(field))
	if len(remainder) != length-inside {
		return PublicKey{}, CheckRemainder
	}
	e, ok := parseExponent(exponent)
	if !ok || exponentLength != len(exponent) {
		return PublicKey{}, CheckExponent
	}
	key := PublicKey{length: uint8(length), exponent: e}
	copy(key.modulus[:], field[:inside])
	copy(key.modulus[inside:], remainder)
	if !validModulus(key.modulus[:length]) {
		return PublicKey{}, CheckModulus
	}
	return key, CheckNone
}

// iinMatches compares 3 to 8 digits, filled with F on the right, with the leftmost digits of the PAN.
func iinMatches(iin [4]byte, number pan.Number) bool {
	digits := number.Reveal()
	count, ended := 0, false
	for i := range 8 {
		nibble := iin[i/2] >> (4 * (1 - i%2)) & 0x0F
		if nibble == 0x0F {
			ended = true
			continue
		}
		if ended || nibble > 9 || i >= len(digits) || digits[i] != '0'+nibble {
			return false
		}
		count++
	}
	return count >= 3
}

// panField is the PAN as an ICC certificate holds it: ten bytes, filled with F.
func panField(number pan.Number) ([10]byte, bool) {
	digits := number.Reveal()
	var field [10]byte
	if len(digits) == 0 || len(digits) > 20 {
		return field, false
	}
	for i := range 20 {
		nibble := byte(0x0F)
		if i < len(digits) {
			nibble = digits[i] - '0'
		}
		field[i/2] |= nibble << (4 * (1 - i%2))
	}
	return field, true
}

// checkMonth refuses a malformed or past month.
func checkMonth(mmyy [2]byte, now time.Time) Check {
	if _, _, ok := monthYear(mmyy); !ok {
		return CheckDate
	}
	if monthExpired(mmyy, now) {
		return CheckExpired
	}
	return CheckNone
}

// monthExpired: a certificate is good to the end of its month in the zone of now.
func monthExpired(mmyy [2]byte, now time.Time) bool {
	month, year, ok := monthYear(mmyy)
	return !ok || now.Year()*12+int(now.Month()) > year*12+month
}

// monthYear reads MMYY; years 50 to 99 are those of the last century [EMV B4].
func monthYear(mmyy [2]byte) (month, year int, ok bool) {
	month, okMonth := digits2(mmyy[0])
	year, okYear := digits2(mmyy[1])
	if !okMonth || !okYear || month < 1 || month > 12 {
		return 0, 0, false
	}
	if year < 50 {
		return month, 2000 + year, true
	}
	return month, 1900 + year, true
}

func digits2(b byte) (int, bool) {
	high, low := int(b>>4), int(b&0x0F)
	return high*10 + low, high <= 9 && low <= 9
}

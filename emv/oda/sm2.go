package oda

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"tapnet/pan"
	"tapnet/sm"
)

// What SM2 certificates and signatures look like [JR/T 0025.17] [REF 4.6]: fields one after the other, then r ‖ s. Positions are
// those of a published card's certificates, which verify.
const (
	sm2FormatIssuer  = 0x12
	sm2FormatStatic  = 0x13
	sm2FormatICC     = 0x14
	sm2FormatDynamic = 0x15

	sm2SignatureAlgorithm = 0x04 // SM2 with SM3
	sm2EncipherAlgorithm  = 0x00 // none
	sm2ParameterIssuer    = 0x11
	sm2ParameterICC       = 0x04

	sm2IssuerFixed  = 14 // format to key length
	sm2ICCFixed     = 20
	sm2IssuerLength = sm2IssuerFixed + sm.PointBytes + sm.SignatureBytes
	sm2ICCLength    = sm2ICCFixed + sm.PointBytes + sm.SignatureBytes
	sm2StaticLength = 3 + sm.SignatureBytes
	sm2DynamicFixed = 2 + sm.SignatureBytes // of signed dynamic data, besides the ICC dynamic data
	// sm2MaxDynamicData keeps signed dynamic data with its tag within one answer of 256 bytes.
	sm2MaxDynamicData = 0xFF - sm2DynamicFixed - 8
)

// SM2Profile is what the signature scheme leaves to agreement. A CA key has one, and the keys it certifies inherit it. The zero
// value is what a published certificate chain uses: ZA with the default identity.
type SM2Profile struct {
	// Identity is the signer's identity in ZA; empty stands for 1234567812345678.
	Identity string
	// WithoutZA hashes the message alone. No published card does.
	WithoutZA bool
}

func (p SM2Profile) identity() string {
	if p.Identity == "" {
		return sm.DefaultIdentity
	}
	return p.Identity
}

var errSM2PublicKey = errors.New("not an SM2 public key")

// NewSM2PublicKey checks that X ‖ Y, 64 bytes, is a point of the curve.
func NewSM2PublicKey(point []byte, profile SM2Profile) (PublicKey, error) {
	if len(profile.Identity) > sm.MaxIdentityBytes {
		return PublicKey{}, fmt.Errorf("%w: identity of %d bytes, at most %d", errSM2PublicKey, len(profile.Identity), sm.MaxIdentityBytes)
	}
	if _, err := sm.ParsePublicKey(point); err != nil {
		return PublicKey{}, fmt.Errorf("%w: %w", errSM2PublicKey, err)
	}
	return sm2Key([sm.PointBytes]byte(point), profile), nil
}

func sm2Key(point [sm.PointBytes]byte, profile SM2Profile) PublicKey {
	k := PublicKey{length: sm.PointBytes, algorithm: SM2, profile: profile}
	copy(k.modulus[:], point[:])
	return k
}

// NewSM2PrivateKey makes a TEST key from its 32 bytes. What it signs follows the profile.
func NewSM2PrivateKey(d []byte, profile SM2Profile) (PrivateKey, error) {
	k, err := sm.NewPrivateKey(d)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("oda: %w", err)
	}
	return sm2Private(k, profile), nil
}

// GenerateSM2PrivateKey draws a TEST key from rand: unlike RSA keys with exponent 3, these cost nothing to make.
func GenerateSM2PrivateKey(rand io.Reader, profile SM2Profile) (PrivateKey, error) {
	k, err := sm.GeneratePrivateKey(rand)
	if err != nil {
		return PrivateKey{}, fmt.Errorf("oda: %w", err)
	}
	return sm2Private(k, profile), nil
}

func sm2Private(k sm.PrivateKey, profile SM2Profile) PrivateKey {
	return PrivateKey{&privateNumbers{public: sm2Key(k.Public().Bytes(), profile), sm2: k}}
}

// RevealSM2 gives the 32 bytes of an SM2 key, as NewSM2PrivateKey takes them; nil for another key.
func (k PrivateKey) RevealSM2() []byte {
	if k.k == nil || k.k.public.algorithm != SM2 {
		return nil
	}
	d := k.k.sm2.Reveal()
	return d[:]
}

// sm2Digest is what is signed: SM3 over ZA and the parts. buffer is working space, returned for use again.
func (k *PublicKey) sm2Digest(buffer []byte, parts ...[]byte) ([sm.HashBytes]byte, []byte) {
	buffer = buffer[:0]
	if !k.profile.WithoutZA {
		za := k.sm2().ZA(k.profile.identity())
		buffer = append(buffer, za[:]...)
	}
	for _, part := range parts {
		buffer = append(buffer, part...)
	}
	return sm.SM3(buffer), buffer
}

// sm2 is the key as the arithmetic takes it; it was checked when the key was made.
func (k *PublicKey) sm2() sm.PublicKey {
	point, err := sm.ParsePublicKey(k.modulus[:sm.PointBytes])
	if err != nil {
		panic("oda: " + err.Error())
	}
	return point
}

// sm2Verifies cuts the signature off signed and checks it over the rest and what follows.
func (a *arith) sm2Verifies(key *PublicKey, signed, following []byte) bool {
	cut := len(signed) - sm.SignatureBytes
	var digest [sm.HashBytes]byte
	digest, a.message = key.sm2Digest(a.message, signed[:cut], following)
	return key.sm2().Verify(digest, signed[cut:])
}

// sm2Frame looks at what precedes the key in a certificate. The curve parameter byte is not looked at: published certificates of
// one chain differ in it.
func sm2Frame(cert []byte, length int, format byte) Check {
	if len(cert) != length {
		return CheckLength
	}
	if cert[0] != format {
		return CheckFormat
	}
	fixed := cert[:length-sm.PointBytes-sm.SignatureBytes]
	n := len(fixed)
	switch {
	case fixed[n-4] != sm2SignatureAlgorithm || fixed[n-3] != sm2EncipherAlgorithm:
		return CheckPublicKeyAlgorithm
	case fixed[n-1] != sm.PointBytes:
		return CheckKeyLength
	}
	return CheckNone
}

// sm2IssuerKey verifies an issuer certificate. What the CA has not signed is not looked at further.
func (a *arith) sm2IssuerKey(ca *PublicKey, cert []byte, number pan.Number, now time.Time) (IssuerKey, Check) {
	if check := sm2Frame(cert, sm2IssuerLength, sm2FormatIssuer); check != CheckNone {
		return IssuerKey{}, check
	}
	if !a.sm2Verifies(ca, cert, nil) {
		return IssuerKey{}, CheckSignature
	}
	key := IssuerKey{iin: [4]byte(cert[1:5])}
	if !iinMatches(key.iin, number) {
		return IssuerKey{}, CheckIIN
	}
	check := key.sm2Certified(ca, cert[5:10], cert[sm2IssuerFixed:], now)
	return key, check
}

// sm2ICCKey verifies an ICC certificate, which covers the static data as well.
func (a *arith) sm2ICCKey(issuer *PublicKey, cert []byte, number pan.Number, static []byte, now time.Time) (ICCKey, Check) {
	if check := sm2Frame(cert, sm2ICCLength, sm2FormatICC); check != CheckNone {
		return ICCKey{}, check
	}
	if !a.sm2Verifies(issuer, cert, static) {
		return ICCKey{}, CheckSignature
	}
	want, ok := panField(number)
	if !ok || want != [10]byte(cert[1:11]) {
		return ICCKey{}, CheckPAN
	}
	var key ICCKey
	check := key.sm2Certified(issuer, cert[11:16], cert[sm2ICCFixed:], now)
	return key, check
}

// sm2Certified takes month and serial number (five bytes) and the point over.
func (c *certified) sm2Certified(signer *PublicKey, dated, point []byte, now time.Time) Check {
	c.expiry, c.serial = [2]byte(dated[:2]), [3]byte(dated[2:])
	if check := checkMonth(c.expiry, now); check != CheckNone {
		return check
	}
	var err error
	if c.key, err = NewSM2PublicKey(point[:sm.PointBytes], signer.profile); err != nil {
		return CheckCurve
	}
	return CheckNone
}

func (a *arith) sm2StaticData(issuer *PublicKey, ssad, static []byte) Check {
	switch {
	case len(ssad) != sm2StaticLength:
		return CheckLength
	case ssad[0] != sm2FormatStatic:
		return CheckFormat
	case !a.sm2Verifies(issuer, ssad, static):
		return CheckSignature
	}
	return CheckNone
}

func (a *arith) sm2DynamicData(icc *PublicKey, sdad, terminalData []byte) ([]byte, Check) {
	switch {
	case len(sdad) < sm2DynamicFixed || len(sdad) > sm2DynamicFixed+sm2MaxDynamicData:
		return nil, CheckLength
	case sdad[0] != sm2FormatDynamic:
		return nil, CheckFormat
	case int(sdad[1]) != len(sdad)-sm2DynamicFixed:
		return nil, CheckDynamicData
	case !a.sm2Verifies(icc, sdad, terminalData):
		return nil, CheckSignature
	}
	return sdad[2 : 2+int(sdad[1])], CheckNone
}

// signSM2 appends to head the signature over head and what follows it.
func (k PrivateKey) signSM2(head, following []byte) []byte {
	digest, _ := k.k.public.sm2Digest(nil, head, following)
	signature := k.k.sm2.Sign(digest)
	return append(head, signature[:]...)
}

// makeSM2Certificate lays a certificate out and signs it together with the static data. There is never a remainder.
func makeSM2Certificate(signer PrivateKey, header []byte, expiry pan.Expiry, serial [3]byte, public PublicKey, parameter byte,
	static []byte) ([]byte, error) {
	if public.algorithm != SM2 || public.IsZero() {
		return nil, fmt.Errorf("%w: %v key under an SM2 key", errSpec, public)
	}
	mmyy, ok := packMonth(expiry)
	if !ok {
		return nil, fmt.Errorf("%w: no expiry", errSpec)
	}
	head := slices.Concat(header, mmyy[:], serial[:], []byte{sm2SignatureAlgorithm, sm2EncipherAlgorithm, parameter, sm.PointBytes},
		public.modulus[:sm.PointBytes])
	return signer.signSM2(head, static), nil
}

func orDefault(value, standard byte) byte {
	if value == 0 {
		return standard
	}
	return value
}

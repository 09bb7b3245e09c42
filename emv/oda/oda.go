// Package oda is offline data authentication with RSA and with SM2: a terminal recovers the issuer's and the card's public
// key from certificates and checks what the card signed, without calling anyone [EMV B2 5] [EMV B2 6] [REF 2.6] [REF 4.6].
//
// The chain is CA key → issuer certificate (tag 90) → ICC certificate (9F46) → signed dynamic data (9F4B), or, for
// static authentication, issuer key → signed static data (93). The package verifies each link (SDA, DDA and the
// contactless fDDA versions 00 and 01), puts together the static data that a certificate covers, and makes all of
// these for personalization and for the card itself. It also reads a recorded card as text and reports every step.
//
// The CA key decides the algorithm of the chain: the same functions serve RSA, where a signature is a block that comes back, and
// SM2 with SM3, where a certificate is readable and followed by its signature. A chain never mixes the two.
//
// What it promises: verification is a pure function of its arguments (`now` is one of them), never panics on card
// data, and every refusal is a *Failure that names the step and the check in English and Chinese. Recovered keys
// are comparable values, so a caller may cache them.
//
// It verifies and makes combined signatures (CDA) and enciphers a PIN for the card as well [EMV B2 6.6] [EMV B2 7].
//
// What it does not do: the kernel's choice of method, and enciphering a PIN under an SM2 key. Public operations run in variable
// time, since all their inputs are public. Private operations run in variable time too: PrivateKey is for TEST keys only, a
// production issuer keeps its keys in an HSM.
package oda

import (
	"errors"
	"fmt"
)

// Limits on what a card may present. The moduli are bounded by what one APDU response can carry [EMV B2 6.1].
const (
	// MaxModulusBytes is the longest modulus: 1984 bits.
	MaxModulusBytes = 248
	// MinModulusBytes is the shortest: 512 bits, below which no signed block of this package has room for its fields.
	MinModulusBytes = 64
	// MaxStaticDataBytes bounds the static data under a certificate; cards stay well below half of it.
	MaxStaticDataBytes = 4096
)

const (
	exponentSmall = 3
	exponentLarge = 65537
)

// errPublicKey is what NewPublicKey wraps.
var errPublicKey = errors.New("not an EMV RSA public key")

// Algorithm is the public key algorithm of a key, and so of a whole chain.
type Algorithm uint8

// The algorithms. The zero value is RSA.
const (
	RSA Algorithm = iota // with SHA-1, signatures with message recovery [EMV B2 A2.1]
	SM2                  // with SM3, plain signatures [JR/T 0025.17]
)

// String names the algorithm.
func (a Algorithm) String() string {
	switch a {
	case RSA:
		return "RSA"
	case SM2:
		return "SM2"
	}
	return fmt.Sprintf("Algorithm(%d)", uint8(a))
}

// PublicKey is an RSA public key that satisfies EMV: 512 to 1984 bits in whole bytes with the top bit set, odd
// modulus, exponent 3 or 65537 [EMV B2 6.1]; or an SM2 key, a point of the curve. It is comparable; the zero value is no key.
type PublicKey struct {
	modulus   [MaxModulusBytes]byte // left aligned, rest zero; X ‖ Y of SM2
	length    uint8
	exponent  uint32 // 0 for SM2
	algorithm Algorithm
	profile   SM2Profile // of what an SM2 key signs
}

// NewPublicKey checks a modulus and an exponent as they stand in certificates: big endian, no leading zeros.
func NewPublicKey(modulus, exponent []byte) (PublicKey, error) {
	e, ok := parseExponent(exponent)
	if !ok {
		return PublicKey{}, fmt.Errorf("%w: exponent is neither 03 nor 010001", errPublicKey)
	}
	if !validModulus(modulus) {
		return PublicKey{}, fmt.Errorf("%w: modulus of %d bytes", errPublicKey, len(modulus))
	}
	k := PublicKey{length: uint8(len(modulus)), exponent: e}
	copy(k.modulus[:], modulus)
	return k, nil
}

func validModulus(m []byte) bool {
	return len(m) >= MinModulusBytes && len(m) <= MaxModulusBytes && m[0] >= 0x80 && m[len(m)-1]&1 == 1
}

func parseExponent(b []byte) (uint32, bool) {
	switch {
	case len(b) == 1 && b[0] == exponentSmall:
		return exponentSmall, true
	case len(b) == 3 && b[0] == 1 && b[1] == 0 && b[2] == 1:
		return exponentLarge, true
	}
	return 0, false
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.length == 0 }

// Algorithm is the algorithm of the key.
func (k PublicKey) Algorithm() Algorithm { return k.algorithm }

// Len is the length of the modulus in bytes, and of everything an RSA key signs; of SM2 that of X ‖ Y, which is also that of
// a bare signature: see DynamicLength for what a card sends.
func (k PublicKey) Len() int { return int(k.length) }

// DynamicLength is the length of signed dynamic data, tag 9F4B, that holds so many bytes of ICC dynamic data: 3 for fDDA.
func (k PublicKey) DynamicLength(dynamic int) int {
	if k.algorithm == SM2 {
		return sm2DynamicFixed + dynamic
	}
	return int(k.length)
}

// BitLen is the length of the modulus, or of a coordinate, in bits.
func (k PublicKey) BitLen() int {
	if k.algorithm == SM2 {
		return int(k.length) * 8 / 2
	}
	return int(k.length) * 8
}

// Modulus is a copy of the modulus, or X ‖ Y of SM2.
func (k PublicKey) Modulus() []byte { return append([]byte(nil), k.modulus[:k.length]...) }

// Exponent is the exponent as a certificate carries it: 03 or 010001; nil for SM2, whose certificates have no such tag.
func (k PublicKey) Exponent() []byte {
	switch k.exponent {
	case exponentSmall:
		return []byte{exponentSmall}
	case exponentLarge:
		return []byte{1, 0, 1}
	}
	return nil
}

// String describes the key without printing it.
func (k PublicKey) String() string {
	if k.algorithm == SM2 {
		return "SM2"
	}
	return fmt.Sprintf("RSA-%d e=%d", k.BitLen(), k.exponent)
}

package hsm

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Share is a custodian's part of a vault's key: so many of all give the key, fewer say nothing about it. It prints as redacted; Reveal gives the text to hand
// to the custodian.
type Share struct {
	number byte
	value  []byte
}

// Quorum says how many custodians a vault needs and out of how many, and the check value of its key.
type Quorum struct {
	Need  int     `json:"need"`
	Of    int     `json:"of"`
	Check [4]byte `json:"check"`
}

// MaxCustodians bounds a quorum: people, not machines.
const MaxCustodians = 32

// ErrShares says that a share, or what the shares make, is not the vault's.
var ErrShares = errors.New("hsm: the shares do not give the key of the vault; all must be presented again")

func (q Quorum) sound() error {
	if q.Need < 2 || q.Of < q.Need || q.Of > MaxCustodians {
		return fmt.Errorf("hsm: a quorum is at least 2 of at most %d custodians, not %d of %d", MaxCustodians, q.Need, q.Of)
	}
	return nil
}

func (s Share) sound() error {
	if s.number == 0 || len(s.value) != AES256.Bytes() {
		return ErrShares
	}
	return nil
}

// Number is the custodian's place, from 1.
func (s Share) Number() int { return int(s.number) }

// Reveal gives the share's text.
func (s Share) Reveal() string { return hex.EncodeToString(append([]byte{s.number}, s.value...)) }

// ParseShare reads what Reveal wrote.
func ParseShare(text string) (Share, error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) < 1 {
		return Share{}, ErrShares
	}
	s := Share{number: b[0], value: b[1:]}
	return s, s.sound()
}

// String is masked.
func (s Share) String() string { return "[redacted]" }

// Format masks under every verb.
func (s Share) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is masked.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// splitSecret cuts a secret after Shamir: each octet is the value at zero of a random polynomial over the field of 256 elements, and a share is the value at
// the custodian's number.
func splitSecret(random io.Reader, secret []byte, need, of int) ([]Share, error) {
	if err := (Quorum{Need: need, Of: of}).sound(); err != nil {
		return nil, err
	}
	coefficients := make([]byte, need-1)
	defer clear(coefficients)
	shares := make([]Share, of)
	for i := range shares {
		shares[i] = Share{number: byte(i + 1), value: make([]byte, len(secret))}
	}
	for at, octet := range secret {
		if _, err := io.ReadFull(random, coefficients); err != nil {
			return nil, fmt.Errorf("hsm: cutting a key: %w", err)
		}
		for i := range shares {
			x, y := shares[i].number, byte(0)
			for _, c := range slices.Backward(coefficients) {
				y = fieldMultiply(y^c, x)
			}
			shares[i].value[at] = y ^ octet
		}
	}
	return shares, nil
}

// combineShares gives the value at zero of the polynomials through the shares (Lagrange).
func combineShares(shares map[byte]Share) []byte {
	secret := make([]byte, AES256.Bytes())
	for x, s := range shares {
		weight := byte(1)
		for other := range shares {
			if other != x {
				weight = fieldMultiply(weight, fieldMultiply(other, fieldInverse(other^x)))
			}
		}
		for at := range secret {
			secret[at] ^= fieldMultiply(s.value[at], weight)
		}
	}
	return secret
}

// fieldMultiply multiplies modulo x⁸+x⁴+x³+x+1, in time that does not depend on the values.
func fieldMultiply(a, b byte) (product byte) {
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ 0x1B&-(a>>7)
		b >>= 1
	}
	return product
}

// fieldInverse is a²⁵⁴.
func fieldInverse(a byte) byte {
	result := byte(1)
	for range 254 {
		result = fieldMultiply(result, a)
	}
	return result
}

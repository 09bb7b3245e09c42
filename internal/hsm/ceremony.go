package hsm

import (
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/scrypt"
)

// stretch makes a key from a passphrase [RFC 7914].
func stretch(passphrase, salt []byte, logN byte) ([]byte, error) {
	key, err := scrypt.Key(passphrase, salt, 1<<logN, scryptR, scryptP, AES256.Bytes())
	if err != nil {
		return nil, fmt.Errorf("hsm: stretching a passphrase: %w", err)
	}
	return key, nil
}

// Component is one custodian's part of a key: all parts added give the key, and all but one give nothing [X9.24].
type Component struct{ value []byte }

// ErrComponent says that a component cannot be one.
var ErrComponent = errors.New("hsm: a component has 32, 48 or 64 hexadecimal digits and is not zero")

// ParseComponent reads the hexadecimal digits of a component; blanks between them do not count.
func ParseComponent(text string) (Component, error) {
	digits := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		if c != ' ' && c != '-' {
			digits = append(digits, c)
		}
	}
	defer clear(digits)
	value := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(value, digits); err != nil {
		clear(value)
		return Component{}, ErrComponent
	}
	return newComponent(value)
}

func newComponent(value []byte) (Component, error) {
	zero := subtle.ConstantTimeCompare(value, make([]byte, len(value))) == 1
	if len(value) != 16 && len(value) != 24 && len(value) != 32 || zero {
		return Component{}, ErrComponent
	}
	return Component{value}, nil
}

// NewComponent draws a component for a key of an algorithm.
func (h *HSM) NewComponent(a Algorithm) (Component, error) {
	value, err := h.randomKey(a)
	if err != nil {
		return Component{}, fmt.Errorf("hsm: drawing a component: %w", err)
	}
	return newComponent(value)
}

// Reveal gives the component in groups of four digits, as it is written on paper.
func (c Component) Reveal() string {
	digits := []byte(fmt.Sprintf("%X", c.value))
	out := make([]byte, 0, len(digits)+len(digits)/4)
	for i, d := range digits {
		if i > 0 && i%4 == 0 {
			out = append(out, ' ')
		}
		out = append(out, d)
	}
	return string(out)
}

// KCV is the check value of a component as if it were a key of the algorithm: a custodian compares it with the paper before going on.
func (c Component) KCV(a Algorithm) ([4]byte, error) {
	if len(c.value) != a.Bytes() {
		return [4]byte{}, fmt.Errorf("hsm: a component for %s has %d bytes, not %d", a, a.Bytes(), len(c.value))
	}
	e := &entry{info: KeyInfo{Algorithm: a}, value: c.value}
	if err := e.schedule(); err != nil {
		return [4]byte{}, fmt.Errorf("hsm: a component: %w", err)
	}
	return e.checkValue(), nil
}

// String is masked.
func (c Component) String() string { return "[redacted]" }

// Format masks under every verb.
func (c Component) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText masks.
func (c Component) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// ImportComponents makes a key of at least two components.
func (h *HSM) ImportComponents(name string, usage Usage, mode Mode, algorithm Algorithm, export Export, parts ...Component) (KeyInfo, error) {
	if len(parts) < 2 {
		return KeyInfo{}, fmt.Errorf("hsm: key %q: a key has at least two components", name)
	}
	value := make([]byte, algorithm.Bytes())
	for i, c := range parts {
		if len(c.value) != len(value) {
			clear(value)
			return KeyInfo{}, fmt.Errorf("hsm: key %q: component %d has %d bytes, %s takes %d", name, i+1, len(c.value), algorithm, len(value))
		}
		subtle.XORBytes(value, value, c.value)
	}
	if subtle.ConstantTimeCompare(value, make([]byte, len(value))) == 1 {
		return KeyInfo{}, fmt.Errorf("%w: key %q: the components cancel out", ErrWeakKey, name)
	}
	if algorithm == DES || algorithm == TDES {
		oddParity(value)
	}
	return h.add(name, usage, mode, algorithm, export, value, false)
}

// NewRoot draws the passphrase of a key file and splits it: any need of the shares give it back, fewer give nothing. Nobody knows it as a whole.
func NewRoot(random io.Reader, need, of int) (passphrase []byte, shares []Share, err error) {
	passphrase = make([]byte, AES256.Bytes())
	if _, err := io.ReadFull(random, passphrase); err != nil {
		return nil, nil, fmt.Errorf("hsm: drawing a root: %w", err)
	}
	shares, err = splitSecret(random, passphrase, need, of)
	return passphrase, shares, err
}

// Root joins shares. Too few or wrong ones give a passphrase that opens nothing.
func Root(shares ...Share) ([]byte, error) {
	all := make(map[byte]Share, len(shares))
	for _, s := range shares {
		if err := s.sound(); err != nil {
			return nil, err
		}
		if other, twice := all[s.number]; twice && subtle.ConstantTimeCompare(other.value, s.value) != 1 {
			return nil, fmt.Errorf("hsm: two shares with number %d differ", s.number)
		}
		all[s.number] = s
	}
	if len(all) == 0 {
		return nil, errors.New("hsm: no share")
	}
	return combineShares(all), nil
}

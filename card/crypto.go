package card

import (
	"errors"
	"fmt"
	"io"

	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
)

// Crypto is the card's own keys. A software card holds them in SoftCrypto; a secure element keeps them to itself.
type Crypto interface {
	// Suite is the public side of the keys: the algorithm, and which data a cryptogram version covers.
	Suite() cryptogram.Suite
	// Cryptogram is the application cryptogram over data, under the session key of a transaction counter [REF 4.2].
	Cryptogram(atc uint16, data []byte) ([8]byte, error)
	// IDDMAC protects the issuer discretionary data [REF 1.7].
	IDDMAC(atc uint16, value []byte) ([4]byte, error)
	// SignFDDA is the dynamic signature (9F4B) of the contactless path [REF 2.6].
	SignFDDA(atc uint16, in oda.FDDAInput) ([]byte, error)
	// SignatureLength is the length of a signature in bytes, which is that of the ICC key; 0: the card has none.
	SignatureLength() int
}

// Keyring gives each application keys of its own: the n-th Crypto belongs to the n-th application of the image. As a Crypto
// it acts for the first.
type Keyring []Crypto

// Suite implements Crypto for the first application.
func (k Keyring) Suite() cryptogram.Suite { return k[0].Suite() }

// Cryptogram implements Crypto for the first application.
func (k Keyring) Cryptogram(atc uint16, data []byte) ([8]byte, error) {
	return k[0].Cryptogram(atc, data)
}

// IDDMAC implements Crypto for the first application.
func (k Keyring) IDDMAC(atc uint16, value []byte) ([4]byte, error) { return k[0].IDDMAC(atc, value) }

// SignFDDA implements Crypto for the first application.
func (k Keyring) SignFDDA(atc uint16, in oda.FDDAInput) ([]byte, error) {
	return k[0].SignFDDA(atc, in)
}

// SignatureLength implements Crypto for the first application.
func (k Keyring) SignatureLength() int { return k[0].SignatureLength() }

// SoftCrypto keeps the keys of one application in memory. It prints itself as redacted.
type SoftCrypto struct {
	suite cryptogram.Suite
	keys  cryptogram.CardKeys
	icc   oda.PrivateKey
}

// NewSoftCrypto takes the card's own keys (not the issuer's master keys) and the ICC key, or the zero key for a card that does
// not sign. The ICC key is a TEST key: see package oda.
func NewSoftCrypto(suite cryptogram.Suite, keys cryptogram.CardKeys, icc oda.PrivateKey) *SoftCrypto {
	return &SoftCrypto{suite: suite, keys: keys, icc: icc}
}

// Suite implements Crypto.
func (s *SoftCrypto) Suite() cryptogram.Suite { return s.suite }

// Cryptogram implements Crypto.
func (s *SoftCrypto) Cryptogram(atc uint16, data []byte) ([8]byte, error) {
	return s.suite.Cryptogram(s.suite.SessionKey(s.keys.AC, atc), data), nil
}

// IDDMAC implements Crypto.
func (s *SoftCrypto) IDDMAC(atc uint16, value []byte) ([4]byte, error) {
	return s.suite.IDDMAC(s.suite.SessionKey(s.keys.MAC, atc), atc, value), nil
}

var errNoICCKey = errors.New("card has no ICC key")

// SignFDDA implements Crypto.
func (s *SoftCrypto) SignFDDA(atc uint16, in oda.FDDAInput) ([]byte, error) {
	if s.icc.IsZero() {
		return nil, errNoICCKey
	}
	return oda.SignFDDA(s.icc, atc, in), nil
}

// SignatureLength implements Crypto.
func (s *SoftCrypto) SignatureLength() int {
	return s.icc.Public().Len()
}

const redacted = "[redacted card keys]"

// String shows no key.
func (s *SoftCrypto) String() string { return redacted }

// Format shows no key, whatever the verb.
func (s *SoftCrypto) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText shows no key.
func (s *SoftCrypto) MarshalText() ([]byte, error) { return []byte(redacted), nil }

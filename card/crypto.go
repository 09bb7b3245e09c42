package card

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/pinblock"
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
	// SignatureLength is the length of what SignFDDA makes, in bytes: with RSA that of the ICC key; 0: the card has none.
	SignatureLength() int
	// SignDynamic is the dynamic signature (9F4B) of INTERNAL AUTHENTICATE over the card's number and the terminal's data [EMV B2 6.5.1].
	SignDynamic(number, terminal []byte) ([]byte, error)
	// SignCombined is the signature (9F4B) that carries a cryptogram; transaction is what was said before it, in order [EMV B2 6.6.1].
	SignCombined(c oda.Combined, random [4]byte, transaction ...[]byte) ([]byte, error)
	// PINLength is the length of an enciphered PIN in bytes; 0: the card takes none.
	PINLength() int
	// DecipherPIN takes an enciphered PIN block back; false when it is none, or not for this challenge [EMV B2 7.2].
	DecipherPIN(enciphered []byte, challenge [8]byte) (pinblock.Block, bool)
	// ARPC is the issuer's answer to a cryptogram of the card [REF 4.4].
	ARPC(atc uint16, ac [8]byte, arc [2]byte) ([8]byte, error)
	// ScriptMAC protects a command of the issuer; header and data as for cryptogram.Suite [REF 3.4].
	ScriptMAC(atc uint16, header [5]byte, ac [8]byte, data []byte) ([4]byte, error)
	// DecipherPINChange takes the new PIN out of a command of the issuer [REF 3.4].
	DecipherPINChange(atc uint16, ac [8]byte, variant cryptogram.PINVariant, data [16]byte, current pinblock.PIN) (pinblock.PIN, error)
	// MAC protects card data for the issuer, with the MAC key of a transaction counter.
	MAC(atc uint16, data []byte) ([4]byte, error)
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

// SignDynamic implements Crypto for the first application.
func (k Keyring) SignDynamic(number, terminal []byte) ([]byte, error) {
	return k[0].SignDynamic(number, terminal)
}

// SignCombined implements Crypto for the first application.
func (k Keyring) SignCombined(c oda.Combined, random [4]byte, transaction ...[]byte) ([]byte, error) {
	return k[0].SignCombined(c, random, transaction...)
}

// PINLength implements Crypto for the first application.
func (k Keyring) PINLength() int { return k[0].PINLength() }

// DecipherPIN implements Crypto for the first application.
func (k Keyring) DecipherPIN(enciphered []byte, challenge [8]byte) (pinblock.Block, bool) {
	return k[0].DecipherPIN(enciphered, challenge)
}

// ARPC implements Crypto for the first application.
func (k Keyring) ARPC(atc uint16, ac [8]byte, arc [2]byte) ([8]byte, error) {
	return k[0].ARPC(atc, ac, arc)
}

// ScriptMAC implements Crypto for the first application.
func (k Keyring) ScriptMAC(atc uint16, header [5]byte, ac [8]byte, data []byte) ([4]byte, error) {
	return k[0].ScriptMAC(atc, header, ac, data)
}

// DecipherPINChange implements Crypto for the first application.
func (k Keyring) DecipherPINChange(
	atc uint16, ac [8]byte, variant cryptogram.PINVariant, data [16]byte, current pinblock.PIN,
) (pinblock.PIN, error) {
	return k[0].DecipherPINChange(atc, ac, variant, data, current)
}

// MAC implements Crypto for the first application.
func (k Keyring) MAC(atc uint16, data []byte) ([4]byte, error) { return k[0].MAC(atc, data) }

// SoftCrypto keeps the keys of one application in memory. It prints itself as redacted.
type SoftCrypto struct {
	suite cryptogram.Suite
	keys  cryptogram.CardKeys
	icc   oda.PrivateKey
	pin   oda.PrivateKey          // deciphers PINs; the zero key: icc does
	files map[byte]cryptogram.Key // opening keys of the extended application, by short file identifier
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
	const fdda = 3 // bytes of ICC dynamic data
	if s.icc.IsZero() {
		return 0
	}
	return s.icc.Public().DynamicLength(fdda)
}

// WithFileKey returns the same keys with the opening key of a file of the extended application.
func (s *SoftCrypto) WithFileKey(sfi byte, key cryptogram.Key) *SoftCrypto {
	with := *s
	with.files = map[byte]cryptogram.Key{sfi: key}
	for other, k := range s.files {
		if other != sfi {
			with.files[other] = k
		}
	}
	return &with
}

// OpenRecord implements ExtendedCrypto.
func (s *SoftCrypto) OpenRecord(sfi byte, wrapped [cryptogram.KeyBytes]byte, command []byte, mac [4]byte) (RecordKey, bool) {
	opening, ok := s.files[sfi]
	if !ok {
		return RecordKey{}, false
	}
	want := s.suite.Cryptogram(opening, command)
	if subtle.ConstantTimeCompare(want[:len(mac)], mac[:]) != 1 {
		return RecordKey{}, false
	}
	return RecordKey(s.suite.UnwrapKey(opening, wrapped).Reveal()), true
}

// RecordMAC implements ExtendedCrypto.
func (s *SoftCrypto) RecordMAC(key RecordKey, atc uint16, command []byte) [4]byte {
	k, err := cryptogram.NewKey(key[:])
	if err != nil {
		panic("card: a record key has the length of a key")
	}
	return cryptogramMAC(s.suite, k, atc, command)
}

// cryptogramMAC is a MAC whose chain starts with the counter instead of zeros [REF 2.8].
func cryptogramMAC(suite cryptogram.Suite, key cryptogram.Key, atc uint16, data []byte) [4]byte {
	const first = 8
	input := make([]byte, max(first, len(data)))
	copy(input, data)
	input[first-2] ^= byte(atc >> 8)
	input[first-1] ^= byte(atc)
	full := suite.Cryptogram(key, input)
	return [4]byte(full[:4])
}

// WithPINKey returns the same keys with a key of its own for enciphered PINs, for tag 9F2D. It is a TEST key.
func (s *SoftCrypto) WithPINKey(key oda.PrivateKey) *SoftCrypto {
	with := *s
	with.pin = key
	return &with
}

func (s *SoftCrypto) pinKey() oda.PrivateKey {
	if s.pin.IsZero() {
		return s.icc
	}
	return s.pin
}

// SignDynamic implements Crypto.
func (s *SoftCrypto) SignDynamic(number, terminal []byte) ([]byte, error) {
	if s.icc.IsZero() {
		return nil, errNoICCKey
	}
	return oda.SignDynamic(s.icc, append([]byte{byte(len(number))}, number...), terminal), nil
}

// SignCombined implements Crypto.
func (s *SoftCrypto) SignCombined(c oda.Combined, random [4]byte, transaction ...[]byte) ([]byte, error) {
	if s.icc.IsZero() {
		return nil, errNoICCKey
	}
	return oda.SignCombined(s.icc, c, random, oda.HashTransaction(s.icc.Public().Algorithm(), transaction...)), nil
}

// PINLength implements Crypto. Nobody says how a PIN is enciphered for an SM2 key: such a card takes none.
func (s *SoftCrypto) PINLength() int {
	if key := s.pinKey().Public(); key.Algorithm() == oda.RSA {
		return key.Len()
	}
	return 0
}

// DecipherPIN implements Crypto.
func (s *SoftCrypto) DecipherPIN(enciphered []byte, challenge [8]byte) (pinblock.Block, bool) {
	return oda.DecipherPIN(s.pinKey(), enciphered, challenge)
}

// ARPC implements Crypto.
func (s *SoftCrypto) ARPC(atc uint16, ac [8]byte, arc [2]byte) ([8]byte, error) {
	return s.suite.ARPC(s.suite.SessionKey(s.keys.AC, atc), ac, arc), nil
}

// ScriptMAC implements Crypto.
func (s *SoftCrypto) ScriptMAC(atc uint16, header [5]byte, ac [8]byte, data []byte) ([4]byte, error) {
	return s.suite.Script(s.keys, atc, ac).MAC(header, data), nil
}

// DecipherPINChange implements Crypto.
func (s *SoftCrypto) DecipherPINChange(
	atc uint16, ac [8]byte, variant cryptogram.PINVariant, data [16]byte, current pinblock.PIN,
) (pinblock.PIN, error) {
	return s.suite.Script(s.keys, atc, ac).DecipherPINChange(variant, data, current)
}

// MAC implements Crypto.
func (s *SoftCrypto) MAC(atc uint16, data []byte) ([4]byte, error) {
	full := s.suite.Cryptogram(s.suite.SessionKey(s.keys.MAC, atc), data)
	return [4]byte(full[:4]), nil
}

const redacted = "[redacted card keys]"

// String shows no key.
func (s *SoftCrypto) String() string { return redacted }

// Format shows no key, whatever the verb.
func (s *SoftCrypto) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText shows no key.
func (s *SoftCrypto) MarshalText() ([]byte, error) { return []byte(redacted), nil }

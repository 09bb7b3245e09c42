package scp03

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"tapnet/mac"
)

// Lengths of the 8-byte mode.
const (
	ChallengeBytes  = 8
	CryptogramBytes = 8
	CodeBytes       = 8 // of a code on a command or answer
	// DiversificationBytes is what a card says of itself so that its keys can be found.
	DiversificationBytes = 10
	// MaxSequence is the last value of the counter behind pseudo-random challenges.
	MaxSequence = 1<<24 - 1
)

// Derivation constants.
const (
	constantCard      = 0x00
	constantHost      = 0x01
	constantChallenge = 0x02
	constantENC       = 0x04
	constantMAC       = 0x06
	constantRMAC      = 0x07
)

// Challenge is a random number of one side.
type Challenge [ChallengeBytes]byte

// Cryptogram proves that one side has derived the session keys.
type Cryptogram [CryptogramBytes]byte

// Diversification is what a card says of itself in its answer to INITIALIZE UPDATE.
type Diversification [DiversificationBytes]byte

// Keys are the static keys of a security domain. They print masked. The zero value is none; make it with NewKeys.
type Keys struct{ enc, mac, dek string }

// NewKeys takes three keys of one length: 16, 24 or 32 bytes. The error wraps ErrKey.
func NewKeys(enc, mac, dek []byte) (Keys, error) {
	switch len(enc) {
	case 16, 24, 32:
	default:
		return Keys{}, fmt.Errorf("%w: a key of %d bytes", ErrKey, len(enc))
	}
	if len(mac) != len(enc) || len(dek) != len(enc) {
		return Keys{}, fmt.Errorf("%w: keys of %d, %d and %d bytes", ErrKey, len(enc), len(mac), len(dek))
	}
	return Keys{string(enc), string(mac), string(dek)}, nil
}

// IsZero reports whether there are no keys.
func (k Keys) IsZero() bool { return k.enc == "" }

// Bytes is the length of each key.
func (k Keys) Bytes() int { return len(k.enc) }

// Reveal gives copies of the keys.
func (k Keys) Reveal() (enc, mac, dek []byte) { return []byte(k.enc), []byte(k.mac), []byte(k.dek) }

const redacted = "[redacted secure channel keys]"

// String is masked.
func (Keys) String() string { return redacted }

// Format is masked under every verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is masked. There is no way back.
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Session are the keys of one session. They print masked.
type Session struct{ enc, mac, rmac cipher.Block }

// String is masked.
func (Session) String() string { return redacted }

// Format is masked under every verb.
func (Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is masked. There is no way back.
func (Session) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// derive is the key derivation of Amendment D: codes over label, separator, length in bits, counter and context, as many as are needed.
func derive(block cipher.Block, constant byte, n int, context []byte) []byte {
	const labelBytes = 11
	input := make([]byte, labelBytes, labelBytes+5+len(context))
	input = append(input, constant, 0, byte(n*8>>8), byte(n*8), 0)
	counter := len(input) - 1
	input = append(input, context...)
	var out []byte
	for len(out) < n {
		input[counter]++
		out = append(out, mac.CMAC(block, input)...)
	}
	return out[:n]
}

func newBlock(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("scp03: the length of a key was checked: " + err.Error())
	}
	return block
}

// Session derives the keys of a session from both challenges.
func (k Keys) Session(host, card Challenge) Session {
	if k.IsZero() {
		panic("scp03: session without keys")
	}
	context := append(host[:], card[:]...)
	key := func(static string, constant byte) cipher.Block {
		derived := derive(newBlock([]byte(static)), constant, len(static), context)
		defer clear(derived)
		return newBlock(derived)
	}
	return Session{enc: key(k.enc, constantENC), mac: key(k.mac, constantMAC), rmac: key(k.mac, constantRMAC)}
}

// CardCryptogram is the card's proof.
func (s Session) CardCryptogram(host, card Challenge) Cryptogram {
	return Cryptogram(derive(s.mac, constantCard, CryptogramBytes, append(host[:], card[:]...)))
}

// HostCryptogram is the host's.
func (s Session) HostCryptogram(host, card Challenge) Cryptogram {
	return Cryptogram(derive(s.mac, constantHost, CryptogramBytes, append(host[:], card[:]...)))
}

// Equal compares in constant time.
func (c Cryptogram) Equal(other Cryptogram) bool {
	return subtle.ConstantTimeCompare(c[:], other[:]) == 1
}

// PseudoRandom is the card's challenge of the variants with a counter: aid names the security domain.
func (k Keys) PseudoRandom(sequence uint32, aid []byte) Challenge {
	context := append(sequenceBytes(sequence), aid...)
	return Challenge(derive(newBlock([]byte(k.enc)), constantChallenge, ChallengeBytes, context))
}

func sequenceBytes(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n)[1:] }

// DataCipher enciphers sensitive data, whole blocks, under the data encryption key: CBC from zeros.
func (k Keys) DataCipher(data []byte) ([]byte, error) { return k.data(data, cipher.NewCBCEncrypter) }

// DataDecipher is its inverse.
func (k Keys) DataDecipher(data []byte) ([]byte, error) { return k.data(data, cipher.NewCBCDecrypter) }

func (k Keys) data(data []byte, mode func(cipher.Block, []byte) cipher.BlockMode) ([]byte, error) {
	if k.IsZero() {
		return nil, ErrKey
	}
	if len(data)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no whole blocks", ErrFormat, len(data))
	}
	out := make([]byte, len(data))
	mode(newBlock([]byte(k.dek)), make([]byte, aes.BlockSize)).CryptBlocks(out, data)
	return out, nil
}

// CheckValues are three bytes for each key: what a block of ones enciphers to.
func (k Keys) CheckValues() (values [3][3]byte) {
	for i, key := range [...]string{k.enc, k.mac, k.dek} {
		var block [aes.BlockSize]byte
		for at := range block {
			block[at] = 1
		}
		newBlock([]byte(key)).Encrypt(block[:], block[:])
		copy(values[i][:], block[:])
	}
	return values
}

// Diversify gives the keys of one card under a master key: the counter-mode derivation that card management tools know as KDF3. The error wraps ErrKey.
func Diversify(master []byte, card Diversification) (Keys, error) {
	if _, err := NewKeys(master, master, master); err != nil {
		return Keys{}, err
	}
	block := newBlock(master)
	key := func(purpose byte) []byte {
		input := append([]byte{0, 0, 0, 0, purpose, 0}, card[:]...)
		var out []byte
		for len(out) < len(master) {
			input[0]++
			out = append(out, mac.CMAC(block, input)...)
		}
		return out[:len(master)]
	}
	return NewKeys(key(1), key(2), key(3))
}

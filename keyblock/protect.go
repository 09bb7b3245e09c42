package keyblock

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"

	"tapnet/des"
	"tapnet/mac"
)

// ProtectionKey wraps and unwraps keys. The zero value is none; make it with NewProtectionKey. It prints masked.
type ProtectionKey struct {
	version Version
	encrypt cipher.Block // under the derived key for enciphering
	code    cipher.Block // under the derived key for the code
}

// NewProtectionKey takes a key of 16 or 24 bytes for version B, of 16, 24 or 32 for version D, and derives the two working keys from it.
func NewProtectionKey(v Version, key []byte) (*ProtectionKey, error) {
	base, err := newCipher(v, key)
	if err != nil {
		return nil, err
	}
	p := &ProtectionKey{version: v}
	for _, d := range [...]struct {
		usage uint16
		to    *cipher.Block
	}{{usageEncrypt, &p.encrypt}, {usageCode, &p.code}} {
		derived := derive(v, base, len(key), d.usage)
		*d.to, err = newCipher(v, derived)
		clear(derived)
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Format masks the key under every verb.
func (p *ProtectionKey) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "keyblock.ProtectionKey([redacted])")
}

// String is masked.
func (p *ProtectionKey) String() string { return "keyblock.ProtectionKey([redacted])" }

// Version is the version of the blocks the key protects.
func (p *ProtectionKey) Version() Version { return p.version }

const (
	usageEncrypt uint16 = 0
	usageCode    uint16 = 1
)

// derive gives a working key: codes over a counter, the usage, the algorithm of the derived key and its length in bits [X9.143].
func derive(v Version, base cipher.Block, keyBytes int, usage uint16) []byte {
	var algorithm uint16
	switch {
	case v == VersionB && keyBytes == 24:
		algorithm = 1
	case v == VersionD:
		algorithm = uint16(keyBytes / 8) // 2, 3, 4 for 16, 24, 32
	}
	var input [8]byte
	binary.BigEndian.PutUint16(input[1:], usage)
	binary.BigEndian.PutUint16(input[4:], algorithm)
	binary.BigEndian.PutUint16(input[6:], uint16(8*keyBytes))
	out := make([]byte, 0, keyBytes+base.BlockSize())
	for counter := byte(1); len(out) < keyBytes; counter++ {
		input[0] = counter
		out = append(out, mac.CMAC(base, input[:])...)
	}
	return out[:keyBytes]
}

func newCipher(v Version, key []byte) (cipher.Block, error) {
	switch {
	case v == VersionB && len(key) == des.TripleKeyBytes:
		return des.NewTripleCipher(key)
	case v == VersionB && len(key) == 24:
		return newThreeKeys(key)
	case v == VersionD && (len(key) == 16 || len(key) == 24 || len(key) == 32):
		return aes.NewCipher(key)
	}
	return nil, refuse(WrongProtection, 0)
}

// threeKeys is triple DES with three keys.
type threeKeys [3]*des.Cipher

func newThreeKeys(key []byte) (cipher.Block, error) {
	var t threeKeys
	for i := range t {
		var err error
		if t[i], err = des.NewCipher(key[8*i : 8*i+8]); err != nil {
			return nil, fmt.Errorf("keyblock: %w", err)
		}
	}
	return &t, nil
}

func (t *threeKeys) BlockSize() int { return des.BlockBytes }

func (t *threeKeys) Encrypt(dst, src []byte) {
	t[0].Encrypt(dst, src)
	t[1].Decrypt(dst, dst)
	t[2].Encrypt(dst, dst)
}

func (t *threeKeys) Decrypt(dst, src []byte) {
	t[2].Decrypt(dst, src)
	t[1].Encrypt(dst, dst)
	t[0].Decrypt(dst, dst)
}

// Format masks the keys.
func (t *threeKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }

// hiddenBytes is the length that keys of an algorithm are filled up to, so that a block does not tell which length its key has [X9.143].
func hiddenBytes(algorithm byte, n int) int {
	switch algorithm {
	case AlgorithmDES, AlgorithmTDES:
		return max(n, 24)
	case AlgorithmAES:
		return max(n, 32)
	}
	return n
}

// Wrap makes a block of a key. Random fills it up; the header's version must be the protection key's, and its length the algorithm's.
func (p *ProtectionKey) Wrap(h Header, key []byte, random io.Reader) (Block, error) {
	return p.wrap(h, key, random, hiddenBytes(h.Algorithm, len(key)))
}

func (p *ProtectionKey) wrap(h Header, key []byte, random io.Reader, hidden int) (Block, error) {
	if err := h.check(); err != nil {
		return Block{}, err
	}
	if h.Version != p.version {
		return Block{}, refuse(WrongProtection, 0)
	}
	if !keyLengthFits(h.Algorithm, len(key)) {
		return Block{}, refuse(BadKeyLength, 0)
	}
	size := p.version.blockBytes()
	length := (lengthBytes + hidden + size - 1) / size * size
	text, err := h.append(nil, 2*(length+size))
	if err != nil {
		return Block{}, err
	}
	payload := make([]byte, length)
	binary.BigEndian.PutUint16(payload, uint16(8*len(key)))
	copy(payload[lengthBytes:], key)
	if _, err := io.ReadFull(random, payload[lengthBytes+len(key):]); err != nil {
		clear(payload)
		return Block{}, fmt.Errorf("keyblock: reading random bytes: %w", err)
	}
	code := p.codeOf(string(text), payload)
	cipher.NewCBCEncrypter(p.encrypt, code).CryptBlocks(payload, payload)
	header := h
	header.Optional = nil
	block := Block{header: header, text: string(text), payload: payload, code: code}
	for at := headerChars; at < len(text); {
		o, n, err := parseOptional(block.text, at)
		if err != nil {
			return Block{}, err
		}
		block.header.Optional = append(block.header.Optional, o)
		at += n
	}
	return block, nil
}

// codeOf is the code over the header's characters and the clear payload.
func (p *ProtectionKey) codeOf(text string, payload []byte) []byte {
	covered := append(append(make([]byte, 0, len(text)+len(payload)), text...), payload...)
	defer clear(covered)
	return mac.CMAC(p.code, covered)
}

// Unwrap opens a block and gives the key in it. The caller erases it after use.
func (p *ProtectionKey) Unwrap(b Block) ([]byte, error) {
	if b.header.Version != p.version {
		return nil, refuse(WrongProtection, 0)
	}
	payload := make([]byte, len(b.payload))
	defer clear(payload)
	cipher.NewCBCDecrypter(p.encrypt, b.code).CryptBlocks(payload, b.payload)
	if subtle.ConstantTimeCompare(p.codeOf(b.text, payload), b.code) != 1 {
		return nil, refuse(NotAuthentic, len(b.text)+2*len(b.payload))
	}
	bits := int(binary.BigEndian.Uint16(payload))
	n := bits / 8
	if bits%8 != 0 || n > len(payload)-lengthBytes || !keyLengthFits(b.header.Algorithm, n) {
		return nil, refuse(BadKeyLength, len(b.text))
	}
	return append([]byte(nil), payload[lengthBytes:lengthBytes+n]...), nil
}

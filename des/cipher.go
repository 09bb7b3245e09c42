package des

import (
	"fmt"
	"io"
)

// Cipher is a single-length key as a cipher.Block.
type Cipher struct{ schedule Schedule }

// NewCipher makes an 8-byte key ready.
func NewCipher(key []byte) (*Cipher, error) {
	if len(key) != KeyBytes {
		return nil, fmt.Errorf("des: a key of %d bytes, want %d", len(key), KeyBytes)
	}
	c := new(Cipher)
	c.schedule.Set(key)
	return c, nil
}

// Schedule is the key for chains of blocks.
func (c *Cipher) Schedule() *Schedule { return &c.schedule }

// BlockSize is 8.
func (c *Cipher) BlockSize() int { return BlockBytes }

// Encrypt enciphers one block; dst and src may be the same.
func (c *Cipher) Encrypt(dst, src []byte) {
	out := EnterBytes(src).Encrypt(&c.schedule).LeaveBytes()
	copy(dst[:BlockBytes], out[:])
}

// Decrypt is the inverse of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte) {
	out := EnterBytes(src).Decrypt(&c.schedule).LeaveBytes()
	copy(dst[:BlockBytes], out[:])
}

// Format masks the key.
func (c *Cipher) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// TripleCipher is a double-length key as a cipher.Block.
type TripleCipher struct{ key Triple }

// NewTripleCipher makes a 16-byte key ready.
func NewTripleCipher(key []byte) (*TripleCipher, error) {
	if len(key) != TripleKeyBytes {
		return nil, fmt.Errorf("des: a double-length key of %d bytes, want %d", len(key), TripleKeyBytes)
	}
	c := new(TripleCipher)
	c.key.Set((*[TripleKeyBytes]byte)(key))
	return c, nil
}

// BlockSize is 8.
func (c *TripleCipher) BlockSize() int { return BlockBytes }

// Encrypt enciphers one block; dst and src may be the same.
func (c *TripleCipher) Encrypt(dst, src []byte) {
	out := EnterBytes(src).EncryptTriple(&c.key).LeaveBytes()
	copy(dst[:BlockBytes], out[:])
}

// Decrypt is the inverse of Encrypt.
func (c *TripleCipher) Decrypt(dst, src []byte) {
	out := EnterBytes(src).DecryptTriple(&c.key).LeaveBytes()
	copy(dst[:BlockBytes], out[:])
}

// Format masks the key.
func (c *TripleCipher) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

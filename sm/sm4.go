package sm

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
)

const (
	// BlockBytes is the size of an SM4 block, KeyBytes of a key.
	BlockBytes = 16
	KeyBytes   = 16

	rounds = 32
)

// box is the substitution box [GM/T 0002 6.2].
const box = "" +
	"D690E9FECCE13DB716B614C228FB2C052B679A762ABE04C3AA44132649860699" +
	"9C4250F491EF987A33540B43EDCFAC62E4B31CA9C908E89580DF94FA758F3FA6" +
	"4707A7FCF37317BA83593C19E6854FA8686B81B27164DA8BF8EB0F4B70569D35" +
	"1E240E5E6358D1A225227C3B01217887D40046579FD327524C3602E7A0C4C89E" +
	"EABF8AD240C738B5A3F7F2CEF96115A1E0AE5DA49B341A55AD933230F58CB1E3" +
	"1DF6E22E8266CA60C02923AB0D534E6FD5DB3745DEFD8E2F03FF6A726D6C5B51" +
	"8D1BAF92BBDDBC7F11D95C411F105AD80AC13188A5CD7BBD2D74D012B8E5B4B0" +
	"8969974A0C96777E65B9F109C56EC68418F07DEC3ADC4D2079EE5F3ED7CB3948"

// familyKey is mixed into the key before its schedule [GM/T 0002 7.3].
var familyKey = [4]uint32{0xA3B1BAC6, 0x56AA3350, 0x677D9197, 0xB27022DC}

// tables holds substitution and linear part in one look-up for each byte of a word: for data, and for the schedule.
type tables struct {
	data, key [4][256]uint32
	constant  [rounds]uint32
}

var table = makeTables()

func makeTables() *tables {
	t := new(tables)
	substitute, err := hex.DecodeString(box)
	if err != nil || len(substitute) != 256 {
		panic("sm: the substitution box is not a table of 256 bytes")
	}
	for i, s := range substitute {
		for place := range 4 {
			word := uint32(s) << (24 - 8*place)
			t.data[place][i] = word ^ bits.RotateLeft32(word, 2) ^ bits.RotateLeft32(word, 10) ^ bits.RotateLeft32(word, 18) ^
				bits.RotateLeft32(word, 24)
			t.key[place][i] = word ^ bits.RotateLeft32(word, 13) ^ bits.RotateLeft32(word, 23)
		}
	}
	for i := range 4 * rounds {
		t.constant[i/4] = t.constant[i/4]<<8 | uint32(byte(7*i))
	}
	return t
}

// look substitutes and spreads one word.
func look(t *[4][256]uint32, word uint32) uint32 {
	return t[0][word>>24] ^ t[1][word>>16&0xFF] ^ t[2][word>>8&0xFF] ^ t[3][word&0xFF]
}

// Schedule is an SM4 key made ready. It is a value: kept on the stack it costs no memory.
type Schedule struct{ k [rounds]uint32 }

// Set makes a key ready [GM/T 0002 7.3].
func (s *Schedule) Set(key *[KeyBytes]byte) {
	var w [4]uint32
	for i := range w {
		w[i] = binary.BigEndian.Uint32(key[4*i:]) ^ familyKey[i]
	}
	for i := 0; i < rounds; i += 4 {
		w[0] ^= look(&table.key, w[1]^w[2]^w[3]^table.constant[i])
		w[1] ^= look(&table.key, w[2]^w[3]^w[0]^table.constant[i+1])
		w[2] ^= look(&table.key, w[3]^w[0]^w[1]^table.constant[i+2])
		w[3] ^= look(&table.key, w[0]^w[1]^w[2]^table.constant[i+3])
		copy(s.k[i:i+4], w[:])
	}
}

// Encrypt enciphers a block [GM/T 0002 7.1].
func (s *Schedule) Encrypt(block [BlockBytes]byte) [BlockBytes]byte {
	t := &table.data
	a, b, c, d := load(&block)
	for i := 0; i < rounds; i += 4 {
		a ^= look(t, b^c^d^s.k[i])
		b ^= look(t, c^d^a^s.k[i+1])
		c ^= look(t, d^a^b^s.k[i+2])
		d ^= look(t, a^b^c^s.k[i+3])
	}
	return store(d, c, b, a)
}

// Decrypt is the inverse of Encrypt: the round keys in the other order [GM/T 0002 7.2].
func (s *Schedule) Decrypt(block [BlockBytes]byte) [BlockBytes]byte {
	t := &table.data
	a, b, c, d := load(&block)
	for i := rounds - 4; i >= 0; i -= 4 {
		a ^= look(t, b^c^d^s.k[i+3])
		b ^= look(t, c^d^a^s.k[i+2])
		c ^= look(t, d^a^b^s.k[i+1])
		d ^= look(t, a^b^c^s.k[i])
	}
	return store(d, c, b, a)
}

func load(block *[BlockBytes]byte) (a, b, c, d uint32) {
	return binary.BigEndian.Uint32(block[0:]), binary.BigEndian.Uint32(block[4:]), binary.BigEndian.Uint32(block[8:]),
		binary.BigEndian.Uint32(block[12:])
}

func store(a, b, c, d uint32) (block [BlockBytes]byte) {
	binary.BigEndian.PutUint32(block[0:], a)
	binary.BigEndian.PutUint32(block[4:], b)
	binary.BigEndian.PutUint32(block[8:], c)
	binary.BigEndian.PutUint32(block[12:], d)
	return block
}

const masked = "sm.key"

// Format masks the key.
func (s *Schedule) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

// Cipher is an SM4 key as a cipher.Block.
type Cipher struct{ schedule Schedule }

// ErrKeyLength says that bytes are not an SM4 key. It never holds the bytes.
var ErrKeyLength = errors.New("sm: an SM4 key has 16 bytes")

// NewCipher makes a 16-byte key ready.
func NewCipher(key []byte) (*Cipher, error) {
	if len(key) != KeyBytes {
		return nil, ErrKeyLength
	}
	c := new(Cipher)
	c.schedule.Set((*[KeyBytes]byte)(key))
	return c, nil
}

// BlockSize is 16.
func (c *Cipher) BlockSize() int { return BlockBytes }

// Encrypt enciphers one block; dst and src may be the same.
func (c *Cipher) Encrypt(dst, src []byte) {
	out := c.schedule.Encrypt([BlockBytes]byte(src))
	copy(dst[:BlockBytes], out[:])
}

// Decrypt is the inverse of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte) {
	out := c.schedule.Decrypt([BlockBytes]byte(src))
	copy(dst[:BlockBytes], out[:])
}

// Format masks the key.
func (c *Cipher) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

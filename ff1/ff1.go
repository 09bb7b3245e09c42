// Package ff1 enciphers digit strings into digit strings of the same length: the mode FF1 of format-preserving encryption [NIST SP800-38G].
//
// It promises that Decrypt is the inverse of Encrypt under the same key, radix and tweak; that a text outside the bounds of the standard is an error; and
// that no error contains any of the text. Walk and Unwalk stay inside a part of the texts, for instance those with a right check digit.
//
// It does not make keys, does not choose tweaks, and gives no authenticity: any text of the right length deciphers to something. Texts so few that they can
// all be tried, fewer than a million of a length, are refused.
package ff1

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

const (
	// MinRadix and MaxRadix bound the alphabet: its characters are the digits 0 to 9, then the letters a to z.
	MinRadix = 2
	MaxRadix = 36
	// MaxChars bounds a text. The standard allows more; account numbers have 19 digits.
	MaxChars = 256
	// MaxTweakBytes bounds a tweak.
	MaxTweakBytes = 256

	// minDomain is the fewest texts of one length that the standard allows to encipher.
	minDomain = 1_000_000
	rounds    = 10
)

// What is refused.
var (
	ErrText  = errors.New("ff1: text too short, too long or with a character outside the alphabet")
	ErrTweak = errors.New("ff1: tweak too long")
	ErrWalk  = errors.New("ff1: the walk does not end: the text does not belong to the part it shall stay in")
)

// Cipher enciphers texts of one radix under one key. It holds no state and is safe for concurrent use as far as its block is.
type Cipher struct {
	block    cipher.Block
	radix    int
	minChars int
}

// New takes a block cipher of 16 bytes, which the standard wants to be AES, and a radix from 2 to 36.
func New(block cipher.Block, radix int) (*Cipher, error) {
	if block.BlockSize() != aes.BlockSize {
		return nil, errors.New("ff1: a block cipher of 16 bytes is needed")
	}
	if radix < MinRadix || radix > MaxRadix {
		return nil, fmt.Errorf("ff1: radix %d is not between %d and %d", radix, MinRadix, MaxRadix)
	}
	c := &Cipher{block: block, radix: radix, minChars: 2}
	for n := radix * radix; n < minDomain; n *= radix {
		c.minChars++
	}
	return c, nil
}

// Format masks a cipher, which holds a key schedule.
func (c *Cipher) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("ff1.Cipher")) }

// MinChars is the length of the shortest text.
func (c *Cipher) MinChars() int { return c.minChars }

// Encrypt is algorithm 7 of the standard: FF1.Encrypt.
func (c *Cipher) Encrypt(tweak []byte, text string) (string, error) { return c.run(tweak, text, false) }

// Decrypt is algorithm 8: FF1.Decrypt.
func (c *Cipher) Decrypt(tweak []byte, text string) (string, error) { return c.run(tweak, text, true) }

// maxWalk bounds a walk: when one text in ten belongs to the part, a longer walk has a probability below 10⁻⁴⁰.
const maxWalk = 1 << 10

// Walk enciphers again and again until the result belongs: a permutation of the texts that belong, when the given one does.
func (c *Cipher) Walk(tweak []byte, text string, belongs func(string) bool) (string, error) {
	return c.walk(tweak, text, belongs, c.Encrypt)
}

// Unwalk is the inverse of Walk.
func (c *Cipher) Unwalk(tweak []byte, text string, belongs func(string) bool) (string, error) {
	return c.walk(tweak, text, belongs, c.Decrypt)
}

func (c *Cipher) walk(tweak []byte, text string, belongs func(string) bool, step func([]byte, string) (string, error)) (string, error) {
	if !belongs(text) {
		return "", ErrWalk
	}
	for range maxWalk {
		var err error
		if text, err = step(tweak, text); err != nil {
			return "", err
		}
		if belongs(text) {
			return text, nil
		}
	}
	return "", ErrWalk
}

func (c *Cipher) run(tweak []byte, text string, inverse bool) (string, error) {
	if len(text) < c.minChars || len(text) > MaxChars {
		return "", ErrText
	}
	if len(tweak) > MaxTweakBytes {
		return "", ErrTweak
	}
	u := len(text) / 2
	v := len(text) - u
	var out []byte
	var err error
	if float64(v)*math.Log2(float64(c.radix)) < 62 {
		out, err = c.narrow(tweak, text, u, v, inverse)
	} else {
		out, err = c.wide(tweak, text, u, v, inverse)
	}
	if err != nil {
		return "", err
	}
	return string(out), nil
}

// feistel is what a run prepares once: the round function's fixed input and its sizes.
type feistel struct {
	chain  [aes.BlockSize]byte // CBC-MAC after P and all full blocks of Q's fixed part
	q      []byte              // Q; the round and the half stand at its end
	b      int                 // bytes of the half
	d      int                 // bytes of y
	output []byte
}

// prepare makes steps 3 to 5 and the constant part of 6 i.
func (c *Cipher) prepare(tweak []byte, n, u, v int) *feistel {
	f := &feistel{b: int(math.Ceil(math.Ceil(float64(v)*math.Log2(float64(c.radix))) / 8))}
	if exact := c.halfBytes(v); exact != f.b {
		f.b = exact // floating point is not to be trusted at the edge
	}
	f.d = 4*((f.b+3)/4) + 4
	var p [aes.BlockSize]byte
	p[0], p[1], p[2] = 1, 2, 1
	p[3], p[4], p[5] = byte(c.radix>>16), byte(c.radix>>8), byte(c.radix)
	p[6], p[7] = rounds, byte(u)
	binary.BigEndian.PutUint32(p[8:], uint32(n))
	binary.BigEndian.PutUint32(p[12:], uint32(len(tweak)))
	c.block.Encrypt(f.chain[:], p[:])
	pad := (-len(tweak) - f.b - 1) % aes.BlockSize
	if pad < 0 {
		pad += aes.BlockSize
	}
	f.q = make([]byte, len(tweak)+pad+1+f.b)
	copy(f.q, tweak)
	f.output = make([]byte, (f.d+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	return f
}

// halfBytes is the number of bytes of radix^v - 1.
func (c *Cipher) halfBytes(v int) int {
	largest := new(big.Int).Exp(big.NewInt(int64(c.radix)), big.NewInt(int64(v)), nil)
	return (largest.Sub(largest, big.NewInt(1)).BitLen() + 7) / 8
}

// round gives S, of d bytes, for round i; the caller has put the half into the end of q.
func (c *Cipher) round(f *feistel, i int) []byte {
	f.q[len(f.q)-f.b-1] = byte(i)
	r := f.chain
	for at := 0; at < len(f.q); at += aes.BlockSize {
		for j := range r {
			r[j] ^= f.q[at+j]
		}
		c.block.Encrypt(r[:], r[:])
	}
	copy(f.output, r[:])
	for j := 1; j*aes.BlockSize < f.d; j++ {
		next := r
		var counter [8]byte
		binary.BigEndian.PutUint64(counter[:], uint64(j))
		for k := range counter {
			next[8+k] ^= counter[k]
		}
		c.block.Encrypt(f.output[j*aes.BlockSize:], next[:])
	}
	return f.output[:f.d]
}

// narrow runs when both halves fit a machine word: numbers of up to twenty digits.
func (c *Cipher) narrow(tweak []byte, text string, u, v int, inverse bool) ([]byte, error) {
	a, okA := c.number(text[:u])
	b, okB := c.number(text[u:])
	if !okA || !okB {
		return nil, ErrText
	}
	f := c.prepare(tweak, len(text), u, v)
	modulus := [2]uint64{c.power(u), c.power(v)}
	half := f.q[len(f.q)-f.b:]
	for step := range rounds {
		i := step
		if inverse {
			i = rounds - 1 - step
			a, b = b, a // the half that goes through the round function is the other one
		}
		for at, rest := len(half)-1, b; at >= 0; at, rest = at-1, rest>>8 {
			half[at] = byte(rest)
		}
		m := modulus[i%2]
		y := remainder(c.round(f, i), m)
		if inverse {
			// A was computed as (A + y) mod m.
			a = (a + m - y) % m
			continue
		}
		a, b = b, (a+y)%m
	}
	out := make([]byte, 0, u+v)
	return c.write(c.write(out, a, u), b, v), nil
}

// wide is narrow for longer texts.
func (c *Cipher) wide(tweak []byte, text string, u, v int, inverse bool) ([]byte, error) {
	for i := range len(text) {
		if c.digit(text[i]) < 0 {
			return nil, ErrText
		}
	}
	a, _ := new(big.Int).SetString(text[:u], c.radix)
	b, _ := new(big.Int).SetString(text[u:], c.radix)
	radix := big.NewInt(int64(c.radix))
	modulus := [2]*big.Int{new(big.Int).Exp(radix, big.NewInt(int64(u)), nil), new(big.Int).Exp(radix, big.NewInt(int64(v)), nil)}
	f := c.prepare(tweak, len(text), u, v)
	for step := range rounds {
		i := step
		if inverse {
			i = rounds - 1 - step
			a, b = b, a
		}
		b.FillBytes(f.q[len(f.q)-f.b:])
		y := new(big.Int).SetBytes(c.round(f, i))
		if inverse {
			a.Mod(a.Sub(a, y), modulus[i%2])
			continue
		}
		a.Mod(a.Add(a, y), modulus[i%2])
		a, b = b, a
	}
	return fmt.Appendf(nil, "%s%s", leftPad(a.Text(c.radix), u), leftPad(b.Text(c.radix), v)), nil
}

func leftPad(s string, n int) []byte {
	out := make([]byte, 0, n)
	for range n - len(s) {
		out = append(out, '0')
	}
	return append(out, s...)
}

// remainder is the big-endian number s modulo m.
func remainder(s []byte, m uint64) uint64 {
	var r uint64
	for len(s) >= 4 {
		hi, lo := bits.Mul64(r, 1<<32)
		lo, carry := bits.Add64(lo, uint64(binary.BigEndian.Uint32(s)), 0)
		_, r = bits.Div64((hi+carry)%m, lo, m)
		s = s[4:]
	}
	return r
}

func (c *Cipher) power(n int) uint64 {
	p := uint64(1)
	for range n {
		p *= uint64(c.radix)
	}
	return p
}

func (c *Cipher) digit(ch byte) int {
	d := -1
	switch {
	case ch >= '0' && ch <= '9':
		d = int(ch - '0')
	case ch >= 'a' && ch <= 'z':
		d = int(ch-'a') + 10
	}
	if d >= c.radix {
		return -1
	}
	return d
}

func (c *Cipher) number(text string) (n uint64, ok bool) {
	for i := range len(text) {
		d := c.digit(text[i])
		if d < 0 {
			return 0, false
		}
		n = n*uint64(c.radix) + uint64(d)
	}
	return n, true
}

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

func (c *Cipher) write(dst []byte, n uint64, size int) []byte {
	for range size {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; n > 0; i-- {
		dst[i] = alphabet[n%uint64(c.radix)]
		n /= uint64(c.radix)
	}
	return dst
}

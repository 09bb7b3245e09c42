// Package des is DES and two-key triple DES as FIPS 46-3 defines them, for the standards of the trade that still ask for them: [X9.9], [X9.19],
// [ISO 9797-1], [EMV B2].
//
// It is made for keys that are used for a handful of blocks. crypto/des builds the key schedule bit by bit, which costs ten times a block; but the schedule
// is linear over GF(2) in the key bits, so here it is the exclusive-or of eight table rows, one for each key byte. And since the initial and the final
// permutation are linear and each other's inverse, a chain of ciphers needs them only at its ends: see State.
//
// It promises the results of crypto/des, checked on random keys and blocks, and no allocation. Key values mask themselves. It does not look at parity or weak
// keys, and it is not constant in time, as is true of crypto/des: both look into tables with secret indices. Nobody should choose this cipher for anything new.
package des

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

const (
	// BlockBytes is the size of a block, KeyBytes of a single-length key, TripleKeyBytes of a double-length one.
	BlockBytes     = 8
	KeyBytes       = 8
	TripleKeyBytes = 16

	rounds = 16
)

// Tables of the standard. Bits are numbered from 1, the most significant one.
var (
	pc1 = [56]uint{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	pc2 = [48]uint{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	shifts      = [rounds]int{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	permutation = [32]uint{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
)

// boxes holds the four rows of each substitution box, a hex digit for each entry.
var boxes = [8]string{
	"E4D12FB83A6C5907" + "0F74E2D1A6CB9538" + "41E8D62BFC973A50" + "FC8249175B3EA06D",
	"F18E6B34972DC05A" + "3D47F28EC01A69B5" + "0E7BA4D158C6932F" + "D8A13F42B67C05E9",
	"A09E63F51DC7B428" + "D709346A285ECBF1" + "D6498F30B12C5AE7" + "1AD069874FE3B52C",
	"7DE3069A1285BC4F" + "D8B56F03472C1AE9" + "A690CB7DF13E5284" + "3F06A1D8945BC72E",
	"2C417AB6853FD0E9" + "EB2C47D150FA3986" + "421BAD78F9C5630E" + "B8C71E2D6F09A453",
	"C1AF92680D34E75B" + "AF427C9561DE0B38" + "9EF528C3704A1DB6" + "432C95FABE17608D",
	"4B2EF08D3C975A61" + "D0B7491AE35C2F86" + "14BDC37EAF680592" + "6BD814A7950FE23C",
	"D2846FB1A93E50C7" + "1FD8A374C56B0E92" + "7B419CE206ADF358" + "21E74A8DFC90356B",
}

// Schedule is a single-length key made ready. It holds the sixteen round keys: in the upper half the key bits of boxes 1, 3, 5, 7, in the lower half those of
// boxes 2, 4, 6, 8, six bits at the low end of each byte.
type Schedule struct{ k [rounds]uint64 }

// keyTable gives the part of the schedule that comes from key byte i with the upper seven bits v. Parity bits do not count.
var keyTable = newKeyTable()

// roundTable joins substitution and permutation, rotated as the halves of State are. It is an array, not a pointer to
// one: that is a third of the time of a block.
var roundTable = newRoundTable()

func newKeyTable() *[8][128][rounds]uint64 {
	table := new([8][128][rounds]uint64)
	for i := range table {
		for v := 1; v < 128; v++ {
			lowest := v & -v
			if v == lowest {
				table[i][v] = slowSchedule(uint64(v) << (8*(7-i) + 1))
				continue
			}
			for r := range rounds { // linear: the sum of the parts
				table[i][v][r] = table[i][lowest][r] ^ table[i][v^lowest][r]
			}
		}
	}
	return table
}

// slowSchedule is the schedule as the standard describes it.
func slowSchedule(key uint64) (s [rounds]uint64) {
	const half = 1<<28 - 1
	var selected uint64
	for _, bit := range pc1 {
		selected = selected<<1 | key>>(64-bit)&1
	}
	c, d := selected>>28, selected&half
	for r, shift := range shifts {
		c = (c<<shift | c>>(28-shift)) & half
		d = (d<<shift | d>>(28-shift)) & half
		var round uint64
		for _, bit := range pc2 {
			round = round<<1 | (c<<28|d)>>(56-bit)&1
		}
		for box := range 8 {
			six := round >> (6 * (7 - box)) & 0x3F
			s[r] |= six << (8*(3-box/2) + 32*(1-box%2))
		}
	}
	return s
}

func newRoundTable() (table [8][64]uint32) {
	for box, rows := range boxes {
		for in := range 64 {
			row, column := in>>4&2|in&1, in>>1&0xF
			digit := rows[16*row+column]
			four := uint32(digit - '0')
			if digit >= 'A' {
				four = uint32(digit - 'A' + 10)
			}
			placed := four << (4 * (7 - box))
			var out uint32
			for _, bit := range permutation {
				out = out<<1 | placed>>(32-bit)&1
			}
			table[box][in] = bits.RotateLeft32(out, -stateRotation)
		}
	}
	return table
}

// Set makes an 8-byte key ready. Parity bits do not count.
func (s *Schedule) Set(key []byte) {
	_ = key[KeyBytes-1]
	a, b, c, d := &keyTable[0][key[0]>>1], &keyTable[1][key[1]>>1], &keyTable[2][key[2]>>1], &keyTable[3][key[3]>>1]
	e, f, g, h := &keyTable[4][key[4]>>1], &keyTable[5][key[5]>>1], &keyTable[6][key[6]>>1], &keyTable[7][key[7]>>1]
	for r := range s.k {
		s.k[r] = a[r] ^ b[r] ^ c[r] ^ d[r] ^ e[r] ^ f[r] ^ g[r] ^ h[r]
	}
}

// Format masks a schedule: it is as good as the key.
func (s *Schedule) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

const masked = "des.key"

// State is a block between the initial and the final permutation. Enter and Leave are those two; between them blocks are enciphered, deciphered and added
// any number of times. The halves are kept rotated right by three bits: then the six bits that enter boxes 1, 3, 5, 7 lie at the low end of each byte, and
// those of the others four bits further.
type State struct{ left, right uint32 }

const stateRotation = 3

// transpose mirrors a block, seen as eight rows of eight bits, at its diagonal.
func transpose(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00AA00AA00AA00AA
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000CCCC0000CCCC
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000F0F0F0F0
	return x ^ t ^ t<<28
}

// gather joins every second byte, 00 A 00 B 00 C 00 D to A B C D; scatter is its inverse.
func gather(x uint64) uint32 {
	x &= 0x00FF00FF00FF00FF
	x = (x | x>>8) & 0x0000FFFF0000FFFF
	return uint32(x | x>>16)
}

func scatter(half uint32) uint64 {
	x := uint64(half)
	x = (x | x<<16) & 0x0000FFFF0000FFFF
	return (x | x<<8) & 0x00FF00FF00FF00FF
}

// Enter is the initial permutation: the rows of the mirrored block, last byte first, even columns before odd ones. Blocks are big-endian.
func Enter(block uint64) State {
	x := transpose(bits.ReverseBytes64(block))
	return State{
		bits.RotateLeft32(gather(x), -stateRotation),
		bits.RotateLeft32(gather(x>>8), -stateRotation),
	}
}

// EnterBytes is Enter on the first 8 bytes of b.
func EnterBytes(b []byte) State { return Enter(binary.BigEndian.Uint64(b)) }

// Leave is the final permutation.
func (s State) Leave() uint64 {
	x := scatter(bits.RotateLeft32(s.left, stateRotation)) | scatter(bits.RotateLeft32(s.right, stateRotation))<<8
	return bits.ReverseBytes64(transpose(x))
}

// LeaveBytes is Leave, as bytes.
func (s State) LeaveBytes() (b [BlockBytes]byte) {
	binary.BigEndian.PutUint64(b[:], s.Leave())
	return b
}

// Xor adds two blocks.
func (s State) Xor(o State) State { return State{s.left ^ o.left, s.right ^ o.right} }

// six masks what enters a box.
const six = 0x3F

// Encrypt is the cipher without its permutations. The round function is written out: called, it costs a third more. Its sums are paired so that they need
// not wait for each other: the way from one half to the next is what a block costs.
func (s State) Encrypt(key *Schedule) State {
	l, r, t := s.left, s.right, &roundTable
	var k uint64
	var x, y uint32
	for i := 0; i < rounds; i += 2 {
		k = key.k[i]
		x, y = r^uint32(k>>32), bits.RotateLeft32(r, 4)^uint32(k)
		l ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
		k = key.k[i+1]
		x, y = l^uint32(k>>32), bits.RotateLeft32(l, 4)^uint32(k)
		r ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
	}
	return State{r, l}
}

// Decrypt is the inverse of Encrypt: the same with the round keys backwards.
func (s State) Decrypt(key *Schedule) State {
	l, r, t := s.left, s.right, &roundTable
	var k uint64
	var x, y uint32
	for i := rounds - 1; i > 0; i -= 2 {
		k = key.k[i]
		x, y = r^uint32(k>>32), bits.RotateLeft32(r, 4)^uint32(k)
		l ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
		k = key.k[i-1]
		x, y = l^uint32(k>>32), bits.RotateLeft32(l, 4)^uint32(k)
		r ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
	}
	return State{r, l}
}

// EncryptTriple is two-key triple DES: encipher, decipher, encipher.
func (s State) EncryptTriple(key *Triple) State {
	return s.Encrypt(&key.Left).Decrypt(&key.Right).Encrypt(&key.Left)
}

// DecryptTriple is the inverse of EncryptTriple.
func (s State) DecryptTriple(key *Triple) State {
	return s.Decrypt(&key.Left).Encrypt(&key.Right).Decrypt(&key.Left)
}

// Triple is a double-length key made ready.
type Triple struct{ Left, Right Schedule }

// Set makes a 16-byte key ready in place: a constructor would move it to the heap.
func (t *Triple) Set(key *[TripleKeyBytes]byte) {
	t.Left.Set(key[:KeyBytes])
	t.Right.Set(key[KeyBytes:])
}

// Format masks a key.
func (t *Triple) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, masked) }

package cryptogram

import (
	"encoding/binary"
	"math/bits"
)

// DES as FIPS 46-3 defines it, in the form that suits derived keys: nearly every key is used for a handful of blocks, so
// the key schedule must be cheap. crypto/des builds it bit by bit, which costs ten times a block. The schedule is linear
// over GF(2) in the key bits: here it is the exclusive-or of eight table rows, one for each key byte.

const (
	desBlock  = 8
	desRounds = 16
)

// Tables of the standard. Bits are numbered from 1, the most significant one.
var (
	desPC1 = [56]uint{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	desPC2 = [48]uint{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	desShifts = [desRounds]int{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	desP      = [32]uint{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
)

// desBoxes holds the four rows of each substitution box, a hex digit for each entry.
var desBoxes = [8]string{
	"E4D12FB83A6C5907" + "0F74E2D1A6CB9538" + "41E8D62BFC973A50" + "FC8249175B3EA06D",
	"F18E6B34972DC05A" + "3D47F28EC01A69B5" + "0E7BA4D158C6932F" + "D8A13F42B67C05E9",
	"A09E63F51DC7B428" + "D709346A285ECBF1" + "D6498F30B12C5AE7" + "1AD069874FE3B52C",
	"7DE3069A1285BC4F" + "D8B56F03472C1AE9" + "A690CB7DF13E5284" + "3F06A1D8945BC72E",
	"2C417AB6853FD0E9" + "EB2C47D150FA3986" + "421BAD78F9C5630E" + "B8C71E2D6F09A453",
	"C1AF92680D34E75B" + "AF427C9561DE0B38" + "9EF528C3704A1DB6" + "432C95FABE17608D",
	"4B2EF08D3C975A61" + "D0B7491AE35C2F86" + "14BDC37EAF680592" + "6BD814A7950FE23C",
	"D2846FB1A93E50C7" + "1FD8A374C56B0E92" + "7B419CE206ADF358" + "21E74A8DFC90356B",
}

// schedule holds the sixteen round keys: in the upper half the key bits of boxes 1, 3, 5, 7, in the lower half those of
// boxes 2, 4, 6, 8, six bits at the low end of each byte.
type schedule [desRounds]uint64

// keyTable gives the part of the schedule that comes from key byte i with the upper seven bits v. Parity bits do not count.
var keyTable = newKeyTable()

// roundTable joins substitution and permutation, rotated as the halves of desState are. It is an array, not a pointer to
// one: that is a third of the time of a block.
var roundTable = newRoundTable()

func newKeyTable() *[8][128]schedule {
	table := new([8][128]schedule)
	for i := range table {
		for v := 1; v < 128; v++ {
			lowest := v & -v
			if v == lowest {
				table[i][v] = slowSchedule(uint64(v) << (8*(7-i) + 1))
				continue
			}
			for r := range desRounds { // linear: the sum of the parts
				table[i][v][r] = table[i][lowest][r] ^ table[i][v^lowest][r]
			}
		}
	}
	return table
}

// slowSchedule is the schedule as the standard describes it.
func slowSchedule(key uint64) (s schedule) {
	const half = 1<<28 - 1
	var selected uint64
	for _, bit := range desPC1 {
		selected = selected<<1 | key>>(64-bit)&1
	}
	c, d := selected>>28, selected&half
	for r, shift := range desShifts {
		c = (c<<shift | c>>(28-shift)) & half
		d = (d<<shift | d>>(28-shift)) & half
		var round uint64
		for _, bit := range desPC2 {
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
	for box, rows := range desBoxes {
		for in := range 64 {
			row, column := in>>4&2|in&1, in>>1&0xF
			digit := rows[16*row+column]
			four := uint32(digit - '0')
			if digit >= 'A' {
				four = uint32(digit - 'A' + 10)
			}
			placed := four << (4 * (7 - box))
			var out uint32
			for _, bit := range desP {
				out = out<<1 | placed>>(32-bit)&1
			}
			table[box][in] = bits.RotateLeft32(out, -stateRotation)
		}
	}
	return table
}

// set builds the schedule of an 8-byte key.
func (s *schedule) set(key []byte) {
	_ = key[7]
	a, b, c, d := &keyTable[0][key[0]>>1], &keyTable[1][key[1]>>1], &keyTable[2][key[2]>>1], &keyTable[3][key[3]>>1]
	e, f, g, h := &keyTable[4][key[4]>>1], &keyTable[5][key[5]>>1], &keyTable[6][key[6]>>1], &keyTable[7][key[7]>>1]
	for r := range s {
		s[r] = a[r] ^ b[r] ^ c[r] ^ d[r] ^ e[r] ^ f[r] ^ g[r] ^ h[r]
	}
}

// desState is a block between the initial and the final permutation. Both are linear and each other's inverse, so a
// chain of ciphers and exclusive-ors needs them only at its ends. The halves are kept rotated right by three bits: then
// the six bits that enter boxes 1, 3, 5, 7 lie at the low end of each byte, and those of the others four bits further.
type desState struct{ left, right uint32 }

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

// enter is the initial permutation: the rows of the mirrored block, last byte first, even columns before odd ones.
func enter(block uint64) desState {
	x := transpose(bits.ReverseBytes64(block))
	return desState{
		bits.RotateLeft32(gather(x), -stateRotation),
		bits.RotateLeft32(gather(x>>8), -stateRotation),
	}
}

// leave is the final permutation.
func (s desState) leave() uint64 {
	x := scatter(bits.RotateLeft32(s.left, stateRotation)) | scatter(bits.RotateLeft32(s.right, stateRotation))<<8
	return bits.ReverseBytes64(transpose(x))
}

func (s desState) xor(o desState) desState { return desState{s.left ^ o.left, s.right ^ o.right} }

// feistel is the round function.
func feistel(half uint32, key uint64) uint32 {
	x := uint64(half)<<32 ^ uint64(bits.RotateLeft32(half, 4)) ^ key
	t := &roundTable
	return t[0][x>>56&0x3F] ^ t[2][x>>48&0x3F] ^ t[4][x>>40&0x3F] ^ t[6][x>>32&0x3F] ^
		t[1][x>>24&0x3F] ^ t[3][x>>16&0x3F] ^ t[5][x>>8&0x3F] ^ t[7][x&0x3F]
}

func (s desState) encrypt(k *schedule) desState {
	l, r := s.left, s.right
	for i := 0; i < desRounds; i += 2 {
		l ^= feistel(r, k[i])
		r ^= feistel(l, k[i+1])
	}
	return desState{r, l}
}

func (s desState) decrypt(k *schedule) desState {
	l, r := s.left, s.right
	for i := desRounds - 1; i > 0; i -= 2 {
		l ^= feistel(r, k[i])
		r ^= feistel(l, k[i-1])
	}
	return desState{r, l}
}

// tdes is a two-key triple DES key, ready for use.
type tdes struct{ left, right schedule }

// set prepares the key in place: a constructor would move it to the heap.
func (t *tdes) set(key [KeyBytes]byte) {
	t.left.set(key[:8])
	t.right.set(key[8:])
}

func (t *tdes) encryptState(s desState) desState {
	return s.encrypt(&t.left).decrypt(&t.right).encrypt(&t.left)
}

func (t *tdes) decryptState(s desState) desState {
	return s.decrypt(&t.left).encrypt(&t.right).decrypt(&t.left)
}

func (t *tdes) encrypt(block [desBlock]byte) [desBlock]byte {
	return toBytes(t.encryptState(enter(binary.BigEndian.Uint64(block[:]))).leave())
}

func (t *tdes) decrypt(block [desBlock]byte) [desBlock]byte {
	return toBytes(t.decryptState(enter(binary.BigEndian.Uint64(block[:]))).leave())
}

func toBytes(x uint64) (b [desBlock]byte) {
	binary.BigEndian.PutUint64(b[:], x)
	return b
}

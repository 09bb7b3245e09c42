package pan

import (
	"hash/maphash"
	"math/bits"
)

// covered holds up to 32 digits in a form that no print of memory shows: fmt reaches the fields of a struct inside another struct without asking its
// methods, and finds sixteen bytes that mean nothing outside this process. Equal digits have equal forms, so values compare with ==; the zero value is no
// digits. A table of handles would do the same, but every message brings a number that was not there before, and entering it costs more than reading the
// whole message.
//
// It keeps numbers out of logs. It is no encryption to store or send anything under: whoever can read the memory of the process can undo it.
type covered struct{ left, right uint64 }

const (
	coverRounds  = 6
	nibblesWord  = 16
	nibbleBits   = 4
	maxCovered   = 2 * nibblesWord
	firstNibble  = 64 - nibbleBits
	halfRotation = 32
)

// coverKeys are new in every process. Nothing but the form of covered digits depends on them, and that is never looked at.
var coverKeys = newCoverKeys()

// coverZero makes the form of no digits zero.
var coverZero = scramble(0, 0)

func newCoverKeys() (keys [coverRounds][2]uint64) {
	seed := maphash.MakeSeed()
	for i := range keys {
		keys[i] = [2]uint64{maphash.Bytes(seed, []byte{byte(i), 0}), maphash.Bytes(seed, []byte{byte(i), 1})}
	}
	return keys
}

// scramble is a Feistel network, unscramble its inverse.
func scramble(left, right uint64) covered {
	for i := range coverKeys {
		left, right = right, left^coverRound(right, &coverKeys[i])
	}
	return covered{left, right}
}

func unscramble(c covered) (left, right uint64) {
	left, right = c.left, c.right
	for i := coverRounds - 1; i >= 0; i-- {
		left, right = right^coverRound(left, &coverKeys[i]), left
	}
	return left, right
}

func coverRound(x uint64, key *[2]uint64) uint64 {
	high, low := bits.Mul64(x^key[0], bits.RotateLeft64(x, halfRotation)^key[1])
	return high ^ low
}

// cover takes up to 32 decimal digits, which the caller has checked. Each takes a nibble, one more than its value, so that zero is the end.
func cover(digits string) covered {
	if len(digits) > maxCovered {
		panic("pan: too many digits to cover")
	}
	var words [2]uint64
	for i := range len(digits) {
		words[i/nibblesWord] |= uint64(digits[i]-'0'+1) << (firstNibble - nibbleBits*(i%nibblesWord))
	}
	c := scramble(words[0], words[1])
	return covered{c.left ^ coverZero.left, c.right ^ coverZero.right}
}

// appendTo appends the digits.
func (c covered) appendTo(dst []byte) []byte {
	left, right := unscramble(covered{c.left ^ coverZero.left, c.right ^ coverZero.right})
	for _, word := range [...]uint64{left, right} {
		for ; word != 0; word <<= nibbleBits {
			dst = append(dst, '0'+byte(word>>firstNibble)-1)
		}
	}
	return dst
}

// digits gives the digits as a string.
func (c covered) digits() string {
	var buf [maxCovered]byte
	return string(c.appendTo(buf[:0]))
}

package cryptogram

import (
	"crypto/sha1"

	"tapnet/pan"
)

const (
	diversifierDigits = 16 // digits of Y
	sequenceDigits    = 2
	optionBAbove      = 16 // PANs up to this length are derived the same way under both options
)

// sequencePair returns the last two digits of a PAN sequence number, 00 when it has none. What is not a digit counts as
// 0: the number comes from a card, and a wrong one gives a wrong key, not a broken program.
func sequencePair(sequence string) [sequenceDigits]byte {
	pair := [sequenceDigits]byte{}
	for i := range pair {
		at := len(sequence) - sequenceDigits + i
		if at >= 0 && sequence[at] >= '0' && sequence[at] <= '9' {
			pair[i] = sequence[at] - '0'
		}
	}
	return pair
}

// digitsOf writes PAN and sequence number as digit values into buf and returns how many there are.
func digitsOf(buf *[pan.MaxDigits + sequenceDigits]byte, n pan.Number, sequence string) int {
	digits := n.RevealTo(buf[:0])
	for i := range digits {
		buf[i] -= '0'
	}
	pair := sequencePair(sequence)
	copy(buf[len(digits):], pair[:])
	return len(digits) + sequenceDigits
}

// optionA returns Y: the rightmost 16 digits of PAN and sequence number, with zeros on the left when there are fewer
// [EMV B2 A1.4.1].
func optionA(n pan.Number, sequence string) [8]byte {
	var buf [pan.MaxDigits + sequenceDigits]byte
	count := digitsOf(&buf, n, sequence)
	var y [diversifierDigits]byte
	for i := range min(count, diversifierDigits) {
		y[diversifierDigits-1-i] = buf[count-1-i]
	}
	return packDigits(y)
}

// optionB returns Y: SHA-1 over PAN and sequence number, packed two digits a byte, made decimal: first the digits of
// the hash that are decimal, then, if there are fewer than 16, its letters A to F as 0 to 5 [EMV B2 A1.4.2].
func optionB(n pan.Number, sequence string) [8]byte {
	var buf [pan.MaxDigits + sequenceDigits]byte
	count := digitsOf(&buf, n, sequence)
	var packed [(len(buf) + 1) / 2]byte
	length := (count + 1) / 2
	for i := range count {
		at := 2*length - count + i // a zero on the left when the number of digits is odd
		packed[at/2] |= buf[i] << (4 * (1 - at%2))
	}
	hash := sha1.Sum(packed[:length])

	var y [diversifierDigits]byte
	filled := 0
	for _, letters := range []bool{false, true} {
		for i := 0; i < 2*len(hash) && filled < diversifierDigits; i++ {
			nibble := hash[i/2] >> (4 * (1 - i%2)) & 0xF
			if (nibble > 9) != letters {
				continue
			}
			y[filled] = nibble % 10
			filled++
		}
	}
	return packDigits(y)
}

func packDigits(digits [diversifierDigits]byte) [8]byte {
	var packed [8]byte
	for i := range packed {
		packed[i] = digits[2*i]<<4 | digits[2*i+1]
	}
	return packed
}

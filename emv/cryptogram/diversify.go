package cryptogram

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"

	"tapnet/pan"
)

// Derivation is how a card key follows from a master key [EMV B2 A1.4].
type Derivation uint8

// The options.
const (
	OptionA Derivation = iota // the rightmost 16 digits and their complement
	OptionB                   // the same, but longer PANs are hashed
	OptionC                   // all digits in one block of 16 bytes, for ciphers that have such
)

// String names the option.
func (d Derivation) String() string {
	switch d {
	case OptionA, OptionB, OptionC:
		return "option " + string('A'+rune(d))
	}
	return fmt.Sprintf("Derivation(%d)", uint8(d))
}

// diversify returns what the master key enciphers.
func (s Suite) diversify(n pan.Number, sequence string) [16]byte {
	switch {
	case s.derivation == OptionC:
		return optionC(n, sequence)
	case s.derivation == OptionB && n.Len() > optionBAbove:
		return withComplement(optionB(n, sequence))
	}
	return withComplement(optionA(n, sequence))
}

func withComplement(y [8]byte) (both [16]byte) {
	for i, b := range y {
		both[i], both[8+i] = b, ^b
	}
	return both
}

// optionC returns all digits of PAN and sequence number, with zeros on the left [EMV B2 A1.4.3].
func optionC(n pan.Number, sequence string) (y [16]byte) {
	var buf [pan.MaxDigits + sequenceDigits]byte
	count := digitsOf(&buf, n, sequence)
	for i := range count {
		at := 2*len(y) - count + i
		y[at/2] |= buf[i] << (4 * (1 - at%2))
	}
	return y
}

// SessionRule is what a card key enciphers to become the key of one transaction.
type SessionRule uint8

// The rules.
const (
	SessionPair    SessionRule = iota // the counter and its complement, each after six zero bytes [REF 4.1]
	SessionCounter                    // the counter, then zero bytes, in one block of 16 [EMV B2 A1.3.1]
)

// String names the rule.
func (r SessionRule) String() string {
	switch r {
	case SessionPair:
		return "counter and complement"
	case SessionCounter:
		return "counter"
	}
	return fmt.Sprintf("SessionRule(%d)", uint8(r))
}

// diversifier is the block of one transaction. UnionPay uses no unpredictable number here.
func (r SessionRule) diversifier(atc uint16) (block [16]byte) {
	if r == SessionCounter {
		binary.BigEndian.PutUint16(block[:], atc)
		return block
	}
	binary.BigEndian.PutUint16(block[6:], atc)
	binary.BigEndian.PutUint16(block[14:], ^atc)
	return block
}

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

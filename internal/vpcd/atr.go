package vpcd

import (
	"errors"
	"fmt"
)

// Limits of an answer to reset. [EMV B1 8.2]
const (
	maxATRBytes        = 33
	maxHistoricalBytes = 15
)

// ErrATR is wrapped when bytes are no answer to reset.
var ErrATR = errors.New("not an answer to reset")

// ATRs for the carriers of a card. The historical bytes follow the interface characters.
var (
	// contactlessHead is what a reader makes up for a contactless card: TD1 80, TD2 01 (PC/SC part 3, 3.1.3.2.3.1).
	contactlessHead = []byte{0x80, 0x01}
	// t0Head is TB1 00 (no programming voltage), TC1 00 (no extra guard time): the basic answer of T=0. [EMV B1 8.3]
	t0Head = []byte{0x00, 0x00}
	// t1Head adds TD1 81, TD2 31 (T=1), TA3 FE (information field of 254 bytes), TB3 45 (waiting times). [EMV B1 8.3]
	t1Head = []byte{0x00, 0x00, 0x81, 0x31, 0xFE, 0x45}
)

const (
	directConvention  = 0x3B
	inverseConvention = 0x3F
)

// buildATR puts an answer to reset together: y1 says which interface characters of the first group follow.
func buildATR(y1 byte, head, historical []byte, check bool) []byte {
	if len(historical) > maxHistoricalBytes {
		panic(fmt.Sprintf("vpcd: %d historical bytes", len(historical)))
	}
	atr := append([]byte{directConvention, y1<<4 | byte(len(historical))}, head...)
	atr = append(atr, historical...)
	if check {
		atr = append(atr, checkCharacter(atr))
	}
	return atr
}

// checkCharacter is TCK: with it, the sum modulo two of everything from T0 on is zero.
func checkCharacter(atr []byte) byte {
	var sum byte
	for _, b := range atr[1:] {
		sum ^= b
	}
	return sum
}

// CheckATR reports whether bytes are a whole answer to reset: every announced character is there, and TCK is right where there must be
// one. It does not judge what the characters promise. The error wraps ErrATR. [EMV B1 8.3]
func CheckATR(atr []byte) error {
	if len(atr) < 2 || len(atr) > maxATRBytes {
		return fmt.Errorf("%w: %d bytes, want 2 to %d", ErrATR, len(atr), maxATRBytes)
	}
	if atr[0] != directConvention && atr[0] != inverseConvention {
		return fmt.Errorf("%w: TS is %02X", ErrATR, atr[0])
	}
	historical, follow, at, check := int(atr[1]&0xF), atr[1]>>4, 2, false
	for follow != 0 {
		for bit := byte(1); bit <= 4; bit <<= 1 { // TA, TB, TC
			if follow&bit != 0 {
				at++
			}
		}
		if follow&8 == 0 {
			break
		}
		if at >= len(atr) {
			return fmt.Errorf("%w: it ends inside the interface characters", ErrATR)
		}
		check = check || atr[at]&0xF != 0 // a protocol other than T=0 is offered
		follow = atr[at] >> 4
		at++
	}
	want := at + historical
	if check {
		want++
	}
	if len(atr) != want {
		return fmt.Errorf("%w: %d bytes where it announces %d", ErrATR, len(atr), want)
	}
	if check && checkCharacter(atr) != 0 {
		return fmt.Errorf("%w: TCK is %02X, which does not fit", ErrATR, atr[len(atr)-1])
	}
	return nil
}

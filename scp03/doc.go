// Package scp03 is the secure channel between a security domain and whoever manages it: the protocol 03 of GlobalPlatform, Amendment D to the card
// specification, with AES of 128, 192 and 256 bits and the variants that the parameter i of 00, 10, 20, 30, 60 and 70 names. Both ends are here, as
// values: a function takes a session's state and a command or an answer, and gives the state after it.
//
// Promise: session keys and cryptograms follow the published vectors; a command or an answer that is malformed, altered, repeated or out of order is
// refused with a reason, and the state that was passed in still stands; a state holds nothing secret, so that it may be stored between two commands; keys
// mask themselves in every print; nothing panics on any input and nothing grows beyond a short APDU.
//
// Not here: the 16-byte mode, the asymmetric protocol 11, what a command means, who counts failed attempts, and where keys live. Ending the session
// after a wrong code is the caller's: it forgets the state.
package scp03

import "errors"

// Refusals of this package. They never hold keys or data.
var (
	// ErrKey says that bytes are no key set.
	ErrKey = errors.New("scp03: no such key set")
	// ErrFormat says that bytes are no message of the protocol.
	ErrFormat = errors.New("scp03: malformed message")
	// ErrOption says that a variant or level is not one of the protocol, or that the two do not go together.
	ErrOption = errors.New("scp03: variant or security level is not supported")
	// ErrCryptogram says that the other side does not hold the keys.
	ErrCryptogram = errors.New("scp03: wrong cryptogram")
	// ErrCode says that a command or answer was altered, repeated, left out or made under other keys.
	ErrCode = errors.New("scp03: wrong message authentication code")
	// ErrLength says that a command leaves no room for what the channel adds.
	ErrLength = errors.New("scp03: too long for the secure channel")
	// ErrSession says that the channel is not open, or has counted to its end.
	ErrSession = errors.New("scp03: no open channel")
)

// Option is the parameter i: which variant of the protocol a key set runs.
type Option byte

// The bits of an option.
const (
	OptionPseudoRandom Option = 0x10 // the card's challenge follows from a counter
	OptionRMAC         Option = 0x20 // answers can carry a code
	OptionRENC         Option = 0x40 // answers can be enciphered, too
)

// ParseOption accepts 00, 10, 20, 30, 60 and 70. The error wraps ErrOption.
func ParseOption(b byte) (Option, error) {
	o := Option(b)
	if o&^(OptionPseudoRandom|OptionRMAC|OptionRENC) != 0 || o.Has(OptionRENC) && !o.Has(OptionRMAC) {
		return 0, ErrOption
	}
	return o, nil
}

// Has reports whether all bits are set.
func (o Option) Has(bits Option) bool { return o&bits == bits }

// Level is the security level of a session, P1 of EXTERNAL AUTHENTICATE.
type Level byte

// The levels.
const (
	LevelNone     Level = 0x00 // authenticated, then nothing protected
	LevelMAC      Level = 0x01 // commands carry a code
	LevelMACENC   Level = 0x03 // and are enciphered
	LevelRMAC     Level = 0x11 // commands and answers carry a code
	LevelENCRMAC  Level = 0x13
	LevelComplete Level = 0x33 // both ways both
)

const (
	levelCMAC Level = 0x01
	levelCENC Level = 0x02
	levelRMAC Level = 0x10
	levelRENC Level = 0x20
)

// ParseLevel accepts the levels above. The error wraps ErrOption.
func ParseLevel(b byte) (Level, error) {
	switch l := Level(b); l {
	case LevelNone, LevelMAC, LevelMACENC, LevelRMAC, LevelENCRMAC, LevelComplete:
		return l, nil
	}
	return 0, ErrOption
}

// Has reports whether everything that the other level protects is protected.
func (l Level) Has(other Level) bool { return l&other == other }

// Fits reports whether a key set of that variant can run the level.
func (o Option) Fits(l Level) bool {
	return (l&levelRMAC == 0 || o.Has(OptionRMAC)) && (l&levelRENC == 0 || o.Has(OptionRENC))
}

// Strongest is the level that protects most under the variant.
func (o Option) Strongest() Level {
	switch {
	case o.Has(OptionRENC):
		return LevelComplete
	case o.Has(OptionRMAC):
		return LevelENCRMAC
	}
	return LevelMACENC
}

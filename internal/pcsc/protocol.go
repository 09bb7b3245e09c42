package pcsc

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/apdu"
)

// The protocol of pcscd: a header of two numbers (length of the body, command), then the body, a structure of numbers in the byte order
// of the machine. The answer is the same structure without a header.

// command is a request to the daemon.
type command uint32

const (
	commandEstablish  command = 0x01
	commandRelease    command = 0x02
	commandConnect    command = 0x04
	commandDisconnect command = 0x06
	commandTransmit   command = 0x09
	commandVersion    command = 0x11
	commandStates     command = 0x12
	commandWait       command = 0x13
)

// Versions of the protocol that this package speaks. In 4:3 waiting has a body and no immediate answer; from 4:4 on it has no body, and
// the states of all readers are answered at once; 4:5 adds a command that is not used here.
const (
	versionMajor     = 4
	versionMinor     = 4 // what is asked for first
	versionMinorLow  = 3
	versionMinorHigh = 5
	waitsWithStates  = 4 // from this minor version on
)

// Limits on what comes from the socket.
const (
	// MaxReaders is the fixed length of the daemon's table of readers.
	MaxReaders = 16
	// MaxReaderNameBytes is the length of a name in it, with the terminating zero.
	MaxReaderNameBytes = 128
	// MaxATRBytes is what an answer to reset can have, TS and 32 characters [EMV B1 8.2].
	MaxATRBytes = 33
	// A short response APDU has a status word and at most 256 bytes before it.
	minAnswerBytes = 2
	maxAnswerBytes = apdu.MaxLe + minAnswerBytes

	wordBytes     = 4
	headerBytes   = 2 * wordBytes
	versionBytes  = 3 * wordBytes
	contextBytes  = 3 * wordBytes
	releaseBytes  = 2 * wordBytes
	connectBytes  = wordBytes + MaxReaderNameBytes + 5*wordBytes
	closeBytes    = 3 * wordBytes
	transmitBytes = 8 * wordBytes
	waitBytes     = 2 * wordBytes
	atrUnset      = MaxATRBytes + 1 // in place of a length: the reader has not been looked at yet
	atrPadded     = MaxATRBytes + 3 // aligned to the next number
	stateBytes    = MaxReaderNameBytes + 3*wordBytes + atrPadded + 2*wordBytes
	statesBytes   = MaxReaders * stateBytes
)

// errProtocol is wrapped when the daemon answers what its protocol does not allow.
var errProtocol = errors.New("the daemon's answer does not follow its protocol")

var order = binary.NativeEndian

// words appends numbers in the machine's order.
func words(dst []byte, numbers ...uint32) []byte {
	for _, n := range numbers {
		dst = order.AppendUint32(dst, n)
	}
	return dst
}

// word is number i of a structure of numbers.
func word(b []byte, i int) uint32 { return order.Uint32(b[i*wordBytes:]) }

// request is header and body in one piece.
func request(c command, body []byte) []byte {
	return append(words(make([]byte, 0, headerBytes+len(body)), uint32(len(body)), uint32(c)), body...)
}

// Protocol is the transmission protocol that a card and its reader have agreed on.
type Protocol uint32

// The protocols of PC/SC. A contactless card counts as T=1.
const (
	T0 Protocol = 1 << iota
	T1
)

// String names the protocol as the trade writes it.
func (p Protocol) String() string {
	switch p {
	case T0:
		return "T=0"
	case T1:
		return "T=1"
	}
	return fmt.Sprintf("protocol %X", uint32(p))
}

// pciBytes is the length of the protocol control information that the daemon's own library sends: two long numbers.
const pciBytes = 16

// Bits of a reader's state.
const (
	stateUnknown   = 0x01
	stateAbsent    = 0x02
	statePresent   = 0x04
	stateSwallowed = 0x08 // present, but it did not answer the reset
	statePowered   = 0x10
)

const sharingExclusive = 0xFFFFFFFF // -1: one program has the card for itself

// State is a reader as the daemon sees it.
type State struct {
	Name   string
	ATR    []byte // of the card in it, 0 to MaxATRBytes; what the daemon remembers of a card that it has not powered yet may be missing
	Events uint32 // changes so far
	bits   uint32
	shared uint32
}

// Present reports whether a card is in the reader.
func (s State) Present() bool { return s.bits&statePresent != 0 }

// Mute reports whether the card in the reader did not answer the reset.
func (s State) Mute() bool {
	return s.bits&(statePresent|stateSwallowed) == statePresent|stateSwallowed
}

// Powered reports whether the card in the reader has power; the daemon takes it away from a card that nobody uses.
func (s State) Powered() bool { return s.bits&statePowered != 0 }

// Exclusive reports whether a program has the card for itself.
func (s State) Exclusive() bool { return s.shared == sharingExclusive }

// InUse reports whether any program is connected to the card.
func (s State) InUse() bool { return s.shared != 0 }

// decodeStates reads the table of readers. Places without a name are free.
func decodeStates(b []byte) ([]State, error) {
	if len(b) != statesBytes {
		return nil, fmt.Errorf("table of readers has %d bytes, want %d: %w", len(b), statesBytes, errProtocol)
	}
	var states []State
	for i := range MaxReaders {
		s, err := decodeState(b[i*stateBytes : (i+1)*stateBytes])
		if err != nil {
			return nil, fmt.Errorf("reader %d: %w", i+1, err)
		}
		if s.Name != "" {
			states = append(states, s)
		}
	}
	return states, nil
}

func decodeState(b []byte) (State, error) {
	name, numbers := b[:MaxReaderNameBytes], b[MaxReaderNameBytes:]
	end := 0
	for end < len(name) && name[end] != 0 {
		end++
	}
	if end == len(name) {
		return State{}, fmt.Errorf("name without an end: %w", errProtocol)
	}
	atr, rest := numbers[3*wordBytes:], numbers[3*wordBytes+atrPadded:]
	length := word(rest, 0)
	if length == atrUnset {
		length = 0
	}
	if length > MaxATRBytes {
		return State{}, fmt.Errorf("ATR has %d bytes, at most %d: %w", length, MaxATRBytes, errProtocol)
	}
	return State{
		Name: string(name[:end]), ATR: append([]byte(nil), atr[:length]...),
		Events: word(numbers, 0), bits: word(numbers, 1), shared: word(numbers, 2),
	}, nil
}

// transmitted is the fixed part of the answer to a command for the card.
type transmitted struct {
	length int // of the response APDU that follows when code is zero
	code   Code
}

func decodeTransmitted(b []byte) (transmitted, error) {
	if len(b) != transmitBytes {
		return transmitted{}, fmt.Errorf("answer has %d bytes, want %d: %w", len(b), transmitBytes, errProtocol)
	}
	t := transmitted{code: Code(word(b, 7))}
	length := word(b, 6)
	if t.code != 0 {
		return t, nil // no response follows, whatever the length says
	}
	if length < minAnswerBytes || length > maxAnswerBytes {
		return transmitted{}, fmt.Errorf("response APDU has %d bytes, want %d to %d: %w", length, minAnswerBytes, maxAnswerBytes, errProtocol)
	}
	t.length = int(length)
	return t, nil
}

package cps

import (
	"fmt"

	"tapnet/apdu"
)

// The command. [EMV CPS]
const (
	// InsStoreData is the instruction byte.
	InsStoreData = 0xE2
	// MaxCommands is how many blocks P2 can number.
	MaxCommands = 256

	p1Last         = 0x80
	p1AllSecret    = 0x60 // every grouping of the command is enciphered
	p1MixedSecret  = 0x20 // the application knows which are
	p1SecretMask   = 0x60
	p1Reserved     = 0x1F
	minBlockBytes  = 16 // below, headers take most of a command
	macBytes       = 8
	blockBytesMost = apdu.MaxDataBytes
)

// Framing says how a list is cut into commands.
type Framing struct {
	// DataBytes is the longest command data: 16 to 255, 0 for 255. A secure channel that appends a MAC leaves 247.
	DataBytes int
	// Packed puts as many whole groupings into a command as fit. Otherwise each begins a command of its own.
	Packed bool
}

// SecureDataBytes is the room for data when a secure channel appends an 8-byte MAC.
const SecureDataBytes = blockBytesMost - macBytes

// frame is the data of one command to be.
type frame struct {
	data          []byte
	secret, plain bool
	closed        bool // nothing more goes in
}

// Commands cuts a list into STORE DATA commands: blocks numbered from 0 in P2, the last one marked in P1. A grouping that is longer than a command goes on in
// the next, and nothing else is in those. Secret groupings are taken to be enciphered already, see Sealing; what they held was for List.Check. The commands
// are in class 80: a secure channel makes them its own. The error wraps ErrLimit.
func Commands(list List, framing Framing) ([]apdu.Command, error) {
	size := framing.DataBytes
	if size == 0 {
		size = blockBytesMost
	}
	if size < minBlockBytes || size > blockBytesMost {
		return nil, fmt.Errorf("commands with %d data bytes, want %d to %d: %w", size, minBlockBytes, blockBytesMost, ErrLimit)
	}
	if err := list.checkSize(); err != nil {
		return nil, fmt.Errorf("cut data groupings into commands: %w", err)
	}
	frames := cut(list, size, framing.Packed)
	if len(frames) > MaxCommands {
		return nil, fmt.Errorf("%d commands, P2 numbers %d: %w", len(frames), MaxCommands, ErrLimit)
	}
	commands := make([]apdu.Command, len(frames))
	for i, f := range frames {
		commands[i] = apdu.Command{CLA: apdu.ClaProprietary, INS: InsStoreData, P1: f.p1(), P2: byte(i), Data: f.data, Le: apdu.NoLe}
	}
	if len(commands) > 0 {
		commands[len(commands)-1].P1 |= p1Last
	}
	return commands, nil
}

func (f frame) p1() byte {
	switch {
	case f.secret && f.plain:
		return p1MixedSecret
	case f.secret:
		return p1AllSecret
	}
	return 0
}

func cut(list List, size int, packed bool) []frame {
	var frames []frame
	for _, g := range list {
		if last := len(frames) - 1; packed && last >= 0 && !frames[last].closed && len(frames[last].data)+g.size() <= size {
			frames[last].data = g.appendTo(frames[last].data)
			frames[last].mark(g)
			continue
		}
		for rest := g.appendTo(nil); len(rest) > 0; {
			n := min(size, len(rest))
			f := frame{data: rest[:n:n], closed: g.size() > size}
			f.mark(g)
			frames = append(frames, f)
			rest = rest[n:]
		}
	}
	return frames
}

func (f *frame) mark(g Grouping) {
	f.secret, f.plain = f.secret || g.id.Secret(), f.plain || !g.id.Secret()
}

// Received is a grouping that came from outside.
type Received struct {
	Grouping Grouping
	// Enciphered is what P1 said of the command in which the grouping began.
	Enciphered Encipherment
}

// Encipherment is what P1 says of the groupings of a command. [EMV CPS]
type Encipherment byte

// The values of P1.
const (
	NoneEnciphered Encipherment = iota
	SomeEnciphered              // the application knows which
	AllEnciphered
)

// Receiver puts groupings together again from commands in order. The zero value waits for block 0.
type Receiver struct {
	next    int
	done    bool
	pending []byte // a grouping that has begun
	begun   Encipherment
	total   int
	count   int
}

// Done reports whether the last command has come.
func (r *Receiver) Done() bool { return r.done }

// Receive takes one command and returns the groupings that it completes. After an error the receiver refuses everything that follows. The class byte is not
// looked at: it is the secure channel's. The error wraps ErrSequence, ErrFormat, ErrContent or ErrLimit.
func (r *Receiver) Receive(c apdu.Command) ([]Received, error) {
	got, err := r.receive(c)
	if err != nil {
		r.done = true
		return nil, fmt.Errorf("receive STORE DATA block %d: %w", c.P2, err)
	}
	return got, nil
}

func (r *Receiver) receive(c apdu.Command) ([]Received, error) {
	switch {
	case c.INS != InsStoreData:
		return nil, fmt.Errorf("instruction %02X: %w", c.INS, ErrSequence)
	case r.done:
		return nil, fmt.Errorf("after the last or a refused one: %w", ErrSequence)
	case int(c.P2) != r.next:
		return nil, fmt.Errorf("want block %d: %w", r.next, ErrSequence)
	case c.P1&p1Reserved != 0 || len(c.Data) == 0 || len(c.Data) > blockBytesMost:
		return nil, fmt.Errorf("P1 %02X with %d data bytes: %w", c.P1, len(c.Data), ErrFormat)
	}
	said, ok := encipherment(c.P1)
	if !ok {
		return nil, fmt.Errorf("P1 %02X: %w", c.P1, ErrFormat)
	}
	if r.total += len(c.Data); r.total > MaxListBytes {
		return nil, ErrLimit
	}
	r.next++
	if len(r.pending) == 0 {
		r.begun = said
	}
	r.pending = append(r.pending, c.Data...)
	got, err := r.complete(said)
	if err != nil {
		return nil, err
	}
	if r.done = c.P1&p1Last != 0; r.done && len(r.pending) > 0 {
		return nil, fmt.Errorf("the last command leaves a data grouping unfinished: %w", ErrFormat)
	}
	return got, nil
}

// complete takes whole groupings off pending. What an enciphered one holds cannot be checked before it is deciphered.
func (r *Receiver) complete(said Encipherment) ([]Received, error) {
	var got []Received
	for len(r.pending) > 0 {
		id, header, length, err := parseHeader(r.pending)
		if err != nil {
			if tooShort(r.pending) {
				return got, nil
			}
			return nil, err
		}
		if len(r.pending) < header+length {
			return got, nil
		}
		if r.count++; r.count > MaxGroupings {
			return nil, ErrLimit
		}
		g := Grouping{id: id, data: append([]byte{}, r.pending[header:header+length]...)}
		if !id.Secret() || r.begun == NoneEnciphered {
			if err := g.check(); err != nil {
				return nil, err
			}
		}
		got = append(got, Received{Grouping: g, Enciphered: r.begun})
		r.pending = r.pending[header+length:]
		r.begun = said
	}
	return got, nil
}

// tooShort reports whether more bytes may make a header of what is no header yet.
func tooShort(b []byte) bool {
	const short, long = identifierBytes + 1, identifierBytes + 3
	return len(b) < short || b[identifierBytes] == longLength && len(b) < long
}

func encipherment(p1 byte) (Encipherment, bool) {
	switch p1 & p1SecretMask {
	case 0:
		return NoneEnciphered, true
	case p1MixedSecret:
		return SomeEnciphered, true
	case p1AllSecret:
		return AllEnciphered, true
	}
	return 0, false // reserved
}

package memnet

import (
	"strconv"
	"time"
)

// Action is what happens to a frame.
type Action struct {
	kind  actionKind
	delay time.Duration
}

type actionKind uint8

const (
	pass actionKind = iota
	drop
	duplicate
	hold
	cut
)

// The actions. The zero Action passes the frame on.
var (
	Pass      = Action{}
	Drop      = Action{kind: drop}      // the frame never arrives
	Duplicate = Action{kind: duplicate} // the frame arrives twice
	Cut       = Action{kind: cut}       // the connection is reset instead
)

// Delay lets the frame arrive after d of the network's clock; later frames overtake it.
func Delay(d time.Duration) Action { return Action{kind: hold, delay: d} }

// String names the action.
func (a Action) String() string {
	switch a.kind {
	case drop:
		return "drop"
	case duplicate:
		return "duplicate"
	case hold:
		return "delay " + a.delay.String()
	case cut:
		return "cut"
	}
	return "pass"
}

// Fault decides what happens to the frames one end sends.
type Fault struct {
	// Split gives the length of the first whole frame in b, 0 while it is incomplete. Nil takes each Write as a frame. A writer that
	// gathers frames into one Write needs it: see BinaryLengthPrefix and DecimalLengthPrefix.
	Split func(b []byte) int
	// Decide is asked for each frame, numbered from 1. It is called by the writing goroutine and must not use the connection. The
	// bytes are valid only during the call.
	Decide func(number int, frame []byte) Action
	// Done, when set, is told of each frame that did not simply pass, after it was acted on. A delayed frame is told of twice: when
	// it is held back, and with Pass when it arrives or Drop when it could not.
	Done func(number int, frame []byte, a Action)
}

// BinaryLengthPrefix splits frames with a 2-byte big-endian length in front, as terminals use.
func BinaryLengthPrefix(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	return whole(b, 2+int(b[0])<<8+int(b[1]))
}

// DecimalLengthPrefix splits frames with four decimal digits of length in front, as the switch uses. Without digits all of b is a frame.
func DecimalLengthPrefix(b []byte) int {
	if len(b) < 4 {
		return 0
	}
	n, err := strconv.ParseUint(string(b[:4]), 10, 16)
	if err != nil {
		return len(b)
	}
	return whole(b, 4+int(n))
}

func whole(b []byte, n int) int {
	if len(b) < n {
		return 0
	}
	return n
}

type faulty struct {
	Fault
	pending []byte
	number  int
}

// SetFault has f look at every frame this end sends from now on; nil takes the fault away and sends what it held of an incomplete frame.
func (c *Conn) SetFault(f *Fault) {
	c.flushFault()
	c.faultMu.Lock() // waits for a Write under way
	defer c.faultMu.Unlock()
	c.fault = nil
	if f != nil {
		c.fault = &faulty{Fault: *f}
	}
}

// flushFault passes on the bytes of an incomplete frame, so that closing in the middle of one shows to the peer.
// It never waits: a Write under way keeps the lock, and Close must be able to end it.
func (c *Conn) flushFault() {
	if !c.faultMu.TryLock() {
		return
	}
	defer c.faultMu.Unlock()
	if c.fault != nil && len(c.fault.pending) > 0 {
		c.out.offer(c.fault.pending)
		c.fault.pending = nil
	}
}

func (f *faulty) write(c *Conn, p []byte) error {
	f.pending = append(f.pending, p...)
	for len(f.pending) > 0 {
		n := len(f.pending)
		if f.Split != nil {
			n = f.Split(f.pending)
		}
		if n == 0 && len(f.pending) <= BufferBytes {
			return nil
		}
		if n == 0 { // no frame is that long: let the peer see it
			n = len(f.pending)
		}
		frame := f.pending[:n:n]
		f.pending = f.pending[n:]
		f.number++
		if err := f.apply(c, f.number, frame); err != nil {
			return err
		}
	}
	f.pending = nil
	return nil
}

func (f *faulty) apply(c *Conn, number int, frame []byte) error {
	action := Pass
	if f.Decide != nil {
		action = f.Decide(number, frame)
	}
	var err error
	switch action.kind {
	case pass:
		_, err = c.out.write(frame)
		return err
	case duplicate:
		if _, err = c.out.write(frame); err == nil {
			_, err = c.out.write(frame)
		}
	case hold:
		kept := append([]byte(nil), frame...)
		done := f.Done
		c.clock.AfterFunc(action.delay, func() {
			// A late frame on a closed connection is lost, as on a real one; so is one for which there is no room, because the
			// goroutine that moves a manual clock must not wait here.
			arrived := c.out.offer(kept)
			switch {
			case done == nil:
			case arrived:
				done(number, kept, Pass)
			default:
				done(number, kept, Drop)
			}
		})
	case cut:
		c.Reset()
	}
	if f.Done != nil {
		f.Done(number, frame, action)
	}
	return err
}

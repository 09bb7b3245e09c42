package link

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"tapnet/internal/clock"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// The ways a session ends, and what Send refuses. Session.Err wraps one of the first group when the session itself ended it.
var (
	ErrClosed          = errors.New("link: session closed")
	ErrSignedOff       = errors.New("link: signed off")
	ErrSignOnRefused   = errors.New("link: sign-on refused")
	ErrSignOnTimeout   = errors.New("link: no sign-on in time")
	ErrKeyChange       = errors.New("link: key change failed")
	ErrTruncated       = errors.New("link: connection ended inside a frame")
	ErrFrame           = errors.New("link: frames are out of step")
	ErrSlowFrame       = errors.New("link: frame not complete in time")
	ErrSlowReader      = errors.New("link: peer does not read")
	ErrSilent          = errors.New("link: peer is silent")
	ErrTooManyErrors   = errors.New("link: too many errors")
	ErrReplaced        = errors.New("link: peer signed on over another connection")
	ErrTooManySessions = errors.New("link: too many sessions")

	ErrNotSignedOn  = errors.New("link: not signed on")
	ErrNotConnected = errors.New("link: not connected")
	ErrQueueFull    = errors.New("link: outbound queue is full")
)

// Limits bound what a peer can make a session do. Zero means the default.
type Limits struct {
	// Queue is how many frames may wait to be written: two seconds of a busy issuer. Default 1024.
	Queue int
	// TraceQueue is how many traces may wait; more are dropped and counted. Default 1024.
	TraceQueue int
	// MaxErrors is how many errors of the peer are borne before the connection is closed. Default 10.
	MaxErrors int
	// ForgiveAfter is how many good messages in a row make the earlier errors forgotten. Default 100.
	ForgiveAfter int
	// MaxSessions is how many connections a Server holds; those that have not signed on make room for new ones. Default 4096.
	MaxSessions int
	// FrameTimeout is how long a frame may take from its first byte to its last. Default 10 s.
	FrameTimeout time.Duration
	// WriteTimeout is how long a burst of writing may take. Default 10 s.
	WriteTimeout time.Duration
	// SignOnTimeout is how long each step of sign-on and key change may take. Default 30 s.
	SignOnTimeout time.Duration
	// EchoAfter is how long nothing may be heard before the peer is asked. Default 60 s, as in the field; negative: never.
	EchoAfter time.Duration
	// EchoTimeout is how long the answer to an echo may take. Default 15 s.
	EchoTimeout time.Duration
	// IdleClose is how long a terminal may be silent: hosts do not ask terminals, terminals ask hosts. Default 5 min; negative: for ever.
	IdleClose time.Duration
	// Grace is how long the old MAC key is still accepted after a change, for messages that were under way. Default 60 s.
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	ints := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	durations := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	ints(&l.Queue, 1024)
	ints(&l.TraceQueue, 1024)
	ints(&l.MaxErrors, 10)
	ints(&l.ForgiveAfter, 100)
	ints(&l.MaxSessions, 4096)
	durations(&l.FrameTimeout, 10*time.Second)
	durations(&l.WriteTimeout, 10*time.Second)
	durations(&l.SignOnTimeout, 30*time.Second)
	durations(&l.EchoAfter, time.Minute)
	durations(&l.EchoTimeout, 15*time.Second)
	durations(&l.IdleClose, 5*time.Minute)
	durations(&l.Grace, time.Minute)
	return l
}

// Keys is the institution's HSM as a session sees it: working keys per peer. An issued or installed MAC key is pending until Confirm;
// VerifyMAC accepts the key in force, the pending one and, until Retire, the one before. A PIN key is in force at once.
type Keys interface {
	// MAC computes a MAC under the key in force; while there is none, under the pending one.
	MAC(peer string, input []byte) ([8]byte, error)
	// MACPending computes a MAC under the pending key; while there is none, under the one in force.
	MACPending(peer string, input []byte) ([8]byte, error)
	// VerifyMAC checks a MAC; no key at all gives false.
	VerifyMAC(peer string, input []byte, code [8]byte) (bool, error)
	// MACPair and VerifyMACPair are MAC and VerifyMAC on two messages at once.
	MACPair(peer string, a, b []byte) (codeA, codeB [8]byte, err error)
	VerifyMACPair(peer string, a, b []byte, codeA, codeB [8]byte) (okA, okB bool, err error)
	// Issue makes a new MAC key, PIN key or both and gives them wrapped under the peer's master key. known is false for a peer without
	// one. A terminal gets both at once, a member of the switch one key per message [REF 6.4].
	Issue(peer string, macKey, pinKey bool) (keys unionpay.WrappedKeys, known bool, err error)
	// Install takes keys the peer issued. ok is false when they do not unwrap to their check values.
	Install(peer string, keys unionpay.WrappedKeys) (ok bool, err error)
	// Reset takes the MAC key out of force at the start of a sign-on: only new keys count. It is accepted until Retire.
	Reset(peer string)
	// Confirm puts the pending MAC key in force.
	Confirm(peer string) error
	// Retire ends the acceptance of the MAC key before the one in force.
	Retire(peer string)
}

// KeyChangeMAC says under which key a key-exchange message of the switch is authenticated. [REF 6.4] shows the new key in one sample.
type KeyChangeMAC uint8

// The choices.
const (
	// KeyInForce lets the old key vouch for the new one; the first key vouches for itself.
	KeyInForce KeyChangeMAC = iota
	// NewKey is the sample's way.
	NewKey
)

// Direction of a traced frame.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// String names the direction.
func (d Direction) String() string {
	if d == Out {
		return "out"
	}
	return "in"
}

// TraceEvent is one message that passed. Raw is the message as on the wire, without framing; it is the receiver's own copy and holds
// account numbers: whoever keeps it masks it. Message is nil when it could not be decoded; the role has it too, so nobody changes it.
type TraceEvent struct {
	Session   string
	Peer      string
	Direction Direction
	At        time.Time
	Raw       []byte
	Message   unionpay.Message
	Err       error // why it was not decoded or not accepted
}

// Config is what a session needs. It is a value: give each session its own Peer.
type Config struct {
	Name     string // who we are: terminal number or institution number, as it goes on the wire
	Merchant string // an opener's field 42, terminal dialect
	Operator string // an opener's field 63, terminal dialect; default "001"
	// Peer is whom an opener calls, the name of its keys; a host leaves it empty and learns it at sign-on.
	Peer         string
	Dialect      unionpay.Dialect
	Clock        clock.Clock
	Keys         Keys
	KeyChangeMAC KeyChangeMAC
	Limits       Limits
	// OnMessage gets every business message, on the session's reading goroutine. Raw, the message as on the wire, is valid during the
	// call. A handler that waits makes the peer wait, which is how back pressure reaches it; longer than EchoAfter and EchoTimeout
	// together, and the session takes the peer for silent.
	OnMessage func(s *Session, m unionpay.Message, raw []byte)
	// OnUp is called after each completed sign-on, OnDown once, when the session has ended. Both may be nil.
	OnUp   func(s *Session)
	OnDown func(s *Session, reason error)
	// Trace is called off the hot path, by a goroutine of the session that ends with it: it must return. It may be nil.
	Trace func(TraceEvent)
	// TraceRoom reports whether Trace would keep a message of that instant, so that one that it would not costs no copy and wakes nobody. It is called on the
	// hot path. Nil keeps all.
	TraceRoom func(at time.Time) bool
	Log       *slog.Logger // nil: silent
	// STAN gives the trace number of the session's own messages; nil counts from 1.
	STAN  func() uint32
	Batch func() uint32 // an opener's field 60.2, terminal dialect; nil: batch 1
	// Zone is where the local date and time of a terminal host's answers are; nil: UTC+8.
	Zone   *time.Location
	TPDU   [iso8583.TPDUBytes]byte   // terminal framing; zero: 60 0000 0000. A host answers with the addresses swapped
	Header [iso8583.HeaderBytes]byte // terminal framing; zero: 60 31 00 31 00 00
}

var defaultHeader = [iso8583.HeaderBytes]byte{0x60, 0x31, 0x00, 0x31, 0x00, 0x00}

// maxSTAN is the largest number field 11 holds.
const maxSTAN = 999999

func (c Config) complete(opener bool) (Config, error) {
	switch {
	case c.Name == "":
		return c, errors.New("link: config: Name is missing")
	case opener && c.Peer == "":
		return c, errors.New("link: config: an opener needs Peer")
	case c.Clock == nil || c.Keys == nil || c.OnMessage == nil:
		return c, errors.New("link: config: Clock, Keys and OnMessage are needed")
	case c.Dialect != unionpay.Terminal && c.Dialect != unionpay.Switch:
		return c, fmt.Errorf("link: config: dialect %d", c.Dialect)
	}
	c.Limits = c.Limits.withDefaults()
	c.Log = c.log()
	if c.STAN == nil {
		var last atomic.Uint32
		c.STAN = func() uint32 { return last.Add(1)%maxSTAN + 1 }
	}
	if c.Batch == nil {
		c.Batch = func() uint32 { return 1 }
	}
	if c.Operator == "" {
		c.Operator = "001"
	}
	if c.Zone == nil {
		c.Zone = time.FixedZone("UTC+8", 8*60*60)
	}
	if c.TPDU[0] == 0 {
		c.TPDU[0] = 0x60
	}
	if c.Header == ([iso8583.HeaderBytes]byte{}) {
		c.Header = defaultHeader
	}
	return c, nil
}

func (c *Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

func (c *Config) framing() iso8583.Framing {
	if c.Dialect == unionpay.Switch {
		return iso8583.SwitchFraming
	}
	return iso8583.TerminalFraming
}

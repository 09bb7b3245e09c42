package vpcd

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"tapnet/apdu"
	"tapnet/internal/clock"
)

// DefaultPort is where the driver listens for its first slot unless its configuration says otherwise; the second slot is one above.
const DefaultPort = 35963

// Card is what sits in the reader. Calls come one at a time.
type Card interface {
	// ATR is the answer to reset, the same whether the card has power or not.
	ATR() []byte
	// PowerOn starts a new session; so does a reset.
	PowerOn()
	PowerOff()
	// Process answers one command APDU with response and status word. ok is false when the card has left the reader.
	Process(command []byte) (response []byte, ok bool)
}

// Event is something that the person who put the card in wants to know.
type Event struct {
	Kind    EventKind
	Err     error // of Waiting: why there is no reader
	Command []byte
	Answer  []byte
}

// EventKind says what happened.
type EventKind uint8

// The events of a served card.
const (
	Waiting   EventKind = iota + 1 // nobody listens, Serve tries again; told once for each spell
	Inserted                       // the reader has accepted the card
	Removed                        // the connection to the reader is gone, or the card left
	PoweredOn                      // also after a reset
	PoweredOff
	Exchanged // a command was answered
)

// Config is where the reader is and what sits in it.
type Config struct {
	Address string // host:port of the driver
	Card    Card
	Clock   clock.Clock // nil: the machine's
	Notify  func(Event) // nil: nobody wants to know; it must not block, and does not keep the slices
	// Dial reaches the reader; nil: TCP to Address.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Pauses between attempts to reach the reader: short enough that a reader that starts later finds the card at once, long enough that a
// machine without one is left in peace.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// Serve puts the card into the reader and answers for it until ctx ends. The error is nil then; any other means that the configuration
// is of no use.
func Serve(ctx context.Context, config Config) error {
	if config.Card == nil || (config.Address == "" && config.Dial == nil) {
		return errors.New("serve a card: card and address are needed")
	}
	if err := CheckATR(config.Card.ATR()); err != nil {
		return fmt.Errorf("serve a card: %w", err)
	}
	if config.Clock == nil {
		config.Clock = clock.Real()
	}
	if config.Notify == nil {
		config.Notify = func(Event) {}
	}
	if config.Dial == nil {
		config.Dial = func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", config.Address)
		}
	}
	return serve(ctx, config)
}

func serve(ctx context.Context, config Config) error {
	wait, told := firstPause, false
	for ctx.Err() == nil {
		conn, err := config.Dial(ctx)
		if err != nil {
			if !told && ctx.Err() == nil {
				config.Notify(Event{Kind: Waiting, Err: err})
				told = true
			}
		} else if worked := insert(ctx, config, conn); worked {
			wait, told = firstPause, false
		}
		pause(ctx, config.Clock, wait)
		wait = min(2*wait, lastPause)
	}
	return nil
}

// pause waits, or ends early with the context.
func pause(ctx context.Context, c clock.Clock, d time.Duration) {
	over := make(chan struct{})
	defer c.AfterFunc(d, func() { close(over) }).Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// insert answers on one connection until it ends. It reports whether the reader ever spoke: one that accepts and says nothing, or
// refuses at once, is not worth a quick return.
func insert(ctx context.Context, config Config, conn net.Conn) (worked bool) {
	undo := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer undo()
	defer func() { _ = conn.Close() }()
	config.Notify(Event{Kind: Inserted})
	defer config.Notify(Event{Kind: Removed})
	defer config.Card.PowerOff()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true) // slower without it, not wrong
	}
	s := slot{config: config, in: bufio.NewReader(prompt(conn)), out: conn}
	for {
		if err := s.next(); err != nil {
			return worked
		}
		worked = true
	}
}

// Control bytes, each a message of one byte.
const (
	controlOff   = 0
	controlOn    = 1
	controlReset = 2
	controlATR   = 4
)

const (
	lengthBytes = 2
	// maxCommandBytes is a short command APDU: header, Lc, data, Le. Longer ones are read over and refused.
	maxCommandBytes = 4 + 1 + apdu.MaxDataBytes + 1
	maxAnswerBytes  = apdu.MaxLe + 2
)

// slot is one connection.
type slot struct {
	config  Config
	in      *bufio.Reader
	out     io.Writer
	message [maxCommandBytes]byte
	answer  [lengthBytes + maxAnswerBytes]byte
}

var (
	errEmpty = errors.New("empty message")
	errGone  = errors.New("the card left the reader")
)

// next reads one message and does what it asks. An error ends the connection.
func (s *slot) next() error {
	var head [lengthBytes]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return err
	}
	length := int(binary.BigEndian.Uint16(head[:]))
	switch {
	case length == 0:
		return errEmpty
	case length > maxCommandBytes:
		if _, err := io.CopyN(io.Discard, s.in, int64(length)); err != nil {
			return err
		}
		return s.reply(apdu.Response{SW: apdu.WrongLength}.Bytes())
	}
	message := s.message[:length]
	if _, err := io.ReadFull(s.in, message); err != nil {
		return err
	}
	if length == 1 {
		return s.control(message[0])
	}
	response, ok := s.config.Card.Process(message)
	if !ok || len(response) > maxAnswerBytes {
		return errGone
	}
	s.config.Notify(Event{Kind: Exchanged, Command: message, Answer: response})
	return s.reply(response)
}

func (s *slot) control(b byte) error {
	switch b {
	case controlOff:
		s.config.Card.PowerOff()
		s.config.Notify(Event{Kind: PoweredOff})
	case controlOn, controlReset:
		s.config.Card.PowerOn()
		s.config.Notify(Event{Kind: PoweredOn})
	case controlATR:
		return s.reply(s.config.Card.ATR())
	}
	return nil // of others nobody waits for an answer
}

// reply writes length and message in one piece: two pieces cost a delayed acknowledgement each.
func (s *slot) reply(message []byte) error {
	binary.BigEndian.PutUint16(s.answer[:], uint16(len(message)))
	n := copy(s.answer[lengthBytes:], message)
	_, err := s.out.Write(s.answer[:lengthBytes+n])
	return err
}

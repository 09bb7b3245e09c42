package vpcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/internal/clock"
)

// Chip is the card behind a carrier; *card.Card is one.
type Chip interface {
	PowerOn(card.Interface) (historical []byte)
	PowerOff()
	// Process fails when the card has lost its power, or was taken away by somebody else.
	Process(command []byte) (response []byte, err error)
}

// Form is how a card shows itself to a reader.
type Form uint8

// The forms of a card.
const (
	Contactless Form = iota // on the antenna; the reader translates, and programs see T=1
	ContactT0
	ContactT1
)

// Dress says how a chip appears.
type Dress struct {
	Form Form
	ATR  []byte // nil: the basic one of the form with the chip's historical bytes
	// Random gives a contactless card the identifier it shows, a new one each time it is powered, as a payment card does that does not want
	// to be followed. [ISO 14443]
	Random io.Reader
	// Pace makes the card as slow as its carrier is; the zero value: as fast as it can.
	Pace Pace
}

// Pace is how long a carrier takes.
type Pace struct {
	Wake  time.Duration                                       // from power to the first command
	Takes func(commandBytes, responseBytes int) time.Duration // one command, both ways included; nil: no time
	Clock clock.Clock                                         // nil: the machine's
}

func (p *Pace) wait(d time.Duration) {
	if d > 0 {
		pause(context.Background(), p.Clock, d)
	}
}

// ErrNoInterface says that the card cannot be powered on this side: a SIM with an antenna has no contacts for a terminal.
var ErrNoInterface = errors.New("the card does not have this interface")

// Carrier is a chip as a reader sees it. It implements Card.
type Carrier struct {
	chip   Chip
	dress  Dress
	atr    []byte
	uid    [uidBytes]byte
	staged staged
}

var _ Card = (*Carrier)(nil)

const (
	uidBytes  = 4
	uidRandom = 0x08 // the first byte of an identifier that is not the card's own
)

// NewCarrier dresses a chip. It powers the chip once, to hear what it says of itself. The error wraps ErrNoInterface or ErrATR.
func NewCarrier(chip Chip, dress Dress) (*Carrier, error) {
	c := &Carrier{chip: chip, dress: dress, atr: dress.ATR}
	if c.dress.Pace.Clock == nil {
		c.dress.Pace.Clock = clock.Real()
	}
	if dress.Form == Contactless && dress.Random == nil {
		return nil, fmt.Errorf("dress a card: a contactless card needs randomness for its identifier")
	}
	historical := chip.PowerOn(c.side())
	chip.PowerOff()
	if historical == nil {
		return nil, fmt.Errorf("dress a card: %w", ErrNoInterface)
	}
	if c.atr == nil {
		if len(historical) > maxHistoricalBytes {
			return nil, fmt.Errorf("dress a card: %d historical bytes, at most %d", len(historical), maxHistoricalBytes)
		}
		c.atr = defaultATR(dress.Form, historical)
	}
	if err := CheckATR(c.atr); err != nil {
		return nil, fmt.Errorf("dress a card: %w", err)
	}
	return c, nil
}

// ContactlessATR is what a reader makes up for a card in its field from the historical bytes of its ATS (PC/SC part 3, 3.1.3.2.3.1).
// It panics on more than 15 of them.
func ContactlessATR(historical []byte) []byte {
	return buildATR(0x8, contactlessHead, historical, true)
}

// historyOf takes the historical bytes out of such an ATR; false when it is of another form.
func historyOf(atr []byte) ([]byte, bool) {
	const head = 2
	if len(atr) <= head+len(contactlessHead) || atr[1]>>4 != 0x8 || !bytes.HasPrefix(atr[head:], contactlessHead) {
		return nil, false
	}
	return atr[head+len(contactlessHead) : len(atr)-1], true
}

func defaultATR(f Form, historical []byte) []byte {
	switch f {
	case ContactT0:
		return buildATR(0x6, t0Head, historical, false)
	case ContactT1:
		return buildATR(0xE, t1Head, historical, true)
	}
	return ContactlessATR(historical)
}

func (c *Carrier) side() card.Interface {
	if c.dress.Form == Contactless {
		return card.Contactless
	}
	return card.Contact
}

// ATR is the answer to reset.
func (c *Carrier) ATR() []byte { return c.atr }

// PowerOn starts a session.
func (c *Carrier) PowerOn() {
	c.staged = staged{}
	c.chip.PowerOn(c.side())
	c.dress.Pace.wait(c.dress.Pace.Wake)
	if c.dress.Form == Contactless {
		c.uid[0] = uidRandom
		if _, err := io.ReadFull(c.dress.Random, c.uid[1:]); err != nil {
			c.uid = [uidBytes]byte{uidRandom}
		}
	}
}

// PowerOff ends the session.
func (c *Carrier) PowerOff() {
	c.staged = staged{}
	c.chip.PowerOff()
}

// Process answers a command, or for the reader where the command is meant for it.
func (c *Carrier) Process(command []byte) (response []byte, ok bool) {
	response, ok = c.process(command)
	if takes := c.dress.Pace.Takes; takes != nil {
		c.dress.Pace.wait(takes(len(command), len(response)))
	}
	return response, ok
}

func (c *Carrier) process(command []byte) (response []byte, ok bool) {
	cmd, err := apdu.ParseCommand(command)
	if err == nil && cmd.CLA == readerClass && cmd.INS == readerGetData {
		return c.readerData(cmd).Bytes(), true
	}
	if err == nil && c.dress.Form == ContactT0 {
		return c.processT0(cmd, command)
	}
	response, err = c.chip.Process(command)
	return response, err == nil
}

// GET DATA of the reader, a command that real readers answer themselves (PC/SC part 3, 3.2.2.1.3).
const (
	readerClass   = 0xFF
	readerGetData = 0xCA
	readerUID     = 0x00 // P1
	readerHistory = 0x01
)

func (c *Carrier) readerData(cmd apdu.Command) apdu.Response {
	if c.dress.Form != Contactless || cmd.P2 != 0 || len(cmd.Data) != 0 {
		return apdu.Response{SW: apdu.FunctionNotSupported}
	}
	var data []byte
	switch cmd.P1 {
	case readerUID:
		data = c.uid[:]
	case readerHistory:
		var made bool
		if data, made = historyOf(c.atr); !made {
			return apdu.Response{SW: apdu.FunctionNotSupported}
		}
	default:
		return apdu.Response{SW: apdu.FunctionNotSupported}
	}
	if cmd.Le > 0 && cmd.Le < len(data) {
		return apdu.Response{SW: correctLe(len(data))}
	}
	return apdu.Response{Data: data, SW: apdu.OK}
}

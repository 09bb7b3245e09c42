package vpcd

import (
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/card"
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
}

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

// NewCarrier dresses a chip. It powers the chip once, to hear what it says of itself.
func NewCarrier(chip Chip, dress Dress) (*Carrier, error) {
	c := &Carrier{chip: chip, dress: dress, atr: dress.ATR}
	if dress.Form == Contactless && dress.Random == nil {
		return nil, fmt.Errorf("dress a card: a contactless card needs randomness for its identifier")
	}
	if c.atr == nil {
		historical := chip.PowerOn(c.side())
		chip.PowerOff()
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

func defaultATR(f Form, historical []byte) []byte {
	switch f {
	case ContactT0:
		return buildATR(0x6, t0Head, historical, false)
	case ContactT1:
		return buildATR(0xE, t1Head, historical, true)
	}
	return buildATR(0x8, contactlessHead, historical, true)
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
		data = c.atr[2+len(contactlessHead) : len(c.atr)-1]
		if c.dress.ATR != nil {
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

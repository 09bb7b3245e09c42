package app

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/pcsc"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/vpcd"
	"tapnet/pinblock"
	"tapnet/terminal"
)

// AnyReader in place of a reader's name takes the only reader with a card, or the only reader.
const AnyReader = "any"

// Waiting for a card at a reader: long enough to fetch one from a pocket, and no more than a command should hang.
const (
	DefaultReaderWait = 30 * time.Second
	maxReaderWait     = 10 * time.Minute
)

// ReaderTap asks for a tap with the card at a reader that is really there.
type ReaderTap struct {
	TapRequest         // Card is not looked at
	Reader      string `json:"reader"`                 // name, part of it, or AnyReader
	WaitSeconds int    `json:"wait_seconds,omitempty"` // for a card; 0: DefaultReaderWait
}

// ServeRequest puts a card of the world into a virtual reader.
type ServeRequest struct {
	Card    string   `json:"card"`
	Address string   `json:"address"` // host:port of the reader's driver
	Form    CardForm `json:"form,omitempty"`
}

// CardForm is how a served card shows itself.
type CardForm string

// The forms; empty is contactless.
const (
	FormContactless CardForm = "contactless"
	FormContact     CardForm = "contact"    // T=0
	FormContactT1   CardForm = "contact-t1" // T=1
)

// ServeEvent is something that happened to a served card.
type ServeEvent struct {
	Kind    ServeKind `json:"kind"`
	ATR     string    `json:"atr,omitempty"`     // of inserted
	Reason  string    `json:"reason,omitempty"`  // of waiting
	Command string    `json:"command,omitempty"` // of exchange: name and header, never data
	SW      string    `json:"sw,omitempty"`
}

// ServeKind names an event.
type ServeKind string

// The events.
const (
	ServeWaiting  ServeKind = "waiting"
	ServeInserted ServeKind = "inserted"
	ServeRemoved  ServeKind = "removed"
	ServeExchange ServeKind = "exchange"
)

// ReaderWorld is what a world can do with readers.
type ReaderWorld interface {
	// TapReader runs a payment with the card at a reader. Trouble with the reader is a *ReaderError.
	TapReader(ctx context.Context, r ReaderTap) (TapResult, error)
	// ServeCard keeps a card in a virtual reader until ctx ends. told hears of what happens; it must not block.
	ServeCard(ctx context.Context, r ServeRequest, told func(ServeEvent)) error
}

// ReaderError is trouble with a reader or the card in it, in three parts for a person.
type ReaderError struct {
	What glossary.Term `json:"what"`
	Why  glossary.Term `json:"why"`
	Next glossary.Term `json:"next"`
}

// Error is the English sentence.
func (e *ReaderError) Error() string { return e.What.EN }

// readerError gives an error of package pcsc its words. Others pass.
func readerError(err error) error {
	var known *pcsc.Error
	if err == nil || !errors.As(err, &known) {
		return err
	}
	e := &ReaderError{}
	e.What, e.Why, e.Next = pcsc.Explain(err)
	return fmt.Errorf("%w", e)
}

// openReader finds a reader, waits for a card in it and takes the card.
func openReader(ctx context.Context, name string, within time.Duration) (r *pcsc.Reader, atr []byte, err error) {
	config := pcsc.Config{}
	if name == AnyReader {
		name = ""
	}
	readers, err := pcsc.Readers(ctx, config)
	if err != nil {
		return nil, nil, readerError(err)
	}
	chosen, err := pcsc.Choose(readers, name)
	if err != nil {
		return nil, nil, readerError(err)
	}
	if !chosen.Present() {
		if _, err := pcsc.WaitForCard(ctx, config, chosen.Name, within); err != nil {
			return nil, nil, readerError(err)
		}
	}
	r = pcsc.NewReader(config, chosen.Name)
	if atr, err = r.ConnectContext(ctx); err != nil {
		return nil, nil, readerError(err)
	}
	return r, atr, nil
}

// DumpReader reads everything readable from the card at a reader. It needs no world.
func DumpReader(ctx context.Context, name string, within time.Duration) (CardDump, error) {
	reader, atr, err := openReader(ctx, name, within)
	if err != nil {
		return CardDump{}, err
	}
	defer func() { _ = reader.Disconnect() }() // everything has been read
	out := CardDump{Reader: reader.Name(), ATR: strings.ToUpper(hex.EncodeToString(atr)), Protocol: reader.Protocol().String()}
	out.Steps, out.Applications, err = dump(ctx, reader)
	return out, readerError(err)
}

// TapReader runs a payment with the card at a reader of the machine.
func (n *Network) TapReader(ctx context.Context, r ReaderTap) (TapResult, error) {
	till, ok := n.tills[r.Merchant]
	if !ok {
		return TapResult{}, fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(r.Merchant))
	}
	if err := n.checkAmount(r.TapRequest); err != nil {
		return TapResult{}, err
	}
	within := DefaultReaderWait
	if r.WaitSeconds > 0 {
		within = min(time.Duration(r.WaitSeconds)*time.Second, maxReaderWait)
	}
	reader, _, err := openReader(ctx, r.Reader, within)
	if err != nil {
		return TapResult{}, err
	}
	defer func() { _ = reader.Disconnect() }() // the payment has ended, however the card leaves
	tapID := n.beginTap(till.merchant.Terminal)
	began := time.Now()
	receipt, err := till.core.Sell(ctx, reader, n.readerSale(ctx, r, till, reader))
	if err != nil {
		return TapResult{}, readerError(fmt.Errorf("tap at the reader: %w", err))
	}
	took := time.Since(began)
	h := n.holderOf(receipt)
	name := h.name
	if name == "" {
		name = reader.Name()
	}
	r.Card = name
	result := n.result(r.TapRequest, h.holder, receipt, tapID)
	result.Duration = took
	if h.name == "" {
		return result, nil
	}
	return n.explainDecline(ctx, h.holder, result)
}

// readerSale is a sale at the reader. A torn payment waits for the card as long as the terminal would.
func (n *Network) readerSale(ctx context.Context, r ReaderTap, till *tillNode, reader *pcsc.Reader) pos.Sale {
	return pos.Sale{
		Amount: r.Amount, Now: func() time.Time { return n.options.Clock.Now().In(clock.Shanghai()) }, OfflineOnly: till.merchant.Offline, AskPIN: r.AskPIN,
		EnterPIN: func() (pinblock.PIN, bool) {
			if r.PIN == nil {
				return pinblock.PIN{}, false
			}
			return *r.PIN, true
		},
		PresentAgain: func() apdu.Transceiver {
			_ = reader.Disconnect() // it is the card that is gone
			if _, err := pcsc.WaitForCard(ctx, pcsc.Config{}, reader.Name(), terminal.DefaultRetapWindow); err != nil {
				return nil
			}
			if _, err := reader.ConnectContext(ctx); err != nil {
				return nil
			}
			return reader
		},
	}
}

func (n *Network) checkAmount(r TapRequest) error {
	if _, err := r.Amount.BCD(); err != nil || r.Amount.Minor() <= 0 || r.Amount.Currency() != n.options.Profile.Money() {
		return fmt.Errorf("%w: amount: a tap takes a positive amount of at most twelve digits in %s", errBadRequest, n.options.Profile.Money())
	}
	return nil
}

// known is a holder with the card's name in this world, empty for a stranger's.
type known struct {
	*holder
	name string
}

// holderOf finds whose card it was by its number.
func (n *Network) holderOf(receipt pos.Receipt) known {
	for _, spec := range n.specs() {
		name := spec.Name
		h, _ := n.holderNamed(name)
		if !receipt.PAN.IsZero() && h.personal.PAN == receipt.PAN {
			return known{h, name}
		}
	}
	return known{&holder{personal: &personalization.Card{PAN: receipt.PAN}}, ""}
}

// ServeCard keeps a card of the world in a virtual reader until ctx ends. The card can still be tapped by name meanwhile: that takes it
// out of the reader and puts it back.
func (n *Network) ServeCard(ctx context.Context, r ServeRequest, told func(ServeEvent)) error {
	h, ok := n.holderNamed(r.Card)
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownCard, shown(r.Card))
	}
	dress, err := dressOf(h.personal, r.Form, n.random.source("reader "+r.Card))
	if err != nil {
		return fmt.Errorf("serve card %q: %w", r.Card, err)
	}
	carrier, err := vpcd.NewCarrier(&sharedChip{holder: h}, dress)
	if err != nil {
		return fmt.Errorf("serve card %q: %w", r.Card, err)
	}
	var mu sync.Mutex
	inserted := ServeEvent{Kind: ServeInserted, ATR: strings.ToUpper(hex.EncodeToString(carrier.ATR()))}
	return vpcd.Serve(ctx, vpcd.Config{Address: r.Address, Card: carrier, Notify: func(e vpcd.Event) {
		mu.Lock()
		defer mu.Unlock()
		switch e.Kind {
		case vpcd.Waiting:
			told(ServeEvent{Kind: ServeWaiting, Reason: e.Err.Error()})
		case vpcd.Inserted:
			told(inserted)
		case vpcd.Removed:
			told(ServeEvent{Kind: ServeRemoved})
		case vpcd.Exchanged:
			told(exchangeEvent(e))
		}
	}})
}

// exchangeEvent names a command and its status word. What was said stays between card and reader.
func exchangeEvent(e vpcd.Event) ServeEvent {
	out := ServeEvent{Kind: ServeExchange, Command: "?"}
	if c, err := apdu.ParseCommand(e.Command); err == nil {
		out.Command = c.String()
		if c.INS == apdu.InsSelect && c.CLA == apdu.ClaInterindustry && (emv.AID(c.Data) == emv.PPSE || emv.AID(c.Data) == emv.PSE) {
			out.Command += " " + string(c.Data)
		}
	}
	if r, err := apdu.ParseResponse(e.Answer); err == nil {
		out.SW = r.SW.String()
	}
	return out
}

// sharedChip is a holder's chip for one of its users. Each call takes the chip; somebody else's use in between ends the session, as if
// the card had been taken out of the reader.
type sharedChip struct {
	holder *holder
}

var _ vpcd.Chip = (*sharedChip)(nil)

// PowerOn implements vpcd.Chip.
func (c *sharedChip) PowerOn(i card.Interface) []byte {
	c.holder.mu.Lock()
	defer c.holder.mu.Unlock()
	return c.holder.chip.PowerOn(i)
}

// PowerOff implements vpcd.Chip.
func (c *sharedChip) PowerOff() {
	c.holder.mu.Lock()
	defer c.holder.mu.Unlock()
	c.holder.chip.PowerOff()
}

// Process implements vpcd.Chip.
func (c *sharedChip) Process(command []byte) ([]byte, error) {
	c.holder.mu.Lock()
	defer c.holder.mu.Unlock()
	return c.holder.chip.Process(command)
}

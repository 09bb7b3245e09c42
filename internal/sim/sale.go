package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/money"
	"tapnet/pinblock"
)

// till is a node with a cashier.
type till struct {
	*node
	merchant personalization.Merchant
	busy     bool
	ended    uint64 // the sale whose end the core told last
}

// Sale is one purchase to make.
type Sale struct {
	Merchant, Card string // names of the profile
	Minor          int64
	AskPIN         bool
	WrongPIN       bool
	// TearAt takes the card away after that command and brings it back; 0 leaves it in the field.
	TearAt int
}

// Sell runs a sale to its end; other things happen meanwhile. A sale whose till crashes gives an error.
func (w *World) Sell(s Sale) (pos.Receipt, error) {
	h, t := w.holder(s.Card), w.till(s.Merchant)
	if h == nil || t == nil {
		return pos.Receipt{}, fmt.Errorf("sim: there is no card %q or no merchant %q", s.Card, s.Merchant)
	}
	if t.busy || !t.up {
		return pos.Receipt{}, errInterrupted
	}
	t.busy = true
	defer func() { t.busy = false }()
	field := card.NewField(h.chip)
	defer field.Remove()
	field.TearAfterCommand(s.TearAt)
	core := t.role.(*pos.Till)
	core.Attach(func(_ context.Context, command any) (any, error) { return w.ask(t, command) })
	return core.Sell(context.Background(), field, pos.Sale{
		Amount: money.New(s.Minor, w.options.Profile.Money()), OfflineOnly: t.merchant.Offline, AskPIN: s.AskPIN,
		Now: func() time.Time { return w.Now().In(clock.Shanghai()) },
		EnterPIN: func() (pinblock.PIN, bool) {
			if !s.WrongPIN {
				return h.personal.PIN, true
			}
			wrong, err := pinblock.ParsePIN("000000")
			return wrong, err == nil
		},
		PresentAgain: func() apdu.Transceiver {
			w.tally.Tears++
			field.Present()
			return field
		},
	})
}

// ask carries a till's command to its core and lets the world go on until the sale has ended: the cashier waits, everybody else works.
func (w *World) ask(t *till, command any) (any, error) {
	t.ended = 0
	reply, err := t.node.ask(command)
	authorize, online := command.(pos.Authorize)
	if !online || err != nil {
		return reply, err
	}
	for life := t.life; t.ended != authorize.Sale; {
		if t.life != life || !t.up || w.failure != nil || !w.Step() {
			return nil, errInterrupted
		}
	}
	return reply, nil
}

func (w *World) holder(name string) *holder {
	for _, h := range w.holders {
		if h.personal.Spec.Name == name {
			return h
		}
	}
	return nil
}

func (w *World) till(name string) *till {
	for _, t := range w.tills {
		if t.merchant.Name == name {
			return t
		}
	}
	return nil
}

// randomSale draws a card, a merchant and an amount, and sometimes crashes a till.
func (w *World) randomSale() {
	r := w.random
	s := Sale{
		Card: w.holders[r.IntN(len(w.holders))].personal.Spec.Name, Merchant: w.tills[r.IntN(len(w.tills))].merchant.Name,
		Minor: 1 + r.Int64N(smallSaleMinor), AskPIN: r.IntN(8) == 0,
	}
	if r.IntN(3) == 0 {
		s.Minor = 1 + r.Int64N(largeSaleMinor)
	}
	s.WrongPIN = w.chance(w.options.Rates.WrongPIN)
	if tear := 1 + r.IntN(12); w.chance(w.options.Rates.Tear) {
		s.TearAt = tear
	}
	if victim := w.tills[r.IntN(len(w.tills))]; w.chance(w.options.Rates.Crash) {
		w.clock.AfterFunc(latencyMax, func() {
			if victim.up {
				victim.crash()
			}
		})
	}
	w.tally.Sales++
	receipt, err := w.Sell(s)
	var stopped *journal.StoppedError
	switch {
	case errors.Is(err, errInterrupted), errors.As(err, &stopped):
		w.tally.Interrupted++
	case err != nil:
		w.fail("sale %+v: %w", s, err)
	default:
		w.tally.Ends[receipt.End]++
	}
}

package main

import (
	"context"

	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type cardPINCommand struct {
	counterFlags
	cardFlags
	Change  bool   `xor:"what" required:"" help:"${card_pin_change}"`
	Unblock bool   `xor:"what" required:"" help:"${card_pin_unblock}"`
	NewPIN  string `name:"new-pin" placeholder:"PIN" help:"${card_pin_new}"`
}

// Run changes or unblocks a PIN at a bank's counter or cash machine. The answer is no when the chip keeps the old one.
func (c cardPINCommand) Run(ctx context.Context, s *session) error {
	c.At = c.atBank()
	r := app.POSRequest{Verb: app.POSUnblockPIN}
	if c.Change {
		if c.NewPIN == "-" && c.PIN != "-" { // one secret from the input, the other from wherever the caller has it
			digits, err := s.readPIN()
			if err != nil {
				return &problem{code: exitEnvironment, what: lang.InputUnreadable, why: reason(err), next: lang.CardPINNext}
			}
			c.NewPIN = digits
		}
		if !isPIN(c.NewPIN) {
			return &problem{code: exitUsage, what: lang.CardPINNew, why: lang.TapPINWhy, next: lang.CardPINNext}
		}
		r.Verb, r.NewPIN = app.POSChangePIN, c.NewPIN
	}
	return c.run(ctx, s, entryFlags{c.cardFlags, true}.fill(r), c.PIN)
}

// bankCounter is the merchant of the test world that is a bank: cash becomes electronic cash there, purses are emptied and PINs changed.
const bankCounter = "bank"

// atBank is where a card's holder goes with it when nobody says otherwise.
func (f counterFlags) atBank() string {
	if f.At == defaultShop {
		return bankCounter
	}
	return f.At
}

// defaultShop is the default of --at.
const defaultShop = "shop-1"

package main

import (
	"context"

	"tapnet/internal/app"
)

type posMachineCommand struct {
	At      string `placeholder:"MACHINE" help:"${pos_machine_at}"`
	Amount  string `placeholder:"3.50" help:"${pos_machine_amount}"`
	Load    bool   `help:"${pos_machine_load}"`
	Collect bool   `help:"${pos_machine_collect}"`
	entryFlags
	Slip string `placeholder:"en|zh|both" help:"${pos_slip}"`
	dataFlag
}

// The machines of the test world.
const (
	vendingMachine = "vending"
	loadMachine    = "atm"
)

// Run serves oneself: buys from a machine, fills a purse at one, or collects what one was paid.
func (c posMachineCommand) Run(ctx context.Context, s *session) error {
	f := counterFlags{At: c.At, Slip: c.Slip, dataFlag: c.dataFlag}
	at := func(name string) {
		if f.At == "" {
			f.At = name
		}
	}
	r := c.entryFlags.fill(app.POSRequest{Verb: app.POSSale, Amount: c.Amount})
	switch {
	case c.Collect:
		at(vendingMachine)
		return f.run(ctx, s, app.POSRequest{Verb: app.POSCollect}, "")
	case c.Load:
		at(loadMachine)
		r.Verb, r.Insert = app.POSLoad, true
	default:
		at(vendingMachine)
	}
	return f.run(ctx, s, r, c.PIN)
}

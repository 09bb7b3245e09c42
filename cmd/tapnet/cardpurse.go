package main

import (
	"context"
	"errors"
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/personalization"
)

// withSlots makes a world that is thrown away one in which everything about purses can be tried: plain cards have contacts too, and there is a bank's counter
// beside the shops, where cash becomes electronic cash.
func withSlots(p *personalization.Profile) {
	for i := range p.Cards {
		if p.Cards[i].Carrier == "" {
			p.Cards[i].Carrier = "dual-interface"
		}
	}
	withCounters(p)
}

// withCounters adds what the story of the demo does without: a bank's counter, a machine that sells without a network, and one that fills purses.
func withCounters(p *personalization.Profile) {
	p.Merchants = append(p.Merchants,
		personalization.Merchant{Name: bankCounter, ID: "301000060100009", Label: "HARBOUR BANK COUNTER", Category: "6010",
			Terminal: "T0000009", Floor: "0", CVMLimit: "1000.00", TapLimit: "50000.00"},
		personalization.Merchant{Name: vendingMachine, ID: "301000054990010", Label: "CANS AND BARS", Category: "5499",
			Terminal: "T0000010", Floor: "50.00", CVMLimit: "50.00", TapLimit: "50.00", Offline: true, Machine: "vending", Price: "3.50"},
		personalization.Merchant{Name: loadMachine, ID: "301000060110011", Label: "HARBOUR BANK MACHINE", Category: "6011",
			Terminal: "T0000011", Floor: "0", CVMLimit: "1000.00", TapLimit: "50000.00", Machine: "load"})
}

type cardLoadCommand struct {
	counterFlags
	cardFlags
	amountFlag
	From string `default:"account" placeholder:"SOURCE" help:"${pos_from}"`
	Cash bool   `help:"${card_load_cash}"`
}

// Run loads the purse. The answer is no when the chip does not hold the new balance.
func (c cardLoadCommand) Run(ctx context.Context, s *session) error {
	if c.Cash {
		c.From = "cash"
	}
	if c.From == "cash" {
		c.At = c.atBank()
	}
	return c.run(ctx, s, entryFlags{c.cardFlags, true}.fill(app.POSRequest{Verb: app.POSLoad, Amount: c.Amount, From: c.From}), c.PIN)
}

type cardUnloadCommand struct {
	counterFlags
	cardFlags
}

// Run empties the purse.
func (c cardUnloadCommand) Run(ctx context.Context, s *session) error {
	c.At = c.atBank()
	return c.run(ctx, s, entryFlags{c.cardFlags, true}.fill(app.POSRequest{Verb: app.POSUnload}), c.PIN)
}

type cardLogCommand struct {
	Name string `arg:"" help:"${card_name}"`
	dataFlag
}

// in runs something in the world of the data directory, or in one that is thrown away.
func (f dataFlag) in(ctx context.Context, s *session, do func(*opened) error) (err error) {
	world, err := openWorld(ctx, s, f.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	world.announce(s)
	return do(world)
}

// Run shows what the chip remembers.
func (c cardLogCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		log, err := world.PurseLog(ctx, c.Name)
		if err != nil {
			return unknownName(err, c.Name, "")
		}
		if log.Balance == nil {
			s.code = exitNo
		}
		if s.json {
			return s.printJSON(s.out, log)
		}
		s.printPurse(log)
		return nil
	})
}

func (s *session) printPurse(log app.PurseLog) {
	if log.Balance == nil {
		s.line(s.text(lang.PurseNone, log.Card))
		return
	}
	s.line(s.screen.Bold(s.text(lang.PurseHolds, log.Card, lang.AmountTerm(*log.Balance))))
	if log.Second != nil {
		s.line(s.screen.Bold(s.text(lang.PurseHolds, log.Card, lang.AmountTerm(*log.Second))))
	}
	list := func(title glossary.Term, rows int, row func(t *lang.Table, i int)) {
		s.line("  " + s.text(title))
		t := &lang.Table{Indent: 4, Gap: 2}
		if rows == 0 {
			t.Row(s.text(lang.PurseNothing))
		}
		for i := range rows {
			row(t, i)
		}
		s.table(t)
	}
	list(lang.PurseLoads, len(log.Loads), func(t *lang.Table, i int) {
		l := log.Loads[i]
		t.Row(grouped(l.Date, "-"), grouped(l.Time, ":"), s.screen.Fold(l.Before+" → "+l.After), "ATC "+l.ATC)
	})
	list(lang.PursePayments, len(log.Payments), func(t *lang.Table, i int) {
		l := log.Payments[i]
		t.Row(grouped(l.Date, "-"), grouped(l.Time, ":"), l.Amount, "ATC "+l.ATC, l.Merchant, s.text(l.Kind))
	})
}

type cardLostCommand struct {
	Name   string `arg:"" help:"${card_name}"`
	Stolen bool   `help:"${card_lost_stolen}"`
	dataFlag
}

// Run reports a card missing. The answer is no when the bank does not take the report.
func (c cardLostCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		r, err := world.ReportLoss(ctx, app.LossRequest{Card: c.Name, Stolen: c.Stolen})
		if err != nil {
			return unknownName(err, c.Name, "")
		}
		if !r.Blocked {
			s.code = exitNo
		}
		if s.json {
			return s.printJSON(s.out, map[string]any{"card": r.Card, "masked": r.Masked, "blocked": r.Blocked, "account": s.text(r.Account),
				"purse": s.text(r.Purse), "at_risk": r.AtRisk, "second_at_risk": r.SecondAtRisk, "why": s.text(r.Why)})
		}
		if !r.Blocked {
			s.explain(s.out, &problem{what: lang.Fill(lang.LossRefused, r.Card), why: r.Why, next: lang.Verbatim("tapnet card list")})
			return nil
		}
		s.line(s.screen.Mark(true) + " " + s.text(lang.LossBlocked, r.Card, r.Masked))
		t := &lang.Table{Indent: 2, Gap: 2}
		t.Row(s.text(lang.LossPurse), s.text(r.Purse))
		t.Row(s.text(lang.LossRisk), s.text(lang.LossAtRisk, lang.AmountTerm(r.AtRisk)))
		if r.SecondAtRisk != nil {
			t.Row("", s.text(lang.LossAtRisk, lang.AmountTerm(*r.SecondAtRisk)))
		}
		s.table(t)
		return nil
	})
}

type cardPayOutCommand struct {
	Name string `arg:"" help:"${card_name}"`
	dataFlag
}

// Run pays out an unloaded purse. The answer is no while it is not due.
func (c cardPayOutCommand) Run(ctx context.Context, s *session) error {
	return c.in(ctx, s, func(world *opened) error {
		r, err := world.PayOut(ctx, app.PayOutRequest{Card: c.Name})
		if err != nil {
			return unknownName(err, c.Name, "")
		}
		if !r.Paid {
			s.code = exitNo
		}
		if s.json {
			return s.printJSON(s.out, map[string]any{"card": r.Card, "paid": r.Paid, "available": r.Available, "why": s.text(r.Why)})
		}
		if !r.Paid {
			s.explain(s.out, &problem{what: lang.Fill(lang.PayOutNot, r.Card), why: r.Why, next: lang.PayOutNext})
			return nil
		}
		s.line(s.screen.Mark(true) + " " + fmt.Sprint(s.text(lang.PaidOut, r.Card, lang.AmountTerm(r.Available))))
		return nil
	})
}

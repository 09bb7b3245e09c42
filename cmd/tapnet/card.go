package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/money"
)

type cardListCommand struct{ dataFlag }

type cardReadCommand struct {
	Name   string        `arg:"" optional:"" help:"${card_name}"`
	Reader string        `placeholder:"NAME" help:"${tap_reader}"`
	Wait   time.Duration `default:"30s" placeholder:"TIME" help:"${tap_wait}"`
	dataFlag
}

// Run lists the cards of the world.
func (c cardListCommand) Run(ctx context.Context, s *session) (err error) {
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	world.announce(s)
	cards, err := world.Cards(ctx)
	if err != nil {
		return fmt.Errorf("list the cards: %w", err)
	}
	if s.json {
		return s.printJSON(s.out, map[string]any{"cards": cards})
	}
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, false, false, false, true, true}}
	t.Row(s.text(lang.CardHeadName), s.text(lang.CardHeadNumber), s.text(lang.CardHeadProduct), s.text(lang.CardHeadExpiry),
		s.text(lang.CardHeadCounter), s.text(lang.CardHeadPurse), s.text(lang.CardHeadNoPIN))
	for _, card := range cards {
		noPIN := lang.CardOff
		if card.NoPIN {
			noPIN = lang.CardOn
		}
		t.Row(card.Name, card.Masked, card.Product, card.Expiry, fmt.Sprint(card.ATC), lang.Decimal(card.Purse), s.text(noPIN))
	}
	s.table(t)
	return nil
}

// Run reads a card as a stranger's reader would.
func (c cardReadCommand) Run(ctx context.Context, s *session) (err error) {
	if (c.Name == "") == (c.Reader == "") {
		return &problem{code: exitUsage, what: lang.ReadWhich, next: lang.ReadWhichNext}
	}
	if c.Reader != "" {
		return s.dumpReader(ctx, c.Reader, c.Wait)
	}
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	world.announce(s)
	reading, err := world.ReadCard(ctx, c.Name)
	if err != nil {
		return unknownName(err, c.Name, "")
	}
	if len(reading.Applications) == 0 {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, reading)
	}
	s.printReading(reading)
	return nil
}

func (s *session) printReading(r app.CardReading) {
	if len(r.Applications) == 0 {
		s.explain(s.out, &problem{what: lang.ReadFails, why: r.Reason, next: lang.Verbatim("tapnet card list")})
		return
	}
	for _, line := range lang.Wrap(s.text(lang.ReadTitle, r.Name), s.screen.Columns) {
		s.line(s.screen.Bold(line))
	}
	for i := range r.Applications {
		s.printApplication(&r.Applications[i])
	}
	for _, line := range lang.Wrap(s.text(lang.ReadNever), s.screen.Columns) {
		s.line(line)
	}
}

// printApplication prints what was read; what the card withholds is said to be withheld.
func (s *session) printApplication(a *app.ApplicationReading) {
	t := &lang.Table{Indent: 2, Gap: 2}
	row := func(label glossary.Term, value string) {
		if value == "" {
			value = s.text(lang.ReadWithheld)
		}
		t.Row(s.text(label), value)
	}
	t.Row(s.text(lang.ReadApplication), a.AID+"  "+a.Label)
	row(lang.CardHeadNumber, a.Masked)
	row(lang.CardHeadExpiry, a.Expiry)
	row(lang.ReadCounter, number(a.ATC))
	row(lang.ReadLastOnline, number(a.LastOnlineATC))
	row(lang.ReadPINTries, number(a.PINTries))
	row(lang.ReadBalance, s.money(a.Balance))
	if a.SecondBalance != nil {
		row(lang.ReadSecondBalance, s.money(a.SecondBalance))
	}
	row(lang.ReadBalanceLimit, s.money(a.BalanceLimit))
	row(lang.ReadSingleLimit, s.money(a.SingleLimit))
	s.table(t)
	if len(a.Log) == 0 {
		return
	}
	s.line("  " + s.text(lang.ReadLog))
	log := &lang.Table{Indent: 4, Gap: 2, Right: []bool{false, false, true}}
	for _, l := range a.Log {
		log.Row(grouped(l.Date, "-"), grouped(l.Time, ":"), l.Amount, "ATC "+l.ATC, l.Merchant, s.text(l.Kind))
	}
	s.table(log)
}

func number[T uint16 | byte](n *T) string {
	if n == nil {
		return ""
	}
	return fmt.Sprint(*n)
}

func (s *session) money(a *money.Amount) string {
	if a == nil {
		return ""
	}
	return s.text(lang.AmountTerm(*a))
}

// grouped writes six digits in pairs: a date or a time.
func grouped(digits, separator string) string {
	if len(digits) != 6 {
		return digits
	}
	return digits[:2] + separator + digits[2:4] + separator + digits[4:]
}

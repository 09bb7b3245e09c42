package verifytest

import (
	"context"
	"fmt"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
)

// Desk is what a test of an acquirer has in hand: rows, and what was agreed with its merchants.
type Desk struct {
	Name      string
	Calendar  clock.Calendar
	Rows      []journal.Row
	Merchants []Merchant
}

// Merchant is one of them, see verify.MerchantAccount.
type Merchant struct {
	Terminal  string
	Account   ledger.Account
	Rides     bool
	MostMinor int64
}

// Audit verifies the acquirer from a data directory that it makes in dir, and returns what it finds, in English.
func (d Desk) Audit(ctx context.Context, dir string) (findings []string, err error) {
	const name = "acquirer"
	world := verify.World{Zone: verify.ZoneOf(d.Calendar), Members: []verify.WorldMember{{Journal: name, Role: verify.Acquirer, Name: d.Name}}}
	for _, m := range d.Merchants {
		world.Merchants = append(world.Merchants, verify.MerchantAccount{Terminal: m.Terminal, Account: m.Account, Rides: m.Rides, MostMinor: m.MostMinor})
	}
	store, err := NewStore(ctx, dir, world)
	if err != nil {
		return nil, err
	}
	if _, err := store.Add(ctx, name, d.Rows...); err != nil {
		return nil, err
	}
	if err := store.Close(ctx); err != nil {
		return nil, err
	}
	report, err := verify.Dir(ctx, dir, verify.Options{})
	if err != nil {
		return nil, err
	}
	for _, w := range report.Findings {
		findings = append(findings, fmt.Sprintf("row %d, %s: %s: found %s, expected %s", w.Row, w.Kind, w.Field, w.Found.EN, w.Expected.EN))
	}
	return findings, nil
}

package verifytest

import (
	"context"
	"fmt"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
)

// Bank is what a test of an issuer has in hand: rows, books, cells if there are any, and the chips of cards from number 1 on.
type Bank struct {
	Name      string
	Calendar  clock.Calendar
	Rows      []journal.Row
	Balances  map[ledger.Account]ledger.Balance
	Cells     []journal.Cell
	Watermark uint64
	Chips     []Chip
}

// Chip is what a chip says.
type Chip struct {
	ATC        uint16
	PurseMinor int64
}

// Audit verifies the bank twice, in memory (unless there are no balances to compare with) and from a data directory that it makes in dir, and
// returns what it finds, in English.
func (b Bank) Audit(ctx context.Context, dir string) (findings []string, err error) {
	snapshot := verify.Snapshot{Calendar: b.Calendar, Members: []verify.Member{
		{Role: verify.Issuer, Name: b.Name, Rows: b.Rows, Balances: b.Balances, Cells: b.Cells, Watermark: b.Watermark},
	}}
	if b.Balances != nil {
		for _, f := range verify.Check(snapshot) {
			findings = append(findings, f.String())
		}
	}
	const name = "issuer"
	world := verify.World{Zone: verify.ZoneOf(b.Calendar), Members: []verify.WorldMember{{Journal: name, Role: verify.Issuer, Name: b.Name}}}
	store, err := NewStore(ctx, dir, world)
	if err != nil {
		return nil, err
	}
	if _, err := store.Add(ctx, name, b.Rows...); err != nil {
		return nil, err
	}
	if err := store.Close(ctx); err != nil {
		return nil, err
	}
	report, err := verify.Dir(ctx, dir, verify.Options{Chips: func(context.Context) (list []verify.Chip, err error) {
		for at, c := range b.Chips {
			list = append(list, verify.Chip{Issuer: b.Name, Card: int64(at + 1), ATC: c.ATC, PurseMinor: c.PurseMinor})
		}
		return list, nil
	}})
	if err != nil {
		return nil, err
	}
	for _, w := range report.Findings {
		findings = append(findings, fmt.Sprintf("row %d, %s: %s: found %s, expected %s", w.Row, w.Kind, w.Field, w.Found.EN, w.Expected.EN))
	}
	return findings, nil
}

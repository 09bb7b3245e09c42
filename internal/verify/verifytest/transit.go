package verifytest

import (
	"context"
	"crypto/ed25519"
	"errors"

	"tapnet/internal/journal"
	"tapnet/internal/verify"
)

// transitJournal is the name of an operator's journal.
const transitJournal = "transit"

// Report and Wrong are what is found, for packages that know only this one.
type (
	Report = verify.TransitReport
	Wrong  = verify.Wrong
)

// TransitStore is what an operator has on disk.
type TransitStore struct {
	Terminal string
	Rows     []journal.Row
	// Cells are what it keeps beside its rows, complete up to Watermark; none leaves its start to the rows.
	Cells     []journal.Cell
	Watermark uint64
	ListKey   ed25519.PublicKey
}

// Transit verifies the rows of a transit operator by themselves, from a data directory that it makes in dir, and returns what it finds, in English.
func Transit(ctx context.Context, dir, terminal string, rows []journal.Row) (findings []string, err error) {
	report, err := VerifyTransit(ctx, dir, TransitStore{Terminal: terminal, Rows: rows})
	for _, w := range report.Findings {
		findings = append(findings, w.String())
	}
	return findings, err
}

// VerifyTransit verifies an operator from a data directory that it makes in dir. The rows are sealed anew.
func VerifyTransit(ctx context.Context, dir string, s TransitStore) (report Report, err error) {
	store, err := NewStore(ctx, dir, verify.World{Members: []verify.WorldMember{{Journal: transitJournal, Role: verify.Operator, Name: s.Terminal}}})
	if err != nil {
		return report, err
	}
	_, err = store.Add(ctx, transitJournal, s.Rows...)
	if err := errors.Join(err, store.Close(ctx)); err != nil {
		return report, err
	}
	return TransitAgain(ctx, dir, s)
}

// TransitAgain verifies the operator of a directory that VerifyTransit made, with other cells beside the same rows.
func TransitAgain(ctx context.Context, dir string, s TransitStore) (report Report, err error) {
	if len(s.Cells) > 0 {
		if err := SetCells(ctx, dir, transitJournal, s.Cells, s.Watermark); err != nil {
			return report, err
		}
	}
	return verify.TransitDir(ctx, dir, verify.TransitOptions{ListKey: s.ListKey})
}

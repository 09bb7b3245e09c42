package verifytest

import (
	"context"
	"errors"

	"tapnet/internal/journal"
	"tapnet/internal/verify"
)

// Transit verifies the rows of a transit operator by themselves, from a data directory that it makes in dir, and returns what it finds, in English.
func Transit(ctx context.Context, dir, terminal string, rows []journal.Row) (findings []string, err error) {
	const name = "transit"
	store, err := NewStore(ctx, dir, verify.World{Members: []verify.WorldMember{{Journal: name, Role: verify.Operator, Name: terminal}}})
	if err != nil {
		return nil, err
	}
	_, err = store.Add(ctx, name, rows...)
	if err := errors.Join(err, store.Close(ctx)); err != nil {
		return nil, err
	}
	report, err := verify.TransitDir(ctx, dir, verify.TransitOptions{})
	for _, w := range report.Findings {
		findings = append(findings, w.String())
	}
	return findings, err
}

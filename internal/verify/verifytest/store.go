// Package verifytest makes data directories to verify: from rows, or from as many made-up payments as wanted.
//
// It follows no standard. What it generates is what the roles write, row for row: keys, references, codes, holds and reversals follow from each other, so
// that a directory it makes has no findings. It imports no role either: tests that compare real journals with verify stand where roles may be seen.
package verifytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/verify"
)

// commitRows is how many rows one transaction holds.
const commitRows = 8192

// Store is a data directory being written.
type Store struct {
	dir   string
	files map[string]*file
	// batch is how many rows are made durable together. With one the journals are at every moment what those of a network could be.
	batch int
}

type file struct {
	store *journalsql.Store
	epoch uint64
	chain journal.Chain
	rows  []journal.Row
	keep  *keeper // of an issuer that keeps cells
}

// NewStore makes a data directory with the journals of a world, empty.
func NewStore(ctx context.Context, dir string, world verify.World) (*Store, error) {
	journals := filepath.Join(dir, "journals")
	if err := os.MkdirAll(journals, 0o700); err != nil {
		return nil, fmt.Errorf("verifytest: %w", err)
	}
	text, err := verify.MarshalWorld(world)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, verify.WorldFile), text, 0o600); err != nil {
		return nil, fmt.Errorf("verifytest: %w", err)
	}
	s := &Store{dir: dir, files: map[string]*file{}, batch: commitRows}
	for _, m := range world.Members {
		f := &file{}
		if f.store, err = journalsql.Open(ctx, filepath.Join(journals, m.Journal+".db")); err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
		s.files[m.Journal] = f
		if f.epoch, err = f.store.Claim(ctx, "verifytest"); err != nil {
			return nil, errors.Join(err, s.Close(ctx))
		}
	}
	return s, nil
}

// Add appends rows of one event to a journal: they get their numbers and their places in the chain. It returns the number of the first.
func (s *Store) Add(ctx context.Context, name string, rows ...journal.Row) (seq uint64, err error) {
	f := s.files[name]
	if f == nil {
		return 0, fmt.Errorf("verifytest: no journal %q", name)
	}
	seq = f.chain.Seq + 1
	for _, r := range rows {
		f.chain.Seal(&r)
		f.rows = append(f.rows, r)
		if f.keep != nil {
			f.keep.follow(&r)
		}
	}
	if len(f.rows) < s.batch {
		return seq, nil
	}
	return seq, f.commit(ctx)
}

func (f *file) commit(ctx context.Context) error {
	var back *journal.Back
	if f.keep != nil {
		back = &f.keep.back
	}
	if len(f.rows) == 0 && (back == nil || len(back.Cells) == 0) {
		return nil
	}
	err := f.store.Commit(ctx, f.epoch, f.rows, back)
	if f.rows = f.rows[:0]; back != nil {
		back.Reset()
	}
	return err
}

// Flush makes every row durable that was added.
func (s *Store) Flush(ctx context.Context) error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.commit(ctx))
	}
	return errors.Join(errs...)
}

// Close writes what is left and closes the journals.
func (s *Store) Close(ctx context.Context) error {
	errs := []error{s.Flush(ctx)}
	for _, f := range s.files {
		errs = append(errs, f.store.Close())
	}
	return errors.Join(errs...)
}

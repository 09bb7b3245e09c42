package operator

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
)

// The journal in a data directory, and the name of the one in a database.
const (
	journals    = "journals"
	journalFile = "transit.db"
	journalName = "transit"
)

// Plan is all that an office is made of: its configuration, its tariffs and its keys.
type Plan struct {
	Config Config
	Deps   transit.Deps
	Secret Secret

	dir      string
	file     string // of the configuration; empty: the city that comes with the program
	store    string
	book     *fares.Book
	calendar fares.Calendar
	random   io.Reader
	clock    clock.Clock
	log      *slog.Logger
}

// NewPlan reads the configuration, and the secret of the directory or makes one.
func NewPlan(o Options) (*Plan, error) {
	p := &Plan{dir: o.Dir, store: o.Store, random: o.Random, clock: o.Clock, log: o.Log}
	if p.clock == nil {
		p.clock = clock.Real()
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.random == nil {
		p.random = rand.Reader
	}
	var err error
	if p.Config, p.book, p.calendar, err = LoadConfig(o.Config); err != nil {
		return nil, err
	}
	if o.Acquirer != nil {
		p.Config.Acquirer = *o.Acquirer
	}
	if o.Config != "" {
		if p.file, err = filepath.Abs(o.Config); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
	}
	p.Config.Listen = cmp.Or(o.Listen, p.Config.Listen)
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if p.Secret, err = openSecret(o.Dir, p.random); err != nil {
		return nil, err
	}
	if p.Deps, err = p.Config.deps(p.Secret, p.book, p.calendar, p.random); err != nil {
		return nil, err
	}
	return p, nil
}

// open opens the journal.
func (p *Plan) open(ctx context.Context) (journal.Store, error) {
	if p.store == "" {
		return p.OpenFile(ctx)
	}
	catalog, err := journalpg.OpenCatalog(ctx, p.store)
	if err != nil {
		return nil, errors.Join(err, catalog.Close())
	}
	store, err := catalog.Open(ctx, journalName)
	if err != nil {
		return nil, errors.Join(err, catalog.Close())
	}
	return ofCatalog{store, catalog}, nil
}

// OpenFile opens the journal in the data directory.
func (p *Plan) OpenFile(ctx context.Context) (journal.Store, error) {
	if err := os.MkdirAll(filepath.Join(p.dir, journals), 0o700); err != nil {
		return nil, fmt.Errorf("make the journal's directory: %w", err)
	}
	return journalsql.Open(ctx, filepath.Join(p.dir, journals, journalFile))
}

// ofCatalog is a store in a database whose pool it closes.
type ofCatalog struct {
	journal.Store
	catalog *journalpg.Catalog
}

func (s ofCatalog) Close() error { return errors.Join(s.Store.Close(), s.catalog.Close()) }

// Trust is whose deny list the gates believe.
func (p *Plan) Trust() denylist.Trust {
	key, _ := p.Secret.Signer().Public().(ed25519.PublicKey)
	trust, err := denylist.NewTrust(key)
	if err != nil {
		return denylist.Trust{} // trusts nobody; an office with such a key does not start
	}
	return trust
}

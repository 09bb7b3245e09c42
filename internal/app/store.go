package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/verify"
)

// journalDirectory is where a data directory keeps its journals, journalSuffix how their names end.
const (
	journalDirectory = "journals"
	journalSuffix    = ".db"
)

// ErrStore is wrapped by the error for a store that cannot be used. Its text says why and never holds a password.
var ErrStore = errors.New("the journals cannot be kept there")

// stores is where the journals of a network are kept, each under the name of its node.
type stores interface {
	open(ctx context.Context, name string) (journal.Store, error)
	// describe joins what this process knows about the members of the network to what is known.
	describe(ctx context.Context, own verify.World) error
	close() error
}

// IsServer reports whether a store is the URL of a database server.
func IsServer(store string) bool {
	return strings.HasPrefix(store, "postgres://") || strings.HasPrefix(store, "postgresql://")
}

func openStores(ctx context.Context, o Options) (stores, error) {
	switch {
	case o.Store == "" && o.Shards > 0:
		return nil, fmt.Errorf("app: %w: shards need a PostgreSQL database that all nodes can reach", ErrStore)
	case o.Store == "":
		return fileStores{dir: o.Dir}, nil
	case !IsServer(o.Store):
		return nil, fmt.Errorf("app: %w: not a postgres:// URL (not shown, it may hold a password)", ErrStore)
	}
	catalog, err := journalpg.OpenCatalog(ctx, o.Store)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrStore, err), catalog.Close())
	}
	return serverStores{catalog}, nil
}

// fileStores are SQLite files in the data directory.
type fileStores struct{ dir string }

func (s fileStores) open(ctx context.Context, name string) (journal.Store, error) {
	journals := filepath.Join(s.dir, journalDirectory)
	if err := os.MkdirAll(journals, 0o700); err != nil {
		return nil, fmt.Errorf("make journal directory: %w", err)
	}
	return journalsql.Open(ctx, filepath.Join(journals, name+journalSuffix))
}

func (s fileStores) describe(_ context.Context, own verify.World) error {
	world, err := verify.ReadWorld(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	world.Add(own)
	text, err := verify.MarshalWorld(world)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(s.dir, verify.WorldFile), text)
}

func (s fileStores) close() error { return nil }

// serverStores are shards of a PostgreSQL database. The description of the world lies there too: several nodes share it.
type serverStores struct{ catalog *journalpg.Catalog }

func (s serverStores) open(ctx context.Context, name string) (journal.Store, error) {
	store, err := s.catalog.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return store, nil
}

func (s serverStores) describe(ctx context.Context, own verify.World) error {
	return s.catalog.ChangeWorld(ctx, func(text []byte) ([]byte, error) {
		var world verify.World
		if len(text) > 0 {
			if err := json.Unmarshal(text, &world); err != nil {
				return nil, fmt.Errorf("read the world in the database: %w", err)
			}
		}
		world.Add(own)
		return verify.MarshalWorld(world)
	})
}

func (s serverStores) close() error { return s.catalog.Close() }

// Export copies the journals of a database into a data directory that verify can read, those of the tills first, then towards the issuers and the token
// service: whatever one of them has heard of, the next one has in writing by then. The network may run meanwhile. A journal whose chain is broken is an error
// that names the row.
func Export(ctx context.Context, store, dir string) (err error) {
	catalog, err := journalpg.OpenCatalog(ctx, store)
	if err != nil {
		return errors.Join(fmt.Errorf("%w: %w", ErrStore, err), catalog.Close())
	}
	defer func() { err = errors.Join(err, catalog.Close()) }()
	text, err := catalog.World(ctx)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return fmt.Errorf("%w: %w in this database", ErrStore, verify.ErrNoJournals)
	}
	var world verify.World
	if err := json.Unmarshal(text, &world); err != nil {
		return fmt.Errorf("read the world in the database: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, verify.WorldFile), text); err != nil {
		return err
	}
	order := []string{verify.Till, verify.Acquirer, verify.Switch, verify.Issuer, verify.TokenService, verify.CloudSE}
	slices.SortStableFunc(world.Members, func(a, b verify.WorldMember) int { return slices.Index(order, a.Role) - slices.Index(order, b.Role) })
	for _, m := range world.Members {
		if err := exportJournal(ctx, catalog, fileStores{dir: dir}, m.Journal); err != nil {
			return fmt.Errorf("copy the journal of %s: %w", m.Journal, err)
		}
	}
	return nil
}

// VerifyStore checks the journals of a database, on a copy in a directory that goes away, and, unless dir is empty, the chips whose memories lie there.
func VerifyStore(ctx context.Context, store, dir string, o verify.Options) (report verify.Report, err error) {
	if !IsServer(store) {
		return report, fmt.Errorf("%w: not a postgres:// URL (not shown, it may hold a password)", ErrStore)
	}
	copied, err := os.MkdirTemp("", "tapnet-verify-")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(copied)) }()
	if err := Export(ctx, store, copied); err != nil {
		return report, err
	}
	if dir != "" {
		o.Chips = func(context.Context) ([]verify.Chip, error) { return chips(dir) }
	}
	report, err = verify.Dir(ctx, copied, o)
	report.Dir = "PostgreSQL"
	return report, err
}

// exportRows are copied in one commit.
const exportRows = 4096

func exportJournal(ctx context.Context, catalog *journalpg.Catalog, to fileStores, name string) (err error) {
	source, err := catalog.Open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := to.open(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	epoch, err := target.Claim(ctx, "copy")
	if err != nil {
		return err
	}
	rows := make([]journal.Row, 0, exportRows)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := target.Commit(ctx, epoch, rows, nil)
		rows = rows[:0]
		return err
	}
	if err := source.Load(ctx, 0, func(r *journal.Row) error {
		if rows = append(rows, *r); len(rows) == exportRows {
			return flush()
		}
		return nil
	}); err != nil {
		return err
	}
	return flush()
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg"
	"tapnet/internal/journal/journalpg/pgserver"
	"tapnet/internal/journal/journalsql"
)

// The stores that can be measured.
const (
	StoreSQLite   = "sqlite"
	StorePostgres = "postgres"
)

// medium is where a journal and its baseline are kept, next to each other.
type medium interface {
	journal(ctx context.Context) (journal.Store, error)
	// baseline books one request per transaction for so many cards. It gives release what is durable.
	baseline(ctx context.Context, cards int, release func([]journal.Effect)) (books, error)
	// pgbench is a server for pgbench: the one in use, or one of its own. It is asked for once.
	pgbench(ctx context.Context) (*pgserver.Server, error)
	// close removes everything.
	close(ctx context.Context) error
}

// openMedium makes the place of the stores in an empty directory or in the database of the options.
func (o Options) openMedium(ctx context.Context, dir string) (medium, error) {
	switch o.Store {
	case "", StoreSQLite:
		return &sqliteMedium{dir: dir}, nil
	case StorePostgres:
		return openPostgres(ctx, o, dir)
	}
	return nil, fmt.Errorf("bench: there is no store %q, only %s and %s", o.Store, StoreSQLite, StorePostgres)
}

func (o Options) storeName() string {
	if o.Store == "" {
		return StoreSQLite
	}
	return o.Store
}

// sqliteMedium is two files of a directory.
type sqliteMedium struct {
	dir    string
	server *pgserver.Server // only for comparison
}

func (m *sqliteMedium) journal(ctx context.Context) (journal.Store, error) {
	return journalsql.Open(ctx, filepath.Join(m.dir, "journal.db"))
}

func (m *sqliteMedium) baseline(_ context.Context, cards int, release func([]journal.Effect)) (books, error) {
	return openNaive(m.dir, cards, release)
}

func (m *sqliteMedium) pgbench(ctx context.Context) (*pgserver.Server, error) {
	if err := reachable(m.dir); err != nil {
		return nil, err
	}
	var err error
	m.server, err = pgserver.Start(ctx, filepath.Join(m.dir, "pgbench"))
	return m.server, err
}

func (m *sqliteMedium) close(ctx context.Context) error { return m.server.Stop(ctx) }

// postgresMedium is a schema of its own in a database, on a server of its own unless the options name one.
type postgresMedium struct {
	server *pgserver.Server
	schema pgSchema
}

func openPostgres(ctx context.Context, o Options, dir string) (*postgresMedium, error) {
	m := &postgresMedium{}
	var err error
	if o.DSN == "" {
		if err := reachable(dir); err != nil {
			return nil, err
		}
		m.server, err = pgserver.Start(ctx, filepath.Join(dir, "postgresql"))
	} else {
		m.server = pgserver.Existing(o.DSN, dir)
	}
	if err != nil {
		return nil, err
	}
	if m.schema, err = newSchema(ctx, m.server.DSN()); err != nil {
		return nil, errors.Join(err, m.server.Stop(ctx))
	}
	return m, nil
}

func (m *postgresMedium) journal(ctx context.Context) (journal.Store, error) {
	return journalpg.Open(ctx, m.schema.dsn, journalpg.Options{Shard: 1})
}

func (m *postgresMedium) baseline(ctx context.Context, cards int, release func([]journal.Effect)) (books, error) {
	return openNaivePg(ctx, m.schema.dsn, cards, release)
}

func (m *postgresMedium) pgbench(context.Context) (*pgserver.Server, error) { return m.server, nil }

func (m *postgresMedium) close(ctx context.Context) error {
	return errors.Join(m.schema.drop(ctx), m.server.Stop(ctx))
}

// reachable lets the user that PostgreSQL runs as pass through the directory of the stores, without reading it.
func reachable(dir string) error { return os.Chmod(dir, 0o711) }

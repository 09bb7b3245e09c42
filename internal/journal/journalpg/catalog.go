package journalpg

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"tapnet/internal/journal"
)

// Catalog is what a database says about the journals in it: which shard number belongs to which name, whose they are, and
// which node writes which of them. It is safe for concurrent use; its answers are small and rare.
type Catalog struct {
	dsn   string
	store *Store // of no shard: for connections and repetition
	mu    sync.Mutex
}

// OpenCatalog connects to the database, makes the tables when there are none, and refuses a server that a journal cannot rest on.
func OpenCatalog(ctx context.Context, dsn string) (*Catalog, error) {
	store, err := Open(ctx, dsn, Options{})
	if err != nil {
		return nil, err
	}
	store.reader.close()
	store.reader.durable = true
	if err := store.reader.connect(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("journalpg: open: %w", err), store.Close())
	}
	return &Catalog{dsn: dsn, store: store}, nil
}

// Close ends the connection. Nil has none.
func (c *Catalog) Close() error {
	if c == nil {
		return nil
	}
	return c.store.Close()
}

// run is one statement as a transaction of its own, done again after a conflict. Every statement of the catalogue may be done twice.
func (c *Catalog) run(ctx context.Context, sql string, params [][]byte, row func(sc *scanner) error) (touched int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	err = c.store.retry(&c.store.reader, true, func() error {
		touched, err = c.store.reader.query(ctx, sql, params, func(values [][]byte) error {
			sc := scanner{values: values}
			if err := row(&sc); err != nil {
				return err
			}
			return sc.err
		})
		return err
	})
	return touched, err
}

// nothing is the row function of a statement without result.
func nothing(*scanner) error { return nil }

// nameAttempts bounds the race of several nodes for the next free number: each attempt has one winner.
const nameAttempts = 100

// Open opens the journal of that name; a new name gets a new shard.
func (c *Catalog) Open(ctx context.Context, name string) (*Store, error) {
	shard, err := c.Shard(ctx, name)
	if err != nil {
		return nil, err
	}
	return Open(ctx, c.dsn, Options{Shard: shard})
}

// Shard is the number of the journal of that name; a new name gets the next one.
func (c *Catalog) Shard(ctx context.Context, name string) (shard int64, err error) {
	if len(name) == 0 || len(name) > journal.MaxTextBytes {
		return 0, fmt.Errorf("journalpg: a journal's name has 1 to %d bytes", journal.MaxTextBytes)
	}
	for range nameAttempts {
		_, err = c.run(ctx, "INSERT INTO place (name, shard) SELECT $1, COALESCE(MAX(shard), 0) + 1 FROM place ON CONFLICT (name) DO NOTHING",
			[][]byte{[]byte(name)}, nothing)
		if err != nil && sqlState(err) != uniqueViolation {
			return 0, fmt.Errorf("journalpg: name a shard: %w", err)
		}
		found := false
		_, err = c.run(ctx, "SELECT shard FROM place WHERE name = $1", [][]byte{[]byte(name)}, func(sc *scanner) error {
			shard, found = sc.int64(0), true
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("journalpg: find a shard: %w", err)
		}
		if found {
			return shard, nil
		}
	}
	return 0, errors.New("journalpg: no free shard number found")
}

// Names are the journals of the database, in order.
func (c *Catalog) Names(ctx context.Context) (names []string, err error) {
	_, err = c.run(ctx, "SELECT name FROM place ORDER BY name", nil, func(sc *scanner) error {
		names = append(names, sc.text(0))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("journalpg: list journals: %w", err)
	}
	return names, nil
}

// MaxWorldBytes bounds the description of whose journals lie in the database.
const MaxWorldBytes = 1 << 20

// World is that description, as the last node left it; nil when there is none.
func (c *Catalog) World(ctx context.Context) (text []byte, err error) {
	text, _, err = c.world(ctx)
	return text, err
}

func (c *Catalog) world(ctx context.Context) (text []byte, version int64, err error) {
	_, err = c.run(ctx, "SELECT version, text FROM world WHERE id = 1", nil, func(sc *scanner) error {
		version, text = sc.int64(0), append([]byte(nil), sc.values[1]...)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("journalpg: read the world: %w", err)
	}
	return text, version, nil
}

// ChangeWorld replaces the description by what change makes of it. When another node was faster, change is called again.
func (c *Catalog) ChangeWorld(ctx context.Context, change func(text []byte) ([]byte, error)) error {
	for range nameAttempts {
		text, version, err := c.world(ctx)
		if err != nil {
			return err
		}
		changed, err := change(text)
		switch {
		case err != nil:
			return err
		case len(changed) > MaxWorldBytes:
			return fmt.Errorf("journalpg: the world has %d bytes, at most %d", len(changed), MaxWorldBytes)
		}
		touched, err := c.run(ctx, `INSERT INTO world AS old (id, version, text) VALUES (1, $1, $2)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, text = excluded.text WHERE old.version = excluded.version - 1`,
			[][]byte{int8Param(version + 1), changed}, nothing)
		if err != nil {
			return fmt.Errorf("journalpg: write the world: %w", err)
		}
		if touched == 1 {
			return nil
		}
	}
	return errors.New("journalpg: the world changes all the time")
}

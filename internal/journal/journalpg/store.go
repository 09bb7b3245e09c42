// Package journalpg is the journal on a server that speaks the PostgreSQL protocol.
//
// It follows no standard of payments. It promises what journal.Store asks for: a batch is one statement, one round trip
// and one transaction, on disk (and on the synchronous standby, where the server has one) when Commit returns; the
// epoch row of the shard is locked and checked in that same statement, and so is the row the batch follows. Several
// journals, one per shard, share a database, each with an epoch of its own. A commit whose answer is lost is reported as
// ErrOutcomeUnknown and the handle refuses further commits until Claim has looked again. Passwords stay in the connection
// settings: no error holds one.
//
// PostgreSQL is what it is tested on. The statements use 64-bit numbers, bytes, a row lock and unnest, no sequence and
// no advisory lock, and a serialization failure repeats the batch, so that YugabyteDB fits by design, and CockroachDB as far as it takes arrays
// of a table's row type as parameters; it is not tested on them. A Catalog names the journals of a database and says which node should write
// which. It does not know what rows or cells mean, pools nothing, and does not work through a transaction pooler
// that cannot keep prepared statements.
package journalpg

import (
	"context"
	_ "embed" // for schema.sql
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tapnet/internal/journal"
)

//go:embed schema.sql
var schema string

// upgrade makes a database of schema version 1 one of version 2, which has cells.
//
//go:embed upgrade.sql
var upgrade string

// schemaVersion is kept in journal_schema.
const schemaVersion = 2

// DefaultCommitTimeout is above the pauses of a healthy server (a checkpoint, a slow disk, a standby that restarts) and
// below what a person at a till waits through. What takes longer is an unknown outcome.
const DefaultCommitTimeout = 30 * time.Second

// Options say which journal of the database is meant.
type Options struct {
	// Shard is the number of the journal among those that share the database.
	Shard int64
	// CommitTimeout bounds one commit or claim, repetitions included; zero is DefaultCommitTimeout.
	CommitTimeout time.Duration
}

// Store is one shard's journal. Commit and Claim are for one goroutine at a time, the writer's; the other methods may be
// used by any.
type Store struct {
	config  *pgconn.Config
	options Options
	retries atomic.Uint64 // batches and reads done again, for tests

	writeMu sync.Mutex
	writer  session
	batch   batch
	last    journal.Chain // the last row as of the last Claim or Commit of this handle
	unknown bool          // a commit's outcome is not known; only Claim clears it
	closed  bool

	readMu sync.Mutex
	reader session
}

var _ journal.Store = (*Store)(nil)

// Open connects to the database of dsn, a URL (postgres://user:password@host1,host2/name?target_session_attrs=read-write)
// or keyword=value pairs, and makes the tables when there are none. The schema they live in is the DSN's search_path.
func Open(ctx context.Context, dsn string, options Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if options.CommitTimeout <= 0 {
		options.CommitTimeout = DefaultCommitTimeout
	}
	s := &Store{config: config, options: options}
	s.writer = session{config: config, prepare: []string{commitSQL}, durable: true}
	s.reader = session{config: config, prepare: []string{findSQL, cellSQL, cellNameSQL, resolvingSQL}}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("journalpg: open: %w", err), s.Close())
	}
	return s, nil
}

// parseDSN drops the parser's own complaint: it repeats the string, and where a broken string hides its password nobody
// can tell.
func parseDSN(dsn string) (*pgconn.Config, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("journalpg: the connection string (not shown, it may hold a password) is not a " +
			"postgres:// URL or a list of keyword=value pairs, or the files it names cannot be read")
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "tapnet"
	}
	return config, nil
}

// migrateAttempts bounds the race of several nodes that find an empty database: one of them wins at once.
const migrateAttempts = 5

// migrate makes the tables in an empty database and refuses those that a newer program made. It does not write when
// the tables are there, so it also opens a standby or a database that only its owner may alter.
func (s *Store) migrate(ctx context.Context) (err error) {
	for range migrateAttempts {
		var version int64
		statements := schema
		version, err = s.version(ctx)
		switch {
		case err == nil && version == schemaVersion:
			return nil
		case err == nil && version == 1:
			statements = upgrade
		case err == nil:
			return fmt.Errorf("database has schema version %d, this program knows %d", version, schemaVersion)
		case sqlState(err) != undefinedTable:
			return err
		}
		if err = s.reader.script(ctx, statements); err == nil {
			return nil
		}
		switch sqlState(err) {
		case uniqueViolation, duplicateTable, duplicateObject, serializationFailure, deadlockDetected: // another node was faster
		default:
			return fmt.Errorf("create tables: %w", err)
		}
	}
	return fmt.Errorf("create tables: %w", err)
}

func (s *Store) version(ctx context.Context) (version int64, err error) {
	sc := scanner{}
	err = s.retry(&s.reader, true, func() error {
		_, err := s.reader.query(ctx, "SELECT version FROM journal_schema WHERE id = 1", nil, func(values [][]byte) error {
			sc.values = values
			version = sc.int64(0)
			return sc.err
		})
		return err
	})
	return version, err
}

// Close implements journal.Store.
func (s *Store) Close() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.readMu.Lock()
	defer s.readMu.Unlock()
	s.closed = true
	s.writer.close()
	s.reader.close()
	return nil
}

const claimSQL = `INSERT INTO fence (shard, epoch, owner) VALUES ($1, 1, $2)
	ON CONFLICT (shard) DO UPDATE SET epoch = fence.epoch + 1, owner = excluded.owner
	RETURNING epoch`

// Claim implements journal.Store. It connects anew, so that after a failover it finds the server that now takes writes,
// and it waits for a commit that is under way.
func (s *Store) Claim(ctx context.Context, owner string) (epoch uint64, err error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed {
		return 0, journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.CommitTimeout)
	defer cancel()
	s.writer.close()
	s.readMu.Lock()
	s.reader.close()
	s.readMu.Unlock()

	name := strings.ReplaceAll(strings.ToValidUTF8(owner, "?"), "\x00", "?")
	err = s.retry(&s.writer, true, func() error {
		if err := s.writer.connect(ctx); err != nil {
			return err
		}
		s.writer.warning = ""
		sc := scanner{}
		_, err := s.writer.query(ctx, claimSQL, [][]byte{int8Param(s.options.Shard), []byte(name)}, func(values [][]byte) error {
			sc.values = values
			epoch = uint64(sc.int64(0))
			return sc.err
		})
		return err
	})
	if err == nil && s.writer.warning != "" {
		err = fmt.Errorf("the server warned (SQLSTATE %s): the claim may not survive a failover", s.writer.warning)
	}
	if err != nil {
		return 0, fmt.Errorf("journalpg: claim: %w", err)
	}
	// Nobody else can commit from here on: this is the last row.
	last, err := s.lastRow(ctx, &s.writer)
	if err != nil {
		return 0, fmt.Errorf("journalpg: claim: %w", err)
	}
	s.last, s.unknown = last, false
	return epoch, nil
}

func int8Param(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

// Package journalsql keeps a journal in an SQLite file, through the native interface of zombiezen.com/go/sqlite.
//
// It follows no standard. It promises what journal.Store asks for: a commit is one transaction, on disk when Commit
// returns (write-ahead log, synchronous=FULL), checked against the epoch row inside that transaction. Cells, which are
// a cache of the rows, are written to a log of their own (celllog) after the commit, without a sync, and never get
// ahead of the rows.
// It does not know what rows or cells mean, and does not lock the data directory.
package journalsql

import (
	"context"
	_ "embed" // for schema.sql
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
)

// The steps that bring a file from nothing to each version.
var (
	//go:embed schema.sql
	schema string
	//go:embed resolves.sql
	resolvesSchema string
)

// schemaVersion is kept in the file's user_version.
const schemaVersion = 2

const (
	// busyTimeout is how long a statement waits for another process that writes: longer than any commit takes.
	busyTimeout = 10 * time.Second
	// cacheKiB holds the tail of the table and of the index, the only pages an append touches, with room to spare. More would cost time: when a page of the
	// index was divided, SQLite looks through all pages it has in memory.
	cacheKiB = 8 << 10
	// walKeepBytes is what the write-ahead log is cut back to when it starts anew. That is more than it usually has by then: a file that keeps its length is
	// synced faster than one that is cut and grows again.
	walKeepBytes = 64 << 20
)

// Store is a journal in one SQLite file. Commit and Claim are for one goroutine at a time, the writer's; the other
// methods may be used by any.
type Store struct {
	path string

	writeMu sync.Mutex
	writer  *sqlite.Conn
	stmts   statements
	lastSeq uint64 // as of the last Claim or Commit of this handle
	closed  bool

	lookouts   lookouts
	cells      cells
	checkpoint *checkpointer
}

var _ journal.Store = (*Store)(nil)

// statements of the writer, prepared once.
type statements struct {
	begin, commit, rollback, epoch, insert *sqlite.Stmt
}

// Open opens the journal in the file at path and creates it when there is none.
func Open(ctx context.Context, path string) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Store{path: path, cells: cells{path: CellsPath(path)}}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("journalsql: open %s: %w", filepath.Base(path), err), s.Close())
	}
	return s, nil
}

func (s *Store) open() error {
	var err error
	if err := touch(s.path); err != nil {
		return err
	}
	if s.writer, err = connect(s.path); err != nil {
		return err
	}
	if err := migrate(s.writer, schema, resolvesSchema); err != nil {
		return err
	}
	if s.stmts, err = prepare(s.writer); err != nil {
		return err
	}
	if err := s.lookouts.start(func() (*sqlite.Conn, error) { return connect(s.path) }); err != nil {
		return err
	}
	conn, err := connect(s.path)
	if err != nil {
		return err
	}
	s.checkpoint, err = startCheckpointer(s.path, conn)
	return err
}

// touch makes the file when there is none. It holds what people bought and when: it is for its owner only.
func touch(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// connect opens a connection that never checkpoints by itself: that would put it into somebody's commit. Settings are set before and override the usual ones.
func connect(path string, settings ...string) (*sqlite.Conn, error) {
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	conn.SetBusyTimeout(busyTimeout)
	if len(settings) == 0 {
		settings = []string{"PRAGMA synchronous=FULL"}
	}
	for _, pragma := range append(settings,
		"PRAGMA journal_mode=WAL",
		"PRAGMA wal_autocheckpoint=0",
		fmt.Sprintf("PRAGMA journal_size_limit=%d", walKeepBytes),
		fmt.Sprintf("PRAGMA cache_size=-%d", cacheKiB),
		"PRAGMA trusted_schema=OFF",
	) {
		if err := sqlitex.ExecuteTransient(conn, pragma, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", pragma, err), conn.Close())
		}
	}
	return conn, nil
}

// migrate brings a file to the schema, step by step, and refuses one that a newer program made.
func migrate(conn *sqlite.Conn, steps ...string) (err error) {
	end, err := sqlitex.ImmediateTransaction(conn)
	if err != nil {
		return err
	}
	defer end(&err)
	version, err := queryInt(conn, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if version < 0 || version > int64(len(steps)) {
		return fmt.Errorf("file has schema version %d, this program knows %d", version, len(steps))
	}
	for ; version < int64(len(steps)); version++ {
		if err := sqlitex.ExecuteScript(conn, steps[version], nil); err != nil {
			return fmt.Errorf("bring schema to version %d: %w", version+1, err)
		}
		if err := sqlitex.ExecuteTransient(conn, fmt.Sprintf("PRAGMA user_version=%d", version+1), nil); err != nil {
			return err
		}
	}
	return nil
}

func queryInt(conn *sqlite.Conn, query string) (int64, error) {
	stmt, err := conn.Prepare(query)
	if err != nil {
		return 0, err
	}
	return sqlitex.ResultInt64(stmt)
}

func prepare(conn *sqlite.Conn) (st statements, err error) {
	for _, p := range []struct {
		to    **sqlite.Stmt
		query string
	}{
		{&st.begin, "BEGIN IMMEDIATE"},
		{&st.commit, "COMMIT"},
		{&st.rollback, "ROLLBACK"},
		{&st.epoch, "SELECT epoch FROM fence WHERE id = 1"},
		{&st.insert, insertSQL},
	} {
		if *p.to, err = conn.Prepare(p.query); err != nil {
			return st, fmt.Errorf("prepare: %w", err)
		}
	}
	return st, nil
}

// Close implements journal.Store. SQLite moves the log into the file when the last connection goes.
func (s *Store) Close() error {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var errs []error
	if s.checkpoint != nil {
		errs = append(errs, s.checkpoint.stop())
	}
	errs = append(errs, s.lookouts.stop(), s.cells.close())
	if s.writer != nil {
		errs = append(errs, s.writer.Close())
	}
	if s.checkpoint != nil {
		errs = append(errs, s.checkpoint.release())
	}
	return errors.Join(errs...)
}

// Claim implements journal.Store.
func (s *Store) Claim(ctx context.Context, owner string) (epoch uint64, err error) {
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	if s.closed {
		return 0, journal.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	end, err := sqlitex.ImmediateTransaction(s.writer)
	if err != nil {
		return 0, fmt.Errorf("journalsql: claim: %w", err)
	}
	defer end(&err)
	err = sqlitex.Execute(s.writer, "UPDATE fence SET epoch = epoch + 1, owner = ?1 WHERE id = 1",
		&sqlitex.ExecOptions{Args: []any{owner}})
	if err != nil {
		return 0, fmt.Errorf("journalsql: claim: %w", err)
	}
	if s.writer.Changes() != 1 {
		return 0, errors.New("journalsql: claim: the epoch row is missing")
	}
	current, err := sqlitex.ResultInt64(s.stmts.epoch)
	if err != nil {
		return 0, fmt.Errorf("journalsql: claim: %w", err)
	}
	last, err := queryInt(s.writer, "SELECT COALESCE(MAX(seq), 0) FROM journal")
	if err != nil {
		return 0, fmt.Errorf("journalsql: claim: %w", err)
	}
	s.lastSeq = uint64(last)
	if err := s.cells.claim(s.lastSeq); err != nil {
		return 0, err
	}
	return uint64(current), nil
}

package journalsql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
	"tapnet/internal/ledger"
)

// ErrNotJournal is wrapped by OpenReader's error for a file that is no journal of a kind this program knows.
var ErrNotJournal = errors.New("not a journal")

const (
	rangeSQL = `SELECT ` + columns + ` FROM journal WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3`
	oneSQL   = `SELECT ` + columns + ` FROM journal WHERE seq = ?1`
	// Two questions, since SQLite looks at the end of the tree only when it is asked for one extreme.
	endsSQL  = `SELECT COALESCE((SELECT MIN(seq) FROM journal), 0), COALESCE((SELECT MAX(seq) FROM journal), 0)`
	indexSQL = `SELECT COUNT(*) FROM sqlite_schema WHERE type = 'index' AND name = 'journal_key' AND sql LIKE 'CREATE UNIQUE INDEX%'`
)

const (
	// readerCacheKiB is small: a reader passes over each page once, and there may be a thousand readers.
	readerCacheKiB = 1 << 10
	// sliceRows is how many rows one read transaction passes: a long one would keep a live writer's log from starting anew.
	sliceRows = 16384
)

// Reader reads a journal that may be another process's, and changes nothing: neither rows nor the epoch, and where no
// writer is at work not even the files that SQLite keeps beside the database. It checks no chain: what it reads may be
// damaged, and its caller wants to know all of it. One goroutine uses it at a time.
type Reader struct {
	path  string
	conn  *sqlite.Conn
	cells *celllog.Log // nil before it is asked for
	still bool
}

// OpenReader opens the journal in the file at path for reading.
func OpenReader(ctx context.Context, path string) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &Reader{path: path}
	if err := r.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("journalsql: read %s: %w", filepath.Base(path), err), r.Close())
	}
	r.conn.SetInterrupt(ctx.Done())
	return r, nil
}

func (r *Reader) open() (err error) {
	if r.conn, r.still, err = openStill(r.path, schemaVersion); err != nil {
		return err
	}
	if _, err := r.conn.Prepare(rangeSQL); err != nil {
		return fmt.Errorf("%w: %w", ErrNotJournal, err)
	}
	return nil
}

// openStill opens a file for reading. A database without a log has no writer: it is still. Then SQLite need not make files for one that may come, which a
// medium that cannot be written would not let it do.
func openStill(path string, known int64) (conn *sqlite.Conn, still bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, false, err
	case !info.Mode().IsRegular():
		return nil, false, fmt.Errorf("%w: it is no file", ErrNotJournal)
	}
	name, flags := path, sqlite.OpenReadOnly
	if still = !hasLog(path); still {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, false, err
		}
		name, flags = (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: "immutable=1"}).String(), flags|sqlite.OpenURI
	}
	if conn, err = sqlite.OpenConn(name, flags); err != nil {
		return nil, false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
			conn = nil
		}
	}()
	conn.SetBusyTimeout(busyTimeout)
	version, err := queryInt(conn, "PRAGMA user_version")
	if err != nil {
		return conn, false, errors.Join(ErrNotJournal, err)
	}
	if version != known {
		return conn, false, fmt.Errorf("%w: schema version %d, this program knows %d", ErrNotJournal, version, known)
	}
	return conn, still, sqlitex.ExecuteTransient(conn, fmt.Sprintf("PRAGMA cache_size=-%d", readerCacheKiB), nil)
}

// hasLog reports whether a write-ahead log lies beside the database: somebody writes, or was killed while writing.
func hasLog(path string) bool {
	info, err := os.Stat(path + "-wal")
	return !errors.Is(err, fs.ErrNotExist) && (err != nil || info.Size() > 0)
}

// Still reports whether the journal had no writer when it was opened and has none now. One that was still and is not any
// more was read without regard to its writer and must be opened again.
func (r *Reader) Still() (before, now bool) {
	return r.still, !hasLog(r.path)
}

// Ends are the numbers of the first and the last row, zero when there is none. A sound journal begins with 1.
func (r *Reader) Ends() (first, last int64, err error) {
	stmt, err := r.conn.Prepare(endsSQL)
	if err != nil {
		return 0, 0, fmt.Errorf("journalsql: ends: %w", err)
	}
	if _, err := stmt.Step(); err != nil {
		return 0, 0, fmt.Errorf("journalsql: ends: %w", err)
	}
	first, last = stmt.ColumnInt64(0), stmt.ColumnInt64(1)
	return first, last, stmt.Reset()
}

// HasKeyIndex reports whether the index that keeps keys unique is there.
func (r *Reader) HasKeyIndex() (bool, error) {
	n, err := queryInt(r.conn, indexSQL)
	return n == 1, err
}

// Size is the number of bytes of the database and its log.
func (r *Reader) Size() (int64, error) {
	info, err := os.Stat(r.path)
	if err != nil {
		return 0, fmt.Errorf("journalsql: size: %w", err)
	}
	size := info.Size()
	if log, err := os.Stat(r.path + "-wal"); err == nil {
		size += log.Size()
	}
	return size, nil
}

// Batch is rows as Rows hands them out. It is used again for the next ones.
type Batch struct {
	Rows []journal.Row
	// Damaged are the rows that have a column which its field cannot hold; there the field is zero.
	Damaged []Damage

	texts []byte
	blobs []byte
	ends  []int // of the texts in texts, four a row
}

// Damage is a column that cannot be read.
type Damage struct {
	At     int // place in Rows
	Column string
}

// Rows calls fn with the rows above after and up to last, in order, up to size at a time, and stops at the first error. Each
// slice of them is a read transaction of its own; since rows are only ever appended, together they are one state of the
// journal. fn may keep neither the batch nor its rows; it returns the batch to fill next, which may be the same.
func (r *Reader) Rows(ctx context.Context, after, last uint64, size int, b *Batch, fn func(*Batch) (*Batch, error)) error {
	stmt, err := r.conn.Prepare(rangeSQL)
	if err != nil {
		return fmt.Errorf("journalsql: read rows: %w", err)
	}
	for after < last {
		stmt.BindInt64(1, int64(min(after, math.MaxInt64)))
		stmt.BindInt64(2, int64(min(last, math.MaxInt64)))
		stmt.BindInt64(3, sliceRows)
		n := 0
		for more := true; more; {
			b.reset()
			for len(b.Rows) < size {
				if more, err = stmt.Step(); err != nil {
					return fmt.Errorf("journalsql: read after row %d: %w", after, errors.Join(ctx.Err(), err))
				}
				if !more {
					break
				}
				b.scan(stmt)
			}
			if len(b.Rows) == 0 {
				break
			}
			n, after = n+len(b.Rows), b.Rows[len(b.Rows)-1].Seq
			b.finish()
			if b, err = fn(b); err != nil {
				return errors.Join(err, stmt.Reset())
			}
		}
		if err := stmt.Reset(); err != nil {
			return fmt.Errorf("journalsql: read rows: %w", err)
		}
		if n < sliceRows {
			return nil
		}
	}
	return nil
}

// Row is the row with that number, if there is one that can be read.
func (r *Reader) Row(seq uint64) (journal.Row, bool, error) {
	if seq > math.MaxInt64 {
		return journal.Row{}, false, nil
	}
	return r.one(oneSQL, func(stmt *sqlite.Stmt) { stmt.BindInt64(1, int64(seq)) })
}

// FindKey is the row with that key, if there is one that can be read.
func (r *Reader) FindKey(key string) (journal.Row, bool, error) {
	return r.one(findKeySQL, func(stmt *sqlite.Stmt) { stmt.BindText(1, key) })
}

func (r *Reader) one(query string, bind func(*sqlite.Stmt)) (row journal.Row, found bool, err error) {
	stmt, err := r.conn.Prepare(query)
	if err != nil {
		return row, false, fmt.Errorf("journalsql: read a row: %w", err)
	}
	bind(stmt)
	if found, err = stmt.Step(); err != nil {
		return row, false, fmt.Errorf("journalsql: read a row: %w", err)
	}
	if found {
		var damage error
		row, damage = scan(stmt)
		found = damage == nil
	}
	return row, found, stmt.Reset()
}

// Close ends the reader.
func (r *Reader) Close() error {
	if r.conn == nil {
		return nil
	}
	err := r.conn.Close()
	r.conn = nil
	if r.cells != nil {
		err = errors.Join(err, r.cells.Close())
	}
	return err
}

func (b *Batch) reset() {
	b.Rows, b.Damaged, b.texts, b.blobs, b.ends = b.Rows[:0], b.Damaged[:0], b.texts[:0], b.blobs[:0], b.ends[:0]
}

// scan appends the statement's row. Texts become strings all at once in finish, since a string a column is what costs most.
func (b *Batch) scan(st *sqlite.Stmt) {
	sc := scanner{st: st}
	b.Rows = append(b.Rows, journal.Row{})
	r := &b.Rows[len(b.Rows)-1]
	r.Seq = sc.unsigned(0, math.MaxInt64)
	r.Kind = journal.Kind(sc.unsigned(1, math.MaxUint8))
	r.At = time.UnixMicro(st.ColumnInt64(2)).UTC()
	r.BusinessDate = int32(sc.signed(3, math.MinInt32, math.MaxInt32))
	sc.fixed(4, r.Content[:])
	r.STAN = uint32(sc.unsigned(5, math.MaxUint32))
	r.Card = st.ColumnInt64(6)
	r.ATC = uint16(sc.unsigned(7, math.MaxUint16))
	r.Reason = uint16(sc.unsigned(8, math.MaxUint16))
	r.Debit = ledger.Account(st.ColumnInt64(9))
	r.Credit = ledger.Account(st.ColumnInt64(10))
	r.Amount = st.ColumnInt64(11)
	r.Currency = uint16(sc.unsigned(12, math.MaxUint16))
	r.Phase = ledger.Phase(sc.unsigned(13, math.MaxUint8))
	r.Resolves = sc.unsigned(14, math.MaxInt64)
	r.Linked = sc.unsigned(15, math.MaxInt64)
	sc.fixed(16, r.Chain[:])
	for col := 17; col <= 20; col++ {
		b.texts = appendColumn(&sc, col, journal.MaxTextBytes, b.texts)
		b.ends = append(b.ends, len(b.texts))
	}
	from := len(b.blobs)
	b.blobs = appendColumn(&sc, 21, journal.MaxBlobBytes, b.blobs)
	r.Answer = b.blobs[from:len(b.blobs):len(b.blobs)]
	from = len(b.blobs)
	b.blobs = appendColumn(&sc, 22, journal.MaxBlobBytes, b.blobs)
	r.Note = b.blobs[from:len(b.blobs):len(b.blobs)]
	if !r.Kind.Valid() {
		sc.bad(1)
	}
	if !r.Phase.Valid() {
		sc.bad(13)
	}
	if sc.err != nil {
		b.Damaged = append(b.Damaged, Damage{At: len(b.Rows) - 1, Column: sc.column})
	}
}

func appendColumn(sc *scanner, col, most int, to []byte) []byte {
	n := sc.st.ColumnLen(col)
	switch {
	case n == 0:
		return to
	case n > most:
		sc.bad(col)
		return to
	}
	from := len(to)
	for cap(to)-from < n {
		to = append(to[:cap(to)], 0)
	}
	to = to[:from+n]
	sc.st.ColumnBytes(col, to[from:])
	return to
}

// finish gives the rows their texts.
func (b *Batch) finish() {
	all, from := string(b.texts), 0
	for i := range b.Rows {
		r, ends := &b.Rows[i], b.ends[4*i:4*i+4]
		r.Key, r.Payment = all[from:ends[0]], all[ends[0]:ends[1]]
		r.RRN, r.Terminal = all[ends[1]:ends[2]], all[ends[2]:ends[3]]
		from = ends[3]
	}
}

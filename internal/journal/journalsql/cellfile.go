package journalsql

import (
	"bytes"
	"context"
	_ "embed" // for cells.sql
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
)

//go:embed cells.sql
var cellSchema string

//go:embed cells_pad.sql
var cellPadSchema string

const (
	// cellVersion is kept in the file's user_version.
	cellVersion = 2
	// cellPage is small, since cells are read and written one here and one there: each write carries a page to the log and back.
	cellPage = 1024
	// cellCacheKiB is memory for the pages of the cells touched last.
	cellCacheKiB = 64 << 10

	findCellSQL  = `SELECT id, seq, name, data FROM cell WHERE id = ?1`
	findNameSQL  = `SELECT id, seq, name, data FROM cell WHERE place BETWEEN ?1 AND ?1 + 7 AND name = ?2`
	cellsSQL     = `SELECT id, seq, name, data FROM cell ORDER BY id`
	watermarkSQL = `SELECT watermark FROM mark WHERE id = 1`
	lastCellSQL  = `SELECT last FROM mark WHERE id = 1`

	updateCellSQL = `UPDATE cell SET seq = ?2, data = ?3 WHERE place = ?1 AND id = ?4 AND name IS ?5`
	insertCellSQL = `INSERT INTO cell (place, id, seq, name, data) VALUES (?1, ?4, ?2, ?5, ?3) ON CONFLICT (place) DO NOTHING`
	raiseMarkSQL  = `UPDATE mark SET watermark = MAX(watermark, ?1), last = ?2 WHERE id = 1`
)

// neighbours is how many cells may share a place: with 62 bits of a keyed hash two do in a bank of a thousand million cards, now and then.
const neighbours = 8

// placeOf is where a cell stands, or the first of the neighbouring places.
func placeOf(id int64, name [16]byte) int64 {
	if name == [16]byte{} {
		return -id
	}
	return int64(binary.BigEndian.Uint64(name[:8]) >> 2)
}

// CellsPath is the file of the cells that belong to the journal in the file at path.
func CellsPath(path string) string { return strings.TrimSuffix(path, ".db") + ".cells" }

// cells is the file of the cells, which is made when the first are written back: few roles have any.
//
// It is a file of its own, written after the journal's commit and without a sync: it is a cache, its log makes it whole as of an earlier commit after a power
// failure, and what it lacks the journal has. It is never ahead of the journal.
type cells struct {
	path string
	mu   sync.Mutex
	open *cellFile
}

// cellFile is that file. One connection writes and looks up: SQLite throws the pages away that a connection has read as soon as another one has written.
type cellFile struct {
	mu                                          sync.Mutex
	conn                                        *sqlite.Conn
	closed                                      bool
	looking                                     bool // a read transaction is open: look-ups between two batches share it
	owned                                       bool // this handle is the writer, as far as it knows
	begin, commit, rollback, update, add, raise *sqlite.Stmt
	picture, byName                             *sqlite.Stmt
	checkpoint                                  *checkpointer
	padded                                      []byte
}

// file gives the file, nil when there is none and none is to be made.
func (c *cells) file(ctx context.Context, create bool) (*cellFile, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open != nil {
		return c.open, nil
	}
	if !create {
		if _, err := os.Stat(c.path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	f, err := openCells(c.path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journalsql: open %s: %w", filepath.Base(c.path), err), f.close())
	}
	c.open = f
	return f, nil
}

func openCells(path string) (*cellFile, error) {
	f := &cellFile{}
	var err error
	if err := touch(path); err != nil {
		return f, err
	}
	if f.conn, err = connectCells(path); err != nil {
		return f, err
	}
	if err := migrate(f.conn, cellSchema, cellPadSchema); err != nil {
		return f, err
	}
	if err := sqlitex.ExecuteTransient(f.conn, fmt.Sprintf("PRAGMA cache_size=-%d", cellCacheKiB), nil); err != nil {
		return f, err
	}
	for _, p := range []struct {
		to    **sqlite.Stmt
		query string
	}{
		{&f.begin, "BEGIN IMMEDIATE"}, {&f.commit, "COMMIT"}, {&f.rollback, "ROLLBACK"}, {&f.update, updateCellSQL}, {&f.add, insertCellSQL},
		{&f.raise, raiseMarkSQL}, {&f.picture, "BEGIN"}, {&f.byName, findNameSQL},
	} {
		if *p.to, err = f.conn.Prepare(p.query); err != nil {
			return f, fmt.Errorf("prepare: %w", err)
		}
	}
	conn, err := connectCells(path)
	if err != nil {
		return f, err
	}
	f.checkpoint, err = startCheckpointer(path, conn)
	return f, err
}

func connectCells(path string) (*sqlite.Conn, error) {
	return connect(path, fmt.Sprintf("PRAGMA page_size=%d", cellPage), "PRAGMA synchronous=NORMAL")
}

func (f *cellFile) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	var errs []error
	if f.checkpoint != nil {
		errs = append(errs, f.checkpoint.stop())
	}
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	if f.checkpoint != nil {
		errs = append(errs, f.checkpoint.release())
	}
	return errors.Join(errs...)
}

// look lends f the connection.
func (f *cellFile) look(ctx context.Context, do func(conn *sqlite.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return journal.ErrClosed
	}
	if f.owned && !f.looking {
		if err := run(f.picture); err != nil {
			return fmt.Errorf("journalsql: begin a look: %w", err)
		}
		f.looking = true
	}
	return do(f.conn)
}

// findName is the look-up of nearly every card that pays; it has a statement of its own.
func (f *cellFile) findName(name [16]byte, c *journal.Cell) (found bool, err error) {
	f.byName.BindInt64(1, placeOf(0, name))
	f.byName.BindBytes(2, name[:])
	if found, err = f.byName.Step(); found {
		err = scanCell(f.byName, c)
	}
	if err = errors.Join(err, f.byName.Reset()); err != nil {
		return false, fmt.Errorf("journalsql: find cell by name: %w", err)
	}
	return found, nil
}

// own says whether this handle is the only writer. Otherwise every look-up has a transaction of its own, to see what the other one has written.
func (f *cellFile) own(owned bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owned = owned
	return f.lower()
}

// lower ends the transaction that look-ups share.
func (f *cellFile) lower() error {
	if !f.looking {
		return nil
	}
	f.looking = false
	return run(f.commit)
}

func (c *cells) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		return nil
	}
	return c.open.close()
}

// strange says that somebody else writes from here on.
func (c *cells) strange() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		return nil
	}
	return c.open.own(false)
}

// put writes back, after the rows up to last are durable.
func (f *cellFile) put(back *journal.Back, last uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(f.lower(), run(f.begin)); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	f.owned = true
	err := f.putAll(back, last)
	if err == nil {
		err = run(f.commit)
	}
	if err != nil {
		if f.conn.AutocommitEnabled() {
			return err
		}
		return errors.Join(err, run(f.rollback))
	}
	if f.checkpoint.committed(len(back.Cells)) {
		_, _ = passive(f.conn) // an error is no error of the commit; the next round tries again
	}
	return nil
}

func (f *cellFile) putAll(back *journal.Back, last uint64) error {
	for i := range back.Cells {
		if err := f.putCell(&back.Cells[i]); err != nil {
			return fmt.Errorf("write back cell %d: %w", back.Cells[i].ID, err)
		}
	}
	f.raise.BindInt64(1, int64(back.Watermark))
	f.raise.BindInt64(2, int64(last))
	return run(f.raise)
}

var errCellName = errors.New("its name is another's or has changed")

// putCell changes the cell where it stands, or adds it at the first free place.
func (f *cellFile) putCell(c *journal.Cell) error {
	place := placeOf(c.ID, c.Name)
	f.padded = pad(f.padded[:0], c.Data)
	for _, stmt := range [...]*sqlite.Stmt{f.update, f.add} {
		for at := range int64(neighbours) {
			stmt.BindInt64(1, place+at)
			stmt.BindInt64(2, int64(c.Seq))
			stmt.BindBytes(3, f.padded)
			stmt.BindInt64(4, c.ID)
			if c.Name == [16]byte{} {
				stmt.BindNull(5)
			} else {
				stmt.BindBytes(5, c.Name[:])
			}
			if err := run(stmt); err != nil {
				if sqlite.ErrCode(err) == sqlite.ResultConstraintUnique {
					return errCellName // the number is there, at another place
				}
				return err
			}
			if f.conn.Changes() == 1 {
				return nil
			}
			if stmt == f.update && at == 0 {
				if free, err := f.empty(place); err != nil || free {
					if err != nil {
						return err
					}
					break // a new cell: nothing stands here, so nothing stands beside
				}
			}
		}
	}
	return errors.New("too many cells share its place")
}

// empty reports whether nothing stands at the place.
func (f *cellFile) empty(place int64) (bool, error) {
	stmt, err := f.conn.Prepare("SELECT 1 FROM cell WHERE place = ?1")
	if err != nil {
		return false, err
	}
	stmt.BindInt64(1, place)
	found, err := stmt.Step()
	return !found, errors.Join(err, stmt.Reset())
}

// check refuses cells that know of rows which the journal does not have.
func (f *cellFile) check(ctx context.Context, last uint64) error {
	return f.look(ctx, func(conn *sqlite.Conn) error {
		for _, query := range []string{watermarkSQL, lastCellSQL} {
			known, err := queryInt(conn, query)
			if err != nil {
				return err
			}
			if uint64(known) > last {
				return fmt.Errorf("the cells know of row %d and the journal ends at row %d: rows are missing, or the files do not belong together", known, last)
			}
		}
		return nil
	})
}

func eachCell(ctx context.Context, conn *sqlite.Conn, fn func(*journal.Cell) error) error {
	stmt, err := conn.Prepare(cellsSQL)
	if err != nil {
		return fmt.Errorf("journalsql: cells: %w", err)
	}
	var c journal.Cell
	for {
		more, err := stmt.Step()
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), stmt.Reset())
		}
		if err != nil {
			return fmt.Errorf("journalsql: cells after %d: %w", c.ID, err)
		}
		if !more {
			return nil
		}
		err = scanCell(stmt, &c)
		if err != nil {
			err = fmt.Errorf("journalsql: cells: %w", err)
		} else {
			err = fn(&c)
		}
		if err != nil {
			return errors.Join(err, stmt.Reset())
		}
	}
}

// scanCell reads a cell into c, whose memory it uses.
func scanCell(stmt *sqlite.Stmt, c *journal.Cell) error {
	c.ID, c.Seq, c.Name = stmt.ColumnInt64(0), uint64(stmt.ColumnInt64(1)), [16]byte{}
	if n := stmt.ColumnLen(2); n != 0 && (n != len(c.Name) || stmt.ColumnBytes(2, c.Name[:]) != n) {
		return fmt.Errorf("cell %d: name of %d bytes, want %d", c.ID, n, len(c.Name))
	}
	n := stmt.ColumnLen(3)
	if n > journal.MaxCellBytes+padBlock {
		return fmt.Errorf("cell %d: %d bytes, more than %d", c.ID, n, journal.MaxCellBytes)
	}
	if cap(c.Data) < n {
		c.Data = make([]byte, n)
	}
	c.Data = c.Data[:n]
	stmt.ColumnBytes(3, c.Data)
	var whole bool
	if c.Data, whole = unpad(c.Data); !whole {
		return fmt.Errorf("cell %d: its data has no end", c.ID)
	}
	return nil
}

// padBlock is a few times what the numbers in a cell grow by. A cell whose length changes is taken out and put in again, and the page around it may be
// divided or joined with others. Then SQLite looks through all pages it has in memory when the transaction ends, which for a large bank took longer than
// all the rest of it.
const padBlock = 64

// pad appends data with a mark and zeros, up to a whole number of blocks.
func pad(dst, data []byte) []byte {
	dst = append(append(dst, data...), padMark)
	for len(dst)%padBlock != 0 {
		dst = append(dst, 0)
	}
	return dst
}

const padMark = 0x80

// unpad takes mark and zeros off; there must be a mark.
func unpad(data []byte) ([]byte, bool) {
	data = bytes.TrimRight(data, "\x00")
	n := len(data) - 1
	if n < 0 || data[n] != padMark {
		return data[:0], false
	}
	return data[:n], true
}

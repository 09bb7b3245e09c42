package journalsql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
)

const (
	cellsSuffix = ".cells.d"
	// formerSuffix is the file that cells were kept in before, with its log.
	formerSuffix = ".cells"
)

// CellsPath is the directory of the cells that belong to the journal in the file at path. It is not there when nothing was ever written back.
func CellsPath(path string) string { return strings.TrimSuffix(path, ".db") + cellsSuffix }

// cells is the log of the cells, which is made when the first are written back: few roles have any.
//
// It is written after the journal's commit and without a sync: it is a cache, it is whole as of an earlier commit after a power failure, and what it lacks the
// journal has. It is never ahead of the journal.
type cells struct {
	path  string
	owned atomic.Pointer[celllog.Log] // of the writer; look-ups go past the lock

	mu     sync.Mutex
	log    *celllog.Log // nil before the first look
	closed bool
}

// look lends do the log. Who is not the writer sees what the writer had written when the look began.
func (c *cells) look(ctx context.Context, do func(l *celllog.Log) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l := c.owned.Load(); l != nil {
		return do(l)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.fresh(); err != nil {
		return err
	}
	return do(c.log)
}

// fresh opens the log, again if somebody has written since.
func (c *cells) fresh() error {
	if c.closed {
		return journal.ErrClosed
	}
	if c.log != nil {
		changed, err := c.log.Changed()
		if err == nil && changed {
			err = c.log.Close()
			c.log = nil
		}
		if err != nil {
			return c.wrap(err)
		}
	}
	if c.log == nil {
		l, err := celllog.Open(c.path)
		if err != nil {
			return c.wrap(err)
		}
		c.log = l
	}
	return nil
}

func (c *cells) wrap(err error) error {
	return fmt.Errorf("journalsql: %s: %w", filepath.Base(c.path), err)
}

// all calls fn for every cell in order of number.
func (c *cells) all(ctx context.Context, fn func(*journal.Cell) error) (err error) {
	if l := c.owned.Load(); l != nil {
		return l.Ordered(ctx, fn)
	}
	if err := c.look(ctx, func(*celllog.Log) error { return nil }); err != nil {
		return err
	}
	l, err := celllog.Open(c.path) // fn may look for others
	if err != nil {
		return c.wrap(err)
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return l.Ordered(ctx, fn)
}

// claim makes this handle the writer's. It refuses cells that know of rows which the journal does not have; a log that is damaged it throws away, and the
// rows are replayed, as they are when a file of the former format is all there is.
func (c *cells) claim(last uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.release()
	if err == nil {
		err = c.fresh()
	}
	var damage *celllog.DamageError
	if errors.As(err, &damage) {
		if err = celllog.Remove(c.path); err == nil {
			err = c.fresh()
		}
	}
	if err != nil {
		return err
	}
	if known := max(c.log.Watermark(), c.log.Last()); known > last {
		return c.wrap(fmt.Errorf("the cells know of row %d and the journal ends at row %d: rows are missing, or the files do not belong together", known, last))
	}
	for _, suffix := range [...]string{formerSuffix, formerSuffix + "-wal", formerSuffix + "-shm"} {
		if err := os.Remove(strings.TrimSuffix(c.path, cellsSuffix) + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := c.log.Own(); err != nil {
		return c.wrap(err)
	}
	c.owned.Store(c.log)
	return nil
}

// release closes the log, whoever's it is.
func (c *cells) release() error {
	c.owned.Store(nil)
	if c.log == nil {
		return nil
	}
	err := c.log.Close()
	c.log = nil
	return err
}

// strange says that somebody else writes from here on.
func (c *cells) strange() error {
	if l := c.owned.Swap(nil); l != nil {
		l.Disown()
	}
	return nil
}

// put writes back, after the rows up to last are durable.
func (c *cells) put(back *journal.Back, last uint64) error {
	l := c.owned.Load()
	if l == nil {
		return errors.New("journalsql: cells are written back by a handle that has not claimed the journal")
	}
	if err := l.Put(back.Cells, back.Watermark, last); err != nil {
		return c.wrap(err)
	}
	return nil
}

func (c *cells) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.release()
}

// WriteCells gives the journal in the file at path these cells and marks in place of its own, as they are. Tests plant errors with it.
func WriteCells(path string, cells []journal.Cell, watermark, last uint64) error {
	return celllog.Write(CellsPath(path), cells, watermark, last)
}

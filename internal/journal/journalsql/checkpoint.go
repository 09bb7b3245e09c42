package journalsql

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

const (
	// checkpointRows is how often the log is carried over into the file: often enough that little is left to do each
	// time, seldom enough that pages written many times are carried over once.
	checkpointRows = 8192
	// finishPages is the size of the log, 16 MiB, at which the writer itself carries over the last pages after a
	// commit. Only when nothing is left can the log start anew; under steady load the other connection never gets there.
	finishPages = 4096
)

// checkpointer carries the write-ahead log over on a connection and goroutine of its own, so that no commit waits
// for it. A failed checkpoint loses nothing: the rows are in the log; the error is told on stop.
//
// After each round it also syncs the file. SQLite does that only when the whole log is carried over, which happens in a commit: there would be the pages of all
// rounds to wait for.
type checkpointer struct {
	conn   *sqlite.Conn
	file   *os.File // of the database; closed after the last connection, for closing it gives up the process's locks
	wake   chan struct{}
	done   chan struct{}
	err    error // of the last attempt; read after done
	rows   int   // committed since the last wake; the writer's
	finish atomic.Bool
}

func startCheckpointer(path string, conn *sqlite.Conn) (*checkpointer, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &checkpointer{conn: conn, file: file, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go c.run()
	return c, nil
}

// committed is called by the writer after every commit, outside the transaction. It reports whether the writer is to carry over the last pages itself.
func (c *checkpointer) committed(rows int) (finish bool) {
	finish = c.finish.Swap(false)
	if c.rows += rows; c.rows < checkpointRows {
		return finish
	}
	c.rows = 0
	select {
	case c.wake <- struct{}{}:
	default: // one is due already
	}
	return finish
}

func (c *checkpointer) run() {
	defer close(c.done)
	for range c.wake {
		var pages int64
		if pages, c.err = passive(c.conn); c.err != nil {
			continue
		}
		if c.err = c.file.Sync(); c.err == nil && pages > finishPages {
			c.finish.Store(true)
		}
	}
}

// passive carries over what it can without waiting for anybody, and returns the length of the log in pages.
func passive(conn *sqlite.Conn) (pages int64, err error) {
	err = sqlitex.Execute(conn, "PRAGMA wal_checkpoint(PASSIVE)", &sqlitex.ExecOptions{
		ResultFunc: func(stmt *sqlite.Stmt) error {
			pages = stmt.ColumnInt64(1)
			return nil
		},
	})
	if err != nil {
		return 0, fmt.Errorf("journalsql: checkpoint: %w", err)
	}
	return pages, nil
}

// stop ends the goroutine and closes its connection. After the last connection of the process, release closes the file.
func (c *checkpointer) stop() error {
	close(c.wake)
	<-c.done
	return errors.Join(c.err, c.conn.Close())
}

func (c *checkpointer) release() error { return c.file.Close() }

package journalsql

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"tapnet/internal/journal"
)

// readers is how many look-ups may run at once beside the writer.
const readers = 4

// lookouts are the connections for look-ups into the journal.
type lookouts struct {
	free chan *sqlite.Conn
	gone chan struct{} // closed when there will be no more
	n    int
}

func (p *lookouts) start(connect func() (*sqlite.Conn, error)) error {
	p.free, p.gone = make(chan *sqlite.Conn, readers), make(chan struct{})
	for range readers {
		conn, err := connect()
		if err != nil {
			return err
		}
		p.free <- conn
		p.n++
	}
	return nil
}

// stop waits for the look-ups under way and closes the connections.
func (p *lookouts) stop() error {
	if p.gone == nil {
		return nil
	}
	close(p.gone)
	var errs []error
	for range p.n {
		errs = append(errs, (<-p.free).Close())
	}
	return errors.Join(errs...)
}

// look lends f a connection for reading.
func (p *lookouts) look(ctx context.Context, f func(conn *sqlite.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-p.gone: // before anything else: a closed store has no connections to wait for
		return journal.ErrClosed
	default:
	}
	select {
	case conn := <-p.free:
		defer func() { p.free <- conn }()
		return f(conn)
	case <-p.gone:
		return journal.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lender lends a connection for a look-up.
type lender func(ctx context.Context, f func(conn *sqlite.Conn) error) error

// first runs a query that has one row or none, which is given to read.
func (lend lender) first(ctx context.Context, what, query string, bind func(*sqlite.Stmt), read func(*sqlite.Stmt) error) (found bool, err error) {
	err = lend(ctx, func(conn *sqlite.Conn) error {
		stmt, err := conn.Prepare(query)
		if err == nil {
			bind(stmt)
			found, err = stmt.Step()
		}
		if err != nil {
			return fmt.Errorf("journalsql: %s: %w", what, err)
		}
		if found {
			if err = read(stmt); err != nil {
				err = fmt.Errorf("journalsql: %s: %w", what, err)
			}
		}
		return errors.Join(err, stmt.Reset())
	})
	return found && err == nil, err
}

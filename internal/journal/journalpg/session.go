package journalpg

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// session is one connection, made on first use and again after it was lost. It is for one goroutine at a time.
type session struct {
	config  *pgconn.Config
	prepare []string // the statements of this session that are used often enough to be prepared
	durable bool     // the server must be one whose commits are on disk
	warning string   // SQLSTATE of the last warning the server sent

	conn *pgconn.PgConn
}

// preparedNames are those of a session's statements, in order.
var preparedNames = [...]string{"tapnet_1", "tapnet_2", "tapnet_3", "tapnet_4", "tapnet_5"}

// binaryFormat is how parameters and results travel, all of them.
var binaryFormat = []int16{1}

// closeTimeout is what a good-bye to a server that does not answer may cost.
const closeTimeout = time.Second

// lost reports whether there was a connection and it is gone.
func (sn *session) lost() bool { return sn.conn != nil && sn.conn.IsClosed() }

func (sn *session) close() {
	if sn.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = sn.conn.Close(ctx) // an error means that it is closed already
	sn.conn = nil
}

func (sn *session) connect(ctx context.Context) error {
	if sn.conn != nil && !sn.conn.IsClosed() {
		return nil
	}
	sn.close()
	config := sn.config.Copy()
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			sn.warning = n.Code
		}
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return newConnectError(err)
	}
	sn.conn = conn
	if err := sn.setUp(ctx); err != nil {
		sn.close()
		return newConnectError(err)
	}
	return nil
}

// tuning is what every session asks of a server that knows the setting; nothing is wrong without. A plan is made once: the
// statements are the same for ever, and planning one anew for each batch costs a quarter of it. It must be a plan that
// walks an index, or one made while the table was small would go on reading the whole of it when it is large.
var tuning = [][2]string{{"plan_cache_mode", "force_generic_plan"}, {"enable_seqscan", "off"}}

// ErrUnfit is wrapped by the error for a server that a journal cannot rest on. Its text says what to do.
var ErrUnfit = errors.New("this server cannot keep a journal")

// oldestServer is the oldest version whose makers still mend it.
const oldestServer = 140000

// fit refuses a server that is too old or would forget. A server that does not know a setting, as one that only speaks the protocol
// may, has other means.
func fit(settings map[string]string) error {
	if version, err := strconv.Atoi(settings["server_version_num"]); err == nil && version < oldestServer && settings["fsync"] != "" {
		return fmt.Errorf("%w: it is PostgreSQL %d.%d; use version %d or newer", ErrUnfit, version/10000, version%10000, oldestServer/10000)
	}
	if settings["fsync"] == "off" {
		return fmt.Errorf("%w: it runs with fsync=off, and what it commits would not survive a power failure; "+
			"set fsync = on in postgresql.conf and restart it", ErrUnfit)
	}
	if settings["full_page_writes"] == "off" {
		return fmt.Errorf("%w: it runs with full_page_writes=off, and a page that a power failure tears would stay torn; "+
			"set full_page_writes = on in postgresql.conf and reload it", ErrUnfit)
	}
	return nil
}

// setUp makes a new connection fit for use.
func (sn *session) setUp(ctx context.Context) error {
	settings := map[string]string{}
	query := `SELECT name, setting FROM pg_settings WHERE name IN
		('fsync', 'full_page_writes', 'server_version_num', 'synchronous_commit', 'plan_cache_mode', 'enable_seqscan')`
	if _, err := sn.read(sn.conn.ExecParams(ctx, query, nil, nil, nil, nil), func(values [][]byte) error {
		settings[string(values[0])] = string(values[1])
		return nil
	}); err != nil {
		return err
	}
	var statements strings.Builder
	for _, s := range tuning {
		if _, known := settings[s[0]]; known {
			fmt.Fprintf(&statements, "SET %s TO %s;", s[0], s[1])
		}
	}
	if sn.durable {
		if err := fit(settings); err != nil {
			return err
		}
	}
	switch settings["synchronous_commit"] {
	case "off", "local", "remote_write": // a database or user with weaker defaults than an answer to a payment can stand on
		statements.WriteString("SET synchronous_commit TO on;")
	}
	return sn.conn.Exec(ctx, statements.String()).Close()
}

// script runs statements without parameters or results as one transaction.
func (sn *session) script(ctx context.Context, statements string) error {
	if err := sn.connect(ctx); err != nil {
		return err
	}
	return sn.conn.Exec(ctx, statements).Close()
}

// query runs one statement as a transaction of its own and returns the number of rows it touched. The values given to
// row are only valid during the call. Connecting is part of it where there is no connection.
func (sn *session) query(ctx context.Context, sql string, params [][]byte, row func(values [][]byte) error) (int64, error) {
	if err := sn.connect(ctx); err != nil {
		return 0, err
	}
	at := slices.Index(sn.prepare, sql)
	if at < 0 {
		return sn.read(sn.conn.ExecParams(ctx, sql, params, nil, binaryFormat, binaryFormat), row)
	}
	name := preparedNames[at]
	if err := sn.ready(ctx, name, sql); err != nil {
		return 0, err
	}
	return sn.read(sn.conn.ExecPrepared(ctx, name, params, binaryFormat, binaryFormat), row)
}

// ready prepares a statement on its first use: at connect time the tables may not exist.
func (sn *session) ready(ctx context.Context, name, sql string) error {
	data := sn.conn.CustomData()
	if data[name] != nil {
		return nil
	}
	if _, err := sn.conn.Prepare(ctx, name, sql, nil); err != nil {
		return newConnectError(err)
	}
	data[name] = true
	return nil
}

// rowTypeKey is where a connection remembers the number of the row type.
const rowTypeKey = "tapnet_row_type"

// rowType is the number of the type of the table's rows in this database, asked for once on each connection.
func (sn *session) rowType(ctx context.Context) (uint32, error) {
	if err := sn.connect(ctx); err != nil {
		return 0, err
	}
	data := sn.conn.CustomData()
	if known, ok := data[rowTypeKey].(uint32); ok {
		return known, nil
	}
	sc := scanner{}
	var found uint32
	if _, err := sn.read(sn.conn.ExecParams(ctx, rowTypeSQL, nil, nil, nil, binaryFormat), func(values [][]byte) error {
		sc.values = values
		found = uint32(sc.int64(0))
		return sc.err
	}); err != nil {
		return 0, newConnectError(err)
	}
	data[rowTypeKey] = found
	return found, nil
}

// read takes the whole result, also after row has refused: the connection is used again.
func (sn *session) read(result *pgconn.ResultReader, row func(values [][]byte) error) (int64, error) {
	var refused error
	for result.NextRow() {
		if row != nil && refused == nil {
			refused = row(result.Values())
		}
	}
	tag, err := result.Close()
	if refused != nil {
		return 0, refused
	}
	return tag.RowsAffected(), err
}

// maxAttempts bounds how often a transaction is repeated. A conflict is over when the other side has committed, so a
// journal with one writer needs a second attempt at most; more means that somebody else works on its tables.
const maxAttempts = 10

// retry is the one place where a transaction is done again: when the server says that it lost to another one and was
// rolled back, and, where doing it twice does no harm, once after the connection was lost.
func (s *Store) retry(sn *session, harmless bool, do func() error) error {
	reconnected := false
	for attempt := 1; ; attempt++ {
		err := do()
		switch {
		case err == nil:
			return nil
		case sqlState(err) == serializationFailure || sqlState(err) == deadlockDetected:
			if attempt == maxAttempts {
				return fmt.Errorf("given up after %d attempts: %w", attempt, err)
			}
		case harmless && !reconnected && sn.lost():
			reconnected = true
		default:
			return err
		}
		s.retries.Add(1)
	}
}

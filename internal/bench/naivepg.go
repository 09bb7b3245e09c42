package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// pgSchema is a schema of our own in somebody's database: nothing else there is touched.
type pgSchema struct{ name, dsn, admin string }

// schemaName begins the names of the schemas that a measurement makes and drops.
const schemaName = "tapnet_bench_"

func newSchema(ctx context.Context, dsn string) (pgSchema, error) {
	conn, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return pgSchema{}, connectProblem(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	s := pgSchema{name: schemaName + strconv.FormatUint(uint64(conn.PID()), 36), admin: dsn}
	if err := conn.Exec(ctx, "CREATE SCHEMA "+s.name).Close(); err != nil {
		return pgSchema{}, fmt.Errorf("bench: make schema %s: %w", s.name, err)
	}
	s.dsn, err = withSearchPath(dsn, s.name)
	return s, err
}

// connectProblem keeps the text of an error, which has no password, and drops the configuration behind it.
func connectProblem(err error) error { return fmt.Errorf("bench: connect: %s", err.Error()) }

// withSearchPath adds the schema to a connection string of either form.
func withSearchPath(dsn, schema string) (string, error) {
	if !strings.Contains(dsn, "://") {
		return dsn + " search_path=" + schema, nil
	}
	u, err := url.Parse(dsn)
	if err != nil {
		return "", errors.New("bench: the connection string is not a URL") // its text may hold a password
	}
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String(), nil
}

func (s pgSchema) exec(ctx context.Context, statement string) error {
	conn, err := pgconn.Connect(context.WithoutCancel(ctx), s.admin)
	if err != nil {
		return connectProblem(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	return conn.Exec(context.WithoutCancel(ctx), statement).Close()
}

func (s pgSchema) drop(ctx context.Context) error {
	if s.name == "" {
		return nil
	}
	return s.exec(ctx, "DROP SCHEMA "+s.name+" CASCADE")
}

// checkpoint lets the server write down what one measurement left dirty before the next one begins, where it may.
func (s pgSchema) checkpoint(ctx context.Context) error {
	err := s.exec(ctx, "CHECKPOINT")
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return nil
	}
	return err
}

const insufficientPrivilege = "42501"

// naivePgSchema is naiveSchema for PostgreSQL.
const naivePgSchema = `
CREATE TABLE card (id BIGINT PRIMARY KEY, status BIGINT NOT NULL, account BIGINT NOT NULL, day_limit BIGINT NOT NULL);
CREATE TABLE account (id BIGINT PRIMARY KEY, balance BIGINT NOT NULL);
CREATE TABLE idempotency (key BYTEA PRIMARY KEY, journal BIGINT NOT NULL);
CREATE TABLE naive_journal (id BIGINT PRIMARY KEY, at BIGINT NOT NULL, card BIGINT NOT NULL, amount BIGINT NOT NULL, stan BIGINT NOT NULL,
	rrn BYTEA NOT NULL, terminal BYTEA NOT NULL, reason BIGINT NOT NULL, field55 BYTEA NOT NULL);
CREATE TABLE naive_entry (id BIGINT PRIMARY KEY, journal BIGINT NOT NULL, account BIGINT NOT NULL, amount BIGINT NOT NULL);
INSERT INTO card SELECT i, 1, i, 0 FROM generate_series(1, %[1]d) AS n (i);
INSERT INTO account SELECT id, %[2]d FROM card;
INSERT INTO account VALUES (%[3]d, 0);
`

// The prepared statements of the baseline, by name.
var naivePgStatements = map[string]string{
	"begin":   "BEGIN",
	"commit":  "COMMIT",
	"card":    "SELECT status, account FROM card WHERE id = $1",
	"key":     "INSERT INTO idempotency VALUES ($1, $2)",
	"balance": "UPDATE account SET balance = balance - $2 WHERE id = $1 AND balance >= $2",
	"journal": "INSERT INTO naive_journal VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	"entry":   "INSERT INTO naive_entry VALUES ($1, $2, $3, $4)",
}

// naivePg is the baseline on a server: one connection, one transaction of prepared statements for each request, synchronous_commit on.
type naivePg struct {
	conn    *pgconn.PgConn
	last    int64
	queue   chan journal.Event
	done    chan error
	failed  chan struct{}
	release func([]journal.Effect)
}

func openNaivePg(ctx context.Context, dsn string, cards int, release func([]journal.Effect)) (*naivePg, error) {
	n := &naivePg{queue: make(chan journal.Event, journal.DefaultQueue), done: make(chan error, 1), failed: make(chan struct{}), release: release}
	var err error
	if n.conn, err = pgconn.Connect(ctx, dsn); err != nil {
		return nil, connectProblem(err)
	}
	if err := n.prepare(ctx, cards); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: baseline: %w", err), n.conn.Close(ctx))
	}
	go func() { n.done <- n.run(context.WithoutCancel(ctx)) }()
	return n, nil
}

func (n *naivePg) prepare(ctx context.Context, cards int) error {
	fill := fmt.Sprintf(naivePgSchema, cards, int64(openingMinor), int64(naiveScheme))
	if err := n.conn.Exec(ctx, fill+"; SET synchronous_commit TO on").Close(); err != nil {
		return err
	}
	for name, statement := range naivePgStatements {
		if _, err := n.conn.Prepare(ctx, name, statement, nil); err != nil {
			return err
		}
	}
	return nil
}

func (n *naivePg) broken() <-chan struct{} { return n.failed }

func (n *naivePg) take(ev journal.Event) error {
	n.queue <- ev
	return nil
}

func (n *naivePg) stop() error {
	close(n.queue)
	return errors.Join(<-n.done, n.conn.Close(context.Background()))
}

// run takes request after request; after an error it answers nobody.
func (n *naivePg) run(ctx context.Context) error {
	var failed error
	effects := make([]journal.Effect, 1)
	for ev := range n.queue {
		m, ok := ev.Message.(*unionpay.FinancialRequest)
		if !ok || failed != nil {
			continue
		}
		if failed = n.pay(ctx, &m.Payment, unionpay.ContentHash(m), m.ICC.Bytes()); failed != nil {
			failed = fmt.Errorf("bench: baseline: %w", failed)
			close(n.failed)
			continue
		}
		answer := unionpay.Answer{Response: unionpay.Approved, AuthCode: fmt.Sprintf("%06d", n.last%1_000_000)}
		effects[0] = journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer), Finding: ev.Finding}
		n.release(effects)
	}
	return failed
}

var binaryFormat = []int16{1}

// exec runs a prepared statement that must touch so many rows; below zero, any number.
func (n *naivePg) exec(ctx context.Context, name string, rows int64, params ...[]byte) ([][]byte, error) {
	result := n.conn.ExecPrepared(ctx, name, params, binaryFormat, binaryFormat).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if rows >= 0 && result.CommandTag.RowsAffected() != rows {
		return nil, fmt.Errorf("%s: %d rows instead of %d", name, result.CommandTag.RowsAffected(), rows)
	}
	if len(result.Rows) == 0 {
		return nil, nil
	}
	return result.Rows[0], nil
}

func int8Param(v int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(v)) }

// pay books one payment in one transaction.
func (n *naivePg) pay(ctx context.Context, p *unionpay.Payment, key [16]byte, field55 []byte) error {
	digits := p.PAN.Reveal()
	card, err := strconv.ParseInt(digits[6:len(digits)-1], 10, 64)
	if err != nil {
		return err
	}
	if _, err := n.exec(ctx, "begin", -1); err != nil {
		return err
	}
	found, err := n.exec(ctx, "card", 1, int8Param(card))
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint64(found[0]) != 1 {
		return errors.New("card is not active")
	}
	account, minor := int64(binary.BigEndian.Uint64(found[1])), p.Amount.Minor()
	n.last++
	id := int8Param(n.last)
	for _, s := range []struct {
		name   string
		params [][]byte
	}{
		{"key", [][]byte{key[:], id}},
		{"balance", [][]byte{int8Param(account), int8Param(minor)}},
		{"journal", [][]byte{
			id, id, int8Param(card), int8Param(minor), int8Param(int64(p.STAN)), []byte(p.RRN), []byte(p.Terminal), int8Param(0),
			append([]byte{}, field55[:min(field55Bytes, len(field55))]...), // never nil, which would be NULL
		}},
		{"entry", [][]byte{int8Param(2 * n.last), id, int8Param(account), int8Param(-minor)}},
		{"entry", [][]byte{int8Param(2*n.last + 1), id, int8Param(naiveScheme), int8Param(minor)}},
	} {
		if _, err := n.exec(ctx, s.name, 1, s.params...); err != nil {
			return err
		}
	}
	_, err = n.exec(ctx, "commit", -1)
	return err
}

package bench

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// naiveSchema is how one would begin: a table for each thing, a random key against repeats, a balance that every payment changes.
const naiveSchema = `
CREATE TABLE card (id INTEGER PRIMARY KEY, status INTEGER NOT NULL, account INTEGER NOT NULL, day_limit INTEGER NOT NULL);
CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE idempotency (key BLOB PRIMARY KEY, journal INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE journal (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, card INTEGER NOT NULL, amount INTEGER NOT NULL, stan INTEGER NOT NULL,
	rrn TEXT NOT NULL, terminal TEXT NOT NULL, reason INTEGER NOT NULL, field55 BLOB NOT NULL);
CREATE TABLE entry (id INTEGER PRIMARY KEY, journal INTEGER NOT NULL, account INTEGER NOT NULL, amount INTEGER NOT NULL);
`

const (
	// naiveCacheKiB and naiveCheckpoint are what one would set on a machine with memory to spare.
	naiveCacheKiB   = 256 << 10
	naiveCheckpoint = 4000
	naiveScheme     = 1 << 40 // the scheme's account, beside those of the cards
	// field55Bytes are kept of field 55.
	field55Bytes = 140
)

// naive is the baseline: one writer, one transaction for each request, write-ahead log, synchronous FULL.
type naive struct {
	conn    *sqlite.Conn
	stmts   naiveStatements
	last    int64
	queue   chan journal.Event
	done    chan error
	failed  chan struct{}
	release func([]journal.Effect)
}

type naiveStatements struct {
	begin, commit, card, key, balance, journal, entry *sqlite.Stmt
}

func openNaive(dir string, cards int, release func([]journal.Effect)) (*naive, error) {
	n := &naive{queue: make(chan journal.Event, journal.DefaultQueue), done: make(chan error, 1), failed: make(chan struct{}), release: release}
	var err error
	if n.conn, err = sqlite.OpenConn(filepath.Join(dir, "naive.db"), sqlite.OpenReadWrite, sqlite.OpenCreate); err != nil {
		return nil, err
	}
	if err := n.prepare(cards); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: baseline: %w", err), n.conn.Close())
	}
	go func() { n.done <- n.run() }()
	return n, nil
}

func (n *naive) prepare(cards int) error {
	for _, pragma := range []string{
		"PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", fmt.Sprintf("PRAGMA wal_autocheckpoint=%d", naiveCheckpoint),
		fmt.Sprintf("PRAGMA cache_size=-%d", naiveCacheKiB),
	} {
		if err := sqlitex.ExecuteTransient(n.conn, pragma, nil); err != nil {
			return err
		}
	}
	if err := sqlitex.ExecuteScript(n.conn, naiveSchema, nil); err != nil {
		return err
	}
	fill := fmt.Sprintf(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
		INSERT INTO card SELECT i, 1, i, 0 FROM n;
		INSERT INTO account SELECT id, %d FROM card;
		INSERT INTO account VALUES (%d, 0);`, cards, int64(openingMinor), int64(naiveScheme))
	if err := sqlitex.ExecuteScript(n.conn, fill, nil); err != nil {
		return err
	}
	for _, s := range []struct {
		to    **sqlite.Stmt
		query string
	}{
		{&n.stmts.begin, "BEGIN IMMEDIATE"},
		{&n.stmts.commit, "COMMIT"},
		{&n.stmts.card, "SELECT status, account FROM card WHERE id = ?1"},
		{&n.stmts.key, "INSERT INTO idempotency VALUES (?1, ?2)"},
		{&n.stmts.balance, "UPDATE account SET balance = balance - ?2 WHERE id = ?1 AND balance >= ?2"},
		{&n.stmts.journal, "INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"},
		{&n.stmts.entry, "INSERT INTO entry (journal, account, amount) VALUES (?1, ?2, ?3)"},
	} {
		var err error
		if *s.to, err = n.conn.Prepare(s.query); err != nil {
			return err
		}
	}
	return nil
}

func (n *naive) broken() <-chan struct{} { return n.failed }

func (n *naive) take(ev journal.Event) error {
	n.queue <- ev
	return nil
}

func (n *naive) stop() error {
	close(n.queue)
	return errors.Join(<-n.done, n.conn.Close())
}

// run takes request after request; after an error it answers nobody.
func (n *naive) run() error {
	var failed error
	effects := make([]journal.Effect, 1)
	for ev := range n.queue {
		m, ok := ev.Message.(*unionpay.FinancialRequest)
		if !ok || failed != nil {
			continue
		}
		if failed = n.pay(&m.Payment, unionpay.ContentHash(m), m.ICC.Bytes()); failed != nil {
			close(n.failed)
			continue
		}
		answer := unionpay.Answer{Response: unionpay.Approved, AuthCode: fmt.Sprintf("%06d", n.last%1_000_000)}
		effects[0] = journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer), Finding: ev.Finding}
		n.release(effects)
	}
	return failed
}

// pay books one payment in one transaction.
func (n *naive) pay(p *unionpay.Payment, key [16]byte, field55 []byte) error {
	digits := p.PAN.Reveal()
	card, err := strconv.ParseInt(digits[6:len(digits)-1], 10, 64)
	if err != nil {
		return err
	}
	if err := step(n.stmts.begin); err != nil {
		return err
	}
	n.stmts.card.BindInt64(1, card)
	found, err := n.stmts.card.Step()
	if err != nil {
		return err
	}
	status, account := n.stmts.card.ColumnInt64(0), n.stmts.card.ColumnInt64(1)
	if err := n.stmts.card.Reset(); err != nil {
		return err
	}
	if !found || status != 1 {
		return errors.New("bench: baseline: card is missing or not active")
	}
	n.last++
	n.stmts.key.BindBytes(1, key[:])
	n.stmts.key.BindInt64(2, n.last)
	if err := step(n.stmts.key); err != nil {
		return err
	}
	minor := p.Amount.Minor()
	n.stmts.balance.BindInt64(1, account)
	n.stmts.balance.BindInt64(2, minor)
	if err := step(n.stmts.balance); err != nil {
		return err
	}
	if n.conn.Changes() != 1 {
		return errors.New("bench: baseline: not enough money")
	}
	if err := n.write(p, card, account, field55); err != nil {
		return err
	}
	return step(n.stmts.commit)
}

func (n *naive) write(p *unionpay.Payment, card, account int64, field55 []byte) error {
	j := n.stmts.journal
	j.BindInt64(1, n.last)
	j.BindInt64(2, n.last)
	j.BindInt64(3, card)
	j.BindInt64(4, p.Amount.Minor())
	j.BindInt64(5, int64(p.STAN))
	j.BindText(6, p.RRN)
	j.BindText(7, p.Terminal)
	j.BindInt64(8, 0)
	j.BindBytes(9, field55[:min(field55Bytes, len(field55))])
	if err := step(j); err != nil {
		return err
	}
	for _, leg := range [...]struct{ account, amount int64 }{{account, -p.Amount.Minor()}, {naiveScheme, p.Amount.Minor()}} {
		n.stmts.entry.BindInt64(1, n.last)
		n.stmts.entry.BindInt64(2, leg.account)
		n.stmts.entry.BindInt64(3, leg.amount)
		if err := step(n.stmts.entry); err != nil {
			return err
		}
	}
	return nil
}

func step(s *sqlite.Stmt) error {
	if _, err := s.Step(); err != nil {
		return err
	}
	return s.Reset()
}

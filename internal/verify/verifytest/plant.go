package verifytest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
)

// Path is where a journal of a data directory lies.
func Path(dir, name string) string { return filepath.Join(dir, "journals", name+".db") }

// Rows reads a journal.
func Rows(ctx context.Context, dir, name string) ([]journal.Row, error) {
	store, err := journalsql.Open(ctx, Path(dir, name))
	if err != nil {
		return nil, err
	}
	var rows []journal.Row
	err = store.Load(ctx, 0, func(r *journal.Row) error {
		rows = append(rows, *r)
		return nil
	})
	return rows, errors.Join(err, store.Close())
}

const (
	insertSQL = `INSERT INTO journal (seq, kind, at, business_date, content, stan, card, atc, reason, debit, credit, amount, currency, phase, resolves, linked,
	chain, key, payment, rrn, terminal, answer, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	withoutIndexSQL = `DROP INDEX journal_key`
)

// Replace gives a journal other rows, as they are: neither numbers nor hashes are made to fit, and nothing is durable. Rows may have one key twice, as in a
// store whose index somebody took away; then the index is gone.
func Replace(dir, name string, rows []journal.Row) (err error) {
	conn, err := sqlite.OpenConn(Path(dir, name), sqlite.OpenReadWrite)
	if err != nil {
		return fmt.Errorf("verifytest: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	script := []string{"PRAGMA journal_mode=MEMORY", "PRAGMA synchronous=OFF", "BEGIN", "DELETE FROM journal"}
	seen := map[string]bool{}
	for i := range rows {
		if key := rows[i].Key; key != "" && seen[key] {
			script = append(script, withoutIndexSQL)
			break
		}
		seen[rows[i].Key] = true
	}
	for _, statement := range script {
		if err := sqlitex.ExecuteTransient(conn, statement, nil); err != nil {
			return fmt.Errorf("verifytest: %s: %w", statement, err)
		}
	}
	for i := range rows {
		r := &rows[i]
		err := sqlitex.Execute(conn, insertSQL, &sqlitex.ExecOptions{Args: []any{
			int64(r.Seq), int64(r.Kind), r.At.UnixMicro(), int64(r.BusinessDate), r.Content[:], int64(r.STAN), r.Card, int64(r.ATC), int64(r.Reason),
			int64(r.Debit), int64(r.Credit), r.Amount, int64(r.Currency), int64(r.Phase), int64(r.Resolves), int64(r.Linked), r.Chain[:],
			text(r.Key), text(r.Payment), text(r.RRN), text(r.Terminal), blob(r.Answer), blob(r.Note),
		}})
		if err != nil {
			return fmt.Errorf("verifytest: row %d: %w", r.Seq, err)
		}
	}
	if err := sqlitex.ExecuteTransient(conn, "COMMIT", nil); err != nil {
		return fmt.Errorf("verifytest: %w", err)
	}
	return nil
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func blob(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}

// Exec runs statements on a journal, as somebody with the file and a tool could.
func Exec(dir, name, script string) (err error) {
	if script == "" {
		return nil
	}
	conn, err := sqlite.OpenConn(Path(dir, name), sqlite.OpenReadWrite)
	if err != nil {
		return fmt.Errorf("verifytest: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
		return fmt.Errorf("verifytest: %w", err)
	}
	return nil
}

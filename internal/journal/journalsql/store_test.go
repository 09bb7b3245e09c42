package journalsql

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, place string) journal.Store { return openStore(t, place) }

func openStore(t testing.TB, place string) *Store {
	t.Helper()
	s, err := Open(t.Context(), filepath.Join(place, "journal.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func TestConformance(t *testing.T) { journaltest.Store(t, open) }

// filled is a store with n rows.
func filled(t testing.TB, n int) (*Store, *journal.Chain, uint64) {
	t.Helper()
	s := openStore(t, t.TempDir())
	epoch, err := s.Claim(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	chain := new(journal.Chain)
	if err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, n), nil); err != nil {
		t.Fatal(err)
	}
	return s, chain, epoch
}

func TestTamperingIsNoticed(t *testing.T) {
	cases := []struct {
		name, sql string
		row       uint64
	}{
		{"amount", "UPDATE journal SET amount = amount + 1 WHERE seq = 3", 3},
		{"key", "UPDATE journal SET key = key || 'x' WHERE seq = 2", 2},
		{"answer gone", "UPDATE journal SET answer = NULL WHERE seq = 4", 4},
		{"chain", "UPDATE journal SET chain = zeroblob(32) WHERE seq = 1", 1},
		{"chain short", "UPDATE journal SET chain = zeroblob(31) WHERE seq = 1", 1},
		{"row gone", "DELETE FROM journal WHERE seq = 3", 3},
		{"first gone", "DELETE FROM journal WHERE seq = 1", 1},
		{"swapped", "UPDATE journal SET seq = CASE seq WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE seq IN (2, 3);" +
			"UPDATE journal SET seq = -seq WHERE seq < 0", 2},
		{"kind out of range", "UPDATE journal SET kind = 300 WHERE seq = 2", 2},
		{"kind unknown", "UPDATE journal SET kind = 255 WHERE seq = 2", 2},
		{"counter out of range", "UPDATE journal SET atc = -1 WHERE seq = 2", 2},
		{"text too long", "UPDATE journal SET payment = hex(zeroblob(200)) WHERE seq = 5", 5},
		{"blob too long", "UPDATE journal SET note = zeroblob(65537) WHERE seq = 5", 5},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _, _ := filled(t, 5)
			conn, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
			if err != nil {
				t.Fatal(err)
			}
			if err := sqlitex.ExecuteScript(conn, c.sql, nil); err != nil {
				t.Fatal(err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			var broken *journal.ChainError
			err = s.Load(t.Context(), 0, func(*journal.Row) error { return nil })
			if !errors.As(err, &broken) || broken.Seq != c.row {
				t.Fatalf("Load = %v, want a break at row %d", err, c.row)
			}
		})
	}
}

// TestKilled copies the files of a store that was never closed, as a machine that lost power would find them, and
// opens the copy: what was committed is in the log.
func TestKilled(t *testing.T) {
	s, chain, epoch := filled(t, 3)
	durable := *chain
	if err := run(s.stmts.begin); err != nil {
		t.Fatal(err)
	}
	if err := s.insertAll(epoch, journaltest.Rows(chain, 2)); err != nil { // begun, not committed
		t.Fatal(err)
	}
	place := t.TempDir()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(place, "journal.db"+suffix), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(s.stmts.rollback); err != nil {
		t.Fatal(err)
	}
	again := openStore(t, place)
	if got := journaltest.Load(t, again, 0); len(got) != 3 || got[2].Chain != durable.Hash {
		t.Fatalf("%d rows after the crash", len(got))
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.db")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteTransient(conn, "PRAGMA user_version=3", nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), path); err == nil {
		s.Close()
		t.Fatal("a file of a newer program was opened")
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "missing", "journal.db")); err == nil {
		t.Fatal("a file in a missing directory was opened")
	}
	garbage := filepath.Join(t.TempDir(), "garbage.db")
	if err := os.WriteFile(garbage, []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), garbage); err == nil {
		t.Fatal("a file that is no database was opened")
	}
}

func TestSettings(t *testing.T) {
	s := openStore(t, t.TempDir())
	for pragma, want := range map[string]int64{"synchronous": 2, "wal_autocheckpoint": 0} {
		if got, err := queryInt(s.writer, "PRAGMA "+pragma); err != nil || got != want {
			t.Errorf("%s = %d, %v; want %d", pragma, got, err, want)
		}
	}
	info, err := os.Stat(s.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v", info.Mode(), err)
	}
}

func TestEntriesBalance(t *testing.T) {
	s, _, _ := filled(t, 10)
	sum, err := queryInt(s.writer, "SELECT SUM(debit_amount) - SUM(credit_amount) FROM entry")
	if err != nil || sum != 0 {
		t.Fatalf("sum of entries %d, %v", sum, err)
	}
}

func TestCheckpointKeepsRows(t *testing.T) {
	s, chain, epoch := filled(t, 100)
	pages, err := passive(s.checkpoint.conn)
	if err != nil || pages == 0 {
		t.Fatalf("checkpoint: %d pages, %v", pages, err)
	}
	s.checkpoint.finish.Store(true)
	s.checkpoint.rows = checkpointRows - 1
	if err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 100), nil); err != nil {
		t.Fatal(err)
	}
	if got := journaltest.Load(t, s, 0); len(got) != 200 {
		t.Fatalf("%d rows", len(got))
	}
}

func TestCommitDoesNotAllocatePerRow(t *testing.T) {
	s, chain, epoch := filled(t, 1)
	allocs := func(n int) float64 {
		const runs = 8
		batches := make([][]journal.Row, runs+1)
		for i := range batches {
			batches[i] = journaltest.Rows(chain, n)
		}
		next := 0
		return testing.AllocsPerRun(runs, func() {
			if err := s.Commit(t.Context(), epoch, batches[next], nil); err != nil {
				t.Fatal(err)
			}
			next++
		})
	}
	small, large := allocs(1), allocs(256)
	if large > small+16 {
		t.Errorf("%v allocations for 1 row, %v for 256", small, large)
	}
}

// BenchmarkCommit reports durable rows per second at the batch sizes a writer reaches under load.
func BenchmarkCommit(b *testing.B) {
	for _, size := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			s, chain, epoch := filled(b, 1)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				rows := journaltest.Rows(chain, size)
				b.StartTimer()
				if err := s.Commit(b.Context(), epoch, rows, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

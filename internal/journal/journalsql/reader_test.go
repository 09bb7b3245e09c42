package journalsql

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
)

func openReader(t testing.TB, path string) *Reader {
	t.Helper()
	r, err := OpenReader(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func readAll(t testing.TB, r *Reader, after, last uint64, size int) (rows []journal.Row, damaged []string) {
	t.Helper()
	err := r.Rows(t.Context(), after, last, size, new(Batch), func(b *Batch) (*Batch, error) {
		if len(b.Rows) > size {
			t.Errorf("a batch of %d rows", len(b.Rows))
		}
		for _, d := range b.Damaged {
			damaged = append(damaged, d.Column)
		}
		rows = append(rows, b.Rows...)
		return new(Batch), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows, damaged
}

func TestAReaderReadsWhatALoadReads(t *testing.T) {
	s, chain, epoch := filled(t, 700)
	barest := journal.Row{Kind: journal.Noted}
	if err := s.Commit(t.Context(), epoch, journaltest.Seal(chain, barest), nil); err != nil {
		t.Fatal(err)
	}
	want := journaltest.Load(t, s, 0)
	r := openReader(t, s.path)
	first, last, err := r.Ends()
	if err != nil || first != 1 || last != 701 {
		t.Fatalf("rows %d to %d, %v", first, last, err)
	}
	got, damaged := readAll(t, r, 0, uint64(last), 256)
	if len(got) != len(want) || len(damaged) != 0 {
		t.Fatalf("%d rows, %d damaged", len(got), len(damaged))
	}
	for i := range got {
		if string(got[i].Answer) != string(want[i].Answer) || string(got[i].Note) != string(want[i].Note) {
			t.Fatalf("row %d: blobs differ", i+1)
		}
		got[i].Answer, got[i].Note = want[i].Answer, want[i].Note // nil or empty
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("row %d is %+v, want %+v", i+1, got[i], want[i])
		}
	}
	if part, _ := readAll(t, r, 5, 9, 3); len(part) != 4 || part[0].Seq != 6 {
		t.Errorf("%d rows of 6 to 9", len(part))
	}
	row, ok, err := r.Row(7)
	if err != nil || !ok || row.Key != journaltest.Key(7) {
		t.Errorf("row 7: %v %t %v", row, ok, err)
	}
	if row, ok, err := r.FindKey(journaltest.Key(8)); err != nil || !ok || row.Seq != 8 {
		t.Errorf("key of row 8: %v %t %v", row, ok, err)
	}
	for _, missing := range []uint64{0, 702, 1 << 63} {
		if _, ok, err := r.Row(missing); ok || err != nil {
			t.Errorf("row %d: %t %v", missing, ok, err)
		}
	}
	if indexed, err := r.HasKeyIndex(); err != nil || !indexed {
		t.Errorf("index: %t %v", indexed, err)
	}
	// The writer goes on meanwhile, and the reader sees it when it asks again.
	if err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 5), nil); err != nil {
		t.Fatal(err)
	}
	if _, last, err := r.Ends(); err != nil || last != 706 {
		t.Errorf("last row %d, %v", last, err)
	}
	if before, now := r.Still(); before || now {
		t.Error("a journal that is being written is still")
	}
}

func TestAReaderPassesSlices(t *testing.T) {
	s, _, _ := filled(t, sliceRows+10)
	if rows, _ := readAll(t, openReader(t, s.path), 0, sliceRows+10, 512); len(rows) != sliceRows+10 || rows[sliceRows].Seq != sliceRows+1 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestAReaderReadsDamage(t *testing.T) {
	s, _, _ := filled(t, 6)
	conn, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := sqlitex.ExecuteScript(conn, `UPDATE journal SET kind = 200 WHERE seq = 2; UPDATE journal SET atc = 70000 WHERE seq = 3;
		UPDATE journal SET chain = zeroblob(3) WHERE seq = 4; UPDATE journal SET payment = hex(zeroblob(200)) WHERE seq = 5; DROP INDEX journal_key;`, nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, s.path)
	rows, damaged := readAll(t, r, 0, 6, 4)
	if want := []string{"kind", "atc", "chain", "payment"}; len(rows) != 6 || !reflect.DeepEqual(damaged, want) {
		t.Errorf("%d rows, damaged %v", len(rows), damaged)
	}
	if _, ok, err := r.Row(3); ok || err != nil {
		t.Errorf("a damaged row: %t %v", ok, err)
	}
	if indexed, err := r.HasKeyIndex(); err != nil || indexed {
		t.Errorf("index: %t %v", indexed, err)
	}
}

func TestAReaderOfAClosedJournalMakesNoFiles(t *testing.T) {
	s, _, _ := filled(t, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(s.path)
	r := openReader(t, s.path)
	if rows, _ := readAll(t, r, 0, 3, 10); len(rows) != 3 {
		t.Errorf("%d rows", len(rows))
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if before, now := r.Still(); !before || !now {
		t.Error("a closed journal is not still")
	}
	size, err := r.Size()
	if info, statErr := os.Stat(s.path); err != nil || statErr != nil || size != info.Size() {
		t.Errorf("size %d, %v", size, err)
	}
	again := openStore(t, dir)
	if _, err := again.Claim(t.Context(), "somebody"); err != nil {
		t.Fatal(err)
	}
	if before, now := r.Still(); !before || now {
		t.Error("the writer that came was not noticed")
	}
}

func TestWhatIsNoJournal(t *testing.T) {
	dir := t.TempDir()
	garbage, other := filepath.Join(dir, "garbage.db"), filepath.Join(dir, "other.db")
	if err := os.WriteFile(garbage, []byte("this is not a database, whatever its name says"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(other, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sqlitex.ExecuteScript(conn, "PRAGMA user_version=1; CREATE TABLE t (x)", nil), conn.Close()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		garbage: ErrNotJournal, other: ErrNotJournal, dir: ErrNotJournal, filepath.Join(dir, "missing.db"): fs.ErrNotExist,
	} {
		if r, err := OpenReader(t.Context(), path); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", filepath.Base(path), r, err)
		}
	}
}

package journalsql

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
	"tapnet/internal/journal/journaltest"
)

func allCells(t testing.TB, cells func(context.Context, func(*journal.Cell) error) error) (all []journal.Cell) {
	t.Helper()
	err := cells(t.Context(), func(c *journal.Cell) error {
		again := *c
		again.Data = append([]byte{}, c.Data...)
		all = append(all, again)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b journal.Cell) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// withCells is a store of 20 rows with cells, and what is in it.
func withCells(t *testing.T) (s *Store, back *journal.Back) {
	t.Helper()
	s, chain, epoch := filled(t, 20)
	back = &journal.Back{Watermark: 19}
	for id := int64(9); id > 0; id -= 2 {
		cell := back.Add(id, [16]byte{byte(id), 7}, uint64(10+id))
		cell.Data = append(cell.Data, byte(id), 1, 2, 3)
	}
	back.Add(1<<62, [16]byte{}, 21)
	if err := s.Commit(t.Context(), epoch, journaltest.Seal(chain, journal.Row{Kind: journal.Noted}), back); err != nil {
		t.Fatal(err)
	}
	return s, back
}

func TestAReaderReadsTheCellsOfALiveStoreAndOfACopy(t *testing.T) {
	s, back := withCells(t)
	live := openReader(t, s.path)
	want := allCells(t, s.Cells)
	if len(want) != len(back.Cells) {
		t.Fatalf("%d cells, %d were written", len(want), len(back.Cells))
	}
	check := func(r *Reader) {
		t.Helper()
		if got := allCells(t, r.Cells); !reflect.DeepEqual(got, want) {
			t.Errorf("cells are %v, want %v", got, want)
		}
		if w, err := r.Watermark(t.Context()); err != nil || w != 19 {
			t.Errorf("watermark %d, %v", w, err)
		}
		for _, cell := range want {
			got, found, err := r.FindCell(t.Context(), cell.ID)
			if got.Data = append([]byte{}, got.Data...); err != nil || !found || !reflect.DeepEqual(got, cell) {
				t.Errorf("cell %d is %v, %t, %v", cell.ID, got, found, err)
			}
		}
		if _, found, err := r.FindCell(t.Context(), 2); found || err != nil {
			t.Errorf("cell 2: %t, %v", found, err)
		}
	}
	check(live)
	if before, _ := live.Still(); before {
		t.Error("a store with a writer is called still")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	check(openReader(t, s.path))
	if after, err := os.ReadFile(s.path); err != nil || string(after) != string(content) {
		t.Errorf("reading changed the file: %v", err)
	}
}

func TestAReaderReadsCellsThatCannotBe(t *testing.T) {
	s, back := withCells(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	cells := back.Cells
	cells[0].Seq, cells[1].Name, cells[2].Data = 1<<64-1, [16]byte{}, nil
	if err := WriteCells(s.path, cells, 1<<64-2, 1<<64-3); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, s.path)
	got := allCells(t, r.Cells)
	if len(got) != 6 || got[4].Seq != 1<<64-1 || got[3].Name != [16]byte{} || len(got[2].Data) != 0 || len(got[1].Data) != 4 {
		t.Errorf("%v", got)
	}
	if w, err := r.Watermark(t.Context()); err != nil || w != 1<<64-2 {
		t.Errorf("watermark %d, %v", w, err)
	}
	if last, err := r.LastInCells(t.Context()); err != nil || last != 1<<64-3 {
		t.Errorf("last row %d, %v", last, err)
	}
	enough := errors.New("enough")
	if err := r.Cells(t.Context(), func(*journal.Cell) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if got := allCells(t, r.Cells); len(got) != 6 {
		t.Errorf("after an error %d cells", len(got))
	}
}

// TestDamagedCells: a reader refuses them, and the next writer has the rows replayed.
func TestDamagedCells(t *testing.T) {
	s, _ := withCells(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := celllog.Damage(CellsPath(s.path)); err != nil {
		t.Fatal(err)
	}
	var damage *celllog.DamageError
	r := openReader(t, s.path)
	if _, err := r.Watermark(t.Context()); !errors.As(err, &damage) {
		t.Errorf("watermark: %v", err)
	}
	if err := r.Cells(t.Context(), func(*journal.Cell) error { return nil }); !errors.As(err, &damage) {
		t.Errorf("cells: %v", err)
	}
	again := openStore(t, filepath.Dir(s.path))
	if _, err := again.Watermark(t.Context()); !errors.As(err, &damage) {
		t.Errorf("watermark of a store that nobody has claimed: %v", err)
	}
	if _, err := again.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	if w, err := again.Watermark(t.Context()); w != 0 || err != nil {
		t.Errorf("watermark %d, %v", w, err)
	}
	if _, found, err := again.FindCell(t.Context(), 9); found || err != nil {
		t.Errorf("cell 9: %t, %v", found, err)
	}
}

// TestTheFormerFileOfCells is removed by the next writer and by nobody else.
func TestTheFormerFileOfCells(t *testing.T) {
	s, _, _ := filled(t, 3)
	former := strings.TrimSuffix(s.path, ".db") + formerSuffix
	for _, name := range []string{former, former + "-wal", former + "-shm"} {
		if err := os.WriteFile(name, []byte("SQLite format 3"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := s.Watermark(t.Context()); w != 0 || err != nil {
		t.Errorf("watermark %d, %v", w, err)
	}
	if _, err := os.Stat(former); err != nil {
		t.Error(err)
	}
	if _, err := s.Claim(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{former, former + "-wal", former + "-shm"} {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
	}
}

// TestCellsOfATakeover: a handle that lost the journal sees what the new one writes, and writes no more.
func TestCellsOfATakeover(t *testing.T) {
	s, _ := withCells(t)
	other := openStore(t, filepath.Dir(s.path))
	if w, err := other.Watermark(t.Context()); w != 19 || err != nil {
		t.Fatalf("watermark %d, %v", w, err)
	}
	epoch, err := other.Claim(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	seq, hash, err := other.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chain := &journal.Chain{Seq: seq, Hash: hash}
	back := &journal.Back{Watermark: 20}
	back.Add(3, [16]byte{3, 7}, 22).Data = []byte("new")
	if err := s.Commit(t.Context(), epoch-1, nil, back); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Errorf("the old handle: %v", err)
	}
	if err := other.Commit(t.Context(), epoch, journaltest.Seal(chain, journal.Row{Kind: journal.Noted}), back); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		c, found, err := s.FindName(t.Context(), [16]byte{3, 7})
		if err != nil || !found || string(c.Data) != "new" {
			t.Errorf("the old handle finds %v, %t, %v", c, found, err)
		}
		back.Watermark++
		if err := other.Commit(t.Context(), epoch, nil, back); err != nil {
			t.Fatal(err)
		}
	}
	if w, err := s.Watermark(t.Context()); w != 22 || err != nil {
		t.Errorf("watermark %d, %v", w, err)
	}
	want := allCells(t, other.Cells)
	for _, read := range []func(context.Context, func(*journal.Cell) error) error{s.Cells, s.Sweep, other.Sweep} {
		if got := allCells(t, read); !reflect.DeepEqual(got, want) {
			t.Errorf("cells are %v, want %v", got, want)
		}
	}
}

// TestCellsAheadOfTheJournal takes the last row away behind everybody's back: cells that know of it must not be believed.
func TestCellsAheadOfTheJournal(t *testing.T) {
	s, _ := withCells(t)
	last, _, err := s.Last(t.Context())
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(s.path, sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	err = sqlitex.ExecuteTransient(conn, "DELETE FROM journal WHERE seq = ?1", &sqlitex.ExecOptions{Args: []any{int64(last)}})
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := Open(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Claim(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "rows are missing") {
		t.Errorf("claimed: %v", err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALookupOfACellAllocatesOnlyItsData(t *testing.T) {
	s, back := withCells(t)
	name := back.Cells[0].Name
	if n := testing.AllocsPerRun(100, func() {
		if _, found, err := s.FindName(t.Context(), name); !found || err != nil {
			t.Fatal(found, err)
		}
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// TestACommitWritesItsCellsAtOnce: the file of the log grows by one write a commit, which holds its cells and a mark.
func TestACommitWritesItsCellsAtOnce(t *testing.T) {
	s, back := withCells(t)
	before, err := celllog.Size(CellsPath(s.path))
	if err != nil {
		t.Fatal(err)
	}
	seq, hash, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chain := &journal.Chain{Seq: seq, Hash: hash}
	if err := s.Commit(t.Context(), 1, journaltest.Seal(chain, journal.Row{Kind: journal.Noted}), back); err != nil {
		t.Fatal(err)
	}
	after, err := celllog.Size(CellsPath(s.path))
	if want := before + int64(len(back.Cells)+1)*64; err != nil || after != want {
		t.Errorf("%d bytes, want %d, %v", after, want, err)
	}
}

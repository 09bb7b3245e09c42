package journalsql

import (
	"cmp"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"tapnet/internal/journal"
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

func TestAReaderGoesOnWhereCellsAreDamaged(t *testing.T) {
	s, _ := withCells(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := sqlite.OpenConn(CellsPath(s.path), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	err = sqlitex.ExecuteScript(conn, `UPDATE cell SET name = x'00' WHERE id = 1; UPDATE cell SET data = zeroblob(5000) WHERE id = 3;
		UPDATE cell SET seq = -1 WHERE id = 5; UPDATE cell SET data = '' WHERE id = 7; UPDATE mark SET watermark = -2`, nil)
	if err := errors.Join(err, conn.Close()); err != nil {
		t.Fatal(err)
	}
	r := openReader(t, s.path)
	cells := allCells(t, r.Cells)
	if len(cells) != 6 || cells[0].Name != [16]byte{} || len(cells[1].Data) != 0 || cells[2].Seq != 1<<64-1 || len(cells[3].Data) != 0 || len(cells[4].Data) != 4 {
		t.Errorf("%v", cells)
	}
	if w, err := r.Watermark(t.Context()); err != nil || w != 1<<64-2 {
		t.Errorf("watermark %d, %v", w, err)
	}
	enough := errors.New("enough")
	if err := r.Cells(t.Context(), func(*journal.Cell) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
	if got := allCells(t, r.Cells); len(got) != 6 {
		t.Errorf("after an error %d cells", len(got))
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

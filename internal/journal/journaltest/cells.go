package journaltest

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tapnet/internal/journal"
)

// Cells reads every cell of an archive, and checks that they come in order.
func Cells(t testing.TB, s journal.Archive) (cells []journal.Cell) {
	t.Helper()
	if err := s.Cells(t.Context(), func(c *journal.Cell) error {
		if n := len(cells); n > 0 && cells[n-1].ID >= c.ID {
			t.Errorf("cell %d comes after cell %d", c.ID, cells[n-1].ID)
		}
		again := *c
		again.Data = bytes.Clone(c.Data)
		cells = append(cells, again)
		return nil
	}); err != nil {
		t.Fatalf("Cells: %v", err)
	}
	return cells
}

func testCells(t *testing.T, open Open) {
	f := begin(t, open)
	if cells := Cells(t, f); len(cells) != 0 {
		t.Fatalf("%d cells in an empty store", len(cells))
	}
	want := map[int64]journal.Cell{}
	commit := func(rows int, watermark uint64, cells ...journal.Cell) {
		t.Helper()
		back := &journal.Back{Watermark: watermark}
		for _, c := range cells {
			to := back.Add(c.ID, c.Name, c.Seq)
			to.Data = append(to.Data, c.Data...)
			want[c.ID] = c
		}
		if err := f.Commit(t.Context(), f.epoch, Rows(&f.chain, rows), back); err != nil {
			t.Fatal(err)
		}
	}
	named := [16]byte{1, 2, 3, 15: 9}
	const last = 1<<63 - 1
	commit(5, 3, journal.Cell{ID: 7, Name: named, Seq: 4, Data: []byte("seven")}, journal.Cell{ID: 2, Seq: 5, Data: []byte{0}},
		journal.Cell{ID: last, Name: [16]byte{15: 1}, Seq: 1, Data: bytes.Repeat([]byte{0xFF}, journal.MaxCellBytes)})
	commit(1, 2, journal.Cell{ID: 7, Name: named, Seq: 5, Data: []byte("longer than before")})
	commit(1, 0, journal.Cell{ID: 3, Name: [16]byte{1}, Seq: 7, Data: []byte{3, 0, 0}})
	check := func() {
		t.Helper()
		cells := Cells(t, f)
		if len(cells) != len(want) {
			t.Fatalf("%d cells, want %d", len(cells), len(want))
		}
		for _, c := range cells {
			if diff := cmp.Diff(want[c.ID], c); diff != "" {
				t.Errorf("cell (-want +got):\n%s", diff)
			}
			found, ok, err := f.FindCell(t.Context(), c.ID)
			if diff := cmp.Diff(c, found); err != nil || !ok || diff != "" {
				t.Errorf("FindCell(%d) = %t, %v\n%s", c.ID, ok, err, diff)
			}
			found, ok, err = f.FindName(t.Context(), c.Name)
			if diff := cmp.Diff(c, found); c.Name != [16]byte{} && (err != nil || !ok || diff != "") {
				t.Errorf("FindName of cell %d = %t, %v\n%s", c.ID, ok, err, diff)
			}
		}
		for _, id := range []int64{1, 4, 0, -7, last - 1} {
			if _, ok, err := f.FindCell(t.Context(), id); ok || err != nil {
				t.Errorf("FindCell(%d) = %t, %v", id, ok, err)
			}
		}
		for _, name := range [][16]byte{{1, 2, 3}, {15: 9}} {
			if _, ok, err := f.FindName(t.Context(), name); ok || err != nil {
				t.Errorf("FindName(%x) = %t, %v", name, ok, err)
			}
		}
		if w, err := f.Watermark(t.Context()); w != 3 || err != nil {
			t.Errorf("Watermark = %d, %v", w, err)
		}
	}
	check()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Store = open(t, f.place)
	check()
	f.claim(t)
	check()
	commit(1, 3, journal.Cell{ID: 2, Seq: 8, Data: []byte("again")})
	check()
}

func testRefusedCells(t *testing.T, open Open) {
	for name, c := range map[string]journal.Cell{
		"number 0": {}, "a number below zero": {ID: -1}, "too much data": {ID: 8, Data: make([]byte, journal.MaxCellBytes+1)},
		"a name that changes": {ID: 7, Name: [16]byte{2}}, "another's name": {ID: 8, Name: [16]byte{1}},
	} {
		f := begin(t, open)
		back := new(journal.Back)
		back.Add(7, [16]byte{1}, 1).Data = []byte("seven")
		if err := f.Commit(t.Context(), f.epoch, Rows(&f.chain, 1), back); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(t.Context(), f.epoch, Rows(&f.chain, 1), &journal.Back{Cells: []journal.Cell{{ID: 9, Seq: 2}, c}}); err == nil {
			t.Errorf("%s was taken", name)
		}
		if _, found, err := f.FindCell(t.Context(), 9); found || err != nil {
			t.Errorf("%s: half of the batch: %t, %v", name, found, err)
		}
	}
}

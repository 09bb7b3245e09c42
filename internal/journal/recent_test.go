package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// shelf is an archive of which only the keys matter.
type shelf struct {
	Archive
	last string
}

func (s shelf) LastKey(context.Context) (string, error) { return s.last, nil }

func attached(t *testing.T, capacity int, rising bool, archive shelf, watermark uint64) (*Recent[int], *[]int) {
	t.Helper()
	var gone []int
	m := NewRecent(capacity, rising, func(v int) { gone = append(gone, v) })
	if err := m.Attach(t.Context(), archive, watermark); err != nil {
		t.Fatal(err)
	}
	return m, &gone
}

var errShelf = errors.New("shelf")

func nobody(string) (int, bool, error) { return 0, false, errShelf }
func always(v int) Look[int]           { return func(string) (int, bool, error) { return v, true, nil } }
func key(n int) string                 { return fmt.Sprintf("k%06d", n) }
func held(m *Recent[int], keys ...int) bool {
	return slices.ContainsFunc(keys, func(n int) bool { _, ok := m.Get(key(n)); return ok })
}

func TestOnlyWhatHasEndedIsForgottenOldestFirst(t *testing.T) {
	m, gone := attached(t, 2, false, shelf{}, 0)
	m.Begin(key(0), 0)
	for n := 1; n <= 5; n++ {
		m.End(key(n), n, uint64(n))
	}
	m.Settle(5)
	if m.Len() != 3 || !slices.Equal(*gone, []int{1, 2, 3}) || held(m, 1, 2, 3) {
		t.Fatalf("%d kept, gone %v", m.Len(), *gone)
	}
	m.End(key(4), 40, 6) // a later row about it
	m.End(key(6), 6, 7)
	m.Settle(7)
	if !slices.Equal(*gone, []int{1, 2, 3, 5}) || !held(m, 4) || !held(m, 6) || !held(m, 0) {
		t.Errorf("gone %v", *gone)
	}
	m.End(key(0), 0, 8)
	m.Settle(8)
	if held(m, 4) || !held(m, 0) {
		t.Error("what was open is not the last to end")
	}
}

func TestNothingIsForgottenThatNoLookWouldFind(t *testing.T) {
	m, _ := attached(t, 1, false, shelf{}, 0)
	for n := 1; n <= 30; n++ {
		m.End(key(n), n, uint64(n))
	}
	m.Settle(10)
	if held(m, 10) || !held(m, 11) {
		t.Error("row 10 is on disk and no later one")
	}
	bare := NewRecent[int](1, false, nil)
	for n := range 10 {
		bare.End(key(n), n, uint64(n+1))
	}
	bare.Settle(100)
	if bare.Len() != 10 {
		t.Error("forgotten without an archive")
	}
}

func TestALookIsMadeWhereItMayHelp(t *testing.T) {
	for _, rising := range []bool{false, true} {
		m, _ := attached(t, 1, rising, shelf{}, 0)
		if _, found, err := m.Find(key(1), Recall[int]{}, nobody); found || err != nil {
			t.Error("looked though nothing was forgotten")
		}
		if m.Foresee(key(1), always(1)).looked {
			t.Error("foresaw though nothing was forgotten")
		}
		for n := 1; n <= 3; n++ {
			m.End(key(n), n, uint64(n))
		}
		m.Settle(3)
		if v, found, err := m.Find(key(3), Recall[int]{}, nobody); v != 3 || !found || err != nil {
			t.Error("looked for what is in memory")
		}
		if _, _, err := m.Find(key(1), Recall[int]{}, nobody); !errors.Is(err, errShelf) {
			t.Error("did not look for what is forgotten")
		}
		if _, _, err := m.Find(key(9), Recall[int]{}, nobody); (err == nil) != rising {
			t.Errorf("rising %t: a new key gives %v", rising, err)
		}
		seen := m.Foresee(key(1), always(7))
		if v, found, err := m.Find(key(1), seen, nobody); v != 7 || !found || err != nil {
			t.Error("what was foreseen is not taken")
		}
		if _, _, err := m.Find(key(2), seen, nobody); err == nil {
			t.Error("what was foreseen of another key is taken")
		}
		if m.Foresee(key(1), nobody).looked {
			t.Error("a failed look counts")
		}
	}
}

// A thing that came, changed and went between the look and the event must be looked for again.
func TestALookThatIsOutOfDateIsMadeAgain(t *testing.T) {
	for _, others := range []int{0, forgottenRing + 1} {
		m, _ := attached(t, 1, false, shelf{}, 1)
		seen := m.Foresee(key(1), always(7))
		m.End(key(1), 8, 2)
		for n := range others + 1 {
			m.End(key(2+n), n, uint64(3+n))
		}
		m.Settle(1 << 40)
		if v, found, err := m.Find(key(1), seen, always(8)); v != 8 || !found || err != nil {
			t.Errorf("%d others: found %d, %v", others, v, err)
		}
	}
}

func TestARestartKnowsThatTheArchiveHasMore(t *testing.T) {
	m, _ := attached(t, 4, true, shelf{last: key(5)}, 9)
	if v, found, _ := m.Find(key(5), Recall[int]{}, always(1)); v != 1 || !found {
		t.Error("the last key before the restart is not looked for")
	}
	if _, found, err := m.Find(key(6), Recall[int]{}, nobody); found || err != nil {
		t.Error("a later key is looked for")
	}
	m, _ = attached(t, 4, false, shelf{}, 9)
	if v, _, _ := m.Find("anything", m.Foresee("anything", always(3)), nobody); v != 3 {
		t.Error("not looked for")
	}
}

func TestTheQueueStaysSmall(t *testing.T) {
	m, _ := attached(t, 3, false, shelf{}, 0)
	for n := range 100_000 {
		m.End(key(n%3), n, uint64(n+1))
		m.Settle(uint64(n))
	}
	if len(m.queue) > 2*staleSpare {
		t.Errorf("%d entries for %d things", len(m.queue), m.Len())
	}
	for n := range 100_000 {
		m.End(key(n), n, uint64(200_000+n))
		m.Settle(uint64(200_000 + n))
	}
	if m.Len() > 4 || len(m.queue) > 4*staleSpare {
		t.Errorf("%d things, %d entries", m.Len(), len(m.queue))
	}
}

// restore makes Begun again from the cells a store would hold.
func restore(t *testing.T, cells map[int64]Cell) *Begun {
	t.Helper()
	b := NewBegun(1)
	for _, cell := range cells {
		if err := b.Read(&cell); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestCellsFollowWhatIsOpenAndAreUsedAgain(t *testing.T) {
	b, cells, back := NewBegun(4), map[int64]Cell{}, new(Back)
	write := func(last uint64) int {
		back.Reset()
		b.WriteBack(back, last)
		if back.Watermark != last || back.Check() != nil {
			t.Fatalf("watermark %d, %v", back.Watermark, back.Check())
		}
		for _, cell := range back.Cells {
			cell.Data = slices.Clone(cell.Data)
			cells[cell.ID] = cell
		}
		return len(back.Cells)
	}
	if b.Due(3) || !b.Due(1) {
		t.Error("due at the wrong time")
	}
	b.Begin("a", 1)
	b.Begin("b", 2)
	b.Begin("c", 1)
	b.End("c") // never seen by the store
	if n := write(4); n != 2 || b.Due(3) {
		t.Errorf("%d cells", n)
	}
	if write(5) != 0 {
		t.Error("cells without change")
	}
	b.Begin("b", 1)
	b.End("a")
	b.Begin("d", 2)
	write(6)
	b.End("b")
	b.End("b")
	b.End("nobody")
	write(7)
	b.Begin("e", 1)
	b.Begin("f", 1)
	write(8)
	again := restore(t, cells)
	if len(cells) != 3 || again.Len() != 3 || !slices.Equal(again.Keys(1), []string{"e", "f"}) || !slices.Equal(again.Keys(2), []string{"d"}) {
		t.Errorf("%d cells; open %v, %v", len(cells), again.Keys(1), again.Keys(2))
	}
	again.End("d")
	again.Begin("g", 3)
	again.WriteBack(new(Back), 9)
	if again.next != b.next {
		t.Error("a cell was not used again after the restart")
	}
}

func TestDamagedCellsAreNoticed(t *testing.T) {
	for _, data := range []string{"\x01", "\x01\x01", "\x02\x01k", "\x01\x00k"} {
		if err := NewBegun(1).Read(&Cell{ID: FirstBegun, Data: []byte(data)}); !errors.Is(err, errBegun) {
			t.Errorf("%q: %v", data, err)
		}
	}
}

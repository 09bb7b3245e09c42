package celllog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tapnet/internal/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// small is a log whose segments are full after some twenty cells.
var small = sizes{segment: 4 << 10, sync: 2 << 10, garbage: 2 << 10}

// state is what a log holds after a commit.
type state struct {
	cells           map[int64]string // number: row, name and data
	watermark, last uint64
}

func text(c *journal.Cell) string { return fmt.Sprintf("%d %x %x", c.Seq, c.Name, c.Data) }

func (s *state) with(cells []journal.Cell, watermark, last uint64) *state {
	next := &state{cells: maps.Clone(s.cells), watermark: max(s.watermark, watermark), last: last}
	if next.cells == nil {
		next.cells = map[int64]string{}
	}
	for i := range cells {
		next.cells[cells[i].ID] = text(&cells[i])
	}
	return next
}

// check compares a log with a state, every way there is to look.
func (s *state) check(t rapid.TB, l *Log) {
	t.Helper()
	if l.Watermark() != s.watermark || l.Last() != s.last || l.Len() != len(s.cells) {
		t.Fatalf("watermark %d, last %d, %d cells; want %d, %d, %d", l.Watermark(), l.Last(), l.Len(), s.watermark, s.last, len(s.cells))
	}
	var order []int64
	if err := l.Ordered(context.Background(), func(c *journal.Cell) error {
		order = append(order, c.ID)
		if text(c) != s.cells[c.ID] {
			t.Errorf("cell %d is %s, want %s", c.ID, text(c), s.cells[c.ID])
		}
		var named journal.Cell
		if found, err := l.FindName(c.Name, &named); c.Name != [16]byte{} && l.flag != os.O_RDONLY && (!found || err != nil || !reflect.DeepEqual(named, *c)) {
			t.Errorf("by its name cell %d is %v, %t, %v", c.ID, named, found, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(maps.Keys(s.cells)); !slices.Equal(order, want) {
		t.Fatalf("cells %v, want %v", order, want)
	}
	live := int64(0)
	for i := range l.index.count {
		live += int64(l.index.at(i).where.length())
	}
	sum := int64(0)
	for _, segment := range l.order {
		sum += segment.live
	}
	if live != l.live || sum != live {
		t.Fatalf("%d bytes are alive, %d are counted, %d in the segments", live, l.live, sum)
	}
}

func nameOf(id int64) (name [16]byte) {
	if id%3 != 0 {
		copy(name[:], fmt.Sprintf("name %d", id))
	}
	return name
}

func someCell(t *rapid.T, last uint64) journal.Cell {
	id := rapid.OneOf(rapid.Int64Range(1, 20), rapid.SampledFrom([]int64{1 << 40, math.MaxInt64, math.MaxInt64 - 1})).Draw(t, "id")
	return journal.Cell{ID: id, Name: nameOf(id), Seq: last, Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")}
}

// world is a log and what it should be.
type world struct {
	dir     string
	disk    *faultyDisk
	log     *Log
	history map[uint64]*state // by last row
	last    uint64
	now     *state
	floor   uint64 // what the disk must hold
}

func (w *world) open(t *rapid.T) {
	var err error
	s := small
	s.noKeeper = true
	if w.log, err = openLog(w.dir, w.disk, os.O_RDWR, s); err != nil {
		t.Fatal(err)
	}
	err = w.log.Own()
	if errors.Is(err, errPower) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
}

// run does something until the power fails, and reports whether it did.
func (w *world) run(t *rapid.T, do func() error) (failed bool) {
	err := do()
	if err != nil && !errors.Is(err, errPower) {
		t.Fatal(err)
	}
	return err != nil
}

func (w *world) put(t *rapid.T) bool {
	w.last += rapid.Uint64Range(1, 3).Draw(t, "rows")
	cells := make([]journal.Cell, rapid.IntRange(0, 12).Draw(t, "cells"))
	for i := range cells {
		cells[i] = someCell(t, w.last)
	}
	watermark := rapid.Uint64Range(0, w.last).Draw(t, "watermark")
	next := w.now.with(cells, watermark, w.last)
	w.history[w.last] = next
	failed := w.run(t, func() error { return w.log.Put(cells, watermark, w.last) })
	if !failed {
		w.now = next
	}
	return failed
}

// crash pulls the plug and opens what is left.
func (w *world) crash(t *rapid.T, root string, n int) {
	settled := w.log.settled
	w.log.Close() // with errors: the power is off. What it would have written is in no image
	mode := rapid.IntRange(0, 3).Draw(t, "what is left")
	coin := rapid.Bool()
	until := rapid.IntRange(0, 200).Draw(t, "until")
	keep := func() bool {
		switch mode {
		case 0:
			return false
		case 1:
			return true
		case 2:
			until--
			return until > 0
		}
		return coin.Draw(t, "sector")
	}
	w.dir = filepath.Join(root, fmt.Sprint("after", n))
	w.disk = w.disk.image(t, w.dir, keep, func() bool { return coin.Draw(t, "comes back") })
	w.disk.budget = -1
	w.open(t)
	end := place{}
	if active := w.log.active(); active != nil {
		end = place{active.number, uint32(active.size)}
	}
	if end.before(settled) {
		t.Fatalf("the log ends at %v, the disk held it to %v", end, settled)
	}
	at := w.log.Last()
	if w.now = w.history[at]; w.now == nil || at < w.floor {
		t.Fatalf("the log is as of row %d, which is no commit or before row %d", at, w.floor)
	}
	w.now.check(t, w.log)
	w.last = max(w.last, at)
	for row := range w.history { // what was lost never was
		if row > at {
			delete(w.history, row)
		}
	}
}

// TestAgainstAModel: whatever is put, moved, closed, killed and lost, a log is what some commit left; after an orderly end or a kill, what the last one
// left.
func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "celllog-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		w := &world{dir: filepath.Join(root, "first"), disk: newFaultyDisk(), history: map[uint64]*state{0: {}}, now: &state{}}
		w.open(t)
		for n := range rapid.IntRange(1, 40).Draw(t, "steps") {
			failed := false
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0, 1, 2, 3, 4:
				failed = w.put(t)
			case 5, 6:
				failed = w.run(t, w.log.tend)
			case 7:
				failed = w.run(t, w.log.Close)
				if !failed {
					w.floor = w.now.last
					w.open(t)
				}
			case 8: // kill -9: nothing is lost
				w.log.owned = false
				w.log.Close()
				w.open(t)
			case 9:
				w.disk.budget = rapid.IntRange(0, 25).Draw(t, "calls left")
			}
			if failed || w.disk.budget == 0 {
				w.disk.budget = 0
				w.crash(t, root, n)
			} else if w.log.owned {
				w.now.check(t, w.log)
			}
		}
		w.disk.budget = -1
		if err := w.log.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := openLog(w.dir, realDisk{}, os.O_RDONLY, sizes{})
		if err != nil {
			t.Fatal(err)
		}
		w.now.check(t, r)
		swept := map[int64]string{}
		if err := errors.Join(r.Each(context.Background(), func(c *journal.Cell) error {
			swept[c.ID] = text(c)
			return nil
		}), r.Close()); err != nil || len(swept) != len(w.now.cells) {
			t.Fatalf("%d cells swept, %d wanted, %v", len(swept), len(w.now.cells), err)
		}
	})
}

// written makes a log that has been compacted, and what it held after each commit.
func written(t testing.TB, dir string) map[uint64]*state {
	t.Helper()
	s := small
	s.noKeeper = true
	l, err := openLog(dir, realDisk{}, os.O_RDWR, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Own(); err != nil {
		t.Fatal(err)
	}
	now := &state{}
	history := map[uint64]*state{0: now}
	for n := uint64(1); n <= 40; n++ {
		again, once := int64(n%4+1), int64(100+n/3)
		cells := []journal.Cell{{ID: again, Name: nameOf(again), Seq: n, Data: make([]byte, 300)}, {ID: once, Seq: n, Data: slices.Repeat([]byte{byte(n)}, 400)}}
		if err := errors.Join(l.Put(cells, n-1, n), l.tend()); err != nil {
			t.Fatal(err)
		}
		now = now.with(cells, n-1, n)
		history[n] = now
	}
	if l.order[0].number == 1 || len(l.order) < 2 {
		t.Fatalf("segments %d to %d: nothing was compacted", l.order[0].number, l.active().number)
	}
	now.check(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return history
}

// TestEveryByte turns bits of, and cuts at, every byte: the log is then what some commit left, or known to be damaged.
func TestEveryByte(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	history := written(t, dir)
	numbers, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	damaged, earlier := 0, 0
	try := func(path string, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenReader(dir)
		var damage *DamageError
		switch {
		case errors.As(err, &damage):
			damaged++
			return
		case err != nil:
			t.Fatal(err)
		}
		defer l.Close()
		earlier++
		if s := history[l.Last()]; s == nil {
			t.Fatalf("%s: as of row %d", filepath.Base(path), l.Last())
		} else {
			s.check(t, l)
		}
	}
	for _, n := range numbers {
		path := segmentPath(dir, n)
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 29 {
			turned := slices.Clone(whole)
			turned[at] ^= 1 << (at % 8)
			try(path, turned)
			try(path, whole[:at])
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if damaged == 0 || earlier == 0 {
		t.Errorf("%d times damaged, %d times an earlier state", damaged, earlier)
	}
}

// TestACommitIsOneWrite also of many cells, and no sync.
func TestACommitIsOneWrite(t *testing.T) {
	d := newFaultyDisk()
	l, err := openLog(filepath.Join(t.TempDir(), "log"), d, os.O_RDWR, sizes{segment: segmentBytes, sync: math.MaxInt64, garbage: segmentBytes, noKeeper: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Own(); err != nil {
		t.Fatal(err)
	}
	cells := make([]journal.Cell, 256)
	for i := range cells {
		cells[i] = journal.Cell{ID: int64(i + 1), Name: nameOf(int64(i + 1)), Data: make([]byte, 150)}
	}
	for n := uint64(1); n <= 5; n++ {
		clear(d.calls)
		if err := l.Put(cells, 0, n); err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"write": 1}; n > 1 && !maps.Equal(d.calls, want) {
			t.Errorf("commit %d: %v", n, d.calls)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func filled(t testing.TB, dir string, cells int) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := l.Own(); err != nil {
		t.Fatal(err)
	}
	batch := make([]journal.Cell, 0, 1024)
	for id := 1; id <= cells; id++ {
		batch = append(batch, benchCell(int64(id), uint64(id)))
		if len(batch) == cap(batch) || id == cells {
			if err := l.Put(batch, 0, uint64(id)); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	return l
}

func benchName(id int64) (name [16]byte) {
	h := mix(uint64(id))
	for i := range 8 {
		name[i], name[15-i] = byte(h>>(8*i)), byte(id>>(8*i))
	}
	return name
}

func benchCell(id int64, seq uint64) journal.Cell {
	return journal.Cell{ID: id, Name: benchName(id), Seq: seq, Data: make([]byte, 150)}
}

func TestALookupAllocatesNothing(t *testing.T) {
	l := filled(t, filepath.Join(t.TempDir(), "log"), 5000)
	c := journal.Cell{Data: make([]byte, 0, 512)}
	id := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		id++
		if found, err := l.FindName(benchName(id), &c); !found || err != nil || c.ID != id {
			t.Fatal(found, err)
		}
		if found, err := l.Find(id, &c); !found || err != nil || c.ID != id {
			t.Fatal(found, err)
		}
		if found, err := l.Find(id+5000, &c); found || err != nil {
			t.Fatal(found, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWhatIsRefused(t *testing.T) {
	l := filled(t, filepath.Join(t.TempDir(), "log"), 10)
	one := benchCell(1, 1)
	for name, c := range map[string]journal.Cell{
		"number 0": {Seq: 1}, "below zero": {ID: -1}, "too long": {ID: 77, Data: make([]byte, journal.MaxCellBytes+1)},
		"another's name": {ID: 77, Name: one.Name}, "a name that changes": {ID: 1, Name: benchName(2)}, "a name that goes": {ID: 1},
	} {
		if err := l.Put([]journal.Cell{benchCell(2, 5), c}, 0, 99); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if l.Last() != 10 {
		t.Errorf("last row %d", l.Last())
	}
	largest := journal.Cell{ID: 78, Data: make([]byte, journal.MaxCellBytes)}
	if err := l.Put([]journal.Cell{largest}, 0, 11); err != nil {
		t.Error(err)
	}
	if found, err := l.Find(78, &largest); !found || err != nil || len(largest.Data) != journal.MaxCellBytes {
		t.Error(found, err)
	}
	r, err := OpenReader(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Own(); err == nil {
		t.Error("a reader owns")
	}
	other, err := Open(l.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Put(nil, 0, 12); !errors.Is(err, errReadOnly) {
		t.Errorf("put without owning: %v", err)
	}
	if err := errors.Join(other.Own(), other.Put([]journal.Cell{one}, 0, 12), other.Close()); err != nil {
		t.Fatal(err)
	}
	if err := l.Put(nil, 0, 13); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Errorf("two write: %v", err)
	}
	if found, err := other.Find(1, &one); found || !errors.Is(err, journal.ErrClosed) {
		t.Errorf("closed: %t, %v", found, err)
	}
}

// TestBesideTheWriter: look-ups in the same process and readers of another one see whole commits, while segments come and go.
func TestBesideTheWriter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	l, err := openLog(dir, realDisk{}, os.O_RDWR, sizes{segment: 16 << 10, sync: 8 << 10, garbage: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Own(); err != nil {
		t.Fatal(err)
	}
	const cells, commits = 100, 2500
	stop := make(chan struct{})
	var wg sync.WaitGroup
	beside := func(do func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	// Commit n writes cell n%cells+1 and that of ten before. A cell's row is the last that wrote it.
	want := func(id int64, last uint64) uint64 {
		for n := last; n > 0; n-- {
			if int64(n%cells+1) == id || n%10 == 0 && id == cells {
				return n
			}
		}
		return 0
	}
	var c journal.Cell
	beside(func() error {
		before := l.Last()
		found, err := l.Find(7, &c)
		if err == nil && found && c.Seq < want(7, before) {
			err = fmt.Errorf("cell 7 as of row %d, after row %d", c.Seq, before)
		}
		return err
	})
	readers := 0
	beside(func() error {
		r, err := OpenReader(dir)
		if err != nil {
			return err
		}
		readers++
		n, last := 0, r.Last()
		err = r.Each(context.Background(), func(c *journal.Cell) error {
			if n++; c.Seq != want(c.ID, last) {
				return fmt.Errorf("cell %d as of row %d, at row %d it was of %d", c.ID, c.Seq, last, want(c.ID, last))
			}
			return nil
		})
		if err == nil && n != r.Len() || last > cells && n != cells {
			err = fmt.Errorf("%d cells at row %d", n, last)
		}
		return errors.Join(err, r.Close())
	})
	for n := uint64(1); n <= commits || n < 100*commits && dropped(l) < 3; n++ {
		batch := []journal.Cell{{ID: int64(n%cells + 1), Seq: n, Data: make([]byte, 100)}}
		if n%10 == 0 {
			batch = append(batch, journal.Cell{ID: cells, Seq: n, Data: make([]byte, 500)})
		}
		if err := l.Put(batch, 0, n); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if dropped(l) == 0 {
		t.Error("nothing was compacted")
	}
	t.Logf("%d readers, %d segments made, %d compacted away", readers, l.active().number, dropped(l))
}

// brokenDisk syncs directories and headers, and then nothing any more.
type brokenDisk struct{ realDisk }

type brokenFile struct {
	file
	syncs int
}

func (d brokenDisk) open(path string, flag int) (file, error) {
	f, err := d.realDisk.open(path, flag)
	return &brokenFile{file: f}, err
}

func (f *brokenFile) Sync() error {
	if f.syncs++; f.syncs > 1 {
		return errPower
	}
	return nil
}

// TestASyncThatFails stops the writer, and Close says why.
func TestASyncThatFails(t *testing.T) {
	l, err := openLog(filepath.Join(t.TempDir(), "log"), brokenDisk{}, os.O_RDWR, small)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Own(); err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); err == nil && n < 1_000_000; n++ {
		err = l.Put([]journal.Cell{{ID: 1, Seq: n}}, 0, n)
	}
	if !errors.Is(err, errPower) {
		t.Errorf("Put: %v", err)
	}
	if err := l.Close(); !errors.Is(err, errPower) {
		t.Errorf("Close: %v", err)
	}
}

// dropped is how many segments were compacted away.
func dropped(l *Log) int {
	l.appending.Lock()
	defer l.appending.Unlock()
	if len(l.order) == 0 {
		return 0
	}
	return int(l.active().number) - len(l.order)
}

func FuzzRecord(f *testing.F) {
	c := benchCell(7, 9)
	f.Add(appendCell(nil, &c))
	f.Add(appendMark(nil, &mark{watermark: 3, last: 4, at: place{1, 96}, settled: place{1, 32}, sum: 5, sealed: true}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		n := whole(b)
		if n == 0 {
			return
		}
		var again []byte
		if isCell(b) {
			var c journal.Cell
			if readCell(b[:n], &c) != nil {
				return
			}
			again = appendCell(nil, &c)
		} else {
			m, err := readMark(b[:n])
			if err != nil {
				return
			}
			again = appendMark(nil, &m)
		}
		if !slices.Equal(again, b[:n]) {
			t.Errorf("% x is written as % x", b[:n], again)
		}
	})
}

// FuzzSegment: whatever a segment holds, what is believed of it ends with a mark.
func FuzzSegment(f *testing.F) {
	b, sum := appendHeader(nil, 3), uint32(0)
	for n := range uint64(3) {
		from := len(b)
		b = appendCell(b, &journal.Cell{ID: 7, Seq: n, Data: []byte("data")})
		sum = addSum(sum, b[from:])
		from = len(b)
		b = appendMark(b, &mark{last: n, at: place{3, uint32(from)}, settled: place{3, uint32(n) * alignBytes}, sum: sum, sealed: n == 2})
		sum = addSum(sum, b[from:])
		f.Add(uint32(3), b)
	}
	f.Add(uint32(2), b)
	f.Fuzz(func(t *testing.T, number uint32, b []byte) {
		e := &examined{number: number, data: b}
		e.validate()
		behindMark := e.marked && e.end == int(e.last.at.offset)+markBytes && e.last.at.segment == number
		if e.end > len(b) || !behindMark && (e.marked || e.end != 0 && e.end != headerBytes) {
			t.Errorf("believed up to %d of %d, mark %v", e.end, len(b), e.last)
		}
		e.settledBehind(place{number, uint32(e.end)})
	})
}

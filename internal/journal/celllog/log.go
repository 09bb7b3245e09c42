package celllog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
)

const (
	// segmentBytes is what a segment grows to before the next one begins: small enough to be moved in a second, large enough that a bank of ten million has
	// some fifty.
	segmentBytes = 64 << 20
	// syncBytes is what is written before the disk is asked to hold it, beside the writer: what a power cut may cost is a second of replay.
	syncBytes = 8 << 20
	// garbageBytes is what may be superseded before anything is moved.
	garbageBytes = segmentBytes
)

var (
	errFull      = errors.New("celllog: the log holds no more")
	errBatch     = fmt.Errorf("celllog: a commit of more than %d bytes of cells", maxSegmentBytes-headerBytes-2*markBytes)
	errName      = errors.New("its name is another's or has changed")
	errStranger  = fmt.Errorf("celllog: somebody else has written here: %w", journal.ErrStaleEpoch)
	errReadOnly  = errors.New("celllog: opened for reading, or not taken over")
	errDifferent = errors.New("celllog: the record there is another's")
)

// sizes are smaller in tests, which may do the keeper's work themselves.
type sizes struct {
	segment, sync, garbage int64
	noKeeper               bool
}

// Log is a log of cells. One goroutine at a time opens, owns, puts and closes; look-ups may run beside all but opening.
type Log struct {
	dir   string
	disk  disk
	flag  int
	sizes sizes

	// mu covers what look-ups read. That changes under both locks, so whoever appends may read it without this one.
	mu     sync.RWMutex
	index  index
	slots  []*segment // by slot, nil where one is free
	last   mark
	closed bool

	// appending is held for one write: by a commit, or by a step of the compaction.
	appending   sync.Mutex
	making      bool       // the keeper makes the spare segment
	made        *sync.Cond // it is done
	order       []*segment // by number
	spare       *segment   // the one after the last, ready and durable
	settled     place
	total, live int64 // bytes
	unsynced    int64
	buffer      []byte
	owned       bool
	settling    bool
	touched     bool  // something was put since it was opened
	broken      error // after a write that failed nothing more is written

	seen    []seen
	stop    place // what is behind is not believed
	stopped bool
	beyond  bool // something is behind

	keeper   *keeper
	stopping atomic.Bool
}

// segment is one file. All but its file changes under the appending lock.
type segment struct {
	number uint32
	slot   uint16
	file   file
	size   int64
	live   int64 // bytes of records that are their cell's
	synced int64
	sum    uint32
	sealed bool
}

// Open opens the log in a directory, which need not be there yet. It changes nothing before Own.
func Open(dir string) (*Log, error) {
	return openLog(dir, realDisk{}, os.O_RDWR, sizes{segment: segmentBytes, sync: syncBytes, garbage: garbageBytes})
}

// OpenReader opens the log for reading, also while another process writes it: as it is at some moment of the call. Cells are found by number only.
func OpenReader(dir string) (*Log, error) { return openLog(dir, realDisk{}, os.O_RDONLY, sizes{}) }

func openLog(dir string, disk disk, flag int, s sizes) (*Log, error) {
	l := &Log{dir: dir, disk: disk, flag: flag, sizes: s}
	l.made = sync.NewCond(&l.appending)
	if err := l.load(); err != nil {
		return nil, errors.Join(append(l.closeFiles(), err)...)
	}
	return l, nil
}

func (l *Log) reset() {
	l.index, l.slots, l.order, l.spare = index{}, nil, nil, nil
	l.last, l.settled, l.total, l.live, l.unsynced = mark{}, place{}, 0, 0, 0
	l.seen, l.stop, l.stopped, l.beyond = nil, place{}, false, false
}

func (l *Log) closeFiles() (errs []error) {
	for _, s := range l.order {
		errs = append(errs, s.file.Close())
	}
	if l.spare != nil {
		errs = append(errs, l.spare.file.Close())
	}
	return errs
}

// Watermark is the row up to which every cell is complete.
func (l *Log) Watermark() uint64 { w, _ := l.marks(); return w }

// Last is the last row that any cell may know of.
func (l *Log) Last() uint64 { _, last := l.marks(); return last }

func (l *Log) marks() (watermark, last uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last.watermark, l.last.last
}

// Len is the number of cells.
func (l *Log) Len() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return int(l.index.count)
}

// Find looks for a cell by number. Its data goes into c's memory if there is room.
func (l *Log) Find(id int64, c *journal.Cell) (bool, error) {
	for {
		f, w, err := l.lookup(func() (uint32, bool) { return l.index.find(id) })
		if f == nil {
			return false, err
		}
		if err := readAt(f, w, c); err != nil {
			if errors.Is(err, os.ErrClosed) {
				continue // it has been moved, or the log was closed
			}
			return false, fmt.Errorf("celllog: cell %d: %w", id, err)
		}
		if c.ID != id {
			return false, fmt.Errorf("celllog: cell %d: %w", id, errDifferent)
		}
		return true, nil
	}
}

// FindName looks for a cell by name.
func (l *Log) FindName(name [16]byte, c *journal.Cell) (bool, error) {
	if name == [16]byte{} {
		return false, nil
	}
	hash := hashName(name[:])
	for n := 0; ; {
		f, w, err := l.lookup(func() (uint32, bool) { return l.index.findName(hash, n) })
		if f == nil {
			return false, err
		}
		switch err := readAt(f, w, c); {
		case errors.Is(err, os.ErrClosed):
		case err != nil:
			return false, fmt.Errorf("celllog: cell by name: %w", err)
		case c.Name == name:
			return true, nil
		default:
			n++
		}
	}
}

// lookup gives the place of a record, no file when there is none.
func (l *Log) lookup(find func() (uint32, bool)) (file, where, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return nil, 0, journal.ErrClosed
	}
	ordinal, found := find()
	if !found {
		return nil, 0, nil
	}
	w := l.index.at(ordinal).where
	return l.slots[w.slot()].file, w, nil
}

// readAt reads a record with one call and checks it.
func readAt(f file, w where, c *journal.Cell) error {
	n := w.length()
	if cap(c.Data) < n {
		c.Data = make([]byte, n)
	}
	b := c.Data[:n]
	if _, err := f.ReadAt(b, w.offset()); err != nil {
		return err
	}
	if whole(b) != n {
		return errRecord
	}
	if err := readCell(b, c); err != nil {
		return err
	}
	c.Data = append(b[:0], c.Data...)
	return nil
}

// Ordered calls fn for every cell that there is now, in order of number. Cells that change meanwhile are given as they are when their turn comes.
func (l *Log) Ordered(ctx context.Context, fn func(*journal.Cell) error) error {
	var ids heap
	l.mu.RLock()
	if ids = make(heap, 0, l.index.count); l.closed {
		l.mu.RUnlock()
		return journal.ErrClosed
	}
	for i := range l.index.count {
		ids = append(ids, l.index.at(i).id)
	}
	l.mu.RUnlock()
	ids.build()
	var c journal.Cell
	for len(ids) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := l.Find(ids.take(), &c); err != nil {
			return err
		}
		if err := fn(&c); err != nil {
			return err
		}
	}
	return nil
}

// Each calls fn for every cell of a log that is only read, as they lie. The cell is valid during the call.
func (l *Log) Each(ctx context.Context, fn func(*journal.Cell) error) error {
	var b []byte
	var c journal.Cell
	for _, s := range l.order {
		var err error
		if b, err = readAll(s.file, b); err != nil {
			return fmt.Errorf("celllog: segment %d: %w", s.number, err)
		}
		for at := headerBytes; at < int(s.size); {
			n := 0
			if at < len(b) {
				n = whole(b[at:])
			}
			if n == 0 {
				return &DamageError{s.number, int64(at)}
			}
			record := b[at : at+n]
			if isCell(record) && l.current(s, int64(at), cellID(record)) {
				if err := errors.Join(ctx.Err(), readCell(record, &c)); err != nil {
					return err
				}
				if err := fn(&c); err != nil {
					return err
				}
			}
			at += n
		}
	}
	return nil
}

// EachUntouched is Each for whoever owns the log and has put nothing yet; otherwise it does nothing and reports that. Nothing can be put meanwhile.
func (l *Log) EachUntouched(ctx context.Context, fn func(*journal.Cell) error) (done bool, err error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.touched || l.closed {
		return false, nil
	}
	return true, l.Each(ctx, fn)
}

// current reports whether that record is its cell's.
func (l *Log) current(s *segment, at int64, id int64) bool {
	ordinal, found := l.index.find(id)
	if !found {
		return false
	}
	w := l.index.at(ordinal).where
	return w.slot() == s.slot && w.offset() == at
}

// heap gives numbers in order. Whoever wants the first few of millions does not wait for all to be sorted.
type heap []int64

func (h heap) build() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.sink(i)
	}
}

func (h heap) sink(i int) {
	for {
		least := 2*i + 1
		if least >= len(h) {
			return
		}
		if least+1 < len(h) && h[least+1] < h[least] {
			least++
		}
		if h[i] <= h[least] {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (h *heap) take() int64 {
	first, end := (*h)[0], len(*h)-1
	(*h)[0] = (*h)[end]
	*h = (*h)[:end]
	h.sink(0)
	return first
}

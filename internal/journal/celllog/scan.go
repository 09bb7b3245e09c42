package celllog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// DamageError is returned for a log in which something is missing that was on the disk: no power cut does that. What is before it is not the state after an
// earlier commit, because cells may have been moved from there to behind it.
type DamageError struct {
	Segment uint32
	Offset  int64
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("celllog: segment %d is damaged at byte %d", e.Segment, e.Offset)
}

// errMoved says that the writer took a segment away between two looks at the directory.
var errMoved = errors.New("celllog: a segment went meanwhile")

// looks is how often a log is looked at that a writer is changing.
const looks = 8

// examined is a segment as its file has it.
type examined struct {
	number uint32
	file   file
	data   []byte // the whole file
	end    int    // after its last mark, the header when there is none, 0 without a header
	last   mark   // the last mark, when marked
	marked bool
	err    error
}

// validate finds out how much of the segment can be believed.
func (e *examined) validate() {
	e.end, e.marked = 0, false
	if !isHeader(e.data, e.number) {
		return
	}
	e.end = headerBytes
	sum := uint32(0)
	for at := headerBytes; ; {
		n := whole(e.data[at:])
		if n == 0 {
			return
		}
		record := e.data[at : at+n]
		if isCell(record) {
			if !validCell(record) {
				return
			}
		} else {
			m, err := readMark(record)
			if err != nil || m.at != (place{e.number, uint32(at)}) || m.sum != sum {
				return
			}
			e.end, e.last, e.marked = at+n, m, true
			if m.sealed {
				return
			}
		}
		sum = addSum(sum, record)
		at += n
	}
}

// settledBehind looks through what is not believed for a mark that says that it was on the disk from end on.
func (e *examined) settledBehind(end place) bool {
	from := 0
	if e.number == end.segment {
		from = int(end.offset)
	}
	for at := from; at+markBytes <= len(e.data); at += alignBytes {
		b := e.data[at : at+markBytes]
		if b[4] != kindMark || whole(b) != markBytes {
			continue
		}
		if m, err := readMark(b); err == nil && m.at == (place{e.number, uint32(at)}) && end.before(m.settled) {
			return true
		}
	}
	return false
}

// readAll reads a file into b's memory.
func readAll(f file, b []byte) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return b[:0], err
	}
	size := min(info.Size(), maxSegmentBytes)
	if int64(cap(b)) < size {
		b = make([]byte, size)
	}
	b = b[:size]
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) { // cut off meanwhile
		err = nil
	}
	return b[:n], err
}

// load reads the log, as of its last whole mark. What looks like damage may be a writer that was faster than the reader: it is looked at again.
func (l *Log) load() error {
	for look := 1; ; look++ {
		err := l.loadOnce()
		var damage *DamageError
		if err == nil || look == looks || !errors.Is(err, errMoved) && (!errors.As(err, &damage) || look > 2) {
			return err
		}
		if err := errors.Join(l.closeFiles()...); err != nil {
			return err
		}
		l.reset()
	}
}

func (l *Log) loadOnce() error {
	numbers, err := stableList(l.dir)
	if err != nil {
		return err
	}
	if len(numbers) > maxSegments {
		return errFull
	}
	files := make([]file, 0, len(numbers))
	for _, n := range numbers {
		f, err := l.disk.open(segmentPath(l.dir, n), l.flag)
		if errors.Is(err, fs.ErrNotExist) {
			err = errMoved
		}
		if err != nil {
			return errors.Join(err, closeAll(files))
		}
		files = append(files, f)
	}
	taken, err := l.takeAll(numbers, files)
	return errors.Join(err, closeAll(files[taken:]))
}

func closeAll(files []file) error {
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// takeAll puts segments into the index up to the first that does not go on, while the next one is being read.
func (l *Log) takeAll(numbers []uint32, files []file) (taken int, err error) {
	read, free, quit := make(chan *examined), make(chan []byte, 2), make(chan struct{})
	free <- nil
	free <- nil
	go func() {
		defer close(read)
		for i, n := range numbers {
			e := &examined{number: n, file: files[i]}
			select {
			case b := <-free:
				e.data, e.err = readAll(e.file, b)
				e.validate()
			case <-quit:
				return
			}
			select {
			case read <- e:
			case <-quit:
				return
			}
		}
	}()
	defer func() {
		close(quit)
		for range read { // until the goroutine has ended
		}
	}()
	for e := range read {
		if e.err != nil {
			return taken, e.err
		}
		l.seen = append(l.seen, seen{e.number, int64(len(e.data))})
		stop := place{e.number, uint32(e.end)}
		if e.end >= headerBytes && !l.stopped {
			if err := l.take(e); err != nil {
				return taken, err
			}
			taken++
		}
		if !l.stopped {
			l.stopped, l.stop = !e.marked || !e.last.sealed, stop
		}
		if l.stopped && e.settledBehind(l.stop) {
			return taken, &DamageError{l.stop.segment, int64(l.stop.offset)}
		}
		l.beyond = l.beyond || e.end == 0 || e.end < len(e.data) || l.stopped && e.number != l.stop.segment
		free <- e.data[:0]
	}
	return taken, nil
}

// take puts an examined segment into the index.
func (l *Log) take(e *examined) error {
	s := &segment{number: e.number, file: e.file, size: int64(e.end), slot: uint16(len(l.slots))}
	l.slots, l.order = append(l.slots, s), append(l.order, s)
	l.total += s.size
	for at := headerBytes; at < e.end; {
		n := sizeOf(e.data[at:])
		if record := e.data[at : at+n]; isCell(record) {
			if err := l.put(s, int64(at), record); err != nil {
				return err
			}
		} else {
			s.sum = addSum(s.sum, record)
			at += n
			continue
		}
		s.sum = addSum(s.sum, e.data[at:at+n])
		at += n
	}
	if e.marked {
		s.sealed = e.last.sealed
		l.last = e.last
		l.settled = e.last.settled
	}
	return nil
}

// put makes the record the one of its cell.
func (l *Log) put(s *segment, at int64, record []byte) error {
	id, hash := cellID(record), uint64(0)
	if name := cellName(record); !emptyFrom(name, 0) {
		hash = hashName(name)
	}
	w := newWhere(s.slot, at, len(record), tagOf(hash))
	s.live += int64(len(record))
	l.live += int64(len(record))
	if ordinal, found := l.index.find(id); found {
		e := l.index.at(ordinal)
		l.forget(e.where)
		e.where = w
		return nil
	}
	if l.index.count >= maxCells {
		return errFull
	}
	if l.flag == os.O_RDONLY { // a reader finds by number only
		hash = 0
	}
	l.index.add(id, w, hash)
	return nil
}

// forget counts a record as garbage.
func (l *Log) forget(w where) {
	l.slots[w.slot()].live -= int64(w.length())
	l.live -= int64(w.length())
}

// seen is a segment's file when it was read.
type seen struct {
	number uint32
	size   int64
}

// Changed reports whether somebody has written since the log was opened.
func (l *Log) Changed() (bool, error) {
	numbers, err := list(l.dir)
	if err != nil || len(numbers) != len(l.seen) {
		return true, err
	}
	for i, n := range numbers {
		info, err := os.Stat(segmentPath(l.dir, n))
		if err != nil || l.seen[i] != (seen{n, info.Size()}) {
			return true, nil // gone, or longer: whatever it is, it has changed
		}
	}
	return false, nil
}

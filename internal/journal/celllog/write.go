package celllog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"tapnet/internal/journal"
)

// Own makes the caller the one who writes. What is not believed is taken away for good, before anything is written where it was: nothing of it comes back.
func (l *Log) Own() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if l.owned {
		return nil
	}
	if l.flag == os.O_RDONLY {
		return errReadOnly
	}
	if l.beyond {
		if err := l.repair(); err != nil {
			return fmt.Errorf("celllog: cut off what was torn: %w", err)
		}
	}
	l.owned = true
	return nil
}

// repair cuts the last segment to its end and removes those behind it.
func (l *Log) repair() error {
	if active := l.active(); active != nil && active.number == l.stop.segment {
		if err := errors.Join(active.file.Truncate(active.size), active.file.Sync()); err != nil {
			return err
		}
	}
	for _, s := range l.seen {
		if s.number > l.stop.segment || s.number == l.stop.segment && l.stop.offset == 0 {
			if err := l.disk.remove(segmentPath(l.dir, s.number)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	l.beyond = false
	return l.disk.syncDir(l.dir)
}

// Disown says that somebody else writes from here on.
func (l *Log) Disown() {
	l.appending.Lock()
	l.owned = false
	l.appending.Unlock()
}

// active is the segment that is written to; nil before the first.
func (l *Log) active() *segment {
	if len(l.order) == 0 {
		return nil
	}
	return l.order[len(l.order)-1]
}

// keepBytes of memory stay for the next commit.
const keepBytes = 4 << 20

// Put writes cells back after the rows up to last are durable, with one write. The watermark never falls. An error that the disk gave is given again for ever:
// how much was written is not known.
func (l *Log) Put(cells []journal.Cell, watermark, last uint64) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	size := 0
	for i := range cells {
		if err := l.admissible(&cells[i]); err != nil {
			return fmt.Errorf("celllog: write back cell %d: %w", cells[i].ID, err)
		}
		size += recordBytes(len(cells[i].Data))
	}
	if size > maxSegmentBytes-headerBytes-2*markBytes {
		return errBatch
	}
	l.buffer = l.buffer[:0]
	for i := range cells {
		l.buffer = appendCell(l.buffer, &cells[i])
	}
	if err := l.write(max(watermark, l.last.watermark), last); err != nil {
		return err
	}
	if l.touched = true; cap(l.buffer) > keepBytes {
		l.buffer = nil
	}
	l.wake()
	return nil
}

// ready says why nothing can be written.
func (l *Log) ready() error {
	switch {
	case l.closed:
		return journal.ErrClosed
	case l.broken != nil:
		return l.broken
	case !l.owned:
		return errReadOnly
	}
	if active := l.active(); active == nil || active.sealed {
		if err := l.begin(); err != nil {
			return fmt.Errorf("celllog: begin a segment: %w", err)
		}
	} else if info, err := active.file.Stat(); err != nil || info.Size() != active.size {
		l.broken = errors.Join(errStranger, err)
		return l.broken
	}
	return nil
}

// admissible refuses what no store takes, before anything is written.
func (l *Log) admissible(c *journal.Cell) error {
	if c.ID <= 0 || len(c.Data) > journal.MaxCellBytes {
		return errRecord
	}
	hash := uint64(0)
	if c.Name != [16]byte{} {
		hash = hashName(c.Name[:])
	}
	if ordinal, found := l.index.find(c.ID); found {
		if l.index.at(ordinal).where.tag() != tagOf(hash) {
			return errName
		}
		return nil
	}
	if l.index.count >= maxCells {
		return errFull
	}
	if hash != 0 {
		var other journal.Cell
		if found, err := l.FindName(c.Name, &other); err != nil || found {
			return errors.Join(err, errName)
		}
	}
	return nil
}

// write appends the buffer and a mark, and puts the buffer's cells into the index.
func (l *Log) write(watermark, last uint64) error {
	s := l.active()
	if s.size+int64(len(l.buffer))+2*markBytes > maxSegmentBytes { // the keeper was too slow
		cells := l.buffer
		l.buffer = nil
		err := l.finish(s, l.last.watermark, l.last.last, true)
		if l.buffer = cells; err != nil {
			return err
		}
		if err := l.begin(); err != nil {
			return fmt.Errorf("celllog: begin a segment: %w", err)
		}
		s = l.active()
	}
	full := s.size+int64(len(l.buffer))+markBytes >= l.sizes.segment && l.spare != nil
	if err := l.finish(s, watermark, last, full); err != nil {
		return err
	}
	if full {
		return l.begin()
	}
	return nil
}

// finish writes the buffer behind the segment, with a mark.
func (l *Log) finish(s *segment, watermark, last uint64, sealed bool) error {
	sum, cells := s.sum, len(l.buffer)
	for at := 0; at < cells; at += sizeOf(l.buffer[at:]) {
		sum = addSum(sum, l.buffer[at:])
	}
	m := mark{watermark: watermark, last: last, at: place{s.number, uint32(s.size) + uint32(cells)}, settled: l.settled, sum: sum, sealed: sealed}
	if m.settled == m.at && !l.settling { // only a mark that says nothing else has everything before it on the disk: Close knows by that what is left to do
		m.settled = l.last.at
	}
	l.buffer = appendMark(l.buffer, &m)
	if _, err := s.file.WriteAt(l.buffer, s.size); err != nil {
		l.broken = fmt.Errorf("celllog: write: %w", err)
		return l.broken
	}
	from := s.size
	s.sum, s.sealed = addSum(sum, l.buffer[cells:]), sealed
	s.size += int64(len(l.buffer))
	l.total += int64(len(l.buffer))
	l.unsynced += int64(len(l.buffer))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = m
	for at := 0; at < cells; {
		n := sizeOf(l.buffer[at:])
		if err := l.put(s, from+int64(at), l.buffer[at:at+n]); err != nil {
			l.broken = err
			return err
		}
		at += n
	}
	return nil
}

// begin makes the spare segment the active one; when there is none, because there is no segment yet or the keeper was too slow, it makes one.
func (l *Log) begin() error {
	for l.making {
		l.made.Wait()
	}
	if l.spare == nil {
		if len(l.order) == 0 {
			if err := l.makeDir(); err != nil {
				return err
			}
		}
		s, err := l.create(l.next())
		if err != nil {
			return err
		}
		l.spare = s
	}
	s := l.spare
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := slices.Index(l.slots, nil)
	switch {
	case slot >= 0:
	case len(l.slots) >= maxSegments:
		return errFull
	default:
		slot, l.slots = len(l.slots), append(l.slots, nil)
	}
	s.slot, l.slots[slot] = uint16(slot), s
	l.order, l.spare = append(l.order, s), nil
	l.total += s.size
	return nil
}

// next is the number of the next segment. No number is used twice.
func (l *Log) next() uint32 {
	n := l.stop.segment
	if active := l.active(); active != nil {
		n = max(n, active.number)
	}
	return n + 1
}

// create makes a segment, durable with its name: a segment that is missing was moved.
func (l *Log) create(number uint32) (*segment, error) {
	f, err := l.disk.open(segmentPath(l.dir, number), os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(appendHeader(nil, number), 0); err == nil {
		if err = f.Sync(); err == nil {
			err = l.disk.syncDir(l.dir)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.disk.remove(segmentPath(l.dir, number)))
	}
	return &segment{number: number, file: f, size: headerBytes, synced: headerBytes}, nil
}

func (l *Log) makeDir() error {
	if err := os.Mkdir(l.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return l.disk.syncDir(filepath.Dir(l.dir))
}

// Close ends the log. What was written is on the disk then, and the last mark says so.
func (l *Log) Close() error {
	var errs []error
	if l.keeper != nil {
		l.stopping.Store(true)
		errs = append(errs, l.keeper.stop())
		l.keeper = nil
	}
	if l.unsettled() {
		errs = append(errs, l.settle())
	}
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	errs = append(errs, l.closeFiles()...)
	if l.spare != nil && l.owned {
		errs = append(errs, l.disk.remove(segmentPath(l.dir, l.spare.number)))
	}
	return errors.Join(errs...)
}

func (l *Log) unsettled() bool {
	l.appending.Lock()
	defer l.appending.Unlock()
	return l.owned && !l.closed && l.broken == nil && l.last.settled != l.last.at
}

// Write makes a log anew that holds these cells and marks as they are. Tests plant errors with it.
func Write(dir string, cells []journal.Cell, watermark, last uint64) error {
	if err := Remove(dir); err != nil {
		return err
	}
	l, err := Open(dir)
	if err != nil {
		return err
	}
	err = l.Own()
	if err == nil {
		err = l.Put(cells, watermark, last)
	}
	return errors.Join(err, l.Close())
}

// Damage turns bits where the log's first cell stands: what is on the disk is no longer what was written. Tests plant it.
func Damage(dir string) error {
	numbers, err := list(dir)
	if err != nil || len(numbers) == 0 {
		return errors.Join(err, fs.ErrNotExist)
	}
	f, err := os.OpenFile(segmentPath(dir, numbers[0]), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var b [8]byte
	if _, err = f.ReadAt(b[:], headerBytes+8); err == nil {
		binary.LittleEndian.PutUint64(b[:], ^binary.LittleEndian.Uint64(b[:]))
		_, err = f.WriteAt(b[:], headerBytes+8)
	}
	return errors.Join(err, f.Close())
}

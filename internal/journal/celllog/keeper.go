package celllog

import (
	"errors"
	"fmt"
	"slices"
)

// stepBytes is what the compaction reads before it moves what is alive of it: no commit waits for more than that.
const stepBytes = 64 << 10

// keeper does beside the writer what takes long: it keeps the next segment ready, has the disk hold what was written, and moves cells out of segments that are
// mostly garbage. After an error it does nothing more, and nothing more is put: a sync that failed once says nothing when it is tried again, and a log that is
// not compacted grows for ever.
type keeper struct {
	work chan struct{}
	done chan struct{}
	err  error // read after done
}

// wake gives the keeper work when there is some.
func (l *Log) wake() {
	if l.sizes.noKeeper {
		return
	}
	if l.keeper == nil {
		l.keeper = &keeper{work: make(chan struct{}, 1), done: make(chan struct{})}
		go l.keep(l.keeper)
	}
	if l.unsynced < l.sizes.sync && !l.crowded() && (l.spare != nil || l.active().size < l.sizes.segment/2) {
		return
	}
	select {
	case l.keeper.work <- struct{}{}:
	default: // there is some already
	}
}

func (k *keeper) stop() error {
	close(k.work)
	<-k.done
	return k.err
}

func (l *Log) keep(k *keeper) {
	defer close(k.done)
	for range k.work {
		if k.err != nil {
			continue
		}
		err := l.tend()
		if err == nil || errors.Is(err, errReadOnly) || errors.Is(err, errStranger) { // the new owner does it
			continue
		}
		k.err = err
		l.appending.Lock()
		if l.broken == nil {
			l.broken = fmt.Errorf("celllog: beside the writer: %w", err)
		}
		l.appending.Unlock()
	}
}

// tend does what there is to do.
func (l *Log) tend() error {
	l.appending.Lock()
	begun := l.active() != nil
	l.appending.Unlock()
	if !begun {
		return nil
	}
	if err := errors.Join(l.prepare(), l.sync(false)); err != nil {
		return err
	}
	return l.compact()
}

// prepare makes the next segment before the last one is full.
func (l *Log) prepare() error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if !l.owned || l.spare != nil || l.active().size < l.sizes.segment/2 {
		return nil
	}
	number := l.next()
	l.making = true
	l.appending.Unlock()
	s, err := l.create(number)
	l.appending.Lock()
	l.making = false
	l.made.Broadcast()
	if err != nil {
		return fmt.Errorf("celllog: begin a segment: %w", err)
	}
	l.spare = s
	return nil
}

// sync has the disk hold what was written before the call.
func (l *Log) sync(all bool) error {
	l.appending.Lock()
	if !all && l.unsynced < l.sizes.sync {
		l.appending.Unlock()
		return nil
	}
	type part struct {
		s    *segment
		size int64
	}
	var parts []part
	for _, s := range l.order {
		if s.synced < s.size {
			parts = append(parts, part{s, s.size})
		}
	}
	active := l.active()
	end := place{active.number, uint32(active.size)}
	l.unsynced = 0
	l.appending.Unlock()
	for _, p := range parts {
		if err := p.s.file.Sync(); err != nil {
			return fmt.Errorf("celllog: %w", err)
		}
	}
	l.appending.Lock()
	defer l.appending.Unlock()
	for _, p := range parts {
		p.s.synced = p.size
	}
	l.settled = end
	return nil
}

// settle has the disk hold everything, and then a mark that says so.
func (l *Log) settle() error {
	if err := l.sync(true); err != nil {
		return err
	}
	l.appending.Lock()
	err := l.ready()
	if err == nil {
		l.buffer, l.settling = l.buffer[:0], true
		err = l.write(l.last.watermark, l.last.last)
		l.settling = false
	}
	l.appending.Unlock()
	if err != nil {
		return err
	}
	return l.sync(true)
}

// crowded reports whether more than half of the log is garbage.
func (l *Log) crowded() bool {
	garbage := l.total - l.live
	return garbage > l.live && garbage > l.sizes.garbage
}

// compact moves cells until less than half of the log is garbage. A segment goes when everything up to the copies of its cells is on the disk, and a mark that
// says so: from then on no power cut leaves a log that ends before them, and damage before them is known for what it is.
func (l *Log) compact() error {
	for {
		s := l.worst()
		if s == nil {
			return nil
		}
		if err := l.move(s); err != nil {
			return err
		}
		if err := l.settle(); err != nil {
			return err
		}
		if err := l.drop(s); err != nil {
			return err
		}
	}
}

// worst is the finished segment with the most garbage; nil when the log need not be compacted, or hardly can be.
func (l *Log) worst() (worst *segment) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if !l.owned || l.broken != nil || l.stopping.Load() || !l.crowded() {
		return nil
	}
	for _, s := range l.order[:len(l.order)-1] {
		if worst == nil || s.size-s.live > worst.size-worst.live {
			worst = s
		}
	}
	if worst != nil && worst.size-worst.live < worst.size/4 {
		return nil // the garbage is where is being written
	}
	return worst
}

// move writes what is alive of a segment again, in steps between which commits have their turn.
func (l *Log) move(s *segment) error {
	step := make([]byte, stepBytes)
	for at := int64(headerBytes); at < s.size; {
		b := step[:min(stepBytes, s.size-at)]
		if _, err := s.file.ReadAt(b, at); err != nil {
			return fmt.Errorf("celllog: segment %d: %w", s.number, err)
		}
		end := 0
		for end < len(b) {
			n := whole(b[end:])
			if n == 0 {
				break
			}
			end += n
		}
		if end == 0 {
			return &DamageError{s.number, at}
		}
		if err := errors.Join(l.moveStep(s, at, b[:end]), l.prepare()); err != nil {
			return err
		}
		at += int64(end)
	}
	return nil
}

func (l *Log) moveStep(s *segment, at int64, b []byte) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.ready(); err != nil {
		return err
	}
	l.buffer = l.buffer[:0]
	for from := 0; from < len(b); {
		n := sizeOf(b[from:])
		if record := b[from : from+n]; isCell(record) && l.current(s, at+int64(from), cellID(record)) {
			l.buffer = append(l.buffer, record...)
		}
		from += n
	}
	if len(l.buffer) == 0 {
		return nil
	}
	return l.write(l.last.watermark, l.last.last)
}

// drop takes a segment away in which nothing is alive. Look-ups that were about to read it look again. Its name may come back after a power cut: everything in
// it is superseded by what is behind.
func (l *Log) drop(s *segment) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if s.live != 0 {
		return fmt.Errorf("celllog: %d bytes of segment %d were not moved", s.live, s.number)
	}
	l.mu.Lock()
	l.slots[s.slot] = nil
	l.mu.Unlock()
	l.order = slices.DeleteFunc(l.order, func(other *segment) bool { return other == s })
	l.total -= s.size
	return errors.Join(l.disk.remove(segmentPath(l.dir, s.number)), s.file.Close())
}

package verify

import (
	"container/heap"
	"context"
	"encoding/hex"
	"hash/maphash"
	"sync"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
)

const (
	// batchRows is how many rows go from a reader to the auditor at a time: enough that handing over costs nothing.
	batchRows = 512
	// batchesAhead is how far a reader may be ahead: the journals are followed side by side, so that a payment is complete soon.
	batchesAhead = 3
	// progressRows is how often progress is told.
	progressRows = 1 << 16
)

// bundle is a batch on its way, with what needs no other row.
type bundle struct {
	journalsql.Batch
	joins []join
	wrong []Wrong
}

// join is what two members' rows about one payment have in common: hashes of the keys without the class of the message, which
// differs between a payment and its reversal.
type join struct{ key, payment uint64 }

// flow follows one journal: its chain in the goroutine that reads, its order in the auditor's.
type flow struct {
	seq  uint64 // of the last row read
	hash [32]byte
	torn bool     // the row before is missing: the next hash cannot be checked
	made [32]byte // what the hash of the last row should have been
	last int64    // instant of the last row
	rows uint64
	buf  []byte
	full chan *bundle
	free chan *bundle
	err  error

	current *bundle
	next    int
	instant int64 // of the next row, kept from going back or far ahead, so that one wrong instant holds up nothing
}

// dayMicros is how far the next row may lie ahead and still be waited for.
const dayMicros = int64(24 * time.Hour / time.Microsecond)

// stream hands every row of every journal to take, in the order of time.
func (a *auditor) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	var line queue
	for _, m := range a.members {
		m.flow.full, m.flow.free = make(chan *bundle, batchesAhead), make(chan *bundle, batchesAhead+1)
		for range batchesAhead {
			m.flow.free <- new(bundle)
		}
		readers.Go(func() { m.read(ctx) })
	}
	for _, m := range a.members {
		if m.ready() {
			line = append(line, m)
		}
	}
	heap.Init(&line)
	for len(line) > 0 && ctx.Err() == nil {
		m, second := line[0], line.second()
		more := true
		for more && (second == nil || !before(second, m)) {
			b := m.flow.current
			a.take(m, &b.Rows[m.flow.next], b.joins[m.flow.next])
			m.flow.next++
			more = m.ready()
		}
		if more {
			heap.Fix(&line, 0)
		} else {
			heap.Pop(&line)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, m := range a.members {
		if anchor, ok := a.options.Anchors[m.Journal]; ok && m.flow.err == nil && m.flow.seq < anchor.Row {
			a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: anchor.Row, Field: FieldChain, Found: wordNothing,
				Expected: fill("%.16s, as reported before", "此前报告的%.16s", anchor.Chain), at: m.flow.last})
		}
		if m.flow.err != nil {
			a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: m.flow.seq + 1, Field: FieldJournal,
				Found: verbatim(m.flow.err.Error()), Expected: fill("a row that can be read", "可读取的行"), at: m.flow.instant})
			m.lost = true
		}
	}
	return nil
}

// ready sees to it that the next row is there; false at the end of the journal.
func (m *member) ready() bool {
	f := &m.flow
	for f.current == nil || f.next == len(f.current.Rows) {
		if f.current != nil {
			f.free <- f.current
		}
		b, more := <-f.full
		if f.current, f.next = b, 0; !more {
			return false
		}
		for _, w := range b.wrong {
			m.auditor.findings.add(w)
		}
		m.auditor.progress(len(b.Rows))
	}
	at := f.current.Rows[f.next].At.UnixMicro()
	if f.instant == 0 || at > f.instant && at-f.instant < dayMicros {
		f.instant = at
	}
	return true
}

func (a *auditor) progress(rows int) {
	before := a.rows / progressRows
	a.rows += uint64(rows)
	if a.options.Progress != nil && (a.rows/progressRows != before || a.rows >= a.of) {
		a.options.Progress(a.rows, a.of)
	}
}

// queue is the journals by the instant of their next row; at the same instant a request comes before who was asked.
type queue []*member

func before(x, y *member) bool {
	if x.flow.instant != y.flow.instant {
		return x.flow.instant < y.flow.instant
	}
	return x.role < y.role
}

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return before(q[i], q[j]) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*member)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// second is the journal that comes after the first one.
func (q queue) second() *member {
	switch {
	case len(q) < 2:
		return nil
	case len(q) > 2 && before(q[2], q[1]):
		return q[2]
	}
	return q[1]
}

// read reads the journal, checks its chain and hands the rows on.
func (m *member) read(ctx context.Context) {
	f := &m.flow
	defer close(f.full)
	var current *bundle
	next := func() error {
		select {
		case current = <-f.free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if next() != nil {
		return
	}
	f.err = m.reader.Rows(ctx, 0, m.last, batchRows, &current.Batch, func(*journalsql.Batch) (*journalsql.Batch, error) {
		m.seal(current)
		select {
		case f.full <- current:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if err := next(); err != nil {
			return nil, err
		}
		return &current.Batch, nil
	})
}

// seal checks numbers and hashes. What is found does not stop it: each row is held against the stored hash of the row before.
func (m *member) seal(b *bundle) {
	f := &m.flow
	b.joins, b.wrong = b.joins[:0], b.wrong[:0]
	damaged := b.Damaged
	for i := range b.Rows {
		r := &b.Rows[i]
		f.rows++
		if r.Seq != f.seq+1 {
			b.wrong = append(b.wrong, m.gap(r))
			f.torn = true
		}
		stored := r.Chain
		switch {
		case len(damaged) > 0 && damaged[0].At == i:
			b.wrong = append(b.wrong, m.wrong(r, damaged[0].Column, wordUnfit, wordReadable))
			damaged = damaged[1:]
		case f.torn:
		default:
			f.buf = r.Seal(f.hash, f.buf)
			made := r.Chain
			if r.Chain != stored && f.made != f.hash {
				f.buf = r.Seal(f.made, f.buf) // the hash of the row before was changed, not this row
			}
			if r.Chain != stored {
				found, expected := hashes(stored, made)
				b.wrong = append(b.wrong, m.wrong(r, FieldChain, found, expected))
			}
			f.made, r.Chain = made, stored
		}
		if anchor, ok := m.auditor.options.Anchors[m.Journal]; ok && anchor.Row == r.Seq && anchor.Chain != hex.EncodeToString(stored[:]) {
			b.wrong = append(b.wrong, m.wrong(r, FieldChain, verbatim(hex.EncodeToString(stored[:hashShown])), fill("%.16s, as reported before", "此前报告的%.16s", anchor.Chain)))
		}
		f.seq, f.hash, f.last = r.Seq, stored, r.At.UnixMicro()
		if f.torn {
			f.made, f.torn = stored, false
		}
		b.joins = append(b.joins, join{m.auditor.join(r.Key), m.auditor.join(r.Payment)})
	}
}

func (m *member) gap(r *journal.Row) Wrong {
	missing := m.wrong(r, FieldSequence, number(r.Seq), number(m.flow.seq+1))
	if r.Seq > m.flow.seq+1 {
		missing.Row, missing.Kind, missing.at = m.flow.seq+1, 0, m.flow.last
		missing.Found, missing.Expected = wordNothing, fill("row %d", "第%d行", m.flow.seq+1)
		if r.Seq > m.flow.seq+2 {
			missing.Expected = fill("rows %d to %d", "第%d至%d行", m.flow.seq+1, r.Seq-1)
		}
	}
	return missing
}

// hashShown is enough of a hash to tell two apart.
const hashShown = 8

// hashes are two hashes as people compare them: as much as shows that they differ.
func hashes(found, expected [32]byte) (glossary.Term, glossary.Term) {
	n := hashShown
	if [hashShown]byte(found[:]) == [hashShown]byte(expected[:]) {
		n = len(found)
	}
	return verbatim(hex.EncodeToString(found[:n])), verbatim(hex.EncodeToString(expected[:n]))
}

// join hashes a key without its last character, the class of the message. The seed is this run's own: nobody can choose keys that meet.
func (a *auditor) join(key string) uint64 {
	if key == "" {
		return 0
	}
	return maphash.String(a.seed, key[:len(key)-1])
}

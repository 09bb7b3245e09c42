package verify

import (
	"encoding/binary"
	"fmt"

	"tapnet/internal/journal"
)

// transitMark is what has a keyed hash and is no credential that tapped: a payment account reference, or what somebody outside named. They have numbers from 1
// in order of appearance.
type transitMark struct {
	names transitNames
	entry transitListing // from outside; without a reason none
	of    int32          // of a reference a credential of the account, of a card that tapped its credential; 0 for nobody seen yet
	page  uint64
}

type transitMarks struct {
	all   []transitMark // from 1
	index nameIndex
	pages uint64 // rows with a key of their own so far
}

func newTransitMarks() transitMarks {
	return transitMarks{all: make([]transitMark, 1), index: newNameIndex()}
}

// marked gives the number of the mark that has one of the names, 0 for none.
func (t *transit) marked(names []transitName) (found int32) {
	if len(t.marks.all) == 1 {
		return 0
	}
	for _, name := range names {
		t.marks.index.each(name.id, func(n int32) bool {
			if t.epochs.counts(&t.marks.all[n].names, name.id) {
				found = n
			}
			return found == 0
		})
		if found != 0 {
			return found
		}
	}
	return 0
}

// mark takes up a mark.
func (t *transit) mark(kind uint8, name transitName) int32 {
	n := int32(len(t.marks.all))
	t.marks.all = append(t.marks.all, transitMark{names: transitNames{all: [2]transitName{name}, n: 1}, entry: transitListing{kind: kind}})
	t.marks.index.put(name.id, n)
	return n
}

// renames gives a mark one more name.
func (t *transit) renames(n int32, name transitName) {
	if !t.epochs.alive(name.epoch) || name.id.none() || t.marked([]transitName{name}) != 0 || !t.marks.all[n].names.take(name) {
		return
	}
	t.marks.index.put(name.id, n)
	if name.epoch == t.epochs.force { // what the list said, it said under another key
		delete(t.list.listed, -n)
		t.review(n)
	}
}

// review notes that the list may have to say something else of a mark.
func (t *transit) review(m int32) {
	t.list.marks[m] = true
	if of := t.marks.all[m].of; of != 0 {
		t.unsettled(of)
	}
}

// Reasons of Advised rows.
const (
	outsideListed   = 1
	outsideUnlisted = 2
	outsideEnded    = 3
	pageFormat      = "e/%020d" // key of a row with sealed values
)

// page holds the key of a row with sealed values against how many there were.
func (t *transit) page(r *journal.Row) uint64 {
	t.marks.pages++
	if want := fmt.Sprintf(pageFormat, t.marks.pages); r.Key != want {
		t.fault(r, "key", quoted(r.Key), quoted(want))
	}
	return t.marks.pages
}

// inUse holds an epoch against those whose keys are in use.
func (t *transit) inUse(r *journal.Row, epoch uint32) {
	if !t.epochs.alive(epoch) {
		t.fault(r, FieldEpoch, number(epoch), fill("an epoch in use: %d", "使用中的纪元：%d", t.epochs.force))
	}
}

// wasInUse is inUse for names that are made beside the writer: the key may have been forgotten meanwhile, and then they do not count.
func (t *transit) wasInUse(r *journal.Row, epoch uint32) {
	if epoch == 0 || epoch > max(t.epochs.force, t.epochs.next) {
		t.inUse(r, epoch)
	}
}

// outside follows entries that come from elsewhere.
func (t *transit) outside(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	switch r.Reason {
	case outsideListed:
		t.outsideListed(r)
	case outsideUnlisted, outsideEnded:
		for rest := r.Note; len(rest) > 0; {
			n, length := binary.Uvarint(rest)
			if length <= 0 {
				t.fault(r, "note", wordUnfit, wordReadable)
				return
			}
			rest = rest[length:]
			if n == 0 || n >= uint64(len(t.marks.all)) || t.marks.all[n].entry.reason == 0 {
				t.fault(r, "note", fill("mark %d", "标记%d", n), fill("one that has an entry", "有外部条目的标记"))
				continue
			}
			t.marks.all[n].entry = transitListing{kind: t.marks.all[n].entry.kind}
			t.review(int32(n))
		}
	default:
		t.fault(r, "reason", number(r.Reason), fill("1 to %d", "1至%d", outsideEnded))
	}
}

// outsideListed takes entries in.
func (t *transit) outsideListed(r *journal.Row) {
	page := t.page(r)
	bad := func() { t.fault(r, "note", wordUnfit, wordReadable) }
	if len(r.Note) == 0 || r.Note[0] == 0 || int(r.Note[0]) > len(transitNames{}.all) || len(r.Note) < 1+int(r.Note[0])*epochBytes {
		bad()
		return
	}
	epochs := make([]uint32, r.Note[0])
	rest := r.Note[1:]
	for i := range epochs {
		epochs[i] = binary.BigEndian.Uint32(rest)
		rest = rest[epochBytes:]
		t.epochs.starts(epochs[i])
		t.inUse(r, epochs[i])
	}
	const head = 4 // kind, reason, last day
	for len(rest) > 0 {
		if len(rest) < head+len(epochs)*idBytes {
			bad()
			return
		}
		entry := transitListing{kind: rest[0], reason: rest[1], until: binary.BigEndian.Uint16(rest[2:])}
		rest = rest[head:]
		names := make([]transitName, len(epochs))
		for i := range names {
			names[i] = transitName{epochs[i], keyed(rest)}
			rest = rest[idBytes:]
		}
		length, n := binary.Uvarint(rest)
		if n <= 0 || length > uint64(len(rest)-n) || !entry.possible() {
			bad()
			return
		}
		rest = rest[n+int(length):]
		t.entered(r, names, entry, page)
	}
}

// entered takes one entry in.
func (t *transit) entered(r *journal.Row, names []transitName, entry transitListing, page uint64) {
	m := t.marked(names)
	if m == 0 {
		m = t.mark(entry.kind, names[0])
	}
	for _, name := range names {
		t.renames(m, name)
	}
	mark := &t.marks.all[m]
	if mark.entry.kind != entry.kind {
		t.fault(r, "note", fill("mark %d as kind %d", "标记%d作为类型%d", m, entry.kind), fill("kind %d, as before", "与此前一致的类型%d", mark.entry.kind))
		return
	}
	mark.entry, mark.page = entry, page
	for _, name := range names {
		if n := t.riders.find(&t.epochs, name.id); n != 0 {
			t.attach(n, name.id)
		}
	}
	t.review(m)
}

// attach finds what somebody outside has said of a credential, by one of its names: the two are one line of the list.
func (t *transit) attach(n int32, id keyed) {
	c := &t.riders.all[n]
	m := t.marked([]transitName{{id: id}})
	if m == 0 || c.outside != 0 || t.marks.all[m].of != 0 || t.marks.all[m].entry.kind != kindCredential {
		return
	}
	c.outside, t.marks.all[m].of = m, n
	if said, listed := t.list.listed[-m]; listed {
		delete(t.list.listed, -m)
		if _, has := t.hash(n); has {
			t.list.listed[n] = said
		}
	}
	t.unsettled(n)
}

package trace

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxJoined bounds how many records one payment can gather: a payment with every repeat and reversal has a few hundred.
const maxJoined = 2000

// Payment is one payment as a list shows it.
type Payment struct {
	ID      string // what Find takes: the reference number, else another identifier
	IDs     []string
	Started time.Time
	Ended   time.Time
	Records int
}

// index finds records by their identifiers. Records have numbers that rise; the oldest one leaves first.
type index struct {
	first   uint64 // number of records[0]
	records []*Record
	byID    map[string][]uint64
	bytes   int
}

func (x *index) len() int { return len(x.records) }

func (x *index) add(r Record) {
	if x.byID == nil {
		x.byID = make(map[string][]uint64)
	}
	r.seq = x.first + uint64(len(x.records))
	x.records = append(x.records, &r)
	for _, id := range r.IDs {
		x.byID[id] = append(x.byID[id], r.seq)
	}
	x.bytes += r.size()
}

// evict forgets the oldest record.
func (x *index) evict() {
	r := x.records[0]
	for _, id := range r.IDs {
		// It is the oldest of each of its identifiers.
		if rest := x.byID[id][1:]; len(rest) > 0 {
			x.byID[id] = rest
		} else {
			delete(x.byID, id)
		}
	}
	x.bytes -= r.size()
	x.records[0] = nil
	x.records = x.records[1:]
	x.first++
}

func (x *index) get(seq uint64) *Record { return x.records[seq-x.first] }

// resolve turns what a person types into an identifier that exists.
func (x *index) resolve(query string) (string, bool) {
	query = strings.TrimSpace(query)
	if query == "last" {
		return x.last()
	}
	if _, ok := x.byID[query]; ok {
		return query, true
	}
	for _, prefix := range paymentPrefixes {
		if _, ok := x.byID[prefix+query]; ok {
			return prefix + query, true
		}
	}
	return "", false
}

// last is the identifier of the last tap, or of the last payment when no tap is remembered: a reversal that is repeated
// long after must not hide the tap somebody asks about.
func (x *index) last() (string, bool) {
	for _, prefixes := range [][]string{{prefixTap}, wirePrefixes} {
		for _, r := range slices.Backward(x.records) {
			for _, prefix := range prefixes {
				for _, id := range r.IDs {
					if strings.HasPrefix(id, prefix) {
						return id, true
					}
				}
			}
		}
	}
	return "", false
}

func (x *index) find(query string) []Record {
	id, ok := x.resolve(query)
	if !ok {
		return nil
	}
	return x.collect(x.joined(x.byID[id]))
}

// joined widens a set of records by everything that shares an identifier with one of them.
func (x *index) joined(start []uint64) map[uint64]bool {
	seen := make(map[uint64]bool)
	followed := make(map[string]bool)
	waiting := slices.Clone(start)
	for len(waiting) > 0 && len(seen) < maxJoined {
		seq := waiting[0]
		waiting = waiting[1:]
		if seen[seq] {
			continue
		}
		seen[seq] = true
		for _, id := range x.get(seq).IDs {
			if !followed[id] {
				followed[id] = true
				waiting = append(waiting, x.byID[id]...)
			}
		}
	}
	return seen
}

// collect copies records out, in the order they happened; those of one instant stay in the order they were added.
func (x *index) collect(seqs map[uint64]bool) []Record {
	out := make([]Record, 0, len(seqs))
	for seq := range seqs {
		out = append(out, *x.get(seq))
	}
	slices.SortFunc(out, func(a, b Record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.seq, b.seq)) })
	return out
}

func (x *index) payments() []Payment {
	var out []Payment
	seen := make(map[uint64]bool)
	for _, r := range x.records {
		if seen[r.seq] {
			continue
		}
		set := x.joined([]uint64{r.seq})
		for seq := range set {
			seen[seq] = true
		}
		if records := x.collect(set); ofPayment(idsOf(records)) {
			out = append(out, summary(records))
		}
	}
	return out
}

// ofPayment reports whether a card or a message is among the identifiers: rows alone open accounts and close days.
func ofPayment(ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool {
		return slices.ContainsFunc(wirePrefixes, func(prefix string) bool { return strings.HasPrefix(id, prefix) })
	})
}

func summary(records []Record) Payment {
	p := Payment{Started: records[0].At, Ended: records[len(records)-1].At, Records: len(records), IDs: idsOf(records)}
	for _, prefix := range paymentPrefixes {
		for _, id := range p.IDs {
			if p.ID == "" && strings.HasPrefix(id, prefix) {
				p.ID = strings.TrimPrefix(id, prefixRRN)
			}
		}
	}
	return p
}

func idsOf(records []Record) []string {
	var ids []string
	for _, r := range records {
		for _, id := range r.IDs {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// Join is Find over records from anywhere: those of several processes, or those of a file.
func Join(records []Record, query string) []Record {
	var x index
	for _, r := range records {
		x.add(r)
	}
	return x.find(query)
}

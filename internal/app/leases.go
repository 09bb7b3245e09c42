package app

import (
	"maps"
	"slices"
	"time"

	"tapnet/internal/journal/journalpg"
)

// leaseWatch is what one node has seen of the others' counts, by its own clock alone: the clocks of two machines are never compared.
type leaseWatch struct {
	self   string
	term   time.Duration
	leases map[string]sighting
	nodes  map[string]sighting
}

// sighting is a count and since when it stands there.
type sighting struct {
	holder string
	beat   int64
	since  time.Time
}

func newLeaseWatch(self string, term time.Duration) leaseWatch {
	return leaseWatch{self: self, term: term, leases: map[string]sighting{}, nodes: map[string]sighting{}}
}

// intent is what a node should do next.
type intent struct {
	mine map[string]bool // leases that it holds
	take []journalpg.Lease
	give []string
	gone []string // nodes that ended without a word
}

// plan compares how things stand with what was seen before. Every node may hold its even share of the leases, rounded up; it takes what is free or whose
// holder is silent for a term until it has that, and gives one back at a time while it has more.
func (w *leaseWatch) plan(now time.Time, s journalpg.Standing) intent {
	p := intent{mine: map[string]bool{}}
	living := 0
	w.forget(s)
	for _, name := range slices.Sorted(maps.Keys(s.Nodes)) {
		switch {
		case name == w.self || !w.silent(w.nodes, name, "", s.Nodes[name], now):
			living++
		default:
			p.gone = append(p.gone, name)
		}
	}
	share := (len(s.Leases) + max(1, living) - 1) / max(1, living)
	var open []journalpg.Lease
	for _, lease := range s.Leases {
		silent := w.silent(w.leases, lease.Name, lease.Holder, lease.Beat, now)
		switch {
		case lease.Holder == w.self:
			p.mine[lease.Name] = true
		case lease.Holder == "" || silent:
			open = append(open, lease)
		}
	}
	if room := share - len(p.mine); room > 0 {
		p.take = open[:min(room, len(open))]
	} else if room < 0 {
		names := slices.Sorted(maps.Keys(p.mine))
		p.give = names[len(names)-1:]
	}
	return p
}

// silent remembers a count and reports whether it has stood there for a term.
func (w *leaseWatch) silent(seen map[string]sighting, name, holder string, beat int64, now time.Time) bool {
	before, known := seen[name]
	if !known || before.beat != beat || before.holder != holder {
		seen[name] = sighting{holder: holder, beat: beat, since: now}
		return false
	}
	return now.Sub(before.since) >= w.term
}

// forget drops the nodes that are no more.
func (w *leaseWatch) forget(s journalpg.Standing) {
	for name := range w.nodes {
		if _, there := s.Nodes[name]; !there {
			delete(w.nodes, name)
		}
	}
}

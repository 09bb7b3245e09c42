package transit

import (
	"errors"
	"fmt"
	"slices"

	"tapnet/gate"
)

// ErrFork is wrapped when a device's records do not continue, or contradict, what the office has of its log: somebody else has its key, or its log was
// put back to an earlier state.
var ErrFork = errors.New("records contradict those that are known")

// span is an unbroken piece of one device's log that is on disk here.
type span struct {
	first, last   uint64
	before, after gate.Link
	fresh         bool // begins a chain: the device lost its log, and what lies before it will never come
}

// piece is a part of a chunk that was not known before: records from..to-1 of it.
type piece struct{ from, to int }

// fit compares a chunk with the known pieces and gives the parts that are new, in order. links[i] is the link of record i.
func fit(known []span, first uint64, before gate.Link, links []gate.Link) ([]piece, error) {
	last := first + uint64(len(links)) - 1
	link := func(sequence uint64) gate.Link {
		if sequence < first {
			return before
		}
		return links[sequence-first]
	}
	fresh := before == gate.Link{} && first > 1
	for _, s := range known {
		if s.last+1 >= first && s.last <= last && !(fresh && s.last+1 == first) && link(s.last) != s.after {
			return nil, fmt.Errorf("record %d: %w", s.last, ErrFork)
		}
		if s.first >= first && s.first-1 <= last && !s.fresh && link(s.first-1) != s.before {
			return nil, fmt.Errorf("record %d: %w", s.first, ErrFork)
		}
	}
	var pieces []piece
	at := first
	for _, s := range known {
		if s.last < at || s.first > last {
			continue
		}
		if s.first > at {
			pieces = append(pieces, piece{int(at - first), int(s.first - first)})
		}
		at = s.last + 1
	}
	if at <= last {
		pieces = append(pieces, piece{int(at - first), len(links)})
	}
	return pieces, nil
}

// insert adds a piece that fits and joins it with its neighbours.
func insert(known []span, s span) []span {
	at, _ := slices.BinarySearchFunc(known, s.first, func(a span, first uint64) int {
		switch {
		case a.first < first:
			return -1
		case a.first > first:
			return 1
		}
		return 0
	})
	known = slices.Insert(known, at, s)
	if at+1 < len(known) && known[at].last+1 == known[at+1].first && !known[at+1].fresh {
		known[at].last, known[at].after = known[at+1].last, known[at+1].after
		known = slices.Delete(known, at+1, at+2)
	}
	if at > 0 && known[at-1].last+1 == known[at].first && !known[at].fresh {
		known[at-1].last, known[at-1].after = known[at].last, known[at].after
		known = slices.Delete(known, at, at+1)
	}
	return known
}

// Gap is a run of records that a device has and the office does not.
type Gap struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	// Lost says that the device began a new log after it: nobody has these records any more.
	Lost bool `json:"lost,omitempty"`
}

// gaps are what is missing between the known pieces.
func gaps(known []span) []Gap {
	var missing []Gap
	next := uint64(1)
	for _, s := range known {
		if s.first > next {
			missing = append(missing, Gap{First: next, Last: s.first - 1, Lost: s.fresh})
		}
		next = s.last + 1
	}
	return missing
}

// reached is how far the log is here without a gap that could still be filled.
func reached(known []span) gate.Head {
	var head gate.Head
	next := uint64(1)
	for _, s := range known {
		if s.first > next && !s.fresh {
			break
		}
		head, next = gate.Head{Sequence: s.last, Link: s.after}, s.last+1
	}
	return head
}

package ledger

import (
	"iter"
	"math/bits"
)

// holds is the open holds by id. Ids follow each other, and holds come and go in nearly that order: they lie in small pages, so that those that are made, and
// those that are forgotten, are where the ones before them were.
type holds struct {
	pages map[uint64]*holdPage // by id divided by pageHolds
	spare []*holdPage          // empty ones to be used again
	count int
}

const (
	// pageHolds makes a page a kilobyte: what a hold costs that stands alone.
	pageHolds = 32
	// sparePages is enough for a book in which as many holds come as go.
	sparePages = 64
)

type holdPage struct {
	open  uint32 // a bit for each hold that is open
	holds [pageHolds]hold
}

func newHolds() holds { return holds{pages: map[uint64]*holdPage{}} }

func (s *holds) len() int { return s.count }

func (s *holds) get(id uint64) (hold, bool) {
	p := s.pages[id/pageHolds]
	if p == nil || p.open>>(id%pageHolds)&1 == 0 {
		return hold{}, false
	}
	return p.holds[id%pageHolds], true
}

func (s *holds) put(id uint64, h hold) {
	p := s.pages[id/pageHolds]
	if p == nil {
		if last := len(s.spare) - 1; last >= 0 {
			p, s.spare = s.spare[last], s.spare[:last]
		} else {
			p = new(holdPage)
		}
		s.pages[id/pageHolds] = p
	}
	if bit := uint32(1) << (id % pageHolds); p.open&bit == 0 {
		p.open |= bit
		s.count++
	}
	p.holds[id%pageHolds] = h
}

// drop reports whether the hold was open.
func (s *holds) drop(id uint64) bool {
	p, bit := s.pages[id/pageHolds], uint32(1)<<(id%pageHolds)
	if p == nil || p.open&bit == 0 {
		return false
	}
	p.open &^= bit
	s.count--
	if p.open == 0 {
		delete(s.pages, id/pageHolds)
		if len(s.spare) < sparePages {
			s.spare = append(s.spare, p)
		}
	}
	return true
}

// all are the holds, in no order.
func (s *holds) all() iter.Seq2[uint64, hold] {
	return func(yield func(uint64, hold) bool) {
		for n, p := range s.pages {
			for open := p.open; open != 0; open &= open - 1 {
				i := bits.TrailingZeros32(open)
				if !yield(n*pageHolds+uint64(i), p.holds[i]) {
					return
				}
			}
		}
	}
}

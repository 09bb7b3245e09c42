package fares

import (
	"time"
)

type transfer struct {
	name       string
	from, to   map[string]bool // nil is every service
	window     time.Duration
	afterExit  bool
	most       int // journeys in a chain
	otherRoute bool
	off        int64
	fee        int64
	percent    int
}

// reduced is what a journey costs that is not the dearest of its chain. Both it and what it saves grow with the fare: the promise that
// another tap never lowers a total rests on that.
func (x *transfer) reduced(t *Tariff, fare int64) int64 {
	switch {
	case x.off != noFare:
		return max(0, fare-x.off)
	case x.fee != noFare:
		return min(fare, x.fee)
	case x.percent != 0:
		return (fare*int64(x.percent) + wholePercent - 1) / wholePercent
	}
	return 0
}

// joins tells whether b may follow a, at once or after others, in a chain.
func (x *transfer) joins(a, b *Journey) bool {
	if x.from != nil && !x.from[a.Service] || x.to != nil && !x.to[b.Service] {
		return false
	}
	if x.otherRoute && a.Service == b.Service && a.Route == b.Route {
		return false
	}
	anchor := a.Start.At
	if x.afterExit && !a.End.At.IsZero() {
		anchor = a.End.At
	}
	return b.Start.At.Sub(anchor) <= x.window
}

// chains keeps, for the journeys of one pool on one day, the least they can cost together.
type chains struct {
	journeys []*Journey
	fares    []int64
	best     []int64 // best[k] is the least for the first k journeys
}

func (c *chains) reset() {
	c.journeys, c.fares = c.journeys[:0], c.fares[:0]
	c.best = append(c.best[:0], 0)
}

// total is the least that all journeys so far cost.
func (c *chains) total() int64 { return c.best[len(c.best)-1] }

// add appends a journey and tells which rule made it cheaper, if any. Every cut of the sequence into chains is considered, so an earlier
// decision can be taken back when a later journey fits better elsewhere.
func (c *chains) add(j *Journey, fare int64) *transfer {
	c.journeys, c.fares = append(c.journeys, j), append(c.fares, fare)
	k := len(c.journeys)
	least := c.best[k-1] + fare
	var used *transfer
	if j.joinable() {
		for r := range j.tariff.transfers {
			x := &j.tariff.transfers[r]
			sum, top := x.reduced(j.tariff, fare), fare
			for i := k - 2; i >= 0 && k-i <= x.most; i-- {
				if !c.fits(x, i, k) {
					break
				}
				sum += x.reduced(j.tariff, c.fares[i])
				top = max(top, c.fares[i])
				if cost := c.best[i] + sum + top - x.reduced(j.tariff, top); cost < least {
					least, used = cost, x
				}
			}
		}
	}
	c.best = append(c.best, least)
	return used
}

// fits tells whether journey i may stand before all of those up to k. That every pair must fit makes a part of a chain a chain.
func (c *chains) fits(x *transfer, i, k int) bool {
	if !c.journeys[i].joinable() {
		return false
	}
	for n := i + 1; n < k; n++ {
		if !x.joins(c.journeys[i], c.journeys[n]) {
			return false
		}
	}
	return true
}

// joinable tells whether a journey may be part of a chain: it has a start that was tapped, and is neither a penalty nor a guess, whose end
// nobody knows.
func (j *Journey) joinable() bool {
	return j.Start.Tapped && j.State != Maximum && j.State != Completed
}

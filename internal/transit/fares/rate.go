package fares

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"tapnet/money"
)

// Book holds the tariffs of one operator, each from its first day until the next one's.
type Book struct {
	calendar Calendar
	tariffs  []*Tariff // by first day
}

// NewBook makes a book. All tariffs have one currency and different first days. Errors wrap ErrTariff.
func NewBook(c Calendar, tariffs ...*Tariff) (*Book, error) {
	if c.DayStart < 0 || c.DayStart > maxDayStart {
		return nil, fmt.Errorf("%w: a day that starts %s after midnight, at most %s", ErrTariff, c.DayStart, maxDayStart)
	}
	if len(tariffs) == 0 {
		return nil, fmt.Errorf("%w: a book without one", ErrTariff)
	}
	sorted := slices.Clone(tariffs)
	slices.SortFunc(sorted, func(a, b *Tariff) int { return cmp.Compare(a.from, b.from) })
	for i, t := range sorted {
		if t.currency != sorted[0].currency || i > 0 && t.from == sorted[i-1].from {
			return nil, fmt.Errorf("%w: %q and %q have one first day or two currencies", ErrTariff, t.name, sorted[max(0, i-1)].name)
		}
	}
	return &Book{calendar: c, tariffs: sorted}, nil
}

// ServiceDate gives the service day of an instant.
func (b *Book) ServiceDate(t time.Time) Date { return b.calendar.ServiceDate(t) }

// on gives the tariff in force on a day, or nil before the first.
func (b *Book) on(d Date) *Tariff {
	for i := len(b.tariffs) - 1; i >= 0; i-- {
		if b.tariffs[i].from <= d {
			return b.tariffs[i]
		}
	}
	return nil
}

// Correction states where a missing tap was, and when the statement was made. It counts within the days of grace.
type Correction struct {
	Journey TapID
	Place   string
	Made    time.Time
}

// Rider is an account: a person as far as the operator knows, with all cards and phones of that person.
type Rider struct {
	Account     string
	Category    string // of the tariff; one that a tariff does not know pays in full
	Corrections []Correction
	// Earlier counts incomplete journeys of a year before the first tap given, and how many of them were completed.
	Earlier map[int]YearCount
}

// YearCount counts the journeys of a calendar year with a missing tap. What a rider corrected does not count.
type YearCount struct {
	Incomplete int `json:"incomplete"`
	Completed  int `json:"completed"` // automatically
}

// Check is a tap at an inspector's device: whether the rider was on a journey then, and which.
type Check struct {
	Tap     Tap   `json:"tap"`
	Valid   bool  `json:"valid"`
	Journey TapID `json:"journey"`
}

// Statement is what a rider's taps come to, seen from one instant.
type Statement struct {
	Account     string            `json:"account"`
	Category    string            `json:"category,omitempty"`
	AsOf        time.Time         `json:"as_of"`
	Journeys    []Journey         `json:"journeys"` // by day and start
	Total       money.Amount      `json:"total"`
	Ignored     []TapID           `json:"ignored,omitempty"` // repeats of a tap
	Inspections []Check           `json:"inspections,omitempty"`
	Years       map[int]YearCount `json:"years,omitempty"`
	Restricted  bool              `json:"restricted"` // too many incomplete journeys in the year of AsOf
}

// Day is what the journeys of one service day add to the charges.
func (s *Statement) Day(d Date) money.Amount {
	sum := money.New(0, s.Total.Currency())
	for i := range s.Journeys {
		if s.Journeys[i].Day == d {
			sum = money.New(sum.Minor()+s.Journeys[i].Amount.Minor(), sum.Currency())
		}
	}
	return sum
}

// Of is the statement with the journeys of one service day only, and their sum as its total.
func (s *Statement) Of(d Date) *Statement {
	out := *s
	out.Journeys, out.Total = nil, s.Day(d)
	for i := range s.Journeys {
		if s.Journeys[i].Day == d {
			out.Journeys = append(out.Journeys, s.Journeys[i])
		}
	}
	return &out
}

// Rate gives the statement of a rider for taps in any order, each at least once. Taps must begin with a week, or the caps of that week see
// only a part of it. The instant decides what is still open or held. Errors wrap ErrTap or ErrTapConflict; what a tariff does not know is
// no error but a journey that is not charged.
func (b *Book) Rate(r Rider, taps []Tap, asOf time.Time) (*Statement, error) {
	sorted, err := settle(taps)
	if err != nil {
		return nil, fmt.Errorf("rate the taps of a rider: %w", err)
	}
	s := &Statement{Account: r.Account, Category: r.Category, AsOf: asOf, Total: money.New(0, b.tariffs[0].currency), Years: map[int]YearCount{}}
	for year, count := range r.Earlier {
		s.Years[year] = count
	}
	p := pairing{book: b, asOf: asOf, taps: sorted, open: map[openKey]opened{}, left: map[openKey]*Tap{}, out: s}
	p.journeys = make([]Journey, 0, len(sorted)/2+1)
	p.run()
	s.Journeys = p.journeys
	slices.SortFunc(s.Journeys, func(x, y Journey) int {
		return cmp.Or(cmp.Compare(x.Day, y.Day), x.anchor().Compare(y.anchor()), cmp.Compare(x.tap, y.tap))
	})
	p.resolve(r)
	b.charge(s)
	s.inspect()
	if t := b.on(b.calendar.ServiceDate(asOf)); t != nil && t.restrict > 0 {
		s.Restricted = s.Years[b.calendar.ServiceDate(asOf).Year()].Incomplete >= t.restrict
	}
	return s, nil
}

// Reaches tells whether the missing end of a tap's journey can have been at a place: whether the tariff of its day has such a fare.
func (b *Book) Reaches(t Tap, place string) bool {
	tariff := b.on(b.calendar.ServiceDate(t.At))
	if tariff == nil || tariff.services[t.Service] == nil {
		return false
	}
	j := Journey{tariff: tariff, service: tariff.services[t.Service]}
	switch t.Kind {
	case Entry:
		j.Start, j.End.Place = point(&t), place
	case Exit:
		j.Start.Place, j.End = place, point(&t)
	default:
		return false
	}
	if kind := j.service.kind; kind != byTable && kind != byZone {
		return false
	}
	_, ok := b.price(&j, "")
	return ok
}

// resolve decides what becomes of incomplete journeys and finds the fare of every journey.
func (p *pairing) resolve(r Rider) {
	finder := newFinder(p.taps)
	for i := range p.out.Journeys {
		j := &p.out.Journeys[i]
		var fare int64
		switch {
		case j.State == Unpriced:
		case j.State == Open:
			j.step(ReasonOpen, 0)
		case j.State == Complete:
			if j.Start.Medium != j.End.Medium {
				j.step(ReasonOtherMedium, 0)
			}
			fare = p.known(j, r.category(j.tariff), Complete)
		case j.service.kind == bySegment:
			fare = p.known(j, r.category(j.tariff), Partial)
		default:
			fare = p.incomplete(j, r, finder)
		}
		j.Fare = j.tariff.amount(fare)
	}
}

func (r *Rider) category(t *Tariff) string {
	if _, ok := t.categories[r.Category]; ok {
		return r.Category
	}
	return ""
}

func (p *pairing) known(j *Journey, category string, state State) int64 {
	fare, ok := p.book.price(j, category)
	j.State = state
	if !ok {
		j.State = Unpriced
	}
	return fare
}

// incomplete tries a correction, then the rider's other journeys, then holds the journey, and in the end charges the maximum.
func (p *pairing) incomplete(j *Journey, r Rider, f *finder) int64 {
	t, category, year := j.tariff, r.category(j.tariff), j.Day.Year()
	deadline := j.Day + t.grace
	for i := range r.Corrections {
		c := &r.Corrections[i]
		if c.Journey != j.ID || c.Made.After(p.asOf) || p.book.calendar.ServiceDate(c.Made) > deadline {
			continue
		}
		if fare, ok := p.attempt(j, category, c.Place, ReasonCorrected); ok {
			j.State = Corrected
			return fare
		}
	}
	count := p.out.Years[year]
	count.Incomplete++
	defer func() { p.out.Years[year] = count }()
	if place, ok := f.place(p.taps, j, t.within); ok {
		if t.perYear > 0 && count.Completed >= t.perYear {
			j.step(ReasonLimitReached, 0, strconv.Itoa(count.Completed))
		} else if fare, ok := p.attempt(j, category, place, ReasonCompleted); ok {
			count.Completed++
			j.State = Completed
			return fare
		}
	}
	if p.book.calendar.ServiceDate(p.asOf) <= deadline {
		j.State = Held
		j.step(ReasonHeld, 0, deadline.String())
		return 0
	}
	j.State = Maximum
	fare := t.share(j.service.maximum, t.categories[category])
	if j.Start.Tapped {
		j.step(ReasonNoExit, fare, j.Start.Place)
	} else {
		j.step(ReasonNoEntry, fare, j.End.Place)
	}
	return fare
}

// attempt fills the missing end in and keeps it when that gives a fare.
func (p *pairing) attempt(j *Journey, category, place string, why Reason) (int64, bool) {
	before := *j
	if j.Start.Tapped {
		j.End.Place = place
	} else {
		j.Start.Place = place
	}
	j.step(why, 0, place)
	fare, ok := p.book.price(j, category)
	if !ok {
		*j = before
	}
	return fare, ok
}

// finder knows for every tap the next entry and the last exit of its service.
type finder struct{ next, last []int }

func newFinder(taps []Tap) *finder {
	f := &finder{next: make([]int, len(taps)), last: make([]int, len(taps))}
	entries, exits := map[string]int{}, map[string]int{}
	for i := range taps {
		f.last[i] = -1
		if at, ok := exits[taps[i].Service]; ok {
			f.last[i] = at
		}
		if taps[i].Kind == Exit {
			exits[taps[i].Service] = i
		}
	}
	for i := len(taps) - 1; i >= 0; i-- {
		f.next[i] = -1
		if at, ok := entries[taps[i].Service]; ok {
			f.next[i] = at
		}
		if taps[i].Kind == Entry {
			entries[taps[i].Service] = i
		}
	}
	return f
}

// place finds where the missing tap probably was. A rider who comes in where the journey began has told nothing.
func (f *finder) place(taps []Tap, j *Journey, within time.Duration) (string, bool) {
	other := f.next[j.tap]
	if !j.Start.Tapped {
		other = f.last[j.tap]
	}
	if within == 0 || other < 0 || taps[other].Place == taps[j.tap].Place || taps[other].At.Sub(taps[j.tap].At).Abs() > within {
		return "", false
	}
	return taps[other].Place, true
}

// inspect finds the journey that each inspected rider was on: under way then, or begun and without an end.
func (s *Statement) inspect() {
	for i := range s.Inspections {
		c := &s.Inspections[i]
		for k := range s.Journeys {
			j := &s.Journeys[k]
			if c.Tap.Service != j.Service || !j.Start.Tapped || j.Start.At.After(c.Tap.At) || j.service == nil {
				continue
			}
			end := j.End.At
			if !j.End.Tapped || j.service.kind == byFlat {
				end = j.Start.At.Add(j.service.maxJourney)
			}
			if !end.Before(c.Tap.At) {
				c.Valid, c.Journey = true, j.ID
			}
		}
	}
}

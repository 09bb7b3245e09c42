package fares

import (
	"time"

	"tapnet/money"
)

// State says how sure a journey is.
type State string

// The states. Held and Open cost nothing yet; all others are final as long as no further tap arrives.
const (
	Complete  State = "complete"
	Completed State = "completed" // a missing tap was found in the rider's other journeys
	Corrected State = "corrected" // a missing tap was stated by the rider
	Partial   State = "partial"   // a segmented bus fare to the terminus or from the first stop
	Open      State = "open"      // may still end
	Held      State = "held"      // incomplete, within the days of grace
	Maximum   State = "maximum"   // incomplete, charged the maximum fare
	Unpriced  State = "unpriced"  // the tariff says nothing about it
)

// Missing tells whether a tap of the journey is missing, whatever became of it.
func (s State) Missing() bool {
	return s == Completed || s == Corrected || s == Partial || s == Held || s == Maximum
}

// Point is one end of a journey. Without a tap it is missing, or the place was filled in.
type Point struct {
	Tap    TapID     `json:"tap"`
	At     time.Time `json:"at,omitzero"`
	Place  string    `json:"place,omitempty"`
	Medium string    `json:"medium,omitempty"`
	Stop   int       `json:"stop,omitempty"`
	Tapped bool      `json:"tapped"`
}

func point(t *Tap) Point {
	return Point{Tap: t.ID, At: t.At, Place: t.Place, Medium: t.Medium, Stop: t.Stop, Tapped: true}
}

// Journey is what a rider pays for, with the steps that lead to the amount.
type Journey struct {
	ID        TapID        `json:"id"` // of its first tap
	Day       Date         `json:"day"`
	Service   string       `json:"service"`
	Route     string       `json:"route,omitempty"`
	Direction string       `json:"direction,omitempty"`
	Start     Point        `json:"start"`
	End       Point        `json:"end"`
	State     State        `json:"state"`
	Timeframe string       `json:"timeframe,omitempty"`
	Fare      money.Amount `json:"fare"`   // before transfers and caps
	Amount    money.Amount `json:"amount"` // what it adds to the rider's charges
	Steps     []Step       `json:"steps"`

	tariff   *Tariff
	service  *service
	overtime bool
	tap      int // place of the first tap among the rider's
}

func (j *Journey) anchor() time.Time {
	if j.Start.Tapped {
		return j.Start.At
	}
	return j.End.At
}

func (j *Journey) step(r Reason, minor int64, args ...string) {
	s := Step{Reason: r, Amount: j.tariff.amount(minor)}
	copy(s.args[:], args)
	j.Steps = append(j.Steps, s)
}

// pairing turns the taps of one rider into journeys.
type pairing struct {
	book     *Book
	asOf     time.Time
	taps     []Tap
	open     map[openKey]opened
	left     map[openKey]*Tap // last exit
	journeys []Journey
	out      *Statement
}

// openKey tells apart what can be under way at the same time.
type openKey struct{ service, medium, route, direction string }

type opened struct {
	tap    int
	tariff *Tariff
	svc    *service
}

func (p *pairing) run() {
	for i := range p.taps {
		t := &p.taps[i]
		if t.Kind == Inspection {
			p.out.Inspections = append(p.out.Inspections, Check{Tap: *t})
			continue
		}
		tariff := p.book.on(p.book.calendar.ServiceDate(t.At))
		if tariff == nil {
			p.unpriced(i, p.book.tariffs[0], ReasonNoTariff, p.book.calendar.ServiceDate(t.At).String())
			continue
		}
		svc := tariff.services[t.Service]
		switch {
		case svc == nil:
			p.unpriced(i, tariff, ReasonNoService, t.Service)
		case svc.kind == byFlat && t.Kind == Single:
			p.add(Journey{tap: i, Start: point(t), End: point(t), State: Complete, tariff: tariff, service: svc})
		case (svc.kind == byTable || svc.kind == byZone) && t.Kind == Entry, svc.kind == bySegment && t.Kind == Board:
			p.enter(i, tariff, svc)
		case (svc.kind == byTable || svc.kind == byZone) && t.Kind == Exit, svc.kind == bySegment && t.Kind == Alight:
			p.exit(i, tariff, svc)
		default:
			p.unpriced(i, tariff, ReasonWrongKind, t.Service)
		}
	}
	for _, o := range p.open {
		limit := o.svc.maxJourney
		if o.svc.overtime != noFare {
			limit = maxMaxJourney
		}
		if p.asOf.Sub(p.taps[o.tap].At) <= limit {
			p.single(o.tap, o.tariff, o.svc, Open)
			continue
		}
		p.noExit(o)
	}
}

func keyOf(t *Tap, svc *service) openKey {
	key := openKey{service: t.Service, route: t.Route, direction: t.Direction}
	if svc.kind != bySegment {
		key.route, key.direction = "", ""
	}
	if svc.sameMedium {
		key.medium = t.Medium
	}
	return key
}

func (p *pairing) enter(i int, tariff *Tariff, svc *service) {
	t := &p.taps[i]
	key := keyOf(t, svc)
	if o, ok := p.open[key]; ok {
		first := &p.taps[o.tap]
		if first.Place == t.Place && first.Stop == t.Stop && t.At.Sub(first.At) < o.svc.repeat {
			p.out.Ignored = append(p.out.Ignored, t.ID)
			return
		}
		p.noExit(o)
	}
	p.open[key] = opened{tap: i, tariff: tariff, svc: svc}
}

func (p *pairing) exit(i int, tariff *Tariff, svc *service) {
	t := &p.taps[i]
	key := keyOf(t, svc)
	o, ok := p.open[key]
	last := p.left[key]
	p.left[key] = t
	if !ok {
		if last != nil && last.Place == t.Place && last.Stop == t.Stop && t.At.Sub(last.At) < svc.repeat {
			p.out.Ignored = append(p.out.Ignored, t.ID)
			return
		}
		p.single(i, tariff, svc, Held)
		return
	}
	delete(p.open, key)
	first := &p.taps[o.tap]
	took := t.At.Sub(first.At)
	late := took > o.svc.maxJourney
	if late && (o.svc.overtime == noFare || took > maxMaxJourney) || o.svc.kind != svc.kind || svc.kind == bySegment && t.Stop < first.Stop {
		p.noExit(o)
		p.single(i, tariff, svc, Held)
		return
	}
	p.add(Journey{tap: o.tap, Start: point(first), End: point(t), State: Complete, tariff: o.tariff, service: o.svc, overtime: late})
}

func (p *pairing) noExit(o opened) { p.single(o.tap, o.tariff, o.svc, Held) }

// single makes a journey of one tap, of which the other one is missing.
func (p *pairing) single(i int, tariff *Tariff, svc *service, state State) {
	t := &p.taps[i]
	j := Journey{tap: i, State: state, tariff: tariff, service: svc}
	if t.Kind == Exit || t.Kind == Alight {
		j.End = point(t)
	} else {
		j.Start = point(t)
	}
	p.add(j)
}

func (p *pairing) add(j Journey) {
	t := &p.taps[j.tap]
	j.ID, j.Service, j.Route, j.Direction = t.ID, t.Service, t.Route, t.Direction
	j.Day = p.book.calendar.ServiceDate(j.anchor())
	p.journeys = append(p.journeys, j)
}

func (p *pairing) unpriced(i int, tariff *Tariff, why Reason, arg string) {
	p.single(i, tariff, nil, Unpriced)
	p.journeys[len(p.journeys)-1].step(why, 0, arg)
}

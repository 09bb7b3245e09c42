package transithttp

import (
	"cmp"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/transit"
	"tapnet/money"
)

// Inspection is an inspector's look at the rider's card.
type Inspection struct {
	Tap     Tap  `json:"tap"`
	Valid   bool `json:"valid" doc:"a journey was under way"`
	Journey *Tap `json:"journey,omitempty" doc:"the tap that names it"`
}

func inspectionsOf(v *transit.AccountView) []Inspection {
	out := []Inspection{}
	for _, c := range v.Statement.Inspections {
		i := Inspection{Valid: c.Valid,
			Tap: Tap{Device: c.Tap.ID.Device, Sequence: c.Tap.ID.Sequence, At: instant(c.Tap.At), Place: c.Tap.Place, Medium: c.Tap.Medium, Tapped: true}}
		if c.Valid {
			i.Journey = &Tap{Device: c.Journey.Device, Sequence: c.Journey.Sequence, Tapped: true}
		}
		out = append(out, i)
	}
	return out
}

// statePaid is the state of a journey that the card paid by itself, at the gate. Nothing of it is in the rider's total.
const statePaid = "paid by card"

// withPaid puts what cards paid by themselves among the other journeys, in order of time.
func withPaid(journeys []Journey, v *transit.AccountView, currency money.Currency) []Journey {
	for _, p := range v.Paid {
		text := both(p.State.Term())
		tap := Tap{Device: p.Tap.Device, Sequence: p.Tap.Sequence, At: instant(p.At), Place: p.Place, Medium: p.Medium, Tapped: true, State: &text}
		fare := money.New(p.Minor, currency).Decimal()
		journeys = append(journeys, Journey{
			Day: p.Day.String(), Service: p.Service, State: statePaid, Start: tap, End: tap, Fare: fare, Amount: money.New(0, currency).Decimal(),
			Steps: []Reason{{Reason: "purse", Amount: money.New(0, currency).Decimal(), Both: both(lineOf(fare, p.State.Term()))}},
		})
	}
	if len(v.Paid) > 0 {
		slices.SortStableFunc(journeys, func(a, b Journey) int { return cmp.Compare(cmp.Or(a.Start.At, a.End.At), cmp.Or(b.Start.At, b.End.At)) })
	}
	return journeys
}

// lineOf is an amount and what became of it.
func lineOf(amount string, t glossary.Term) glossary.Term {
	return glossary.Term{EN: amount + " " + t.EN, ZH: amount + " " + t.ZH}
}

// instant is a point in time, "" for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

package fares

import "tapnet/money"

// account keeps what one pool has cost so far.
type account struct {
	name    string
	day     Date
	week    Date
	chains  chains
	spent   int64 // on this day, after transfers and the day's cap
	earlier int64 // in this week before this day
}

// charge turns fares into amounts. Each journey is charged what the rider's total grows by with it, so that amounts add up to the least the
// rules allow, and a journey never makes an earlier one cheaper.
func (b *Book) charge(s *Statement) {
	var pools []*account
	total := int64(0)
	for i := range s.Journeys {
		j := &s.Journeys[i]
		fare := j.Fare.Minor()
		switch {
		case j.service == nil || j.State == Unpriced || j.State == Open || j.State == Held:
			fare = 0
		case j.State == Maximum: // a penalty, outside transfers and caps
		default:
			fare = b.poolOf(&pools, j).add(b, j, s.Category, fare)
		}
		j.Amount = j.tariff.amount(fare)
		total += fare
	}
	s.Total = money.New(total, s.Total.Currency())
}

func (b *Book) poolOf(pools *[]*account, j *Journey) *account {
	for _, a := range *pools {
		if a.name == j.service.pool {
			a.turn(j.Day)
			return a
		}
	}
	a := &account{name: j.service.pool, day: j.Day, week: j.Day.Week()}
	a.chains.reset()
	*pools = append(*pools, a)
	return a
}

// turn moves on to the day of the next journey.
func (a *account) turn(d Date) {
	if d == a.day {
		return
	}
	a.earlier += a.spent
	if w := d.Week(); w != a.week {
		a.week, a.earlier = w, 0
	}
	a.day, a.spent = d, 0
	a.chains.reset()
}

// add gives what the total grows by: first with transfers, then under the cap of the day, then under that of the week.
func (a *account) add(b *Book, j *Journey, category string, fare int64) int64 {
	before := a.chains.total()
	rule := a.chains.add(j, fare)
	grown := a.chains.total() - before
	if grown != fare {
		name := ""
		if rule != nil {
			name = rule.name
		}
		j.step(ReasonTransfer, grown-fare, name)
	}
	spent := a.chains.total()
	if day := j.tariff.cap(a.name, category, false); day != nil && spent > day.amount {
		spent = max(a.spent, day.amount)
	}
	if today := spent - a.spent; today != grown {
		j.step(ReasonDayCap, today-grown, j.tariff.cap(a.name, category, false).name)
		grown = today
	}
	was := a.earlier + a.spent
	a.spent = spent
	// The week's cap is that of the tariff in force on its Monday, so that a new tariff changes no week half-way.
	t := b.on(a.week)
	if t == nil {
		t = b.tariffs[0]
	}
	if week := t.cap(a.name, category, true); week != nil {
		if capped := min(week.amount, a.earlier+spent) - min(week.amount, was); capped != grown {
			j.step(ReasonWeekCap, capped-grown, week.name)
			grown = capped
		}
	}
	return grown
}

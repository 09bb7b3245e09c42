package fares

import (
	"strconv"
)

// price finds the fare of a journey whose ends are known, and says how. It reports false when the tariff has no such fare.
func (b *Book) price(j *Journey, category string) (int64, bool) {
	t, svc := j.tariff, j.service
	percent := wholePercent
	if tf := b.timeframe(j); tf != nil {
		j.Timeframe, percent = tf.name, tf.percent
	}
	var fare int64
	rule := svc.rule(category, j.Timeframe)
	switch svc.kind {
	case byTable, byZone:
		if j.Start.Place == j.End.Place && svc.sameFare != noFare {
			return b.sameStation(j, category), true
		}
		from, to, why := j.Start.Place, j.End.Place, ReasonTable
		if svc.kind == byZone {
			from, to, why = svc.zones[from], svc.zones[to], ReasonZone
		}
		var ok bool
		if fare, ok = rule.table.Fare(from, to); !ok {
			j.step(ReasonNoFare, 0, j.Start.Place, j.End.Place)
			return 0, false
		}
		j.step(why, fare, from, to)
	case byFlat:
		if rule == nil {
			j.step(ReasonNoFare, 0, j.Start.Place, j.End.Place)
			return 0, false
		}
		fare = rule.flat
		j.step(ReasonFlat, fare, svc.name)
	case bySegment:
		return b.segment(j, category, percent)
	}
	fare = b.percents(j, rule, category, percent, fare)
	if j.overtime {
		// The maximum bounds it: overstaying must not cost more than losing the exit altogether.
		most := t.share(svc.maximum, t.categories[category])
		more := min(t.share(svc.overtime, t.categories[category]), most-fare)
		j.step(ReasonOvertime, more)
		fare += more
	}
	return fare, true
}

// percents applies category and timeframe and says what each changes.
func (b *Book) percents(j *Journey, rule *fareRule, category string, percent int, fare int64) int64 {
	t := j.tariff
	if share := t.categories[category]; rule.category == "" && share != wholePercent {
		next := t.share(fare, share)
		j.step(ReasonCategory, next-fare, category)
		fare = next
	}
	if rule.timeframe == "" && percent != wholePercent {
		next := t.share(fare, percent)
		j.step(ReasonTimeframe, next-fare, j.Timeframe)
		fare = next
	}
	return fare
}

func (b *Book) sameStation(j *Journey, category string) int64 {
	svc, t := j.service, j.tariff
	fare, why := svc.sameFare, ReasonSameStation
	if !j.Start.Tapped || !j.End.Tapped || j.End.At.Sub(j.Start.At) >= svc.sameWithin {
		fare, why = svc.sameAfter, ReasonSameLate
	}
	fare = t.share(fare, t.categories[category])
	j.step(why, fare, j.Start.Place)
	return fare
}

// everyFare is the rule of a segmented service, whose bands are for everybody at any time.
var everyFare = fareRule{}

func (b *Book) segment(j *Journey, category string, percent int) (int64, bool) {
	r := j.service.routes[routeKey{j.Route, j.Direction}]
	from, to, why := j.Start.Stop, j.End.Stop, ReasonSegment
	if r != nil {
		last := len(r.sections) - 1
		switch {
		case !j.End.Tapped:
			to, why = last, ReasonTerminus
		case !j.Start.Tapped:
			from, why = 0, ReasonFirstStop
		}
		if from > to || to > last {
			r = nil
		}
	}
	stops := strconv.Itoa(from) + "–" + strconv.Itoa(to)
	if r == nil {
		j.step(ReasonNoFare, 0, j.Route+" "+strconv.Itoa(from), strconv.Itoa(to))
		return 0, false
	}
	fare := r.fare(from, to)
	j.step(why, fare, j.Route, stops)
	return b.percents(j, &everyFare, category, percent, fare), true
}

// timeframe finds the first timeframe that the journey begins in.
func (b *Book) timeframe(j *Journey) *timeframe {
	t := j.tariff
	if len(t.timeframes) == 0 {
		return nil
	}
	wall := b.calendar.wall(j.anchor())
	day := Date(floorDiv(wall, secondsPerDay))
	second, weekday := wall-int64(day)*secondsPerDay, day.weekday()
	if t.holidays[day] {
		weekday = daysPerWeek - 1
	}
	for i := range t.timeframes {
		if tf := &t.timeframes[i]; tf.days[weekday] && tf.start <= second && second < tf.end {
			return tf
		}
	}
	return nil
}

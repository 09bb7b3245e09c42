package fares

import (
	"slices"
)

func (b *builder) services() error {
	for i := range b.spec.Services {
		s := &b.spec.Services[i]
		if err := b.name("service", s.Name); err != nil {
			return err
		}
		if b.t.services[s.Name] != nil {
			return b.wrong("service %q stands there twice", s.Name)
		}
		svc := &service{name: s.Name, kind: serviceKinds[s.Kind], pool: s.Pool, number: i, sameMedium: s.SameMedium, sameFare: noFare, sameAfter: noFare}
		if svc.kind == 0 {
			return b.wrong("service %q: kind %q is not table, zone, flat or segment", s.Name, clip(s.Kind))
		}
		for _, step := range []func(*service, *ServiceSpec) error{b.times, b.sameStation, b.zones, b.fareRules, b.routes, b.ceilingOfService} {
			if err := step(svc, s); err != nil {
				return err
			}
		}
		b.t.services[s.Name] = svc
	}
	return nil
}

func (b *builder) times(svc *service, s *ServiceSpec) error {
	what := "service " + s.Name
	var err error
	if svc.maximum, err = b.fare(what+": maximum", s.Maximum, noFare); err != nil {
		return err
	}
	if svc.overtime, err = b.fare(what+": overtime", s.Overtime, noFare); err != nil {
		return err
	}
	if svc.maxJourney, err = b.duration(what+": max_journey", s.MaxJourney, defaultJourney, maxMaxJourney); err != nil {
		return err
	}
	svc.repeat, err = b.duration(what+": repeat", s.Repeat, 0, svc.maxJourney)
	return err
}

func (b *builder) sameStation(svc *service, s *ServiceSpec) error {
	rule := s.SameStation
	if rule == (SameStationSpec{}) {
		return nil
	}
	what := "service " + s.Name + ": same_station"
	var err error
	if svc.sameWithin, err = b.duration(what, rule.Within, 0, svc.maxJourney); err != nil {
		return err
	}
	if svc.sameFare, err = b.fare(what, rule.Fare, 0); err != nil {
		return err
	}
	if svc.sameAfter, err = b.fare(what, rule.After, svc.maximum); err != nil {
		return err
	}
	if svc.sameWithin == 0 || max(svc.sameFare, svc.sameAfter) > svc.maximum {
		return b.wrong("%s: needs a time, and fares up to the maximum", what)
	}
	return nil
}

func (b *builder) zones(svc *service, s *ServiceSpec) error {
	if (svc.kind == byZone) != (len(s.Zones) > 0) {
		return b.wrong("service %q: zones belong to the kind zone", s.Name)
	}
	svc.zones = map[string]string{}
	for _, z := range s.Zones {
		if err := b.name("zone", z.Name); err != nil {
			return err
		}
		for _, place := range z.Places {
			if old, twice := svc.zones[place]; twice && old != z.Name {
				return b.wrong("service %q: place %q is in the zones %q and %q", s.Name, clip(place), old, z.Name)
			}
			svc.zones[place] = z.Name
		}
	}
	return nil
}

func (b *builder) fareRules(svc *service, s *ServiceSpec) error {
	if len(s.Fares) > maxRules || len(s.Routes) > maxRules {
		return b.wrong("service %q: more than %d fares or routes", s.Name, maxRules)
	}
	if (svc.kind == bySegment) == (len(s.Fares) > 0) {
		return b.wrong("service %q: a segmented service has routes, every other one has fares", s.Name)
	}
	for _, f := range s.Fares {
		if _, ok := b.t.categories[f.Category]; !ok {
			return b.wrong("service %q: there is no category %q", s.Name, clip(f.Category))
		}
		if f.Timeframe != "" && !slices.ContainsFunc(b.t.timeframes, func(t timeframe) bool { return t.name == f.Timeframe }) {
			return b.wrong("service %q: there is no timeframe %q", s.Name, clip(f.Timeframe))
		}
		rule := fareRule{category: f.Category, timeframe: f.Timeframe, table: f.Table}
		var err error
		if rule.flat, err = b.fare("service "+s.Name, f.Flat, noFare); err != nil {
			return err
		}
		if len(f.Rows) > 0 && f.Table == nil {
			if rule.table, err = b.rows(s, &f); err != nil {
				return err
			}
		}
		if f.File != "" || (svc.kind == byFlat) != (rule.flat != noFare) || (svc.kind == byFlat) == (rule.table != nil) || f.Table != nil && len(f.Rows) > 0 {
			return b.wrong("service %q: a flat service has flat fares, every other one a table", s.Name)
		}
		for _, other := range svc.fares {
			if other.category == rule.category && other.timeframe == rule.timeframe {
				return b.wrong("service %q: two fares for category %q and timeframe %q", s.Name, rule.category, rule.timeframe)
			}
		}
		svc.fares = append(svc.fares, rule)
	}
	return nil
}

func (b *builder) rows(s *ServiceSpec, f *FareSpec) (*Table, error) {
	made := newFill()
	for i, row := range f.Rows {
		if len(row) != 3 {
			return nil, b.wrong("service %q: row %d has %d cells, wants from, to and fare", s.Name, i+1, len(row))
		}
		fare, err := b.fare("service "+s.Name, row[2], noFare)
		if err != nil {
			return nil, err
		}
		if err := made.set(row[0], row[1], fare); err != nil {
			return nil, err
		}
		if !f.Both {
			continue
		}
		if err := made.set(row[1], row[0], fare); err != nil {
			return nil, err
		}
	}
	return made.table()
}

func (b *builder) routes(svc *service, s *ServiceSpec) error {
	if svc.kind != bySegment && len(s.Routes) > 0 || svc.kind == bySegment && len(s.Routes) == 0 {
		return b.wrong("service %q: routes belong to the kind segment", s.Name)
	}
	svc.routes = map[routeKey]*route{}
	for _, r := range s.Routes {
		key := routeKey{r.Route, r.Direction}
		if err := b.name("route", r.Route); err != nil {
			return err
		}
		if svc.routes[key] != nil || r.Stops < 2 || r.Stops > maxStops || len(r.Sections) != 0 && len(r.Sections) != r.Stops {
			return b.wrong("route %q %q: it stands there twice, or has no 2 to %d stops with a section each", r.Route, clip(r.Direction), maxStops)
		}
		made := &route{sections: r.Sections}
		if len(r.Sections) == 0 {
			for i := range r.Stops {
				made.sections = append(made.sections, i)
			}
		}
		if !slices.IsSorted(made.sections) || made.sections[0] < 0 {
			return b.wrong("route %q: sections go down", r.Route)
		}
		for _, x := range r.Bands {
			fare, err := b.fare("route "+r.Route, x.Fare, noFare)
			if err != nil {
				return err
			}
			if n := len(made.bands); fare == noFare || n > 0 && (x.UpTo <= made.bands[n-1].upTo || fare < made.bands[n-1].fare) {
				return b.wrong("route %q: bands need a fare and go up", r.Route)
			}
			made.bands = append(made.bands, band{upTo: x.UpTo, fare: fare})
		}
		length := made.sections[r.Stops-1] - made.sections[0]
		if len(made.bands) == 0 || made.bands[len(made.bands)-1].upTo < length {
			return b.wrong("route %q: no fare for its whole length of %d", r.Route, length)
		}
		svc.routes[key] = made
	}
	return nil
}

// fare is the fare between two stops. Bands go up, so a longer way is never cheaper.
func (r *route) fare(from, to int) int64 {
	length := r.sections[to] - r.sections[0]
	length -= r.sections[from] - r.sections[0]
	i, _ := slices.BinarySearchFunc(r.bands, length, func(b band, n int) int { return b.upTo - n })
	return r.bands[i].fare
}

// ceilingOfService checks that no fare is above the maximum: a rider must not gain by leaving out a tap.
func (b *builder) ceilingOfService(svc *service, s *ServiceSpec) error {
	gated := svc.kind == byTable || svc.kind == byZone
	if gated != (svc.maximum != noFare) {
		return b.wrong("service %q: a service with entry and exit has a maximum, another one does not", s.Name)
	}
	if !gated {
		return nil
	}
	percents := map[string]int{"": wholePercent}
	for _, tf := range b.t.timeframes {
		percents[tf.name] = max(percents[tf.name], tf.percent)
	}
	for category := range b.t.categories {
		most := b.t.share(svc.maximum, b.t.categories[category])
		for name, percent := range percents {
			rule := svc.rule(category, name)
			if rule == nil {
				return b.wrong("service %q: no fare for category %q in timeframe %q", s.Name, category, name)
			}
			if fare := b.t.adjust(rule, category, percent, int64(rule.table.top)); fare > most {
				return b.wrong("service %q: a fare of %s for category %q in timeframe %q is above the maximum", s.Name, b.t.amount(fare), category, name)
			}
		}
	}
	return nil
}

// rule finds the fares for a category and a timeframe: those for both, for the category, for the timeframe, for everybody.
func (s *service) rule(category, timeframe string) *fareRule {
	var found *fareRule
	best := -1
	for i := range s.fares {
		r := &s.fares[i]
		if r.category != "" && r.category != category || r.timeframe != "" && r.timeframe != timeframe {
			continue
		}
		score := 0
		if r.category != "" {
			score += 2
		}
		if r.timeframe != "" {
			score++
		}
		if score > best {
			found, best = r, score
		}
	}
	return found
}

// share takes a percentage, rounded half up to the tariff's unit. It never exceeds what is whole.
func (t *Tariff) share(fare int64, percent int) int64 {
	if percent == wholePercent {
		return fare
	}
	unit := t.round * wholePercent
	part := (fare*int64(percent) + unit/2) / unit * t.round
	if percent < wholePercent {
		part = min(part, fare)
	}
	return part
}

// adjust applies the percentages that a table does not hold already.
func (t *Tariff) adjust(rule *fareRule, category string, timeframePercent int, fare int64) int64 {
	if rule.category == "" {
		fare = t.share(fare, t.categories[category])
	}
	if rule.timeframe == "" {
		fare = t.share(fare, timeframePercent)
	}
	return fare
}

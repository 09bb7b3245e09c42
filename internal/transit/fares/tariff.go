package fares

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapnet/money"
)

// Tariff is a set of rules that has been checked. It does not change.
type Tariff struct {
	name       string
	currency   money.Currency
	from       Date
	round      int64
	holidays   map[Date]bool
	categories map[string]int // percent
	timeframes []timeframe
	services   map[string]*service
	transfers  []transfer
	caps       []ceiling
	grace      Date
	within     time.Duration
	perYear    int
	restrict   int
}

type timeframe struct {
	name       string
	days       [daysPerWeek]bool
	start, end int64 // seconds of the day
	percent    int
}

type serviceKind uint8

const (
	byTable serviceKind = iota + 1
	byZone
	byFlat
	bySegment
)

var serviceKinds = map[string]serviceKind{"table": byTable, "zone": byZone, "flat": byFlat, "segment": bySegment}

type service struct {
	name       string
	kind       serviceKind
	pool       string
	number     int // among the services, to find an open journey
	maximum    int64
	maxJourney time.Duration
	overtime   int64 // noFare when there is none
	repeat     time.Duration
	sameWithin time.Duration
	sameFare   int64 // noFare when there is no rule
	sameAfter  int64
	sameMedium bool
	zones      map[string]string
	fares      []fareRule
	routes     map[routeKey]*route
}

type fareRule struct {
	category, timeframe string
	flat                int64
	table               *Table
}

type routeKey struct{ route, direction string }

type route struct {
	sections []int
	bands    []band
}

type band struct {
	upTo int
	fare int64
}

type ceiling struct {
	name, pool, category string
	week                 bool
	amount               int64
}

// Limits of a tariff: more of anything is a mistake of whoever wrote the file.
const (
	maxRules        = 1000
	maxCategories   = 32
	maxTimeframes   = 128
	maxTransfers    = 32
	maxMaxJourney   = 24 * time.Hour
	defaultJourney  = 4 * time.Hour
	maxGraceDays    = 60
	maxPercent      = 300
	wholePercent    = 100
	maxTransferLegs = 16
)

// New checks a description and makes a tariff of it. Errors wrap ErrTariff or ErrTable and say what is wrong.
func New(s Spec) (*Tariff, error) {
	c, err := money.ParseCurrency(s.Currency)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTariff, err)
	}
	b := builder{spec: &s, t: &Tariff{
		name: s.Name, currency: c, round: 1, holidays: map[Date]bool{}, categories: map[string]int{"": wholePercent}, services: map[string]*service{},
	}}
	for _, step := range []func() error{b.head, b.groups, b.services, b.transfers, b.caps, b.incomplete} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return b.t, nil
}

// Name is the name of the tariff.
func (t *Tariff) Name() string { return t.name }

// From is the first service day of the tariff.
func (t *Tariff) From() Date { return t.from }

// Services names the services of the tariff.
func (t *Tariff) Services() []string { return slices.Sorted(maps.Keys(t.services)) }

// Currency is the currency of every amount.
func (t *Tariff) Currency() money.Currency { return t.currency }

func (t *Tariff) amount(minor int64) money.Amount { return money.New(minor, t.currency) }

type builder struct {
	spec *Spec
	t    *Tariff
}

func (b *builder) wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrTariff, fmt.Sprintf(format, args...))
}

// fare reads an amount that may be absent.
func (b *builder) fare(what, s string, absent int64) (int64, error) {
	if s == "" {
		return absent, nil
	}
	a, err := money.Parse(s, b.t.currency)
	if err != nil {
		return 0, b.wrong("%s: %v", what, err)
	}
	if a.Minor() < 0 || a.Minor() > maxFare {
		return 0, b.wrong("%s: %s is below 0 or above %d minor units", what, s, maxFare)
	}
	return a.Minor(), nil
}

func (b *builder) duration(what, s string, absent, most time.Duration) (time.Duration, error) {
	if s == "" {
		return absent, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > most {
		return 0, b.wrong("%s: %q is no duration up to %s", what, clip(s), most)
	}
	return d, nil
}

func (b *builder) name(what, s string) error {
	if s == "" || len(s) > maxNameBytes || strings.TrimSpace(s) != s {
		return b.wrong("%s: name %q is empty, padded or longer than %d bytes", what, clip(s), maxNameBytes)
	}
	return nil
}

func (b *builder) head() error {
	var err error
	if err = b.name("tariff", b.spec.Name); err != nil {
		return err
	}
	if b.t.from, err = ParseDate(b.spec.From); err != nil {
		return err
	}
	if b.t.round, err = b.fare("round", b.spec.Round, 1); err != nil {
		return err
	}
	if b.t.round == 0 {
		return b.wrong("round: 0 is nothing to round to")
	}
	for _, sort := range []struct {
		name     string
		is, most int
	}{
		{"holidays", len(b.spec.Holidays), maxRules}, {"categories", len(b.spec.Categories), maxCategories}, {"timeframes", len(b.spec.Timeframes), maxTimeframes},
		{"services", len(b.spec.Services), maxRules}, {"transfers", len(b.spec.Transfers), maxTransfers}, {"caps", len(b.spec.Caps), maxRules},
	} {
		if sort.is > sort.most {
			return b.wrong("%d %s, at most %d", sort.is, sort.name, sort.most)
		}
	}
	for _, h := range b.spec.Holidays {
		d, err := ParseDate(h)
		if err != nil {
			return err
		}
		b.t.holidays[d] = true
	}
	return nil
}

func (b *builder) groups() error {
	for _, c := range b.spec.Categories {
		if err := b.name("category", c.Name); err != nil {
			return err
		}
		if _, twice := b.t.categories[c.Name]; twice || c.Percent < 0 || c.Percent > wholePercent {
			return b.wrong("category %q: it stands there twice, or %d is no percentage from 0 to 100", c.Name, c.Percent)
		}
		b.t.categories[c.Name] = c.Percent
	}
	for _, f := range b.spec.Timeframes {
		if err := b.name("timeframe", f.Name); err != nil {
			return err
		}
		tf := timeframe{name: f.Name, percent: f.Percent}
		var okStart, okEnd bool
		tf.start, okStart = timeOfDay(f.Start)
		tf.end, okEnd = timeOfDay(f.End)
		if !okStart || !okEnd || tf.start >= tf.end {
			return b.wrong("timeframe %q: from %q to %q is no time of one day", f.Name, clip(f.Start), clip(f.End))
		}
		if f.Percent < 0 || f.Percent > maxPercent {
			return b.wrong("timeframe %q: %d is no percentage from 0 to %d", f.Name, f.Percent, maxPercent)
		}
		for _, day := range weekdays(f.Days) {
			if day < '1' || day > '7' {
				return b.wrong("timeframe %q: %q is no weekday from 1 to 7", f.Name, day)
			}
			tf.days[day-'1'] = true
		}
		b.t.timeframes = append(b.t.timeframes, tf)
	}
	return nil
}

func weekdays(s string) string {
	if s == "" {
		return "1234567"
	}
	return s
}

// timeOfDay reads 07:30 or 07:30:00 as seconds; 24:00 is the end of the day.
func timeOfDay(s string) (int64, bool) {
	parts := strings.Split(s, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, false
	}
	limits := [...]int64{24, 59, 59}
	seconds := int64(0)
	for i := range limits {
		n := int64(0)
		if i < len(parts) {
			if len(parts[i]) != 2 {
				return 0, false
			}
			v, err := strconv.ParseUint(parts[i], 10, 8)
			if err != nil || int64(v) > limits[i] {
				return 0, false
			}
			n = int64(v)
		}
		seconds = seconds*60 + n
	}
	return seconds, seconds <= secondsPerDay
}

func (b *builder) transfers() error {
	for _, s := range b.spec.Transfers {
		x := transfer{name: s.Name, afterExit: s.AfterExit, most: s.Most + 1, otherRoute: s.DifferentRoute, percent: s.Percent, off: noFare, fee: noFare}
		if err := b.name("transfer", s.Name); err != nil {
			return err
		}
		var err error
		if x.window, err = b.duration("transfer "+s.Name, s.Window, 0, maxMaxJourney); err != nil {
			return err
		}
		if x.off, err = b.fare("transfer "+s.Name, s.Off, noFare); err != nil {
			return err
		}
		if x.fee, err = b.fare("transfer "+s.Name, s.Fee, noFare); err != nil {
			return err
		}
		ways := 0
		for _, given := range []bool{s.Free, s.Off != "", s.Percent != 0, s.Fee != ""} {
			if given {
				ways++
			}
		}
		if ways != 1 || x.window == 0 || s.Percent < 0 || s.Percent > wholePercent || s.Most < 0 || s.Most >= maxTransferLegs {
			return b.wrong("transfer %q: needs a window, at most %d transfers, and one of free, off, percent up to 100 and fee", s.Name, maxTransferLegs-1)
		}
		if s.Most == 0 {
			x.most = maxTransferLegs
		}
		if x.from, err = b.members(s.Name, s.From); err != nil {
			return err
		}
		if x.to, err = b.members(s.Name, s.To); err != nil {
			return err
		}
		b.t.transfers = append(b.t.transfers, x)
	}
	return nil
}

func (b *builder) members(rule string, names []string) (map[string]bool, error) {
	if len(names) == 0 {
		return nil, nil
	}
	set := map[string]bool{}
	for _, n := range names {
		if b.t.services[n] == nil {
			return nil, b.wrong("transfer %q: there is no service %q", rule, clip(n))
		}
		set[n] = true
	}
	return set, nil
}

func (b *builder) caps() error {
	for _, s := range b.spec.Caps {
		if err := b.name("cap", s.Name); err != nil {
			return err
		}
		c := ceiling{name: s.Name, pool: s.Pool, category: s.Category, week: s.Period == "week"}
		if !c.week && s.Period != "day" {
			return b.wrong("cap %q: period %q is not day or week", s.Name, clip(s.Period))
		}
		if _, ok := b.t.categories[s.Category]; !ok {
			return b.wrong("cap %q: there is no category %q", s.Name, clip(s.Category))
		}
		var err error
		if c.amount, err = b.fare("cap "+s.Name, s.Amount, noFare); err != nil {
			return err
		}
		if c.amount == noFare {
			return b.wrong("cap %q has no amount", s.Name)
		}
		for _, other := range b.t.caps {
			if other.pool == c.pool && other.category == c.category && other.week == c.week {
				return b.wrong("cap %q: %q is for the same pool, category and period", s.Name, other.name)
			}
		}
		b.t.caps = append(b.t.caps, c)
	}
	return nil
}

func (b *builder) incomplete() error {
	s := b.spec.Incomplete
	if s.GraceDays < 0 || s.GraceDays > maxGraceDays || s.CompletePerYear < 0 || s.RestrictAfter < 0 {
		return b.wrong("incomplete: a number is negative, or more than %d days of grace", maxGraceDays)
	}
	var err error
	b.t.grace, b.t.perYear, b.t.restrict = Date(s.GraceDays), s.CompletePerYear, s.RestrictAfter
	b.t.within, err = b.duration("incomplete: complete_within", s.CompleteWithin, 0, 7*maxMaxJourney)
	return err
}

// cap gives the ceiling of a pool for a category, or nil.
func (t *Tariff) cap(pool, category string, week bool) *ceiling {
	var found *ceiling
	for i := range t.caps {
		c := &t.caps[i]
		if c.pool == pool && c.week == week && (c.category == category || c.category == "" && found == nil) {
			found = c
		}
	}
	return found
}

package fares

import (
	"fmt"
	"time"
)

const (
	secondsPerDay = 24 * 60 * 60
	daysPerWeek   = 7
	// epochWeekday moves day 0, a Thursday, to its place in a week that begins on Monday.
	epochWeekday = 3
	dateLayout   = "2006-01-02"
)

// Date is a service day: days since 1970-01-01 of the operator's calendar.
type Date int32

// ParseDate reads "2026-01-31".
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(dateLayout, s)
	if err != nil {
		return 0, fmt.Errorf("%w: date %q is not like 2026-01-31", ErrTariff, clip(s))
	}
	return Date(floorDiv(t.Unix(), secondsPerDay)), nil
}

// String writes "2026-01-31".
func (d Date) String() string { return d.time().Format(dateLayout) }

// MarshalText writes what String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDate does.
func (d *Date) UnmarshalText(text []byte) error {
	parsed, err := ParseDate(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// Year is the calendar year of the day.
func (d Date) Year() int { return d.time().Year() }

// Week is the Monday that the day's week begins with.
func (d Date) Week() Date { return d - Date(d.weekday()) }

func (d Date) time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// weekday is 0 for Monday to 6 for Sunday.
func (d Date) weekday() int {
	w := (int(d) + epochWeekday) % daysPerWeek
	if w < 0 {
		w += daysPerWeek
	}
	return w
}

// Calendar turns instants into service days. Before DayStart after local midnight, an instant belongs to the day before.
type Calendar struct {
	Zone     *time.Location // nil is UTC
	DayStart time.Duration  // from 0 to 12 hours
}

// maxDayStart bounds the hours after midnight that belong to the day before: half a day would be no night.
const maxDayStart = 12 * time.Hour

// ServiceDate gives the service day of an instant: the last one that has begun.
func (c Calendar) ServiceDate(t time.Time) Date {
	into := c.wall(t) - int64(c.DayStart/time.Second)
	d := Date(floorDiv(into, secondsPerDay))
	// Where clocks are put back over the beginning of a day, the day before comes up once more on the wall. It does not begin again.
	if c.Zone != nil && into-int64(d)*secondsPerDay >= secondsPerDay-mostTurned && !t.Before(c.Begins(d+1)) {
		d++
	}
	return d
}

// mostTurned is more than clocks are ever put back by.
const mostTurned = 3 * 60 * 60

// Begins gives the first instant of a service day. Where clocks jump over the time at which days begin, it is the instant of the jump; where they show that
// time twice, the first of the two. Days have 23 or 25 hours then, and every instant belongs to one.
func (c Calendar) Begins(d Date) time.Time {
	want := int64(d)*secondsPerDay + int64(c.DayStart/time.Second)
	if c.Zone == nil {
		return time.Unix(want, 0).UTC()
	}
	// A day earlier by the clock of UTC is before it everywhere.
	at := time.Unix(want-secondsPerDay, 0).In(c.Zone)
	for {
		_, offset := at.Zone()
		_, end := at.ZoneBounds()
		if begin := want - int64(offset); end.IsZero() || begin < end.Unix() {
			return time.Unix(begin, 0).UTC()
		}
		if c.wall(end) >= want {
			return end.UTC()
		}
		at = end
	}
}

// wall gives seconds since 1970-01-01 as clocks on the wall count them.
func (c Calendar) wall(t time.Time) int64 {
	if c.Zone == nil {
		return t.Unix()
	}
	_, offset := t.In(c.Zone).Zone()
	return t.Unix() + int64(offset)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

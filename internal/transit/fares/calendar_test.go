package fares

import (
	"testing"
	"time"
	_ "time/tzdata" // zones for machines without a zone file

	"pgregory.net/rapid"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func date(tb testing.TB, text string) Date {
	tb.Helper()
	d, err := ParseDate(text)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// TestDaysAcrossClockChanges: a service day begins once, where clocks say so, and where they jump over its beginning, with the jump.
func TestDaysAcrossClockChanges(t *testing.T) {
	for _, c := range []struct {
		zone  string
		start time.Duration
		day   string
		begin string // of the day
		hours time.Duration
	}{
		{"Asia/Shanghai", 4 * time.Hour, "2026-03-29", "2026-03-28T20:00:00Z", 24},
		{"Europe/Berlin", 4 * time.Hour, "2026-03-28", "2026-03-28T03:00:00Z", 23},
		{"Europe/Berlin", 4 * time.Hour, "2026-03-29", "2026-03-29T02:00:00Z", 24},
		{"Europe/Berlin", 4 * time.Hour, "2026-10-24", "2026-10-24T02:00:00Z", 25},
		{"Europe/Berlin", 150 * time.Minute, "2026-03-29", "2026-03-29T01:00:00Z", 23}, // 02:30 does not come: with the jump
		{"Europe/Berlin", 150 * time.Minute, "2026-10-25", "2026-10-25T00:30:00Z", 25}, // 02:30 comes twice: the first
		{"Europe/Berlin", 3 * time.Hour, "2026-10-25", "2026-10-25T02:00:00Z", 24},
		{"America/New_York", 4 * time.Hour, "2026-03-07", "2026-03-07T09:00:00Z", 23},
		{"America/New_York", 4 * time.Hour, "2026-10-31", "2026-10-31T08:00:00Z", 25},
		{"Africa/Cairo", 0, "2026-04-24", "2026-04-23T22:00:00Z", 23},                    // midnight does not come
		{"Australia/Lord_Howe", 2 * time.Hour, "2026-04-05", "2026-04-04T15:30:00Z", 24}, // 02:00 comes only after the clocks went back
	} {
		calendar := Calendar{Zone: zone(t, c.zone), DayStart: c.start}
		d := date(t, c.day)
		begin, next := calendar.Begins(d), calendar.Begins(d+1)
		if got := begin.Format(time.RFC3339); got != c.begin {
			t.Errorf("%s, days from %s: %s begins %s, want %s", c.zone, c.start, c.day, got, c.begin)
		}
		// A day that begins with the jump is half an hour longer than one that begins at the hour.
		if long := next.Sub(begin); c.hours != 0 && long.Truncate(time.Hour) != c.hours*time.Hour {
			t.Errorf("%s, days from %s: %s has %s, want %d hours", c.zone, c.start, c.day, long, c.hours)
		}
		for at := begin.Add(-3 * time.Hour); at.Before(next.Add(3 * time.Hour)); at = at.Add(time.Minute) {
			want := d
			switch {
			case at.Before(begin):
				want = d - 1
			case !at.Before(next):
				want = d + 1
			}
			if got := calendar.ServiceDate(at); got != want {
				t.Fatalf("%s, days from %s: %s is of %s, want %s", c.zone, c.start, at, got, want)
			}
		}
	}
}

// TestDaysFollowEachOther: in any zone and for any beginning, an instant is of the day that began last, and no day comes back.
func TestDaysFollowEachOther(t *testing.T) {
	zones := []*time.Location{nil, zone(t, "Asia/Shanghai"), zone(t, "Europe/Berlin"), zone(t, "America/New_York"), zone(t, "Africa/Cairo"),
		zone(t, "Asia/Beirut"), zone(t, "America/Santiago"), zone(t, "Australia/Lord_Howe"), zone(t, "Asia/Kathmandu"), zone(t, "Pacific/Chatham")}
	rapid.Check(t, func(t *rapid.T) {
		c := Calendar{Zone: rapid.SampledFrom(zones).Draw(t, "zone"), DayStart: time.Duration(rapid.IntRange(0, 12*60).Draw(t, "start")) * time.Minute}
		d := Date(rapid.IntRange(20_000, 22_000).Draw(t, "day"))
		begin, next := c.Begins(d), c.Begins(d+1)
		if long := next.Sub(begin); long < 22*time.Hour || long > 26*time.Hour {
			t.Fatalf("%s has %s", d, long)
		}
		at := begin.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(begin))-1).Draw(t, "into")))
		if c.ServiceDate(begin) != d || c.ServiceDate(begin.Add(-1)) != d-1 || c.ServiceDate(at) != d {
			t.Fatalf("%s is of %s; %s begins %s", at, c.ServiceDate(at), d, begin)
		}
	})
}

// TestCapsOnTheNightOfTheChange: the night of 25 hours is one day for the cap, and the timeframe goes by the clock on the wall.
func TestCapsOnTheNightOfTheChange(t *testing.T) {
	berlin := zone(t, "Europe/Berlin")
	book, err := NewBook(Calendar{Zone: berlin, DayStart: 150 * time.Minute}, city(t).tariffs[0])
	if err != nil {
		t.Fatal(err)
	}
	var all []Tap
	// Six rides of 2.00 by bus between 02:35 before and 02:25 after the clocks went back: all of Sunday.
	for i := range 7 {
		at := time.Date(2026, 10, 25, 0, 35, 0, 0, time.UTC).Add(time.Duration(i) * 100 * time.Minute)
		all = append(all, Tap{ID: TapID{"bus", uint64(i)}, At: at, Kind: Single, Service: "bus", Medium: "card", Place: "K"})
	}
	all[1].At = time.Date(2026, 10, 25, 1, 25, 0, 0, time.UTC) // 02:25 the second time
	s, err := book.Rate(Rider{}, all, later)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range s.Journeys {
		if j.Day.String() != "2026-10-25" {
			t.Errorf("%s is of %s", j.Start.At.In(berlin), j.Day)
		}
	}
	if got := s.Total.Minor(); got != 1200 {
		t.Errorf("the day costs %d, its cap is 12.00\n%s", got, show(s))
	}
}

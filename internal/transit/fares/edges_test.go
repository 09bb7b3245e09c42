package fares

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/glossary"
)

// TestEdges: each rule at its edge, on both sides.
func TestEdges(t *testing.T) {
	overtime := city(t, func(s *Spec) { s.Services[3].Overtime = "15.00" })
	fromStart := city(t, func(s *Spec) { s.Transfers[0].AfterExit = false })
	once := city(t, func(s *Spec) { s.Transfers[0].Most = 1 })
	both := city(t, func(s *Spec) {
		early := FareSpec{Timeframe: "early", Both: true, Rows: [][]string{{"1", "1", "3.00"}, {"1", "2", "3.00"}, {"2", "2", "3.00"}}}
		s.Services[3].Fares = slices.Insert(s.Services[3].Fares, 0, early)
	})
	for _, c := range []struct {
		name           string
		book           *Book
		category, taps string
		want           string
	}{
		{"just within the longest journey", city(t), "", "1 08:00 entry metro A\n1 12:00 exit metro C", "metro complete 5.00: table 5.00"},
		{"just beyond it", city(t), "", "1 08:00 entry metro A\n1 12:01 exit metro C", "metro maximum 15.00: no-exit 15.00\nmetro maximum 15.00: no-entry 15.00"},
		{"the last minute of the early hour", city(t), "", "1 06:59 entry metro A\n1 07:30 exit metro C", "metro complete 4.00: table 5.00 timeframe -1.00"},
		{"the early hour is over", city(t), "", "1 07:00 entry metro A\n1 07:30 exit metro C", "metro complete 5.00: table 5.00"},
		{"overtime within the maximum", overtime, "student", "1 08:00 entry suburb S1\n1 10:01 exit suburb S3", "suburb complete 9.50: zone 2.00 overtime 7.50"},
		{"overtime up to the maximum", overtime, "", "1 08:00 entry suburb S1\n1 10:01 exit suburb S3", "suburb complete 20.00: zone 6.00 overtime 14.00"},
		{"a guess is no part of a chain", fromStart, "", "1 08:00 entry metro A\n1 08:40 single bus K\n1 09:00 entry metro C\n1 09:30 exit metro A",
			"metro completed 5.00: completed 0.00 table 5.00\nbus complete 2.00: flat 2.00\nmetro complete 4.00: table 5.00 transfer -1.00"},
		{"one transfer in a chain", once, "", "1 08:00 single bus K\n1 08:10 single bus K\n1 08:20 single bus K",
			"bus complete 2.00: flat 2.00\nbus complete 1.00: flat 2.00 transfer -1.00\nbus complete 2.00: flat 2.00"},
		{"as many transfers as fit", city(t), "", "1 08:00 single bus K\n1 08:10 single bus K\n1 08:20 single bus K",
			"bus complete 2.00: flat 2.00\nbus complete 1.00: flat 2.00 transfer -1.00\nbus complete 1.00: flat 2.00 transfer -1.00"},
		{"the last minute for a transfer", city(t), "", "1 08:00 entry metro A\n1 08:30 exit metro B\n1 10:00 single bus K",
			"metro complete 3.00: table 3.00\nbus complete 1.00: flat 2.00 transfer -1.00"},
		{"a table for the category goes before one for the time", both, "student", "1 06:00 entry suburb S1\n1 06:30 exit suburb S3",
			"suburb complete 1.60: zone 2.00 timeframe -0.40"},
		{"a table for the time", both, "", "1 06:00 entry suburb S1\n1 06:30 exit suburb S3", "suburb complete 3.00: zone 3.00"},
		{"the last minute of a repeat", city(t), "", "1 08:00 entry metro A\n1 08:02 entry metro A\n1 08:30 exit metro B",
			"metro maximum 15.00: no-exit 15.00\nmetro complete 3.00: table 3.00"},
	} {
		s, err := c.book.Rate(Rider{Category: c.category}, taps(t, c.taps), later)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(s); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestRestriction begins with the journey that the tariff names, in its year only.
func TestRestriction(t *testing.T) {
	b := city(t, func(s *Spec) { s.Incomplete.CompleteWithin = "" })
	var text []string
	for day := 1; day <= 7; day++ {
		text = append(text, fmt.Sprintf("%d 08:00 entry metro A", day))
	}
	all := taps(t, strings.Join(text, "\n"))
	for n, want := range []bool{false, false, false, false, false, false, false, true} {
		s, err := b.Rate(Rider{}, all[:n], later)
		if err != nil || s.Restricted != want {
			t.Errorf("%d incomplete journeys: restricted %t, %v", n, s.Restricted, err)
		}
	}
	if s, err := b.Rate(Rider{}, all, time.Date(2027, 1, 2, 12, 0, 0, 0, shanghai)); err != nil || s.Restricted {
		t.Errorf("the next year: restricted, %v", err)
	}
}

// TestACapOfAWeekThatBegan: a new tariff in the middle of a week does not change the week's cap.
func TestACapOfAWeekThatBegan(t *testing.T) {
	s := citySpec(t)
	s.Name, s.From, s.Caps[2].Amount = "city summer", "2026-01-07", "5.00"
	next, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBook(Calendar{Zone: shanghai, DayStart: 4 * time.Hour}, city(t).tariffs[0], next)
	if err != nil {
		t.Fatal(err)
	}
	// Four rides of 2.00 in the week that began under 50.00, four in the next one.
	got, err := b.Rate(Rider{}, taps(t, "1 08:00 single bus K\n2 08:00 single bus K\n3 08:00 single bus K\n4 08:00 single bus K\n"+
		"8 08:00 single bus K\n9 08:00 single bus K\n10 08:00 single bus K\n11 08:00 single bus K"), later)
	if err != nil {
		t.Fatal(err)
	}
	if got.Total.Minor() != 800+500 {
		t.Errorf("%s\n%s", got.Total, show(got))
	}
}

// TestTheTerminus: without a tap off the bus, the last stop of the route counts, and the rider is told so.
func TestTheTerminus(t *testing.T) {
	b := city(t, func(s *Spec) { s.Services[2].Routes[0].Sections = []int{0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 3} })
	for text, want := range map[string]string{"1 08:00 board line 301/out/1": "1–11", "1 08:00 alight line 301/out/7": "0–7"} {
		s, err := b.Rate(Rider{}, taps(t, text), later)
		if err != nil {
			t.Fatal(err)
		}
		if j := s.Journeys[0]; !strings.Contains(j.Steps[0].Text(glossary.English), want) || strings.Contains(text, "board") && j.Amount.Minor() != 400 {
			t.Errorf("%s: %s %s", text, j.Amount, j.Steps[0].Text(glossary.English))
		}
	}
}

// TestTIDESEdges: what costs nothing is not adjusted, and a week's cap is a cap.
func TestTIDESEdges(t *testing.T) {
	b := city(t, func(s *Spec) { s.Caps[2].Amount = "3.00" })
	s, err := b.Rate(Rider{Account: "r"}, taps(t, "1 08:00 single bus K\n1 10:00 single bus K\n1 12:00 entry metro A"), time.Date(2026, 1, 6, 12, 0, 0, 0, shanghai))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteTIDES(&out, nil, s); err != nil {
		t.Fatal(err)
	}
	want := strings.Join(tidesHeader, ",") + `
gate/0,2026-01-05,2026-01-05T00:00:00Z,2.00,CNY,Enter,,,,,gate,,K,1,,,bus,,false,card,
gate/1,2026-01-05,2026-01-05T02:00:00Z,1.00,CNY,Enter,,,,,gate,,K,1,,,bus,,true,card,
gate/2,2026-01-05,2026-01-05T04:00:00Z,0.00,CNY,Enter,,,,,gate,,A,1,,,metro,,false,card,
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if day := s.Of(s.Journeys[0].Day); len(day.Journeys) != 3 || day.Total.Minor() != 300 || s.Of(0).Total.Minor() != 0 {
		t.Errorf("the day: %+v", day)
	}
}

package fares

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func madeBatch(tb testing.TB, made Made) *Batch {
	tb.Helper()
	var file bytes.Buffer
	if err := made.WriteHangzhou(&file); err != nil {
		tb.Fatal(err)
	}
	b := NewBatch()
	if err := ReadHangzhou(&file, nil, "metro", b.Add); err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestBatch: a batch comes to what its riders come to one by one, in the order of their names, and again the same.
func TestBatch(t *testing.T) {
	book := madeBook(t, 80)
	made := Made{Seed: 3, Day: date(t, "2019-01-07"), Riders: 6000, Stations: 80, Missing: 8}
	b := madeBatch(t, made)
	var names []string
	total, journeys, last := int64(0), 0, 0
	sum, err := b.Rate(t.Context(), book, b.Settled(), func(s *Statement) error {
		names, total, journeys = append(names, s.Account), total+s.Total.Minor(), journeys+len(s.Journeys)
		return nil
	}, func(done int) { last = done })
	if err != nil {
		t.Fatal(err)
	}
	if sum.Taps != b.Taps() || sum.Riders != b.Riders() || sum.Riders != len(names) || last != len(names) || sum.Total.Minor() != total || sum.Journeys != journeys {
		t.Errorf("%+v; %d riders, %d journeys, %d", sum, len(names), journeys, total)
	}
	states, fare := 0, sum.Fares.Minor()
	for _, n := range sum.States {
		states += n
	}
	for _, c := range sum.Changes {
		if c.Journeys == 0 {
			t.Errorf("changes %+v", sum.Changes)
		}
		fare += c.Amount.Minor()
	}
	if states != journeys || fare != total || sum.States[Held]+sum.States[Open]+sum.States[Unpriced] != 0 || sum.Changes[ReasonDayCap].Amount.Minor() >= 0 {
		t.Errorf("%d of %d journeys have a state; %d after changes; %+v", states, journeys, fare, sum)
	}
	// 8 of 1000 taps are missing, so about 16 of 1000 journeys lack one.
	if rate := float64(sum.Incomplete) / float64(sum.Journeys); rate < 0.010 || rate > 0.022 {
		t.Errorf("%.4f of the journeys are incomplete", rate)
	}
	again, err := madeBatch(t, made).Rate(t.Context(), book, b.Settled(), nil, nil)
	if err != nil || !reflect.DeepEqual(again, sum) {
		t.Errorf("another run: %+v, %v", again, err)
	}
}

// TestBatchOfSharedNumbers: a single ticket that riders use one after the other is as many riders, without caps or guesses between them.
func TestBatchOfSharedNumbers(t *testing.T) {
	rows := []string{hangzhouHeader,
		"2019-01-07 07:00:00,A,1,100,1,T1,3", "2019-01-07 07:30:00,A,9,101,0,T1,3", "2019-01-07 08:00:00,A,9,101,1,T1,3", // no exit of this one
		"2019-01-07 09:00:00,A,5,102,1,T1,3", "2019-01-07 09:30:00,A,6,103,0,T1,3", "2019-01-07 09:40:00,A,7,103,0,T1,3", // the last without an entry
		"2019-01-07 07:00:00,A,1,100,1,C1,1", "2019-01-07 07:30:00,A,9,101,0,C1,1", "2019-01-07 08:00:00,A,9,101,1,C1,1", "2019-01-07 08:30:00,A,1,101,0,C1,1",
	}
	b := NewBatch()
	if err := ReadHangzhou(strings.NewReader(strings.Join(rows, "\n")), nil, "metro", b.Add); err != nil {
		t.Fatal(err)
	}
	sum, err := b.Rate(t.Context(), madeBook(t, 10), b.Settled(), func(s *Statement) error {
		if user := s.Account[:2]; s.Journeys[0].Start.Medium+s.Journeys[0].End.Medium != user && s.Journeys[0].Start.Medium != user {
			t.Errorf("%s is of %q", s.Account, s.Journeys[0].Start.Medium)
		}
		return nil
	}, nil)
	if err != nil || b.Riders() != 5 || sum.Journeys != 6 || sum.Incomplete != 2 || sum.States[Complete] != 4 {
		t.Errorf("%d riders, %+v, %v", b.Riders(), sum, err)
	}
}

// TestBatchEnds when it is told to, or when nobody takes its statements; a rider with impossible taps stops nothing.
func TestBatchEnds(t *testing.T) {
	book := madeBook(t, 80)
	b := madeBatch(t, Made{Seed: 1, Day: date(t, "2019-01-07"), Riders: 100, Stations: 80})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Rate(ctx, book, b.Settled(), nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("full")
	if _, err := b.Rate(t.Context(), book, b.Settled(), func(*Statement) error { return full }, nil); !errors.Is(err, full) {
		t.Errorf("nobody takes them: %v", err)
	}
	for name, bad := range map[string]Tap{"route": {Medium: "u", Route: "7"}, "stop": {Medium: "u", Stop: 3}, "another medium": {Medium: "v"}} {
		if err := b.Add(Record{User: "u", Tap: bad}); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range maxTaps + 1 {
		if err := b.Add(Record{User: "test card", Tap: Tap{ID: TapID{Device: "1/1"}, At: time.Date(2019, 1, 7, 9, 0, 0, 0, shanghai), Kind: Entry, Service: "metro",
			Medium: "test card", Place: "1"}}); err != nil {
			t.Fatal(err)
		}
	}
	if sum, err := b.Rate(t.Context(), book, b.Settled(), nil, nil); err != nil || sum.Refused != 1 || sum.Journeys == 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}

package metro

import (
	"context"
	"encoding/xml"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func run(t *testing.T, change func(*Options)) *Report {
	t.Helper()
	o := Rough()
	o.Seed, o.Gates, o.Stations, o.Taps, o.Hours, o.Listed = 1, 30, 6, 2000, time.Hour, 100
	change(&o)
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range r.Findings {
		t.Errorf("seed %d: %s", o.Seed, finding)
	}
	return r
}

// TestChangesReachTheGates: 99 of 100 changes within two minutes, removals within five, over a line that loses, alters and repeats.
func TestChangesReachTheGates(t *testing.T) {
	r := run(t, func(o *Options) { o.Bad = 0.05 })
	if r.Adds.Changes == 0 || r.Adds.P99 > 2*time.Minute || r.Removes.Changes == 0 || r.Removes.P99 > 5*time.Minute {
		t.Errorf("adds %+v, removals %+v", r.Adds, r.Removes)
	}
	if r.Altered == 0 || r.Refused == 0 || r.Lost == 0 || r.Stopped == 0 || r.Taps < 1500 {
		t.Errorf("%+v", r)
	}
}

// TestLossIsBounded: what a bad credential costs depends on how many gates it reaches before its entry does; with first rides that wait it costs one fare.
func TestLossIsBounded(t *testing.T) {
	open := run(t, func(o *Options) { o.Bad, o.Pay = 0.05, 0 })
	if open.PerOrdinary > 1.2 || open.PerChaser <= open.PerOrdinary || open.LossMinor != int64(open.BadRides)*1500 {
		t.Errorf("%+v", open)
	}
	waits := run(t, func(o *Options) { o.Bad, o.Pay, o.Wait = 0.05, 0, true })
	if waits.MostRides != 1 || waits.Claims == 0 || waits.Opened < open.Opened*8/10 {
		t.Errorf("%+v", waits)
	}
}

func TestSameSeedSameReport(t *testing.T) {
	small := func(o *Options) { o.Taps, o.Rotate = 800, 10*time.Minute }
	if a, b := run(t, small), run(t, small); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, o := range []Options{{Bad: 2}, {Loss: -1}, {Gates: -1}, {Gates: 3, Stations: 4}, {Hours: time.Second}, {Taps: -5}, {Fare: -1}, {Rotate: -1},
		{Hours: time.Hour, Rotate: 2 * time.Hour}} {
		if _, err := Run(t.Context(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ended, Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTable(t *testing.T) {
	o := Rough()
	o.Seed, o.Gates, o.Stations, o.Taps, o.Hours, o.Listed = 2, 10, 5, 400, 30*time.Minute, 10
	runs := 0
	rows, err := Table(t.Context(), o, []float64{0.1, 0.2}, func(int, int) { runs++ })
	if err != nil || len(rows) != 2 || runs != 4 {
		t.Fatalf("%d rows, %d runs: %v", len(rows), runs, err)
	}
	text, plot := string(Markdown(rows)), SVG(rows)
	if !strings.Contains(text, "| 10.0 % |") || !strings.Contains(text, "| 20.0 % |") {
		t.Error(text)
	}
	if err := xml.Unmarshal(plot, new(struct{})); err != nil {
		t.Errorf("%v\n%s", err, plot)
	}
	if Markdown(nil) == nil || SVG(nil) == nil {
		t.Error("an empty table has no page")
	}
}

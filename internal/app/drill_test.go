package app

import (
	"errors"
	"testing"
)

// TestDrills runs every attack on a phone: each line of each story ends as it must, and says so in both languages.
func TestDrills(t *testing.T) {
	reports, err := Drill(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(reports) != len(Drills()) {
		t.Errorf("%d drills of %d", len(reports), len(Drills()))
	}
	for _, r := range reports {
		if !r.Good() || len(r.Lines) < 4 || r.Title.EN == r.Title.ZH {
			t.Errorf("%s: %q, %d lines, good %t", r.Name, r.Title.EN, len(r.Lines), r.Good())
		}
		for _, l := range r.Lines {
			if !l.OK {
				t.Errorf("%s: %s: %s", r.Name, l.Tried.EN, l.Ended.EN)
			}
			if l.Tried.EN == "" || l.Tried.ZH == "" || l.Ended.EN == "" || l.Ended.ZH == "" || l.Tried.EN == l.Tried.ZH {
				t.Errorf("%s: %+v", r.Name, l)
			}
		}
	}
}

// TestDrillRefused: an attack that nobody knows is refused by its name, and one without a line is not good.
func TestDrillRefused(t *testing.T) {
	if _, err := Drill(t.Context(), "charm", 1); !errors.Is(err, ErrUnknownDrill) {
		t.Error(err)
	}
	for _, r := range []DrillReport{{}, {Lines: []DrillLine{{OK: true}, {}}}} {
		if r.Good() {
			t.Errorf("%+v is good", r)
		}
	}
}

package transit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/gate"
	"tapnet/internal/transit/transittest"
)

// TestAClockBehind: a gate that never reached the office and is hours behind dates an exit before its entry. The counters tell: one ride, at the fare of its
// places, whichever of the two comes in first and however late.
func TestAClockBehind(t *testing.T) {
	for name, test := range map[string]struct {
		entry, exit time.Duration // by which the clock of a, and of c, is wrong
		right       []string      // have reported since with clocks that are right
		before      []string      // had reported so in the morning
		earlier     int           // hours before 20:00 at which the gates hand in what they have
		late        bool
		want        int64
	}{
		"the exit two hours behind":               {exit: -2 * time.Hour, want: 500},
		"the exit behind, the entry's gate known": {exit: -2 * time.Hour, right: []string{"a"}, want: 500},
		"the exit behind, a day late":             {exit: -2 * time.Hour, late: true, want: 500},
		"the entry ahead":                         {entry: 3 * time.Hour, right: []string{"c"}, want: 500},
		"as clocks may differ":                    {entry: 4 * time.Minute, exit: -28 * time.Minute, right: []string{"a", "c"}, want: 500},
		"the entry five hours behind":             {entry: -5 * time.Hour, right: []string{"c"}, want: 500},
		"five hours, and both clocks are right":   {entry: -5 * time.Hour, right: []string{"a", "c"}, want: 3000},
		"the exit five hours ahead":               {exit: 5 * time.Hour, right: []string{"a"}, want: 500},
		"the entry ahead of when it came in":      {entry: 3 * time.Hour, before: []string{"a", "c"}, right: []string{"c"}, earlier: 5, want: 500},
		"a clock that was right in the morning":   {entry: 3 * time.Hour, before: []string{"a", "c"}, right: []string{"c"}, want: 500},
		"the exit a day behind":                   {exit: -24 * time.Hour, want: 3000},
		"a clock that was lost":                   {exit: -56 * 365 * day, want: 1500},
	} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, "aggregate")
			c.at(0, 7, 0)
			c.punctual(test.before...)
			at := c.at(0, 14, 0)
			c.tap(card, "a", gate.In, at.Add(test.entry))
			c.tap(card, "c", gate.Out, at.Add(30*time.Minute+test.exit))
			c.at(0, 20-test.earlier, 0)
			c.punctual(test.right...)
			if test.late {
				c.upload("a")
				c.closeDay(0)
				c.upload("c")
			} else {
				c.upload("c", "a")
				c.closeDay(0)
			}
			for d := 1; d < 7; d++ {
				c.closeDay(d)
			}
			totals := &c.office.state.totals
			if got := totals.Charged - totals.Credited; got != test.want {
				t.Errorf("the ride costs %d", got)
			}
			if n := c.because(ReasonCounter); n != 0 {
				t.Errorf("the rider is taken for two")
			}
			if n := totals.States[TapPending]; n != 0 {
				t.Errorf("%d taps have no final state", n)
			}
			c.sameAfterReplay()
			c.second()
		})
	}
}

// TestWhateverTheClocks: a rider pays the fares of the rides, however wrong the clocks of gates are that never reached the office, and whatever the order of
// uploads.
func TestWhateverTheClocks(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newQuietCity(t, profileNamed(t, "aggregate"))
		c.at(0, 5, 0)
		wrong, right := map[string]time.Duration{}, []string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			if rapid.Bool().Draw(r, name+" reports") {
				right = append(right, name)
				wrong[name] = time.Duration(rapid.IntRange(-4, 4).Draw(r, "minutes")) * time.Minute
			} else {
				wrong[name] = time.Duration(rapid.IntRange(-180, 180).Draw(r, "minutes")) * time.Minute
			}
		}
		card, want := transittest.NewCard(c, 1), int64(0)
		fare := map[string]int64{"ab": 300, "ac": 500, "ad": 700, "bc": 300, "bd": 500, "cd": 300}
		at := time.Date(2026, 11, 23, 8, 0, 0, 0, transittest.Shanghai)
		for range rapid.IntRange(1, 4).Draw(r, "rides") {
			from := rapid.SampledFrom([]string{"ab", "ac", "ad", "bc", "bd", "cd"}).Draw(r, "ride")
			c.tap(card, from[:1], gate.In, at.Add(wrong[from[:1]]))
			c.tap(card, from[1:], gate.Out, at.Add(15*time.Minute+wrong[from[1:]]))
			want = min(1000, want+fare[from])
			at = at.Add(time.Hour)
		}
		c.at(0, 20, 0)
		c.punctual(right...)
		for _, name := range rapid.Permutation([]string{"a", "b", "c", "d"}).Draw(r, "order") {
			if c.devices[name].Left() > 0 {
				c.upload(name)
			}
		}
		for d := range 6 {
			c.closeDay(d)
		}
		totals := &c.office.state.totals
		if got := totals.Charged - totals.Credited; got != want {
			r.Fatalf("charged %d for rides of %d", got, want)
		}
		if n := c.because(ReasonCounter); n != 0 {
			r.Fatal("the rider is taken for two")
		}
		c.sameAfterReplay()
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}

// TestAClockIsSeen: the operator sees which gate's own clock is wrong, as of its last report.
func TestAClockIsSeen(t *testing.T) {
	c, _ := oneRider(t, "aggregate")
	now := c.at(0, 9, 0)
	c.ask(Heard{Health: c.devices["a"].Health(now.Add(-2 * time.Hour))})
	c.punctual("b")
	views, _ := c.ask(ViewDevices{}).([]DeviceView)
	if len(views) != 2 || views[0].Clock != 2*time.Hour || views[1].Clock != 0 {
		t.Errorf("%+v", views)
	}
	if s := c.office.state; s.punctual(0) || !s.punctual(1) {
		t.Error("the wrong clock is taken for right, or the right one for wrong")
	}
}

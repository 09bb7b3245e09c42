package transit

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
)

// punctual lets devices report with clocks that are right.
func (c *city) punctual(devices ...string) {
	c.Helper()
	for _, name := range devices {
		if _, ok := c.ask(Heard{Health: c.devices[name].Health(c.Clock.Now())}).(gate.HealthAnswer); !ok {
			c.Fatalf("the report of %s is refused", name)
		}
	}
}

// because are the rows that say so of a credential.
func (c *city) because(why Reason) (n int) {
	for _, r := range c.Rows() {
		if r.Kind == journal.CardChanged && Reason(r.Reason) == why {
			n++
		}
	}
	return n
}

// TestACopy: a copy that is used at gates where the original was not is noticed by the counter, whichever of the two comes in first. The card is stopped once;
// both rides are charged; after the operator has released it the same taps accuse it no more, and later ones do.
func TestACopy(t *testing.T) {
	for name, order := range map[string][]string{"the copy last": {"a", "c", "b", "d"}, "the copy first": {"b", "d", "a", "c"}, "mixed": {"d", "a", "b", "c"}} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, "aggregate")
			clone := *card
			c.ride(card, "a", "c", c.at(0, 8, 10))
			c.ride(&clone, "b", "d", c.at(0, 9, 10))
			c.at(0, 10, 0)
			for i, gate := range order {
				c.upload(gate)
				if n := c.because(ReasonCounter); i == 3 && n != 1 || n > 0 && i < 1 {
					t.Errorf("after %d uploads stopped %d times", i+1, n)
				}
			}
			c.at(0, 10, 2)
			if got := c.listedAs(card); got != denylist.Counterfeit {
				t.Fatalf("on the list as %v", got)
			}
			c.closeDay(0)
			if c.office.state.totals.Charged != 1000 || c.because(ReasonCounter) != 1 {
				t.Errorf("charged %d, stopped %d times", c.office.state.totals.Charged, c.because(ReasonCounter))
			}
			c.second()
			c.ask(Unblock{Credential: 1})
			c.at(1, 6, 0)
			if got := c.listedAs(card); got != 0 {
				t.Fatalf("released, and on the list as %v", got)
			}
			c.tap(card, "bus", gate.Ride, c.at(1, 7, 0))
			c.upload("bus")
			c.closeDay(1)
			if n := c.because(ReasonCounter); n != 1 {
				t.Errorf("accused again of what was forgiven: %d times", n)
			}
			c.tap(&clone, "bus", gate.Ride, c.at(2, 7, 0))
			c.upload("bus")
			if n := c.because(ReasonCounter); n != 2 {
				t.Errorf("the copy rides on: stopped %d times", n)
			}
			c.sameAfterReplay()
			c.second()
		})
	}
}

// TestACounterThatGoesBack: no counter comes twice, but a later tap has a lower one. It accuses when both clocks are known to be right.
func TestACounterThatGoesBack(t *testing.T) {
	for name, test := range map[string]struct {
		right []string
		apart time.Duration
		want  int
	}{
		"both clocks right":     {[]string{"a", "b"}, time.Hour, 1},
		"one that nobody knows": {[]string{"a"}, time.Hour, 0},
		"nobody knows either":   {nil, time.Hour, 0},
		"as clocks may differ":  {[]string{"a", "b"}, 9 * time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, "aggregate")
			clone := *card
			card.ATC = 100
			at := c.at(0, 8, 10)
			c.tap(card, "a", gate.In, at)
			c.tap(&clone, "b", gate.In, at.Add(test.apart))
			c.at(0, 10, 0)
			c.punctual(test.right...)
			c.upload("b", "a")
			if n := c.because(ReasonCounter); n != test.want {
				t.Errorf("stopped %d times", n)
			}
			c.closeDay(0)
			if n := c.because(ReasonCounter); n != test.want {
				t.Errorf("after the close stopped %d times", n)
			}
			c.sameAfterReplay()
			c.second()
		})
	}
}

// TestNobodyIsAccused: whatever the order of uploads, and however wrong the clocks of devices that nobody compared, one card that rides is never taken for two.
// A copy that showed a counter of the original's is found in every order, and once.
func TestNobodyIsAccused(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newQuietCity(t, profileNamed(t, "aggregate"))
		c.at(0, 5, 0)
		wrong, right := map[string]time.Duration{}, []string{}
		for _, name := range deviceNames {
			switch rapid.IntRange(0, 2).Draw(r, "clock of "+name) {
			case 0:
				right = append(right, name)
				wrong[name] = time.Duration(rapid.IntRange(-5*60, 4*60).Draw(r, "seconds")) * time.Second
			case 1:
				wrong[name] = time.Duration(rapid.IntRange(-4*60, 4).Draw(r, "minutes")) * time.Minute
			}
		}
		card := transittest.NewCard(c, 1)
		clone, copied := *card, rapid.Bool().Draw(r, "copied")
		at := time.Date(2026, 11, 23, 6, 0, 0, 0, transittest.Shanghai)
		both := 0
		for range rapid.IntRange(1, 12).Draw(r, "taps") {
			at = at.Add(time.Duration(rapid.IntRange(1, 50).Draw(r, "minutes later")) * time.Minute)
			device := rapid.SampledFrom(deviceNames).Draw(r, "device")
			who := card
			if copied && rapid.Bool().Draw(r, "the copy") {
				who = &clone
			}
			c.tap(who, device, rapid.SampledFrom([]gate.Direction{gate.In, gate.Out}).Draw(r, "way"), at.Add(wrong[device]))
			both = min(int(card.ATC), int(clone.ATC))
		}
		var chunks []gate.Chunk
		for _, name := range deviceNames {
			for d := c.devices[name]; len(d.Log) > 0 && d.Left() > 0; {
				chunks = append(chunks, d.Chunk(rapid.IntRange(1, 3).Draw(r, "piece")))
			}
		}
		order := rapid.Permutation(twice(len(chunks))).Draw(r, "order")
		late := rapid.IntRange(0, len(order)).Draw(r, "late")
		c.at(0, 20, 0)
		c.punctual(right...)
		for _, i := range order[:late] {
			c.ask(Ingest{Chunk: chunks[i]})
		}
		c.closeDay(0)
		if rapid.Bool().Draw(r, "a new start") {
			c.restart()
		}
		for _, i := range order[late:] {
			c.ask(Ingest{Chunk: chunks[i]})
		}
		c.closeDay(1)
		switch n := c.because(ReasonCounter); {
		case !copied && n != 0:
			r.Fatalf("one card was taken for two, %d times", n)
		case both > 0 && n != 1:
			r.Fatalf("a counter came twice, and the card was stopped %d times", n)
		}
		c.audit()
		c.sameAfterReplay()
		c.second()
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}

// TestACopyAndACrash: an office that starts from any beginning of the journal still stops the copy.
func TestACopyAndACrash(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	clone := *card
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.ride(&clone, "b", "d", c.at(0, 9, 10))
	c.at(0, 10, 0)
	c.upload("a", "c", "b", "d")
	rows := c.Rows()
	last := slices.IndexFunc(rows, func(r journal.Row) bool { return Reason(r.Reason) == ReasonCounter && r.Kind == journal.CardChanged })
	for n := last; n <= len(rows); n++ {
		again := newCity(t, profileNamed(t, "aggregate"))
		again.onto(c, n)
		again.closeDay(0)
		if got := again.because(ReasonCounter); got != 1 {
			t.Errorf("after %d rows stopped %d times", n, got)
		}
		again.sameAfterReplay()
	}
}

// TestATakenBackTapThatComesLast: that a rider did not go through may be known before the tap is. Either way the office is left with the same tap, that costs
// nothing and has spent a counter all the same.
func TestATakenBackTapThatComesLast(t *testing.T) {
	var left [][]tap
	for _, first := range []int{0, 1} {
		c, card := oneRider(t, "aggregate")
		d := c.devices["a"]
		clone := *card
		decision := c.tap(card, "a", gate.In, c.at(0, 8, 0))
		d.NotPassed(decision.Record, c.at(0, 8, 1))
		chunks := []gate.Chunk{d.Chunk(int(decision.Record.Sequence)), d.Chunk(0)}
		for _, i := range []int{first, 1 - first} {
			if _, ok := c.ask(Ingest{Chunk: chunks[i]}).(Ingested); !ok {
				t.Fatal("a chunk is refused")
			}
		}
		c.tap(&clone, "b", gate.In, c.at(0, 9, 0)) // the same counter
		c.upload("b")
		if n := c.because(ReasonCounter); n != 1 {
			t.Errorf("a counter that came again after a tap that was taken back: stopped %d times", n)
		}
		for d := range 6 {
			c.closeDay(d)
		}
		if got := c.office.state.totals.Charged; got != 1500 {
			t.Errorf("charged %d", got)
		}
		taps := slices.Clone(c.office.state.accounts[1].taps)
		slices.SortFunc(taps, func(x, y tap) int { return int(x.clock - y.clock) })
		left = append(left, taps)
		c.second()
		c.sameAfterReplay()
	}
	if !slices.Equal(left[0], left[1]) || len(left[0]) != 2 {
		t.Errorf("left is %+v, and %+v", left[0], left[1])
	}
}

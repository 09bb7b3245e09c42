package fares

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/money"
)

// drawTap draws a tap of two weeks. Instants are seldom equal, but may be.
func drawTap(t *rapid.T, i int) Tap {
	stations := []string{"A", "B", "C", "D"}
	tap := Tap{ID: TapID{"d", uint64(i)}, Medium: rapid.SampledFrom([]string{"card", "phone"}).Draw(t, "medium")}
	day, minute := rapid.IntRange(0, 13).Draw(t, "day"), rapid.IntRange(0, 24*60-1).Draw(t, "minute")
	if rapid.Bool().Draw(t, "busy") {
		// Most taps in a few hours, or journeys would seldom meet.
		day, minute = day%2, 360+minute%360
	}
	tap.At = time.Date(2026, 1, 5+day, 0, minute, 0, 0, shanghai)
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0, 1, 2:
		tap.Kind, tap.Service, tap.Place = Entry, "metro", rapid.SampledFrom(stations).Draw(t, "place")
	case 3, 4:
		tap.Kind, tap.Service, tap.Place = Exit, "metro", rapid.SampledFrom(stations).Draw(t, "place")
	case 5:
		tap.Kind, tap.Service, tap.Place = Single, "bus", "K"
	case 6:
		tap.Kind = rapid.SampledFrom([]Kind{Board, Alight}).Draw(t, "bus")
		tap.Service, tap.Route, tap.Direction, tap.Stop = "line", "301", "out", rapid.IntRange(0, 11).Draw(t, "stop")
	default:
		tap.Kind = rapid.SampledFrom([]Kind{Entry, Exit}).Draw(t, "gate")
		tap.Service, tap.Place = "suburb", rapid.SampledFrom([]string{"S1", "S2", "S3"}).Draw(t, "place")
	}
	return tap
}

func drawTaps(t *rapid.T) []Tap {
	taps := make([]Tap, rapid.IntRange(0, 14).Draw(t, "taps"))
	for i := range taps {
		taps[i] = drawTap(t, i)
	}
	return taps
}

func rate(t *rapid.T, b *Book, category string, taps []Tap) *Statement {
	s, err := b.Rate(Rider{Account: "r", Category: category}, taps, later)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var drawCategory = rapid.SampledFrom([]string{"", "student", "free"})

// TestOrderIndependent: neither the order nor the repetition of taps changes a byte.
func TestOrderIndependent(t *testing.T) {
	b := city(t)
	rapid.Check(t, func(t *rapid.T) {
		taps, category := drawTaps(t), drawCategory.Draw(t, "category")
		shuffled := rapid.Permutation(append(taps, taps...)).Draw(t, "order")
		if a, z := rate(t, b, category, taps), rate(t, b, category, shuffled); show(a) != show(z) || !reflect.DeepEqual(a.Total, z.Total) {
			t.Fatalf("\n%s\n%s", show(a), show(z))
		}
	})
}

// TestAmountsAddUp: steps add up to amounts, amounts to the total, none is negative, every tap ends in exactly one place.
func TestAmountsAddUp(t *testing.T) {
	b := city(t)
	rapid.Check(t, func(t *rapid.T) {
		taps := drawTaps(t)
		s := rate(t, b, drawCategory.Draw(t, "category"), taps)
		total, used := int64(0), len(s.Ignored)+len(s.Inspections)
		for _, j := range s.Journeys {
			sum := int64(0)
			for _, step := range j.Steps {
				sum += step.Amount.Minor()
			}
			if sum != j.Amount.Minor() || sum < 0 {
				t.Fatalf("%s: steps add up to %d, amount %s", j.ID, sum, j.Amount)
			}
			total += sum
			if j.Start.Tapped {
				used++
			}
			if j.End.Tapped && j.End.Tap != j.Start.Tap {
				used++
			}
		}
		if total != s.Total.Minor() || used != len(taps) {
			t.Fatalf("total %s of %d, %d taps of %d\n%s", s.Total, total, used, len(taps), show(s))
		}
	})
}

// TestCaps: no day and no week of a pool costs more than its cap, and nothing costs more than without caps and transfers.
func TestCaps(t *testing.T) {
	b := city(t)
	plain := city(t, func(s *Spec) { s.Caps, s.Transfers = nil, nil })
	rapid.Check(t, func(t *rapid.T) {
		taps, category := drawTaps(t), drawCategory.Draw(t, "category")
		s := rate(t, b, category, taps)
		days, weeks := map[Date]int64{}, map[Date]int64{}
		for _, j := range s.Journeys {
			if j.service != nil && j.service.pool == "city" && j.State != Maximum {
				days[j.Day] += j.Amount.Minor()
				weeks[j.Day.Week()] += j.Amount.Minor()
			}
		}
		limit := int64(1200)
		if category == "student" {
			limit = 600
		}
		for d, sum := range days {
			if sum > limit || weeks[d.Week()] > 5000 {
				t.Fatalf("%s costs %d, its week %d", d, sum, weeks[d.Week()])
			}
		}
		if whole := rate(t, plain, category, taps); whole.Total.Cmp(s.Total) < 0 {
			t.Fatalf("%s with caps, %s without", s.Total, whole.Total)
		}
	})
}

// TestTheCheapestProduct: what a pool costs is what the cheapest of singles with their transfers, day tickets and week tickets would have cost, for each week by
// itself. The tickets are worked out here from the journeys without caps.
func TestTheCheapestProduct(t *testing.T) {
	capped := city(t)
	singles := city(t, func(s *Spec) { s.Caps = nil })
	rapid.Check(t, func(t *rapid.T) {
		taps, category := drawTaps(t), drawCategory.Draw(t, "category")
		dayTicket, weekTicket := int64(1200), int64(5000)
		if category == "student" {
			dayTicket = 600
		}
		days := map[Date]int64{}
		outside := int64(0)
		for _, j := range rate(t, singles, category, taps).Journeys {
			if j.service != nil && j.service.pool == "city" && j.State != Maximum {
				days[j.Day] += j.Amount.Minor()
			} else {
				outside += j.Amount.Minor()
			}
		}
		weeks := map[Date]int64{}
		for d, sum := range days {
			weeks[d.Week()] += min(sum, dayTicket)
		}
		want := outside
		for _, sum := range weeks {
			want += min(sum, weekTicket)
		}
		if got := rate(t, capped, category, taps); got.Total.Minor() != want {
			t.Fatalf("charged %s, the cheapest is %d\n%s", got.Total, want, show(got))
		}
	})
}

// TestAnotherTapNeverLowers: unless the tap completes a journey that was incomplete, the total does not fall. Repeats are off, because the
// first of two taps at one place decides the time of day.
func TestAnotherTapNeverLowers(t *testing.T) {
	books := []*Book{}
	for _, off := range []TransferSpec{{Off: "1.00"}, {Free: true}, {Percent: 50}, {Fee: "0.70"}, {Free: true, Most: 1, From: []string{"metro"}, To: []string{"bus"}},
		{Percent: 30, DifferentRoute: true}} {
		for _, afterExit := range []bool{false, true} {
			off.Name, off.Window, off.AfterExit = "x", "90m", afterExit
			books = append(books, city(t, func(s *Spec) {
				s.Transfers, s.Services[0].Repeat, s.Incomplete.CompleteWithin = []TransferSpec{off}, "", ""
			}))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SampledFrom(books).Draw(t, "book")
		taps, category := drawTaps(t), drawCategory.Draw(t, "category")
		before := rate(t, b, category, taps)
		after := rate(t, b, category, append(taps, drawTap(t, len(taps))))
		if missing(after) >= missing(before) && after.Total.Cmp(before.Total) < 0 {
			t.Fatalf("%s before\n%s\n%s after\n%s", before.Total, show(before), after.Total, show(after))
		}
	})
}

// TestAnotherTapWithGuesses: with completion on, the total falls only if a guess or an incomplete journey changed. Overtime is off: an entry in
// the middle of a journey that was too long shows that it was two.
func TestAnotherTapWithGuesses(t *testing.T) {
	b := city(t, func(s *Spec) { s.Services[0].Repeat, s.Services[3].Overtime, s.Incomplete.CompletePerYear = "", "", 0 })
	rapid.Check(t, func(t *rapid.T) {
		taps, category := drawTaps(t), drawCategory.Draw(t, "category")
		before := rate(t, b, category, taps)
		after := rate(t, b, category, append(taps, drawTap(t, len(taps))))
		if after.Total.Cmp(before.Total) >= 0 {
			return
		}
		ends := map[TapID][2]string{}
		for _, j := range after.Journeys {
			ends[j.ID] = [2]string{j.Start.Place + string(j.State), j.End.Place}
		}
		for _, j := range before.Journeys {
			if j.State.Missing() && ends[j.ID] != [2]string{j.Start.Place + string(j.State), j.End.Place} {
				return
			}
		}
		t.Fatalf("%s before\n%s\n%s after\n%s", before.Total, show(before), after.Total, show(after))
	})
}

func missing(s *Statement) int {
	n := 0
	for _, j := range s.Journeys {
		if j.State.Missing() {
			n++
		}
	}
	return n
}

// TestReplay: the same input gives the same statement, byte for byte.
func TestReplay(t *testing.T) {
	b := city(t)
	rapid.Check(t, func(t *rapid.T) {
		taps := drawTaps(t)
		x, y := rate(t, b, "student", taps), rate(t, b, "student", taps)
		if !reflect.DeepEqual(x, y) {
			t.Fatalf("%+v\n%+v", x, y)
		}
	})
}

// TestChainsAreLeast compares the chains with every way to cut a sequence.
func TestChainsAreLeast(t *testing.T) {
	tariff := city(t).tariffs[0]
	x := &tariff.transfers[0]
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 7).Draw(t, "journeys")
		var c chains
		c.reset()
		at := time.Date(2026, 1, 5, 8, 0, 0, 0, shanghai)
		journeys, fares := []*Journey{}, []int64{}
		for range n {
			at = at.Add(time.Duration(rapid.IntRange(1, 80).Draw(t, "gap")) * time.Minute)
			j := &Journey{Service: "bus", tariff: tariff, Start: Point{At: at, Tapped: true}, End: Point{At: at, Tapped: true}, State: Complete}
			journeys, fares = append(journeys, j), append(fares, int64(rapid.IntRange(0, 500).Draw(t, "fare")))
			c.add(j, fares[len(fares)-1])
		}
		least := int64(money.MaxN12)
		for cuts := range 1 << (n - 1) {
			if cost, ok := cutCost(x, tariff, journeys, fares, cuts); ok {
				least = min(least, cost)
			}
		}
		if c.total() != least {
			t.Fatalf("chains cost %d, the least is %d", c.total(), least)
		}
	})
}

func cutCost(x *transfer, tariff *Tariff, journeys []*Journey, fares []int64, cuts int) (int64, bool) {
	total, first := int64(0), 0
	for i := range journeys {
		if i+1 < len(journeys) && cuts>>i&1 == 0 {
			continue
		}
		top, sum := int64(0), int64(0)
		for k := first; k <= i; k++ {
			if k > first && journeys[k].Start.At.Sub(journeys[first].End.At) > x.window {
				return 0, false
			}
			top, sum = max(top, fares[k]), sum+x.reduced(tariff, fares[k])
		}
		total += sum + top - x.reduced(tariff, top)
		first = i + 1
	}
	return total, true
}

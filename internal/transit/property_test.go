package transit

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/gate"
	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// days of taps, and of closes after which nothing is held or tried any more.
const (
	tapDays   = 3
	closeDays = 7
)

// tapped is one tap of the story.
type tapped struct {
	rider  int
	device string
	way    gate.Direction
	at     time.Time
}

func drawStory(t *rapid.T) []tapped {
	story := make([]tapped, rapid.IntRange(1, 14).Draw(t, "taps"))
	for i := range story {
		minute := rapid.IntRange(6*60, 12*60).Draw(t, "minute")
		s := tapped{rider: rapid.IntRange(0, 2).Draw(t, "rider"), device: rapid.SampledFrom(deviceNames).Draw(t, "device"), way: gate.In}
		s.at = time.Date(2026, 11, 23+rapid.IntRange(0, tapDays-1).Draw(t, "day"), 0, minute, 0, 0, transittest.Shanghai)
		switch {
		case s.device == "bus":
			s.way = gate.Ride
		case rapid.Bool().Draw(t, "out"):
			s.way = gate.Out
		}
		story[i] = s
	}
	return story
}

// tell lets the riders tap in the order of time, and gives the chunks of each device.
func (c *city) tell(story []tapped, piece int) []gate.Chunk {
	cards := []*transittest.Card{transittest.NewCard(c, 1), transittest.NewCard(c, 2), transittest.NewCard(c, 3)}
	cards[0].Reference, cards[1].Reference = "V0010013022298169667504231315", "V0010013022298169667504231315"
	slices.SortStableFunc(story, func(x, y tapped) int { return x.at.Compare(y.at) })
	for i, s := range story {
		c.tap(cards[s.rider], s.device, s.way, s.at.Add(time.Duration(i)*time.Second)) // no two at once: a chip counts them
	}
	var chunks []gate.Chunk
	for _, name := range deviceNames {
		d := c.devices[name]
		for len(d.Log) > 0 && d.Left() > 0 {
			chunks = append(chunks, d.Chunk(piece))
		}
	}
	return chunks
}

// byRider is what fares says of everything the riders of an account tapped.
func (c *city) byRider() (total int64) {
	s := c.office.state
	for _, a := range s.accounts[1:] {
		statement, err := s.deps.Book.Rate(fares.Rider{}, s.fareTaps(a), c.Clock.Now())
		if err != nil {
			c.Fatal(err)
		}
		total += statement.Total.Minor()
	}
	return total
}

// twice is every chunk two times.
func twice(chunks int) (order []int) {
	for i := range chunks {
		order = append(order, i, i)
	}
	return order
}

// TestWhateverTheOrder: the bills add up to what fares says of all the taps, whatever order the chunks come in, how often, and how late; every tap ends in one
// state, and a replay leaves the same state to the last byte.
func TestWhateverTheOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		profile := rapid.SampledFrom(Profiles()).Draw(r, "profile")
		c := newQuietCity(t, profile)
		chunks := c.tell(drawStory(r), rapid.IntRange(1, 4).Draw(r, "piece"))
		order := rapid.Permutation(twice(len(chunks))).Draw(r, "order")
		c.at(0, 20, 0)
		for d := range closeDays {
			part := len(order)
			if d < 4 {
				part = rapid.IntRange(0, len(order)).Draw(r, "until")
			}
			for _, i := range order[:part] {
				if _, ok := c.ask(Ingest{Chunk: chunks[i]}).(Ingested); !ok {
					r.Fatal("a chunk is refused")
				}
			}
			order = order[part:]
			c.at(d, 23, 0)
			c.closeDay(d)
		}
		c.at(closeDays+1, 12, 0)
		totals := &c.office.state.totals
		if want := c.byRider(); totals.Charged-totals.Credited != want {
			r.Fatalf("%d charged, %d given back: fares says %d", totals.Charged, totals.Credited, want)
		}
		if c.bank.Minor != totals.Charged-totals.Credited {
			r.Fatalf("the acquirer owes %d of %d", c.bank.Minor, totals.Charged-totals.Credited)
		}
		if n := totals.States[TapPending]; n != 0 {
			r.Fatalf("%d taps have no final state", n)
		}
		if t.Failed() {
			r.Fatal("the books do not add up")
		}
		c.sameAfterReplay()
	})
}

// sameAfterReplay compares the state with that of an office that only has the journal.
func (c *city) sameAfterReplay() {
	c.Helper()
	for name, store := range map[string]*journal.MemStore{"start from the kept state": c.Store.Reopen(), "replay of every row": c.Prefix(len(c.Rows()))} {
		again := c.newOffice()
		if _, _, err := journal.NewStepper(c.Context(), journal.Config{Machine: again, Store: store, Clock: c.Clock}); err != nil {
			c.Fatal(err)
		}
		if a, b := c.office.Digest(), again.Digest(); !bytes.Equal(a[:], b[:]) {
			c.Errorf("a %s leaves another state", name)
		}
		if err := again.Audit(); err != nil {
			c.Error(err)
		}
		again.state.recount(c)
	}
	c.office.state.recount(c)
	c.samePacked()
}

// samePacked compares the state with what is read of it as it would be kept now.
func (c *city) samePacked() {
	c.Helper()
	p := &packer{hash: sha256.New()}
	c.office.state.pack(p)
	pieces := p.end()
	again := c.newOffice()
	u := &unpacker{more: func() ([]byte, error) {
		if len(pieces) == 0 {
			return nil, errSnapshot
		}
		piece := pieces[0]
		pieces = pieces[1:]
		return piece, nil
	}}
	s, was := again.state, c.office.state
	if s.unpack(u); u.err != nil || len(u.b) != 0 || len(pieces) != 0 {
		c.Fatalf("the packed state is not read: %v, %d octets and %d pieces left", u.err, len(u.b), len(pieces))
	}
	if again.Digest() != c.office.Digest() || !maps.Equal(s.list.stale, was.list.stale) || !slices.Equal(s.list.pending, was.list.pending) ||
		s.list.epoch != was.list.epoch || s.listedOutside != was.listedOutside || !slices.Equal(s.shared.all(), was.shared.all()) {
		c.Error("the packed state is another")
	}
	again.state.recount(c)
}

// recount looks through all bills and journeys for what the tallies say.
func (s *state) recount(t testing.TB) {
	t.Helper()
	want := tallies{debts: map[uint64]bool{}, days: map[fares.Date]*DayView{}}
	for _, b := range s.bills {
		want.bill(b, 1)
	}
	for _, a := range s.accounts[1:] {
		for i := range a.booked {
			want.journey(&a.booked[i], 1)
		}
	}
	for date, d := range s.tallies.days {
		if w := *want.day(date); w != *d {
			t.Errorf("%s: %+v, want %+v", date, *d, w)
		}
	}
	if s.tallies.states != want.states || !maps.Equal(s.tallies.debts, want.debts) || len(want.days) > len(s.tallies.days) {
		t.Errorf("tallies %+v, want %+v", s.tallies, want)
	}
}

// TestRefusalsAtRandom: whatever the acquirer says, money is neither made nor lost, nobody is charged twice, and a card is on the list exactly when it owes.
func TestRefusalsAtRandom(t *testing.T) {
	codes := append(unionpay.ResponseCodes(), "", "", unionpay.Approved, unionpay.Approved, unionpay.InsufficientFunds)
	rapid.Check(t, func(r *rapid.T) {
		c := newQuietCity(t, rapid.SampledFrom(Profiles()).Draw(r, "profile"))
		c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode {
			return rapid.SampledFrom(codes).Draw(r, "answer")
		}
		for _, chunk := range c.tell(drawStory(r), 0) {
			c.ask(Ingest{Chunk: chunk})
		}
		begin, wait := rapid.IntRange(0, 8).Draw(r, "rotation on day"), rapid.IntRange(0, 2).Draw(r, "in force so many days later")
		for d := range 5 {
			if d == begin {
				c.ask(Rotate{})
			}
			if d == begin+wait && c.office.state.keys.next != 0 {
				c.ask(Rotate{Force: true})
			}
			c.at(d, 23, 0)
			c.closeDay(d)
		}
		c.at(30, 12, 0)
		c.audit()
		c.agrees()
		for _, b := range c.bills() {
			switch b.state {
			case Paid, WrittenOff, Stopped, Settled:
			default:
				r.Fatalf("after a month a bill of %d is %q", b.minor, b.state)
			}
		}
		if v := c.keys(); v.Left != 0 || v.Cannot != 0 || v.Missing != 0 {
			r.Fatalf("what cannot be named under the newest key: %+v", v)
		}
		for _, a := range c.office.state.accounts[1:] {
			if ids, _ := c.office.state.difference(a); len(ids) != 0 {
				r.Fatalf("the list does not say what it should of account %d", a.number)
			}
		}
		c.NoSecrets(numbers(t))
		if t.Failed() {
			r.Fatal("see above")
		}
		c.sameAfterReplay()
	})
}

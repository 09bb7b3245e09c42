package transit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/fares"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// charged are the charges of a journal as bytes: of whom, how much, for which journeys, in order.
func (c *city) charged() (all []string) {
	for _, r := range c.Rows() {
		switch r.Kind {
		case journal.Charged, journal.Adjusted, journal.Settled, journal.Expired:
			all = append(all, fmt.Sprintf("%s %d %d %d %d %x", r.Kind, r.Card, r.BusinessDate, r.Amount, r.Reason, r.Note))
		}
	}
	return all
}

// rotations say when a rotation begins, is put in force by force, and is retired: at which chunk of the story, -1 for never; and from which tap on which devices
// use the second key.
type rotations struct {
	begin, force, retire int
	second               map[string]int
}

// tellWith is the story with devices that use the second key from some tap on.
func (c *city) tellWith(story []tapped, piece int, turn *rotations) []gate.Chunk {
	if turn != nil {
		cards := []*transittest.Card{transittest.NewCard(c, 1), transittest.NewCard(c, 2), transittest.NewCard(c, 3)}
		cards[0].Reference, cards[1].Reference = aReference, aReference
		for i, s := range story {
			if from, ok := turn.second[s.device]; ok && from == i {
				c.devices[s.device].Hold(1, 2)
			}
			c.tap(cards[s.rider], s.device, s.way, s.at)
		}
		story = nil
	}
	return c.tell(story, piece)
}

// TestARotationChangesNoCharge: whenever a rotation begins, comes into force and ends, whatever devices use the second key from whatever tap on, and in whatever
// order and how often chunks come in, the charges are byte for byte those of an office that never rotated.
func TestARotationChangesNoCharge(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		profile := rapid.SampledFrom(Profiles()).Draw(r, "profile")
		story, piece := drawStory(r), rapid.IntRange(1, 4).Draw(r, "piece")
		turn := rotations{second: map[string]int{}}
		for _, name := range deviceNames {
			if rapid.Bool().Draw(r, name+" changes") {
				turn.second[name] = rapid.IntRange(0, len(story)-1).Draw(r, name+" from")
			}
		}
		plain, turned := newQuietCity(t, profile), newQuietCity(t, profile)
		chunks := [2][]gate.Chunk{plain.tellWith(story, piece, &rotations{}), turned.tellWith(story, piece, &turn)}
		order := rapid.Permutation(twice(len(chunks[0]))).Draw(r, "order")
		turn.begin = rapid.IntRange(0, len(order)).Draw(r, "begin")
		turn.force = rapid.IntRange(turn.begin, len(order)+1).Draw(r, "force")
		turn.retire = rapid.IntRange(turn.force, len(order)+2).Draw(r, "retire")
		until := make([]int, closeDays)
		for d := range until {
			if until[d] = len(order); d < 4 {
				until[d] = rapid.IntRange(0, len(order)).Draw(r, "until")
			}
		}
		slices.Sort(until)
		for i, c := range []*city{plain, turned} {
			c.at(0, 20, 0)
			at := 0
			for d := range closeDays {
				for ; at < until[d]; at++ {
					c.turn(at, &turn, i == 1)
					if _, ok := c.ask(Ingest{Chunk: chunks[i][order[at]]}).(Ingested); !ok {
						r.Fatal("a chunk is refused")
					}
				}
				c.at(d, 23, 0)
				c.closeDay(d)
			}
			c.turn(len(order), &turn, i == 1)
			c.at(closeDays+1, 12, 0)
		}
		if a, b := plain.charged(), turned.charged(); !slices.Equal(a, b) {
			r.Fatalf("without a rotation\n%q\nwith one\n%q", a, b)
		}
		if plain.bank.Minor != turned.bank.Minor {
			r.Fatalf("paid %d without a rotation, %d with one", plain.bank.Minor, turned.bank.Minor)
		}
		turned.audit()
		turned.agrees()
		if t.Failed() {
			r.Fatal("see above")
		}
		turned.sameAfterReplay()
	})
}

// turn does what is due before a chunk, if the office rotates at all; a second passes in any case.
func (c *city) turn(at int, r *rotations, rotates bool) {
	c.Helper()
	if rotates && at == r.begin {
		c.ask(Rotate{})
	}
	if rotates && at == r.force && c.office.state.keys.next != 0 {
		c.ask(Rotate{Force: true})
	}
	if rotates && at == r.retire && c.office.state.keys.former != 0 {
		c.ask(Retire{Force: true})
	}
	c.wait(time.Second)
}

// keyStory is a rotation with a debtor, an entry from outside and taps in between, with a crash in it.
func keyStory(t *testing.T, die crash) (events int, c *city) {
	c = newQuietCity(t, profileNamed(t, "aggregate"))
	refused := 0
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindSale && m.PAN == transittest.NewCard(t, 1).Number && refused < 4 {
			refused++
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	card, other, lost := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3)
	card.Reference = aReference
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.ride(other, "b", "d", c.at(0, 8, 20))
	c.upload("a", "b", "c", "d")
	c.closeDay(0)
	c.at(1, 6, 0)
	c.die = func() (before, after bool) {
		events++
		return events == die.at && !die.after, events == die.at && die.after
	}
	c.ask(List{Entries: []Outside{listedCard(lost, denylist.Lost, 0), {Kind: denylist.Token, Number: lost.Number, Reason: denylist.Lost}}})
	c.ask(Rotate{})
	c.report("c", "d")
	c.ride(other, "a", "c", c.at(1, 8, 0))
	c.upload("a", "c")
	c.report("a", "b", "c", "d", "bus", "eye")
	for minute := range 3 { // an answer may be lost
		c.at(1, 9, minute)
		c.report("a", "b", "c", "d", "bus", "eye")
	}
	c.at(1, 9, 10)
	c.ride(other, "b", "d", c.at(1, 10, 0))
	c.upload("b", "d")
	c.ask(Publish{})
	for range 2 { // right after a start everything has to be looked at first
		c.ask(Retire{Force: true})
		c.wait(time.Second)
	}
	c.at(1, 10, 30)
	c.die = nil
	return events, c
}

// ends checks that a rotation has come to its end.
func (c *city) ends(what string) {
	c.Helper()
	s := c.office.state
	if s.keys != (epochs{now: 2}) {
		c.Errorf("%s: the keys are %+v", what, s.keys)
	}
	list := c.fetch()
	today := denylist.DayOf(c.Clock.Now())
	ids := transittest.IDsOf(c, 2)
	lost := transittest.NewCard(c, 3)
	for name, id := range map[string]denylist.ID{
		"the debtor": idUnder(c, transittest.NewCard(c, 1), 2), "the debtor's account": ids.PAR(aReference), "the lost card": idUnder(c, lost, 2),
		"the lost token": ids.Token(lost.Number),
	} {
		if _, on := list.Lookup(id.Hash(), today); !on {
			c.Errorf("%s: %s is not on the list", what, name)
		}
	}
	if n := len(list.Entries(today)); n != 4 {
		c.Errorf("%s: %d entries", what, n)
	}
	if n := len(s.credentials) - 1; n != 2 {
		c.Errorf("%s: %d credentials", what, n)
	}
	c.audit()
}

// TestACrashAtEveryEventOfARotation: whenever the office dies, the rotation goes on and ends with the same list.
func TestACrashAtEveryEventOfARotation(t *testing.T) {
	events, whole := keyStory(t, crash{})
	whole.ends("without a crash")
	want := whole.charged()
	for at := 1; at <= events; at++ {
		for _, after := range []bool{false, true} {
			_, c := keyStory(t, crash{at, after})
			c.ends(fmt.Sprintf("event %d, after its commit %t", at, after))
			if got := c.charged(); !slices.Equal(got, want) {
				t.Errorf("event %d, after its commit %t: charges %q, want %q", at, after, got, want)
			}
			c.sameAfterReplay()
		}
	}
	if events < 10 {
		t.Errorf("only %d events", events)
	}
}

// TestACrashAtEveryRowOfARotation: an office that starts from any beginning of the journal goes on with the rotation that is under way by itself, or by a word.
func TestACrashAtEveryRowOfARotation(t *testing.T) {
	_, whole := keyStory(t, crash{})
	for n := range len(whole.Rows()) {
		c := newQuietCity(t, profileNamed(t, "aggregate"))
		c.office = c.newOffice()
		c.Rig = networktest.NewRig(t, c.office, whole.Prefix(n), clock.NewManual(whole.Clock.Now()), terminalDialect)
		before := c.office.state.keys
		c.wait(3 * keysAgain)
		if before.next != 0 {
			c.report(deviceNames...)
			c.report(deviceNames...)
			c.wait(3 * keysAgain)
			if k := c.office.state.keys; k.now != before.next || k.next != 0 {
				t.Errorf("after %d rows: the rotation stays at %+v", n, k)
			}
		}
		if v := c.keys(); before.now == 2 && before.former != 0 && (v.Left != 0 || v.Cannot != 0 || !v.Looked) {
			t.Errorf("after %d rows: %+v", n, v)
		}
		if err := c.office.Audit(); err != nil {
			t.Errorf("after %d rows: %v", n, err)
		}
		day := max(c.office.state.closed, c.deps.Book.ServiceDate(morning)) + fares.Date(1)
		c.Clock.Set(maxTime(c.Clock.Now(), c.office.deps.closingInstant(day)))
		if reply, ok := c.Command(CloseDay{Day: day}).(Closing); !ok {
			t.Errorf("after %d rows the next day is not closed: %v", n, reply)
		}
		c.sameAfterReplay()
	}
}

// TestAKeptStateOfAnEarlierVersion is not read: the journal is, from its beginning, and the next kept state is of this version.
func TestAKeptStateOfAnEarlierVersion(t *testing.T) {
	c := keptCity(t)
	store := c.Store.Reopen()
	epoch, err := store.Claim(t.Context(), "earlier")
	if err != nil {
		t.Fatal(err)
	}
	cell, found, err := store.FindCell(t.Context(), int64(c.office.kept.place)+1)
	if err != nil || !found {
		t.Fatal(found, err)
	}
	var back journal.Back
	to := back.Add(cell.ID, [16]byte{}, cell.Seq)
	to.Data = append([]byte(nil), cell.Data...)
	to.Data[0] = 1
	if err := store.Commit(t.Context(), epoch, nil, &back); err != nil {
		t.Fatal(err)
	}
	again := c.newOffice()
	if err := again.Open(t.Context(), withoutRows{store}, c.office.kept.row); !errors.Is(err, errSnapshot) {
		t.Errorf("without rows to read: %v", err)
	}
	again = c.newOffice()
	if _, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: again, Store: store, Clock: c.Clock}); err != nil {
		t.Fatal(err)
	}
	if again.Digest() != c.office.Digest() || again.kept != c.office.kept {
		t.Error("another state")
	}
	again.saveSoon = true
	back.Reset()
	for range 4 {
		again.WriteBack(&back, 0, 0)
	}
	if n := len(back.Cells); n == 0 || back.Cells[n-1].Data[0] != snapshotVersion || back.Watermark == 0 && n < 2 {
		t.Log("nothing new to keep") // the kept state is already as of the last row
	}
}

// withoutRows is an archive alone.
type withoutRows struct{ journal.Archive }

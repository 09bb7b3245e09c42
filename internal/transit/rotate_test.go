package transit

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

const aReference = "V0010013022298169667504231315"

// report lets devices report and keep what the office answers.
func (c *city) report(devices ...string) {
	c.Helper()
	for _, name := range devices {
		d := c.devices[name]
		answer, ok := c.ask(Heard{Health: d.Health(c.Clock.Now())}).(gate.HealthAnswer)
		if !ok {
			c.Fatalf("report of %s is refused", name)
		}
		d.Take(answer)
	}
}

// fetch gives devices the whole list.
func (c *city) fetch(devices ...string) *denylist.Snapshot {
	c.Helper()
	l := c.baseList()
	for _, name := range devices {
		c.devices[name].Deny(l.Snapshot())
	}
	return l.Snapshot()
}

func (c *city) keys() KeysView {
	c.Helper()
	v, ok := c.ask(ViewKeys{}).(KeysView)
	if !ok {
		c.Fatal("no view of the keys")
	}
	return v
}

// begin begins a rotation.
func (c *city) begin() {
	c.Helper()
	if reply, ok := c.ask(Rotate{}).(KeysView); !ok {
		c.Fatalf("no rotation: %v", reply)
	}
}

// wait lets some time pass.
func (c *city) wait(d time.Duration) {
	to := c.Clock.Now().Add(d)
	for {
		next, ok := c.Clock.NextAt()
		if !ok || next.After(to) {
			break
		}
		c.serve(c.Advance(max(0, next.Sub(c.Clock.Now()))))
	}
	c.serve(c.Advance(to.Sub(c.Clock.Now())))
}

// switched begins a rotation and waits until it is in force.
func (c *city) switched() {
	c.Helper()
	c.begin()
	c.report(deviceNames...) // takes the key
	c.report(deviceNames...) // says so
	c.wait(3 * keysAgain)
	if v := c.keys(); v.Next != 0 || v.Left != 0 {
		c.Fatalf("not in force: %+v", v)
	}
}

func idUnder(t testing.TB, card *transittest.Card, epoch denylist.Epoch) denylist.ID {
	return card.ID(transittest.IDsOf(t, epoch))
}

// same checks that a card is one credential under both keys.
func (c *city) same(card *transittest.Card) int32 {
	c.Helper()
	one, known := c.office.state.known(idUnder(c, card, 1))
	other, also := c.office.state.known(idUnder(c, card, 2))
	if !known || !also || one != other {
		c.Fatalf("under the first key %d, %t, under the second %d, %t", one, known, other, also)
	}
	return one
}

// TestAJourneyAcrossTheSwitch: in under the first key, out under the second, is one journey of one card.
func TestAJourneyAcrossTheSwitch(t *testing.T) {
	for name, between := range map[string]func(c *city){
		"begun":                               func(c *city) { c.begin(); c.report("c") },
		"in force":                            func(c *city) { c.switched() },
		"begun, known late":                   func(c *city) { c.begin(); c.wait(time.Minute); c.report("c") },
		"without a word to the office before": func(c *city) { c.devices["c"].Hold(1, 2) },
	} {
		t.Run(name, func(t *testing.T) {
			c, card := oneRider(t, "aggregate")
			c.tap(card, "a", gate.In, c.at(0, 8, 10))
			c.at(0, 8, 15)
			if name != "begun" {
				c.upload("a")
			}
			between(c)
			c.tap(card, "c", gate.Out, c.Clock.Now().Add(20*time.Minute))
			c.wait(time.Hour)
			c.upload("c")
			if name == "begun" {
				c.upload("a")
			}
			if n := len(c.office.state.credentials) - 1; n != 1 {
				t.Fatalf("%d credentials", n)
			}
			c.closeDay(0)
			c.oneBill(Paid, 500)
			c.agrees()
			c.sameAfterReplay()
		})
	}
}

// TestARotation: rides before, while it runs and after are of one card under both keys; what was tapped before and comes late as well; then the first is forgotten.
func TestARotation(t *testing.T) {
	c := newCity(t, profileNamed(t, "aggregate"))
	card, late, stranger := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3)
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.ride(late, "a", "b", c.at(0, 8, 20))
	c.tap(stranger, "bus", gate.Ride, c.at(0, 8, 30)) // handed in days later
	c.at(0, 9, 0)
	c.upload("a", "c", "b")
	c.report(deviceNames...)
	c.begin()
	if v := c.keys(); v.Next != 2 || len(v.Without) != len(deviceNames) || v.Holding[1] != len(deviceNames) {
		t.Errorf("%+v", v)
	}
	c.report("a", "b", "c", "d", "eye")
	c.report("a", "b", "c", "d", "eye")
	c.wait(10 * keysAgain)
	v := c.keys()
	if v.Next != 2 || !slices.Equal(v.Without, []string{"bus"}) || v.Moved != 2 || v.Left+v.Cannot != 0 || !v.Looked {
		t.Fatalf("a device lacks the key: %+v", v)
	}
	c.ride(card, "b", "d", c.Clock.Now())
	c.wait(time.Hour)
	c.upload("b", "d")
	c.report("bus")
	c.report("bus")
	c.wait(2 * keysAgain)
	if v = c.keys(); v.InForce != 2 || v.Former != 1 || v.Next != 0 || v.Since.IsZero() {
		t.Fatalf("not in force: %+v", v)
	}
	c.fetch(deviceNames...)
	c.ride(card, "a", "c", c.Clock.Now())
	c.wait(time.Hour)
	c.upload("a", "c", "bus")
	c.same(card)
	c.same(late)
	c.same(stranger)
	c.closeDay(0)
	c.audit()
	if n, charged := len(c.office.state.credentials)-1, c.office.state.totals.Charged; n != 3 || charged != 1000+300+200 {
		t.Errorf("%d cards were charged %d", n, charged)
	}
	c.agrees()
	c.sameAfterReplay()
	c.restart()
	c.wait(time.Second)
	c.report(deviceNames...)
	if v, ok := c.ask(Retire{}).(KeysView); !ok || v.Former != 0 {
		t.Errorf("retire: %+v", v)
	}
	c.wait(time.Minute)
	for _, x := range []*transittest.Card{card, late, stranger} {
		if _, known := c.office.state.known(idUnder(t, x, 1)); known {
			t.Error("a card is known under the key that is forgotten")
		}
		if _, known := c.office.state.known(idUnder(t, x, 2)); !known {
			t.Error("a card is forgotten with the key")
		}
	}
	if n := len(c.office.state.credentialBy.by); n != 3 {
		t.Errorf("%d names", n)
	}
	c.sameAfterReplay()
	c.NoSecrets(numbers(t))
}

// TestADebtorStaysListed under the new key, and paying takes the card off it.
func TestADebtorStaysListed(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	card.Reference = aReference
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(1, 5, 2)
	if _, on := c.listed(idUnder(t, card, 1)); !on {
		t.Fatal("not on the list")
	}
	before := c.office.state.list
	c.switched()
	now := c.office.state.list
	if now.sequence <= before.sequence || now.epoch != 2 {
		t.Errorf("after the switch the list is number %d of epoch %d, before number %d", now.sequence, now.epoch, before.sequence)
	}
	s := c.fetch("a", "b")
	today := denylist.DayOf(c.Clock.Now())
	for what, id := range map[string]denylist.ID{"the card": idUnder(t, card, 2), "the account": transittest.IDsOf(t, 2).PAR(aReference)} {
		if e, on := s.Lookup(id.Hash(), today); !on || e.Reason() != denylist.Debt {
			t.Errorf("%s is not on the list of the new epoch", what)
		}
	}
	if _, on := s.Lookup(idUnder(t, card, 1).Hash(), today); on || s.Epoch() != 2 {
		t.Error("the list of the new epoch has a hash of the old")
	}
	if d := c.tap(card, "a", gate.In, c.Clock.Now()); d.Reason() != gate.DeniedDebt {
		t.Errorf("the gate says %s", d.Reason())
	}
	*poor = false
	c.wait(time.Minute)
	c.upload("a") // a recovery because of the tap
	c.wait(3 * time.Minute)
	c.oneBill(Paid, 500)
	if _, on := c.listed(idUnder(t, card, 2)); on || len(c.office.state.list.told) != 0 {
		t.Error("still on the list after paying")
	}
	c.agrees()
	c.sameAfterReplay()
}

// TestGatesFollowTheSwitch: a gate's list takes the deltas of its epoch, then learns that it needs the whole list, which is not older; the chain of deltas goes on.
func TestGatesFollowTheSwitch(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.poor()
	c.fetch("a")
	l := c.baseList()
	c.ridden(card)
	c.closeDay(0)
	c.switched()
	c.ask(Publish{})
	log, err := Deltas(t.Context(), c.Store, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.ApplyLog(strings.NewReader(string(log)), c.deps.trust()); !errors.Is(err, denylist.ErrEpoch) {
		t.Fatalf("deltas across the switch: %v", err)
	}
	kept := l.Snapshot().Position()
	b, _ := c.ask(BuildBase{}).(Base)
	image, err := denylist.BuildBase(b.Entries, b.Info, b.Chain, transittest.Signer)
	if err != nil {
		t.Fatal(err)
	}
	base, err := denylist.OpenBase(image, c.deps.trust())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Replace(base); err != nil {
		t.Errorf("the whole list after number %d: %v", kept.Sequence, err)
	}
	if _, on := l.Snapshot().Lookup(idUnder(t, card, 2).Hash(), 1); !on {
		t.Error("the debtor is not on it")
	}
}

// baseList is the whole list as a gate would take it.
func (c *city) baseList() *denylist.List {
	c.Helper()
	b, ok := c.ask(BuildBase{}).(Base)
	if !ok {
		c.Fatal("no base")
	}
	image, err := denylist.BuildBase(b.Entries, b.Info, b.Chain, transittest.Signer)
	if err != nil {
		c.Fatal(err)
	}
	base, err := denylist.OpenBase(image, c.deps.trust())
	if err != nil {
		c.Fatal(err)
	}
	l, err := denylist.NewList(base, denylist.Position{})
	if err != nil {
		c.Fatal(err)
	}
	return l
}

// TestClaimsUnderEitherKey are of one card, whichever gate asks; an approval is told under both.
func TestClaimsUnderEitherKey(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	claim := func(epoch denylist.Epoch) bool {
		granted, ok := c.ask(Claim{ID: idUnder(t, card, epoch), Epoch: epoch}).(bool)
		return ok && granted
	}
	c.begin()
	c.report("b")
	c.at(0, 8, 0)
	c.bank.Says = func(*unionpay.FinancialRequest) unionpay.ResponseCode { return "" }
	if !claim(1) || claim(1) {
		t.Error("the first claim is granted, and no other before the approval")
	}
	c.tap(card, "a", gate.In, c.at(0, 8, 10))
	c.upload("a")
	if claim(2) {
		t.Error("a claim under the other key is granted as if of another card")
	}
	c.same(card)
	c.bank.Says = nil
	c.at(0, 8, 20) // the verification without an answer was taken back
	c.tap(card, "b", gate.In, c.Clock.Now())
	c.upload("b")
	c.report("a")
	answer, _ := c.ask(Heard{Health: c.devices["a"].Health(c.Clock.Now())}).(gate.HealthAnswer)
	if !slices.Contains(answer.Approved, idUnder(t, card, 1)) || !slices.Contains(answer.Approved, idUnder(t, card, 2)) {
		t.Errorf("approved: %v", answer.Approved)
	}
	if !claim(2) {
		t.Error("after the approval")
	}
	if reply := c.ask(Claim{ID: denylist.ID{1}, Epoch: 9}); reply != false {
		t.Error("a claim under a key that nobody has is granted")
	}
	c.sameAfterReplay()
}

// TestTwoThatAreOne: claims under both keys before anybody could tell, and then a tap that shows it is one card.
func TestTwoThatAreOne(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.begin()
	c.ask(Claim{ID: idUnder(t, card, 1), Epoch: 1})
	c.ask(Claim{ID: idUnder(t, card, 2), Epoch: 2})
	c.devices["c"].Hold(1, 2)
	c.ride(card, "a", "c", c.at(0, 8, 10))
	c.at(0, 9, 0)
	c.upload("c", "a")
	if c.same(card) != 1 || c.office.state.credentials[2].twin != 1 {
		t.Errorf("%+v", c.office.state.credentials[2])
	}
	c.closeDay(0)
	c.oneBill(Paid, 500)
	c.restart()
	c.sameAfterReplay()
	c.agrees()
}

// TestNotPassedUnderEitherKey, before its tap is known and after.
func TestNotPassedUnderEitherKey(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	first := c.tap(card, "bus", gate.Ride, c.at(0, 8, 0))
	c.devices["bus"].NotPassed(first.Record, c.at(0, 8, 1))
	c.begin()
	c.devices["d"].Hold(1, 2)
	second := c.tap(card, "d", gate.In, c.at(0, 8, 10))
	c.upload("d")
	c.devices["d"].NotPassed(second.Record, c.at(0, 8, 11))
	c.upload("d", "bus")
	c.closeDay(0)
	if n := c.office.state.totals.States[TapTakenBack]; n != 2 || len(c.bills()) != 0 {
		t.Errorf("%d taps taken back, %d bills", n, len(c.bills()))
	}
	// A NotPassed whose key is forgotten finds its tap by the device's number.
	third := c.tap(card, "bus", gate.Ride, c.at(1, 8, 0))
	c.upload("bus")
	c.devices["bus"].NotPassed(third.Record, c.at(1, 8, 1))
	c.ask(Rotate{Force: true})
	c.wait(time.Second)
	c.ask(Retire{Force: true})
	c.wait(time.Minute)
	c.upload("bus")
	if n := c.office.state.totals.States[TapTakenBack]; n != 3 {
		t.Errorf("%d taps taken back", n)
	}
	c.sameAfterReplay()
}

// TestWhatCannotBeMoved is counted, does not stand in the way, and is named by the card's next tap. What cannot be opened now does, unless forced.
func TestWhatCannotBeMoved(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(1, 6, 0)
	c.ask(Claim{ID: denylist.ID{1, 2, 3}, Epoch: 1}) // nobody will ever tell whose
	c.box.Locked = true
	c.begin()
	c.report(deviceNames...)
	c.report(deviceNames...)
	c.wait(5 * keysAgain)
	if v := c.keys(); v.Next != 2 || v.Left != 1 || v.Cannot != 1 || v.Moved != 0 || v.Missing != 1 {
		t.Errorf("the security module is locked: %+v", v)
	}
	if reply, ok := c.ask(Rotate{Force: true}).(KeysView); !ok || reply.InForce != 2 {
		t.Fatalf("%+v", reply)
	}
	c.wait(2 * keysAgain)
	s := c.fetch()
	today := denylist.DayOf(c.Clock.Now())
	if _, on := s.Lookup(idUnder(t, card, 2).Hash(), today); on || c.keys().Missing != 1 {
		t.Errorf("%+v", c.keys())
	}
	c.box.Locked = false
	c.wait(3 * keysAgain)
	if v := c.keys(); v.Left != 0 || v.Cannot != 1 || v.Missing != 0 || v.Moved != 1 {
		t.Errorf("opened again: %+v", v)
	}
	if _, on := c.fetch().Lookup(idUnder(t, card, 2).Hash(), today); !on {
		t.Error("the debtor is not on the list")
	}
	*poor = false
	c.at(1, 13, 0)
	c.oneBill(Paid, 500)
	c.sameAfterReplay()
	c.agrees()
}

// TestRefusalsOfKeys say what, why and what to do.
func TestRefusalsOfKeys(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	refused := func(command any, words ...string) {
		t.Helper()
		err, ok := c.ask(command).(error)
		if !ok || !errors.Is(err, ErrRefused) {
			t.Errorf("%+v: %v", command, err)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%+v: %q does not say %q", command, err, w)
			}
		}
	}
	refused(Retire{}, "epoch 1")
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 0))
	c.upload("bus")
	c.fetch("a")
	c.ask(Publish{})
	c.fetch("a")
	c.begin()
	refused(Rotate{}, "epoch 2", "force")
	refused(Retire{})
	c.report("a")
	c.ask(Rotate{Force: true})
	refused(Rotate{}, "retire")
	refused(Retire{Force: true}, "in a moment")
	c.box.Locked = true
	c.wait(time.Second)
	refused(Retire{}, "could not be opened", "force")
	c.box.Locked = false
	c.wait(2 * keysAgain)
	refused(Retire{}, `"a"`, "epoch 1", "force")
	if v, ok := c.ask(Retire{Force: true}).(KeysView); !ok || v.Former != 0 {
		t.Errorf("%+v", v)
	}
	c.deps.Keys.(*transittest.Keys).Locked = true
	refused(Rotate{}, "security module")
	c.deps.Keys.(*transittest.Keys).Locked = false
	c.begin()
	c.ask(Rotate{Force: true})
	for day := 1; day <= 30; day++ { // the calendar forgets it
		c.closeDay(day)
	}
	if v := c.keys(); v.InForce != 3 || v.Former != 0 {
		t.Errorf("%+v", v)
	}
	c.sameAfterReplay()
}

// TestAnAccountAcrossTheSwitch: card and token of one account are one rider, whether the chip or the acquirer's answer told, and the debt is listed for both.
func TestAnAccountAcrossTheSwitch(t *testing.T) {
	for _, chip := range []bool{true, false} {
		c := newCity(t, profileNamed(t, "aggregate"))
		card, token, third := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3)
		if chip {
			card.Reference, token.Reference, third.Reference = aReference, aReference, aReference
		} else {
			c.bank.References = func(*unionpay.FinancialRequest) string { return aReference }
		}
		c.tap(card, "a", gate.In, c.at(0, 8, 10))
		c.upload("a")
		c.switched()
		c.tap(token, "c", gate.Out, c.Clock.Now().Add(20*time.Minute))
		c.wait(time.Hour)
		c.upload("c")
		s := c.office.state
		if a := s.accountOf(1); len(a.credentials) != 2 || a.par == 0 {
			t.Errorf("%d credentials, reference %d, of the chip %t", len(a.credentials), a.par, chip)
		}
		c.poor()
		c.closeDay(0)
		c.wait(time.Hour)
		for _, id := range []denylist.ID{idUnder(t, card, 2), idUnder(t, token, 2), transittest.IDsOf(t, 2).PAR(aReference)} {
			if l, _ := c.listed(id); l.reason != denylist.Debt {
				t.Errorf("not on the list: %v, of the chip %t", l, chip)
			}
		}
		c.ask(Retire{Force: true})
		c.switchTo(3)
		c.tap(third, "d", gate.In, c.Clock.Now())
		c.upload("d")
		if a := s.accountOf(1); len(c.office.state.accountOf(1).credentials) != 3 {
			t.Errorf("after another rotation %d credentials, of the chip %t", len(a.credentials), chip)
		}
		c.sameAfterReplay()
		c.NoSecrets(numbers(t))
		for _, r := range c.Rows() {
			if strings.Contains(string(r.Note), aReference) {
				t.Errorf("row %d has the reference in clear", r.Seq)
			}
		}
	}
}

// switchTo rotates again, by force.
func (c *city) switchTo(epoch denylist.Epoch) {
	c.Helper()
	c.begin()
	c.wait(time.Minute)
	if v, ok := c.ask(Rotate{Force: true}).(KeysView); !ok || v.InForce != epoch {
		c.Fatalf("%+v", v)
	}
	c.wait(2 * keysAgain)
}

func listedCard(card *transittest.Card, reason denylist.Reason, until denylist.Day) Outside {
	return Outside{Kind: denylist.Credential, Number: card.Number, Sequence: "01", Expiry: transittest.Expires, Reason: reason, Until: until}
}

// TestEntriesFromOutside: cards, tokens and accounts that never tapped are on the list, under each key in its time, and off it when that ends.
func TestEntriesFromOutside(t *testing.T) {
	c := newCity(t, profileNamed(t, "aggregate"))
	card, token, account, lent := transittest.NewCard(t, 1), transittest.NewCard(t, 2), transittest.NewCard(t, 3), transittest.NewCard(t, 4)
	account.Reference = aReference
	until := denylist.DayOf(morning) + 3
	entries := []Outside{
		listedCard(card, denylist.Lost, 0), {Kind: denylist.Token, Number: token.Number, Reason: denylist.Stolen},
		{Kind: denylist.PAR, Reference: aReference, Reason: denylist.Operator}, listedCard(lent, denylist.Closed, until),
	}
	if got := c.ask(List{Entries: entries}); got != (Listed{New: 4}) {
		t.Fatalf("%+v", got)
	}
	rows := len(c.Rows())
	if got := c.ask(List{Entries: entries}); got != (Listed{Same: 4}) || len(c.Rows()) != rows {
		t.Errorf("again: %+v", got)
	}
	c.at(0, 8, 5)
	denied := func(when string, epoch denylist.Epoch, cards ...*transittest.Card) {
		t.Helper()
		s := c.fetch("a")
		if s.Epoch() != epoch {
			t.Errorf("%s: the list is of epoch %d", when, s.Epoch())
		}
		for i, x := range []*transittest.Card{card, token, account, lent} {
			d := c.tap(x, "a", gate.In, c.Clock.Now())
			if want := slices.Contains(cards, x); (d.Reason() == gate.DeniedDebt || d.Reason() == gate.DeniedBlocked) != want {
				t.Errorf("%s: card %d: %s", when, i+1, d.Reason())
			}
		}
	}
	denied("listed", 1, card, token, account, lent)
	if granted := c.ask(Claim{ID: idUnder(t, card, 1), Epoch: 1}); granted != false {
		t.Error("a card that is listed from outside is granted a ride")
	}
	c.switched()
	denied("after a rotation", 2, card, token, account, lent)
	c.ask(Retire{Force: true})
	c.switchTo(3)
	c.report("a")
	denied("after two", 3, card, token, account, lent)
	c.sameAfterReplay()
	c.restart()
	if got := c.ask(Unlist{Entries: entries[:2]}); got != (Unlisted{Removed: 2}) {
		t.Errorf("%+v", got)
	}
	if got := c.ask(Unlist{Entries: entries[:2]}); got != (Unlisted{Unknown: 2}) {
		t.Errorf("%+v", got)
	}
	c.wait(2 * time.Minute)
	denied("two ended", 3, account, lent)
	c.at(4, 12, 0)
	denied("the last day is over", 3, account)
	if v := c.ask(ViewList{}).(ListView); v.Outside != 1 || v.Entries != 1 {
		t.Errorf("%+v", v)
	}
	c.sameAfterReplay()
	c.NoSecrets(append(numbers(t), lent.Number))
	for _, r := range c.Rows() {
		if strings.Contains(string(r.Note), aReference) {
			t.Errorf("row %d has the reference in clear", r.Seq)
		}
	}
}

// TestOutsideAndOwn: the stronger of two reasons is told; when it ends, the other is.
func TestOutsideAndOwn(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	poor := c.poor()
	c.ridden(card)
	c.closeDay(0)
	c.at(1, 5, 30)
	reason := func(want denylist.Reason) {
		t.Helper()
		c.wait(2 * time.Minute)
		if l, _ := c.listed(idUnder(t, card, c.office.state.keys.now)); l.reason != want {
			t.Errorf("the list says %q, want %q", l.reason, want)
		}
	}
	reason(denylist.Debt)
	c.ask(List{Entries: []Outside{listedCard(card, denylist.Stolen, 0)}})
	reason(denylist.Stolen)
	c.switched()
	reason(denylist.Stolen)
	c.ask(Unlist{Entries: []Outside{listedCard(card, denylist.Stolen, 0)}})
	reason(denylist.Debt)
	c.ask(List{Entries: []Outside{listedCard(card, denylist.Debt, 1<<15)}})
	reason(denylist.Debt)
	*poor = false
	c.at(2, 12, 0)
	if l, _ := c.listed(idUnder(t, card, 2)); l.until != 1<<15 {
		t.Errorf("after paying the entry from outside stays: %+v", l)
	}
	c.sameAfterReplay()
	c.agrees()
}

// TestEntriesThatAreRefused say which and why, and never whose; none of the others is taken.
func TestEntriesThatAreRefused(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	good := listedCard(card, denylist.Lost, 0)
	for name, change := range map[string]func(e *Outside){
		"no number":                func(e *Outside) { e.Number = pan.Number{} },
		"no expiry":                func(e *Outside) { e.Expiry = pan.Expiry{} },
		"a long sequence":          func(e *Outside) { e.Sequence = "001" },
		"letters":                  func(e *Outside) { e.Sequence = "a1" },
		"no reason":                func(e *Outside) { e.Reason = 0 },
		"no such reason":           func(e *Outside) { e.Reason = 99 },
		"no kind":                  func(e *Outside) { e.Kind = 0 },
		"no such kind":             func(e *Outside) { e.Kind = 9 },
		"a token without a number": func(e *Outside) { *e = Outside{Kind: denylist.Token, Reason: denylist.Lost} },
		"no reference":             func(e *Outside) { *e = Outside{Kind: denylist.PAR, Reason: denylist.Debt} },
		"a long reference": func(e *Outside) {
			*e = Outside{Kind: denylist.PAR, Reason: denylist.Debt, Reference: strings.Repeat("A", 99)}
		},
		"an account that is lost": func(e *Outside) { *e = Outside{Kind: denylist.PAR, Reason: denylist.Lost, Reference: aReference} },
	} {
		bad := good
		change(&bad)
		err, ok := c.ask(List{Entries: []Outside{good, bad}}).(error)
		if !ok || !errors.Is(err, ErrEntry) || !strings.Contains(err.Error(), "entry 2") || strings.Contains(err.Error(), card.Number.Reveal()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err, ok := c.ask(List{Entries: make([]Outside, MaxEntries+1)}).(error); !ok || !errors.Is(err, ErrEntry) {
		t.Errorf("too many: %v", err)
	}
	if len(c.Rows()) != 0 {
		t.Errorf("%d rows", len(c.Rows()))
	}
	if text := good.String(); strings.Contains(text, card.Number.Reveal()) {
		t.Error("an entry shows its number")
	}
}

// TestAPageOfEntries fits a row, whatever is in it.
func TestAPageOfEntries(t *testing.T) {
	c, _ := oneRider(t, "aggregate")
	entries := make([]Outside, MaxEntries)
	for i := range entries {
		entries[i] = Outside{Kind: denylist.PAR, Reference: strings.Repeat("A", maxReference-4) + string(binary.BigEndian.AppendUint32(nil, uint32(i))),
			Reason: denylist.Operator}
	}
	c.begin()
	if got := c.ask(List{Entries: entries}); got != (Listed{New: MaxEntries}) {
		t.Fatalf("%+v", got)
	}
	c.ask(Rotate{Force: true})
	c.wait(2 * time.Minute)
	if v := c.ask(ViewList{}).(ListView); v.Entries != MaxEntries || v.Waiting != 0 {
		t.Errorf("%+v", v)
	}
	if n := len(c.fetch().Entries(1)); n != MaxEntries {
		t.Errorf("%d entries in the whole list", n)
	}
	c.sameAfterReplay()
}

// TestRowsOfKeysThatDoNotFollow are refused: a journal that somebody changed.
func TestRowsOfKeysThatDoNotFollow(t *testing.T) {
	row := func(kind journal.Kind, reason uint16, note ...byte) *journal.Row {
		return &journal.Row{Seq: 1, Kind: kind, Reason: reason, Note: note}
	}
	for name, r := range map[string]*journal.Row{
		"nothing":               row(journal.KeysChanged, keysBegin),
		"two ahead":             row(journal.KeysChanged, keysBegin, 0, 0, 0, 3),
		"the same":              row(journal.KeysChanged, keysBegin, 0, 0, 0, 1),
		"in force out of turn":  row(journal.KeysChanged, keysForce, 0, 0, 0, 2),
		"forgotten out of turn": row(journal.KeysChanged, keysForget, 0, 0, 0, 1),
		"moved out of turn":     row(journal.KeysChanged, keysMoved, 0, 0, 0, 2),
		"moved before any":      row(journal.KeysChanged, keysMoved, 0, 0, 0, 1),
		"no such reason":        row(journal.KeysChanged, 9, 0, 0, 0, 2),
		"no entries":            row(journal.Advised, adviceListed),
		"three epochs":          row(journal.Advised, adviceListed, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3),
		"a cut entry":           row(journal.Advised, adviceListed, 1, 0, 0, 0, 1, 1, 1),
		"a page out of turn":    row(journal.Advised, adviceListed, 1, 0, 0, 0, 1),
		"an unknown mark":       row(journal.Advised, adviceUnlisted, 1),
	} {
		c, _ := oneRider(t, "aggregate")
		if err := c.office.Replay(r); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

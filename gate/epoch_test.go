package gate

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/pan"
	"tapnet/tlv"
)

// keyring is a device's keys in memory, and the office that seals new ones for it.
type keyring struct {
	key    ChainKey
	held   []denylist.Epoch
	fail   error
	offers []denylist.Epoch // what the office would give a device that has not got it
	kept   int
}

func (k *keyring) Epochs() []denylist.Epoch { return k.held }

func (k *keyring) KeepKey(s SealedKey) error {
	if k.fail != nil {
		return k.fail
	}
	opened, err := OpenEpochKey(k.key, "GATE-07", s)
	if err != nil {
		return err
	}
	k.kept++
	if !slices.Contains(k.held, opened.Epoch()) {
		k.held = append(k.held, opened.Epoch())
		slices.Sort(k.held)
		k.held = k.held[max(0, len(k.held)-MaxKeys):]
	}
	return nil
}

// answer is the office's to a health report, with the keys that the device lacks.
func (k *keyring) answer(t testing.TB, now time.Time, body []byte) Answer {
	t.Helper()
	h, err := ParseHealth(k.key, "GATE-07", body)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.Epochs, k.held) {
		t.Fatalf("epochs %v are reported, %v are held", h.Epochs, k.held)
	}
	a := HealthAnswer{Device: "GATE-07", Number: h.Number, Time: now}
	for _, e := range k.offers {
		if !slices.Contains(h.Epochs, e) {
			a.Keys = append(a.Keys, sealedKey(t, k.key, "GATE-07", e))
		}
	}
	return Answer{Fine, EncodeHealthAnswer(k.key, a)}
}

func newKeyCourier(t testing.TB, p *press) (*Courier, *keyring, *shelf) {
	t.Helper()
	ring, s := &keyring{key: p.key, held: []denylist.Epoch{3}}, &shelf{key: p.key}
	u, err := NewCourier(CourierConfig{Device: "GATE-07", Key: p.key, Trust: p.trust, Seed: 5, Keys: ring}, s, s, nil, p.now)
	if err != nil {
		t.Fatal(err)
	}
	return u, ring, s
}

// TestCourierGoesToANewEpoch: the key comes with a report's answer, the base after it; a base that is there before its key leaves the old list in use.
func TestCourierGoesToANewEpoch(t *testing.T) {
	p := newPress(t)
	u, ring, _ := newKeyCourier(t, p)
	bases, reports := 0, 0
	serve := func(ask Ask, a Answer) (Answer, error) {
		switch ask.Kind {
		case AskBase:
			bases++
		case AskHealth:
			reports++
			return ring.answer(t, p.now, ask.Body), nil
		}
		return a, nil
	}
	p.publish()
	p.pass(u, 2*time.Minute, serve)
	p.wantUpToDate(u)
	if u.List().Snapshot().Epoch() != 3 || bases != 1 || ring.kept != 0 {
		t.Fatalf("epoch %d after %d bases", u.List().Snapshot().Epoch(), bases)
	}
	// In time: the key is there when the list changes.
	ring.offers = []denylist.Epoch{3, 4}
	p.pass(u, DefaultHealthEvery+time.Second, serve)
	if !slices.Equal(ring.held, []denylist.Epoch{3, 4}) || u.List().Snapshot().Epoch() != 3 {
		t.Fatalf("%v are held", ring.held)
	}
	p.at.Epoch++
	p.publish()
	p.rebase()
	p.publish()
	p.pass(u, 2*DefaultPollEvery, serve)
	p.wantUpToDate(u)
	// Forced: the list changes, and the office hands out no key yet.
	before := u.List().Snapshot()
	p.at.Epoch++
	p.publish()
	p.rebase()
	bases, reports = 0, 0
	p.pass(u, DefaultPollEvery+DefaultRetry, serve)
	asked := reports
	p.pass(u, time.Minute, serve)
	if bases != 1 || asked == 0 || u.List().Snapshot() != before || u.Health(p.now).Trouble == "" {
		t.Fatalf("%d bases, %d reports, %v: the list in use is of epoch %d", bases, asked, u.Health(p.now).Trouble, u.List().Snapshot().Epoch())
	}
	strange := u.Strange
	ring.offers = []denylist.Epoch{4, 5}
	p.pass(u, DefaultHealthEvery+time.Second, serve)
	p.wantUpToDate(u)
	if bases != 2 || u.Strange != strange {
		t.Fatalf("%d bases, %d refused", bases, u.Strange)
	}
	p.publish()
	p.pass(u, time.Minute, serve)
	p.wantUpToDate(u)
}

// TestCourierReportsAfterABaseWithoutItsKey: at once, also when a report is under way already.
func TestCourierReportsAfterABaseWithoutItsKey(t *testing.T) {
	for _, busy := range []bool{false, true} {
		p := newPress(t)
		u, ring, _ := newKeyCourier(t, p)
		ring.held = []denylist.Epoch{2}
		base, ok := u.Next(p.now)
		if !ok || base.Kind != AskBase {
			t.Fatalf("%v is asked first", base.Kind)
		}
		report := Ask{}
		if busy {
			u.duties[AskHealth].due = p.now
			for report.Kind != AskHealth {
				if report, ok = u.Next(p.now); !ok {
					t.Fatal("no report")
				}
			}
		}
		u.Done(base, p.answer(base), nil, p.now)
		if u.List() != nil {
			t.Fatal("a list is in use that nobody can be found in")
		}
		if busy {
			if due, ok := u.when(AskHealth); ok {
				t.Fatalf("a second report is due at %v", due)
			}
			u.Done(report, ring.answer(t, p.now, report.Body), nil, p.now)
		}
		if due, ok := u.when(AskHealth); !ok || due.After(p.now) {
			t.Fatalf("the next report is due at %v", due)
		}
		if due, ok := u.when(AskBase); !ok || !due.After(p.now.Add(time.Minute)) {
			t.Fatalf("the base is asked again at %v", due)
		}
	}
}

// TestCourierKeysRefused: forged keys, keys of another device, and a place for keys that fails: nothing changes, and the question is asked again.
func TestCourierKeysRefused(t *testing.T) {
	p := newPress(t)
	for name, spoil := range map[string]func(*keyring, *HealthAnswer){
		"altered":        func(_ *keyring, a *HealthAnswer) { a.Keys[0].Sealed[20] ^= 1 },
		"another device": func(k *keyring, a *HealthAnswer) { a.Keys[0] = sealedKey(t, k.key, "GATE-08", 4) },
		"another epoch":  func(_ *keyring, a *HealthAnswer) { a.Keys[0].Epoch = 5 },
		"place fails":    func(k *keyring, _ *HealthAnswer) { k.fail = errors.New("disk") },
		"falling":        func(k *keyring, a *HealthAnswer) { a.Keys = append(a.Keys, sealedKey(t, k.key, "GATE-07", 3)) },
	} {
		u, ring, _ := newKeyCourier(t, p)
		ask := Ask{Kind: AskHealth, Number: 1, At: p.now}
		a := HealthAnswer{Device: "GATE-07", Number: 1, Time: p.now, Keys: []SealedKey{sealedKey(t, p.key, "GATE-07", 4)}}
		spoil(ring, &a)
		u.Done(ask, Answer{Fine, EncodeHealthAnswer(p.key, a)}, nil, p.now)
		if !slices.Equal(ring.held, []denylist.Epoch{3}) || u.Strange != 1 || u.Health(p.now).Trouble == "" {
			t.Errorf("%s: %v are held, %d refused", name, ring.held, u.Strange)
		}
		if due, ok := u.when(AskHealth); !ok || due.After(p.now.Add(time.Second)) {
			t.Errorf("%s: asked again at %v", name, due)
		}
	}
	// A device whose keys never change takes none, and says nothing of epochs.
	s := &shelf{key: p.key}
	u := newCourierOf(t, p, s, nil)
	a := HealthAnswer{Device: "GATE-07", Number: 1, Time: p.now, Keys: []SealedKey{sealedKey(t, p.key, "GATE-07", 4)}}
	u.Done(Ask{Kind: AskHealth, Number: 1, At: p.now}, Answer{Fine, EncodeHealthAnswer(p.key, a)}, nil, p.now)
	if h := u.Health(p.now); h.Epochs != nil || u.Strange != 0 {
		t.Errorf("%v, %d refused", h.Epochs, u.Strange)
	}
}

// rotating is a gate that goes from epoch 3 to epoch 4, and lists of both.
type rotating struct {
	*post
	keys  []denylist.EpochKey
	lists []*denylist.Snapshot
}

func newRotating(t testing.TB, change func(*Config)) *rotating {
	t.Helper()
	r := &rotating{post: newPost(t, change)}
	next, err := denylist.NewEpochKey(4, bytes.Repeat([]byte{8}, 32))
	if err != nil {
		t.Fatal(err)
	}
	r.keys = []denylist.EpochKey{r.key, next}
	for _, k := range r.keys {
		r.lists = append(r.lists, listOf(t, k.Epoch(), nil))
	}
	return r
}

func listOf(t testing.TB, epoch denylist.Epoch, entries []denylist.Entry) *denylist.Snapshot {
	t.Helper()
	p := newPress(t)
	image, err := denylist.BuildBase(entries, denylist.Info{Epoch: epoch, Created: noon, NotAfter: noon.Add(1000 * time.Hour)}, denylist.Digest{}, signer)
	if err != nil {
		t.Fatal(err)
	}
	b, err := denylist.OpenBase(image, p.trust)
	if err != nil {
		t.Fatal(err)
	}
	l, err := denylist.NewList(b, denylist.Position{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Snapshot()
}

// hold gives the gate keys.
func (r *rotating) hold(keys ...denylist.EpochKey) {
	r.Helper()
	ids := make([]Identifier, len(keys))
	for i, k := range keys {
		ids[i] = k
	}
	if err := r.gate.Identifiers(ids); err != nil {
		r.Fatal(err)
	}
}

// rotate is the new key and then the new list.
func (r *rotating) rotate() {
	r.hold(r.keys...)
	r.snapshot = r.lists[1]
}

func TestMemoryAcrossEpochs(t *testing.T) {
	first := func(r *rotating) Decision { d := r.want(r.read(number), OK); r.rotate(); return d }
	t.Run("double tap and pass-back", func(t *testing.T) {
		r := newRotating(t, nil)
		first(r)
		if d := r.want(r.read(number), DoubleTap); d.Record.Epoch != 4 {
			t.Errorf("the record is of epoch %d", d.Record.Epoch)
		}
		r.now = r.now.Add(time.Minute)
		r.want(r.read(number), PassBack)
		out := r.read(number)
		out.Direction = Out
		r.want(out, OK)
		r.want(r.read(number), OK) // in again: the last was out, under the new key
		r.now = r.now.Add(time.Minute)
		r.want(r.read(number), PassBack)
	})
	t.Run("counter", func(t *testing.T) {
		r := newRotating(t, nil)
		played := r.read(number)
		r.want(played, OK)
		r.rotate()
		r.now = r.now.Add(time.Hour)
		if d := r.want(played, CounterBack); !d.Record.Flags.Has(FlagCounter) {
			t.Error("no mark")
		}
	})
	t.Run("too often", func(t *testing.T) {
		r := newRotating(t, func(c *Config) { c.DoubleTap, c.PassBack, c.VelocityLimit = Never, Never, 4 })
		r.want(r.read(number), OK)
		r.want(r.read(number), OK)
		r.rotate()
		r.want(r.read(number), OK)
		r.want(r.read(number), OK)
		if d := r.want(r.read(number), TooOften); !d.Record.Flags.Has(FlagTooOften) {
			t.Error("no mark")
		}
	})
	t.Run("first ride", func(t *testing.T) {
		ride := func(r *rotating) Read { read := r.read(token); withoutODA(&read); return read }
		for i := range 2 { // the approval names the ride's ID, or the one of the list's epoch now
			r := newRotating(t, func(c *Config) { c.DoubleTap, c.PassBack = Never, Never })
			r.want(ride(r), OK)
			r.rotate()
			r.now = r.now.Add(time.Minute)
			r.want(ride(r), FirstRideOpen)
			expiry := expiryOf(r)
			r.gate.Approved(r.keys[i].Credential(r.pan(token), "01", expiry))
			r.want(ride(r), OK)
			r.want(ride(r), FirstRideOpen) // that one is not approved
			r.gate.Approved(r.keys[1-i].Credential(r.pan(token), "01", expiry))
			r.want(ride(r), OK)
		}
	})
	t.Run("taken back", func(t *testing.T) {
		r := newRotating(t, func(c *Config) { c.DoubleTap, c.PassBack = time.Second, time.Hour })
		d := first(r)
		if err := r.gate.NotPassed(d.Record, r.now); err != nil { // under the key that the tap's record names
			t.Fatal(err)
		}
		second := r.want(r.read(number), OK)
		if err := r.gate.NotPassed(second.Record, r.now); err != nil {
			t.Fatal(err)
		}
		r.want(r.read(number), OK)
	})
	t.Run("a key that is gone", func(t *testing.T) {
		r := newRotating(t, nil)
		first(r)
		r.hold(r.keys[1])
		r.want(r.read(number), OK) // a stranger: that is why the former key is held for a while
	})
}

// TestDenyAcrossEpochs: the key of the list's epoch is the one that counts, whichever other the gate holds.
func TestDenyAcrossEpochs(t *testing.T) {
	r := newRotating(t, func(c *Config) { c.DoubleTap, c.PassBack = Never, Never })
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	for i, k := range r.keys {
		for name, e := range map[string]denylist.Entry{
			"credential": r.entry(denylist.Credential, k.Credential(r.pan(number), "01", expiryOf(r)), denylist.Lost),
			"token":      r.entry(denylist.Token, k.Token(r.pan(number)), denylist.Lost),
			"account":    r.entry(denylist.PAR, k.PAR(reference), denylist.Debt),
		} {
			r.hold(r.keys...)
			read := r.read(number)
			read.Card.Set(emv.TagPAR, []byte(reference))
			r.snapshot = listOf(t, k.Epoch(), []denylist.Entry{e})
			want := DeniedBlocked
			if name == "account" {
				want = DeniedDebt
			}
			if d := r.want(read, want); d.Record.Epoch != k.Epoch() || d.Record.Flags.Has(FlagStaleList) {
				t.Errorf("%s under epoch %d: record of epoch %d", name, k.Epoch(), d.Record.Epoch)
			}
			r.snapshot = listOf(t, r.keys[1-i].Epoch(), []denylist.Entry{e}) // another epoch's list says nothing about it
			read = r.read(number)
			read.Card.Set(emv.TagPAR, []byte(reference))
			r.want(read, OK)
		}
	}
}

func expiryOf(r *rotating) (e pan.Expiry) {
	r.Helper()
	read := r.read(number)
	e, ok := read.Outcome.Expiry()
	if !ok {
		r.Fatal("no expiry")
	}
	return e
}

func TestIdentifiersRefused(t *testing.T) {
	r := newRotating(t, nil)
	third := epochKey(t, 5)
	for name, ids := range map[string][]Identifier{
		"none": {}, "three": {r.keys[0], r.keys[1], third}, "falling": {r.keys[1], r.keys[0]}, "twice": {r.keys[0], r.keys[0]},
	} {
		if err := r.gate.Identifiers(ids); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, _, err := Replay(r.config, Ports{IDs: ids, Sealer: r.sealer, Log: r.log}, nil, Head{}, noon); !errors.Is(err, ErrConfig) {
			t.Errorf("replay with %s: %v", name, err)
		}
	}
	r.want(r.read(number), OK)
	ids := []Identifier{r.keys[0], r.keys[1]}
	if err := r.gate.Identifiers(ids); err != nil {
		t.Fatal(err)
	}
	ids[0] = third
	if d := r.want(r.read(token), OK); d.Record.Epoch != 3 {
		t.Error("the gate's keys were changed from outside")
	}
	for i := range 2*maxApproved + 1 { // approvals of cards that never come again
		r.gate.Approved(denylist.ID{byte(i), byte(i >> 8), 1})
	}
	if n := len(r.gate.approved); n == 0 || n > maxApproved {
		t.Errorf("%d approvals are kept", n)
	}
}

// TestRotationChangesNoDecision: a gate that goes to a new key at any moment decides like one that never does, and like one that loses its power on the way.
func TestRotationChangesNoDecision(t *testing.T) {
	change := func(c *Config) { c.VelocityLimit = 4 }
	cards := []string{number, token, "6299980000000000020", "6299980000000000038"}
	rapid.Check(t, func(r *rapid.T) {
		still, moved := newPost(t, change), newRotating(t, change)
		losses, approvals := rapid.Bool().Draw(r, "losses of power"), false
		if !losses { // an approval does not outlast a restart
			approvals = rapid.Bool().Draw(r, "approvals")
		}
		keyAt, listAfter := rapid.IntRange(0, 30).Draw(r, "key at"), rapid.IntRange(0, 10).Draw(r, "list after")
		var ids []Identifier
		for i := range rapid.IntRange(1, 50).Draw(r, "taps") {
			if i == 0 {
				ids = []Identifier{moved.keys[0]}
			}
			if i == keyAt {
				ids = []Identifier{moved.keys[0], moved.keys[1]}
				moved.hold(moved.keys...)
			}
			if i == keyAt+listAfter {
				moved.snapshot = moved.lists[1]
			}
			if losses && rapid.IntRange(0, 4).Draw(r, "loss") == 0 {
				g, _, _, err := Replay(moved.config, Ports{IDs: ids, Sealer: moved.sealer, Log: moved.log}, moved.log.durable, Head{}, moved.now)
				if err != nil {
					r.Fatal(err)
				}
				moved.gate = g
			}
			ahead := time.Duration(rapid.IntRange(0, 500).Draw(r, "seconds")) * time.Second
			still.now, moved.now = still.now.Add(ahead), moved.now.Add(ahead)
			card := rapid.SampledFrom(cards).Draw(r, "card")
			read := still.read(card)
			read.Direction = rapid.SampledFrom([]Direction{In, Out, Ride, Inspect}).Draw(r, "direction")
			if card != number && rapid.Bool().Draw(r, "without authentication") {
				withoutODA(&read)
			} else if rapid.IntRange(0, 3).Draw(r, "old counter") == 0 {
				read.Outcome.Data.Set(emv.TagATC, []byte{0, byte(rapid.IntRange(95, 160).Draw(r, "counter"))})
			}
			want, err := still.gate.Tap(read, still.snapshot, still.now)
			got, again := moved.gate.Tap(read, moved.snapshot, moved.now)
			if err != nil || again != nil || want.Reason() != got.Reason() || want.Record.Flags != got.Record.Flags || want.Open != got.Open {
				r.Fatalf("tap %d of %s: %v %b, without a new key %v %b: %v", i, card, got.Reason(), got.Record.Flags, want.Reason(), want.Record.Flags,
					errors.Join(err, again))
			}
			if want.Open && rapid.IntRange(0, 5).Draw(r, "not passed") == 0 {
				if err := errors.Join(still.gate.NotPassed(want.Record, still.now), moved.gate.NotPassed(got.Record, moved.now)); err != nil {
					r.Fatal(err)
				}
			}
			if approvals && want.Record.Flags.Has(FlagNoODA) && rapid.Bool().Draw(r, "approve") {
				still.gate.Approved(want.Record.ID)
				k := moved.keys[0]
				if len(ids) == 2 {
					k = rapid.SampledFrom(moved.keys).Draw(r, "approved under")
				}
				moved.gate.Approved(k.Credential(moved.pan(card), "01", expiryOf(moved)))
			}
		}
	})
}

func BenchmarkTapUnderTwoKeys(b *testing.B) {
	r := newRotating(b, func(c *Config) { c.DoubleTap, c.PassBack, c.VelocityWindow = Never, Never, Never })
	r.want(r.read(number), OK)
	r.rotate()
	read := r.read(number)
	read.Outcome.Kind = kernel.Approved
	b.ReportAllocs()
	for b.Loop() {
		r.atc++
		read.Outcome.Data.Set(emv.TagATC, []byte{byte(r.atc >> 8), byte(r.atc)})
		if _, err := r.gate.Tap(read, r.snapshot, r.now); err != nil {
			b.Fatal(err)
		}
		r.log.durable = r.log.durable[:0]
	}
}

// TestStoppedBeforeItPaid: a card that the kernel stopped by the list hears what the list says, and no cryptogram is kept of a payment that did not happen.
func TestStoppedBeforeItPaid(t *testing.T) {
	for reason, want := range map[denylist.Reason]Reason{denylist.Debt: DeniedDebt, denylist.Stolen: DeniedBlocked} {
		p := newPost(t, func(c *Config) { c.Purse = true })
		p.deny(p.entry(denylist.Credential, p.id(number), reason))
		r := p.read(number)
		ended(kernel.Declined, kernel.ReasonExceptionFile)(p, &r)
		r.Outcome.Deferred = false
		if d := p.want(r, want); len(d.Record.Sealed) != 0 || !d.Record.Flags.Has(FlagListed) || d.Record.Flags.Has(FlagPurse) {
			t.Errorf("%v: %d bytes are sealed, flags %b", want, len(d.Record.Sealed), d.Record.Flags)
		}
		p.deny() // freed between the kernel's question and the gate's
		r = p.read(number)
		ended(kernel.Declined, kernel.ReasonExceptionFile)(p, &r)
		p.want(r, CardDeclined)
	}
}

// TestWhatTheKernelShows: a gate checks what the kernel found in the records, and the account goes to the back office with the sealed data.
func TestWhatTheKernelShows(t *testing.T) {
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	p := newPost(t, func(c *Config) { c.DoubleTap, c.PassBack = Never, Never })
	read := func(tag tlv.Tag, value []byte) Read {
		r := p.read(number)
		r.Outcome.Discretionary.Set(tag, value)
		return r
	}
	d := p.want(read(emv.TagPAR, []byte(reference)), OK)
	if data, err := emv.ParseData(d.Record.Sealed); err != nil || string(data.Get(emv.TagPAR)) != reference {
		t.Errorf("sealed are %v: %v", data, err)
	}
	twice := read(emv.TagPAR, []byte(reference))
	twice.Outcome.Data.Set(emv.TagPAR, []byte(reference))
	if _, err := emv.ParseData(p.want(twice, OK).Record.Sealed); err != nil {
		t.Error(err)
	}
	p.want(read(emv.TagUsageControl, unhex(t, "0000")), NotForTransit)
	p.want(read(emv.TagEffectiveDate, unhex(t, "261123")), Expired)
	p.deny(p.entry(denylist.PAR, p.key.PAR(reference), denylist.Debt))
	p.want(read(emv.TagPAR, []byte(reference)), DeniedDebt)
}

package validator

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/taplog"
	"tapnet/tlv"
)

func entry(t testing.TB, kind denylist.Kind, id denylist.ID, reason denylist.Reason) denylist.Entry {
	t.Helper()
	e, err := denylist.NewEntry(kind, id, reason, 0)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestRotation: a gate in service goes to a new key and its list: whoever is denied stays denied, whoever passed back is seen, and a start without a line
// has the new key.
func TestRotation(t *testing.T) {
	l := newLane(t, func(o *Options) { o.Gate.PassBack = 30 * time.Minute })
	good, issued := transit(t, false)
	bad, stopped := transit(t, true)
	of := func(k denylist.EpochKey, i *cardtest.Issued) denylist.ID {
		return k.Credential(i.PAN, i.Sequence, i.Expiry)
	}
	l.office.publish(denylist.Add(entry(t, denylist.Credential, of(l.office.epoch, stopped), denylist.Stolen)))
	l.exchange(time.Minute)
	first := l.ride(good, gate.In, gate.OK)
	l.ride(bad, gate.In, gate.DeniedBlocked)
	next := l.office.offer(2)
	l.exchange(2 * time.Minute)
	if !slices.Equal(l.Epochs(), []denylist.Epoch{1, 2}) || !slices.Equal(l.Health().Epochs, []denylist.Epoch{1, 2}) || l.Snapshot().Epoch() != 1 {
		t.Fatalf("%v are held, the list is of epoch %d", l.Epochs(), l.Snapshot().Epoch())
	}
	if r := l.ride(bad, gate.In, gate.DeniedBlocked); r.Record.Epoch != 1 {
		t.Errorf("record of epoch %d", r.Record.Epoch)
	}
	l.office.inForce(2, entry(t, denylist.Credential, of(next, stopped), denylist.Stolen))
	l.exchange(time.Minute)
	if l.Snapshot().Epoch() != 2 {
		t.Fatalf("the list is of epoch %d: %s", l.Snapshot().Epoch(), l.Health().Trouble)
	}
	l.ride(bad, gate.In, gate.DeniedBlocked)
	if r := l.ride(good, gate.In, gate.PassBack); r.Record.Epoch != 2 || r.Record.ID != of(next, issued) || r.Record.ID == first.Record.ID {
		t.Errorf("%+v", r.Record)
	}
	l.office.publish(denylist.Add(entry(t, denylist.Credential, of(next, issued), denylist.Debt)))
	l.exchange(time.Minute)
	l.ride(good, gate.In, gate.DeniedDebt)

	l.options.Line = nil
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.open()
	if !slices.Equal(l.Epochs(), []denylist.Epoch{1, 2}) || l.Refused() != nil {
		t.Fatalf("after a start without a line %v are held: %v", l.Epochs(), l.Refused())
	}
	if r := l.ride(bad, gate.In, gate.DeniedBlocked); r.Record.Epoch != 2 || r.Record.Flags.Has(gate.FlagStaleList) {
		t.Errorf("%+v", r.Record)
	}
	l.ride(good, gate.In, gate.DeniedDebt)
}

// TestLateForTwoRotations: a device that was switched off while the key changed twice keeps the key of its list until it has a newer one.
func TestLateForTwoRotations(t *testing.T) {
	for name, c := range map[string]struct {
		inForce denylist.Epoch
		settled []denylist.Epoch
	}{
		"the second is in force": {3, []denylist.Epoch{2, 3}},
		"the second has begun":   {2, []denylist.Epoch{2, 3}},
	} {
		l := newLane(t, nil)
		bad, stopped := transit(t, false)
		of := func(k denylist.EpochKey) denylist.Entry {
			return entry(t, denylist.Credential, k.Credential(stopped.PAN, stopped.Sequence, stopped.Expiry), denylist.Stolen)
		}
		l.office.publish(denylist.Add(of(l.office.epoch)))
		l.exchange(time.Minute)
		keys := map[denylist.Epoch]denylist.EpochKey{2: l.office.offer(2), 3: l.office.offer(3)}
		l.office.inForce(c.inForce, of(keys[c.inForce]))
		for range 300 { // at no moment does the card pass
			l.exchange(time.Second)
			if l.ride(bad, gate.In, gate.DeniedBlocked).Record.Flags.Has(gate.FlagStaleList) {
				t.Fatalf("%s: the gate cannot use its list: keys %v, list of %d", name, l.Epochs(), l.Snapshot().Epoch())
			}
			if l.Snapshot().Epoch() == c.inForce && slices.Equal(l.Epochs(), c.settled) {
				break
			}
		}
		l.ride(bad, gate.In, gate.DeniedBlocked)
		if l.Snapshot().Epoch() != c.inForce || !slices.Equal(l.Epochs(), c.settled) {
			t.Errorf("%s: list of epoch %d, keys %v", name, l.Snapshot().Epoch(), l.Epochs())
		}
	}
}

// TestKeysThatDoNotFit: a key that was kept and cannot be opened is told and given again; one that is forged is refused.
func TestKeysThatDoNotFit(t *testing.T) {
	l := newLane(t, nil)
	l.office.offer(2)
	l.exchange(2 * time.Minute)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(b []byte){"damaged": func(b []byte) { b[len(b)-1] ^= 1 }, "of no use": func(b []byte) { clear(b) }} {
		b, err := l.options.Lists.Read("deny-keys")
		if err != nil {
			t.Fatal(err)
		}
		spoil(b)
		if err := taplog.Replace(l.options.Lists, "deny-keys", b); err != nil {
			t.Fatal(err)
		}
		l.open()
		if l.Refused() == nil || !slices.Equal(l.Epochs(), []denylist.Epoch{1}) {
			t.Errorf("%s: %v are held: %v", name, l.Epochs(), l.Refused())
		}
		l.exchange(2 * time.Minute)
		if !slices.Equal(l.Epochs(), []denylist.Epoch{1, 2}) {
			t.Errorf("%s: %v are held then", name, l.Epochs())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	l.open()
	for name, bad := range map[string]gate.SealedKey{"forged": {Epoch: 3, Sealed: make([]byte, 60)}, "empty": {Epoch: 3}} {
		if err := l.keys.KeepKey(bad); !errors.Is(err, gate.ErrForged) || !slices.Equal(l.Epochs(), []denylist.Epoch{1, 2}) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other, err := gate.NewChainKey(bytes.Repeat([]byte{9}, 32)) // the device has got another key of its own
	if err != nil {
		t.Fatal(err)
	}
	l.options.Gate.ChainKey, l.options.Taps = other, disk(t)
	l.open()
	if !errors.Is(l.Refused(), gate.ErrForged) || !slices.Equal(l.Epochs(), []denylist.Epoch{1}) {
		t.Errorf("%v are held: %v", l.Epochs(), l.Refused())
	}
}

// TestStoppedPurse: whichever way the list names a card, it is refused before it pays, under the key of the list that is in use.
func TestStoppedPurse(t *testing.T) {
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	show := func(image *card.Image) { // in the issuer's record, which no signature covers
		r := &image.Applications[0].Records[0]
		r.Body = tlv.Append(bytes.Clone(r.Body), emv.TagPAR, []byte(reference))
	}
	left := func(c *card.Card) int64 { return c.State().Applications[0].Purses[0].Balance }
	for name, c := range map[string]struct {
		kind   denylist.Kind
		reason denylist.Reason
		id     func(denylist.EpochKey, *cardtest.Issued) denylist.ID
		want   gate.Reason
	}{
		"credential": {denylist.Credential, denylist.Stolen, func(k denylist.EpochKey, i *cardtest.Issued) denylist.ID {
			return k.Credential(i.PAN, i.Sequence, i.Expiry)
		}, gate.DeniedBlocked},
		"debt": {denylist.Credential, denylist.Debt, func(k denylist.EpochKey, i *cardtest.Issued) denylist.ID {
			return k.Credential(i.PAN, i.Sequence, i.Expiry)
		}, gate.DeniedDebt},
		"account": {denylist.PAR, denylist.Debt, func(k denylist.EpochKey, _ *cardtest.Issued) denylist.ID { return k.PAR(reference) }, gate.DeniedDebt},
		"token":   {denylist.Token, denylist.Lost, func(k denylist.EpochKey, i *cardtest.Issued) denylist.ID { return k.Token(i.PAN) }, gate.DeniedBlocked},
	} {
		l := newLane(t, func(o *Options) { o.Purse = true })
		chip, issued := cardtest.New(t, cardtest.Options{Balance: 5000, Change: show})
		l.exchange(time.Minute)
		l.ride(chip, gate.In, gate.OK)
		first, next := l.office.epoch, l.office.offer(2)
		l.office.publish(denylist.Add(entry(t, c.kind, c.id(next, issued), c.reason))) // of a key that this list is not of
		l.exchange(2 * time.Minute)
		l.ride(chip, gate.In, gate.OK)
		l.office.publish(denylist.Add(entry(t, c.kind, c.id(first, issued), c.reason)))
		l.exchange(time.Minute)
		if r := l.ride(chip, gate.In, c.want); left(chip) != 3600 || r.Record.Flags.Has(gate.FlagPurse) || len(r.Record.Sealed) != 0 {
			t.Errorf("%s: %d left, %+v", name, left(chip), r.Record)
		}
		l.office.inForce(2, entry(t, c.kind, c.id(next, issued), c.reason))
		l.exchange(time.Minute)
		if r := l.ride(chip, gate.In, c.want); left(chip) != 3600 || r.Record.Epoch != 2 {
			t.Errorf("%s under the new key: %d left, %+v", name, left(chip), r.Record)
		}
		removed, err := denylist.Remove(c.id(next, issued), denylist.Paid)
		if err != nil {
			t.Fatal(err)
		}
		l.office.publish(removed, denylist.Add(entry(t, c.kind, c.id(first, issued), c.reason)))
		l.exchange(2 * time.Minute)
		if r := l.ride(chip, gate.Out, gate.OK); left(chip) != 2900 || r.Record.Flags.Has(gate.FlagListed) {
			t.Errorf("%s of the former key: %d left, %+v", name, left(chip), r.Record)
		}
		l.office.publish(denylist.Add(entry(t, c.kind, c.id(next, issued), c.reason)))
		l.exchange(time.Minute)
		if r := l.ride(chip, gate.Out, gate.OK); left(chip) != 2200 || !r.Record.Flags.Has(gate.FlagListed) { // whoever is inside pays and gets out
			t.Errorf("%s, on the way out: %d left, %+v", name, left(chip), r.Record)
		}
		l.options.Gate.ShutIn = true
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l.open()
		if l.ride(chip, gate.Out, c.want); left(chip) != 2200 {
			t.Errorf("%s, shut in: %d left", name, left(chip))
		}
	}
}

// TestAccountOnTheLastRecord: a card that shows its account with the record that makes it pay is refused by the gate, and its payment is kept to be given back.
func TestAccountOnTheLastRecord(t *testing.T) {
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	l := newLane(t, func(o *Options) { o.Purse = true })
	chip, _ := cardtest.New(t, cardtest.Options{Balance: 2000, Change: func(image *card.Image) {
		records := image.Applications[0].Records
		r := &records[len(records)-1]
		r.Body = tlv.Append(bytes.Clone(r.Body), emv.TagPAR, []byte(reference))
	}})
	l.office.publish(denylist.Add(entry(t, denylist.PAR, l.office.epoch.PAR(reference), denylist.Debt)))
	l.exchange(time.Minute)
	r := l.ride(chip, gate.In, gate.DeniedDebt)
	plain, err := l.seal.Open(r.Record.Sealed, r.Record.Additional())
	if err != nil || !r.Record.Flags.Has(gate.FlagPurse) || r.Open || r.Record.Amount != 700 || purseOf(chip) != 1300 {
		t.Fatalf("%+v, %d left, %v", r.Record, purseOf(chip), err)
	}
	for _, tag := range []tlv.Tag{emv.TagPAN, emv.TagExpiryDate, emv.TagAC, emv.TagCID, emv.TagATC, emv.TagAmount, emv.TagECAuthCode} { // of an upload
		if _, found := tlv.Find(plain, tag); !found {
			t.Errorf("%v is not kept", tag)
		}
	}
}

// TestZone: the card's last day and the deny list's days are those of the operator's zone.
func TestZone(t *testing.T) {
	west := time.FixedZone("west", -13*3600)
	for _, c := range []struct {
		zone *time.Location
		want gate.Reason
	}{{nil, gate.OK}, {west, gate.DeniedBlocked}} {
		l := newLane(t, func(o *Options) { o.Zone = c.zone })
		chip, issued := transit(t, false)
		today := denylist.DayOf(l.clock.Now().In(west)) // over there it is still the day before
		e, err := denylist.NewEntry(denylist.Credential, l.office.epoch.Credential(issued.PAN, issued.Sequence, issued.Expiry), denylist.Stolen, today)
		if err != nil {
			t.Fatal(err)
		}
		l.office.publish(denylist.Add(e))
		l.exchange(time.Minute)
		l.ride(chip, gate.In, c.want)
	}
	p, err := LoadProvision(disk(t), device, rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	o := Options{}
	if p.Zone = "Mars/Olympus"; p.Fill(&o, rand.NewChaCha8([32]byte{})) == nil {
		t.Error("a zone that is none is taken")
	}
}

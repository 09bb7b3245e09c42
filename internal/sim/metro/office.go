package metro

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

// Office is a back office as the gates see it.
type Office interface {
	// Answer takes a question of a device. The answer may be lost on its way; the same question may come again.
	Answer(device string, ask gate.Ask, now time.Time) gate.Answer
	// Claim asks for a first ride.
	Claim(device string, id denylist.ID, now time.Time) bool
}

// desk is the back office of the simulation: it verifies what it sees for the first time, and publishes what came of it.
type desk struct {
	city    *city
	keys    map[string]gate.ChainKey
	heads   map[string]gate.Head
	known   map[denylist.ID]*file
	waiting []denylist.Change
	signer  ed25519.PrivateKey
	trust   denylist.Trust
	base    []byte
	deltas  [][]byte
	at      denylist.Position
	random  *rand.Rand
	changes map[uint64]*spreading // by hash, the latest
	// published are the changes of each delta.
	published [][]*spreading
	failed    error
}

// file is what the desk knows of a credential.
type file struct {
	seen     bool
	claimed  bool
	approved bool
	denied   bool
}

// spreading follows one change from the decision to every gate.
type spreading struct {
	decided  time.Time
	sequence uint64
	removal  bool
}

func newDesk(c *city, random *rand.Rand) (*desk, error) {
	d := &desk{city: c, keys: map[string]gate.ChainKey{}, heads: map[string]gate.Head{}, known: map[denylist.ID]*file{},
		signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), random: random, changes: map[uint64]*spreading{},
		at: denylist.Position{Epoch: 1}}
	var err error
	if d.trust, err = denylist.NewTrust(d.signer.Public().(ed25519.PublicKey)); err != nil {
		return nil, err
	}
	entries := make([]denylist.Entry, c.options.Listed)
	for i := range entries {
		var id denylist.ID
		for k := range 8 {
			id[k] = byte(random.Uint32())
		}
		if entries[i], err = denylist.NewEntry(denylist.Credential, id, denylist.Debt, 0); err != nil {
			return nil, err
		}
	}
	d.base, err = denylist.BuildBase(entries, d.info(c.start), denylist.Digest{}, d.signer)
	return d, err
}

func (d *desk) info(now time.Time) denylist.Info {
	return denylist.Info{Epoch: 1, Sequence: d.at.Sequence, Created: now, NotAfter: now.Add(time.Hour)}
}

// Answer implements Office.
func (d *desk) Answer(device string, ask gate.Ask, now time.Time) gate.Answer {
	switch ask.Kind {
	case gate.AskBase:
		return gate.Answer{Status: gate.Fine, Body: d.base}
	case gate.AskDeltas:
		if ask.After > uint64(len(d.deltas)) {
			return gate.Answer{Status: gate.Gone}
		}
		return gate.Answer{Status: gate.Fine, Body: bytes.Join(d.deltas[ask.After:], nil)}
	case gate.AskHealth:
		h, err := gate.ParseHealth(d.keys[device], device, ask.Body)
		if err != nil {
			return gate.Answer{Status: gate.Refused}
		}
		return gate.Answer{Status: gate.Fine,
			Body: gate.EncodeHealthAnswer(d.keys[device], gate.HealthAnswer{Device: device, Number: h.Number, Time: now})}
	case gate.AskChunk:
		return d.chunk(device, ask.Body, now)
	}
	return gate.Answer{Status: gate.Refused}
}

func (d *desk) chunk(device string, body []byte, now time.Time) gate.Answer {
	c, err := gate.ParseChunk(body)
	if err != nil || c.Device != device {
		return gate.Answer{Status: gate.Refused}
	}
	before := d.heads[device]
	var fresh []gate.Record
	head, err := c.Verify(d.keys[device], func(r gate.Record) {
		if r.Sequence > before.Sequence && r.Kind == gate.TapRecord && r.Reason == gate.OK {
			fresh = append(fresh, r)
		}
	})
	switch {
	case err != nil:
		return gate.Answer{Status: gate.Refused}
	case c.First > before.Sequence+1:
		return d.receipt(device, gate.Conflict)
	}
	for i := range fresh {
		d.tapped(&fresh[i], now)
	}
	if head.Sequence > before.Sequence {
		d.heads[device] = head
	}
	return d.receipt(device, gate.Fine)
}

func (d *desk) receipt(device string, status gate.Status) gate.Answer {
	head := d.heads[device]
	return gate.Answer{Status: status,
		Body: gate.EncodeReceipt(d.keys[device], gate.Receipt{Device: device, Sequence: head.Sequence, Link: head.Link})}
}

func (d *desk) file(id denylist.ID) *file {
	f := d.known[id]
	if f == nil {
		f = &file{}
		d.known[id] = f
	}
	return f
}

// tapped asks the issuer about a credential that was not seen before.
func (d *desk) tapped(r *gate.Record, now time.Time) {
	f := d.file(r.ID)
	if f.seen {
		return
	}
	f.seen = true
	id := r.ID
	d.city.plan(now.Add(d.authorization()), func(now time.Time) { d.decide(id, now) })
}

func (d *desk) authorization() time.Duration {
	o := &d.city.options
	return o.Authorization/2 + time.Duration(d.random.Int64N(int64(o.Authorization)+1))
}

// decide is the issuer's answer.
func (d *desk) decide(id denylist.ID, now time.Time) {
	f := d.file(id)
	if !d.city.isBad(id) {
		f.approved = true
		return
	}
	f.denied = true
	e, err := denylist.NewEntry(denylist.Credential, id, denylist.Debt, 0)
	if err != nil {
		d.failed = err
		return
	}
	d.change(denylist.Add(e), id.Hash(), now, false)
	if d.random.Float64() < d.city.options.Pay { // some pay, and want to ride again at once
		d.city.plan(now.Add(payAfter+time.Duration(d.random.Int64N(int64(payAfter)))), func(now time.Time) {
			removal, err := denylist.Remove(id, denylist.Paid)
			if err != nil {
				d.failed = err
				return
			}
			d.city.pays(id)
			d.change(removal, id.Hash(), now, true)
		})
	}
}

// payAfter is about how long somebody who is stopped takes to pay.
const payAfter = 10 * time.Minute

func (d *desk) change(c denylist.Change, hash uint64, now time.Time, removal bool) {
	d.waiting = append(d.waiting, c)
	d.changes[hash] = &spreading{decided: now, removal: removal}
}

// publish makes a delta of what waits, every while, even of nothing: a gate sees that its list is young.
func (d *desk) publish(now time.Time) {
	info := d.info(now)
	info.Sequence++
	changes := d.unique()
	var published []*spreading
	for _, c := range changes {
		s := d.changes[c.Entry().Hash()]
		s.sequence = info.Sequence
		published = append(published, s)
	}
	b, err := denylist.BuildDelta(changes, info, d.at.Digest, d.signer)
	if err != nil {
		d.failed = fmt.Errorf("publish: %w", err)
		return
	}
	opened, err := denylist.OpenDelta(b, d.trust)
	if err != nil {
		d.failed = fmt.Errorf("publish: %w", err)
		return
	}
	d.deltas, d.published = append(d.deltas, b), append(d.published, published)
	d.at = denylist.Position{Sequence: info.Sequence, Digest: opened.Digest(), Epoch: 1}
	d.waiting = d.waiting[:0]
	d.city.plan(now.Add(d.city.options.Publish), d.publish)
}

// unique is what waits, the last change of each hash.
func (d *desk) unique() []denylist.Change {
	last := map[uint64]int{}
	for i, c := range d.waiting {
		last[c.Entry().Hash()] = i
	}
	var changes []denylist.Change
	for i, c := range d.waiting {
		if last[c.Entry().Hash()] == i {
			changes = append(changes, c)
		}
	}
	return changes
}

// Claim implements Office: one ride before the first approval, whichever gate asks.
func (d *desk) Claim(_ string, id denylist.ID, _ time.Time) bool {
	f := d.file(id)
	if f.denied || f.claimed && !f.approved {
		return false
	}
	f.claimed = true
	return true
}

package gate

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/gate/denylist"
)

// press publishes deny lists, and has what devices uploaded.
type press struct {
	testing.TB
	trust  denylist.Trust
	key    ChainKey
	base   []byte
	from   uint64 // the log of deltas begins after this number
	deltas [][]byte
	at     denylist.Position
	now    time.Time
	head   Head
}

func newPress(t testing.TB) *press {
	t.Helper()
	trust, err := denylist.NewTrust(signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	p := &press{TB: t, trust: trust, key: testChainKey(t, 2), now: noon, at: denylist.Position{Epoch: 3}}
	p.rebase()
	return p
}

func (p *press) info() denylist.Info {
	return denylist.Info{Epoch: p.at.Epoch, Sequence: p.at.Sequence, Created: p.now, NotAfter: p.now.Add(time.Hour)}
}

// rebase makes a new base of the last number, and forgets the deltas before it.
func (p *press) rebase() {
	p.Helper()
	var err error
	if p.base, err = denylist.BuildBase(nil, p.info(), p.at.Digest, signer); err != nil {
		p.Fatal(err)
	}
	p.from, p.deltas = p.at.Sequence, nil
}

func (p *press) publish() {
	p.Helper()
	info := p.info()
	info.Sequence++
	e, err := denylist.NewEntry(denylist.Credential, denylist.ID{byte(info.Sequence), 1}, denylist.Debt, 0)
	if err != nil {
		p.Fatal(err)
	}
	b, err := denylist.BuildDelta([]denylist.Change{denylist.Add(e)}, info, p.at.Digest, signer)
	if err != nil {
		p.Fatal(err)
	}
	d, err := denylist.OpenDelta(b, p.trust)
	if err != nil {
		p.Fatal(err)
	}
	p.deltas, p.at.Sequence, p.at.Digest = append(p.deltas, b), info.Sequence, d.Digest()
}

func (p *press) answer(ask Ask) Answer {
	p.Helper()
	switch ask.Kind {
	case AskBase:
		return Answer{Fine, p.base}
	case AskDeltas:
		if ask.After < p.from || ask.After > p.at.Sequence {
			return Answer{Gone, nil}
		}
		return Answer{Fine, bytes.Join(p.deltas[ask.After-p.from:], nil)}
	case AskHealth:
		h, err := ParseHealth(p.key, "GATE-07", ask.Body)
		if err != nil {
			p.Fatal(err)
		}
		return Answer{Fine, EncodeHealthAnswer(p.key, HealthAnswer{Device: "GATE-07", Number: h.Number, Time: p.now.Add(time.Minute), Approved: []denylist.ID{{9}}})}
	}
	c, err := ParseChunk(ask.Body)
	if err != nil {
		p.Fatal(err)
	}
	head, err := c.Verify(p.key, nil)
	if err != nil {
		p.Fatal(err)
	}
	status := Fine
	if c.First > p.head.Sequence+1 {
		status = Conflict
	} else if head.Sequence > p.head.Sequence {
		p.head = head
	}
	return Answer{status, EncodeReceipt(p.key, Receipt{Device: "GATE-07", Sequence: p.head.Sequence, Link: p.head.Link})}
}

// shelf is a device's log and lists in memory.
type shelf struct {
	key   ChainKey
	log   []byte
	sent  Head
	lists int
	fail  error
}

func (s *shelf) Chunk() (Chunk, bool, error) {
	if len(s.log) == 0 || s.fail != nil {
		return Chunk{}, false, s.fail
	}
	c, err := NewChunk(s.key, "GATE-07", s.sent, s.log)
	return c, err == nil, err
}

func (s *shelf) Acknowledge(sealed []byte) error {
	r, err := ParseReceipt(s.key, "GATE-07", sealed)
	if err != nil {
		return err
	}
	if r.Sequence > s.sent.Sequence+100 {
		return ErrLost
	}
	for s.sent.Sequence < r.Sequence {
		n := RecordLength(s.log)
		record, link, err := ParseRecord(s.log[:n])
		if err != nil {
			return err
		}
		s.sent, s.log = Head{record.Sequence, link}, s.log[n:]
	}
	return nil
}

func (s *shelf) Maintain(time.Time) error                      { return nil }
func (s *shelf) Backlog() Backlog                              { return Backlog{Bytes: int64(len(s.log))} }
func (s *shelf) KeepBase([]byte, denylist.Position) error      { s.lists++; return s.fail }
func (s *shelf) KeepDelta(b []byte, _ denylist.Position) error { s.lists++; return s.fail }

func newCourierOf(t testing.TB, p *press, s *shelf, list *denylist.List) *Courier {
	t.Helper()
	u, err := NewCourier(CourierConfig{Device: "GATE-07", Key: p.key, Trust: p.trust, Seed: 5}, s, s, list, p.now)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// pass lets a while go by. spoil may change an answer, or lose it.
func (p *press) pass(u *Courier, d time.Duration, spoil func(Ask, Answer) (Answer, error)) {
	p.Helper()
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(200 * time.Millisecond) {
		for {
			ask, ok := u.Next(p.now)
			if !ok {
				break
			}
			answer, err := p.answer(ask), error(nil)
			if spoil != nil {
				answer, err = spoil(ask, answer)
			}
			u.Done(ask, answer, err, p.now)
		}
	}
}

func (p *press) wantUpToDate(u *Courier) {
	p.Helper()
	if u.List() == nil || u.List().Snapshot().Position() != p.at {
		p.Fatalf("list %+v, published %+v", u.List(), p.at)
	}
}

func TestCourier(t *testing.T) {
	p := newPress(t)
	gate, _ := written(t)
	s := &shelf{key: p.key, log: gate.log.durable}
	u := newCourierOf(t, p, s, nil)
	for range 3 {
		p.publish()
	}
	p.pass(u, 2*time.Minute, nil)
	p.wantUpToDate(u)
	if p.head != gate.gate.Head() || len(s.log) != 0 || u.Offset() != time.Minute || len(u.Approvals()) == 0 || len(u.Approvals()) != 0 {
		t.Errorf("%d of %d records, offset %v", p.head.Sequence, gate.gate.Head().Sequence, u.Offset())
	}
	if h := u.Health(p.now); h.ListSequence != 3 || h.ListEpoch != 3 || h.Refused != 0 {
		t.Errorf("%+v", h)
	}
	p.publish()
	p.publish()
	p.rebase() // the deltas in between are gone
	p.publish()
	p.pass(u, 2*time.Minute, nil)
	p.wantUpToDate(u)
	p.at.Epoch++ // a new key, a new base
	p.rebase()
	p.publish()
	p.pass(u, 2*time.Minute, nil)
	p.wantUpToDate(u)
}

// TestCourierOverABadLine loses, repeats and alters: nothing that is not the back office's has an effect, and in the end everything is there.
func TestCourierOverABadLine(t *testing.T) {
	for seed := range uint64(20) {
		p := newPress(t)
		random := rand.New(rand.NewPCG(seed, 0))
		gate, _ := written(t)
		s := &shelf{key: p.key, log: gate.log.durable}
		u := newCourierOf(t, p, s, nil)
		var old []Answer
		bad := func(ask Ask, a Answer) (Answer, error) {
			old = append(old, a)
			switch random.IntN(5) {
			case 0:
				return Answer{}, errors.New("no answer")
			case 1:
				return old[random.IntN(len(old))], nil // another question's answer, or an old one
			case 2:
				if len(a.Body) > 0 {
					a.Body = bytes.Clone(a.Body)
					a.Body[random.IntN(len(a.Body))] ^= 1 << random.IntN(8)
				}
				return a, nil
			case 3:
				return Answer{Status: Status(500), Body: a.Body}, nil
			}
			return a, nil
		}
		for range 10 {
			p.publish()
			p.pass(u, time.Minute, bad)
			if l := u.List(); l != nil && l.Snapshot().Position().Sequence > p.at.Sequence {
				t.Fatalf("seed %d: a list that was never published", seed)
			}
		}
		p.pass(u, 3*time.Minute, nil)
		p.wantUpToDate(u)
		if p.head != gate.gate.Head() || len(s.log) != 0 || u.Strange == 0 {
			t.Fatalf("seed %d: %d records, %d refused", seed, p.head.Sequence, u.Strange)
		}
	}
}

// TestCourierTakesNoStepBack: an older base and an older log of deltas, signed and whole, change nothing.
func TestCourierTakesNoStepBack(t *testing.T) {
	p := newPress(t)
	s := &shelf{key: p.key}
	u := newCourierOf(t, p, s, nil)
	oldBase := p.base
	p.publish()
	p.pass(u, time.Minute, nil)
	at := u.List().Snapshot().Position()
	p.pass(u, 2*time.Minute, func(ask Ask, a Answer) (Answer, error) {
		if ask.Kind == AskDeltas {
			return Answer{Status: Gone}, nil
		}
		if ask.Kind == AskBase {
			return Answer{Fine, oldBase}, nil
		}
		return a, nil
	})
	if u.List().Snapshot().Position() != at || u.Strange == 0 {
		t.Fatalf("%+v", u.List().Snapshot().Position())
	}
	// A device that lost its list, and kept how far it had come, takes no older one either.
	late, err := NewCourier(CourierConfig{Device: "GATE-07", Key: p.key, Trust: p.trust, Kept: at}, s, s, nil, p.now)
	if err != nil {
		t.Fatal(err)
	}
	p.pass(late, time.Minute, func(ask Ask, a Answer) (Answer, error) { return Answer{Fine, oldBase}, nil })
	if late.List() != nil {
		t.Fatal("an older base is taken after a loss")
	}
}

func TestCourierTrouble(t *testing.T) {
	p := newPress(t)
	s := &shelf{key: p.key, fail: errors.New("disk")}
	u := newCourierOf(t, p, s, nil)
	p.pass(u, time.Minute, func(_ Ask, a Answer) (Answer, error) { return a, nil })
	if h := u.Health(p.now); h.Trouble == "" {
		t.Errorf("%+v", h)
	}
	s.fail = nil
	p.head = Head{Sequence: 1000}
	gate, _ := written(t)
	s.log = gate.log.durable
	p.pass(u, time.Minute, nil)
	if !errors.Is(u.Lost(), ErrLost) {
		t.Error("a lost log is not noticed")
	}
	u.Hurry(p.now)
	if u.Wake().After(p.now) || AskChunk.String() != "chunk" {
		t.Error("nothing is due")
	}
	for name, c := range map[string]CourierConfig{"no device": {Key: p.key}, "no key": {Device: "G"}} {
		if _, err := NewCourier(c, s, s, nil, p.now); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package cloudse

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// TestLostAnswers: whatever is lost, the same request gets the same batch, there is never a second batch that is not confirmed, and nobody is blamed.
func TestLostAnswers(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{})
	first := must[cloudseapi.Batch](r, p.request()).Wire
	for range 3 {
		if again := must[cloudseapi.Batch](r, p.request()).Wire; !bytes.Equal(again, first) {
			t.Fatal("another batch for the same request")
		}
		r.open()
	}
	old := p.request()
	p.accept(first)
	if s := must[cloudseapi.Standing](r, cloudseapi.Inquire{Token: "T1"}); !s.Waiting || s.BSEQ != 1 || s.KeysLeft != 13 || s.NextATC != 14 {
		t.Errorf("standing %+v", s)
	}
	for range 3 {
		must[cloudseapi.Done](r, p.confirmation())
	}
	r.refusedWith(old, cloudseapi.Repeated) // delayed on the way
	p.refresh()
	r.refusedWith(old, cloudseapi.Repeated)
	// A batch that arrived but was never confirmed is confirmed by asking with its ratchet.
	p.accept(must[cloudseapi.Batch](r, p.request()).Wire)
	p.accept(must[cloudseapi.Batch](r, p.request()).Wire)
	must[cloudseapi.Done](r, p.confirmation())
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	if len(r.alarms) != 0 {
		t.Errorf("alarms %+v", r.alarms)
	}
}

// TestCrashAtEveryCommit: the service dies before and after each commit of a refresh; the phone repeats, and both end with one batch.
func TestCrashAtEveryCommit(t *testing.T) {
	for _, after := range []bool{false, true} {
		for crash := range 4 {
			r := newRig(t, nil)
			p := r.enrol(options{})
			n := 0
			fault := func(rows []journal.Row) error {
				if n++; n == crash+1 {
					return context.DeadlineExceeded
				}
				return nil
			}
			faults := journal.Faults{BeforeCommit: fault}
			if after {
				faults = journal.Faults{AfterCommit: fault}
			}
			r.store.SetFaults(faults)
			call := func(command any) any {
				for {
					reply := r.do(command)
					if _, died := reply.(*journal.StoppedError); !died && reply != nil {
						return reply
					}
					r.open()
				}
			}
			for range 2 {
				b, ok := call(p.request()).(cloudseapi.Batch)
				if !ok {
					t.Fatalf("crash %d after=%t: no batch", crash, after)
				}
				p.accept(b.Wire)
				if _, ok := call(p.confirmation()).(cloudseapi.Done); !ok {
					t.Fatalf("crash %d after=%t: not confirmed", crash, after)
				}
			}
			r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
			if s := must[cloudseapi.Standing](r, cloudseapi.Inquire{Token: "T1"}); s.BSEQ != 2 || s.Waiting {
				t.Errorf("crash %d after=%t: %+v", crash, after, s)
			}
		}
	}
}

// TestRequestsRefused: what is malformed, of another device, unsigned or changed is refused and changes nothing.
func TestRequestsRefused(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	other := r.enrol(options{token: "T2"}).refresh()
	rows := r.stepper.LastSeq()
	foreign := p.copy("x")
	foreign.signing = other.signing
	good := p.request()
	changed := good
	changed.Request = bytes.Clone(good.Request)
	changed.Request[40] ^= 1
	for name, c := range map[string]struct {
		command any
		want    cloudseapi.Reason
	}{
		"nothing":               {cloudseapi.Replenish{At: r.clock.Now()}, cloudseapi.Malformed},
		"half":                  {cloudseapi.Replenish{Request: good.Request[:30], At: r.clock.Now()}, cloudseapi.Malformed},
		"signed by another":     {foreign.request(), cloudseapi.NotAuthentic},
		"changed":               {changed, cloudseapi.NotAuthentic},
		"confirmation of none":  {foreign.confirmation(), cloudseapi.NotAuthentic},
		"malformed confirm":     {cloudseapi.Confirm{Request: []byte{0}}, cloudseapi.Malformed},
		"inquiry for nobody":    {cloudseapi.Inquire{Token: "T9"}, cloudseapi.UnknownToken},
		"enrolment of nothing":  {cloudseapi.Enrolment{}, cloudseapi.BadEnrolment},
		"revocation of nobody":  {cloudseapi.Revoke{Token: "T9"}, cloudseapi.UnknownToken},
		"resumption of nobody":  {cloudseapi.Resume{Token: "T9"}, cloudseapi.UnknownToken},
		"confirmation of ahead": {func() any { c := p.copy("y"); c.bseq++; return c.confirmation() }(), cloudseapi.NotGiven},
		"confirmation of other": {func() any { c := p.copy("z"); c.digest[0] ^= 1; return c.confirmation() }(), cloudseapi.NotGiven},
	} {
		reply := r.do(c.command)
		if err, ok := reply.(*cloudseapi.Refusal); !ok || err.Reason != c.want {
			t.Errorf("%s: %v, want %q", name, reply, c.want.Term().EN)
		}
	}
	if r.stepper.LastSeq() != rows {
		t.Error("a refusal made a row")
	}
	p.refresh()
}

// TestEnrolments that cannot be.
func TestEnrolments(t *testing.T) {
	good := func() (*rig, *cloudseapi.Enrolment) {
		r := newRig(t, nil)
		var e cloudseapi.Enrolment
		r.enrol(options{alter: func(x *cloudseapi.Enrolment) { e = *x }})
		return r, &e
	}
	for name, change := range map[string]func(*cloudseapi.Enrolment){
		"no device":           func(e *cloudseapi.Enrolment) { e.Device = "" },
		"reference":           func(e *cloudseapi.Enrolment) { e.Token = "a/b" },
		"scheme":              func(e *cloudseapi.Enrolment) { e.Scheme = 9 },
		"algorithm":           func(e *cloudseapi.Enrolment) { e.Algorithm = 9 },
		"class":               func(e *cloudseapi.Enrolment) { e.CVM = cloudkey.ClassOpen },
		"sequence":            func(e *cloudseapi.Enrolment) { e.Sequence = "1" },
		"too many keys":       func(e *cloudseapi.Enrolment) { e.Keys = cloudseapi.Keys{CVM: 32, Open: 1} },
		"no password":         func(e *cloudseapi.Enrolment) { e.Password = nil },
		"password of another": func(e *cloudseapi.Enrolment) { e.Token = "T2" },
		"signature key":       func(e *cloudseapi.Enrolment) { e.Signing = e.Signing[1:] },
		"agreement key":       func(e *cloudseapi.Enrolment) { e.Agreement = make([]byte, 65) },
		"negative limit":      func(e *cloudseapi.Enrolment) { e.Limits.DayMinor = -1 },
		"scheme and suite":    func(e *cloudseapi.Enrolment) { e.Currency = 1000 },
	} {
		r, e := good()
		rows := r.stepper.LastSeq()
		change(e)
		if err, ok := r.do(*e).(*cloudseapi.Refusal); !ok || err.Reason != cloudseapi.BadEnrolment {
			t.Errorf("%s: %v", name, err)
		}
		if r.stepper.LastSeq() != rows {
			t.Errorf("%s: made a row", name)
		}
	}
	r, e := good()
	rows := r.stepper.LastSeq()
	must[cloudseapi.Enrolled](r, *e)
	if r.stepper.LastSeq() != rows {
		t.Error("the same enrolment twice made two rows")
	}
}

// TestNewBeginning: another phone takes the token over. The old one's keys are worthless, and counters go on where they were.
func TestNewBeginning(t *testing.T) {
	r := newRig(t, nil)
	old := r.enrol(options{}).refresh()
	r.expect(old.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.expect(old.pay(tap{minor: 100, change: iad(func(b []byte) { b[20] ^= 1 })}), unionpay.CredentialDeviceTag)
	r.refusedWith(old.request(), cloudseapi.Suspended)
	next := r.enrol(options{alter: func(e *cloudseapi.Enrolment) { e.Device = "D2" }})
	next.device = "D2"
	next.refresh()
	r.open()
	if next.keys[0].ATC != 14 {
		t.Errorf("counters begin at %d", next.keys[0].ATC)
	}
	r.expect(next.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.expect(old.pay(tap{minor: 100}), unionpay.CredentialRevoked)
	r.refusedWith(old.request(), cloudseapi.UnknownToken)
	// Another card key begins at 1.
	again := r.enrol(options{alter: func(e *cloudseapi.Enrolment) { e.Sequence = "02"; e.Nonce[0] ^= 1 }}).refresh()
	if again.keys[0].ATC != 1 {
		t.Errorf("with another sequence number counters begin at %d", again.keys[0].ATC)
	}
	r.expect(again.pay(tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.CardSequence = "002" }}), unionpay.TokenVerified)
}

// TestCounterUsedUp: near its end the token needs a new card key.
func TestCounterUsedUp(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	have := r.service.state.cache.directory.find(nameOf("T1"))
	last := have.now.Load().copy()
	last.nextATC = cloudkey.LastATC - 12
	have.now.Store(last)
	p.refresh()
	r.refusedWith(p.request(), cloudseapi.NeedsEnrolment)
}

// TestHiddenTaps: a copy that pays while the other one refreshes is noticed although it never asks for keys: the phone that asks does not know of its taps.
func TestHiddenTaps(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	thief := p.copy("thief")
	r.expect(thief.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.clock.Advance(time.Minute)
	p.refresh() // may have been asked before the tap
	r.clock.Advance(time.Minute)
	r.refusedWith(p.request(), cloudseapi.Copied)
}

// TestWaitingRequest: a phone that asked without a network, paid on, and asks again word for word is no copy.
func TestWaitingRequest(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	lost := p.request()
	_ = lost
	for range 10 {
		r.clock.Advance(time.Hour)
		r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	}
	for range 4 {
		r.clock.Advance(time.Hour)
		p.refresh()
		r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	}
	if len(r.alarms) != 0 {
		t.Errorf("alarms %+v", r.alarms)
	}
}

// TestCopies: of a phone that is copied at any moment, with any order of taps and refreshes, one is caught at the first collision or at the next refresh, in every one
// of 1,000 seeded runs; until then no counter was approved twice.
func TestCopies(t *testing.T) {
	const runs = 1000
	r := newRig(t, nil)
	for run := range uint64(runs) {
		r.seed = run + 1
		if caught := copied(r, fmt.Sprintf("C%d", run)); !caught {
			t.Fatalf("run %d of seed %d: not caught", run, r.seed)
		}
		if t.Failed() {
			t.Fatalf("run %d of seed %d", run, r.seed)
		}
	}
}

// copied plays one run and reports whether the copy was caught when it had to be.
func copied(r *rig, token string) bool {
	p := r.enrol(options{token: token, cvm: cloudkey.ClassDevice}).refresh()
	dice := stream(r.seed, "dice")
	roll := func(n uint64) int { return int(dice.Uint64() % n) }
	for range roll(4) {
		r.expect(p.pay(tap{minor: 100, open: roll(3) == 0}), unionpay.TokenVerified)
	}
	if roll(2) == 0 {
		p.request() // the snapshot has a request under way
	}
	both := [2]*phone{p, p.copy(token)}
	approved := map[uint16]int{}
	for range 200 {
		r.clock.Advance(time.Second)
		who := both[roll(2)]
		if roll(6) == 0 {
			reply := r.do(who.request())
			switch b := reply.(type) {
			case cloudseapi.Batch:
				who.accept(b.Wire)
				r.do(who.confirmation())
			case *cloudseapi.Refusal:
				if b.Reason != cloudseapi.Repeated { // still within the time in which the network may be to blame
					return caught(r, token)
				}
			}
			continue
		}
		m := who.pay(tap{minor: 100, open: roll(4) == 0})
		if m == nil {
			continue
		}
		switch reason := r.reason(m); reason {
		case unionpay.TokenVerified:
			key := who.used[len(who.used)-1].ATC
			if approved[key]++; approved[key] > 1 {
				r.Errorf("counter %d approved twice", key)
			}
		case unionpay.CounterRepeated, unionpay.CredentialSuspended:
			return caught(r, token)
		case unionpay.CredentialNeedsRefill, unionpay.CredentialDayLimit, unionpay.CredentialRevoked:
		default:
			r.Errorf("a copy is answered %q", reason)
			return false
		}
	}
	return false
}

// caught reports whether the token is suspended as copied and its keys revoked.
func caught(r *rig, token string) bool {
	have := r.service.state.cache.directory.find(nameOf(token)).now.Load()
	return have.causes&cloudseapi.CauseClone != 0 && have.last().revokedAt != 0 && len(r.alarms) > 0 && r.alarms[len(r.alarms)-1].Token == token
}

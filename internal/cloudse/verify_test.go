package cloudse

import (
	"bytes"
	"context"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// TestTapIsVerified: of every scheme, class and suite, a tap is right once.
func TestTapIsVerified(t *testing.T) {
	for name, o := range map[string]options{
		"QCK-1, password": {}, "QCK-1, device": {cvm: cloudkey.ClassDevice}, "QCK-1 with EMV session keys": {scheme: cloudkey.SchemeQCK1EMV},
		"limited-use key": {scheme: cloudkey.SchemeLUK}, "SM4": {sm4: true},
	} {
		r := newRig(t, nil)
		p := r.enrol(o).refresh()
		for range 10 {
			a := r.ask(p.pay(tap{minor: 150_000}))
			d, err := a.Data()
			if err != nil || d.Reason != unionpay.TokenVerified || d.Verification != unionpay.CryptogramVerified || d.Class != unionpay.ClassCVM ||
				d.Evidence == nil || a.Response != unionpay.Approved {
				t.Fatalf("%s: %+v, %v", name, d, err)
			}
		}
		if p.pay(tap{minor: 1}) != nil {
			t.Errorf("%s: an eleventh key", name)
		}
		for range 3 {
			r.expect(p.pay(tap{minor: 5_000, open: true}), unionpay.TokenVerified)
		}
		p.refresh()
		r.expect(p.pay(tap{minor: 150_000}), unionpay.TokenVerified)
	}
}

// TestRefusals: each rule by itself, in its order.
func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		how  tap
		want unionpay.TokenReason
	}{
		"another token number":      {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.PAN = luhn(t, "629998000000002") }}, unionpay.TokenUnknown},
		"a reference of nobody":     {tap{minor: 100, change: reference(t, "T9")}, unionpay.TokenUnknown},
		"no cryptogram":             {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.ICC = emv.Data{} }}, unionpay.TokenNoCryptogram},
		"issuer data of a card":     {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagIAD, []byte{7, 1, 1, 3, 0xA0, 0, 0, 1}) }}, unionpay.TokenNoCryptogram},
		"another amount":            {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.Amount = money.New(1, money.CNY) }}, unionpay.CredentialEvidence},
		"not contactless":           {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.EntryMode = "051" }}, unionpay.CredentialEvidence},
		"another sequence number":   {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.CardSequence = "002" }}, unionpay.CredentialUnknown},
		"another key generation":    {tap{minor: 100, change: iad(func(b []byte) { b[1] = 9 })}, unionpay.CredentialUnknown},
		"another batch":             {tap{minor: 100, change: iad(func(b []byte) { b[12] = 9 })}, unionpay.CredentialUnknown},
		"a counter never given":     {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagATC, []byte{0, 99}) }}, unionpay.CredentialUnknown},
		"counter zero":              {tap{minor: 100, change: func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagATC, []byte{0, 0}) }}, unionpay.CredentialUnknown},
		"claim without the class":   {tap{minor: 100, open: true, change: iad(func(b []byte) { b[13] = 2 })}, unionpay.CredentialEvidence},
		"open key above its limit":  {tap{minor: 100_001, open: true}, unionpay.CredentialNeedsCVM},
		"open key at its limit":     {tap{minor: 100_000, open: true}, unionpay.TokenVerified},
		"open key for cash":         {tap{minor: 100, open: true, change: func(m *unionpay.TokenRequest) { m.MerchantType = "6011" }}, unionpay.CredentialNeedsCVM},
		"wrong password":            {tap{minor: 100, password: cloudkey.Secret{}, change: iad(func(b []byte) { b[5] ^= 1 })}, unionpay.CredentialCryptogram},
		"evidence changed":          {tap{minor: 100, change: iad(func(b []byte) { b[14] = 7 })}, unionpay.CredentialDeviceTag},
		"tag changed":               {tap{minor: 100, change: iad(func(b []byte) { b[20] ^= 1 })}, unionpay.CredentialDeviceTag},
		"verified too long ago":     {tap{minor: 150_000, age: 32 * time.Second}, unionpay.CredentialNeedsCVM},
		"verified 30 seconds ago":   {tap{minor: 150_000, age: 30 * time.Second}, unionpay.TokenVerified},
		"small, verified long ago":  {tap{minor: 100, age: 5 * time.Minute}, unionpay.TokenVerified},
		"relayed for 304 ms":        {tap{minor: 100, latency: 304 * time.Millisecond}, unionpay.CredentialEvidence},
		"slow, 300 ms":              {tap{minor: 100, latency: 300 * time.Millisecond}, unionpay.TokenVerified},
		"above the limit of a tap":  {tap{minor: 500_001}, unionpay.CredentialTapLimit},
		"abroad, above that limit":  {tap{minor: 450_000, change: func(m *unionpay.TokenRequest) { m.Country = "840" }}, unionpay.TokenVerified},
		"CDCVM claimed, none given": {tap{minor: 100, open: true, change: func(m *unionpay.TokenRequest) { m.ICC.Set(emv.TagCTQ, []byte{0, 0x80}) }}, unionpay.CredentialEvidence},
		"results claim it": {tap{minor: 100, open: true, change: func(m *unionpay.TokenRequest) {
			m.ICC.Set(emv.TagCVMResults, []byte{1, 0, 2})
		}}, unionpay.CredentialEvidence},
		"results of a signature": {tap{minor: 100, open: true, change: func(m *unionpay.TokenRequest) {
			m.ICC.Set(emv.TagCVMResults, []byte{0x1E, 0, 0})
		}}, unionpay.TokenVerified},
		"no results worth the name": {tap{minor: 100, open: true, change: func(m *unionpay.TokenRequest) {
			m.ICC.Set(emv.TagCVMResults, []byte{1, 0})
		}}, unionpay.TokenVerified},
	} {
		r := newRig(t, nil)
		p := r.enrol(options{}).refresh()
		if got := r.reason(p.pay(c.how)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestLimits: what adds up over taps.
func TestLimits(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{alter: func(e *cloudseapi.Enrolment) {
		e.Limits = cloudseapi.Limits{DayMinor: 300, DayCount: 4, ForeignDayMinor: 100, ContactTaps: 6, ContactMinor: 100_000}
		e.Keys = cloudseapi.Keys{CVM: 20, Open: 2}
	}}).refresh()
	abroad := func(m *unionpay.TokenRequest) { m.Country = "392" }
	r.expect(p.pay(tap{minor: 200}), unionpay.TokenVerified)
	r.expect(p.pay(tap{minor: 101}), unionpay.CredentialDayLimit)
	r.expect(p.pay(tap{minor: 100, change: abroad}), unionpay.TokenVerified)
	r.expect(p.pay(tap{minor: 1, change: abroad}), unionpay.CredentialDayLimit)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.clock.Advance(24 * time.Hour)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.expect(p.pay(tap{minor: 1}), unionpay.CredentialNeedsRefill)
	p.refresh()
	r.expect(p.pay(tap{minor: 1}), unionpay.TokenVerified)
}

// TestRepeatGetsTheFirstAnswer: byte for byte, after a restart, after its batch is gone; another message with the key is refused.
func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	r := newRig(t, func(d *Deps) { d.Capacity.Ended, d.Capacity.Rows = 1, 1 })
	p := r.enrol(options{}).refresh()
	m := p.pay(tap{minor: 100})
	first := r.ask(m)
	wrong := p.pay(tap{minor: 100, change: iad(func(b []byte) { b[5] ^= 1 })})
	r.expect(wrong, unionpay.CredentialCryptogram)
	for i := range 4 {
		again := r.ask(m)
		if again == nil || again.Additional != first.Additional || again.Response != first.Response {
			t.Fatalf("round %d: %v, want %v", i, again, first)
		}
		r.expect(wrong, unionpay.CredentialCryptogram)
		p.refresh()
		r.open()
	}
	if s := must[cloudseapi.Standing](r, cloudseapi.Inquire{Token: "T1"}); s.Wrong != 1 || len(s.Suspended) != 0 {
		t.Errorf("repeats of a wrong cryptogram counted: %+v", s)
	}
	other := *m
	other.Terminal = "T0000002"
	r.expect(&other, unionpay.TokenKeyReused)
}

// TestSamePaymentAgain: a counter answers the payment that used it again, with another transmission time, and no other.
func TestSamePaymentAgain(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	m := p.pay(tap{minor: 100})
	r.expect(m, unionpay.TokenVerified)
	later := *m
	later.TransmissionTime = "1122090000"
	r.expect(&later, unionpay.TokenVerified)
	other := later
	other.TransmissionTime, other.STAN = "1122090100", 777_777
	r.expect(&other, unionpay.CounterRepeated)
	r.expect(p.pay(tap{minor: 100}), unionpay.CredentialSuspended)
	if len(r.alarms) != 1 || r.alarms[0].Cause != cloudseapi.CauseClone || r.alarms[0].Token != "T1" {
		t.Errorf("alarms %+v", r.alarms)
	}
}

// TestWrongPasswords: the third one suspends, a right one before that forgives, and one of a weaker key does not.
func TestWrongPasswords(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	guess := tap{minor: 100, password: p.draw()}
	r.expect(p.pay(guess), unionpay.CredentialCryptogram)
	r.expect(p.pay(guess), unionpay.CredentialCryptogram)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.expect(p.pay(guess), unionpay.CredentialCryptogram)
	r.expect(p.pay(guess), unionpay.CredentialCryptogram)
	r.expect(p.pay(tap{minor: 100, open: true}), unionpay.TokenVerified)
	p.refresh() // new keys do not forgive either
	r.open()
	r.expect(p.pay(guess), unionpay.CredentialCryptogram)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenPasswordLocked)
	r.refusedWith(p.request(), cloudseapi.Suspended)
	if len(r.alarms) != 1 || r.alarms[0].Cause != cloudseapi.CausePassword {
		t.Errorf("alarms %+v", r.alarms)
	}
}

// TestLifeOfKeys: expiry with its grace, revocation with its grace, and what is forgotten.
func TestLifeOfKeys(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	old := p.copy("old")
	p.accept(must[cloudseapi.Batch](r, p.request()).Wire)
	r.clock.Advance(3 * time.Hour)
	r.expect(old.pay(tap{minor: 100}), unionpay.TokenVerified) // the new batch is not confirmed
	must[cloudseapi.Done](r, p.confirmation())
	r.clock.Advance(2*time.Hour - time.Second)
	r.expect(old.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.clock.Advance(time.Second)
	r.expect(old.pay(tap{minor: 100}), unionpay.CredentialRevoked)
	r.clock.Advance(8*24*time.Hour - 5*time.Hour)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified) // late, within the grace
	r.clock.Advance(time.Hour)
	r.expect(p.pay(tap{minor: 100}), unionpay.CredentialExpired)
	p.used = append(p.used, cloudkey.Use{ATC: 1, State: cloudkey.UseArmed}, cloudkey.Use{ATC: 2, State: cloudkey.UseArmed})
	for range 3 {
		p.refresh()
	}
	r.expect(old.pay(tap{minor: 100}), unionpay.CredentialRevoked)
}

// TestSoftwareKeys live shorter.
func TestSoftwareKeys(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{alter: func(e *cloudseapi.Enrolment) { e.Software = true }}).refresh()
	if life := unix(p.keys[0].NotAfter).Sub(r.clock.Now()); life != 72*time.Hour {
		t.Errorf("they live %v", life)
	}
}

// TestSuspension works from its commit on, with the phone off, and a service's suspension ends with its resumption.
func TestSuspension(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	// The tap is under way when the holder calls: verified, not yet decided.
	ev := r.prepared(journal.Event{From: "tsp", Message: p.pay(tap{minor: 100})})
	must[cloudseapi.Done](r, cloudseapi.Suspend{Token: "T1"})
	if _, err := r.stepper.Step(context.Background(), ev); err != nil {
		t.Fatal(err)
	}
	if d, err := r.sent[len(r.sent)-1].Data(); err != nil || d.Reason != unionpay.CredentialSuspended {
		t.Errorf("in flight: %q, %v", d.Reason, err)
	}
	r.open()
	r.expect(p.pay(tap{minor: 100}), unionpay.CredentialSuspended)
	r.refusedWith(p.request(), cloudseapi.Suspended)
	must[cloudseapi.Done](r, cloudseapi.Resume{Token: "T1"})
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	must[cloudseapi.Done](r, cloudseapi.Revoke{Token: "T1"})
	r.expect(p.pay(tap{minor: 100}), unionpay.CredentialRevoked)
	p.refresh()
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	r.refusedWith(cloudseapi.Suspend{Token: "T9"}, cloudseapi.UnknownToken)
}

// TestEvictedTokens: with room for one token in memory every answer is the same.
func TestEvictedTokens(t *testing.T) {
	r := newRig(t, func(d *Deps) { d.Capacity.Tokens, d.Capacity.Ended, d.Capacity.Rows = 1, 1, 1 })
	var phones []*phone
	for _, ref := range []string{"A", "B", "C", "D", "E"} {
		phones = append(phones, r.enrol(options{token: ref}).refresh())
	}
	var sent []*unionpay.TokenRequest
	var first []*unionpay.TokenResponse
	for range 4 {
		for _, p := range phones {
			m := p.pay(tap{minor: 100})
			sent, first = append(sent, m), append(first, r.ask(m))
		}
	}
	if n := len(r.service.state.cache.clock); n > 3 {
		t.Errorf("%d tokens in memory", n)
	}
	r.open()
	for i, m := range sent {
		d, err := first[i].Data()
		if err != nil || d.Reason != unionpay.TokenVerified {
			t.Fatalf("tap %d: %q, %v", i, d.Reason, err)
		}
		if again := r.ask(m); again.Additional != first[i].Additional {
			t.Errorf("tap %d: another answer after a restart", i)
		}
	}
}

// TestCells: a cell is read as it was written, and no bit of it can be missing; the largest one fits.
func TestCells(t *testing.T) {
	r := newRig(t, func(d *Deps) { d.Policy.Limits.ContactTaps = 99 })
	p := r.enrol(options{alter: func(e *cloudseapi.Enrolment) {
		e.Keys = cloudseapi.Keys{CVM: 20, Open: 12}
		e.Limits.DayCount, e.Limits.ContactTaps = 1000, 1000
	}})
	for range 3 {
		p.refresh()
		for range 20 {
			r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
		}
		for range 12 {
			r.expect(p.pay(tap{minor: 100, open: true}), unionpay.TokenVerified)
		}
	}
	p.accept(must[cloudseapi.Batch](r, p.request()).Wire)
	have := r.service.state.cache.directory.find(nameOf("T1")).now.Load()
	b := have.append(nil)
	if len(b) > journal.MaxCellBytes {
		t.Errorf("%d bytes", len(b))
	}
	back, err := readToken(&journal.Cell{ID: have.id, Seq: have.seq, Data: b})
	if err != nil || !bytes.Equal(back.append(nil), b) {
		t.Fatalf("%v", err)
	}
	for n := range b {
		if _, err := readToken(&journal.Cell{ID: 1, Data: b[:n]}); err == nil {
			t.Fatalf("cut to %d bytes it is read", n)
		}
	}
}

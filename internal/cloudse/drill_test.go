package cloudse

import (
	"strings"
	"testing"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// TestStolenStorage: whoever has all of a phone's storage, and not what its hardware keeps, makes three wrong cryptograms and no more; the owner hears of it.
func TestStolenStorage(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	thief := p.copy("thief")
	thief.bindings = map[cloudkey.Class]cloudkey.Secret{cloudkey.ClassOpen: thief.draw(), cloudkey.ClassPassword: thief.draw()}
	thief.password = thief.draw()
	for _, open := range []bool{true, false, true} {
		r.expect(thief.pay(tap{minor: 100, open: open}), unionpay.CredentialCryptogram)
	}
	r.expect(thief.pay(tap{minor: 100}), unionpay.TokenPasswordLocked)
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenPasswordLocked)
	if len(r.alarms) != 1 {
		t.Errorf("alarms %+v", r.alarms)
	}
	// With the password as well, but another device's binding key, every guess fails too.
	r = newRig(t, nil)
	p = r.enrol(options{}).refresh()
	other := p.copy("other")
	other.bindings = map[cloudkey.Class]cloudkey.Secret{cloudkey.ClassPassword: other.draw()}
	r.expect(other.pay(tap{minor: 100}), unionpay.CredentialCryptogram)
	// And a key taken out of one phone's memory is of no use on another: its tag is wrong.
	r.expect(p.pay(tap{minor: 100, sign: func(in *cloudkey.TagInput) { in.Amount[5] ^= 1 }}), unionpay.CredentialDeviceTag)
	r.expect(p.pay(tap{minor: 100}), unionpay.CredentialSuspended)
}

// TestReplayedBatch: a batch that is delivered again, or restored from a backup, gives no second tap for any counter.
func TestReplayedBatch(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{cvm: cloudkey.ClassDevice})
	request := p.request()
	wire := must[cloudseapi.Batch](r, request).Wire
	before := p.copy("restored")
	p.accept(wire)
	must[cloudseapi.Done](r, p.confirmation())
	m := p.pay(tap{minor: 100})
	r.expect(m, unionpay.TokenVerified)
	r.refusedWith(request, cloudseapi.Repeated)
	before.accept(wire) // the same bytes again
	r.expect(before.pay(tap{minor: 100}), unionpay.CounterRepeated)
	r.expect(m, unionpay.TokenVerified) // the first answer, still
	if left := must[cloudseapi.Standing](r, cloudseapi.Inquire{Token: "T1"}); left.KeysLeft != 0 || len(left.Suspended) != 1 {
		t.Errorf("%+v", left)
	}
}

// TestRelay: of taps that a relay delays by 0 to 500 ms, those above the limit are refused, whatever the class, and their counters are spent.
func TestRelay(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{cvm: cloudkey.ClassDevice}).refresh()
	for delay := time.Duration(0); delay <= 500*time.Millisecond; delay += 60 * time.Millisecond {
		want := unionpay.TokenVerified
		if delay > 300*time.Millisecond {
			want = unionpay.CredentialEvidence
		}
		m := p.pay(tap{minor: 100, latency: delay})
		r.expect(m, want)
		later := *m
		later.TransmissionTime = "1122100000"
		r.expect(&later, want)
	}
}

// TestAlarms: an alarm is told until somebody has taken notice, over restarts and however little is kept in memory.
func TestAlarms(t *testing.T) {
	for _, rows := range []int{1, 1000} {
		r := newRig(t, func(d *Deps) { d.Capacity.Rows = rows })
		p := r.enrol(options{cvm: cloudkey.ClassDevice}).refresh()
		thief := p.copy("thief")
		r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
		r.expect(thief.pay(tap{minor: 100}), unionpay.CounterRepeated)
		if len(r.alarms) != 1 {
			t.Fatalf("alarms %+v", r.alarms)
		}
		first := r.alarms[0]
		r.enrol(options{token: "T2"})
		for range 2 {
			r.alarms = nil
			r.open()
			if len(r.alarms) != 1 || r.alarms[0] != first {
				t.Fatalf("after a restart: %+v", r.alarms)
			}
		}
		r.alarms = nil
		if _, err := r.stepper.Step(t.Context(), journal.Event{Timer: timerAlarms}); err != nil || len(r.alarms) != 1 {
			t.Errorf("after a minute: %+v, %v", r.alarms, err)
		}
		must[cloudseapi.Done](r, cloudseapi.AlarmHandled{Key: first.Key})
		r.alarms = nil
		r.open()
		if len(r.alarms) != 0 {
			t.Errorf("after it was handled: %+v", r.alarms)
		}
	}
}

// TestDescribe: every row says what it means in both languages.
func TestDescribe(t *testing.T) {
	r := newRig(t, nil)
	p := r.enrol(options{}).refresh()
	thief := p.copy("thief")
	r.expect(p.pay(tap{minor: 100}), unionpay.TokenVerified)
	must[cloudseapi.Done](r, cloudseapi.Suspend{Token: "T1"})
	must[cloudseapi.Done](r, cloudseapi.Resume{Token: "T1"})
	must[cloudseapi.Done](r, cloudseapi.Revoke{Token: "T1"})
	p.refresh()
	r.refusedWith(thief.request(), cloudseapi.Copied)
	must[cloudseapi.Done](r, cloudseapi.AlarmHandled{Key: r.alarms[0].Key})
	seen, details := map[string]bool{}, []string(nil)
	if err := r.store.Load(t.Context(), 0, func(row *journal.Row) error {
		term := r.service.Describe(row)
		if term.EN == "" || term.ZH == "" || term == row.Kind.Term() {
			t.Errorf("row %d, %s: %q %q", row.Seq, row.Kind, term.EN, term.ZH)
		}
		seen[term.EN] = true
		for _, said := range r.service.Details(row) {
			if said.EN == "" || said.ZH == "" || said.EN == said.ZH {
				t.Errorf("row %d, %s: %q %q", row.Seq, row.Kind, said.EN, said.ZH)
			}
			details = append(details, said.EN)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(details, "; "); !strings.Contains(all, "keys stopped: ") || !strings.Contains(all, "today CNY 1.00 of CNY ") {
		t.Errorf("details: %s", all)
	}
	if len(seen) < 9 {
		t.Errorf("%d kinds of rows: %v", len(seen), seen)
	}
}

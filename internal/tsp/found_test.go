package tsp

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// TestFoundInOneStep: one verification brings a lost device's tokens of that bank back; nobody else's suspension is lifted, and no other bank's token.
func TestFoundInOneStep(t *testing.T) {
	r := newRig(t)
	wallet, bank := r.register(), Caller{CallerIssuer, bankA}
	first, second := r.active(wallet, number(t, "6299991", 17), "phone-1"), r.active(wallet, number(t, "6299991", 18), "phone-1")
	young := r.provision(wallet, number(t, "6299991", 19), "phone-1")
	other := r.provision(wallet, number(t, "6299992", 17), "phone-1")
	elsewhere := r.active(wallet, number(t, "6299991", 17), "phone-2")
	lose := func() { r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "") }
	state := func(g given, want string) {
		t.Helper()
		v := into[tspapi.Token](t, r.get(wallet, &Read{}, g.Token.Reference))
		if got := v.State + " " + strings.Join(v.Suspenders, " "); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	lose()
	state(first, "SUSPENDED DEVICE_LOST")
	r.do(operator, &Suspension{Suspender: "TSP_RISK"}, second.Token.Reference)
	v := into[tspapi.Token](t, r.do(bank, &tspapi.Assert{Method: "bank-app", Found: true}, first.Token.Reference))
	if v.State != "ACTIVE" || v.Limited {
		t.Errorf("%+v", v)
	}
	state(second, "SUSPENDED TSP_RISK")
	state(young, "INACTIVE ")
	state(other, "INACTIVE DEVICE_LOST")
	state(elsewhere, "ACTIVE ")
	if out := r.ask(r.payment(first.number, 100)); out.Response != "00" {
		t.Error(dataOf(t, out).Reason)
	}
	// The device is not lost any more: whoever waits still is resumed on its own.
	if v := into[tspapi.Token](t, r.do(wallet, &Suspension{Suspender: "DEVICE_LOST", Resume: true}, other.Token.Reference)); len(v.Suspenders) != 0 {
		t.Errorf("%+v", v)
	}
	h := into[tspapi.History](t, r.get(operator, &History{}, first.Token.Reference)).Changes
	if last := h[len(h)-1]; last.Event != EventFound.String() || last.Actor != "issuer" || last.Reason != "bank-app" {
		t.Errorf("%+v", last)
	}
	before := r.digest()
	if r.restart(); r.digest() != before {
		t.Error("a restart changes the state")
	}
}

// TestFoundByCode: a one-time code does it too, with the limits of one; a wrong one changes nothing, and a SIM that was just changed asks for more.
func TestFoundByCode(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g, twin := r.active(wallet, number(t, "6299991", 17), "phone-1"), r.active(wallet, number(t, "6299991", 18), "phone-1")
	r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	if p := problemOf(t, r.do(wallet, &tspapi.Activate{Code: "000000", Found: true}, g.Token.Reference)); p.Code != "no-challenge" {
		t.Error(p)
	}
	code := func(token string) string {
		t.Helper()
		r.do(wallet, &tspapi.Challenge{Method: "otp"}, token)
		for _, w := range slices.Backward(r.hooks) {
			if w.Code != nil {
				c, err := r.core.OpenCode(w)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
		}
		t.Fatal("no code was sent")
		return ""
	}
	right := code(g.Token.Reference)
	wrong := "000000"
	if right == wrong {
		wrong = "000001"
	}
	if p := problemOf(t, r.do(wallet, &tspapi.Activate{Code: wrong, Found: true}, g.Token.Reference)); p.Code != "code" {
		t.Error(p)
	}
	if out := r.ask(r.payment(g.number, 100)); dataOf(t, out).Reason != unionpay.TokenLost {
		t.Error(dataOf(t, out).Reason)
	}
	v := into[tspapi.Token](t, r.do(wallet, &tspapi.Activate{Code: right, Found: true}, g.Token.Reference))
	if v.State != "ACTIVE" || !v.Limited {
		t.Errorf("%+v", v)
	}
	if v := into[tspapi.Token](t, r.get(wallet, &Read{}, twin.Token.Reference)); v.State != "ACTIVE" || !v.Limited {
		t.Errorf("the twin: %+v", v)
	}
	if out := r.ask(r.payment(g.number, 60_000)); dataOf(t, out).Reason != unionpay.TokenAssuranceLimit {
		t.Error(dataOf(t, out).Reason)
	}
	// Another card comes with a changed SIM; then the phone is lost again.
	r.provision(wallet, number(t, "6299991", 19), "phone-1", func(b *tspapi.Provision) { b.Device.SIMChanged = true })
	r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	v = into[tspapi.Token](t, r.do(wallet, &tspapi.Activate{Code: code(g.Token.Reference), Found: true}, g.Token.Reference))
	if v.State != "SUSPENDED" || !slices.Equal(v.Suspenders, []string{"TSP_RISK"}) {
		t.Errorf("%+v", v)
	}
	// Nothing is lost: it is an activation like any other.
	r.clock.Advance(48 * time.Hour)
	healthy := r.provision(wallet, number(t, "6299991", 20), "phone-3")
	v = into[tspapi.Token](t, r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "card-tap", Found: true}, healthy.Token.Reference))
	if v.State != "ACTIVE" {
		t.Errorf("%+v", v)
	}
	// A deleted token cannot speak for its device.
	r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	r.do(wallet, &Deletion{}, twin.Token.Reference)
	if p := problemOf(t, r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "bank-app", Found: true}, twin.Token.Reference)); p.Status != 409 {
		t.Error(p)
	}
	if v := into[tspapi.Token](t, r.get(wallet, &Read{}, g.Token.Reference)); v.State != "SUSPENDED" {
		t.Errorf("%+v", v)
	}
}

package app

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"tapnet/emv/oda"
	"tapnet/gate"
	"tapnet/internal/app/phone"
	"tapnet/internal/app/validator"
	"tapnet/internal/clock"
	"tapnet/internal/taplog"
	"tapnet/money"
)

// offlineGate is a gate without a line, that opens on proof alone: nobody passes on trust.
func offlineGate(t *testing.T, n *Network) (*validator.Validator, *clock.Manual) {
	t.Helper()
	disk := func() taplog.Disk {
		d, err := taplog.Dir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	trusted, err := oda.NewKeys(n.options.Profile.Authorities()...)
	if err != nil {
		t.Fatal(err)
	}
	random, now := rand.NewChaCha8([32]byte{9}), clock.NewManual(demoStart)
	o := validator.Options{
		Gate: gate.Config{Station: 3, Amount: money.New(700, money.CNY), Country: countryChina, DoubleTap: gate.Never, PassBack: gate.Never},
		Taps: disk(), Lists: disk(), CAKeys: trusted, Name: "METRO", Clock: now, Random: random,
	}
	p, err := validator.LoadProvision(disk(), "GATE-3", random)
	if err == nil {
		err = p.Fill(&o, random)
	}
	if err != nil {
		t.Fatal(err)
	}
	v, err := validator.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v, now
}

// TestElementOpensGate: a token on a secure element proves itself offline, under RSA and under SM2, with a key and certificates that came by STORE DATA. What is
// locked does not, and neither does a token from the cloud, which has no such key.
func TestElementOpensGate(t *testing.T) {
	n, _ := tokenNetwork(t)
	v, now := offlineGate(t, n)
	pass := func(name string) validator.Result {
		t.Helper()
		now.Advance(time.Minute)
		h, release, err := n.openHandset(ElementRequest{Phone: name}, elementOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		reader, leave := h.Field()
		defer leave()
		r, err := v.Tap(t.Context(), reader, gate.Read{Direction: gate.Ride})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for name, sm := range map[string]bool{"rsa": false, "sm": true} {
		added := onElement(t, n, ElementRequest{Verb: ElementProvision, Phone: name, Card: "lin", Label: "L", SM: sm})
		for range 2 {
			if r := pass(name); !r.Open || r.Record.Flags.Has(gate.FlagNoODA) || r.Outcome.ODA.Version != 1 {
				t.Fatalf("%s: %v, %v: %+v", name, r.Reason().Term().EN, r.Outcome.Reason, r.Outcome.ODA)
			}
		}
		shop := elementTap("12.50")
		if shop.Phone = name; !onElement(t, n, shop).Tap.Paid() {
			t.Errorf("%s: does not pay after the gate", name)
		}
		onElement(t, n, ElementRequest{Verb: ElementLock, Phone: name, Token: added.Token})
		if r := pass(name); r.Open {
			t.Errorf("%s: opens although it is locked", name)
		}
		onElement(t, n, ElementRequest{Verb: ElementUnlock, Phone: name, Token: added.Token})
		if r := pass(name); !r.Open {
			t.Errorf("%s: unlocked: %v", name, r.Reason().Term().EN)
		}
	}
	act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "CLOUD"})
	p, err := n.openPhone(context.Background(), PhoneRequest{Phone: "pixel"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	if _, _, _, err := p.Arm(phone.TapRequest{Verification: phone.Fingerprint}); err != nil {
		t.Fatal(err)
	}
	reader, leave := p.Field()
	defer leave()
	if r, err := v.Tap(t.Context(), reader, gate.Read{Direction: gate.Ride}); err != nil || r.Open {
		t.Errorf("a token from the cloud opens the gate offline: %v", err)
	}
}

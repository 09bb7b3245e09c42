package tsp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// TestHistory: every change has its time, its actor and its reason, for those who may see the token.
func TestHistory(t *testing.T) {
	r := newRig(t)
	wallet, bank := r.register(), Caller{CallerIssuer, bankA}
	person := Caller{CallerOperator, "operator-7"}
	g := r.provision(wallet, number(t, "6299991", 17), "phone-1")
	token := g.Token.Reference
	begun := r.clock.Now()
	r.do(wallet, &tspapi.Challenge{Method: "otp"}, token)
	r.do(wallet, &tspapi.Activate{Code: "000000"}, token)
	r.do(bank, &tspapi.Assert{Method: "bank-app"}, token)
	r.clock.Advance(25 * time.Hour)
	r.ask(r.payment(g.number, 100)) // a payment is no change
	r.do(person, &Suspension{Suspender: "TSP_RISK", Reason: "FRAUD"}, token)
	r.do(person, &Suspension{Suspender: "TSP_RISK", Reason: "OTHER", Resume: true}, token)
	r.do(person, &Suspension{Suspender: "TSP_RISK", Resume: true}, token) // refused: no change
	r.do(wallet, &Default{}, token)                                       // the device's
	r.verdict = unionpay.TokenData{Reason: unionpay.CounterRepeated, Verification: unionpay.CryptogramRefused}
	r.ask(r.payment(g.number, 100))
	r.do(bank, &tspapi.Relink{Expiry: "3112"}, "", number(t, "6299991", 17), number(t, "6299991", 18))
	r.do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	r.do(wallet, &Deletion{Reason: "CONSUMER"}, token)
	line := func(c tspapi.Changed) string {
		return strings.Join([]string{c.Event, c.State, strings.Join(c.Suspenders, "+"), c.Actor, c.Who, c.Reason}, "|")
	}
	want := []string{
		"decided yellow|INACTIVE||requestor|" + wallet.ID + "|manual",
		"verification|INACTIVE||requestor|" + wallet.ID + "|otp",
		"verification|INACTIVE||requestor|" + wallet.ID + "|wrong code",
		"activated|ACTIVE||issuer|" + bankA + "|bank-app",
		"suspended|SUSPENDED|TSP_RISK|operator|operator-7|FRAUD",
		"resumed|ACTIVE||operator|operator-7|OTHER",
		"suspended|SUSPENDED|TSP_RISK|token service||" + unionpay.CounterRepeated.String(),
		"re-linked|SUSPENDED|TSP_RISK|issuer|" + bankA + "|",
		"suspended|SUSPENDED|TSP_RISK+DEVICE_LOST|requestor|" + wallet.ID + "|LOST",
		"deleted|DEACTIVATED||requestor|" + wallet.ID + "|CONSUMER",
	}
	check := func(when string) {
		t.Helper()
		h := into[tspapi.History](t, r.get(person, &History{}, token))
		var got []string
		last := uint64(0)
		for _, c := range h.Changes {
			got = append(got, line(c))
			if c.Row <= last || c.At.Before(begun.Truncate(time.Second)) {
				t.Errorf("%s: row %d after %d, at %s", when, c.Row, last, c.At)
			}
			last = c.Row
		}
		if !slices.Equal(got, want) || h.Token != token || h.Dropped != 0 {
			t.Errorf("%s:\n%s\nwant\n%s", when, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	check("at once")
	r.restart()
	check("after a restart")
	for _, caller := range []Caller{wallet, bank} {
		for _, c := range into[tspapi.History](t, r.get(caller, &History{}, token)).Changes {
			if c.Row != 0 || strings.Contains(c.Who, "operator") {
				t.Errorf("%v sees %+v", caller, c)
			}
		}
	}
	for _, caller := range []Caller{r.register(), {CallerIssuer, bankB}} {
		if p := problemOf(t, r.get(caller, &History{}, token)); p.Status != 404 {
			t.Error(p)
		}
	}
	if p := problemOf(t, r.get(person, &History{}, strings.Repeat("0", 32))); p.Status != 404 {
		t.Error(p)
	}
}

// TestHistoryIsBounded: the first change and the latest are kept, and how many are not.
func TestHistoryIsBounded(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.active(wallet, number(t, "6299991", 17), "phone-1")
	for i := range maxLived {
		r.do(operator, &Suspension{Suspender: "ISSUER", Reason: "OTHER", Resume: i%2 == 1}, g.Token.Reference)
	}
	h := into[tspapi.History](t, r.get(wallet, &History{}, g.Token.Reference))
	if len(h.Changes) != maxLived || h.Dropped != 2 || h.Changes[0].Event != "decided yellow" || h.Changes[1].Event != "resumed" {
		t.Errorf("%d changes, %d dropped: %+v", len(h.Changes), h.Dropped, h.Changes[:2])
	}
}

func TestHistoryRecord(t *testing.T) {
	h := &history{Token: 7, Dropped: 3, Lived: []lived{
		{1, 2, EventDecideGreen, Active, 0, actorRequestor, "62900000001", "tap"}, {9, 8, 0, Suspended, ByRisk | ByIssuer, actorService, "", ""},
	}}
	text := h.append(nil)
	back, err := parseRecord(h.cell(), text)
	if err != nil || fmt.Sprintf("%+v", back) != fmt.Sprintf("%+v", h) {
		t.Fatalf("%+v, %v", back, err)
	}
	for cut := range text {
		if _, err := parseRecord(h.cell(), text[:cut]); err == nil {
			t.Errorf("%d of %d octets are a history", cut, len(text))
		}
	}
	for at, b := range map[int]byte{0: 2, 5: byte(eventEnd) + 1, 6: 9, 8: 0} {
		bad := bytes.Clone(text)
		bad[at] = b
		if _, err := parseRecord(h.cell(), bad); err == nil {
			t.Errorf("octet %d may be %d", at, b)
		}
	}
	if kindOf(h.cell()) != -1 || kindOf(settingsCell) != -1 || cellOf(kindToken, maxRecords) >= historyBase || historyBase+maxRecords >= settingsCell {
		t.Error("cells of histories are others' too")
	}
}

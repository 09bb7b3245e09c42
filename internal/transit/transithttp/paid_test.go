package transithttp

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// TestWhatARiderSees: what a card paid by itself stands among the journeys, in order of time and outside the total; what an inspector's device found stands beside
// them, for the rider and for the operator.
func TestWhatARiderSees(t *testing.T) {
	h := newHouse(t)
	card := transittest.NewCard(t, 1)
	card.Purse, card.Pays = true, 300
	h.devices["a"].Tap(card, gate.Ride, morning)
	card.Purse, card.Pays = false, 0
	h.devices["a"].Tap(card, gate.In, morning.Add(10*time.Minute))
	h.devices["eye"].Tap(card, gate.Inspect, morning.Add(20*time.Minute))
	h.devices["b"].Tap(card, gate.Out, morning.Add(30*time.Minute))
	h.devices["eye"].Tap(card, gate.Inspect, morning.Add(40*time.Minute))
	for _, name := range []string{"a", "b", "eye"} {
		if status, answer := h.do(http.MethodPost, "/v1/gates/"+name+"/chunks", "", gate.EncodeChunk(h.devices[name].Chunk(0))); status != http.StatusOK {
			t.Fatalf("chunk: %d %s", status, answer)
		}
	}
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	for path, token := range map[string]string{"/v1/rider": riderToken, "/v1/accounts/1": operatorToken} {
		var a Account
		if err := json.Unmarshal(h.want(http.MethodGet, path, token, "", http.StatusOK), &a); err != nil {
			t.Fatal(err)
		}
		if len(a.Journeys) != 2 || a.Total != "5.00" {
			t.Fatalf("%d journeys, %s: %+v", len(a.Journeys), a.Total, a.Journeys)
		}
		if p := a.Journeys[0]; p.State != statePaid || p.Fare != "3.00" || p.Amount != "0.00" || p.Start.Place != "A" || p.Steps[0].EN != "3.00 paid by the card" ||
			p.Steps[0].ZH == "" || p.Start.State == nil {
			t.Errorf("paid by the card: %+v", p)
		}
		if i := a.Inspections; len(i) != 2 || !i[0].Valid || i[0].Journey == nil || i[0].Journey.Device != "a" || i[0].Tap.Place != "train" || i[1].Valid || i[1].Journey != nil {
			t.Errorf("inspections: %+v", i)
		}
	}
}

// TestBoundsOfARider: asking again too often is refused as that, and so is a category that no tariff has.
func TestBoundsOfARider(t *testing.T) {
	h := newHouse(t)
	h.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindSale {
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	h.ride(transittest.NewCard(t, 1))
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`","category":"pensioner"}`, http.StatusConflict)
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`","category":"student"}`, http.StatusOK)
	h.rig.Clock.Set(time.Date(2026, 11, 24, 5, 0, 0, 0, transittest.Shanghai))
	h.want(http.MethodPost, "/v1/days/2026-11-23/close", operatorToken, "", http.StatusOK)
	h.serve(h.rig.Advance(time.Millisecond))
	var a Account
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/rider", riderToken, "", http.StatusOK), &a); err != nil || len(a.Bills) != 1 {
		t.Fatalf("%+v, %v", a.Bills, err)
	}
	pay := "/v1/rider/bills/" + itoa(a.Bills[0].Bill) + "/payments"
	for range 3 {
		h.want(http.MethodPost, pay, riderToken, "", http.StatusAccepted)
	}
	h.want(http.MethodPost, pay, riderToken, "", http.StatusTooManyRequests)
	h.want(http.MethodPost, "/v1/bills/"+itoa(a.Bills[0].Bill)+"/refunds", operatorToken, `{"amount":"0.50"}`, http.StatusOK)
	h.want(http.MethodPost, "/v1/bills/"+itoa(a.Bills[0].Bill)+"/refunds", operatorToken, "{}", http.StatusOK)
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/rider", riderToken, "", http.StatusOK), &a); err != nil || a.Owed != "0.00" {
		t.Errorf("owes %s after the operator took it off, %v", a.Owed, err)
	}
}

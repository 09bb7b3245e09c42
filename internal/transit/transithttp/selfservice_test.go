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

// TestARiderPaysADebt: refused at the close; when there is money the rider asks, and it is paid. Somebody else's bill is nobody's to ask for.
func TestARiderPaysADebt(t *testing.T) {
	h := newHouse(t)
	poor := true
	h.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if poor && m.Info.MessageType == unionpay.KindSale {
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	h.ride(transittest.NewCard(t, 1))
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	h.rig.Clock.Set(time.Date(2026, 11, 24, 5, 0, 0, 0, transittest.Shanghai))
	h.want(http.MethodPost, "/v1/days/2026-11-23/close", operatorToken, "", http.StatusOK)
	h.serve(h.rig.Advance(time.Millisecond))
	rider := func() (a Account) {
		t.Helper()
		if err := json.Unmarshal(h.want(http.MethodGet, "/v1/rider", riderToken, "", http.StatusOK), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := rider()
	if before.Owed != "5.00" || len(before.Bills) != 1 || before.Bills[0].Code != string(unionpay.InsufficientFunds) || before.Bills[0].Answer == nil {
		t.Fatalf("the rider sees %+v", before)
	}
	pay := "/v1/rider/bills/" + itoa(before.Bills[0].Bill) + "/payments"
	h.want(http.MethodPost, pay, riderToken, "", http.StatusAccepted)
	if again := rider(); again.Owed != "5.00" {
		t.Errorf("without money: %+v", again.Bills)
	}
	poor = false
	h.want(http.MethodPost, pay, riderToken, "", http.StatusAccepted)
	if after := rider(); after.Owed != "0.00" || after.Bills[0].State.EN != "paid" || h.bank.Minor != 500 {
		t.Errorf("with money: %+v, the acquirer owes %d", after.Bills, h.bank.Minor)
	}
	h.want(http.MethodPost, pay, riderToken, "", http.StatusConflict)
	h.want(http.MethodPost, pay, operatorToken, "", http.StatusForbidden)
	if err := h.office.Audit(); err != nil {
		t.Error(err)
	}
}

// TestARiderCorrects: where a missing exit was stated, its fare is charged, with the reason; a journey of nobody is not corrected.
func TestARiderCorrects(t *testing.T) {
	h := newHouse(t)
	d := h.devices["a"]
	tap := d.Tap(transittest.NewCard(t, 1), gate.In, morning)
	if status, answer := h.do(http.MethodPost, "/v1/gates/a/chunks", "", gate.EncodeChunk(d.Chunk(0))); status != http.StatusOK {
		t.Fatalf("chunk: %d %s", status, answer)
	}
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	h.rig.Clock.Set(time.Date(2026, 11, 24, 5, 0, 0, 0, transittest.Shanghai))
	where := func(sequence uint64) string { return `{"device":"a","sequence":` + itoa(sequence) + `,"place":"C"}` }
	h.want(http.MethodPost, "/v1/rider/corrections", riderToken, where(tap.Record.Sequence+5), http.StatusConflict)
	h.want(http.MethodPost, "/v1/rider/corrections", operatorToken, where(tap.Record.Sequence), http.StatusForbidden)
	h.want(http.MethodPost, "/v1/rider/corrections", riderToken, where(tap.Record.Sequence), http.StatusNoContent)
	var rider Account
	if err := json.Unmarshal(h.want(http.MethodGet, "/v1/rider", riderToken, "", http.StatusOK), &rider); err != nil {
		t.Fatal(err)
	}
	if j := rider.Journeys[0]; j.State != "corrected" || j.Amount != "5.00" || j.Steps[0].Reason != "corrected" || j.Steps[0].ZH == "" || j.End.Tapped {
		t.Errorf("%+v", j)
	}
}

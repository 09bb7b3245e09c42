package transithttp

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
)

// TestHistory: the operator sees every decision about a rider in pages, with reason and time in both languages; the rider those about money; nobody a number.
func TestHistory(t *testing.T) {
	h := newHouse(t)
	h.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindSale {
			return unionpay.InsufficientFunds
		}
		return unionpay.Approved
	}
	h.ride(transittest.NewCard(t, 1))
	h.want(http.MethodPut, "/v1/accounts/1/enrolment", operatorToken, `{"token":"`+riderToken+`"}`, http.StatusOK)
	h.want(http.MethodPut, "/v1/credentials/1/block", operatorToken, `{"reason":"lost"}`, http.StatusOK)
	h.want(http.MethodDelete, "/v1/credentials/1/block", operatorToken, "", http.StatusOK)
	h.rig.Clock.Set(time.Date(2026, 11, 24, 5, 0, 0, 0, transittest.Shanghai))
	h.want(http.MethodPost, "/v1/days/2026-11-23/close", operatorToken, "", http.StatusOK)
	h.serve(h.rig.Advance(time.Millisecond))
	read := func(path, token string) (all []Decision) {
		t.Helper()
		for after, last := uint64(0), uint64(1); after < last; {
			answer := h.want(http.MethodGet, path+"?most=2&after="+strconv.FormatUint(after, 10), token, "", http.StatusOK)
			var page History
			if err := json.Unmarshal(answer, &page); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(answer), "62999") || len(page.Decisions) > 2 || page.Read <= after || page.Account != 1 || page.Currency != "CNY" {
				t.Fatalf("after row %d: %s", after, answer)
			}
			all, after, last = append(all, page.Decisions...), page.Read, page.Last
		}
		return all
	}
	text := func(all []Decision) (text string) {
		for _, d := range all {
			if d.At == "" || d.What.EN == "" || d.What.ZH == "" {
				t.Errorf("%+v", d)
			}
			text += d.What.EN + " " + d.Amount + "\n"
		}
		return text
	}
	operator, rider := read("/v1/accounts/1/history", operatorToken), read("/v1/rider/history", riderToken)
	for _, want := range []string{"charged: the day's close 5.00", "stopped by the operator: reported lost", "released by the operator", "the rider's app was connected"} {
		if !strings.Contains(text(operator), want) {
			t.Errorf("the operator does not see %q:\n%s", want, text(operator))
		}
	}
	last := rider[len(rider)-1]
	if last.Code != string(unionpay.InsufficientFunds) || last.Class == nil || last.Next == "" || last.Bill == 0 || last.Amount != "5.00" {
		t.Errorf("the rider's last: %+v", last)
	}
	if said := text(rider); strings.Contains(said, "stopped") || strings.Contains(said, "the rider's app") || len(rider) >= len(operator) {
		t.Errorf("the rider sees\n%s", said)
	}
	h.want(http.MethodGet, "/v1/accounts/9/history", operatorToken, "", http.StatusNotFound)
	h.want(http.MethodGet, "/v1/accounts/1/history", riderToken, "", http.StatusForbidden)
	h.want(http.MethodGet, "/v1/rider/history", operatorToken, "", http.StatusForbidden)
	h.want(http.MethodGet, "/v1/accounts/1/history", "", "", http.StatusUnauthorized)
	h.want(http.MethodGet, "/v1/accounts/1/history?most=501", operatorToken, "", http.StatusUnprocessableEntity)
}

package transithttp

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/internal/transit/transittest"
	"tapnet/money"
)

// TestTransactions: journeys leave in pages as fare transactions that add up to what is charged, and only the operator gets them.
func TestTransactions(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		card, in, out := transittest.NewCard(t, i+1), h.devices["a"], h.devices["b"]
		at := morning.Add(time.Duration(i) * time.Minute)
		in.Tap(card, gate.In, at)
		out.Tap(card, gate.Out, at.Add(20*time.Minute))
	}
	for _, name := range []string{"a", "b"} {
		if status, answer := h.do(http.MethodPost, "/v1/gates/"+name+"/chunks", "", gate.EncodeChunk(h.devices[name].Chunk(0))); status != http.StatusOK {
			t.Fatalf("chunk: %d %s", status, answer)
		}
	}
	seen, sum, pages := map[int64]bool{}, int64(0), 0
	for after := "0"; ; pages++ {
		answer := h.want(http.MethodGet, "/v1/transactions?day=2026-11-23&most=2&after="+after, operatorToken, "", http.StatusOK)
		if strings.Contains(string(answer), "62999") {
			t.Error("a page shows card numbers")
		}
		var page Transactions
		if err := json.Unmarshal(answer, &page); err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Riders {
			if seen[r.Account] || len(r.Transactions) != 2 || r.Transactions[0].Action != "Enter" || r.Transactions[1].Action != "Exit" || r.Transactions[1].Device != "b" {
				t.Errorf("account %d: %+v", r.Account, r.Transactions)
			}
			seen[r.Account] = true
			for _, x := range r.Transactions {
				amount, err := money.Parse(x.Amount, money.CNY)
				if err != nil {
					t.Fatal(err)
				}
				sum += amount.Minor()
			}
		}
		if page.Next == 0 {
			break
		}
		after = itoa(uint64(page.Next))
	}
	if len(seen) != 3 || sum != 1500 || pages != 1 {
		t.Errorf("%d riders, %d, %d further pages", len(seen), sum, pages)
	}
	if other := h.want(http.MethodGet, "/v1/transactions?day=2026-11-22", operatorToken, "", http.StatusOK); !strings.Contains(string(other), `"riders":[]`) {
		t.Errorf("another day: %s", other)
	}
	h.want(http.MethodGet, "/v1/transactions?day=monday", operatorToken, "", http.StatusUnprocessableEntity)
	h.want(http.MethodGet, "/v1/transactions?most=501", operatorToken, "", http.StatusUnprocessableEntity)
	h.want(http.MethodGet, "/v1/transactions", "", "", http.StatusUnauthorized)
}

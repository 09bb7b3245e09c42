package issuer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// TestSmallMemory gives the same messages to an issuer that remembers next to nothing, and is restarted now and then, and to one that remembers
// everything: every answer is the same, byte for byte, and so are the journals.
func TestSmallMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		capacity := issuer.Capacity{
			Cards: rapid.IntRange(1, 4).Draw(rt, "cards"), Payments: rapid.IntRange(1, 8).Draw(rt, "payments"), SliceRows: rapid.IntRange(1, 6).Draw(rt, "slice"),
		}
		large := newBank(t)
		small := newBounded(t, large.hsm, capacity)
		rig := networktest.NewRig(t, small, journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
		cards := []*networktest.Card{large.card}
		for id := 2; id <= 6; id++ {
			c := networktest.NewCard(t, fmt.Sprintf("62999900000%05d", id), 50_000)
			large.enrol(c, int64(id))
			cards = append(cards, c)
		}
		for _, row := range large.Rows() { // the same enrolments
			if row.Kind == journal.Opened {
				rig.Command(issuer.Enrol{Enrolment: enrolmentOf(rt, row.Note)})
			}
		}
		var asked []unionpay.Message
		var paid []*unionpay.FinancialRequest
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			var m unionpay.Message
			switch what := rapid.IntRange(0, 9).Draw(rt, "what"); {
			case what < 5:
				large.card = rapid.SampledFrom(cards).Draw(rt, "card")
				minor := rapid.Int64Range(1, 90_000).Draw(rt, "minor")
				request := large.pay(minor)
				if what == 4 {
					request = large.offline(1 + minor%2_000)
				}
				paid, m = append(paid, request), request
			case what < 7 && len(asked) > 0:
				m = rapid.SampledFrom(asked).Draw(rt, "repeat")
			case what < 9 && len(paid) > 0:
				m = networktest.ReversalAtSwitch(rapid.SampledFrom(paid).Draw(rt, "reverse"))
			case what == 9:
				small = newBounded(t, large.hsm, capacity)
				rig = rig.Restart(small)
				continue
			default: // the reversal comes before its request
				request := large.pay(500)
				paid, m = append(paid, request), networktest.ReversalAtSwitch(request)
				asked = append(asked, request)
			}
			asked = append(asked, m)
			want, got := large.Answer(theSwitch, m), rig.Answer(theSwitch, m)
			if !bytes.Equal(got.Bytes, want.Bytes) {
				rt.Fatalf("answer %s, want %s", unionpay.PaymentOf(got.Message).Response, unionpay.PaymentOf(want.Message).Response)
			}
			if err := small.Book().Audit(); err != nil {
				rt.Fatal(err)
			}
		}
		sameJournals(rt, large.Rows(), rig.Rows())
		sameCards(rt, large, small, len(cards))
	})
}

func sameJournals(t *rapid.T, want, got []journal.Row) {
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Chain != want[i].Chain {
			t.Fatalf("row %d differs:\n%+v\nwant\n%+v", i+1, got[i], want[i])
		}
	}
}

func sameCards(t *rapid.T, large *bank, small *issuer.Issuer, n int) {
	for id := int64(1); id <= int64(n); id++ {
		want, _ := large.issuer.Card(id)
		got, found := small.Card(id)
		if !found || got.Status != want.Status || got.Tries != want.Tries || small.Available(id) != large.issuer.Available(id) {
			t.Fatalf("card %d differs: %+v, want %+v", id, got, want)
		}
	}
	for _, account := range []ledger.Account{issuer.AccountScheme, issuer.AccountFunding} {
		if got, want := small.Book().Balance(account), large.issuer.Book().Balance(account); got != want {
			t.Fatalf("account %d: %+v, want %+v", account, got, want)
		}
	}
}

func enrolmentOf(t *rapid.T, note []byte) (e issuer.Enrolment) {
	if err := json.Unmarshal(note, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "run this seed only")
	seedsFlag = flag.Uint64("sim.seeds", 6, "number of seeds to run")
	salesFlag = flag.Int("sim.sales", 40, "sales of each run")
)

// run makes a run and tells how to repeat it when something does not hold.
func run(t *testing.T, seed uint64, o Options) *World {
	t.Helper()
	w, err := New(seed, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(); err != nil {
		t.Fatalf("%v\nrepeat: go test ./internal/sim -run '%s' -sim.seed=%d -sim.sales=%d", err, t.Name(), seed, o.Sales)
	}
	return w
}

func seeds() (first, last uint64) {
	if *seedFlag != 0 {
		return *seedFlag, *seedFlag
	}
	return 1, *seedsFlag
}

func TestRoughNetwork(t *testing.T) {
	ends, total := map[pos.End]int{}, Tally{}
	first, last := seeds()
	for seed := first; seed <= last; seed++ {
		w := run(t, seed, Options{Sales: *salesFlag, Rates: Rough()})
		for end, n := range w.Tally().Ends {
			ends[end] += n
		}
		total.Dropped += w.tally.Dropped
		total.Crashes += w.tally.Crashes
		total.Tears += w.tally.Tears
		total.Interrupted += w.tally.Interrupted
	}
	t.Logf("ends %v, %+v", ends, total)
	if *seedFlag != 0 {
		return
	}
	for _, end := range []pos.End{pos.ApprovedOnline, pos.ApprovedOffline, pos.DeclinedOnline, pos.TakenBack} {
		if ends[end] == 0 {
			t.Errorf("no sale ended as %d: the runs show too little", end)
		}
	}
	if total.Dropped == 0 || total.Crashes == 0 || total.Tears == 0 {
		t.Errorf("too little went wrong: %+v", total)
	}
}

// TestRoughMidnight has the business date change in the middle of what goes wrong.
func TestRoughMidnight(t *testing.T) {
	first, last := seeds()
	for seed := first; seed <= last; seed++ {
		run(t, seed, Options{Sales: *salesFlag, Rates: Rough(), Start: time.Date(2026, 11, 21, 15, 50, 0, 0, time.UTC)})
	}
}

func TestQuietNetwork(t *testing.T) {
	w := run(t, 1, Options{Sales: 30})
	if tally := w.Tally(); tally.Ends[pos.TakenBack] != 0 || tally.Interrupted != 0 || tally.Ends[pos.ApprovedOnline] == 0 || tally.Unread != 0 {
		t.Errorf("tally %+v", tally)
	}
}

func TestTheSameSeedIsTheSameRun(t *testing.T) {
	digest := func(seed uint64) string {
		w := run(t, seed, Options{Sales: 15, Rates: Rough()})
		text := fmt.Sprintf("%+v", w.Tally())
		snapshot, err := w.Snapshot(true)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range snapshot.Members {
			if len(m.Rows) > 0 {
				text += fmt.Sprintf(" %s %d %x", m.Name, len(m.Rows), m.Rows[len(m.Rows)-1].Chain)
			}
		}
		return text
	}
	if a, b := digest(77), digest(77); a != b {
		t.Errorf("two runs of a seed differ:\n%s\n%s", a, b)
	}
	if digest(77) == digest(78) {
		t.Error("two seeds give the same run")
	}
}

// TestALinkCanBeDecidedByHand loses every answer of the switch to the acquirer: each sale is taken back, and nobody owes anything.
func TestALinkCanBeDecidedByHand(t *testing.T) {
	lost := 0
	w, err := New(5, Options{Link: func(p Passage) *Fate {
		_, answer := p.Message.(*unionpay.FinancialResponse)
		if p.To != "30010000" || !answer {
			return nil
		}
		lost++
		return &Fate{}
	}})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		receipt, err := w.Sell(Sale{Merchant: "shop-1", Card: "lin", Minor: 29_900})
		if err != nil || receipt.End != pos.DeclinedOnline || receipt.Code != unionpay.IssuerTimeout {
			t.Fatalf("receipt %v %s, %v", receipt.End, receipt.Code, err)
		}
	}
	if err := w.Settle(); err != nil {
		t.Fatal(err)
	}
	snapshot, err := w.Snapshot(true)
	if err != nil || lost != 3 {
		t.Fatal(lost, err)
	}
	for _, m := range snapshot.Members {
		for account, balance := range m.Balances {
			if balance.DebitsPending != 0 || balance.CreditsPending != 0 {
				t.Errorf("%s %s: account %d still holds money", m.Role, m.Name, account)
			}
		}
	}
}

func TestASaleNeedsCardAndMerchant(t *testing.T) {
	w, err := New(1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Sale{{Merchant: "shop-1", Card: "nobody", Minor: 1}, {Merchant: "nowhere", Card: "lin", Minor: 1}} {
		if _, err := w.Sell(s); err == nil {
			t.Errorf("%+v is sold", s)
		}
	}
}

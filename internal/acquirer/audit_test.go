package acquirer_test

import (
	"strings"
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// findings gives an acquirer's rows to the second opinion on the books.
func findings(t testing.TB, rows []journal.Row, most int64) []string {
	t.Helper()
	desk := verifytest.Desk{Name: own, Calendar: networktest.Shanghai, Rows: rows, Merchants: []verifytest.Merchant{
		{Terminal: networktest.Terminal, Account: acquirer.AccountMerchants, Rides: true, MostMinor: most}, {Terminal: "T0000002", Account: acquirer.AccountMerchants + 1},
	}}
	list, err := desk.Audit(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// gateLife is an operator's day: a ride, its cryptogram played again, and shown again with its request.
func gateLife(t testing.TB) []journal.Row {
	b := newMetro(t, journal.Capacity{}, 1_500)
	first := b.ride(700)
	b.answer(b.forwarded(first), unionpay.Approved)
	b.refused(b.like(first), unionpay.DuplicateTransmission)
	b.answer(b.forwarded(b.naming(first, first)), unionpay.Approved)
	b.refused(b.ride(1_600), unionpay.AmountLimit)
	nothing := b.ride(100)
	nothing.Amount, nothing.Detail = b.request(0).Amount, unionpay.AppendTransit("", unionpay.Transit{Use: unionpay.TransitVerify, Ridden: 20261121})
	nothing.Authorization, nothing.Processing, nothing.Condition, nothing.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.ConditionPreAuth, unionpay.KindPreAuth
	b.answer(b.forwarded(nothing), unionpay.Approved)
	return b.Rows()
}

func TestGatesCryptogramsAreFoundInOrder(t *testing.T) {
	for _, f := range findings(t, gateLife(t), 1_500) {
		t.Error(f)
	}
}

// TestPlantedReuseIsFound changes what the rows say of cryptograms and amounts.
func TestPlantedReuseIsFound(t *testing.T) {
	sound := gateLife(t)
	at := func(kind journal.Kind, n int) int {
		for i := range sound {
			if sound[i].Kind == kind {
				if n--; n < 0 {
					return i
				}
			}
		}
		t.Fatalf("no row of kind %s", kind)
		return 0
	}
	for name, c := range map[string]struct {
		change func([]journal.Row) []journal.Row
		most   int64
		want   string
	}{
		"refused for another reason": {func(rows []journal.Row) []journal.Row {
			rows[at(journal.Declined, 0)].Reason = unionpay.AmountLimit.Pack()
			return rows
		}, 1_500, "reason: found 61"},
		"nothing said of a cryptogram": {func(rows []journal.Row) []journal.Row {
			cut := at(journal.Noted, 0)
			return append(rows[:cut:cut], renumbered(rows[cut+1:cut+2])...)
		}, 1_500, "expected a row before it about its cryptogram"},
		"another first row": {func(rows []journal.Row) []journal.Row {
			rows[at(journal.Noted, 1)].Linked = 2
			return rows
		}, 1_500, "expected the row of the cryptogram's first request"},
		"a cryptogram without its request": {func(rows []journal.Row) []journal.Row {
			rows[at(journal.Noted, 0)].Payment = "T0000001000001000099"
			return rows
		}, 1_500, "key: found"},
		"a request that was refused goes on": {func(rows []journal.Row) []journal.Row {
			rows[at(journal.Noted, 2)].Reason = 2
			return rows
		}, 1_500, "expected a refusal: the cryptogram was used"},
		"above what was agreed": {func(rows []journal.Row) []journal.Row { return rows }, 699, "amount: found 700, expected at most 699"},
	} {
		rows := append([]journal.Row(nil), sound...)
		found := findings(t, c.change(rows), c.most)
		if !strings.Contains(strings.Join(found, "\n"), c.want) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
	}
}

func renumbered(rows []journal.Row) []journal.Row {
	out := append([]journal.Row(nil), rows...)
	for i := range out {
		out[i].Seq--
	}
	return out
}

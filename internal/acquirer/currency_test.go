package acquirer_test

import (
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

func newAbroad(t testing.TB, vault acquirer.Vault, currencies ...uint16) (*acquirer.Acquirer, error) {
	t.Helper()
	return acquirer.New(acquirer.Deps{
		Institution: own, Switch: theSwitch, Vault: vault, PINKey: networktest.PINKey, SealKey: networktest.KeySeal, Calendar: networktest.Shanghai,
		Currency: 156, Currencies: currencies, Capacity: journal.Capacity{Ended: 2, Rows: 2},
		Merchants: []acquirer.Merchant{{ID: networktest.Merchant, Name: "SHOP ONE", Category: "5411"}},
		Terminals: []acquirer.Terminal{{ID: networktest.Terminal, Merchant: networktest.Merchant}},
	})
}

// What a second purse pays is owed in its currency, and in no total of the batch.
func TestAMerchantIsPaidInAnotherCurrency(t *testing.T) {
	vault := networktest.NewHSM(t, 2, map[string]string{theSwitch: "acquirer-switch", networktest.Terminal: "terminal"})
	a, err := newAbroad(t, vault, 344, 446)
	if err != nil {
		t.Fatal(err)
	}
	b := &bank{acquirer: a, vault: vault, hsm: vault, card: networktest.NewCard(t, "", 50_000)}
	b.Rig = networktest.NewRig(t, a, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
	abroad := func(minor int64) *unionpay.FinancialRequest {
		m := b.upload(minor)
		m.Amount = money.New(minor, money.HKD)
		return m
	}
	paid := abroad(3_000)
	if out := b.answer(b.forwarded(paid), unionpay.Approved); code(out[0]) != unionpay.Approved {
		t.Fatalf("answered %s", code(out[0]))
	}
	b.answer(b.forwarded(b.upload(500)), unionpay.Approved)
	check := func() {
		t.Helper()
		for currency, want := range map[uint16]int64{344: 3_000, 156: 500, 446: 0} {
			if got, pending := b.acquirer.Earned(networktest.Terminal, currency); got != want || pending != 0 {
				t.Errorf("%d and %d in %03d, want %d", got, pending, currency, want)
			}
		}
		if err := b.acquirer.Book().Audit(); err != nil {
			t.Error(err)
		}
		if _, totals, _ := b.acquirer.Batch(networktest.Terminal); totals.Debit.Minor != 500 || totals.Debit.Count != 1 {
			t.Errorf("totals %+v", totals)
		}
	}
	check()
	for range 2 {
		if b.acquirer, err = newAbroad(t, vault, 344, 446); err != nil {
			t.Fatal(err)
		}
		b.Rig = b.Restart(b.acquirer)
		check()
		for range 3 { // so that cells are written
			b.answer(b.forwarded(b.request(100)), "51")
		}
	}
	if got := b.acquirer.AccountName(acquirer.AccountMerchants); got != "SHOP ONE" {
		t.Errorf("%q", got)
	}
	yen := b.upload(100)
	if yen.Amount, err = money.Parse("1", mustCurrency(t, "JPY")); err != nil {
		t.Fatal(err)
	}
	if got := code(b.Answer(networktest.Terminal, yen)); got != unionpay.NotPermittedToTerminal {
		t.Errorf("a currency without books is answered %s", got)
	}
	for _, wrong := range [][]uint16{{156}, {344, 344}, {0}} {
		if _, err := newAbroad(t, vault, wrong...); err == nil {
			t.Errorf("currencies %v are taken", wrong)
		}
	}
}

func mustCurrency(t testing.TB, name string) money.Currency {
	t.Helper()
	c, err := money.ParseCurrency(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

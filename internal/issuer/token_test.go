package issuer_test

import (
	"testing"

	"tapnet/emv"
	"tapnet/internal/issuer"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// byToken is a payment as the switch sends it on: the card's number, the phone's chip data, and what the network knows of the token.
func (b *bank) byToken(minor int64, change func(*unionpay.TokenData)) *unionpay.FinancialRequest {
	b.Helper()
	m := b.pay(minor)
	token, err := pan.CompleteLuhn("629998100000001")
	if err != nil {
		b.Fatal(err)
	}
	d := unionpay.TokenData{Token: token, Reference: "T1", PAR: "6299ABCDEFGHIJKLMNOPQRSTUVWXY", Requestor: "62900000001", Assurance: "12",
		Reason: unionpay.TokenResolved, Class: unionpay.ClassCVM, Verification: unionpay.CryptogramVerified, Storage: unionpay.StorageHCE,
		Evidence: &unionpay.TokenEvidence{Method: 2}}
	if change != nil {
		change(&d)
	}
	m.Track2 = pan.Track2{}
	m.ICC.Set(emv.TagAC, []byte("no card!")) // a key of the token's
	if m.Additional, err = d.Opaque(); err != nil {
		b.Fatal(err)
	}
	return m
}

func TestTheNetworkVouchesForAToken(t *testing.T) {
	for name, c := range map[string]struct {
		minor  int64
		change func(*unionpay.TokenData)
		want   issuer.Reason
	}{
		"verified on the phone":  {200_000, nil, issuer.Approved},
		"small, not verified":    {100, func(d *unionpay.TokenData) { d.Class, d.Evidence = unionpay.ClassNoCVM, nil }, issuer.Approved},
		"large, not verified":    {200_000, func(d *unionpay.TokenData) { d.Evidence.Method = 0 }, issuer.AboveNoPINLimit},
		"claimed by a weak key":  {200_000, func(d *unionpay.TokenData) { d.Class = unionpay.ClassNoCVM }, issuer.AboveNoPINLimit},
		"mapped only":            {100, func(d *unionpay.TokenData) { d.Reason = unionpay.TokenMapped }, issuer.ChipDataMissing},
		"no token":               {100, func(d *unionpay.TokenData) { d.Token = pan.Number{} }, issuer.CryptogramWrong},
		"above the card's limit": {99_000_000, nil, issuer.AboveTapLimit},
	} {
		b := newBank(t)
		t.Log(name)
		b.expect(b.byToken(c.minor, c.change), c.want)
	}
}

// TestATokenUsesNoCounterOfTheCard: the plastic goes on where it was, however often the phone pays.
func TestATokenUsesNoCounterOfTheCard(t *testing.T) {
	b := newBank(t)
	for range 3 {
		b.expect(b.byToken(100, nil), issuer.Approved)
		if row := b.LastRow(); row.ATC != 0 {
			t.Errorf("row %d uses counter %d", row.Seq, row.ATC)
		}
	}
	b.expect(b.pay(100), issuer.Approved)
}

package personalization

import "testing"

// The issuer learns of a second currency what the chip and the account in it hold.
func TestTheIssuerLearnsOfASecondCurrency(t *testing.T) {
	p, err := FindProduct("dual-currency")
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.secondRecord(CardSpec{SecondPurse: "20.00", SecondBalance: "5000.00"})
	if err != nil || r == nil || *r != (SecondRecord{Currency: 344, OpeningMinor: 500_000, PurseMinor: 2_000}) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, wrong := range []CardSpec{{SecondPurse: "-1.00"}, {SecondBalance: "much"}, {SecondPurse: "1.005"}} {
		if _, err := p.secondRecord(wrong); err == nil {
			t.Errorf("%q and %q are taken", wrong.SecondPurse, wrong.SecondBalance)
		}
	}
	plain, err := FindProduct("debit")
	if err != nil {
		t.Fatal(err)
	}
	if r, err := plain.secondRecord(CardSpec{}); r != nil || err != nil {
		t.Errorf("a debit card: %+v, %v", r, err)
	}
}

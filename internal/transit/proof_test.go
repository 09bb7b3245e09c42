package transit

import (
	"testing"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/iso8583/unionpay"
)

// TestACryptogramThatMayHaveBeenSeen: the verification was not answered and taken back. The bill shows the same cryptogram again and names that request: its
// issuer knows one of them.
func TestACryptogramThatMayHaveBeenSeen(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if m.Info.MessageType == unionpay.KindPreAuth {
			return ""
		}
		return unionpay.Approved
	}
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	c.closeDay(0)
	bill := c.bank.Requests[len(c.bank.Requests)-1]
	verification := c.bank.Requests[0]
	if bill.Info.MessageType != unionpay.KindSale || string(bill.ICC.Get(emv.TagAC)) != string(verification.ICC.Get(emv.TagAC)) || len(c.bank.Requests) != 2 {
		t.Fatalf("%d requests, the last is of kind %s", len(c.bank.Requests), bill.Info.MessageType)
	}
	if unionpay.OriginalKey(bill) != unionpay.TerminalKey(verification) {
		t.Errorf("names %q, the verification is %q", unionpay.OriginalKey(bill), unionpay.TerminalKey(verification))
	}
	c.oneBill(Paid, 200)
	c.agrees()
	c.sameAfterReplay()
}

// TestARequestWithoutACryptogram names the one that had it; of one that nobody knows the office lets go.
func TestARequestWithoutACryptogram(t *testing.T) {
	c, card := oneRider(t, "aggregate")
	unknown := true
	c.bank.Says = func(m *unionpay.FinancialRequest) unionpay.ResponseCode {
		if unknown && m.Original != nil {
			return unionpay.OriginalNotFound
		}
		return unionpay.Approved
	}
	c.tap(card, "bus", gate.Ride, c.at(0, 8, 10))
	c.upload("bus")
	c.closeDay(0)
	first := c.bank.Requests[len(c.bank.Requests)-1]
	said, err := unionpay.TransitOf(first.Detail)
	if err != nil || said.Use != unionpay.TransitFares || said.Ridden != 20261123 || len(first.ICC.Get(emv.TagAC)) != 0 {
		t.Errorf("%+v, %v", said, err)
	}
	if unionpay.OriginalKey(first) != unionpay.TerminalKey(c.bank.Requests[0]) {
		t.Errorf("names %q", unionpay.OriginalKey(first))
	}
	if c.office.state.credentials[1].proof != nil {
		t.Error("a request that nobody knows is remembered")
	}
	unknown = false
	c.tap(card, "bus", gate.Ride, c.at(1, 8, 10))
	c.upload("bus")
	c.closeDay(1)
	c.at(3, 0, 0)
	if c.bank.Minor != 400 {
		t.Errorf("paid %d", c.bank.Minor)
	}
	c.agrees()
}

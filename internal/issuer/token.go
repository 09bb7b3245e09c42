package issuer

import (
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
)

// A payment by token comes under the card's number, with what the network knows of the token in field 48. The token service has seen to its cryptogram and its
// counter, which are not of this bank's keys; nobody but the switch can put that field there. Everything else is decided as for the card itself.

// tokenOf reads what the network says of a token; nil when the payment has none.
func tokenOf(m *unionpay.FinancialRequest) *unionpay.TokenData {
	if m.Additional == "" {
		return nil
	}
	d, err := unionpay.ParseTokenData(m.Additional)
	if err != nil || d.Token.IsZero() {
		return nil
	}
	return &d
}

// vouch takes the network's word for what a cryptogram would have said of the bank's own card. A verification on the phone is one by the device: it counts as
// one by the card does, where the key that made the cryptogram needs it.
func (r *request) vouch(d *unionpay.TokenData) {
	if d == nil || d.Reason != unionpay.TokenResolved {
		return
	}
	r.token, r.chip, r.chipAgrees, r.requestAC = true, true, true, true
	r.offlinePIN = d.Class == unionpay.ClassCVM && d.Evidence != nil && d.Evidence.Method != 0
}

// tokenApproved says what an approval of a payment by token rests on.
func tokenApproved(verified glossary.Term) glossary.Term {
	return glossary.Term{EN: "approved: the network vouches for the token, " + verified.EN, ZH: "批准：网络已验证令牌，" + verified.ZH}
}

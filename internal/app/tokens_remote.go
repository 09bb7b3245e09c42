package app

import (
	"context"
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/clock"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/internal/trace"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/sdk/hce"
)

// merchantOf finds a merchant's till and reads an amount.
func (n *Network) merchantOf(r PhoneRequest) (*tillNode, TapRequest, error) {
	request := TapRequest{Card: r.Phone, Merchant: r.Merchant}
	till, ok := n.tills[r.Merchant]
	if !ok {
		return nil, request, fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(r.Merchant))
	}
	var err error
	if request.Amount, err = money.Parse(r.Amount, n.options.Profile.Money()); err != nil {
		return nil, request, fmt.Errorf("%w: amount: %w", errBadRequest, err)
	}
	return till, request, n.checkAmount(request)
}

// What the trace shows in the place of a reader's dialogue.
var (
	confirmedInApp = glossary.Term{EN: "confirmed in the app", ZH: "应用内确认支付"}
	merchantNamed  = glossary.Term{EN: "9F16 merchant in the cryptogram's tag", ZH: "9F16 密文标签中的商户"}
)

// phonePay pays in a merchant's application: the phone makes a cryptogram for this merchant and amount, and the merchant's server sends it in the place of a
// till. change, when there is one, is what somebody does to the request on its way.
func (n *Network) phonePay(ctx context.Context, p *phone.Phone, r PhoneRequest, result *PhoneResult, change func(*unionpay.FinancialRequest)) error {
	till, request, err := n.merchantOf(r)
	if err != nil {
		return err
	}
	now := n.options.Clock.Now().In(clock.Shanghai())
	paid, err := p.PayRemote(phone.RemoteRequest{
		Token: r.Token, Verification: phone.Verification(r.Verification), Password: r.Password, Merchant: till.merchant.ID, Country: countryChina,
		Amount: request.Amount, At: now, Random: n.random.source("merchant " + r.Merchant + " " + n.tokens.wallet.key()),
	})
	if result.Token, result.Arm = paid.Token, paid.Code; err != nil || paid.Code != hce.ArmOK {
		return err
	}
	sent := remotePayment(&paid, request.Amount)
	if change != nil {
		change(&sent)
	}
	tapID := n.beginTap(till.merchant.Terminal)
	if atc := paid.ICC.Get(emv.TagATC); len(atc) == 2 { // there is no card at a reader to see
		n.trace.Add(trace.Record{At: now, Role: r.Merchant, Kind: trace.Screen, Title: confirmedInApp,
			Detail: []trace.Line{{Name: merchantNamed, Value: till.merchant.ID}},
			IDs:    []string{tapID, n.trace.CardID(paid.Number, uint16(atc[0])<<8|uint16(atc[1]))}})
	}
	began := time.Now()
	outcome, err := till.core.Send(ctx, sent, nil)
	if err != nil {
		return fmt.Errorf("pay %s with %s: %w", r.Merchant, r.Phone, err)
	}
	tap := n.result(request, &holder{personal: &personalization.Card{PAN: paid.Number}}, remoteReceipt(outcome, request.Amount), tapID)
	tap.Duration = time.Since(began)
	result.Tap, result.Batch, result.STAN = &tap, outcome.Batch, outcome.STAN
	return nil
}

// remotePayment is the request of a merchant's server: no reader, no card, and the phone's cryptogram.
func remotePayment(paid *phone.RemoteResult, amount money.Amount) unionpay.FinancialRequest {
	return unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: paid.Number, Processing: unionpay.ProcessingSale, Amount: amount, Expiry: paid.Expiry, CardSequence: "0" + paid.Sequence,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryManual, false), Condition: unionpay.ConditionNormal, ICC: paid.ICC,
		Info: unionpay.Info{MessageType: unionpay.KindSale, NetworkCode: "000", ReadCapability: unionpay.ReadContactless, ICCondition: unionpay.ICConditionNone},
	}}
}

func remoteReceipt(o pos.Outcome, amount money.Amount) pos.Receipt {
	r := pos.Receipt{Verb: pos.VerbSale, Entry: receipt.Keyed, Amount: amount, STAN: o.STAN, Trace: pos.Trace{Batch: o.Batch, STAN: o.STAN}, Answer: o.Answer,
		Code: o.Answer.Response, Refusal: o.Refusal, End: pos.DeclinedOnline}
	switch {
	case o.Refusal != pos.NotRefused:
		r.End, r.Why, r.Next = pos.NotBegun, o.Refusal.Term(), o.Refusal.Next()
	case o.Reversed:
		r.End, r.Code = pos.TakenBack, unionpay.ReasonTimeout
	case o.Answer.Response.Approved():
		r.End = pos.ApprovedOnline
	}
	return r
}

// otherMerchant is what somebody does who brings one merchant's cryptogram to another: chip data and all.
func otherMerchant(m *unionpay.FinancialRequest) {
	m.ICC.Set(emv.TagMerchant, fmt.Appendf(nil, "%-15s", "301000099990009"))
}

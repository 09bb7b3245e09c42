package app

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"tapnet/internal/app/phone"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/sdk/hce"
)

func inApp(amount string) PhoneRequest {
	return PhoneRequest{Phone: "pixel", Verb: PhonePay, Merchant: "shop-1", Amount: amount, Verification: int32(phone.Fingerprint)}
}

// payWith pays in an application with a request that is changed on its way.
func payWith(ctx context.Context, t *testing.T, n *Network, r PhoneRequest, change func(*unionpay.FinancialRequest)) (result PhoneResult) {
	t.Helper()
	p, err := n.openPhone(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(n.phonePay(ctx, p, r, &result, change), p.Close()); err != nil {
		t.Fatal(err)
	}
	return result
}

// TestPayInApplication: the phone pays without a reader, at the merchant and for the amount that its cryptogram names; what is refused is refused with a
// reason, and no purchase comes of it twice.
func TestPayInApplication(t *testing.T) {
	n, dir := tokenNetwork(t)
	act(t, n, PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT"})
	if r := act(t, n, inApp("1299.00")); !r.Paid() || lastFour(r.Tap.Masked) != r.Status.Tokens[0].LastFour {
		t.Fatalf("arm %d, %+v", r.Arm, r.Tap)
	}
	var sent unionpay.FinancialRequest
	if r := payWith(t.Context(), t, n, inApp("12.50"), func(m *unionpay.FinancialRequest) { sent = *m }); !r.Paid() {
		t.Errorf("%+v", r.Tap)
	}
	for name, try := range map[string]struct {
		change func(*unionpay.FinancialRequest)
		code   string
		reason unionpay.TokenReason
	}{
		"brought to another merchant": {otherMerchant, "03", unionpay.CredentialMerchant},
		"another amount":              {func(m *unionpay.FinancialRequest) { m.Amount = money.New(99_900, money.CNY) }, "59", unionpay.CredentialAmount},
		"shown as a tap": {func(m *unionpay.FinancialRequest) {
			m.EntryMode = unionpay.NewEntryMode(unionpay.EntryManual, false)
			m.ICC.Delete(0x9F16)
		}, "59", unionpay.CredentialEvidence},
	} {
		r := payWith(t.Context(), t, n, inApp("12.50"), try.change)
		if r.Paid() || r.Tap.ResponseCode != try.code {
			t.Errorf("%s: %+v", name, r.Tap)
		}
		text, err := n.TraceOf(t.Context(), r.Tap.Trace)
		if err != nil || !bytes.Contains(text, []byte(try.reason.Term().EN)) {
			t.Errorf("%s: the trace does not say %q: %v", name, try.reason.Term().EN, err)
		}
	}
	nobody := inApp("12.50")
	nobody.Verification = 0
	if r := act(t, n, nobody); r.Tap != nil || r.Arm != hce.ArmArgument {
		t.Errorf("without a verified holder: %+v", r)
	}
	if r := act(t, n, byFinger("12.50")); !r.Paid() {
		t.Errorf("a tap afterwards: %+v", r.Tap)
	}
	// The alarm about a counter that came twice suspends the token (62), before the answer about that counter (59) or after it.
	again := payWith(t.Context(), t, n, inApp("12.50"), func(m *unionpay.FinancialRequest) { m.ICC, m.Amount = sent.ICC, sent.Amount })
	if r := again; r.Paid() || r.Tap.ResponseCode != "59" && r.Tap.ResponseCode != "62" {
		t.Errorf("the cryptogram of an earlier payment: %+v", r.Tap)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("%+v", f)
	}
}

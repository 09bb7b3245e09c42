package main

import (
	"context"
	"errors"
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/app/phone"
	"tapnet/internal/lang"
	"tapnet/money"
	"tapnet/sdk/hce"
)

// phoneReport is an action with a phone of a network, for a program.
type phoneReport struct {
	phone.Status
	Token string  `json:"token,omitempty"`
	Arm   int32   `json:"arm_code,omitempty"`
	Tap   *tapOut `json:"tap,omitempty"`
	Batch uint32  `json:"batch,omitempty"`
	STAN  uint32  `json:"stan,omitempty"`
}

type tapOut struct {
	Paid         bool   `json:"paid"`
	ResponseCode string `json:"response_code,omitempty"`
	RRN          string `json:"rrn,omitempty"`
	Masked       string `json:"masked"`
	Reason       string `json:"reason"`
	Trace        string `json:"trace"`
}

// onNetwork runs the action in the network that runs on the data directory, when that one has a token service. done is false when there is
// none: then a stand-in of the service lies in the phone's own directory.
func (f phoneFlag) onNetwork(ctx context.Context, s *session, r app.PhoneRequest) (result app.PhoneResult, done bool, err error) {
	client, err := app.Dial(ctx, f.dir(s), currency)
	if errors.Is(err, app.ErrNotRunning) {
		return result, false, nil
	}
	if err != nil {
		return result, true, fmt.Errorf("talk to the network on %s: %w", f.dir(s), err)
	}
	r.Phone = f.Phone
	result, err = client.Phone(ctx, r)
	switch {
	case errors.Is(err, app.ErrNoTokens):
		return result, false, nil
	case errors.Is(err, phone.ErrUnknownToken):
		return result, true, unknownToken(r.Token, err)
	case errors.Is(err, phone.ErrInUse):
		return result, true, &problem{code: exitEnvironment, what: lang.PhoneInUse, next: lang.RunAgain, err: err}
	case errors.Is(err, phone.ErrPassword):
		return result, true, &problem{code: exitUsage, what: lang.PhonePassword, next: lang.Verbatim("tapnet phone add --help"), err: err}
	case errors.Is(err, app.ErrUnknownCard), errors.Is(err, app.ErrUnknownMerchant):
		return result, true, unknownName(err, r.Card, r.Merchant)
	case err != nil && r.Verb == app.PhoneAdd:
		return result, true, &problem{code: exitUsage, what: lang.PhoneNotAdded, why: lang.Verbatim(err.Error()),
			next: lang.Verbatim("tapnet phone add --help"), err: err}
	case err != nil:
		return result, true, &problem{code: exitNo, what: lang.PhoneNoKeys, why: lang.Verbatim(err.Error()), next: lang.PhoneUnknownNext, err: err}
	}
	return result, true, nil
}

// throughNetwork is onNetwork for what ends by showing the phone.
func (f phoneFlag) throughNetwork(ctx context.Context, s *session, r app.PhoneRequest, said glossary.Term) (done bool, err error) {
	result, done, err := f.onNetwork(ctx, s, r)
	if !done || err != nil {
		return done, err
	}
	if said.EN != "" && !s.json {
		s.line(s.screen.Mark(true) + " " + s.text(said))
	}
	return true, s.showStatus(f.Phone, result.Status)
}

// addOnNetwork puts a card of the network on the phone.
func (c phoneAddCommand) addOnNetwork(ctx context.Context, s *session, password string) (done bool, err error) {
	result, done, err := c.onNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneAdd, Card: c.Card, Label: c.Label, Password: password})
	if !done || err != nil {
		return done, err
	}
	if s.json {
		return true, s.showStatus(c.Phone, result.Status)
	}
	s.line(s.screen.Mark(true) + " " + s.text(lang.PhoneAdded, result.Token, tapsIn(result.Status, result.Token)))
	s.because(s.out, glossary.Term{}, lang.PhoneTapNext)
	return true, nil
}

func tapsIn(status phone.Status, ref string) int {
	for _, t := range status.Tokens {
		if t.Ref == ref {
			return t.KeysCVM
		}
	}
	return 0
}

// tapOnNetwork holds the phone to a till of the network.
func (c phoneTapCommand) tapOnNetwork(ctx context.Context, s *session, r phone.TapRequest) (done bool, err error) {
	result, done, err := c.onNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneTap, Token: c.Token, Merchant: c.At, Amount: r.Amount.Decimal(),
		Verification: int32(r.Verification), Password: r.Password, NoNetwork: c.NoNetwork})
	if !done || err != nil {
		return done, err
	}
	return true, s.phonePaid(tapCommand{Card: c.Phone, At: c.At, Amount: c.Amount, dataFlag: c.dataFlag}, result)
}

// phonePaid says what became of a payment.
func (s *session) phonePaid(c tapCommand, result app.PhoneResult) error {
	if !result.Paid() {
		s.code = exitNo
	}
	switch {
	case s.json:
		out := phoneReport{Status: result.Status, Token: result.Token, Arm: result.Arm, Batch: result.Batch, STAN: result.STAN}
		if t := result.Tap; t != nil {
			out.Tap = &tapOut{Paid: t.Paid(), ResponseCode: t.ResponseCode, RRN: t.RRN, Masked: t.Masked, Reason: s.text(t.Reason), Trace: t.Trace}
		}
		return s.printJSON(s.out, out)
	case result.Arm != hce.ArmOK || result.Tap == nil:
		s.explain(s.out, phoneRefusal(phone.TapResult{ArmCode: result.Arm}))
	default:
		s.printTap(c, *result.Tap)
		if result.Paid() && result.STAN != 0 {
			s.line("  " + s.text(lang.PhoneSlip, fmt.Sprintf("%06d", result.STAN)))
		}
	}
	return nil
}

type phonePayCommand struct {
	Amount   string `required:"" placeholder:"12.50" help:"${tap_amount}"`
	Merchant string `default:"shop-1" placeholder:"MERCHANT" help:"${phone_pay_merchant}"`
	Token    string `placeholder:"REF" help:"${phone_tap_token}"`
	Verify   string `default:"fingerprint" enum:"fingerprint,password" placeholder:"HOW" help:"${phone_tap_verify}"`
	Password string `placeholder:"DIGITS" help:"${phone_tap_password}"`
	phoneFlag
}

// Run pays in an application of the merchant. It needs a network: there is nobody else to whom a merchant's server could go.
func (c phonePayCommand) Run(ctx context.Context, s *session) error {
	amount, err := money.Parse(c.Amount, currency)
	if err != nil || amount.Sign() <= 0 {
		return &problem{code: exitUsage, what: lang.TapAmount, why: lang.TapAmountWhy, next: lang.PhonePayNext, err: err}
	}
	r := app.PhoneRequest{Verb: app.PhonePay, Token: c.Token, Merchant: c.Merchant, Amount: amount.Decimal(), Verification: int32(phone.Fingerprint)}
	if c.Verify == "password" {
		r.Verification = int32(phone.Password)
		if r.Password, err = s.secret(c.Password); err != nil {
			return err
		}
	}
	result, done, err := c.onNetwork(ctx, s, r)
	switch {
	case err != nil:
		return err
	case !done:
		return &problem{code: exitEnvironment, what: lang.PhonePayAlone, next: lang.Verbatim("tapnet up")}
	}
	return s.phonePaid(tapCommand{Card: c.Phone, At: c.Merchant, Amount: c.Amount, dataFlag: c.dataFlag}, result)
}

package main

import (
	"context"
	"errors"
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/money"
)

type elementCommand struct {
	List      elementListCommand      `cmd:"" help:"${element_list}"`
	Provision elementProvisionCommand `cmd:"" help:"${element_provision}"`
	Tap       elementTapCommand       `cmd:"" help:"${element_tap}"`
	Default   elementDefaultCommand   `cmd:"" help:"${element_default}"`
	Lock      elementLockCommand      `cmd:"" help:"${element_lock}"`
	Unlock    elementUnlockCommand    `cmd:"" help:"${element_unlock}"`
	Delete    elementDeleteCommand    `cmd:"" help:"${element_delete}"`
}

// elementFlag names a phone with a secure element. Such phones lie below the network's data directory.
type elementFlag struct {
	Phone string `default:"phone" placeholder:"NAME" help:"${flag_phone}"`
	dataFlag
}

// ask runs one action in the network that runs on the data directory.
func (f elementFlag) ask(ctx context.Context, s *session, r app.ElementRequest) (app.ElementResult, error) {
	client, err := app.Dial(ctx, f.dir(s), currency)
	if err != nil {
		return app.ElementResult{}, &problem{code: exitEnvironment, what: lang.ElementNoNetwork, next: lang.Verbatim("tapnet up"), err: err}
	}
	r.Phone = f.Phone
	result, err := client.Element(ctx, r)
	if err != nil {
		return result, elementProblem(r, err)
	}
	return result, nil
}

// elementProblem says what went wrong, and what to do.
func elementProblem(r app.ElementRequest, err error) error {
	switch {
	case errors.Is(err, app.ErrNoElements):
		return &problem{code: exitEnvironment, what: lang.ElementNoNetwork, next: lang.Verbatim("tapnet up"), err: err}
	case errors.Is(err, app.ErrElementTorn):
		return &problem{code: exitNo, what: lang.ElementTorn, next: lang.RunAgain, err: err}
	case errors.Is(err, app.ErrElementToken) && r.Token == "":
		return &problem{code: exitUsage, what: lang.ElementWhich, next: lang.ElementListNext, err: err}
	case errors.Is(err, app.ErrElementToken):
		return &problem{code: exitUsage, what: lang.Fill(lang.ElementUnknown, printable(r.Token)), next: lang.ElementListNext, err: err}
	case errors.Is(err, app.ErrElementExists):
		return &problem{code: exitNo, what: lang.ElementExists, next: lang.ElementListNext, err: err}
	case errors.Is(err, app.ErrUnknownCard), errors.Is(err, app.ErrUnknownMerchant):
		return unknownName(err, r.Card, r.Merchant)
	}
	return &problem{code: exitNo, what: lang.ElementRefused, why: lang.Verbatim(err.Error()), next: lang.ElementListNext, err: err}
}

// change runs an action and shows the element after it.
func (f elementFlag) change(ctx context.Context, s *session, r app.ElementRequest, said glossary.Term) error {
	result, err := f.ask(ctx, s, r)
	if err != nil {
		return err
	}
	if said.EN != "" && !s.json {
		s.line(s.screen.Mark(true) + " " + s.text(said, result.Token))
	}
	return s.showElement(f.Phone, result)
}

func (s *session) showElement(name string, result app.ElementResult) error {
	if s.json {
		return s.printJSON(s.out, result)
	}
	s.line(s.screen.Bold(s.text(lang.ElementTitle, name, s.text(result.Status.State))))
	if len(result.Status.Tokens) == 0 {
		s.say(lang.ElementEmpty)
		s.because(s.out, glossary.Term{}, lang.ElementEmptyNext)
		return nil
	}
	t := &lang.Table{Indent: 1, Gap: 2}
	t.Row(s.text(lang.ElementHeadToken), s.text(lang.ElementHeadLabel), s.text(lang.ElementHeadLast), s.text(lang.ElementHeadName), s.text(lang.ElementHeadState))
	for _, one := range result.Status.Tokens {
		state := s.text(one.State)
		if one.Default {
			state = s.text(lang.PhoneDefault) + ", " + state
		}
		t.Row(one.Ref, one.Label, "**** "+one.LastFour, one.AID, state)
	}
	s.table(t)
	return nil
}

type elementListCommand struct{ elementFlag }

// Run shows the applications.
func (c elementListCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementList}, glossary.Term{})
}

type elementProvisionCommand struct {
	Label  string `arg:"" placeholder:"NAME" help:"${element_label}"`
	Card   string `default:"lin" placeholder:"NAME" help:"${element_card}"`
	SM     bool   `name:"sm" help:"${element_sm}"`
	Wallet string `default:"phone" enum:"phone,wearable" placeholder:"PROFILE" help:"${element_wallet}"`
	elementFlag
}

// Run puts a token on the element.
func (c elementProvisionCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementProvision, Card: c.Card, Label: c.Label, SM: c.SM, Wallet: c.Wallet}, lang.ElementProvisioned)
}

type elementTapCommand struct {
	Amount string `required:"" placeholder:"12.50" help:"${tap_amount}"`
	At     string `default:"shop-1" placeholder:"MERCHANT" help:"${phone_tap_at}"`
	PIN    string `name:"pin" placeholder:"DIGITS" help:"${element_pin}"`
	elementFlag
}

// Run taps. The answer is no when nothing was paid.
func (c elementTapCommand) Run(ctx context.Context, s *session) error {
	amount, err := money.Parse(c.Amount, currency)
	if err != nil || amount.Sign() <= 0 {
		return &problem{code: exitUsage, what: lang.TapAmount, why: lang.TapAmountWhy, next: lang.ElementTapNext, err: err}
	}
	pin, err := s.secret(c.PIN)
	if err != nil {
		return err
	}
	result, err := c.ask(ctx, s, app.ElementRequest{Verb: app.ElementTap, Merchant: c.At, Amount: amount.Decimal(), PIN: pin})
	if err != nil {
		return err
	}
	if result.Tap == nil {
		return fmt.Errorf("tap %s: no result", printable(c.Phone))
	}
	if !result.Tap.Paid() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, struct {
			Token string `json:"token,omitempty"`
			*tapOut
		}{result.Token, &tapOut{Paid: result.Tap.Paid(), ResponseCode: result.Tap.ResponseCode, RRN: result.Tap.RRN, Masked: result.Tap.Masked,
			Reason: s.text(result.Tap.Reason), Trace: result.Tap.Trace}})
	}
	s.printTap(tapCommand{Card: c.Phone, At: c.At, Amount: c.Amount, dataFlag: c.dataFlag}, *result.Tap)
	return nil
}

// elementTokenFlag names a token.
type elementTokenFlag struct {
	Token string `arg:"" optional:"" placeholder:"REF" help:"${element_token}"`
	elementFlag
}

type elementDefaultCommand struct{ elementTokenFlag }

// Run makes a token the default one.
func (c elementDefaultCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementDefault, Token: c.Token}, lang.ElementDefaulted)
}

type elementLockCommand struct{ elementTokenFlag }

// Run locks a token.
func (c elementLockCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementLock, Token: c.Token}, lang.ElementLocked)
}

type elementUnlockCommand struct{ elementTokenFlag }

// Run unlocks it.
func (c elementUnlockCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementUnlock, Token: c.Token}, lang.ElementUnlocked)
}

type elementDeleteCommand struct{ elementTokenFlag }

// Run deletes a token.
func (c elementDeleteCommand) Run(ctx context.Context, s *session) error {
	return c.change(ctx, s, app.ElementRequest{Verb: app.ElementDelete, Token: c.Token}, lang.ElementDeleted)
}

package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/sdk/hce/soft"
)

// webhookTaker takes what the token service tells.
type webhookTaker = func(peer string, hook *tsp.Webhook) error

// hooks are the one-time codes that banks were told to send.
type hooks struct {
	mu    sync.Mutex
	seen  map[string]bool // by the hook's id: what nobody has acknowledged comes again
	last  *tsp.Webhook
	taken []tsp.Delivered // to be acknowledged
}

// take implements TokenServiceOptions.Webhook.
func (h *hooks) take(peer string, hook *tsp.Webhook) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[string]bool{}
	}
	if h.seen[hook.ID] {
		return nil
	}
	h.seen[hook.ID] = true
	h.taken = append(h.taken, tsp.Delivered{Peer: peer, ID: hook.ID})
	if len(hook.Code) > 0 {
		h.last = hook
	}
	return nil
}

// acknowledge tells the token service what was taken.
func (h *hooks) acknowledge(ctx context.Context, service *TokenNode) error {
	h.mu.Lock()
	taken := h.taken
	h.taken = nil
	h.mu.Unlock()
	for _, d := range taken {
		if _, err := service.ask(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (h *hooks) latest() *tsp.Webhook {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

// stranger adds a card whose number they know, on a phone of theirs, and reads the text messages that its holder should get.
type stranger struct {
	*line
	hooks      *hooks
	owner      string
	simChanged bool
	code       bool // answers the one-time code; otherwise the bank's app has confirmed
	decision   tspapi.Provisioned
	activated  tspapi.Token
}

var _ phone.Provider = (*stranger)(nil)

// NewToken implements phone.Provider.
func (s *stranger) NewToken(device, card string) (soft.TokenOrder, error) {
	w, service := s.wallet, s.service()
	h, known := w.n.holderNamed(card)
	if !known {
		return soft.TokenOrder{}, fmt.Errorf("%w: %q", ErrUnknownCard, shown(card))
	}
	record, number := h.personal.Record, h.personal.PAN
	d := tspapi.Device{Reference: device, Attestation: "software", Owner: s.owner, SIMChanged: s.simChanged}
	e, err := askToken[tspapi.Eligible](s.ctx, service, &tsp.Command{Caller: w.caller, Number: number,
		Body: &tspapi.Eligibility{Storage: w.storage, Device: d, Expiry: record.Expiry}})
	if err != nil {
		return soft.TokenOrder{}, err
	}
	p, sealed, err := askTokenSealed[tspapi.Provisioned](s.ctx, service, &tsp.Command{Caller: w.caller, Key: w.key(), Number: number, Body: &tspapi.Provision{
		Eligibility: e.ID, Terms: e.Terms, Storage: w.storage, Device: d, Expiry: record.Expiry, Sequence: record.Sequence, Source: "manual", Score: 3}})
	if err != nil {
		return soft.TokenOrder{}, err
	}
	s.decision = p
	token, err := service.Core().OpenToken(sealed)
	if err != nil {
		return soft.TokenOrder{}, err
	}
	expiry, err := pan.ParseExpiry(p.Token.Expiry)
	if err == nil && s.code {
		err = s.answer(p.Token.Reference)
	} else if err == nil {
		err = s.verified(p.Token.Reference, record.Issuer, false)
	}
	return soft.TokenOrder{Ref: p.Token.Reference, Number: token, Expiry: expiry}, err
}

// answer asks for a one-time code and gives it: the text message arrives at the wrong phone.
func (s *stranger) answer(reference string) error {
	before := s.hooks.latest()
	_, err := askToken[tspapi.Challenged](s.ctx, s.service(), &tsp.Command{Caller: s.wallet.caller, Key: s.wallet.key(), Token: reference,
		Body: &tspapi.Challenge{Method: "otp"}})
	if err != nil {
		return err
	}
	sent := s.hooks.latest()
	for sent == before { // the message leaves after the commit, beside the reply
		if err := s.wallet.n.tokens.service.look(s.ctx, func() {}); err != nil {
			return err
		}
		sent = s.hooks.latest()
	}
	code, err := s.service().Core().OpenCode(sent)
	if err != nil {
		return err
	}
	s.activated, err = askToken[tspapi.Token](s.ctx, s.service(), &tsp.Command{Caller: s.wallet.caller, Key: s.wallet.key(), Token: reference,
		Body: &tspapi.Activate{Code: code}})
	return err
}

// strange adds a card to a phone as a stranger does, and says whether the phone got keys.
func (d *drilled) strange(ctx context.Context, name, card string, s *stranger) error {
	s.line, s.hooks = d.Network.tokens.wallet.line(ctx, name), d.hooks
	p, err := d.openPhoneAt(ctx, PhoneRequest{Phone: name}, s)
	if err != nil {
		return err
	}
	_, err = p.AddCard("STOLEN", "", card)
	return errors.Join(err, p.Close(), d.passOn(ctx))
}

// swapped: a code by text message gives no token that is worth having.
func (d *drilled) swapped(ctx context.Context) error {
	thief := &stranger{code: true, simChanged: true}
	// What becomes of the keys is told by the taps.
	err := d.strange(ctx, "swapped", "tao", thief)
	var refused *tspapi.Problem
	if err != nil && errors.As(err, &refused) {
		return err
	}
	d.note(thief.decision.Decision == "yellow" && strings.Contains(strings.Join(thief.decision.Reasons, " "), "SIM changed"),
		glossary.Term{EN: "the number typed into a phone, the SIM is hours old", ZH: "手工输入卡号，SIM 刚更换数小时"},
		glossary.Term{EN: "yellow: the holder must be verified", ZH: "黄色：须验证持卡人"})
	d.note(thief.activated.State == tsp.Suspended.String(), glossary.Term{EN: "the one-time code, right: it came to the thief", ZH: "短信验证码正确：短信到了盗用者手中"},
		glossary.Term{EN: "the token stays suspended until the bank has looked", ZH: "令牌保持暂停，待银行核查"})
	result, err := d.act(ctx, "swapped", byFingerprint("20.00"))
	if err != nil {
		return err
	}
	if result.Tap == nil {
		d.note(result.Arm == -2, glossary.Term{EN: "it taps", ZH: "挥卡"}, ended(&result))
	} else if err := d.refusedFor(ctx, glossary.Term{EN: "it taps", ZH: "挥卡"}, &result, unionpay.TokenSuspended); err != nil {
		return err
	}
	return d.unnoticed(ctx)
}

// unnoticed: nobody knew of the SIM. The text message alone gives small payments, and the bank has been told.
func (d *drilled) unnoticed(ctx context.Context) error {
	thief := &stranger{code: true}
	if err := d.strange(ctx, "unnoticed", "lin", thief); err != nil {
		return err
	}
	d.note(thief.activated.State == tsp.Active.String() && thief.activated.Limited, glossary.Term{EN: "the same, and nobody knew of the SIM", ZH: "同样手法，且无人知道换了 SIM"},
		glossary.Term{EN: "active, with the limits of a text message", ZH: "已激活，但仅有短信验证的限额"})
	result, err := d.act(ctx, "unnoticed", byFingerprint("500.01"))
	if err != nil {
		return err
	}
	if err := d.refusedFor(ctx, glossary.Term{EN: "a tap of 500.01", ZH: "挥卡500.01"}, &result, unionpay.TokenAssuranceLimit); err != nil {
		return err
	}
	_, err = askToken[tspapi.Token](ctx, d.Network.tokens.service, &tsp.Command{Caller: tokenOperator, Key: d.Network.tokens.wallet.key(),
		Token: thief.activated.Reference, Body: &tsp.Suspension{Suspender: "ISSUER", Reason: "FRAUD"}})
	if err := errors.Join(err, d.passOn(ctx)); err != nil {
		return err
	}
	if result, err = d.act(ctx, "unnoticed", byFingerprint("20.00")); err != nil {
		return err
	}
	return d.refusedFor(ctx, glossary.Term{EN: "the holder asks the bank: what token is that?", ZH: "持卡人向银行询问该令牌，银行随即停用"}, &result, unionpay.TokenSuspended)
}

// mule: cards of several people, or too many of one, do not come onto one phone.
func (d *drilled) mule(ctx context.Context) error {
	if err := d.strange(ctx, "shared", "wang", &stranger{owner: "person-1"}); err != nil {
		return err
	}
	red := func(err error, why string) bool {
		var refused *tspapi.Problem
		return errors.As(err, &refused) && refused.Code == "red" && strings.Contains(refused.Reason, why)
	}
	err := d.strange(ctx, "shared", "liu", &stranger{owner: "person-2"})
	d.note(red(err, "another person"), glossary.Term{EN: "a second person's card on the phone", ZH: "手机再绑另一人的卡"},
		glossary.Term{EN: "red: device of another person", ZH: "红色：设备属于他人"})
	cards := []string{"lin", "zhao", "sun", "mei", "tao"}
	for i, card := range cards {
		s := &stranger{owner: "person-1"}
		err := d.strange(ctx, "shared", card, s)
		tried := glossary.Term{EN: fmt.Sprintf("card %d of the first person", i+2), ZH: fmt.Sprintf("本人的第%d张卡", i+2)}
		watched := strings.Contains(strings.Join(s.decision.Reasons, " "), "many cards")
		switch {
		case i+1 >= walletTokens:
			d.note(red(err, "too many cards"), tried, glossary.Term{EN: "red: too many cards on the device", ZH: "红色：设备绑卡过多"})
		case i+1 >= walletWatched:
			d.note(err == nil && watched, tried, glossary.Term{EN: "the holder is asked again: many cards on the device", ZH: "须再次验证：设备绑卡较多"})
		default:
			d.note(err == nil && !watched, tried, glossary.Term{EN: "taken, the bank has confirmed", ZH: "绑定成功，银行已确认"})
		}
	}
	return nil
}

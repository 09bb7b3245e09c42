package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"tapnet/apdu"
	"tapnet/emv/cloudkey"
	"tapnet/internal/app/phone"
	"tapnet/internal/clock"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/pinblock"
	"tapnet/sdk/hce"
)

// phoneDirectory holds the phones whose tokens are of this network's token service.
const phoneDirectory = "network-phones"

// PhoneVerb is what somebody does with a phone.
type PhoneVerb string

// The verbs.
const (
	PhoneShow    PhoneVerb = "show"
	PhoneAdd     PhoneVerb = "add"
	PhoneTap     PhoneVerb = "tap"
	PhonePay     PhoneVerb = "pay" // in an application, without a reader
	PhoneRefresh PhoneVerb = "refresh"
	PhoneLose    PhoneVerb = "lose"
	PhoneFind    PhoneVerb = "find"
	PhoneDefault PhoneVerb = "default"
	PhoneRemove  PhoneVerb = "remove"
)

// PhoneRequest is one action with a phone of this network.
type PhoneRequest struct {
	Verb  PhoneVerb `json:"verb"`
	Phone string    `json:"phone"`
	// Add: the card, as the world names it, what the phone shows of it, and the payment password.
	Card     string `json:"card,omitempty"`
	Label    string `json:"label,omitempty"`
	Password string `json:"password,omitempty"` // of Add, and of a Tap verified by it
	// Tap, Default, Remove: a token by its reference; "" is the default one.
	Token        string `json:"token,omitempty"`
	Merchant     string `json:"merchant,omitempty"`
	Amount       string `json:"amount,omitempty"` // decimal
	Verification int32  `json:"verification,omitempty"`
	NoNetwork    bool   `json:"no_network,omitempty"`
}

// PhoneResult is what became of it.
type PhoneResult struct {
	Status phone.Status `json:"status"`
	Token  string       `json:"token,omitempty"`    // added or tapped
	Arm    int32        `json:"arm_code,omitempty"` // hce.ArmOK, or why the phone was not ready to tap
	Tap    *TapResult   `json:"tap,omitempty"`
	// Batch and STAN name the payment at its till, as its slip does: what a void or a refund is about.
	Batch uint32 `json:"batch,omitempty"`
	STAN  uint32 `json:"stan,omitempty"`
}

// Paid reports whether a tap was approved.
func (r PhoneResult) Paid() bool { return r.Tap != nil && r.Tap.Paid() }

// ErrNoTokens says that the network does not run the roles for phones, or not in this process.
var ErrNoTokens = errors.New("this network has no token service and cloud secure element")

// errPhoneName refuses a name that is no file's.
var errPhoneName = fmt.Errorf("%w: a phone's name has letters, digits and dashes", errBadRequest)

// PhoneWorld is what a world can do with phones.
type PhoneWorld interface {
	// Phone runs one action. A tap that pays nothing is in the result; errors.Is finds phone.ErrUnknownToken, phone.ErrPassword, phone.ErrInUse and ErrNoTokens.
	Phone(ctx context.Context, r PhoneRequest) (PhoneResult, error)
}

// Phone implements PhoneWorld.
func (n *Network) Phone(ctx context.Context, r PhoneRequest) (result PhoneResult, err error) {
	p, err := n.openPhone(ctx, r)
	if err != nil {
		return PhoneResult{}, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	if err := n.actOn(ctx, p, r, &result); err != nil {
		return PhoneResult{}, err
	}
	result.Status, err = p.Status()
	return result, err
}

func (n *Network) openPhone(ctx context.Context, r PhoneRequest) (*phone.Phone, error) {
	if n.tokens.wallet == nil {
		return nil, ErrNoTokens
	}
	return n.openPhoneAt(ctx, r, n.tokens.wallet.line(ctx, r.Phone))
}

// openPhoneAt switches a phone on that speaks to the cloud through something.
func (n *Network) openPhoneAt(_ context.Context, r PhoneRequest, cloud phone.Cloud) (*phone.Phone, error) {
	w := n.tokens.wallet
	if cloudkey.CheckRef(r.Phone) != nil {
		return nil, errPhoneName
	}
	return phone.Open(phone.Options{
		Dir: filepath.Join(n.options.Dir, phoneDirectory, r.Phone), Random: n.random.source("phone " + r.Phone + " " + w.key()), Now: n.options.Clock.Now,
		Cloud: cloud, Offline: r.NoNetwork, Unsynced: n.options.byHand,
	})
}

// actOn runs the verb.
func (n *Network) actOn(ctx context.Context, p *phone.Phone, r PhoneRequest, result *PhoneResult) (err error) {
	switch r.Verb {
	case PhoneShow:
	case PhoneAdd:
		result.Token, err = p.AddCard(r.Label, r.Password, r.Card)
	case PhoneTap:
		return n.phoneTap(ctx, p, r, result, nil)
	case PhonePay:
		return n.phonePay(ctx, p, r, result, nil)
	case PhoneRefresh:
		err = p.Refresh()
	case PhoneLose:
		err = p.Lose()
	case PhoneFind:
		err = p.Find()
	case PhoneDefault:
		err = p.Engine.SetDefault(r.Token)
	case PhoneRemove:
		err = p.Engine.RemoveToken(r.Token)
	default:
		err = fmt.Errorf("%w: there is no verb %q", errBadRequest, shown(string(r.Verb)))
	}
	return err
}

// phoneTap arms the phone and holds it to a till's reader. The till takes it for a card. between, when there is one, is what stands between the two.
func (n *Network) phoneTap(ctx context.Context, p *phone.Phone, r PhoneRequest, result *PhoneResult, between func(apdu.Transceiver) apdu.Transceiver) error {
	till, request, err := n.merchantOf(r)
	if err != nil {
		return err
	}
	token, number, code, err := p.Arm(phone.TapRequest{Token: r.Token, Verification: phone.Verification(r.Verification), Password: r.Password})
	if result.Token, result.Arm = token, code; err != nil || code != hce.ArmOK {
		return err
	}
	reader, leave := p.Field()
	defer leave()
	if between != nil {
		reader = between(reader)
	}
	tapID := n.beginTap(till.merchant.Terminal)
	began := time.Now()
	receipt, err := till.core.Sell(ctx, reader, pos.Sale{
		Amount: request.Amount, Now: func() time.Time { return n.options.Clock.Now().In(clock.Shanghai()) }, OfflineOnly: till.merchant.Offline,
		EnterPIN: func() (pinblock.PIN, bool) { return pinblock.PIN{}, false },
	})
	if err != nil {
		return fmt.Errorf("tap %s at %s: %w", r.Phone, r.Merchant, err)
	}
	tap := n.result(request, &holder{personal: &personalization.Card{PAN: number}}, receipt, tapID)
	tap.Duration = time.Since(began)
	result.Tap, result.Batch, result.STAN = &tap, receipt.Trace.Batch, receipt.STAN
	return nil
}

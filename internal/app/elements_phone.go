package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"tapnet/apdu"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/internal/app/handset"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/money"
	"tapnet/pinblock"
	"tapnet/scp03"
)

// Phones with a secure element, and the wallet on them.
const (
	handsetDirectory  = "element-phones"
	elementWalletName = "tapnet-element-wallet"
	elementStorage    = "SE"
	elementProfile    = "phone"
)

// ElementVerb is what somebody does with a phone that has a secure element.
type ElementVerb string

// The verbs.
const (
	ElementList      ElementVerb = "list"
	ElementProvision ElementVerb = "provision"
	ElementTap       ElementVerb = "tap"
	ElementDefault   ElementVerb = "default"
	ElementLock      ElementVerb = "lock"
	ElementUnlock    ElementVerb = "unlock"
	ElementDelete    ElementVerb = "delete"
)

// ElementRequest is one action with such a phone.
type ElementRequest struct {
	Verb  ElementVerb `json:"verb"`
	Phone string      `json:"phone"`
	// Provision: the card, as the world names it, what the phone shows of it, the algorithms, and the profile of the phone's wallet.
	Card   string `json:"card,omitempty"`
	Label  string `json:"label,omitempty"`
	SM     bool   `json:"sm,omitempty"` // SM2 and SM4 in place of RSA and triple DES
	Wallet string `json:"wallet,omitempty"`
	// Default, Lock, Unlock, Delete: a token by its reference; "" is the first.
	Token string `json:"token,omitempty"`
	// Tap.
	Merchant string `json:"merchant,omitempty"`
	Amount   string `json:"amount,omitempty"` // decimal
	PIN      string `json:"pin,omitempty"`
}

// ElementResult is what became of it.
type ElementResult struct {
	Status ElementStatus `json:"status"`
	Token  string        `json:"token,omitempty"`
	Tap    *TapResult    `json:"tap,omitempty"`
}

// ElementStatus is a phone's secure element.
type ElementStatus struct {
	SEID   string                `json:"seid"`
	State  glossary.Term         `json:"state"`
	Tokens []ElementTokenOfPhone `json:"tokens"`
}

// ElementTokenOfPhone is an application of it, in the order of selection.
type ElementTokenOfPhone struct {
	Ref      string        `json:"ref,omitempty"` // empty: the service manager does not know it
	AID      string        `json:"aid"`
	Label    string        `json:"label,omitempty"`
	Card     string        `json:"card,omitempty"`
	LastFour string        `json:"last_four,omitempty"`
	State    glossary.Term `json:"state"`             // on the element
	Service  string        `json:"service,omitempty"` // as the service manager knows it
	Default  bool          `json:"default,omitempty"`
}

// Errors of phones with secure elements.
var (
	ErrNoElements      = errors.New("this network has no service manager for secure elements")
	ErrElementTorn     = handset.ErrTorn
	ErrElementToken    = errors.New("there is no such token on the secure element")
	ErrElementExists   = errors.New("the card is on the secure element already")
	errElementNoAnswer = errors.New("the token service answers with nothing to put on the secure element")
)

// ElementWorld is what a world can do with secure elements.
type ElementWorld interface {
	// Element runs one action. errors.Is finds ErrNoElements, ErrElementTorn, ErrElementToken, ErrElementExists, ErrUnknownCard and ErrUnknownMerchant.
	Element(ctx context.Context, r ElementRequest) (ElementResult, error)
}

var (
	_ ElementWorld = (*Network)(nil)
	_ ElementWorld = (*Client)(nil)
)

// elementOptions are what a story changes about an action.
type elementOptions struct {
	between func(apdu.Transceiver) apdu.Transceiver // between the phone's software and its element
}

// Element implements ElementWorld.
func (n *Network) Element(ctx context.Context, r ElementRequest) (ElementResult, error) {
	return n.element(ctx, r, elementOptions{})
}

func (n *Network) element(ctx context.Context, r ElementRequest, o elementOptions) (ElementResult, error) {
	h, release, err := n.openHandset(r, o)
	if err != nil {
		return ElementResult{}, err
	}
	defer release()
	a := &elementAction{n: n, h: h, r: r}
	if r.Verb != ElementTap {
		if err := h.Register(ctx); err != nil {
			return ElementResult{}, err
		}
	}
	if err := a.do(ctx); err != nil {
		return ElementResult{}, err
	}
	a.result.Status, err = n.elementStatus(ctx, h)
	return a.result, err
}

// openHandset switches the phone on. Until release it is this caller's.
func (n *Network) openHandset(r ElementRequest, o elementOptions) (*handset.Handset, func(), error) {
	w := n.elements
	if w == nil || w.wallet == nil {
		return nil, nil, ErrNoElements
	}
	if cloudkey.CheckRef(r.Phone) != nil {
		return nil, nil, errPhoneName
	}
	mutex, _ := w.phones.LoadOrStore(r.Phone, new(sync.Mutex))
	mu := mutex.(*sync.Mutex) //nolint:forcetypeassert // nothing else is stored
	mu.Lock()
	wallet := r.Wallet
	if wallet == "" {
		wallet = elementProfile
	}
	h, err := handset.Open(handset.Options{
		Dir: filepath.Join(n.options.Dir, handsetDirectory, r.Phone), Random: n.random.source("element phone " + r.Phone + " " + w.wallet.key()), Wallet: wallet,
		Service: handset.Service{Base: w.line.base, HTTP: w.line.client}, Between: o.between,
		Inject: func(serial scp03.Diversification) (scp03.Keys, error) {
			return n.vaults[ElementService].InjectElement(hsm.ElementKeys{Master: keyElements, Element: serial})
		},
	})
	if err != nil {
		mu.Unlock()
		return nil, nil, err
	}
	return h, mu.Unlock, nil
}

// elementStatus joins what the element says of itself, what the service manager knows of it, and what the tokens are.
func (n *Network) elementStatus(ctx context.Context, h *handset.Handset) (ElementStatus, error) {
	s := ElementStatus{SEID: h.SEID(), State: h.Life().Term(), Tokens: []ElementTokenOfPhone{}}
	known, err := h.Standing(ctx)
	var refused *handset.Refused
	if err != nil && !(errors.As(err, &refused) && refused.Status == http.StatusNotFound) {
		return s, err
	}
	for at, on := range h.Applications() {
		one := ElementTokenOfPhone{AID: on.AID.String(), State: on.Life.Term(), Default: at == 0}
		for _, a := range known.Applications {
			if a.AID == one.AID {
				one.Ref, one.Service = a.Token, string(a.State)
			}
		}
		if t, found := n.elements.tokens.find(one.Ref); found {
			one.Label, one.Card, one.LastFour = t.Label, t.Card, t.LastFour
		}
		s.Tokens = append(s.Tokens, one)
	}
	return s, nil
}

// elementAction is one action under way.
type elementAction struct {
	n      *Network
	h      *handset.Handset
	r      ElementRequest
	result ElementResult
}

func (a *elementAction) do(ctx context.Context) error {
	switch a.r.Verb {
	case ElementList:
		return nil
	case ElementProvision:
		return a.provision(ctx)
	case ElementTap:
		return a.tap(ctx)
	}
	ref, err := a.token()
	if err != nil {
		return err
	}
	a.result.Token = ref
	switch a.r.Verb {
	case ElementDefault:
		_, err = a.h.Run(ctx, tsmapi.Default, ref)
		return err
	case ElementLock: // the token first: it stops wherever the phone is
		if err := a.suspend(ctx, ref, false); err != nil {
			return err
		}
		return a.bring(ctx, tsmapi.Lock, ref, tsmapi.Locked)
	case ElementUnlock:
		if err := a.bring(ctx, tsmapi.Unlock, ref, tsmapi.Active); err != nil {
			return err
		}
		return a.suspend(ctx, ref, true)
	case ElementDelete:
		return a.delete(ctx, ref)
	}
	return fmt.Errorf("%w: there is no verb %q", errBadRequest, shown(string(a.r.Verb)))
}

// bring runs a session, unless the application is where it leads: what follows it was lost the time before.
func (a *elementAction) bring(ctx context.Context, kind tsmapi.Kind, ref string, to tsmapi.State) error {
	known, err := a.h.Standing(ctx)
	if err != nil {
		return err
	}
	for _, app := range known.Applications {
		if app.Token == ref && app.State == to {
			return nil
		}
	}
	_, err = a.h.Run(ctx, kind, ref)
	return err
}

// token finds the token of the request: the one it names, or the first on the element.
func (a *elementAction) token() (string, error) {
	all := a.n.elements.tokens.of(a.h.SEID())
	if a.r.Token != "" {
		if _, known := all[a.r.Token]; !known {
			return "", fmt.Errorf("%w: %q", ErrElementToken, shown(a.r.Token))
		}
		return a.r.Token, nil
	}
	if refs := sorted(all); len(refs) == 1 {
		return refs[0], nil
	}
	return "", ErrElementToken
}

// provision gets a token for a card, and puts it on the element. What a torn session left is taken up again.
func (a *elementAction) provision(ctx context.Context) error {
	ref, err := a.order(ctx)
	if err != nil {
		return err
	}
	a.result.Token = ref
	_, err = a.h.Run(ctx, tsmapi.Personalize, ref)
	return err
}

// order is the token to put on the element: one that never got there, or a new one.
func (a *elementAction) order(ctx context.Context) (string, error) {
	known, err := a.h.Standing(ctx)
	if err != nil {
		return "", err
	}
	there := map[string]tsmapi.State{}
	for _, app := range known.Applications {
		there[app.Token] = app.State
	}
	for ref, one := range a.n.elements.tokens.of(a.h.SEID()) {
		if one.Card != a.r.Card {
			continue
		}
		if state := there[ref]; state != "" && state != tsmapi.Loading {
			return "", ErrElementExists
		}
		return ref, nil
	}
	line := a.n.elements.wallet.line(ctx, a.r.Phone)
	order, err := line.NewToken("se-"+a.h.SEID(), a.r.Card)
	if err != nil {
		return "", err
	}
	if order.Ref == "" || order.Number.IsZero() {
		return "", errElementNoAnswer
	}
	algorithm := cryptogram.TDES().AlgorithmID()
	if a.r.SM {
		algorithm = cryptogram.SM4().AlgorithmID()
	}
	return order.Ref, a.n.elements.tokens.put(order.Ref, order.Number, elementToken{
		Phone: a.r.Phone, SEID: a.h.SEID(), Card: a.r.Card, Label: a.r.Label, Expiry: order.Expiry.YYMM(), Algorithm: algorithm,
	})
}

// suspend stops the token at the token service, in the cardholder's name, or lets it go on. What is so already stays so.
func (a *elementAction) suspend(ctx context.Context, ref string, resume bool) error {
	w := a.n.elements.wallet
	_, err := askToken[tspapi.Token](ctx, a.n.tokens.service, &tsp.Command{Caller: w.caller, Key: w.key(), Token: ref,
		Body: &tsp.Suspension{Suspender: "CARDHOLDER", Reason: "ELEMENT", Resume: resume}})
	return unlessSo(err)
}

// unlessSo takes a refusal by the state for done: the step before it was torn.
func unlessSo(err error) error {
	var refused *tspapi.Problem
	if errors.As(err, &refused) && refused.Status == http.StatusConflict {
		return nil
	}
	return err
}

// delete takes a token off the element and ends it.
func (a *elementAction) delete(ctx context.Context, ref string) error {
	known, err := a.h.Standing(ctx)
	if err != nil {
		return err
	}
	for _, app := range known.Applications {
		if app.Token == ref {
			if _, err := a.h.Run(ctx, tsmapi.Delete, ref); err != nil {
				return err
			}
		}
	}
	w := a.n.elements.wallet
	_, err = askToken[tspapi.Token](ctx, a.n.tokens.service, &tsp.Command{Caller: w.caller, Key: w.key(), Token: ref, Body: &tsp.Deletion{Reason: "DELETED"}})
	if err := unlessSo(err); err != nil {
		return err
	}
	return a.n.elements.tokens.drop(ref)
}

// tap holds the phone to a till's reader. The till takes it for a card.
func (a *elementAction) tap(ctx context.Context) error {
	n := a.n
	till, ok := n.tills[a.r.Merchant]
	if !ok {
		return fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(a.r.Merchant))
	}
	amount, err := money.Parse(a.r.Amount, n.options.Profile.Money())
	if err != nil {
		return fmt.Errorf("%w: amount: %w", errBadRequest, err)
	}
	request := TapRequest{Card: a.r.Phone, Merchant: a.r.Merchant, Amount: amount}
	if err := n.checkAmount(request); err != nil {
		return err
	}
	var entered *pinblock.PIN
	if a.r.PIN != "" {
		pin, err := pinblock.ParsePIN(a.r.PIN)
		if err != nil {
			return fmt.Errorf("%w: PIN: %w", errBadRequest, err)
		}
		entered = &pin
	}
	reader, leave := a.h.Field()
	defer leave()
	tapID := n.beginTap(till.merchant.Terminal)
	began := time.Now()
	receipt, err := till.core.Sell(ctx, reader, pos.Sale{
		Amount: amount, Now: func() time.Time { return n.options.Clock.Now().In(clock.Shanghai()) }, OfflineOnly: till.merchant.Offline,
		EnterPIN: func() (pinblock.PIN, bool) {
			if entered == nil {
				return pinblock.PIN{}, false
			}
			return *entered, true
		},
	})
	if err != nil {
		return fmt.Errorf("tap %s at %s: %w", a.r.Phone, a.r.Merchant, err)
	}
	if t, known := n.elements.tokens.numbered(receipt.PAN, a.h.SEID()); known {
		a.result.Token = t
	}
	tap := n.result(request, &holder{personal: &personalization.Card{PAN: receipt.PAN}}, receipt, tapID)
	tap.Duration = time.Since(began)
	a.result.Tap = &tap
	return nil
}

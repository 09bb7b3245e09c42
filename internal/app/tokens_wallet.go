package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"tapnet/internal/app/phone"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
	"tapnet/sdk/hce/soft"
)

// What the test world's wallet is called, and how it verifies cardholders.
const (
	walletName    = "tapnet-wallet"
	walletStorage = "HCE"
	walletMethod  = "bank-app"
	walletMonths  = 36
	walletTokens  = 5
	walletWatched = 3 // cards on a phone from which on the holder is asked again
	// What one payment may be while a token is young, and for good when a text message is all that verified its holder. In minor units.
	walletCooling   = 200_000
	walletLimited   = 50_000
	walletCoolHours = 24
)

// wallet is the requestor whose tokens the phones of this world have. It asks the token service for tokens and the cloud secure element for keys.
type wallet struct {
	n       *Network
	caller  tsp.Caller
	storage string // of its tokens
	point   []byte // to which verifiers of passwords are sealed
	mu      sync.Mutex
	serial  uint64
	run     string // of this wallet in this process: idempotency keys are not used again after a restart
}

// openWallet registers the wallet with the token service, the first time for good.
func (n *Network) openWallet(ctx context.Context) error {
	w, err := n.newWallet(ctx, walletName, walletStorage, tsp.PresentContactless, tsp.PresentRemote)
	if err != nil {
		return err
	}
	if w.point, err = n.vaults[CloudSE].CloudAgreement(keyCloudBase); err != nil {
		return fmt.Errorf("register the wallet: %w", err)
	}
	n.tokens.wallet = w
	return nil
}

// newWallet registers a requestor of tokens of one storage, for what they can pay at.
func (n *Network) newWallet(ctx context.Context, name, storage string, presentments ...string) (*wallet, error) {
	policy := tspapi.Policy{TokenMonths: walletMonths, DeviceTokens: walletTokens}
	careful := policy
	careful.WatchedTokens, careful.LimitedMinor, careful.CoolingMinor, careful.CoolingHours = walletWatched, walletLimited, walletCooling, walletCoolHours
	q, err := n.register(ctx, name, storage, careful, presentments...)
	var refused *tspapi.Problem
	if errors.As(err, &refused) && refused.Status == http.StatusConflict { // of a world from before there were payments in applications
		q, err = n.register(ctx, name, storage, policy, tsp.PresentContactless)
	}
	if err != nil {
		return nil, fmt.Errorf("register the wallet: %w", err)
	}
	run := fmt.Sprintf("%s-%d", storage, n.options.Clock.Now().UnixNano())
	return &wallet{n: n, caller: tsp.Caller{Role: tsp.CallerRequestor, ID: q.ID}, storage: storage, run: run}, nil
}

func (n *Network) register(ctx context.Context, name, storage string, policy tspapi.Policy, presentments ...string) (tspapi.Requestor, error) {
	return askToken[tspapi.Requestor](ctx, n.tokens.service, &tsp.Command{Caller: tokenOperator, Key: name, Body: &tspapi.RegisterRequestor{
		Entity: name, UseCases: []string{storage}, Certificate: name, Domain: tspapi.Domain{Presentments: presentments},
		Policy: policy,
	}})
}

func (w *wallet) key() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serial++
	return fmt.Sprintf("%s-%d", w.run, w.serial)
}

// line is the wallet as one phone sees it, for one action.
type line struct {
	*phone.Service
	ctx    context.Context
	wallet *wallet
}

var (
	_ phone.Cloud    = (*line)(nil)
	_ phone.Provider = (*line)(nil)
)

func (w *wallet) line(ctx context.Context, name string) *line {
	return &line{ctx: ctx, wallet: w, Service: &phone.Service{
		Ask: func(command any) (any, error) { return w.n.tokens.cloud.ask(ctx, command) }, PasswordPoint: w.point, Now: w.n.options.Clock.Now,
		Random: w.n.random.source("wallet " + name + " " + w.key()),
	}}
}

// NewToken implements phone.Provider: eligibility, provisioning, and the bank's word that it has verified the holder in its app.
func (l *line) NewToken(device, card string) (soft.TokenOrder, error) {
	h, known := l.wallet.n.holderNamed(card)
	if !known {
		return soft.TokenOrder{}, fmt.Errorf("%w: %q", ErrUnknownCard, shown(card))
	}
	record, number := h.personal.Record, h.personal.PAN
	d := tspapi.Device{Reference: device, Attestation: "software"}
	e, err := askToken[tspapi.Eligible](l.ctx, l.service(), &tsp.Command{Caller: l.wallet.caller, Number: number,
		Body: &tspapi.Eligibility{Storage: l.wallet.storage, Device: d, Expiry: record.Expiry}})
	if err == nil && !e.Eligible {
		err = errors.New("the card cannot be tokenised")
	}
	if err != nil {
		return soft.TokenOrder{}, err
	}
	p, sealed, err := askTokenSealed[tspapi.Provisioned](l.ctx, l.service(), &tsp.Command{Caller: l.wallet.caller, Key: l.wallet.key(), Number: number,
		Body: &tspapi.Provision{Eligibility: e.ID, Terms: e.Terms, Storage: l.wallet.storage, Device: d, Expiry: record.Expiry, Sequence: record.Sequence,
			Source: "issuer-app", Score: 5}})
	if err != nil {
		return soft.TokenOrder{}, err
	}
	token, err := l.service().Core().OpenToken(sealed)
	if err != nil {
		return soft.TokenOrder{}, err
	}
	expiry, err := pan.ParseExpiry(p.Token.Expiry)
	if err != nil {
		return soft.TokenOrder{}, err
	}
	if p.Token.State != tsp.Active.String() {
		if err := l.verified(p.Token.Reference, record.Issuer, false); err != nil {
			return soft.TokenOrder{}, err
		}
	}
	return soft.TokenOrder{Ref: p.Token.Reference, Number: token, Expiry: expiry}, nil
}

func (l *line) service() *TokenNode { return l.wallet.n.tokens.service }

// verified is the bank's word about the holder; found, that he has the device again.
func (l *line) verified(reference, bank string, found bool) error {
	_, err := askToken[tspapi.Token](l.ctx, l.service(), &tsp.Command{Caller: tsp.Caller{Role: tsp.CallerIssuer, ID: bank}, Key: l.wallet.key(), Token: reference,
		Body: &tspapi.Assert{Method: walletMethod, Found: found}})
	return err
}

// Suspend implements phone.Cloud: the device is lost, or found and its holder verified anew by the bank. It returns once the keys follow.
func (l *line) Suspend(device, why string) {
	if err := l.report(device, why != ""); err != nil {
		l.wallet.n.options.Log.Warn("device not reported", "error", err)
	}
}

func (l *line) report(device string, lost bool) error {
	if !lost {
		return l.found(device)
	}
	affected, err := askToken[tspapi.Affected](l.ctx, l.service(), &tsp.Command{Caller: l.wallet.caller, Key: l.wallet.key(),
		Body: &tsp.DeviceChange{Device: device, Lost: true}})
	for _, reference := range affected.Tokens {
		err = errors.Join(err, l.wallet.n.mirror(l.ctx, reference))
	}
	return err
}

// found lets the holder be verified, by each bank that has a card on the device: that brings back the device and the bank's tokens in one step. Every key that
// was on the phone meanwhile is revoked.
func (l *line) found(device string) error {
	all, err := askToken[tspapi.Tokens](l.ctx, l.service(), &tsp.Command{Caller: l.wallet.caller, Body: &tsp.List{Device: device}})
	for _, listed := range all.Tokens {
		stopped, readErr := l.stoppedByLoss(listed.Reference)
		if err = errors.Join(err, readErr); !stopped {
			continue // never was, or another token's verification has brought it back
		}
		err = errors.Join(err, l.foundBySomebody(listed.Reference))
	}
	for _, listed := range all.Tokens {
		_, revokeErr := l.wallet.n.tokens.cloud.ask(l.ctx, cloudseapi.Revoke{Token: listed.Reference})
		err = errors.Join(err, revokeErr, l.wallet.n.mirror(l.ctx, listed.Reference))
	}
	return err
}

func (l *line) stoppedByLoss(reference string) (bool, error) {
	view, err := askToken[tspapi.Token](l.ctx, l.service(), &tsp.Command{Caller: l.wallet.caller, Body: &tsp.Read{}, Token: reference})
	return slices.Contains(view.Suspenders, "DEVICE_LOST"), err
}

func (l *line) foundBySomebody(reference string) error {
	for _, bank := range l.wallet.n.options.Profile.Issuers {
		err := l.verified(reference, bank.Institution, true)
		var refused *tspapi.Problem
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			continue // another bank's
		}
		return err
	}
	return errors.New("no bank has the card of the token")
}

// State implements phone.Cloud: why a token does not pay, "" when it does.
func (l *line) State(token string) string {
	view, err := askToken[tspapi.Token](l.ctx, l.service(), &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: token})
	if err != nil {
		return "unknown"
	}
	has := func(name string) bool {
		return strings.Contains(" "+strings.Join(view.Suspenders, " ")+" ", " "+name+" ")
	}
	switch {
	case has("DEVICE_LOST"):
		return soft.SuspendedLost
	case has("TSP_RISK"):
		return soft.SuspendedClone + "two phones have its keys"
	case has("PASSWORD_LOCKED"):
		return soft.SuspendedGuessed
	case view.State != tsp.Active.String():
		return strings.ToLower(view.State)
	}
	return ""
}

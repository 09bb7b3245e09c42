package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tapnet/internal/cloudse"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// RoleCloudSE is the cloud secure element: a member that calls the token service.
const RoleCloudSE = "cloudse"

// TokenRoles are the roles without which nobody pays by phone. A network runs them when it is asked to.
func TokenRoles() []string { return []string{RoleTSP, RoleCloudSE} }

// EveryRole is Roles and TokenRoles.
func EveryRole() []string { return slices.Concat(Roles(), TokenRoles()) }

// Names of the keys in the cloud secure element's HSM. The master of a suite has the suite's algorithm behind its name.
const (
	keyCloudMaster = "imk-cloud-"
	keyCloudBase   = "device-base"
	keyCloudData   = "cloud-data"
	keyCloudNames  = "cloud-names"
)

func cloudMaster(algorithm byte) string { return fmt.Sprintf("%s%02X", keyCloudMaster, algorithm) }

var cloudKeys = []keySpec{
	{cloudMaster(1), hsm.UsageCloudAC, hsm.ModeDerive, hsm.TDES},
	{cloudMaster(4), hsm.UsageCloudAC, hsm.ModeDerive, hsm.SM4},
	{keyCloudBase, hsm.UsageDeviceBase, hsm.ModeDerive, hsm.HMAC},
	{keyCloudData, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	{keyCloudNames, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
}

// tokenWorld is what a process with both roles has beside them: what one learns, the other hears.
type tokenWorld struct {
	service *TokenNode
	cloud   *node
	wallet  *wallet
	changed chan string           // references of tokens whose state may have changed
	alarms  chan cloudseapi.Alarm // of the cloud secure element
}

// tokenQueue is how many changes may wait: a lost device has at most 32 tokens. What does not fit is looked at by the round that follows.
const (
	tokenQueue = 1024
	// tokenAgain is how long a change waits that could not be passed on.
	tokenAgain = 500 * time.Millisecond
)

func newTokenWorld() *tokenWorld {
	return &tokenWorld{changed: make(chan string, tokenQueue), alarms: make(chan cloudseapi.Alarm, tokenQueue)}
}

// startTSP runs the token service as one of the roles.
func (n *Network) startTSP(ctx context.Context) error {
	service, err := n.StartTokenService(ctx, TokenServiceOptions{})
	if err == nil {
		n.tokens.service = service
		err = n.serveTokens(ctx)
	}
	return err
}

// startCloudSE runs the cloud secure element. It calls the token service, as a member that only answers does.
func (n *Network) startCloudSE(ctx context.Context) error {
	if err := n.openCloudKeys(); err != nil {
		return err
	}
	ring, err := n.vaults.ring(CloudSE, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return err
	}
	tokens := n.tokens
	role, err := cloudse.New(cloudse.Deps{
		Institution: CloudSE, Vault: n.vaults[CloudSE], Calendar: calendar(),
		Keys: cloudse.KeyNames{Master: cloudMaster, Base: keyCloudBase, Data: keyCloudData, Fingerprint: keyCloudNames},
		Notify: func(a cloudseapi.Alarm) {
			select {
			case tokens.alarms <- a:
			default: // it is told again
			}
		},
	})
	if err != nil {
		return err
	}
	node, err := n.startNode(ctx, RoleCloudSE, CloudSE, role)
	if err != nil {
		return err
	}
	dialer, err := n.dial(node, RoleTSP, CloudSE, "", TokenService, unionpay.Switch, ring)
	if err != nil {
		return err
	}
	node.send = func(_ string, m unionpay.Message) error { return dialer.Send(m) }
	if err := n.run(ctx, node); err != nil {
		return err
	}
	tokens.cloud = node
	if err := n.connect(ctx, dialer, node.name); err != nil || tokens.service == nil {
		return err
	}
	if err := n.openWallet(ctx); err != nil {
		return err
	}
	if err := n.serveCloud(ctx); err != nil {
		return err
	}
	n.background.group.Go(func() { n.keepTokens(n.background.ctx) })
	return nil
}

// openCloudKeys opens the cloud secure element's HSM, or makes it and shares a master key with the token service.
func (n *Network) openCloudKeys() error {
	if err := n.openTokenKeys(); err != nil {
		return err
	}
	passphrase, err := openPassphrase(n.options.Dir)
	if err != nil {
		return err
	}
	defer clear(passphrase)
	file := func(id string) string { return filepath.Join(n.options.Dir, keyDirectory, id+".hsm") }
	random := n.random.source("hsm " + CloudSE)
	if _, err := os.Stat(file(CloudSE)); err == nil {
		n.vaults[CloudSE], err = hsm.Open(random, file(CloudSE), passphrase)
		return err
	}
	own := hsm.New(random)
	for _, s := range cloudKeys {
		if _, err := own.Generate(s.name, s.usage, s.mode, s.algorithm, hsm.NotExportable); err != nil {
			return fmt.Errorf("keys of %s: %w", CloudSE, err)
		}
	}
	n.vaults[CloudSE] = own
	if err := n.vaults.share(sideNetwork, TokenService, CloudSE, n.random); err != nil {
		return err
	}
	// The file of who is younger comes last: its presence says that the other's knows it.
	return errors.Join(n.vaults[TokenService].Save(file(TokenService), passphrase), own.Save(file(CloudSE), passphrase))
}

// tokenRows hears of the token service's rows as they become durable.
func (n *Network) tokenRows(node *node, rows []journal.Row) {
	if node.name != RoleTSP {
		return
	}
	for i := range rows {
		for _, reference := range tokensOf(&rows[i]) {
			select {
			case n.tokens.changed <- reference:
			default: // the token service refuses the token itself; its keys follow with the next change
			}
		}
	}
}

// tokensOf are the tokens that a row of the token service may have changed.
func tokensOf(r *journal.Row) []string {
	switch {
	case r.Kind == journal.CardChanged && r.Payment != "":
		return []string{r.Payment}
	case r.Kind == journal.CardChanged:
		var affected tspapi.Affected
		if json.Unmarshal(r.Answer, &affected) != nil {
			return nil
		}
		return affected.Tokens
	case r.Kind == journal.Declined && len(r.Note) > 0: // a refusal that suspends
		d, err := unionpay.ParseTokenData(unionpay.Opaque(r.Answer))
		if err != nil || d.Reference == "" {
			return nil
		}
		return []string{d.Reference}
	}
	return nil
}

// keepTokens passes on what one of the two roles decides and the other must know, until ctx ends.
func (n *Network) keepTokens(ctx context.Context) {
	again := map[string]bool{}
	retry := time.NewTicker(tokenAgain)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case reference := <-n.tokens.changed:
			if n.mirror(ctx, reference) != nil {
				again[reference] = true
			}
		case a := <-n.tokens.alarms:
			if err := n.alarmed(ctx, a); err != nil {
				n.options.Log.Warn("alarm of the cloud secure element not passed on yet", "error", err)
			}
		case <-retry.C:
			for reference := range again {
				if n.mirror(ctx, reference) == nil {
					delete(again, reference)
				}
			}
		}
	}
}

var tokenOperator = tsp.Caller{Role: tsp.CallerOperator}

// mirror brings a token's keys to where the token is: they work while it is active.
func (n *Network) mirror(ctx context.Context, reference string) error {
	view, err := askToken[tspapi.Token](ctx, n.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: reference})
	if err != nil {
		return err
	}
	var command any = cloudseapi.Suspend{Token: reference}
	if view.State == tsp.Active.String() {
		command = cloudseapi.Resume{Token: reference}
	}
	_, err = n.tokens.cloud.ask(ctx, command)
	if errors.Is(err, &cloudseapi.Refusal{Reason: cloudseapi.UnknownToken}) {
		return nil // it has no keys
	}
	return err
}

// alarmed suspends a token whose keys the cloud secure element has stopped, and says that it knows.
func (n *Network) alarmed(ctx context.Context, a cloudseapi.Alarm) error {
	who := "TSP_RISK"
	if a.Cause == cloudseapi.CausePassword {
		who = "PASSWORD_LOCKED"
	}
	_, err := askToken[tspapi.Token](ctx, n.tokens.service, &tsp.Command{Caller: tokenOperator, Key: a.Key, Token: a.Token,
		Body: &tsp.Suspension{Suspender: who, Reason: "FRAUD"}})
	var refused *tspapi.Problem
	if err != nil && (!errors.As(err, &refused) || refused.RetryAfter > 0) {
		return err
	}
	_, err = n.tokens.cloud.ask(ctx, cloudseapi.AlarmHandled{Key: a.Key})
	return err
}

// askToken gives the token service a command and reads its reply. A refusal is the error.
func askToken[T any](ctx context.Context, service *TokenNode, c *tsp.Command) (T, error) {
	value, _, err := askTokenSealed[T](ctx, service, c)
	return value, err
}

// askTokenSealed gives the token's sealed number as well.
func askTokenSealed[T any](ctx context.Context, service *TokenNode, c *tsp.Command) (value T, sealed []byte, err error) {
	reply, err := service.Ask(ctx, c)
	if err != nil {
		return value, nil, err
	}
	switch r := reply.(type) {
	case *tspapi.Problem:
		return value, nil, r
	case tsp.Reply:
		return value, r.TokenNumber, json.Unmarshal(r.Body, &value)
	}
	return value, nil, fmt.Errorf("the token service answers %T with %T", c.Body, reply)
}

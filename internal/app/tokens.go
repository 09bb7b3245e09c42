package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tapnet/internal/cloudse"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/iso8583/unionpay"
)

// RoleCloudSE is the cloud secure element: a member that calls the token service.
const RoleCloudSE = "cloudse"

// TokenRoles are the roles without which nobody pays by phone. A network runs them when it is asked to.
func TokenRoles() []string { return []string{RoleTSP, RoleCloudSE, RoleTSM} }

// EveryRole is Roles, TokenRoles and RoleTransit.
func EveryRole() []string { return slices.Concat(Roles(), TokenRoles(), []string{RoleTransit}) }

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
	// asker and verifier are the two while they run here.
	asker, verifier nearby
	changed         chan string // references of tokens whose state may have changed
	heard           heard
	alarms          chan cloudseapi.Alarm // of the cloud secure element
	details         quota                 // of rows told of at length
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
	service, err := n.withWebhooks(ctx)
	if err == nil {
		n.tokens.service = service
		err = n.serveTokens(ctx)
	}
	return err
}

// startCloudSE runs the cloud secure element. It calls the token service, as a member that only answers does.
func (n *Network) startCloudSE(ctx context.Context) error {
	if err := n.openMemberKeys(CloudSE, cloudKeys); err != nil {
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
	node.send = func(_ string, m unionpay.Message) error {
		if n.hand(&tokens.asker, node, CloudSE, TokenService, m) {
			return nil
		}
		return dialer.Send(m)
	}
	if err := n.run(ctx, node); err != nil {
		return err
	}
	tokens.cloud = node
	tokens.verifier.node.Store(node)
	if err := n.connect(ctx, dialer, node.name); err != nil {
		return err
	}
	if err := n.serveCloud(ctx); err != nil {
		return err
	}
	if tokens.service == nil {
		return n.followFrom(n.remoteTokens())
	}
	if err := n.openWallet(ctx); err != nil {
		return err
	}
	if n.options.byHand {
		return nil
	}
	return n.followFrom(&localTokens{n.tokens.service}, nil)
}

// openMemberKeys opens the security module of a member that works for the token service, or makes it and shares a master key with the token service.
func (n *Network) openMemberKeys(member string, specs []keySpec) error {
	if err := n.openTokenKeys(); err != nil {
		return err
	}
	passphrase, err := openPassphrase(n.options.Dir)
	if err != nil {
		return err
	}
	defer clear(passphrase)
	file := func(id string) string { return filepath.Join(n.options.Dir, keyDirectory, id+".hsm") }
	random := n.random.source("hsm " + member)
	if _, err := os.Stat(file(member)); err == nil {
		n.vaults[member], err = hsm.Open(random, file(member), passphrase)
		return err
	}
	own := hsm.New(random)
	for _, s := range specs {
		if _, err := own.Generate(s.name, s.usage, s.mode, s.algorithm, hsm.NotExportable); err != nil {
			return fmt.Errorf("keys of %s: %w", member, err)
		}
	}
	n.vaults[member] = own
	if err := n.vaults.share(sideNetwork, TokenService, member, n.random); err != nil {
		return err
	}
	// The file of who is younger comes last: its presence says that the other's knows it.
	return n.saveKeys(file, passphrase, TokenService, member)
}

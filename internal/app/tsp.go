package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// RoleTSP is the token service: a member of the network that listens for the cloud secure element.
const RoleTSP = "tsp"

// The token service and the cloud secure element of the test world, and their codes: requestor ids begin with the one, account references with the other.
const (
	TokenService   = "19000001"
	CloudSE        = "19000002"
	tokenCode      = "629"
	parController  = "6299"
	tokenPrefix    = "629998"
	tokenDigits    = 16
	tokenTerms     = "tapnet-terms-1"
	custodiansNeed = 2
	custodians     = 3
)

// Names of the keys in the token service's HSM.
const (
	keyTokenHash   = "token-hash"
	keyTokenDigits = "token-digits"
	keyTokenNames  = "token-names"
	keyTokenSeal   = "token-seal"
)

var tokenKeys = []keySpec{
	{keyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	{keyTokenHash, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	{keyTokenDigits, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256},
	{keyTokenNames, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256},
	{keyTokenSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
}

// TokenNode is the running token service.
type TokenNode struct {
	*node
	core  *tsp.TSP
	vault *hsm.Vault
}

// Ask gives the token service a command and waits for what it says once that is durable.
func (t *TokenNode) Ask(ctx context.Context, c *tsp.Command) (any, error) {
	reply, err := t.ask(ctx, c)
	var refusal *tspapi.Problem
	if errors.As(err, &refusal) {
		return refusal, nil
	}
	return reply, err
}

// Core is the role, for what may be called at any time: who calls, where webhooks go, opening of token numbers.
func (t *TokenNode) Core() *tsp.TSP { return t.core }

// Vault is where the account numbers are, to be locked and unlocked.
func (t *TokenNode) Vault() *hsm.Vault { return t.vault }

// TokenServiceOptions say how the token service runs beside a network.
type TokenServiceOptions struct {
	// Webhook takes what goes to webhooks; nil keeps it in the journal until somebody does.
	Webhook func(peer string, hook *tsp.Webhook) error
	// Verifier is who checks cryptograms; empty is CloudSE. Elements is who checks those of secure elements; empty is ElementService, or a Verifier that is named.
	Verifier, Elements string
}

// StartTokenService runs the token service as a member of this network. Its keys and its vault are made the first time and kept in the data directory; a test
// world holds the shares of all custodians, so the vault is unlocked at once.
func (n *Network) StartTokenService(ctx context.Context, o TokenServiceOptions) (*TokenNode, error) {
	vault, err := n.openTokenVault()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", RoleTSP, err)
	}
	if err := n.openTokenKeys(); err != nil {
		return nil, fmt.Errorf("start %s: %w", RoleTSP, err)
	}
	role, ring, err := n.newTSP(vault, o)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", RoleTSP, err)
	}
	node, err := n.startNode(ctx, RoleTSP, TokenService, role)
	if err != nil {
		return nil, err
	}
	server, err := n.serve(node, RoleTSP, TokenService, unionpay.Switch, ring)
	if err != nil {
		return nil, err
	}
	dialer, err := n.dial(node, RoleSwitch, TokenService, "", n.options.Profile.Switch, unionpay.Switch, ring)
	if err != nil {
		return nil, err
	}
	node.send = func(peer string, m unionpay.Message) error {
		if hook, ok := m.(*tsp.Webhook); ok {
			if o.Webhook == nil {
				return nil
			}
			return o.Webhook(peer, hook)
		}
		if peer == n.options.Profile.Switch {
			return dialer.Send(m)
		}
		if peer == CloudSE && n.hand(&n.tokens.verifier, node, TokenService, CloudSE, m) {
			return nil
		}
		return server.Send(peer, m)
	}
	n.tokens.heard.core.Store(role)
	if err := n.run(ctx, node); err != nil {
		return nil, err
	}
	n.background.group.Go(func() {
		if err := role.Warm(n.background.ctx); err != nil && n.background.ctx.Err() == nil {
			n.options.Log.Warn("tokens are looked up in the store", "error", err)
		}
	})
	n.tokens.asker.node.Store(node)
	return &TokenNode{node: node, core: role, vault: vault}, n.connect(ctx, dialer, node.name)
}

func (n *Network) newTSP(vault *hsm.Vault, o TokenServiceOptions) (*tsp.TSP, *keyring.Ring, error) {
	ring, err := n.vaults.ring(TokenService, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return nil, nil, err
	}
	if o.Elements == "" && o.Verifier == "" {
		o.Elements = ElementService
	}
	if o.Verifier == "" {
		o.Verifier = CloudSE
	}
	deps := tsp.Deps{
		Institution: TokenService, Switch: n.options.Profile.Switch, CloudSE: o.Verifier, Elements: o.Elements, Code: tokenCode, Controller: parController,
		Vault: n.vaults[TokenService], Numbers: vault, Calendar: calendar(),
		Keys: tsp.KeyNames{
			Fingerprint: keyFingerprint, Hash: keyTokenHash, Digits: keyTokenDigits, Names: keyTokenNames, TokenSeal: keyTokenSeal, PINKey: ring.PINKey,
		},
	}
	for at, i := range n.options.Profile.Issuers {
		bank := tsp.Issuer{
			Institution: i.Institution, Terms: tokenTerms, Methods: []string{"bank-app", "card-tap", "otp", "call-centre"}, Certificate: "bank-" + i.Institution,
		}
		if n.options.hooks != nil {
			bank.Webhook = "bank-" + i.Institution // whoever takes them knows whom that is
		}
		deps.Issuers = append(deps.Issuers, bank)
		for storage := unionpay.StorageHCE; storage <= unionpay.StorageFile; storage++ {
			deps.Ranges = append(deps.Ranges, tsp.Range{
				Prefix: tokenRange(storage, at), Issuer: i.Institution, IssuerPrefix: i.Prefix, Storage: uint8(storage),
				Method: tsp.MethodRandom, Digits: tokenDigits,
			})
		}
	}
	role, err := tsp.New(deps)
	return role, ring, err
}

// openTokenKeys opens the token service's HSM, or makes it and shares a master key with the switch.
func (n *Network) openTokenKeys() error {
	if n.vaults[TokenService] != nil {
		return nil
	}
	passphrase, err := openPassphrase(n.options.Dir)
	if err != nil {
		return err
	}
	defer clear(passphrase)
	file := func(id string) string { return filepath.Join(n.options.Dir, keyDirectory, id+".hsm") }
	random := n.random.source("hsm " + TokenService)
	if _, err := os.Stat(file(TokenService)); err == nil {
		n.vaults[TokenService], err = hsm.Open(random, file(TokenService), passphrase)
		return err
	}
	own := hsm.New(random)
	for _, s := range tokenKeys {
		if _, err := own.Generate(s.name, s.usage, s.mode, s.algorithm, hsm.NotExportable); err != nil {
			return fmt.Errorf("keys of %s: %w", TokenService, err)
		}
	}
	n.vaults[TokenService] = own
	theSwitch := n.options.Profile.Switch
	if err := n.vaults.share(sideNetwork, theSwitch, TokenService, n.random); err != nil {
		return err
	}
	// The token service's file comes last: its presence says that the switch's knows it.
	return n.saveKeys(file, passphrase, theSwitch, TokenService)
}

const (
	vaultFile = "token-vault.json"
	shareFile = "token-vault.%d.share"
)

// openTokenVault opens the vault with its custodians' shares, or makes it and hands them out.
func (n *Network) openTokenVault() (*hsm.Vault, error) {
	dir := filepath.Join(n.options.Dir, keyDirectory)
	random := n.random.source("vault " + TokenService)
	text, err := os.ReadFile(filepath.Join(dir, vaultFile))
	if errors.Is(err, fs.ErrNotExist) {
		return makeTokenVault(dir, random)
	}
	if err != nil {
		return nil, fmt.Errorf("read vault: %w", err)
	}
	var q hsm.Quorum
	if err := json.Unmarshal(text, &q); err != nil {
		return nil, fmt.Errorf("read vault: %w", err)
	}
	v, err := hsm.LockedVault(random, q)
	if err != nil {
		return nil, err
	}
	for at := 1; at <= q.Of && !v.Unlocked(); at++ {
		share, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf(shareFile, at)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a custodian who keeps the share elsewhere
		}
		if err != nil {
			return nil, fmt.Errorf("read share: %w", err)
		}
		s, err := hsm.ParseShare(string(share))
		if err == nil {
			_, err = v.Present(s)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

func makeTokenVault(dir string, random io.Reader) (*hsm.Vault, error) {
	v, shares, err := hsm.NewVault(random, custodiansNeed, custodians)
	if err != nil {
		return nil, err
	}
	for _, s := range shares {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf(shareFile, s.Number())), []byte(s.Reveal()), 0o600); err != nil {
			return nil, fmt.Errorf("save share: %w", err)
		}
	}
	text, err := json.Marshal(v.Quorum())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, vaultFile), text, 0o600) // last: its presence says that the shares are there
	}
	if err != nil {
		return nil, fmt.Errorf("save vault: %w", err)
	}
	return v, nil
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/tsm"
	"tapnet/internal/tsp"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// RoleTSM is the service manager of secure elements: a member that calls the token service, because it has the keys of the tokens on elements.
const RoleTSM = "tsm"

// ElementService is its code in the test world.
const ElementService = "19000003"

// Names of the keys in its security module. The masters of a suite have the suite's algorithm behind their names; they are other keys than those of cards and
// of cloud credentials.
const (
	keyElements    = "element-channels"
	keyElementSign = "element-signatures"
	keyElementAC   = "imk-element-ac-"
	keyElementMAC  = "imk-element-mac-"
	keyElementENC  = "imk-element-enc-"
	keyElementSeal = "element-tokens"
)

func elementMasters(algorithm byte) (ac, mac, enc string) {
	suffix := fmt.Sprintf("%02X", algorithm)
	return keyElementAC + suffix, keyElementMAC + suffix, keyElementENC + suffix
}

// elementSuites are the ciphers of cryptograms for which elements get keys.
func elementSuites() []cryptogram.Suite {
	return []cryptogram.Suite{cryptogram.TDES(), cryptogram.SM4()}
}

func elementKeySpecs() []keySpec {
	specs := []keySpec{
		{keyElements, hsm.UsageElementMaster, hsm.ModeDerive, hsm.AES256}, {keyElementSign, hsm.UsageElementSign, hsm.ModeDerive, hsm.AES256},
		{keyElementSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	}
	for _, suite := range elementSuites() {
		ac, mac, enc := elementMasters(suite.AlgorithmID())
		algorithm := hsm.AlgorithmOf(suite)
		specs = append(specs, keySpec{ac, hsm.UsageEMVAC, hsm.ModeDerive, algorithm}, keySpec{mac, hsm.UsageEMVMAC, hsm.ModeDerive, algorithm},
			keySpec{enc, hsm.UsageEMVENC, hsm.ModeDerive, algorithm})
	}
	return specs
}

// elementWorld is what a process with the service manager has beside it.
type elementWorld struct {
	node   *node
	wallet *wallet // the requestor of its tokens; nil in a process without a token service
	tokens *elementTokens
	line   elementLine
	phones sync.Map // name to *sync.Mutex: one action at a time
}

// startTSM runs the service manager. It calls the token service, as a member that only answers does.
func (n *Network) startTSM(ctx context.Context) error {
	if err := n.openMemberKeys(ElementService, elementKeySpecs()); err != nil {
		return err
	}
	ring, err := n.vaults.ring(ElementService, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return err
	}
	tokens, err := openElementTokens(filepath.Join(n.options.Dir, elementTokensFile), n.vaults[ElementService], n.options.Profile.Money())
	if err != nil {
		return err
	}
	role, err := tsm.New(tsm.Deps{
		Institution: ElementService, Vault: n.vaults[ElementService], Tokens: tokens,
		Keys: tsm.KeyNames{Elements: keyElements, Sign: keyElementSign, Masters: elementMasters}, Certifier: &tokenCertifier{profile: n.options.Profile},
	})
	if err != nil {
		return err
	}
	node, err := n.startNode(ctx, RoleTSM, ElementService, role)
	if err != nil {
		return err
	}
	dialer, err := n.dial(node, RoleTSP, ElementService, "", TokenService, unionpay.Switch, ring)
	if err != nil {
		return err
	}
	node.send = func(_ string, m unionpay.Message) error { return dialer.Send(m) }
	if err := n.run(ctx, node); err != nil {
		return err
	}
	n.elements = &elementWorld{node: node, tokens: tokens}
	if err := n.connect(ctx, dialer, node.name); err != nil {
		return err
	}
	if n.tokens.service != nil {
		if n.elements.wallet, err = n.newWallet(ctx, elementWalletName, elementStorage, tsp.PresentContactless); err != nil {
			return err
		}
	}
	return n.serveElements(ctx)
}

// elementTokensFile keeps the tokens that the token service has given out for elements.
const elementTokensFile = "element-tokens.json"

// elementToken is one of them. The number is sealed.
type elementToken struct {
	Phone     string `json:"phone"`
	SEID      string `json:"seid"`
	Card      string `json:"card"`
	Label     string `json:"label"`
	LastFour  string `json:"last_four"`
	Sealed    []byte `json:"sealed"`
	Expiry    string `json:"expiry"`
	Algorithm byte   `json:"algorithm"`
}

// elementTokens fills the service manager's port: it knows by reference what the token service gave out.
type elementTokens struct {
	path     string
	vault    *hsm.HSM
	currency money.Currency
	mu       sync.RWMutex
	all      map[string]elementToken
}

var _ tsm.Tokens = (*elementTokens)(nil)

func openElementTokens(path string, vault *hsm.HSM, currency money.Currency) (*elementTokens, error) {
	t := &elementTokens{path: path, vault: vault, currency: currency, all: map[string]elementToken{}}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &t.all)
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens of secure elements: %w", err)
	}
	return t, nil
}

// What tokens on elements have in common.
const (
	elementSequence = "01"
	elementService  = "201" // international, PIN as the card asks [ISO 7813]
	elementDKI      = 1
)

// Token implements tsm.Tokens.
func (t *elementTokens) Token(ref string) (tsm.Token, error) {
	one, known := t.find(ref)
	if !known {
		return tsm.Token{}, tsm.ErrNoToken
	}
	number, err := t.vault.OpenPAN(keyElementSeal, one.Sealed)
	if err != nil {
		return tsm.Token{}, fmt.Errorf("token of a secure element: %w", err)
	}
	expiry, err := pan.ParseExpiry(one.Expiry)
	if err != nil {
		return tsm.Token{}, fmt.Errorf("token of a secure element: %w", err)
	}
	return tsm.Token{Number: number, Sequence: elementSequence, Expiry: expiry, Service: elementService, Algorithm: one.Algorithm, DKI: elementDKI,
		CVN: cryptogram.CVN01, Currency: t.currency}, nil
}

func (t *elementTokens) find(ref string) (elementToken, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	one, known := t.all[ref]
	return one, known
}

// of lists the tokens of an element, by reference.
func (t *elementTokens) of(seid string) map[string]elementToken {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := map[string]elementToken{}
	for ref, one := range t.all {
		if one.SEID == seid {
			all[ref] = one
		}
	}
	return all
}

// numbered finds an element's token by its number.
func (t *elementTokens) numbered(number pan.Number, seid string) (ref string, known bool) {
	for ref := range t.of(seid) {
		if one, err := t.Token(ref); err == nil && one.Number == number {
			return ref, true
		}
	}
	return "", false
}

// put keeps a token; it is durable before it returns. number is sealed here.
func (t *elementTokens) put(ref string, number pan.Number, one elementToken) error {
	sealed, err := t.vault.SealPAN(keyElementSeal, number)
	if err != nil {
		return fmt.Errorf("keep a token: %w", err)
	}
	one.Sealed, one.LastFour = sealed, number.Last4()
	return t.change(func(all map[string]elementToken) { all[ref] = one })
}

// drop forgets a token.
func (t *elementTokens) drop(ref string) error {
	return t.change(func(all map[string]elementToken) { delete(all, ref) })
}

func (t *elementTokens) change(do func(map[string]elementToken)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := maps.Clone(t.all)
	do(next)
	text, err := json.MarshalIndent(next, "", " ")
	if err == nil {
		err = replaceFile(t.path, text)
	}
	if err != nil {
		return fmt.Errorf("keep tokens of secure elements: %w", err)
	}
	t.all = next
	return nil
}

// sorted lists references in a fixed order.
func sorted(all map[string]elementToken) []string { return slices.Sorted(maps.Keys(all)) }

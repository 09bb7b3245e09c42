package hce

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"tapnet/emv/cloudkey"
)

// Limits of an engine.
const (
	MaxTokens      = 8
	maxConfigBytes = 4096
	indexRecord    = "index"
	recordPrefix   = "token/"
)

// config is what the application sets.
type config struct {
	Device       string `json:"device"`        // the reference the device was enrolled under
	SoftwareKeys bool   `json:"software_keys"` // the key store is not hardware
	NotPreferred bool   `json:"not_preferred"` // another application is the preferred payment service
}

// Engine runs the tokens of one device. All functions may be called from any thread; ProcessInto waits for no storage and no network.
type Engine struct {
	platform Platform
	config   config

	// network is held by the one Replenish that is under way.
	network sync.Mutex

	// store guards everything durable. Nobody holds it while the network is asked.
	store    sync.Mutex
	tokens   []*token // in the order they were added
	standard string   // the default token
	picked   string   // for the next tap only
	damaged  []string // listed, and not to be opened

	// mu guards the tap. It is held for arithmetic only.
	mu  sync.Mutex
	tap tap
}

// NewEngine loads the tokens that the platform has stored. cfgJSON: {"device": "…", "software_keys": bool, "not_preferred": bool}.
func NewEngine(p Platform, cfgJSON string) (engine *Engine, err error) {
	defer rescue("new engine", &err)
	if p == nil {
		return nil, errors.New("new engine: platform is missing")
	}
	e := &Engine{platform: p}
	if len(cfgJSON) > maxConfigBytes {
		return nil, errors.New("new engine: configuration is too long")
	}
	if err := json.Unmarshal([]byte(cfgJSON), &e.config); err != nil {
		return nil, fmt.Errorf("new engine: configuration: %w", err)
	}
	if err := cloudkey.CheckRef(e.config.Device); err != nil {
		return nil, fmt.Errorf("new engine: device: %w", err)
	}
	if err := e.load(); err != nil {
		return nil, fmt.Errorf("new engine: %w", err)
	}
	return e, nil
}

// rescue turns a bug into an error: a panic would take the wallet's process with it.
func rescue(doing string, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: internal error", doing) // the panic's text may hold data
	}
}

// index lists the tokens.
type index struct {
	Tokens  []string
	Default string
}

func (e *Engine) load() error {
	plain, found, err := e.read(indexRecord)
	if err != nil || !found {
		return err
	}
	var x index
	if err := json.Unmarshal(plain, &x); err != nil || len(x.Tokens) > MaxTokens {
		return errors.New("list of tokens is damaged")
	}
	e.standard = x.Default
	for _, ref := range x.Tokens {
		t, err := e.loadToken(ref)
		if err != nil {
			e.damaged = append(e.damaged, ref)
			continue
		}
		e.tokens = append(e.tokens, t)
	}
	return nil
}

// read opens a stored record.
func (e *Engine) read(key string) (plain []byte, found bool, err error) {
	var sealed, out Buffer
	switch code := e.platform.GetInto(key, &sealed); {
	case code == PlatformNotFound:
		return nil, false, nil
	case code < 0:
		return nil, false, fmt.Errorf("read record: platform says %d", code)
	}
	if code := e.platform.OpenInto(AliasRest, sealed.b, []byte(key), &out); code < 0 {
		return nil, false, fmt.Errorf("open record: platform says %d", code)
	}
	return out.b, true, nil
}

// write seals and stores a record.
func (e *Engine) write(key string, plain []byte) error {
	var sealed Buffer
	if code := e.platform.SealInto(AliasRest, plain, []byte(key), &sealed); code < 0 {
		return fmt.Errorf("seal record: platform says %d", code)
	}
	if code := e.platform.Put(key, sealed.b); code < 0 {
		return fmt.Errorf("store record: platform says %d", code)
	}
	return nil
}

func (e *Engine) writeIndex(tokens []string, standard string) error {
	b, err := json.Marshal(index{tokens, standard})
	if err != nil {
		return fmt.Errorf("encode list of tokens: %w", err)
	}
	return e.write(indexRecord, b)
}

func (e *Engine) refs() []string {
	refs := slices.Clone(e.damaged)
	for _, t := range e.tokens {
		refs = append(refs, t.profile.Token)
	}
	return refs
}

func (e *Engine) find(ref string) *token {
	for _, t := range e.tokens {
		if t.profile.Token == ref {
			return t
		}
	}
	return nil
}

// AddToken takes a token that was provisioned to this device: its profile in an envelope. The first one becomes the default. A token that
// is there already is replaced, keys and all.
func (e *Engine) AddToken(wrapped []byte) (err error) {
	defer rescue("add token", &err)
	e.store.Lock()
	defer e.store.Unlock()
	var public Buffer
	if code := e.platform.PublicInto(AliasAgree, &public); code < 0 {
		return fmt.Errorf("add token: platform says %d", code)
	}
	plain, err := cloudkey.Unwrap(cloudkey.PurposeProfile, e.config.Device, e.agreement(), public.b, wrapped)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	profile, err := cloudkey.ParseProfile(plain)
	clear(plain)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	if profile.Device != e.config.Device {
		return errors.New("add token: profile is for another device")
	}
	if e.find(profile.Token) == nil && len(e.tokens)+len(e.damaged) >= MaxTokens {
		return fmt.Errorf("add token: %d tokens are the most", MaxTokens)
	}
	t, err := newToken(profile)
	if err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	for _, b := range profile.Bindings {
		if code := e.platform.ImportKey(cloudkey.BindingAlias(profile.Token, b.Class), b.Wrapped); code < 0 {
			return fmt.Errorf("add token: import key: platform says %d", code)
		}
	}
	t.profile.Bindings = nil // the key store has them now
	if err := e.save(t); err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	e.damaged = slices.DeleteFunc(e.damaged, func(ref string) bool { return ref == profile.Token })
	e.disarm(profile.Token)
	if old := e.find(profile.Token); old != nil {
		*old = *t
		return nil
	}
	standard := e.standard
	if standard == "" {
		standard = profile.Token
	}
	if err := e.writeIndex(append(e.refs(), profile.Token), standard); err != nil {
		return fmt.Errorf("add token: %w", err)
	}
	e.tokens, e.standard = append(e.tokens, t), standard
	return nil
}

// RemoveToken forgets a token with its keys. Removing one that is not there is no error. When it was the default the oldest of the others
// becomes it.
func (e *Engine) RemoveToken(tokenRef string) (err error) {
	defer rescue("remove token", &err)
	e.store.Lock()
	defer e.store.Unlock()
	refs := e.refs()
	if !slices.Contains(refs, tokenRef) {
		return nil
	}
	gone := func(ref string) bool { return ref == tokenRef }
	left := slices.DeleteFunc(refs, gone)
	standard := e.standard
	if standard == tokenRef {
		standard = ""
		for _, t := range e.tokens {
			if t.profile.Token != tokenRef && standard == "" {
				standard = t.profile.Token
			}
		}
	}
	if err := e.writeIndex(left, standard); err != nil {
		return fmt.Errorf("remove token: %w", err)
	}
	e.disarm(tokenRef)
	e.standard = standard
	e.damaged = slices.DeleteFunc(e.damaged, gone)
	e.tokens = slices.DeleteFunc(e.tokens, func(t *token) bool { return gone(t.profile.Token) })
	if e.picked == tokenRef {
		e.picked = ""
	}
	for class := cloudkey.ClassOpen; class.Valid(); class++ {
		e.platform.DeleteKey(cloudkey.BindingAlias(tokenRef, class))
	}
	if code := e.platform.Put(recordPrefix+tokenRef, nil); code < 0 && code != PlatformNotFound {
		return fmt.Errorf("remove token: delete record: platform says %d", code)
	}
	return nil
}

// SetDefault makes a token the one that pays when none is picked. There is exactly one as long as there are tokens.
func (e *Engine) SetDefault(tokenRef string) (err error) {
	defer rescue("set default", &err)
	e.store.Lock()
	defer e.store.Unlock()
	if e.find(tokenRef) == nil {
		return errors.New("set default: there is no such token")
	}
	if err := e.writeIndex(e.refs(), tokenRef); err != nil {
		return fmt.Errorf("set default: %w", err)
	}
	e.standard = tokenRef
	return nil
}

// Pick chooses a token for the next payment only; "" takes the choice back.
func (e *Engine) Pick(tokenRef string) (err error) {
	defer rescue("pick token", &err)
	e.store.Lock()
	defer e.store.Unlock()
	if tokenRef != "" && e.find(tokenRef) == nil {
		return errors.New("pick token: there is no such token")
	}
	e.picked = tokenRef
	return nil
}

// String names the engine, nothing in it.
func (e *Engine) String() string { return "phone engine" }

// Format prints String for every verb: inside are keys and card data.
func (e *Engine) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

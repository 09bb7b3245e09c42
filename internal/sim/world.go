package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/interchange"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// Names of the keys in the institutions' HSMs.
const (
	keyMasterAC, keyMasterMAC, keyMasterENC = "imk-ac", "imk-mac", "imk-enc"
	keyTransport                            = "card-transport"
	keyFingerprint, keyPANSeal              = "pan-fingerprint", "pan-seal"
	keyPINReference                         = "pin-reference"
	keySeal                                 = "message-seal"
)

func pinKey(peer string) string { return "pin/" + peer }

func calendar() clock.Calendar { return clock.Calendar{Zone: clock.Shanghai()} }

// source is a stream of random bytes of its own for each part of the world.
func (w *World) source(label string) io.Reader {
	return rand.NewChaCha8(sha256.Sum256(append(binary.BigEndian.AppendUint64([]byte("tapnet sim 1\x00"), w.seed), label...)))
}

func (w *World) build() error {
	if err := w.makeKeys(); err != nil {
		return err
	}
	p := w.options.Profile
	var routes []interchange.Route
	for _, i := range p.Issuers {
		routes = append(routes, interchange.Route{Prefix: i.Prefix, Issuer: i.Institution})
	}
	w.add(&node{name: p.Switch, kind: verify.Switch, make: func() (role, error) {
		return interchange.New(interchange.Deps{Institution: p.Switch, Routes: routes, Vault: w.vaults[p.Switch], PINKey: pinKey, SealKey: keySeal,
			Calendar: calendar()})
	}})
	for _, i := range p.Issuers {
		w.add(&node{name: i.Institution, kind: verify.Issuer, make: func() (role, error) { return w.newIssuer(i) }})
	}
	w.add(&node{name: p.Acquirer.Institution, kind: verify.Acquirer, make: w.newAcquirer, dialect: func(peer string) unionpay.Dialect {
		if peer == p.Switch {
			return unionpay.Switch
		}
		return unionpay.Terminal
	}})
	for _, m := range p.Merchants {
		if err := w.addTill(m); err != nil {
			return err
		}
	}
	for _, n := range w.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	return w.issueCards()
}

func (w *World) add(n *node) {
	n.world, n.store = w, journal.NewMemStore()
	if n.dialect == nil {
		n.dialect = func(string) unionpay.Dialect { return unionpay.Switch }
	}
	w.nodes = append(w.nodes, n)
	w.byName[n.name] = n
}

// keySpec is one key to make.
type keySpec struct {
	name      string
	usage     hsm.Usage
	mode      hsm.Mode
	algorithm hsm.Algorithm
}

// makeKeys gives every institution and terminal its HSM. Working PIN keys are there from the start: signing on is package link's business.
func (w *World) makeKeys() error {
	p := w.options.Profile
	seal := []keySpec{{keySeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256}}
	specs := map[string][]keySpec{p.Switch: seal, p.Acquirer.Institution: seal}
	for _, i := range p.Issuers {
		specs[i.Institution] = []keySpec{
			{keyMasterAC, hsm.UsageEMVAC, hsm.ModeDerive, hsm.TDES}, {keyMasterMAC, hsm.UsageEMVMAC, hsm.ModeDerive, hsm.TDES},
			{keyMasterENC, hsm.UsageEMVENC, hsm.ModeDerive, hsm.TDES}, {keyTransport, hsm.UsagePersonalization, hsm.ModeBoth, hsm.AES256},
			{keyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC}, {keyPANSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
			{keyPINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES256},
		}
	}
	for _, m := range p.Merchants {
		specs[m.Terminal] = seal
	}
	for id, keys := range specs {
		w.vaults[id] = hsm.New(w.source("hsm " + id))
		for _, k := range keys {
			if _, err := w.vaults[id].Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
				return fmt.Errorf("keys of %s: %w", id, err)
			}
		}
	}
	pairs := [][2]string{{p.Acquirer.Institution, p.Switch}}
	for _, i := range p.Issuers {
		pairs = append(pairs, [2]string{p.Switch, i.Institution})
	}
	for _, m := range p.Merchants {
		pairs = append(pairs, [2]string{m.Terminal, p.Acquirer.Institution})
	}
	for _, pair := range pairs {
		key := make([]byte, hsm.TDES.Bytes())
		if _, err := io.ReadFull(w.source("pin "+pair[0]+" "+pair[1]), key); err != nil {
			return err
		}
		for at, id := range pair {
			_, err := w.vaults[id].ImportClear(pinKey(pair[1-at]), hsm.UsagePINEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable, key)
			if err != nil {
				return fmt.Errorf("PIN key of %v: %w", pair, err)
			}
		}
	}
	return nil
}

func (w *World) currency() uint16 { return uint16(w.options.Profile.Money().Number()) }

func (w *World) newIssuer(i personalization.Issuer) (role, error) {
	return issuer.New(issuer.Deps{Institution: i.Institution, Vault: w.vaults[i.Institution], Calendar: calendar(), Currency: w.currency(),
		Keys: issuer.KeyNames{MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, PANFingerprint: keyFingerprint, PINReference: keyPINReference, PINKey: pinKey}})
}

func (w *World) newAcquirer() (role, error) {
	p := w.options.Profile
	deps := acquirer.Deps{Institution: p.Acquirer.Institution, Switch: p.Switch, Vault: w.vaults[p.Acquirer.Institution], PINKey: pinKey, SealKey: keySeal,
		Calendar: calendar(), Currency: w.currency()}
	for _, m := range p.Merchants {
		deps.Merchants = append(deps.Merchants, acquirer.Merchant{ID: m.ID, Name: m.Label, Category: m.Category})
		deps.Terminals = append(deps.Terminals, acquirer.Terminal{ID: m.Terminal, Merchant: m.ID})
	}
	return acquirer.New(deps)
}

// issueCards makes the chips and tells the banks.
func (w *World) issueCards() error {
	p := w.options.Profile
	names := personalization.KeyNames{MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, MasterENC: keyMasterENC, Transport: keyTransport,
		Fingerprint: keyFingerprint, PANSeal: keyPANSeal, PINReference: keyPINReference}
	for _, spec := range p.Cards {
		personal, err := p.Personalize(spec.Name, w.vaults[spec.Issuer], names)
		if err != nil {
			return err
		}
		chip, err := card.New(&personal.Image, personal.Crypto, card.NewVolatile(personal.Image.State), w.source("card "+spec.Name))
		if err != nil {
			return fmt.Errorf("card %q: %w", spec.Name, err)
		}
		w.holders = append(w.holders, &holder{personal: personal, chip: chip})
		r := personal.Record
		if _, err := w.byName[spec.Issuer].ask(issuer.Enrol{Enrolment: issuer.Enrolment{
			Card: r.Card, Name: r.Name, Fingerprint: r.Fingerprint, SealedPAN: r.SealedPAN, Masked: r.Masked, Sequence: r.Sequence, Expiry: r.Expiry,
			Product: r.Product, Currency: r.Currency, PINReference: r.PINReference, NoPIN: r.NoPIN, Contactless: true,
			Limits:       issuer.Limits{TapMinor: r.TapMinor, DayMinor: r.DayMinor, DayCount: r.DayCount, NoPINDayMinor: r.NoPINDayMinor},
			OpeningMinor: r.OpeningMinor, PurseMinor: r.PurseMinor, CreditMinor: r.CreditMinor,
		}}); err != nil {
			return fmt.Errorf("enrol card %q: %w", spec.Name, err)
		}
	}
	return nil
}

const (
	kernelQuickPass      = 7
	countryChina         = 156
	terminalTypeAttended = 0x22 // attended, offline with online capability, of a merchant [EMV B4]
)

// addTill makes a merchant's till: its terminal outlives the processes.
func (w *World) addTill(m personalization.Merchant) error {
	tap, err := w.newTerminal(m)
	if err != nil {
		return fmt.Errorf("terminal of %q: %w", m.Name, err)
	}
	p := w.options.Profile
	t := &till{merchant: m}
	limit := money.New(issuer.NoPINLimitMinor(calendar().BusinessDate(w.options.Start)), p.Money())
	t.node = &node{name: m.Terminal, kind: verify.Till, dialect: func(string) unionpay.Dialect { return unionpay.Terminal }, make: func() (role, error) {
		return pos.New(pos.Deps{Terminal: m.Terminal, Merchant: m.ID, Acquirer: p.Acquirer.Institution, Vault: w.vaults[m.Terminal],
			PINKey: pinKey(p.Acquirer.Institution), SealKey: keySeal, Calendar: calendar(), NoPINLimit: limit, Tap: tap})
	}}
	t.told = func(finding any) {
		if outcome, ok := finding.(pos.Outcome); ok {
			t.ended = outcome.Sale
		}
	}
	w.add(t.node)
	w.tills = append(w.tills, t)
	return nil
}

func (w *World) newTerminal(m personalization.Merchant) (*terminal.Terminal, error) {
	p := w.options.Profile
	keys, err := oda.NewKeys(p.Authority())
	if err != nil {
		return nil, err
	}
	var limits [3]money.Amount
	for at, text := range []string{m.TapLimit, m.Floor, m.CVMLimit} {
		minor, err := p.Minor(text)
		if err != nil {
			return nil, err
		}
		limits[at] = money.New(minor, p.Money())
	}
	var combinations []terminal.Combination
	for _, aid := range []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash} {
		combinations = append(combinations, terminal.Combination{AID: aid, Kernel: kernelQuickPass,
			Limits: terminal.Limits{Transaction: limits[0], Floor: limits[1], CVM: limits[2]}})
	}
	var ttq emv.TTQ
	for _, bit := range []emv.TTQBit{emv.TTQQPBOC, emv.TTQContact, emv.TTQOnlinePIN, emv.TTQSignature, emv.TTQFDDA01} {
		ttq.Set(bit)
	}
	return terminal.New(terminal.Config{
		Country: countryChina, Currency: p.Money(), TTQ: ttq, Combinations: combinations, Random: w.source("terminal " + m.Terminal),
		Kernel: kernel.Config{
			Type: terminalTypeAttended, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, SerialNumber: m.Terminal, TerminalID: m.Terminal,
			MerchantID: m.ID, MerchantName: m.Label, MerchantType: [2]byte{0x54, 0x11}, CAKeys: keys, FDDA00Allowed: true,
		},
	})
}

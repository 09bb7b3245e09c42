package sim

import (
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/acquirer"
	"tapnet/internal/hsm"
	"tapnet/internal/interchange"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/kernel/contact"
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

// bankCategory is that of a bank's counter, where cash becomes electronic cash.
const bankCategory = "6010"

func category(place int) string {
	if place == 2 || place == 6 {
		return bankCategory
	}
	return "5411"
}

// merchants are the tills of every world: most are online, some let the card pay alone up to a floor, one has no line when the card is there.
func merchants() []personalization.Merchant {
	var all []personalization.Merchant
	for i, floor := range []string{"0", "0", "0", "0", "200.00", "200.00", "30.00", "100.00"} {
		all = append(all, personalization.Merchant{
			Name: fmt.Sprintf("shop-%d", i+1), ID: fmt.Sprintf("30100005411%04d", i+1), Label: fmt.Sprintf("SHOP %d", i+1), Category: category(i),
			Terminal: fmt.Sprintf("T%07d", i+1), Floor: floor, CVMLimit: "1000.00", TapLimit: "50000.00", Offline: i == 7,
		})
	}
	return all
}

func (w *world) build() error {
	demo, err := personalization.Load("demo")
	if err != nil {
		return err
	}
	demo.Merchants, demo.Cards = merchants(), nil
	w.profile = demo
	if err := w.makeKeys(); err != nil {
		return err
	}
	p := w.profile
	var routes []interchange.Route
	for _, i := range p.Issuers {
		routes = append(routes, interchange.Route{Prefix: i.Prefix, Issuer: i.Institution})
	}
	w.add(&node{name: p.Switch, kind: verify.Switch, make: func() (role, error) {
		return interchange.New(interchange.Deps{Institution: p.Switch, Routes: routes, Vault: vault{w.vaults[p.Switch], w}, PINKey: pinKey, SealKey: keySeal,
			Calendar: w.calendar})
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
	cards := w.hooks.cards
	if cards == 0 {
		cards = cardsInUse
	}
	for range cards {
		h, err := w.issue()
		if err != nil {
			return err
		}
		if err := w.enrol(h); err != nil {
			return err
		}
	}
	return nil
}

// keySpec is one key to make.
type keySpec struct {
	name      string
	usage     hsm.Usage
	mode      hsm.Mode
	algorithm hsm.Algorithm
}

// makeKeys gives every institution and terminal its HSM. Working PIN keys are there from the start: signing on is package link's business.
func (w *world) makeKeys() error {
	p := w.profile
	seal := []keySpec{{keySeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256}}
	ids := []string{p.Switch, p.Acquirer.Institution}
	specs := map[string][]keySpec{p.Switch: seal, p.Acquirer.Institution: seal}
	pairs := [][2]string{{p.Acquirer.Institution, p.Switch}}
	for _, i := range p.Issuers {
		ids = append(ids, i.Institution)
		specs[i.Institution] = []keySpec{
			{keyMasterAC, hsm.UsageEMVAC, hsm.ModeDerive, hsm.TDES}, {keyMasterMAC, hsm.UsageEMVMAC, hsm.ModeDerive, hsm.TDES},
			{keyMasterENC, hsm.UsageEMVENC, hsm.ModeDerive, hsm.TDES}, {keyTransport, hsm.UsagePersonalization, hsm.ModeBoth, hsm.AES256},
			{keyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC}, {keyPANSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
			{keyPINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES256},
		}
		pairs = append(pairs, [2]string{p.Switch, i.Institution})
	}
	for _, m := range p.Merchants {
		ids = append(ids, m.Terminal)
		specs[m.Terminal] = seal
		pairs = append(pairs, [2]string{m.Terminal, p.Acquirer.Institution})
	}
	for _, id := range ids {
		w.vaults[id] = hsm.New(w.source("hsm " + id))
		for _, k := range specs[id] {
			if _, err := w.vaults[id].Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
				return fmt.Errorf("keys of %s: %w", id, err)
			}
		}
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

func (w *world) currency() uint16 { return uint16(w.profile.Money().Number()) }

func (w *world) newIssuer(i personalization.Issuer) (role, error) {
	return issuer.New(issuer.Deps{Institution: i.Institution, Vault: vault{w.vaults[i.Institution], w}, Calendar: w.calendar, Currency: w.currency(),
		Keys: issuer.KeyNames{MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, MasterENC: keyMasterENC, PANFingerprint: keyFingerprint, PINReference: keyPINReference,
			PINKey: pinKey},
		Capacity: w.capacity})
}

func (w *world) newAcquirer() (role, error) {
	p := w.profile
	deps := acquirer.Deps{Institution: p.Acquirer.Institution, Switch: p.Switch,
		Vault: vault{w.vaults[p.Acquirer.Institution], w}, PINKey: pinKey, SealKey: keySeal,
		Calendar: w.calendar, Currency: w.currency()}
	for _, m := range p.Merchants {
		deps.Merchants = append(deps.Merchants, acquirer.Merchant{ID: m.ID, Name: m.Label, Category: m.Category})
		deps.Terminals = append(deps.Terminals, acquirer.Terminal{ID: m.Terminal, Merchant: m.ID})
	}
	return acquirer.New(deps)
}

const (
	kernelQuickPass      = 7
	countryChina         = 156
	terminalTypeAttended = 0x22 // attended, offline with online capability, of a merchant [EMV B4]
)

// addTill makes a merchant's till: its terminal outlives the processes.
func (w *world) addTill(m personalization.Merchant) error {
	tap, err := w.newTerminal(m)
	if err != nil {
		return fmt.Errorf("terminal of %q: %w", m.Name, err)
	}
	p := w.profile
	t := &till{merchant: m}
	limit := money.New(issuer.NoPINLimitMinor(w.calendar.BusinessDate(w.began)), p.Money())
	t.node = &node{
		name: m.Terminal, kind: verify.Till, dialect: func(string) unionpay.Dialect { return unionpay.Terminal }, told: t.told, died: t.wake, began: t.begin,
		make: func() (role, error) {
			core, err := pos.New(pos.Deps{Terminal: m.Terminal, Merchant: m.ID, Acquirer: p.Acquirer.Institution,
				Vault:  vault{w.vaults[m.Terminal], w},
				PINKey: pinKey(p.Acquirer.Institution), SealKey: keySeal, Calendar: w.calendar, NoPINLimit: limit, Tap: tap})
			t.made = core
			return core, err
		},
	}
	w.add(t.node)
	w.tills = append(w.tills, t)
	return nil
}

func (w *world) newTerminal(m personalization.Merchant) (*terminal.Terminal, error) {
	p := w.profile
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
		Contact: contact.Config{Applications: w.contactApplications(m.Offline)},
		Kernel: kernel.Config{
			Type: terminalTypeAttended, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, SerialNumber: m.Terminal, TerminalID: m.Terminal,
			MerchantID: m.ID, MerchantName: m.Label, MerchantType: [2]byte{0x54, 0x11}, CAKeys: keys, FDDA00Allowed: true,
		},
	})
}

package app

import (
	"slices"

	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/interchange"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/money"
	"tapnet/terminal"
)

// The roles that `up` can run, in the order in which they start. A later one calls an earlier one.
const (
	RoleSwitch   = "switch"
	RoleIssuer   = "issuer"
	RoleAcquirer = "acquirer"
	RolePOS      = "pos"
)

// Roles are the roles of a payment by card: those of a network that was not asked for others.
func Roles() []string { return []string{RoleSwitch, RoleIssuer, RoleAcquirer, RolePOS} }

// Sides of an institution's working keys: what it shares with terminals, and with members of the network.
const (
	sideTerminal = "terminal"
	sideNetwork  = "network"
)

// calendar is the business calendar of the test world: Shanghai, midnight.
func calendar() clock.Calendar { return clock.Calendar{Zone: clock.Shanghai()} }

func (n *Network) newSwitch() (Role, *keyring.Ring, error) {
	p := n.options.Profile
	ring, err := n.vaults.ring(p.Switch, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return nil, nil, err
	}
	var routes []interchange.Route
	for _, i := range p.Issuers {
		routes = append(routes, interchange.Route{Prefix: i.Prefix, Issuer: i.Institution, Stations: stationsOf(i.Institution, n.options.Shards)})
	}
	role, err := interchange.New(interchange.Deps{
		Institution: p.Switch, Routes: routes, Vault: n.vaults[p.Switch], PINKey: ring.PINKey, SealKey: keyMessageSeal, Calendar: calendar(),
		AnswerWithin: n.options.AnswerWithin, Tokens: interchange.TokenRoute{Prefix: tokenPrefix, Service: TokenService},
	})
	return role, ring, err
}

func (n *Network) newIssuer(i personalization.Issuer) (*issuer.Issuer, *keyring.Ring, error) {
	ring, err := n.vaults.ring(i.Institution, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return nil, nil, err
	}
	role, err := n.newIssuerAt(i.Institution, i.Institution, ring)
	return role, ring, err
}

// newIssuerAt is the bank as a member of the network: the institution, or one of its stations, with the institution's keys.
func (n *Network) newIssuerAt(member, institution string, ring *keyring.Ring) (*issuer.Issuer, error) {
	bank, _ := n.options.Profile.Issuer(institution)
	rides, err := ridesAtIssuer(n.options.Profile, bank)
	if err != nil {
		return nil, err
	}
	return issuer.New(issuer.Deps{
		Transit:     rides,
		Institution: member, Vault: n.vaults[institution], Calendar: calendar(), Currency: n.currencyNumber(),
		Keys: issuer.KeyNames{
			MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, MasterENC: keyMasterENC, PANFingerprint: keyFingerprint, PINReference: keyPINReference, PINKey: ring.PINKey,
			SM4: issuer.MasterNames{AC: keySM4 + partAC, MAC: keySM4 + partMAC, ENC: keySM4 + partENC},
			AES: issuer.MasterNames{AC: keyAES + partAC, MAC: keyAES + partMAC, ENC: keyAES + partENC},
		},
	})
}

// newAcquirer has two rings: one for its terminals, one for the switch.
func (n *Network) newAcquirer() (role *acquirer.Acquirer, terminals, network *keyring.Ring, err error) {
	p := n.options.Profile
	id := p.Acquirer.Institution
	if terminals, err = n.vaults.ring(id, sideTerminal, hsm.LegacyECB, hsm.ModeDecrypt); err != nil {
		return nil, nil, nil, err
	}
	if network, err = n.vaults.ring(id, sideNetwork, hsm.X99CBC, hsm.ModeBoth); err != nil {
		return nil, nil, nil, err
	}
	deps := acquirer.Deps{
		Institution: id, Switch: p.Switch, Vault: n.vaults[id], SealKey: keyMessageSeal, Calendar: calendar(), Currency: n.currencyNumber(),
		AnswerWithin: n.options.AnswerWithin * 3 / 2,
		PINKey: func(peer string) string {
			if peer == p.Switch {
				return network.PINKey(peer)
			}
			return terminals.PINKey(peer)
		},
		BaseKey: n.baseKeyOf, Currencies: n.currenciesElsewhere(),
	}
	if deps.Transit, err = ridesAtAcquirer(p); err != nil {
		return nil, nil, nil, err
	}
	for _, m := range p.Merchants {
		deps.Merchants = append(deps.Merchants, acquirer.Merchant{ID: m.ID, Name: m.Label, Category: m.Category, Waiting: m.Waiting, MostMinor: n.rideLimit(m)})
		deps.Terminals = append(deps.Terminals, acquirer.Terminal{ID: m.Terminal, Merchant: m.ID, Currency: n.currencyNumberOf(m)})
	}
	role, err = acquirer.New(deps)
	return role, terminals, network, err
}

func (n *Network) newTill(m personalization.Merchant) (*pos.Till, *keyring.Ring, error) {
	p := n.options.Profile
	ring, err := n.vaults.ring(m.Terminal, sideTerminal, hsm.LegacyECB, hsm.ModeEncrypt)
	if err != nil {
		return nil, nil, err
	}
	config, err := n.terminalConfig(m)
	if err != nil {
		return nil, nil, err
	}
	tap, err := terminal.New(config)
	if err != nil {
		return nil, nil, err
	}
	module, err := n.accessModule(m)
	if err != nil {
		return nil, nil, err
	}
	till, err := pos.New(pos.Deps{
		SAM:      module,
		Terminal: m.Terminal, Merchant: m.ID, Acquirer: p.Acquirer.Institution, Vault: n.vaults[m.Terminal],
		PINKey: ring.PINKey(p.Acquirer.Institution), SealKey: keyMessageSeal, Calendar: calendar(),
		NoPINLimit: money.New(issuer.NoPINLimitMinor(calendar().BusinessDate(n.options.Clock.Now())), p.Money()), Tap: tap,
		AnswerWithin: n.options.AnswerWithin * 9 / 4,
		Configure:    func(list pos.Parameters) (pos.Tapper, error) { return configured(config, p.Authorities(), list) }, AdviseTC: true,
	})
	return till, ring, err
}

func (n *Network) currencyNumber() uint16 { return uint16(n.options.Profile.Money().Number()) }

// currencyNumberOf is that of what a merchant sells in; the profile was checked.
func (n *Network) currencyNumberOf(m personalization.Merchant) uint16 {
	currency, err := n.options.Profile.MoneyOf(m)
	if err != nil {
		return n.currencyNumber()
	}
	return uint16(currency.Number())
}

// currenciesElsewhere are those that merchants sell in beside the network's, in the order of the profile, which a world keeps.
func (n *Network) currenciesElsewhere() []uint16 {
	var list []uint16
	for _, m := range n.options.Profile.Merchants {
		if number := n.currencyNumberOf(m); number != n.currencyNumber() && !slices.Contains(list, number) {
			list = append(list, number)
		}
	}
	return list
}

// enrolment turns the bureau's record of a card into the issuer's.
func enrolment(r personalization.Record) issuer.Enrolment {
	e := issuer.Enrolment{
		Card: r.Card, Name: r.Name, Fingerprint: r.Fingerprint, SealedPAN: r.SealedPAN, Masked: r.Masked, Sequence: r.Sequence, Expiry: r.Expiry,
		Product: r.Product, Currency: r.Currency, PINReference: r.PINReference, NoPIN: r.NoPIN, Contactless: true,
		Limits:       issuer.Limits{TapMinor: r.TapMinor, DayMinor: r.DayMinor, DayCount: r.DayCount, NoPINDayMinor: r.NoPINDayMinor},
		OpeningMinor: r.OpeningMinor, PurseMinor: r.PurseMinor, CreditMinor: r.CreditMinor, Algorithms: r.Algorithms,
		Stripe: r.Stripe,
	}
	if s := r.Second; s != nil {
		e.Second = &issuer.SecondPurse{Currency: s.Currency, OpeningMinor: s.OpeningMinor, PurseMinor: s.PurseMinor}
	}
	return e
}

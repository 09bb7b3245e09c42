package app

import (
	"fmt"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/pos"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/terminal"
)

// purseCeiling is the most a terminal takes from a purse in the slot, 9F7B: what a purse may hold [REF 5].
const purseCeiling = 100_000

// slotConfig is the reader with contacts of the test world's terminals, with the action codes of [REF 1.3].
func slotConfig(floor money.Amount) (contact.Config, error) {
	c := contact.Config{Selectable: true}
	for _, aid := range []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash} {
		c.Applications = append(c.Applications, contact.Application{
			AID: aid, FloorLimit: floor, ECLimit: money.New(purseCeiling, floor.Currency()),
			TACDefault: emv.TVR{0xD8, 0x40, 0x00, 0xA8, 0x00}, TACOnline: emv.TVR{0xD8, 0x40, 0x04, 0xF8, 0x00}, TACDenial: emv.TVR{0x00, 0x10, 0x00, 0x00, 0x00},
		})
	}
	return c, c.Check()
}

// configured makes the terminal of a merchant with what its till has downloaded: applications and keys of a list replace those the terminal was made with.
func configured(config terminal.Config, own []oda.CAKey, p pos.Parameters) (*terminal.Terminal, error) {
	if len(p.Applications) > 0 {
		base := config.Combinations[0]
		config.Combinations, config.Contact.Applications = nil, nil
		for _, a := range p.Applications {
			c := base
			c.AID = a.Contact.AID
			for _, limit := range []struct {
				from *money.Amount
				to   *money.Amount
			}{{a.TapFloor, &c.Limits.Floor}, {a.TapMax, &c.Limits.Transaction}, {a.TapCVM, &c.Limits.CVM}} {
				if limit.from != nil {
					*limit.to = *limit.from
				}
			}
			config.Combinations = append(config.Combinations, c)
			if a.Contact.FloorLimit.Currency().IsZero() { // it differs between merchants
				a.Contact.FloorLimit = base.Limits.Floor
			}
			config.Contact.Applications = append(config.Contact.Applications, a.Contact)
		}
	}
	if len(p.CAKeys) > 0 {
		all := p.CAKeys
		for _, k := range own { // a list has RSA keys only
			if k.Algorithm != oda.RSA {
				all = append(all, k)
			}
		}
		keys, err := oda.NewKeys(all...)
		if err != nil {
			return nil, fmt.Errorf("downloaded keys: %w", err)
		}
		config.Kernel.CAKeys = keys
	}
	return terminal.New(config)
}

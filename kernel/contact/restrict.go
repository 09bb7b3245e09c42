package contact

import (
	"encoding/binary"
	"time"

	"tapnet/emv"
	"tapnet/kernel"
)

// restrict is processing restrictions: version, use, dates [EMV B3 10.4]. Nothing here ends a payment; the bits do.
func (m *Machine) restrict() Action {
	if b := m.records.Get(emv.TagCardVersion); len(b) == 2 {
		if !m.candidate.application.supports(binary.BigEndian.Uint16(b), &m.config.Terminal) {
			m.tvr.Set(emv.TVRVersionsDiffer)
		}
	}
	if !m.useAllowed() {
		m.tvr.Set(emv.TVRServiceNotAllowed)
	}
	y, mo, d := m.tx.Date.Date()
	today := time.Date(y, mo, d, 0, 0, 0, 0, time.UTC)
	if from, ok := kernel.Date(m.records.Get(emv.TagEffectiveDate)); ok && today.Before(from) {
		m.tvr.Set(emv.TVRNotYetEffective)
	}
	if last, _ := kernel.Date(m.records.Get(emv.TagExpiryDate)); today.After(last) {
		m.tvr.Set(emv.TVRExpired)
	}
	return m.verify()
}

// useAllowed applies the application usage control [EMV B3 10.4.2].
func (m *Machine) useAllowed() bool {
	b, ok := m.records.Value(emv.TagUsageControl)
	if !ok {
		return true
	}
	use, err := emv.ParseUsageControl(b)
	if err != nil {
		return false
	}
	if m.config.atm() {
		if !use.Has(emv.AUCATM) {
			return false
		}
	} else if !use.Has(emv.AUCNotATM) {
		return false
	}
	country := m.records.Get(emv.TagIssuerCountry)
	if len(country) != 2 || m.tx.Purse != PurseNone {
		return true
	}
	domestic := string(country) == string(m.terminal.Get(emv.TagTerminalCountry))
	either := func(home, abroad emv.UsageControlBit) bool {
		if domestic {
			return use.Has(home)
		}
		return use.Has(abroad)
	}
	switch m.tx.Type {
	case typeCash:
		return either(emv.AUCDomesticCash, emv.AUCInternationalCash)
	case typeCashback:
		if !either(emv.AUCDomesticCashback, emv.AUCInternationalCashback) {
			return false
		}
	case 0:
		if !m.tx.Other.IsZero() && !either(emv.AUCDomesticCashback, emv.AUCInternationalCashback) {
			return false
		}
	default:
		return true
	}
	// A till sells goods or services and does not say which: it may do what the card allows of the two that it can.
	sells := m.config.Terminal.Additional
	goods := either(emv.AUCDomesticGoods, emv.AUCInternationalGoods)
	services := either(emv.AUCDomesticServices, emv.AUCInternationalServices)
	return goods && (sells.Has(emv.AddCapGoods) || !sells.Has(emv.AddCapServices)) || services && sells.Has(emv.AddCapServices)
}

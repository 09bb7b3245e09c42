package contact

import (
	"encoding/binary"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/tlv"
)

// risk is terminal risk management in progress.
type risk struct {
	atc, lastOnline *uint16 // nil: the card does not tell
}

// manageRisk is terminal risk management [EMV B3 10.6].
func (m *Machine) manageRisk() Action {
	if m.tx.ForceOnline {
		m.tvr.Set(emv.TVRMerchantForcedOnline)
	}
	if file := m.config.Terminal.ExceptionFile; file != nil {
		if card, ok := kernel.Present(m.records.Value); ok && file(card) {
			m.tvr.Set(emv.TVRExceptionFile)
		}
	}
	if !m.aip.Has(emv.AIPTerminalRisk) {
		return m.analyse()
	}
	m.checkFloor()
	m.selectRandomly()
	m.tsi.Set(emv.TSITerminalRiskPerformed)
	if len(m.records.Get(emv.TagLowerOfflineLimit)) != 1 || len(m.records.Get(emv.TagUpperOfflineLimit)) != 1 {
		return m.analyse() // no velocity checking without both limits [EMV B3 10.6.3]
	}
	return m.askCounter(emv.TagATC, &m.risk.atc, func() Action {
		return m.askCounter(emv.TagLastOnlineATC, &m.risk.lastOnline, m.checkVelocity)
	})
}

// checkFloor compares the amount, and what the card has paid here before, with the floor limit [EMV B3 10.6.1].
func (m *Machine) checkFloor() {
	limit := m.candidate.application.FloorLimit
	if m.ownLimit() {
		return // readCash has looked at it
	}
	total := m.tx.Amount.Minor()
	if number, ok := m.pan(); ok && m.tx.Previous != nil {
		if before := m.tx.Previous(number); before.Currency() == m.tx.Amount.Currency() {
			total += before.Minor()
		}
	}
	if limit.Currency() != m.tx.Amount.Currency() || total >= limit.Minor() {
		m.tvr.Set(emv.TVRFloorLimitExceeded)
	}
}

// ownLimit: electronic cash has a limit of its own, 9F7B, in the place of the floor limit [REF 2.9]: terminals whose floor limit is
// zero, as most are, take it offline all the same.
func (m *Machine) ownLimit() bool { return m.cash.on && !m.candidate.application.CashKeepsFloor }

// selectRandomly sends a share of the small payments online, a growing one between threshold and floor limit [EMV B3 10.6.2].
func (m *Machine) selectRandomly() {
	a := m.candidate.application
	amount := m.tx.Amount
	if a.FloorLimit.Currency() != amount.Currency() || amount.Cmp(a.FloorLimit) >= 0 || m.withoutHost() || m.ownLimit() {
		return
	}
	target := int64(a.TargetPercent)
	if a.Threshold.Currency() == amount.Currency() && amount.Cmp(a.Threshold) >= 0 {
		span := a.FloorLimit.Minor() - a.Threshold.Minor()
		target += int64(a.MaxTargetPercent-a.TargetPercent) * (amount.Minor() - a.Threshold.Minor()) / span
	}
	const numbers = 99 // 1 to 99
	var draw [8]byte
	_, _ = m.random.Read(draw[:]) // a stream has no end
	if drawn := int64(binary.BigEndian.Uint64(draw[:])%numbers) + 1; drawn <= target {
		m.tvr.Set(emv.TVRRandomlySelected)
	}
}

// askCounter asks for a counter of two bytes. A card that does not tell is no error.
func (m *Machine) askCounter(tag tlv.Tag, to **uint16, then func() Action) Action {
	return m.send(apdu.GetData(tag), func(r apdu.Response) Action {
		if value, ok := tlv.Find(r.Data, tag); ok && r.SW == apdu.OK && len(value) == 2 {
			v := binary.BigEndian.Uint16(value)
			*to = &v
		}
		return then()
	})
}

// checkVelocity compares how many payments went offline in a row with the card's limits [EMV B3 10.6.3].
func (m *Machine) checkVelocity() Action {
	atc, online := m.risk.atc, m.risk.lastOnline
	if online != nil && *online == 0 {
		m.tvr.Set(emv.TVRNewCard)
	}
	if atc == nil || online == nil || *atc <= *online {
		m.tvr.Set(emv.TVRLowerLimitExceeded)
		m.tvr.Set(emv.TVRUpperLimitExceeded)
		return m.analyse()
	}
	run := int(*atc) - int(*online)
	if run > int(m.records.Get(emv.TagLowerOfflineLimit)[0]) {
		m.tvr.Set(emv.TVRLowerLimitExceeded)
	}
	if run > int(m.records.Get(emv.TagUpperOfflineLimit)[0]) {
		m.tvr.Set(emv.TVRUpperLimitExceeded)
	}
	return m.analyse()
}

// withoutHost: the issuer cannot be asked.
func (m *Machine) withoutHost() bool { return m.tx.OfflineOnly || m.config.offlineOnly() }

// minor reads an amount in the transaction's currency; nil when it is none.
func (m *Machine) amount(b []byte) *money.Amount {
	a, err := money.FromBCD(b, m.tx.Amount.Currency())
	if err != nil || len(b) != amountBytes {
		return nil
	}
	return &a
}

const amountBytes = 6

package contact

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/money"
	"tapnet/tlv"
)

// cash is electronic cash in this dialogue [REF 2.9].
type cash struct {
	on        bool // the card pays from its purse
	second    bool // the purse in the second currency
	before    *money.Amount
	threshold *money.Amount // below it the card asks for more
	after     *money.Amount
}

// ask asks for an amount of the purse; a card that does not tell is no error.
func (m *Machine) askAmount(tag tlv.Tag, to **money.Amount, then func() Action) Action {
	return m.send(apdu.GetData(tag), func(r apdu.Response) Action {
		if value, ok := tlv.Find(r.Data, tag); ok && r.SW == apdu.OK {
			*to = m.amount(value)
		}
		return then()
	})
}

// readCash: a card that shows its authorisation code for electronic cash pays from its purse; the terminal looks whether the purse
// runs low [REF 2.9].
func (m *Machine) readCash() Action {
	if m.tx.Purse != PurseNone || !m.records.Has(emv.TagECAuthCode) || !m.offersCash() {
		return m.authenticate()
	}
	m.cash.on = true
	return m.askAmount(emv.TagECBalance, &m.cash.before, func() Action {
		return m.askAmount(emv.TagECResetThreshold, &m.cash.threshold, m.authenticate)
	})
}

// runsLow: after this payment the purse would be below its threshold, so that the issuer should fill it on this occasion.
func (c *cash) runsLow(amount money.Amount) bool {
	return c.before == nil || c.threshold == nil || c.before.Minor()-amount.Minor() < c.threshold.Minor()
}

// inspectPurse looks at the purse before it is loaded or emptied: what cannot end well does not begin [REF 5].
func (m *Machine) inspectPurse() Action {
	return m.send(apdu.GetData(emv.TagECCurrency), func(r apdu.Response) Action {
		value, told := tlv.Find(r.Data, emv.TagECCurrency)
		if r.SW != apdu.OK || !told || sameCurrency(value, m.tx.Amount.Currency()) {
			return m.weighPurse()
		}
		return m.send(apdu.GetData(emv.TagSecondECCurrency), func(r apdu.Response) Action {
			value, told := tlv.Find(r.Data, emv.TagSecondECCurrency)
			if r.SW != apdu.OK || !told || !sameCurrency(value, m.tx.Amount.Currency()) {
				return m.refusePurse(ReasonNoPurse)
			}
			m.cash.second = true
			return m.weighPurse()
		})
	})
}

func (m *Machine) purseTag() tlv.Tag {
	if m.cash.second {
		return emv.TagSecondBalance
	}
	return emv.TagECBalance
}

func (m *Machine) weighPurse() Action {
	limitTag := emv.TagECBalanceLimit
	if m.cash.second {
		limitTag = emv.TagSecondBalanceLimit
	}
	return m.askAmount(m.purseTag(), &m.cash.before, func() Action {
		var limit *money.Amount
		return m.askAmount(limitTag, &limit, func() Action { return m.allowPurse(limit) })
	})
}

func (m *Machine) allowPurse(limit *money.Amount) Action {
	if m.cash.before == nil {
		return m.refusePurse(ReasonNoPurse)
	}
	before := m.cash.before.Minor()
	switch m.tx.Purse {
	case PurseCashLoadVoid:
		if before < m.tx.Amount.Minor() {
			return m.refusePurse(ReasonBelowBalance)
		}
	case PurseUnload:
		if before == 0 {
			return m.refusePurse(ReasonNothingToUnload)
		}
		m.tx.Amount = *m.cash.before // the cryptogram covers what is paid out
	default:
		if limit != nil && before+m.tx.Amount.Minor() > limit.Minor() {
			return m.refusePurse(ReasonAboveBalanceLimit)
		}
	}
	return m.getOptions()
}

// weighAfter asks for the balance once more, after everything that may have changed it.
func (m *Machine) weighAfter() Action {
	if !m.cash.on && m.tx.Purse == PurseNone {
		return m.conclude()
	}
	return m.askAmount(m.purseTag(), &m.cash.after, m.conclude)
}

// balanceSigned is the balance in the issuer's data of a cryptogram, in minor units [REF 1.7].
func (m *Machine) balanceSigned() *money.Amount {
	iad, err := emv.ParseIAD(m.last.data.Get(emv.TagIAD))
	if err != nil {
		return nil
	}
	minor, ok := iad.Balance()
	if !ok {
		return nil
	}
	a := money.New(minor, m.tx.Amount.Currency())
	return &a
}

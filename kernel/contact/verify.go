package contact

import (
	"tapnet/emv"
	"tapnet/money"
)

// verification is cardholder verification in progress [EMV B3 10.5].
type verification struct {
	results   emv.CVMResults
	list      emv.CVMList
	next      int // index of the rule to look at
	rule      emv.CVMRule
	triesLeft int  // of the card's PIN; -1: not known
	wrong     bool // the last PIN was
	asked     int
	onlinePIN bool
	signature bool
}

// verify starts cardholder verification.
func (m *Machine) verify() Action {
	if m.tx.Purse != PurseNone {
		return m.verifyForPurse()
	}
	if !m.aip.Has(emv.AIPCardholderVerification) {
		return m.manageRisk()
	}
	list, err := emv.ParseCVMList(m.records.Get(emv.TagCVMList))
	if err != nil || len(list.Rules) == 0 {
		m.tvr.Set(emv.TVRICCDataMissing)
		return m.manageRisk()
	}
	m.cvm.list = list
	return m.nextRule()
}

// verifyForPurse: whoever loads from the account the card is bound to gives its PIN; the other operations need none of this card's
// [REF 5].
func (m *Machine) verifyForPurse() Action {
	if m.tx.Purse != PurseLoad {
		return m.manageRisk()
	}
	m.cvm.rule = emv.CVMRule{Code: emv.CVMOnlinePIN, Condition: emv.CVMAlways}
	return m.askOnlinePIN()
}

// nextRule looks for the next rule that applies.
func (m *Machine) nextRule() Action {
	v := &m.cvm
	for v.next < len(v.list.Rules) {
		rule := v.list.Rules[v.next]
		v.next++
		if !m.applies(rule) {
			continue
		}
		v.rule = rule
		return m.perform(rule)
	}
	return m.cvmFailed()
}

// cvmFailed is the end of the list, or of a rule that ends it.
func (m *Machine) cvmFailed() Action {
	m.tvr.Set(emv.TVRCVMFailed)
	if m.cvm.results.Code().Method() == emv.CVMNotPerformed {
		m.cvm.results = emv.NewCVMResults(emv.CVMNotPerformed, emv.CVMAlways, emv.CVMResultFailed)
	}
	return m.endVerification()
}

func (m *Machine) endVerification() Action {
	m.tsi.Set(emv.TSICVMPerformed)
	return m.manageRisk()
}

// succeeded ends verification with the rule's method done.
func (m *Machine) succeeded(result byte) Action {
	m.cvm.results = emv.NewCVMResults(m.cvm.rule.Code, m.cvm.rule.Condition, result)
	return m.endVerification()
}

// unsuccessful goes on with the next rule, or not, as the rule says. performed: the method was tried, so that it stands in the
// results.
func (m *Machine) unsuccessful(performed bool) Action {
	if performed {
		m.cvm.results = emv.NewCVMResults(m.cvm.rule.Code, m.cvm.rule.Condition, emv.CVMResultFailed)
	}
	if m.tx.Purse == PurseNone && m.cvm.rule.Code.ApplyNextOnFailure() {
		return m.nextRule()
	}
	return m.cvmFailed()
}

// applies judges a rule's condition; one that is not known does not apply.
func (m *Machine) applies(rule emv.CVMRule) bool {
	x, y := int64(m.cvm.list.X), int64(m.cvm.list.Y)
	amount := m.tx.Amount.Minor()
	cash := m.tx.Type == typeCash
	unattended, manual := cash && m.config.unattended(), cash && !m.config.unattended()
	cashback := m.tx.Type == typeCashback || !cash && !m.tx.Other.IsZero()
	switch rule.Condition {
	case emv.CVMAlways:
		return true
	case emv.CVMUnattendedCash:
		return unattended
	case emv.CVMNotCash:
		return !cash && !cashback
	case emv.CVMIfSupported:
		return m.supports(rule.Code)
	case emv.CVMManualCash:
		return manual
	case emv.CVMCashback:
		return cashback
	case emv.CVMApplicationUnderX:
		return m.applicationCurrency() && amount < x
	case emv.CVMApplicationOverX:
		return m.applicationCurrency() && amount > x
	case emv.CVMApplicationUnderY:
		return m.applicationCurrency() && amount < y
	case emv.CVMApplicationOverY:
		return m.applicationCurrency() && amount > y
	}
	return false
}

// applicationCurrency: the list's amounts are in the application's currency, tag 9F42.
func (m *Machine) applicationCurrency() bool {
	b := m.records.Get(emv.TagApplicationCurrency)
	return len(b) == 2 && sameCurrency(b, m.tx.Amount.Currency())
}

func sameCurrency(b []byte, c money.Currency) bool {
	n := currencyNumber(c)
	return len(b) == 2 && b[0] == byte(n>>8) && b[1] == byte(n)
}

// supports: the terminal can do the method, tag 9F33 [EMV B4 Annex A2].
func (m *Machine) supports(code emv.CVMCode) bool {
	can := m.config.Terminal.Capabilities
	if m.tx.TTQ != (emv.TTQ{}) && isPIN(code) && code.Method() != emv.CVMOnlinePIN {
		return false // a PIN for the card does not go through the air
	}
	switch code.Method() {
	case emv.CVMFail:
		return true
	case emv.CVMPlaintextPIN:
		return can.Has(emv.CapOfflinePlaintextPIN)
	case emv.CVMOnlinePIN:
		return can.Has(emv.CapOnlinePIN) && !m.withoutHost()
	case emv.CVMPlaintextPINAndSignature:
		return can.Has(emv.CapOfflinePlaintextPIN) && can.Has(emv.CapSignature)
	case emv.CVMEncipheredPIN:
		return can.Has(emv.CapOfflineEncipheredPIN)
	case emv.CVMEncipheredPINAndSignature:
		return can.Has(emv.CapOfflineEncipheredPIN) && can.Has(emv.CapSignature)
	case emv.CVMSignature:
		return can.Has(emv.CapSignature)
	case emv.CVMNone:
		return can.Has(emv.CapNoCVM)
	case emv.CVMHolderDocument:
		return can.Has(emv.CapHolderDocument)
	}
	return false
}

func recognised(code emv.CVMCode) bool {
	switch code.Method() {
	case emv.CVMFail, emv.CVMPlaintextPIN, emv.CVMOnlinePIN, emv.CVMPlaintextPINAndSignature, emv.CVMEncipheredPIN,
		emv.CVMEncipheredPINAndSignature, emv.CVMSignature, emv.CVMNone, emv.CVMHolderDocument:
		return true
	}
	return false
}

func isPIN(code emv.CVMCode) bool {
	m := code.Method()
	return m >= emv.CVMPlaintextPIN && m <= emv.CVMEncipheredPINAndSignature
}

// pinPad: the terminal takes some kind of PIN.
func (m *Machine) pinPad() bool {
	can := m.config.Terminal.Capabilities
	return can.Has(emv.CapOfflinePlaintextPIN) || can.Has(emv.CapOnlinePIN) || can.Has(emv.CapOfflineEncipheredPIN)
}

// perform carries out a rule's method.
func (m *Machine) perform(rule emv.CVMRule) Action {
	if !recognised(rule.Code) {
		m.tvr.Set(emv.TVRUnrecognisedCVM)
		return m.unsuccessful(false)
	}
	if !m.supports(rule.Code) {
		if isPIN(rule.Code) && !m.pinPad() {
			m.tvr.Set(emv.TVRPINPadMissing)
		}
		return m.unsuccessful(false)
	}
	switch rule.Code.Method() {
	case emv.CVMFail:
		m.cvm.results = emv.NewCVMResults(rule.Code, rule.Condition, emv.CVMResultFailed)
		return m.cvmFailed()
	case emv.CVMNone:
		return m.succeeded(emv.CVMResultSuccessful)
	case emv.CVMSignature:
		m.cvm.signature = true
		return m.succeeded(emv.CVMResultUnknown) // nobody has compared it yet
	case emv.CVMOnlinePIN:
		return m.askOnlinePIN()
	case emv.CVMHolderDocument:
		return m.askDocument()
	}
	return m.countTries()
}

// askOnlinePIN has the PIN taken for the issuer.
func (m *Machine) askOnlinePIN() Action {
	return m.ask(Action{PIN: &PINRequest{Online: true, TriesLeft: unknownTries}}, func(ev Event) Action {
		switch ev.(type) {
		case PINEntered:
			m.tvr.Set(emv.TVROnlinePINEntered)
			m.cvm.onlinePIN = true
			return m.succeeded(emv.CVMResultUnknown)
		case PINBypassed:
			m.tvr.Set(emv.TVRPINNotEntered)
		case PINPadFailed:
			m.tvr.Set(emv.TVRPINPadMissing)
		default:
			panic(unexpected(ev))
		}
		if m.tx.Purse != PurseNone {
			return m.refusePurse(ReasonPINNeeded)
		}
		return m.unsuccessful(true)
	})
}

// askDocument has the merchant compare the holder's document [REF 1.11].
func (m *Machine) askDocument() Action {
	number, kind := m.records.Get(emv.TagHolderIDNumber), m.records.Get(emv.TagHolderIDType)
	if len(number) == 0 || len(kind) != 1 {
		m.tvr.Set(emv.TVRICCDataMissing)
		return m.unsuccessful(true)
	}
	return m.ask(Action{Document: &Document{Type: kind[0], number: string(number)}}, func(ev Event) Action {
		checked, ok := ev.(DocumentChecked)
		if !ok {
			panic(unexpected(ev))
		}
		if !checked.Matches {
			return m.unsuccessful(true)
		}
		return m.succeeded(emv.CVMResultSuccessful)
	})
}

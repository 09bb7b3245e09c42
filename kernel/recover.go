package kernel

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/pan"
)

// Torn reports whether the card left after it had approved, so that only the card knows whether it has paid.
func (m *Machine) Torn() bool { return m.state == stateTorn }

// LastAsked reports whether the last record had been asked for: before that a card has not paid [REF 2.4].
func (m *Machine) LastAsked() bool { return len(m.list) > 0 && m.next == len(m.list)-1 }

// LastProves reports whether the last record carried data of this very payment: the card's random number or its signature.
// A record that is always the same shows nothing.
func (m *Machine) LastProves() bool { return m.lastProves }

// Resume goes on reading where the card left, after the caller has selected the application again on the same card.
// It panics when the machine is not Torn.
func (m *Machine) Resume() Action {
	m.mustBeTorn()
	m.state = stateRecords
	return m.readNext()
}

// Tear puts a machine that was resumed in vain back: the card refused the record, and the question is still open.
func (m *Machine) Tear() {
	if m.cid != emv.TC || m.state == stateNew {
		panic("kernel: nothing to tear")
	}
	m.state = stateTorn
}

// Settle ends a torn payment for which there is other evidence that the card has paid: its balance or its log. Nothing could
// be authenticated, so the reason has to say so. It panics when the machine is not Torn.
func (m *Machine) Settle(evidence Reason) Action {
	m.mustBeTorn()
	v := m.decideApproval(nil)
	if v.kind == Approved {
		v.why = evidence
	}
	return m.finish(v)
}

// Abandon ends a torn payment as not made known: the outcome is End Application with the reason given.
func (m *Machine) Abandon(why Reason) Action {
	m.mustBeTorn()
	return m.finish(verdict{kind: EndApplication, why: why})
}

func (m *Machine) mustBeTorn() {
	if m.state != stateTorn {
		panic("kernel: no torn payment")
	}
}

// PAN is the account number as far as the card has told it.
func (m *Machine) PAN() (pan.Number, bool) { return m.pan() }

// ATC is the transaction counter of this payment.
func (m *Machine) ATC() (uint16, bool) { return uint16At(m.answer.Get(emv.TagATC)) }

// Identity is the record with the account number, if it has been read.
func (m *Machine) Identity() (Identity, bool) { return m.identity, len(m.identity.Raw) > 0 }

// BalanceAfter is the electronic cash the card said it would hold after this payment: in its issuer data, or as available
// offline amount. In minor units; false when it said neither.
func (m *Machine) BalanceAfter() (int64, bool) {
	if iad, err := emv.ParseIAD(m.answer.Get(emv.TagIAD)); err == nil {
		if balance, ok := iad.Balance(); ok {
			return balance, true
		}
	}
	return Minor(m.answer.Get(emv.TagAvailableOffline))
}

// Minor reads an amount of format n12; false when it is none.
func Minor(b []byte) (minor int64, ok bool) {
	const n12Bytes = 6
	if len(b) != n12Bytes {
		return 0, false
	}
	for _, c := range b {
		if c>>4 >= bcdDigit || c&0xF >= bcdDigit {
			return 0, false
		}
		minor = minor*bcdDigit*bcdDigit + int64(c>>4)*bcdDigit + int64(c&0xF)
	}
	return minor, true
}

// Select is the command that brings the application back.
func (m *Machine) Select() apdu.Command { return apdu.Select(m.sel.AID.Bytes()) }

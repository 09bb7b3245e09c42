package verify

import (
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// persists tells what an acquirer never takes back but repeats until it is answered.
func persists(business uint16) bool {
	switch business {
	case businessOffline, businessLastWord, businessRefund, businessSaleRefund, businessCompletionNote:
		return true
	}
	return false
}

// businessOfSwitch is what a switch's row says a payment is about: it knows only whether it is an advice.
func businessOfSwitch(r *journal.Row) uint16 {
	if r.Kind == journal.Requested && r.Reason != 0 {
		return businessLastWord
	}
	return businessSale
}

// tillCard follows what a till says of the card in the slot, of notices and of batches.
func (a *auditor) tillCard(m *member, r *journal.Row, j join) {
	switch r.Kind {
	case journal.ScriptReported:
		if !m.heard(r, j.payment) {
			m.fault(r, "linked", number(r.Linked), fill("a notice that waits for its acknowledgement", "等待确认的通知"))
		}
		return
	case journal.BatchOpened:
		m.batch, m.serial = m.batch+1, 0
		return
	case journal.BatchClosed:
		m.closes(r)
		return
	case journal.Completed, journal.Reversed, journal.Declined, journal.Expired:
	default:
		return
	}
	if first := m.row(r.Linked); first != nil && first.Kind == journal.Cleared {
		return // a settlement without an answer: it is asked again
	}
	p, s := a.follow(m, r, j.payment)
	if p == nil {
		return
	}
	switch {
	case r.Kind == journal.Reversed:
		if s.state != isApproved {
			m.fault(r, FieldEnd, stateTerm(s.state), stateTerm(isApproved))
			return
		}
		m.posted -= owed(s.business) * s.amount
		s.state, s.end, s.endAt, s.timeSent, s.answered = isTimedOut, r.Seq, r.At.UnixMicro(), r.Seq, false
		m.reason(r, unionpay.UnpackResponseCode(r.Reason))
	case r.Kind == journal.Completed:
		if s.state != isApproved || !s.dialogue {
			m.fault(r, FieldEnd, stateTerm(s.state), fill("approved, with the card in the slot", "插卡交易已批准"))
			return
		}
		a.repeats(m, r, s)
		m.stands(r, s.verb)
	case s.state == isOpen:
		s.state, s.end, s.endAt = isDeclined, r.Seq, r.At.UnixMicro() // an inquiry without an answer
	}
	a.settle(p)
}

// heard ends the waiting of a notice, known by its key.
func (m *member) heard(r *journal.Row, join uint64) bool {
	if _, waits := m.notices[join]; !waits {
		return false
	}
	delete(m.notices, join)
	return true
}

// heardRow ends the waiting of a notice, known by its row.
func (m *member) heardRow(r *journal.Row) bool {
	for join, row := range m.notices {
		if row == r.Linked {
			delete(m.notices, join)
			return true
		}
	}
	return false
}

// noticeAtAcquirer is a terminal's word about scripts on its way to the bank. It counts like a payment, and of a cash load it settles what the merchant owes.
func (a *auditor) noticeAtAcquirer(m *member, r *journal.Row, j join) {
	m.serial++
	m.terminalKey(r, r.Key, classNotice)
	m.networkKey(r, "payment", r.Payment, classNotice)
	m.notices[j.payment], m.noticed[j.key] = r.Seq, true
	if r.Resolves == 0 {
		return
	}
	original := string(r.Answer)
	p := a.cases.byJoin[a.join(original)]
	if p == nil || p.sides[theAcquirers].begin == 0 {
		p = a.recall(m, m.find(original))
	}
	if p == nil || !p.sides[theAcquirers].hold || !cashBusiness(p.sides[theAcquirers].business) {
		m.fault(r, "resolves", number(r.Resolves), fill("a cash load whose money is held", "资金已冻结的现金充值"))
		return
	}
	s := &p.sides[theAcquirers]
	s.hold = false
	m.cash(r, s)
	a.settle(p)
}

// cash is a row that ends the hold of a cash load or of its void: for good, or as if it had not been.
func (m *member) cash(r *journal.Row, s *side) {
	same(m, r, "amount", r.Amount, s.amount)
	sign, posted := -schemeSign(r), int64(0)
	switch r.Phase {
	case ledger.Post:
		s.posted, posted = true, r.Amount
	case ledger.Void:
	default:
		m.fault(r, "phase", r.Phase.Term(), fill("the end of a hold", "冻结的终结"))
	}
	m.book(r.Debit, r.Credit, -s.amount, posted)
	m.held -= sign * s.amount
	m.posted += sign * posted
}

// settledBatch holds an acquirer's answer to a settlement against what it was asked.
func (m *member) settledBatch(r *journal.Row) {
	m.terminalKey(r, r.Key, classSettlement)
	asked, err := unionpay.ParseSettlement(unionpay.Opaque(r.Answer))
	told, toldErr := unionpay.ParseSettlement(unionpay.Opaque(r.Note))
	if err != nil || toldErr != nil {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	agree := told.DomesticAgreement == unionpay.TotalsAgree && told.ForeignAgreement == unionpay.TotalsAgree
	if told.DomesticAgreement == unionpay.TotalsAgree && told.Domestic != asked.Domestic {
		m.fault(r, "note", number(told.Domestic.Debit.Minor), number(asked.Domestic.Debit.Minor))
	}
	if want := map[bool]unionpay.Agreement{true: unionpay.TotalsAgree, false: unionpay.TotalsDiffer}[agree]; r.Reason != uint16(want) {
		m.fault(r, "reason", number(r.Reason), number(uint16(want)))
	}
}

// unheard names the notices that a member has had acknowledged and the next one does not have, and where nothing may be under way those that wait.
func (a *auditor) unheard() {
	for _, m := range a.members {
		if a.options.Settled {
			for _, row := range m.notices {
				a.findings.add(Wrong{Role: m.Role, Member: m.Name, Row: row, Field: FieldDelivery, Found: fill("not acknowledged", "未确认"),
					Expected: fill("an acknowledgement", "已确认"), at: m.flow.last})
			}
		}
		if m.role != theTills || a.acquirer == nil || a.acquirer.lost || m.lost {
			continue
		}
		for join := range m.noticed {
			if _, waits := m.notices[join]; !waits && !a.acquirer.noticed[join] {
				a.findings.add(Wrong{Role: m.Role, Member: m.Name, Field: FieldCounterpart, Found: fill("a notice that the acquirer does not have", "收单行没有该通知"),
					Expected: fill("its row at the acquirer", "收单行有该记录"), at: m.flow.last})
			}
		}
	}
}

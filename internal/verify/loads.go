package verify

import (
	"encoding/binary"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Reasons of an issuer about loads, as its rows store them.
const (
	reasonLoad          = 120
	reasonLoadOther     = 121
	reasonLoadCash      = 122
	reasonLoadCashVoid  = 123
	reasonUnload        = 124
	reasonAutoLoad      = 125
	reasonLoadProven    = 132
	reasonLoadDisproven = 133
	reasonCardDeclined  = 142
)

// Flags of an issuer's decisions beside those for PIN and counter.
const (
	flagCounterUsed = 2
	flagOfflinePIN  = 4
	flagLoading     = 16
	flagSettles     = 8  // the cryptogram has confirmed what was booked of the last load
	flagToken       = 32 // the network vouched for a token: no counter of the card's
	knownFlags      = 255
)

// scriptMark begins what an answer carries for the chip, behind the authorization code.
const scriptMark = 0x72

// carried splits the answer of a row.
func carried(answer []byte) (code, scripts []byte) {
	if len(answer) > 0 && answer[0] != scriptMark {
		n := min(len(answer), authChars)
		return answer[:n], answer[n:]
	}
	return nil, answer
}

// heldLoad is money held for a load; kept while its row may still be followed by another.
type heldLoad struct {
	card, debit, credit, amount int64
	reason                      uint16
}

// account is one of the bank's accounts, nil when no row has opened it; h is the card whose it is.
func (m *member) account(number int64) (s *sums, h *holder) {
	switch number {
	case issuerScheme:
		return &m.bank.scheme, nil
	case issuerFunding:
		return &m.bank.funding, nil
	}
	if number >= ownElsewhere {
		return m.bank.ownAccount(number), nil
	}
	card := cardNumber(number)
	h = m.bank.cards[card]
	switch place := number - accountNumber(card); {
	case h == nil:
	case place == 0:
		return &h.account, h
	case place == purseAt:
		return &h.purse, h
	case place == secondAccountAt && h.second != nil:
		return &h.second.account, h
	case place == secondPurseAt && h.second != nil:
		return &h.second.purse, h
	}
	return nil, nil
}

// bookLoad moves the money of a row about loads: held on both sides, posted on both sides.
func (m *member) bookLoad(r *journal.Row, held, posted int64) {
	debit, from := m.account(int64(r.Debit))
	credit, to := m.account(int64(r.Credit))
	if debit == nil || credit == nil {
		m.fault(r, "debit", number(r.Debit), fill("accounts that were opened", "已开立的账户"))
		return
	}
	debit.debitsPending, debit.debitsPosted, debit.last = debit.debitsPending+held, debit.debitsPosted+posted, r.Seq
	credit.creditsPending, credit.creditsPosted, credit.last = credit.creditsPending+held, credit.creditsPosted+posted, r.Seq
	for _, h := range [...]*holder{from, to} {
		if h != nil && h != m.bank.touched {
			m.bank.beside = h
		}
	}
}

// load follows the rows of an issuer about loads and scripts.
func (a *auditor) load(m *member, r *journal.Row, j join) {
	h := m.bank.cards[r.Card]
	if h == nil {
		m.fault(r, "card", number(r.Card), fill("a card that was opened", "已开立的卡"))
		return
	}
	m.bank.touched = h
	a.nearDate(m, r)
	if proves(r) {
		h.doubt = doubt{}
	}
	switch r.Kind {
	case journal.Held:
		a.loadHeld(m, r, h, j)
	case journal.Loaded, journal.Voided, journal.Completed:
		m.loadEnded(r)
		a.claimOfLoad(m, r, r.Resolves, func(s *side) {
			s.posted = s.hold && r.Phase == ledger.Post
			s.hold = false
			s.disputed = s.disputed || r.Reason == reasonLoadProven || r.Reason == reasonLoadDisproven
		})
	case journal.Adjusted:
		m.bookLoad(r, 0, r.Amount)
		m.posted += schemeSign(r) * r.Amount
		a.claimOfLoad(m, r, r.Linked, func(s *side) { s.posted, s.disputed = schemeSign(r) != 0 && r.Reason == reasonLoadProven, true })
	case journal.ScriptReported:
	}
}

// proves reports whether a row about a load leaves no doubt about what is on the chip. That it was let go on a terminal's word does not.
func proves(r *journal.Row) bool {
	switch r.Kind {
	case journal.Loaded, journal.Completed, journal.Adjusted:
		return true
	case journal.Voided:
		return r.Reason == reasonLoadDisproven
	}
	return false
}

// loadHeld holds the accounts of a load against what it says to be.
func (a *auditor) loadHeld(m *member, r *journal.Row, h *holder, j join) {
	side := h.side(r.Card, r.Currency)
	account, purse := side.account, side.purse
	debit, credit := account, purse
	switch r.Reason {
	case reasonLoad, reasonAutoLoad:
	case reasonLoadOther:
		debit = int64(r.Debit)
	case reasonLoadCash:
		debit = side.scheme
	case reasonLoadCashVoid:
		debit, credit = purse, side.scheme
	case reasonUnload:
		debit, credit = purse, account
	default:
		m.issuerReason(r, reasonLoad)
	}
	same(m, r, "debit", int64(r.Debit), debit)
	same(m, r, "credit", int64(r.Credit), credit)
	if r.Phase != ledger.Pending {
		m.fault(r, "phase", r.Phase.Term(), ledger.Pending.Term())
	}
	if _, payer := m.account(debit); payer != nil {
		if from := payer.side(cardNumber(debit), r.Currency); debit == from.account && r.Amount > from.available() {
			m.fault(r, FieldAvailable, number(r.Amount), fill("at most %d", "不超过%d", from.available()))
		}
	}
	m.bookLoad(r, r.Amount, 0)
	m.bank.loads[r.Seq] = heldLoad{r.Card, int64(r.Debit), int64(r.Credit), r.Amount, r.Reason}
	m.held += schemeSign(r) * r.Amount
	switch {
	case side.second: // chips are compared in their first currency
	case int64(r.Credit) == purseNumber(r.Card):
		h.doubt = doubt{more: r.Amount}
	default:
		h.doubt = doubt{less: r.Amount}
	}
	if before, after, ok := balances(r.Note); !ok || before == after {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	if h.tries = min(int(r.Note[1]), pinTriesMax); r.Note[0]&flagCounterUsed != 0 {
		if !h.rises(r.ATC) {
			m.fault(r, FieldCounter, number(r.ATC), h.counterWord())
		}
		h.use(r)
	}
	if r.Key != "" {
		a.loadAnswered(m, r, j)
	}
}

// loadAnswered makes the load a payment that others know too: approved, and nothing owed to anybody's merchant.
func (a *auditor) loadAnswered(m *member, r *journal.Row, j join) {
	sameText(m, r, "payment", r.Payment, r.Key)
	if m.networkKey(r, "key", r.Key, classPayment) {
		m.networkSTAN(r, r.Key)
	}
	m.unspent(r, j.key)
	m.authCode(r)
	p := a.cases.begin(0, j.key)
	if s := a.start(p, m, r, isApproved); s != nil {
		s.code, s.hold = packCode("00"), schemeSign(r) != 0
		code, _ := carried(r.Answer)
		copy(s.auth[:], code)
		m.tally.count(s.state)
	}
	a.settle(p)
}

func cardNumber(account int64) int64 {
	return (account - accountNumber(0)) / (accountNumber(1) - accountNumber(0))
}

// loadEnded posts or lets go what a load held.
func (m *member) loadEnded(r *journal.Row) {
	l, open := m.bank.loads[r.Resolves]
	if !open {
		m.fault(r, "resolves", number(r.Resolves), fill("a load whose money is held", "资金已冻结的圈存"))
		return
	}
	delete(m.bank.loads, r.Resolves)
	same(m, r, "card", r.Card, l.card)
	same(m, r, "debit", int64(r.Debit), l.debit)
	same(m, r, "credit", int64(r.Credit), l.credit)
	posted := int64(0)
	if r.Phase == ledger.Post {
		posted = r.Amount
	}
	if r.Kind != journal.Completed || posted > l.amount {
		same(m, r, "amount", r.Amount, l.amount)
	}
	if r.Kind == journal.Loaded && r.Phase != ledger.Post || r.Kind == journal.Voided && r.Phase != ledger.Void {
		m.fault(r, "phase", r.Phase.Term(), fill("the end of a hold", "冻结的终结"))
	}
	m.bookLoad(r, -l.amount, posted)
	m.held -= schemeSign(r) * l.amount
	m.posted += schemeSign(r) * posted
}

// claimOfLoad changes what stands of the load of a row between the bank and the scheme. An automatic load is no payment of its own.
func (a *auditor) claimOfLoad(m *member, r *journal.Row, held uint64, change func(*side)) {
	first := m.row(held)
	if first == nil || first.Key == "" {
		return
	}
	p := a.cases.byJoin[a.join(first.Key)]
	if p == nil || p.sides[theIssuers].begin != held {
		p = a.recall(m, first)
	}
	if p == nil {
		return
	}
	change(&p.sides[theIssuers])
	a.settle(p)
}

// loadReversed is a reversal that lets a load go.
func (a *auditor) loadReversed(m *member, r *journal.Row, j join) {
	m.issuerReason(r, reasonReversed)
	if p := a.cases.byJoin[j.payment]; p != nil && p.sides[theIssuers].begin != 0 {
		s := &p.sides[theIssuers]
		s.state = isReversed
		if s.undo == 0 {
			s.undo, s.undoAt = r.Seq, r.At.UnixMicro()
		}
	}
	m.bank.touched = m.bank.cards[r.Card]
	if r.Phase != ledger.Void {
		m.fault(r, "phase", r.Phase.Term(), ledger.Void.Term())
	}
	m.loadEnded(r)
	a.claimOfLoad(m, r, r.Resolves, func(s *side) { s.hold = false })
}

// balances are what a load's row says the chip held before and shall hold after.
func balances(note []byte) (before, after uint64, ok bool) {
	const fixed = 2
	if len(note) < fixed {
		return 0, 0, false
	}
	before, n := binary.Uvarint(note[fixed:])
	if n <= 0 {
		return 0, 0, false
	}
	after, k := binary.Uvarint(note[fixed+n:])
	return before, after, k > 0 && fixed+n+k == len(note)
}

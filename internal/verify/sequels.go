package verify

import (
	"encoding/binary"
	"strconv"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Reasons of an issuer about what follows an earlier payment, as its rows store them.
const (
	reasonPreAuth      = 111
	reasonRefund       = 143
	reasonVoid         = 144
	reasonSaleRefund   = 145
	reasonPreAuthVoid  = 146
	reasonCompletion   = 147
	reasonCompleteVoid = 148
	reasonBalance      = 149
	reasonHeldAgain    = 151
	reasonGivesWay     = 152
	reasonUndone       = 153
	reasonStandsAgain  = 154
)

// flagFollows in the note of a decision: the request was about an earlier payment.
const flagFollows = 64

// chain is what became of a payment that something followed.
type chain struct {
	marks    uint64
	became   uint16 // 0 or reasonStandsAgain while it stands
	refunded int64
	hold     uint64 // row whose hold stands for it
}

func (c chain) stands() bool { return c.became == 0 || c.became == reasonStandsAgain }

// followed is a payment that followed another one, until it is undone.
type followed struct {
	original journal.Row
	amount   int64
	reason   uint16
	given    shift // of the limits used: what the original used, given back
	own      shift // and what it used itself
}

// shift is what a row moves of the limits used on a date.
type shift struct {
	date  int32
	noPIN bool
	minor int64
}

const shiftBytes = 13

func readShift(b []byte) (s shift, rest []byte, ok bool) {
	if len(b) < shiftBytes || b[4] > 1 {
		return s, nil, false
	}
	return shift{int32(binary.BigEndian.Uint32(b)), b[4] == 1, int64(binary.BigEndian.Uint64(b[5:]))}, b[shiftBytes:], true
}

func (h *holder) shift(s shift, sign int64) {
	if s.minor == 0 {
		return
	}
	day := h.on(s.date)
	if day.count == 0 && sign < 0 {
		return // the date is forgotten
	}
	day.minor, day.count = day.minor+sign*s.minor, day.count+int(sign)
	if s.noPIN {
		day.noPINMinor += sign * s.minor
	}
	h.put(day)
}

// dueMark is a row that must come next: it says what a payment became.
type dueMark struct {
	key    string
	of     string
	by     uint64
	became uint16
	amount int64
	hold   uint64
}

// isSequel tells the issuer's rows about what follows an earlier payment from those about loads.
func isSequel(r *journal.Row) bool {
	switch r.Kind {
	case journal.Refunded:
		return true
	case journal.Voided:
		return r.Key != "" || r.Reason == reasonGivesWay || r.Reason == reasonTakesOver
	case journal.Completed:
		return r.Key != ""
	case journal.Held:
		return r.Reason == reasonHeldAgain
	case journal.Noted:
		return !answers(r)
	}
	return false
}

// sequel follows those rows.
func (a *auditor) sequel(m *member, r *journal.Row, j join) {
	a.nearDate(m, r)
	h := m.bank.cards[r.Card]
	if h == nil {
		m.fault(r, "card", number(r.Card), fill("a card that was opened", "已开立的卡"))
		return
	}
	m.bank.touched = h
	if r.Kind == journal.Noted {
		a.becomes(m, r)
		return
	}
	of := m.row(r.Linked)
	if of == nil || of.Card != r.Card {
		m.fault(r, "linked", number(r.Linked), fill("a payment of the card", "该卡的交易"))
		return
	}
	c := a.chainOf(m, of)
	switch {
	case r.Kind == journal.Held:
		m.sameMoney(r, accountNumber(r.Card), issuerScheme, ledger.Pending, of.Amount)
		m.heldOn(h, r.Amount, r.Seq)
		m.bank.again = r.Seq
	case r.Reason == reasonGivesWay:
		a.letGo(m, r, h, of, c)
	case r.Reason == reasonTakesOver && r.Kind == journal.Voided:
		a.takesOver(m, r, h, of)
	default:
		a.goesOn(m, r, h, of, c, j)
	}
}

// chainOf is what became of a payment so far.
func (a *auditor) chainOf(m *member, of *journal.Row) *chain {
	if c := m.bank.chains[of.Seq]; c != nil {
		return c
	}
	c := &chain{}
	if of.Kind == journal.Approved && a.stillHeld(m, of) {
		c.hold = of.Seq
	}
	m.bank.chains[of.Seq] = c
	return c
}

func (a *auditor) stillHeld(m *member, of *journal.Row) bool {
	if p := a.cases.byJoin[a.join(of.Key)]; p != nil && p.sides[theIssuers].begin == of.Seq {
		return p.sides[theIssuers].hold
	}
	return of.Seq < uint64(len(m.marks)) && m.marks[of.Seq]&markHold != 0
}

// letGo releases the hold of a pre-authorization.
func (a *auditor) letGo(m *member, r *journal.Row, h *holder, of *journal.Row, c *chain) {
	if c.hold == 0 || of.Reason != reasonPreAuth {
		m.fault(r, "resolves", number(r.Resolves), fill("a hold that stands", "仍在的冻结"))
		return
	}
	same(m, r, "resolves", r.Resolves, c.hold)
	m.sameMoney(r, accountNumber(r.Card), issuerScheme, ledger.Void, of.Amount)
	m.heldOn(h, -of.Amount, r.Seq)
	c.hold = 0
	if p := a.cases.byJoin[a.join(of.Key)]; p != nil && p.sides[theIssuers].begin == of.Seq {
		p.sides[theIssuers].hold = false
	}
}

func (m *member) sameMoney(r *journal.Row, debit, credit int64, phase ledger.Phase, amount int64) {
	same(m, r, "debit", int64(r.Debit), debit)
	same(m, r, "credit", int64(r.Credit), credit)
	same(m, r, "amount", r.Amount, amount)
	if r.Phase != phase {
		m.fault(r, "phase", r.Phase.Term(), phase.Term())
	}
}

// heldOn holds money for a pre-authorization: no claim of anybody's yet.
func (m *member) heldOn(h *holder, amount int64, row uint64) {
	m.hold(h, amount, row)
	m.held -= amount
}

// moveOn posts money between a card's account, or what the bank bears, and the scheme.
func (m *member) moveOn(r *journal.Row) {
	debit, _ := m.account(int64(r.Debit))
	credit, _ := m.account(int64(r.Credit))
	if debit == nil || credit == nil {
		m.fault(r, "debit", number(r.Debit), fill("accounts that were opened", "已开立的账户"))
		return
	}
	debit.post(r.Amount, 0, r.Seq)
	credit.post(0, r.Amount, r.Seq)
	m.posted += schemeSign(r) * r.Amount
}

// sequelRule is what a row must be, by its reason.
type sequelRule struct {
	kind   journal.Kind
	of     []uint16 // reasons of the payment that it follows
	whole  bool
	most   int64
	refund bool
	debits bool // the cardholder pays
}

var sequelRules = map[uint16]sequelRule{
	reasonVoid:         {kind: journal.Refunded, of: []uint16{reasonApproved}, whole: true},
	reasonRefund:       {kind: journal.Refunded, of: []uint16{reasonPurse, reasonOffline}, most: 100, refund: true},
	reasonSaleRefund:   {kind: journal.Refunded, of: []uint16{reasonApproved, reasonCompletion}, most: 100, refund: true},
	reasonPreAuthVoid:  {kind: journal.Voided, of: []uint16{reasonPreAuth}, whole: true},
	reasonCompletion:   {kind: journal.Completed, of: []uint16{reasonPreAuth}, most: 115, debits: true},
	reasonCompleteVoid: {kind: journal.Refunded, of: []uint16{reasonCompletion}, whole: true},
}

// fits holds a row against the payment that it follows.
func (s sequelRule) fits(m *member, r, of *journal.Row, c *chain) {
	same(m, r, "kind", r.Kind, s.kind)
	known := false
	for _, reason := range s.of {
		known = known || of.Reason == reason && of.Kind != journal.Declined &&
			(reason != reasonApproved || of.Kind == journal.Approved && (c.hold != 0 || c.marks != 0))
	}
	if !known || !c.stands() && (!s.refund || c.became != r.Reason) {
		m.fault(r, "linked", number(r.Linked), fill("a payment that stands and that this may follow", "可进行该操作的有效原交易"))
	}
	switch {
	case s.whole:
		same(m, r, "amount", r.Amount, of.Amount)
	case r.Amount > of.Amount*s.most/100-c.refunded:
		m.fault(r, "amount", number(r.Amount), fill("at most %d", "不超过%d", of.Amount*s.most/100-c.refunded))
	}
}

// goesOn is a row that follows an earlier payment under a key of its own.
func (a *auditor) goesOn(m *member, r *journal.Row, h *holder, of *journal.Row, c *chain, j join) {
	sameText(m, r, "payment", r.Payment, r.Key)
	if m.networkKey(r, "key", r.Key, classPayment) {
		m.networkSTAN(r, r.Key)
	}
	m.unspent(r, j.key)
	m.authCode(r)
	rule, known := sequelRules[r.Reason]
	if !known {
		m.issuerReason(r, reasonVoid)
		return
	}
	rule.fits(m, r, of, c)
	f := &followed{original: *of, amount: r.Amount, reason: r.Reason}
	if !rule.refund {
		f.given = shift{of.BusinessDate, !verified(of), of.Amount}
	}
	if r.Reason == reasonCompletion {
		f.own = shift{r.BusinessDate, !verified(of), r.Amount}
		same(m, r, "resolves", c.hold, 0)
	}
	a.noteOf(m, r, f)
	switch {
	case r.Reason == reasonPreAuthVoid && c.hold != 0:
		a.letGo(m, r, h, of, c)
	case r.Reason == reasonPreAuthVoid:
		a.noMoney(m, r)
	case rule.debits:
		if r.Amount > h.available() {
			m.fault(r, FieldAvailable, number(r.Amount), fill("at most %d", "不超过%d", h.available()))
		}
		m.sameMoney(r, accountNumber(r.Card), issuerScheme, ledger.Single, r.Amount)
		m.moveOn(r)
	default:
		side := h.side(r.Card, of.Currency)
		m.sameMoney(r, side.scheme, side.account, ledger.Single, r.Amount)
		m.moveOn(r)
	}
	h.shift(f.given, -1)
	h.shift(f.own, 1)
	m.bank.sequels[r.Seq] = f
	c.marks++
	if c.became = r.Reason; rule.refund {
		c.refunded += r.Amount
	}
	hold := c.hold
	if !rule.refund {
		hold = 0
	}
	if of.Reason != reasonPreAuth && !rule.refund {
		c.hold = 0 // of a void: the mark says nothing of it
	}
	m.bank.due = append(m.bank.due, dueMark{markKey(of.Key, c.marks), of.Key, r.Seq, c.became, c.refunded, hold})
	p := a.cases.begin(0, j.key)
	if s := a.start(p, m, r, isApproved); s != nil {
		s.code, s.posted = packCode("00"), r.Debit != 0 && r.Phase == ledger.Single
		s.upload, s.either = rule.refund, r.Reason == reasonCompletion
		code, _ := carried(r.Answer)
		copy(s.auth[:], code)
		m.tally.count(s.state)
	}
	a.settle(p)
}

// noteOf holds what a row says of the limits used, and of which payment, against that one.
func (a *auditor) noteOf(m *member, r *journal.Row, f *followed) {
	const flags = 2
	if len(r.Note) < flags {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	given, key, ok := readShift(r.Note[flags:])
	if !ok || r.Note[0]&flagFollows == 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	sameText(m, r, "note", string(key), f.original.Key)
	if given != f.given {
		m.fault(r, FieldTaken, number(given.minor), number(f.given.minor))
	}
	if h := m.bank.cards[r.Card]; int(r.Note[1]) != h.tries {
		m.fault(r, FieldTries, number(r.Note[1]), number(h.tries))
	}
}

// markKey is the key of the n-th row that says what a payment became.
func markKey(key string, n uint64) string {
	if n == 1 {
		return key + "r"
	}
	return key + "r" + strconv.FormatUint(n, 10)
}

// becomes is such a row: the one that is due.
func (a *auditor) becomes(m *member, r *journal.Row) {
	if len(m.bank.due) == 0 {
		m.fault(r, "linked", number(r.Linked), fill("a row before it that changes what became of a payment", "前一行改变了原交易状态"))
		return
	}
	d := m.bank.due[0]
	m.bank.due = m.bank.due[1:]
	sameText(m, r, "key", r.Key, d.key)
	sameText(m, r, "payment", r.Payment, d.of)
	same(m, r, "linked", r.Linked, d.by)
	same(m, r, "amount", r.Amount, d.amount)
	m.issuerReason(r, d.became)
	hold := uint64(0)
	if len(r.Note) > 0 {
		hold, _ = binary.Uvarint(r.Note)
	}
	if d.hold == heldIfAny {
		d.hold = m.bank.again
		if c := m.bank.undoing; c != nil {
			c.hold = d.hold
		}
	}
	same(m, r, "note", hold, d.hold)
}

// heldIfAny stands for the row that holds the money of a pre-authorization again, where there was one.
const heldIfAny = ^uint64(0)

// overdue is called for every row that is no mark: those that were due must have come.
func (m *member) overdue(r *journal.Row) {
	if len(m.bank.due) == 0 || isSequel(r) && (r.Kind == journal.Noted || r.Kind == journal.Held) {
		return
	}
	m.fault(r, "kind", r.Kind.Term(), fill("the row that says what became of the payment of row %d", "说明第%d行所涉原交易状态的行", m.bank.due[0].by))
	m.bank.due = nil
}

// undoSequel is the reversal of what followed an earlier payment: the money goes back, and the earlier one stands again.
func (a *auditor) undoSequel(m *member, r *journal.Row, s *side, f *followed) {
	m.issuerReason(r, reasonReversed)
	same(m, r, "linked", r.Linked, s.begin)
	same(m, r, "card", r.Card, f.original.Card)
	given, rest, ok := readShift(r.Answer)
	own, _, also := readShift(rest)
	if !ok || !also || given != f.given || own != f.own {
		m.fault(r, FieldTaken, number(given.minor), number(f.given.minor))
	}
	h := m.bank.cards[r.Card]
	if m.bank.touched = h; h == nil {
		return
	}
	account := accountNumber(r.Card)
	switch f.reason {
	case reasonCompletion:
		m.sameMoney(r, issuerScheme, account, ledger.Single, f.amount)
		m.moveOn(r)
	case reasonVoid, reasonCompleteVoid:
		payer := account
		if h.available() < f.amount {
			payer = issuerFunding
		}
		m.sameMoney(r, payer, issuerScheme, ledger.Single, f.amount)
		m.moveOn(r)
	default:
		a.noMoney(m, r)
	}
	h.shift(f.given, 1)
	h.shift(f.own, -1)
	s.posted, s.state = false, isReversed
	m.tally.reversed++
	of := f.original
	c := a.chainOf(m, &of)
	c.marks++
	c.became = reasonStandsAgain
	hold := uint64(0)
	m.bank.again, m.bank.undoing = 0, c
	if of.Reason == reasonPreAuth {
		hold = heldIfAny
	}
	m.bank.due = append(m.bank.due, dueMark{markKey(of.Key, c.marks), of.Key, r.Seq, reasonStandsAgain, c.refunded, hold},
		dueMark{markKey(r.Payment, 1), r.Payment, r.Seq, reasonUndone, 0, 0})
	delete(m.bank.sequels, s.begin)
}

// told is a balance inquiry: a decision that moves nothing.
func (a *auditor) told(m *member, r *journal.Row, h *holder) {
	minor, n := binary.Varint(r.Note[2:])
	if n <= 0 || 2+n != len(r.Note) && !recalled(r) {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	same(m, r, FieldAvailable, minor, h.available())
}

package verify

import (
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// Reasons of an issuer about payments that a card approved by itself from the account, as its rows store them.
const (
	reasonOffline   = 112 // an upload from the account
	reasonTakesOver = 113 // it takes the place of a request that nobody answered
)

// takesPlace tells an upload that takes the place of an earlier request: the counter is that one's.
func takesPlace(r *journal.Row) bool { return r.Kind == journal.Uploaded && r.Linked != 0 }

// uploads holds an upload against its reason, and against the request whose place it takes.
func (a *auditor) uploads(m *member, r *journal.Row, h *holder) {
	if r.Reason != reasonOffline {
		m.issuerReason(r, reasonPurse)
	}
	if !takesPlace(r) {
		if !h.window.fresh(r.ATC) {
			m.fault(r, FieldCounter, number(r.ATC), h.counterWord())
		}
		return
	}
	of := m.row(r.Linked)
	if of == nil || of.Kind != journal.Approved && of.Kind != journal.Declined || of.Card != r.Card || of.ATC != r.ATC || of.Amount != r.Amount ||
		len(of.Note) == 0 || of.Note[0]&flagCounterUsed == 0 {
		m.fault(r, "linked", number(r.Linked), fill("a request of the card with counter and amount of the upload", "该卡同计数器、同金额的请求"))
		return
	}
	c := a.chainOf(m, of)
	if !c.stands() || c.marks != 0 || of.Kind == journal.Approved && a.stillHeld(m, of) {
		m.fault(r, "linked", number(r.Linked), fill("a request of which nothing has become, and whose hold was let go", "未有后续且冻结已解除的请求"))
	}
	c.marks, c.became, c.hold = 1, reasonTakesOver, 0
	m.bank.due = append(m.bank.due, dueMark{markKey(of.Key, 1), of.Key, r.Seq, reasonTakesOver, 0, 0})
}

// takesOver lets go of the hold of the request whose place the upload behind it takes, with what it used of the card's limits.
func (a *auditor) takesOver(m *member, r *journal.Row, h *holder, of *journal.Row) {
	p := a.cases.byJoin[a.join(of.Key)]
	if p == nil || p.sides[theIssuers].begin != of.Seq {
		p = a.recall(m, of)
	}
	if p == nil || !p.sides[theIssuers].hold {
		m.fault(r, "resolves", number(r.Resolves), fill("a hold that stands", "仍在的冻结"))
		return
	}
	s := &p.sides[theIssuers]
	same(m, r, "resolves", r.Resolves, of.Seq)
	sameText(m, r, "payment", r.Payment, of.Key)
	sameText(m, r, "note", string(r.Note), of.Key)
	m.sameMoney(r, accountNumber(r.Card), issuerScheme, ledger.Void, of.Amount)
	m.takenBack(r, s)
	s.hold, s.state = false, isReversed
	m.hold(h, -of.Amount, r.Seq)
	h.giveBack(s)
	a.settle(p)
}

// giveBack takes a payment out of the card's day again.
func (h *holder) giveBack(s *side) {
	day := h.on(s.date)
	if day.count == 0 {
		return // the date is forgotten
	}
	day.minor, day.count = day.minor-s.amount, day.count-1
	if !s.pin {
		day.noPINMinor -= s.amount
	}
	h.put(day)
}

// payOffline moves the money of an upload: from the purse, or from the account, and what is not there the bank bears.
func (m *member) payOffline(r *journal.Row, h *holder) {
	side := h.side(r.Card, r.Currency)
	payer := side.inPurse
	switch {
	case r.Reason != reasonOffline:
	case int64(r.Debit) == side.funding:
		payer, _ = m.account(side.funding)
	default:
		payer = side.onAccount
	}
	payer.post(r.Amount, 0, r.Seq)
	scheme, _ := m.account(side.scheme)
	scheme.post(0, r.Amount, r.Seq)
	if !side.second {
		m.posted += r.Amount
	}
}

// offlinePayer holds the account that an upload debits against what the card has.
func (m *member) offlinePayer(r *journal.Row, h *holder) {
	if h == nil {
		return
	}
	side := h.side(r.Card, r.Currency)
	same(m, r, "credit", int64(r.Credit), side.scheme)
	if r.Reason != reasonOffline {
		same(m, r, "debit", int64(r.Debit), side.purse)
		if side.inPurse.balance() < r.Amount {
			m.fault(r, FieldPurse, number(r.Amount), fill("at most %d", "不超过%d", side.inPurse.balance()))
		}
		return
	}
	m.bank.offline = true
	want := side.account
	if side.available() < r.Amount {
		want = side.funding
	}
	same(m, r, "debit", int64(r.Debit), want)
}

// keySpent holds the key serial number under which a PIN came against those of the device before: each key is used once.
func (m *member) keySpent(r *journal.Row) {
	k, err := unionpay.NewKeySerial(unionpay.KeyMethod(r.Reason), r.Note)
	if err != nil {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	if m.serials == nil {
		m.serials = map[deviceKey]uint32{}
	}
	device := deviceKey{m.auditor.hash(r.Terminal), k.Device()}
	if last, known := m.serials[device]; known && k.Counter() <= last {
		m.fault(r, FieldCounter, number(k.Counter()), fill("above %d, the last of the device", "大于该设备上一个%d", last))
	}
	m.serials[device] = k.Counter()
}

// deviceKey is a device with keys of its own at a terminal.
type deviceKey struct{ terminal, device uint64 }

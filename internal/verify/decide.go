package verify

import (
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Reasons of an issuer, as its rows store them. Those that follow from the rows before are decided here a second time.
const (
	reasonApproved     = 0
	reasonFormat       = 10
	reasonKeySpent     = 12
	reasonKeyReused    = 14
	reasonUnavailable  = 16
	reasonUnknownCard  = 20
	reasonStolen       = 22
	reasonLost         = 24
	reasonRestricted   = 26
	reasonClosed       = 28
	reasonExpired      = 30
	reasonType         = 32
	reasonCurrency     = 34
	reasonContactless  = 36
	reasonChipMissing  = 40
	reasonChipMismatch = 42
	reasonCryptogram   = 44
	reasonNotARQC      = 46
	reasonNotTC        = 47
	reasonCounter      = 48
	reasonPINFormat    = 50
	reasonPINBlocked   = 52
	reasonNoPINOff     = 56
	reasonNoPINLimit   = 58
	reasonTapLimit     = 60
	reasonDayLimit     = 62
	reasonDayCount     = 64
	reasonMoney        = 66
	reasonReversed     = 100
	reasonNothingHeld  = 102
	reasonEarly        = 104
	reasonPurse        = 110
)

// answerOf is field 39 for each reason [REF 6.2].
var answerOf = map[uint16]string{
	reasonApproved: "00", reasonFormat: "30", reasonKeyReused: "94", reasonUnavailable: "96", reasonUnknownCard: "14", reasonStolen: "43",
	reasonLost: "41", reasonRestricted: "62", reasonClosed: "14", reasonExpired: "54", reasonType: "57", reasonCurrency: "57", reasonContactless: "57",
	reasonChipMissing: "30", reasonChipMismatch: "59", reasonCryptogram: "59", reasonNotARQC: "59", reasonNotTC: "59", reasonCounter: "59",
	37: "14", 38: "45", 39: "57", 49: "59", 53: "55", 55: "55", 57: "55", 61: "57", 63: "61", 65: "64", 67: "25", // of loads and of payments by contact
	reasonPINFormat: "99", reasonPINBlocked: "75", reasonPINWrong: "55", reasonNoPINOff: "55", reasonNoPINLimit: "55", reasonTapLimit: "61",
	reasonPINSent: "00", reasonUnblockSent: "00", reasonChipInDoubt: "57", reasonNewPINFormat: "99", reasonPINNeeded: "55",
	reasonPreAuth: "00", reasonBalance: "00", reasonProofExhausted: "61", reasonVerified: "00", 70: "25", 71: "64", 68: "25", 69: "64",
	reasonDayLimit: "61", reasonDayCount: "65", reasonMoney: "51", reasonPurse: "00", reasonOffline: "00",
}

// ofUpload are the reasons that an offline payment may be refused for as well: the rules for payments in real time do not all apply then.
func ofUpload(reason uint16) bool {
	switch reason {
	case reasonFormat, reasonUnknownCard, reasonType, reasonCurrency, reasonChipMissing, reasonChipMismatch, reasonCryptogram, reasonNotTC, reasonCounter:
		return true
	}
	return false
}

// issue follows an issuer's rows.
func (a *auditor) issue(m *member, r *journal.Row, j join) {
	if r.Kind == journal.Posted {
		same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
		a.deposit(m, r)
		return
	}
	a.deposited(m, r)
	m.overdue(r)
	if isSequel(r) {
		a.sequel(m, r, j)
		return
	}
	switch r.Kind {
	case journal.Opened:
		same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
		a.enrol(m, r)
	case journal.CardChanged:
		same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
		a.alter(m, r)
	case journal.Approved, journal.Declined, journal.Uploaded, journal.Noted:
		if date := a.nearDate(m, r); date != r.BusinessDate {
			dated := *r
			dated.BusinessDate = date // so that one wrong date does not make the card's day wrong
			r = &dated
		}
		a.decision(m, r, j)
	case journal.Held, journal.Loaded, journal.Voided, journal.Completed, journal.Adjusted, journal.ScriptReported:
		a.load(m, r, j)
	case journal.Reversed:
		a.nearDate(m, r)
		if _, load := m.bank.loads[r.Resolves]; load && r.Resolves != 0 {
			a.loadReversed(m, r, j)
			return
		}
		a.void(m, r, j)
	case journal.Refused:
		a.nearDate(m, r)
		if !m.isMarker(r) {
			m.issuerReason(r, reasonKeyReused)
		}
	}
}

// nearDate gives the date of a row. An issuer takes the network's date when it is its own or the one before or after it.
func (a *auditor) nearDate(m *member, r *journal.Row) int32 {
	own := m.dates.of(r.At)
	if r.BusinessDate == own {
		return own
	}
	for _, days := range [...]int{-1, 1} {
		if a.calendar.BusinessDate(r.At.AddDate(0, 0, days)) == r.BusinessDate {
			return r.BusinessDate
		}
	}
	same(m, r, "business_date", r.BusinessDate, own)
	return own
}

func (m *member) issuerReason(r *journal.Row, want uint16) {
	same(m, r, "reason", r.Reason, want)
}

// decision decides a payment again, as far as the rows before it say.
func (a *auditor) decision(m *member, r *journal.Row, j join) {
	sameText(m, r, "payment", r.Payment, r.Key)
	if m.networkKey(r, "key", r.Key, classPayment) {
		m.networkSTAN(r, r.Key)
	}
	m.unspent(r, j.key)
	p := a.cases.begin(0, j.key)
	s := a.start(p, m, r, isDeclined)
	pinGiven, tries, ok := decision(r)
	if !ok {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	h := m.bank.cards[r.Card]
	if h == nil && (r.Card != 0 || r.Kind != journal.Declined) {
		m.fault(r, "card", number(r.Card), fill("a card that was opened", "已开立的卡"))
	}
	m.authCode(r)
	if m.bank.touched = h; h != nil {
		if r.Note[0]&(flagLoading|flagFollows) == 0 {
			a.decideAgain(m, r, h, pinGiven)
		}
		if want := h.triesAfter(r, pinGiven); tries != want {
			m.fault(r, FieldTries, number(tries), number(want))
		}
		if r.Kind != journal.Uploaded {
			h.tries = min(max(tries, 0), pinTriesMax)
		}
	} else if r.Kind == journal.Declined && r.Reason > reasonUnknownCard {
		m.issuerReason(r, reasonUnknownCard)
	}
	if h != nil && r.Note[0]&flagSettles != 0 {
		h.doubt = doubt{}
	}
	if r.Kind == journal.Noted && h != nil && r.Reason == reasonBalance {
		a.told(m, r, h)
	}
	m.move(r, h)
	a.count(m, r, h, pinGiven)
	if h != nil && recalled(r) {
		a.serves(m, r)
	}
	if r.Note[0]&flagToken != 0 {
		a.decidedByToken(m, r, j)
		a.settleToken(j.key)
	}
	if s == nil {
		return
	}
	s.code, s.pin = packCode(answerOf[r.Reason]), pinGiven || r.Note[0]&flagOfflinePIN != 0
	code, _ := carried(r.Answer)
	copy(s.auth[:], code)
	switch r.Kind {
	case journal.Approved:
		s.state, s.hold = isApproved, true
		if r.Reason == reasonPreAuth {
			s.business = businessPreAuth
		}
	case journal.Noted:
		s.state = isApproved
	case journal.Uploaded:
		s.state, s.upload, s.posted = isApproved, true, true
	}
	m.tally.count(s.state)
	a.settle(p)
}

// authCode: the code of an approval follows from its row's number; a refusal has none.
func (m *member) authCode(r *journal.Row) {
	answer, _ := carried(r.Answer)
	if r.Kind == journal.Declined || r.Kind == journal.Noted {
		if len(answer) != 0 {
			m.fault(r, "answer", quoted(string(answer)), wordNothing)
		}
		return
	}
	const modulus = 1_000_000
	found, ok := digits(string(answer))
	if ok && len(answer) == authChars && m.series.fits(apart(found, r.Seq, modulus)) {
		return
	}
	m.fault(r, "answer", quoted(string(answer)), verbatim(fmt.Sprintf("%06d", (int64(r.Seq)+m.series.shift)%modulus)))
}

// triesAfter is how many PIN tries a decision leaves.
func (h *holder) triesAfter(r *journal.Row, pinGiven bool) int {
	switch {
	case r.Kind == journal.Uploaded:
		return h.tries
	case r.Kind == journal.Declined && r.Reason == reasonPINWrong:
		return h.tries - 1
	case pinGiven && (r.Kind == journal.Approved || r.Kind == journal.Noted || r.Reason > reasonPINWrong):
		return pinTriesMax
	}
	return h.tries
}

// decideAgain finds the first reason that the rows before give, and holds the row's own against it. Reasons that only the message shows
// (a wrong cryptogram, a wrong PIN) are taken as given; what comes before them in the order of precedence must still not apply.
func (a *auditor) decideAgain(m *member, r *journal.Row, h *holder, pinGiven bool) {
	if r.Kind == journal.Uploaded {
		a.uploads(m, r, h)
		return
	}
	first, found, limit := h.firstReason(m, r, pinGiven)
	if first == reasonApproved && recalled(r) && r.Amount != 0 {
		first, found, limit = a.proofLasts(m, r)
	}
	switch {
	case r.Kind == journal.Declined && ofUpload(r.Reason):
		if r.Reason == reasonCounter && h.rises(r.ATC) {
			m.fault(r, FieldCounter, number(r.ATC), fill("a counter that was used", "已使用的计数器"))
		}
	case r.Kind == journal.Declined && derivable(r.Reason):
		if first != r.Reason {
			m.fault(r, "reason", number(r.Reason), number(first))
		}
	case r.Kind == journal.Declined:
		if first != reasonApproved && first < r.Reason && (r.Reason != reasonPINNeeded || first < reasonNoPINOff) {
			m.fault(r, "reason", number(r.Reason), number(first))
		}
	case first != reasonApproved && (!grantsPIN(r) || first < reasonNoPINOff):
		m.fault(r, ruleField(first), found, limit)
	}
}

// derivable are the reasons that follow from the row and those before it.
func derivable(reason uint16) bool {
	switch reason {
	case reasonFormat, reasonStolen, reasonLost, reasonRestricted, reasonClosed, reasonExpired, reasonCurrency, reasonCounter, reasonPINBlocked,
		reasonNoPINOff, reasonNoPINLimit, reasonTapLimit, reasonDayLimit, reasonDayCount, reasonMoney, reasonProofExhausted:
		return true
	}
	return false
}

// ruleField names what a rule looks at.
func ruleField(reason uint16) string {
	switch reason {
	case reasonFormat:
		return "amount"
	case reasonCurrency:
		return "currency"
	case reasonCounter:
		return FieldCounter
	case reasonPINBlocked:
		return FieldTries
	case reasonMoney:
		return FieldAvailable
	case reasonNoPINOff, reasonNoPINLimit, reasonTapLimit, reasonDayLimit, reasonDayCount, reasonProofExhausted:
		return FieldLimit
	}
	return "card"
}

func (h *holder) counterWord() glossary.Term {
	return fill("a counter not used before, the highest is %d", "未用过的计数器，最高为%d", h.window.highest)
}

// firstReason goes through the rules in the order of precedence [REF 6.3].
func (h *holder) firstReason(m *member, r *journal.Row, pinGiven bool) (reason uint16, found, limit glossary.Term) {
	inquiry := r.Amount == 0 && r.Reason != reasonFormat
	day, verified := h.on(r.BusinessDate), pinGiven || r.Note[0]&flagOfflinePIN != 0
	standings := [...]uint16{standsRestricted: reasonRestricted, standsLost: reasonLost, standsStolen: reasonStolen, standsClosed: reasonClosed}
	switch {
	case r.Amount <= 0 && !inquiry:
		return reasonFormat, number(r.Amount), fill("above zero", "大于零")
	case h.status != standsActive && int(h.status) < len(standings):
		return standings[h.status], fill("standing %d", "状态%d", h.status), fill("a card in good standing", "正常的卡")
	case m.dates.local(r.At) >= h.expires:
		return reasonExpired, number(m.dates.local(r.At)), fill("before %d", "早于%d", h.expires)
	case r.Currency != h.currency:
		return reasonCurrency, number(r.Currency), number(h.currency)
	case !h.honours(r):
		return reasonCounter, number(r.ATC), h.counterWord()
	case pinGiven && h.tries == 0:
		return reasonPINBlocked, number(0), fill("tries left", "尚有次数")
	case !verified && !h.noPIN:
		return reasonNoPINOff, fill("no PIN", "无密码"), fill("a PIN", "有密码")
	case !verified && r.Amount > noPINLimit(r.BusinessDate):
		return reasonNoPINLimit, number(r.Amount), fill("at most %d without PIN", "免密不超过%d", noPINLimit(r.BusinessDate))
	case !verified && h.limits.NoPINDayMinor > 0 && day.noPINMinor+r.Amount > h.limits.NoPINDayMinor:
		return reasonNoPINLimit, number(day.noPINMinor + r.Amount), fill("at most %d a day without PIN", "当日免密不超过%d", h.limits.NoPINDayMinor)
	case h.limits.TapMinor > 0 && r.Amount > h.limits.TapMinor:
		return reasonTapLimit, number(r.Amount), fill("at most %d", "不超过%d", h.limits.TapMinor)
	case inquiry:
		return reasonApproved, glossary.Term{}, glossary.Term{}
	case h.limits.DayMinor > 0 && day.minor+r.Amount > h.limits.DayMinor:
		return reasonDayLimit, number(day.minor + r.Amount), fill("at most %d a day", "当日不超过%d", h.limits.DayMinor)
	case h.limits.DayCount > 0 && day.count >= h.limits.DayCount:
		return reasonDayCount, number(day.count + 1), fill("at most %d payments a day", "当日不超过%d笔", h.limits.DayCount)
	case r.Amount > h.available():
		return reasonMoney, number(r.Amount), fill("at most %d", "不超过%d", h.available())
	}
	return reasonApproved, glossary.Term{}, glossary.Term{}
}

// noPINLimit is the amount up to which no PIN is asked, by the business date from which it holds [REF 6.3].
func noPINLimit(date int32) int64 {
	switch {
	case date >= 20180601:
		return 100_000
	case date >= 20150101:
		return 30_000
	}
	return 0
}

// move holds a row's accounts against its card and kind, and books it.
func (m *member) move(r *journal.Row, h *holder) {
	switch r.Kind {
	case journal.Approved:
		same(m, r, "debit", int64(r.Debit), accountNumber(r.Card))
		if r.Phase != ledger.Pending {
			m.fault(r, "phase", r.Phase.Term(), ledger.Pending.Term())
		}
	case journal.Uploaded:
		m.offlinePayer(r, h)
	default:
		return
	}
	if r.Kind == journal.Approved {
		same(m, r, "credit", int64(r.Credit), issuerScheme)
	}
	if h != nil {
		m.pay(h, r)
	}
}

// count adds a payment to the counters and to the card's day.
func (a *auditor) count(m *member, r *journal.Row, h *holder, pinGiven bool) {
	if h == nil {
		return
	}
	used := r.Note[0]&flagCounterUsed != 0
	if unknown := r.Note[0] &^ knownFlags; unknown != 0 {
		m.fault(r, "note", number(r.Note[0]), wordReadable)
	}
	switch {
	case takesPlace(r):
		if used {
			m.fault(r, FieldCounter, fill("spent", "已占用"), fill("that of row %d", "第%d行的计数器", r.Linked))
		}
		used = false
	case r.Kind != journal.Declined && !used && !uncounted(r) && !h.swiped(r):
		m.fault(r, FieldCounter, fill("not spent", "未占用"), fill("spent", "已占用"))
		used = true
	case r.Kind == journal.Declined && used && !h.honours(r):
		m.fault(r, FieldCounter, number(r.ATC), h.counterWord())
	}
	if used {
		h.use(r)
	}
	if r.Kind == journal.Approved {
		day := h.on(r.BusinessDate)
		day.minor, day.count = day.minor+r.Amount, day.count+1
		if !pinGiven && r.Note[0]&flagOfflinePIN == 0 {
			day.noPINMinor += r.Amount
		}
		h.put(day)
	}
}

// void is a reversal at an issuer: it releases the hold of its payment, once, whatever the order in which both came.
func (a *auditor) void(m *member, r *journal.Row, j join) {
	sameText(m, r, "note", string(r.Note), r.Payment)
	if r.Reason == reasonCardDeclined { // an advice has a key of its own
		m.networkSTAN(r, r.Key)
	} else if m.networkSTAN(r, r.Payment); m.networkKey(r, "key", r.Key, classReversal) && len(r.Payment) == networkKeyChars {
		sameText(m, r, "key", r.Key[:forwarderAt], r.Payment[:forwarderAt])
	}
	p := a.cases.byJoin[j.payment]
	if p == nil || p.sides[theIssuers].begin == 0 {
		if old := a.recall(m, m.find(r.Payment)); old != nil {
			p = old
		}
	}
	if p == nil {
		p = a.cases.begin(0, j.payment)
	}
	a.current = p
	s := &p.sides[theIssuers]
	if s.member == nil {
		s.member = m
	}
	_, spent := m.spent[j.payment]
	f := m.bank.sequels[s.begin]
	switch {
	case s.begin != 0 && f != nil && s.member == m && r.Reason != reasonNothingHeld:
		a.undoSequel(m, r, s, f)
	case s.begin == 0 && s.undo == 0 && !spent:
		m.issuerReason(r, reasonEarly)
		a.noMoney(m, r)
	case !s.hold || s.member != m:
		m.issuerReason(r, reasonNothingHeld)
		a.noMoney(m, r)
	default:
		a.voidHold(m, r, s)
	}
	if s.undo == 0 {
		s.undo, s.undoAt = r.Seq, r.At.UnixMicro()
	}
	if r.Resolves == 0 && f == nil && len(r.Answer) != 0 {
		m.fault(r, "answer", wordSomething, wordNothing)
	}
	if r.Reason == reasonEarly {
		m.cameEarly(r, r.Payment, j.payment)
	}
	a.settle(p)
}

func (a *auditor) voidHold(m *member, r *journal.Row, s *side) {
	if r.Reason != reasonCardDeclined {
		m.issuerReason(r, reasonReversed)
	}
	if !same(m, r, "resolves", r.Resolves, s.begin) {
		return
	}
	held := s.card
	same(m, r, "card", r.Card, held)
	same(m, r, "debit", int64(r.Debit), accountNumber(held))
	same(m, r, "credit", int64(r.Credit), issuerScheme)
	same(m, r, "amount", r.Amount, s.amount)
	if r.Phase != ledger.Void {
		m.fault(r, "phase", r.Phase.Term(), ledger.Void.Term())
	}
	m.takenBack(r, s)
	s.hold, s.state = false, isReversed
	m.tally.reversed++
	h := m.bank.cards[held]
	if m.bank.touched = h; h == nil {
		return
	}
	m.hold(h, -s.amount, r.Seq)
	if s.business == businessPreAuth {
		m.held += s.amount
	}
	h.giveBack(s)
}

func packCode(code string) uint16 {
	if len(code) != codeChars {
		return 0
	}
	return uint16(code[0])<<codeHighBit | uint16(code[1])
}

// byToken tells a decision about a payment by token: its counter is not the card's.
func byToken(r *journal.Row) bool { return len(r.Note) > 0 && r.Note[0]&flagToken != 0 && r.ATC == 0 }

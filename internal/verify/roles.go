package verify

import (
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// till follows a till's rows. Its trace numbers rise by one, and its keys follow from them.
func (a *auditor) till(m *member, r *journal.Row, j join) {
	switch r.Kind {
	case journal.Requested, journal.Queued, journal.Advised, journal.Noted, journal.ScriptSent, journal.Cleared:
		a.sell(m, r, j)
		return
	case journal.Answered, journal.TimedOut, journal.Acknowledged:
	default:
		a.tillCard(m, r, j)
		return
	}
	p, s := a.follow(m, r, j.payment)
	if p == nil {
		return
	}
	// A link refuses a message that it cannot trust without asking the role: its answer repeats what it understood.
	if refused := r.Kind == journal.Answered && onlyLink(r.Reason); !refused && (r.Kind != journal.Acknowledged || r.Amount != 0) {
		a.repeats(m, r, s)
	}
	switch r.Kind {
	case journal.Answered:
		if a.end(m, r, s, answerOutcome(r.Reason)) {
			a.answered(m, r, s)
			s.answered, s.rrn = true, a.hash(r.RRN)
		}
		m.tally.count(s.state)
		if s.state == isApproved && !s.dialogue {
			m.stands(r, s.verb)
		}
		if s.state == isApproved {
			m.posted += owed(s.business) * s.amount
		}
	case journal.TimedOut:
		if a.end(m, r, s, isTimedOut) {
			s.end, s.endAt, s.timeSent = r.Seq, r.At.UnixMicro(), r.Seq
		}
		m.reason(r, unionpay.ReasonTimeout)
	case journal.Acknowledged:
		if s.state != isTimedOut || s.timeSent == 0 {
			m.fault(r, FieldDelivery, fill("an acknowledgement", "确认"), fill("a reversal that waits for one", "等待确认的冲正"))
			return
		}
		s.state, s.timeSent, s.undo, s.undoAt = isReversed, 0, s.end, s.endAt
		m.tally.reversed++
	}
	a.settle(p)
}

func (t *tally) count(state outcome) {
	switch state {
	case isApproved:
		t.approved++
	case isDeclined:
		t.declined++
	}
}

// sell is a payment that begins at a till.
func (a *auditor) sell(m *member, r *journal.Row, j join) {
	class := byte(classPayment)
	switch r.Kind {
	case journal.ScriptSent:
		class = classNotice
	case journal.Cleared:
		class = classSettlement
	}
	keyed, head := m.terminalKey(r, r.Key, class), m.headed(r)
	if keyed {
		batch, _ := digits(r.Key[batchAt:terminalSTANAt])
		if m.batch == 0 {
			m.batch = batch
		}
		if batch != m.batch && (r.Kind != journal.Cleared || batch > m.batch) { // a batch that was left behind is settled later
			m.fault(r, "key", quoted(r.Key[batchAt:terminalSTANAt]), number(m.batch))
		}
	}
	m.serial++
	if want := (m.serial-1)%traceModulus + 1; !m.series.fits(apart(uint64(r.STAN), want, traceModulus)) {
		m.fault(r, "stan", number(r.STAN), number(want))
	}
	sameText(m, r, "payment", r.Payment, r.Key)
	sameText(m, r, "terminal", r.Terminal, m.Name)
	switch r.Kind {
	case journal.ScriptSent:
		m.notices[j.key], m.noticed[j.key] = r.Seq, true
		return
	case journal.Cleared:
		m.sheet(r, head.rest)
		return
	}
	if r.Amount < 0 || r.Amount == 0 && r.Kind == journal.Requested && !aboutPIN(tillVerbs[head.verb].business) {
		m.fault(r, "amount", number(r.Amount), fill("above zero", "大于零"))
	}
	p := a.cases.begin(j.key, 0)
	if s := a.start(p, m, r, isOpen); s != nil {
		s.upload = r.Kind == journal.Queued || r.Kind == journal.Advised
		s.head(head)
	}
}

// reason checks the reason of a row that gives a response code.
func (m *member) reason(r *journal.Row, want unionpay.ResponseCode) {
	if r.Reason != want.Pack() {
		m.fault(r, "reason", codeTerm(r.Reason), codeTerm(want.Pack()))
	}
}

// acquire follows an acquirer's rows. Its references and keys follow from the instant and from the number of payments so far.
func (a *auditor) acquire(m *member, r *journal.Row, j join) {
	if r.Kind != journal.Requested && r.Kind != journal.Declined && r.Kind != journal.Noted {
		m.noTap(r)
	}
	switch r.Kind {
	case journal.Noted:
		m.shown(r)
	case journal.Requested, journal.Declined:
		a.holdsToTap(m, r)
		a.accept(m, r, j)
	case journal.ScriptReported:
		a.noticeAtAcquirer(m, r, j)
	case journal.BatchClosed:
		m.settledBatch(r)
	case journal.KeysChanged:
		m.keySpent(r)
	case journal.Answered, journal.TimedOut:
		a.settleAtAcquirer(m, r, j)
	case journal.Reversed:
		a.takeBack(m, r, j)
	case journal.Acknowledged:
		if m.heard(r, j.payment) {
			return
		}
		p := a.cases.byJoin[j.payment]
		if p == nil || !p.sides[theAcquirers].known() {
			if sent := m.row(r.Linked); sent != nil && sent.Linked != 0 {
				p = a.recall(m, m.row(sent.Linked))
			}
		}
		a.acknowledge(m, r, p)
	}
}

func (a *auditor) accept(m *member, r *journal.Row, j join) {
	m.serial++
	m.unspent(r, j.key)
	serial := a.referenced(m, r)
	m.terminalKey(r, r.Key, classPayment)
	if r.Kind == journal.Declined {
		if s := a.start(a.cases.begin(j.key, 0), m, r, isDeclined); s != nil {
			a.answered(m, r, s)
			a.settle(a.cases.byJoin[j.key])
		}
		m.tally.declined++
		return
	}
	if r.Amount < 0 || r.Amount == 0 && r.Reason != businessBalance && !aboutPIN(r.Reason) && (r.Reason != businessPreAuth || !a.operators[r.Terminal].Rides) {
		m.fault(r, "amount", number(r.Amount), fill("above zero", "大于零"))
	}
	if r.Reason > lastBusiness {
		m.fault(r, "reason", number(r.Reason), fill("what a payment can be about: 0 to %d", "交易种类：0至%d", lastBusiness))
	}
	if m.networkKey(r, "payment", r.Payment, classPayment) {
		head := r.At.UTC().Format("0102150405") + fmt.Sprintf("%06d", (serial-1)%traceModulus+1)
		if r.Payment[:institutionAt] != head {
			m.fault(r, "payment", quoted(r.Payment[:institutionAt]), quoted(head))
		}
		m.institutionIs(r, r.Payment[institutionAt:networkKeyChars-1])
	}
	p := a.cases.begin(j.key, j.payment)
	if s := a.start(p, m, r, isOpen); s != nil {
		s.business, s.upload, s.of = r.Reason, persists(r.Reason), traceIn(string(r.Answer))
	}
}

// referenced checks the reference number and gives the serial number that it stands for.
func (a *auditor) referenced(m *member, r *journal.Row) uint64 {
	found, ok := digits(tail(r.RRN, serialChars))
	fits := ok && m.series.fits(apart(found, m.serial, serialModulus))
	serial := uint64(int64(m.serial) + m.series.shift)
	if want := reference(r, serial); !fits || r.RRN != want {
		m.fault(r, "rrn", quoted(r.RRN), quoted(want))
	}
	if !fits && ok {
		serial = uint64(int64(m.serial) + apart(found, m.serial, serialModulus)) // the key is held against what the row itself says
	}
	return serial
}

// Layout of a reference number: last digit of the year, day of the year, hour, serial number [REF 6.4].
const (
	serialChars   = 6
	serialModulus = 1_000_000
)

func reference(r *journal.Row, serial uint64) string {
	utc := r.At.UTC()
	var b [12]byte
	put := func(at, width int, n uint64) {
		for i := at + width - 1; i >= at; i-- {
			b[i] = '0' + byte(n%10)
			n /= 10
		}
	}
	put(0, 1, uint64(utc.Year()))
	put(1, 3, uint64(utc.YearDay()))
	put(4, 2, uint64(utc.Hour()))
	put(6, serialChars, serial)
	return string(b[:])
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// institutionIs holds the institutions in a key against those of the first one.
func (m *member) institutionIs(r *journal.Row, found string) {
	if m.institution == "" {
		m.institution = found
	}
	sameText(m, r, "payment", found, m.institution)
}

func (a *auditor) settleAtAcquirer(m *member, r *journal.Row, j join) {
	p, s := a.follow(m, r, j.payment)
	if p == nil {
		return
	}
	if r.Resolves == 0 {
		a.repeats(m, r, s)
	}
	if n := len(r.Key) - len(endMark); n < 0 || r.Key[n:] != endMark || p.terminal != 0 && a.join(r.Key[:n]) != p.terminal {
		m.fault(r, "key", quoted(r.Key), fill("the key of row %d and %s", "第%d行的键加%s", s.begin, endMark))
	}
	if r.Kind == journal.TimedOut {
		m.networkKey(r, "payment", r.Payment, classReversal)
		m.reason(r, unionpay.IssuerTimeout)
		if a.end(m, r, s, isTimedOut) {
			a.answered(m, r, s)
			s.timeSent = r.Seq
		}
		return
	}
	m.networkKey(r, "payment", r.Payment, classPayment)
	if a.end(m, r, s, answerOutcome(r.Reason)) {
		a.answered(m, r, s)
		s.answered = true
	}
	m.tally.count(answerOutcome(r.Reason))
	a.claim(m, r, s)
	a.settle(p)
}

// claim books an answer: of an approved sale what the scheme owes, in favour of the merchant; of a cash load what the merchant owes; of everything else
// nothing.
func (a *auditor) claim(m *member, r *journal.Row, s *side) {
	approved := answerOutcome(r.Reason) == isApproved
	if r.Resolves != 0 {
		a.cardDeclined(m, r, s, approved)
		return
	}
	if why, whyZH := moneyOf(s.business, approved, r); why != "" {
		m.fault(r, "debit", fill("%d to %d, %s", "%d至%d，%s", r.Debit, r.Credit, r.Phase.Term().EN),
			glossary.Term{EN: "what the answer and the kind of payment say: " + why, ZH: whyZH})
		return
	}
	if r.Debit == 0 {
		return
	}
	a.merchantOf(m, r)
	sign := -schemeSign(r) // the sums of a member are those of its first currency
	if r.Phase == ledger.Single {
		s.posted = true
		m.book(r.Debit, r.Credit, 0, r.Amount)
		m.posted += sign * r.Amount
		return
	}
	s.hold = true
	m.book(r.Debit, r.Credit, r.Amount, 0)
	m.held += sign * r.Amount
}

// merchantOf holds the merchant's account in a row against the one that the terminal's first row named.
func (a *auditor) merchantOf(m *member, r *journal.Row) {
	field, found := "credit", r.Credit
	if acquirerSign(r) > 0 {
		field, found = "debit", r.Debit
	}
	if isCash(found - acquirerBase(found)) {
		found = found - firstCash + firstMerchant
	}
	account, known := a.merchant[r.Terminal]
	if !known {
		account, a.merchant[r.Terminal] = found, found
	}
	same(m, r, field, int64(found), int64(account))
}

// cardDeclined is the answer to an advice by which the card took its payment back.
func (a *auditor) cardDeclined(m *member, r *journal.Row, s *side, approved bool) {
	original := a.cases.byJoin[a.join(string(r.Note))]
	if original == nil || original.sides[theAcquirers].begin == 0 {
		original = a.recall(m, m.find(string(r.Note)))
	}
	if original == nil || s.business != businessLastWord || !approved || !original.sides[theAcquirers].hold {
		m.fault(r, "resolves", number(r.Resolves), fill("a hold that stands", "仍在的冻结"))
		return
	}
	o := &original.sides[theAcquirers]
	o.hold = false
	m.release(r, o.amount, acquirerSchemeBeside(a.merchant[r.Terminal]), int64(a.merchant[r.Terminal]))
	a.settle(original)
}

// endMark behind the key of a payment is the key of the row that ends it at an acquirer, and of its answer at a switch.
const endMark = "e"

// acquirerScheme is the acquirer's account with the scheme.
const acquirerScheme int64 = 1

// takeBack is a terminal's reversal: it releases the hold and goes on to the switch, unless there is nothing to take back.
func (a *auditor) takeBack(m *member, r *journal.Row, j join) {
	original := string(r.Note)
	if m.terminalKey(r, r.Key, classReversal) && (len(original) != len(r.Key) || original[:len(original)-1] != r.Key[:len(r.Key)-1] ||
		!isPaymentClass(original[len(original)-1])) {
		m.fault(r, "note", quoted(original), quoted(r.Key[:len(r.Key)-1]+string(rune(classPayment))))
	}
	key := a.join(original)
	p := a.cases.byJoin[key]
	if p == nil || p.sides[theAcquirers].begin == 0 {
		if old := a.recall(m, m.find(original)); old != nil {
			p = old
		}
	}
	if p == nil {
		p = a.cases.begin(key, 0)
	}
	a.current = p
	s := &p.sides[theAcquirers]
	s.member = m
	if s.undo != 0 {
		m.fault(r, FieldEnd, fill("a second reversal", "再次冲正"), fill("one reversal, row %d", "只在第%d行冲正", s.undo))
		return
	}
	if _, spent := m.spent[key]; s.begin == 0 && !spent {
		m.cameEarly(r, original, key)
	}
	open := s.begin != 0 && !s.upload && (s.state == isOpen || s.state == isApproved)
	s.undo, s.undoAt = r.Seq, r.At.UnixMicro()
	if !open {
		same(m, r, "linked", r.Linked, 0)
		sameText(m, r, "payment", r.Payment, "")
		a.noMoney(m, r)
		a.settle(p)
		return
	}
	a.undoClaim(m, r, s)
	if m.networkKey(r, "payment", r.Payment, classReversal) && j.payment != p.network {
		m.fault(r, "payment", quoted(r.Payment), fill("the key of the payment of row %d with class %c", "第%d行交易的键，类别%c", s.begin, classReversal))
	}
	s.state, s.undoSent = isReversed, r.Seq
	m.tally.reversed++
	a.settle(p)
}

// undoClaim releases the hold of a payment that is taken back.
func (a *auditor) undoClaim(m *member, r *journal.Row, s *side) {
	same(m, r, "linked", r.Linked, s.begin)
	if !s.hold {
		a.noMoney(m, r)
		return
	}
	if s.end == 0 {
		if held := m.row(r.Resolves); held != nil && held.Kind == journal.Answered && held.Linked == s.begin {
			s.end = held.Seq // a payment brought back from the marks
		}
	}
	if !same(m, r, "resolves", r.Resolves, s.end) {
		return
	}
	s.hold = false
	if cashBusiness(s.business) {
		m.cash(r, s)
		return
	}
	debit, credit := acquirerSchemeBeside(a.merchant[r.Terminal]), int64(a.merchant[r.Terminal])
	if s.business == businessVoid || s.business == businessCompletionVoid {
		debit, credit = credit, debit
	}
	m.release(r, s.amount, debit, credit)
}

// release is a row that ends a hold without payment.
func (m *member) release(r *journal.Row, amount, debit, credit int64) {
	if r.Phase != ledger.Void {
		m.fault(r, "phase", r.Phase.Term(), ledger.Void.Term())
	}
	same(m, r, "amount", r.Amount, amount)
	same(m, r, "debit", int64(r.Debit), debit)
	same(m, r, "credit", int64(r.Credit), credit)
	m.book(ledger.Account(debit), ledger.Account(credit), -amount, 0)
	switch acquirerScheme {
	case debit:
		m.held -= amount
	case credit:
		m.held += amount
	}
}

// noMoney checks a row that must move none.
func (a *auditor) noMoney(m *member, r *journal.Row) {
	same(m, r, "resolves", r.Resolves, 0)
	same(m, r, "debit", int64(r.Debit), 0)
	same(m, r, "credit", int64(r.Credit), 0)
	same(m, r, "phase", uint8(r.Phase), uint8(ledger.Single))
}

// acknowledge ends the waiting for the answer to a reversal.
func (a *auditor) acknowledge(m *member, r *journal.Row, p *payCase) {
	if a.current = p; p != nil {
		s := &p.sides[m.role]
		switch {
		case r.Linked == s.undoSent && r.Linked != 0:
			s.undoSent = 0
		case r.Linked == s.timeSent && r.Linked != 0:
			s.timeSent = 0
		default:
			p = nil
		}
	}
	if p == nil {
		m.fault(r, "linked", number(r.Linked), fill("a row whose reversal waits for an acknowledgement", "等待确认的冲正行"))
		return
	}
	a.settle(p)
}

// route follows a switch's rows.
func (a *auditor) route(m *member, r *journal.Row, j join) {
	switch r.Kind {
	case journal.Requested, journal.Declined:
		a.forward(m, r, j)
	case journal.Answered, journal.TimedOut:
		p, s := a.follow(m, r, j.payment)
		if p == nil {
			return
		}
		a.repeats(m, r, s)
		if r.Kind == journal.Answered {
			sameText(m, r, "key", r.Key, r.Payment+endMark)
			if a.end(m, r, s, answerOutcome(r.Reason)) {
				a.answered(m, r, s)
				s.answered = true
			}
			m.tally.count(answerOutcome(r.Reason))
			if answerOutcome(r.Reason) == isApproved {
				m.posted += m.owedInFirst(s, owedBySwitch(p, r.Payment))
			}
			a.settle(p)
			return
		}
		m.reason(r, unionpay.IssuerTimeout)
		if m.networkKey(r, "key", r.Key, classReversal) && len(r.Payment) == networkKeyChars {
			sameText(m, r, "key", r.Key[:forwarderAt], r.Payment[:forwarderAt])
			m.institutionIs(r, r.Key[forwarderAt:networkKeyChars-1])
		}
		if a.end(m, r, s, isTimedOut) {
			a.answered(m, r, s)
			s.timeSent = r.Seq
		}
	case journal.Reversed:
		a.passReversal(m, r, j)
	case journal.ScriptReported:
		m.noticed[j.key] = true
		if hasReceiver(r) {
			m.notices[j.key] = r.Seq
		}
	case journal.Acknowledged:
		if m.heardRow(r) {
			return
		}
		p := a.cases.byJoin[j.payment]
		if p == nil || !p.sides[theSwitches].known() {
			p = a.recall(m, m.find(r.Payment))
		}
		a.acknowledge(m, r, p)
	}
}

func (m *member) networkSTAN(r *journal.Row, key string) {
	if len(key) != networkKeyChars {
		return
	}
	stan, _ := digits(key[networkSTANAt:institutionAt])
	same(m, r, "stan", uint64(r.STAN), stan)
}

func (a *auditor) forward(m *member, r *journal.Row, j join) {
	sameText(m, r, "payment", r.Payment, r.Key)
	if m.networkKey(r, "key", r.Key, classPayment) {
		m.networkSTAN(r, r.Key)
	}
	m.unspent(r, j.key)
	p := a.cases.begin(0, j.key)
	if r.Kind == journal.Declined {
		if s := a.start(p, m, r, isDeclined); s != nil {
			a.answered(m, r, s)
		}
		m.tally.declined++
		a.settle(p)
		return
	}
	a.sentOn(m, r, j)
	s := a.start(p, m, r, isOpen)
	if s == nil {
		return
	}
	s.business = businessOfSwitch(r)
	from, to, ok := parties(r.Note)
	if !ok || to == "" || len(r.Key) == networkKeyChars && r.Key[forwarderAt:networkKeyChars-1] != institutionField(from) {
		m.fault(r, "note", quoted(from+" → "+to), fill("the acquirer of the key and an issuer", "键中的收单行与发卡行"))
	}
	p.to = to
}

// institutionField is an institution as keys write it: eleven digits, zeros in front.
func institutionField(id string) string {
	const zeros = "00000000000"
	return zeros[:max(0, len(zeros)-len(id))] + id
}

// parties reads the note of a switch's row: sender and receiver, each behind a length byte.
func parties(b []byte) (from, to string, ok bool) {
	for _, id := range [...]*string{&from, &to} {
		if len(b) == 0 || len(b)-1 < int(b[0]) {
			return from, to, false
		}
		*id, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	return from, to, true
}

// passReversal is an acquirer's reversal on its way to the issuer.
func (a *auditor) passReversal(m *member, r *journal.Row, j join) {
	p := a.cases.byJoin[j.payment]
	if p == nil || p.sides[theSwitches].begin == 0 {
		if old := a.recall(m, m.find(r.Payment)); old != nil {
			p = old
		}
	}
	if p == nil {
		p = a.cases.begin(0, j.payment)
	}
	m.networkSTAN(r, r.Payment)
	if m.networkKey(r, "key", r.Key, classReversal) && (len(r.Payment) != networkKeyChars || r.Payment[:networkKeyChars-1] != r.Key[:networkKeyChars-1]) {
		m.fault(r, "payment", quoted(r.Payment), quoted(r.Key[:networkKeyChars-1]+string(rune(classPayment))))
	}
	a.current = p
	s := &p.sides[theSwitches]
	s.member = m
	if s.undo != 0 {
		m.fault(r, FieldEnd, fill("a second reversal", "再次冲正"), fill("one reversal, row %d", "只在第%d行冲正", s.undo))
		return
	}
	if _, spent := m.spent[j.payment]; s.begin == 0 && !spent {
		m.cameEarly(r, r.Payment, j.payment)
	}
	s.undo, s.undoAt = r.Seq, r.At.UnixMicro()
	if s.state == isApproved {
		m.posted -= m.owedInFirst(s, owedBySwitch(p, r.Payment))
	}
	if s.begin != 0 && (s.state == isOpen || s.state == isApproved) {
		s.state = isReversed
		m.tally.reversed++
	}
	_, to, ok := parties(r.Note)
	if !ok {
		m.fault(r, "note", wordUnfit, FieldTerm(FieldParties))
	}
	if to != "" {
		s.undoSent, s.passed = r.Seq, true
		if p.to != "" && p.to != to {
			m.fault(r, "note", quoted(to), quoted(p.to))
		}
	}
	a.settle(p)
}

package verify

import (
	"encoding/binary"
	"hash/maphash"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// take goes through one row: what it must be by itself, what its member's rows before say about it, and what it adds to its payment.
func (a *auditor) take(m *member, r *journal.Row, j join) {
	before := a.findings.total
	a.current = nil
	a.check(m, r, j)
	if a.current != nil && a.findings.total != before {
		a.current.flawed = true
	}
	if m.kept != nil {
		m.followKept(r)
	}
	if m.bank != nil {
		if h := m.bank.touched; h != nil {
			m.followChip(r, h)
			m.bank.altered = nil
		}
		for _, h := range [...]*holder{m.bank.touched, m.bank.beside} {
			if h != nil && h.second != nil {
				h.settleTail() // its money is in it
			}
		}
		m.followCells(r)
		if m.bank.beside != nil {
			m.bank.touched, m.bank.beside = m.bank.beside, nil
			m.followCells(r)
		}
		m.bank.touched = nil
	}
}

func (a *auditor) check(m *member, r *journal.Row, j join) {
	sound := m.shaped(r)
	if m.role > noRole {
		if sound {
			a.tokens(m, r, j)
		}
		return
	}
	m.marked(r)
	a.sameCurrency(m, r)
	if m.role != theIssuers {
		same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
	}
	if !sound {
		return
	}
	switch m.role {
	case theTills:
		a.till(m, r, j)
	case theAcquirers:
		a.acquire(m, r, j)
	case theSwitches:
		a.route(m, r, j)
	case theIssuers:
		a.issue(m, r, j)
	}
}

// tokens follows who is asked about tokens. Tokens are paid with in any currency.
func (a *auditor) tokens(m *member, r *journal.Row, j join) {
	if m.role == theTokenServices {
		same(m, r, "business_date", r.BusinessDate, m.dates.of(r.At))
		a.tokenService(m, r, j)
	} else {
		a.cloudElement(m, r, j)
	}
	a.settleToken(j.key)
}

// dates gives business dates of instants; neighbouring instants share one.
type dates struct {
	calendar clock.Calendar
	from, to int64 // microseconds
	date     int32
}

// dateSpan is the part of a day that surely has one business date: zones and cut-offs lie on whole minutes.
const dateSpan = int64(time.Minute / time.Microsecond)

// local is the date on the wall: business dates may begin at another hour.
func (d *dates) local(at time.Time) int32 {
	if d.calendar.CutOff == 0 {
		return d.of(at)
	}
	return clock.Calendar{Zone: d.calendar.Zone}.BusinessDate(at)
}

func (d *dates) of(at time.Time) int32 {
	micros := at.UnixMicro()
	if micros < d.from || micros >= d.to {
		d.from = micros - micros%dateSpan
		if micros%dateSpan < 0 {
			d.from -= dateSpan
		}
		d.to, d.date = d.from+dateSpan, d.calendar.BusinessDate(at)
		if d.calendar.CutOff%time.Minute != 0 {
			d.to = micros
		}
	}
	return d.date
}

// hash of a text that members are compared by.
func (a *auditor) hash(s string) uint64 {
	if s == "" {
		return 0
	}
	return maphash.String(a.seed, s)
}

// answer is what a row's Answer says, as far as others must agree.
type answer struct {
	code  uint16
	auth  [6]byte
	rrn   []byte
	extra []byte
	ok    bool
}

// Fields of an answer: number and length in two bytes each, then the content.
const (
	answerHead  = 4
	answerRRN   = 37
	answerAuth  = 38
	answerCode  = 39
	answerICC   = 55
	codeChars   = 2
	authChars   = 6
	codeHighBit = 8
)

func readAnswer(b []byte) (x answer) {
	last := 0
	for len(b) > 0 {
		if len(b) < answerHead {
			return x
		}
		field, size := int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))
		if b = b[answerHead:]; size > len(b) || field <= last {
			return x
		}
		content := b[:size]
		switch {
		case field == answerRRN:
			x.rrn = content
		case field == answerAuth && size == authChars:
			x.auth = [6]byte(content)
		case field == answerCode && size == codeChars:
			x.code = uint16(content[0])<<codeHighBit | uint16(content[1])
		case field == answerICC:
			x.extra = content
		}
		b, last = b[size:], field
	}
	x.ok = true
	return x
}

// answered notes how a payment ended at a member, and holds the row's answer against its reason.
func (a *auditor) answered(m *member, r *journal.Row, s *side) {
	x := readAnswer(r.Answer)
	if !x.ok {
		m.fault(r, "answer", wordUnfit, wordReadable)
	} else {
		if x.code != r.Reason {
			m.fault(r, "reason", codeTerm(r.Reason), codeTerm(x.code))
		}
		if len(x.rrn) > 0 && m.role != theSwitches && string(x.rrn) != r.RRN {
			m.fault(r, "rrn", quoted(r.RRN), quoted(string(x.rrn)))
		}
	}
	s.end, s.endAt, s.code, s.auth = r.Seq, r.At.UnixMicro(), r.Reason, x.auth
	if len(x.extra) > 0 {
		s.extra = maphash.Bytes(a.seed, x.extra)
	}
}

func codeTerm(code uint16) glossary.Term {
	c := unionpay.UnpackResponseCode(code)
	if c == "" {
		return wordNothing
	}
	t := c.Term()
	return glossary.Term{EN: string(c) + " " + t.EN, ZH: string(c) + " " + t.ZH}
}

func answerOutcome(code uint16) outcome {
	if unionpay.UnpackResponseCode(code).Approved() {
		return isApproved
	}
	return isDeclined
}

// start gives a payment a side. A second beginning under one key is a finding.
func (a *auditor) start(p *payCase, m *member, r *journal.Row, state outcome) *side {
	a.current = p
	s := &p.sides[m.role]
	if s.begin != 0 {
		w := m.wrong(r, "key", quoted(r.Key), fill("a key of its own", "唯一的键"))
		w.Witness = Witness{s.member.Role, s.member.Name, s.begin}
		a.findings.add(w)
		return nil
	}
	undo, sent := s.undo, s.undoSent
	*s = side{member: m, begin: r.Seq, amount: r.Amount, currency: r.Currency, date: r.BusinessDate, atc: r.ATC, beginAt: r.At.UnixMicro(),
		rrn: a.hash(r.RRN), terminal: a.hash(r.Terminal), stan: r.STAN, card: r.Card, state: state, undo: undo, undoSent: sent}
	a.payments += boolean(m.role == a.firstRole())
	return s
}

// firstRole is the one nearest to the cardholder whose journals are here: each payment begins there once.
func (a *auditor) firstRole() role { return a.members[0].role }

func boolean(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// follow finds the payment that a row goes on with: by the payment's key, and by the row it is linked with, which must agree.
func (a *auditor) follow(m *member, r *journal.Row, key uint64) (*payCase, *side) {
	p, s := a.followed(m, r, key)
	a.current = p
	return p, s
}

func (a *auditor) followed(m *member, r *journal.Row, key uint64) (*payCase, *side) {
	p := a.cases.byJoin[key]
	if p != nil && p.sides[m.role].begin == r.Linked && r.Linked != 0 {
		return p, &p.sides[m.role]
	}
	first := m.row(r.Linked)
	if byLink := a.recall(m, first); byLink != nil {
		if key != byLink.keyAt(m.role) {
			sameText(m, r, "payment", r.Payment, paymentOf(m, first))
		}
		return byLink, &byLink.sides[m.role]
	}
	if p != nil && p.sides[m.role].begin != 0 {
		same(m, r, "linked", r.Linked, p.sides[m.role].begin)
		return p, &p.sides[m.role]
	}
	m.fault(r, "linked", number(r.Linked), fill("a row that began a payment", "开始交易的行"))
	return nil, nil
}

// keyAt is the join under which a member's rows know the payment.
func (p *payCase) keyAt(r role) uint64 {
	if r == theTills {
		return p.terminal
	}
	return p.network
}

func paymentOf(m *member, r *journal.Row) string {
	if m.role == theTills || m.role == theSwitches {
		return r.Key
	}
	return r.Payment
}

// repeats holds what a later row says about the payment against what the first one said.
func (a *auditor) repeats(m *member, r *journal.Row, s *side) {
	same(m, r, "amount", r.Amount, s.amount)
	same(m, r, "stan", r.STAN, s.stan)
	if s.terminal != a.hash(r.Terminal) {
		m.fault(r, "terminal", quoted(r.Terminal), fill("the one of row %d", "第%d行的终端", s.begin))
	}
	if m.role != theTills && r.RRN != "" && s.rrn != 0 && s.rrn != a.hash(r.RRN) {
		m.fault(r, "rrn", quoted(r.RRN), fill("the one of row %d", "第%d行的参考号", s.begin))
	}
}

// finish gives the payment its one end at the member.
func (a *auditor) end(m *member, r *journal.Row, s *side, state outcome) bool {
	if s.state != isOpen {
		m.fault(r, FieldEnd, fill("a second end", "再次结束"), fill("one end, row %d", "只在第%d行结束", max(s.end, s.begin)))
		return false
	}
	s.state = state
	return true
}

// series checks numbers that rise by one. Where rows are missing or too many all that follow are off by the same: then only the first
// is named.
type series struct {
	shift, offered int64
	doubtful       bool
}

// fits takes how far a number is from the one expected.
func (c *series) fits(difference int64) bool {
	switch difference -= c.shift; {
	case difference == 0:
		c.doubtful = false
		return true
	case c.doubtful && difference == c.offered:
		c.shift, c.doubtful = c.shift+difference, false
		return true
	}
	c.offered, c.doubtful = difference, true
	return false
}

// apart is the distance of two numbers of a series that begins again after modulus, the shorter way round.
func apart(found, expected, modulus uint64) int64 {
	d := int64(found%modulus) - int64(expected%modulus)
	switch half := int64(modulus / 2); {
	case d > half:
		d -= int64(modulus)
	case d < -half:
		d += int64(modulus)
	}
	return d
}

// digits reads a number of fixed width out of a key; false when it is none.
func digits(s string) (n uint64, ok bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, len(s) > 0
}

// Layout of the keys between terminal and acquirer: terminal 8, batch 6, trace number 6, class 1; and between institutions: time 10, trace
// number 6, acquirer 11, forwarder 11, class 1.
const (
	terminalKeyChars   = 21
	batchAt            = 8
	terminalSTANAt     = 14
	networkKeyChars    = 39
	networkSTANAt      = 10
	institutionAt      = 16
	forwarderAt        = 27
	classPayment       = '2'
	classAuthorization = '1'
	classSettlement    = '5'
	classNotice        = '6'
	classReversal      = '4'
	traceModulus       = 999_999
)

// terminalKey checks the key of a terminal's message against its row. stan is checked by the caller where the row's is another.
func (m *member) terminalKey(r *journal.Row, key string, class byte) bool {
	if len(key) != terminalKeyChars || !ofClass(key, class) {
		m.fault(r, "key", quoted(key), fill("a key of class %c", "类别%c的键", class))
		return false
	}
	stan, ok := digits(key[terminalSTANAt : terminalSTANAt+6])
	if !ok || padded(r.Terminal) != key[:batchAt] {
		m.fault(r, "terminal", quoted(r.Terminal), quoted(key[:batchAt]))
		return false
	}
	return same(m, r, "stan", uint64(r.STAN), stan)
}

// ofClass reports whether a key has a class. Pre-authorizations and their cancellations have one of their own [REF 6.1].
func ofClass(key string, class byte) bool {
	last := key[len(key)-1]
	return last == class || class == classPayment && isPaymentClass(last)
}

func isPaymentClass(class byte) bool { return class == classPayment || class == classAuthorization }

func padded(terminal string) string {
	const blanks = "        "
	if len(terminal) >= batchAt {
		return terminal
	}
	return terminal + blanks[len(terminal):]
}

// networkKey checks the form of a key between institutions.
func (m *member) networkKey(r *journal.Row, field, key string, class byte) bool {
	if len(key) != networkKeyChars || !ofClass(key, class) {
		m.fault(r, field, quoted(key), fill("a key of class %c", "类别%c的键", class))
		return false
	}
	return true
}

// book adds money to the member's accounts.
func (m *member) book(debit, credit ledger.Account, hold, post int64) {
	d := m.balances[debit]
	d.DebitsPending, d.DebitsPosted = d.DebitsPending+hold, d.DebitsPosted+post
	m.balances[debit] = d
	c := m.balances[credit]
	c.CreditsPending, c.CreditsPosted = c.CreditsPending+hold, c.CreditsPosted+post
	m.balances[credit] = c
}

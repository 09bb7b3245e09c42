package verify

import (
	"context"
	"slices"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
)

// outcome is how a payment stands at one member; with the bits above it is what remains of a settled payment in a member's marks.
type outcome uint8

const (
	isOpen outcome = iota
	isApproved
	isDeclined
	isTimedOut
	isReversed
	outcomeBits         = 0x07
	markUpload  outcome = 1 << 3
	markHold    outcome = 1 << 4
	markPosted  outcome = 1 << 5
	markUndone  outcome = 1 << 6
	markSettled outcome = 1 << 7
)

// side is a payment as one member's rows tell it.
type side struct {
	member   *member
	begin    uint64 // row; 0 when the member does not know the payment, or only its reversal
	end      uint64 // row that answered or timed out
	undo     uint64 // row that reversed
	undoSent uint64 // row number of what follows from undo and awaits an acknowledgement
	timeSent uint64 // the same of a time-out
	amount   int64
	rrn      uint64
	terminal uint64
	extra    uint64 // hash of the chip data in the answer
	beginAt  int64
	endAt    int64
	undoAt   int64
	card     int64
	date     int32
	stan     uint32
	currency uint16
	code     uint16 // what was answered, as field 39
	atc      uint16
	auth     [6]byte
	state    outcome
	business uint16
	upload   bool
	hold     bool
	posted   bool
	disputed bool   // the chip said otherwise than the terminal
	pin      bool   // a PIN was given
	passed   bool   // a reversal went on to the next member
	verb     byte   // at a till
	dialogue bool   // there: the card has the last word
	of       uint64 // batch and trace number of what it follows, where the member says so
	either   bool   // an issuer's row that does not say whether it was told or asked
	answered bool   // by the next member, not by a time-out
	parked   bool   // restored from marks: what its rows say was compared before
}

// head takes in what a till's row says in clear.
func (s *side) head(h heading) {
	s.verb, s.dialogue, s.of, s.business = h.verb, h.dialogue, h.of, tillVerbs[h.verb].business
}

func (s *side) known() bool { return s.begin != 0 || s.undo != 0 }

// waiting is how many messages of the side await an acknowledgement.
func (s *side) waiting() uint64 {
	n := uint64(0)
	for _, row := range [...]uint64{s.undoSent, s.timeSent} {
		if row != 0 {
			n++
		}
	}
	return n
}

func (s *side) closed() bool { return s.begin == 0 || s.state != isOpen && s.waiting() == 0 }

// payCase is one payment with all its sides.
type payCase struct {
	terminal, network uint64 // joins
	sides             [sides]side
	to                string // issuer that the switch asked
	queued            bool   // in line for leaving memory
	flawed            bool   // a row of it is wrong by itself
	tail              bool   // has rows after those that are verified
}

func (c *payCase) closed() bool {
	known := false
	for i := range c.sides {
		s := &c.sides[i]
		known = known || s.known()
		if !s.closed() || s.begin == 0 && s.waiting() != 0 {
			return false
		}
	}
	return known
}

// cases are the payments in memory: those that are under way, and the last ones that are settled.
type cases struct {
	byJoin   map[uint64]*payCase
	settled  []*payCase // a ring of those kept
	first    int
	queued   int
	idle     []*payCase
	doubtful map[*payCase]bool // settled, but something does not hold: looked at again at the end
	underway uint64
}

// keptSettled is how many settled payments stay in memory for a reversal that comes later; older ones are read again from the journals.
var keptSettled = 1 << 14

func (c *cases) init(kept int) {
	c.byJoin, c.doubtful, c.settled = map[uint64]*payCase{}, map[*payCase]bool{}, make([]*payCase, kept)
}

func (c *cases) fresh() *payCase {
	if n := len(c.idle); n > 0 {
		p := c.idle[n-1]
		c.idle = c.idle[:n-1]
		*p = payCase{}
		return p
	}
	return new(payCase)
}

// begin is the case of a payment that begins with a row, by one key or both. Two halves that were known under one key each become one.
func (c *cases) begin(terminal, network uint64) *payCase {
	var p *payCase
	if terminal != 0 {
		p = c.byJoin[terminal]
	}
	if network != 0 {
		if other := c.byJoin[network]; p == nil {
			p = other
		} else if other != nil && other != p {
			c.unite(p, other)
		}
	}
	if p == nil {
		p = c.fresh()
	}
	if terminal != 0 && p.terminal == 0 {
		p.terminal, c.byJoin[terminal] = terminal, p
	}
	if network != 0 && p.network == 0 {
		p.network, c.byJoin[network] = network, p
	}
	return p
}

// unite moves the sides of other that p does not have. A side that both have stays where it is and will be missed there.
func (c *cases) unite(p, other *payCase) {
	if p.network != 0 {
		return // p has a partner of its own
	}
	for i := range p.sides {
		if !p.sides[i].known() {
			p.sides[i], other.sides[i] = other.sides[i], side{}
		}
	}
	if p.to == "" {
		p.to = other.to
	}
	delete(c.byJoin, other.network)
	other.network = 0
}

// settle puts a case that may be settled in line. When it comes out at the other end and still is, it leaves memory.
func (a *auditor) settle(p *payCase) {
	c := &a.cases
	if p.queued || !p.closed() {
		return
	}
	kept := len(c.settled)
	at := (c.first + c.queued) % kept
	if c.queued == kept {
		oldest := c.settled[c.first]
		c.first, at = (c.first+1)%kept, c.first
		c.queued--
		oldest.queued = false
		a.park(oldest)
	}
	p.queued, c.settled[at] = true, p
	c.queued++
}

// park takes a settled case out of memory and leaves its outcome in the marks.
func (a *auditor) park(p *payCase) {
	switch {
	case !p.closed():
		return // something came later: it stays until it is settled again
	case len(a.judge(p)) > 0, p.contested():
		a.cases.doubtful[p] = true
		return
	}
	delete(a.cases.doubtful, p)
	for i := range p.sides {
		p.sides[i].mark()
	}
	a.refused += p.refusedPurse()
	delete(a.cases.byJoin, p.terminal)
	delete(a.cases.byJoin, p.network)
	a.cases.idle = append(a.cases.idle, p)
}

// contested reports whether a chip proved otherwise than the terminal told. The members' books may differ by it, so it stays in memory for the sums.
func (p *payCase) contested() bool { return p.sides[theIssuers].disputed }

// books is what a payment adds to the sum of its issuer or acquirer, in the member's first currency. What it is about is the acquirer's to say.
func (p *payCase) books(r role) int64 {
	s, acquirer := &p.sides[r], &p.sides[theAcquirers]
	if s.member == nil || !s.hold && !s.posted {
		return 0
	}
	sign := owed(acquirer.business)
	switch acquirer.business {
	case businessLoadCash: // the merchant has the money
		sign = -1
	case businessLoadCashVoid:
		sign = 1
	}
	return s.member.owedInFirst(s, sign)
}

// refusedPurse is the money of an offline payment that was refused: a chip gave it away, or somebody forged a payment.
func (p *payCase) refusedPurse() int64 {
	if t := &p.sides[theTills]; t.upload && t.business == businessOffline && t.state == isDeclined {
		return t.amount
	}
	return 0
}

func (s *side) mark() {
	if s.begin == 0 || s.begin >= uint64(len(s.member.marks)) {
		return
	}
	mark := s.state | markSettled
	for _, bit := range [...]struct {
		is  bool
		bit outcome
	}{{s.upload, markUpload}, {s.hold, markHold}, {s.posted, markPosted}, {s.undo != 0, markUndone}} {
		if bit.is {
			mark |= bit.bit
		}
	}
	s.member.marks[s.begin] = mark
}

// row reads one row again; nil when it is not there or not among those that were verified so far.
func (m *member) row(seq uint64) *journal.Row {
	if seq == 0 || seq > m.last {
		return nil
	}
	if m.rows != nil {
		if seq <= uint64(len(m.rows)) && m.rows[seq-1].Seq == seq {
			return &m.rows[seq-1]
		}
		return nil
	}
	reader := m.lookups()
	if reader == nil {
		return nil
	}
	r, ok, err := reader.Row(seq)
	if err != nil || !ok {
		return nil
	}
	return &r
}

// find reads a row again by its key.
func (m *member) find(key string) *journal.Row {
	reader := m.lookups()
	if reader == nil || key == "" {
		return nil
	}
	r, ok, err := reader.FindKey(key)
	if err != nil || !ok || r.Seq > m.last {
		return nil
	}
	return &r
}

func (m *member) lookups() *journalsql.Reader {
	if m.lookup == nil && m.path != "" {
		reader, err := journalsql.OpenReader(context.Background(), m.path)
		if err != nil {
			return nil
		}
		m.lookup = reader
	}
	return m.lookup
}

// recall brings back the settled payment that began in a row of m.
func (a *auditor) recall(m *member, r *journal.Row) *payCase {
	if r == nil || !begins(m.role, r.Kind) {
		return nil
	}
	terminal, network := a.join(r.Key), uint64(0)
	if m.role != theTills {
		terminal, network = 0, a.join(r.Key)
	}
	if m.role == theAcquirers {
		terminal, network = a.join(r.Key), a.join(r.Payment)
	}
	if p := a.cases.byJoin[max(network, 0)]; network != 0 && p != nil && p.sides[m.role].begin == r.Seq {
		return p
	}
	if p := a.cases.byJoin[terminal]; terminal != 0 && p != nil && p.sides[m.role].begin == r.Seq {
		return p
	}
	if r.Seq >= uint64(len(m.marks)) || m.marks[r.Seq]&markSettled == 0 {
		return nil
	}
	p := a.cases.begin(terminal, network)
	if p.sides[m.role].known() {
		return nil // the key was taken by another payment meanwhile
	}
	a.restore(p, m, r)
	a.recallOthers(p, m, r)
	return p
}

// restore fills a side from a row and its mark.
func (a *auditor) restore(p *payCase, m *member, r *journal.Row) {
	mark := m.marks[r.Seq]
	s := &p.sides[m.role]
	*s = side{member: m, begin: r.Seq, amount: r.Amount, currency: r.Currency, date: r.BusinessDate, atc: r.ATC, beginAt: r.At.UnixMicro(),
		rrn: a.hash(r.RRN), terminal: a.hash(r.Terminal), stan: r.STAN, card: r.Card, state: mark & outcomeBits, upload: mark&markUpload != 0,
		hold:   mark&markHold != 0,
		posted: mark&markPosted != 0, parked: true}
	if mark&markUndone != 0 {
		s.undo = r.Seq
	}
	switch m.role {
	case theSwitches:
		_, p.to, _ = parties(r.Note)
		s.business = businessOfSwitch(r)
	case theAcquirers:
		s.business, s.of = r.Reason, traceIn(string(r.Answer))
	case theTills:
		if h, ok := headingOf(r); ok {
			s.head(h)
		}
	case theIssuers:
		s.pin = verified(r)
		if r.Reason == reasonPreAuth {
			s.business = businessPreAuth
		}
		s.either = r.Kind == journal.Completed
	}
}

func (a *auditor) recallOthers(p *payCase, m *member, r *journal.Row) {
	attach := func(other *member, key string) {
		if other == nil || other == m || p.sides[other.role].known() {
			return
		}
		if row := other.find(key); row != nil && begins(other.role, row.Kind) && row.Seq < uint64(len(other.marks)) &&
			other.marks[row.Seq]&markSettled != 0 {
			a.restore(p, other, row)
		}
	}
	network := r.Key
	if m.role == theAcquirers {
		network = r.Payment
		attach(a.tills[r.Terminal], r.Key)
	}
	if m.role == theTills {
		attach(a.acquirer, r.Key)
		return
	}
	attach(a.switches, network)
	for _, issuer := range a.issuers {
		attach(issuer, network)
	}
}

// begins tells the kinds that begin a payment at a member.
func begins(at role, kind journal.Kind) bool {
	switch kind {
	case journal.Requested:
		return at != theIssuers
	case journal.Declined:
		return at != theTills
	case journal.Queued, journal.Advised:
		return at == theTills
	case journal.Noted:
		return at == theTills
	case journal.Approved, journal.Uploaded, journal.Held, journal.Refunded, journal.Voided, journal.Completed:
		return at == theIssuers
	}
	return false
}

// all lists the cases in memory, each once, in the order in which they began.
func (c *cases) all() []*payCase {
	seen := map[*payCase]bool{}
	var list []*payCase
	for _, p := range c.byJoin {
		if !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(x, y *payCase) int { return int(x.began() - y.began()) })
	return list
}

func (p *payCase) began() int64 {
	for i := range p.sides {
		if p.sides[i].beginAt != 0 {
			return p.sides[i].beginAt
		}
	}
	return 0
}

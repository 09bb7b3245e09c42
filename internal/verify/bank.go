package verify

import (
	"encoding/json"
	"time"

	"tapnet/internal/journal"
)

// bank is what an issuer's rows make of its cards: a second derivation of everything an authorization reads.
type bank struct {
	cards   map[int64]*holder
	open    *opening    // an enrolment whose deposits are still to come
	touched *holder     // the card that the row being looked at has changed
	beside  *holder     // another one whose money it moved
	altered *alteration // the change of the row being looked at
	offline bool        // there are uploads from accounts
	loads   map[uint64]heldLoad
	chains  map[uint64]*chain    // what became of payments that something followed, by their row
	sequels map[uint64]*followed // what followed, by its row, until it is undone
	due     []dueMark            // rows that must come next
	again   uint64               // the row that held the money of a pre-authorization again
	undoing *chain               // whose
	served  map[string][]uint64  // what rests on a gate's cryptogram: rows of approvals, by the key of the request that it came with
	scheme  sums                 // the bank's own accounts
	funding sums
	own     map[uint16]*ownAccounts // its own in other currencies
	cells   *cells
}

func newBank() *bank {
	return &bank{chains: map[uint64]*chain{}, sequels: map[uint64]*followed{}, cards: map[int64]*holder{}, loads: map[uint64]heldLoad{},
		own: map[uint16]*ownAccounts{}, cells: &cells{}, served: map[string][]uint64{}}
}

// standing is a card's standing at the bank, in the issuer's numbers.
type standing uint8

const (
	standsActive standing = iota + 1
	standsRestricted
	standsLost
	standsStolen
	standsClosed
)

// opening is an enrolment as its row has it.
type opening struct {
	seq          uint64
	Card         int64          `json:"card"`
	Name         string         `json:"name"`
	Expiry       string         `json:"expiry"`
	Currency     uint16         `json:"currency"`
	NoPIN        bool           `json:"no_pin"`
	Contactless  bool           `json:"contactless"`
	Limits       limits         `json:"limits"`
	OpeningMinor int64          `json:"opening_minor"`
	PurseMinor   int64          `json:"purse_minor"`
	CreditMinor  int64          `json:"credit_minor"`
	Stripe       bool           `json:"stripe"`
	Second       *secondOpening `json:"second"`

	Fingerprint  [16]byte `json:"fingerprint"`
	Masked       string   `json:"masked"`
	Sequence     string   `json:"sequence"`
	Product      string   `json:"product"`
	PINReference [16]byte `json:"pin_reference"`
	Algorithms   []byte   `json:"algorithms"`
}

// alteration is a change of a card as its row has it; nil members stay as they are.
type alteration struct {
	Card        int64     `json:"card"`
	Status      *standing `json:"status"`
	NoPIN       *bool     `json:"no_pin"`
	Contactless *bool     `json:"contactless"`
	Limits      *limits   `json:"limits"`
	PINTries    *int      `json:"pin_tries"`

	Scripts  []chipCommand `json:"scripts"`
	AutoLoad *autoLoad     `json:"auto_load"`
}

// holder is one card with its accounts.
type holder struct {
	opened uint64 // row
	stripe bool   // no chip
	name   string
	cellState
	credit   int64
	expires  int32 // first date (yyyymmdd) on which the card is no longer good
	currency uint16
	cell     int32  // place among the cells, below zero when it has none
	topATC   uint16 // highest counter honoured at all, and its row
	topRow   uint64
	topKind  journal.Kind
	topAt    int64
	initial  int64       // purse at opening
	doubt    doubt       // what the chip may hold beside the books: its last load is not proved
	second   *secondSide // its accounts in another currency
	chip     *chipBook   // what is known of the chip beyond its counters; nil for nothing
}

// cellState is what a card's rows change, and a cell therefore has as of a row.
type cellState struct {
	status      standing
	tries       int
	noPIN       bool
	contactless bool
	online      uint16 // highest counter honoured in real time
	window      window
	days        [daysKept]spent
	limits      limits
	account     sums
	purse       sums
	// pinReference is what the bank keeps of the PIN, tail what it knows of the chip as a cell has it.
	pinReference [16]byte
	tail         string
}

// sums are an account's: what is held and posted on each side, and the row that moved money there last.
type sums struct {
	debitsPending, debitsPosted, creditsPending, creditsPosted int64
	last                                                       uint64
}

// balance is what is posted on an account that grows by credits.
func (s *sums) balance() int64 { return s.creditsPosted - s.debitsPosted }

// daysKept is how many dates of a card an issuer remembers.
const daysKept = 3

// spent is what a card spent on one business date.
type spent struct {
	date       int32
	count      int
	minor      int64
	noPINMinor int64
}

func (h *holder) on(date int32) spent {
	for _, d := range h.days {
		if d.date == date {
			return d
		}
	}
	return spent{date: date}
}

// put keeps a date and lets the oldest go. No day gives back more than was spent on it, whatever is reversed after it was refunded.
func (h *holder) put(s spent) {
	s.minor, s.noPINMinor, s.count = max(0, s.minor), max(0, s.noPINMinor), max(0, s.count)
	for at := range h.days {
		switch {
		case h.days[at].date == s.date:
			h.days[at] = s
			return
		case h.days[at].date < s.date:
			copy(h.days[at+1:], h.days[at:])
			h.days[at] = s
			return
		}
	}
}

// window is the counters an issuer has taken: the highest and those up to 63 below it.
type window struct {
	highest uint16
	seen    uint64
}

const windowWidth = 64

func (w window) fresh(atc uint16) bool {
	if w.seen == 0 || atc > w.highest {
		return true
	}
	behind := w.highest - atc
	return behind < windowWidth && w.seen>>behind&1 == 0
}

func (w *window) use(atc uint16) {
	if w.seen == 0 || atc > w.highest {
		ahead := windowWidth
		if w.seen != 0 {
			ahead = int(atc - w.highest)
		}
		w.seen = w.seen<<ahead | 1 // a shift by the width or more leaves nothing
		w.highest = atc
		return
	}
	if behind := w.highest - atc; behind < windowWidth {
		w.seen |= 1 << behind
	}
}

// available is what the account may still spend.
func (h *holder) available() int64 { return h.account.balance() - h.account.debitsPending + h.credit }

// rises reports whether a counter is good for a payment in real time.
func (h *holder) rises(atc uint16) bool { return atc > h.online && h.window.fresh(atc) }

func (b *bank) purses() (sum int64) {
	for _, h := range b.cards {
		sum += h.purse.balance()
	}
	return sum
}

// The issuer's own accounts; a card's follow from its number.
const (
	issuerScheme  int64 = 1
	issuerFunding int64 = 2
)

func accountNumber(card int64) int64 { return int64(cardAccount(card)) }
func purseNumber(card int64) int64   { return int64(purseAccount(card)) }

// enrol takes a card in.
func (a *auditor) enrol(m *member, r *journal.Row) {
	var o opening
	if err := json.Unmarshal(r.Note, &o); err != nil {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	o.seq = r.Seq
	same(m, r, "card", r.Card, o.Card)
	expires, ok := expiry(o.Expiry)
	if !ok || o.Card <= 0 || o.Currency == 0 || o.OpeningMinor < 0 || o.PurseMinor < 0 || o.CreditMinor < 0 || !o.Limits.sound() {
		m.fault(r, "note", wordUnfit, wordReadable)
	}
	if old := m.bank.cards[o.Card]; old != nil {
		m.fault(r, "card", number(o.Card), fill("a card that row %d did not open", "并非第%d行已开立的卡", old.opened))
		return
	}
	if m.currency == 0 {
		m.currency = o.Currency
	}
	same(m, r, "currency", o.Currency, m.currency)
	h := &holder{opened: r.Seq, stripe: o.Stripe, name: o.Name, credit: o.CreditMinor, expires: expires, currency: o.Currency, initial: o.PurseMinor,
		cellState: cellState{limits: o.Limits, tries: pinTriesMax, status: standsActive, noPIN: o.NoPIN, contactless: o.Contactless}}
	h.pinReference = o.PINReference
	m.openSecond(r, h, &o)
	if len(o.Algorithms) > 0 {
		h.chip = &chipBook{algorithms: o.Algorithms}
	}
	h.settleTail()
	m.bank.cards[o.Card], m.bank.open, m.bank.touched = h, &o, h
	m.introduce(r, h, &o)
}

func (l limits) sound() bool {
	return l.TapMinor >= 0 && l.DayMinor >= 0 && l.DayCount >= 0 && l.NoPINDayMinor >= 0
}

// expiry is the first date on which a card with YYMM on it is no longer good.
func expiry(yymm string) (int32, bool) {
	n, ok := digits(yymm)
	year, month := 2000+int(n/100), int(n%100)
	if !ok || len(yymm) != 4 || month < 1 || month > 12 {
		return 0, false
	}
	y, mo, d := time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC).Date()
	return int32(y*10000 + int(mo)*100 + d), true
}

// deposit is the money a card is opened with: account first, then purse, right behind the enrolment.
func (a *auditor) deposit(m *member, r *journal.Row) {
	o := m.bank.open
	if o == nil || r.Card != o.Card {
		m.fault(r, "linked", number(r.Linked), fill("an enrolment whose deposit is due", "待存入的开户行"))
		return
	}
	same(m, r, "linked", r.Linked, o.seq)
	h := m.bank.cards[o.Card]
	amount, place, currency := o.due()
	side := h.side(o.Card, currency)
	same(m, r, "debit", int64(r.Debit), side.funding)
	same(m, r, "credit", int64(r.Credit), accountNumber(o.Card)+place)
	same(m, r, "amount", r.Amount, *amount)
	same(m, r, "currency", r.Currency, currency)
	*amount = 0
	m.bank.touched = h
	if to, owner := m.account(int64(r.Credit)); owner == h && to != nil {
		to.post(0, r.Amount, r.Seq)
	}
	if from, _ := m.account(side.funding); from != nil {
		from.post(r.Amount, 0, r.Seq)
	}
}

// deposited is called for every row that is no deposit: those that were due must have come.
func (a *auditor) deposited(m *member, r *journal.Row) {
	o := m.bank.open
	if o == nil {
		return
	}
	m.bank.open = nil
	if due := o.left(); due != 0 {
		w := m.wrong(r, "kind", r.Kind.Term(), fill("the deposit of %d for the card of row %d", "第%[2]d行所开卡片的存入%[1]d", due, o.seq))
		a.findings.add(w)
	}
}

// alter changes a card.
func (a *auditor) alter(m *member, r *journal.Row) {
	var c alteration
	if err := json.Unmarshal(r.Note, &c); err != nil {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	same(m, r, "card", r.Card, c.Card)
	h := m.bank.cards[c.Card]
	if h == nil {
		m.fault(r, "card", number(c.Card), fill("a card that was opened", "已开立的卡"))
		return
	}
	m.bank.touched, m.bank.altered = h, &c
	if c.Status != nil {
		if !h.status.may(*c.Status) {
			m.fault(r, "note", number(uint8(*c.Status)), fill("a standing that may follow %d", "可由%d变为的状态", h.status))
		}
		h.status = *c.Status
	}
	if c.NoPIN != nil {
		h.noPIN = *c.NoPIN
	}
	if c.Contactless != nil {
		h.contactless = *c.Contactless
	}
	if c.Limits != nil {
		if !c.Limits.sound() {
			m.fault(r, FieldLimit, wordUnfit, wordReadable)
		}
		h.limits = *c.Limits
	}
	if c.PINTries != nil {
		if *c.PINTries < 0 || *c.PINTries > pinTriesMax {
			m.fault(r, FieldTries, number(*c.PINTries), fill("0 to %d", "0至%d", pinTriesMax))
		}
		h.tries = *c.PINTries
	}
}

// may tells the legal changes of standing.
func (s standing) may(next standing) bool {
	switch s {
	case standsActive:
		return next > standsActive && next <= standsClosed
	case standsRestricted:
		return next != standsRestricted && next >= standsActive && next <= standsClosed
	case standsLost:
		return next == standsActive || next == standsStolen || next == standsClosed
	case standsStolen:
		return next == standsClosed
	}
	return false
}

// use keeps a counter as honoured.
func (h *holder) use(r *journal.Row) {
	h.window.use(r.ATC)
	if r.Kind != journal.Uploaded {
		h.online = max(h.online, r.ATC)
	}
	if honoured(r) && r.ATC > h.topATC {
		h.topATC, h.topRow, h.topKind, h.topAt = r.ATC, r.Seq, r.Kind, r.At.UnixMicro()
	}
}

// pay moves the money of an issuer's row on the card.
func (m *member) pay(h *holder, r *journal.Row) {
	if r.Kind == journal.Uploaded {
		m.payOffline(r, h)
		return
	}
	m.hold(h, r.Amount, r.Seq)
	if r.Reason == reasonPreAuth {
		m.held -= r.Amount // no claim of anybody's yet
	}
}

// hold holds money on a card's account, or lets go of it when the amount is below zero.
func (m *member) hold(h *holder, amount int64, row uint64) {
	h.account.debitsPending, h.account.last = h.account.debitsPending+amount, row
	m.bank.scheme.creditsPending, m.bank.scheme.last = m.bank.scheme.creditsPending+amount, row
	m.held += amount
}

func (s *sums) post(debit, credit int64, row uint64) {
	s.debitsPosted, s.creditsPosted, s.last = s.debitsPosted+debit, s.creditsPosted+credit, row
}

package issuer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// A card is kept in the store as a cell: its number is the cell's, its fingerprint the cell's name, and the data is, in this order,
//
//	version 1, standing, PIN tries, flags (1 no PIN allowed, 2 contactless allowed), PIN reference (16 bytes),
//	highest online counter, highest counter, window of counters, number of days, then of each day: date, amount, amount without PIN, payments,
//	limits: a tap, a day, payments a day, a day without PIN,
//	credit line, currency, opening money, opening purse,
//	account: pending debits, posted debits, pending credits, posted credits, last transfer; the same for the purse,
//	name, masked number, sequence, expiry, product.
//
// Version 2 goes on with what the bank wants of the chip and knows of it, see chip.go; version 3 behind that with an open change of the PIN and the second
// currency, see pinchange.go and currency.go.
//
// Numbers are unsigned varints, texts have their length before them. The bank's own accounts are one more cell, number bankCell: version, then the
// accounts scheme and funding as above. The seal of the number is not in it: it stays in the card's first row.

const (
	cellVersion = 1
	// bankCell is above every card's number.
	bankCell int64 = math.MaxInt64

	cellNoPIN       = 1
	cellContactless = 2
	cellStripe      = 4
)

// appendCard appends the card's cell.
func (s *state) appendCard(dst []byte, c *Card) []byte {
	var flags byte
	if c.NoPIN {
		flags |= cellNoPIN
	}
	if c.Contactless {
		flags |= cellContactless
	}
	if c.Stripe {
		flags |= cellStripe
	}
	version := byte(cellVersion)
	switch {
	case c.chipNow().pin.seq != 0 || c.Second != nil:
		version = cellVersionPIN
	case !c.plain():
		version = cellVersionChip
	}
	dst = append(dst, version, byte(c.Status), byte(c.Tries), flags)
	dst = append(dst, c.reference[:]...)
	n := binary.AppendUvarint
	dst = n(n(n(dst, uint64(c.online)), uint64(c.window.highest)), c.window.seen)
	days := 0
	for days < len(c.days) && c.days[days].date != 0 {
		days++
	}
	dst = n(dst, uint64(days))
	for _, u := range c.days[:days] {
		dst = n(n(n(n(dst, uint64(u.date)), uint64(u.minor)), uint64(u.noPINMinor)), uint64(u.count))
	}
	l := c.Limits
	for _, v := range [...]int64{l.TapMinor, l.DayMinor, int64(l.DayCount), l.NoPINDayMinor, c.CreditMinor, int64(c.Currency), c.OpeningMinor, c.PurseMinor} {
		dst = n(dst, uint64(v))
	}
	dst = s.appendAccount(s.appendAccount(dst, c.account), c.purse)
	for _, text := range [...]string{c.Name, c.Masked, c.Enrolment.Sequence, c.Expiry, c.Product} {
		dst = append(n(dst, uint64(len(text))), text...)
	}
	if version >= cellVersionChip {
		dst = c.appendChip(dst)
	}
	if version == cellVersionPIN {
		dst = s.appendSecond(c.chipNow().pin.bytes(dst), c)
	}
	return dst
}

func (s *state) appendAccount(dst []byte, a ledger.Account) []byte {
	b := s.book.Balance(a)
	for _, v := range [...]int64{b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted} {
		dst = binary.AppendUvarint(dst, uint64(v))
	}
	return binary.AppendUvarint(dst, s.book.Last(a))
}

func (s *state) appendBank(dst []byte) []byte {
	version := byte(cellVersion)
	if len(s.currencies) > 0 {
		version = cellVersionBanks
	}
	dst = s.appendAccount(s.appendAccount(append(dst, version), AccountScheme), AccountFunding)
	if version == cellVersionBanks {
		dst = s.appendOwn(dst)
	}
	return dst
}

// kept is an account as a cell has it.
type kept struct {
	balance ledger.Balance
	last    uint64
}

// stored is a card as its cell has it, not yet in memory's care.
type stored struct {
	card    *Card
	account kept
	purse   kept
	second  *[2]kept // account and purse in the second currency
}

var errCell = errors.New("stored card is damaged")

// cellReader reads varints and texts; the first thing that does not fit ends it.
type cellReader struct {
	b   []byte
	bad bool
}

func (r *cellReader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// upTo is a number that must not be above most.
func (r *cellReader) upTo(most uint64) uint64 {
	v := r.number()
	if v > most {
		r.bad = true
		return 0
	}
	return v
}

func (r *cellReader) minor() int64 { return int64(r.upTo(math.MaxInt64)) }

func (r *cellReader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *cellReader) octet() byte {
	b := r.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (r *cellReader) account() kept {
	return kept{ledger.Balance{DebitsPending: r.minor(), DebitsPosted: r.minor(), CreditsPending: r.minor(), CreditsPosted: r.minor()}, r.number()}
}

func (r *cellReader) done(id int64) error {
	if r.bad || len(r.b) != 0 {
		return fmt.Errorf("cell %d: %w", id, errCell)
	}
	return nil
}

// readCard reads a card's cell.
func readCard(cell *journal.Cell) (stored, error) {
	r := cellReader{b: cell.Data}
	version := r.octet()
	if version < cellVersion || version > cellVersionPIN {
		return stored{}, fmt.Errorf("cell %d: %w: unknown version", cell.ID, errCell)
	}
	status, tries, flags := Status(r.octet()), int(r.octet()), r.octet()
	e := Enrolment{Card: cell.ID, Fingerprint: cell.Name, NoPIN: flags&cellNoPIN != 0, Contactless: flags&cellContactless != 0,
		Stripe: flags&cellStripe != 0}
	copy(e.PINReference[:], r.bytes(uint64(len(e.PINReference))))
	online := uint16(r.upTo(math.MaxUint16))
	window := counter{highest: uint16(r.upTo(math.MaxUint16)), seen: r.number()}
	var days usageDays
	for at := range r.upTo(uint64(len(days))) {
		days[at] = usage{date: int32(r.upTo(math.MaxInt32)), minor: r.minor(), noPINMinor: r.minor(), count: int(r.upTo(math.MaxInt32))}
	}
	e.Limits = Limits{TapMinor: r.minor(), DayMinor: r.minor(), DayCount: int(r.upTo(math.MaxInt32)), NoPINDayMinor: r.minor()}
	e.CreditMinor, e.Currency, e.OpeningMinor, e.PurseMinor = r.minor(), int(r.upTo(currencyMax)), r.minor(), r.minor()
	out := stored{account: r.account(), purse: r.account()}
	texts := string(r.b) // one piece of memory for all
	for _, to := range [...]*string{&e.Name, &e.Masked, &e.Sequence, &e.Expiry, &e.Product} {
		n := r.number()
		at := len(texts) - len(r.b)
		*to = texts[at : at+len(r.bytes(n))]
	}
	var h *chip
	if version >= cellVersionChip {
		h = r.chip(&e)
	}
	if version == cellVersionPIN {
		if h == nil {
			h = &chip{}
		}
		h.pin = r.pinChange()
		out.second = r.second(&e, h)
		if h.empty() {
			h = nil
		}
	}
	if err := r.done(cell.ID); err != nil {
		return stored{}, err
	}
	c, err := newCard(e)
	if err != nil {
		return stored{}, fmt.Errorf("cell %d: %w: %w", cell.ID, errCell, err)
	}
	c.Status, c.Tries, c.online, c.window, c.days, c.chip, c.seq = status, tries, online, window, days, h, cell.Seq
	out.card = c
	return out, nil
}

// readBank reads the cell of the bank's own accounts.
func readBank(cell *journal.Cell) (scheme, funding kept, others []own, err error) {
	r := cellReader{b: cell.Data}
	version := r.octet()
	if version != cellVersion && version != cellVersionBanks {
		return scheme, funding, nil, fmt.Errorf("cell %d: %w: unknown version", cell.ID, errCell)
	}
	scheme, funding = r.account(), r.account()
	if version == cellVersionBanks {
		others = r.own()
	}
	return scheme, funding, others, r.done(cell.ID)
}

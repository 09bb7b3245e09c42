package verify

import (
	"encoding/binary"
	"math"

	"tapnet/internal/journal"
)

// An issuer's cells, read a second time from their description:
//
//	version 1, standing, PIN tries, flags (1 no PIN allowed, 2 contactless allowed, 4 no chip), PIN reference (16 bytes),
//	highest online counter, highest counter, window of counters, number of days, then of each day: date, amount, amount without PIN, payments,
//	limits: a tap, a day, payments a day, a day without PIN,
//	credit line, currency, opening money, opening purse,
//	account: pending debits, posted debits, pending credits, posted credits, last transfer; the same for the purse,
//	name, masked number, sequence, expiry, product.
//
// Numbers are unsigned varints without leading zeros, texts have their length before them. The cell of the bank's own accounts is a version and the
// accounts scheme and funding.

const (
	cellVersion = 1
	// cellVersionChip has more behind it, see chipTail.
	cellVersionChip = 2
	// bankCell is the number of the cell of the bank's own accounts.
	bankCell int64 = math.MaxInt64

	cellNoPIN       = 1
	cellContactless = 2
	cellStripe      = 4
)

// cellIdentity is what a cell has from the card's enrolment and never changes.
type cellIdentity struct {
	fingerprint                             [16]byte
	credit, opening, purse                  int64
	currency                                uint16
	stripe                                  bool
	name, masked, sequence, expiry, product string
}

// cellReader takes values off the front of a cell; the first that does not fit ends it.
type cellReader struct {
	b   []byte
	bad bool
}

func (r *cellReader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *cellReader) octet() uint8 {
	if b := r.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (r *cellReader) upTo(most uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > most || n > 1 && r.b[n-1] == 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *cellReader) minor() int64 { return int64(r.upTo(math.MaxInt64)) }
func (r *cellReader) text() string { return string(r.take(r.upTo(journal.MaxCellBytes))) }

func (r *cellReader) sums() sums {
	return sums{r.minor(), r.minor(), r.minor(), r.minor(), r.upTo(math.MaxUint64)}
}

// readCardCell reads a card's cell; false for one that cannot be read to its end.
func readCardCell(cell *journal.Cell) (id cellIdentity, s cellState, ok bool) {
	r := cellReader{b: cell.Data}
	version := r.octet()
	s.status, s.tries = standing(r.octet()), int(r.octet())
	flags := r.octet()
	s.noPIN, s.contactless = flags&cellNoPIN != 0, flags&cellContactless != 0
	id.fingerprint, id.stripe = cell.Name, flags&cellStripe != 0
	s.pinReference = r.fixed()
	s.online = uint16(r.upTo(math.MaxUint16))
	s.window = window{uint16(r.upTo(math.MaxUint16)), r.upTo(math.MaxUint64)}
	for at := range r.upTo(daysKept) {
		day := &s.days[at]
		day.date, day.minor, day.noPINMinor, day.count = int32(r.upTo(math.MaxInt32)), r.minor(), r.minor(), int(r.upTo(math.MaxInt32))
	}
	s.limits.TapMinor, s.limits.DayMinor, s.limits.DayCount, s.limits.NoPINDayMinor = r.minor(), r.minor(), int(r.upTo(math.MaxInt32)), r.minor()
	id.credit, id.currency, id.opening, id.purse = r.minor(), uint16(r.upTo(math.MaxUint16)), r.minor(), r.minor()
	s.account, s.purse = r.sums(), r.sums()
	id.name, id.masked, id.sequence, id.expiry, id.product = r.text(), r.text(), r.text(), r.text(), r.text()
	if version == cellVersionChip || version == cellVersionPIN {
		s.tail = string(version) + string(r.b)
		r.chipTail(version)
		version = cellVersion
	}
	return id, s, version == cellVersion && flags&^(cellNoPIN|cellContactless|cellStripe) == 0 && !r.bad && len(r.b) == 0
}

// readBankCell reads the cell of the bank's own accounts. Version 2 goes on with those in other currencies: their number, then of each: currency, scheme,
// funding.
func readBankCell(cell *journal.Cell) (scheme, funding sums, own []ownInCell, ok bool) {
	r := cellReader{b: cell.Data}
	version := r.octet()
	scheme, funding = r.sums(), r.sums()
	if version == cellVersionBanks {
		own, version = r.ownInCell(), cellVersion
	}
	return scheme, funding, own, version == cellVersion && !r.bad && len(r.b) == 0
}

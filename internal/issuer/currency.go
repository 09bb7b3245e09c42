package issuer

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// A dual-currency card has a second purse in a currency of its own, and an account in that currency from which it is loaded [REF 1.3]. The bank's books stand
// in both, and nothing is converted: what is owed in one currency is paid in it.

// SecondPurse is what personalisation tells the bank about the second currency of a card.
type SecondPurse struct {
	Currency     int   `json:"currency"`      // ISO 4217 number
	OpeningMinor int64 `json:"opening_minor"` // money on the account in that currency at opening
	PurseMinor   int64 `json:"purse_minor"`   // money on the chip at opening
}

func (p *SecondPurse) sound(first int) bool {
	return p == nil || p.Currency > 0 && p.Currency <= currencyMax && p.Currency != first && p.OpeningMinor >= 0 && p.PurseMinor >= 0
}

const (
	// Places of a card's accounts behind its first one.
	purseAt         = 1
	secondAccountAt = 2
	secondPurseAt   = 3

	// ownElsewhere is above every card's accounts: behind it, by number of the currency, are the bank's own in other currencies than its first. The scheme's
	// come first, then those of funding.
	ownElsewhere  ledger.Account = 1e18
	fundingOffset ledger.Account = 1000
)

// SchemeIn and FundingIn are the bank's own accounts in a currency that is not that of its books.
func SchemeIn(currency int) ledger.Account { return ownElsewhere + ledger.Account(currency) }

// FundingIn is where opening money in the currency comes from.
func FundingIn(currency int) ledger.Account {
	return ownElsewhere + fundingOffset + ledger.Account(currency)
}

// ofCard tells a card's account from the bank's own.
func ofCard(a ledger.Account) bool { return a >= firstCard && a < ownElsewhere }

// side is the accounts on which a card pays in one currency.
type side struct {
	currency                        int
	second                          bool
	account, purse, scheme, funding ledger.Account
	creditMinor                     int64
}

// first is the side of the card's own currency.
func (c *Card) first() side {
	return side{currency: c.Currency, account: c.account, purse: c.purse, scheme: AccountScheme, funding: AccountFunding, creditMinor: c.CreditMinor}
}

// side is the card's in a currency; false when it has none.
func (c *Card) side(currency int) (side, bool) {
	switch {
	case currency == c.Currency:
		return c.first(), true
	case c.Second == nil || currency != c.Second.Currency:
		return side{}, false
	}
	return side{currency: currency, second: true, account: c.account + secondAccountAt, purse: c.account + secondPurseAt, scheme: SchemeIn(currency),
		funding: FundingIn(currency)}, true
}

// holds reports whether the card has money in a currency.
func (c *Card) holds(currency int) bool {
	_, has := c.side(currency)
	return has
}

// sideOf is the side on which a load is.
func (c *Card) sideOf(l load) side {
	if c.Second != nil {
		if s, _ := c.side(c.Second.Currency); l.credit == s.purse || l.debit == s.purse {
			return s
		}
	}
	return c.first()
}

// availableOn is what an account may still spend: its money, less holds, plus the credit line.
func (s *state) availableOn(of side) int64 { return s.book.Available(of.account) + of.creditMinor }

// shadowOn is what the purse's account says that the chip holds.
func (s *state) shadowOn(of side) int64 {
	b := s.book.Balance(of.purse)
	return b.CreditsPosted - b.DebitsPosted
}

// openSecond opens the accounts of a second currency; from says how they stand in the store, nil for new ones.
func (s *state) openSecond(c *Card, from *[2]kept) {
	if c.Second == nil {
		return
	}
	of, _ := c.side(c.Second.Currency)
	s.openOwn(of.currency)
	for at, a := range [...]ledger.Account{of.account, of.purse} {
		spec := ledger.AccountSpec{Name: nameAccount, Currency: uint16(of.currency), Kind: ledger.Liability, NoOverdraft: true}
		if at == 1 {
			spec.Name, spec.NoOverdraft = namePurse, false
		}
		if from == nil {
			s.open(a, spec)
		} else {
			s.restore(a, spec, from[at])
		}
	}
}

// openOwn opens the bank's own accounts in a currency, once.
func (s *state) openOwn(currency int) {
	if slices.Contains(s.currencies, currency) {
		return
	}
	s.currencies = append(s.currencies, currency)
	slices.Sort(s.currencies)
	s.open(SchemeIn(currency), schemeSpec(uint16(currency)))
	s.open(FundingIn(currency), fundingSpec(uint16(currency)))
}

// A cell of version 3 goes on, behind the change of the PIN, with the second currency: its number, zero for none, and unless that is zero: opening money,
// opening purse, account, purse, date on which the purse was emptied, row of the unload that waits to be paid out, and unless that is zero: its amount, its
// counter.

func (s *state) appendSecond(dst []byte, c *Card) []byte {
	n := binary.AppendUvarint
	if c.Second == nil {
		return n(dst, 0)
	}
	of, _ := c.side(c.Second.Currency)
	dst = n(n(n(dst, uint64(of.currency)), uint64(c.Second.OpeningMinor)), uint64(c.Second.PurseMinor))
	dst = s.appendAccount(s.appendAccount(dst, of.account), of.purse)
	h := c.chipNow()
	if dst = n(n(dst, uint64(h.emptiedSecond)), h.unloaded.seq); h.unloaded.seq != 0 {
		dst = n(n(dst, uint64(h.unloaded.minor)), uint64(h.unloaded.atc))
	}
	return dst
}

func (r *cellReader) second(e *Enrolment, h *chip) (from *[2]kept) {
	currency := int(r.upTo(currencyMax))
	if currency == 0 {
		return nil
	}
	e.Second = &SecondPurse{Currency: currency, OpeningMinor: r.minor(), PurseMinor: r.minor()}
	from = &[2]kept{r.account(), r.account()}
	h.emptiedSecond = int32(r.upTo(math.MaxInt32))
	if h.unloaded.seq = r.number(); h.unloaded.seq != 0 {
		h.unloaded.minor, h.unloaded.atc = r.minor(), uint16(r.upTo(math.MaxUint16))
	}
	return from
}

// cellVersionBanks is the version of the bank's own cell with accounts in other currencies: their number, then of each: currency, scheme, funding.
const cellVersionBanks = 2

func (s *state) appendOwn(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s.currencies)))
	for _, currency := range s.currencies {
		dst = s.appendAccount(s.appendAccount(binary.AppendUvarint(dst, uint64(currency)), SchemeIn(currency)), FundingIn(currency))
	}
	return dst
}

// own is the bank's own accounts in one more currency.
type own struct {
	currency        int
	scheme, funding kept
}

func (r *cellReader) own() (list []own) {
	for range r.upTo(currencyMax) {
		list = append(list, own{int(r.upTo(currencyMax)), r.account(), r.account()})
	}
	return list
}

func (s *state) restoreOwn(list []own) {
	for _, o := range list {
		s.restore(SchemeIn(o.currency), schemeSpec(uint16(o.currency)), o.scheme)
		s.restore(FundingIn(o.currency), fundingSpec(uint16(o.currency)), o.funding)
		s.currencies = append(s.currencies, o.currency)
	}
	slices.Sort(s.currencies)
}

// waits is the unload of the second purse that was done and waits to be paid out.
type waits struct {
	seq   uint64
	minor int64
	atc   uint16
}

// dueSecond is the row that pays out the second purse; false when none was unloaded.
func (i *Issuer) dueSecond(c *Card, today int32) (journal.Row, bool, error) {
	h := c.chipNow()
	if h.unloaded.seq == 0 {
		return journal.Row{}, false, nil
	}
	if due := laterDate(h.emptiedSecond, payOutAfterDays); today < due {
		return journal.Row{}, false, fmt.Errorf("card %d: %w: pay-out from %d on", c.Enrolment.Card, ErrChange, due)
	}
	of, _ := c.side(c.Second.Currency)
	l := load{seq: h.unloaded.seq, atc: h.unloaded.atc, minor: h.unloaded.minor, debit: of.purse, credit: of.account}
	return i.payOutRow(c, l, of, today), true, nil
}

// payOutRow pays out an unload. Payments that came after the chip proved its balance have taken from the same account: no more can be paid out than is there.
func (i *Issuer) payOutRow(c *Card, l load, of side, today int32) journal.Row {
	amount := min(l.minor, max(0, i.state.shadowOn(of)))
	row := journal.Row{Kind: journal.Completed, Card: c.Enrolment.Card, ATC: l.atc, Reason: uint16(PaidOut), BusinessDate: today, Linked: l.seq, Debit: l.debit,
		Credit: l.credit, Amount: amount, Currency: uint16(of.currency), Phase: ledger.Post, Resolves: l.seq, Note: binary.AppendUvarint(nil, uint64(l.minor))}
	if amount == 0 {
		row.Phase, row.Amount = ledger.Void, l.minor
	}
	return row
}

// availableIn gives what cards may still spend in a currency.
func (s *state) availableIn(currency int) func(*Card) int64 {
	return func(c *Card) int64 {
		of, has := c.side(currency)
		if !has {
			return 0
		}
		return s.availableOn(of)
	}
}

// emptiedOn is the date on which the purse of a side was known to be empty; zero for one in use.
func (h *chip) emptiedOn(of side) int32 {
	if of.second {
		return h.emptiedSecond
	}
	return h.emptied
}

// Second says what a card's account may still spend in its second currency, and what the purse's account says that the chip holds, in minor units.
func (i *Issuer) Second(id int64) (available, shadow int64) {
	c, err := i.state.card(id)
	if err != nil || c == nil || c.Second == nil {
		return 0, 0
	}
	of, _ := c.side(c.Second.Currency)
	return i.state.availableOn(of), i.state.shadowOn(of)
}

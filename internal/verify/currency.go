package verify

import (
	"encoding/binary"
	"math"
	"slices"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// secondOpening is what an enrolment says of a card's second currency.
type secondOpening struct {
	Currency     uint16 `json:"currency"`
	OpeningMinor int64  `json:"opening_minor"`
	PurseMinor   int64  `json:"purse_minor"`
}

// secondSide is a card's accounts in its second currency.
type secondSide struct {
	currency       uint16
	opening, first int64 // account and purse at opening
	account, purse sums
}

// ownAccounts are the bank's own in a currency that is not that of its books.
type ownAccounts struct{ scheme, funding sums }

// Where accounts are: a card's behind its first one, and the bank's own by the number of the currency.
const (
	purseAt         int64 = 1
	secondAccountAt int64 = 2
	secondPurseAt   int64 = 3
	accountPlaces   int64 = 10
	ownElsewhere    int64 = 1e18
	fundingBehind   int64 = 1000

	cellVersionBanks = 2
	mostCurrency     = 999
)

// payingSide is the accounts on which a card pays in one currency: their numbers, and what is on them.
type payingSide struct {
	account, purse, scheme, funding int64
	onAccount, inPurse              *sums
	credit                          int64
	second                          bool
}

// side is the card's in a currency; the first one where it has none in it.
func (h *holder) side(card int64, currency uint16) payingSide {
	if s := h.second; s != nil && s.currency == currency && currency != h.currency {
		return payingSide{account: accountNumber(card) + secondAccountAt, purse: accountNumber(card) + secondPurseAt, scheme: ownElsewhere + int64(currency),
			funding: ownElsewhere + fundingBehind + int64(currency), onAccount: &s.account, inPurse: &s.purse, second: true}
	}
	return payingSide{account: accountNumber(card), purse: purseNumber(card), scheme: issuerScheme, funding: issuerFunding, onAccount: &h.account,
		inPurse: &h.purse, credit: h.credit}
}

func (s *payingSide) available() int64 {
	return s.onAccount.balance() - s.onAccount.debitsPending + s.credit
}

// own are the bank's own accounts in a currency, opened with the first card that has it.
func (b *bank) ownIn(currency uint16) *ownAccounts {
	if b.own[currency] == nil {
		b.own[currency] = &ownAccounts{}
	}
	return b.own[currency]
}

// ownAccount is one of the bank's own accounts in another currency, nil when there is none.
func (b *bank) ownAccount(number int64) *sums {
	n := number - ownElsewhere
	if own := b.own[uint16(n%fundingBehind)]; n >= 0 && own != nil {
		if n < fundingBehind {
			return &own.scheme
		}
		return &own.funding
	}
	return nil
}

// An acquirer's books in other currencies have the same accounts again, behind a base for each.
const (
	acquirerElsewhere ledger.Account = 1<<39 + 1<<38
	acquirerSpread    ledger.Account = 1 << 34
)

// acquirerBase is where the books begin that an acquirer's account belongs to, zero for those of its first currency.
func acquirerBase(a ledger.Account) ledger.Account {
	if a < acquirerElsewhere {
		return 0
	}
	return a - (a-acquirerElsewhere)%acquirerSpread
}

// acquirerSchemeBeside is the account with the scheme in the books of a merchant.
func acquirerSchemeBeside(merchant ledger.Account) int64 {
	return int64(acquirerBase(merchant)) + acquirerScheme
}

func isAcquirerScheme(a ledger.Account) bool {
	return a-acquirerBase(a) == ledger.Account(acquirerScheme)
}

// acquirerSign is 1 for money towards the scheme, -1 for money from it.
func acquirerSign(r *journal.Row) int64 {
	switch {
	case isAcquirerScheme(r.Credit):
		return 1
	case isAcquirerScheme(r.Debit):
		return -1
	}
	return 0
}

// sameCurrency holds a row's currency against that of its member, or of its terminal where that sells in another.
func (a *auditor) sameCurrency(m *member, r *journal.Row) {
	if r.Currency == 0 {
		return
	}
	if abroad := a.abroad[r.Terminal]; abroad != 0 && m.role != theIssuers {
		same(m, r, "currency", r.Currency, abroad)
		if m.role == theTills {
			m.currency = abroad
		}
		return
	}
	if m.currency == 0 {
		m.currency = r.Currency
	}
	if !m.knowsCurrency(r.Currency) {
		same(m, r, "currency", r.Currency, m.currency)
	}
}

// owedInFirst is what a payment means for the sums of its member, which are in the first currency.
func (m *member) owedInFirst(s *side, sign int64) int64 {
	if s.currency != m.currency {
		return 0
	}
	return sign * s.amount
}

// openSecond opens a card's second currency.
func (m *member) openSecond(r *journal.Row, h *holder, o *opening) {
	s := o.Second
	if s == nil {
		return
	}
	if s.Currency == 0 || s.Currency > mostCurrency || s.Currency == o.Currency || s.OpeningMinor < 0 || s.PurseMinor < 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
	}
	h.second = &secondSide{currency: s.Currency, opening: s.OpeningMinor, first: s.PurseMinor}
	m.bank.ownIn(s.Currency)
}

// due is the next deposit of an enrolment: the money on the account, in the purse, and the same of the second currency. All that is done is zero.
func (o *opening) due() (amount *int64, place int64, currency uint16) {
	list := []*int64{&o.OpeningMinor, &o.PurseMinor}
	if o.Second != nil {
		list = append(list, &o.Second.OpeningMinor, &o.Second.PurseMinor)
	}
	currency = o.Currency
	for at, minor := range list {
		if at == int(secondAccountAt) {
			currency = o.Second.Currency
		}
		if *minor != 0 || at == len(list)-1 {
			return minor, int64(at), currency
		}
	}
	return list[0], 0, currency
}

// left is what is still to be deposited.
func (o *opening) left() int64 {
	sum := o.OpeningMinor + o.PurseMinor
	if o.Second != nil {
		sum += o.Second.OpeningMinor + o.Second.PurseMinor
	}
	return sum
}

// knowsCurrency reports whether a bank's books stand in a currency.
func (m *member) knowsCurrency(currency uint16) bool {
	return m.bank != nil && m.bank.own[currency] != nil
}

// settleTail makes what a cell has behind version 1 what it must be now.
func (h *holder) settleTail() {
	c := h.chip
	if c == nil {
		if h.second == nil {
			h.tail = ""
			return
		}
		c = &chipBook{}
	}
	h.tail = c.tail(h.second)
}

// appendSecond writes the second currency as a cell of version 3 has it: its number, zero for none, and unless that is zero: opening money, opening purse,
// account, purse, date on which the purse was emptied, row of the unload that waits to be paid out, and unless that is zero: its amount, its counter.
func (c *chipBook) appendSecond(dst []byte, s *secondSide) []byte {
	n := binary.AppendUvarint
	if s == nil {
		return n(dst, 0)
	}
	dst = n(n(n(dst, uint64(s.currency)), uint64(s.opening)), uint64(s.first))
	for _, x := range [...]*sums{&s.account, &s.purse} {
		dst = n(n(n(n(n(dst, uint64(x.debitsPending)), uint64(x.debitsPosted)), uint64(x.creditsPending)), uint64(x.creditsPosted)), x.last)
	}
	if dst = n(n(dst, uint64(c.emptiedSecond)), c.unloaded.seq); c.unloaded.seq != 0 {
		dst = n(n(dst, uint64(c.unloaded.minor)), uint64(c.unloaded.atc))
	}
	return dst
}

// secondTail reads it.
func (r *cellReader) secondTail(c *chipBook) (s secondSide) {
	if s.currency = uint16(r.upTo(mostCurrency)); s.currency == 0 {
		return s
	}
	s.opening, s.first = r.minor(), r.minor()
	s.account, s.purse = r.sums(), r.sums()
	c.emptiedSecond = int32(r.upTo(math.MaxInt32))
	if c.unloaded.seq = r.upTo(math.MaxUint64); c.unloaded.seq != 0 {
		c.unloaded.minor, c.unloaded.atc = r.minor(), uint16(r.upTo(math.MaxUint16))
	}
	return s
}

// ownInCell is what the bank's own cell says of one more currency.
type ownInCell struct {
	currency uint16
	ownAccounts
}

func (r *cellReader) ownInCell() (list []ownInCell) {
	for range r.upTo(mostCurrency) {
		list = append(list, ownInCell{uint16(r.upTo(mostCurrency)), ownAccounts{r.sums(), r.sums()}})
	}
	return list
}

// sameOwn compares the bank's accounts in other currencies with its cell. The cell may be as of before a currency came.
func (m *member) sameOwn(r *journal.Row, have []ownInCell) {
	known := make([]uint16, 0, len(m.bank.own))
	for currency := range m.bank.own {
		known = append(known, currency)
	}
	slices.Sort(known)
	if !slices.EqualFunc(have, known, func(o ownInCell, c uint16) bool { return o.currency == c }) {
		m.cellFault(r, bankCell, FieldAccount, fill("%d currencies beside the first", "另有%d个币种", len(have)), number(len(known)))
		return
	}
	for _, o := range have {
		m.sameSums(r, bankCell, FieldAccount, o.scheme, m.bank.own[o.currency].scheme)
		m.sameSums(r, bankCell, FieldAccount, o.funding, m.bank.own[o.currency].funding)
	}
}

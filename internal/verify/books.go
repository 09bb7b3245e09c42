package verify

import (
	"maps"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// books are a member's accounts, derived from rows alone.
type books struct {
	balances map[ledger.Account]ledger.Balance
	currency map[ledger.Account]uint16
	holds    map[uint64]*journal.Row
	wrong    *journal.Row // first row that moves money in a way that cannot be
}

func newBooks() *books {
	return &books{balances: map[ledger.Account]ledger.Balance{}, currency: map[ledger.Account]uint16{}, holds: map[uint64]*journal.Row{}}
}

// derive adds up all rows of a member.
func derive(m *Member) *books {
	b := newBooks()
	for i := range m.Rows {
		b.add(&m.Rows[i])
	}
	return b
}

func (b *books) add(r *journal.Row) {
	if r.Debit == 0 && r.Credit == 0 {
		return
	}
	held, posted := int64(0), int64(0)
	switch r.Phase {
	case ledger.Single:
		posted = r.Amount
	case ledger.Pending:
		held = r.Amount
		b.holds[r.Seq] = r
	case ledger.Post, ledger.Void:
		hold := b.holds[r.Resolves]
		if hold == nil || hold.Debit != r.Debit || hold.Credit != r.Credit || r.Amount > hold.Amount {
			b.fail(r)
			return
		}
		delete(b.holds, r.Resolves)
		if held = -hold.Amount; r.Phase == ledger.Post {
			posted = r.Amount
		}
	}
	if r.Amount <= 0 || r.Debit == r.Credit || !b.sameCurrency(r.Debit, r.Currency) || !b.sameCurrency(r.Credit, r.Currency) {
		b.fail(r)
	}
	debit, credit := b.balances[r.Debit], b.balances[r.Credit]
	debit.DebitsPending += held
	debit.DebitsPosted += posted
	credit.CreditsPending += held
	credit.CreditsPosted += posted
	b.balances[r.Debit], b.balances[r.Credit] = debit, credit
}

func (b *books) fail(r *journal.Row) {
	if b.wrong == nil {
		b.wrong = r
	}
}

func (b *books) sameCurrency(a ledger.Account, currency uint16) bool {
	if known, ok := b.currency[a]; ok {
		return known == currency
	}
	b.currency[a] = currency
	return currency != 0
}

// checkBalanced sums the books as the member shows them.
func checkBalanced(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		derived := derive(m)
		if r := derived.wrong; r != nil {
			return bad("%s %s: row %d moves money in a way that cannot be", "%s %s：第%d行的资金变动不成立", m.Role, m.Name, r.Seq)
		}
		posted, held := map[uint16]int64{}, map[uint16]int64{}
		for account, balance := range m.Balances {
			currency := derived.currency[account]
			posted[currency] += balance.DebitsPosted - balance.CreditsPosted
			held[currency] += balance.DebitsPending - balance.CreditsPending
		}
		for currency := range posted {
			if posted[currency] != 0 || held[currency] != 0 {
				return bad("%s %s: currency %03d: debits less credits are %d posted and %d held", "%s %s：币种%03d：借贷差额 已入账%d 冻结%d",
					m.Role, m.Name, currency, posted[currency], held[currency])
			}
		}
	}
	return true, good
}

// checkBalances compares the books as shown with what the rows add up to.
func checkBalances(s *Snapshot) (bool, glossary.Term) {
	for i := range s.Members {
		m := &s.Members[i]
		if m.Role != Issuer && m.Role != Acquirer {
			continue
		}
		derived := derive(m)
		accounts := map[ledger.Account]bool{}
		for account := range m.Balances {
			accounts[account] = true
		}
		for account := range derived.balances {
			accounts[account] = true
		}
		for _, account := range slices.Sorted(maps.Keys(accounts)) {
			if shown, added := m.Balances[account], derived.balances[account]; shown != added {
				return bad("%s %s: account %d shows %+v, the journal adds up to %+v", "%s %s：账户%d账面%+v，日志累计%+v", m.Role, m.Name, account, shown, added)
			}
		}
	}
	return true, good
}

// The issuer's chart of accounts: a card's own account and its purse follow from its number.
func cardAccount(card int64) ledger.Account  { return ledger.Account(1000 + 10*card) }
func purseAccount(card int64) ledger.Account { return cardAccount(card) + 1 }

// checkOverdraft walks through each issuer's rows: at no time may an account have less available than its credit line allows.
func checkOverdraft(s *Snapshot) (bool, glossary.Term) {
	for _, m := range s.of(Issuer) {
		b, cards := newBooks(), newCards()
		lines := map[ledger.Account]int64{}
		for i := range m.Rows {
			r := &m.Rows[i]
			b.add(r)
			if r.Kind == journal.Opened {
				if c := cards.take(r); c != nil {
					lines[cardAccount(c.Card)] = c.CreditMinor
				}
			}
			line, ours := lines[r.Debit]
			x := b.balances[r.Debit]
			if available := x.CreditsPosted - x.DebitsPosted - x.DebitsPending; ours && available < -line {
				return bad("%s %s: row %d leaves account %d with %d, the credit line is %d", "%s %s：第%d行使账户%d可用余额为%d，授信为%d",
					m.Role, m.Name, r.Seq, r.Debit, available, line)
			}
		}
	}
	return true, good
}

package acquirer

import (
	"fmt"
	"slices"

	"tapnet/internal/ledger"
)

// A merchant may be paid in other currencies than that of the books, as cards with a second purse pay offline [REF 1.3]. Each has accounts of its own, and
// nothing is converted. The totals of a batch are those of its terminal's currency alone: a settlement is in one currency [REF 6.1].

const (
	// elsewhere is the first account in another currency, and the number of its cell: behind all other cells, in rows of spread for each currency of Deps.
	elsewhere ledger.Account = 1<<39 + 1<<38
	spread    ledger.Account = 1 << 34
	// currenciesMost keeps them below the cells of what is open.
	currenciesMost = 16
)

// books are the accounts of one merchant and the scheme in one currency.
type books struct{ scheme, merchant, cash ledger.Account }

// keeps reports whether the acquirer's books have a currency.
func (d *Deps) keeps(currency uint16) bool {
	return currency == d.Currency || slices.Contains(d.Currencies, currency)
}

func (d *Deps) checkCurrencies() error {
	for i, currency := range d.Currencies {
		if currency == 0 || currency == d.Currency || slices.Contains(d.Currencies[:i], currency) || i >= currenciesMost {
			return fmt.Errorf("acquirer: currency %03d is none, used twice, or one too many", currency)
		}
	}
	return nil
}

// AccountIn is where an account of the first currency is kept in the currency at a place of Deps.Currencies.
func AccountIn(place int, account ledger.Account) ledger.Account {
	return elsewhere + ledger.Account(place)*spread + account
}

// booksOf are those of a terminal's merchant in a currency that the acquirer keeps.
func (a *Acquirer) booksOf(terminal string, currency uint16) books {
	merchant, cash := a.accounts(terminal)
	b := books{AccountScheme, merchant, cash}
	if i := slices.Index(a.deps.Currencies, currency); i >= 0 {
		base := elsewhere + ledger.Account(i)*spread
		b = books{base + b.scheme, base + b.merchant, base + b.cash}
	}
	return b
}

// isScheme reports whether an account is the scheme's, in whatever currency.
func isScheme(a ledger.Account) bool {
	return a == AccountScheme || a > elsewhere && (a-elsewhere)%spread == AccountScheme
}

// openElsewhere opens the accounts in other currencies.
func (s *state) openElsewhere(deps Deps) {
	for i, currency := range deps.Currencies {
		base := elsewhere + ledger.Account(i)*spread
		s.open(base+AccountScheme, ledger.AccountSpec{Name: "scheme", Currency: currency, Kind: ledger.Asset})
		for place, m := range deps.Merchants {
			at := base + ledger.Account(place)
			s.open(at+firstMerchant, ledger.AccountSpec{Name: "merchant " + m.Name, Currency: currency, Kind: ledger.Liability})
			s.open(at+firstCash, ledger.AccountSpec{Name: "cash of " + m.Name, Currency: currency, Kind: ledger.Asset})
		}
	}
}

// Earned is what a merchant has earned in a currency, less what was given back: for good, and while a payment may still be reversed. It belongs to the writer.
func (a *Acquirer) Earned(terminal string, currency uint16) (posted, pending int64) {
	b := a.state.book.Balance(a.booksOf(terminal, currency).merchant)
	return b.CreditsPosted - b.DebitsPosted, b.CreditsPending - b.DebitsPending
}

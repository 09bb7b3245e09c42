// Package ledger is a double-entry book in memory: accounts, balances, and transfers in two phases.
//
// It follows no standard; the payment flows it serves are those of [REF 6]. It promises that every change moves one
// amount of one currency from one account to another, that a refused transfer changes nothing, that amounts never
// wrap, that an account opened with NoOverdraft never has less than nothing available, and that the same transfers
// in the same order give the same book. It keeps no history (the journal does), knows no clock (an expired hold
// is voided by its role), and is not safe for use by several goroutines: its one writer owns it.
package ledger

import "tapnet/glossary"

// Account is the number of an account in one book. Zero is no account.
type Account int64

// Kind says which side of an account grows it.
type Kind uint8

// The kinds of account. Assets and expenses grow by debits, the others by credits.
const (
	Asset Kind = iota + 1
	Liability
	Equity
	Income
	Expense
)

var kindTerms = [...]glossary.Term{
	Asset:     {EN: "asset", ZH: "资产"},
	Liability: {EN: "liability", ZH: "负债"},
	Equity:    {EN: "equity", ZH: "所有者权益"},
	Income:    {EN: "income", ZH: "收入"},
	Expense:   {EN: "expense", ZH: "费用"},
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k >= Asset && k <= Expense }

// Term is the name of the kind in both languages.
func (k Kind) Term() glossary.Term {
	if !k.Valid() {
		return glossary.Term{EN: "unknown kind", ZH: "未知科目类别"}
	}
	return kindTerms[k]
}

// String is the English name.
func (k Kind) String() string { return k.Term().EN }

// debitNormal reports whether debits grow the account.
func (k Kind) debitNormal() bool { return k == Asset || k == Expense }

// Phase says what a transfer does with the money.
type Phase uint8

// The phases. Single moves at once; Pending holds; Post moves a hold, in whole or in part, and releases the rest;
// Void releases a hold.
const (
	Single Phase = iota
	Pending
	Post
	Void
)

var phaseTerms = [...]glossary.Term{
	Single:  {EN: "single", ZH: "单步"},
	Pending: {EN: "pending", ZH: "冻结"},
	Post:    {EN: "post", ZH: "入账"},
	Void:    {EN: "void", ZH: "撤销冻结"},
}

// Valid reports whether p is one of the phases above.
func (p Phase) Valid() bool { return p <= Void }

// Term is the name of the phase in both languages.
func (p Phase) Term() glossary.Term {
	if !p.Valid() {
		return glossary.Term{EN: "unknown phase", ZH: "未知阶段"}
	}
	return phaseTerms[p]
}

// String is the English name.
func (p Phase) String() string { return p.Term().EN }

// Transfer moves Amount minor units from one account's credit to another's debit: it adds Amount to the debits of
// Debit and to the credits of Credit.
//
// IDs rise from one applied transfer to the next; the journal's row number serves. Resolves names the hold that
// a Post or Void ends. A Post or Void may leave Debit, Credit and Currency zero to mean those of the hold; a Void may
// leave Amount zero as well.
type Transfer struct {
	ID       uint64
	Debit    Account
	Credit   Account
	Amount   int64
	Currency uint16 // ISO 4217 number
	Phase    Phase
	Resolves uint64
}

// AccountSpec is what is fixed about an account when it is opened. Currency is the ISO 4217 number. With NoOverdraft
// no transfer may take the account below zero, holds included: cardholder money.
type AccountSpec struct {
	Name        string
	Currency    uint16
	Kind        Kind
	NoOverdraft bool
}

// Balance is the four running sums of an account, in minor units, none below zero.
type Balance struct {
	DebitsPending  int64
	DebitsPosted   int64
	CreditsPending int64
	CreditsPosted  int64
}

// Hold is a pending transfer that is neither posted nor voided.
type Hold struct {
	ID       uint64
	Debit    Account
	Credit   Account
	Amount   int64
	Currency uint16
}

package verify

import (
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// What an acquirer's Requested row says a payment is about, in its numbers.
const (
	businessSale = iota
	businessOffline
	businessLastWord
	businessRefund
	businessLoad
	businessLoadOther
	businessLoadCash
	businessLoadCashVoid
	businessUnload
	businessBalance
	businessVoid
	businessSaleRefund
	businessPreAuth
	businessPreAuthVoid
	businessCompletion
	businessCompletionNote
	businessCompletionVoid
	businessPINChange
	businessPINUnblock
	lastBusiness = businessPINUnblock
)

// The acquirer's chart of accounts: merchants' accounts, and behind them what merchants owe for cash they took.
const (
	firstMerchant ledger.Account = 100
	firstCash     ledger.Account = 1 << 32
)

func isMerchant(a ledger.Account) bool { return a >= firstMerchant && a < firstCash }
func isCash(a ledger.Account) bool     { return a >= firstCash }

// cashBusiness is a cash load or its void: booked for good when the terminal says that the chip followed.
func cashBusiness(b uint16) bool { return b == businessLoadCash || b == businessLoadCashVoid }

// moneyOf holds the money of an acquirer's answer against what it is about. Merchants are paid for sales alone: a load is between a cardholder and the bank,
// and for a cash load the merchant owes what he took. It says what is wrong, nothing when nothing is.
func moneyOf(business uint16, approved bool, r *journal.Row) (en, zh string) {
	base := acquirerBase(r.Debit)
	debit, credit, scheme := r.Debit-base, r.Credit-base, ledger.Account(acquirerScheme)
	fits := r.Debit == 0 && r.Credit == 0 && r.Phase == ledger.Single
	if approved {
		switch business {
		case businessSale, businessCompletion:
			fits = debit == scheme && isMerchant(credit) && r.Phase == ledger.Pending
		case businessOffline, businessCompletionNote:
			fits = debit == scheme && isMerchant(credit) && r.Phase == ledger.Single
		case businessVoid, businessCompletionVoid:
			fits = isMerchant(debit) && credit == scheme && r.Phase == ledger.Pending
		case businessRefund, businessSaleRefund:
			fits = isMerchant(debit) && credit == scheme && r.Phase == ledger.Single
		case businessLoadCash:
			fits = isCash(debit) && credit == scheme && r.Phase == ledger.Pending
		case businessLoadCashVoid:
			fits = debit == scheme && isCash(credit) && r.Phase == ledger.Pending
		}
	}
	if fits {
		return "", ""
	}
	return "its money does not follow from its answer", "资金变动与应答不符"
}

// aboutPIN is a change of the PIN, or the chip's tries given back: no money.
func aboutPIN(b uint16) bool { return b == businessPINChange || b == businessPINUnblock }

// owed is what a payment means for what its merchant is owed, which is what tills and switches report: sales and completions raise it, voids and refunds lower
// it. A pre-authorization only holds money, and a load is between cardholder and bank.
func owed(business uint16) int64 {
	switch business {
	case businessSale, businessOffline, businessCompletion, businessCompletionNote:
		return 1
	case businessVoid, businessCompletionVoid, businessRefund, businessSaleRefund:
		return -1
	}
	return 0
}

// owedBySwitch is the same of a payment at a switch, whose rows do not say what it is about: its acquirer's do. Without those the class of its key tells a
// pre-authorization, and all else counts as sales.
func owedBySwitch(p *payCase, key string) int64 {
	switch a := &p.sides[theAcquirers]; {
	case a.begin != 0:
		return owed(a.business)
	case key == "" || key[len(key)-1] == classAuthorization:
		return 0
	}
	return 1
}

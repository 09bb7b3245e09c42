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
	lastBusiness = businessCompletionVoid
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
	scheme := ledger.Account(acquirerScheme)
	fits := r.Debit == 0 && r.Credit == 0 && r.Phase == ledger.Single
	if approved {
		switch business {
		case businessSale, businessCompletion:
			fits = r.Debit == scheme && isMerchant(r.Credit) && r.Phase == ledger.Pending
		case businessOffline, businessCompletionNote:
			fits = r.Debit == scheme && isMerchant(r.Credit) && r.Phase == ledger.Single
		case businessVoid, businessCompletionVoid:
			fits = isMerchant(r.Debit) && r.Credit == scheme && r.Phase == ledger.Pending
		case businessRefund, businessSaleRefund:
			fits = isMerchant(r.Debit) && r.Credit == scheme && r.Phase == ledger.Single
		case businessLoadCash:
			fits = isCash(r.Debit) && r.Credit == scheme && r.Phase == ledger.Pending
		case businessLoadCashVoid:
			fits = r.Debit == scheme && isCash(r.Credit) && r.Phase == ledger.Pending
		}
	}
	if fits {
		return "", ""
	}
	return "its money does not follow from its answer", "资金变动与应答不符"
}

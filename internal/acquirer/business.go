package acquirer

import (
	"slices"

	"tapnet/glossary"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// Business is what a terminal's request is about: it decides who owes whom when it is approved, and whether the merchant may do it at all.
type Business uint8

// The kinds of business. The numbers are stored.
const (
	Sale             Business = iota
	OfflineSale               // the chip has paid: repeated until it is answered, never reversed
	CardsLastWord             // advice about the second cryptogram of an approved payment, or about one the card declined
	PurseRefund               // of an offline sale, to the cardholder's account
	Load                      // of electronic cash, from the designated account
	LoadOther                 // from another account
	LoadCash                  // the merchant has taken cash for it
	LoadCashVoid              // and gives it back
	Unload                    // at closing
	BalanceInquiry            //
	Void                      // of a sale, in its batch
	Refund                    // of a sale or a completion, in whole or in part
	PreAuth                   // money is held; the merchant is owed nothing yet
	PreAuthCancel             // and let go
	Completion                // or taken: now the merchant is owed
	CompletionNotice          // the same, told instead of asked
	CompletionVoid            // and given back, in its batch
	PINChange                 // of the chip and of the account, by a script of the issuer
	PINUnblock                // of the chip
	Unknown          Business = 255
)

// kindOfBusiness is how a request says what it is [REF 6.1] [REF 5].
type kindOfBusiness struct {
	business   Business
	processing unionpay.ProcessingCode
	kind       unionpay.MessageType
	advice     bool
	authorize  bool
	name       glossary.Term
}

var businesses = [...]kindOfBusiness{
	{Sale, unionpay.ProcessingSale, unionpay.KindSale, false, false, glossary.Term{EN: "sale", ZH: "消费"}},
	{OfflineSale, unionpay.ProcessingSale, unionpay.KindOfflineUpload, false, false, glossary.Term{EN: "offline sale", ZH: "脱机消费"}},
	{CardsLastWord, unionpay.ProcessingSale, unionpay.KindSale, true, false, glossary.Term{EN: "the card's last word", ZH: "卡片最终结果通知"}},
	{PurseRefund, unionpay.ProcessingVoid, unionpay.KindOfflineRefund, true, false, glossary.Term{EN: "refund of an offline sale", ZH: "脱机退货"}},
	{Load, unionpay.ProcessingLoad, unionpay.KindLoad, false, false, glossary.Term{EN: "load", ZH: "指定账户圈存"}},
	{LoadOther, unionpay.ProcessingLoadOther, unionpay.KindLoadOther, false, false, glossary.Term{EN: "load from another account", ZH: "非指定账户圈存"}},
	{LoadCash, unionpay.ProcessingLoadCash, unionpay.KindLoadCash, false, false, glossary.Term{EN: "cash load", ZH: "现金充值"}},
	{LoadCashVoid, unionpay.ProcessingLoadCashCancel, unionpay.KindLoadCashCancel, false, false, glossary.Term{EN: "void of a cash load", ZH: "现金充值撤销"}},
	{Unload, unionpay.ProcessingUnload, unionpay.KindUnload, false, false, glossary.Term{EN: "unload", ZH: "圈提"}},
	{BalanceInquiry, unionpay.ProcessingBalance, unionpay.KindBalance, false, false, glossary.Term{EN: "balance inquiry", ZH: "余额查询"}},
	{Void, unionpay.ProcessingVoid, unionpay.KindVoid, false, false, glossary.Term{EN: "void", ZH: "消费撤销"}},
	{Refund, unionpay.ProcessingVoid, unionpay.KindRefund, true, false, glossary.Term{EN: "refund", ZH: "退货"}},
	{PreAuth, unionpay.ProcessingPreAuth, unionpay.KindPreAuth, false, true, glossary.Term{EN: "pre-authorization", ZH: "预授权"}},
	{PreAuthCancel, unionpay.ProcessingVoid, unionpay.KindPreAuthCancel, false, true, glossary.Term{EN: "pre-authorization void", ZH: "预授权撤销"}},
	{Completion, unionpay.ProcessingSale, unionpay.KindCompletion, false, false, glossary.Term{EN: "completion", ZH: "预授权完成"}},
	{CompletionNotice, unionpay.ProcessingSale, unionpay.KindCompletionNote, true, false, glossary.Term{EN: "completion notice", ZH: "预授权完成通知"}},
	{CompletionVoid, unionpay.ProcessingVoid, unionpay.KindCompletionVoid, false, false, glossary.Term{EN: "completion void", ZH: "预授权完成撤销"}},
	{PINChange, unionpay.ProcessingPINChange, unionpay.KindPINChange, false, false, glossary.Term{EN: "PIN change", ZH: "修改密码"}},
	{PINUnblock, unionpay.ProcessingPINUnblock, unionpay.KindPINUnblock, false, false, glossary.Term{EN: "PIN unblock", ZH: "密码解锁"}},
}

// Term names the business.
func (b Business) Term() glossary.Term {
	for _, row := range businesses {
		if row.business == b {
			return row.name
		}
	}
	return glossary.Term{EN: "another business", ZH: "其他交易"}
}

// BusinessOf is what a request is about; Unknown when the acquirer does not do it.
func BusinessOf(m *unionpay.FinancialRequest) Business {
	for _, row := range businesses {
		if row.processing == m.Processing && row.kind == m.Info.MessageType && row.advice == m.Advice && row.authorize == m.Authorization {
			return row.business
		}
	}
	return Unknown
}

// persists tells a request of which the sender cannot take back what it tells: it is never reversed but repeated until it is answered [REF 5].
func persists(m *unionpay.FinancialRequest) bool {
	return m.Advice || m.Info.MessageType == unionpay.KindOfflineUpload
}

// persists is the same of what a row says.
func (b Business) persists() bool {
	switch b {
	case OfflineSale, CardsLastWord, PurseRefund, Refund, CompletionNotice:
		return true
	}
	return false
}

// names tells a business that is about an earlier payment of the same terminal, which it must name.
func (b Business) names() bool { return len(origins[b].of) > 0 }

// origin is what a business may follow, and with how much of its amount, in per cent; most 0: with exactly that.
type origin struct {
	of   []Business
	most int64
}

// completionPercent is what may be taken of a pre-authorization: 15 per cent more, for tips and the mini-bar. Practice of the trade.
const completionPercent = 115

var origins = map[Business]origin{
	LoadCashVoid:     {of: []Business{LoadCash}},
	PurseRefund:      {[]Business{OfflineSale}, 100},
	Void:             {of: []Business{Sale}},
	Refund:           {[]Business{Sale, Completion, CompletionNotice}, 100},
	PreAuthCancel:    {of: []Business{PreAuth}},
	Completion:       {[]Business{PreAuth}, completionPercent},
	CompletionNotice: {[]Business{PreAuth}, completionPercent},
	CompletionVoid:   {of: []Business{Completion}},
}

// follows refuses a request whose original is not one that it may follow: whether that one still stands, its issuer knows. What the slip says of it must agree.
func (b Business) follows(m *unionpay.FinancialRequest, original *payment) unionpay.ResponseCode {
	o := origins[b]
	switch {
	case len(o.of) == 0:
		return ""
	case !slices.Contains(o.of, original.business) || b != LoadCashVoid && b != PurseRefund && !original.approved():
		return unionpay.OriginalNotFound
	case m.RRN != "" && m.RRN != original.rrn, m.AuthCode != "" && len(original.answer) > 0 && m.AuthCode != original.given().AuthCode:
		return unionpay.OriginalNotFound
	case o.most == 0 && m.Amount.Minor() != original.amount, o.most > 0 && m.Amount.Minor() > original.amount*o.most/100:
		return unionpay.AmountMismatch
	}
	return ""
}

// amountless tells a business without an amount.
func (b Business) amountless() bool { return b == BalanceInquiry || b == PINChange || b == PINUnblock }

// changesPurse tells a business whose money moves for good when the terminal knows what the chip made of the answer.
func (b Business) changesPurse() bool { return b == LoadCash || b == LoadCashVoid }

// money is what an approval of the business moves between the acquirer's own accounts; nothing when it only passes on: a load is between the cardholder and the
// bank, and no merchant is paid for it.
func (b Business) money(in books) (debit, credit ledger.Account, phase ledger.Phase) {
	switch b {
	case Sale:
		return in.scheme, in.merchant, ledger.Pending
	case OfflineSale:
		return in.scheme, in.merchant, ledger.Single
	case PurseRefund, Refund:
		return in.merchant, in.scheme, ledger.Single
	case Completion:
		return in.scheme, in.merchant, ledger.Pending
	case CompletionNotice:
		return in.scheme, in.merchant, ledger.Single
	case Void, CompletionVoid:
		return in.merchant, in.scheme, ledger.Pending
	case LoadCash: // the merchant has the cash and owes it
		return in.cash, in.scheme, ledger.Pending
	case LoadCashVoid:
		return in.scheme, in.cash, ledger.Pending
	}
	return 0, 0, ledger.Single
}

// CategoryRule says what merchants of some categories may do. Rules are asked in order; the first that names the category counts, and one without categories
// counts for all.
type CategoryRule struct {
	Categories []string // merchant category codes, field 18
	May        []Business
}

var (
	everyday = []Business{Sale, OfflineSale, CardsLastWord, PurseRefund, BalanceInquiry, Void, Refund, PreAuth, PreAuthCancel, Completion, CompletionNotice,
		CompletionVoid}
	loading = append(slices.Clone(everyday), Load, LoadOther)
	counter = append(slices.Clone(loading), LoadCash, LoadCashVoid)
	machine = append(slices.Clone(counter), PINChange, PINUnblock)
	branch  = append(slices.Clone(machine), Unload)
)

// DefaultRules are the practice of the trade: cash becomes electronic cash only at banks and their agents, a purse is closed only at a bank's counter, and
// nobody loads a purse where money is gambled. A PIN is changed
// where a bank is responsible for the machine. Sources name the rule, not the codes: the list is ours.
func DefaultRules() []CategoryRule {
	return []CategoryRule{
		{Categories: []string{"6010", "6012"}, May: branch},          // banks' counters
		{Categories: []string{"6011"}, May: machine},                 // cash machines
		{Categories: []string{"4829", "6050", "6540"}, May: counter}, // transfer agents, top-up agents
		{Categories: []string{"7995", "7800", "7801", "7802"}, May: everyday},
		{May: loading},
	}
}

// may reports whether merchants of a category do this business.
func may(rules []CategoryRule, category string, b Business) bool {
	for _, rule := range rules {
		if len(rule.Categories) == 0 || slices.Contains(rule.Categories, category) {
			return slices.Contains(rule.May, b)
		}
	}
	return false
}

package ledger

import "tapnet/glossary"

// Code is the outcome of a transfer: OK, or the first rule it breaks. The numbers stand in order of precedence: when a
// transfer breaks several rules it is refused with the lowest.
type Code uint8

// The refusals. First the shape of the transfer, then its accounts, its hold, and last the balances.
const (
	OK Code = iota
	IDMissing
	PhaseUnknown
	ResolvesMissing
	ResolvesUnexpected
	AmountNotPositive
	CurrencyMissing
	AccountsSame
	IDNotRising
	HoldUnknown
	HoldAccounts
	HoldCurrency
	HoldExceeded
	VoidAmount
	DebitUnknown
	CreditUnknown
	DebitCurrency
	CreditCurrency
	SumTooLarge
	DebitOverdrawn
	CreditOverdrawn
	// The refusals of Open.
	AccountMissing
	SpecInvalid
	AccountDiffers
)

type codeText struct {
	name string
	term glossary.Term
}

var codes = [...]codeText{
	OK:                 {"ok", glossary.Term{EN: "done", ZH: "成功"}},
	IDMissing:          {"id_missing", glossary.Term{EN: "the transfer has no id", ZH: "转账没有编号"}},
	PhaseUnknown:       {"phase_unknown", glossary.Term{EN: "the phase is not known", ZH: "转账阶段未知"}},
	ResolvesMissing:    {"resolves_missing", glossary.Term{EN: "a post or void names no hold", ZH: "入账或撤销未指明冻结"}},
	ResolvesUnexpected: {"resolves_unexpected", glossary.Term{EN: "only a post or void names a hold", ZH: "只有入账或撤销才可指明冻结"}},
	AmountNotPositive:  {"amount_not_positive", glossary.Term{EN: "the amount is not above zero", ZH: "金额必须大于零"}},
	CurrencyMissing:    {"currency_missing", glossary.Term{EN: "the transfer has no currency", ZH: "转账没有币种"}},
	AccountsSame:       {"accounts_same", glossary.Term{EN: "debit and credit are the same account", ZH: "借贷为同一账户"}},
	IDNotRising:        {"id_not_rising", glossary.Term{EN: "the id is not above the last one applied", ZH: "编号不大于上一笔"}},
	HoldUnknown:        {"hold_unknown", glossary.Term{EN: "no open hold has this id", ZH: "没有此编号的未决冻结"}},
	HoldAccounts:       {"hold_accounts", glossary.Term{EN: "the hold is on other accounts", ZH: "冻结的账户不符"}},
	HoldCurrency:       {"hold_currency", glossary.Term{EN: "the hold is in another currency", ZH: "冻结的币种不符"}},
	HoldExceeded:       {"hold_exceeded", glossary.Term{EN: "the amount is above the hold", ZH: "金额超过冻结金额"}},
	VoidAmount:         {"void_amount", glossary.Term{EN: "a void is of the whole hold", ZH: "撤销必须为全部冻结金额"}},
	DebitUnknown:       {"debit_unknown", glossary.Term{EN: "the debit account is not open", ZH: "借方账户不存在"}},
	CreditUnknown:      {"credit_unknown", glossary.Term{EN: "the credit account is not open", ZH: "贷方账户不存在"}},
	DebitCurrency:      {"debit_currency", glossary.Term{EN: "the debit account has another currency", ZH: "借方账户币种不符"}},
	CreditCurrency:     {"credit_currency", glossary.Term{EN: "the credit account has another currency", ZH: "贷方账户币种不符"}},
	SumTooLarge:        {"sum_too_large", glossary.Term{EN: "a balance would grow too large", ZH: "余额将超出上限"}},
	DebitOverdrawn:     {"debit_overdrawn", glossary.Term{EN: "the debit account has too little available", ZH: "借方账户可用余额不足"}},
	CreditOverdrawn:    {"credit_overdrawn", glossary.Term{EN: "the credit account has too little available", ZH: "贷方账户可用余额不足"}},
	AccountMissing:     {"account_missing", glossary.Term{EN: "the account has no number", ZH: "账户没有编号"}},
	SpecInvalid:        {"spec_invalid", glossary.Term{EN: "the account has no kind or no currency", ZH: "账户没有类别或币种"}},
	AccountDiffers:     {"account_differs", glossary.Term{EN: "the account is open with other rules", ZH: "账户已按其他规则开立"}},
}

// Term says what was wrong, in both languages.
func (c Code) Term() glossary.Term {
	if int(c) >= len(codes) {
		return glossary.Term{EN: "unknown refusal", ZH: "未知拒绝原因"}
	}
	return codes[c].term
}

// String is a short fixed name, for logs and tests.
func (c Code) String() string {
	if int(c) >= len(codes) {
		return "unknown"
	}
	return codes[c].name
}

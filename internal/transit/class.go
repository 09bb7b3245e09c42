package transit

import (
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
)

// Class is what an answer of the acquirer means for a debt.
type Class uint8

// Classes.
const (
	ClassApproved Class = iota + 1
	ClassFunds          // there is no money now, or a limit is reached: try again by the calendar, deny until paid
	ClassSystem         // a machine or a line in trouble: try again by the calendar, the rider has done nothing
	ClassCard           // this card will not pay again: do not try, deny
	ClassOurs           // the operator's own mistake or contract: try again by the calendar, and tell the operator
	classEnd
)

var classTerms = [classEnd]glossary.Term{
	ClassApproved: {EN: "approved", ZH: "批准"},
	ClassFunds:    {EN: "no money now: tried again by the calendar, on the deny list until paid", ZH: "暂时扣款失败：按日历重试，付清前列入黑名单"},
	ClassSystem:   {EN: "a system in trouble: tried again by the calendar", ZH: "系统故障：按日历重试"},
	ClassCard:     {EN: "the card cannot pay: not tried again, on the deny list", ZH: "卡片不可用：不再重试，列入黑名单"},
	ClassOurs:     {EN: "the operator's own fault: tried again by the calendar, the operator is told", ZH: "运营方原因：按日历重试并通知运营方"},
}

// Term says what the class means.
func (c Class) Term() glossary.Term {
	if c == 0 || c >= classEnd {
		return glossary.Term{}
	}
	return classTerms[c]
}

// String is the class in English.
func (c Class) String() string { return c.Term().EN }

// ruling is one line of the table of answers. stop is the reason on the deny list.
type ruling struct {
	class Class
	stop  denylist.Reason
	codes []unionpay.ResponseCode
}

// rulings put every response code [REF 6.2] into one class. Which codes a scheme lets an operator try again is its rule book's; this table is ours.
var rulings = []ruling{
	{ClassFunds, denylist.Debt, []unionpay.ResponseCode{
		unionpay.CallIssuer, unionpay.DoNotHonour, unionpay.InsufficientFunds, unionpay.AmountLimit, unionpay.FrequencyLimit, unionpay.WrongPIN,
		unionpay.PINTriesExceeded, unionpay.AccountWrong, unionpay.InvalidAmount,
	}},
	{ClassSystem, denylist.Debt, []unionpay.ResponseCode{
		unionpay.GeneralError, unionpay.SuspectedMalfunction, unionpay.ResponseLate, unionpay.CutOverInProgress, unionpay.IssuerInoperative,
		unionpay.NetworkUnreachable, unionpay.SystemFault, unionpay.IssuerTimeout, unionpay.SwitchPINKeyFault, unionpay.Cancelled, unionpay.PINFormatError,
		unionpay.MACError, unionpay.DuplicateTransmission,
	}},
	{ClassOurs, denylist.Debt, []unionpay.ResponseCode{
		unionpay.InvalidMerchant, unionpay.InvalidTransaction, unionpay.OriginalNotFound, unionpay.FormatError, unionpay.FunctionUnsupported,
		unionpay.FallbackNotAllowed, unionpay.NotPermittedToTerminal, unionpay.AmountMismatch, unionpay.TerminalNotRegistered, unionpay.CurrencyMismatch,
	}},
	{ClassCard, denylist.Counterfeit, []unionpay.ResponseCode{unionpay.SuspectedFraud, unionpay.FraudPickUp}},
	{ClassCard, denylist.Stolen, []unionpay.ResponseCode{unionpay.StolenCard}},
	{ClassCard, denylist.Lost, []unionpay.ResponseCode{unionpay.LostCard}},
	{ClassCard, denylist.Closed, []unionpay.ResponseCode{
		unionpay.PickUp, unionpay.InvalidCardNumber, unionpay.NoSuchIssuer, unionpay.CardNotInitialised, unionpay.PINTriesExceededPickUp,
		unionpay.ExpiredCard, unionpay.NotPermittedToCard, unionpay.RestrictedCard,
	}},
}

// ClassOf gives the class of an answer, and the reason on the deny list for one that stops the card. A code nobody knows is a system in trouble.
func ClassOf(code unionpay.ResponseCode) (Class, denylist.Reason) {
	if code.Approved() {
		return ClassApproved, 0
	}
	for _, r := range rulings {
		for _, c := range r.codes {
			if c == code {
				return r.class, r.stop
			}
		}
	}
	return ClassSystem, denylist.Debt
}

package terminal

import (
	"context"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/kernel/contact"
)

// Cause is whose fault a failed payment is.
type Cause uint8

// Causes. CauseNone: nothing failed.
const (
	CauseNone       Cause = iota
	CauseCard             // what the issuer put on it, its state, its limits
	CauseCarrier          // how it reaches the reader: position, contacts, antenna, phone settings
	CauseTerminal         // the device: its reader, PIN pad, what it can do
	CauseParameters       // what the acquirer set: limits, AIDs, CA keys, action codes
	CauseNetwork          // the way to the issuer
	CauseHost             // the issuer or the acquirer has decided
	CauseHolder           // the cardholder: PIN, money, wishes
	causeCount
)

var causeTerms = [causeCount]glossary.Term{
	CauseNone:       {EN: "nothing failed", ZH: "无故障"},
	CauseCard:       {EN: "the card", ZH: "卡片"},
	CauseCarrier:    {EN: "the carrier: position, contacts or phone settings", ZH: "卡片载体（位置、触点或手机设置）"},
	CauseTerminal:   {EN: "the terminal", ZH: "终端"},
	CauseParameters: {EN: "the terminal's parameters", ZH: "终端参数"},
	CauseNetwork:    {EN: "the network", ZH: "网络"},
	CauseHost:       {EN: "the host", ZH: "主机"},
	CauseHolder:     {EN: "the cardholder", ZH: "持卡人"},
}

// Term names the cause.
func (c Cause) Term() glossary.Term {
	if c >= causeCount {
		return causeTerms[CauseNone]
	}
	return causeTerms[c]
}

// String is the cause in English.
func (c Cause) String() string { return c.Term().EN }

// Diagnosis says of a payment whose fault it was that it failed, why, and what to do next.
type Diagnosis struct {
	Cause Cause
	Why   glossary.Term
	Next  glossary.Term
}

// tapCauses is the table for taps. A reason that is not in it failed nothing.
var tapCauses = map[kernel.Reason]Cause{
	kernel.ReasonCardAnswerMalformed: CauseCard, kernel.ReasonNotThisKernel: CauseCard, kernel.ReasonSeePhone: CauseHolder,
	kernel.ReasonPINBlocked: CauseCard, kernel.ReasonCardRefused: CauseCard, kernel.ReasonFullDialogue: CauseTerminal,
	kernel.ReasonMissingData: CauseCard, kernel.ReasonDuplicateData: CauseCard, kernel.ReasonContradictoryData: CauseCard,
	kernel.ReasonTooManyRecords: CauseCard, kernel.ReasonRecordRefused: CauseCard, kernel.ReasonCardDeclined: CauseCard,
	kernel.ReasonOnlineNotPossible: CauseNetwork, kernel.ReasonUnaskedApproval: CauseCard, kernel.ReasonExpired: CauseCard,
	kernel.ReasonExceptionFile: CauseParameters, kernel.ReasonNoCVM: CauseTerminal, kernel.ReasonODAFailed: CauseCard,
	kernel.ReasonODAFailedSwitch: CauseCard, kernel.ReasonCardRemoved: CauseCarrier, kernel.ReasonTorn: CauseCarrier,
	kernel.ReasonAmountTooHigh: CauseParameters, kernel.ReasonZeroAmount: CauseParameters, kernel.ReasonNoDirectory: CauseCarrier,
	kernel.ReasonCardBlocked: CauseCard, kernel.ReasonNoCommonApplication: CauseParameters, kernel.ReasonApplicationBlocked: CauseCard,
	kernel.ReasonOtherCard: CauseHolder, kernel.ReasonInterrupted: CauseCarrier,
}

// insertCauses is the table for insertions.
var insertCauses = map[contact.Reason]Cause{
	contact.ReasonCardAnswerMalformed: CauseCard, contact.ReasonCardBlocked: CauseCard, contact.ReasonNoCommonApplication: CauseParameters,
	contact.ReasonApplicationBlocked: CauseCard, contact.ReasonCancelled: CauseHolder, contact.ReasonCardRefused: CauseCard,
	contact.ReasonMissingData: CauseCard, contact.ReasonDuplicateData: CauseCard, contact.ReasonContradictoryData: CauseCard,
	contact.ReasonTooManyRecords: CauseCard, contact.ReasonRecordRefused: CauseCard, contact.ReasonCommandRefused: CauseCard,
	contact.ReasonUnaskedCryptogram: CauseCard, contact.ReasonTerminalDeclined: CauseParameters, contact.ReasonCardDeclined: CauseCard,
	contact.ReasonServiceNotAllowed: CauseCard, contact.ReasonODAFailed: CauseCard, contact.ReasonHostSilent: CauseNetwork,
	contact.ReasonIssuerDeclined: CauseHost, contact.ReasonCardDeclinedHost: CauseHost, contact.ReasonCardRemoved: CauseCarrier,
	contact.ReasonTorn: CauseCarrier, contact.ReasonRemovedAfterHost: CauseCarrier, contact.ReasonNoPurse: CauseCard,
	contact.ReasonAboveBalanceLimit: CauseHolder, contact.ReasonBelowBalance: CauseHolder, contact.ReasonNothingToUnload: CauseHolder,
	contact.ReasonPINNeeded: CauseHolder, contact.ReasonNotLoaded: CauseCard, contact.ReasonLoadUnknown: CauseCarrier,
	contact.ReasonPINWrong: CauseHolder, contact.ReasonOtherCard: CauseHolder, contact.ReasonNotPaid: CauseCarrier, contact.ReasonPaidWithoutProof: CauseCarrier,
}

// Diagnose reads the outcome of a tap.
func Diagnose(o *kernel.Outcome) Diagnosis {
	d := Diagnosis{Cause: tapCauses[o.Reason], Why: joined(o.Reason.Term(), o.Detail), Next: o.Reason.Next()}
	if o.Reason == kernel.ReasonODAFailed || o.Reason == kernel.ReasonODAFailedSwitch {
		d.authentication(o.ODA)
	}
	return d
}

// DiagnoseInsert reads the outcome of an insertion.
func DiagnoseInsert(o *contact.Outcome) Diagnosis {
	d := Diagnosis{Cause: insertCauses[o.Reason], Why: joined(o.Reason.Term(), o.Detail), Next: o.Reason.Next()}
	switch o.Reason {
	case contact.ReasonODAFailed:
		d.authentication(o.ODA)
	case contact.ReasonTerminalDeclined:
		d.findings(o)
	case contact.ReasonIssuerDeclined:
		arc := string(o.Data.Get(emv.TagARC))
		response := DiagnoseResponse(arc)
		d.Cause, d.Why, d.Next = response.Cause, joined(o.Reason.Term(), response.Why), response.Next
	}
	return d
}

func joined(why, detail glossary.Term) glossary.Term {
	if detail.EN == "" {
		return why
	}
	return glossary.Term{EN: why.EN + ": " + detail.EN, ZH: why.ZH + "：" + detail.ZH}
}

var nextDownload = glossary.Term{EN: "Download the CA keys again; if the card's index stays unknown, tell the acquirer.",
	ZH: "请重新下载认证中心公钥；若仍无该索引，请联系收单机构。"}

// authentication tells a card that is forged or old from a terminal without the key.
func (d *Diagnosis) authentication(r kernel.ODAResult) {
	if r.Failure == nil {
		return
	}
	d.Why = joined(d.Why, glossary.Term{})
	if r.Failure.Step == oda.StepCAKey {
		d.Cause, d.Next = CauseParameters, nextDownload
	}
}

// findings looks for the check that ruled a payment out, the first that says whose fault it is.
func (d *Diagnosis) findings(o *contact.Outcome) {
	switch {
	case o.ODA.Failure != nil && o.ODA.Failure.Step == oda.StepCAKey:
		d.Cause, d.Next = CauseParameters, nextDownload
	case o.ODA.Status == kernel.ODAFailed, o.TVR.Has(emv.TVRExpired), o.TVR.Has(emv.TVRNotYetEffective), o.TVR.Has(emv.TVRServiceNotAllowed),
		o.TVR.Has(emv.TVRICCDataMissing):
		d.Cause = CauseCard
	case o.TVR.Has(emv.TVRPINPadMissing):
		d.Cause = CauseTerminal
		d.Next = glossary.Term{EN: "Connect or replace the PIN pad.", ZH: "请连接或更换密码键盘。"}
	case o.TVR.Has(emv.TVRPINNotEntered), o.TVR.Has(emv.TVRPINTriesExceeded), o.TVR.Has(emv.TVRCVMFailed):
		d.Cause = CauseHolder
		d.Next = glossary.Term{EN: "Ask for the PIN again, or pay with another card.", ZH: "请重新输入密码，或换卡支付。"}
	}
}

// DiagnoseError reads the error that came instead of an outcome, or with it.
func DiagnoseError(err error) Diagnosis {
	why := glossary.Term{EN: fmt.Sprint(err), ZH: fmt.Sprint(err)}
	switch {
	case err == nil:
		return Diagnosis{Why: causeTerms[CauseNone]}
	case errors.Is(err, ErrNoCard):
		return Diagnosis{CauseCarrier, glossary.Term{EN: "there is no card in the reader", ZH: "读卡器中没有卡片"},
			glossary.Term{EN: "Insert the card with the chip first, or hold it flat to the reader.", ZH: "请将芯片端朝前插卡，或将卡片平贴读卡区。"}}
	case errors.Is(err, apdu.ErrCardLost):
		return Diagnosis{CauseCarrier, kernel.ReasonCardRemoved.Term(), kernel.ReasonCardRemoved.Next()}
	case errors.Is(err, ErrConfig), errors.Is(err, contact.ErrConfig), errors.Is(err, ErrRequest):
		return Diagnosis{CauseParameters, why, glossary.Term{EN: "Correct the terminal's parameters or the request.", ZH: "请更正终端参数或交易请求。"}}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Diagnosis{CauseNetwork, glossary.Term{EN: "no answer came in time", ZH: "未在时限内得到应答"},
			glossary.Term{EN: "Check the terminal's line and the host, then try again.", ZH: "请检查终端通讯及主机后重试。"}}
	}
	return Diagnosis{CauseTerminal, why, glossary.Term{EN: "Check the reader and its driver; run the doctor command.", ZH: "请检查读卡器及其驱动，并运行自检命令。"}}
}

// responses is what the host's response codes mean for the person at the counter [REF 6.2]. Codes not listed are the issuer's
// decision.
var responses = map[string]Diagnosis{
	"03": {CauseParameters, glossary.Term{EN: "the merchant is not known", ZH: "商户未登记"}, glossary.Term{EN: "Ask the acquirer about the merchant number.", ZH: "请向收单机构核实商户号。"}},
	"97": {CauseParameters, glossary.Term{EN: "the terminal is not registered", ZH: "终端未登记"}, glossary.Term{EN: "Ask the acquirer about the terminal number.", ZH: "请向收单机构核实终端号。"}},
	"58": {CauseParameters, glossary.Term{EN: "this terminal may not do this transaction", ZH: "终端无此交易权限"}, glossary.Term{EN: "Ask the acquirer to permit it.", ZH: "请向收单机构申请开通。"}},
	"A0": {CauseParameters, glossary.Term{EN: "the message's MAC is wrong", ZH: "报文校验错"}, glossary.Term{EN: "Sign on again.", ZH: "请重新签到。"}},
	"99": {CauseParameters, glossary.Term{EN: "the PIN block is wrong", ZH: "密码格式错"}, glossary.Term{EN: "Sign on again.", ZH: "请重新签到。"}},
	"91": {CauseNetwork, glossary.Term{EN: "the issuer cannot be reached", ZH: "发卡行状态不正常"}, glossary.Term{EN: "Try again later, or pay with another card.", ZH: "请稍后重试，或换卡支付。"}},
	"92": {CauseNetwork, glossary.Term{EN: "there is no route to the issuer", ZH: "网络暂时无法到达"}, glossary.Term{EN: "Try again later, or pay with another card.", ZH: "请稍后重试，或换卡支付。"}},
	"98": {CauseNetwork, glossary.Term{EN: "the issuer did not answer in time", ZH: "发卡行超时"}, glossary.Term{EN: "Try again later, or pay with another card.", ZH: "请稍后重试，或换卡支付。"}},
	"68": {CauseNetwork, glossary.Term{EN: "the answer came too late", ZH: "应答迟到"}, glossary.Term{EN: "Try again.", ZH: "请重试。"}},
	"96": {CauseHost, glossary.Term{EN: "the switch has a fault", ZH: "交换中心异常"}, glossary.Term{EN: "Try again later.", ZH: "请稍后重试。"}},
	"51": {CauseHolder, glossary.Term{EN: "the account does not hold enough", ZH: "余额不足"}, glossary.Term{EN: "Pay a smaller amount or with another card.", ZH: "请减少金额或换卡支付。"}},
	"55": {CauseHolder, glossary.Term{EN: "the PIN is wrong", ZH: "密码错误"}, glossary.Term{EN: "Start again and enter the right PIN.", ZH: "请重新交易并输入正确密码。"}},
	"38": {CauseHolder, glossary.Term{EN: "too many wrong PINs", ZH: "密码错误次数超限"}, glossary.Term{EN: "Pay with another card, and ask the issuer about this one.", ZH: "请换卡支付，并联系发卡行。"}},
	"75": {CauseHolder, glossary.Term{EN: "too many wrong PINs", ZH: "密码错误次数超限"}, glossary.Term{EN: "Pay with another card, and ask the issuer about this one.", ZH: "请换卡支付，并联系发卡行。"}},
	"61": {CauseHolder, glossary.Term{EN: "the amount is above the card's limit", ZH: "超出金额限制"}, glossary.Term{EN: "Pay a smaller amount or with another card.", ZH: "请减少金额或换卡支付。"}},
	"54": {CauseCard, glossary.Term{EN: "the card has expired", ZH: "卡片已过期"}, glossary.Term{EN: "Use the replacement card.", ZH: "请使用换发的新卡。"}},
	"14": {CauseCard, glossary.Term{EN: "the issuer does not know this card", ZH: "无效卡号"}, glossary.Term{EN: "Pay with another card.", ZH: "请换卡支付。"}},
	"41": {CauseCard, glossary.Term{EN: "the card is reported lost", ZH: "挂失卡"}, glossary.Term{EN: "Keep the card and call the acquirer.", ZH: "请没收卡片并联系收单机构。"}},
	"43": {CauseCard, glossary.Term{EN: "the card is reported stolen", ZH: "被窃卡"}, glossary.Term{EN: "Keep the card and call the acquirer.", ZH: "请没收卡片并联系收单机构。"}},
	"62": {CauseCard, glossary.Term{EN: "the card is restricted", ZH: "受限制的卡"}, glossary.Term{EN: "Pay with another card, and ask the issuer about this one.", ZH: "请换卡支付，并联系发卡行。"}},
	"57": {CauseCard, glossary.Term{EN: "this card may not do this transaction", ZH: "卡片不允许该交易"}, glossary.Term{EN: "Pay with another card.", ZH: "请换卡支付。"}},
}

// DiagnoseAnswer reads the issuer's answer to a payment of a card with an application. A purse that stands alone has no account: a till that goes online
// for every amount asks its issuer for money that is on the chip.
func DiagnoseAnswer(code string, application emv.AID) Diagnosis {
	if code == noFunds && application == emv.AIDElectronicCash {
		return Diagnosis{CauseTerminal,
			glossary.Term{EN: "the card is a purse without an account: only its chip can pay, offline, and this till asked the issuer",
				ZH: "此卡为纯电子现金卡，没有可联机扣款的账户，只能由芯片脱机支付，而本终端发起了联机"},
			glossary.Term{EN: "Pay at a till that takes electronic cash offline, within the purse's balance; load the purse when it holds too little.",
				ZH: "请到支持电子现金脱机消费的终端支付，金额不超过卡内余额；余额不足请先圈存。"}}
	}
	return DiagnoseResponse(code)
}

// noFunds is the answer to a payment that the account does not cover [REF 6.2].
const noFunds = "51"

// DiagnoseResponse reads a response code, two characters of field 39.
func DiagnoseResponse(code string) Diagnosis {
	switch code {
	case "00", "10", "11", "A2", "A4", "A5", "A6":
		return Diagnosis{Why: causeTerms[CauseNone], Next: kernel.ReasonApproved.Next()}
	}
	if d, known := responses[code]; known {
		return d
	}
	return Diagnosis{CauseHost, glossary.Term{EN: fmt.Sprintf("response code %q", code), ZH: fmt.Sprintf("应答码 %q", code)},
		contact.ReasonIssuerDeclined.Next()}
}

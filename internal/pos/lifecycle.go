package pos

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
)

// Verb is what a cashier can ask of the till, in the order in which a story tells it. The numbers are stored: they are never moved.
type Verb uint8

// The verbs.
const (
	VerbSale           Verb = iota + 1 // the issuer decides
	VerbOfflineSale                    // the chip pays
	VerbVoid                           // of a sale, in its batch
	VerbRefund                         // of a sale, in whole or in part
	VerbPreAuth                        // money is held
	VerbPreAuthCancel                  // and let go
	VerbCompletion                     // or taken
	VerbCompletionNote                 // the same as a notice, repeated until it arrives
	VerbCompletionVoid                 // and given back, in its batch
	VerbBalance                        // of the account
	VerbLoad                           // of the chip, from the account it is bound to
	VerbLoadOther                      // from another card's account
	VerbLoadCash                       // from notes and coins
	VerbLoadCashVoid                   // taken back, in its batch
	VerbUnload                         // everything off the chip, for closing
	VerbOfflineRefund                  // of an offline sale
	VerbCardAdvice                     // what the card made of the issuer's answer
	VerbScriptNotice                   // what became of the issuer's scripts
	VerbSettlement                     // the batch is agreed with the acquirer
	VerbPINChange                      // on the chip and at its bank
	VerbPINUnblock                     // the chip's tries are given back
	verbCount
)

// Status is where a transaction stands. The numbers are stored.
type Status uint8

// The statuses. Legal steps: Asked → Done, Refused, TakenBack, Unknown; Done → Voided, PartRefunded, Refunded, Completed;
// PartRefunded → Refunded.
const (
	StatusAsked        Status = iota + 1 // no answer yet, or the card has not had its say
	StatusDone                           // it stands
	StatusRefused                        // by the network
	StatusTakenBack                      // reversed, or on the way to it
	StatusUnknown                        // only the card and its issuer know: a load whose dialogue broke off
	StatusVoided                         // by a later void or cancellation
	StatusPartRefunded                   // some of the amount has been given back
	StatusRefunded                       // all of it
	StatusCompleted                      // a pre-authorization whose money was taken
	statusCount
)

var statusTerms = [statusCount]glossary.Term{
	StatusAsked:        {EN: "under way", ZH: "处理中"},
	StatusDone:         {EN: "done", ZH: "成功"},
	StatusRefused:      {EN: "declined", ZH: "已拒绝"},
	StatusTakenBack:    {EN: "reversed", ZH: "已冲正"},
	StatusUnknown:      {EN: "unknown: insert the card", ZH: "未知，请插卡查询"},
	StatusVoided:       {EN: "voided", ZH: "已撤销"},
	StatusPartRefunded: {EN: "refunded in part", ZH: "部分退货"},
	StatusRefunded:     {EN: "refunded", ZH: "已退货"},
	StatusCompleted:    {EN: "completed", ZH: "已完成"},
}

// Term names the status.
func (s Status) Term() glossary.Term {
	if s >= statusCount {
		return glossary.Term{}
	}
	return statusTerms[s]
}

// side is where a transaction that stands counts in the totals of its batch.
type side uint8

const (
	noSide side = iota
	debit
	credit
)

// cycle is what one verb is on the wire, in the journal and in the life of an earlier transaction.
type cycle struct {
	name       glossary.Term
	processing unionpay.ProcessingCode
	condition  string
	kind       unionpay.MessageType
	authorize  bool // 0100
	advice     bool // 0220
	begin      journal.Kind
	side       side
	receipt    receipt.Kind // 0: no receipt
	// of are the verbs that this one may follow and from where their transaction may stand; none: it stands alone.
	of   []Verb
	from []Status
	// within: only while the original's batch is open; whole: with the original's amount; most: up to so many per cent of it.
	within bool
	whole  bool
	most   int64
	turns  Status // what the original becomes
}

// maxCompletionPercent is what may be taken of a pre-authorization: 15 per cent more, for tips and the mini-bar. Practice of the trade.
const maxCompletionPercent = 115

// cycles is the table of lifecycles.
var cycles = [verbCount]cycle{
	VerbSale: {name: glossary.Term{EN: "sale", ZH: "消费"}, processing: unionpay.ProcessingSale, condition: unionpay.ConditionNormal, kind: unionpay.KindSale,
		begin: journal.Requested, side: debit, receipt: receipt.Sale},
	VerbOfflineSale: {name: glossary.Term{EN: "offline sale", ZH: "脱机消费"}, processing: unionpay.ProcessingSale, condition: unionpay.ConditionNormal,
		kind: unionpay.KindOfflineUpload, begin: journal.Queued, side: debit, receipt: receipt.CashSale},
	VerbVoid: {name: glossary.Term{EN: "void", ZH: "消费撤销"}, processing: unionpay.ProcessingVoid, condition: unionpay.ConditionNormal, kind: unionpay.KindVoid,
		begin: journal.Requested, side: credit, receipt: receipt.SaleVoid, of: []Verb{VerbSale}, from: []Status{StatusDone}, within: true, whole: true,
		turns: StatusVoided},
	VerbRefund: {name: glossary.Term{EN: "refund", ZH: "退货"}, processing: unionpay.ProcessingVoid, condition: unionpay.ConditionNormal, kind: unionpay.KindRefund,
		advice: true, begin: journal.Advised, side: credit, receipt: receipt.Refund, of: []Verb{VerbSale, VerbCompletion, VerbCompletionNote},
		from: []Status{StatusDone, StatusPartRefunded}, most: 100, turns: StatusRefunded},
	VerbPreAuth: {name: glossary.Term{EN: "pre-authorization", ZH: "预授权"}, processing: unionpay.ProcessingPreAuth, condition: unionpay.ConditionPreAuth,
		kind: unionpay.KindPreAuth, authorize: true, begin: journal.Requested, receipt: receipt.Preauthorization},
	VerbPreAuthCancel: {name: glossary.Term{EN: "pre-authorization void", ZH: "预授权撤销"}, processing: unionpay.ProcessingVoid,
		condition: unionpay.ConditionPreAuth, kind: unionpay.KindPreAuthCancel, authorize: true, begin: journal.Requested,
		receipt: receipt.PreauthorizationVoid, of: []Verb{VerbPreAuth}, from: []Status{StatusDone}, whole: true, turns: StatusVoided},
	VerbCompletion: {name: glossary.Term{EN: "completion", ZH: "预授权完成"}, processing: unionpay.ProcessingSale, condition: unionpay.ConditionPreAuth,
		kind: unionpay.KindCompletion, begin: journal.Requested, side: debit, receipt: receipt.Completion, of: []Verb{VerbPreAuth}, from: []Status{StatusDone},
		most: maxCompletionPercent, turns: StatusCompleted},
	VerbCompletionNote: {name: glossary.Term{EN: "completion notice", ZH: "预授权完成通知"}, processing: unionpay.ProcessingSale,
		condition: unionpay.ConditionPreAuth, kind: unionpay.KindCompletionNote, advice: true, begin: journal.Advised, side: debit,
		receipt: receipt.Completion, of: []Verb{VerbPreAuth}, from: []Status{StatusDone}, most: maxCompletionPercent, turns: StatusCompleted},
	VerbCompletionVoid: {name: glossary.Term{EN: "completion void", ZH: "预授权完成撤销"}, processing: unionpay.ProcessingVoid,
		condition: unionpay.ConditionPreAuth, kind: unionpay.KindCompletionVoid, begin: journal.Requested, side: credit, receipt: receipt.CompletionVoid,
		of: []Verb{VerbCompletion}, from: []Status{StatusDone}, within: true, whole: true, turns: StatusVoided},
	VerbBalance: {name: glossary.Term{EN: "balance inquiry", ZH: "余额查询"}, processing: unionpay.ProcessingBalance, condition: unionpay.ConditionNormal,
		kind: unionpay.KindBalance, begin: journal.Noted, receipt: receipt.Balance},
	VerbLoad: {name: glossary.Term{EN: "load", ZH: "指定账户圈存"}, processing: unionpay.ProcessingLoad, condition: unionpay.ConditionLoad, kind: unionpay.KindLoad,
		begin: journal.Requested, receipt: receipt.CashLoad},
	VerbLoadOther: {name: glossary.Term{EN: "load from another account", ZH: "非指定账户圈存"}, processing: unionpay.ProcessingLoadOther,
		condition: unionpay.ConditionLoad, kind: unionpay.KindLoadOther, begin: journal.Requested, receipt: receipt.CashLoad},
	VerbLoadCash: {name: glossary.Term{EN: "cash load", ZH: "现金充值"}, processing: unionpay.ProcessingLoadCash, condition: unionpay.ConditionLoad,
		kind: unionpay.KindLoadCash, begin: journal.Requested, side: credit, receipt: receipt.CashLoadFromNotes},
	VerbLoadCashVoid: {name: glossary.Term{EN: "cash load void", ZH: "现金充值撤销"}, processing: unionpay.ProcessingLoadCashCancel,
		condition: unionpay.ConditionLoad, kind: unionpay.KindLoadCashCancel, begin: journal.Requested, side: debit, receipt: receipt.CashLoadVoid,
		of: []Verb{VerbLoadCash}, from: []Status{StatusDone}, within: true, whole: true, turns: StatusVoided},
	VerbUnload: {name: glossary.Term{EN: "unload", ZH: "圈提"}, processing: unionpay.ProcessingUnload, condition: unionpay.ConditionLoad, kind: unionpay.KindUnload,
		begin: journal.Requested, receipt: receipt.CashUnload},
	VerbOfflineRefund: {name: glossary.Term{EN: "offline refund", ZH: "脱机退货"}, processing: unionpay.ProcessingVoid, condition: unionpay.ConditionNormal,
		kind: unionpay.KindOfflineRefund, advice: true, begin: journal.Advised, side: credit, receipt: receipt.Refund, of: []Verb{VerbOfflineSale},
		from: []Status{StatusDone, StatusPartRefunded}, most: 100, turns: StatusRefunded},
	VerbCardAdvice:   {name: glossary.Term{EN: "card's last word", ZH: "卡片结果通知"}, begin: journal.Advised, advice: true},
	VerbScriptNotice: {name: glossary.Term{EN: "script result", ZH: "脚本结果通知"}, begin: journal.ScriptSent},
	VerbSettlement:   {name: glossary.Term{EN: "settlement", ZH: "批结算"}, begin: journal.Cleared},
	VerbPINChange: {name: glossary.Term{EN: "PIN change", ZH: "修改密码"}, processing: unionpay.ProcessingPINChange, condition: unionpay.ConditionNormal,
		kind: unionpay.KindPINChange, begin: journal.Requested, receipt: receipt.PINChange},
	VerbPINUnblock: {name: glossary.Term{EN: "PIN unblock", ZH: "密码解锁"}, processing: unionpay.ProcessingPINUnblock, condition: unionpay.ConditionNormal,
		kind: unionpay.KindPINUnblock, begin: journal.Requested, receipt: receipt.PINUnblock},
}

// Term names the verb.
func (v Verb) Term() glossary.Term {
	if v >= verbCount {
		return glossary.Term{}
	}
	return cycles[v].name
}

// String is the English name.
func (v Verb) String() string { return v.Term().EN }

// isLoad: the chip's purse is changed by a script. Nothing takes such a transaction back but the void of a cash load [REF 5].
func (v Verb) isLoad() bool {
	return v == VerbLoad || v == VerbLoadOther || v == VerbLoadCash || v == VerbUnload
}

// Of are the verbs that v may follow, none when it stands alone.
func (v Verb) Of() []Verb {
	if v >= verbCount {
		return nil
	}
	return cycles[v].of
}

// verbOf reads the verb out of a request.
func verbOf(m *unionpay.FinancialRequest) Verb {
	for v := VerbSale; v < verbCount; v++ {
		if c := &cycles[v]; c.kind != "" && c.kind == m.Info.MessageType && c.advice == m.Advice && c.authorize == m.Authorization {
			return v
		}
	}
	if m.Advice && m.Original != nil {
		return VerbCardAdvice
	}
	return VerbSale
}

// Refusal says why the till itself does not begin a transaction. The zero value: it does.
type Refusal uint8

// The refusals, in the order in which they are checked.
const (
	NotRefused         Refusal = iota
	RefusedSettling            // the batch is being settled
	RefusedUnknown             // no such transaction in this batch
	RefusedKind                // a transaction of another kind
	RefusedUnderWay            // something else is being done to it
	RefusedStatus              // it does not stand, or not any more
	RefusedAmount              // more than the original allows, or not its amount
	RefusedReference           // an earlier batch's: the reference number of the slip is needed
	RefusedWithin              // only while its batch is open
	RefusedUndelivered         // messages wait to be delivered: the batch cannot be settled
	RefusedEmpty               // nothing to settle
	RefusedStripe              // the stripe cannot be read
	RefusedChip                // the stripe of a card whose chip can be read
	RefusedGoods               // a card for cash machines only
	RefusedSlot                // the card must be in the slot
	RefusedPINPad              // the secure module enciphers one PIN at a time
	refusalCount
)

var refusals = [refusalCount]struct{ why, next glossary.Term }{
	RefusedSettling: {glossary.Term{EN: "the batch is being settled", ZH: "正在批结算"}, glossary.Term{EN: "Wait for its end.", ZH: "请等待结算完成。"}},
	RefusedUnknown: {glossary.Term{EN: "there is no such transaction in this batch", ZH: "本批次无此交易"},
		glossary.Term{EN: "Look up the trace number on the slip, or give batch and reference number of an earlier batch.", ZH: "请核对凭证号；以前批次的交易请给出批次号和参考号。"}},
	RefusedKind: {glossary.Term{EN: "that transaction is of another kind", ZH: "原交易类型不符"},
		glossary.Term{EN: "Choose the verb that fits the slip.", ZH: "请选择与签购单相符的交易。"}},
	RefusedUnderWay: {glossary.Term{EN: "something else is being done to that transaction", ZH: "原交易正在处理中"},
		glossary.Term{EN: "Wait for its end.", ZH: "请等待其完成。"}},
	RefusedStatus: {glossary.Term{EN: "that transaction does not stand, or not any more", ZH: "原交易未成功或已撤销、退货"},
		glossary.Term{EN: "Nothing to do: see its slip.", ZH: "无需处理，请查看签购单。"}},
	RefusedAmount: {glossary.Term{EN: "the amount does not fit the original's", ZH: "金额与原交易不符"},
		glossary.Term{EN: "Give an amount that the original allows.", ZH: "请输入原交易允许的金额。"}},
	RefusedReference: {glossary.Term{EN: "a transaction of an earlier batch needs the reference number of its slip", ZH: "以前批次的交易需要签购单上的参考号"},
		glossary.Term{EN: "Give reference number and authorization code.", ZH: "请给出参考号和授权码。"}},
	RefusedWithin: {glossary.Term{EN: "this is possible only while the batch of the original is open", ZH: "仅可在原交易所在批次结算前进行"},
		glossary.Term{EN: "Refund it instead.", ZH: "请改用退货。"}},
	RefusedUndelivered: {glossary.Term{EN: "messages wait to be delivered, so the batch cannot be settled", ZH: "尚有报文未送达，不能批结算"},
		glossary.Term{EN: "Check the line and settle again.", ZH: "请检查线路后重新结算。"}},
	RefusedEmpty: {glossary.Term{EN: "nothing has been sold since the last settlement", ZH: "上次结算后无交易"},
		glossary.Term{EN: "Nothing to do.", ZH: "无需处理。"}},
	RefusedStripe: {glossary.Term{EN: "the stripe cannot be read", ZH: "磁条无法读取"},
		glossary.Term{EN: "Swipe again, evenly, or insert the card.", ZH: "请匀速重新刷卡，或插卡。"}},
	RefusedChip: {glossary.Term{EN: "the card has a chip, so its stripe does not pay", ZH: "此卡为芯片卡，不得刷磁条"},
		glossary.Term{EN: "Tap the card, or insert it.", ZH: "请挥卡或插卡。"}},
	RefusedSlot: {glossary.Term{EN: "this is done with the card in the slot", ZH: "此操作须插卡进行"}, glossary.Term{EN: "Insert the card.", ZH: "请插卡。"}},
	RefusedPINPad: {glossary.Term{EN: "a phone's secure module takes one PIN at a time", ZH: "手机终端的安全模块一次只能处理一个密码"},
		glossary.Term{EN: "Change the PIN at the bank's counter or at a cash machine.", ZH: "请到银行柜台或自助设备修改密码。"}},
	RefusedGoods: {glossary.Term{EN: "the card is for cash machines only", ZH: "此卡仅限自助取款机使用"},
		glossary.Term{EN: "Pay with another card.", ZH: "请换卡支付。"}},
}

// Term is why; Next what to do.
func (r Refusal) Term() glossary.Term {
	if r >= refusalCount {
		return glossary.Term{}
	}
	return refusals[r].why
}

// Next is what to do now.
func (r Refusal) Next() glossary.Term {
	if r >= refusalCount {
		return glossary.Term{}
	}
	return refusals[r].next
}

// may says whether v may be done to original with an amount. original is nil for one of an earlier batch, which only the network knows.
func (v Verb) may(original *payment, minor int64) Refusal {
	c := &cycles[v]
	if len(c.of) == 0 || original == nil {
		return NotRefused
	}
	switch {
	case !contains(c.of, original.verb):
		return RefusedKind
	case original.busy:
		return RefusedUnderWay
	case !contains(c.from, original.status):
		return RefusedStatus
	case c.whole && minor != original.minor, c.most > 0 && minor > original.minor*c.most/100-original.refunded, minor <= 0:
		return RefusedAmount
	}
	return NotRefused
}

// becomes is where v, done, leaves original.
func (v Verb) becomes(original *payment, minor int64) {
	turns := cycles[v].turns
	if turns == StatusRefunded {
		original.refunded += minor
		if original.refunded < original.minor {
			turns = StatusPartRefunded
		}
	}
	original.status = turns
}

func contains[T comparable](list []T, one T) bool {
	for _, x := range list {
		if x == one {
			return true
		}
	}
	return false
}

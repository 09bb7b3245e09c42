package issuer

import (
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
)

// Reason says which rule decided. The constants stand in order of precedence: the first rule that applies gives the answer, so a stolen card with a
// wrong PIN is reported as stolen. Values are stored in the journal and never renumbered; a new rule takes a new number at its place in rules.
type Reason uint16

const (
	Approved Reason = 0

	FormatError           Reason = 10
	AlreadyReversed       Reason = 12
	KeyReused             Reason = 14
	SystemUnavailable     Reason = 16
	UnknownCard           Reason = 20
	CardStolen            Reason = 22
	CardLost              Reason = 24
	CardRestricted        Reason = 26
	CardClosed            Reason = 28
	CardExpired           Reason = 30
	TypeNotPermitted      Reason = 32
	CurrencyNotPermitted  Reason = 34
	ContactlessOff        Reason = 36
	PayerUnknown          Reason = 37
	StripeNotAllowed      Reason = 38
	ScriptOutOfReach      Reason = 39
	ChipDataMissing       Reason = 40
	ChipDataMismatch      Reason = 42
	CryptogramWrong       Reason = 44
	ChipInDoubt           Reason = 45
	NotARequestCryptogram Reason = 46
	NotAnApproval         Reason = 47
	CounterUsed           Reason = 48
	PurseNotProven        Reason = 49
	PINFormatWrong        Reason = 50
	NewPINFormatWrong     Reason = 51
	PINBlocked            Reason = 52
	PINWrong              Reason = 54
	LoadNeedsPIN          Reason = 53
	OfflinePINWrong       Reason = 55
	NoPINSwitchedOff      Reason = 56
	PayerPINWrong         Reason = 57
	AboveNoPINLimit       Reason = 58
	PINNeeded             Reason = 59
	AboveTapLimit         Reason = 60
	AboveDayLimit         Reason = 62
	PurseEmptied          Reason = 61
	TooManyToday          Reason = 64
	PurseFull             Reason = 63
	NothingToVoid         Reason = 67
	PurseTooLow           Reason = 65
	NotEnoughMoney        Reason = 66
	NothingToRefund       Reason = 68
	RefundTooHigh         Reason = 69
	NothingToUndo         Reason = 70
	OtherAmount           Reason = 71
	ProofExhausted        Reason = 72

	// Reversed, OriginalUnknown and so on are answers to messages that ask for no decision.
	ReversalDone     Reason = 100
	ReversalNoEffect Reason = 102
	ReversalEarly    Reason = 104
	PurseAccepted    Reason = 110
	// OfflineAccepted is of an offline payment that is the account's, and OfflineTakesOver of the online request whose place one takes.
	OfflineAccepted  Reason = 112
	OfflineTakesOver Reason = 113
	// PreAuthHeld is the reason of money held for a merchant who says later how much he takes of it.
	PreAuthHeld Reason = 111

	// Approving is the first of the reasons that say why something was done: above it nothing is a refusal.
	Approving Reason = 100

	// Of loads: which operation holds the money, and how the bank knows what the chip made of it.
	LoadHeld         Reason = 120
	LoadOtherHeld    Reason = 121
	LoadCashHeld     Reason = 122
	LoadCashVoidHeld Reason = 123
	UnloadHeld       Reason = 124
	AutoLoadHeld     Reason = 125
	LoadConfirmed    Reason = 130
	LoadFailed       Reason = 131
	LoadProven       Reason = 132
	LoadDisproven    Reason = 133
	PaidOut          Reason = 134
	// ScriptNoted answers a notice about scripts; AdviceNoted one about a payment that went as approved.
	ScriptNoted Reason = 140
	AdviceNoted Reason = 141
	// CardDeclined answers an advice that undid its payment.
	CardDeclined Reason = 142
	// RefundDone is the reason of money given back for an offline payment.
	RefundDone Reason = 143
	// Of what follows an earlier payment; HeldAgain and PreAuthGivesWay are those of its hold, StandsAgain and SequelUndone what marks say.
	VoidDone           Reason = 144
	SaleRefunded       Reason = 145
	PreAuthCancelled   Reason = 146
	CompletionDone     Reason = 147
	CompletionVoidDone Reason = 148
	BalanceTold        Reason = 149
	HeldAgain          Reason = 151
	PreAuthGivesWay    Reason = 152
	SequelUndone       Reason = 153
	StandsAgain        Reason = 154
	// ProofServes is of the row that says which payment rests on the cryptogram of an earlier one, see TransitPolicy.
	ProofServes Reason = 155
	// CardVerified is of a pre-authorization of nothing: the card is good, and nothing is held.
	CardVerified Reason = 156
	// Of scripts about the PIN: that one was sent, and what became of it.
	PINChangeSent      Reason = 160
	PINUnblockSent     Reason = 161
	PINChangeDone      Reason = 162
	PINChangeProven    Reason = 163
	PINChangeFailed    Reason = 164
	PINChangeDisproven Reason = 165
	PINChangeUnknown   Reason = 166
	// PurseCannotBeBlocked is the other half of the answer to a loss report.
	PurseCannotBeBlocked Reason = 150
)

// reasonInfo is one row of the reason table: the answer on the wire and what a person reads.
type reasonInfo struct {
	reason Reason
	code   unionpay.ResponseCode
	term   glossary.Term
	next   glossary.Term
}

// reasonTable maps each reason to field 39 once, here at the border [REF 6.2]. Rows stand in order of precedence.
var reasonTable = []reasonInfo{
	{FormatError, "30", glossary.Term{EN: "a mandatory field is missing", ZH: "缺少必备域"}, glossary.Term{EN: "decode the request", ZH: "解码请求报文"}},
	{AlreadyReversed, "68", glossary.Term{EN: "this payment was reversed before it arrived", ZH: "交易到达前已被冲正"}, glossary.Term{EN: "start a new payment", ZH: "重新发起交易"}},
	{KeyReused, "94", glossary.Term{EN: "the same key with other content", ZH: "同一流水号但内容不同"}, glossary.Term{EN: "use a new trace number", ZH: "使用新的流水号"}},
	{SystemUnavailable, "96", glossary.Term{EN: "the bank's security module did not answer", ZH: "发卡行加密机无响应"}, glossary.Term{EN: "check the issuer's keys", ZH: "检查发卡行密钥"}},
	{UnknownCard, "14", glossary.Term{EN: "no such card here", ZH: "无此卡号"}, glossary.Term{EN: "check the card number and the route", ZH: "核对卡号与路由"}},
	{CardStolen, "43", glossary.Term{EN: "the card is reported stolen", ZH: "被盗卡"}, glossary.Term{EN: "keep the card", ZH: "没收卡片"}},
	{CardLost, "41", glossary.Term{EN: "the card is reported lost", ZH: "挂失卡"}, glossary.Term{EN: "ask the cardholder to call the bank", ZH: "请持卡人联系发卡行"}},
	{CardRestricted, "62", glossary.Term{EN: "the card is blocked", ZH: "受限制的卡"}, glossary.Term{EN: "ask the cardholder to call the bank", ZH: "请持卡人联系发卡行"}},
	{CardClosed, "14", glossary.Term{EN: "the card is closed", ZH: "卡片已销户"}, glossary.Term{EN: "use another card", ZH: "换卡"}},
	{CardExpired, "54", glossary.Term{EN: "the card is past its expiry date", ZH: "卡片已过期"}, glossary.Term{EN: "use another card", ZH: "换卡"}},
	{TypeNotPermitted, "57", glossary.Term{EN: "this kind of payment is not permitted to the card", ZH: "不允许持卡人进行的交易"}, glossary.Term{EN: "use another kind of payment", ZH: "换一种交易方式"}},
	{CurrencyNotPermitted, "57", glossary.Term{EN: "the account is not held in this currency", ZH: "账户币种不符"}, glossary.Term{EN: "pay in the account's currency", ZH: "使用账户币种支付"}},
	{ContactlessOff, "57", glossary.Term{EN: "the cardholder switched contactless payment off", ZH: "持卡人已关闭闪付功能"}, glossary.Term{EN: "insert the card", ZH: "插卡交易"}},
	{PayerUnknown, "14", glossary.Term{EN: "the account that pays is not known here, or not in good standing", ZH: "付款账户不存在或状态不正常"}, glossary.Term{EN: "check the other card", ZH: "核对转出卡"}},
	{StripeNotAllowed, "45", glossary.Term{EN: "the stripe of a chip card", ZH: "芯片卡不允许使用磁条"}, glossary.Term{EN: "insert the card", ZH: "插卡交易"}},
	{ScriptOutOfReach, "57", glossary.Term{EN: "the answer cannot reach the chip this way", ZH: "该方式下脚本无法写入卡片"}, glossary.Term{EN: "insert the card", ZH: "插卡交易"}},
	{ChipDataMissing, "30", glossary.Term{EN: "a tap without chip data", ZH: "非接交易缺少芯片数据"}, glossary.Term{EN: "send field 55", ZH: "上送55域"}},
	{ChipDataMismatch, "59", glossary.Term{EN: "the chip signed other data than the message says", ZH: "芯片数据与报文不一致"}, glossary.Term{EN: "compare field 55 with the message", ZH: "核对55域与报文其他域"}},
	{CryptogramWrong, "59", glossary.Term{EN: "the cryptogram does not match", ZH: "应用密文校验失败"}, glossary.Term{EN: "decode field 55 and check keys, counter and data list", ZH: "解码55域，检查密钥、计数器与数据列表"}},
	{NotARequestCryptogram, "59", glossary.Term{EN: "the cryptogram is not an online request", ZH: "密文类型不是联机请求"}, glossary.Term{EN: "send the card's ARQC", ZH: "上送卡片的ARQC"}},
	{NotAnApproval, "59", glossary.Term{EN: "the cryptogram is not the card's approval", ZH: "密文类型不是脱机批准"}, glossary.Term{EN: "upload the card's TC", ZH: "上送卡片的TC"}},
	{CounterUsed, "59", glossary.Term{EN: "the card's counter was already used", ZH: "卡片计数器已被使用"}, glossary.Term{EN: "tap again: each tap has its own counter", ZH: "重新挥卡：每次交易计数器不同"}},
	{PurseNotProven, "59", glossary.Term{EN: "the chip does not prove its balance", ZH: "卡片未能证明电子现金余额"}, glossary.Term{EN: "upload what was paid offline, then try again", ZH: "先上送脱机交易后重试"}},
	{ChipInDoubt, "57", glossary.Term{EN: "the chip has not shown yet what became of the last load", ZH: "上一笔圈存结果尚未由卡片证实"}, glossary.Term{EN: "upload what was paid offline, then try again", ZH: "先上送脱机交易后重试"}},
	{PINFormatWrong, "99", glossary.Term{EN: "the PIN block cannot be read", ZH: "PIN格式错"}, glossary.Term{EN: "sign on again to renew the PIN key", ZH: "重新签到更新PIN密钥"}},
	{NewPINFormatWrong, "99", glossary.Term{EN: "the block of the new PIN cannot be read", ZH: "新PIN格式错"}, glossary.Term{EN: "sign on again to renew the PIN key", ZH: "重新签到更新PIN密钥"}},
	{PINBlocked, "75", glossary.Term{EN: "no PIN tries left", ZH: "密码错误次数超限"}, glossary.Term{EN: "the cardholder resets the PIN at the bank", ZH: "持卡人到发卡行重置密码"}},
	{PINWrong, "55", glossary.Term{EN: "wrong PIN", ZH: "密码错误"}, glossary.Term{EN: "enter the PIN again", ZH: "重新输入密码"}},
	{PayerPINWrong, "55", glossary.Term{EN: "wrong PIN of the account that pays", ZH: "转出卡密码错误"}, glossary.Term{EN: "enter the PIN again", ZH: "重新输入密码"}},
	{LoadNeedsPIN, "55", glossary.Term{EN: "money leaves an account only with its PIN", ZH: "账户转出须输入密码"}, glossary.Term{EN: "enter the PIN", ZH: "输入密码"}},
	{PINNeeded, "55", glossary.Term{EN: "a PIN is changed only by who knows it", ZH: "修改或解锁密码须输入原密码"}, glossary.Term{EN: "enter the PIN", ZH: "输入密码"}},
	{OfflinePINWrong, "55", glossary.Term{EN: "the card says that the PIN was wrong", ZH: "卡片脱机验证密码错误"}, glossary.Term{EN: "enter the PIN again", ZH: "重新输入密码"}},
	{NoPINSwitchedOff, "55", glossary.Term{EN: "the cardholder switched payment without PIN off", ZH: "持卡人已关闭小额免密功能"}, glossary.Term{EN: "pay with PIN", ZH: "输入密码支付"}},
	{AboveNoPINLimit, "55", glossary.Term{EN: "above the no-PIN limit without a PIN", ZH: "超过免密限额且未输入密码"}, glossary.Term{EN: "pay with PIN", ZH: "输入密码支付"}},
	{AboveTapLimit, "61", glossary.Term{EN: "above the card's limit for one tap", ZH: "超过单笔限额"}, glossary.Term{EN: "pay less, or raise the limit", ZH: "降低金额或调整限额"}},
	{AboveDayLimit, "61", glossary.Term{EN: "above the card's limit for one day", ZH: "超过当日累计限额"}, glossary.Term{EN: "pay less, or wait for the next business day", ZH: "降低金额或次日再试"}},
	{TooManyToday, "65", glossary.Term{EN: "too many taps today", ZH: "超过当日交易次数"}, glossary.Term{EN: "wait for the next business day", ZH: "次日再试"}},
	{PurseEmptied, "57", glossary.Term{EN: "the purse was unloaded for closing", ZH: "电子现金已圈提待销户"}, glossary.Term{EN: "pay out the rest", ZH: "办理余额返还"}},
	{PurseFull, "61", glossary.Term{EN: "above what a purse may hold", ZH: "超过电子现金余额上限"}, glossary.Term{EN: "load less", ZH: "减少圈存金额"}},
	{NothingToVoid, "25", glossary.Term{EN: "not the last cash load of this purse", ZH: "不是该卡最近一笔现金充值"}, glossary.Term{EN: "ask the bank", ZH: "联系发卡行"}},
	{PurseTooLow, "64", glossary.Term{EN: "the amount is not what the purse holds", ZH: "金额与电子现金余额不符"}, glossary.Term{EN: "read the balance again", ZH: "重新读取余额"}},
	{NotEnoughMoney, "51", glossary.Term{EN: "not enough money", ZH: "余额不足"}, glossary.Term{EN: "pay less, or pay money in", ZH: "降低金额或先存款"}},
	{ProofExhausted, "61", glossary.Term{EN: "more than may rest on one cryptogram of a gate", ZH: "超过同一闸机密文可累计扣款的金额"}, glossary.Term{EN: "ask with the cryptogram of a later tap", ZH: "用后一次刷卡的密文重新请求"}},
	{NothingToRefund, "25", glossary.Term{EN: "no such payment of this card, or refunded already", ZH: "无此卡的该笔交易，或已退货"}, glossary.Term{EN: "look up the slip", ZH: "核对签购单"}},
	{RefundTooHigh, "64", glossary.Term{EN: "more than was paid", ZH: "退货金额超过原交易金额"}, glossary.Term{EN: "refund less", ZH: "减少退货金额"}},
	{NothingToUndo, "25", glossary.Term{EN: "no payment of this card that stands", ZH: "无此卡的有效原交易"}, glossary.Term{EN: "look up the slip", ZH: "核对签购单"}},
	{OtherAmount, "64", glossary.Term{EN: "the amount does not fit the earlier payment's", ZH: "金额与原交易不符"}, glossary.Term{EN: "give an amount that the earlier payment allows", ZH: "输入原交易允许的金额"}},
	{Approved, "00", glossary.Term{EN: "approved", ZH: "批准"}, glossary.Term{}},
	{ReversalDone, "00", glossary.Term{EN: "reversed, the hold is released", ZH: "已冲正，冻结已解除"}, glossary.Term{}},
	{ReversalNoEffect, "00", glossary.Term{EN: "reversed, nothing was held", ZH: "已冲正，原交易无冻结"}, glossary.Term{}},
	{ReversalEarly, "00", glossary.Term{EN: "reversed before the original came", ZH: "原交易未到，已登记冲正"}, glossary.Term{}},
	{PurseAccepted, "00", glossary.Term{EN: "offline payment from the purse accepted", ZH: "脱机消费已入账"}, glossary.Term{}},
	{OfflineAccepted, "00", glossary.Term{EN: "offline payment from the account accepted", ZH: "账户脱机消费已入账"}, glossary.Term{}},
	{OfflineTakesOver, "00", glossary.Term{EN: "the card has approved by itself: its upload takes the place of the request", ZH: "卡片已自行批准，脱机交易取代该联机请求"}, glossary.Term{}},
	{PreAuthHeld, "00", glossary.Term{EN: "pre-authorization: the money is held", ZH: "预授权已批准，资金已冻结"}, glossary.Term{}},
	{PINChangeSent, "00", glossary.Term{EN: "the new PIN is on its way to the chip", ZH: "新密码脚本已下发"}, glossary.Term{}},
	{PINUnblockSent, "00", glossary.Term{EN: "the PIN unblock is on its way to the chip", ZH: "密码解锁脚本已下发"}, glossary.Term{}},
	{PINChangeDone, "00", glossary.Term{EN: "the terminal says that the chip has the new PIN state: it counts now", ZH: "终端报告密码脚本成功，已生效"}, glossary.Term{}},
	{PINChangeProven, "00", glossary.Term{EN: "the chip has carried out the PIN script: it counts now", ZH: "卡片已证实执行密码脚本，已生效"}, glossary.Term{}},
	{PINChangeFailed, "00", glossary.Term{EN: "the PIN script was not carried out: the old PIN stays", ZH: "密码脚本未执行，原密码不变"}, glossary.Term{}},
	{PINChangeDisproven, "00", glossary.Term{EN: "the chip did not carry out the PIN script: the old PIN stays", ZH: "卡片证实未执行密码脚本，原密码不变"}, glossary.Term{}},
	{PINChangeUnknown, "00", glossary.Term{EN: "nobody knows what became of the PIN script: the old PIN stays", ZH: "密码脚本结果不明，原密码不变"}, glossary.Term{}},
	{VoidDone, "00", glossary.Term{EN: "voided, the money is back on the account", ZH: "消费已撤销，资金已退回账户"}, glossary.Term{}},
	{SaleRefunded, "00", glossary.Term{EN: "refund, to the account", ZH: "退货已入账户"}, glossary.Term{}},
	{PreAuthCancelled, "00", glossary.Term{EN: "pre-authorization cancelled, the hold is released", ZH: "预授权已撤销，冻结已解除"}, glossary.Term{}},
	{CompletionDone, "00", glossary.Term{EN: "pre-authorization completed, the money is taken", ZH: "预授权已完成扣款"}, glossary.Term{}},
	{CompletionVoidDone, "00", glossary.Term{EN: "completion voided, the money is back on the account", ZH: "预授权完成已撤销，资金已退回账户"}, glossary.Term{}},
	{BalanceTold, "00", glossary.Term{EN: "balance told", ZH: "已告知余额"}, glossary.Term{}},
	{CardVerified, "00", glossary.Term{EN: "the card is good: verified with nothing", ZH: "零金额验证通过"}, glossary.Term{}},
	{HeldAgain, "00", glossary.Term{EN: "held again for the pre-authorization", ZH: "预授权资金重新冻结"}, glossary.Term{}},
	{PreAuthGivesWay, "00", glossary.Term{EN: "the hold gives way to the completion", ZH: "冻结由预授权完成替代"}, glossary.Term{}},
	{SequelUndone, "00", glossary.Term{EN: "it was reversed", ZH: "该交易已冲正"}, glossary.Term{}},
	{StandsAgain, "00", glossary.Term{EN: "the earlier payment stands again", ZH: "原交易恢复有效"}, glossary.Term{}},
	{ProofServes, "00", glossary.Term{EN: "the fares rest on the cryptogram of an earlier request", ZH: "车费以此前请求的密文为凭"}, glossary.Term{}},
	{LoadHeld, "00", glossary.Term{EN: "load approved, the money is held until the chip has it", ZH: "圈存已批准，资金冻结至写卡确认"}, glossary.Term{}},
	{LoadOtherHeld, "00", glossary.Term{EN: "load from another account approved, the money is held until the chip has it", ZH: "非指定账户圈存已批准，资金冻结至写卡确认"}, glossary.Term{}},
	{LoadCashHeld, "00", glossary.Term{EN: "cash load approved, booked when the chip has it", ZH: "现金充值已批准，写卡确认后入账"}, glossary.Term{}},
	{LoadCashVoidHeld, "00", glossary.Term{EN: "void of a cash load approved, booked when the chip has followed", ZH: "现金充值撤销已批准，写卡确认后入账"}, glossary.Term{}},
	{UnloadHeld, "00", glossary.Term{EN: "unload approved", ZH: "圈提已批准"}, glossary.Term{}},
	{AutoLoadHeld, "00", glossary.Term{EN: "automatic load, the money is held until the chip has it", ZH: "自动圈存，资金冻结至写卡确认"}, glossary.Term{}},
	{LoadConfirmed, "00", glossary.Term{EN: "the terminal says that the chip has the new balance", ZH: "终端报告写卡成功"}, glossary.Term{}},
	{LoadFailed, "00", glossary.Term{EN: "the terminal says that the chip has the old balance", ZH: "终端报告写卡失败"}, glossary.Term{}},
	{LoadProven, "00", glossary.Term{EN: "a cryptogram proves the new balance", ZH: "卡片密文证明余额已更新"}, glossary.Term{}},
	{LoadDisproven, "00", glossary.Term{EN: "a cryptogram proves the old balance", ZH: "卡片密文证明余额未更新"}, glossary.Term{}},
	{PaidOut, "00", glossary.Term{EN: "the unloaded purse was paid out", ZH: "圈提余额已返还"}, glossary.Term{}},
	{ScriptNoted, "00", glossary.Term{EN: "results of scripts noted", ZH: "脚本结果已记录"}, glossary.Term{}},
	{AdviceNoted, "00", glossary.Term{EN: "the card approved as the bank did", ZH: "卡片最终批准已记录"}, glossary.Term{}},
	{CardDeclined, "00", glossary.Term{EN: "the card declined in the end, the hold is released", ZH: "卡片最终拒绝，冻结已解除"}, glossary.Term{}},
	{RefundDone, "00", glossary.Term{EN: "refund of an offline payment, to the account", ZH: "脱机消费退货已入账户"}, glossary.Term{}},
	{PurseCannotBeBlocked, "00", glossary.Term{EN: "the account is blocked; the purse on the chip cannot be and may be spent by whoever holds the card", ZH: "账户已止付；电子现金不可挂失，持卡即可使用"}, glossary.Term{}},
}

func (r Reason) info() reasonInfo {
	for _, row := range reasonTable {
		if row.reason == r {
			return row
		}
	}
	panic("issuer: reason without a row in the table")
}

// ResponseCode gives field 39 for the reason [REF 6.2].
func (r Reason) ResponseCode() unionpay.ResponseCode { return r.info().code }

// Term says the reason in both languages.
func (r Reason) Term() glossary.Term { return r.info().term }

// Next says what to do about it, empty for approvals.
func (r Reason) Next() glossary.Term { return r.info().next }

func (r Reason) String() string { return r.Term().EN }

// Rules gives the refusals in order of precedence, for documents and for "rule 5 of 26".
func Rules() []Reason {
	var refusals []Reason
	for _, row := range reasonTable {
		if row.reason != Approved && row.reason < ReversalDone {
			refusals = append(refusals, row.reason)
		}
	}
	return refusals
}

// Position gives the reason's place among the refusals, from 1, and how many there are; 0 for an approval.
func (r Reason) Position() (place, of int) {
	refusals := Rules()
	for i, refusal := range refusals {
		if refusal == r {
			return i + 1, len(refusals)
		}
	}
	return 0, len(refusals)
}

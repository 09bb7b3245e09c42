package contact

import (
	"tapnet/glossary"
	"tapnet/kernel"
)

// Reason says why a payment ended as it did, and what to do now.
type Reason uint8

// Reasons, in the order of the dialogue.
const (
	ReasonNone Reason = iota
	ReasonApproved
	ReasonCashApproved
	ReasonIssuerApproved
	ReasonApprovedWithoutHost
	ReasonLoaded
	ReasonUnloaded

	ReasonCardAnswerMalformed
	ReasonCardBlocked
	ReasonNoCommonApplication
	ReasonApplicationBlocked
	ReasonCancelled
	ReasonCardRefused
	ReasonMissingData
	ReasonDuplicateData
	ReasonContradictoryData
	ReasonTooManyRecords
	ReasonRecordRefused
	ReasonCommandRefused
	ReasonUnaskedCryptogram
	ReasonTerminalDeclined
	ReasonCardDeclined
	ReasonServiceNotAllowed
	ReasonODAFailed
	ReasonHostSilent
	ReasonIssuerDeclined
	ReasonCardDeclinedHost
	ReasonCardRemoved
	ReasonTorn
	ReasonRemovedAfterHost

	ReasonNoPurse
	ReasonAboveBalanceLimit
	ReasonBelowBalance
	ReasonNothingToUnload
	ReasonPINNeeded
	ReasonNotLoaded
	ReasonLoadUnknown
	ReasonOtherCard
	ReasonNotPaid
	ReasonPaidWithoutProof
	ReasonPINWrong
	reasonCount
)

// What to do next, where many reasons share it.
var (
	nextNothing = kernel.ReasonNone.Next()
	nextAnother = kernel.ReasonCardDeclined.Next()
	nextInsert  = glossary.Term{EN: "Insert the card again and leave it in until the end.", ZH: "请重新插卡，交易结束前勿拔卡。"}
	nextOther   = glossary.Term{EN: "Tap the card or pay with another card.", ZH: "请挥卡，或换卡支付。"}
	nextLog     = glossary.Term{EN: "Insert the same card again: its balance and log show whether it has paid.",
		ZH: "请重新插入同一张卡：卡内余额和日志可查是否已扣款。"}
)

// What a card does wrong it does wrong by contact and without: those sentences have their home in package kernel.
var reasonTable = [reasonCount]kernel.ReasonText{
	ReasonNone:         kernel.ReasonNone.Text(),
	ReasonApproved:     {Why: glossary.Term{EN: "the card approved offline", ZH: "卡片脱机批准"}, Next: nextNothing},
	ReasonCashApproved: {Why: glossary.Term{EN: "the card paid with electronic cash", ZH: "电子现金支付成功"}, Next: nextNothing},
	ReasonIssuerApproved: {Why: glossary.Term{EN: "the issuer approved", ZH: "发卡行批准"},
		Next: nextNothing},
	ReasonApprovedWithoutHost: {Why: glossary.Term{EN: "the host did not answer, and card and terminal approved without it", ZH: "主机无应答，卡片与终端脱机批准"},
		Next: nextNothing},
	ReasonLoaded:   {Why: glossary.Term{EN: "the electronic cash was loaded", ZH: "圈存成功"}, Next: nextNothing},
	ReasonUnloaded: {Why: glossary.Term{EN: "the electronic cash was taken out", ZH: "电子现金已转出"}, Next: nextNothing},

	ReasonCardAnswerMalformed: {Why: kernel.ReasonCardAnswerMalformed.Term(), Next: nextOther},
	ReasonCardBlocked:         kernel.ReasonCardBlocked.Text(),
	ReasonNoCommonApplication: {Why: kernel.ReasonNoCommonApplication.Term(), Next: nextOther},
	ReasonApplicationBlocked:  kernel.ReasonApplicationBlocked.Text(),
	ReasonCancelled: {Why: glossary.Term{EN: "the payment was cancelled", ZH: "交易已取消"},
		Next: glossary.Term{EN: "Start a new sale.", ZH: "请重新发起交易。"}},
	ReasonCardRefused:       {Why: glossary.Term{EN: "the card refuses this transaction", ZH: "卡片拒绝本次交易"}, Next: nextAnother},
	ReasonMissingData:       kernel.ReasonMissingData.Text(),
	ReasonDuplicateData:     kernel.ReasonDuplicateData.Text(),
	ReasonContradictoryData: kernel.ReasonContradictoryData.Text(),
	ReasonTooManyRecords:    kernel.ReasonTooManyRecords.Text(),
	ReasonRecordRefused:     {Why: kernel.ReasonRecordRefused.Term(), Next: nextAnother},
	ReasonCommandRefused:    {Why: glossary.Term{EN: "the card refuses a command it has to carry out", ZH: "卡片拒绝执行必备指令"}, Next: nextAnother},
	ReasonUnaskedCryptogram: {Why: glossary.Term{EN: "the card approves more than it was asked for", ZH: "卡片返回的密文类型超出请求"}, Next: nextAnother},
	ReasonTerminalDeclined: {Why: glossary.Term{EN: "the terminal's checks rule the payment out", ZH: "终端检查不通过，拒绝交易"},
		Next: glossary.Term{EN: "See the checks named; pay with another card.", ZH: "请查看所列检查项，换卡支付。"}},
	ReasonCardDeclined:      kernel.ReasonCardDeclined.Text(),
	ReasonServiceNotAllowed: {Why: glossary.Term{EN: "the card does not allow this kind of service", ZH: "卡片不允许此类服务"}, Next: nextAnother},
	ReasonODAFailed:         kernel.ReasonODAFailed.Text(),
	ReasonHostSilent: {Why: glossary.Term{EN: "the issuer had to be asked, and there was no answer", ZH: "需联机授权，但主机无应答"},
		Next: glossary.Term{EN: "Check the terminal's line and try again.", ZH: "请检查终端通讯后重试。"}},
	ReasonIssuerDeclined: {Why: glossary.Term{EN: "the issuer declined", ZH: "发卡行拒绝"},
		Next: glossary.Term{EN: "See the response code; pay with another card.", ZH: "请查看应答码，换卡支付。"}},
	ReasonCardDeclinedHost: {Why: glossary.Term{EN: "the issuer approved, but the card does not accept the issuer's answer", ZH: "发卡行已批准，但卡片不认可发卡行应答"},
		Next: glossary.Term{EN: "The payment is reversed by itself. Pay with another card.", ZH: "交易将自动冲正，请换卡支付。"}},
	ReasonCardRemoved: {Why: glossary.Term{EN: "the card was taken out too early; nothing was paid", ZH: "卡片过早拔出，未扣款"}, Next: nextInsert},
	ReasonTorn:        {Why: glossary.Term{EN: "the card was taken out before its answer arrived; only the card knows whether it has paid", ZH: "卡片在应答前拔出，是否扣款只有卡片知道"}, Next: nextLog},
	ReasonRemovedAfterHost: {Why: glossary.Term{EN: "the card was taken out after the issuer had approved", ZH: "发卡行批准后卡片被拔出"},
		Next: glossary.Term{EN: "The payment is reversed by itself. Insert the card and start again.", ZH: "交易将自动冲正，请重新插卡交易。"}},

	ReasonNoPurse: {Why: glossary.Term{EN: "the card holds no electronic cash in this currency", ZH: "卡片无该币种电子现金"},
		Next: glossary.Term{EN: "Use a card with electronic cash.", ZH: "请使用带电子现金的卡片。"}},
	ReasonAboveBalanceLimit: {Why: glossary.Term{EN: "the purse would hold more than it may", ZH: "圈存后余额将超过上限"},
		Next: glossary.Term{EN: "Load a smaller amount.", ZH: "请减少圈存金额。"}},
	ReasonBelowBalance: {Why: glossary.Term{EN: "the purse holds less than is to be taken back", ZH: "电子现金余额不足以撤销"},
		Next: glossary.Term{EN: "The load has been spent, so it cannot be voided.", ZH: "充值金额已消费，无法撤销。"}},
	ReasonNothingToUnload: {Why: glossary.Term{EN: "the purse is empty", ZH: "电子现金余额为零"}, Next: nextNothing},
	ReasonPINNeeded: {Why: glossary.Term{EN: "loading from the account needs the PIN", ZH: "指定账户圈存需输入密码"},
		Next: glossary.Term{EN: "Start again and enter the PIN.", ZH: "请重新操作并输入密码。"}},
	ReasonNotLoaded: {Why: glossary.Term{EN: "the issuer approved, but the purse keeps its old balance", ZH: "发卡行已批准，但电子现金余额未变"},
		Next: glossary.Term{EN: "The issuer learns it from the script result and gives the money back.", ZH: "发卡行将根据脚本结果退回款项。"}},
	ReasonLoadUnknown: {Why: glossary.Term{EN: "the card was taken out while it was loaded; only the card knows its balance", ZH: "圈存过程中卡片被拔出，余额以卡片为准"},
		Next: glossary.Term{EN: "Insert the same card again: its balance decides.", ZH: "请重新插入同一张卡，以卡内余额为准。"}},
	ReasonOtherCard: {Why: kernel.ReasonOtherCard.Term(),
		Next: glossary.Term{EN: "Insert the same card.", ZH: "请插入同一张卡。"}},
	ReasonNotPaid: {Why: glossary.Term{EN: "the interrupted payment was not made: the balance has not changed", ZH: "中断的交易未扣款：余额未变"},
		Next: glossary.Term{EN: "Start a new sale.", ZH: "请重新发起交易。"}},
	ReasonPaidWithoutProof: {Why: glossary.Term{EN: "the card was charged, but its proof for the merchant is lost", ZH: "卡片已扣款，但交易证书丢失"},
		Next: glossary.Term{EN: "Give the amount back as a refund; do not charge again.", ZH: "请按退货退回该笔金额，勿重复扣款。"}},
	ReasonPINWrong: {Why: glossary.Term{EN: "the PIN was wrong, and no other was entered", ZH: "密码错误，且未重新输入"},
		Next: glossary.Term{EN: "Start again with the right PIN, or pay with another card.", ZH: "请用正确密码重新交易，或换卡支付。"}},
}

var reasonTexts = kernel.ReasonTexts[Reason](reasonTable[:])

// Term is why, as a sentence without a full stop.
func (r Reason) Term() glossary.Term { return reasonTexts.Of(r).Why }

// Next is what to do now.
func (r Reason) Next() glossary.Term { return reasonTexts.Of(r).Next }

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

// Reasons lists every reason, for documentation.
func Reasons() []Reason { return reasonTexts.All() }

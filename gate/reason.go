package gate

import "tapnet/glossary"

// Reason is the answer to a tap: why the gate opens or stays shut.
type Reason uint8

// Reasons, in the order in which the rules are checked. The numbers stand in tap logs and never change.
const (
	OK            Reason = iota + 1 // open
	ReadAgain                       // the card left too early or the phone wants to be unlocked
	NotReadable                     // no application or no data this gate can use
	CardDeclined                    // the card or the kernel declined
	Expired                         // expired, or not yet effective
	NotForTransit                   // its usage control does not allow it
	ODAFailed                       // not proven to be genuine
	WrongAmount                     // what the card signed is not this gate's tap
	DeniedBlocked                   // on the deny list: lost, stolen, copied, cancelled, stopped
	DeniedDebt                      // on the deny list: a ride is not paid
	ListStale                       // the deny list is too old, and policy says to stay shut
	NotAccepted                     // the range of numbers is not accepted here
	FirstRideOpen                   // a token without authentication whose first ride is not approved yet
	DoubleTap                       // the same card again at once: the first tap counts
	PassBack                        // the same card in the same direction too soon
	CounterBack                     // the card's counter did not advance: a copy, or an old tap played again
	TooOften                        // too many taps in a window
	LogFailed                       // the record could not be made durable
	reasonEnd
)

type reasonText struct{ why, next glossary.Term }

var (
	nextPass   = glossary.Term{EN: "Pass.", ZH: "请通行。"}
	nextTap    = glossary.Term{EN: "Hold the card or phone to the reader again.", ZH: "请再次贴近读卡区。"}
	nextOther  = glossary.Term{EN: "Use another card or buy a ticket.", ZH: "请换卡或购票。"}
	nextIssuer = glossary.Term{EN: "Use another card, and ask the issuer about this one.", ZH: "请换卡，并就此卡联系发卡行。"}
	nextDesk   = glossary.Term{EN: "Ask at the service desk.", ZH: "请到客服中心处理。"}
)

var reasonTexts = [reasonEnd]reasonText{
	OK:            {why: glossary.Term{EN: "welcome", ZH: "欢迎乘车"}, next: nextPass},
	ReadAgain:     {why: glossary.Term{EN: "the card was not read to the end", ZH: "卡片未读取完成"}, next: nextTap},
	NotReadable:   {why: glossary.Term{EN: "this card cannot be used at this gate", ZH: "本闸机无法使用该卡"}, next: nextOther},
	CardDeclined:  {why: glossary.Term{EN: "the card declines", ZH: "卡片拒绝交易"}, next: nextIssuer},
	Expired:       {why: glossary.Term{EN: "the card is not valid today", ZH: "卡片不在有效期内"}, next: glossary.Term{EN: "Use the replacement card.", ZH: "请使用换发的新卡。"}},
	NotForTransit: {why: glossary.Term{EN: "the card is not meant for rides", ZH: "该卡不支持乘车"}, next: nextOther},
	ODAFailed:     {why: glossary.Term{EN: "the card could not prove that it is genuine", ZH: "卡片脱机真伪验证失败"}, next: nextIssuer},
	WrongAmount:   {why: glossary.Term{EN: "the card did not sign this tap", ZH: "卡片签名与本次刷卡不符"}, next: nextTap},
	DeniedBlocked: {why: glossary.Term{EN: "the card is stopped", ZH: "该卡已被停用"}, next: nextIssuer},
	DeniedDebt:    {why: glossary.Term{EN: "an earlier ride is not paid", ZH: "有欠费行程未支付"}, next: glossary.Term{EN: "Pay the ride in the app or at the service desk.", ZH: "请在应用内或客服中心补缴欠费。"}},
	ListStale:     {why: glossary.Term{EN: "the gate has been without connection for too long", ZH: "闸机离线时间过长"}, next: glossary.Term{EN: "Use another gate.", ZH: "请使用其他闸机。"}},
	NotAccepted:   {why: glossary.Term{EN: "cards of this kind are not accepted here", ZH: "本站不受理此类卡片"}, next: nextOther},
	FirstRideOpen: {why: glossary.Term{EN: "the first ride is not approved yet", ZH: "首次乘车尚未获批"}, next: glossary.Term{EN: "Wait a few minutes or use another card.", ZH: "请稍候几分钟，或换卡。"}},
	DoubleTap:     {why: glossary.Term{EN: "already tapped", ZH: "已刷过"}, next: nextPass},
	PassBack:      {why: glossary.Term{EN: "this card has just passed here", ZH: "该卡刚刚在此通行"}, next: glossary.Term{EN: "Each rider needs a card of their own.", ZH: "请一人一卡。"}},
	CounterBack:   {why: glossary.Term{EN: "the card's counter did not advance", ZH: "卡片交易计数器未递增"}, next: nextDesk},
	TooOften:      {why: glossary.Term{EN: "too many taps in a short time", ZH: "短时间内刷卡次数过多"}, next: nextDesk},
	LogFailed:     {why: glossary.Term{EN: "the gate is out of order", ZH: "闸机故障"}, next: glossary.Term{EN: "Use another gate.", ZH: "请使用其他闸机。"}},
}

// Term is why, as a sentence without a full stop.
func (r Reason) Term() glossary.Term {
	if r >= reasonEnd {
		return glossary.Term{}
	}
	return reasonTexts[r].why
}

// Next is what the rider does now.
func (r Reason) Next() glossary.Term {
	if r >= reasonEnd {
		return glossary.Term{}
	}
	return reasonTexts[r].next
}

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

// Reasons lists every reason in the order of the rules.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonEnd-1)
	for r := OK; r < reasonEnd; r++ {
		all = append(all, r)
	}
	return all
}

// Flags mark what the back office wants to know about a tap, opened or not: they never decide.
type Flags uint16

// Flags.
const (
	FlagStaleList Flags = 1 << iota // the list was older than it should be, or there was none
	FlagNoODA                       // the card did not prove to be genuine; when the gate opened: a token on trust
	FlagCounter                     // the counter did not advance, whatever the answer was
	FlagPassBack                    // within the pass-back time, whatever the answer was
	FlagTooOften                    // above the velocity limit, whatever the answer was
	FlagForgotten                   // the gate's memory is full: an older card was forgotten for this one
	FlagListed                      // on the deny list, whatever the answer was
	FlagPurse                       // the card has paid out of its own purse
	flagsEnd
)

// Has reports whether all of f are set.
func (g Flags) Has(f Flags) bool { return g&f == f }

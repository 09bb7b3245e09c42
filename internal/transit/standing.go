package transit

import (
	"fmt"
	"strings"

	"tapnet/glossary"
)

// BillState is where a bill stands.
type BillState uint8

// States of a bill.
const (
	Due        BillState = iota + 1 // to be asked for
	Asked                           // a request is on its way
	Unsure                          // no answer came: the request is being taken back
	Paid                            // by the card, through the acquirer
	Owed                            // refused for now: a debt
	Recovering                      // a debt, and a request is on its way
	Doubtful                        // a debt, no answer came, the request is being taken back
	Stopped                         // a debt of a card that will not pay: only the rider can
	WrittenOff                      // given up; the card stays denied
	Settled                         // by the rider at the counter or in the app
	Returning                       // paid, and money goes back
	billStateEnd
)

var billStateTerms = [billStateEnd]glossary.Term{
	Due:        {EN: "due", ZH: "待扣款"},
	Asked:      {EN: "asked for", ZH: "扣款中"},
	Unsure:     {EN: "no answer, being taken back", ZH: "无应答，冲正中"},
	Paid:       {EN: "paid", ZH: "已支付"},
	Owed:       {EN: "owed", ZH: "欠费"},
	Recovering: {EN: "owed, asked for again", ZH: "欠费，补扣中"},
	Doubtful:   {EN: "owed, no answer, being taken back", ZH: "欠费，无应答，冲正中"},
	Stopped:    {EN: "owed, the card will not pay", ZH: "欠费，卡片不可用"},
	WrittenOff: {EN: "written off", ZH: "已核销"},
	Settled:    {EN: "paid by the rider", ZH: "乘客已自助补缴"},
	Returning:  {EN: "paid, a refund is on its way", ZH: "已支付，退款中"},
}

// Term is the state in both languages.
func (s BillState) Term() glossary.Term {
	if s == 0 || s >= billStateEnd {
		return glossary.Term{}
	}
	return billStateTerms[s]
}

// String is the state in English.
func (s BillState) String() string { return s.Term().EN }

// MarshalText is String.
func (s BillState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Denies reports whether a bill in this state keeps its card on the deny list.
func (s BillState) Denies() bool {
	return s == Owed || s == Recovering || s == Doubtful || s == Stopped || s == WrittenOff
}

// Unpaid reports whether the rider still owes the bill as far as the books say.
func (s BillState) Unpaid() bool {
	return s == Due || s == Asked || s == Unsure || s.Denies() && s != WrittenOff
}

// BillEvent is what happens to a bill.
type BillEvent uint8

// Events.
const (
	EventAsk       BillEvent = iota + 1 // the request leaves: the first, by the calendar, or because of a tap
	EventApproved                       // class approved
	EventFunds                          // class funds
	EventSystem                         // classes system and ours, with waits left in the calendar
	EventExhausted                      // the same, and the calendar is at its end
	EventCard                           // class card
	EventSilence                        // no answer in time
	EventTakenBack                      // the reversal was acknowledged
	EventGiveUp                         // the calendar is at its end, or the operator says so
	EventSettle                         // the rider pays another way
	EventRefund                         // money is to go back
	EventReturned                       // it has gone, or the acquirer refused it
	billEventEnd
)

var billEventTerms = [billEventEnd]glossary.Term{
	EventAsk:       {EN: "asked for", ZH: "发起扣款"},
	EventApproved:  {EN: "approved", ZH: "批准"},
	EventFunds:     {EN: "refused: no money now", ZH: "拒绝：暂时扣款失败"},
	EventSystem:    {EN: "refused: a system in trouble, waits left", ZH: "失败：系统故障，仍可重试"},
	EventExhausted: {EN: "refused: a system in trouble, no waits left", ZH: "失败：系统故障，重试已用尽"},
	EventCard:      {EN: "refused: the card will not pay", ZH: "拒绝：卡片不可用"},
	EventSilence:   {EN: "no answer in time", ZH: "超时无应答"},
	EventTakenBack: {EN: "the reversal is acknowledged", ZH: "冲正已确认"},
	EventGiveUp:    {EN: "given up", ZH: "放弃追缴"},
	EventSettle:    {EN: "the rider pays", ZH: "乘客补缴"},
	EventRefund:    {EN: "a refund is sent", ZH: "发起退款"},
	EventReturned:  {EN: "the refund is answered", ZH: "退款已应答"},
}

// Term is the event in both languages.
func (e BillEvent) Term() glossary.Term {
	if e == 0 || e >= billEventEnd {
		return glossary.Term{}
	}
	return billEventTerms[e]
}

// String is the event in English.
func (e BillEvent) String() string { return e.Term().EN }

// transition is one legal move of a bill. Everything that is not in the table is a bug.
type transition struct {
	from  BillState
	event BillEvent
	to    BillState
}

// transitions is the whole life of a bill.
var transitions = []transition{
	{Due, EventAsk, Asked},
	{Due, EventSettle, Settled},
	{Due, EventGiveUp, WrittenOff},
	{Asked, EventApproved, Paid},
	{Asked, EventFunds, Owed},
	{Asked, EventSystem, Due},
	{Asked, EventExhausted, Owed},
	{Asked, EventCard, Stopped},
	{Asked, EventSilence, Unsure},
	{Unsure, EventTakenBack, Due},
	{Owed, EventAsk, Recovering},
	{Owed, EventSettle, Settled},
	{Owed, EventGiveUp, WrittenOff},
	{Recovering, EventApproved, Paid},
	{Recovering, EventFunds, Owed},
	{Recovering, EventSystem, Owed},
	{Recovering, EventExhausted, Owed},
	{Recovering, EventCard, Stopped},
	{Recovering, EventSilence, Doubtful},
	{Doubtful, EventTakenBack, Owed},
	{Stopped, EventSettle, Settled},
	{Stopped, EventGiveUp, WrittenOff},
	{WrittenOff, EventSettle, Settled},
	{Paid, EventRefund, Returning},
	{Returning, EventReturned, Paid},
}

// next is where an event takes a bill; false when the table does not have the move.
func (s BillState) next(e BillEvent) (BillState, bool) {
	for _, t := range transitions {
		if t.from == s && t.event == e {
			return t.to, true
		}
	}
	return 0, false
}

// BillTable is the table of moves as a page of documentation, in both languages.
func BillTable() string {
	var b strings.Builder
	b.WriteString("| from · 原状态 | event · 事件 | to · 新状态 | deny list · 黑名单 |\n|---|---|---|---|\n")
	for _, t := range transitions {
		list := ""
		switch {
		case t.to.Denies() && !t.from.Denies():
			list = "+"
		case !t.to.Denies() && t.from.Denies():
			list = "−"
		}
		from, event, to := t.from.Term(), t.event.Term(), t.to.Term()
		fmt.Fprintf(&b, "| %s · %s | %s · %s | %s · %s | %s |\n", from.EN, from.ZH, event.EN, event.ZH, to.EN, to.ZH, list)
	}
	return b.String()
}

// ClassTable is the table of answers as a page of documentation.
func ClassTable() string {
	var b strings.Builder
	b.WriteString("| codes · 应答码 | class · 类别 | deny list · 黑名单原因 |\n|---|---|---|\n")
	for _, r := range rulings {
		var codes []string
		for _, c := range r.codes {
			codes = append(codes, string(c))
		}
		class, stop := r.class.Term(), r.stop.Term()
		fmt.Fprintf(&b, "| %s | %s · %s | %s · %s |\n", strings.Join(codes, " "), class.EN, class.ZH, stop.EN, stop.ZH)
	}
	return b.String()
}

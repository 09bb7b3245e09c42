package transit

import "tapnet/glossary"

// Reason says why a row of the office was made. The numbers stand in journals and never change.
type Reason uint16

// Reasons of bills and of changes.
const (
	ReasonClose      Reason = iota + 1 // the day's close
	ReasonLimit                        // the cumulative limit
	ReasonJourney                      // a journey has ended
	ReasonCorrection                   // a rider was owed something
	ReasonOperator                     // by decision of the operator
	ReasonRider                        // by the rider
	ReasonCalendar                     // the calendar of retries is at its end
	ReasonPAR                          // the acquirer's answer named the account
	ReasonBlock                        // the operator stops a credential
	ReasonUnblock                      // and lets it ride again
	ReasonStatement                    // the rider states where a missing tap was
	ReasonCategory                     // the rider's category
	ReasonToken                        // the rider's token for the app
	ReasonClaim                        // a first ride without authentication was granted
	ReasonCounter                      // the chip's counter contradicts itself: there is a copy
	ReasonRestricted                   // too many incomplete journeys in a year
	ReasonFreed                        // the restriction has ended
	ReasonUnited                       // what came in showed that two accounts are one rider's
	ReasonAgain                        // the operator asks for a bill again
	ReasonAgainRider                   // the rider does
	reasonEnd
)

var reasonTerms = [reasonEnd]glossary.Term{
	ReasonClose:      {EN: "the day's close", ZH: "日结"},
	ReasonLimit:      {EN: "the cumulative limit was reached", ZH: "达到累计限额"},
	ReasonJourney:    {EN: "a journey has ended", ZH: "行程结束"},
	ReasonCorrection: {EN: "the rider was owed it", ZH: "退补乘客款项"},
	ReasonOperator:   {EN: "by decision of the operator", ZH: "运营方决定"},
	ReasonRider:      {EN: "by the rider", ZH: "乘客办理"},
	ReasonCalendar:   {EN: "every retry of the calendar has been made", ZH: "重试日历已用尽"},
	ReasonPAR:        {EN: "the acquirer's answer named the payment account", ZH: "应答中带回支付账户参考号"},
	ReasonBlock:      {EN: "stopped by the operator", ZH: "运营方停用"},
	ReasonUnblock:    {EN: "released by the operator", ZH: "运营方解除停用"},
	ReasonStatement:  {EN: "the rider stated where the missing tap was", ZH: "乘客申报缺失的刷卡"},
	ReasonCategory:   {EN: "rider category set", ZH: "设置乘客类别"},
	ReasonToken:      {EN: "the rider's app was connected", ZH: "乘客应用已绑定"},
	ReasonClaim:      {EN: "one ride before the first approval was granted", ZH: "允许首次获批前乘车一次"},
	ReasonCounter:    {EN: "its counter contradicts itself: a copy was seen", ZH: "计数器前后矛盾：发现伪卡"},
	ReasonRestricted: {EN: "too many incomplete journeys this year", ZH: "本年度未完整行程过多，限制乘车"},
	ReasonFreed:      {EN: "the restriction has ended", ZH: "限制乘车已解除"},
	ReasonUnited:     {EN: "two accounts turned out to be one rider's", ZH: "两个账户确认为同一乘客"},
	ReasonAgain:      {EN: "the operator has the bill asked for again", ZH: "运营方发起补扣"},
	ReasonAgainRider: {EN: "the rider has the bill asked for again", ZH: "乘客发起补扣"},
}

// Term is the reason in both languages.
func (r Reason) Term() glossary.Term {
	if r == 0 || r >= reasonEnd {
		return glossary.Term{}
	}
	return reasonTerms[r]
}

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

var askTerms = [...]glossary.Term{
	AskVerify:   {EN: "verification", ZH: "账户验证"},
	AskHold:     {EN: "maximum fare held", ZH: "最高票价预授权"},
	AskPay:      {EN: "payment of a bill", ZH: "账单扣款"},
	AskComplete: {EN: "completion of what is held", ZH: "预授权完成"},
	AskRetry:    {EN: "debt tried again by the calendar", ZH: "按日历补扣"},
	AskTap:      {EN: "debt tried again because of a tap", ZH: "刷卡触发补扣"},
	AskRefund:   {EN: "refund", ZH: "退款"},
	AskUpload:   {EN: "upload of what the card paid", ZH: "卡内支付上送"},
	AskReturn:   {EN: "refund of what the card paid for no ride", ZH: "退还卡内支付（未乘车）"},
}

// Term is what a request is for, in both languages.
func (a Ask) Term() glossary.Term {
	if int(a) >= len(askTerms) {
		return glossary.Term{}
	}
	return askTerms[a]
}

// String is the ask in English.
func (a Ask) String() string { return a.Term().EN }

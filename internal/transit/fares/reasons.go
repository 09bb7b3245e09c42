package fares

import (
	"encoding/json"
	"fmt"

	"tapnet/glossary"
	"tapnet/money"
)

// Reason names why a step changes an amount or leaves it. The names are stable; texts are Step.Text.
type Reason string

// The reasons.
const (
	ReasonTable        Reason = "table"
	ReasonZone         Reason = "zone"
	ReasonFlat         Reason = "flat"
	ReasonSegment      Reason = "segment"
	ReasonTerminus     Reason = "terminus"
	ReasonFirstStop    Reason = "first-stop"
	ReasonCategory     Reason = "category"
	ReasonTimeframe    Reason = "timeframe"
	ReasonSameStation  Reason = "same-station"
	ReasonSameLate     Reason = "same-station-late"
	ReasonOvertime     Reason = "overtime"
	ReasonNoExit       Reason = "no-exit"
	ReasonNoEntry      Reason = "no-entry"
	ReasonHeld         Reason = "held"
	ReasonOpen         Reason = "open"
	ReasonCompleted    Reason = "completed"
	ReasonCorrected    Reason = "corrected"
	ReasonOtherMedium  Reason = "other-medium"
	ReasonTransfer     Reason = "transfer"
	ReasonDayCap       Reason = "day-cap"
	ReasonWeekCap      Reason = "week-cap"
	ReasonNoFare       Reason = "no-fare"
	ReasonNoService    Reason = "no-service"
	ReasonWrongKind    Reason = "wrong-kind"
	ReasonNoTariff     Reason = "no-tariff"
	ReasonRepeated     Reason = "repeated"
	ReasonLimitReached Reason = "completion-limit"
)

var reasonTerms = map[Reason]glossary.Term{
	ReasonTable:        {EN: "fare from %[1]s to %[2]s", ZH: "%[1]s 至 %[2]s 的票价"},
	ReasonZone:         {EN: "fare from zone %[1]s to zone %[2]s", ZH: "%[1]s 区至 %[2]s 区的票价"},
	ReasonFlat:         {EN: "flat fare of %[1]s", ZH: "%[1]s 单一票价"},
	ReasonSegment:      {EN: "segmented fare on route %[1]s, stops %[2]s", ZH: "%[1]s 路分段票价，站序 %[2]s"},
	ReasonTerminus:     {EN: "no tap when alighting on route %[1]s: fare to the terminus, stops %[2]s", ZH: "%[1]s 路下车未刷卡，按至终点站计费，站序 %[2]s"},
	ReasonFirstStop:    {EN: "no tap when boarding on route %[1]s: fare from the first stop, stops %[2]s", ZH: "%[1]s 路上车未刷卡，按自起点站计费，站序 %[2]s"},
	ReasonCategory:     {EN: "rider category %[1]s", ZH: "乘客类别：%[1]s"},
	ReasonTimeframe:    {EN: "time of day: %[1]s", ZH: "时段：%[1]s"},
	ReasonSameStation:  {EN: "in and out at %[1]s within the time allowed", ZH: "在 %[1]s 限时内同站进出"},
	ReasonSameLate:     {EN: "in and out at %[1]s after the time allowed", ZH: "在 %[1]s 超时同站进出"},
	ReasonOvertime:     {EN: "longer in the paid area than allowed", ZH: "付费区停留超时"},
	ReasonNoExit:       {EN: "entered at %[1]s and no exit: maximum fare", ZH: "在 %[1]s 进站，无出站记录，按最高票价"},
	ReasonNoEntry:      {EN: "left at %[1]s and no entry: maximum fare", ZH: "在 %[1]s 出站，无进站记录，按最高票价"},
	ReasonHeld:         {EN: "a tap is missing: held for a correction until the end of %[1]s", ZH: "缺少刷卡记录，保留至 %[1]s 日终以待更正"},
	ReasonOpen:         {EN: "journey still under way", ZH: "行程进行中"},
	ReasonCompleted:    {EN: "missing tap taken to be at %[1]s, from the rider's other journeys", ZH: "缺少的刷卡记录按乘客其他行程补为 %[1]s"},
	ReasonCorrected:    {EN: "missing tap stated to be at %[1]s", ZH: "缺少的刷卡记录经申报补为 %[1]s"},
	ReasonOtherMedium:  {EN: "card and phone of one rider", ZH: "同一乘客的卡与手机"},
	ReasonTransfer:     {EN: "transfer: %[1]s", ZH: "换乘优惠：%[1]s"},
	ReasonDayCap:       {EN: "day cap reached: %[1]s", ZH: "达到单日封顶：%[1]s"},
	ReasonWeekCap:      {EN: "week cap reached: %[1]s", ZH: "达到单周封顶：%[1]s"},
	ReasonNoFare:       {EN: "the tariff has no fare from %[1]s to %[2]s: not charged", ZH: "票价表无 %[1]s 至 %[2]s 的票价，不收费"},
	ReasonNoService:    {EN: "the tariff has no service %[1]s: not charged", ZH: "票价表无 %[1]s 服务，不收费"},
	ReasonWrongKind:    {EN: "a tap of this kind has no meaning in service %[1]s: not charged", ZH: "此类刷卡不适用于 %[1]s 服务，不收费"},
	ReasonNoTariff:     {EN: "no tariff was in force on %[1]s: not charged", ZH: "%[1]s 无有效票价表，不收费"},
	ReasonRepeated:     {EN: "the same tap again at %[1]s: ignored", ZH: "在 %[1]s 重复刷卡，已忽略"},
	ReasonLimitReached: {EN: "journeys were completed %[1]s times this year, which is the limit", ZH: "本年度已自动补全行程 %[1]s 次，达到上限"},
}

// Step is one reason with what it adds to the amount or takes from it.
type Step struct {
	Reason Reason
	Amount money.Amount
	args   [2]string
}

// MarshalJSON writes reason, amount, and the text in both languages.
func (s Step) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Reason Reason       `json:"reason"`
		Amount money.Amount `json:"amount"`
		EN     string       `json:"en"`
		ZH     string       `json:"zh"`
	}{s.Reason, s.Amount, s.Text(glossary.English), s.Text(glossary.Chinese)})
}

// Text tells the step to a person.
func (s Step) Text(l glossary.Lang) string {
	term, ok := reasonTerms[s.Reason]
	if !ok {
		return string(s.Reason)
	}
	switch s.Reason {
	case ReasonOpen, ReasonOvertime, ReasonOtherMedium:
		return term.In(l)
	case ReasonTable, ReasonZone, ReasonSegment, ReasonTerminus, ReasonFirstStop, ReasonNoFare:
		return fmt.Sprintf(term.In(l), s.args[0], s.args[1])
	}
	return fmt.Sprintf(term.In(l), s.args[0])
}

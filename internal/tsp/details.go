package tsp

import (
	"fmt"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/money"
)

// Details says how the token of a resolution stands, and what it may pay: beside the reason of one payment, that tells of the next. It looks into memory
// only, at the token as it is or was a moment ago, and may run beside the writer.
func (s *TSP) Details(r *journal.Row) []glossary.Term {
	if r.Kind != journal.Answered && r.Kind != journal.Declined || r.Card <= 0 || r.Terminal == "" {
		return nil
	}
	t, _ := s.state.memory(cellOf(kindToken, uint64(r.Card))).(*Token)
	if t == nil {
		return nil
	}
	state := glossary.Term{EN: "token " + t.State.String(), ZH: "令牌状态 " + t.State.String()}
	if names := strings.Join(t.Suspenders.Names(), ", "); names != "" {
		state.EN += " by " + names
		state.ZH += "，暂停方 " + names
	}
	if name := t.IDV.info().name; name != "" {
		state.EN += ", holder verified: " + name
		state.ZH += "，持卡人验证方式 " + name
	}
	said := []glossary.Term{state}
	currency, err := money.CurrencyByNumber(int(r.Currency))
	q := s.state.requestorAt(t.Requestor)
	if err != nil || q == nil {
		return said
	}
	if until := t.coolingUntil(q.Policy); q.Policy.CoolingMinor > 0 && r.At.Before(until) {
		most, end := money.New(q.Policy.CoolingMinor, currency), until.In(clock.Shanghai()).Format(time.DateTime)
		said = append(said, glossary.Term{EN: fmt.Sprintf("new token: at most %s a payment until %s", most, end),
			ZH: fmt.Sprintf("新令牌：%s前单笔不超过%s", end, most)})
	}
	if t.limited() && q.Policy.LimitedMinor > 0 {
		most := money.New(q.Policy.LimitedMinor, currency)
		said = append(said, glossary.Term{EN: fmt.Sprintf("weakly verified holder: at most %s a payment", most),
			ZH: fmt.Sprintf("持卡人验证较弱：单笔不超过%s", most)})
	}
	return said
}

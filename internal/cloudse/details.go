package cloudse

import (
	"fmt"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/money"
)

// Details says how the keys of a verified payment's token stand, and how far its limits are used. It looks into memory only, at the token as it is or was a
// moment ago, and may run beside the writer.
func (s *Service) Details(r *journal.Row) []glossary.Term {
	if r.Kind != journal.Approved && r.Kind != journal.Declined || r.Payment == "" {
		return nil
	}
	resident := s.state.cache.directory.find(nameOf(r.Payment))
	if resident == nil {
		return nil
	}
	t := resident.now.Load()
	if t == nil {
		return nil
	}
	keys := glossary.Term{EN: "keys work", ZH: "密钥可用"}
	for i, why := range t.causes.Terms() {
		if i == 0 {
			keys = glossary.Term{EN: "keys stopped", ZH: "密钥已停用"}
		}
		keys.EN += ": " + why.EN
		keys.ZH += "：" + why.ZH
	}
	standing := t.standing()
	keys.EN += fmt.Sprintf(", counter %04X, %d taps left in batch %d", r.ATC, standing.KeysLeft, standing.BSEQ)
	keys.ZH += fmt.Sprintf("，计数器%04X，第%d批剩余%d次", r.ATC, standing.BSEQ, standing.KeysLeft)
	said := []glossary.Term{keys}
	currency, err := money.CurrencyByNumber(int(r.Currency))
	if err != nil || int(r.Currency) != t.currency {
		return said
	}
	l, today := limitsOr(t.limits, s.policy.Limits), t.days[0]
	if today.date != r.BusinessDate {
		today = day{}
	}
	of := func(minor int64) string { return money.New(minor, currency).String() }
	return append(said, glossary.Term{
		EN: fmt.Sprintf("limits: %s a tap, %s unverified, today %s of %s in %d of %d taps, %d of %d since the last refresh", of(l.TapMinor), of(l.OpenTapMinor),
			of(today.minor), of(l.DayMinor), today.count, l.DayCount, t.contact.taps, l.ContactTaps),
		ZH: fmt.Sprintf("限额：单笔%s，免验证%s，今日已用%s/%s（%d/%d次），上次更新后%d/%d次", of(l.TapMinor), of(l.OpenTapMinor),
			of(today.minor), of(l.DayMinor), today.count, l.DayCount, t.contact.taps, l.ContactTaps),
	})
}

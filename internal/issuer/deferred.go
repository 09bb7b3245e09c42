package issuer

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// TransitPolicy is the rule for rides that are paid after they were taken. A gate opens by what the card proves offline; the cryptogram it makes there is
// about a nominal amount or nothing, and it proves the ride when the operator asks for the fare later, for more rides together, or again after a refusal.
// Without the indicator, in another category, or outside the bounds the ordinary rules hold: the amount is the one that the chip signed.
type TransitPolicy struct {
	// Off: this bank lets nobody pay so.
	Off bool
	// Categories of merchants that may [REF 2.7]: local transport, railways, buses.
	Categories []string
	// NominalMinor is the most that a gate's cryptogram may be about: the highest fare of a city.
	NominalMinor int64
	// CumulativeMinor is the most that one request asks for. What a card may pay in a day without PIN bounds all of them together.
	CumulativeMinor int64
	// GatherDays is how long rides may be gathered, from the first to the request.
	GatherDays int
	// RecoverDays is how long the proof of a ride holds for attempts at a debt.
	RecoverDays int
}

// DefaultTransit is what a Deps without a policy gets. The bounds are ours: an operator's limit of 30.00 and one highest fare more, a week's gathering, and
// the calendar of retries.
func DefaultTransit() TransitPolicy {
	return TransitPolicy{Categories: []string{"4111", "4112", "4131"}, NominalMinor: 1500, CumulativeMinor: 5000, GatherDays: 8, RecoverDays: 30}
}

func (p TransitPolicy) orDefault() TransitPolicy {
	if !p.Off && len(p.Categories) == 0 {
		return DefaultTransit()
	}
	return p
}

// admits reports whether a request is one for rides, within the bounds.
func (p *TransitPolicy) admits(m *unionpay.FinancialRequest, r *request) bool {
	t, err := unionpay.TransitOf(m.Detail)
	if err != nil || t.IsZero() || p.Off || !slices.Contains(p.Categories, m.MerchantType) {
		return false
	}
	days := p.GatherDays
	if t.Use == unionpay.TransitDebt {
		days = p.RecoverDays
	}
	return r.minor <= p.CumulativeMinor && within(t.Ridden, r.businessDate, days)
}

// within reports whether a date (yyyymmdd) is not further back than so many days. The day after is allowed: the operator's day is not the bank's.
func within(date, today int32, days int) bool {
	at, now := instantOf(date), instantOf(today)
	return !at.After(now.AddDate(0, 0, 1)) && !at.Before(now.AddDate(0, 0, -days))
}

func instantOf(date int32) time.Time {
	return time.Date(int(date)/10000, time.Month(date/100%100), int(date)%100, 0, 0, 0, 0, time.UTC)
}

// deferral lets a request for rides be decided by the cryptogram of a gate: its own, or that of the earlier request which it names. Everything else of the
// decision is as ever: the card's standing, its counter, its limits, its money.
func (i *Issuer) deferral(m *unionpay.FinancialRequest, r *request) error {
	policy := i.deps.Transit.orDefault()
	if r.card == nil || r.unavailable || r.token || r.inquiry && r.minor != 0 || !policy.admits(m, r) {
		return nil
	}
	if r.cryptogram == CryptogramValid && r.requestAC && policy.proves(m, r) && r.card.window.fresh(r.atc) {
		r.deferred, r.chipAgrees = true, true
		return nil
	}
	key := unionpay.OriginalKey(m)
	if key == "" || strings.TrimLeft(m.Original.Acquirer, "0") != strings.TrimLeft(m.Acquirer, "0") || r.cryptogram == CryptogramInvalid {
		return nil
	}
	earlier, found, err := i.state.payment(key, nil)
	if err != nil {
		return fmt.Errorf("look for the request that proves the ride: %w", err)
	}
	proves := found && !earlier.early && earlier.card == r.card.Enrolment.Card && earlier.reason.provesCard()
	if proves && within(earlier.date, r.businessDate, policy.RecoverDays) {
		// The counter of a cryptogram that is shown again was spent then; it is not spent twice.
		r.deferred, r.recalled, r.chip, r.chipAgrees, r.requestAC, r.atc = true, true, true, true, true, 0
	}
	return nil
}

// proves reports whether a cryptogram is a gate's: about no more than a nominal amount, in the currency of the message, of the card's number, and not old.
func (p *TransitPolicy) proves(m *unionpay.FinancialRequest, r *request) bool {
	if r.chipAgrees {
		return true
	}
	signed, err := money.FromBCD(m.ICC.Get(emv.TagAmount), m.Amount.Currency())
	if err != nil || signed.Minor() > p.NominalMinor || numberBCD(m.ICC.Get(emv.TagCurrency)) != r.currency ||
		!m.Track2.IsZero() && m.Track2.PAN() != m.PAN {
		return false
	}
	const century = 20_000_000
	on := numberBCD(m.ICC.Get(emv.TagTransactionDate))
	return on > 0 && within(century+int32(on), r.businessDate, p.RecoverDays)
}

// provesCard reports whether a decision came behind the check of the cryptogram: its request proves the card, whatever the answer was.
func (r Reason) provesCard() bool {
	switch r {
	case Approved, PreAuthHeld, BalanceTold, NoPINSwitchedOff, AboveNoPINLimit, AboveTapLimit, AboveDayLimit, TooManyToday, NotEnoughMoney:
		return true
	}
	return false
}

// counts reports whether a counter may be honoured. A ride's cryptogram may come behind a payment in a shop that was made after it.
func (r *request) counts(c *Card) bool {
	switch {
	case r.recalled:
		return true
	case r.deferred:
		return c.window.fresh(r.atc)
	}
	return c.risesTo(r.atc)
}

// deferredApproved says what an approval of rides rests on.
func deferredApproved(r *journal.Row) glossary.Term {
	if r.ATC == 0 {
		return glossary.Term{EN: "approved: fares of rides, proven by an earlier request", ZH: "批准：乘车费用，凭此前请求的密文"}
	}
	return glossary.Term{
		EN: fmt.Sprintf("approved: fares of rides, the gate's ARQC matches, counter %04X is new", r.ATC),
		ZH: fmt.Sprintf("批准：乘车费用，闸机 ARQC 相符，计数器 %04X 未用过", r.ATC),
	}
}

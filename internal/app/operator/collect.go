package operator

import (
	"fmt"
	"time"

	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// Collection is how fares are collected: what an operator's file sets over its profile. What is not set is the profile's.
type Collection struct {
	Profile string `toml:"profile"` // one of transit.Profiles
	// VerifyKind is what a verification is sent as: "preauth", "sale", or of nothing "inquiry".
	VerifyKind string `toml:"verify_kind"`
	// Nominal is the amount of a nominal verification.
	Nominal string `toml:"nominal"`
	// Present is when what a rider owes is asked for: "close" or "journey".
	Present string `toml:"present"`
	// Limit is the cumulative limit: a rider whose rides come to as much is billed at once; "0" is none.
	Limit string `toml:"limit"`
	// Window is the maximum travel time: how long rides may be gathered over several closes; "0s" bills at every close, "168h" is the most.
	Window string `toml:"window"`
	// Maximum is what one ride can cost at most, and what a verification by the highest fare holds. Not set: the dearest of the tariffs.
	Maximum string `toml:"maximum"`
	// BillMost is the most that one bill comes to, and one request asks for; "0" is without bound.
	BillMost string `toml:"bill_most"`
	// TrustDays is for how many days an approval stands; RiskTrust for how long where a tap has a mark of risk; "0s" makes no difference.
	TrustDays *int   `toml:"trust_days"`
	RiskTrust string `toml:"risk_trust"`
	// HoldLife is how long a held maximum waits for its journey; "0s" as long as the journey is not decided.
	HoldLife string `toml:"hold_life"`
	// Retries are the waits of the calendar, one after the other, from the first refusal; [] writes a debt off at once.
	Retries *[]string `toml:"retries"`
	// TapRecovery is the least time between two attempts because a refused card was tapped.
	TapRecovery string `toml:"tap_recovery"`
	// RiderRetries is how often within an hour a rider may have a debt asked for again; 0 is without bound.
	RiderRetries *int `toml:"rider_retries"`
	// CorrectionsPerYear is for how many journeys a rider may say where a missing tap was; 0 is without bound.
	CorrectionsPerYear *int `toml:"corrections_per_year"`
	// RefundDays is for how many days a paid bill can go back; 0 is without bound.
	RefundDays *int `toml:"refund_days"`
}

const oneDay = 24 * time.Hour

// setting reads what a file says over a profile; the first mistake stays.
type setting struct {
	currency money.Currency
	err      error
}

func (s *setting) wrong(name, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: %s %s", ErrConfig, name, fmt.Sprintf(format, args...))
	}
}

// amount reads a decimal; least is the smallest that makes sense.
func (s *setting) amount(name, text string, least int64, into *int64) {
	if text == "" {
		return
	}
	a, err := money.Parse(text, s.currency)
	switch {
	case err != nil:
		s.wrong(name, "%q is no amount in %s: %v", text, s.currency.Code(), err)
	case a.Minor() < least:
		s.wrong(name, "%q is too small", text)
	default:
		*into = a.Minor()
	}
}

func (s *setting) time(name, text string, least time.Duration, into *time.Duration) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		s.wrong(name, "%q is no time: \"90m\" or \"72h\" are", text)
	case d < least:
		s.wrong(name, "%q is too short", text)
	default:
		*into = d
	}
}

func (s *setting) count(name string, n *int, least, most int, set func(int)) {
	switch {
	case n == nil:
	case *n < least || *n > most:
		s.wrong(name, "is %d, from %d to %d make sense", *n, least, most)
	default:
		set(*n)
	}
}

func (s *setting) choice(name, text string, choices map[string]func()) {
	if text == "" {
		return
	}
	choose, ok := choices[text]
	if !ok {
		s.wrong(name, "is %q, which is none of its choices", text)
		return
	}
	choose()
}

// bounds of what an operator may write.
const (
	trustDaysMost   = 366
	countMost       = 1000
	refundDaysMost  = 366
	retriesBetween  = time.Minute
	recoveryBetween = time.Minute
)

// profile is the named profile with what the file sets over it.
func (c *Collection) profile(currency money.Currency, book *fares.Book) (transit.Profile, error) {
	p, ok := transit.ProfileNamed(c.Profile)
	if !ok {
		return p, fmt.Errorf("%w: there is no profile %q", ErrConfig, c.Profile)
	}
	p.MaximumMinor = max(book.Highest(), 1)
	s := setting{currency: currency}
	s.choice("verify_kind", c.VerifyKind, map[string]func(){
		"preauth": func() { p.VerifyKind = unionpay.KindPreAuth }, "sale": func() { p.VerifyKind = unionpay.KindSale },
		"inquiry": func() { p.VerifyKind = unionpay.KindBalance },
	})
	s.choice("present", c.Present, map[string]func(){
		"close": func() { p.Present = transit.AtClose }, "journey": func() { p.Present = transit.EachJourney },
	})
	s.amount("nominal", c.Nominal, 1, &p.VerifyMinor)
	s.amount("limit", c.Limit, 0, &p.LimitMinor)
	s.amount("maximum", c.Maximum, 1, &p.MaximumMinor)
	s.amount("bill_most", c.BillMost, 0, &p.BillMinor)
	s.time("window", c.Window, 0, &p.Window)
	s.time("risk_trust", c.RiskTrust, 0, &p.RiskTrust)
	s.time("hold_life", c.HoldLife, 0, &p.HoldLife)
	s.time("tap_recovery", c.TapRecovery, recoveryBetween, &p.TapRecovery)
	s.count("trust_days", c.TrustDays, 1, trustDaysMost, func(n int) { p.Trust = time.Duration(n) * oneDay })
	s.count("rider_retries", c.RiderRetries, 0, countMost, func(n int) { p.RiderRetries = n })
	s.count("corrections_per_year", c.CorrectionsPerYear, 0, countMost, func(n int) { p.Corrections = n })
	s.count("refund_days", c.RefundDays, 0, refundDaysMost, func(n int) { p.RefundWithin = time.Duration(n) * oneDay })
	if c.Retries != nil {
		p.Retries = make([]time.Duration, len(*c.Retries))
		for i, text := range *c.Retries {
			if text == "" {
				s.wrong("retries", "has an empty wait")
			}
			s.time("retries", text, retriesBetween, &p.Retries[i])
		}
	}
	if p.Verify != transit.VerifyNominal && c.Nominal != "" {
		s.wrong("nominal", "has no meaning in profile %q, which verifies by %s", p.Name, p.Verify.Term().EN)
	}
	if p.BillMinor > 0 && p.Verify == transit.VerifyNominal && p.VerifyMinor > p.BillMinor {
		s.wrong("nominal", "is above bill_most")
	}
	if highest := book.Highest(); s.err == nil && p.MaximumMinor < highest {
		s.wrong("maximum", "%q is below the dearest fare of the tariffs, %s", c.Maximum, money.New(highest, currency).Decimal())
	}
	if s.err != nil {
		return p, s.err
	}
	if err := p.Check(); err != nil {
		return p, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return p, nil
}

package transit

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
)

// Verification is how a credential that is not trusted is checked when it is tapped.
type Verification uint8

// Verifications.
const (
	VerifyNothing Verification = iota
	VerifyNominal              // a small amount, given back at once
	VerifyZero                 // nothing at all: an authorization of zero
	VerifyMaximum              // the highest fare, held until the journey's fare completes it
)

var verificationTerms = [...]glossary.Term{
	VerifyNothing: {EN: "nothing", ZH: "不验证"},
	VerifyNominal: {EN: "a nominal amount, given back at once", ZH: "名义金额，立即退回"},
	VerifyZero:    {EN: "an authorization of zero", ZH: "零金额授权"},
	VerifyMaximum: {EN: "the maximum fare, completed by the journey's", ZH: "按最高票价预授权，以实际票价完成"},
}

// Term says it in both languages.
func (v Verification) Term() glossary.Term { return verificationTerms[v] }

// Presentment is when what a rider owes is asked for.
type Presentment uint8

// Presentments.
const (
	AtClose     Presentment = iota // with the day's close, or earlier when the limit is reached
	EachJourney                    // as soon as a journey has ended
)

var presentmentTerms = [...]glossary.Term{
	AtClose:     {EN: "at the day's close, or at the limit", ZH: "日结时，或达到累计限额时"},
	EachJourney: {EN: "after each journey", ZH: "每次行程结束后"},
}

// Term says it in both languages.
func (p Presentment) Term() glossary.Term { return presentmentTerms[p] }

// Profile is how an operator collects. Every scheme's rules are numbers in it; the engine is the same.
type Profile struct {
	Name   string
	Verify Verification
	// VerifyKind is what a verification is sent as: unionpay.KindPreAuth, of nothing as well: an authorization of zero, by which nothing is told of the account;
	// KindSale for acquirers without pre-authorization; or of nothing KindBalance: an inquiry, for acquirers that take no authorization of zero. What it says of
	// the balance is not kept.
	VerifyKind unionpay.MessageType
	// VerifyMinor is the nominal amount; MaximumMinor the highest fare, which bounds what one tap can cost.
	VerifyMinor, MaximumMinor int64
	Present                   Presentment
	// BillMinor is the most that one bill comes to, and that one request asks for or holds: an issuer takes no more on a gate's proof, and may stop a card of
	// which more is asked. What a rider owes beyond it goes into further bills. 0 is without bound.
	BillMinor int64
	// CompleteKind is how a held maximum is completed: unionpay.KindCompletion asks, KindCompletionNote tells (an advice).
	CompleteKind unionpay.MessageType
	// LimitMinor is the cumulative limit: a rider whose journeys since the last bill come to as much is billed at once. 0 is none.
	LimitMinor int64
	// Window is how long journeys may be gathered over several closes; 0 presents at every close. Never beyond a week.
	Window time.Duration
	// HoldLife is how long a held maximum waits for its journey; then it is given back. 0: as long as the journey is not decided.
	HoldLife time.Duration
	// Trust is how long an approval stands for the next taps; RiskTrust for one with a mark of risk: the gate's list was old, the card proved nothing, its counter
	// did not advance, or it tapped too often. Zero RiskTrust makes no difference between them.
	Trust, RiskTrust time.Duration
	// Retries are the waits after the first refusal for want of money or by a system in trouble, one after the other; then the debt is written off.
	Retries []time.Duration
	// TapRecovery is the least time between two attempts because a refused card was tapped.
	TapRecovery time.Duration
	// RiderRetries is how often within an hour a rider may have debts asked for again; 0 is without bound.
	RiderRetries int
	// Corrections is for how many journeys of a calendar year a rider may state where a missing tap was; 0 is without bound.
	Corrections int
	// RefundWithin is how long after its day the operator may give a paid bill back; 0 is without bound.
	RefundWithin time.Duration
}

const day = 24 * time.Hour

// Limits of a profile.
const (
	maxWindow   = 7 * day
	maxRetries  = 32
	nameMax     = 32
	waitDefault = 30 * time.Minute
	// holdLife is longer than a rider may take to say where a missing tap was.
	holdLife = 4 * day
)

// calendarOfRetries is +6 h, then days 1, 2, 4, 7, 10 and 14 after the first refusal: as waits.
var calendarOfRetries = []time.Duration{6 * time.Hour, 18 * time.Hour, day, 2 * day, 3 * day, 3 * day, 4 * day}

// Profiles are the ones that come with the program. Amounts are minor units of a city with a highest fare of 15.00.
func Profiles() []Profile {
	base := Profile{MaximumMinor: 1500, Trust: 14 * day, RiskTrust: day, Retries: calendarOfRetries, TapRecovery: waitDefault, VerifyKind: unionpay.KindPreAuth,
		BillMinor: 4500, RiderRetries: 3, Corrections: 12, RefundWithin: 180 * day,
		CompleteKind: unionpay.KindCompletion}
	aggregate, preauth, zero, single := base, base, base, base
	aggregate.Name, aggregate.Verify, aggregate.VerifyMinor, aggregate.LimitMinor = "aggregate", VerifyNominal, 100, 3000
	preauth.Name, preauth.Verify, preauth.Present, preauth.HoldLife = "preauth", VerifyMaximum, EachJourney, holdLife
	zero.Name, zero.Verify, zero.LimitMinor, zero.VerifyKind = "zero", VerifyZero, 3000, unionpay.KindPreAuth
	single.Name, single.Present = "single", EachJourney
	return []Profile{aggregate, preauth, zero, single}
}

// ProfileNamed finds one of Profiles.
func ProfileNamed(name string) (Profile, bool) {
	all := Profiles()
	at := slices.IndexFunc(all, func(p Profile) bool { return p.Name == name })
	if at < 0 {
		return Profile{}, false
	}
	return all[at], true
}

// ErrProfile is wrapped when a profile cannot be used.
var ErrProfile = errors.New("transit: profile cannot be used")

// Check says why a profile cannot be used. Errors wrap ErrProfile.
func (p *Profile) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrProfile, fmt.Sprintf(format, args...))
	}
	switch {
	case p.Name == "" || len(p.Name) > nameMax:
		return wrong("the name is empty or longer than %d bytes", nameMax)
	case p.Verify > VerifyMaximum || p.Present > EachJourney:
		return wrong("verification %d or presentment %d", p.Verify, p.Present)
	case p.Verify != VerifyNothing && p.VerifyKind != unionpay.KindPreAuth && p.VerifyKind != unionpay.KindSale &&
		(p.Verify != VerifyZero || p.VerifyKind != unionpay.KindBalance):
		return wrong("a verification is a pre-authorization or a sale, not kind %q", p.VerifyKind)
	case p.Verify == VerifyMaximum && (p.VerifyKind != unionpay.KindPreAuth ||
		p.CompleteKind != unionpay.KindCompletion && p.CompleteKind != unionpay.KindCompletionNote):
		return wrong("a maximum is held by a pre-authorization and completed by a completion")
	case p.Verify == VerifyNominal && p.VerifyMinor <= 0 || p.MaximumMinor <= 0 || p.LimitMinor < 0 || p.BillMinor < 0:
		return wrong("an amount is not above zero")
	case p.HoldLife < 0 || p.Window < 0 || p.Window > maxWindow || p.Trust <= 0 || p.RiskTrust < 0 || p.TapRecovery <= 0 || len(p.Retries) > maxRetries:
		return wrong("a time is out of range, or more than %d retries", maxRetries)
	case p.RiderRetries < 0 || p.Corrections < 0 || p.RefundWithin < 0:
		return wrong("a bound is below zero")
	case slices.ContainsFunc(p.Retries, func(d time.Duration) bool { return d <= 0 }):
		return wrong("a wait is not above zero")
	}
	return nil
}

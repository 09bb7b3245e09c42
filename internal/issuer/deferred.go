package issuer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
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
	// ProofMinor is the most that all requests together come to which rest on one cryptogram: its own and those that name it. Reversals, voids and refunds give
	// it back. Without it an operator could ask many times on one tap.
	ProofMinor int64
	// GatherDays is how long rides may be gathered, from the first to the request.
	GatherDays int
	// RecoverDays is how long the proof of a ride holds for attempts at a debt.
	RecoverDays int
}

// DefaultTransit is what a Deps without a policy gets. The bounds are ours: an operator's limit of 30.00 and one highest fare more, a week's gathering, and
// the calendar of retries. An operator asks for each day's rides with the cryptogram of the newest tap; without one of its own go the first bill after a
// verification, fares of taps that came late, highest fares for missing ones, and debts: so much as three whole bills.
func DefaultTransit() TransitPolicy {
	return TransitPolicy{
		Categories: []string{"4111", "4112", "4131"}, NominalMinor: 1500, CumulativeMinor: 5000, ProofMinor: 15_000, GatherDays: 8, RecoverDays: 30,
	}
}

// Limits of a policy.
const (
	transitCategoriesMax = 16
	// transitMinorMax is the highest limit without PIN that there was [REF 6.3]: no ride is above it.
	transitMinorMax = 100_000
	// transitDaysMax is a season ticket's; a proof that is older says little about the card.
	transitDaysMax = 92
)

// ErrTransit is wrapped when a policy cannot be used.
var ErrTransit = errors.New("issuer: transit policy cannot be used")

// Check says why a policy cannot be used.
func (p *TransitPolicy) Check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrTransit, fmt.Sprintf(format, args...))
	}
	if p.Off {
		return nil
	}
	if len(p.Categories) == 0 || len(p.Categories) > transitCategoriesMax {
		return wrong("%d categories, want 1 to %d", len(p.Categories), transitCategoriesMax)
	}
	for _, c := range p.Categories {
		if len(c) != 4 || strings.Trim(c, "0123456789") != "" {
			return wrong("category %q is not four digits", c)
		}
	}
	switch {
	case p.NominalMinor < 0 || p.NominalMinor > p.CumulativeMinor:
		return wrong("a gate's amount of %d is not from 0 to what one request asks for, %d", p.NominalMinor, p.CumulativeMinor)
	case p.CumulativeMinor <= 0 || p.CumulativeMinor > p.ProofMinor || p.ProofMinor > transitMinorMax:
		return wrong("one request of %d, all on one proof of %d: want above 0, not falling, at most %d", p.CumulativeMinor, p.ProofMinor, transitMinorMax)
	case p.GatherDays < 1 || p.GatherDays > p.RecoverDays || p.RecoverDays > transitDaysMax:
		return wrong("gathering %d days, recovering %d: want at least 1, not falling, at most %d", p.GatherDays, p.RecoverDays, transitDaysMax)
	}
	return nil
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
	policy := &i.deps.Transit
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
	proof, err := i.proofFor(key, r)
	if err != nil || proof == "" {
		return err
	}
	// The counter of a cryptogram that is shown again was spent then; it is not spent twice.
	r.deferred, r.recalled, r.chip, r.chipAgrees, r.requestAC, r.atc, r.proof = true, true, true, true, true, 0, proof
	if r.minor == 0 {
		return nil
	}
	resting, err := i.resting(r)
	r.exhausted = r.served == servesMax || resting+r.minor > policy.ProofMinor
	return err
}

// verifies makes a pre-authorization of nothing one that may be: an inquiry that tells nothing but whether the card is good. It is for who has a gate's proof.
func (r *request) verifies() {
	if r.deferred && r.preAuth && r.minor == 0 {
		r.inquiry, r.malformed = true, false
	}
}

// proofFor is the key of the request with whose cryptogram the named one was decided, that one itself or an earlier one that it names: however long the chain,
// everything rests on the one cryptogram and ages with it. It is empty when there is none that proves the card now.
func (i *Issuer) proofFor(key string, r *request) (string, error) {
	for range 2 {
		earlier, found, err := i.state.payment(key, nil)
		if err != nil {
			return "", fmt.Errorf("look for the request that proves the ride: %w", err)
		}
		if !found || earlier.early || earlier.card != r.card.Enrolment.Card || !earlier.reason.provesCard() ||
			!within(earlier.date, r.businessDate, i.deps.Transit.RecoverDays) {
			return "", nil
		}
		if earlier.spends {
			return key, nil
		}
		if key, err = i.state.proofBehind(key); err != nil || key == "" {
			return "", err
		}
	}
	return "", nil
}

// proofOf is the key that a row about rides goes with: of a decision without a cryptogram of its own that of the request which proves the card, of the row
// that says so beside the proof (Reason ProofServes) that of the decision.
func proofOf(r *journal.Row) string {
	if r.ATC != 0 || len(r.Note) <= noteBytes || r.Note[0]&flagDeferred == 0 {
		return ""
	}
	rest := r.Note[noteBytes:]
	if Reason(r.Reason) == BalanceTold {
		if _, n := binary.Varint(rest); n > 0 {
			rest = rest[n:]
		}
	}
	return string(rest)
}

// proofBehind finds it in memory or in the archive; "" when the row goes with none, or is not there.
func (s *state) proofBehind(key string) (string, error) {
	if proof, known := s.recent.proofs[keyOf(key)]; known || s.archive == nil {
		return proof, nil
	}
	row, found, err := s.archive.FindKey(context.Background(), key)
	switch {
	case err != nil:
		return "", fmt.Errorf("look for what rests on a proof: %w", err)
	case !found:
		return "", nil
	case row.Kind == journal.Noted && Reason(row.Reason) == ProofServes:
		return row.Payment, nil
	}
	return proofOf(row), nil
}

const (
	// serve behind the key of a proof and a number from one on is the key of the row that says which payment rests on it.
	serve = "p"
	// servesMax bounds how many do: a month's late rides and debts, many times over.
	servesMax = 32
)

func serveKey(proof string, n int) string { return proof + serve + strconv.Itoa(n) }

// resting is what has been approved on a proof and not been given back since, and counts what has been approved. It is asked of the payments themselves each
// time, so that nothing can be given back twice.
func (i *Issuer) resting(r *request) (minor int64, err error) {
	if minor, err = i.state.standsFor(r.proof); err != nil {
		return 0, err
	}
	for n := 1; n <= servesMax; n++ {
		key, err := i.state.proofBehind(serveKey(r.proof, n))
		if err != nil || key == "" {
			return minor, err
		}
		one, err := i.state.standsFor(key)
		if err != nil {
			return 0, err
		}
		minor, r.served = minor+one, n
	}
	return minor, nil
}

// standsFor is what a payment took of the cardholder's money, less what was given back: by a reversal, a void, refunds. A pre-authorization counts with what it
// held, whatever became of the rest of it.
func (s *state) standsFor(key string) (int64, error) {
	p, found, err := s.payment(key, nil)
	if err != nil || !found || p.early || p.reason != Approved && p.reason != PreAuthHeld || p.reason == Approved && !p.held {
		return 0, err
	}
	now, err := s.standing(key, p)
	if err != nil || now.marks == 0 && !p.held || now.became == VoidDone || now.became == PreAuthCancelled {
		return 0, err
	}
	return p.minor - now.refunded, nil
}

// serve says beside the proof that one more payment rests on it: the row before.
func (i *Issuer) serve(now time.Time, r *request, step *journal.Step) {
	i.append(step, now, journal.Row{Kind: journal.Noted, Key: serveKey(r.proof, r.served+1), Payment: r.id.key, Linked: step.NextSeq() - 1,
		Card: r.card.Enrolment.Card, BusinessDate: r.businessDate, Reason: uint16(ProofServes)})
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
	case Approved, PreAuthHeld, BalanceTold, CardVerified, NoPINSwitchedOff, AboveNoPINLimit, AboveTapLimit, AboveDayLimit, TooManyToday, NotEnoughMoney,
		ProofExhausted:
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

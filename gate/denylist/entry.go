package denylist

import (
	"errors"
	"fmt"
	"time"

	"tapnet/glossary"
)

// Kind says what an entry names.
type Kind uint8

// Kinds.
const (
	Credential Kind = iota + 1 // one card: number, sequence number, expiry
	Token                      // one device account number
	PAR                        // the account behind a card and its tokens
	kindEnd
)

// Reason says why an entry is on the list.
type Reason uint8

// Reasons, the strongest first: of two entries for one hash the stronger stays.
const (
	Counterfeit Reason = iota + 1 // a copy was seen
	Stolen
	Lost
	Closed   // cancelled, or the account is closed
	Operator // by decision of the operator
	Debt     // a ride is not paid
	reasonEnd
)

var reasonTerms = [reasonEnd]glossary.Term{
	Counterfeit: {EN: "a copy of the card was seen", ZH: "发现伪卡"},
	Stolen:      {EN: "reported stolen", ZH: "已报失窃"},
	Lost:        {EN: "reported lost", ZH: "已挂失"},
	Closed:      {EN: "cancelled", ZH: "已销户或注销"},
	Operator:    {EN: "stopped by the operator", ZH: "运营方停用"},
	Debt:        {EN: "a ride is not paid", ZH: "有欠费行程"},
}

// Term is the reason as a person reads it.
func (r Reason) Term() glossary.Term {
	if r >= reasonEnd {
		return glossary.Term{}
	}
	return reasonTerms[r]
}

// String is the reason in English.
func (r Reason) String() string { return r.Term().EN }

// Removal says why an entry leaves the list.
type Removal uint8

// Removals.
const (
	Paid      Removal = iota + 1 // the debt is paid
	Found                        // lost, and found again
	Corrected                    // should never have been listed
	Withdrawn                    // the operator lets it pass
	removalEnd
)

var removalTerms = [removalEnd]glossary.Term{
	Paid:      {EN: "the debt is paid", ZH: "欠费已还清"},
	Found:     {EN: "found again", ZH: "已解除挂失"},
	Corrected: {EN: "listed by mistake", ZH: "误列更正"},
	Withdrawn: {EN: "released by the operator", ZH: "运营方解除"},
}

// Term is the reason of the removal as a person reads it.
func (r Removal) Term() glossary.Term {
	if r >= removalEnd {
		return glossary.Term{}
	}
	return removalTerms[r]
}

// String is the reason of the removal in English.
func (r Removal) String() string { return r.Term().EN }

// Day is a calendar day in the operator's time zone, counted from 1 January 2000. Zero: no day.
type Day uint16

// dayZero is day 0; the count ends in the year 2179.
var dayZero = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// DayOf is the calendar day of t as t's own zone has it; 0 before day 1, the last day after the count's end.
func DayOf(t time.Time) Day {
	y, m, d := t.Date()
	const hoursPerDay = 24
	days := int64(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Sub(dayZero).Hours()) / hoursPerDay
	return Day(max(0, min(days, 1<<16-1)))
}

// Entry is one line of the list.
type Entry struct {
	hash   uint64
	kind   Kind
	reason Reason
	until  Day
}

// ErrEntry is wrapped when an entry says what it must not say.
var ErrEntry = errors.New("entry is not possible")

// NewEntry makes an entry that holds until the end of day until; 0: without end. Only a debt and the operator stop an account (PAR):
// a card that is lost, stolen, copied or cancelled must not stop the card that replaces it.
func NewEntry(kind Kind, id ID, reason Reason, until Day) (Entry, error) {
	e := Entry{hash: id.Hash(), kind: kind, reason: reason, until: until}
	return e, e.check()
}

func (e Entry) check() error {
	switch {
	case e.kind == 0 || e.kind >= kindEnd:
		return fmt.Errorf("kind %d: %w", e.kind, ErrEntry)
	case e.reason == 0 || e.reason >= reasonEnd:
		return fmt.Errorf("reason %d: %w", e.reason, ErrEntry)
	case e.kind == PAR && e.reason != Debt && e.reason != Operator:
		return fmt.Errorf("an account cannot be %q, only a card or token of it: %w", e.reason.Term().EN, ErrEntry)
	}
	return nil
}

// Hash is the keyed hash.
func (e Entry) Hash() uint64 { return e.hash }

// Kind says what the entry names.
func (e Entry) Kind() Kind { return e.kind }

// Reason says why.
func (e Entry) Reason() Reason { return e.reason }

// Until is the last day, 0 without end.
func (e Entry) Until() Day { return e.until }

// Holds reports whether the entry stops anybody on a day.
func (e Entry) Holds(on Day) bool { return e.until == 0 || on <= e.until }

// outranks reports whether e stays when both have the same hash: a stop that lasts longer is the stronger of two with one reason.
func (e Entry) outranks(other Entry) bool {
	if e.reason != other.reason {
		return e.reason < other.reason
	}
	if e.until != other.until {
		return e.until == 0 || other.until != 0 && e.until > other.until
	}
	return e.kind < other.kind
}

// Change is one line of a delta: an entry that comes, or a hash that goes.
type Change struct {
	entry   Entry
	removal Removal
}

// Add puts an entry on the list, or replaces the one with the same hash.
func Add(e Entry) Change { return Change{entry: e} }

// Remove takes a hash off the list. Removing what is not there does nothing.
func Remove(id ID, why Removal) (Change, error) {
	if why == 0 || why >= removalEnd {
		return Change{}, fmt.Errorf("removal %d: %w", why, ErrEntry)
	}
	return Change{entry: Entry{hash: id.Hash()}, removal: why}, nil
}

// Entry is what comes; only its hash means something when the change is a removal.
func (c Change) Entry() Entry { return c.entry }

// Removal says why the entry goes; 0 when it comes.
func (c Change) Removal() Removal { return c.removal }

package transit

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
)

// CloseDay is the command that closes a service day: everything up to its end is billed. It goes on by itself, so many accounts at a time, and other events
// come in between. The reply is Closing, or an error that wraps ErrClosed.
type CloseDay struct{ Day fares.Date }

// CloseOn is the command that goes on with a close at once, without waiting for its timer. The reply is Closing.
type CloseOn struct{}

// Closing says that a close has begun, or is under way already.
type Closing struct {
	Day      fares.Date `json:"day"`
	Accounts int        `json:"accounts"`
	Done     int        `json:"done"`
}

// ErrClosed is wrapped when a day is closed already, is not over, or another one is being closed.
var ErrClosed = errors.New("the day cannot be closed")

// closing is a close under way.
type closing struct {
	day  fares.Date
	asOf time.Time
	next int // the first account that was not looked at
	seq  uint64
}

const (
	closeTimer = "close"
	// closeAccounts are looked at in one step: some milliseconds, in which a gate may wait.
	closeAccounts = 2048
	atOnce        = time.Nanosecond

	dayBegins uint16 = 1
	dayEnds   uint16 = 2
)

func (o *Office) closeDay(now time.Time, c CloseDay, step *journal.Step) {
	s := o.state
	reply := func(v any) { step.Emit(journal.Effect{Reply: v}) }
	switch {
	case s.closing != nil && s.closing.day == c.Day:
		reply(o.progress())
		return
	case s.closing != nil:
		reply(fmt.Errorf("%s is being closed: %w", s.closing.day, ErrClosed))
		return
	case s.closed != 0 && c.Day <= s.closed:
		reply(fmt.Errorf("%s is closed, and everything before: %w", s.closed, ErrClosed))
		return
	case now.Before(o.deps.closingInstant(c.Day)):
		reply(fmt.Errorf("%s ends at %s: %w", c.Day, o.deps.closingInstant(c.Day).Format(time.RFC3339), ErrClosed))
		return
	}
	o.append(step, now, journal.Row{Kind: journal.DayClosed, BusinessDate: dateNumber(c.Day), Reason: dayBegins})
	step.Emit(journal.Effect{Timer: closeTimer, After: atOnce})
	reply(o.progress())
}

func (o *Office) progress() Closing {
	c := o.state.closing
	if c == nil {
		return Closing{Day: o.state.closed, Accounts: len(o.state.accounts) - 1, Done: len(o.state.accounts) - 1}
	}
	return Closing{Day: c.day, Accounts: len(o.state.accounts) - 1, Done: c.next - 1}
}

// closeSome bills the next accounts. What fares says of each is worked out beside one another, because it depends on the account alone.
func (o *Office) closeSome(now time.Time, step *journal.Step) {
	s := o.state
	c := s.closing
	if c == nil {
		return
	}
	var group []*account
	for ; c.next < len(s.accounts) && len(group) < closeAccounts; c.next++ {
		if a := s.accounts[c.next]; a.merged == 0 && a.waiting && !o.gathers(a, c) {
			group = append(group, a)
		}
	}
	plans, year := make([]plan, len(group)), o.deps.Book.ServiceDate(c.asOf).Year()
	var workers sync.WaitGroup
	each := runtime.GOMAXPROCS(0)
	for w := range each {
		workers.Go(func() {
			for i := w; i < len(group); i += each {
				plans[i] = s.plan(group[i], c.asOf, c.day)
			}
		})
	}
	workers.Wait()
	for i, a := range group {
		if plans[i].err != nil {
			o.troubles++
			continue // a rider with impossible taps is the operator's to look at, and holds nobody else up
		}
		o.charge(now, a, &plans[i], c.day, ReasonClose, step)
		o.restrict(now, a, &plans[i], year, step)
		for _, n := range a.credentials {
			o.judge(now, s.credentials[n], step)
		}
	}
	if c.next < len(s.accounts) {
		step.Emit(journal.Effect{Timer: closeTimer, After: atOnce})
		return
	}
	o.freeAll(now, year, step)
	o.append(step, now, journal.Row{Kind: journal.DayClosed, BusinessDate: dateNumber(c.day), Reason: dayEnds, Linked: c.seq})
	o.saveSoon = true
	o.forgetInTime(now, step)
	if o.deps.Profile.Verify == VerifyMaximum {
		for _, credential := range s.credentials[1:] {
			o.release(now, credential, step)
		}
	}
	o.pump(now, step)
}

// gathers reports whether an account's journeys are still collected over several days: the next close would come within the window, too.
func (o *Office) gathers(a *account, c *closing) bool {
	window := o.deps.Profile.Window
	return window > 0 && a.since != 0 && c.asOf.Add(day).Sub(time.UnixMilli(a.since)) <= window
}

func (s *state) applyDay(r *journal.Row) error {
	date := dateOf(r.BusinessDate)
	switch {
	case r.Reason == dayBegins && s.closing == nil && (s.closed == 0 || date > s.closed):
		s.closing = &closing{day: date, asOf: s.deps.closingInstant(date), next: 1, seq: r.Seq}
		return nil
	case r.Reason == dayEnds && s.closing != nil && s.closing.day == date:
		s.closed, s.closing = date, nil
		return nil
	}
	return fmt.Errorf("row %d: %s is closed out of turn", r.Seq, date)
}

// early bills an account before the close: a journey has ended, or the limit is reached.
func (o *Office) early(now time.Time, a *account, step *journal.Step) {
	profile := &o.deps.Profile
	if !a.waiting || len(a.taps) == 0 {
		return
	}
	// What the taps since the last look can have cost at most: it spares the look.
	most := a.estimate + int64(a.unbilled-a.looked)*profile.MaximumMinor
	limit := profile.Present == AtClose && profile.LimitMinor > 0 && most >= profile.LimitMinor
	if profile.Present != EachJourney && !limit {
		return
	}
	last := a.taps[0].at()
	for i := range a.taps {
		last = max(last, a.taps[i].at())
	}
	asOf := time.UnixMilli(last).UTC()
	through := o.deps.Book.ServiceDate(asOf)
	if through <= o.state.closed {
		return // its day is closed: the next close looks at it
	}
	p := o.state.plan(a, asOf, through)
	if p.err != nil {
		o.troubles++
		return
	}
	why := ReasonJourney
	if limit {
		why = ReasonLimit
		a.estimate, a.looked = total(p.lines), a.unbilled
		if a.estimate < profile.LimitMinor {
			return
		}
	}
	o.charge(now, a, &p, through, why, step)
	if a.waiting = true; !p.waiting {
		for _, n := range a.credentials {
			if c := o.state.credentials[n]; !o.awaited(c) {
				o.letGo(now, c, step)
			}
		}
	}
}

// release gives a held maximum back that no bill will complete: the journey came to nothing or was paid otherwise, or the hold is as old as it may become.
func (o *Office) release(now time.Time, c *credential, step *journal.Step) {
	if c.hold == nil || o.awaited(c) {
		return
	}
	life := o.deps.Profile.HoldLife
	if a := o.state.accounts[c.account]; a.waiting && (life == 0 || now.Sub(c.hold.at) < life) {
		return
	}
	o.letGo(now, c, step)
}

// letGo gives a held maximum back.
func (o *Office) letGo(now time.Time, c *credential, step *journal.Step) {
	if c.hold != nil && c.hold.status == held {
		o.void(now, c.hold, step)
	}
}

// awaited reports whether a bill of a credential is to be asked for, or is being asked for, the first time.
func (o *Office) awaited(c *credential) bool {
	for i := len(c.bills) - 1; i >= 0; i-- {
		if b := o.state.bills[c.bills[i]]; b != nil && (b.state == Due || b.state == Asked || b.state == Unsure) {
			return true
		}
	}
	return false
}

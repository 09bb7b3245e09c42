package transit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// A rider with too many incomplete journeys in a year (the tariff says how many) is restricted by the day's close: everything of the account is on the deny
// list as stopped by the operator, also a card that joins the account later. It ends with the year, when a statement of the rider's completes a journey, or by
// the operator, who releases one of the credentials: then nothing of that year restricts the rider again.

// yearEnd is the last day of a year on the deny list.
func yearEnd(year int) denylist.Day {
	return denylist.DayOf(time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC))
}

// restrict decides about an account that a close has looked at.
func (o *Office) restrict(now time.Time, a *account, p *plan, year int, step *journal.Step) {
	switch {
	case p.restricted && a.restricted != year && a.forgiven != year:
		o.changed(now, int64(a.credentials[0]), ReasonRestricted, change{Account: int64(a.number), Year: year}, step)
	case !p.restricted && a.restricted != 0:
		o.changed(now, int64(a.credentials[0]), ReasonFreed, change{Account: int64(a.number), Year: a.restricted}, step)
	}
}

// freeAll ends the restrictions of years that are over.
func (o *Office) freeAll(now time.Time, year int, step *journal.Step) {
	for _, n := range slices.Sorted(maps.Keys(o.state.restricted)) {
		if a := o.state.accounts[n]; a.restricted < year {
			o.changed(now, int64(a.credentials[0]), ReasonFreed, change{Account: int64(n), Year: a.restricted}, step)
		}
	}
}

// restrictUntil sets the year in which an account is restricted; 0 for none.
func (s *state) restrictUntil(a *account, year int) {
	if a.restricted == year {
		return
	}
	a.own().restricted = year
	if delete(s.restricted, a.number); year != 0 {
		s.restricted[a.number] = true
	}
	s.list.stale[a.number] = true
}

// applyDecision follows what the office itself found out about a credential or an account.
func (s *state) applyDecision(r *journal.Row, note *change, c *credential) error {
	a := s.accounts[c.account]
	switch Reason(r.Reason) {
	case ReasonCounter:
		c.stop = denylist.Reason(note.Stop)
		s.list.stale[a.number] = true
	case ReasonRestricted:
		s.restrictUntil(a, note.Year)
	case ReasonFreed:
		s.restrictUntil(a, 0)
	case ReasonUnited:
		s.united = slices.DeleteFunc(s.united, func(u union) bool { return int64(u.from) == note.Account })
	case ReasonAgain, ReasonAgainRider: // the request that follows says what came of it
	default:
		return fmt.Errorf("row %d: reason %d has no meaning here", r.Seq, r.Reason)
	}
	return nil
}

// againBy is why a bill is asked for again now.
func againBy(rider bool) Reason {
	if rider {
		return ReasonAgainRider
	}
	return ReasonAgain
}

// released follows the operator's word that a credential may ride again: what was tapped until then accuses it no more, and its year is forgiven.
func (s *state) released(c *credential, at time.Time) {
	if c.stop == denylist.Counterfeit {
		s.freed[c.subject()] = at.UnixMilli()
	}
	if a := s.accounts[c.account]; a.restricted != 0 {
		a.forgiven = a.restricted
		s.restrictUntil(a, 0)
	}
}

// union says that an account has become part of another.
type union struct{ from, to int32 }

// joined notes that a becomes part of b. The restriction of one is that of both.
func (s *state) joined(a, b *account) {
	if delete(s.restricted, a.number); b.restricted != 0 {
		s.restricted[b.number] = true
	}
	s.united = append(s.united, union{a.number, b.number})
}

// tellUnited makes rows of accounts that have become one, so that their history says so.
func (o *Office) tellUnited(now time.Time, step *journal.Step) {
	for len(o.state.united) > 0 {
		u := o.state.united[0]
		to := o.state.accountOf(int64(u.to))
		o.changed(now, int64(to.credentials[0]), ReasonUnited, change{Account: int64(u.from)}, step)
	}
}

package transit

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// listing is what the deny list says of one thing.
type listing struct {
	kind   denylist.Kind
	reason denylist.Reason // 0: nothing
	until  denylist.Day    // the last day; 0: without end
}

// outranks reports whether l stays when both are about the same thing: the stronger reason, and of one reason what lasts longer.
func (l listing) outranks(other listing) bool {
	switch {
	case l.reason == 0 || other.reason == 0:
		return l.reason != 0
	case l.reason != other.reason:
		return l.reason < other.reason
	}
	return other.until != 0 && (l.until == 0 || l.until > other.until)
}

// list is the deny list as the gates have been told, and whose entries may have to change. What it is about is a credential by its number, or a mark by its
// number below zero: under which key their hashes are made does not matter here.
type list struct {
	told     map[int32]listing
	stale    map[int32]bool // accounts
	pending  []int32        // marks that nobody speaks for, in order
	sequence uint64
	digest   denylist.Digest
	epoch    denylist.Epoch // of the last delta
	at       time.Time      // of the last delta
}

// Publish is the command that makes a delta of what has changed, now. The reply is Published. The timer does the same.
type Publish struct{}

// Published says how far the list has come.
type Published struct {
	Sequence uint64 `json:"sequence"`
	Changes  int    `json:"changes"`
}

const (
	listTimer = "list"
	// quietDeltas is after how many intervals a delta without changes says that the list is still the latest.
	quietDeltas = 10
	// deltaChanges bounds the changes of one row: sixteen octets each, with room to spare.
	deltaChanges = 3000
	// deltaKeyFormat names the row of a delta.
	deltaKeyFormat = "d/%020d"
)

// wanted is what the list should say about an account's credentials and its reference.
func (s *state) wanted(a *account) map[int32]listing {
	out := map[int32]listing{}
	add := func(subject int32, l listing) {
		if l.outranks(out[subject]) {
			out[subject] = l
		}
	}
	whole := listing{} // what holds for every card and token of the account, and for those that nobody has seen yet
	if a.par != 0 {
		whole = s.marks[a.par].entry
	}
	for _, n := range a.credentials {
		c := s.credentials[n]
		switch {
		case c.stop != 0:
			add(c.subject(), listing{denylist.Credential, c.stop, 0})
		case c.owing > 0 || c.refused:
			add(c.subject(), listing{denylist.Credential, denylist.Debt, 0})
		}
		if c.outside != 0 {
			add(c.subject(), s.marks[c.outside].entry)
		}
		if debt := (listing{denylist.PAR, denylist.Debt, 0}); c.owing > 0 && debt.outranks(whole) {
			whole = debt
		}
	}
	if barred := (listing{denylist.PAR, denylist.Operator, yearEnd(a.restricted)}); a.restricted != 0 {
		if barred.outranks(whole) {
			whole = barred
		}
		barred.kind = denylist.Credential
		for _, n := range a.credentials {
			add(s.credentials[n].subject(), barred)
		}
	}
	if a.par == 0 || whole.reason == 0 {
		return out
	}
	out[-a.par] = listing{denylist.PAR, whole.reason, whole.until}
	for _, n := range a.credentials {
		add(s.credentials[n].subject(), listing{denylist.Credential, whole.reason, whole.until})
	}
	return out
}

// difference is what has to change for an account, in the order of its credentials. What has no name under the key in force cannot be on the list.
func (s *state) difference(a *account) (subjects []int32, to []listing) {
	want := s.wanted(a)
	look := func(subject int32) {
		if _, named := s.hashOf(subject); !named {
			return
		}
		if now, then := want[subject], s.list.told[subject]; now != then {
			subjects, to = append(subjects, subject), append(to, now)
		}
	}
	for _, n := range a.credentials {
		if c := s.credentials[n]; c.twin == 0 {
			look(n)
		}
	}
	if a.par != 0 {
		look(-a.par)
	}
	return subjects, to
}

// awaitsKey reports whether something of an account has to be on the list and has a name under the next key alone: it is looked at again when that is in force.
func (s *state) awaitsKey(a *account) bool {
	if s.keys.next == 0 {
		return false
	}
	for subject := range s.wanted(a) {
		if _, named := s.hashOf(subject); !named {
			return true
		}
	}
	return false
}

// due is what has to change for a mark that nobody speaks for; false when nothing has.
func (s *state) due(m *mark) (to listing, changes bool) {
	if s.belongs(m) != 0 {
		return to, false
	}
	if to = m.entry; to.reason == 0 {
		to = listing{}
	}
	_, named := m.under(s.keys.now)
	return to, named && to != s.list.told[-m.number]
}

// hashOf is the name of a credential or mark under the key in force.
func (s *state) hashOf(subject int32) (denylist.ID, bool) {
	if subject < 0 {
		return s.marks[-subject].under(s.keys.now)
	}
	return s.credentials[subject].under(s.keys.now)
}

// publish makes deltas of what has changed, at most so many, and one without changes when the last is old or of a former key. It says whether there are more.
func (o *Office) publish(now time.Time, force bool, most int, step *journal.Step) (done Published, rest bool) {
	s := o.state
	force = force || s.list.epoch != s.keys.now && s.list.sequence > 0
	for rest = true; rest && most > 0; most-- {
		var changes []denylist.Change
		changes, rest = o.changes()
		if len(changes) == 0 && (done.Changes > 0 || !force && now.Sub(s.list.at) < quietDeltas*o.deps.ListEvery) {
			break
		}
		info := denylist.Info{
			Epoch: s.keys.now, Sequence: s.list.sequence + 1, Created: now.Truncate(time.Second), NotAfter: now.Add(o.deps.ListLife).Truncate(time.Second),
		}
		delta, err := denylist.BuildDelta(changes, info, s.list.digest, o.deps.Signer)
		if err != nil {
			break // the signer is out of order: the changes stay, and the timer tries again
		}
		done.Changes += len(changes)
		o.append(step, now, journal.Row{Kind: journal.Noted, Key: fmt.Sprintf(deltaKeyFormat, info.Sequence), Note: delta})
	}
	done.Sequence = s.list.sequence
	return done, rest
}

// allDeltas is no bound.
const allDeltas = math.MaxInt

// publishOn is the timer's: one delta, and at once the next when there is more to say.
func (o *Office) publishOn(now time.Time, step *journal.Step) {
	o.runOut(now, step)
	done, rest := o.publish(now, false, 1, step)
	after := o.deps.ListEvery
	if rest && done.Changes > 0 {
		after = atOnce
	}
	step.Emit(journal.Effect{Timer: listTimer, After: after})
}

// changes are the next lines of a delta, and whether there are more.
func (o *Office) changes() (changes []denylist.Change, more bool) {
	s := o.state
	seen := map[uint64]bool{}
	add := func(subject int32, to listing) {
		id, _ := s.hashOf(subject)
		if seen[id.Hash()] {
			return
		}
		seen[id.Hash()] = true
		if to.reason == 0 {
			why := denylist.Paid
			if then := s.list.told[subject]; then.reason != denylist.Debt {
				why = denylist.Withdrawn
			}
			if change, err := denylist.Remove(id, why); err == nil {
				changes = append(changes, change)
			}
			return
		}
		if entry, err := denylist.NewEntry(to.kind, id, to.reason, to.until); err == nil {
			changes = append(changes, denylist.Add(entry))
		}
	}
	for _, n := range slices.Sorted(maps.Keys(s.list.stale)) {
		subjects, to := s.difference(s.accounts[n])
		for i, subject := range subjects {
			add(subject, to[i])
		}
		if len(changes) >= deltaChanges {
			return changes, true
		}
	}
	for _, n := range s.list.pending {
		if to, due := s.due(s.marks[n]); due {
			add(-n, to)
		}
		if len(changes) >= deltaChanges {
			return changes, true
		}
	}
	return changes, false
}

// applyDelta notes what the gates were told. A delta holds hashes; whose they are follows from the accounts and marks that may have changed.
func (s *state) applyDelta(r *journal.Row) error {
	d, err := denylist.OpenDelta(r.Note, s.deps.trust())
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if d.Info().Sequence != s.list.sequence+1 || d.Previous() != s.list.digest {
		return fmt.Errorf("row %d: delta %d does not follow number %d: %w", r.Seq, d.Info().Sequence, s.list.sequence, denylist.ErrGap)
	}
	if e := d.Info().Epoch; e != s.keys.now {
		return fmt.Errorf("row %d: a delta of epoch %d where %d is in force: the configuration's first epoch was changed: %w", r.Seq, e, s.keys.now,
			denylist.ErrEpoch)
	}
	said := map[uint64]denylist.Change{}
	for _, c := range d.Changes() {
		said[c.Entry().Hash()] = c
	}
	take := func(subject int32) bool {
		id, _ := s.hashOf(subject)
		c, ok := said[id.Hash()]
		switch {
		case !ok:
		case c.Removal() != 0:
			delete(s.list.told, subject)
		default:
			s.list.told[subject] = listing{c.Entry().Kind(), c.Entry().Reason(), c.Entry().Until()}
		}
		return ok
	}
	for n := range s.list.stale {
		a := s.accounts[n]
		subjects, _ := s.difference(a)
		for _, subject := range subjects {
			take(subject)
		}
		if left, _ := s.difference(a); len(left) == 0 && !s.awaitsKey(a) {
			delete(s.list.stale, n)
		}
	}
	for len(s.list.pending) > 0 {
		n := s.list.pending[0]
		if _, due := s.due(s.marks[n]); due && !take(-n) {
			break
		}
		s.list.pending = s.list.pending[1:]
	}
	s.list.sequence, s.list.digest, s.list.epoch, s.list.at = d.Info().Sequence, d.Digest(), d.Info().Epoch, r.At
	return nil
}

// Base is the whole list, to be built into an image with denylist.BuildBase.
type Base struct {
	Entries []denylist.Entry
	Info    denylist.Info
	Chain   denylist.Digest
}

// base is the list as of the last delta, under the key in force: a copy in no order, which denylist.BuildBase sorts beside the writer.
func (o *Office) base(now time.Time) Base {
	s := o.state
	b := Base{Chain: s.list.digest, Info: denylist.Info{Epoch: s.keys.now, Sequence: s.list.sequence, Created: now.Truncate(time.Second),
		NotAfter: now.Add(o.deps.ListLife).Truncate(time.Second)}}
	b.Entries = make([]denylist.Entry, 0, len(s.list.told))
	for subject, l := range s.list.told {
		id, named := s.hashOf(subject)
		if !named {
			continue // it could not be moved to this key: see KeysView
		}
		if e, err := denylist.NewEntry(l.kind, id, l.reason, l.until); err == nil {
			b.Entries = append(b.Entries, e)
		}
	}
	return b
}

package transit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// listing is what the deny list says of one hash.
type listing struct {
	kind   denylist.Kind
	reason denylist.Reason
}

// list is the deny list as the gates have been told, and whose entries may have to change.
type list struct {
	listed   map[denylist.ID]listing
	stale    map[int32]bool // accounts
	sequence uint64
	digest   denylist.Digest
	at       time.Time // of the last delta
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

// wanted is what the list should say about an account's credentials.
func (s *state) wanted(a *account) map[denylist.ID]listing {
	out := map[denylist.ID]listing{}
	debt := false
	for _, n := range a.credentials {
		c := s.credentials[n]
		debt = debt || c.owing > 0
		switch {
		case c.stop != 0:
			out[c.id] = listing{denylist.Credential, c.stop}
		case c.owing > 0 || c.refused:
			out[c.id] = listing{denylist.Credential, denylist.Debt}
		}
	}
	if debt && !a.par.IsZero() {
		// The debt is the account's: every card and token of it, and those that nobody has seen yet.
		out[a.par] = listing{denylist.PAR, denylist.Debt}
		for _, n := range a.credentials {
			if c := s.credentials[n]; c.stop == 0 {
				out[c.id] = listing{denylist.Credential, denylist.Debt}
			}
		}
	}
	return out
}

// difference is what has to change for an account, in order of hash.
func (s *state) difference(a *account) (ids []denylist.ID, to []listing) {
	want := s.wanted(a)
	all := make([]denylist.ID, 0, len(a.credentials)+1)
	for _, n := range a.credentials {
		all = append(all, s.credentials[n].id)
	}
	if !a.par.IsZero() {
		all = append(all, a.par)
	}
	for _, id := range all {
		if now, then := want[id], s.list.listed[id]; now != then {
			ids, to = append(ids, id), append(to, now)
		}
	}
	return ids, to
}

// publish makes deltas of what has changed, and one without changes when the last is old.
func (o *Office) publish(now time.Time, force bool, step *journal.Step) Published {
	s := o.state
	done := 0
	for {
		changes, rest := o.changes()
		if len(changes) == 0 && (done > 0 || !force && now.Sub(s.list.at) < quietDeltas*o.deps.ListEvery) {
			break
		}
		info := denylist.Info{
			Epoch: o.deps.epoch(), Sequence: s.list.sequence + 1, Created: now.Truncate(time.Second), NotAfter: now.Add(o.deps.ListLife).Truncate(time.Second),
		}
		delta, err := denylist.BuildDelta(changes, info, s.list.digest, o.deps.Signer)
		if err != nil {
			break // the signer is out of order: the changes stay, and the timer tries again
		}
		done += len(changes)
		o.append(step, now, journal.Row{Kind: journal.Noted, Key: fmt.Sprintf(deltaKeyFormat, info.Sequence), Note: delta})
		if !rest {
			break
		}
	}
	return Published{Sequence: s.list.sequence, Changes: done}
}

// changes are the next lines of a delta, and whether there are more.
func (o *Office) changes() (changes []denylist.Change, more bool) {
	s := o.state
	seen := map[uint64]bool{}
	for _, n := range slices.Sorted(maps.Keys(s.list.stale)) {
		a := s.accounts[n]
		ids, to := s.difference(a)
		for i, id := range ids {
			if seen[id.Hash()] {
				continue
			}
			seen[id.Hash()] = true
			if to[i].reason == 0 {
				why := denylist.Paid
				if then := s.list.listed[id]; then.reason != denylist.Debt {
					why = denylist.Withdrawn
				}
				if change, err := denylist.Remove(id, why); err == nil {
					changes = append(changes, change)
				}
				continue
			}
			if entry, err := denylist.NewEntry(to[i].kind, id, to[i].reason, 0); err == nil {
				changes = append(changes, denylist.Add(entry))
			}
		}
		if len(changes) >= deltaChanges {
			return changes, true
		}
	}
	return changes, false
}

// applyDelta notes what the gates were told. A delta holds hashes; whose they are follows from the accounts that may have changed.
func (s *state) applyDelta(r *journal.Row) error {
	d, err := denylist.OpenDelta(r.Note, s.deps.trust())
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	if d.Info().Sequence != s.list.sequence+1 || d.Previous() != s.list.digest {
		return fmt.Errorf("row %d: delta %d does not follow number %d: %w", r.Seq, d.Info().Sequence, s.list.sequence, denylist.ErrGap)
	}
	said := map[uint64]denylist.Change{}
	for _, c := range d.Changes() {
		said[c.Entry().Hash()] = c
	}
	for n := range s.list.stale {
		a := s.accounts[n]
		ids, _ := s.difference(a)
		for _, id := range ids {
			c, ok := said[id.Hash()]
			switch {
			case !ok:
			case c.Removal() != 0:
				delete(s.list.listed, id)
			default:
				s.list.listed[id] = listing{c.Entry().Kind(), c.Entry().Reason()}
			}
		}
		if left, _ := s.difference(a); len(left) == 0 {
			delete(s.list.stale, n)
		}
	}
	s.list.sequence, s.list.digest, s.list.at = d.Info().Sequence, d.Digest(), r.At
	return nil
}

// Base is the whole list, to be built into an image with denylist.BuildBase.
type Base struct {
	Entries []denylist.Entry
	Info    denylist.Info
	Chain   denylist.Digest
}

// base is the list as of the last delta.
func (o *Office) base(now time.Time) Base {
	s := o.state
	b := Base{Chain: s.list.digest, Info: denylist.Info{Epoch: o.deps.epoch(), Sequence: s.list.sequence, Created: now.Truncate(time.Second),
		NotAfter: now.Add(o.deps.ListLife).Truncate(time.Second)}}
	for id, l := range s.list.listed {
		if e, err := denylist.NewEntry(l.kind, id, l.reason, 0); err == nil {
			b.Entries = append(b.Entries, e)
		}
	}
	slices.SortFunc(b.Entries, func(x, y denylist.Entry) int { return cmp.Compare(x.Hash(), y.Hash()) })
	return b
}

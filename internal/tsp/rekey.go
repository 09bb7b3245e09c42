package tsp

import (
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/journal"
)

// A bank's numbers move to a new data key while everything goes on: in slices of so many cards, each a row that carries the cards as they are afterwards, so
// that it goes on after a crash where it was.
const (
	rekeyTimer = "rekey"
	rekeyPause = 10 * time.Millisecond
	// rekeyRecords bounds the records of a slice, which are in one row: a card and its tokens at most, or as many as fit.
	rekeyRecords = maxTokensOfCard + 1
	// rekeyLooks bounds the cards that are looked at for a slice.
	rekeyLooks = 256
)

// beginRekey takes the new data key into use: new numbers are sealed under it from now on.
func (s *TSP) beginRekey(c *Command, b *Rekey, f *commandFinding) outcome {
	kept := s.state.settings.Load()
	latest, found := kept.latest(b.Issuer)
	switch {
	case c.Caller.Role != CallerOperator:
		return outcome{problem: denied()}
	case !found:
		return outcome{problem: refusal(404, "no-such-bank", "the bank has no numbers here")}
	case kept.Rekey.Tenant != "":
		return outcome{problem: refusal(409, "rekey-running", "the numbers of %s are being moved", kept.Rekey.Tenant)}
	case f.seal == nil || f.seal.Epoch != latest.Epoch+1:
		return outcome{problem: unavailable()}
	}
	next := kept.clone()
	next.Keys = append(next.Keys, *f.seal)
	next.Rekey = rekey{Tenant: b.Issuer}
	return outcome{
		kind: journal.KeysChanged, records: []record{next}, reply: map[string]any{"issuer": b.Issuer, "epoch": f.seal.Epoch},
		effects: []journal.Effect{{Timer: rekeyTimer, After: rekeyPause}},
	}
}

// rekeyFinding is a slice of cards, sealed anew.
type rekeyFinding struct {
	from   uint64 // Done when the slice was made
	to     uint64
	cards  []*Card
	seen   []string // their seals before
	hints  []hint
	failed bool
}

// prepareRekey seals a slice of cards anew.
func (s *TSP) prepareRekey() *rekeyFinding {
	kept := s.state.settings.Load()
	f := &rekeyFinding{from: kept.Rekey.Done, to: kept.Rekey.Done}
	target, found := kept.latest(kept.Rekey.Tenant)
	if !found {
		return f
	}
	for records := 0; f.to < kept.Count[kindCard] && f.to < f.from+rekeyLooks; f.to++ {
		r, h, err := s.state.find(cellOf(kindCard, f.to+1))
		c, present, err := as[*Card](r, err)
		if err != nil {
			f.failed = true
			return f
		}
		if !present || c.Tenant != target.Tenant || c.Epoch == target.Epoch || len(c.Sealed) == 0 {
			continue
		}
		if records += 1 + len(c.Tokens); records > rekeyRecords && len(f.cards) > 0 {
			break
		}
		moved, err := s.reseal(kept, c, target)
		if err != nil {
			f.failed = true
			return f
		}
		f.cards, f.seen, f.hints = append(f.cards, moved), append(f.seen, string(c.Sealed)), append(f.hints, h)
	}
	return f
}

func (s *TSP) reseal(kept *settings, c *Card, target hsm.DataKey) (*Card, error) {
	source, _ := kept.key(c.Tenant, c.Epoch)
	sealed, err := s.deps.Numbers.ResealNumber(source, target, c.Name, c.Sealed)
	if err != nil {
		return nil, err
	}
	moved := *c
	moved.Sealed, moved.Epoch = sealed, target.Epoch
	return &moved, nil
}

// rekeySlice makes a slice durable and goes on; after the last one the old data key is forgotten.
func (s *TSP) rekeySlice(now time.Time, ev *journal.Event, step *journal.Step) {
	kept := s.state.settings.Load()
	f, _ := ev.Finding.(*rekeyFinding)
	if kept.Rekey.Tenant == "" {
		return
	}
	if f == nil || f.failed || f.from != kept.Rekey.Done {
		step.Emit(journal.Effect{Timer: rekeyTimer, After: time.Second})
		return
	}
	var records []record
	for i, moved := range f.cards {
		current, err := s.state.card(moved.Number, f.hints[i])
		if err != nil || current == nil {
			step.Emit(journal.Effect{Timer: rekeyTimer, After: time.Second})
			return
		}
		if string(current.Sealed) != f.seen[i] {
			continue // replaced since: there is nothing left to move
		}
		next := *current
		next.Sealed, next.Epoch = moved.Sealed, moved.Epoch
		records = append(records, &next)
		for _, number := range next.Tokens {
			t, err := s.state.token(number)
			if err != nil || t == nil {
				step.Emit(journal.Effect{Timer: rekeyTimer, After: time.Second})
				return
			}
			copied := *t
			copied.Account = next.account()
			copied.Account.Expiry, copied.Account.Sequence = t.Account.Expiry, t.Account.Sequence
			records = append(records, &copied)
		}
	}
	next := kept.clone()
	next.Rekey.Done = f.to
	if f.to >= kept.Count[kindCard] {
		target, _ := kept.latest(kept.Rekey.Tenant)
		next.Rekey = rekey{}
		next.Keys = keysAfter(next.Keys, target)
	}
	s.append(step, now, journal.Row{Kind: journal.KeysChanged, Note: appendRecords(nil, append(records, next))})
	if next.Rekey.Tenant != "" {
		step.Emit(journal.Effect{Timer: rekeyTimer, After: rekeyPause})
	}
}

// keysAfter drops a tenant's earlier keys: nothing that counts is sealed under them any more.
func keysAfter(keys []hsm.DataKey, target hsm.DataKey) []hsm.DataKey {
	var left []hsm.DataKey
	for _, k := range keys {
		if k.Tenant != target.Tenant || k.Epoch >= target.Epoch {
			left = append(left, k)
		}
	}
	return left
}

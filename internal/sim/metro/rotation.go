package metro

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit"
)

// Rotation is what a run with a new key of the deny list showed. Times are from the beginning of the rotation; -1: never.
type Rotation struct {
	After   time.Duration `json:"after_ns"`              // it began so long after the first rider
	HalfKey time.Duration `json:"half_hold_key_ns"`      // half of the gates held the new key
	AllKey  time.Duration `json:"all_hold_key_ns"`       // all of them
	InForce time.Duration `json:"in_force_ns"`           // the office's list is of the new epoch
	HalfOn  time.Duration `json:"half_on_new_list_ns"`   // half of the gates have that list
	AllOn   time.Duration `json:"all_on_new_list_ns"`    // all of them
	Moved   int           `json:"moved"`                 // cards and entries that the office named anew
	Left    int           `json:"left"`                  // that it could not, and tries again
	Missing int           `json:"missing_on_list"`       // of these, on the former list and not on the new one
	Stopped int           `json:"stopped_by_new_list"`   // taps refused by a list of the new epoch
	Carried int           `json:"stopped_from_old_list"` // of these, for an entry that is older than the new list
	Late    int           `json:"records_of_old_key"`    // taps under the former key after the new one was in force
}

// never is a time that did not come.
const never = time.Duration(-1)

// rotation follows it.
type rotation struct {
	report  *Rotation
	began   time.Time
	epoch   denylist.Epoch
	holding int
	on      int
	forced  uint64 // number of the first delta of the new epoch; 0 before
}

// reached notes when half of the gates, and all of them, have come to something.
func (r *rotation) reached(count, gates int, half, all *time.Duration, now time.Time) {
	if *half == never && 2*count >= gates {
		*half = now.Sub(r.began)
	}
	if *all == never && count == gates {
		*all = now.Sub(r.began)
	}
}

// rotate begins.
func (d *desk) rotate(now time.Time) {
	c := d.city
	d.turn = &rotation{began: now, epoch: c.epochs[1].Epoch(), report: &Rotation{After: c.options.Rotate, HalfKey: never, AllKey: never, InForce: never,
		HalfOn: never, AllOn: never}}
	c.report.Rotation = d.turn.report
	d.turnKey(now, transit.Rotate{})
	if c.options.Force {
		c.plan(now.Add(forceAfter), func(now time.Time) { d.turnKey(now, transit.Rotate{Force: true}) })
	}
}

// forceAfter is how long the office has to name everything anew when it does not wait for the gates.
const forceAfter = 10 * time.Second

func (d *desk) turnKey(now time.Time, command transit.Rotate) {
	if err, refused := d.ask(now, command).(error); refused {
		d.failed = fmt.Errorf("rotate: %w", err)
	}
}

// Of implements transit.Keys.
func (d *desk) Of(epoch denylist.Epoch) (gate.Identifier, error) {
	k, err := d.key(epoch)
	return k, err
}

func (d *desk) key(epoch denylist.Epoch) (denylist.EpochKey, error) {
	for _, k := range d.city.epochs {
		if k.Epoch() == epoch {
			return k, nil
		}
	}
	return denylist.EpochKey{}, fmt.Errorf("no key of epoch %d: %w", epoch, ErrOptions)
}

// For implements transit.Keys. The nonce follows from device and epoch, so that the same options give the same report.
func (d *desk) For(device string, epoch denylist.Epoch) (gate.SealedKey, error) {
	k, err := d.key(epoch)
	if err != nil {
		return gate.SealedKey{}, err
	}
	seed := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(device), uint32(epoch)))
	return gate.SealEpochKey(d.keys[device], device, k, rand.NewChaCha8(seed))
}

// switched notes that the office's list is of the new epoch.
func (d *desk) switched(delta *denylist.Delta) {
	if t := d.turn; t != nil && t.forced == 0 && delta.Info().Epoch == t.epoch {
		t.forced, t.report.InForce = delta.Info().Sequence, d.clock.Now().Sub(t.began)
	}
}

// Epochs implements gate.Keys.
func (l *lane) Epochs() []denylist.Epoch {
	epochs := make([]denylist.Epoch, len(l.held))
	for i, k := range l.held {
		epochs[i] = k.Epoch()
	}
	return epochs
}

// KeepKey implements gate.Keys. No device of the simulation is away for more than one rotation: two keys are all there are.
func (l *lane) KeepKey(s gate.SealedKey) error {
	k, err := gate.OpenEpochKey(l.log.key, l.name, s)
	if err != nil {
		return err
	}
	if slices.Contains(l.Epochs(), k.Epoch()) {
		return nil
	}
	l.held = append(l.held, k)
	if t := l.city.desk.turn; t != nil && k.Epoch() == t.epoch {
		t.holding++
		t.reached(t.holding, len(l.city.lanes), &t.report.HalfKey, &t.report.AllKey, l.now)
	}
	return l.gate.Identifiers(identifiers(l.held))
}

func identifiers(keys []denylist.EpochKey) []gate.Identifier {
	ids := make([]gate.Identifier, len(keys))
	for i, k := range keys {
		ids[i] = k
	}
	return ids
}

// moved notes that a gate has a list of the new epoch.
func (l *lane) moved(now time.Time) {
	t := l.city.desk.turn
	if t == nil || l.onNew || l.snapshot().Epoch() != t.epoch {
		return
	}
	l.onNew = true
	t.on++
	t.reached(t.on, len(l.city.lanes), &t.report.HalfOn, &t.report.AllOn, now)
}

// checkRotation looks at one tap: once the new list is at a gate its records are of the new epoch, and whoever was on the former list is refused.
func (c *city) checkRotation(r *rider, l *lane, d *gate.Decision) {
	t := c.desk.turn
	if t == nil || d.Record.ID.IsZero() {
		return
	}
	switch {
	case l.onNew && d.Record.Epoch != t.epoch:
		c.report.find("gate %s has a list of epoch %d and writes records of epoch %d", l.name, t.epoch, d.Record.Epoch)
	case !l.onNew && t.forced > 0:
		t.report.Late++
	}
	if reason := d.Reason(); l.onNew && (reason == gate.DeniedDebt || reason == gate.DeniedBlocked) {
		t.report.Stopped++
		if s := c.desk.changes[r.id.Hash()]; s != nil && !s.removal && s.sequence > 0 && s.sequence < t.forced {
			t.report.Carried++
		}
	}
}

// finishRotation looks at the end: every gate is on the new epoch, and nobody was left behind.
func (c *city) finishRotation(now time.Time) {
	t := c.desk.turn
	if t == nil {
		return
	}
	v, ok := c.desk.ask(now, transit.ViewKeys{}).(transit.KeysView)
	if !ok {
		c.report.find("the office does not say how far its keys are")
		return
	}
	t.report.Moved, t.report.Left, t.report.Missing = v.Moved, v.Left, v.Missing
	if v.InForce != t.epoch || t.report.AllOn == never || t.on != len(c.lanes) {
		c.report.find("%d of %d gates are on epoch %d, the office on %d", t.on, len(c.lanes), t.epoch, v.InForce)
	}
	if v.Missing > 0 {
		c.report.find("%d entries of the former list are not on the new one", v.Missing)
	}
}

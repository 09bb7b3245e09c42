package transit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/journal"
)

// A rotation brings the deny list to a new key, because somebody may have the old one, while gates run and riders tap. It begins: from then on devices get the
// new key with the answer to their reports, and whatever comes in is named under both. Everything that is known is named under the new key, some at a time, out
// of the sealed data of its last tap. When that is done and every device that was heard of holds the key, it is in force: the list is of the new epoch. Names
// under the former key go on being understood until it is forgotten.

// Rotate is the command that begins a rotation; with Force, when one is under way, it puts the new key in force without waiting for what is left. The reply is
// a KeysView, or an error that wraps ErrRefused.
type Rotate struct{ Force bool }

// Retire is the command that forgets the former key. It is refused while a device that was heard of has a list under it, or something is known under it alone
// because it could not be opened, unless forced. The reply is a KeysView, or an error that wraps ErrRefused.
type Retire struct{ Force bool }

// Reasons of KeysChanged rows.
const (
	keysBegin  uint16 = 1
	keysMoved  uint16 = 2
	keysForce  uint16 = 3
	keysForget uint16 = 4
)

const (
	keysTimer = "keys"
	// keysAgain is how long after all was looked at it is looked at again, for what could not be opened and for devices.
	keysAgain = time.Minute
	// keysRarely is the same when nothing is waited for.
	keysRarely = time.Hour
	// heardWithin is how lately a device must have been heard of to be waited for.
	heardWithin = day
	// keptFormer is after how long a day's close forgets the former key: what a device uploads later is too late to be charged.
	keptFormer = frozenAfter * day
	epochBytes = 4
	// namedDevices are as many as a refusal names.
	namedDevices = 5
)

func keysRow(reason uint16, epoch denylist.Epoch) journal.Row {
	return journal.Row{Kind: journal.KeysChanged, Reason: reason, Note: binary.BigEndian.AppendUint32(nil, uint32(epoch))}
}

// rotate begins, or forces.
func (o *Office) rotate(now time.Time, c Rotate, step *journal.Step) any {
	s := o.state
	switch {
	case s.keys.former != 0:
		return fmt.Errorf("epoch %d is still understood, and three keys at a time are too many: let it be forgotten first, with retire: %w",
			s.keys.former, ErrRefused)
	case s.keys.next != 0 && !c.Force:
		return fmt.Errorf("a rotation to epoch %d is under way: it comes into force by itself when everything is moved and every device holds the key, "+
			"or at once with force: %w", s.keys.next, ErrRefused)
	case s.keys.next != 0:
		o.force(now, step)
		return o.viewKeys(now)
	}
	next := s.keys.now + 1
	if _, err := o.deps.Keys.Of(next); err != nil {
		return fmt.Errorf("the security module gives no key of epoch %d: see its log, then begin again: %w", next, errors.Join(err, ErrRefused))
	}
	o.append(step, now, keysRow(keysBegin, next))
	o.pass = keyPass{}
	o.work.Store(nil)
	step.Emit(journal.Effect{Timer: keysTimer, After: atOnce})
	return o.viewKeys(now)
}

// force puts the next key in force, and makes the first delta under it: gates that ask for it learn that they need the whole list.
func (o *Office) force(now time.Time, step *journal.Step) {
	r := keysRow(keysForce, o.state.keys.next)
	r.Linked = o.state.begun
	o.append(step, now, r)
	o.publish(now, true, 1, step)
	step.Emit(journal.Effect{Timer: keysTimer, After: atOnce})
}

func (o *Office) retire(now time.Time, c Retire, step *journal.Step) any {
	s := o.state
	if s.keys.former == 0 {
		return fmt.Errorf("no former key is understood any more, only that of epoch %d: %w", s.keys.now, ErrRefused)
	}
	if o.pass.rounds == 0 { // not even by force: a card that has no name but the former would be two
		return fmt.Errorf("what is known under epoch %d is still being looked at: try again in a moment: %w", s.keys.former, ErrRefused)
	}
	if left := o.pass.last.left; left > 0 && !c.Force {
		return fmt.Errorf("%d cards and entries could not be opened and are known under epoch %d alone: see the security module, or forget it with force: %w",
			left, s.keys.former, ErrRefused)
	}
	if behind := o.behind(now); len(behind) > 0 && !c.Force {
		return fmt.Errorf("%d devices still have a list of epoch %d (%s): let them fetch the new one, or forget it with force: %w", len(behind), s.keys.former,
			few(behind), ErrRefused)
	}
	o.forget(now, step)
	return o.viewKeys(now)
}

func (o *Office) forget(now time.Time, step *journal.Step) {
	r := keysRow(keysForget, o.state.keys.former)
	r.Linked = o.state.begun
	o.append(step, now, r)
	o.pass = keyPass{}
	step.Emit(journal.Effect{Timer: keysTimer, After: atOnce})
}

// forgetInTime is the day's close: a former key that has been understood for weeks is forgotten.
func (o *Office) forgetInTime(now time.Time, step *journal.Step) {
	if s := o.state; s.keys.former != 0 && now.Sub(s.forced.Time()) >= keptFormer && o.pass.rounds > 0 && o.pass.last.left == 0 && len(o.behind(now)) == 0 {
		o.forget(now, step)
	}
}

// few names some devices.
func few(devices []string) string {
	if len(devices) <= namedDevices {
		return fmt.Sprintf("%q", devices)
	}
	return fmt.Sprintf("%q and %d more", devices[:namedDevices], len(devices)-namedDevices)
}

// heardLately are the devices to be waited for, those of which something holds.
func (o *Office) heardLately(now time.Time, holds func(*device) bool) (names []string) {
	for _, d := range o.state.devices {
		if !d.heard.IsZero() && now.Sub(d.heard) < heardWithin && holds(d) {
			names = append(names, d.name)
		}
	}
	slices.Sort(names)
	return names
}

// behind are the devices with a list under the former key.
func (o *Office) behind(now time.Time) []string {
	former := o.state.keys.former
	return o.heardLately(now, func(d *device) bool { return d.health.ListSequence > 0 && d.health.ListEpoch == former })
}

// without are the devices that do not hold the newest key.
func (o *Office) without(now time.Time) []string {
	target := o.state.keys.target()
	return o.heardLately(now, func(d *device) bool { return !slices.Contains(d.health.Epochs, target) })
}

// keysFor are the keys that a device does not hold. One that says nothing of keys has one that never changes.
func (o *Office) keysFor(h *gate.Health) (keys []gate.SealedKey) {
	if len(h.Epochs) == 0 {
		return nil
	}
	for _, e := range o.state.keys.all() {
		if e == o.state.keys.former || slices.Contains(h.Epochs, e) || len(keys) == gate.MaxKeys {
			continue
		}
		if k, err := o.deps.Keys.For(h.Device, e); err == nil { // otherwise with its next report
			keys = append(keys, k)
		}
	}
	return keys
}

var errKeys = errors.New("a change of keys is damaged, or does not follow")

// Things that a KeysChanged row names.
const (
	movedCredential byte = 1
	movedMark       byte = 2
)

// move is a new name.
type move struct {
	what   byte
	number int32
	id     denylist.ID
}

func appendMoves(b []byte, moves []move) []byte {
	for i := range moves {
		m := &moves[i]
		b = append(b, m.what)
		b = append(binary.AppendUvarint(b, uint64(m.number)), m.id[:]...)
	}
	return b
}

// applyKeys follows a rotation.
func (s *state) applyKeys(r *journal.Row) error {
	if len(r.Note) < epochBytes {
		return fmt.Errorf("row %d: %w", r.Seq, errKeys)
	}
	epoch := denylist.Epoch(binary.BigEndian.Uint32(r.Note))
	k := &s.keys
	switch {
	case r.Reason == keysBegin && k.next == 0 && k.former == 0 && epoch == k.now+1:
		k.next, s.begun = epoch, r.Seq
	case r.Reason == keysMoved && epoch == k.target() && epoch != s.deps.Epoch:
		return s.applyMoved(r, epoch)
	case r.Reason == keysForce && epoch == k.next && epoch != 0:
		*k, s.forced = epochs{now: epoch, former: k.now}, stampOf(r.At)
	case r.Reason == keysForget && epoch == k.former && epoch != 0:
		k.former = 0
	default:
		return fmt.Errorf("row %d: epoch %d: %w", r.Seq, epoch, errKeys)
	}
	s.shared.set(s.keys)
	return nil
}

func (s *state) applyMoved(r *journal.Row, epoch denylist.Epoch) error {
	for b := r.Note[epochBytes:]; len(b) > 0; {
		what := b[0]
		n, used := binary.Uvarint(b[1:])
		if used <= 0 || len(b) < 1+used+linkBytes {
			return fmt.Errorf("row %d: %w", r.Seq, errKeys)
		}
		a := alias{denylist.ID(b[1+used : 1+used+linkBytes]), epoch}
		b = b[1+used+linkBytes:]
		switch {
		case what == movedCredential && n > 0 && n < uint64(len(s.credentials)):
			s.bind(s.credentials[s.credentials[n].subject()], a)
		case what == movedMark && n > 0 && n < uint64(len(s.marks)):
			s.nameMark(s.marks[n], a)
		default:
			return fmt.Errorf("row %d: %w", r.Seq, errKeys)
		}
	}
	return nil
}

// KeysView is how far the keys of the deny list are.
type KeysView struct {
	InForce denylist.Epoch
	Next    denylist.Epoch // 0: no rotation is under way
	Former  denylist.Epoch // 0: none is understood any more
	Since   time.Time      // when the key in force came into force by a rotation; zero: it was the first
	Forgets time.Time      // when a day's close will forget the former key; zero: there is none
	// Looked says that everything was looked at since the rotation began; until then the numbers below grow.
	Looked  bool
	Moved   int // cards and entries known under the newest key
	Left    int // whose data could not be opened: they are tried again
	Cannot  int // without data to name them by; a card's next tap names it
	Missing int // of these, on the list under the former key and not under this one
	// Devices that were heard of within a day.
	Devices int
	Holding map[denylist.Epoch]int // by key held
	Lists   map[denylist.Epoch]int // by epoch of their list
	Without []string               // that do not hold the newest key
	Behind  []string               // with a list under the former key
}

// ViewKeys asks how far the keys of the deny list are. The reply is a KeysView.
type ViewKeys struct{}

func (o *Office) viewKeys(now time.Time) KeysView {
	s := o.state
	v := KeysView{InForce: s.keys.now, Next: s.keys.next, Former: s.keys.former, Since: s.forced.Time(), Looked: o.pass.rounds > 0,
		Holding: map[denylist.Epoch]int{}, Lists: map[denylist.Epoch]int{}, Without: o.without(now), Behind: o.behind(now)}
	if s.keys.former != 0 {
		v.Forgets = s.forced.Time().Add(keptFormer)
	} else {
		v.Behind = nil
	}
	found := o.pass.last
	if o.pass.rounds == 0 {
		found = o.pass.found
	}
	v.Moved, v.Left, v.Cannot, v.Missing = found.moved, found.left, found.cannot, found.missing
	o.heardLately(now, func(d *device) bool {
		v.Devices++
		for _, e := range d.health.Epochs {
			v.Holding[e]++
		}
		if d.health.ListSequence > 0 {
			v.Lists[d.health.ListEpoch]++
		}
		return false
	})
	return v
}

// keysTerm says what a KeysChanged row tells.
func keysTerm(r *journal.Row) glossary.Term {
	if len(r.Note) < epochBytes {
		return glossary.Term{}
	}
	t := map[uint16]glossary.Term{
		keysBegin:  {EN: "a rotation to epoch %d begins", ZH: "开始轮换至第%d期密钥"},
		keysMoved:  {EN: "named under epoch %d", ZH: "按第%d期密钥重新标识"},
		keysForce:  {EN: "epoch %d is in force", ZH: "第%d期密钥生效"},
		keysForget: {EN: "epoch %d is forgotten", ZH: "第%d期密钥停用"},
	}[r.Reason]
	if t == (glossary.Term{}) {
		return t
	}
	epoch := binary.BigEndian.Uint32(r.Note)
	return glossary.Term{EN: fmt.Sprintf(t.EN, epoch), ZH: fmt.Sprintf(t.ZH, epoch)}
}

package gate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/gate/denylist"
)

// Defaults of CourierConfig.
const (
	DefaultUploadEvery = 5 * time.Second
	DefaultPollEvery   = 20 * time.Second
	DefaultHealthEvery = time.Minute
	DefaultTimeout     = 5 * time.Second
	DefaultLongTimeout = 5 * time.Minute // of a base
	DefaultRetry       = time.Second     // doubled up to DefaultLongestRetry
	DefaultLongestWait = 30 * time.Second
	DefaultRenewAfter  = 1 << 18 // changes since the base
)

// maxStrange is how many answers to a question may be nonsense before the whole list is fetched.
const maxStrange = 3

// Backlog is what the back office does not have yet.
type Backlog struct {
	Records uint64
	Bytes   int64
	Since   time.Time // about when the first of them was made; zero without one
}

// Uploads is the log as a courier sees it.
type Uploads interface {
	// Chunk is the next piece, false when everything is uploaded.
	Chunk() (Chunk, bool, error)
	// Acknowledge takes a receipt as it came, verifies it, and forgets what it covers.
	Acknowledge(sealed []byte) error
	Maintain(now time.Time) error
	Backlog() Backlog
}

// Lists keeps the deny list over a loss of power. Each call returns when that is so. Neither keeps the bytes.
type Lists interface {
	KeepBase(image []byte, at denylist.Position) error
	KeepDelta(delta []byte, at denylist.Position) error
}

// CourierConfig is one device's line to the back office. Zero: the defaults.
type CourierConfig struct {
	Device string
	Key    ChainKey
	Trust  denylist.Trust
	Seed   uint64 // spreads the questions of many devices
	// Kept is how far the device's list had come, when the list itself is gone: no older one is taken.
	Kept denylist.Position
	// Keys are the keys of epochs that the device holds. nil: they never change, and lists of every epoch are taken.
	Keys Keys

	UploadEvery, PollEvery, HealthEvery time.Duration
	Timeout, LongTimeout                time.Duration
	Retry, LongestWait                  time.Duration
	RenewAfter                          int
}

func (c *CourierConfig) withDefaults() {
	for _, d := range [...]struct {
		value *time.Duration
		text  time.Duration
	}{
		{&c.UploadEvery, DefaultUploadEvery}, {&c.PollEvery, DefaultPollEvery}, {&c.HealthEvery, DefaultHealthEvery},
		{&c.Timeout, DefaultTimeout}, {&c.LongTimeout, DefaultLongTimeout}, {&c.Retry, DefaultRetry}, {&c.LongestWait, DefaultLongestWait},
	} {
		if *d.value == 0 {
			*d.value = d.text
		}
	}
	if c.RenewAfter == 0 {
		c.RenewAfter = DefaultRenewAfter
	}
}

// AskKind is what a device asks of the back office.
type AskKind uint8

// Kinds of questions, in the order in which they go first.
const (
	AskDeltas AskKind = iota
	AskBase
	AskChunk
	AskHealth
	askKinds
)

// String names the question.
func (k AskKind) String() string {
	return [...]string{"deltas", "base", "chunk", "health", ""}[min(k, askKinds)]
}

// Ask is one question. It has no answer after Timeout.
type Ask struct {
	Kind    AskKind
	Body    []byte // of a chunk or a report
	After   uint64 // of deltas
	Number  uint64 // of a report
	At      time.Time
	Timeout time.Duration
}

// Status is how the back office answers, as HTTP says it.
type Status int

// The statuses that mean something here. Any other is trouble, and the question is asked again later.
const (
	Fine     Status = 200
	Same     Status = 304 // the base is the one before
	Conflict Status = 409 // the chunk does not follow: the body is a receipt
	Gone     Status = 410 // the deltas begin later: fetch the base
	Refused  Status = 422 // this chunk is no good, and will be none
)

// Answer is what comes back.
type Answer struct {
	Status Status
	Body   []byte
}

// duty is one kind of question: when it is due, and how often it failed in a row.
type duty struct {
	due     time.Time
	busy    bool
	failed  int
	strange int
}

// Courier carries what a gate writes to the back office and what that publishes to the gate: a machine without a line, a clock or a disk. It belongs to
// one goroutine, which is not the gate's: List and Approvals are what they share.
//
// It never takes a list that is unsigned, altered, older or out of order, and never forgets a record without a receipt for it. What is lost on the
// line is asked again; what is repeated has no effect.
type Courier struct {
	config   CourierConfig
	uploads  Uploads
	lists    Lists
	list     *denylist.List // nil before the first base
	duties   [askKinds]duty
	random   uint64 // of splitmix64: spreads, decides nothing
	number   uint64
	approved []denylist.ID
	needBase bool
	lacking  *denylist.Epoch // of a base that was refused because the device does not hold its key
	report   bool            // a report is to follow the one that is under way
	lost     error

	// What the gate's side tells for the report: the number of its last record, and its taps since the start.
	Sequence, Taps, Opened uint64
	// Strange counts the answers and lists that were refused since the start.
	Strange uint64
	offset  time.Duration
	trouble string
}

// NewCourier begins at now. list is what the device kept, nil when it has none.
func NewCourier(c CourierConfig, uploads Uploads, lists Lists, list *denylist.List, now time.Time) (*Courier, error) {
	c.withDefaults()
	if !validDevice(c.Device) || c.Key.IsZero() || uploads == nil || lists == nil {
		return nil, fmt.Errorf("courier of %q: a device, a key, a log and a place for lists are needed: %w", c.Device, ErrConfig)
	}
	u := &Courier{config: c, uploads: uploads, lists: lists, list: list, random: c.Seed, needBase: list == nil}
	for kind, every := range [askKinds]time.Duration{AskDeltas: c.PollEvery, AskChunk: c.UploadEvery, AskHealth: c.HealthEvery} {
		u.duties[kind].due = now.Add(u.part(every)) // devices that start together do not ask together
	}
	u.number = uint64(now.UnixMilli()) // reports of an earlier start have lower numbers
	return u, nil
}

// part is any part of a duration.
func (u *Courier) part(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	u.random += 0x9E3779B97F4A7C15
	z := u.random
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return time.Duration((z ^ z>>31) % uint64(d))
}

// List is the deny list in use; nil when there is none.
func (u *Courier) List() *denylist.List { return u.list }

// Lost is set when the last answer says that the back office has records that this log never had: the log is to be started behind them.
func (u *Courier) Lost() error {
	lost := u.lost
	u.lost = nil
	return lost
}

// Offset is by how much the back office's clock is ahead of the device's, as measured last.
func (u *Courier) Offset() time.Duration { return u.offset }

// Approvals are the credentials whose rides were approved since the last call: each goes to Gate.Approved.
func (u *Courier) Approvals() []denylist.ID {
	a := u.approved
	u.approved = nil
	return a
}

// Wake is when Next has something to ask, as far as is known now.
func (u *Courier) Wake() time.Time {
	var first time.Time
	for kind := range u.duties {
		if due, ok := u.when(AskKind(kind)); ok && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	return first
}

// when is when a kind of question is due; false when it is not.
func (u *Courier) when(kind AskKind) (time.Time, bool) {
	d := &u.duties[kind]
	listBusy := u.duties[AskBase].busy || u.duties[AskDeltas].busy
	switch {
	case d.busy, kind == AskBase && (!u.needBase || listBusy), kind == AskDeltas && (u.needBase || listBusy):
		return time.Time{}, false
	}
	return d.due, true
}

// Next is a question that is due, false when none is. Several may be under way, one of each kind. Each ends with Done.
func (u *Courier) Next(now time.Time) (Ask, bool) {
	for kind := range askKinds {
		if due, ok := u.when(kind); !ok || due.After(now) {
			continue
		}
		ask := Ask{Kind: kind, At: now, Timeout: u.config.Timeout}
		if !u.fill(&ask, now) {
			continue
		}
		u.duties[kind].busy = true
		return ask, true
	}
	return Ask{}, false
}

// fill completes a question; false when there is nothing to ask.
func (u *Courier) fill(ask *Ask, now time.Time) bool {
	switch ask.Kind {
	case AskDeltas:
		ask.After = u.list.Snapshot().Position().Sequence
	case AskBase:
		ask.Timeout = u.config.LongTimeout
	case AskChunk:
		c, ok, err := u.uploads.Chunk()
		if err == nil && !ok {
			err = u.uploads.Maintain(now)
		}
		if !ok {
			u.note(err)
			u.duties[AskChunk].due = now.Add(u.config.UploadEvery)
			return false
		}
		ask.Body = EncodeChunk(c)
	case AskHealth:
		u.number++
		ask.Number, ask.Body = u.number, EncodeHealth(u.config.Key, u.Health(now))
	}
	return true
}

// note keeps the latest trouble for the report.
func (u *Courier) note(err error) {
	if err != nil {
		u.trouble = err.Error()
	}
}

// Health is the device's report at now.
func (u *Courier) Health(now time.Time) Health {
	backlog := u.uploads.Backlog()
	h := Health{
		Device: u.config.Device, Number: u.number, At: now, Sequence: u.Sequence, ListAge: -1, Backlog: backlog.Records, BacklogBytes: backlog.Bytes,
		ClockOffset: u.offset.Milliseconds(), Taps: u.Taps, Opened: u.Opened, Refused: u.Strange, Trouble: u.trouble,
	}
	if u.config.Keys != nil {
		h.Epochs = u.config.Keys.Epochs()
	}
	if u.lacking != nil && h.Trouble == "" {
		h.Trouble = fmt.Sprintf("epoch %d: %v", *u.lacking, errNoKey)
	}
	if u.list != nil {
		s := u.list.Snapshot()
		h.ListEpoch, h.ListSequence, h.ListAge = s.Epoch(), s.Position().Sequence, int64(s.Age(now.Add(u.offset)).Seconds())
	}
	return h
}

// Done takes the answer to a question, or err when none came.
func (u *Courier) Done(ask Ask, answer Answer, err error, now time.Time) {
	d := &u.duties[ask.Kind]
	d.busy = false
	if err == nil {
		err = u.take(ask, answer, now)
	}
	if errors.Is(err, errNoKey) {
		u.note(err)
		d.due = now.Add(u.config.LongTimeout) // the key makes it due before; a base is too large to ask for it again and again
		u.reportAt(now)
		return
	}
	if err != nil {
		u.note(err)
		d.failed++
		wait := min(u.config.LongestWait, u.config.Retry<<min(d.failed-1, 10))
		d.due = now.Add(wait/2 + u.part(wait/2))
		return
	}
	d.failed, d.strange = 0, 0
	switch ask.Kind {
	case AskChunk:
		d.due = now // there may be more
	case AskDeltas:
		d.due = now.Add(u.config.PollEvery)
	case AskHealth:
		d.due, u.trouble = now.Add(u.config.HealthEvery), ""
		if u.report {
			d.due, u.report = now, false
		}
	case AskBase:
		u.duties[AskDeltas].due = now
	}
}

// errNoKey is a base of an epoch whose key the device does not hold: with it every card would pass.
var errNoKey = errors.New("the key of the deny list's epoch is not here yet")

// reportAt makes a report due, after the one that is under way.
func (u *Courier) reportAt(now time.Time) {
	if u.duties[AskHealth].busy {
		u.report = true
		return
	}
	u.duties[AskHealth].due = now
}

// holds reports whether the device has the key of an epoch.
func (u *Courier) holds(epoch denylist.Epoch) bool {
	return u.config.Keys == nil || slices.Contains(u.config.Keys.Epochs(), epoch)
}

// errStatus is an answer that says nothing but that it is none.
var errStatus = errors.New("back office has trouble")

func (u *Courier) take(ask Ask, answer Answer, now time.Time) error {
	err := fmt.Errorf("%s: status %d: %w", ask.Kind, answer.Status, errStatus)
	switch {
	case ask.Kind == AskChunk && (answer.Status == Fine || answer.Status == Conflict):
		err = u.takeReceipt(answer.Body)
	case ask.Kind == AskDeltas && answer.Status == Gone:
		u.needBase, err = true, nil
	case ask.Kind == AskBase && answer.Status == Same:
		u.needBase, err = false, nil
	case answer.Status != Fine:
	case ask.Kind == AskDeltas:
		err = u.takeDeltas(answer.Body)
	case ask.Kind == AskBase:
		err = u.takeBase(answer.Body)
	case ask.Kind == AskHealth:
		err = u.takeHealth(ask, answer.Body, now)
	}
	if err != nil && !errors.Is(err, errStatus) && !errors.Is(err, errNoKey) {
		u.Strange++
	}
	return err
}

func (u *Courier) takeReceipt(b []byte) error {
	err := u.uploads.Acknowledge(b)
	if errors.Is(err, ErrLost) {
		u.lost = err
	}
	return err
}

// takeDeltas makes each delta durable and applies it. One that does not follow makes the device fetch the whole list.
func (u *Courier) takeDeltas(b []byte) error {
	for len(b) > 0 {
		first, rest, err := denylist.SplitDelta(b)
		if err == nil {
			err = u.takeDelta(first)
		}
		if err != nil {
			return u.strange(err)
		}
		b = rest
	}
	if u.list.Snapshot().Changes() > u.config.RenewAfter {
		u.needBase, u.duties[AskBase].due = true, u.duties[AskDeltas].due.Add(u.part(u.config.LongTimeout))
	}
	return nil
}

func (u *Courier) takeDelta(b []byte) error {
	d, err := denylist.OpenDelta(b, u.config.Trust)
	if err != nil {
		return err
	}
	if d.Info().Sequence < u.list.Snapshot().Position().Sequence {
		return nil // of an answer that was overtaken
	}
	if err := u.list.Apply(d); err != nil {
		return err
	}
	return u.lists.KeepDelta(b, u.list.Snapshot().Position())
}

// strange decides what follows from a list that was refused: what is signed and does not fit means that something was missed; what is not signed means
// nothing until it happens again.
func (u *Courier) strange(err error) error {
	d := &u.duties[AskDeltas]
	d.strange++
	for _, missed := range [...]error{denylist.ErrGap, denylist.ErrFork, denylist.ErrEpoch, denylist.ErrFull} {
		if errors.Is(err, missed) {
			u.needBase = true
		}
	}
	if d.strange >= maxStrange {
		u.needBase, d.strange = true, 0
	}
	return err
}

func (u *Courier) takeBase(image []byte) error {
	base, err := denylist.OpenBase(image, u.config.Trust)
	if err != nil {
		return err
	}
	if epoch := base.Info().Epoch; !u.holds(epoch) {
		u.lacking = &epoch
		return fmt.Errorf("base of epoch %d: %w", epoch, errNoKey)
	}
	if u.list == nil {
		list, err := denylist.NewList(base, u.config.Kept)
		if err != nil {
			return err
		}
		u.list = list
	} else if err := u.list.Replace(base); err != nil {
		if errors.Is(err, denylist.ErrRollback) {
			u.needBase = false // what is here is newer: go on with the deltas, and come back if they do not fit
		}
		return err
	}
	u.needBase, u.lacking = false, nil
	return u.lists.KeepBase(image, u.list.Snapshot().Position())
}

func (u *Courier) takeHealth(ask Ask, b []byte, now time.Time) error {
	a, err := ParseHealthAnswer(u.config.Key, u.config.Device, ask.Number, b)
	if err != nil {
		return err
	}
	// The back office read its clock about half way between question and answer.
	u.offset = a.Time.Sub(ask.At.Add(now.Sub(ask.At) / 2)).Round(time.Millisecond)
	u.approved = append(u.approved, a.Approved...)
	return u.takeKeys(a.Keys, now)
}

// takeKeys makes each key durable, and asks again for the base that came without its key.
func (u *Courier) takeKeys(keys []SealedKey, now time.Time) error {
	if u.config.Keys == nil {
		return nil // the back office is not to know more of the device's keys than it says
	}
	for _, k := range keys {
		if err := u.config.Keys.KeepKey(k); err != nil {
			return fmt.Errorf("keep the key of epoch %d: %w", k.Epoch, err)
		}
	}
	if u.lacking != nil && u.holds(*u.lacking) {
		u.lacking, u.duties[AskBase].due = nil, now
	}
	return nil
}

// Hurry makes everything due: for a device that is only switched on for a moment.
func (u *Courier) Hurry(now time.Time) {
	for kind := range u.duties {
		u.duties[kind].due = now
	}
}

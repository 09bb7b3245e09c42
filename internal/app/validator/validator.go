package validator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/taplog"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// Line is the way to the back office.
type Line interface {
	Ask(ctx context.Context, device string, ask gate.Ask) (gate.Answer, error)
	// Claim brings a sealed claim over and the sealed answer back.
	Claim(ctx context.Context, device string, claim []byte) ([]byte, error)
}

// ErrNoLine is what a validator without a line gets.
var ErrNoLine = errors.New("no line to the back office")

// claimWithin is how long a rider waits for a grant.
const claimWithin = 2 * time.Second

// Options are one validator.
type Options struct {
	Gate    gate.Config
	Courier gate.CourierConfig // device and key are the gate's
	Log     taplog.Options     // the same
	IDs     []gate.Identifier  // the keys that the device was put into service with; later ones come over the line
	Sealer  gate.Sealer
	// Taps and Lists are where the tap log and the deny list are kept.
	Taps, Lists taplog.Disk

	CAKeys  *oda.Keys
	AIDs    []emv.AID // none: all of UnionPay
	Country uint16
	Purse   bool // ask the card to pay out of its purse, in place of an online cryptogram; Gate.Purse follows
	// Segmented is the operator's record on purses; nil: each tap pays by itself.
	Segmented *Segmented
	Cold      bool // recover every card's keys anew
	Name      string

	Line   Line           // nil: none
	Zone   *time.Location // of the operator's day, which dates on cards and the deny list are compared with; nil: Shanghai
	Clock  clock.Clock
	Random io.Reader
}

// Validator is one lane.
type Validator struct {
	options  Options
	terminal *terminal.Terminal
	random   *keeper
	found    taplog.Started
	refused  error // why the kept list was not taken

	tapping sync.Mutex // one rider at a time
	gate    *gate.Gate
	applied *[]gate.Identifier // the keys that the gate has
	counter uint32
	asking  gate.Read // direction and amount of this tap
	torn    *torn
	forbids gate.Reason // what the gate said of this card before it paid

	line    sync.Mutex // the courier; a tap never waits for it, because a new base takes its time
	courier *gate.Courier
	files   *taplog.DenyFiles
	keys    *keyring

	log      atomic.Pointer[taplog.Log]
	list     atomic.Pointer[denylist.List]
	offset   atomic.Int64 // of the back office's clock, in nanoseconds
	claims   atomic.Uint64
	taps     atomic.Uint64
	open     atomic.Uint64
	last     atomic.Uint64 // number of the last record
	news     sync.Mutex    // approvals on their way to the gate
	approved []denylist.ID
}

// keeper remembers the unpredictable number of the tap: what the card must have signed.
type keeper struct {
	from io.Reader
	last [4]byte
}

func (k *keeper) Read(b []byte) (int, error) {
	n, err := k.from.Read(b)
	if n == len(k.last) {
		copy(k.last[:], b)
	}
	return n, err
}

// Open starts a validator from what its disks hold.
func Open(o Options) (*Validator, error) {
	if o.Clock == nil || o.Random == nil || o.Taps == nil || o.Lists == nil || o.Gate.Amount.Currency().IsZero() {
		return nil, fmt.Errorf("validator: clock, randomness, disks and an amount are needed: %w", gate.ErrConfig)
	}
	if o.Line == nil {
		o.Line = noLine{}
	}
	if o.Zone == nil {
		o.Zone = clock.Shanghai()
	}
	o.Purse = o.Purse || o.Segmented != nil
	o.Gate.Purse = o.Gate.Purse || o.Purse
	if o.Segmented != nil && o.Gate.Highest.IsZero() {
		o.Gate.Highest = o.Gate.Amount
	}
	if o.Log.Keep == 0 { // as long as a rule of the gate looks back, so that it holds over a start too
		o.Log.Keep = max(taplog.DefaultKeep, o.Gate.PassBack, o.Gate.VelocityWindow, o.Gate.FirstRideWait)
	}
	o.Log.Device, o.Log.Key, o.Courier.Device, o.Courier.Key = o.Gate.Device, o.Gate.ChainKey, o.Gate.Device, o.Gate.ChainKey
	v := &Validator{options: o, random: &keeper{from: o.Random}}
	files, list, kept, err := taplog.OpenDenyFiles(o.Lists, o.Courier.Trust)
	v.files, v.refused = files, err // without a list the policy for old lists holds until the line brings one
	v.list.Store(list)
	v.keys = &keyring{device: o.Gate.Device, key: o.Gate.ChainKey, first: o.IDs, files: files, list: v.epoch}
	v.refused = errors.Join(v.refused, v.keys.open())
	if err := v.startLog(); err != nil {
		return nil, errors.Join(err, files.Close())
	}
	v.options.Courier.Kept, v.options.Courier.Keys = kept, v.keys
	if v.courier, err = gate.NewCourier(v.options.Courier, uploads{v}, files, list, v.now()); err != nil {
		return nil, err
	}
	v.terminal, err = terminal.New(v.terminalConfig())
	if err != nil {
		return nil, fmt.Errorf("validator: %w", err)
	}
	return v, nil
}

// startLog replays the log: at the start, and after it failed.
func (v *Validator) startLog() error {
	ids := v.keys.held.Load()
	g, l, found, err := taplog.Start(v.options.Taps, v.options.Log, v.options.Gate, gate.Ports{IDs: *ids, Sealer: v.options.Sealer}, v.now())
	if err != nil {
		return err
	}
	v.gate, v.applied, v.found = g, ids, found
	v.log.Store(l)
	v.last.Store(g.Head().Sequence)
	return nil
}

// now is the back office's time in the operator's zone, as far as the line has told it.
func (v *Validator) now() time.Time {
	return v.options.Clock.Now().In(v.options.Zone).Add(time.Duration(v.offset.Load()))
}

// Started is what the start found in the log.
func (v *Validator) Started() taplog.Started { return v.found }

// Refused is why the kept deny list or a kept key was not taken, nil when all were.
func (v *Validator) Refused() error { return v.refused }

// Snapshot is the deny list now, nil when there is none.
func (v *Validator) Snapshot() *denylist.Snapshot {
	if l := v.list.Load(); l != nil {
		return l.Snapshot()
	}
	return nil
}

// epoch is that of the deny list in use, false when there is none.
func (v *Validator) epoch() (denylist.Epoch, bool) {
	s := v.Snapshot()
	if s == nil {
		return 0, false
	}
	return s.Epoch(), true
}

// Epochs are those whose keys the device holds.
func (v *Validator) Epochs() []denylist.Epoch { return v.keys.Epochs() }

func (v *Validator) terminalConfig() terminal.Config {
	var ttq emv.TTQ
	bits := []emv.TTQBit{emv.TTQQPBOC, emv.TTQFDDA01, emv.TTQODAForOnline}
	amount := v.options.Gate.Amount
	floor := money.New(0, amount.Currency()) // everything online: an authorization later
	if v.options.Purse {
		bits, floor = bits[:2], money.New(money.MaxN12, amount.Currency())
	}
	for _, bit := range bits {
		ttq.Set(bit)
	}
	aids := v.options.AIDs
	if len(aids) == 0 {
		aids = []emv.AID{emv.UnionPayKernelPrefix}
	}
	limits := terminal.Limits{Floor: floor, ZeroAllowed: true}
	var combinations []terminal.Combination
	for _, aid := range aids {
		combinations = append(combinations, terminal.Combination{AID: aid, Kernel: emv.KernelUnionPay, Limits: limits})
	}
	var cache kernel.KeyCache
	if !v.options.Cold {
		cache = new(kernel.MemoryCache)
	}
	return terminal.Config{
		Country: v.options.Gate.Country, Currency: amount.Currency(), TTQ: ttq, Combinations: combinations, Random: v.random,
		Kernel: kernel.Config{
			Type: unattended, Capabilities: emv.TerminalCapabilities{0, 0x08, 0xC8}, MerchantName: v.options.Name, SerialNumber: "00000001",
			CAKeys: v.options.CAKeys, Cache: cache, ODAForOnline: !v.options.Purse, SM: true,
			ExceptionFile: v.stopped,
		},
	}
}

// unattended is the terminal type of a gate: unattended, offline with online capability, of a merchant [EMV B4].
const unattended = 0x25

// stopped is asked before a card pays out of its purse: afterwards it would be too late to refuse. Any other card the gate itself looks up, and one that has
// paid too, so that it gets its money back; who is inside pays and gets out.
func (v *Validator) stopped(card kernel.Presented) bool {
	if !v.options.Purse || card.Paid {
		return false
	}
	s := v.Snapshot()
	if v.forbids = v.gate.Forbids(card.Number, v.asking, s, v.now()); v.forbids != 0 {
		return true
	}
	if leaving := v.asking.Direction == gate.Out && !v.options.Gate.ShutIn; leaving || s == nil {
		return false
	}
	for _, ids := range v.keys.identifiers() {
		if ids.Epoch() == s.Epoch() {
			day := denylist.DayOf(v.now())
			on := func(id denylist.ID) bool {
				_, listed := s.Lookup(id.Hash(), day)
				return listed
			}
			return on(ids.Credential(card.Number, card.Sequence, card.Expiry)) || on(ids.Token(card.Number)) || card.Reference != "" && on(ids.PAR(card.Reference))
		}
	}
	return false
}

// mayPay: no card is asked to pay while its payment could not be kept.
func (v *Validator) mayPay() error {
	switch {
	case !v.options.Purse:
		return nil
	case v.log.Load().Full():
		return fmt.Errorf("tap: %w: %w", gate.ErrLog, taplog.ErrFull)
	case v.gate.Failed():
		return v.restart()
	}
	return nil
}

// Result is what became of one tap.
type Result struct {
	gate.Decision
	Outcome  kernel.Outcome
	Torn     bool // the card left; hold it to the reader again
	Asked    bool // the back office was asked for a first ride
	Reading  time.Duration
	Deciding time.Duration // the gate's own work, with the log's sync
}

// Tap reads a card and decides. The error is trouble of the device: the gate stays shut.
func (v *Validator) Tap(ctx context.Context, reader apdu.Transceiver, tap gate.Read) (Result, error) {
	v.tapping.Lock()
	defer v.tapping.Unlock()
	now := v.now()
	amount := tap.Amount
	if amount.Currency().IsZero() {
		amount = v.options.Gate.Amount
	}
	v.counter++
	v.asking, v.forbids = gate.Read{Direction: tap.Direction}, 0
	if err := v.mayPay(); err != nil {
		return Result{}, err
	}
	began := v.options.Clock.Now()
	read, taken, err := v.read(ctx, reader, terminal.Request{
		Amount: amount, Other: money.New(0, amount.Currency()), Now: now, Counter: v.counter % maxCounter, OfflineOnly: v.options.Purse}, tap.Direction)
	if err != nil {
		return Result{}, fmt.Errorf("read the card: %w", err)
	}
	tap.Outcome, tap.Random, tap.Amount, tap.Refused = read.Outcome, v.random.last, taken.amount, cmp.Or(v.forbids, taken.refused)
	if tap.Refused != 0 {
		read.Outcome.Detail = glossary.Term{} // the kernel's is what it was made to believe
	}
	result := Result{Outcome: read.Outcome, Torn: read.Torn != nil, Reading: v.options.Clock.Now().Sub(began)}
	began = v.options.Clock.Now()
	result.Decision, err = v.decide(tap, now)
	if err == nil && result.Claim {
		if result.Asked = true; v.claim(ctx, result.Record) {
			tap.Granted = true
			result.Decision, err = v.decide(tap, v.now())
		}
	}
	result.Deciding = v.options.Clock.Now().Sub(began)
	v.taps.Add(1)
	v.last.Store(v.gate.Head().Sequence)
	if result.Open {
		v.open.Add(1)
	}
	return result, err
}

// maxCounter is one more than the terminal's count of transactions can say, in eight digits.
const maxCounter = 100_000_000

// decide asks the gate, and replays its log when that failed before.
func (v *Validator) decide(tap gate.Read, now time.Time) (gate.Decision, error) {
	snapshot := v.Snapshot() // before the keys: its key was here before it
	if ids := v.keys.held.Load(); ids != v.applied {
		if err := v.gate.Identifiers(*ids); err != nil {
			return gate.Decision{}, err
		}
		v.applied = ids
	}
	for _, id := range v.approvals() {
		v.gate.Approved(id)
	}
	d, err := v.gate.Tap(tap, snapshot, now)
	if err == nil || !errors.Is(err, gate.ErrLog) || errors.Is(err, taplog.ErrFull) {
		return d, err
	}
	// The record may or may not be there. What the log really holds counts; this rider taps again.
	return d, errors.Join(err, v.restart())
}

func (v *Validator) restart() error {
	if l := v.log.Load(); l != nil {
		_ = l.Close() // it has failed already
	}
	return v.startLog()
}

func (v *Validator) approvals() []denylist.ID {
	v.news.Lock()
	defer v.news.Unlock()
	news := v.approved
	v.approved = nil
	return news
}

// claimBits tell the claims of one millisecond apart.
const claimBits = 16

// claim asks for a first ride. Without an answer there is none.
func (v *Validator) claim(ctx context.Context, r gate.Record) bool {
	ctx, cancel := context.WithTimeout(ctx, claimWithin)
	defer cancel()
	number := uint64(v.options.Clock.Now().UnixMilli())<<claimBits + v.claims.Add(1)%(1<<claimBits)
	key, device := v.options.Gate.ChainKey, v.options.Gate.Device
	sealed, err := v.options.Line.Claim(ctx, device, gate.EncodeClaim(key, gate.Claim{Device: device, Number: number, ID: r.ID, Epoch: r.Epoch}))
	if err != nil {
		return false
	}
	answer, err := gate.ParseClaimAnswer(key, device, number, sealed)
	return err == nil && answer.Granted
}

// NotPassed says that the rider whose tap opened the gate did not go through.
func (v *Validator) NotPassed(tap gate.Record) error {
	v.tapping.Lock()
	defer v.tapping.Unlock()
	return v.gate.NotPassed(tap, v.now())
}

// Health is the device's report about itself.
func (v *Validator) Health() gate.Health {
	v.line.Lock()
	defer v.line.Unlock()
	v.tell()
	return v.courier.Health(v.options.Clock.Now())
}

// tell brings the courier's counts up to date. The caller holds line.
func (v *Validator) tell() {
	v.courier.Sequence, v.courier.Taps, v.courier.Opened = v.last.Load(), v.taps.Load(), v.open.Load()
}

// Close closes the files.
func (v *Validator) Close() error {
	v.tapping.Lock()
	defer v.tapping.Unlock()
	return errors.Join(v.log.Load().Close(), v.files.Close())
}

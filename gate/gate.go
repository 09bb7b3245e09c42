package gate

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
)

// Read is what came of reading a card.
type Read struct {
	Outcome kernel.Outcome
	// Card holds further data objects out of the card's records, where the reader kept them and the kernel did not: usage control 9F07, effective date
	// 5F25, issuer country 5F28, payment account reference 9F24. What is absent is not checked.
	Card emv.Data
	// Random is the unpredictable number that the reader drew for this tap. The card must have signed this one.
	Random    [4]byte
	Direction Direction
	Amount    money.Amount // that the card was asked to sign; without a currency: that of the configuration
	Station   uint32       // where the vehicle is; 0: where the configuration says
	Granted   bool         // the back office granted this ride: see Decision.Claim
	// Refused is what the reader held against the card before it paid: PassBack when the operator's record on a purse says that its rider is inside
	// already, or what Forbids said; 0: nothing. It counts only for a card that did not pay.
	Refused Reason
}

// Decision is the answer to a tap. Open only ever is true for a record that is durable.
type Decision struct {
	Open   bool
	Record Record
	// Claim: shut until the back office grants the ride. The caller asks it, and calls Tap again with the same Read, Granted.
	Claim bool
}

// Reason says why.
func (d Decision) Reason() Reason { return d.Record.Reason }

// Ports are what a gate needs around it.
type Ports struct {
	// IDs are at least one and at most MaxKeys, of rising epochs; the one of the deny list's epoch is used, the last when there is no list.
	IDs    []Identifier
	Sealer Sealer
	Log    Log
}

// Errors of a gate.
var (
	ErrLog  = errors.New("tap log is not usable")
	ErrTap  = errors.New("no such tap to take back")
	ErrRead = errors.New("read result is not usable")
	// ErrBroken is wrapped by Replay when more of the log is bad than a loss of power explains.
	ErrBroken = errors.New("tap log was damaged or changed")
)

// Gate is one lane. It belongs to one goroutine.
type Gate struct {
	config Config
	ports  Ports
	memory memory
	head   Head
	// pending is the StartRecord, which goes out with the first tap.
	pending []Record
	failed  bool // the log did not take a record: nothing is certain until Replay
	// approved says, for credentials approved since a second key is held, up to which record: a ride may be remembered under the other key's ID.
	approved map[denylist.ID]uint64
}

// Replay starts a gate from the log that it wrote before, empty for a new one: at start-up, and after ErrLog. log may be the part that
// follows from; a few hours are enough for what the gate has to remember. good is the number of bytes that are whole: the caller cuts
// the log there before the first tap. broken says what stood behind them, nil when nothing did; a record that a loss of power tore off
// never opened a gate. The first record that the gate writes counts the bytes that were cut off. When more than one record's length is bad,
// Replay refuses with ErrBroken, so that nobody cuts off what did open a gate: the caller saves the log, and calls again with the good part.
func Replay(c Config, p Ports, log []byte, from Head, now time.Time) (g *Gate, good int, broken *Broken, err error) {
	c.withDefaults()
	if err := c.check(); err != nil {
		return nil, 0, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if p.Sealer == nil || p.Log == nil {
		return nil, 0, nil, fmt.Errorf("%w: a sealer and a log are needed", ErrConfig)
	}
	g = &Gate{config: c, ports: p, memory: newMemory(c.Remembered)}
	if err := g.Identifiers(p.IDs); err != nil {
		return nil, 0, nil, err
	}
	g.head, broken = Verify(log, c.ChainKey, from, func(r Record) { g.memory.learn(&r, c.VelocityLimit) })
	good = len(log)
	if broken != nil {
		good = broken.Offset
		// A gate has at most one record under way, so a loss of power spoils at most the length of one.
		if len(log)-good > maxRecord {
			return nil, good, broken, fmt.Errorf("%w: %v", ErrBroken, broken)
		}
	}
	start := g.record(StartRecord, now)
	start.Discarded = uint64(len(log) - good)
	g.pending = append(g.pending[:0], start)
	return g, good, broken, nil
}

// Identifiers replaces the gate's keys between two taps: at least one, at most MaxKeys, of rising epochs. What the gate remembers of a card under the other
// key that it holds still counts; what it remembers under a key that it holds no more does not.
func (g *Gate) Identifiers(ids []Identifier) error {
	epochs := make([]denylist.Epoch, 0, MaxKeys)
	for _, id := range ids {
		epochs = append(epochs, id.Epoch())
	}
	if len(ids) == 0 || !rising(epochs) {
		return fmt.Errorf("%w: identifiers of epochs %v, wanted are 1 to %d, rising", ErrConfig, epochs, MaxKeys)
	}
	g.ports.IDs = slices.Clone(ids)
	if len(ids) == 1 {
		g.approved = nil
	}
	return nil
}

// Failed reports whether the log did not take a record: until Replay no gate opens, and no card should be asked to pay.
func (g *Gate) Failed() bool { return g.failed }

// Head is how far the log has come.
func (g *Gate) Head() Head { return g.head }

func (g *Gate) record(kind RecordKind, now time.Time) Record {
	return Record{Kind: kind, At: time.UnixMilli(now.UnixMilli()).UTC(), Device: g.config.Device, Station: g.config.Station}
}

// Tap decides on one card. snapshot is the deny list now, nil when there is none. The decision holds whatever the error says: an error is the log's or
// the sealer's trouble, and the gate stays shut. now has the operator's time zone: the calendar day is its day.
func (g *Gate) Tap(r Read, snapshot *denylist.Snapshot, now time.Time) (Decision, error) {
	if !r.Direction.Valid() {
		return Decision{}, fmt.Errorf("direction %d: %w", r.Direction, ErrRead)
	}
	if r.Refused == OK || r.Refused >= reasonEnd {
		return Decision{}, fmt.Errorf("refused for %d: %w", r.Refused, ErrRead)
	}
	record := g.record(TapRecord, now)
	record.Direction, record.Random = r.Direction, r.Random
	if r.Station != 0 {
		record.Station = r.Station
	}
	t := g.look(&r, snapshot, now)
	record.Amount, record.Currency = t.amount.Minor(), uint16(t.amount.Currency().Number())
	record.Reason, record.Flags = t.decide()
	record.ID, record.Epoch, record.ATC, record.List = t.id, t.epoch, t.atc, t.list()
	if record.Reason == OK && g.memory.full(record.ID) {
		record.Flags |= FlagForgotten
	}
	err := g.write(&record, t)
	if err != nil {
		record.Reason = LogFailed
	}
	claim := record.Reason == FirstRideOpen && t.rule.Claim && !r.Granted
	return Decision{Open: record.Reason == OK && r.Direction != Inspect, Record: record, Claim: claim}, err
}

// write seals what the back office needs and appends the record.
func (g *Gate) write(record *Record, t *tap) error {
	if g.failed {
		return fmt.Errorf("tap: %w until it is replayed", ErrLog)
	}
	if err := g.writePending(); err != nil {
		return err
	}
	record.Sequence = g.head.Sequence + 1
	// A debt may be collected with the data of a tap that was refused; a card that has paid and was not let in gets its money back.
	if record.Reason == OK || record.Reason == DeniedDebt && !t.stoppedBefore() || record.Flags.Has(FlagPurse) {
		sealed, err := g.ports.Sealer.Seal(t.forOffice(), record.additional())
		if err != nil {
			return fmt.Errorf("seal the card's data: %w", err)
		}
		if len(sealed) > MaxSealed {
			return fmt.Errorf("sealed data of %d bytes: %w", len(sealed), ErrRecord)
		}
		record.Sealed = sealed
	}
	return g.append(record)
}

func (g *Gate) writePending() error {
	for len(g.pending) > 0 {
		r := g.pending[0]
		r.Sequence = g.head.Sequence + 1
		if err := g.append(&r); err != nil {
			return err
		}
		g.pending = g.pending[1:]
	}
	return nil
}

// append makes a record durable; only then does the gate believe it.
func (g *Gate) append(r *Record) error {
	b := r.body()
	link := g.config.ChainKey.link(g.head.Link, b)
	if err := g.ports.Log.Append(append(b, link[:]...)); err != nil {
		g.failed = true
		return fmt.Errorf("append record %d: %w: %w", r.Sequence, ErrLog, err)
	}
	g.head = Head{Sequence: r.Sequence, Link: link}
	g.memory.learn(r, g.config.VelocityLimit)
	return nil
}

// NotPassed says that the rider whose tap opened the gate did not go through: the tap does not count, and the same card may tap again.
// Only the last opened tap of a card can be taken back; of a card that tapped under two keys, the last under each.
func (g *Gate) NotPassed(tap Record, now time.Time) error {
	s := g.memory.find(tap.ID)
	if tap.Sequence == 0 || s == nil || s.open != tap.Sequence {
		return ErrTap
	}
	if g.failed {
		return fmt.Errorf("take a tap back: %w until it is replayed", ErrLog)
	}
	if err := g.writePending(); err != nil {
		return err
	}
	r := g.record(NotPassed, now)
	r.Sequence, r.Subject, r.ID, r.Epoch = g.head.Sequence+1, tap.Sequence, tap.ID, tap.Epoch
	return g.append(&r)
}

// Approved says that the back office has an approval for a ride on trust, so that the next one need not wait. It does not outlast a restart:
// the gate then waits as long as FirstRideWait says. id may be of any epoch whose key the gate holds.
func (g *Gate) Approved(id denylist.ID) {
	if s := g.memory.find(id); s != nil {
		s.trusted = time.Time{}
	}
	if len(g.ports.IDs) == 1 {
		return
	}
	if g.approved == nil || len(g.approved) >= maxApproved {
		g.approved = make(map[denylist.ID]uint64) // whoever is forgotten waits as long as FirstRideWait says
	}
	g.approved[id] = g.head.Sequence
}

// maxApproved bounds what is kept of approvals while two keys are held.
const maxApproved = 4 * MaxApprovals

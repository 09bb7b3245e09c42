package taplog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tapnet/gate"
)

// Started says what Start found.
type Started struct {
	Records   uint64       // number of the last whole record
	Cut       int          // bytes that a loss of power tore off
	Broken    *gate.Broken // what stood there; nil when nothing was cut
	Salvaged  []string     // files that were damaged and moved aside, with Options.Salvage
	NewChain  bool         // numbers were passed over: the back office sees the gap
	Forgotten int          // segments that were uploaded and should have been gone
}

// damaged is what a file that is not readable is called from then on, for whoever looks into it.
const damaged = "damaged-"

// Start recovers the log in disk and the gate that wrote it, both ready for the first tap. p.Log is set here. A log that is damaged, which is
// more than a loss of power explains, is refused with gate.ErrBroken and left as it is, unless Options say to salvage.
func Start(disk Disk, o Options, c gate.Config, p gate.Ports, now time.Time) (*gate.Gate, *Log, Started, error) {
	if err := o.check(c); err != nil {
		return nil, nil, Started{}, err
	}
	r := &recovery{disk: disk, options: o, now: now}
	if err := r.read(); err != nil {
		return nil, nil, r.found, fmt.Errorf("start the tap log: %w", err)
	}
	l := &Log{disk: disk, options: o, state: r.state}
	p.Log = l
	// What the gate remembers is in the last chain; of it everything is verified, once more, together with what it makes of it.
	chain, from := r.lastChain()
	if r.lost {
		chain, from = nil, gate.Head{Sequence: r.beyond()}
		r.found.NewChain = from.Sequence > 0
	}
	g, good, broken, err := gate.Replay(c, p, chain, from, now)
	if err != nil {
		return nil, nil, r.found, fmt.Errorf("start the tap log: %w", err)
	}
	r.found.Cut, r.found.Broken = len(chain)-good, broken
	if err := l.takeOver(r, g.Head()); err != nil {
		return nil, nil, r.found, fmt.Errorf("start the tap log: %w", err)
	}
	r.found.Records = g.Head().Sequence
	return g, l, r.found, nil
}

func (o *Options) check(c gate.Config) error {
	if o.Segment == 0 {
		o.Segment = DefaultSegment
	}
	if o.Max == 0 {
		o.Max = DefaultMax
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	switch {
	case o.Device != c.Device || o.Key.IsZero():
		return fmt.Errorf("log of device %q for gate %q, or without a key: %w", o.Device, c.Device, gate.ErrConfig)
	case o.Segment < minSegment || o.Segment > maxSegment || o.Max < minSegments*o.Segment:
		return fmt.Errorf("segments of %d bytes, %d in all: %w", o.Segment, o.Max, gate.ErrConfig)
	}
	return nil
}

// recovery is a start under way.
type recovery struct {
	disk     Disk
	options  Options
	now      time.Time
	state    state
	segments []segment
	records  [][]byte // of each segment; the last may end torn
	lost     bool     // a new chain has to begin
	// stateless: nobody knows which numbers were reserved.
	stateless bool
	found     Started
}

func (r *recovery) read() error {
	names, err := r.disk.Names()
	if err != nil {
		return fmt.Errorf("list the files: %w", err)
	}
	var after []uint64
	for _, name := range names {
		if strings.HasSuffix(name, temporary) {
			if err := r.disk.Remove(name); err != nil {
				return fmt.Errorf("remove %s: %w", name, err)
			}
		} else if n, ok := parseSegmentName(name); ok {
			after = append(after, n)
		}
	}
	slices.Sort(after)
	known, err := r.readState()
	if err != nil {
		return err
	}
	for i, n := range after {
		if err := r.readSegment(n, i == len(after)-1); err != nil {
			return err
		}
	}
	return r.judge(known)
}

func (r *recovery) readState() (known bool, err error) {
	r.state, known, err = readState(r.disk, r.options.Key, r.options.Device)
	if errors.Is(err, errState) && r.options.Salvage {
		r.state, r.lost, r.stateless = state{}, true, true
		return false, r.aside(stateName)
	}
	return known, err
}

// aside moves a file out of the way, for whoever looks into it.
func (r *recovery) aside(name string) error {
	r.found.Salvaged = append(r.found.Salvaged, damaged+name)
	if err := errors.Join(r.disk.Rename(name, damaged+name), r.disk.Sync()); err != nil {
		return fmt.Errorf("move %s aside: %w", name, err)
	}
	return nil
}

// readSegment verifies one file. Only the last may end torn, and by no more than a loss of power tears off: gate.Replay judges that.
func (r *recovery) readSegment(after uint64, last bool) error {
	b, err := r.disk.Read(segmentName(after))
	if err != nil {
		return fmt.Errorf("read a segment: %w", err)
	}
	from, ok := parseHeader(b)
	if !ok || from.Sequence != after {
		return r.broken(segment{from: gate.Head{Sequence: after}}, nil, &gate.Broken{Sequence: after, Why: "the segment's beginning is damaged"})
	}
	s, records := segment{from: from, last: r.now}, b[segmentHeader:]
	head, broken := gate.Verify(records, r.options.Key, from, func(rec gate.Record) { s.last = rec.At })
	s.to, s.size = head, int64(len(records))
	if broken != nil {
		s.size = int64(broken.Offset)
		if !last || len(records)-broken.Offset > gate.MaxRecord {
			return r.broken(s, records[:broken.Offset], broken)
		}
	}
	r.segments, r.records = append(r.segments, s), append(r.records, records)
	return nil
}

// broken refuses, or keeps what is good of a segment and moves the damaged file aside.
func (r *recovery) broken(s segment, good []byte, why *gate.Broken) error {
	if !r.options.Salvage {
		return fmt.Errorf("%s: %v: %w", s.name(), why, gate.ErrBroken)
	}
	r.lost = true
	if err := r.aside(s.name()); err != nil || len(good) == 0 {
		return err
	}
	if err := Replace(r.disk, s.name(), append(encodeHeader(s.from), good...)); err != nil {
		return err
	}
	r.segments, r.records = append(r.segments, s), append(r.records, good)
	return nil
}

// judge looks at the segments together: each continues the one before, or begins a chain; nothing that the back office has is missing.
func (r *recovery) judge(known bool) error {
	for i := r.lastBeginning() + 1; i < len(r.segments); i++ { // what is wrong before it was salvaged already
		before, s := &r.segments[i-1], &r.segments[i]
		if s.from == before.to {
			continue
		}
		if before.to.Sequence <= r.state.receipt.Sequence { // removed already, and the name came back with a loss of power
			r.forget(i)
			return r.judge(known)
		}
		why := &gate.Broken{Sequence: before.to.Sequence, Why: fmt.Sprintf("the next segment follows number %d", s.from.Sequence)}
		if !r.options.Salvage {
			return fmt.Errorf("%s: %v: %w", s.name(), why, gate.ErrBroken)
		}
		r.lost = true // both are kept and uploaded as far as they go; the gap shows
	}
	head := r.head()
	behind := max(r.state.receipt.Sequence, r.options.After)
	if head.Sequence < behind {
		if r.options.After < behind && !r.options.Salvage && known {
			return fmt.Errorf("number %d is the last, the back office has %d: %w", head.Sequence, behind, gate.ErrLost)
		}
		r.lost = true
	}
	if len(r.segments) == 0 && r.state.reserved > 0 && !r.lost { // the first segment comes before the first state
		if !r.options.Salvage && r.options.After == 0 {
			return fmt.Errorf("no segment is left, numbers up to %d may have been used: %w", r.state.reserved, gate.ErrBroken)
		}
		r.lost = true
	}
	return nil
}

// lastBeginning is the segment that begins the last chain.
func (r *recovery) lastBeginning() int {
	for i := len(r.segments) - 1; i > 0; i-- {
		if begins(r.segments[i].from) && r.segments[i].from.Sequence > r.segments[i-1].to.Sequence {
			return i
		}
	}
	return 0
}

// forget drops the segments before the i-th.
func (r *recovery) forget(i int) {
	for k := range i {
		_ = r.disk.Remove(r.segments[k].name()) // harmless when it stays: the next start finds it again
	}
	r.found.Forgotten += i
	r.segments, r.records = r.segments[i:], r.records[i:]
}

func (r *recovery) head() gate.Head {
	if len(r.segments) == 0 {
		return gate.Head{}
	}
	return r.segments[len(r.segments)-1].to
}

// beyond is above every number that may have been used.
func (r *recovery) beyond() uint64 {
	n := max(r.head().Sequence, r.state.reserved, r.state.receipt.Sequence, r.options.After)
	if r.stateless {
		n += reserveBlock + reserveFew
	}
	if len(r.segments) > 0 && r.segments[len(r.segments)-1].from.Sequence == n {
		n++ // a file of that name is there
	}
	return n
}

// lastChain is everything since the last beginning of a chain, with what is torn at its end.
func (r *recovery) lastChain() ([]byte, gate.Head) {
	if len(r.segments) == 0 {
		return nil, gate.Head{}
	}
	first := len(r.segments) - 1
	for first > 0 && r.segments[first].from == r.segments[first-1].to {
		first--
	}
	return slices.Concat(r.records[first:]...), r.segments[first].from
}

// takeOver makes what was read durable, and opens the log behind it. What a failed sync left in the machine's memory can be read and is not on
// the disk, and no later sync says so; therefore the last segment is written anew, without what was torn.
func (l *Log) takeOver(r *recovery, head gate.Head) error {
	l.segments = r.segments
	if n := len(l.segments); n > 0 {
		s := &l.segments[n-1]
		content := append(encodeHeader(s.from), r.records[n-1][:s.size]...)
		f, err := replace(l.disk, s.name(), content, true)
		if err != nil {
			return err
		}
		l.file = f
	}
	if len(l.segments) == 0 || r.lost {
		if err := l.roll(head, r.now); err != nil {
			return err
		}
	}
	l.sent = l.locate(r.state.receipt)
	if r.lost && r.options.After > r.state.receipt.Sequence {
		// What is here up to that number is there, or is another device's idea of these numbers, which nobody will take.
		l.sent = place{head: gate.Head{Sequence: r.options.After}}
	}
	return l.reserve(head.Sequence + reserveFew)
}

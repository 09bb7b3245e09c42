package transit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
)

// Ingest is the command that takes a piece of a device's log. The reply is Ingested, or an error that wraps ErrDevice, ErrFork, gate.ErrForged or
// gate.ErrBroken: nothing of such a chunk is kept.
type Ingest struct{ Chunk gate.Chunk }

// Ingested says what came of a chunk, and how far the device's log is on disk here.
type Ingested struct {
	Receipt gate.Receipt
	New     int // records that were not known
	Known   int // records that were
	Missing []Gap
}

// ErrDevice is wrapped when nobody has registered the device.
var ErrDevice = errors.New("device is not registered")

// maxRowRecords bounds the records in one row: what a row holds, less the links and references beside it.
const maxRowRecords = journal.MaxBlobBytes - 8<<10

// received is what Prepare found out about a chunk.
type received struct {
	err     error
	records []gate.Record
	links   []gate.Link
	offsets []int            // of each record, and the end
	under   []denylist.Epoch // the epochs that were alive, rising
	called  [][]called       // what the sealed data of each record say, under these
	tapped  []int32          // whose each record turned out to be; 0 for none
}

// prepareChunk verifies a chunk and looks for cards and account references among the sealed data. It needs no state but the epochs and runs in parallel.
func (o *Office) prepareChunk(c *gate.Chunk) *received {
	found := &received{}
	key, ok := o.deps.Devices[c.Device]
	if !ok {
		found.err = fmt.Errorf("device %q: %w", c.Device, ErrDevice)
		return found
	}
	if _, err := c.Verify(key, nil); err != nil {
		found.err = err
		return found
	}
	// Once more, record by record: the links in between are what overlapping chunks are compared by.
	head := gate.Head{Sequence: c.First - 1, Link: c.Before}
	for offset := 0; offset < len(c.Records); {
		length := recordLength(c.Records[offset:])
		next, broken := gate.Verify(c.Records[offset:offset+length], key, head, func(r gate.Record) { found.records = append(found.records, r) })
		if broken != nil { // Verify has just said otherwise
			found.err = fmt.Errorf("chunk of %s: %v: %w", c.Device, broken, gate.ErrBroken)
			return found
		}
		found.links, found.offsets = append(found.links, next.Link), append(found.offsets, offset)
		head, offset = next, offset+length
	}
	found.offsets = append(found.offsets, len(c.Records))
	found.tapped = make([]int32, len(found.records))
	o.nameRecords(found, o.state.shared.all())
	return found
}

// recordLength is the length of the record that begins b, which a verified chunk has whole: two octets behind magic and kind.
func recordLength(b []byte) int { return int(binary.BigEndian.Uint16(b[4:])) }

// open gives the card's data objects of a record.
func (o *Office) open(r *gate.Record) (emv.Data, bool) {
	plain, err := o.deps.Opener.Open(r.Sealed, r.Additional())
	if err != nil {
		return emv.Data{}, false
	}
	data, err := emv.ParseData(plain)
	return data, err == nil
}

// uploadKey names the row that holds a record of a device and what follows it.
func uploadKey(device string, first uint64) string { return fmt.Sprintf("c/%s/%020d", device, first) }

// ingest decides on a chunk.
func (o *Office) ingest(now time.Time, ev *journal.Event, c *gate.Chunk, step *journal.Step) {
	found, _ := ev.Finding.(*received)
	if found == nil {
		found = o.prepareChunk(c)
	}
	if found.err != nil {
		if at, known := o.state.deviceBy[c.Device]; known {
			d := o.state.devices[at]
			d.refused, d.why = d.refused+1, found.err.Error()
		}
		step.Emit(journal.Effect{Reply: found.err})
		return
	}
	if alive := o.state.keys.all(); !covers(found.under, alive) {
		o.nameRecords(found, alive) // a rotation has begun since
	}
	d := o.state.deviceOf(c.Device)
	pieces, err := fit(d.spans, c.First, c.Before, found.links)
	if err != nil {
		d.refused, d.why = d.refused+1, err.Error()
		step.Emit(journal.Effect{Reply: fmt.Errorf("chunk of %s from record %d: %w", c.Device, c.First, err)})
		return
	}
	done := Ingested{}
	touched := map[int32]bool{}
	for _, p := range pieces {
		done.New += p.to - p.from
		for p.from < p.to {
			to := p.from + 1
			for to < p.to && found.offsets[to+1]-found.offsets[p.from] <= maxRowRecords {
				to++
			}
			o.take(now, c, found, piece{p.from, to}, step)
			for i := p.from; i < to; i++ {
				if at := found.tapped[i]; at != 0 {
					touched[at] = true
				} else if at, ok := o.state.known(found.records[i].ID); ok {
					touched[at] = true
				}
			}
			p.from = to
		}
	}
	done.Known = len(found.records) - done.New
	head := reached(d.spans)
	done.Receipt, done.Missing = gate.Receipt{Device: d.name, Sequence: head.Sequence, Link: head.Link}, gaps(d.spans)
	d.heard = now
	o.follow(now, found, pieces, touched, step)
	step.Emit(journal.Effect{Reply: done})
}

// take makes one row of records that are new.
func (o *Office) take(now time.Time, c *gate.Chunk, found *received, p piece, step *journal.Step) {
	before := c.Before
	if p.from > 0 {
		before = found.links[p.from-1]
	}
	first := c.First + uint64(p.from)
	head := append(append(make([]byte, 0, 64), before[:]...), found.links[p.to-1][:]...)
	bare := len(head)
	for i := p.from; i < p.to; i++ {
		head = o.appendCalled(head, i-p.from, found.records[i].ID, found.called[i])
	}
	r := journal.Row{
		Kind: journal.Uploaded, Key: uploadKey(c.Device, first), Terminal: c.Device, Answer: head,
		Note: slices.Clone(c.Records[found.offsets[p.from]:found.offsets[p.to]]),
	}
	if len(head) > bare {
		r.Reason = calledByKind
	}
	if len(head) > journal.MaxBlobBytes {
		panic("transit: more references than records")
	}
	step.Decide(now, r, func(r *journal.Row) error {
		o.keep(r)
		return o.state.applyWith(r, found.records[p.from:p.to], found.tapped[p.from:p.to])
	})
}

// linkBytes is the length of a link; headBytes of what stands before the references in an Uploaded row.
const (
	linkBytes = 32
	headBytes = 2 * linkBytes
)

var errUploaded = errors.New("records of a device are damaged")

// applyUploaded takes records in: taps to their accounts, taps that do not count out of them.
func (s *state) applyUploaded(r *journal.Row, records []gate.Record, tapped []int32) error {
	if len(r.Answer) < headBytes {
		return fmt.Errorf("row %d: %w", r.Seq, errUploaded)
	}
	d := s.deviceOf(r.Terminal)
	sp := span{before: gate.Link(r.Answer[:linkBytes]), after: gate.Link(r.Answer[linkBytes:headBytes])}
	if records == nil {
		key, ok := s.deps.Devices[r.Terminal]
		if !ok {
			return fmt.Errorf("row %d: device %q: %w", r.Seq, r.Terminal, ErrDevice)
		}
		first, err := firstOf(r.Key)
		if err != nil {
			return fmt.Errorf("row %d: %w", r.Seq, err)
		}
		head, broken := gate.Verify(r.Note, key, gate.Head{Sequence: first - 1, Link: sp.before}, func(g gate.Record) { records = append(records, g) })
		if broken != nil || head.Link != sp.after {
			return fmt.Errorf("row %d: %v: %w", r.Seq, broken, errUploaded)
		}
	}
	if len(records) == 0 {
		return fmt.Errorf("row %d: %w", r.Seq, errUploaded)
	}
	sp.first, sp.last = records[0].Sequence, records[len(records)-1].Sequence
	sp.fresh = sp.before == gate.Link{} && sp.first > 1
	found, err := parseCalled(r.Answer[headBytes:], r.Reason == calledByKind, len(records), s.deps.Epoch)
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	d.spans = insert(d.spans, sp)
	for i := range records {
		at := s.applyRecord(d, sp.first, &records[i], r.At, found[i])
		if tapped != nil {
			tapped[i] = at
		}
	}
	return nil
}

// firstOf reads the number in the key of an Uploaded row.
func firstOf(key string) (uint64, error) {
	const digits = 20
	if len(key) < digits {
		return 0, errUploaded
	}
	var n uint64
	for _, c := range key[len(key)-digits:] {
		if c < '0' || c > '9' {
			return 0, errUploaded
		}
		n = n*10 + uint64(c-'0')
	}
	if n == 0 {
		return 0, errUploaded
	}
	return n, nil
}

// applyRecord takes one record in, and says which credential it is of; 0 for none.
func (s *state) applyRecord(d *device, row uint64, g *gate.Record, received time.Time, found []called) int32 {
	switch g.Kind {
	case gate.NotPassed:
		s.takeBack(d, g)
		return 0
	case gate.TapRecord:
	default:
		return 0
	}
	d.taps++
	s.totals.Taps++
	if g.Reason != gate.OK {
		s.totals.state(0, TapRefused)
		purse := g.Flags.Has(gate.FlagPurse) && g.Amount > 0 && len(g.Sealed) > 0 // the card has paid all the same
		if g.Reason != gate.DeniedDebt && !provesCopy(g) && !purse || g.ID.IsZero() {
			return 0
		}
		c := s.credentialOf(alias{g.ID, g.Epoch}, ofKind(found, denylist.Credential))
		c.learn(d, row, g)
		if purse {
			s.pays(d, row, g, g.At, c, true)
		}
		return c.number
	}
	d.opened++
	s.totals.Opened++
	c := s.credentialOf(alias{g.ID, g.Epoch}, ofKind(found, denylist.Credential))
	c.learn(d, row, g)
	if par := ofKind(found, denylist.PAR); len(par) > 0 {
		s.link(c, par)
	}
	s.applyTap(d, row, g, received, c)
	return c.number
}

// applyTap takes in a tap that opened.
func (s *state) applyTap(d *device, row uint64, g *gate.Record, received time.Time, c *credential) {
	at, flags := g.At, g.Flags
	if at.After(received.Add(s.deps.ClockAhead)) {
		at, flags = received, flags|flagAhead
		d.ahead++
	}
	t := tap{clock: tapClock(at.UnixMilli(), g.ATC), sequence: g.Sequence, device: d.number, credential: c.number, station: g.Station, direction: g.Direction,
		flags: flags, state: TapPending}
	key := tapKey{d.number, g.Sequence}
	switch {
	case g.Flags.Has(gate.FlagPurse):
		s.totals.state(0, TapPurse)
		s.pays(d, row, g, at, c, s.takenBack[key])
		delete(s.takenBack, key)
		return
	case s.takenBack[key]: // as if it had come first
		delete(s.takenBack, key)
		s.totals.state(0, TapTakenBack)
		t.state = TapTakenBack
		a := s.accounts[c.account]
		a.taps = append(a.taps, t)
		return
	}
	s.totals.state(0, TapPending)
	a := s.accounts[c.account]
	a.taps = append(a.taps, t)
	a.waiting = true
	a.unbilled++
	if a.since == 0 || t.at() < a.since {
		a.since = t.at()
	}
}

// learn remembers where the sealed data of a credential's latest tap lie.
func (c *credential) learn(d *device, row uint64, g *gate.Record) {
	c.atc = max(c.atc, g.ATC)
	if g.Flags.Has(gate.FlagPurse) {
		return // its cryptogram is of a payment that was made: it proves no other
	}
	at := g.At.UnixMilli()
	if len(g.Sealed) == 0 || at < c.material.at || at == c.material.at && g.Sequence < c.material.sequence {
		return
	}
	c.material = material{device: d.number, row: row, sequence: g.Sequence, at: at}
}

// takeBack takes a tap out whose rider did not go through. It may not be here yet.
func (s *state) takeBack(d *device, g *gate.Record) {
	key := tapKey{d.number, g.Subject}
	if at, known := s.known(g.ID); known {
		if !s.takeOut(s.accounts[s.credentials[at].account], key) {
			s.takenBack[key] = true
		}
		return
	}
	if !s.keys.alive(g.Epoch) {
		// The card had a name under this key once. Such a record has nothing else to find it by, and has been under way for weeks: it is worth the search.
		for _, a := range s.accounts[1:] {
			if s.takeOut(a, key) {
				return
			}
		}
	}
	s.takenBack[key] = true
}

func (s *state) takeOut(a *account, key tapKey) bool {
	if p := a.paidAt(key); p != nil {
		s.goesBack(p)
		return true
	}
	for i := len(a.taps) - 1; i >= 0; i-- {
		t := &a.taps[i]
		if t.device == key.device && t.sequence == key.sequence {
			if t.state != TapTakenBack {
				s.totals.state(t.state, TapTakenBack)
				t.state, a.waiting = TapTakenBack, true
			}
			return true
		}
	}
	return false
}

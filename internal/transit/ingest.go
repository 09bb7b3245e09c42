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
	offsets []int // of each record, and the end
	pars    []denylist.ID
}

// prepareChunk verifies a chunk and looks for account references among the sealed data. It needs no state and runs in parallel.
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
	found.pars = make([]denylist.ID, len(found.records))
	for i := range found.records {
		found.pars[i] = o.reference(&found.records[i])
	}
	return found
}

// recordLength is the length of the record that begins b, which a verified chunk has whole: two octets behind magic and kind.
func recordLength(b []byte) int { return int(binary.BigEndian.Uint16(b[4:])) }

// reference is the keyed hash of the account reference in a record's sealed data; zero when there is none. What cannot be opened is left for later: a tap
// is not lost because a key is.
func (o *Office) reference(r *gate.Record) (id denylist.ID) {
	if len(r.Sealed) == 0 {
		return id
	}
	data, ok := o.open(r)
	if !ok {
		return id
	}
	if reference := data.Get(emv.TagPAR); len(reference) > 0 {
		return o.deps.IDs.PAR(string(reference))
	}
	return id
}

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
				if at, ok := o.state.known(found.records[i].ID); ok {
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
	o.follow(now, found.records, pieces, touched, step)
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
	for i := p.from; i < p.to; i++ {
		if !found.pars[i].IsZero() {
			head = binary.AppendUvarint(head, uint64(i-p.from))
			head = append(head, found.pars[i][:]...)
		}
	}
	r := journal.Row{
		Kind: journal.Uploaded, Key: uploadKey(c.Device, first), Terminal: c.Device, Answer: head,
		Note: slices.Clone(c.Records[found.offsets[p.from]:found.offsets[p.to]]),
	}
	if len(head) > journal.MaxBlobBytes {
		panic("transit: more references than records")
	}
	step.Decide(now, r, func(r *journal.Row) error {
		o.keep(r)
		return o.state.applyWith(r, found.records[p.from:p.to])
	})
}

// linkBytes is the length of a link; headBytes of what stands before the references in an Uploaded row.
const (
	linkBytes = 32
	headBytes = 2 * linkBytes
)

var errUploaded = errors.New("records of a device are damaged")

// applyUploaded takes records in: taps to their accounts, taps that do not count out of them.
func (s *state) applyUploaded(r *journal.Row, records []gate.Record) error {
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
	pars, err := references(r.Answer[headBytes:], len(records))
	if err != nil {
		return fmt.Errorf("row %d: %w", r.Seq, err)
	}
	d.spans = insert(d.spans, sp)
	for i := range records {
		s.applyRecord(d, sp.first, &records[i], r.At, pars[i])
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

func references(b []byte, records int) (map[int]denylist.ID, error) {
	var found map[int]denylist.ID
	for len(b) > 0 {
		at, n := binary.Uvarint(b)
		if n <= 0 || at >= uint64(records) || len(b) < n+linkBytes {
			return nil, errUploaded
		}
		if found == nil {
			found = map[int]denylist.ID{}
		}
		found[int(at)] = denylist.ID(b[n : n+linkBytes])
		b = b[n+linkBytes:]
	}
	return found, nil
}

func (s *state) applyRecord(d *device, row uint64, g *gate.Record, received time.Time, par denylist.ID) {
	switch g.Kind {
	case gate.NotPassed:
		s.takeBack(d, g)
		return
	case gate.TapRecord:
	default:
		return
	}
	d.taps++
	s.totals.Taps++
	if g.Reason != gate.OK {
		s.totals.state(0, TapRefused)
		if g.Reason == gate.DeniedDebt && !g.ID.IsZero() {
			s.credentialOf(g.ID, g.Epoch).learn(d, row, g)
		}
		return
	}
	d.opened++
	s.totals.Opened++
	c := s.credentialOf(g.ID, g.Epoch)
	c.learn(d, row, g)
	if !par.IsZero() {
		s.link(c, par)
	}
	at := g.At
	if at.After(received.Add(s.deps.ClockAhead)) {
		at = received
		d.ahead++
	}
	t := tap{at: at.UnixMilli(), sequence: g.Sequence, device: d.number, credential: c.number, station: g.Station, direction: g.Direction, flags: g.Flags,
		state: TapPending}
	key := tapKey{d.number, g.Sequence}
	switch {
	case s.takenBack[key]:
		delete(s.takenBack, key)
		s.totals.state(0, TapTakenBack)
		return
	case g.Flags.Has(gate.FlagPurse):
		s.totals.state(0, TapPurse)
		if g.Amount > 0 && len(g.Sealed) > 0 {
			s.purses = append(s.purses, purse{c.number, g.Amount, material{device: d.number, row: row, sequence: g.Sequence}})
		}
		return
	}
	s.totals.state(0, TapPending)
	a := s.accounts[c.account]
	a.taps = append(a.taps, t)
	a.waiting = true
	a.unbilled++
	if a.since == 0 || t.at < a.since {
		a.since = t.at
	}
}

// learn remembers where the sealed data of a credential's latest tap lie.
func (c *credential) learn(d *device, row uint64, g *gate.Record) {
	c.atc = max(c.atc, g.ATC)
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
		a := s.accounts[s.credentials[at].account]
		for i := len(a.taps) - 1; i >= 0; i-- {
			t := &a.taps[i]
			if t.device == key.device && t.sequence == key.sequence {
				if t.state != TapTakenBack {
					s.totals.state(t.state, TapTakenBack)
					t.state, a.waiting = TapTakenBack, true
				}
				return
			}
		}
	}
	s.takenBack[key] = true
}

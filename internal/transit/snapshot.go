package transit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// A start does not read every tap there ever was: the state is kept beside the journal as cells, whole, as of one row. There are two places for it, used in
// turn, so that one is complete while the other is written; a cell of the header says which, and its watermark is the row. It is made when the writer stops and
// when a day has been closed: the writer packs it at once, about a second for a million riders, and hands it out with the batches of rows that follow.
//
//	cell 1 or 2       version, place, row, number of pieces, their SHA-256
//	cells place<<32…  the pieces in order: what pack writes

const (
	// snapshotVersion 2 has names under several keys, and entries from outside.
	snapshotVersion = 2
	places          = 2
	placeShift      = 32
	headerBytes     = 1 + 1 + 8 + 8 + sha256.Size
	// piecesPerBatch go with one batch of rows: a quarter of a megabyte. Without rows the writer is stopping and waits for nothing else.
	piecesPerBatch    = 64
	piecesAtStop      = 4096
	pieceBytes        = journal.MaxCellBytes
	snapshotChunkHint = 1024
)

var errSnapshot = errors.New("the state kept beside the journal is damaged: put its file away, and the journal is read from its beginning")

// saving is a snapshot on its way to the store.
type saving struct {
	place  byte
	row    uint64
	pieces [][]byte
	sum    [sha256.Size]byte
	next   int
}

func pieceID(place byte, at int) int64 { return int64(place+1)<<placeShift + int64(at) + 1 }

// save packs the state.
func (o *Office) save() *saving {
	p := &packer{pieces: make([][]byte, 0, snapshotChunkHint), hash: sha256.New()}
	o.state.pack(p)
	w := &saving{place: 1 - o.kept.place, row: o.state.last, pieces: p.end()}
	copy(w.sum[:], p.hash.Sum(nil))
	return w
}

// WriteBack implements journal.Keeper.
func (o *Office) WriteBack(back *journal.Back, rows int, durable uint64) {
	o.releaseKept(durable)
	stopping := rows == 0
	if o.saving == nil && (o.saveSoon || stopping) && o.state.last > o.kept.row {
		o.saving, o.saveSoon = o.save(), false
	}
	w := o.saving
	if w == nil {
		return
	}
	most := piecesPerBatch
	if stopping {
		most = piecesAtStop
	}
	for ; w.next < len(w.pieces) && most > 0; most-- {
		c := back.Add(pieceID(w.place, w.next), [16]byte{}, w.row)
		c.Data = append(c.Data, w.pieces[w.next]...)
		w.pieces[w.next] = nil
		w.next++
	}
	if w.next < len(w.pieces) {
		return
	}
	c := back.Add(int64(w.place)+1, [16]byte{}, w.row)
	c.Data = append(c.Data, snapshotVersion, w.place)
	c.Data = binary.BigEndian.AppendUint64(c.Data, w.row)
	c.Data = binary.BigEndian.AppendUint64(c.Data, uint64(len(w.pieces)))
	c.Data = append(c.Data, w.sum[:]...)
	back.Watermark = w.row
	o.kept, o.saving = keptState{place: w.place, row: w.row}, nil
}

// keptState is the snapshot that is complete. The zero value is none, in place 0: the first goes to place 1.
type keptState struct {
	place byte
	row   uint64
}

// Open implements journal.Keeper: the archive holds what memory does not, the sealed data of taps, and the state as of the watermark.
func (o *Office) Open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	o.archive = archive
	if watermark == 0 {
		return nil
	}
	for place := range byte(places) {
		header, found, err := archive.FindCell(ctx, int64(place)+1)
		if err != nil {
			return fmt.Errorf("read the kept state: %w", err)
		}
		if !found || len(header.Data) != headerBytes || header.Data[0] == 0 || header.Data[0] > snapshotVersion || header.Data[1] != place ||
			binary.BigEndian.Uint64(header.Data[2:]) != watermark {
			continue
		}
		o.kept = keptState{place: place, row: watermark}
		if header.Data[0] < snapshotVersion {
			return o.readAll(ctx, watermark)
		}
		return o.load(ctx, header.Data)
	}
	return fmt.Errorf("transit: as of row %d: %w", watermark, errSnapshot)
}

var errWhole = errors.New("the rows up to the kept state are read")

// readAll takes every row up to the watermark in: a kept state of an earlier version of this program is not read.
func (o *Office) readAll(ctx context.Context, watermark uint64) error {
	rows, ok := o.archive.(interface {
		Load(ctx context.Context, after uint64, fn func(*journal.Row) error) error
	})
	if !ok {
		return fmt.Errorf("transit: the kept state is of an earlier version, and this store does not read rows: %w", errSnapshot)
	}
	err := rows.Load(ctx, 0, func(r *journal.Row) error {
		if r.Seq != o.state.last+1 {
			return fmt.Errorf("row %d follows row %d: %w", r.Seq, o.state.last, errSnapshot)
		}
		if err := o.Replay(r); err != nil {
			return err
		}
		if r.Seq == watermark {
			return errWhole
		}
		return nil
	})
	if errors.Is(err, errWhole) || err == nil && o.state.last == watermark {
		return nil
	}
	return fmt.Errorf("transit: the kept state is of an earlier version, and the journal does not have the rows that made it: %w", cmp.Or(err, errSnapshot))
}

// load reads the pieces that a header names.
func (o *Office) load(ctx context.Context, header []byte) error {
	place, row, pieces := header[1], binary.BigEndian.Uint64(header[2:]), binary.BigEndian.Uint64(header[10:])
	hash := sha256.New()
	at := 0
	u := &unpacker{more: func() ([]byte, error) {
		if uint64(at) == pieces {
			return nil, errSnapshot
		}
		c, found, err := o.archive.FindCell(ctx, pieceID(place, at))
		if err != nil || !found {
			return nil, errors.Join(err, errSnapshot)
		}
		at++
		hash.Write(c.Data)
		return c.Data, nil
	}}
	o.state.unpack(u)
	if u.err == nil && (uint64(at) != pieces || len(u.b) != 0 || string(hash.Sum(nil)) != string(header[18:])) {
		u.err = errSnapshot
	}
	if u.err != nil {
		return fmt.Errorf("transit: the state as of row %d: %w", row, u.err)
	}
	o.state.last = row
	return nil
}

// pack writes the whole state.
func (s *state) pack(p *packer) {
	p.u(uint64(s.stan), uint64(s.batch))
	p.i(int64(s.closed))
	p.flag(s.closing != nil)
	if c := s.closing; c != nil {
		p.i(int64(c.day))
		p.u(uint64(c.next), c.seq)
	}
	for _, a := range accountNames {
		b := s.book.Balance(a.number)
		p.i(b.DebitsPending, b.DebitsPosted, b.CreditsPending, b.CreditsPosted)
		p.u(s.book.Last(a.number))
	}
	t := &s.totals
	p.u(t.Taps, t.Opened, t.Bills, t.Debts)
	p.i(t.Charged, t.Credited, t.Paid, t.Settled, t.Owed, t.Lost, t.Refunded, t.Purse)
	for state := TapPending; state < tapStateEnd; state++ {
		p.u(t.States[state])
	}
	p.u(uint64(s.keys.now), uint64(s.keys.next), uint64(s.keys.former))
	p.i(int64(s.forced))
	p.u(s.begun, uint64(s.pages))
	s.packDevices(p)
	s.packRiders(p)
	s.packMarks(p)
	s.packList(p)
	p.u(uint64(len(s.takenBack)))
	for key := range s.takenBack {
		p.key(key)
	}
	p.u(uint64(len(s.purses)))
	for i := range s.purses {
		p.u(uint64(s.purses[i].credential))
		p.i(s.purses[i].minor)
		p.material(&s.purses[i].material)
	}
	p.u(uint64(len(s.claims)))
	for n := range s.claims {
		p.u(uint64(n))
	}
	p.u(uint64(len(s.approved)))
	for _, a := range s.approved {
		p.i(int64(a.at))
		p.u(uint64(a.credential))
	}
	p.u(uint64(len(s.payments)))
	for _, pay := range s.payments {
		p.json(packedPayment{Seq: pay.seq, At: pay.at, Key: pay.key, Ask: pay.ask, Credential: pay.credential, Bill: pay.bill, Minor: pay.minor,
			Status: pay.status, Chip: pay.chip, Sealed: pay.sealed, STAN: pay.stan, Batch: pay.batch, Date: pay.date, Auth: pay.auth, RRN: pay.rrn})
	}
	p.u(uint64(len(s.freed)))
	for n, at := range s.freed {
		p.u(uint64(n))
		p.i(at)
	}
}

func (s *state) unpack(u *unpacker) {
	s.stan, s.batch = uint32(u.u()), uint32(u.u())
	s.closed = u.date()
	if u.flag() {
		date := u.date()
		s.closing = &closing{day: date, asOf: s.deps.closingInstant(date), next: int(u.u()), seq: u.u()}
	}
	for _, a := range accountNames {
		b := ledger.Balance{DebitsPending: u.i(), DebitsPosted: u.i(), CreditsPending: u.i(), CreditsPosted: u.i()}
		if code := s.book.Restore(a.number, a.spec(s.deps), b, u.u()); code != ledger.OK {
			u.fail()
		}
	}
	t := &s.totals
	t.Taps, t.Opened, t.Bills, t.Debts = u.u(), u.u(), u.u(), u.u()
	t.Charged, t.Credited, t.Paid, t.Settled = u.i(), u.i(), u.i(), u.i()
	t.Owed, t.Lost, t.Refunded, t.Purse = u.i(), u.i(), u.i(), u.i()
	for state := TapPending; state < tapStateEnd; state++ {
		if n := u.u(); n != 0 {
			t.States[state] = n
		}
	}
	s.keys = epochs{denylist.Epoch(u.u()), denylist.Epoch(u.u()), denylist.Epoch(u.u())}
	s.shared.set(s.keys)
	s.forced, s.begun, s.pages = stamp(u.i()), u.u(), int32(u.u())
	s.unpackDevices(u)
	s.unpackRiders(u)
	s.unpackMarks(u)
	s.unpackList(u)
	for range u.count() {
		s.takenBack[u.key()] = true
	}
	for range u.count() {
		s.purses = append(s.purses, purse{credential: int32(u.u()), minor: u.i(), material: u.material()})
	}
	for range u.count() {
		s.claims[int32(u.u())] = true
	}
	for range u.count() {
		a := approval{stamp(u.i()), int32(u.u())}
		if a.credential <= 0 || int(a.credential) >= len(s.credentials) {
			u.fail()
			return
		}
		s.approved = append(s.approved, a)
	}
	for range u.count() {
		var v packedPayment
		if u.json(&v); u.err != nil || v.Credential <= 0 || int(v.Credential) >= len(s.credentials) {
			u.fail()
			return
		}
		pay := &payment{seq: v.Seq, at: v.At, key: v.Key, ask: v.Ask, credential: v.Credential, bill: v.Bill, minor: v.Minor, status: v.Status, chip: v.Chip,
			sealed: v.Sealed, stan: v.STAN, batch: v.Batch, date: v.Date, auth: v.Auth, rrn: v.RRN}
		s.payments[pay.key], s.bySeq[pay.seq] = pay, pay
		if pay.status == held && pay.ask == AskHold {
			s.credentials[pay.credential].hold = pay
		}
	}
	for range u.count() {
		n := u.u()
		if n == 0 || n >= uint64(len(s.credentials)) || u.err != nil {
			u.fail()
			return
		}
		s.freed[int32(n)] = u.i()
	}
}

func (s *state) packDevices(p *packer) {
	p.u(uint64(len(s.devices)))
	for _, d := range s.devices {
		p.text(d.name)
		p.u(d.taps, d.opened, d.ahead, uint64(len(d.spans)))
		for i := range d.spans {
			p.u(d.spans[i].first, d.spans[i].last)
			p.raw(d.spans[i].before[:])
			p.raw(d.spans[i].after[:])
			p.flag(d.spans[i].fresh)
		}
		p.i(int64(stampOf(d.heard)), int64(d.reported))
		p.json(d.health)
	}
}

func (s *state) unpackDevices(u *unpacker) {
	for range u.count() {
		d := s.deviceOf(u.text())
		d.taps, d.opened, d.ahead = u.u(), u.u(), u.u()
		for range u.count() {
			sp := span{first: u.u(), last: u.u()}
			u.raw(sp.before[:])
			u.raw(sp.after[:])
			sp.fresh = u.flag()
			d.spans = append(d.spans, sp)
		}
		d.heard, d.reported = stamp(u.i()).Time(), stamp(u.i())
		u.json(&d.health)
	}
}

func (s *state) packList(p *packer) {
	p.u(s.list.sequence)
	p.raw(s.list.digest[:])
	p.i(int64(stampOf(s.list.at)))
	p.u(uint64(s.list.epoch), uint64(len(s.list.told)))
	for subject, l := range s.list.told {
		p.i(int64(subject))
		p.u(uint64(l.kind), uint64(l.reason), uint64(l.until))
	}
	p.u(uint64(len(s.list.stale)))
	for n := range s.list.stale {
		p.u(uint64(n))
	}
	p.u(uint64(len(s.list.pending)))
	for _, n := range s.list.pending {
		p.u(uint64(n))
	}
}

func (s *state) unpackList(u *unpacker) {
	s.list.sequence = u.u()
	u.raw(s.list.digest[:])
	s.list.at, s.list.epoch = stamp(u.i()).Time(), denylist.Epoch(u.u())
	within := func(n, of int) int32 {
		if n <= 0 || n >= of {
			u.fail()
			return 0
		}
		return int32(n)
	}
	for range u.count() {
		subject := u.i()
		if subject < 0 {
			within(int(-subject), len(s.marks))
		} else {
			within(int(subject), len(s.credentials))
		}
		if s.list.told[int32(subject)] = (listing{denylist.Kind(u.u()), denylist.Reason(u.u()), denylist.Day(u.u())}); u.err != nil {
			return
		}
	}
	for range u.count() {
		if s.list.stale[within(int(u.u()), len(s.accounts))] = true; u.err != nil {
			return
		}
	}
	for range u.count() {
		if s.list.pending = append(s.list.pending, within(int(u.u()), len(s.marks))); u.err != nil {
			return
		}
	}
}

package issuer

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Capacity bounds what an issuer keeps in memory; zero is the default of each.
type Capacity struct {
	Cards    int // cards; more than these may be held while they wait to be written back
	Payments int // payments decided last
	// SliceRows is how many rows lie between two slices of write-back, so that a lone payment does not carry one.
	SliceRows int
}

const (
	// defaultCards take some 700 MB with their accounts, in a bank that has so many.
	defaultCards = 1 << 20
	// defaultPayments take some 60 MB: a second's payments of the largest network there is, and minutes of most.
	defaultPayments = 1 << 18
	// warmCards are loaded at the start, so that a small bank shows its whole books at once.
	warmCards = 1024
	// defaultSliceRows is small beside a batch of a busy bank and large beside that of an idle one.
	defaultSliceRows = 64
)

func (c Capacity) orDefault() Capacity {
	if c.Cards <= 0 {
		c.Cards = defaultCards
	}
	if c.Payments <= 0 {
		c.Payments = defaultPayments
	}
	if c.SliceRows <= 0 {
		c.SliceRows = defaultSliceRows
	}
	return c
}

// residence is where a card stands between memory and store. The zero value is a card that was never written back.
type residence struct {
	seq     uint64 // last row folded into the card
	written uint64 // last row of the batch that wrote it back
	dirty   bool   // changed since
	touched bool   // used since the clock passed
}

// cache is the cards in memory and their way out: what has changed waits in order of name, is written back in slices beside the rows of a batch, and may be
// put away once that batch is durable.
type cache struct {
	capacity Capacity
	clock    []int64 // cards in memory, a ring for the second-chance rule
	hand     int

	waiting waiting
	credit  int    // rows since the last slice
	pinned  int64  // a card that stays while another one is looked up; 0: none
	durable uint64 // last row known to be on disk

	// evicted are the cards put away last, count how many ever were. A look into the store is out of date when its card was put away since it began.
	evicted [evictedRing]evicted
	count   atomic.Uint64
}

type evicted struct {
	id   int64
	name Fingerprint
}

// evictedRing is more than are put away while an event waits to be handled.
const evictedRing = 1 << 13

// loaded is the card that a look into the store found while memory did not have it.
type loaded struct {
	stored
	since uint64 // count when the look began
}

// stale reports whether the card may have changed since the look.
func (c *cache) stale(l *loaded, id int64, name Fingerprint) bool {
	now := c.count.Load()
	if now-l.since > evictedRing {
		return true
	}
	for at := l.since; at < now; at++ {
		if e := &c.evicted[at%evictedRing]; e.id == id || e.name == name {
			return true
		}
	}
	return false
}

// fetch looks for a card by its fingerprint in the store. It may run in parallel with everything.
func (s *state) fetch(name Fingerprint) (*loaded, error) {
	if s.archive == nil {
		return nil, nil
	}
	since := s.cache.count.Load()
	cell, found, err := s.archive.FindName(context.Background(), name)
	if err != nil || !found {
		return nil, err
	}
	k, err := readCard(&cell)
	if err != nil {
		return nil, err
	}
	return &loaded{stored: k, since: since}, nil
}

// card is the card with that number: in memory, or loaded now; nil when there is none.
func (s *state) card(id int64) (*Card, error) {
	if c := s.cards[id]; c != nil {
		c.touched = true
		return c, nil
	}
	if s.archive == nil || id <= 0 || id > cardMax {
		return nil, nil
	}
	cell, found, err := s.archive.FindCell(context.Background(), id)
	if err != nil || !found {
		return nil, err
	}
	kept, err := readCard(&cell)
	if err != nil {
		return nil, err
	}
	return s.admit(kept), nil
}

// touch gives the card that Prepare found, as it is now.
func (s *state) touch(f *Finding) (*Card, error) {
	if f.card == nil {
		return nil, nil
	}
	id := f.card.Card
	if c := s.cards[id]; c != nil {
		c.touched = true
		return c, nil
	}
	if f.loaded == nil || s.cache.stale(f.loaded, id, f.card.Fingerprint) {
		return s.card(id)
	}
	return s.admit(f.loaded.stored), nil
}

// admit takes a stored card into memory.
func (s *state) admit(k stored) *Card {
	s.restore(k.card.account, accountSpec(k.card), k.account)
	s.restore(k.card.purse, purseSpec(k.card), k.purse)
	s.openSecond(k.card, k.second)
	s.keep(k.card)
	return k.card
}

func (s *state) restore(account ledger.Account, spec ledger.AccountSpec, k kept) {
	if code := s.book.Restore(account, spec, k.balance, k.last); code != ledger.OK {
		panic(fmt.Sprintf("issuer: restoring account %d: %s", account, code))
	}
}

// keep makes a card findable and puts others away for it.
func (s *state) keep(c *Card) {
	c.touched = true
	s.cards[c.Enrolment.Card] = c
	s.directory.put(c)
	s.cache.clock = append(s.cache.clock, c.Enrolment.Card)
	s.makeRoom()
}

// tries is how many cards are looked at to put one away: a bound on the work of one event. Above its capacity the cache finds room a little later.
const tries = 8

func (s *state) makeRoom() {
	c := &s.cache
	for range tries {
		if s.archive == nil || len(c.clock) <= c.capacity.Cards {
			return
		}
		if c.hand >= len(c.clock)-1 { // never the one that was just taken in
			c.hand = 0
		}
		at := s.cards[c.clock[c.hand]]
		if at.touched || at.dirty || at.Enrolment.Card == c.pinned || at.written > c.durable {
			at.touched = false
			c.hand++
			continue
		}
		last := len(c.clock) - 1
		c.clock[c.hand], c.clock[last-1], c.clock = c.clock[last-1], c.clock[last], c.clock[:last]
		s.putAway(at)
	}
}

func (s *state) putAway(c *Card) {
	id := c.Enrolment.Card
	delete(s.cards, id)
	s.directory.remove(c.Fingerprint)
	s.book.PutAway(c.account)
	s.book.PutAway(c.purse)
	if c.Second != nil {
		s.book.PutAway(c.account + secondAccountAt)
		s.book.PutAway(c.account + secondPurseAt)
	}
	n := s.cache.count.Load()
	s.cache.evicted[n%evictedRing] = evicted{id, c.Fingerprint}
	s.cache.count.Store(n + 1)
}

// changed notes that a row was folded into the card.
func (s *state) changed(c *Card, seq uint64) {
	c.seq = seq
	if s.archive == nil || c.dirty {
		return
	}
	c.dirty = true
	s.cache.waiting.add(c, seq)
}

// Slices of write-back. One in four rows' worth keeps up with cards that pay more than once between two sweeps, which is what cards do; more is written when
// half of memory waits.
const (
	sliceShare   = 4 // rows for each card written back
	sliceMax     = 256
	pressedShare = 1
	pressedMax   = 1024
	lastMax      = 4096 // before the issuer stops
)

// writeBack adds a slice of changed cards to a batch that ends with the last row handled.
func (s *state) writeBack(back *journal.Back, rows int, durable uint64) {
	c := &s.cache
	c.durable = durable
	c.credit += rows
	n := min(c.credit/sliceShare+1, sliceMax)
	switch {
	case rows == 0:
		n = lastMax
	case c.credit < c.capacity.SliceRows:
		return
	case c.waiting.total > c.capacity.Cards/2:
		n = min(c.credit/pressedShare+1, pressedMax)
	}
	c.credit = 0
	swept := false
	for range n {
		id, ok, end := c.waiting.take()
		swept = swept || end
		if !ok {
			break
		}
		card := s.cards[id]
		cell := back.Add(id, card.Fingerprint, card.seq)
		cell.Data = s.appendCard(cell.Data, card)
		card.dirty, card.written = false, s.last
	}
	if !swept {
		return
	}
	cell := back.Add(bankCell, [16]byte{}, s.last)
	cell.Data = s.appendBank(cell.Data)
	back.Watermark = c.waiting.complete(s.last)
}

// directory finds the immutable part of a card in memory by fingerprint. Prepare reads it while the writer adds and takes away cards.
type directory [64]struct {
	mu     sync.RWMutex
	byName map[Fingerprint]*Enrolment
	pins   map[Fingerprint][16]byte // references of PINs that were changed since the card came into memory
}

func (d *directory) find(name Fingerprint) *Enrolment {
	shard := &d[int(name[0])%len(d)] // a keyed hash: every octet is as good
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.byName[name]
}

// reference is that of a card's PIN as it is now.
func (d *directory) reference(e *Enrolment) [16]byte {
	shard := &d[int(e.Fingerprint[0])%len(d)]
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	if changed, known := shard.pins[e.Fingerprint]; known {
		return changed
	}
	return e.PINReference
}

func (d *directory) put(c *Card) {
	shard := &d[int(c.Fingerprint[0])%len(d)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.byName == nil {
		shard.byName = map[Fingerprint]*Enrolment{}
	}
	shard.byName[c.Fingerprint] = &c.Enrolment
	if c.reference == c.PINReference {
		delete(shard.pins, c.Fingerprint)
		return
	}
	if shard.pins == nil {
		shard.pins = map[Fingerprint][16]byte{}
	}
	shard.pins[c.Fingerprint] = c.reference
}

func (d *directory) remove(name Fingerprint) {
	shard := &d[int(name[0])%len(d)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	delete(shard.byName, name)
	delete(shard.pins, name)
}

// waiting is the changed cards, in buckets of neighbouring names: a store keeps cells in the order of their names, and those that share a page are written back
// together.
type waiting struct {
	buckets [1 << bucketBits]bucket
	next    int          // the bucket to take after this one
	slice   []waitingFor // the bucket being taken, sorted
	taken   int          // of slice
	first   uint64       // the slice's; 0: there is none
	total   int
}

type waitingFor struct {
	name uint64 // its beginning
	id   int64
}

type bucket struct {
	cards []waitingFor
	first uint64 // the first row not yet in some cell of this bucket; 0: empty
}

// bucketBits of a name choose its bucket: few enough cards wait in each that sorting them is nothing.
const bucketBits = 11

func (w *waiting) add(c *Card, seq uint64) {
	name := binary.BigEndian.Uint64(c.Fingerprint[:])
	b := &w.buckets[name>>(64-bucketBits)]
	if len(b.cards) == 0 {
		b.first = seq
	}
	b.cards = append(b.cards, waitingFor{name, c.Enrolment.Card})
	w.total++
}

// take gives the next card to write back. end says that a bucket was finished on the way, so that the watermark may have risen.
func (w *waiting) take() (id int64, ok, end bool) {
	if w.taken == len(w.slice) {
		end = w.first != 0
		w.first = 0
		if w.total == 0 {
			w.slice, w.taken = w.slice[:0], 0
			return 0, false, end
		}
		for len(w.buckets[w.next].cards) == 0 {
			w.next = (w.next + 1) % len(w.buckets)
		}
		b := &w.buckets[w.next]
		w.next = (w.next + 1) % len(w.buckets)
		w.slice, b.cards, w.taken = b.cards, w.slice[:0], 0
		w.first, b.first = b.first, 0
		slices.SortFunc(w.slice, func(x, y waitingFor) int { return cmp.Compare(x.name, y.name) })
	}
	id = w.slice[w.taken].id
	w.taken++
	w.total--
	return id, true, end
}

// complete is the row up to which no change waits, given the last one handled.
func (w *waiting) complete(last uint64) uint64 {
	upTo := last
	if w.taken < len(w.slice) {
		upTo = min(upTo, w.first-1)
	}
	for i := range w.buckets {
		if b := &w.buckets[i]; len(b.cards) > 0 {
			upTo = min(upTo, b.first-1)
		}
	}
	return upTo
}

// begin prepares the state for the rows above the watermark.
func (s *state) begin(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.archive, s.last = archive, watermark
	key, err := archive.LastKey(ctx)
	if err != nil {
		return err
	}
	if watermark == 0 {
		return nil
	}
	s.recent.beyond(key)
	s.book.Partial()
	cell, found, err := archive.FindCell(ctx, bankCell)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("watermark %d without the cell of the bank's own accounts", watermark)
	}
	scheme, funding, others, err := readBank(&cell)
	if err != nil {
		return err
	}
	s.restore(AccountScheme, schemeSpec(s.currency), scheme)
	s.restore(AccountFunding, fundingSpec(s.currency), funding)
	s.restoreOwn(others)
	return s.warm(ctx)
}

// errWarm ends the loading of the first cards.
var errWarm = errors.New("issuer: enough cards are loaded")

func (s *state) warm(ctx context.Context) error {
	n := 0
	err := s.archive.Cells(ctx, func(cell *journal.Cell) error {
		if n++; n > min(warmCards, s.cache.capacity.Cards) || cell.ID == bankCell {
			return errWarm
		}
		k, err := readCard(cell)
		if err != nil {
			return err
		}
		s.admit(k)
		return nil
	})
	if errors.Is(err, errWarm) {
		return nil
	}
	return err
}

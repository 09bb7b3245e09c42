package cloudse

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"tapnet/internal/journal"
)

// resident is a token in memory. What it points to is never changed: the writer puts a new value in its place, and Prepare reads beside it. The rest is the
// writer's.
type resident struct {
	now     atomic.Pointer[token]
	written uint64 // last row of the batch that wrote it back
	dirty   bool   // changed since
	touched bool   // used since the clock passed
}

// directory finds residents. Prepare reads it while the writer adds and takes away.
type directory [64]struct {
	mu     sync.RWMutex
	byName map[name]*resident
}

func (d *directory) find(n name) *resident {
	shard := &d[int(n[0])%len(d)]
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	return shard.byName[n]
}

func (d *directory) put(n name, r *resident) {
	shard := &d[int(n[0])%len(d)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.byName == nil {
		shard.byName = map[name]*resident{}
	}
	shard.byName[n] = r
}

func (d *directory) remove(n name) {
	shard := &d[int(n[0])%len(d)]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	delete(shard.byName, n)
}

// cache is the tokens in memory and their way out.
type cache struct {
	capacity  int
	directory directory
	clock     []name // in memory, a ring for the second-chance rule
	hand      int
	dirty     []name // changed and not yet written back
	durable   uint64 // last row known to be on disk
	archive   journal.Archive
}

// look gives a token without keeping it: from memory, or from the store. It may run beside the writer. nil says that there is none.
func (c *cache) look(n name) (*token, error) {
	if r := c.directory.find(n); r != nil {
		return r.now.Load(), nil
	}
	return c.fetch(n)
}

func (c *cache) fetch(n name) (*token, error) {
	if c.archive == nil {
		return nil, nil
	}
	cell, found, err := c.archive.FindName(context.Background(), n)
	if err != nil || !found {
		return nil, err
	}
	return readToken(&cell)
}

// token gives a token to the writer and keeps it in memory; nil says that there is none.
func (c *cache) token(n name) (*token, error) {
	if r := c.directory.find(n); r != nil {
		r.touched = true
		return r.now.Load(), nil
	}
	t, err := c.fetch(n)
	if err != nil || t == nil {
		return nil, err
	}
	c.keep(n, t)
	return t, nil
}

// put makes a changed token the one there is.
func (c *cache) put(t *token) {
	n := nameOf(t.ref)
	r := c.directory.find(n)
	if r == nil {
		r = c.keep(n, t)
	}
	r.now.Store(t)
	r.touched = true
	if c.archive != nil && !r.dirty {
		r.dirty = true
		c.dirty = append(c.dirty, n)
	}
}

func (c *cache) keep(n name, t *token) *resident {
	r := &resident{touched: true}
	r.now.Store(t)
	c.directory.put(n, r)
	c.clock = append(c.clock, n)
	c.makeRoom()
	return r
}

// tries is how many tokens are looked at to put one away: a bound on the work of one event.
const tries = 8

func (c *cache) makeRoom() {
	for range tries {
		if c.archive == nil || len(c.clock) <= c.capacity {
			return
		}
		if c.hand >= len(c.clock)-1 { // never the one that was just taken in
			c.hand = 0
		}
		r := c.directory.find(c.clock[c.hand])
		if r.touched || r.dirty || r.written > c.durable {
			r.touched = false
			c.hand++
			continue
		}
		last := len(c.clock) - 1
		c.directory.remove(c.clock[c.hand])
		c.clock[c.hand], c.clock[last-1], c.clock = c.clock[last-1], c.clock[last], c.clock[:last]
	}
}

// writeBack adds every changed token.
func (c *cache) writeBack(back *journal.Back, last uint64) {
	for _, n := range c.dirty {
		r := c.directory.find(n)
		t := r.now.Load()
		cell := back.Add(t.id, n, t.seq)
		cell.Data = t.append(cell.Data)
		r.dirty, r.written = false, last
	}
	c.dirty = c.dirty[:0]
}

// open attaches the store and reads the cells of what was begun: their numbers follow each other.
func (s *state) open(ctx context.Context, archive journal.Archive, watermark uint64) error {
	s.cache.archive, s.last = archive, watermark
	if err := s.payments.Attach(ctx, archive, watermark); err != nil {
		return fmt.Errorf("cloudse: %w", err)
	}
	for id := journal.FirstBegun; ; id++ {
		cell, found, err := archive.FindCell(ctx, id)
		if err != nil {
			return fmt.Errorf("cloudse: %w", err)
		}
		if !found {
			return nil
		}
		if err := s.alarms.Read(&cell); err != nil {
			return fmt.Errorf("cloudse: %w", err)
		}
	}
}

// writeBack adds what has changed once enough rows have come, or before the end.
func (s *state) writeBack(back *journal.Back, rows int, durable uint64) {
	s.cache.durable = durable
	s.payments.Settle(durable)
	if rows > 0 && !s.alarms.Due(rows) || rows == 0 && s.backed == s.last {
		return
	}
	s.backed = s.last
	s.cache.writeBack(back, s.last)
	s.alarms.WriteBack(back, s.last)
}

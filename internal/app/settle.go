package app

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// outstanding is a role that repeats messages until they are acknowledged.
type outstanding interface{ Outstanding() int }

// Settle waits until every message that must be acknowledged has been. It waits for rows, not for time.
func (n *Network) Settle(ctx context.Context) error {
	for {
		seen := n.committed.mark()
		waiting := 0
		// Obligations travel from the tills towards the issuers: asked in that order, one cannot slip past.
		for _, node := range slices.Backward(n.nodes) {
			role, ok := node.role.(outstanding)
			if !ok || node.apart.Load() {
				continue
			}
			if err := node.look(ctx, func() { waiting += role.Outstanding() }); err != nil {
				return err
			}
		}
		if waiting == 0 {
			return nil
		}
		if err := n.committed.wait(ctx, seen); err != nil {
			return fmt.Errorf("%d messages wait to be acknowledged: %w", waiting, err)
		}
	}
}

// commits counts batches that have become durable, for those who wait for the next.
type commits struct {
	mu      sync.Mutex
	count   int
	changed chan struct{}
}

func (c *commits) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

func (c *commits) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// wait returns when more batches are durable than at the mark.
func (c *commits) wait(ctx context.Context, mark int) error {
	c.mu.Lock()
	if c.count > mark {
		c.mu.Unlock()
		return nil
	}
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	changed := c.changed
	c.mu.Unlock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package journalpg

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// A lease says which node should write a journal. It is a hint, not a lock: what keeps a second writer out is the epoch. A holder
// shows that it lives by counting: whoever watches decides by its own clock for how long a count may stand still, so that no two
// clocks are ever compared.

// Lease is one journal's.
type Lease struct {
	Name   string // of the journal
	Holder string // empty: free
	Beat   int64  // goes up while the holder lives, and with every change of hands
}

// Standing is everything a node needs to know to decide.
type Standing struct {
	Leases []Lease
	Nodes  map[string]int64 // who has ever joined, with the count that goes up while it lives
}

// OfferLeases makes free leases for the names that have none.
func (c *Catalog) OfferLeases(ctx context.Context, names []string) error {
	for _, name := range names {
		if _, err := c.run(ctx, "INSERT INTO lease (name, holder, beat) VALUES ($1, '', 0) ON CONFLICT (name) DO NOTHING",
			[][]byte{[]byte(name)}, nothing); err != nil {
			return fmt.Errorf("journalpg: offer a lease: %w", err)
		}
	}
	return nil
}

// Beat shows that the node lives and holds on to its leases, and gives how things stand then.
func (c *Catalog) Beat(ctx context.Context, node string) (Standing, error) {
	for _, sql := range []string{
		"INSERT INTO node AS old (name, beat) VALUES ($1, 1) ON CONFLICT (name) DO UPDATE SET beat = old.beat + 1",
		"UPDATE lease SET beat = beat + 1 WHERE holder = $1",
	} {
		if _, err := c.run(ctx, sql, [][]byte{[]byte(node)}, nothing); err != nil {
			return Standing{}, fmt.Errorf("journalpg: beat: %w", err)
		}
	}
	// One question, so that a repetition after a lost connection begins anew; kind 1 is a lease, kind 2 a node.
	leases, nodes := map[string]Lease{}, map[string]int64{}
	_, err := c.run(ctx, "SELECT 1::BIGINT, name, holder, beat FROM lease UNION ALL SELECT 2, name, '', beat FROM node", nil, func(sc *scanner) error {
		name, beat := sc.text(1), sc.int64(3)
		if sc.int64(0) == 1 {
			leases[name] = Lease{Name: name, Holder: sc.text(2), Beat: beat}
		} else {
			nodes[name] = beat
		}
		return nil
	})
	if err != nil {
		return Standing{}, fmt.Errorf("journalpg: beat: %w", err)
	}
	s := Standing{Nodes: nodes}
	for _, name := range slices.Sorted(maps.Keys(leases)) {
		s.Leases = append(s.Leases, leases[name])
	}
	return s, nil
}

// Take makes the node the holder of a lease that still is as it was seen, and reports whether it did.
func (c *Catalog) Take(ctx context.Context, seen Lease, node string) (bool, error) {
	touched, err := c.run(ctx, "UPDATE lease SET holder = $3, beat = beat + 1 WHERE name = $1 AND beat = $2",
		[][]byte{[]byte(seen.Name), int8Param(seen.Beat), []byte(node)}, nothing)
	if err != nil {
		return false, fmt.Errorf("journalpg: take a lease: %w", err)
	}
	return touched == 1, nil
}

// Give frees a lease of the node.
func (c *Catalog) Give(ctx context.Context, name, node string) error {
	if _, err := c.run(ctx, "UPDATE lease SET holder = '', beat = beat + 1 WHERE name = $1 AND holder = $2",
		[][]byte{[]byte(name), []byte(node)}, nothing); err != nil {
		return fmt.Errorf("journalpg: give a lease back: %w", err)
	}
	return nil
}

// Leave gives all leases of the node back and forgets it.
func (c *Catalog) Leave(ctx context.Context, node string) error {
	for _, sql := range []string{"UPDATE lease SET holder = '', beat = beat + 1 WHERE holder = $1", "DELETE FROM node WHERE name = $1"} {
		if _, err := c.run(ctx, sql, [][]byte{[]byte(node)}, nothing); err != nil {
			return fmt.Errorf("journalpg: leave: %w", err)
		}
	}
	return nil
}

// Forget removes a node that has ended without a word.
func (c *Catalog) Forget(ctx context.Context, node string, beat int64) error {
	if _, err := c.run(ctx, "DELETE FROM node WHERE name = $1 AND beat = $2", [][]byte{[]byte(node), int8Param(beat)}, nothing); err != nil {
		return fmt.Errorf("journalpg: forget a node: %w", err)
	}
	return nil
}

// Holds reports whether the node holds a lease now.
func (c *Catalog) Holds(ctx context.Context, name, node string) (bool, error) {
	held := false
	if _, err := c.run(ctx, "SELECT beat FROM lease WHERE name = $1 AND holder = $2", [][]byte{[]byte(name), []byte(node)}, func(*scanner) error {
		held = true
		return nil
	}); err != nil {
		return false, fmt.Errorf("journalpg: look at a lease: %w", err)
	}
	return held, nil
}

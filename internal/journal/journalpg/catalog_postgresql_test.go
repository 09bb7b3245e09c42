//go:build thirdparty && unix

package journalpg

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"tapnet/internal/journal/journalpg/postgrestest"
)

func openCatalog(t *testing.T, dsn string) *Catalog {
	t.Helper()
	c, err := OpenCatalog(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// testCatalog: nodes that name journals at the same time agree on their numbers, no change of the world is lost, and a lease has one taker.
func testCatalog(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "catalog")
	const nodes, names = 4, 6
	var shard [nodes][names]int64
	var takers [names]int
	var mu sync.Mutex
	var group sync.WaitGroup
	for node := range nodes {
		c := openCatalog(t, dsn)
		group.Go(func() {
			for i := range names {
				var err error
				if shard[node][i], err = c.Shard(t.Context(), fmt.Sprint("journal ", i)); err != nil {
					t.Error(err)
				}
				if err := c.ChangeWorld(t.Context(), func(text []byte) ([]byte, error) { return append(text, '.'), nil }); err != nil {
					t.Error(err)
				}
				name := fmt.Sprint("lease ", i)
				err = c.OfferLeases(t.Context(), []string{name})
				taken, takeErr := c.Take(t.Context(), Lease{Name: name}, fmt.Sprint("node ", node))
				if err := errors.Join(err, takeErr); err != nil {
					t.Error(err)
				}
				if taken {
					mu.Lock()
					takers[i]++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	c := openCatalog(t, dsn)
	seen := map[int64]bool{}
	for i := range names {
		for node := range nodes {
			if shard[node][i] != shard[0][i] {
				t.Errorf("journal %d is shard %d for one node and %d for another", i, shard[0][i], shard[node][i])
			}
		}
		seen[shard[0][i]] = true
		if takers[i] != 1 {
			t.Errorf("lease %d was taken %d times", i, takers[i])
		}
	}
	found, err := c.Names(t.Context())
	if err != nil || len(found) != names || len(seen) != names || !slices.IsSorted(found) {
		t.Errorf("journals %v in shards %v, %v", found, seen, err)
	}
	if text, err := c.World(t.Context()); err != nil || !bytes.Equal(text, bytes.Repeat([]byte{'.'}, nodes*names)) {
		t.Errorf("the world is %q, %v", text, err)
	}
	testHands(t, c)
}

// testHands: a lease goes from hand to hand, and one that has moved on since it was seen cannot be taken.
func testHands(t *testing.T, c *Catalog) {
	t.Helper()
	if err := c.OfferLeases(t.Context(), []string{"x"}); err != nil {
		t.Fatal(err)
	}
	beat := func(node string) Lease {
		t.Helper()
		s, err := c.Beat(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(s.Leases, func(l Lease) bool { return l.Name == "x" })
		if s.Nodes[node] == 0 || at < 0 {
			t.Fatalf("%+v", s)
		}
		return s.Leases[at]
	}
	free := beat("A")
	if taken, err := c.Take(t.Context(), free, "A"); !taken || err != nil {
		t.Fatal(taken, err)
	}
	if taken, err := c.Take(t.Context(), free, "B"); taken || err != nil {
		t.Errorf("a lease was taken that had moved on: %v", err)
	}
	held := beat("B")
	if after := beat("A"); held.Holder != "A" || after.Beat != held.Beat+1 {
		t.Errorf("%+v, then %+v: the holder's count did not go up", held, after)
	}
	if taken, err := c.Take(t.Context(), held, "B"); taken || err != nil {
		t.Errorf("a lease was taken whose holder lives: %v", err)
	}
	if ours, err := c.Holds(t.Context(), "x", "A"); !ours || err != nil {
		t.Error(ours, err)
	}
	if err := errors.Join(c.Give(t.Context(), "x", "B"), c.Leave(t.Context(), "A")); err != nil {
		t.Fatal(err)
	}
	if l := beat("B"); l.Holder != "" {
		t.Errorf("%+v after its holder left", l)
	}
	if err := c.Forget(t.Context(), "B", 0); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Beat(t.Context(), "C"); err != nil || s.Nodes["B"] == 0 || s.Nodes["A"] != 0 {
		t.Errorf("nodes are %v, %v: B counts still, A left", s.Nodes, err)
	}
}

// testUpgrade: a database of version 1 gets what is missing and keeps its rows.
func testUpgrade(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "older")
	filled(t, dsn, 3)
	server.Query(`SET search_path = older; DROP TABLE cell, watermark, place, world, lease, node; DROP INDEX journal_key, journal_resolves;
		CREATE UNIQUE INDEX journal_key ON journal (shard, key); UPDATE journal_schema SET version = 1`)
	shard := shards.Load()
	s := open(t, dsn, shard)
	if seq, _, err := s.Last(t.Context()); err != nil || seq != 3 {
		t.Errorf("last row %d, %v", seq, err)
	}
	if watermark, err := s.Watermark(t.Context()); err != nil || watermark != 0 {
		t.Errorf("watermark %d, %v", watermark, err)
	}
	if got := server.Query("SELECT version FROM older.journal_schema"); got != "2" {
		t.Errorf("version %s", got)
	}
}

// TestPostgreSQLUnfit: a server that may tear its own pages keeps no journal.
func TestPostgreSQLUnfit(t *testing.T) {
	server := postgrestest.Start(t, "full_page_writes = off")
	if _, err := OpenCatalog(t.Context(), server.DSN()); !errors.Is(err, ErrUnfit) {
		t.Errorf("OpenCatalog = %v", err)
	}
	s := open(t, server.DSN(), 1)
	if _, err := s.Claim(t.Context(), "A"); !errors.Is(err, ErrUnfit) {
		t.Errorf("Claim = %v", err)
	}
}

//go:build thirdparty && unix

package journalpg

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tapnet/internal/journal/journalpg/postgrestest"
)

// failovers is how often a primary is killed; TAPNET_FAILOVERS asks for more.
const failovers = 2

// TestPostgreSQLLinearizableFailover kills the primary of a synchronous pair under load and promotes its standby, gets that one a standby of its own and
// kills it in turn. A node with a new epoch goes on each time, its clients ask it what the last one left open. Nothing acknowledged is lost, nothing is
// doubled, and porcupine accepts the history of balances.
func TestPostgreSQLLinearizableFailover(t *testing.T) {
	times, seed := failovers, seedOf(t)
	if text := os.Getenv("TAPNET_FAILOVERS"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	const shard, before = 1, 2000
	random := rand.New(rand.NewPCG(seed, math.MaxUint64))
	began := time.Now()
	primary, standby, dsn := pair(t)
	c := newClerks(seed)
	c.begin()
	for n := range times {
		store := open(t, dsn, shard)
		w, done := serve(t.Context(), store, primary.DSN("application_name", "node"), noMistake)
		c.use(w)
		c.wait(t, before+random.Uint64N(2*before))
		killed := time.Now()
		primary.Kill()
		if err := <-done; err == nil || errors.Is(err, context.Canceled) {
			t.Fatalf("the node of the killed primary stopped with %v", err)
		}
		c.use(nil)
		standby.Promote()
		t.Logf("failover %d: killed after %d answers, promoted after %v", n+1, c.told.Load(), time.Since(killed).Round(time.Millisecond))
		primary = standby
		if n < times-1 {
			standby, dsn = follow(t, primary)
		} else {
			primary.Query("ALTER SYSTEM SET synchronous_standby_names = ''")
			primary.Query("SELECT pg_reload_conf()")
			dsn = primary.DSN()
		}
	}
	store := open(t, dsn, shard)
	ctx, cancel := context.WithCancel(t.Context())
	w, done := serve(ctx, store, "last", noMistake)
	c.use(w)
	c.wait(t, before)
	c.end()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the last node stopped: %v", err)
	}
	if err := c.compare(t.Context(), store); err != nil {
		t.Error(err)
	}
	if epoch := claim(t, store, "end"); epoch != uint64(times+2) {
		t.Errorf("epoch %d after %d nodes", epoch, times+1)
	}
	checked := time.Now()
	if !linear(t, c.history) {
		t.Error("no order of the operations explains the balances")
	}
	if c.unknown == 0 || c.repeats == 0 {
		t.Error("nothing was cut off")
	}
	t.Logf("%d failovers; %d operations, %d cut off, %d repeated; porcupine took %v; %v", times, len(c.history), c.unknown, c.repeats,
		time.Since(checked).Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if linear(t, spoiled(c.history)) {
		t.Error("porcupine accepts the history without one of its payments")
	}
}

// follow gives a promoted server a standby that its commits wait for.
func follow(t *testing.T, primary *postgrestest.Server) (standby *postgrestest.Server, dsn string) {
	t.Helper()
	standby = primary.Standby("tapnet_standby", "primary_slot_name = ''")
	conn := primary.Connect("tapnet")
	defer conn.Close(context.Background())
	primary.Query("ALTER SYSTEM SET synchronous_standby_names = 'tapnet_standby'")
	primary.Query("SELECT pg_reload_conf()")
	for late := time.Now().Add(30 * time.Second); ; {
		state, err := postgrestest.First(conn, "SELECT sync_state FROM pg_stat_replication")
		if err != nil {
			t.Fatal(err)
		}
		if state == "sync" {
			return standby, postgrestest.DSN([]*postgrestest.Server{primary, standby}, "target_session_attrs", "read-write")
		}
		if time.Now().After(late) {
			t.Fatalf("the standby is %q, not synchronous", state)
		}
	}
}

// spoiled leaves one acknowledged payment out of the history: as if it had happened twice, or had not been asked for.
func spoiled(history []porcupine.Operation) []porcupine.Operation {
	for i, op := range history[:len(history)/2] {
		if out, ok := op.Output.(moved); ok && out.ok {
			return slices.Delete(slices.Clone(history), i, i+1)
		}
	}
	return history
}

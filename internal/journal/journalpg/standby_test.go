//go:build thirdparty && unix

package journalpg

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/journal/journaltest"
)

// pair is a primary that answers a commit only when its standby has it on disk.
func pair(t *testing.T) (primary, standby *postgrestest.Server, dsn string) {
	t.Helper()
	primary = postgrestest.Start(t)
	standby = primary.Standby("tapnet_standby")
	primary.Query("ALTER SYSTEM SET synchronous_standby_names = 'tapnet_standby'")
	primary.Query("SELECT pg_reload_conf()")
	conn := primary.Connect("tapnet")
	defer conn.Close(context.Background())
	for deadline := time.Now().Add(30 * time.Second); ; {
		state, err := postgrestest.First(conn, "SELECT sync_state FROM pg_stat_replication")
		if err != nil {
			t.Fatal(err)
		}
		if state == "sync" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby is %q, not synchronous", state)
		}
	}
	return primary, standby, postgrestest.DSN([]*postgrestest.Server{primary, standby}, "target_session_attrs", "read-write")
}

// TestPostgreSQLFailover kills the primary under load and promotes its standby. Nodes restart with the same connection
// string, which names both, and every payment that was acknowledged is there exactly once.
func TestPostgreSQLFailover(t *testing.T) {
	primary, standby, dsn := pair(t)
	const shard = 1
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	run := func(w *journal.Writer) <-chan error {
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		return done
	}
	first := newWriter(open(t, dsn, shard), "before")
	before := run(first)
	l := startLoad(64, first)
	l.wait(t, 2000)
	primary.Kill()
	err := <-before
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("the writer stopped with %v", err)
	}
	t.Logf("the writer stopped with: %v", err)
	if s, err := Open(t.Context(), dsn, Options{Shard: shard}); err == nil {
		s.Close()
		t.Error("a standby was taken for a server that takes writes")
	}
	readOnly := open(t, standby.DSN(), shard) // verify may read it
	l.check(t, readOnly)
	if _, err := readOnly.Claim(t.Context(), "too early"); sqlState(err) != "25006" {
		t.Errorf("claim of a standby: %v", err)
	}
	standby.Promote()
	second := newWriter(open(t, dsn, shard), "after")
	after := run(second)
	l.add(second)
	l.wait(t, 2000)
	l.end()
	stop()
	if err := <-after; err != nil {
		t.Errorf("the second writer stopped: %v", err)
	}
	l.check(t, open(t, dsn, shard))
}

// TestPostgreSQLOldPrimaryReturns: after a failover the old primary comes back and takes connections, but without its
// standby it acknowledges nothing, so a node that finds it first does not start.
func TestPostgreSQLOldPrimaryReturns(t *testing.T) {
	primary, standby, dsn := pair(t)
	s := open(t, dsn, 1)
	epoch, chain := claim(t, s, "before"), new(journal.Chain)
	commit(t, s, epoch, journaltest.Rows(chain, 10))
	primary.Kill()
	standby.Promote()
	claim(t, s, "after")
	primary.Again()
	old, err := Open(t.Context(), primary.DSN(), Options{Shard: 1, CommitTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if epoch, err := old.Claim(t.Context(), "lost"); err == nil {
		t.Errorf("the old primary was claimed with epoch %d", epoch)
	}
}

// TestPostgreSQLCancelledStandbyWait: an operator who cancels the wait for a standby that is gone makes the server answer
// with success and a warning. That is no acknowledgement.
func TestPostgreSQLCancelledStandbyWait(t *testing.T) {
	primary, standby, dsn := pair(t)
	s := open(t, dsn, 1)
	epoch, chain := claim(t, s, "node"), new(journal.Chain)
	commit(t, s, epoch, journaltest.Rows(chain, 10))
	standby.Kill()
	done := make(chan error, 1)
	go func() { done <- s.Commit(context.Background(), epoch, journaltest.Rows(chain, 3), nil) }()
	waiting(t, primary, "wait_event = 'SyncRep'", 1)
	primary.Query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
	err := <-done
	if !errors.Is(err, ErrOutcomeUnknown) {
		t.Fatalf("Commit = %v", err)
	}
	standby.Again()
	if truth := wantUnknown(t, s, epoch, chain, fmt.Errorf("again: %w", err)); truth.Seq != 13 {
		t.Errorf("after the claim the last row is %d, want 13: the standby is back and has them", truth.Seq)
	}
}

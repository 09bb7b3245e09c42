//go:build thirdparty && unix

package journalpg

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/journal/journaltest"
)

// TestMain also is the program of a node that a test starts and kills: see takeover_test.go.
func TestMain(m *testing.M) {
	if dsn := os.Getenv(nodeVariable); dsn != "" {
		os.Exit(runNode(dsn))
	}
	os.Exit(m.Run())
}

// TestPostgreSQL shares one server among everything that does not stop it.
func TestPostgreSQL(t *testing.T) {
	server := postgrestest.Start(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, server *postgrestest.Server)
	}{
		{"Conformance", testConformance},
		{"ConformanceSerializable", testConformanceSerializable},
		{"ShardsAreApart", testShards},
		{"AnyBytes", testAnyBytes},
		{"Tampering", testTampering},
		{"Pages", testPages},
		{"TwoNodesOpenAnEmptySchema", testOpenTogether},
		{"NewerSchema", testNewerSchema},
		{"OlderSchema", testUpgrade},
		{"Catalog", testCatalog},
		{"WeakSettings", testWeakSettings},
		{"WrongPassword", testWrongPassword},
		{"SerializationFailureIsRetried", testSerialization},
		{"RetriesAreBounded", testBounded},
		{"ClaimWaitsForTheCommit", testClaimWaits},
		{"LostTail", testLostTail},
		{"AnswerLost", testAnswerLost},
		{"RequestLost", testRequestLost},
		{"BackendKilled", testBackendKilled},
		{"CommitTimeout", testCommitTimeout},
		{"ReadersReconnect", testReadersReconnect},
		{"KilledNode", testKilledNode},
		{"PausedNode", testPausedNode},
		{"Takeover", testTakeover},
		{"EntriesBalance", testEntries},
		{"NeverReadsTheWholeTable", testPlans},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, server) })
	}
}

// shards gives every test journals of its own.
var shards atomic.Int64

func open(t testing.TB, dsn string, shard int64) *Store {
	t.Helper()
	s, err := Open(t.Context(), dsn, Options{Shard: shard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func claim(t testing.TB, s *Store, owner string) uint64 {
	t.Helper()
	epoch, err := s.Claim(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

// filled is a claimed store with n rows in a shard of its own.
func filled(t testing.TB, dsn string, n int) (*Store, *journal.Chain, uint64) {
	t.Helper()
	s := open(t, dsn, shards.Add(1))
	epoch, chain := claim(t, s, "test"), new(journal.Chain)
	commit(t, s, epoch, journaltest.Rows(chain, n))
	return s, chain, epoch
}

func commit(t testing.TB, s *Store, epoch uint64, rows []journal.Row) {
	t.Helper()
	if err := s.Commit(t.Context(), epoch, rows, nil); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

// inPlaces opens one shard per place, all in one database.
func inPlaces(dsn string) journaltest.Open {
	return func(t testing.TB, place string) journal.Store {
		hash := fnv.New64a()
		hash.Write([]byte(place))
		return open(t, dsn, int64(hash.Sum64()))
	}
}

func testConformance(t *testing.T, server *postgrestest.Server) {
	journaltest.Store(t, inPlaces(server.DSN()))
}

// serializable asks for it the way an operator would.
func serializable(server *postgrestest.Server) string {
	return server.DSN("default_transaction_isolation", "serializable")
}

func testConformanceSerializable(t *testing.T, server *postgrestest.Server) {
	journaltest.Store(t, inPlaces(serializable(server)))
}

func testShards(t *testing.T, server *postgrestest.Server) {
	first, chain, epoch := filled(t, server.DSN(), 3)
	second := open(t, server.DSN(), shards.Add(1))
	if e := claim(t, second, "other"); e != 1 {
		t.Errorf("first epoch of a shard is %d", e)
	}
	var other journal.Chain
	commit(t, second, 1, journaltest.Rows(&other, 1)) // the same numbers and keys, in another journal
	commit(t, first, epoch, journaltest.Rows(chain, 1))
	if got := journaltest.Load(t, second, 0); len(got) != 1 {
		t.Errorf("%d rows in the second shard", len(got))
	}
	if _, found, err := second.FindKey(t.Context(), journaltest.Key(3)); found || err != nil {
		t.Errorf("a key of the first shard was found in the second: %v", err)
	}
}

// testAnyBytes: what came over a wire is stored as it is, whatever it is, and cannot stop a journal.
func testAnyBytes(t *testing.T, server *postgrestest.Server) {
	s, chain, epoch := filled(t, server.DSN(), 1)
	r := journaltest.Row(2)
	r.Key, r.Terminal, r.Payment = "nul\x00 and \xff\xfe", "'; DROP TABLE journal; --", "\xc3\x28"
	rows := journaltest.Seal(chain, r)
	commit(t, s, epoch, rows)
	got, found, err := s.FindKey(t.Context(), r.Key)
	if err != nil || !found || got.Key != r.Key || got.Terminal != r.Terminal || got.Payment != r.Payment {
		t.Errorf("FindKey = %+v, %v, %v", got, found, err)
	}
	journaltest.Load(t, s, 0)
	text := server.Query(fmt.Sprintf("SELECT terminal FROM journal_text WHERE shard = %d AND seq = 2", s.options.Shard))
	if text != r.Terminal {
		t.Errorf("the view for people shows %q", text)
	}
	if epoch := claim(t, s, "owner\x00\xff"); epoch != 2 {
		t.Errorf("epoch %d", epoch)
	}
}

func testTampering(t *testing.T, server *postgrestest.Server) {
	for _, c := range []struct {
		name, set string
		row       uint64
	}{
		{"amount", "amount = amount + 1 WHERE seq = 3", 3},
		{"key", "key = key || 'x' WHERE seq = 2", 2},
		{"answer gone", "answer = NULL WHERE seq = 4", 4},
		{"chain", "chain = sha256('x') WHERE seq = 1", 1},
		{"chain short", "chain = 'x' WHERE seq = 1", 1},
		{"moved", "seq = 9 WHERE seq = 3", 3},
		{"other shard", "shard = -1 WHERE seq = 1", 1},
		{"kind out of range", "kind = 300 WHERE seq = 2", 2},
		{"counter out of range", "atc = -1 WHERE seq = 2", 2},
		{"text too long", "payment = convert_to(repeat('x', 300), 'UTF8') WHERE seq = 5", 5},
		{"blob too long", "note = convert_to(repeat('x', 65537), 'UTF8') WHERE seq = 5", 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _, _ := filled(t, server.DSN(), 5)
			server.Query(fmt.Sprintf("UPDATE journal SET %s AND shard = %d", c.set, s.options.Shard))
			var broken *journal.ChainError
			err := s.Load(t.Context(), 0, func(*journal.Row) error { return nil })
			if !errors.As(err, &broken) || broken.Seq != c.row {
				t.Fatalf("Load = %v, want a break at row %d", err, c.row)
			}
			server.Query(fmt.Sprintf("DELETE FROM journal WHERE shard IN (-1, %d)", s.options.Shard))
		})
	}
}

// testPages loads more than a page, while rows are added, and finds what was there and nothing twice.
func testPages(t *testing.T, server *postgrestest.Server) {
	s, chain, epoch := filled(t, server.DSN(), 1)
	for chain.Seq < 2*pageRows {
		commit(t, s, epoch, journaltest.Rows(chain, 1024))
	}
	seen := uint64(0)
	err := s.Load(t.Context(), 0, func(r *journal.Row) error {
		if seen++; seen == 10 {
			commit(t, s, epoch, journaltest.Rows(chain, 5))
		}
		return nil
	})
	if err != nil || seen < 2*pageRows || seen > chain.Seq {
		t.Errorf("Load saw %d rows of %d, %v", seen, chain.Seq, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen = 0
	err = s.Load(ctx, 0, func(*journal.Row) error {
		if seen++; seen == 10 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || seen > 10 {
		t.Errorf("cancelled Load = %v after %d rows", err, seen)
	}
}

// inSchema makes an empty schema and a DSN that leads there.
func inSchema(server *postgrestest.Server, name string) string {
	server.Query("CREATE SCHEMA " + name)
	return server.DSN("search_path", name)
}

func testOpenTogether(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "together")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn, Options{Shard: int64(i)})
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Claim(t.Context(), "one of many"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := server.Query("SELECT count(*) FROM together.fence"); n != "8" {
		t.Errorf("%s shards claimed", n)
	}
}

func testNewerSchema(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "newer")
	open(t, dsn, 1)
	server.Query("UPDATE newer.journal_schema SET version = 3")
	if s, err := Open(t.Context(), dsn, Options{}); err == nil || !strings.Contains(err.Error(), "version 3") {
		t.Errorf("Open = %v, %v", s, err)
	}
}

// testWeakSettings: a session whose defaults would answer before the disk has the rows is made to wait for it.
func testWeakSettings(t *testing.T, server *postgrestest.Server) {
	s, chain, epoch := filled(t, server.DSN("synchronous_commit", "off"), 1)
	value, err := postgrestest.First(s.writer.conn, "SHOW synchronous_commit")
	if err != nil || value != "on" {
		t.Errorf("synchronous_commit = %q, %v", value, err)
	}
	commit(t, s, epoch, journaltest.Rows(chain, 1))
	stronger, _, _ := filled(t, server.DSN("synchronous_commit", "remote_apply"), 1)
	if value, err := postgrestest.First(stronger.writer.conn, "SHOW synchronous_commit"); err != nil || value != "remote_apply" {
		t.Errorf("synchronous_commit = %q, %v", value, err)
	}
}

func testWrongPassword(t *testing.T, server *postgrestest.Server) {
	wrong := "wrong-but-secret"
	dsn := fmt.Sprintf("host=127.0.0.1 port=%d user=tapnet password=%s dbname=tapnet sslmode=disable", server.Port, wrong)
	_, err := Open(t.Context(), dsn, Options{})
	if sqlState(err) != "28P01" {
		t.Errorf("Open = %v", err)
	}
	if strings.Contains(shows(err), wrong) {
		t.Errorf("the error shows the password: %v", err)
	}
	s, chain, epoch := filled(t, server.DSN(), 1)
	server.Query("REVOKE ALL ON journal FROM tapnet; ALTER TABLE journal RENAME TO hidden")
	err = s.Commit(t.Context(), epoch, journaltest.Rows(chain, 1), nil)
	server.Query("ALTER TABLE hidden RENAME TO journal; GRANT ALL ON journal TO tapnet")
	if sqlState(err) != undefinedTable || errors.Is(err, ErrOutcomeUnknown) || strings.Contains(shows(err), postgrestest.Password) {
		t.Errorf("Commit without a table = %v", err)
	}
}

// waiting returns when n of the server's sessions wait for a condition of pg_stat_activity.
func waiting(t testing.TB, server *postgrestest.Server, condition string, n int) {
	t.Helper()
	conn := server.Connect("tapnet")
	defer conn.Close(context.Background())
	query := "SELECT count(*) FROM pg_stat_activity WHERE " + condition
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		got, err := postgrestest.First(conn, query)
		if err != nil {
			t.Fatal(err)
		}
		if got == fmt.Sprint(n) {
			return
		}
	}
	t.Fatalf("never %d sessions with %s", n, condition)
}

const onALock = "wait_event_type = 'Lock' AND application_name = 'tapnet'"

// testSerialization makes a commit at SERIALIZABLE lose against another change of the epoch's row: the server answers
// 40001 and the batch is done again. When the change was a new epoch, the second attempt finds it.
func testSerialization(t *testing.T, server *postgrestest.Server) {
	for name, c := range map[string]struct {
		change string
		want   error
	}{
		"same epoch": {"UPDATE fence SET owner = 'renamed' WHERE shard = %d", nil},
		"new epoch":  {"UPDATE fence SET epoch = epoch + 1 WHERE shard = %d", journal.ErrStaleEpoch},
	} {
		t.Run(name, func(t *testing.T) {
			s, chain, epoch := filled(t, serializable(server), 1)
			conn := server.Connect("tapnet")
			defer conn.Close(context.Background())
			must(t, conn, "BEGIN; "+fmt.Sprintf(c.change, s.options.Shard))
			done := make(chan error, 1)
			go func() { done <- s.Commit(context.Background(), epoch, journaltest.Rows(chain, 3), nil) }()
			waiting(t, server, onALock, 1)
			before := s.retries.Load()
			must(t, conn, "COMMIT")
			if err := <-done; !errors.Is(err, c.want) {
				t.Fatalf("Commit = %v, want %v", err, c.want)
			}
			if s.retries.Load() == before {
				t.Error("nothing was retried: the server did not answer 40001")
			}
			if seq, _, err := s.Last(t.Context()); err != nil || (seq == 4) != (c.want == nil) {
				t.Errorf("last row %d, %v", seq, err)
			}
		})
	}
}

func must(t testing.TB, conn *pgconn.PgConn, statements string) {
	t.Helper()
	if _, err := postgrestest.First(conn, statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// testBounded lets a trigger fail the first inserts with each retryable code, then all of them.
func testBounded(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "flaky")
	open(t, dsn, 0)
	server.Query(`SET search_path = flaky;
		CREATE SEQUENCE tries; CREATE TABLE plan (code TEXT, failures BIGINT);
		INSERT INTO plan VALUES ('', 0);
		CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SET search_path = flaky AS $$
		BEGIN
			IF nextval('tries') <= (SELECT failures FROM plan) THEN
				RAISE EXCEPTION 'planned' USING ERRCODE = (SELECT code FROM plan);
			END IF;
			RETURN NULL;
		END $$;
		CREATE TRIGGER fail AFTER INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION fail()`)
	for _, code := range []string{serializationFailure, deadlockDetected} {
		s, chain, epoch := filled(t, dsn, 1)
		plan := func(failures int) {
			server.Query(fmt.Sprintf("SET search_path = flaky; ALTER SEQUENCE tries RESTART; UPDATE plan SET code = '%s', failures = %d",
				code, failures))
		}
		before := *chain
		plan(maxAttempts - 1)
		rows := journaltest.Rows(chain, 5)
		commit(t, s, epoch, rows)
		if got := s.retries.Load(); got != maxAttempts-1 {
			t.Errorf("%s: %d retries", code, got)
		}
		if got := journaltest.Load(t, s, before.Seq); len(got) != len(rows) {
			t.Errorf("%s: %d rows stored, want %d", code, len(got), len(rows))
		}
		plan(1000)
		before = *chain
		err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 5), nil)
		if sqlState(err) != code || errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("%s: Commit = %v", code, err)
		}
		if got := s.retries.Load(); got != 2*(maxAttempts-1) {
			t.Errorf("%s: %d retries", code, got)
		}
		*chain = journal.Chain{Seq: before.Seq, Hash: before.Hash}
		plan(0)
		commit(t, s, epoch, journaltest.Rows(chain, 5)) // it was rolled back: the same rows fit
	}
}

// testClaimWaits: a claim that comes while a batch is being committed waits for it, so that its replay sees the batch.
func testClaimWaits(t *testing.T, server *postgrestest.Server) {
	a, chain, epoch := filled(t, server.DSN(), 1)
	b := open(t, server.DSN(), a.options.Shard)
	conn := server.Connect("tapnet")
	defer conn.Close(context.Background())
	// A row that is not yet committed holds up A's insert behind the lock on the fence.
	must(t, conn, fmt.Sprintf("BEGIN; INSERT INTO journal SELECT shard, 2, kind, at, business_date, stan, card, atc, reason, debit,"+
		" credit, amount, currency, phase, resolves, linked, content, chain FROM journal WHERE shard = %d", a.options.Shard))
	committed, claimed := make(chan error, 1), make(chan error, 1)
	go func() { committed <- a.Commit(context.Background(), epoch, journaltest.Rows(chain, 3), nil) }()
	waiting(t, server, onALock, 1)
	go func() {
		_, err := b.Claim(context.Background(), "B")
		claimed <- err
	}()
	waiting(t, server, onALock, 2)
	must(t, conn, "ROLLBACK")
	if err := <-committed; err != nil {
		t.Fatalf("A: Commit = %v", err)
	}
	if err := <-claimed; err != nil {
		t.Fatalf("B: Claim = %v", err)
	}
	if b.last.Seq != 4 || b.last.Hash != chain.Hash {
		t.Errorf("B took over at row %d", b.last.Seq)
	}
	if err := a.Commit(t.Context(), epoch, journaltest.Rows(chain, 1), nil); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Errorf("A after the claim: %v", err)
	}
}

// testLostTail: a server that lost acknowledged rows, or has others in their place, takes nothing on top.
func testLostTail(t *testing.T, server *postgrestest.Server) {
	for name, change := range map[string]string{
		"gone":     "DELETE FROM journal WHERE seq = 3 AND shard = %d",
		"replaced": "UPDATE journal SET chain = sha256('x') WHERE seq = 3 AND shard = %d",
	} {
		s, chain, epoch := filled(t, server.DSN(), 3)
		server.Query(fmt.Sprintf(change, s.options.Shard))
		if err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 1), nil); !errors.Is(err, journal.ErrSequence) {
			t.Errorf("%s: Commit = %v", name, err)
		}
	}
}

// cutter is a wire to the server that can be cut at a chosen moment.
type cutter struct {
	listener net.Listener
	mode     atomic.Int32
	cuts     atomic.Int32
}

const (
	passing       = iota
	cutBeforeSend // what the client sends next does not arrive
	cutBeforeRead // it arrives, but the answer does not
	stuck         // it arrives, and then nothing happens
)

func newCutter(t *testing.T, server *postgrestest.Server) (*cutter, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", server.Port))
			if err != nil {
				client.Close()
				return
			}
			t.Cleanup(func() { client.Close(); upstream.Close() })
			go c.carry(client, upstream, cutBeforeSend)
			go c.carry(upstream, client, cutBeforeRead)
		}
	}()
	return c, postgrestest.DSNOf(l.Addr().String())
}

func (c *cutter) carry(from, to net.Conn, cutIn int32) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		mode := c.mode.Load()
		if mode == stuck && cutIn == cutBeforeRead {
			continue
		}
		if err != nil || mode == cutIn {
			if mode == cutIn {
				c.cuts.Add(1)
			}
			from.Close()
			to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// wantUnknown: the outcome is reported as unknown, the handle takes nothing more, and a claim finds the truth.
func wantUnknown(t *testing.T, s *Store, epoch uint64, chain *journal.Chain, err error) journal.Chain {
	t.Helper()
	if !errors.Is(err, ErrOutcomeUnknown) || strings.Contains(shows(err), postgrestest.Password) {
		t.Fatalf("Commit = %v", err)
	}
	if errors.Is(err, journal.ErrStaleEpoch) || errors.Is(err, journal.ErrSequence) {
		t.Errorf("an unknown outcome is also a refusal: %v", err)
	}
	for range 2 {
		if err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 1), nil); !errors.Is(err, ErrOutcomeUnknown) {
			t.Errorf("next Commit = %v", err)
		}
	}
	claim(t, s, "again")
	return s.last
}

func testAnswerLost(t *testing.T, server *postgrestest.Server) {
	wire, dsn := newCutter(t, server)
	s, chain, epoch := filled(t, dsn, 2)
	wire.mode.Store(cutBeforeRead)
	err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 3), nil)
	wire.mode.Store(passing)
	durable := *chain
	if truth := wantUnknown(t, s, epoch, chain, err); truth.Seq != durable.Seq || truth.Hash != durable.Hash {
		t.Errorf("after the claim the last row is %d, want %d: the server had them", truth.Seq, durable.Seq)
	}
	if rows := journaltest.Load(t, s, 0); len(rows) != 5 {
		t.Errorf("%d rows", len(rows))
	}
}

func testRequestLost(t *testing.T, server *postgrestest.Server) {
	wire, dsn := newCutter(t, server)
	s, chain, epoch := filled(t, dsn, 2)
	wire.mode.Store(cutBeforeSend)
	err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 3), nil)
	wire.mode.Store(passing)
	if truth := wantUnknown(t, s, epoch, chain, err); truth.Seq != 2 {
		t.Errorf("after the claim the last row is %d, want 2: the server never saw the others", truth.Seq)
	}
	if wire.cuts.Load() == 0 {
		t.Error("nothing was cut")
	}
}

// testBackendKilled cuts the connection from the server's side in the middle of a batch.
func testBackendKilled(t *testing.T, server *postgrestest.Server) {
	s, chain, epoch := filled(t, server.DSN(), 2)
	conn := server.Connect("tapnet")
	defer conn.Close(context.Background())
	must(t, conn, fmt.Sprintf("BEGIN; UPDATE fence SET owner = owner WHERE shard = %d", s.options.Shard))
	done := make(chan error, 1)
	go func() { done <- s.Commit(context.Background(), epoch, journaltest.Rows(chain, 3), nil) }()
	waiting(t, server, onALock, 1)
	server.Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE " + onALock)
	err := <-done
	must(t, conn, "COMMIT")
	if truth := wantUnknown(t, s, epoch, chain, err); truth.Seq != 2 {
		t.Errorf("after the claim the last row is %d, want 2", truth.Seq)
	}
}

func testCommitTimeout(t *testing.T, server *postgrestest.Server) {
	wire, dsn := newCutter(t, server)
	s, chain, epoch := filled(t, dsn, 2)
	s.options.CommitTimeout = 300 * time.Millisecond
	wire.mode.Store(stuck)
	err := s.Commit(t.Context(), epoch, journaltest.Rows(chain, 3), nil)
	wire.mode.Store(passing)
	s.options.CommitTimeout = DefaultCommitTimeout
	if truth := wantUnknown(t, s, epoch, chain, err); truth.Seq != 5 {
		t.Errorf("after the claim the last row is %d, want 5", truth.Seq)
	}
}

// testReadersReconnect: a read that loses its connection is done again on another.
func testReadersReconnect(t *testing.T, server *postgrestest.Server) {
	s, _, _ := filled(t, server.DSN(), 5)
	cut := func() {
		server.Query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'tapnet'")
		waiting(t, server, "application_name = 'tapnet'", 0)
	}
	if _, found, err := s.FindKey(t.Context(), journaltest.Key(2)); err != nil || !found {
		t.Fatal(found, err)
	}
	cut()
	if _, found, err := s.FindKey(t.Context(), journaltest.Key(2)); err != nil || !found {
		t.Errorf("FindKey = %v, %v", found, err)
	}
	cut()
	if seq, _, err := s.Last(t.Context()); err != nil || seq != 5 {
		t.Errorf("Last = %d, %v", seq, err)
	}
	seen := uint64(0)
	err := s.Load(t.Context(), 0, func(r *journal.Row) error {
		if seen++; seen == 2 {
			cut()
		}
		if r.Seq != seen {
			return fmt.Errorf("row %d came as number %d", r.Seq, seen)
		}
		return nil
	})
	if err != nil || seen != 5 {
		t.Errorf("Load = %v after %d rows", err, seen)
	}
}

func testEntries(t *testing.T, server *postgrestest.Server) {
	s, _, _ := filled(t, server.DSN(), 10)
	if sum := server.Query(fmt.Sprintf("SELECT sum(debit_amount) || ' ' || sum(credit_amount) FROM entry WHERE shard = %d",
		s.options.Shard)); sum != "299000 299000" {
		t.Errorf("sums of entries: %s", sum)
	}
}

// testPlans makes the plans while the table is one page that the server knows to be one page, which is when reading all of
// it looks cheapest, and then lets it grow under the same connections.
func testPlans(t *testing.T, server *postgrestest.Server) {
	dsn := inSchema(server, "plans")
	s, chain, epoch := filled(t, dsn, 1)
	read := func() (tables, entries int) {
		waiting(t, server, "application_name = 'tapnet'", 0) // a session reports what it did when it ends
		if _, err := fmt.Sscan(server.Query(`SELECT (SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE schemaname = 'plans' AND relname IN ('journal', 'cell'))
			|| ' ' || (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = 'plans')`), &tables, &entries); err != nil {
			t.Fatal(err)
		}
		return tables, entries
	}
	const batches, size = 50, 20
	var back journal.Back
	work := func() {
		for range batches {
			rows := journaltest.Rows(chain, size)
			back.Reset()
			back.Add(int64(chain.Seq), [16]byte{1, byte(chain.Seq), byte(chain.Seq >> 8)}, chain.Seq)
			back.Watermark = chain.Seq
			if err := s.Commit(t.Context(), epoch, rows, &back); err != nil {
				t.Fatal(err)
			}
			_, found, err := s.FindKey(t.Context(), journaltest.Key(chain.Seq))
			_, cell, cellErr := s.FindCell(t.Context(), int64(chain.Seq))
			_, name, nameErr := s.FindName(t.Context(), back.Cells[0].Name)
			if err := errors.Join(err, cellErr, nameErr); err != nil || !found || !cell || !name {
				t.Fatal(found, cell, name, err)
			}
			if seq, _, err := s.Last(t.Context()); err != nil || seq != chain.Seq {
				t.Fatal(seq, err)
			}
		}
	}
	work() // with plans that were made while the tables were empty
	s.Close()
	tables, entries := read()
	if limit := 10 * batches * 2; entries > limit {
		t.Errorf("%d entries of indexes read, at most %d: some plan walks a whole shard", entries, limit)
	}
	server.Query("ANALYZE plans.journal; ANALYZE plans.cell")
	s = open(t, dsn, s.options.Shard)
	epoch = claim(t, s, "again")
	work()
	journaltest.Load(t, s, 0)
	s.Close()
	after, entriesAfter := read()
	if after != tables {
		t.Errorf("a table was read from end to end: %d times before, %d after", tables, after)
	}
	if limit := 10*batches*2 + 2*batches*size; entriesAfter-entries > limit {
		t.Errorf("%d entries of indexes read, at most %d", entriesAfter-entries, limit)
	}
}

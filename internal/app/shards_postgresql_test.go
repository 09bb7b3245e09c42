//go:build thirdparty && unix

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/personalization"
	"tapnet/internal/verify"
	"tapnet/money"
)

// nodeVariable makes the test binary a node that runs the issuers.
const nodeVariable = "TAPNET_APP_NODE"

// brokenExit is how a node says that one of its roles has stopped for good.
const brokenExit = 7

type nodeOrder struct{ Name, Dir, Store, Switch string }

const (
	testShards    = 2
	testLeaseTerm = time.Second
)

// TestMain also is the program of a node that a test starts, kills and freezes.
func TestMain(m *testing.M) {
	if text := os.Getenv(nodeVariable); text != "" {
		os.Exit(runNode(text))
	}
	os.Exit(m.Run())
}

func runNode(text string) int {
	var order nodeOrder
	if err := json.Unmarshal([]byte(text), &order); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	profile, err := shardProfile()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	n, err := Start(context.Background(), Options{
		Profile: profile, Dir: order.Dir, Store: order.Store, Shards: testShards, Node: order.Name, LeaseTerm: testLeaseTerm, Roles: []string{RoleIssuer},
		Listen: map[string]string{RoleSwitch: order.Switch}, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo})),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	code := 0
	select {
	case <-done:
	case err := <-n.Failed():
		fmt.Fprintln(os.Stderr, "failed:", err)
		code = brokenExit
	}
	if err := n.Stop(context.Background()); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// shardProfile has a few cards for each shard, and limits that a test does not reach.
func shardProfile() (*personalization.Profile, error) {
	p, err := personalization.Load("demo")
	if err != nil {
		return nil, err
	}
	var model personalization.CardSpec
	for i := range p.Cards {
		if p.Cards[i].Name == "lin" {
			model = p.Cards[i]
		}
	}
	model.DayLimit, model.DayCount, model.NoPINDayLimit, model.TapLimit, model.Balance = "", 0, "", "", "9000000.00"
	p.Cards = nil
	for i := range 12 {
		spec := model
		spec.Name, spec.Serial, spec.Issuer = fmt.Sprintf("card-%d", i), 100+i, p.Issuers[i%len(p.Issuers)].Institution
		p.Cards = append(p.Cards, spec)
	}
	return p, nil
}

// issuerProcess is a node in a process of its own.
type issuerProcess struct {
	*exec.Cmd
	stdin io.WriteCloser
	said  *lockedText
}

// lockedText is what a process says.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startIssuers(t *testing.T, name, store string, shops *Network) *issuerProcess {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, keyDirectory), os.DirFS(filepath.Join(shops.options.Dir, keyDirectory))); err != nil {
		t.Fatal(err)
	}
	passphrase, err := os.ReadFile(filepath.Join(shops.options.Dir, passphraseFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, passphraseFile), passphrase, 0o600)
	}
	order, jsonErr := json.Marshal(nodeOrder{Name: name, Dir: dir, Store: store, Switch: shops.Addresses()[RoleSwitch]})
	program, execErr := os.Executable()
	if err := errors.Join(err, jsonErr, execErr); err != nil {
		t.Fatal(err)
	}
	p := &issuerProcess{Cmd: exec.Command(program), said: &lockedText{}}
	p.Env = append(os.Environ(), nodeVariable+"="+string(order))
	p.Stderr = p.said
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.said)
		}
	})
	return p
}

// shoppers tap cards all the time and remember what they were told.
type shoppers struct {
	network *Network
	cards   []string
	group   sync.WaitGroup
	stop    context.CancelFunc

	mu       sync.Mutex
	results  []TapResult
	approved map[string]int // by card
	err      error
	changed  chan struct{}
}

func startShoppers(ctx context.Context, n *Network) *shoppers {
	ctx, stop := context.WithCancel(ctx)
	s := &shoppers{network: n, stop: stop, approved: map[string]int{}, changed: make(chan struct{})}
	for _, c := range n.options.Profile.Cards {
		s.cards = append(s.cards, c.Name)
	}
	for at, merchant := range []string{"shop-1", "kiosk"} {
		s.group.Go(func() {
			for i := at * len(s.cards) / 2; ctx.Err() == nil; i++ {
				name := s.cards[i%len(s.cards)]
				result, err := n.Tap(context.WithoutCancel(ctx), TapRequest{Card: name, Merchant: merchant, Amount: money.New(1250, money.CNY)})
				s.add(name, result, err)
			}
		})
	}
	return s
}

func (s *shoppers) add(name string, r TapResult, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = errors.Join(s.err, err)
	}
	s.results = append(s.results, r)
	if r.Outcome == OutcomeApproved {
		s.approved[name]++
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// everyCard waits until every card has been approved so many times more.
func (s *shoppers) everyCard(t *testing.T, times int) {
	t.Helper()
	late := time.After(time.Minute)
	want := map[string]int{}
	s.mu.Lock()
	for _, name := range s.cards {
		want[name] = s.approved[name] + times
	}
	s.mu.Unlock()
	for {
		s.mu.Lock()
		missing, changed, err := "", s.changed, s.err
		for name, count := range want {
			if s.approved[name] < count {
				missing = name
			}
		}
		s.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if missing == "" {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%s is not approved any more", missing)
		}
	}
}

// holders waits until the leases are spread like this, by the names of nodes.
func holders(t *testing.T, server *postgrestest.Server, want map[string]int) {
	t.Helper()
	conn := server.Connect("tapnet")
	defer conn.Close(context.Background())
	for deadline := time.Now().Add(time.Minute); ; {
		got := map[string]int{}
		results, err := conn.Exec(context.Background(), "SELECT pg_sleep(0.02); SELECT split_part(holder, '/', 1) FROM lease").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range results[1].Rows {
			got[string(row[0])]++
		}
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("leases are spread as %v, want %v", got, want)
		}
	}
}

// TestPostgreSQLShards runs the issuers of a network on two nodes that share one database, over TCP: one is killed, comes back, and the other one is frozen and
// thaws. Payments go on, what was acknowledged is there once, and the journals of all shards and members agree.
func TestPostgreSQLShards(t *testing.T) {
	server := postgrestest.Start(t)
	profile, err := shardProfile()
	if err != nil {
		t.Fatal(err)
	}
	shops, err := Start(t.Context(), Options{
		Profile: profile, Dir: t.TempDir(), Store: server.DSN(), Shards: testShards, AnswerWithin: 2 * time.Second,
		Roles: []string{RoleSwitch, RoleAcquirer, RolePOS}, Listen: map[string]string{RoleSwitch: "127.0.0.1:0", RoleAcquirer: "127.0.0.1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	stopShops := sync.OnceFunc(func() { stopped(t, shops) })
	defer stopShops()
	a := startIssuers(t, "A", server.DSN(), shops)
	b := startIssuers(t, "B", server.DSN(), shops)
	holders(t, server, map[string]int{"A": 2, "B": 2})
	load := startShoppers(t.Context(), shops)
	defer load.stop()
	load.everyCard(t, 2)

	if err := a.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.Wait()
	holders(t, server, map[string]int{"B": 4})
	load.everyCard(t, 2)

	a = startIssuers(t, "A", server.DSN(), shops)
	holders(t, server, map[string]int{"A": 2, "B": 2})
	load.everyCard(t, 2)

	if err := b.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	holders(t, server, map[string]int{"A": 4})
	load.everyCard(t, 2)
	epochs := server.Query("SELECT string_agg(epoch::text, ' ' ORDER BY shard) FROM fence")
	if err := b.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := b.Wait(); !errors.As(err, &exit) || exit.ExitCode() != brokenExit {
		t.Errorf("the thawed node ended with %v, want exit %d:\n%s", err, brokenExit, b.said)
	}
	if said := b.said.String(); !strings.Contains(said, journal.ErrStaleEpoch.Error()) && !strings.Contains(said, ErrLeaseLost.Error()) {
		t.Errorf("the thawed node says:\n%s", said)
	}
	load.everyCard(t, 2)
	if now := server.Query("SELECT string_agg(epoch::text, ' ' ORDER BY shard) FROM fence"); now != epochs {
		t.Errorf("epochs %s after the thaw, %s before: the old node took something over", now, epochs)
	}

	load.stop()
	load.group.Wait()
	if err := shops.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopShops()
	if err := a.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Wait(); err != nil {
		t.Errorf("A ended with %v", err)
	}
	holders(t, server, map[string]int{"": 4})
	checkShops(t, server, load)
	checkExport(t, server, shops.options.Dir)
}

// checkShops compares what the shoppers were told with the rows of all shards.
func checkShops(t *testing.T, server *postgrestest.Server, load *shoppers) {
	t.Helper()
	catalog, err := journalpg.OpenCatalog(t.Context(), server.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer catalog.Close()
	standing := map[string]int{} // by reference: approvals that were not taken back
	for name := range shardsOf(load.network.options.Profile, testShards) {
		store, err := catalog.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		held := map[uint64]string{}
		err = store.Load(t.Context(), 0, func(r *journal.Row) error {
			switch {
			case r.Kind == journal.Approved:
				held[r.Seq] = r.RRN
				standing[r.RRN]++
			case r.Kind == journal.Reversed && r.Resolves != 0:
				standing[held[r.Resolves]]--
			}
			return nil
		})
		if err := errors.Join(err, store.Close()); err != nil {
			t.Fatal(err)
		}
	}
	outcomes := map[TapOutcome]int{}
	for _, r := range load.results {
		outcomes[r.Outcome]++
		want := 0
		if r.Outcome == OutcomeApproved {
			want = 1
		}
		if r.RRN != "" && standing[r.RRN] != want {
			t.Errorf("payment %s ended as %s and stands %d times", r.RRN, r.Outcome, standing[r.RRN])
		}
		if r.RRN != "" {
			delete(standing, r.RRN)
		}
	}
	for rrn, count := range standing {
		if count != 0 {
			t.Errorf("payment %s stands %d times, and nobody was told", rrn, count)
		}
	}
	t.Logf("outcomes: %v", outcomes)
}

// checkExport lets verify see every journal of the database, and the chips.
func checkExport(t *testing.T, server *postgrestest.Server, cards string) {
	t.Helper()
	dir := t.TempDir()
	if err := Export(t.Context(), server.DSN(), dir); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, cardDirectory), os.DirFS(filepath.Join(cards, cardDirectory))); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, verify.Options{Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Clean() {
		t.Errorf("%d findings: %v", report.Total, report.Findings)
	}
	issuers := 0
	for _, m := range report.Members {
		if m.Role == verify.Issuer {
			issuers++
		}
	}
	if issuers != 4 {
		t.Errorf("%d shards verified", issuers)
	}
	t.Logf("verified %d rows of %d members", report.Rows, len(report.Members))
}

// TestPostgreSQLStore keeps every role's journal in one database, ends the network, opens it again and verifies what lies there.
func TestPostgreSQLStore(t *testing.T) {
	server := postgrestest.Start(t)
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 2 {
		n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Store: server.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		for _, card := range []string{"lin", "zhao"} {
			if _, err := n.Tap(t.Context(), TapRequest{Card: card, Merchant: "shop-1", Amount: money.New(29_900, money.CNY)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		stopped(t, n)
	}
	report, err := VerifyStore(t.Context(), server.DSN(), dir, verify.Options{Settled: true})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Clean() || report.Payments != 4 || len(report.Members) != 7 {
		t.Errorf("%d payments of %d members, findings %v", report.Payments, len(report.Members), report.Findings)
	}
	if _, err := os.Stat(filepath.Join(dir, journalDirectory)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there are journals beside those of the database: %v", err)
	}
	server.Query("UPDATE journal SET amount = amount + 1 WHERE seq = (SELECT min(seq) FROM journal WHERE amount > 0)")
	var broken *journal.ChainError
	if _, err := VerifyStore(t.Context(), server.DSN(), dir, verify.Options{}); !errors.As(err, &broken) {
		t.Errorf("a changed row gives %v", err)
	}
	if _, err := VerifyStore(t.Context(), inDatabase(server, "empty"), dir, verify.Options{}); !errors.Is(err, verify.ErrNoJournals) {
		t.Errorf("an empty database gives %v", err)
	}
}

func inDatabase(server *postgrestest.Server, schema string) string {
	server.Query("CREATE SCHEMA " + schema)
	return server.DSN("search_path", schema)
}

//go:build thirdparty && unix

package journalpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/ledger"
)

// pay is the command of the test machine: move one unit to an account, once per key.
type pay struct {
	key     string
	account ledger.Account
}

// paid is its answer.
type paid struct {
	seq     uint64
	balance int64
}

// teller is a small issuer: a repeated key gets the first answer again.
type teller struct {
	balances map[ledger.Account]int64
	answers  map[string]paid
}

func newTeller() *teller {
	return &teller{balances: map[ledger.Account]int64{}, answers: map[string]paid{}}
}

func (m *teller) Handle(_ time.Time, ev *journal.Event, step *journal.Step) {
	c := ev.Command.(pay)
	answer, repeated := m.answers[c.key]
	if !repeated {
		answer = m.apply(c.key, c.account, step.NextSeq())
		step.Append(journal.Row{Kind: journal.Loaded, Key: c.key, Debit: -1, Credit: c.account, Amount: 1, Currency: 156,
			Payment: fmt.Sprint(answer.balance)})
	}
	step.Emit(journal.Effect{Reply: answer})
}

func (m *teller) apply(key string, account ledger.Account, seq uint64) paid {
	m.balances[account]++
	m.answers[key] = paid{seq: seq, balance: m.balances[account]}
	return m.answers[key]
}

func (m *teller) Replay(r *journal.Row) error {
	if _, twice := m.answers[r.Key]; twice {
		return fmt.Errorf("key %s twice", r.Key)
	}
	if got := m.apply(r.Key, r.Credit, r.Seq); fmt.Sprint(got.balance) != r.Payment {
		return fmt.Errorf("row %d was decided at balance %s, replayed at %d", r.Seq, r.Payment, got.balance)
	}
	return nil
}

func (m *teller) Rearm(time.Time) []journal.Effect { return nil }

func newWriter(s *Store, owner string) *journal.Writer {
	return journal.NewWriter(journal.Config{Machine: newTeller(), Store: s, Clock: clock.Real(), Owner: owner, MaxBatch: 64})
}

// acks is what clients were told.
type acks struct {
	mu    sync.Mutex
	given map[string]uint64
	bad   []string
}

func newAcks() *acks { return &acks{given: map[string]uint64{}} }

func (a *acks) add(key string, seq uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if before, repeated := a.given[key]; repeated && before != seq {
		a.bad = append(a.bad, fmt.Sprintf("%s was answered with row %d, then with %d", key, before, seq))
	}
	a.given[key] = seq
}

// check compares what clients were told with what is stored. Load itself checks the chain, and the machine's replay the
// balances and that no key is there twice.
func (a *acks) check(t *testing.T, s *Store) {
	t.Helper()
	stored, machine := map[string]uint64{}, newTeller()
	if err := s.Load(t.Context(), 0, func(r *journal.Row) error {
		stored[r.Key] = r.Seq
		return machine.Replay(r)
	}); err != nil {
		t.Fatalf("Load: %v", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, text := range a.bad {
		t.Error(text)
	}
	for key, seq := range a.given {
		if stored[key] != seq {
			t.Errorf("%s was acknowledged as row %d and is stored as row %d", key, seq, stored[key])
		}
	}
	t.Logf("%d acknowledged, %d stored", len(a.given), len(stored))
}

// load is clients that pay one after the other and go on with the same key at the next node when theirs stops.
type load struct {
	*acks
	clients sync.WaitGroup
	stop    chan struct{}
	count   atomic.Uint64
	reached chan uint64 // every further multiple of hundred answers

	mu    sync.Mutex
	nodes []*journal.Writer
	more  chan struct{} // closed when a node is added
}

func startLoad(clients int, first *journal.Writer) *load {
	l := &load{acks: newAcks(), stop: make(chan struct{}), nodes: []*journal.Writer{first}, more: make(chan struct{}),
		reached: make(chan uint64, 1)}
	for c := range clients {
		l.clients.Go(func() { l.run(c) })
	}
	return l
}

// add makes a node known to the clients.
func (l *load) add(w *journal.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = append(l.nodes, w)
	close(l.more)
	l.more = make(chan struct{})
}

func (l *load) node(i int) *journal.Writer {
	for {
		l.mu.Lock()
		nodes, more := l.nodes, l.more
		l.mu.Unlock()
		if i < len(nodes) {
			return nodes[i]
		}
		select {
		case <-more:
		case <-l.stop:
			return nil
		}
	}
}

func (l *load) run(client int) {
	at := 0
	for n := 0; ; n++ {
		key := fmt.Sprintf("%09d-%03d", n, client)
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			w := l.node(at)
			if w == nil {
				return
			}
			answer, err := w.Ask(context.Background(), journal.Event{Command: pay{key: key, account: ledger.Account(1 + client%7)}})
			if err != nil {
				at++
				continue
			}
			l.acks.add(key, answer.(paid).seq)
			if c := l.count.Add(1); c%100 == 0 {
				select {
				case l.reached <- c:
				default:
				}
			}
			break
		}
	}
}

// wait returns when so many further answers have come.
func (l *load) wait(t *testing.T, answers uint64) {
	t.Helper()
	late := time.After(time.Minute)
	for until := l.count.Load() + answers; l.count.Load() < until; {
		select {
		case <-l.reached:
		case <-late:
			t.Fatalf("%d answers, waited for %d", l.count.Load(), until)
		}
	}
}

func (l *load) end() {
	close(l.stop)
	l.clients.Wait()
}

// testTakeover lets one node after the other take a shard over under load. The old one is alive and finds out.
func testTakeover(t *testing.T, server *postgrestest.Server) {
	shard := shards.Add(1)
	const nodes = 4
	var stopped []chan error
	start := func(i int) *journal.Writer {
		w, done := newWriter(open(t, server.DSN(), shard), fmt.Sprint("node ", i)), make(chan error, 1)
		go func() { done <- w.Run(t.Context()) }()
		stopped = append(stopped, done)
		return w
	}
	l := startLoad(64, start(0))
	for i := 1; i < nodes; i++ {
		l.wait(t, 1000)
		w := start(i)
		if err := <-stopped[i-1]; !errors.Is(err, journal.ErrStaleEpoch) {
			t.Errorf("node %d stopped with %v", i-1, err)
		}
		l.add(w)
	}
	l.wait(t, 1000)
	l.end()
	s := open(t, server.DSN(), shard)
	if epoch := claim(t, s, "end"); epoch != nodes+1 {
		t.Errorf("epoch %d after %d nodes", epoch, nodes)
	}
	l.check(t, s)
}

// nodeVariable makes the test binary a node: its DSN, a blank, and the shard.
const nodeVariable = "TAPNET_JOURNALPG_NODE"

// staleExit is how a node says that another one has taken over.
const staleExit = 7

// runNode pays as fast as it can and prints every acknowledged key with its row, until it is killed.
func runNode(variable string) int {
	var dsn string
	var shard int64
	if _, err := fmt.Sscan(variable, &dsn, &shard); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s, err := Open(context.Background(), dsn, Options{Shard: shard})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	w := newWriter(s, fmt.Sprint("process ", os.Getpid()))
	done := make(chan error, 1)
	go func() { done <- w.Run(context.Background()) }()
	for client := range 32 {
		go func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%d-%09d-%03d", os.Getpid(), n, client)
				answer, err := w.Ask(context.Background(), journal.Event{Command: pay{key: key, account: ledger.Account(1 + client)}})
				if err != nil {
					return
				}
				// One write per line: a pipe takes it whole or, when the process dies first, not at all.
				fmt.Fprintf(os.Stdout, "%s %d\n", key, answer.(paid).seq)
			}
		}()
	}
	if err := <-done; !errors.Is(err, journal.ErrStaleEpoch) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return staleExit
}

// node is a node in a process of its own.
type node struct {
	command *exec.Cmd
	lines   *bufio.Reader
}

func startNode(t *testing.T, server *postgrestest.Server, shard int64) *node {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", nodeVariable, server.DSN(), shard))
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	return &node{command: c, lines: bufio.NewReader(out)}
}

// read takes so many acknowledgements, or all that are left where n is negative.
func (n *node) read(t *testing.T, a *acks, lines int) {
	t.Helper()
	for i := 0; lines < 0 || i < lines; i++ {
		line, err := n.lines.ReadString('\n')
		if errors.Is(err, io.EOF) && lines < 0 {
			return
		}
		if err != nil {
			t.Fatalf("node ended early: %v", err)
		}
		var key string
		var seq uint64
		if _, err := fmt.Sscan(strings.TrimSpace(line), &key, &seq); err != nil {
			t.Fatalf("node said %q: %v", line, err)
		}
		a.add(key, seq)
	}
}

// testKilledNode kills node A at random moments, with batches on the way. B takes over, in this process and in the next
// node: whatever A had acknowledged is there once, and what A's server process still commits is there before B looks.
func testKilledNode(t *testing.T, server *postgrestest.Server) {
	shard, told := shards.Add(1), newAcks()
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	for round := range 5 {
		a := startNode(t, server, shard)
		a.read(t, told, 100+random.IntN(1000))
		if err := a.command.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		b := open(t, server.DSN(), shard)
		epoch := claim(t, b, "B")
		if want := uint64(2*round + 2); epoch != want {
			t.Errorf("epoch %d, want %d", epoch, want)
		}
		a.read(t, told, -1)
		_ = a.command.Wait()
		told.check(t, b)
		chain := b.last
		rows := []journal.Row{{Kind: journal.Loaded, At: time.UnixMicro(1), Key: fmt.Sprint("B ", round), Credit: 99, Debit: -1, Amount: 1,
			Payment: fmt.Sprint(round + 1)}}
		chain.Seal(&rows[0])
		commit(t, b, epoch, rows)
		told.add(rows[0].Key, rows[0].Seq)
		told.check(t, b)
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// testPausedNode: node A stops for a while, as a machine does that swaps or is moved, B takes over, and A goes on as if
// nothing had happened. Everything it decided is refused and nothing of it was acknowledged.
func testPausedNode(t *testing.T, server *postgrestest.Server) {
	shard, told := shards.Add(1), newAcks()
	a := startNode(t, server, shard)
	a.read(t, told, 500)
	if err := a.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b := open(t, server.DSN(), shard)
	epoch := claim(t, b, "B")
	taken := b.last
	rows := []journal.Row{{Kind: journal.Loaded, At: time.UnixMicro(1), Key: "B", Credit: 99, Debit: -1, Amount: 1, Payment: "1"}}
	chain := b.last
	chain.Seal(&rows[0])
	commit(t, b, epoch, rows)
	if err := a.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	a.read(t, told, -1)
	var exit *exec.ExitError
	if err := a.command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != staleExit {
		t.Errorf("A ended with %v, want exit %d", err, staleExit)
	}
	for key, seq := range told.given {
		if seq > taken.Seq {
			t.Errorf("A acknowledged %s as row %d after B took over at row %d", key, seq, taken.Seq)
		}
	}
	told.add("B", rows[0].Seq)
	told.check(t, b)
}

package journalpg

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Whether the balances that clients see can be explained by one account book, one payment after the other, is for porcupine to say. Accounts come in groups
// that pay among themselves only, so that each group is a history of its own.
const (
	groups       = 16
	groupSize    = 4
	groupClients = 4
	openingMinor = 1000
)

// transfer is the command of the test machine: move money within a group, once per key.
type transfer struct {
	key      string
	group    int
	from, to int
	amount   int64
}

// inquiry asks for a balance. It makes no row.
type inquiry struct{ group, account int }

// moved is the answer to a transfer: whether there was money enough, and both balances after it.
type moved struct {
	ok       bool
	from, to int64
	seq      uint64
}

// mistake is a planted bug of the machine.
type mistake uint8

const (
	noMistake        mistake = iota
	lostUpdate               // the money of the last row is not moved at replay
	doubleAfterStart         // keys are not remembered over a restart: a repeat pays twice
)

// bankers is a small bank: a repeated key gets the first answer again.
type bankers struct {
	mistake  mistake
	balances [groups][groupSize]int64
	answers  map[string]moved
	held     *journal.Row // at replay, the last row so far
}

func newBankers(m mistake) *bankers {
	b := &bankers{mistake: m, answers: map[string]moved{}}
	for g := range b.balances {
		for a := range b.balances[g] {
			b.balances[g][a] = openingMinor
		}
	}
	return b
}

func accountAt(group, account int) ledger.Account {
	return ledger.Account(1 + group*groupSize + account)
}

func (b *bankers) Handle(_ time.Time, ev *journal.Event, step *journal.Step) {
	switch c := ev.Command.(type) {
	case inquiry:
		step.Emit(journal.Effect{Reply: b.balances[c.group][c.account]})
	case transfer:
		if first, repeated := b.answers[c.key]; repeated {
			step.Emit(journal.Effect{Reply: first})
			return
		}
		if b.balances[c.group][c.from] < c.amount {
			step.Emit(journal.Effect{Reply: moved{from: b.balances[c.group][c.from], to: b.balances[c.group][c.to]}})
			return
		}
		key := c.key
		if b.mistake == doubleAfterStart {
			key = fmt.Sprint(c.key, "/", step.NextSeq())
		}
		answer := b.apply(c.key, c.group, c.from, c.to, c.amount, step.NextSeq())
		step.Append(journal.Row{Kind: journal.Posted, Key: key, Debit: accountAt(c.group, c.from), Credit: accountAt(c.group, c.to), Amount: c.amount,
			Currency: 156, Payment: fmt.Sprint(answer.from, " ", answer.to)})
		step.Emit(journal.Effect{Reply: answer})
	}
}

func (b *bankers) apply(key string, group, from, to int, amount int64, seq uint64) moved {
	book := &b.balances[group]
	book[from] -= amount
	book[to] += amount
	answer := moved{ok: true, from: book[from], to: book[to], seq: seq}
	b.answers[key] = answer
	return answer
}

func (b *bankers) Replay(r *journal.Row) error {
	if b.mistake == lostUpdate {
		return b.forget(r)
	}
	if _, twice := b.answers[r.Key]; twice {
		return fmt.Errorf("key %s twice", r.Key)
	}
	from, to := int(r.Debit)-1, int(r.Credit)-1
	got := b.apply(r.Key, from/groupSize, from%groupSize, to%groupSize, r.Amount, r.Seq)
	if b.mistake == noMistake && fmt.Sprint(got.from, " ", got.to) != r.Payment {
		return fmt.Errorf("row %d was decided with balances %s, replayed with %d %d", r.Seq, r.Payment, got.from, got.to)
	}
	return nil
}

// forget takes in a row's answer, and its money when the next row comes: that of the last one never moves.
func (b *bankers) forget(r *journal.Row) error {
	if held := b.held; held != nil {
		from, to := int(held.Debit)-1, int(held.Credit)-1
		b.balances[from/groupSize][from%groupSize] -= held.Amount
		b.balances[to/groupSize][to%groupSize] += held.Amount
	}
	row, answer := *r, moved{ok: true, seq: r.Seq}
	b.held = &row
	if _, err := fmt.Sscan(r.Payment, &answer.from, &answer.to); err != nil {
		return err
	}
	b.answers[r.Key] = answer
	return nil
}

func (b *bankers) Rearm(time.Time) []journal.Effect { return nil }

// bookModel says what one group's book does.
var bookModel = porcupine.Model{
	Init: func() any {
		var book [groupSize]int64
		for a := range book {
			book[a] = openingMinor
		}
		return book
	},
	Step: func(state, input, output any) (bool, any) {
		book := state.([groupSize]int64)
		switch in := input.(type) {
		case inquiry:
			return output.(int64) == book[in.account], book
		case transfer:
			enough := book[in.from] >= in.amount
			if enough {
				book[in.from] -= in.amount
				book[in.to] += in.amount
			}
			out, known := output.(moved)
			return !known || out.ok == enough && out.from == book[in.from] && out.to == book[in.to], book
		}
		return false, book
	},
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := make([][]porcupine.Operation, groups)
		for _, op := range history {
			g := groupOf(op.Input)
			parts[g] = append(parts[g], op)
		}
		return parts
	},
}

func groupOf(input any) int {
	if in, ok := input.(transfer); ok {
		return in.group
	}
	return input.(inquiry).group
}

// linear reports whether the history can be explained.
func linear(t *testing.T, history []porcupine.Operation) bool {
	t.Helper()
	switch porcupine.CheckOperationsTimeout(bookModel, history, time.Minute) {
	case porcupine.Unknown:
		t.Error("porcupine has found no answer within a minute")
	case porcupine.Ok:
		return true
	}
	return false
}

// clerks are concurrent clients that keep the history of what they asked and were told.
type clerks struct {
	seed    uint64
	start   time.Time
	group   sync.WaitGroup
	stop    chan struct{}
	told    atomic.Uint64 // answers
	reached chan struct{} // now and then, when told rises

	mu      sync.Mutex
	node    *journal.Writer // nil while there is none
	change  chan struct{}   // closed when node changes
	history []porcupine.Operation
	unknown int
	repeats int
}

func newClerks(seed uint64) *clerks {
	return &clerks{seed: seed, start: time.Now(), stop: make(chan struct{}), change: make(chan struct{}), reached: make(chan struct{}, 1)}
}

// seedOf is fresh unless the caller repeats a run, and is said at once.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TAPNET_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("TAPNET_SEED=%d", seed)
	return seed
}

// use makes a node known to the clients; nil says that there is none.
func (c *clerks) use(w *journal.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = w
	close(c.change)
	c.change = make(chan struct{})
}

// another waits for a node other than last, or nil when the load ends.
func (c *clerks) another(last *journal.Writer) *journal.Writer {
	for {
		c.mu.Lock()
		node, change := c.node, c.change
		c.mu.Unlock()
		if node != nil && node != last {
			return node
		}
		select {
		case <-change:
		case <-c.stop:
			return nil
		}
	}
}

func (c *clerks) begin() {
	for g := range groups {
		for n := range groupClients {
			c.group.Go(func() { c.run(g, n) })
		}
	}
}

func (c *clerks) end() {
	close(c.stop)
	c.group.Wait()
}

// run is one client: it asks, and where no answer comes it asks the next node, the same transfer with the same key, or gives up and never learns.
func (c *clerks) run(g, client int) {
	random := rand.New(rand.NewPCG(c.seed, uint64(g*groupClients+client)))
	node := c.another(nil)
	for n := 0; node != nil; n++ {
		select {
		case <-c.stop:
			return
		default:
		}
		var input any = inquiry{group: g, account: random.IntN(groupSize)}
		mayGiveUp := random.IntN(2) == 0
		if random.IntN(5) < 3 {
			from := random.IntN(groupSize)
			input = transfer{key: fmt.Sprintf("%09d-%02d-%d", n, g, client), group: g, from: from, to: (from + 1 + random.IntN(groupSize-1)) % groupSize,
				amount: 1 + random.Int64N(openingMinor/2)}
		}
		_, writes := input.(transfer)
		op := porcupine.Operation{ClientId: g*groupClients + client, Input: input, Call: int64(time.Since(c.start))}
		for {
			output, err := node.Ask(context.Background(), journal.Event{Command: input})
			if err == nil {
				op.Output = output
				break
			}
			c.mu.Lock()
			c.unknown++
			c.mu.Unlock()
			if node = c.another(node); node == nil || mayGiveUp {
				break
			}
			c.mu.Lock()
			c.repeats++
			c.mu.Unlock()
		}
		op.Return = int64(time.Since(c.start))
		if op.Output == nil {
			if !writes {
				continue // a question without an answer has no effect
			}
			op.Return = math.MaxInt64 // it may happen at any time from now on, or never
		}
		c.mu.Lock()
		c.history = append(c.history, op)
		c.mu.Unlock()
		c.told.Add(1)
		select {
		case c.reached <- struct{}{}:
		default:
		}
	}
}

// wait returns when so many further answers have come.
func (c *clerks) wait(t *testing.T, answers uint64) {
	t.Helper()
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for until := c.told.Load() + answers; c.told.Load() < until; {
		select {
		case <-c.reached:
		case <-late.C:
			t.Fatalf("%d answers, waited for %d", c.told.Load(), until)
		}
	}
}

// serve runs a node on a store until ctx ends or a commit fails.
func serve(ctx context.Context, store journal.Store, owner string, m mistake) (*journal.Writer, <-chan error) {
	w, done := journal.NewWriter(journal.Config{Machine: newBankers(m), Store: store, Clock: clock.Real(), Owner: owner, MaxBatch: 64}), make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	return w, done
}

// compare holds what clients were told against the rows: each acknowledged transfer is there once, with the number in its answer.
func (c *clerks) compare(ctx context.Context, store journal.Store) error {
	stored, book := map[string]uint64{}, newBankers(noMistake)
	if err := store.Load(ctx, 0, func(r *journal.Row) error {
		if stored[r.Key] != 0 {
			return fmt.Errorf("key %s twice", r.Key)
		}
		stored[r.Key] = r.Seq
		return book.Replay(r)
	}); err != nil {
		return err
	}
	unasked := maps.Clone(stored)
	for _, op := range c.history {
		in, ok := op.Input.(transfer)
		if !ok {
			continue
		}
		delete(unasked, in.key)
		out, known := op.Output.(moved)
		switch {
		case known && out.ok && stored[in.key] != out.seq:
			return fmt.Errorf("%s was acknowledged as row %d and is stored as row %d", in.key, out.seq, stored[in.key])
		case known && !out.ok && stored[in.key] != 0:
			return fmt.Errorf("%s was refused and is stored as row %d", in.key, stored[in.key])
		}
	}
	if len(unasked) > 0 {
		return fmt.Errorf("%d rows that nobody asked for", len(unasked))
	}
	return nil
}

var errPower = errors.New("the node dies here")

// inMemory runs the load over a store in memory whose writer dies several times, sometimes after a commit of which it does not learn.
func inMemory(t *testing.T, m mistake) *clerks {
	t.Helper()
	const lives, perLife = 5, 400
	c, store := newClerks(seedOf(t)), journal.NewMemStore()
	random := rand.New(rand.NewPCG(c.seed, math.MaxUint64))
	c.begin()
	for life := range lives {
		w, done := serve(t.Context(), store, fmt.Sprint("life ", life), m)
		c.use(w)
		c.wait(t, perLife)
		die := func([]journal.Row) error { return errPower }
		if random.IntN(4) == 0 {
			store.SetFaults(journal.Faults{BeforeCommit: die})
		} else {
			store.SetFaults(journal.Faults{AfterCommit: die})
		}
		if err := <-done; !errors.Is(err, errPower) {
			t.Fatalf("life %d ended with %v", life, err)
		}
		c.use(nil)
		store = store.Reopen()
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, done := serve(ctx, store, "last", m)
	c.use(w)
	c.wait(t, perLife)
	c.end()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if m == noMistake {
		if err := c.compare(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
	return c
}

func TestLinearizable(t *testing.T) {
	c := inMemory(t, noMistake)
	if !linear(t, c.history) {
		t.Error("no order of the operations explains the balances")
	}
	if c.unknown == 0 || c.repeats == 0 {
		t.Error("nothing was cut off")
	}
	t.Logf("%d operations, %d cut off, %d repeated", len(c.history), c.unknown, c.repeats)
}

// TestLinearizableNotices: the load with a machine that loses an update or pays twice gives a history that nothing explains. A bug that hits only payments
// whose clients have given up cannot be seen, so there are several tries.
func TestLinearizableNotices(t *testing.T) {
	const tries = 6
	for name, m := range map[string]mistake{"lost update": lostUpdate, "double": doubleAfterStart} {
		t.Run(name, func(t *testing.T) {
			for range tries {
				if !linear(t, inMemory(t, m).history) {
					return
				}
			}
			t.Error("porcupine accepts it")
		})
	}
}

// TestModel holds the model to histories of three operations.
func TestModel(t *testing.T) {
	pay := transfer{key: "k", from: 0, to: 1, amount: 100}
	for _, c := range []struct {
		name   string
		answer any // to the payment; nil: none came
		later  int64
		want   bool
	}{
		{"paid", moved{ok: true, from: 900, to: 1100}, 900, true},
		{"lost", moved{ok: true, from: 900, to: 1100}, 1000, false},
		{"doubled", moved{ok: true, from: 900, to: 1100}, 800, false},
		{"refused and taken", moved{from: 1000, to: 1000}, 900, false},
		{"refused without a reason", moved{from: 1000, to: 1000}, 1000, false},
		{"wrong balance", moved{ok: true, from: 1000, to: 1100}, 900, false},
		{"unknown, done", nil, 900, true},
		{"unknown, not done", nil, 1000, true},
		{"unknown, doubled", nil, 800, false},
	} {
		end := int64(2)
		if c.answer == nil {
			end = math.MaxInt64
		}
		history := []porcupine.Operation{
			{Input: pay, Call: 1, Output: c.answer, Return: end},
			{ClientId: 1, Input: inquiry{account: 0}, Call: 3, Output: c.later, Return: 4},
		}
		if got := linear(t, history); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

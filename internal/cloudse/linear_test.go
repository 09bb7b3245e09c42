package cloudse

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tapnet/emv/cloudkey"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// What clients of a token see, while they race, repeat each other's messages and the service dies and comes back, must be explained by one notebook of counters,
// one payment after the other: porcupine looks for the order.

// question is an operation: a payment with a counter. unknown says that nobody learned the outcome.
type question struct {
	token   int
	payment uint32
	counter uint16
}

type result struct {
	reason  unionpay.TokenReason
	unknown bool
}

// notebook is the model: what used each counter, what each payment was answered, whether the token is suspended. It is a value with a text that tells it apart.
type notebook struct {
	used      map[uint16]uint32
	answers   map[uint32]unionpay.TokenReason
	suspended bool
}

func (n notebook) copy() notebook {
	c := notebook{used: map[uint16]uint32{}, answers: map[uint32]unionpay.TokenReason{}, suspended: n.suspended}
	for k, v := range n.used {
		c.used[k] = v
	}
	for k, v := range n.answers {
		c.answers[k] = v
	}
	return c
}

// pay is the law.
func (n notebook) pay(q question) (notebook, unionpay.TokenReason) {
	if first, known := n.answers[q.payment]; known {
		return n, first
	}
	next := n.copy()
	reason := unionpay.TokenVerified
	switch owner, used := n.used[q.counter]; {
	case n.suspended:
		reason = unionpay.CredentialSuspended
	case used && owner != q.payment:
		reason, next.suspended = unionpay.CounterRepeated, true
	default:
		next.used[q.counter] = q.payment
	}
	next.answers[q.payment] = reason
	return next, reason
}

func model() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[int][]porcupine.Operation{}
			for _, op := range history {
				by[op.Input.(question).token] = append(by[op.Input.(question).token], op)
			}
			var all [][]porcupine.Operation
			for _, part := range by {
				all = append(all, part)
			}
			return all
		},
		Init: func() any { return notebook{} },
		Step: func(state, input, output any) (bool, any) {
			next, reason := state.(notebook).pay(input.(question))
			r := output.(result)
			return r.unknown || r.reason == reason, next
		},
		Equal: func(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) },
	}
}

// race is a service on goroutines whose store dies once.
type race struct {
	*rig
	mu      sync.Mutex
	replies map[string]chan unionpay.TokenReason
	next    atomic.Uint64
	history []porcupine.Operation
	begin   time.Time
}

func (r *race) deliver(effects []journal.Effect) {
	for i := range effects {
		m, ok := effects[i].Message.(*unionpay.TokenResponse)
		if !ok {
			continue
		}
		d, err := m.Data()
		if err != nil {
			r.Error(err)
			continue
		}
		r.mu.Lock()
		to := r.replies[effects[i].To]
		r.mu.Unlock()
		to <- d.Reason
	}
}

// ask submits a message and waits for its answer; the writer may die first.
func (r *race) ask(w *journal.Writer, client int, q question, m *unionpay.TokenRequest) {
	id := fmt.Sprint("op", r.next.Add(1))
	answered := make(chan unionpay.TokenReason, 1)
	r.mu.Lock()
	r.replies[id] = answered
	r.mu.Unlock()
	called := time.Since(r.begin).Nanoseconds()
	ev := journal.Event{From: id, Message: m}
	r.service.Prepare(&ev)
	out := result{unknown: true}
	returned := int64(math.MaxInt64)
	if err := w.Submit(context.Background(), ev); err != nil {
		return // never taken: nothing can have come of it
	}
	select {
	case reason := <-answered:
		out, returned = result{reason: reason}, time.Since(r.begin).Nanoseconds()
	case <-w.Done():
		select {
		case reason := <-answered:
			out, returned = result{reason: reason}, time.Since(r.begin).Nanoseconds()
		default:
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: q, Call: called, Output: out, Return: returned})
}

// TestHistory: concurrent histories with repeats, copies of phones and a crash are linearizable.
func TestHistory(t *testing.T) {
	for seed := range uint64(8) {
		r := &race{rig: newSeededRig(t, seed+1, nil), replies: map[string]chan unionpay.TokenReason{}, begin: time.Now()}
		dice := rand.New(rand.NewPCG(seed, 1))
		type plan struct {
			q question
			m *unionpay.TokenRequest
		}
		var plans []plan
		for token := range 4 {
			p := r.enrol(options{token: fmt.Sprint("H", token), cvm: cloudkey.ClassDevice}).refresh()
			thief := p.copy("thief")
			for i := range 12 {
				who := p
				if token%2 == 1 && i > 7 {
					who = thief
				}
				m := who.pay(tap{minor: 100, open: i%5 == 4})
				if m == nil {
					continue
				}
				q := question{token: token, payment: m.STAN, counter: readChip(m).atc}
				for range 1 + dice.IntN(2) {
					plans = append(plans, plan{q, m})
				}
			}
		}
		dice.Shuffle(len(plans), func(i, j int) { plans[i], plans[j] = plans[j], plans[i] })
		die := dice.IntN(20)
		for life := range 2 {
			w, stop := r.run(life == 0, die)
			var clients sync.WaitGroup
			for c := range 6 {
				clients.Add(1)
				go func() {
					defer clients.Done()
					for i := c; i < len(plans); i += 6 {
						r.ask(w, 6*life+c, plans[i].q, plans[i].m)
					}
				}()
			}
			clients.Wait()
			stop()
		}
		if verdict := porcupine.CheckOperationsTimeout(model(), r.history, 20*time.Second); verdict != porcupine.Ok {
			t.Fatalf("seed %d: history of %d operations is %s", seed, len(r.history), verdict)
		}
	}
}

// run starts the service on what is in the store. mortal: its store fails at a commit, before or after it.
func (r *race) run(mortal bool, die int) (*journal.Writer, func()) {
	var err error
	if r.service, err = New(r.deps); err != nil {
		r.Fatal(err)
	}
	r.store = r.store.Reopen()
	if mortal {
		n := 0
		cut := func([]journal.Row) error {
			if n++; n == die+1 {
				return errCut
			}
			return nil
		}
		faults := journal.Faults{BeforeCommit: cut}
		if die%2 == 0 {
			faults = journal.Faults{AfterCommit: cut}
		}
		r.store.SetFaults(faults)
	}
	w := journal.NewWriter(journal.Config{Machine: r.service, Store: r.store, Clock: r.clock, Release: r.deliver})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { _ = w.Run(ctx) }()
	<-w.Ready()
	return w, func() {
		cancel()
		<-w.Done()
	}
}

// TestModelIsStrict: the model does not accept what must never happen.
func TestModelIsStrict(t *testing.T) {
	op := func(payment uint32, reason unionpay.TokenReason, call int64) porcupine.Operation {
		return porcupine.Operation{Input: question{payment: payment, counter: 1}, Output: result{reason: reason}, Call: call, Return: call + 1}
	}
	if porcupine.CheckOperations(model(), []porcupine.Operation{op(1, unionpay.TokenVerified, 1), op(2, unionpay.TokenVerified, 3)}) {
		t.Error("two approvals for one counter are accepted")
	}
	if porcupine.CheckOperations(model(), []porcupine.Operation{op(1, unionpay.TokenVerified, 1), op(1, unionpay.CounterRepeated, 3)}) {
		t.Error("another answer to a repeat is accepted")
	}
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// scribe is the smallest machine that writes what an issuer writes: one row for each approval.
type scribe struct{}

func (scribe) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	m, ok := ev.Message.(*unionpay.FinancialRequest)
	if !ok {
		return
	}
	key := unionpay.NetworkKey(m)
	step.Append(journal.Row{
		Kind: journal.Approved, Key: key, Content: unionpay.ContentHash(m), Payment: key, RRN: m.RRN, Terminal: m.Terminal, STAN: m.STAN,
		Card: int64(m.STAN), ATC: uint16(m.STAN), Amount: m.Amount.Minor(), Currency: uint16(m.Amount.Currency().Number()), Debit: 1000, Credit: 1,
		Phase: ledger.Pending, BusinessDate: 20261121, Answer: []byte("123456"), Note: []byte{2, 3},
	})
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved, AuthCode: "123456"})})
}

func (scribe) Replay(*journal.Row) error        { return nil }
func (scribe) Rearm(time.Time) []journal.Effect { return nil }

// waiters wake the clients of the store benchmark when their decision is durable.
type waiters []chan struct{}

func (w waiters) release(effects []journal.Effect) {
	for i := range effects {
		if at, err := strconv.Atoi(effects[i].To); err == nil {
			w[at] <- struct{}{}
		}
	}
}

// Store measures durable decisions without network, messages and cryptography: clients that wait for one another's commits, over the journal and over the
// baseline.
func Store(ctx context.Context, o Options, each func(Rate) error) (err error) {
	o = o.complete()
	dir, clean, err := o.workplace()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	most := BaselineClients
	for _, clients := range o.Clients {
		most = max(most, clients)
	}
	wake := make(waiters, most)
	for i := range wake {
		wake[i] = make(chan struct{}, 1)
	}
	m, err := o.openMedium(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close(context.WithoutCancel(ctx))) }()
	store, err := m.journal(ctx)
	if err != nil {
		return err
	}
	real, err := startWriter(ctx, store, scribe{}, wake.release, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, real.stop()) }()
	load := &storeLoad{wake: wake, speed: map[string]float64{}}
	measure := func(clients int) (sample, error) { return load.run(real, fmt.Sprint(clients), clients, o.Duration) }
	var baseline func() (sample, error)
	if !o.NoBaseline {
		tables, err := m.baseline(ctx, o.Cards, wake.release)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tables.stop()) }()
		baseline = func() (sample, error) { return load.run(tables, "baseline", BaselineClients, o.Duration) }
	}
	return interleave(ctx, o, m, measure, baseline, each)
}

// startWriter runs a machine over a store; durable, unless nil, is told of its rows.
func startWriter(
	ctx context.Context, store journal.Store, machine journal.Machine, release func([]journal.Effect), durable func([]journal.Row),
) (*journalBooks, error) {
	b := &journalBooks{store: store, done: make(chan error, 1)}
	b.writer = journal.NewWriter(journal.Config{Machine: machine, Store: store, Clock: clock.Real(), Owner: "bench", Release: release, Durable: durable})
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	go func() { b.done <- b.writer.Run(running) }()
	select {
	case <-b.writer.Ready():
		return b, nil
	case err := <-b.done:
		cancel()
		return nil, errors.Join(err, store.Close())
	}
}

var errBroken = errors.New("bench: the store has failed")

// storeLoad makes requests that never repeat.
type storeLoad struct {
	wake  waiters
	made  int
	speed map[string]float64
}

func (l *storeLoad) run(b books, name string, clients int, duration time.Duration) (sample, error) {
	if l.speed[name] == 0 {
		first, err := l.round(b, clients, max(100, warmUp*clients))
		if err != nil {
			return sample{}, err
		}
		l.speed[name] = first.perSecond
	}
	s, err := l.round(b, clients, max(clients, int(l.speed[name]*duration.Seconds())))
	l.speed[name] = s.perSecond
	return s, err
}

func (l *storeLoad) round(b books, clients, n int) (sample, error) {
	n = (n + clients - 1) / clients * clients
	requests, err := l.prepare(n)
	if err != nil {
		return sample{}, err
	}
	latencies, errs := make([]time.Duration, n), make([]error, clients)
	var group sync.WaitGroup
	cpu, start := cpuTime(), time.Now()
	for i := range clients {
		group.Go(func() {
			from := strconv.Itoa(i)
			for at := i; at < n; at += clients {
				began := time.Now()
				if errs[i] = b.take(journal.Event{From: from, Message: requests[at]}); errs[i] != nil {
					return
				}
				select {
				case <-l.wake[i]:
				case <-b.broken():
					errs[i] = errBroken
					return
				}
				latencies[at] = time.Since(began)
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	cpu = cpuTime() - cpu
	if err := errors.Join(errs...); err != nil {
		return sample{}, err
	}
	return sampleOf(latencies, elapsed, cpu), nil
}

func (l *storeLoad) prepare(n int) ([]*unionpay.FinancialRequest, error) {
	number, err := pan.CompleteLuhn("629999000000001")
	if err != nil {
		return nil, err
	}
	requests := make([]*unionpay.FinancialRequest, n)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range requests {
		at := start.Add(time.Duration(l.made/perSecond) * time.Second)
		requests[i] = &unionpay.FinancialRequest{Payment: unionpay.Payment{
			PAN: number, Processing: unionpay.ProcessingSale, Amount: money.New(tapMinor, money.CNY), TransmissionTime: at.Format("0102150405"),
			STAN: uint32(l.made%maxSTAN) + 1, Acquirer: "10000000", Forwarder: "10000000", Terminal: "T0000001", RRN: fmt.Sprintf("%012d", l.made),
		}}
		l.made++
	}
	return requests, nil
}

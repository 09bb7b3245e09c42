package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// connectionsOf splits clients into connections and requests under way on each: 1 × 1, 8 × 8, 16 × 32.
func connectionsOf(clients int) (connections, window int) {
	connections = 1
	for connections < 16 && connections*connections < clients {
		connections *= 2
	}
	return connections, max(1, clients/connections)
}

// callers is the load generator's connections with one host.
type callers []*caller

// connect opens n connections. Each has cards of its own, so that the counters of a card rise in the order in which the host sees them.
func connect(ctx context.Context, h *host, p *population, n, from int) (callers, error) {
	var all callers
	for i := range n {
		c, err := newCaller(ctx, h, p.vault, fmt.Sprintf("%08d", 10_000_000+from+i), p.deck(i, n))
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all = append(all, c)
	}
	return all, nil
}

func (all callers) close() error {
	var errs []error
	for _, c := range all {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}

// prepare makes n requests in total, the same number for each caller.
func (all callers) prepare(n int) ([][]request, error) {
	requests, errs := make([][]request, len(all)), make([]error, len(all))
	var group sync.WaitGroup
	for i, c := range all {
		group.Go(func() { requests[i], errs[i] = c.prepare((n + len(all) - 1) / len(all)) })
	}
	group.Wait()
	return requests, errors.Join(errs...)
}

// closed sends n requests, window of them under way on each connection: the next one goes when one is answered.
func (all callers) closed(n, window int) (sample, error) {
	requests, err := all.prepare(n)
	if err != nil {
		return sample{}, err
	}
	s, _, err := all.measure(requests, func(i int, latencies []time.Duration, start time.Time) error {
		return all[i].closed(requests[i], window, latencies, start)
	})
	return s, err
}

// measure runs all callers at once and joins what they found, the longest latency beside.
func (all callers) measure(requests [][]request, run func(i int, latencies []time.Duration, start time.Time) error) (sample, time.Duration, error) {
	errs := make([]error, len(all))
	total := 0
	for _, r := range requests {
		total += len(r)
	}
	latencies := make([]time.Duration, total)
	rest := latencies
	var group sync.WaitGroup
	runtime.GC() // what preparing left behind is not on the host's account
	cpu, start := cpuTime(), time.Now()
	for i, c := range all {
		own := rest[:len(requests[i])]
		rest = rest[len(own):]
		group.Go(func() {
			if errs[i] = run(i, own, start); errs[i] != nil {
				_ = c.conn.Close() // the others need not wait for their patience to end
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	cpu = cpuTime() - cpu
	if err := errors.Join(errs...); err != nil {
		return sample{}, 0, err
	}
	s := sampleOf(latencies, elapsed, cpu) // sorts them
	return s, latencies[len(latencies)-1], nil
}

func (c *caller) closed(requests []request, window int, latencies []time.Duration, start time.Time) error {
	n, first := len(requests), c.first(len(requests))
	began := make([]time.Duration, n)
	w := bufio.NewWriterSize(c.conn, bufferKiB<<10)
	sent := 0
	send := func() error {
		began[sent] = time.Since(start)
		_, err := w.Write(requests[sent].frame)
		sent++
		return err
	}
	for sent < min(window, n) {
		if err := send(); err != nil {
			return err
		}
	}
	for answered := range n {
		if c.reader.Buffered() == 0 { // what came in one piece is answered in one piece
			if err := w.Flush(); err != nil {
				return err
			}
		}
		at, err := c.answer(requests, first, answered)
		if err != nil {
			return err
		}
		latencies[at] = time.Since(start) - began[at]
		if sent < n {
			if err := send(); err != nil {
				return err
			}
		}
	}
	return nil
}

// open sends n requests at a rate, whether earlier ones are answered or not. Gaps are those of independent cardholders (exponential). A request counts from
// when it was due: what the generator itself is late is on the host's account.
func (all callers) open(n int, rate float64) (sample, time.Duration, error) {
	requests, err := all.prepare(n)
	if err != nil {
		return sample{}, 0, err
	}
	due := make([]time.Duration, len(all)*len(requests[0])) // request i goes over connection i modulo their number
	random, at := rand.New(rand.NewPCG(uint64(len(due)), uint64(all[0].sent))), 0.0
	for i := range due {
		at += random.ExpFloat64() * float64(time.Second) / rate
		due[i] = time.Duration(at)
	}
	began, paced := make(chan time.Time, 1), make(chan error, 1)
	go func() { paced <- all.pace(requests, due, <-began) }()
	s, highest, err := all.measure(requests, func(i int, latencies []time.Duration, start time.Time) error {
		if i == 0 {
			began <- start
		}
		c, first := all[i], all[i].first(len(requests[i]))
		for answered := range requests[i] {
			at, err := c.answer(requests[i], first, answered)
			if err != nil {
				return err
			}
			latencies[at] = time.Since(start) - due[at*len(all)+i]
		}
		return nil
	})
	return s, highest, errors.Join(err, <-paced)
}

// pace writes requests when they are due, those that are due at once in one piece for each connection.
func (all callers) pace(requests [][]request, due []time.Duration, start time.Time) error {
	writers := make([]*bufio.Writer, len(all))
	for i, c := range all {
		writers[i] = bufio.NewWriterSize(c.conn, bufferKiB<<10)
	}
	for i := range due {
		if due[i] > time.Since(start) {
			for _, w := range writers {
				if err := w.Flush(); err != nil {
					return err
				}
			}
			if wait := due[i] - time.Since(start); wait > 0 {
				pause(wait)
			}
		}
		if _, err := writers[i%len(all)].Write(requests[i%len(all)][i/len(all)].frame); err != nil {
			return err
		}
	}
	for _, w := range writers {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

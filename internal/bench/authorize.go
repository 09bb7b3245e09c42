package bench

import (
	"context"
	"errors"
	"fmt"

	"tapnet/internal/issuer"
)

// bank is an issuer with its cards, reached over TCP, and the load generator's connections with it.
type bank struct {
	people *population
	host   *host
	naive  *host // nil without baseline
	// lines holds the connections for each number of clients; those of the baseline come under 0.
	lines map[int]callers
	speed map[int]float64 // what was reached last, from which the length of the next measurement follows
}

func openBank(ctx context.Context, o Options, m medium) (_ *bank, err error) {
	b := &bank{lines: map[int]callers{}, speed: map[int]float64{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.people, err = newPopulation(o.Cards); err != nil {
		return nil, fmt.Errorf("bench: make cards: %w", err)
	}
	core, ring, err := newIssuer(b.people)
	if err != nil {
		return nil, err
	}
	var ledger *journalBooks
	b.host, err = newHost(core, ring, o, func(h *host) (books, error) {
		var err error
		ledger, err = openJournal(ctx, m, h)
		return ledger, err
	})
	if err != nil {
		return nil, err
	}
	err = ledger.commands(ctx, len(b.people.chips), func(i int) (any, error) {
		e, err := b.people.enrolment(i)
		return issuer.Enrol{Enrolment: e}, err
	})
	if err != nil {
		return nil, fmt.Errorf("bench: enrol cards: %w", err)
	}
	if !o.NoBaseline {
		b.naive, err = newHost(core, ring, o, func(h *host) (books, error) { return m.baseline(ctx, o.Cards, h.outbox.put) })
		if err != nil {
			return nil, err
		}
	}
	return b, nil
}

func (b *bank) close() error {
	var errs []error
	for _, lines := range b.lines {
		errs = append(errs, lines.close())
	}
	for _, h := range []*host{b.host, b.naive} {
		if h != nil {
			errs = append(errs, h.stop())
		}
	}
	return errors.Join(errs...)
}

// baselineLines is the place of the baseline's connections among lines.
const baselineLines = 0

// dial gives the connections for a number of clients; the first call makes them.
func (b *bank) dial(ctx context.Context, h *host, at, connections int) (callers, error) {
	if lines := b.lines[at]; lines != nil {
		return lines, nil
	}
	lines, err := connect(ctx, h, b.people, connections, 100*len(b.lines))
	if err != nil {
		return nil, err
	}
	b.lines[at] = lines
	return lines, nil
}

// warmUp is the number of requests of the first, unmeasured run, for each request under way.
const warmUp = 2

// closed measures one number of clients for about o.Duration.
func (b *bank) closed(ctx context.Context, o Options, h *host, at, clients int) (sample, error) {
	connections, window := connectionsOf(clients)
	lines, err := b.dial(ctx, h, at, connections)
	if err != nil {
		return sample{}, err
	}
	if b.speed[at] == 0 {
		first, err := lines.closed(max(100, warmUp*clients), window)
		if err != nil {
			return sample{}, err
		}
		b.speed[at] = first.perSecond
	}
	s, err := lines.closed(max(clients, int(b.speed[at]*o.Duration.Seconds())), window)
	b.speed[at] = s.perSecond
	return s, err
}

// Authorize measures end-to-end durable authorizations: real 0200 messages with cryptograms and MACs over TCP to an issuer and 0210 back. each gets the result
// of every number of clients, in order, when all rounds are over.
func Authorize(ctx context.Context, o Options, each func(Rate) error) (err error) {
	o = o.complete()
	dir, clean, err := o.workplace()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	m, err := o.openMedium(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.close(context.WithoutCancel(ctx))) }()
	b, err := openBank(ctx, o, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	measure := func(clients int) (sample, error) { return b.closed(ctx, o, b.host, clients, clients) }
	var baseline func() (sample, error)
	if b.naive != nil {
		baseline = func() (sample, error) { return b.closed(ctx, o, b.naive, baselineLines, BaselineClients) }
	}
	return interleave(ctx, o, m, measure, baseline, each)
}

// AuthorizeAt measures latency at a given rate, open loop, over 16 connections, for o.Duration in each of o.Rounds rounds. perSecond 0 means half of what
// BaselineClients clients reach in a closed loop just before.
func AuthorizeAt(ctx context.Context, o Options, perSecond float64) (found Open, err error) {
	o.NoBaseline = true
	o = o.complete()
	dir, clean, err := o.workplace()
	if err != nil {
		return Open{}, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	m, err := o.openMedium(ctx, dir)
	if err != nil {
		return Open{}, err
	}
	defer func() { err = errors.Join(err, m.close(context.WithoutCancel(ctx))) }()
	b, err := openBank(ctx, o, m)
	if err != nil {
		return Open{}, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	if perSecond <= 0 {
		s, err := b.closed(ctx, o, b.host, BaselineClients, BaselineClients)
		if err != nil {
			return Open{}, err
		}
		perSecond = s.perSecond / 2
	}
	connections, _ := connectionsOf(BaselineClients)
	lines, err := b.dial(ctx, b.host, BaselineClients, connections)
	if err != nil {
		return Open{}, err
	}
	var p50, p99, top, rate []float64
	for range o.Rounds {
		s, highest, err := lines.open(int(perSecond*o.Duration.Seconds()), perSecond)
		if err != nil {
			return Open{}, err
		}
		p50, p99, rate, top = append(p50, s.p50us), append(p99, s.p99us), append(rate, s.perSecond), append(top, micros(highest))
	}
	return Open{Store: o.storeName(), Offered: perSecond, Answered: median(rate), P50us: median(p50), P99us: median(p99), MaxUs: median(top)}, nil
}

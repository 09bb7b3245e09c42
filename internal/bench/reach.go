package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"tapnet/internal/issuer"
)

// Reach is what was measured with a number of cards, most of which the issuer does not have in memory when they pay.
type Reach struct {
	Store     string  `json:"store"`
	Cards     int     `json:"cards"`
	PerSecond float64 `json:"per_second"`
	P50us     float64 `json:"p50_us"`
	P99us     float64 `json:"p99_us"`
	CPUus     float64 `json:"cpu_us"`
	// Ratio is the median over the rounds of this rate by that of the first number of cards.
	Ratio float64 `json:"ratio"`
	// EnrolSeconds is how long it took to enrol the cards, StartSeconds how long the issuer took to start afterwards.
	EnrolSeconds float64 `json:"enrol_seconds"`
	StartSeconds float64 `json:"start_seconds"`
}

// DefaultReach are the numbers of cards that Cards measures.
var DefaultReach = []int{10_000, 1_000_000, 10_000_000}

// reached is a bank whose issuer was started anew after its cards were enrolled.
type reached struct {
	*bank
	close  func() error
	enrol  time.Duration
	start  time.Duration
	rounds rounds
}

// Cards measures how the rate depends on the number of cards: for each number the cards are enrolled, the issuer is stopped and started again, and then cards
// pay in an order in which neighbours are far apart. Nothing is touched before it pays. The numbers take turns, round by round, each with BaselineClients
// clients. progress, unless nil, hears of every step, since ten million cards take minutes to enrol. each gets the results in order.
func Cards(ctx context.Context, o Options, counts []int, progress func(cards int), each func(Reach) error) (err error) {
	o = o.complete()
	if len(counts) == 0 {
		counts = DefaultReach
	}
	dir, clean, err := o.workplace()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	banks := make([]*reached, 0, len(counts))
	defer func() {
		for _, b := range banks {
			err = errors.Join(err, b.close())
		}
	}()
	for i, cards := range counts {
		if progress != nil {
			progress(cards)
		}
		b, err := reach(ctx, o, filepath.Join(dir, fmt.Sprint(i)), cards)
		if err != nil {
			return fmt.Errorf("bench: %d cards: %w", cards, err)
		}
		banks = append(banks, b)
	}
	for range o.Rounds {
		for _, b := range banks {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := b.closed(ctx, o, b.host, BaselineClients, BaselineClients)
			if err != nil {
				return err
			}
			b.rounds.samples = append(b.rounds.samples, s)
			b.rounds.baselines = append(b.rounds.baselines, banks[0].rounds.samples[len(b.rounds.samples)-1].perSecond)
		}
	}
	for i, b := range banks {
		rate := b.rounds.rate(o.storeName(), BaselineClients)
		err := each(Reach{
			Store: rate.Store, Cards: counts[i], PerSecond: rate.PerSecond, P50us: rate.P50us, P99us: rate.P99us, CPUus: rate.CPUus, Ratio: rate.Ratio,
			EnrolSeconds: b.enrol.Seconds(), StartSeconds: b.start.Seconds(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reach enrols the cards and starts the issuer again.
func reach(ctx context.Context, o Options, dir string, cards int) (_ *reached, err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	m, err := o.openMedium(ctx, dir)
	if err != nil {
		return nil, err
	}
	b := &reached{bank: &bank{lines: map[int]callers{}, speed: map[int]float64{}}}
	b.close = func() error { return errors.Join(b.bank.close(), m.close(context.WithoutCancel(ctx))) }
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.people, err = newPopulation(cards); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := b.enrolAll(ctx, o, m, cards); err != nil {
		return nil, fmt.Errorf("enrol: %w", err)
	}
	b.enrol = time.Since(began)
	began = time.Now()
	core, ring, err := newIssuer(b.people)
	if err != nil {
		return nil, err
	}
	b.host, err = newHost(core, ring, o, func(h *host) (books, error) { return openJournal(ctx, m, h) })
	b.start = time.Since(began)
	return b, err
}

// enrolAll runs an issuer without a port for as long as its cards are taken in.
func (b *bank) enrolAll(ctx context.Context, o Options, m medium, cards int) (err error) {
	core, _, err := newIssuer(b.people)
	if err != nil {
		return err
	}
	store, err := m.journal(ctx)
	if err != nil {
		return err
	}
	books, err := startWriter(ctx, store, core, nil, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.stop()) }()
	return books.commands(ctx, cards, func(i int) (any, error) {
		e, err := b.people.enrolment(i)
		// A credit line in the place of opening money is one row less for each card.
		e.OpeningMinor, e.CreditMinor = 0, e.OpeningMinor
		return issuer.Enrol{Enrolment: e}, err
	})
}

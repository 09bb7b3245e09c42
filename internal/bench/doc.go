// Package bench measures what an authorization costs on this machine: end to end over TCP with a durable journal, and its parts.
//
// It follows no standard. It promises that every figure has its baseline measured in the same run, in interleaved rounds, on the same file system and with the
// same load; that nothing is left out for speed (message MACs, cryptograms, the commit with its sync, the response cryptogram); that answers are checked while
// they are counted; and that the load generator, which shares the processors, is counted in the processor time. It refuses a file system in memory unless told
// otherwise, because a sync that costs nothing proves nothing.
//
// It does not measure a network between machines, a power failure, or a database larger than memory.
package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"
)

// Defaults of Options.
const (
	DefaultDuration = 2 * time.Second
	DefaultRounds   = 3
	DefaultCards    = 10_000
)

// BaselineClients is how many requests are under way against the baseline, one transaction each.
const BaselineClients = 512

// Options say what to measure. The zero value measures everything with the defaults.
type Options struct {
	// Clients are the numbers of requests under way at a time; nil is 1, 64 and 512.
	Clients []int
	// Duration is how long one measurement takes, each of Rounds times. A measurement is a number of requests, chosen so that it takes about this long.
	Duration time.Duration
	Rounds   int
	// Store is where the journal and its baseline lie: StoreSQLite, which is also the default, or StorePostgres.
	Store string
	// DSN is the PostgreSQL server to use; empty starts one for the run. A schema is made there and dropped afterwards.
	DSN string
	// PgBench is given what pgbench reaches in the same rounds, when all are over. Nil leaves pgbench out.
	PgBench func(Pg) error
	// Cards is how many cards are enrolled before the first measurement.
	Cards int
	// Dir is where the stores lie; empty makes a directory in the working directory and removes it afterwards.
	Dir string
	// AllowMemory accepts a file system in memory. The figures then say nothing about durable payments.
	AllowMemory bool
	// NoTrace leaves the links untraced. Otherwise every message that passes is handed to a collector, as in a running network.
	NoTrace bool
	// NoBaseline leaves the baseline out; its figures and ratios are then zero.
	NoBaseline bool
	// Log gets what roles and links have to say; nil is silent.
	Log *slog.Logger
}

// ErrMemory says that the stores would lie in memory.
var ErrMemory = errors.New("bench: the directory is on a file system in memory, where a sync costs nothing")

func (o Options) complete() Options {
	if len(o.Clients) == 0 {
		o.Clients = []int{1, 64, BaselineClients}
	}
	if o.Duration <= 0 {
		o.Duration = DefaultDuration
	}
	if o.Rounds <= 0 {
		o.Rounds = DefaultRounds
	}
	if o.Cards <= 0 {
		o.Cards = DefaultCards
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// workplace makes the directory of the stores and refuses one in memory. Clean removes what was made.
func (o Options) workplace() (dir string, clean func() error, err error) {
	parent := o.Dir
	if parent == "" {
		parent = "."
	}
	fs, memory, err := fileSystem(parent)
	if err != nil {
		return "", nil, fmt.Errorf("bench: look at the file system: %w", err)
	}
	if memory && !o.AllowMemory {
		return "", nil, fmt.Errorf("%w: %s", ErrMemory, fs)
	}
	if dir, err = os.MkdirTemp(parent, ".tapnet-bench-"); err != nil {
		return "", nil, fmt.Errorf("bench: make a directory: %w", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// Rate is what was measured with one number of clients: medians over the rounds. Its JSON form is one line of `tapnet bench authorize --json`.
type Rate struct {
	Store     string  `json:"store"`
	Clients   int     `json:"clients"`
	PerSecond float64 `json:"per_second"`
	P50us     float64 `json:"p50_us"`
	P99us     float64 `json:"p99_us"`
	// CPUus is the processor time of the whole process for one request: the load generator's is in it.
	CPUus float64 `json:"cpu_us"`
	// BaselinePerSecond is the rate of one transaction for each request, always with BaselineClients. Ratio is the median of the rounds' ratios.
	BaselinePerSecond float64 `json:"baseline_per_second"`
	Ratio             float64 `json:"ratio"`
}

// Open is what was measured at a given load: requests came when they were due, whether earlier ones were answered or not, and waiting counts from then on.
type Open struct {
	Store    string  `json:"store"`
	Offered  float64 `json:"offered_per_second"`
	Answered float64 `json:"answered_per_second"`
	P50us    float64 `json:"p50_us"`
	P99us    float64 `json:"p99_us"`
	MaxUs    float64 `json:"max_us"`
}

// sample is one measurement of one round.
type sample struct {
	perSecond, p50us, p99us, cpuUs float64
}

// rounds collects the samples of one number of clients.
type rounds struct {
	samples   []sample
	baselines []float64
}

func (r *rounds) rate(store string, clients int) Rate {
	pick := func(of func(sample) float64) float64 {
		var all []float64
		for _, s := range r.samples {
			all = append(all, of(s))
		}
		return median(all)
	}
	rate := Rate{
		Store: store, Clients: clients, PerSecond: pick(func(s sample) float64 { return s.perSecond }), P50us: pick(func(s sample) float64 { return s.p50us }),
		P99us: pick(func(s sample) float64 { return s.p99us }), CPUus: pick(func(s sample) float64 { return s.cpuUs }),
	}
	if len(r.baselines) == len(r.samples) {
		var ratios []float64
		for i := range r.samples {
			ratios = append(ratios, r.samples[i].perSecond/r.baselines[i])
		}
		rate.BaselinePerSecond, rate.Ratio = median(r.baselines), median(ratios)
	}
	return rate
}

// median is the middle value, the lower one of two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/2]
}

// interleave measures every number of clients and the baseline once in every round, so that a disturbance of the machine meets all of them.
func interleave(ctx context.Context, o Options, m medium, measure func(clients int) (sample, error), baseline func() (sample, error),
	each func(Rate) error) (err error) {
	found := make([]rounds, len(o.Clients))
	var pg *tpcb
	var transactions []float64
	if o.PgBench != nil {
		if pg, err = newTPCB(ctx, o, m); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, pg.schema.drop(ctx)) }()
	}
	for range o.Rounds {
		if pg != nil {
			rate, err := pg.round(ctx)
			if err != nil {
				return err
			}
			transactions = append(transactions, rate)
		}
		var base sample
		if baseline != nil {
			var err error
			if base, err = baseline(); err != nil {
				return fmt.Errorf("bench: baseline: %w", err)
			}
		}
		for i, clients := range o.Clients {
			if err := ctx.Err(); err != nil {
				return err
			}
			s, err := measure(clients)
			if err != nil {
				return fmt.Errorf("bench: %d clients: %w", clients, err)
			}
			found[i].samples = append(found[i].samples, s)
			if baseline != nil {
				found[i].baselines = append(found[i].baselines, base.perSecond)
			}
		}
	}
	for i, clients := range o.Clients {
		if err := each(found[i].rate(o.storeName(), clients)); err != nil {
			return err
		}
	}
	if pg != nil {
		return o.PgBench(pg.result(o, found, transactions))
	}
	return nil
}

// sampleOf turns latencies into a sample; it sorts them.
func sampleOf(latencies []time.Duration, elapsed, cpu time.Duration) sample {
	n := float64(len(latencies))
	return sample{
		perSecond: n / elapsed.Seconds(), cpuUs: micros(cpu) / n,
		p50us: micros(quantile(latencies, 0.50)), p99us: micros(quantile(latencies, 0.99)),
	}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// quantile sorts the values.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(int(q*float64(len(values))), len(values)-1)]
}

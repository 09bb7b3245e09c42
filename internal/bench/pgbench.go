package bench

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tapnet/internal/journal/journalpg/pgserver"
)

// The measure of the trade: TPC-B of pgbench with prepared statements, 32 clients, 2 threads, scale 50. Durability is on.
const (
	pgbenchClients = "32"
	pgbenchThreads = "2"
	pgbenchScale   = "50"
)

// Pg is what pgbench reaches in the same rounds: TPC-B, prepared statements, 32 clients, 2 threads, scale 50, on the server in use,
// or, for a store without one, on a server of its own on the same file system.
type Pg struct {
	Version   string  `json:"version"`
	PerSecond float64 `json:"per_second"`
	// Clients is the number of clients that was fastest, and Ratio the median over the rounds of its rate to pgbench's.
	Clients int     `json:"clients,omitempty"`
	Ratio   float64 `json:"ratio,omitempty"`
}

var transactionsLine = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

func transactions(said string) (float64, error) {
	match := transactionsLine.FindStringSubmatch(said)
	if match == nil {
		return 0, errors.New("bench: pgbench did not say how many transactions")
	}
	return strconv.ParseFloat(match[1], 64)
}

// tpcb is pgbench against one server, in a schema that goes away.
type tpcb struct {
	server  *pgserver.Server
	schema  pgSchema
	seconds string
	version string
}

func newTPCB(ctx context.Context, o Options, m medium) (_ *tpcb, err error) {
	b := &tpcb{seconds: strconv.Itoa(max(1, int(o.Duration/time.Second)))}
	if b.server, err = m.pgbench(ctx); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	if b.schema, err = newSchema(ctx, b.server.DSN()); err != nil {
		return nil, err
	}
	if b.version, err = b.server.Client(ctx, "", "pgbench", "--version"); err == nil {
		_, err = b.server.Client(ctx, b.schema.name, "pgbench", "--initialize", "--quiet", "--scale="+pgbenchScale)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bench: %w", err), b.schema.drop(ctx))
	}
	return b, nil
}

// round gives transactions per second.
func (b *tpcb) round(ctx context.Context) (float64, error) {
	said, err := b.server.Client(ctx, b.schema.name, "pgbench", "--protocol=prepared", "--client="+pgbenchClients, "--jobs="+pgbenchThreads,
		"--time="+b.seconds, "--no-vacuum")
	if err != nil {
		return 0, fmt.Errorf("bench: %w", err)
	}
	rate, err := transactions(said)
	if err != nil {
		return 0, err
	}
	return rate, b.schema.checkpoint(ctx)
}

// result picks the fastest number of clients.
func (b *tpcb) result(o Options, found []rounds, rates []float64) Pg {
	pg := Pg{Version: strings.TrimSpace(b.version), PerSecond: median(rates)}
	best := 0.0
	for i, clients := range o.Clients {
		if rate := found[i].rate("", clients).PerSecond; rate > best {
			best, pg.Clients = rate, clients
			var ratios []float64
			for at, s := range found[i].samples {
				ratios = append(ratios, s.perSecond/rates[at])
			}
			pg.Ratio = median(ratios)
		}
	}
	return pg
}

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/link"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// TokenBench says what BenchTokens measures.
type TokenBench struct {
	Dir     string // a directory on the disk that counts; what is made below it goes away
	Clients int    // taps under way at once, each of a card of its own
	Rounds  int    // plain and token take turns
}

// TokenRate is what was reached with one kind of card: the medians over the rounds.
type TokenRate struct {
	PerSecond float64 `json:"per_second"`
	P50us     float64 `json:"p50_us"`
	P99us     float64 `json:"p99_us"`
}

// TokenRates compares durable authorizations of tokens with those of plain cards in one run: over TCP from the acquirer's line through switch and token service
// to the issuer and back, every member with its own journal on the disk. Token service and cloud secure element run in one process, as in a network of one
// machine, and hand their messages to each other in memory; each makes its own row durable before it answers.
type TokenRates struct {
	Clients int       `json:"clients"`
	Taps    int       `json:"taps"` // in one round, of each kind
	Plain   TokenRate `json:"plain"`
	Token   TokenRate `json:"token"`
	// Ratio is the median over the rounds of the tokens' rate by that of plain cards just before.
	Ratio float64 `json:"ratio"`
}

const (
	benchTaps     = 32 // of each client in a round: what one batch of keys holds
	benchMinor    = 12_50
	benchPatience = 30 * time.Second
	benchMerchant = "301000054110001"
	benchTerminal = "T0000001"
)

// errBenchAnswer says that a tap was not approved; a benchmark of refusals is worth nothing.
var errBenchAnswer = errors.New("bench: a tap was not approved")

// BenchTokens measures.
func BenchTokens(ctx context.Context, o TokenBench) (rates TokenRates, err error) {
	dir, err := os.MkdirTemp(o.Dir, ".tapnet-tokens-")
	if err != nil {
		return rates, fmt.Errorf("bench: make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	profile, err := benchProfile(o.Clients)
	if err != nil {
		return rates, err
	}
	n, err := Start(ctx, Options{Profile: profile, Dir: dir, Roles: []string{RoleSwitch, RoleIssuer, RoleTSP, RoleCloudSE},
		Listen: map[string]string{RoleSwitch: loopback, RoleTSP: loopback}})
	if err != nil {
		return rates, err
	}
	defer func() { err = errors.Join(err, n.Stop(context.WithoutCancel(ctx))) }()
	b := &tokenBench{n: n, clients: o.Clients, waits: map[uint32]chan unionpay.ResponseCode{}}
	if err := b.connect(ctx); err != nil {
		return rates, err
	}
	return b.run(ctx, o)
}

// benchProfile is the demo's world with so many cards that no limit stops.
func benchProfile(cards int) (*personalization.Profile, error) {
	p, err := personalization.Load("demo")
	if err != nil {
		return nil, err
	}
	model := p.Cards[0]
	model.TapLimit, model.DayLimit, model.DayCount, model.NoPINDayLimit, model.Balance = "", "", 0, "", "9000000.00"
	p.Cards = nil
	for i := range cards {
		model.Name, model.Serial = fmt.Sprintf("bench-%d", i), 1000+i
		p.Cards = append(p.Cards, model)
	}
	return p, nil
}

// tokenBench is the load generator: an acquirer with one line to the switch.
type tokenBench struct {
	n       *Network
	clients int
	line    *link.Dialer
	name    string
	counter []uint16 // of each plain card

	mu    sync.Mutex
	waits map[uint32]chan unionpay.ResponseCode
	stan  uint32
}

// connect signs on as the world's acquirer, which does not run here.
func (b *tokenBench) connect(ctx context.Context) error {
	n := b.n
	b.name, b.counter = n.options.Profile.Acquirer.Institution, make([]uint16, b.clients)
	ring, err := n.vaults.ring(b.name, sideNetwork, hsm.X99CBC, hsm.ModeBoth)
	if err != nil {
		return err
	}
	up := make(chan struct{})
	var once sync.Once
	b.line, err = link.NewDialer(link.DialerConfig{
		Session: link.Config{Name: b.name, Peer: n.options.Profile.Switch, Dialect: unionpay.Switch, Clock: n.options.Clock, Keys: ring, OnMessage: b.heard,
			OnUp: func(*link.Session) { once.Do(func() { close(up) }) }},
		Dial: func(ctx context.Context) (net.Conn, error) {
			var tcp net.Dialer
			return tcp.DialContext(ctx, "tcp", n.address(RoleSwitch))
		},
	})
	if err != nil {
		return err
	}
	n.background.group.Go(func() { _ = b.line.Run(n.background.ctx) })
	ctx, cancel := context.WithTimeout(ctx, benchPatience)
	defer cancel()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("bench: sign-on: %w", ctx.Err())
	}
}

// heard gives an answer to who waits for it.
func (b *tokenBench) heard(_ *link.Session, m unionpay.Message, _ []byte) {
	p := unionpay.PaymentOf(m)
	if p == nil {
		return
	}
	b.mu.Lock()
	wait := b.waits[p.STAN]
	delete(b.waits, p.STAN)
	b.mu.Unlock()
	if wait != nil {
		wait <- p.Response
	}
}

// run takes turns.
func (b *tokenBench) run(ctx context.Context, o TokenBench) (TokenRates, error) {
	rates := TokenRates{Clients: o.Clients, Taps: o.Clients * benchTaps}
	var kinds [2]struct{ perSecond, p50, p99 []float64 }
	var ratios []float64
	for round := range o.Rounds + 1 {
		for kind, prepare := range [...]func(context.Context) ([][]*unionpay.FinancialRequest, error){b.plain, b.tokens} {
			all, err := prepare(ctx)
			if err != nil {
				return rates, err
			}
			perSecond, latencies, err := b.measure(all)
			if err != nil {
				return rates, err
			}
			if round == 0 {
				continue // everything is cold
			}
			slices.Sort(latencies)
			at := func(q float64) float64 {
				return float64(latencies[int(q*float64(len(latencies)-1))]) / float64(time.Microsecond)
			}
			k := &kinds[kind]
			k.perSecond, k.p50, k.p99 = append(k.perSecond, perSecond), append(k.p50, at(0.5)), append(k.p99, at(0.99))
		}
		if round > 0 {
			ratios = append(ratios, kinds[1].perSecond[round-1]/kinds[0].perSecond[round-1])
		}
	}
	rate := func(kind int) TokenRate {
		k := &kinds[kind]
		return TokenRate{PerSecond: middle(k.perSecond), P50us: middle(k.p50), P99us: middle(k.p99)}
	}
	rates.Plain, rates.Token, rates.Ratio = rate(0), rate(1), middle(ratios)
	return rates, nil
}

func middle(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

// measure lets every client send its taps, one after the other.
func (b *tokenBench) measure(all [][]*unionpay.FinancialRequest) (perSecond float64, latencies []time.Duration, err error) {
	errs := make([]error, len(all))
	took := make([][]time.Duration, len(all))
	var group sync.WaitGroup
	start := time.Now()
	for i, requests := range all {
		group.Go(func() {
			for _, m := range requests {
				began := time.Now()
				if errs[i] = b.tap(m); errs[i] != nil {
					return
				}
				took[i] = append(took[i], time.Since(began))
			}
		})
	}
	group.Wait()
	elapsed := time.Since(start)
	latencies = slices.Concat(took...)
	return float64(len(latencies)) / elapsed.Seconds(), latencies, errors.Join(errs...)
}

func (b *tokenBench) tap(m *unionpay.FinancialRequest) error {
	wait := make(chan unionpay.ResponseCode, 1)
	b.mu.Lock()
	b.waits[m.STAN] = wait
	b.mu.Unlock()
	if err := b.line.Send(m); err != nil {
		return fmt.Errorf("bench: send: %w", err)
	}
	patience := time.NewTimer(benchPatience)
	defer patience.Stop()
	select {
	case code := <-wait:
		if !code.Approved() {
			return fmt.Errorf("%w: %s", errBenchAnswer, code)
		}
		return nil
	case <-patience.C:
		return fmt.Errorf("%w: no answer", errBenchAnswer)
	}
}

// request is what an acquirer sends for a tap, without card and chip.
func (b *tokenBench) request() *unionpay.FinancialRequest {
	b.mu.Lock()
	b.stan++
	stan := b.stan
	b.mu.Unlock()
	at := b.n.options.Clock.Now().UTC()
	return &unionpay.FinancialRequest{Payment: unionpay.Payment{
		Processing: unionpay.ProcessingSale, Amount: money.New(benchMinor, money.CNY), TransmissionTime: at.Format("0102150405"), STAN: stan,
		LocalTime: at.Format("150405"), LocalDate: at.Format("0102"), MerchantType: "5411", CardSequence: "001", Condition: unionpay.ConditionNormal,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), Acquirer: b.name, Forwarder: b.name, RRN: fmt.Sprintf("%012d", stan),
		Terminal: benchTerminal, Merchant: benchMerchant, MerchantName: "BENCH                  SHANGHAI",
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1, NetworkCode: "000", ReadCapability: unionpay.ReadContactless},
	}}
}

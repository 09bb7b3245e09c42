package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/emv/cryptogram"
	"tapnet/money"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a measurement that measures nothing but goes all the way.
func quick(t testing.TB) Options {
	return Options{Clients: []int{1, 16}, Duration: 5 * time.Millisecond, Rounds: 1, Cards: 64, Dir: t.TempDir(), AllowMemory: true}
}

func TestAuthorize(t *testing.T) {
	var rates []Rate
	o := quick(t)
	if err := Authorize(t.Context(), o, func(r Rate) error { rates = append(rates, r); return nil }); err != nil {
		t.Fatal(err)
	}
	checkRates(t, rates, o)
}

func TestStore(t *testing.T) {
	var rates []Rate
	o := quick(t)
	if err := Store(t.Context(), o, func(r Rate) error { rates = append(rates, r); return nil }); err != nil {
		t.Fatal(err)
	}
	checkRates(t, rates, o)
}

func checkRates(t *testing.T, rates []Rate, o Options) {
	t.Helper()
	if len(rates) != len(o.Clients) {
		t.Fatalf("%d results for %d numbers of clients", len(rates), len(o.Clients))
	}
	for i, r := range rates {
		if r.Clients != o.Clients[i] || r.Store != "sqlite" || r.PerSecond <= 0 || r.P50us <= 0 || r.P99us < r.P50us || r.BaselinePerSecond <= 0 || r.Ratio <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if left, err := os.ReadDir(o.Dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAuthorizeAt(t *testing.T) {
	o := quick(t)
	found, err := AuthorizeAt(t.Context(), o, 500)
	if err != nil {
		t.Fatal(err)
	}
	if found.Offered != 500 || found.Answered <= 0 || found.P50us <= 0 || found.MaxUs < found.P99us {
		t.Errorf("%+v", found)
	}
}

// TestLine holds the JSON form that scripts read.
func TestLine(t *testing.T) {
	text, err := json.Marshal(Rate{})
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any
	if err := json.Unmarshal(text, &line); err != nil {
		t.Fatal(err)
	}
	want := []string{"baseline_per_second", "clients", "cpu_us", "p50_us", "p99_us", "per_second", "ratio", "store"}
	if got := slices.Sorted(maps.Keys(line)); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestWrongAnswers: a benchmark that does not look at answers can be fast with wrong ones.
func TestWrongAnswers(t *testing.T) {
	b, err := openBank(t.Context(), Options{Cards: 4, NoBaseline: true}.complete(), &sqliteMedium{dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	ask := func(spoil func(requests []request)) error {
		lines, err := b.dial(t.Context(), b.host, 1+len(b.lines), 1)
		if err != nil {
			t.Fatal(err)
		}
		requests, err := lines.prepare(3)
		if err != nil {
			t.Fatal(err)
		}
		spoil(requests[0])
		_, _, err = lines.measure(requests, func(i int, latencies []time.Duration, start time.Time) error {
			return lines[i].closed(requests[i], 1, latencies, start)
		})
		return err
	}
	if err := ask(func([]request) {}); err != nil {
		t.Fatalf("right requests: %v", err)
	}
	for name, spoil := range map[string]func([]request){
		"MAC of a request":       func(r []request) { r[1].frame[len(r[1].frame)-1] ^= 1 },
		"content of a request":   func(r []request) { r[1].frame[60] ^= 1 },
		"cryptogram expected":    func(r []request) { r[0].arqc[0] ^= 1 },
		"request sent once more": func(r []request) { r[2].frame = r[1].frame },
	} {
		if err := ask(spoil); err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
}

func TestMemoryIsRefused(t *testing.T) {
	const memory = "/dev/shm"
	name, inMemory, err := fileSystem(memory)
	if errors.Is(err, os.ErrNotExist) || !inMemory {
		t.Logf("%s is %s here: nothing to refuse", memory, name)
		return
	}
	if _, _, err := (Options{Dir: memory}).workplace(); !errors.Is(err, ErrMemory) {
		t.Errorf("%v", err)
	}
	dir, clean, err := (Options{Dir: memory, AllowMemory: true}).workplace()
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Dir(dir) != memory {
		t.Errorf("stores in %s", dir)
	}
	if err := clean(); err != nil {
		t.Error(err)
	}
}

func TestMedianAndQuantile(t *testing.T) {
	if median(nil) != 0 || median([]float64{3, 1, 2}) != 2 || median([]float64{4, 1, 3, 2}) != 2 {
		t.Error("median")
	}
	ms := []time.Duration{5, 1, 4, 2, 3}
	if quantile(nil, 0.5) != 0 || quantile(ms, 0.5) != 3 || quantile(ms, 0.99) != 5 || quantile(ms, 0) != 1 {
		t.Error("quantile")
	}
	for clients, want := range map[int][2]int{1: {1, 1}, 2: {2, 1}, 64: {8, 8}, 512: {16, 32}, 4096: {16, 256}} {
		if connections, window := connectionsOf(clients); [2]int{connections, window} != want {
			t.Errorf("%d clients: %d × %d", clients, connections, window)
		}
	}
}

func TestSteps(t *testing.T) {
	parse, err := Parse()
	if err != nil {
		t.Fatal(err)
	}
	check, err := Cryptogram()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(parse, check...) {
		if s.Nanoseconds <= 0 {
			t.Errorf("%+v", s)
		}
	}
	if parse[0].Allocations != 0 || check[0].Allocations != 0 {
		t.Errorf("allocations: parse %v, cryptogram %v", parse[0].Allocations, check[0].Allocations)
	}
}

// BenchmarkAuthorize is one durable authorization, end to end.
func BenchmarkAuthorize(b *testing.B) {
	o := Options{NoBaseline: true, Cards: 2000}.complete()
	bank, err := openBank(b.Context(), o, &sqliteMedium{dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := bank.close(); err != nil {
			b.Error(err)
		}
	}()
	for _, clients := range o.Clients {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			connections, window := connectionsOf(clients)
			lines, err := bank.dial(b.Context(), bank.host, clients, connections)
			if err != nil {
				b.Fatal(err)
			}
			requests, err := lines.prepare(b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			s, _, err := lines.measure(requests, func(i int, latencies []time.Duration, start time.Time) error {
				return lines[i].closed(requests[i], window, latencies, start)
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(s.perSecond, "authorizations/s")
			b.ReportMetric(s.p99us, "p99-µs")
		})
	}
}

// BenchmarkTap is what the load generator does for one request beside encoding it.
func BenchmarkTap(b *testing.B) {
	p, err := newPopulation(1)
	if err != nil {
		b.Fatal(err)
	}
	c := &caller{name: "10000000", suite: cryptogram.TDES()}
	amount := money.New(tapMinor, money.CNY)
	packed, err := amount.BCD()
	if err != nil {
		b.Fatal(err)
	}
	m := c.template(amount)
	card, err := p.chip(0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := c.fill(m, card, packed[:], time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParse(b *testing.B) { benchmarkWork(b, parsing) }

func BenchmarkCryptogram(b *testing.B) { benchmarkWork(b, checking) }

func benchmarkWork(b *testing.B, prepare func() ([]work, *error, error)) {
	all, failed, err := prepare()
	if err != nil {
		b.Fatal(err)
	}
	for _, w := range all {
		for name, f := range map[string]func(){w.name: w.what, w.name + ", baseline": w.baseline} {
			if f == nil {
				continue
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					f()
				}
			})
		}
	}
	if *failed != nil {
		b.Fatal(*failed)
	}
}

func TestTransactions(t *testing.T) {
	rate, err := transactions("latency average = 8.8 ms\ninitial connection time = 50 ms\ntps = 3645.123456 (without initial connection time)\n")
	if err != nil || rate != 3645.123456 {
		t.Errorf("%v, %v", rate, err)
	}
	if _, err := transactions("pgbench: error"); err == nil {
		t.Error("no rate is a rate")
	}
}

// TestCards lets cards pay that the issuer does not have in memory.
func TestCards(t *testing.T) {
	var found []Reach
	o := Options{Dir: t.TempDir(), AllowMemory: true, Rounds: 2, Duration: 50 * time.Millisecond}
	err := Cards(t.Context(), o, []int{100, 3000}, nil, func(r Reach) error {
		found = append(found, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 || found[0].Ratio != 1 || found[1].Cards != 3000 || found[1].PerSecond <= 0 || found[1].Ratio <= 0 {
		t.Errorf("found %+v", found)
	}
}

// TestDeck deals every card once before any comes again.
func TestDeck(t *testing.T) {
	p, err := newPopulation(103)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]int{}
	for first := range 4 {
		d := p.deck(first, 4)
		for range d.size {
			c, err := d.draw()
			if err != nil {
				t.Fatal(err)
			}
			seen[c.id]++
		}
	}
	if len(seen) != len(p.chips) {
		t.Errorf("%d different cards of %d", len(seen), len(p.chips))
	}
}

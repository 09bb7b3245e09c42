package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"slices"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/tsp"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// Vaulted is what it costs to find one token among so many, nearly none of which are in memory: its record, its device's and its card's in the store, and the
// account number opened.
type Vaulted struct {
	Tokens      int     `json:"tokens"`
	Nanoseconds float64 `json:"ns"`     // median over the rounds
	P99us       float64 `json:"p99_us"` // of single look-ups, in all rounds
	// Ratio is the median over the rounds of this time by that of the first number of tokens.
	Ratio       float64 `json:"ratio"`
	FillSeconds float64 `json:"fill_seconds"`
}

// DefaultVaulted are the numbers of tokens that Tokens measures.
var DefaultVaulted = []int{10_000, 1_000_000}

const (
	tokenSwitch = "10000000"
	// vaultMemory is how many records the service may hold: so few that nearly every look-up goes to the store.
	vaultMemory = 1 << 10
	// vaultBatch is how many tokens' cells are stored at once.
	vaultBatch = 4096
)

// TokenMethods measures what a token number costs by each method, and what it costs to get back without a table where that is possible.
func TokenMethods() ([]Step, error) {
	h, keys, err := tokenModule()
	if err != nil {
		return nil, err
	}
	card, err := pan.CompleteLuhn("629999100000001")
	if err != nil {
		return nil, err
	}
	var failed error
	var all []work
	for _, m := range []tsp.Method{tsp.MethodRandom, tsp.MethodHash, tsp.MethodDigits} {
		r := tsp.Range{Prefix: "62999811", Issuer: "30000001", IssuerPrefix: "6299991", Storage: 1, Method: m, Digits: 16}
		all = append(all, work{name: "token number, " + m.String(), what: func() {
			_, err := r.Candidate(h, keys, card, "62900000001", "phone", 0)
			failed = errors.Join(failed, err)
		}})
		if m != tsp.MethodDigits {
			continue
		}
		token, err := r.Candidate(h, keys, card, "62900000001", "phone", 0)
		if err != nil {
			return nil, err
		}
		all = append(all, work{name: "account number, " + m.String(), what: func() {
			_, err := r.Reverse(h, keys, token, "62900000001", 0)
			failed = errors.Join(failed, err)
		}})
	}
	return measureAll(all, &failed)
}

// tokenModule is a token service's HSM with its keys.
func tokenModule() (*hsm.HSM, tsp.KeyNames, error) {
	h := hsm.New(rand.Reader)
	keys := tsp.KeyNames{Fingerprint: "fingerprint", Hash: "hash", Digits: "digits", Names: "names", TokenSeal: "seal"}
	keys.PINKey = func(peer string) string { return peer }
	for _, k := range []struct {
		name  string
		usage hsm.Usage
		mode  hsm.Mode
		a     hsm.Algorithm
	}{
		{keys.Fingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC}, {keys.Hash, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
		{keys.Digits, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256}, {keys.Names, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256},
		{keys.TokenSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	} {
		if _, err := h.Generate(k.name, k.usage, k.mode, k.a, hsm.NotExportable); err != nil {
			return nil, keys, err
		}
	}
	return h, keys, nil
}

// filled is a vault with so many tokens.
type filled struct {
	count   int
	core    *tsp.TSP
	bulk    *tsp.Bulk
	store   *journalsql.Store
	seconds float64
	medians []float64
	single  []float64
	draw    *mathrand.Rand
}

// Tokens measures how a look-up depends on the number of tokens. The numbers take turns, round by round. progress, unless nil, hears of
// every vault that is filled.
func Tokens(ctx context.Context, o Options, counts []int, progress func(tokens int), each func(Vaulted) error) (err error) {
	o = o.complete()
	if len(counts) == 0 {
		counts = DefaultVaulted
	}
	dir, clean, err := o.workplace()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean()) }()
	var all []*filled
	defer func() {
		for _, f := range all {
			err = errors.Join(err, f.store.Close())
		}
	}()
	for i, count := range counts {
		if progress != nil {
			progress(count)
		}
		f, err := fillVault(ctx, filepath.Join(dir, fmt.Sprint("tokens", i, ".db")), count)
		if err != nil {
			return fmt.Errorf("bench: %d tokens: %w", count, err)
		}
		all = append(all, f)
	}
	for range o.Rounds {
		for _, f := range all {
			if err := f.round(ctx, o.Duration/time.Duration(len(all))); err != nil {
				return err
			}
		}
	}
	for _, f := range all {
		if err := each(f.result(all[0])); err != nil {
			return err
		}
	}
	return nil
}

func fillVault(ctx context.Context, path string, count int) (*filled, error) {
	h, keys, err := tokenModule()
	if err != nil {
		return nil, err
	}
	vault, _, err := hsm.NewVault(rand.Reader, 2, 3)
	if err != nil {
		return nil, err
	}
	f := &filled{count: count, draw: mathrand.New(mathrand.NewPCG(1, uint64(count)))}
	f.core, err = tsp.New(tsp.Deps{
		Institution: "19000001", Switch: tokenSwitch, Code: "629", Controller: "6299", Vault: h, Numbers: vault, Keys: keys,
		Calendar: clock.Calendar{Zone: clock.Shanghai()},
		Ranges:   []tsp.Range{{Prefix: "62999811", Issuer: "30000001", IssuerPrefix: "6299991", Storage: 4, Method: tsp.MethodRandom, Digits: 17}},
		Issuers:  []tsp.Issuer{{Institution: "30000001"}},
		Capacity: tsp.Capacity{Records: vaultMemory},
	})
	if err != nil {
		return nil, err
	}
	if f.bulk, err = tsp.NewBulk(f.core); err != nil {
		return nil, err
	}
	if f.store, err = journalsql.Open(ctx, path); err != nil {
		return nil, err
	}
	begun := time.Now()
	if err := f.fill(ctx); err != nil {
		return nil, errors.Join(err, f.store.Close())
	}
	f.seconds = time.Since(begun).Seconds()
	return f, nil
}

// fill stores the cells and opens the service on them.
func (f *filled) fill(ctx context.Context) error {
	epoch, err := f.store.Claim(ctx, "bench")
	if err != nil {
		return err
	}
	row := journal.Row{Kind: journal.Noted, At: time.Now().UTC().Truncate(time.Microsecond)}
	chain := journal.Chain{}
	chain.Seal(&row)
	if err := f.store.Commit(ctx, epoch, []journal.Row{row}, nil); err != nil {
		return err
	}
	back := &journal.Back{}
	for n := 1; n <= f.count; n++ {
		if err := f.bulk.Add(back, uint64(n), row.At); err != nil {
			return err
		}
		if n%vaultBatch != 0 && n != f.count {
			continue
		}
		if n == f.count {
			f.bulk.Settings(back, uint64(f.count))
		}
		if err := f.store.Commit(ctx, epoch, nil, back); err != nil {
			return err
		}
		back.Reset()
	}
	watermark, err := f.store.Watermark(ctx)
	if err != nil {
		return err
	}
	return f.core.Open(ctx, f.store, watermark)
}

var errNotFound = errors.New("bench: a token was not resolved")

// round looks tokens up, each far from the one before.
func (f *filled) round(ctx context.Context, d time.Duration) error {
	begun, looked := time.Now(), 0
	for time.Since(begun) < d {
		if err := ctx.Err(); err != nil {
			return err
		}
		number, err := f.bulk.Token(1 + f.draw.Uint64N(uint64(f.count)))
		if err != nil {
			return err
		}
		ev := journal.Event{From: tokenSwitch, Message: &unionpay.TokenRequest{Payment: unionpay.Payment{PAN: number, Amount: money.New(1, money.CNY)}}}
		at := time.Now()
		f.core.Prepare(&ev)
		f.single = append(f.single, float64(time.Since(at).Nanoseconds()))
		if !tsp.Found(&ev) {
			return errNotFound
		}
		looked++
	}
	f.medians = append(f.medians, median(f.single[len(f.single)-looked:]))
	return nil
}

func (f *filled) result(first *filled) Vaulted {
	ratios := make([]float64, len(f.medians))
	for i := range ratios {
		ratios[i] = f.medians[i] / first.medians[i]
	}
	slices.Sort(f.single)
	return Vaulted{
		Tokens: f.count, Nanoseconds: median(f.medians), P99us: f.single[len(f.single)*99/100] / 1e3, Ratio: median(ratios), FillSeconds: f.seconds,
	}
}

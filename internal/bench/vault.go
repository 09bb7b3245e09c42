package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
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

// filled is a vault with so many tokens and two services on it.
type filled struct {
	count        int
	bulk         *tsp.Bulk
	store        *journalsql.Store
	filling      float64
	warming      float64
	packed, bare looked
	draw         *mathrand.Rand
}

// looked is a service and how long its look-ups took, and what follows one.
type looked struct {
	core        *tsp.TSP
	looks, done taken
	asked       uint64
}

// taken are times: each, and the median of every round.
type taken struct{ single, medians []float64 }

// close ends a round in which so many were taken.
func (t *taken) close(n int) { t.medians = append(t.medians, median(t.single[len(t.single)-n:])) }

// Tokens measures how a look-up depends on the number of tokens. The numbers take turns, round by round. progress, unless nil, hears of
// every vault that is filled.
func Tokens(ctx context.Context, o Options, counts []int, progress func(tokens int), each func(Vaulted) error) (err error) {
	o = o.complete()
	if len(counts) == 0 {
		counts = DefaultVaulted
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(vaultBytes))
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
	runtime.GC() // of what filling has left
	for range o.Rounds {
		for _, f := range all {
			share := o.Duration / time.Duration(len(all))
			err := errors.Join(f.round(ctx, &f.bare, share/vaultStoreShare), f.round(ctx, &f.packed, share-share/vaultStoreShare))
			if err != nil {
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
	for to, packed := range map[*looked]int{&f.packed: count + count/2 + 1024, &f.bare: -1} {
		to.core, err = tsp.New(tsp.Deps{
			Institution: "19000001", Switch: tokenSwitch, Code: "629", Controller: "6299", Vault: h, Numbers: vault, Keys: keys,
			Calendar: clock.Calendar{Zone: clock.Shanghai()},
			Ranges:   []tsp.Range{{Prefix: "62999811", Issuer: "30000001", IssuerPrefix: "6299991", Storage: 4, Method: tsp.MethodRandom, Digits: 17}},
			Issuers:  []tsp.Issuer{{Institution: "30000001"}},
			Capacity: tsp.Capacity{Records: vaultMemory, Packed: packed},
		})
		if err != nil {
			return nil, err
		}
	}
	if f.bulk, err = tsp.NewBulk(f.packed.core); err != nil {
		return nil, err
	}
	if f.store, err = journalsql.Open(ctx, path); err != nil {
		return nil, err
	}
	if err := f.fill(ctx); err != nil {
		return nil, errors.Join(err, f.store.Close())
	}
	return f, nil
}

// fill stores the cells, opens both services on them and packs the tokens of one.
func (f *filled) fill(ctx context.Context) error {
	begun := time.Now()
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
	if err := f.fillAll(ctx, epoch, row.At); err != nil {
		return err
	}
	back := &journal.Back{}
	f.bulk.Settings(back, uint64(f.count))
	if err := f.store.Commit(ctx, epoch, nil, back); err != nil {
		return err
	}
	f.filling = time.Since(begun).Seconds()
	watermark, err := f.store.Watermark(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(f.packed.core.Open(ctx, f.store, watermark), f.bare.core.Open(ctx, f.store, watermark)); err != nil {
		return err
	}
	begun = time.Now()
	err = f.packed.core.Warm(ctx)
	f.warming = time.Since(begun).Seconds()
	return err
}

// madeUp is a token before it is made.
type madeUp struct {
	name   [16]byte
	number uint32
}

// order gives the tokens in the order of their names, in which the store's file grows at its end only. Where a record lies does not depend on it.
func (f *filled) order() ([]madeUp, error) {
	all := make([]madeUp, f.count)
	err := beside(f.count, func(i int) (err error) {
		all[i].number = uint32(i) + 1
		all[i].name, err = f.bulk.Name(uint64(i) + 1)
		return err
	})
	slices.SortFunc(all, func(a, b madeUp) int { return bytes.Compare(a.name[:], b.name[:]) })
	return all, err
}

// fillAll makes batches of cells beside each other and stores them one after the other.
func (f *filled) fillAll(ctx context.Context, epoch uint64, at time.Time) error {
	all, err := f.order()
	if err != nil {
		return err
	}
	workers := runtime.GOMAXPROCS(0)
	backs, errs := make([]journal.Back, workers), make([]error, workers)
	for from := 0; from < len(all); {
		var group sync.WaitGroup
		for w := range workers {
			batch := all[min(from, len(all)):min(from+vaultBatch, len(all))]
			first := from
			from += len(batch)
			group.Go(func() {
				backs[w].Reset()
				for i := range batch {
					if err := f.bulk.Add(&backs[w], uint64(batch[i].number), uint64(first+i)+1, at); err != nil {
						errs[w] = err
						return
					}
				}
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
		for w := range backs {
			if err := f.store.Commit(ctx, epoch, nil, &backs[w]); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside does n things on all processors.
func beside(n int, do func(i int) error) error {
	workers := runtime.GOMAXPROCS(0)
	errs := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// resolveData is field 48 of a question.
var resolveData = func() unionpay.Opaque {
	d, err := unionpay.TokenData{Operation: unionpay.OperationResolve}.Opaque()
	if err != nil {
		panic("bench: token data cannot be written: " + err.Error())
	}
	return d
}()

var errNotFound = errors.New("bench: a token was not resolved")

// round resolves tokens, each far from the one before.
func (f *filled) round(ctx context.Context, l *looked, d time.Duration) error {
	begun, n := time.Now(), 0
	back := &journal.Back{}
	for time.Since(begun) < d {
		if err := ctx.Err(); err != nil {
			return err
		}
		number, err := f.bulk.Token(1 + f.draw.Uint64N(uint64(f.count)))
		if err != nil {
			return err
		}
		ev := l.question(number, begun)
		step := journal.NewStep(l.asked + 1)
		at := time.Now()
		l.core.Prepare(&ev)
		looked := time.Since(at)
		l.core.Handle(at, &ev, step)
		l.core.WriteBack(back, 1, l.asked)
		whole := time.Since(at)
		l.looks.single = append(l.looks.single, float64(looked.Nanoseconds()))
		l.done.single = append(l.done.single, float64(whole.Nanoseconds()))
		if answer, ok := step.Effects[0].Message.(*unionpay.TokenResponse); !ok || !answer.Response.Approved() || !tsp.Found(&ev) {
			return errNotFound
		}
		back.Reset()
		n++
	}
	l.looks.close(n)
	l.done.close(n)
	return nil
}

// question is what the switch asks about a payment over the network with a number on file, each time another payment.
func (l *looked) question(token pan.Number, at time.Time) journal.Event {
	l.asked++
	return journal.Event{From: tokenSwitch, Message: &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: token, Processing: unionpay.ProcessingSale, Amount: money.New(1, money.CNY), TransmissionTime: at.Format("0102150405"),
		STAN: uint32(l.asked % 1_000_000), MerchantType: "5411", EntryMode: unionpay.NewEntryMode(unionpay.EntryManual, false), Acquirer: "20000001",
		Forwarder: "20000001", RRN: fmt.Sprintf("%012d", l.asked), Terminal: "POS1", Merchant: "898000000000001", Additional: resolveData,
	}}}
}

// against is the median over the rounds of one time by the other.
func (t *taken) against(first *taken) float64 {
	ratios := make([]float64, len(t.medians))
	for i := range ratios {
		ratios[i] = t.medians[i] / first.medians[i]
	}
	return median(ratios)
}

func (f *filled) result(first *filled) Vaulted {
	p := &f.packed
	v := Vaulted{
		Tokens: f.count, Nanoseconds: median(p.done.medians), Ratio: p.done.against(&first.packed.done), LookNanoseconds: median(p.looks.medians),
		LookRatio: p.looks.against(&first.packed.looks), StoreNanoseconds: median(f.bare.looks.medians), StoreRatio: f.bare.looks.against(&first.bare.looks),
		FillSeconds: f.filling, WarmSeconds: f.warming,
	}
	slices.Sort(p.done.single)
	v.P99us = p.done.single[len(p.done.single)*99/100] / 1e3
	return v
}

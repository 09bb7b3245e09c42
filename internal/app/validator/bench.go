package validator

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"runtime"
	"slices"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/taplog"
	"tapnet/money"
)

// BenchOptions say what to measure.
type BenchOptions struct {
	Entries int // on the deny list
	Taps    int
	Dir     string // where the tap log is written
}

// Quantiles of a duration.
type Quantiles struct {
	P50us float64 `json:"p50_us"`
	P99us float64 `json:"p99_us"`
	MaxUs float64 `json:"max_us"`
}

// BenchTaps is what taps of one kind took: a gate's own work, without the card's and without the disk's sync, which stands beside it.
type BenchTaps struct {
	Name     string    `json:"name"`
	Taps     int       `json:"taps"`
	Software Quantiles `json:"software"`
	Sync     Quantiles `json:"sync"`
}

// BenchReport is what was measured.
type BenchReport struct {
	Entries        int         `json:"entries"`
	BuildSeconds   float64     `json:"build_seconds"`
	OpenSeconds    float64     `json:"open_seconds"`
	FilterBytes    int         `json:"filter_bytes"`
	ImageBytes     int         `json:"image_bytes"`
	AbsentNs       float64     `json:"lookup_absent_ns"`
	PresentNs      float64     `json:"lookup_present_ns"`
	Probes         int         `json:"probes"`
	FalseNegatives int         `json:"false_negatives"`
	FalseStops     int         `json:"false_stops"`
	Taps           []BenchTaps `json:"taps"`
}

// Bench builds a deny list and taps cards against it, on one processor. Each kind of tap is measured with the issuer's and card's keys known, and
// with everything recovered anew.
func Bench(ctx context.Context, o BenchOptions) (BenchReport, error) {
	r := BenchReport{Entries: o.Entries}
	b := &bench{options: o, report: &r}
	if err := b.build(); err != nil {
		return r, err
	}
	b.probe()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, kind := range []struct {
		name string
		card cardtest.Options
		cold bool
	}{
		{"RSA, known keys", cardtest.Options{}, false}, {"RSA, cold keys", cardtest.Options{}, true},
		{"SM2, known keys", cardtest.Options{SM: true}, false}, {"SM2, cold keys", cardtest.Options{SM: true}, true},
	} {
		taps, err := b.taps(ctx, kind.name, kind.card, kind.cold)
		if err != nil {
			return r, fmt.Errorf("%s: %w", kind.name, err)
		}
		r.Taps = append(r.Taps, taps)
	}
	return r, nil
}

type bench struct {
	options BenchOptions
	report  *BenchReport
	epoch   denylist.EpochKey
	trust   denylist.Trust
	image   []byte
	base    *denylist.Base
	now     time.Time
}

// spread is the i-th hash of the list: all are different, and the even ones are never asked for as strangers.
func spread(i int) (id denylist.ID) {
	h := uint64(i)*2 + 1
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	for k := range 8 {
		id[k] = byte(h >> (56 - 8*k))
	}
	return id
}

func (b *bench) build() error {
	b.now = cardtest.Today
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	if b.trust, err = denylist.NewTrust(public); err != nil {
		return err
	}
	if b.epoch, err = denylist.NewEpochKey(1, bytes.Repeat([]byte{1}, keyBytes)); err != nil {
		return err
	}
	if err := b.list(private); err != nil {
		return err
	}
	runtime.GC()
	began := time.Now()
	if b.base, err = denylist.OpenBase(b.image, b.trust); err != nil {
		return err
	}
	b.report.OpenSeconds = time.Since(began).Seconds()
	b.report.FilterBytes, b.report.ImageBytes = b.base.FilterBytes(), len(b.image)
	return nil
}

// list builds the image.
func (b *bench) list(signer ed25519.PrivateKey) error {
	entries := make([]denylist.Entry, b.options.Entries)
	for i := range entries {
		e, err := denylist.NewEntry(denylist.Credential, spread(i), denylist.Debt, 0)
		if err != nil {
			return err
		}
		entries[i] = e
	}
	info := denylist.Info{Epoch: 1, Created: b.now, NotAfter: b.now.AddDate(1, 0, 0)}
	began := time.Now()
	image, err := denylist.BuildBase(entries, info, denylist.Digest{}, signer)
	if err != nil {
		return err
	}
	b.image, b.report.BuildSeconds = image, time.Since(began).Seconds()
	return nil
}

// probe looks all entries up, and as many strangers.
func (b *bench) probe() {
	hashes := make([]uint64, b.options.Entries)
	for i := range hashes {
		hashes[i] = spread(i).Hash()
	}
	random := mathrand.New(mathrand.NewPCG(1, 1))
	random.Shuffle(len(hashes), func(i, k int) { hashes[i], hashes[k] = hashes[k], hashes[i] })
	began := time.Now()
	for _, h := range hashes {
		if _, listed := b.base.Lookup(h); !listed {
			b.report.FalseNegatives++
		}
	}
	n := float64(max(1, len(hashes)))
	b.report.PresentNs = float64(time.Since(began).Nanoseconds()) / n
	for i := range hashes {
		hashes[i] = random.Uint64()
	}
	began = time.Now()
	stops := 0
	for _, h := range hashes {
		if _, listed := b.base.Lookup(h); listed {
			stops++
		}
	}
	b.report.AbsentNs = float64(time.Since(began).Nanoseconds()) / n
	b.report.FalseStops, b.report.Probes = stops, len(hashes)
}

// stopwatch takes the card's time out of a tap.
type stopwatch struct {
	inner apdu.Transceiver
	spent time.Duration
}

func (s *stopwatch) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	began := time.Now()
	response, err := s.inner.Transceive(ctx, command)
	s.spent += time.Since(began)
	return response, err
}

// timedDisk takes the disk's sync out of a tap.
type timedDisk struct {
	taplog.Disk
	spent *time.Duration
}

func (d timedDisk) Create(name string) (taplog.File, error) {
	f, err := d.Disk.Create(name)
	return timedFile{f, d.spent}, err
}

type timedFile struct {
	taplog.File
	spent *time.Duration
}

func (f timedFile) Sync() error {
	began := time.Now()
	err := f.File.Sync()
	*f.spent += time.Since(began)
	return err
}

func (b *bench) lane(name string, cold bool, synced *time.Duration) (*Validator, error) {
	taps, err := taplog.Dir(b.options.Dir + "/" + name)
	if err != nil {
		return nil, err
	}
	lists, err := taplog.Dir(b.options.Dir + "/" + name + "-lists")
	if err != nil {
		return nil, err
	}
	keys, err := Authorities()
	if err != nil {
		return nil, err
	}
	o := Options{
		Gate: gate.Config{Station: 1, Amount: money.New(700, money.CNY), Country: 156, DoubleTap: gate.Never, PassBack: gate.Never,
			VelocityWindow: gate.Never},
		Taps: timedDisk{taps, synced}, Lists: lists, CAKeys: keys, Clock: clock.NewManual(b.now), Random: rand.Reader, Name: "BENCH", Cold: cold,
	}
	p := Provision{Device: "BENCH", Chain: bytes.Repeat([]byte{2}, keyBytes), Seal: bytes.Repeat([]byte{3}, keyBytes), Epoch: 1,
		IDs: bytes.Repeat([]byte{1}, keyBytes)}
	if err := p.Fill(&o, rand.Reader); err != nil {
		return nil, err
	}
	o.Courier.Trust = b.trust
	v, err := Open(o)
	if err != nil {
		return nil, err
	}
	list, err := denylist.NewList(b.base, denylist.Position{})
	if err != nil {
		return nil, err
	}
	v.list.Store(list)
	return v, nil
}

func (b *bench) taps(ctx context.Context, name string, o cardtest.Options, cold bool) (BenchTaps, error) {
	var synced time.Duration
	v, err := b.lane(name, cold, &synced)
	if err != nil {
		return BenchTaps{}, err
	}
	defer func() { _ = v.Close() }()
	o.Change = func(image *card.Image) { image.Applications[0].Extended.Set(emv.EIODAForOnline) }
	c, _, err := cardtest.Issue(o)
	if err != nil {
		return BenchTaps{}, err
	}
	var software, syncs []time.Duration
	for range b.options.Taps {
		watch := &stopwatch{inner: card.NewField(c)}
		synced = 0
		began := time.Now()
		result, err := v.Tap(ctx, watch, gate.Read{Direction: gate.In})
		took := time.Since(began)
		if err != nil {
			return BenchTaps{}, err
		}
		if !result.Open {
			return BenchTaps{}, fmt.Errorf("gate stays shut: %v (%v)", result.Reason(), result.Outcome.Reason)
		}
		software, syncs = append(software, took-watch.spent-synced), append(syncs, synced)
	}
	return BenchTaps{Name: name, Taps: b.options.Taps, Software: quantiles(software), Sync: quantiles(syncs)}, nil
}

func quantiles(all []time.Duration) Quantiles {
	slices.Sort(all)
	at := func(percent int) float64 {
		return float64(all[min(len(all)-1, len(all)*percent/100)].Nanoseconds()) / float64(time.Microsecond)
	}
	return Quantiles{P50us: at(50), P99us: at(99), MaxUs: at(100)}
}

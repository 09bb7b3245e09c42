package bench

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

// Ridden is what a day of a transit operator cost. Its JSON form is one line of `tapnet bench transit --json`.
type Ridden struct {
	Riders          int     `json:"riders"`
	Taps            uint64  `json:"taps"`
	Chunks          int     `json:"chunks"`
	IngestSeconds   float64 `json:"ingest_seconds"`
	TapsPerSecond   float64 `json:"taps_per_second"`
	CPUus           float64 `json:"cpu_us_per_tap"`
	CloseSeconds    float64 `json:"close_seconds"`
	Bills           uint64  `json:"bills"`
	Rows            uint64  `json:"rows"`
	ReplaySeconds   float64 `json:"replay_seconds"`
	SameAfterReplay bool    `json:"same_after_replay"`
}

const (
	transitStations = 40
	transitDevices  = 4 * transitStations
	// waveTaps are made before they are handed in: what is measured is the office, not the gates.
	waveTaps = 400_000
	// transitClients hand chunks in at a time: gates that have been offline all come at once.
	transitClients = 64
	chunkTaps      = 128
	transitSealKey = "seal"
)

var transitZone = time.FixedZone("Asia/Shanghai", 8*60*60)

// city is an operator's day in the making.
type transitCity struct {
	vault   *hsm.HSM
	ids     denylist.EpochKey
	deps    transit.Deps
	gates   []*transitGate
	random  *rand.Rand
	morning time.Time
}

// transitGate is a gate with its log in memory.
type transitGate struct {
	name string
	key  gate.ChainKey
	gate *gate.Gate
	log  []byte
	from gate.Head
}

// Append implements gate.Log.
func (g *transitGate) Append(record []byte) error {
	g.log = append(g.log, record...)
	return nil
}

// cardBox seals and opens card data under the operator's key.
type cardBox struct{ vault *hsm.HSM }

// Seal implements gate.Sealer.
func (b cardBox) Seal(plain, additional []byte) ([]byte, error) {
	return b.vault.SealData(transitSealKey, string(additional), plain)
}

// Open implements transit.Opener.
func (b cardBox) Open(sealed, additional []byte) ([]byte, error) {
	return b.vault.OpenData(transitSealKey, string(additional), sealed)
}

func newTransitCity() (*transitCity, error) {
	c := &transitCity{vault: hsm.New(rand.NewChaCha8([32]byte{6})), random: rand.New(rand.NewPCG(6, 6)),
		morning: time.Date(2026, 11, 23, 6, 0, 0, 0, transitZone)}
	if _, err := c.vault.Generate(transitSealKey, hsm.UsageData, hsm.ModeBoth, hsm.AES256, hsm.NotExportable); err != nil {
		return nil, err
	}
	var err error
	if c.ids, err = denylist.NewEpochKey(1, bytes.Repeat([]byte{3}, 32)); err != nil {
		return nil, err
	}
	book, err := transitBook()
	if err != nil {
		return nil, err
	}
	profile, _ := transit.ProfileNamed("aggregate")
	profile.Verify = transit.VerifyNothing
	c.deps = transit.Deps{
		Terminal: "M0000001", Merchant: "301000041110001", Acquirer: "30010000", Vault: c.vault, SealKey: transitSealKey, Opener: cardBox{c.vault},
		Keys: transit.OneKey(c.ids), Epoch: c.ids.Epoch(), Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)),
		Devices: map[string]gate.ChainKey{}, Stations: map[uint32]transit.Place{},
		Book: book, Calendar: fares.Calendar{Zone: transitZone, DayStart: 4 * time.Hour}, Currency: money.CNY, Profile: profile,
	}
	for i := range transitDevices {
		g := &transitGate{name: fmt.Sprintf("gate-%04d", i)}
		if g.key, err = gate.NewChainKey(bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 16)); err != nil {
			return nil, err
		}
		station := uint32(i%transitStations + 1)
		c.deps.Devices[g.name] = g.key
		c.deps.Stations[station] = transit.Place{Service: "metro", Place: strconv.Itoa(int(station))}
		config := gate.Config{Device: g.name, Station: station, Amount: money.New(0, money.CNY), ChainKey: g.key, Country: 156, Remembered: 1,
			DoubleTap: gate.Never, PassBack: gate.Never, VelocityWindow: gate.Never}
		ports := gate.Ports{IDs: []gate.Identifier{c.ids}, Sealer: cardBox{c.vault}, Log: g}
		if g.gate, _, _, err = gate.Replay(config, ports, nil, gate.Head{}, c.morning); err != nil {
			return nil, err
		}
		c.gates = append(c.gates, g)
	}
	return c, nil
}

// transitBook is a line of stations, two yuan and one more for every five stations, and a cap of fifteen a day.
func transitBook() (*fares.Book, error) {
	spec := fares.Spec{
		Name: "bench", Currency: "CNY", From: "2026-01-01", Caps: []fares.CapSpec{{Name: "day", Period: "day", Amount: "15.00"}},
		Services:   []fares.ServiceSpec{{Name: "metro", Kind: "table", Maximum: "15.00", Fares: []fares.FareSpec{{Both: true}}}},
		Incomplete: fares.IncompleteSpec{GraceDays: 3},
	}
	for i := range transitStations {
		for j := i; j < transitStations; j++ {
			row := []string{strconv.Itoa(i + 1), strconv.Itoa(j + 1), fmt.Sprintf("%d.00", 2+(j-i)/5)}
			spec.Services[0].Fares[0].Rows = append(spec.Services[0].Fares[0].Rows, row)
		}
	}
	tariff, err := fares.New(spec)
	if err != nil {
		return nil, err
	}
	return fares.NewBook(fares.Calendar{Zone: transitZone, DayStart: 4 * time.Hour}, tariff)
}

// tap lets a rider's card tap.
func (c *transitCity) tap(g *transitGate, rider int, atc uint16, direction gate.Direction, at time.Time) error {
	number, err := pan.CompleteLuhn(fmt.Sprintf("629999%012d", rider))
	if err != nil {
		return err
	}
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = true, kernel.CVMNone, kernel.ODAPassed
	random := [4]byte{byte(rider >> 16), byte(rider >> 8), byte(rider), byte(atc)}
	var d emv.Data
	d.Set(emv.TagPAN, number.BCD())
	d.Set(emv.TagExpiryDate, []byte{0x30, 0x12, 0x31})
	d.Set(emv.TagPANSequence, []byte{1})
	d.Set(emv.TagATC, binary.BigEndian.AppendUint16(nil, atc))
	d.Set(emv.TagAC, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	d.Set(emv.TagIAD, make([]byte, 8))
	d.Set(emv.TagAmount, make([]byte, 6))
	d.Set(emv.TagCurrency, []byte{0x01, 0x56})
	d.Set(emv.TagUnpredictableNumber, random[:])
	o.Data = d
	decision, err := g.gate.Tap(gate.Read{Outcome: o, Random: random, Direction: direction}, nil, at)
	if err == nil && !decision.Open {
		err = fmt.Errorf("a gate stays shut: %s", decision.Reason())
	}
	return err
}

// wave lets some riders ride, there and back, and gives the chunks that their gates hand in.
func (c *transitCity) wave(from, to int) ([]gate.Chunk, error) {
	for rider := from; rider < to; rider++ {
		home, work := c.random.IntN(transitDevices), c.random.IntN(transitDevices)
		out := c.morning.Add(time.Duration(c.random.IntN(3*3600)) * time.Second)
		back := out.Add(8*time.Hour + time.Duration(c.random.IntN(3600))*time.Second)
		err := errors.Join(
			c.tap(c.gates[home], rider, 1, gate.In, out), c.tap(c.gates[work], rider, 2, gate.Out, out.Add(30*time.Minute)),
			c.tap(c.gates[work], rider, 3, gate.In, back), c.tap(c.gates[home], rider, 4, gate.Out, back.Add(30*time.Minute)))
		if err != nil {
			return nil, err
		}
	}
	var chunks []gate.Chunk
	for _, g := range c.gates {
		for rest := g.log; len(rest) > 0; {
			end := 0
			for i := 0; i < chunkTaps && end < len(rest); i++ {
				end += int(binary.BigEndian.Uint16(rest[end+4:]))
			}
			chunk, err := gate.NewChunk(g.key, g.name, g.from, rest[:end:end])
			if err != nil {
				return nil, err
			}
			g.from = gate.Head{Sequence: g.from.Sequence, Link: chunk.After}
			head, err := chunk.Verify(g.key, nil)
			if err != nil {
				return nil, err
			}
			g.from = head
			chunks, rest = append(chunks, chunk), rest[end:]
		}
		g.log = nil
	}
	c.random.Shuffle(len(chunks), func(i, j int) { chunks[i], chunks[j] = chunks[j], chunks[i] })
	return chunks, nil
}

// tapsPerRider is there and back.
const tapsPerRider = 4

// Transit measures a day of a transit operator: taps handed in until they are durable, the close until the last bill is durable, and a start from the journal.
// Nobody answers the office's requests: how fast money comes is the acquirer's.
func Transit(ctx context.Context, o Options, riders int) (found Ridden, err error) {
	o = o.complete()
	dir, clean, err := o.workplace()
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	city, err := newTransitCity()
	if err != nil {
		return found, fmt.Errorf("bench: make a city: %w", err)
	}
	path := filepath.Join(dir, "transit.db")
	// An office is nearly all long-lived state: half of it again, not all, is room enough for what comes and goes.
	defer debug.SetGCPercent(debug.SetGCPercent(transitGarbage))
	manual := clock.NewManual(city.morning.Add(20 * time.Hour))
	found.Riders = riders
	digest, err := city.day(ctx, path, manual, &found)
	if err != nil {
		return found, err
	}
	debug.FreeOSMemory() // the office that has stopped is no part of the one that starts
	start := time.Now()
	again, reopened, err := city.open(ctx, path, manual)
	if err != nil {
		return found, err
	}
	found.ReplaySeconds = time.Since(start).Seconds()
	found.SameAfterReplay = again.Digest() == digest
	return found, errors.Join(again.Audit(), reopened.stop())
}

// transitGarbage is how much garbage may wait, in per cent of what is alive.
const transitGarbage = 50

// day hands a day's taps in, closes it and stops, and gives the digest of the state.
func (c *transitCity) day(ctx context.Context, path string, manual *clock.Manual, found *Ridden) (digest [32]byte, err error) {
	office, books, err := c.open(ctx, path, manual)
	if err != nil {
		return digest, err
	}
	if err = c.ingest(ctx, office, books, found.Riders, found); err == nil {
		err = c.closeDay(ctx, books, manual, found)
	}
	if err == nil {
		digest = office.Digest()
	}
	return digest, errors.Join(err, books.stop())
}

// open starts an office on a journal.
func (c *transitCity) open(ctx context.Context, path string, manual *clock.Manual) (*transit.Office, *transitBooks, error) {
	office, err := transit.New(c.deps)
	if err != nil {
		return nil, nil, err
	}
	store, err := journalsql.Open(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	b := &transitBooks{store: store, done: make(chan error, 1)}
	b.timers = journal.NewTimers(manual, func(name string) {
		// The clock is moved by whoever waits for the writer: handing over must not wait for it.
		go func() { _ = b.writer.Submit(context.WithoutCancel(ctx), journal.Event{Timer: name}) }()
	})
	release := func(effects []journal.Effect) {
		for i := range effects {
			b.timers.Apply(&effects[i])
		}
	}
	b.writer = journal.NewWriter(journal.Config{Machine: office, Store: store, Clock: manual, Owner: "bench", Release: release})
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b.cancel = cancel
	go func() { b.done <- b.writer.Run(running) }()
	select {
	case <-b.writer.Ready():
		return office, b, nil
	case err := <-b.done:
		cancel()
		return nil, nil, errors.Join(err, store.Close())
	}
}

// transitBooks runs an office.
type transitBooks struct {
	store  journal.Store
	writer *journal.Writer
	timers *journal.Timers
	cancel context.CancelFunc
	done   chan error
}

func (b *transitBooks) stop() error {
	b.timers.Stop()
	b.cancel()
	return errors.Join(<-b.done, b.store.Close())
}

func (c *transitCity) ingest(ctx context.Context, office *transit.Office, b *transitBooks, riders int, found *Ridden) error {
	var cpu time.Duration
	for from := 0; from < riders; from += waveTaps / tapsPerRider {
		chunks, err := c.wave(from, min(riders, from+waveTaps/tapsPerRider))
		if err != nil {
			return err
		}
		var group sync.WaitGroup
		errs := make([]error, transitClients)
		began, start := cpuTime(), time.Now()
		for i := range transitClients {
			group.Go(func() {
				for at := i; at < len(chunks) && errs[i] == nil; at += transitClients {
					ev := journal.Event{Command: transit.Ingest{Chunk: chunks[at]}}
					office.Prepare(&ev)
					reply, err := b.writer.Ask(ctx, ev)
					if refused, no := reply.(error); no {
						err = refused
					}
					errs[i] = err
				}
			})
		}
		group.Wait()
		found.IngestSeconds += time.Since(start).Seconds()
		cpu += cpuTime() - began
		found.Chunks += len(chunks)
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("bench: hand taps in: %w", err)
		}
	}
	found.Taps = uint64(riders) * tapsPerRider
	found.TapsPerSecond = float64(found.Taps) / found.IngestSeconds
	found.CPUus = float64(cpu.Microseconds()) / float64(found.Taps)
	return nil
}

func (c *transitCity) closeDay(ctx context.Context, b *transitBooks, manual *clock.Manual, found *Ridden) error {
	manual.Set(c.morning.Add(24 * time.Hour))
	start := time.Now()
	ask := func(command any) (any, error) { return b.writer.Ask(ctx, journal.Event{Command: command}) }
	day := c.deps.Book.ServiceDate(c.morning)
	reply, err := ask(transit.CloseDay{Day: day})
	if refused, no := reply.(error); no {
		err = refused
	}
	if err != nil {
		return fmt.Errorf("bench: close the day: %w", err)
	}
	for {
		manual.Advance(time.Millisecond)
		reply, err := ask(transit.ViewProgress{})
		if err != nil {
			return fmt.Errorf("bench: close the day: %w", err)
		}
		if at, ok := reply.(transit.Closing); ok && at.Done == at.Accounts {
			break
		}
	}
	found.CloseSeconds = time.Since(start).Seconds()
	reply, err = ask(transit.ViewReport{})
	if err != nil {
		return err
	}
	if report, ok := reply.(transit.Report); ok {
		found.Bills = report.Totals.Bills
	}
	found.Rows = b.writer.Stats().Rows
	return nil
}

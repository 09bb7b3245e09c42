package metro

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// Office is a back office as the gates see it.
type Office interface {
	// Answer takes a question of a device. The answer may be lost on its way; the same question may come again.
	Answer(device string, ask gate.Ask, now time.Time) gate.Answer
	// Claim asks for a first ride.
	Claim(device string, tap gate.Record, now time.Time) bool
}

// desk runs the real back office, internal/transit, on simulated time: what it verifies, lists, bills and owes is what an operator's would. Its acquirer
// answers by whether a credential is paid for.
type desk struct {
	city    *city
	office  *transit.Office
	stepper *journal.Stepper
	store   *journal.MemStore
	clock   *clock.Manual
	timers  *journal.Timers
	book    *fares.Book
	keys    map[string]gate.ChainKey
	signer  ed25519.PrivateKey
	trust   denylist.Trust
	listed  []denylist.Entry // beside the office's own: the list of a city is never empty
	base    []byte
	baseAt  uint64
	deltas  [][]byte
	at      denylist.Position
	random  *rand.Rand
	changes map[uint64]*spreading // by hash, the latest
	// published are the changes of each delta.
	published [][]*spreading
	turn      *rotation // nil before it begins
	failed    error
}

// spreading follows one change from the decision to every gate.
type spreading struct {
	decided  time.Time
	sequence uint64
	removal  bool
}

const (
	deskSealKey  = "seal"
	deskTerminal = "M0000001"
	deskAcquirer = "30010000"
	// deskUnder is how many requests are under way at a time: in a rush hour a city of first rides is verified at once.
	deskUnder = 4096
)

// plainBox seals nothing: what is measured is the list and the loss, not the secrecy.
type plainBox struct{}

// Seal implements gate.Sealer.
func (plainBox) Seal(plain, _ []byte) ([]byte, error) { return bytes.Clone(plain), nil }

// Open implements transit.Opener.
func (plainBox) Open(sealed, _ []byte) ([]byte, error) { return sealed, nil }

func newDesk(c *city, random *rand.Rand) (*desk, error) {
	d := &desk{city: c, keys: map[string]gate.ChainKey{}, signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)), random: random,
		changes: map[uint64]*spreading{}, at: denylist.Position{Epoch: 1}, store: journal.NewMemStore(), clock: clock.NewManual(c.start)}
	var err error
	if d.trust, err = denylist.NewTrust(d.signer.Public().(ed25519.PublicKey)); err != nil { //nolint:forcetypeassert // of that kind by its type
		return nil, err
	}
	d.listed = make([]denylist.Entry, c.options.Listed)
	for i := range d.listed {
		var id denylist.ID
		for k := range 8 {
			id[k] = byte(random.Uint32())
		}
		if d.listed[i], err = denylist.NewEntry(denylist.Credential, id, denylist.Debt, 0); err != nil {
			return nil, err
		}
	}
	deps, err := d.deps()
	if err != nil {
		return nil, err
	}
	if d.office, err = transit.New(deps); err != nil {
		return nil, err
	}
	d.timers = journal.NewTimers(d.clock, func(name string) { d.step(journal.Event{Timer: name}) })
	config := journal.Config{Machine: d.office, Store: d.store, Clock: d.clock, Owner: "metro", Release: d.release}
	d.stepper, _, err = journal.NewStepper(context.Background(), config)
	return d, err
}

// deps are an operator whose day ends when the last rider has long gone.
func (d *desk) deps() (transit.Deps, error) {
	vault := hsm.New(rand.NewChaCha8([32]byte{5}))
	if _, err := vault.Generate(deskSealKey, hsm.UsageData, hsm.ModeBoth, hsm.AES256, hsm.NotExportable); err != nil {
		return transit.Deps{}, err
	}
	closes := d.city.end.Add(settle)
	calendar := fares.Calendar{Zone: time.UTC, DayStart: closes.Sub(closes.Truncate(24 * time.Hour))}
	o := &d.city.options
	spec := fares.Spec{
		Name: "metro", Currency: "CNY", From: "2026-01-01", Incomplete: fares.IncompleteSpec{GraceDays: 3},
		Services: []fares.ServiceSpec{{Name: "metro", Kind: "table", Maximum: decimal(o.Fare), Fares: []fares.FareSpec{{Both: true}}}},
	}
	stations := map[uint32]transit.Place{}
	for i := range o.Stations {
		stations[uint32(i)+1] = transit.Place{Service: "metro", Place: strconv.Itoa(i + 1)}
		for j := i; j < o.Stations; j++ {
			spec.Services[0].Fares[0].Rows = append(spec.Services[0].Fares[0].Rows, []string{strconv.Itoa(i + 1), strconv.Itoa(j + 1), decimal(o.Fare)})
		}
	}
	tariff, err := fares.New(spec)
	if err != nil {
		return transit.Deps{}, err
	}
	if d.book, err = fares.NewBook(calendar, tariff); err != nil {
		return transit.Deps{}, err
	}
	profile, _ := transit.ProfileNamed("zero")
	profile.LimitMinor, profile.MaximumMinor = 0, o.Fare
	return transit.Deps{
		Terminal: deskTerminal, Merchant: "301000041110001", Acquirer: deskAcquirer, Vault: vault, SealKey: deskSealKey, Opener: plainBox{},
		Keys: d, Epoch: d.city.epochs[0].Epoch(), Signer: d.signer, Devices: d.keys, Stations: stations, Book: d.book, Calendar: calendar, Currency: money.CNY,
		Profile: profile, Under: deskUnder, ListEvery: o.Publish, ListLife: time.Hour,
	}, nil
}

func decimal(minor int64) string { return fmt.Sprintf("%d.%02d", minor/100, minor%100) }

// step gives the office an event now. What goes wrong ends the run.
func (d *desk) step(ev journal.Event) {
	if d.failed != nil {
		return
	}
	d.office.Prepare(&ev)
	if _, err := d.stepper.Step(context.Background(), ev); err != nil {
		d.failed = fmt.Errorf("the office stopped: %w", err)
	}
}

// ask gives the office a command, at a time.
func (d *desk) ask(now time.Time, command any) (reply any) {
	d.reach(now)
	d.step(journal.Event{Command: command, Reply: func(v any) { reply = v }})
	return reply
}

// reach lets the office's own timers run up to now.
func (d *desk) reach(now time.Time) {
	if ahead := now.Sub(d.clock.Now()); ahead > 0 {
		d.clock.Advance(ahead)
	}
}

// beat is how often the office's timers are looked at when nobody asks it anything.
const beat = time.Second

func (d *desk) tick(now time.Time) {
	d.reach(now)
	d.news()
	d.city.plan(now.Add(beat), d.tick)
}

// release carries out what the office decided.
func (d *desk) release(effects []journal.Effect) {
	for i := range effects {
		e := &effects[i]
		if d.timers.Apply(e) {
			continue
		}
		switch m := e.Message.(type) {
		case *unionpay.FinancialRequest:
			d.city.plan(d.clock.Now().Add(d.authorization()), func(now time.Time) { d.decide(m, now) })
		case *unionpay.ReversalRequest:
			d.city.plan(d.clock.Now().Add(beat), func(now time.Time) {
				d.reach(now)
				d.step(journal.Event{From: deskAcquirer, Message: unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved})})
			})
		}
	}
}

func (d *desk) authorization() time.Duration {
	o := &d.city.options
	return o.Authorization/2 + time.Duration(d.random.Int64N(int64(o.Authorization)+1))
}

// decide is the issuer's answer.
func (d *desk) decide(m *unionpay.FinancialRequest, now time.Time) {
	d.reach(now)
	id, known := d.city.ids[m.PAN.Reveal()]
	answer := unionpay.Answer{Response: unionpay.Approved, AuthCode: "000001", RRN: fmt.Sprintf("%012d", m.STAN)}
	if !known || d.city.isBad(id) {
		answer = unionpay.Answer{Response: unionpay.InsufficientFunds}
		if s := d.changes[id.Hash()]; s == nil || s.removal {
			d.changes[id.Hash()] = &spreading{decided: now}
			d.mayPay(id, unionpay.TerminalKey(m), now)
		}
	}
	d.step(journal.Event{From: deskAcquirer, Message: unionpay.Respond(m, answer)})
}

// mayPay lets some pay, who want to ride again at once.
func (d *desk) mayPay(id denylist.ID, key string, now time.Time) {
	if d.random.Float64() >= d.city.options.Pay {
		return
	}
	row, found, err := d.store.FindKey(context.Background(), key)
	if err != nil || !found {
		d.failed = errors.Join(fmt.Errorf("request %q is not in the journal", key), err)
		return
	}
	credential := row.Card
	d.city.plan(now.Add(payAfter+time.Duration(d.random.Int64N(int64(payAfter)))), func(now time.Time) {
		d.city.pays(id)
		// Nothing is billed before the day's close: the desk lets the credential ride, and its rides are billed with the others.
		if err, refused := d.ask(now, transit.Unblock{Credential: credential}).(error); refused {
			d.failed = err
			return
		}
		d.changes[id.Hash()] = &spreading{decided: now, removal: true}
	})
}

// payAfter is about how long somebody who is stopped takes to pay.
const payAfter = 10 * time.Minute

// news takes up the deltas that the office has published since.
func (d *desk) news() {
	for d.failed == nil {
		log, err := transit.Deltas(context.Background(), d.office.Archive(), d.at.Sequence)
		if err != nil || len(log) == 0 {
			d.failed = errors.Join(d.failed, err)
			return
		}
		for rest := log; len(rest) > 0; {
			first, behind, err := denylist.SplitDelta(rest)
			if err != nil {
				d.failed = err
				return
			}
			delta, err := denylist.OpenDelta(first, d.trust)
			if err != nil {
				d.failed = err
				return
			}
			d.take(first, delta)
			rest = behind
		}
	}
}

func (d *desk) take(b []byte, delta *denylist.Delta) {
	var published []*spreading
	for _, c := range delta.Changes() {
		hash := c.Entry().Hash()
		if first, known := d.city.first[hash]; known {
			hash = first
		}
		if s := d.changes[hash]; s != nil && s.sequence == 0 && s.removal == (c.Removal() != 0) {
			s.sequence = delta.Info().Sequence
			published = append(published, s)
		}
	}
	d.deltas, d.published = append(d.deltas, bytes.Clone(b)), append(d.published, published)
	d.at = denylist.Position{Sequence: delta.Info().Sequence, Digest: delta.Digest(), Epoch: delta.Info().Epoch}
	d.switched(delta)
}

// Answer implements Office.
func (d *desk) Answer(device string, ask gate.Ask, now time.Time) gate.Answer {
	d.reach(now)
	key := d.keys[device]
	switch ask.Kind {
	case gate.AskBase:
		return d.whole(now)
	case gate.AskDeltas:
		d.news()
		if ask.After > uint64(len(d.deltas)) {
			return gate.Answer{Status: gate.Gone}
		}
		return gate.Answer{Status: gate.Fine, Body: bytes.Join(d.deltas[ask.After:], nil)}
	case gate.AskHealth:
		h, err := gate.ParseHealth(key, device, ask.Body)
		if err != nil {
			return gate.Answer{Status: gate.Refused}
		}
		answer, ok := d.ask(now, transit.Heard{Health: h}).(gate.HealthAnswer)
		if !ok {
			return gate.Answer{Status: gate.Refused}
		}
		return gate.Answer{Status: gate.Fine, Body: gate.EncodeHealthAnswer(key, answer)}
	case gate.AskChunk:
		c, err := gate.ParseChunk(bytes.Clone(ask.Body))
		if err != nil || c.Device != device {
			return gate.Answer{Status: gate.Refused}
		}
		done, ok := d.ask(now, transit.Ingest{Chunk: c}).(transit.Ingested)
		if !ok {
			return gate.Answer{Status: gate.Refused}
		}
		return gate.Answer{Status: gate.Fine, Body: gate.EncodeReceipt(key, done.Receipt)}
	}
	return gate.Answer{Status: gate.Refused}
}

// whole is the list as one image.
func (d *desk) whole(now time.Time) gate.Answer {
	d.news()
	if d.base == nil || d.baseAt != d.at.Sequence {
		b, ok := d.ask(now, transit.BuildBase{}).(transit.Base)
		if !ok {
			return gate.Answer{Status: gate.Refused}
		}
		image, err := denylist.BuildBase(append(b.Entries, d.listed...), b.Info, b.Chain, d.signer)
		if err != nil {
			d.failed = err
			return gate.Answer{Status: gate.Refused}
		}
		d.base, d.baseAt = image, b.Info.Sequence
	}
	return gate.Answer{Status: gate.Fine, Body: d.base}
}

// Claim implements Office: one ride before the first approval, whichever gate asks.
func (d *desk) Claim(_ string, tap gate.Record, now time.Time) bool {
	granted, ok := d.ask(now, transit.Claim{ID: tap.ID, Epoch: tap.Epoch}).(bool)
	return ok && granted
}

// closeDay bills everybody when the last rider has gone. The reply is what the books say when the acquirer has answered.
func (d *desk) closeDay(now time.Time) {
	day := d.book.ServiceDate(now.Add(-settle))
	if err, refused := d.ask(now, transit.CloseDay{Day: day}).(error); refused {
		d.failed = fmt.Errorf("close the day: %w", err)
	}
}

// due is what is billed and was not answered yet.
func (d *desk) due(books *transit.Report) int64 { return books.Riders - books.Totals.Owed }

// books are the office's own words about the loss.
func (d *desk) books(now time.Time) (transit.Report, error) {
	report, ok := d.ask(now, transit.ViewReport{}).(transit.Report)
	if !ok {
		return report, errors.Join(errors.New("the office has no report"), d.failed)
	}
	return report, errors.Join(d.failed, d.office.Audit())
}

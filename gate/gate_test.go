package gate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

var (
	noon   = time.Date(2026, 11, 22, 12, 0, 0, 0, time.FixedZone("CST", 8*3600))
	signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
)

const (
	number = "6299990000000000014"
	token  = "6299980000000000012"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// memoryLog is a log in memory that can fail, and that says what would survive a loss of power.
type memoryLog struct {
	durable []byte
	fail    error
	torn    int // of a failing append, the bytes that get through
}

func (l *memoryLog) Append(record []byte) error {
	if l.fail != nil {
		l.durable = append(l.durable, record[:min(l.torn, len(record))]...)
		return l.fail
	}
	l.durable = append(l.durable, record...)
	return nil
}

// openSealer hides nothing, so that tests see what is sealed.
type openSealer struct{ fail error }

func (s openSealer) Seal(plain, additional []byte) ([]byte, error) {
	if len(additional) < atSealed {
		return nil, errors.New("sealed data are not bound to their record")
	}
	return plain, s.fail
}

// post is a gate with everything around it.
type post struct {
	testing.TB
	config   Config
	key      denylist.EpochKey
	log      *memoryLog
	sealer   openSealer
	gate     *Gate
	snapshot *denylist.Snapshot
	now      time.Time
	atc      uint16
}

func newPost(t testing.TB, change func(*Config)) *post {
	t.Helper()
	key, err := denylist.NewEpochKey(3, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	chain, err := NewChainKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	p := &post{TB: t, key: key, log: &memoryLog{}, now: noon, atc: 100, config: Config{
		Device: "GATE-07", Station: 12, Amount: money.New(700, money.CNY), ChainKey: chain, Country: 156,
		Rules: []Rule{{Prefix: "62"}, {Prefix: "629998", WithoutODA: true}, {Prefix: "6299999", Refuse: true}},
	}}
	if change != nil {
		change(&p.config)
	}
	p.start()
	p.deny()
	return p
}

// start is the gate after a loss of power, with the log that survived.
func (p *post) start() *Broken {
	p.Helper()
	g, good, broken, err := Replay(p.config, Ports{IDs: []Identifier{p.key}, Sealer: p.sealer, Log: p.log}, p.log.durable, Head{}, p.now)
	if err != nil {
		p.Fatal(err)
	}
	p.log.durable, p.gate = p.log.durable[:good], g
	return broken
}

// deny replaces the list.
func (p *post) deny(entries ...denylist.Entry) {
	p.Helper()
	image, err := denylist.BuildBase(entries, denylist.Info{Epoch: 3, Created: noon, NotAfter: noon.Add(1000 * time.Hour)}, denylist.Digest{}, signer)
	if err != nil {
		p.Fatal(err)
	}
	trust, err := denylist.NewTrust(signer.Public().(ed25519.PublicKey))
	if err != nil {
		p.Fatal(err)
	}
	b, err := denylist.OpenBase(image, trust)
	if err != nil {
		p.Fatal(err)
	}
	l, err := denylist.NewList(b, denylist.Position{})
	if err != nil {
		p.Fatal(err)
	}
	p.snapshot = l.Snapshot()
}

func (p *post) entry(kind denylist.Kind, id denylist.ID, reason denylist.Reason) denylist.Entry {
	p.Helper()
	e, err := denylist.NewEntry(kind, id, reason, 0)
	if err != nil {
		p.Fatal(err)
	}
	return e
}

func (p *post) pan(digits string) pan.Number {
	p.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		p.Fatal(err)
	}
	return n
}

func (p *post) id(digits string) denylist.ID {
	p.Helper()
	e, err := pan.ParseExpiry("3012")
	if err != nil {
		p.Fatal(err)
	}
	return p.key.Credential(p.pan(digits), "01", e)
}

// read is a good tap as the kernel gives it: an online cryptogram, authenticated, to be authorised later.
func (p *post) read(digits string) Read {
	p.Helper()
	p.atc++
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = true, kernel.CVMNone, kernel.ODAPassed
	var d emv.Data
	d.Set(emv.TagPAN, p.pan(digits).BCD())
	d.Set(emv.TagExpiryDate, unhex(p, "301231"))
	d.Set(emv.TagPANSequence, []byte{1})
	d.Set(emv.TagATC, []byte{byte(p.atc >> 8), byte(p.atc)})
	amount, err := p.config.Amount.BCD()
	if err != nil {
		p.Fatal(err)
	}
	d.Set(emv.TagAmount, amount[:])
	d.Set(emv.TagCurrency, unhex(p, "0156"))
	random := [4]byte{9, 8, byte(p.atc >> 8), byte(p.atc)}
	d.Set(emv.TagUnpredictableNumber, random[:])
	o.Data = d
	return Read{Outcome: o, Random: random, Direction: In}
}

func (p *post) tap(r Read) Decision {
	p.Helper()
	d, err := p.gate.Tap(r, p.snapshot, p.now)
	if err != nil {
		p.Fatal(err)
	}
	if d.Open != (d.Reason() == OK) {
		p.Fatalf("opens: %v, reason %v", d.Open, d.Reason())
	}
	return d
}

func (p *post) want(r Read, want Reason) Decision {
	p.Helper()
	d := p.tap(r)
	if d.Reason() != want {
		p.Fatalf("tap is %q, want %q", d.Reason(), want)
	}
	return d
}

// withoutODA turns a tap into that of a token that only knows the online path.
func withoutODA(r *Read) {
	r.Outcome.Kind, r.Outcome.Reason, r.Outcome.Deferred = kernel.OnlineRequest, kernel.ReasonIssuerDecides, false
	r.Outcome.ODA = kernel.ODAResult{}
}

func ended(kind kernel.OutcomeKind, why kernel.Reason) func(*post, *Read) {
	return func(_ *post, r *Read) { r.Outcome.Kind, r.Outcome.Reason = kind, why }
}

// obstacles are, in the order of the rules, what makes each of them fail. Each leaves the others as they are, so that two of them show
// which comes first.
var obstacles = []struct {
	reason Reason
	change func(*post, *Read)
}{
	{ReadAgain, ended(kernel.TryAgain, kernel.ReasonCardRemoved)},
	{NotReadable, func(_ *post, r *Read) { r.Outcome.Data.Delete(emv.TagATC) }},
	{Expired, func(p *post, r *Read) { r.Card.Set(emv.TagEffectiveDate, unhex(p, "261123")) }},
	{NotForTransit, func(p *post, r *Read) { r.Card.Set(emv.TagUsageControl, unhex(p, "0000")) }},
	{ODAFailed, func(_ *post, r *Read) { r.Outcome.ODA.Status = kernel.ODAFailed }},
	{WrongAmount, func(_ *post, r *Read) { r.Random[0]++ }},
	{DeniedBlocked, func(p *post, _ *Read) { p.deny(p.entry(denylist.Credential, p.id(number), denylist.Lost)) }},
	{ListStale, func(p *post, _ *Read) {
		p.gate.config.Stale = StaleShuts
		p.gate.config.ListAge = time.Nanosecond
	}},
	{NotAccepted, func(p *post, _ *Read) { p.gate.config.Rules = []Rule{{Prefix: number[:8], Refuse: true}} }},
	{PassBack, func(p *post, _ *Read) { p.gate.memory.find(p.id(number)).at = p.now.Add(-time.Minute) }},
	{CounterBack, func(p *post, _ *Read) { p.gate.memory.find(p.id(number)).atc = 60000 }},
	{TooOften, func(p *post, _ *Read) { p.gate.config.VelocityLimit = 1 }},
}

// seen is a post that has seen the card half an hour ago.
func seen(t testing.TB) *post {
	p := newPost(t, nil)
	p.want(p.read(number), OK)
	p.now = p.now.Add(30 * time.Minute)
	return p
}

func TestEachRuleRefusesAlone(t *testing.T) {
	p := seen(t)
	p.want(p.read(number), OK)
	for _, o := range obstacles {
		p := seen(t)
		r := p.read(number)
		o.change(p, &r)
		d := p.want(r, o.reason)
		if d.Record.ID.IsZero() && o.reason != NotReadable {
			t.Errorf("%v: the record does not say who", o.reason)
		}
	}
}

func TestPrecedence(t *testing.T) {
	for i, first := range obstacles {
		for _, second := range obstacles[i+1:] {
			p := seen(t)
			r := p.read(number)
			second.change(p, &r)
			first.change(p, &r)
			if got := p.tap(r).Reason(); got != first.reason {
				t.Errorf("%v and %v: %v", first.reason, second.reason, got)
			}
		}
	}
}

// TestKernelOutcomes says what each end of a tap means at a gate.
func TestKernelOutcomes(t *testing.T) {
	for _, c := range []struct {
		kind kernel.OutcomeKind
		why  kernel.Reason
		want Reason
	}{
		{kernel.SelectNext, kernel.ReasonNotThisKernel, NotReadable},
		{kernel.EndApplication, kernel.ReasonMissingData, NotReadable},
		{kernel.TryAnotherInterface, kernel.ReasonFullDialogue, NotReadable},
		{kernel.TryAnotherInterface, kernel.ReasonODAFailedSwitch, ODAFailed},
		{kernel.TryAgain, kernel.ReasonSeePhone, ReadAgain},
		{kernel.Declined, kernel.ReasonCardDeclined, CardDeclined},
		{kernel.Declined, kernel.ReasonNoCVM, CardDeclined},
		{kernel.Declined, kernel.ReasonExpired, Expired},
		{kernel.Declined, kernel.ReasonODAFailed, ODAFailed},
		{kernel.OnlineRequest, kernel.ReasonExpiredOnline, Expired},
		{kernel.OnlineRequest, kernel.ReasonODAFailedOnline, ODAFailed},
		{kernel.OnlineRequest, kernel.ReasonPINOnline, CardDeclined},
		{0, kernel.ReasonNone, NotReadable},
		{99, kernel.ReasonNone, NotReadable},
	} {
		p := newPost(t, nil)
		r := p.read(number)
		ended(c.kind, c.why)(p, &r)
		p.want(r, c.want)
	}
	p := newPost(t, nil)
	p.want(Read{Direction: In}, NotReadable)
	for _, tag := range []struct {
		name   string
		change func(*emv.Data)
		want   Reason
	}{
		{"amount of another gate", func(d *emv.Data) { d.Set(emv.TagAmount, unhex(t, "000000000001")) }, WrongAmount},
		{"another currency", func(d *emv.Data) { d.Set(emv.TagCurrency, unhex(t, "0840")) }, WrongAmount},
		{"no amount", func(d *emv.Data) { d.Delete(emv.TagAmount) }, WrongAmount},
		{"no number", func(d *emv.Data) { d.Delete(emv.TagPAN) }, NotReadable},
		{"no expiry", func(d *emv.Data) { d.Delete(emv.TagExpiryDate) }, NotReadable},
		{"expired", func(d *emv.Data) { d.Set(emv.TagExpiryDate, unhex(t, "261031")) }, Expired},
	} {
		r := p.read(number)
		tag.change(&r.Outcome.Data)
		if got := p.tap(r).Reason(); got != tag.want {
			t.Errorf("%s: %v, want %v", tag.name, got, tag.want)
		}
	}
}

func TestUsageControl(t *testing.T) {
	for _, c := range []struct {
		usage, issuer string
		want          Reason
	}{
		{"", "", OK},
		{"FFC0", "", OK},
		{"0900", "0156", OK}, {"0900", "0840", NotForTransit}, // domestic services, not ATM
		{"0500", "0840", OK}, {"0500", "0156", NotForTransit}, // international services
		{"0800", "0156", NotForTransit}, {"0000", "", NotForTransit},
	} {
		p := newPost(t, nil)
		r := p.read(number)
		if c.usage != "" {
			r.Card.Set(emv.TagUsageControl, unhex(t, c.usage))
		}
		if c.issuer != "" {
			r.Card.Set(emv.TagIssuerCountry, unhex(t, c.issuer))
		}
		if got := p.tap(r).Reason(); got != c.want {
			t.Errorf("usage %s of %s: %v, want %v", c.usage, c.issuer, got, c.want)
		}
	}
}

// TestDenyEntries: what an entry names decides whom it stops.
func TestDenyEntries(t *testing.T) {
	p := newPost(t, nil)
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	withPAR := p.read(number)
	withPAR.Card.Set(emv.TagPAR, []byte(reference))
	replaced := p.read(number)
	replaced.Outcome.Data.Set(emv.TagPANSequence, []byte{2})
	p.deny(p.entry(denylist.Credential, p.id(number), denylist.Stolen))
	p.want(p.read(number), DeniedBlocked)
	p.want(replaced, OK)
	p.deny(p.entry(denylist.Token, p.key.Token(p.pan(number)), denylist.Debt))
	p.want(p.read(number), DeniedDebt)
	p.deny(p.entry(denylist.PAR, p.key.PAR(reference), denylist.Debt))
	p.want(withPAR, DeniedDebt)
	p.deny(p.entry(denylist.PAR, p.key.PAR(reference), denylist.Debt), p.entry(denylist.Credential, p.id(number), denylist.Counterfeit))
	p.want(withPAR, DeniedBlocked) // the stronger of two
	leaving := p.read(number)
	leaving.Direction = Out
	if d := p.want(leaving, OK); !d.Record.Flags.Has(FlagListed) {
		t.Error("a listed rider was let out without a mark")
	}
	p.gate.config.ShutIn = true
	p.want(leaving, DeniedBlocked)
}

func TestStaleList(t *testing.T) {
	for _, policy := range []StalePolicy{StaleOpens, StaleShuts} {
		for name, age := range map[string]func(*post){
			"old":           func(p *post) { p.now = p.now.Add(DefaultListAge + time.Second) },
			"none":          func(p *post) { p.snapshot = nil },
			"another epoch": func(p *post) { p.gate.ports.IDs = []Identifier{denylist.EpochKey{}} },
		} {
			p := newPost(t, func(c *Config) { c.Stale = policy })
			if d := p.want(p.read(number), OK); d.Record.Flags.Has(FlagStaleList) {
				t.Fatalf("%s: fresh list is marked", name)
			}
			age(p)
			p.now = p.now.Add(time.Hour)
			want := OK
			if policy == StaleShuts {
				want = ListStale
			}
			if d := p.want(p.read(number), want); !d.Record.Flags.Has(FlagStaleList) {
				t.Errorf("%s: no mark", name)
			}
		}
	}
	p := newPost(t, func(c *Config) { c.Stale = StaleOpens })
	p.deny(p.entry(denylist.Credential, p.id(number), denylist.Lost))
	p.now = p.now.Add(500 * time.Hour)
	p.want(p.read(number), DeniedBlocked) // an old list still stops whom it names
}

func TestRules(t *testing.T) {
	p := newPost(t, nil)
	p.want(p.read("6299999000000000014"), NotAccepted) // the longest prefix counts
	p.gate.config.Rules = []Rule{{Prefix: "35"}}
	p.want(p.read(number), NotAccepted)
	p.gate.config.Rules = nil
	p.want(p.read(number), OK)
	purse := p.read(token)
	purse.Outcome.Deferred, purse.Outcome.Reason = false, kernel.ReasonApproved
	p.want(purse, NotAccepted)
	p.gate.config.Purse = true
	if d := p.want(purse, OK); !d.Record.Flags.Has(FlagPurse) {
		t.Error("a paid tap is not marked")
	}
}

// TestRideOnTrust: a token without authentication has one open ride.
func TestRideOnTrust(t *testing.T) {
	p := newPost(t, func(c *Config) { c.DoubleTap, c.PassBack = Never, Never })
	ride := func() Read {
		r := p.read(token)
		withoutODA(&r)
		return r
	}
	card := p.read(number)
	withoutODA(&card)
	p.want(card, ODAFailed) // not of that range
	first := p.want(ride(), OK)
	if !first.Record.Flags.Has(FlagNoODA) {
		t.Error("no mark")
	}
	p.now = p.now.Add(time.Minute)
	p.want(ride(), FirstRideOpen)
	out := ride()
	out.Direction = Out
	p.want(out, OK)
	p.gate.Approved(first.Record.ID)
	p.gate.Approved(denylist.ID{1})
	p.want(ride(), OK)
	p.want(ride(), FirstRideOpen)
	p.now = p.now.Add(DefaultFirstRideWait)
	p.want(ride(), OK)
	pin := ride()
	pin.Outcome.CVM = kernel.CVMOnlinePIN
	p.want(pin, ODAFailed)
	failed := ride()
	failed.Outcome.ODA.Status = kernel.ODAFailed
	p.want(failed, ODAFailed)
	// A number without proof does not move the counter of whoever it belongs to.
	if s := p.gate.memory.find(first.Record.ID); s.hasATC {
		t.Error("an unproven counter is remembered")
	}
}

func TestPassBackAndDoubleTap(t *testing.T) {
	p := newPost(t, nil)
	p.want(p.read(number), OK)
	p.now = p.now.Add(4 * time.Second)
	p.want(p.read(number), DoubleTap)
	p.now = p.now.Add(time.Second)
	p.want(p.read(number), PassBack)
	out := p.read(number)
	out.Direction = Out
	p.want(out, OK)
	p.want(p.read(number), OK) // in again: the last was out
	p.now = p.now.Add(DefaultPassBack)
	p.want(p.read(number), OK)
	p.now = p.now.Add(-3 * time.Hour) // the clock is set right
	p.want(p.read(number), OK)
}

func TestNotPassed(t *testing.T) {
	p := newPost(t, nil)
	first := p.want(p.read(number), OK)
	if err := p.gate.NotPassed(Record{Sequence: 99, ID: first.Record.ID}, p.now); !errors.Is(err, ErrTap) {
		t.Errorf("another tap: %v", err)
	}
	if err := p.gate.NotPassed(first.Record, p.now); err != nil {
		t.Fatal(err)
	}
	if err := p.gate.NotPassed(first.Record, p.now); !errors.Is(err, ErrTap) {
		t.Errorf("twice: %v", err)
	}
	again := p.want(p.read(number), OK)
	p.start()
	if s := p.gate.memory.find(again.Record.ID); s == nil || s.open != again.Record.Sequence || len(s.taps) != 1 {
		t.Errorf("after a restart the gate remembers %+v", s)
	}
}

func TestCounterAndVelocity(t *testing.T) {
	p := newPost(t, func(c *Config) { c.DoubleTap, c.PassBack, c.VelocityLimit = Never, Never, 3 })
	first := p.read(number)
	p.want(first, OK)
	if d := p.want(first, CounterBack); !d.Record.Flags.Has(FlagCounter) {
		t.Error("no mark") // the same tap played again
	}
	p.want(p.read(number), OK)
	p.want(p.read(number), OK)
	p.want(p.read(number), TooOften)
	p.now = p.now.Add(DefaultVelocityWindow)
	p.want(p.read(number), OK)
	p.want(first, CounterBack)
}

func TestLogFailure(t *testing.T) {
	trouble := errors.New("disk is full")
	p := newPost(t, nil)
	p.want(p.read(number), OK)
	p.log.fail, p.log.torn = trouble, 40
	d, err := p.gate.Tap(p.read(token), p.snapshot, p.now)
	if d.Open || d.Reason() != LogFailed || !errors.Is(err, ErrLog) || !errors.Is(err, trouble) {
		t.Fatalf("open %v, %v: %v", d.Open, d.Reason(), err)
	}
	p.log.fail = nil
	if d, err := p.gate.Tap(p.read(token), p.snapshot, p.now); d.Open || !errors.Is(err, ErrLog) {
		t.Fatalf("a gate whose log failed opens: %v", err)
	}
	if err := p.gate.NotPassed(Record{Sequence: 2, ID: p.id(number)}, p.now); !errors.Is(err, ErrLog) {
		t.Fatal(err)
	}
	if broken := p.start(); broken == nil || !broken.Torn {
		t.Fatalf("torn record: %v", broken)
	}
	p.want(p.read(token), OK)
	var kinds []RecordKind
	var discarded uint64
	if _, broken := Verify(p.log.durable, p.config.ChainKey, Head{}, func(r Record) {
		kinds = append(kinds, r.Kind)
		discarded += r.Discarded
	}); broken != nil || !slices.Equal(kinds, []RecordKind{StartRecord, TapRecord, StartRecord, TapRecord}) || discarded != 40 {
		t.Fatalf("%v, %d bytes cut, %v", kinds, discarded, broken)
	}

	p = newPost(t, nil)
	p.sealer.fail = trouble
	p.start()
	if d, err := p.gate.Tap(p.read(number), p.snapshot, p.now); d.Open || !errors.Is(err, trouble) {
		t.Fatalf("without a seal: %v, %v", d.Open, err)
	}
	if _, err := p.gate.Tap(Read{}, nil, p.now); !errors.Is(err, ErrRead) {
		t.Error(err)
	}
}

func TestConfigRefused(t *testing.T) {
	good := newPost(t, nil).config
	ports := Ports{IDs: []Identifier{denylist.EpochKey{}}, Sealer: openSealer{}, Log: &memoryLog{}}
	for name, change := range map[string]func(*Config, *Ports){
		"no device":      func(c *Config, _ *Ports) { c.Device = "" },
		"long device":    func(c *Config, _ *Ports) { c.Device = strings.Repeat("x", 17) },
		"odd device":     func(c *Config, _ *Ports) { c.Device = "闸机" },
		"no currency":    func(c *Config, _ *Ports) { c.Amount = money.Amount{} },
		"negative":       func(c *Config, _ *Ports) { c.Amount = money.New(-1, money.CNY) },
		"no key":         func(c *Config, _ *Ports) { c.ChainKey = ChainKey{} },
		"odd rule":       func(c *Config, _ *Ports) { c.Rules = []Rule{{Prefix: "62x"}} },
		"long rule":      func(c *Config, _ *Ports) { c.Rules = []Rule{{Prefix: "629999000000"}} },
		"many rules":     func(c *Config, _ *Ports) { c.Rules = make([]Rule, MaxRules+1) },
		"velocity":       func(c *Config, _ *Ports) { c.VelocityLimit = MaxVelocity + 1 },
		"memory":         func(c *Config, _ *Ports) { c.Remembered = MaxRemembered + 1 },
		"list age":       func(c *Config, _ *Ports) { c.ListAge = Never },
		"policy":         func(c *Config, _ *Ports) { c.Stale = 9 },
		"no identifiers": func(_ *Config, p *Ports) { p.IDs = nil },
		"no sealer":      func(_ *Config, p *Ports) { p.Sealer = nil },
		"no log":         func(_ *Config, p *Ports) { p.Log = nil },
	} {
		c, p := good, ports
		change(&c, &p)
		if _, _, _, err := Replay(c, p, nil, Head{}, noon); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 15, 65} {
		if _, err := NewChainKey(make([]byte, n)); !errors.Is(err, ErrConfig) {
			t.Errorf("chain key of %d bytes: %v", n, err)
		}
	}
	secret, err := NewChainKey([]byte("a secret of sixteen and more"))
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v %x %s %q", secret, secret, secret, secret, secret, secret); strings.Contains(s, "secret") || strings.Contains(s, "7365") {
		t.Error(s)
	}
}

func TestTermsInBothLanguages(t *testing.T) {
	for _, r := range Reasons() {
		if r.Term().EN == "" || r.Term().ZH == "" || r.Next().EN == "" || r.Next().ZH == "" || r.String() == "" {
			t.Errorf("reason %d has no words", r)
		}
	}
	if Reason(0).Term().EN != "" || reasonEnd.Term().EN != "" || reasonEnd.Next().EN != "" {
		t.Error("words for nothing")
	}
}

func TestMemoryForgets(t *testing.T) {
	p := newPost(t, func(c *Config) { c.Remembered = 1 })
	p.want(p.read(number), OK)
	if d := p.want(p.read(token), OK); !d.Record.Flags.Has(FlagForgotten) {
		t.Error("no mark")
	}
	p.want(p.read(number), OK)
	if len(p.gate.memory.byID) != 1 || p.gate.memory.order.Len() != 1 {
		t.Error("more is remembered than allowed")
	}
}

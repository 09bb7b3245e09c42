package gate

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
)

// TestClaim: with a rule that claims, a ride in waits for a grant, whatever the gate remembers; a way out does not.
func TestClaim(t *testing.T) {
	p := newPost(t, func(c *Config) {
		c.Rules = []Rule{{Prefix: "62", Claim: true}, {Prefix: "629998", WithoutODA: true, Claim: true}}
	})
	r := p.read(number)
	if d := p.want(r, FirstRideOpen); !d.Claim || d.Open {
		t.Fatalf("%+v", d)
	}
	r.Granted = true
	if d := p.want(r, OK); d.Claim || !d.Open {
		t.Fatalf("%+v", d)
	}
	p.now = p.now.Add(time.Hour)
	p.want(p.read(number), FirstRideOpen)
	out := p.read(number)
	out.Direction = Out
	p.want(out, OK)
	cloud := p.read(token)
	withoutODA(&cloud)
	if d := p.want(cloud, FirstRideOpen); !d.Claim {
		t.Error("nobody is asked")
	}
	cloud.Granted = true
	p.want(cloud, OK)
}

// TestInspection: an inspector's device says what a gate would, opens nothing, and leaves no trace in what gates remember of rides.
func TestInspection(t *testing.T) {
	p := newPost(t, nil)
	inspect := func(want Reason) {
		t.Helper()
		r := p.read(number)
		r.Direction = Inspect
		d, err := p.gate.Tap(r, p.snapshot, p.now)
		if err != nil || d.Open || d.Reason() != want || d.Record.Direction != Inspect {
			t.Fatalf("%v, %+v", err, d)
		}
	}
	p.want(p.read(number), OK)
	inspect(OK)
	inspect(OK)
	p.want(p.read(number), DoubleTap) // of the ride, not of the inspections
	p.deny(p.entry(denylist.Credential, p.id(number), denylist.Lost))
	inspect(DeniedBlocked)
}

// TestPurseProfile: a card that pays at the gate may pay for others, and what it paid is in the record whatever the answer is.
func TestPurseProfile(t *testing.T) {
	p := newPost(t, func(c *Config) { c.Purse = true })
	paid := func() Read {
		r := p.read(number)
		r.Outcome.Deferred = false
		return r
	}
	p.want(paid(), OK)
	if d := p.want(paid(), OK); !d.Record.Flags.Has(FlagPurse) {
		t.Errorf("%+v", d.Record)
	}
	p.deny(p.entry(denylist.Credential, p.id(number), denylist.Counterfeit))
	if d := p.want(paid(), DeniedBlocked); len(d.Record.Sealed) == 0 {
		t.Error("the back office cannot pay back")
	}
	p = newPost(t, nil)
	if d := p.want(paid(), NotAccepted); len(d.Record.Sealed) == 0 {
		t.Error("the back office cannot pay back")
	}
}

// TestNamedAmount: a taxi's meter names the amount, up to a bound; a gate's amount is fixed.
func TestNamedAmount(t *testing.T) {
	p := newPost(t, func(c *Config) { c.Highest, c.DoubleTap, c.PassBack = money.New(5000, money.CNY), Never, Never })
	signed := func(minor int64, named money.Amount) Read {
		r := p.read(number)
		b, err := money.New(minor, money.CNY).BCD()
		if err != nil {
			t.Fatal(err)
		}
		r.Outcome.Data.Set(emv.TagAmount, b[:])
		r.Amount, r.Direction, r.Station = named, Ride, 77
		return r
	}
	if d := p.want(signed(3210, money.New(3210, money.CNY)), OK); d.Record.Amount != 3210 || d.Record.Station != 77 {
		t.Errorf("%+v", d.Record)
	}
	p.want(signed(3210, money.New(3200, money.CNY)), WrongAmount)
	p.want(signed(5001, money.New(5001, money.CNY)), WrongAmount)
	p.want(signed(3210, money.Amount{}), WrongAmount)
	p.config.Highest = money.Amount{}
	p.start()
	p.want(signed(3210, money.New(3210, money.CNY)), WrongAmount)
	for _, highest := range []money.Amount{money.New(-1, money.CNY), money.New(1, money.USD)} {
		bad := p.config
		bad.Highest = highest
		if _, _, _, err := Replay(bad, Ports{IDs: []Identifier{p.key}, Sealer: p.sealer, Log: p.log}, nil, Head{}, p.now); !errors.Is(err, ErrConfig) {
			t.Errorf("highest %v: %v", highest, err)
		}
	}
}

func TestSealKey(t *testing.T) {
	key, err := NewSealKey(bytes.Repeat([]byte{1}, 32), rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.Seal([]byte("card"), []byte("record"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Open(sealed, []byte("record")); err != nil || string(plain) != "card" {
		t.Fatalf("%q, %v", plain, err)
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := key.Open(altered, []byte("record")); !errors.Is(err, ErrForged) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	if _, err := key.Open(sealed, []byte("another")); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
	if _, err := key.Open(sealed[:3], nil); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
	for _, short := range []error{second(NewSealKey(make([]byte, 16), rand.NewChaCha8([32]byte{}))), second(NewSealKey(make([]byte, 32), nil))} {
		if !errors.Is(short, ErrConfig) {
			t.Error(short)
		}
	}
	empty, err := NewSealKey(make([]byte, 32), strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Seal(nil, nil); err == nil {
		t.Error("a nonce of nothing")
	}
}

// TestOldTrust: a gate without claims still gives one ride on trust.
func TestOldTrust(t *testing.T) {
	p := newPost(t, nil)
	r := p.read(token)
	withoutODA(&r)
	if d := p.want(r, OK); d.Claim || r.Outcome.ODA.Status != kernel.ODANotPerformed {
		t.Errorf("%+v", d)
	}
}

// TestForbids: what a gate says before a card pays is what it says afterwards.
func TestForbids(t *testing.T) {
	old := noon.Add(25 * time.Hour)
	for name, c := range map[string]struct {
		change    func(*Config)
		number    string
		direction Direction
		minor     int64
		now       time.Time
		want      Reason
	}{
		"fine":                          {nil, number, In, 700, noon, 0},
		"numbers that are not accepted": {nil, "6299999000000000013", In, 700, noon, NotAccepted},
		"another amount":                {nil, number, In, 701, noon, WrongAmount},
		"an amount above the highest":   {func(c *Config) { c.Highest = money.New(800, money.CNY) }, number, Ride, 801, noon, WrongAmount},
		"one below it":                  {func(c *Config) { c.Highest = money.New(800, money.CNY) }, number, Ride, 799, noon, 0},
		"an old list that opens":        {nil, number, In, 700, old, 0},
		"an old list that shuts":        {func(c *Config) { c.Stale = StaleShuts }, number, In, 700, old, ListStale},
		"on the way out it does not":    {func(c *Config) { c.Stale = StaleShuts }, number, Out, 700, old, 0},
		"unless nobody gets out":        {func(c *Config) { c.Stale, c.ShutIn = StaleShuts, true }, number, Out, 700, old, ListStale},
	} {
		p := newPost(t, func(config *Config) {
			if config.Purse = true; c.change != nil {
				c.change(config)
			}
		})
		p.now = c.now
		r := p.read(c.number)
		r.Direction, r.Amount, r.Outcome.Deferred = c.direction, money.New(c.minor, money.CNY), false
		b, err := r.Amount.BCD()
		if err != nil {
			t.Fatal(err)
		}
		r.Outcome.Data.Set(emv.TagAmount, b[:])
		if got := p.gate.Forbids(p.pan(c.number), r, p.snapshot, c.now); got != c.want {
			t.Errorf("%s: %v before, want %v", name, got, c.want)
		}
		after := c.want
		if after == 0 {
			after = OK
		}
		p.want(r, after)
		if p.gate.Failed() {
			t.Errorf("%s: the log failed", name)
		}
	}
}

// TestRefusedByReader: what the reader held against a card before it paid is the reason, and nothing of its cryptogram is kept; a card that paid is the gate's to judge.
func TestRefusedByReader(t *testing.T) {
	p := newPost(t, func(c *Config) { c.Purse = true })
	r := p.read(number)
	r.Outcome.Deferred, r.Refused = false, PassBack
	p.want(r, OK)
	r = p.read(number)
	r.Outcome.Kind, r.Outcome.Reason, r.Refused = kernel.EndApplication, kernel.ReasonRecordRefused, PassBack
	if d := p.want(r, PassBack); d.Open || len(d.Record.Sealed) != 0 || d.Record.Flags.Has(FlagPurse) {
		t.Errorf("%+v", d.Record)
	}
	for _, bad := range []Reason{OK, reasonEnd, 255} {
		r.Refused = bad
		if _, err := p.gate.Tap(r, p.snapshot, p.now); !errors.Is(err, ErrRead) {
			t.Errorf("refused for %d: %v", bad, err)
		}
	}
}

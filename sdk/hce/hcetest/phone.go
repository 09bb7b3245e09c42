package hcetest

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

// Clock stands still until it is moved.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// Now is the wall clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// NowMs and ElapsedNs are the platform's clocks.
func (c *Clock) NowMs() int64 { return c.Now().UnixMilli() }

// ElapsedNs counts from the tests' day.
func (c *Clock) ElapsedNs() int64 { return int64(c.Now().Sub(cardtest.Today)) }

// Options change a phone.
type Options struct {
	Seed   byte
	Suite  cryptogram.Suite
	Scheme cloudkey.Scheme
	// Password adds keys of that class, and is the right password.
	Password string
	// Cap is the amount without contact, minor units.
	Cap int64
	// Store stands between the engine and the memory; nil: nothing does.
	Store func(soft.Store) soft.Store
	// Network stands between the engine and the cloud.
	Network func(soft.Network) soft.Network
}

// Phone is a phone with one token, a cloud, and a reader to hold it to.
type Phone struct {
	testing.TB
	Clock    *Clock
	Cloud    *soft.Cloud
	Memory   *soft.Memory
	Platform *soft.Platform
	Engine   *hce.Engine
	Numbers  map[string]pan.Number
	o        Options
	field    *soft.Field
}

// Device and Token name the phone and its first token.
const (
	Device = "device-1"
	Token  = "tok-1"
)

// Config is the engine's configuration of the test phone.
const Config = `{"device": "device-1", "software_keys": true}`

// ErrNoNetwork is what a phone without network gets.
var ErrNoNetwork = errors.New("no network")

func source(seed byte, name string) *rand.ChaCha8 {
	return rand.NewChaCha8(sha256.Sum256([]byte{seed, 0xFF, byte(len(name)), name[0], name[len(name)-1]}))
}

// NewPhone makes a phone, enrols it, provisions its token and fetches the first keys.
func NewPhone(t testing.TB, o Options) *Phone {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("phone of seed %d", o.Seed)
		}
	})
	p := &Phone{TB: t, Clock: &Clock{at: cardtest.Today}, Memory: new(soft.Memory), Numbers: make(map[string]pan.Number), o: o}
	cloud, err := soft.NewCloud(soft.CloudOptions{
		Random: source(o.Seed, "cloud"), Now: p.Clock.Now, Suite: o.Suite, Scheme: o.Scheme, Device: 10, Open: 3, Password: 5 * min(len(o.Password), 1),
		AmountCap: o.Cap,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Cloud = cloud
	if err := p.Boot(p.Memory); err != nil {
		t.Fatal(err)
	}
	sign, agree := p.Platform.Keys()
	if err := cloud.Enrol(Device, sign, agree); err != nil {
		t.Fatal(err)
	}
	p.Add(Token, "62999812345678901")
	if err := p.Engine.Replenish(); err != nil {
		t.Fatal(err)
	}
	return p
}

// Boot starts the phone from a storage: the same after a crash, or a copy of it.
func (p *Phone) Boot(memory *soft.Memory) error {
	var store soft.Store = memory
	if p.o.Store != nil {
		store = p.o.Store(memory)
	}
	network := soft.Network(p.Cloud.Post)
	if p.o.Network != nil {
		network = p.o.Network(network)
	}
	p.o.Seed++ // randomness never begins anew
	platform, err := soft.NewPlatform(soft.Options{
		Store: store, Random: source(p.o.Seed, "platform"), NowMs: p.Clock.NowMs, ElapsedNs: p.Clock.ElapsedNs, Network: network,
	})
	if err != nil {
		return err
	}
	engine, err := hce.NewEngine(platform, Config)
	if err != nil {
		return err
	}
	p.Memory, p.Platform, p.Engine = memory, platform, engine
	return nil
}

// Copy is another phone with the same storage, key store and cloud: what a thief of everything has.
func (p *Phone) Copy() *Phone {
	p.Helper()
	other := *p
	other.o.Seed += 100
	other.Numbers = p.Numbers
	if err := other.Boot(p.Memory.Snapshot()); err != nil {
		p.Fatal(err)
	}
	return &other
}

// Add provisions a token. digits are its number without the check digit, in the token range.
func (p *Phone) Add(ref, digits string) {
	p.Helper()
	number, err := pan.CompleteLuhn(digits)
	if err != nil {
		p.Fatal(err)
	}
	expiry, err := pan.ParseExpiry("2911")
	if err != nil {
		p.Fatal(err)
	}
	order := soft.TokenOrder{Ref: ref, Device: Device, Number: number, Expiry: expiry, Label: "TAPNET DEBIT"}
	if p.o.Password != "" {
		salt := soft.Salt(ref)
		order.Verifier = p.Platform.Verifier(p.o.Password, salt[:])
	}
	wrapped, err := p.Cloud.Provision(order)
	if err != nil {
		p.Fatal(err)
	}
	if err := p.Engine.AddToken(wrapped); err != nil {
		p.Fatal(err)
	}
	p.Numbers[ref] = number
}

// Arm arms with a fingerprint and fails the test when the phone does not.
func (p *Phone) Arm(ref string) {
	p.Helper()
	if code := p.Engine.Arm(ref, hce.CVMFingerprint, 0); code != hce.ArmOK {
		p.Fatalf("arm: %d, %s", code, p.Engine.StatusJSON())
	}
}

// Hold holds the phone to a reader.
func (p *Phone) Hold() *soft.Field {
	p.field = soft.NewField(p.Engine, p.Clock.ElapsedNs)
	return p.field
}

// Tap arms, taps and leaves the field.
func (p *Phone) Tap(ref string, minor int64) kernel.Outcome {
	p.Helper()
	p.Arm(ref)
	return p.TapArmed(minor)
}

// TapArmed taps with what is armed, if anything is.
func (p *Phone) TapArmed(minor int64) kernel.Outcome {
	p.Helper()
	field := p.Hold()
	defer field.Remove()
	return Tap(p, Terminal(p), field, minor)
}

// Check is the cloud's verdict on an outcome of a token.
func (p *Phone) Check(ref string, o kernel.Outcome) soft.Verdict {
	p.Helper()
	if o.Kind != kernel.OnlineRequest {
		p.Fatalf("outcome %v, %v", o.Kind, o.Reason)
	}
	return p.Cloud.Verify(p.Numbers[ref], o.Data)
}

// Present implements Subject.
func (p *Phone) Present() apdu.Transceiver {
	p.Helper()
	if p.field != nil {
		p.field.Remove()
	}
	p.Arm("")
	return p.Hold()
}

// Remove implements Subject.
func (p *Phone) Remove() { p.field.Remove() }

// Verify implements Subject.
func (p *Phone) Verify(icc emv.Data) string { return p.Cloud.Verify(p.Numbers[Token], icc).Reason }

// AID implements Subject.
func (p *Phone) AID() emv.AID { return emv.AIDDebit }

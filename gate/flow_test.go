package gate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
)

// drawn gives unpredictable numbers and keeps the last: what a validator knows that the card must have signed.
type drawn struct{ last [4]byte }

func (d *drawn) Read(b []byte) (int, error) {
	sum := sha256.Sum256(d.last[:])
	copy(d.last[:], sum[:])
	return copy(b, d.last[:]), nil
}

var _ io.Reader = (*drawn)(nil)

// validator is the profile "offline data authentication for online" of the spine's terminal and kernel, unchanged.
type validator struct {
	*terminal.Terminal
	random *drawn
}

func newValidator(t testing.TB, issued *cardtest.Issued, cache kernel.KeyCache) validator {
	t.Helper()
	random := &drawn{}
	fare := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	term, err := terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x27, 0, 0, 0x80}, Random: random,
		Combinations: []terminal.Combination{{
			AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: fare(100_000), Floor: fare(0), CVM: fare(100_000)},
		}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, MerchantName: "METRO",
			SerialNumber: "00000001", CAKeys: issued.CAKeys, ODAForOnline: true, Cache: cache},
	})
	if err != nil {
		t.Fatal(err)
	}
	return validator{term, random}
}

func (v validator) read(t testing.TB, reader apdu.Transceiver, now time.Time) Read {
	t.Helper()
	result, err := v.Tap(context.Background(), reader, terminal.Request{
		Amount: money.New(700, money.CNY), Other: money.New(0, money.CNY), Now: now, Counter: 1})
	if err != nil {
		t.Fatal(err)
	}
	return Read{Outcome: result.Outcome, Random: v.random.last, Direction: In}
}

func transitCard(t testing.TB) (*card.Card, *cardtest.Issued) {
	t.Helper()
	return cardtest.New(t, cardtest.Options{Change: func(image *card.Image) {
		image.Applications[0].Extended = emv.ExtendedIndicator{0x40}
	}})
}

// TestCardAtGate takes a card of the spine through its terminal and kernel to an open gate, and then to a closed one.
func TestCardAtGate(t *testing.T) {
	c, issued := transitCard(t)
	p := newPost(t, func(c *Config) { c.Rules = nil })
	p.now = cardtest.Today
	v := newValidator(t, issued, new(kernel.MemoryCache))
	read := v.read(t, card.NewField(c), p.now)
	d := p.want(read, OK)
	if d.Record.ATC == 0 || d.Record.Flags != 0 || d.Record.Random != v.random.last {
		t.Errorf("record %+v", d.Record)
	}
	for _, tag := range []string{"9F26", "9F10", "9F36", "9F37"} { // what the back office presents
		if !containsTag(d.Record.Sealed, unhex(t, tag)) {
			t.Errorf("the back office does not get %s", tag)
		}
	}
	p.now = p.now.Add(time.Minute)
	p.want(v.read(t, card.NewField(c), p.now), PassBack)
	p.now = p.now.Add(time.Hour)
	again := v.read(t, card.NewField(c), p.now)
	p.want(again, OK)
	p.now = p.now.Add(time.Hour)
	p.want(read, CounterBack) // recorded and played again
	read.Random[0]++
	p.want(read, WrongAmount)

	p.deny(p.entry(denylist.Credential, p.key.Credential(issued.PAN, issued.Sequence, issued.Expiry), denylist.Debt))
	p.want(v.read(t, card.NewField(c), p.now), DeniedDebt)
	p.deny()
	p.now = p.now.AddDate(5, 0, 0)
	p.want(v.read(t, card.NewField(c), p.now), Expired)
}

func containsTag(data, tag []byte) bool {
	d, err := emv.ParseData(data)
	if err != nil {
		return false
	}
	for found := range d.All() {
		if uint32(found) == uint32(tag[0])<<8|uint32(tag[1]) {
			return true
		}
	}
	return false
}

// TestForgedCardAtGate: a card whose signature does not verify stays outside.
func TestForgedCardAtGate(t *testing.T) {
	c, issued := transitCard(t)
	p := newPost(t, func(c *Config) { c.Rules = nil })
	p.now = cardtest.Today
	_, other := cardtest.New(t, cardtest.Options{})
	other.CAKeys = nil // a gate that does not know the card's scheme
	p.want(newValidator(t, other, nil).read(t, card.NewField(c), p.now), ODAFailed)
	plain, _ := cardtest.New(t, cardtest.Options{Balance: -1}) // a card without authentication for online
	p.want(newValidator(t, issued, new(kernel.MemoryCache)).read(t, card.NewField(plain), p.now), ODAFailed)
}

// BenchmarkCardToGate is the whole tap against 10⁷ listed cards: terminal, kernel, gate, with the work of the simulated card in it.
func BenchmarkCardToGate(b *testing.B) {
	const many = 10_000_000
	entries := make([]denylist.Entry, many)
	for i := range entries {
		var id denylist.ID
		binary.BigEndian.PutUint64(id[:], uint64(i)*0x9E3779B97F4A7C15) // spread over all hashes
		e, err := denylist.NewEntry(denylist.Credential, id, denylist.Debt, 0)
		if err != nil {
			b.Fatal(err)
		}
		entries[i] = e
	}
	c, issued := transitCard(b)
	p := newPost(b, func(c *Config) { c.Rules, c.DoubleTap, c.PassBack, c.VelocityWindow = nil, Never, Never, Never })
	p.now = cardtest.Today
	p.deny(entries...)
	for name, cache := range map[string]kernel.KeyCache{"cold keys": nil, "warm keys": new(kernel.MemoryCache)} {
		b.Run(name, func(b *testing.B) {
			v := newValidator(b, issued, cache)
			var took []time.Duration
			last := b.Elapsed()
			for b.Loop() {
				p.want(v.read(b, card.NewField(c), p.now), OK)
				p.log.durable = p.log.durable[:0]
				took, last = append(took, b.Elapsed()-last), b.Elapsed()
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}

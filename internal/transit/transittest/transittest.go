// Package transittest holds what the tests of the transit office share: a small city with a tariff, gates that write real tap logs, cards, and an acquirer
// that answers by a script and keeps its own books.
//
// It is for tests only. Its keys are public: nothing it makes protects anything. It runs no kernel: a card's read result is made up.
package transittest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/hsm"
	"tapnet/internal/transit/fares"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

// Shanghai is a fixed offset, so that no zone file is needed.
var Shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

// Calendar is the city's: a service day begins at four in the morning.
var Calendar = fares.Calendar{Zone: Shanghai, DayStart: 4 * time.Hour}

// Tariff is the city's: a metro with four stations, a bus with one fare, a cap of ten yuan a day.
const Tariff = `
name = "test city"
currency = "CNY"
from = "2026-01-01"

[[category]]
name = "student"
percent = 50

[[service]]
name = "metro"
kind = "table"
pool = "city"
maximum = "15.00"
max_journey = "4h"
repeat = "2m"
same_station = { within = "20m", fare = "0.00", after = "4.00" }
[[service.fares]]
both = true
rows = [
  ["A", "A", "2.00"], ["A", "B", "3.00"], ["A", "C", "5.00"], ["A", "D", "7.00"],
  ["B", "B", "2.00"], ["B", "C", "3.00"], ["B", "D", "5.00"],
  ["C", "C", "2.00"], ["C", "D", "3.00"], ["D", "D", "2.00"],
]

[[service]]
name = "bus"
kind = "flat"
pool = "city"
[[service.fares]]
flat = "2.00"

[[cap]]
name = "day"
pool = "city"
period = "day"
amount = "10.00"

[incomplete]
grace_days = 3
`

// Book is the city's tariffs.
func Book(t testing.TB) *fares.Book {
	t.Helper()
	tariff, err := fares.Parse([]byte(Tariff), nil)
	if err != nil {
		t.Fatal(err)
	}
	book, err := fares.NewBook(Calendar, tariff)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// Numbers of stations.
const (
	A uint32 = iota + 1
	B
	C
	D
	Bus
	Inspector
)

// Signer signs the deny list.
var Signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// FirstEpoch is of the deny list's first key.
const FirstEpoch denylist.Epoch = 1

// IDs makes the keyed hashes of the first epoch.
func IDs(t testing.TB) denylist.EpochKey { return IDsOf(t, FirstEpoch) }

// IDsOf makes the keyed hashes of an epoch.
func IDsOf(t testing.TB, epoch denylist.Epoch) denylist.EpochKey {
	t.Helper()
	key, err := denylist.NewEpochKey(epoch, bytes.Repeat([]byte{byte(epoch) + 2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Keys are the keys of all epochs, as the office's security module gives them.
type Keys struct {
	testing.TB
	// Locked makes them unavailable but for the first.
	Locked bool
}

// Of implements transit.Keys.
func (k *Keys) Of(epoch denylist.Epoch) (gate.Identifier, error) {
	if k.Locked && epoch != FirstEpoch {
		return nil, hsm.ErrMisuse
	}
	return IDsOf(k, epoch), nil
}

// For implements transit.Keys.
func (k *Keys) For(device string, epoch denylist.Epoch) (gate.SealedKey, error) {
	if k.Locked {
		return gate.SealedKey{}, hsm.ErrMisuse
	}
	return gate.SealEpochKey(ChainKey(k, device), device, IDsOf(k, epoch), rand.NewChaCha8([32]byte{byte(epoch)}))
}

// Box seals card data as gates do and opens them as the office does.
type Box struct {
	HSM *hsm.HSM
	Key string
	// Locked makes Open fail.
	Locked bool
}

// Seal implements gate.Sealer.
func (b *Box) Seal(plain, additional []byte) ([]byte, error) {
	return b.HSM.SealData(b.Key, string(additional), plain)
}

// Open implements transit.Opener.
func (b *Box) Open(sealed, additional []byte) ([]byte, error) {
	if b.Locked {
		return nil, hsm.ErrMisuse
	}
	return b.HSM.OpenData(b.Key, string(additional), sealed)
}

// ChainKey is the key of a device's log.
func ChainKey(t testing.TB, device string) gate.ChainKey {
	t.Helper()
	key, err := gate.NewChainKey(bytes.Repeat([]byte(device+"."), 32)[:32])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Card is a card, or a token of one.
type Card struct {
	Number    pan.Number
	Sequence  string     // of the card among those of its number, two digits
	Expires   pan.Expiry // year and month
	Reference string     // payment account reference that the chip shows; empty for none
	ATC       uint16
	Purse     bool  // pays by itself
	Pays      int64 // what the gate asks of it, in minor units
}

// NewCard makes a card of the test range: its digits lack the check digit.
func NewCard(t testing.TB, serial int) *Card {
	t.Helper()
	digits := append([]byte("629999"), "000000000000"...)
	for i := len(digits) - 1; serial > 0; i, serial = i-1, serial/10 {
		digits[i] = '0' + byte(serial%10)
	}
	number, err := pan.CompleteLuhn(string(digits))
	if err != nil {
		t.Fatal(err)
	}
	return &Card{Number: number, Sequence: "01", Expires: Expires}
}

// Replaced is the card that the bank sends when this one is lost or runs out: of the same number, the next sequence, and a later date. It begins to count anew.
func (c *Card) Replaced(t testing.TB) *Card {
	t.Helper()
	later, err := pan.ParseExpiry("3112")
	if err != nil {
		t.Fatal(err)
	}
	return &Card{Number: c.Number, Sequence: "02", Expires: later, Reference: c.Reference}
}

// Expires is when the cards of the tests do.
var Expires, _ = pan.ParseExpiry("3012")

// ID is the card's keyed hash.
func (c *Card) ID(ids denylist.EpochKey) denylist.ID {
	return ids.Credential(c.Number, c.Sequence, c.Expires)
}

// Device is a gate with its log in memory.
type Device struct {
	testing.TB
	Name string
	Key  gate.ChainKey
	Log  []byte
	Sent gate.Head
	gate *gate.Gate
	cut  int // of Log: what Sent has
	list *denylist.Snapshot
	held []denylist.Epoch
	told uint64 // number of the last report
}

// highest is the most that a gate asks of a purse.
const highest = 100_000

// NewDevice makes a gate at a station.
func NewDevice(t testing.TB, box *Box, name string, station uint32) *Device {
	t.Helper()
	d := &Device{TB: t, Name: name, Key: ChainKey(t, name), held: []denylist.Epoch{FirstEpoch}}
	config := gate.Config{
		Device: name, Station: station, Amount: money.New(0, money.CNY), ChainKey: d.Key, Country: 156, Purse: true, Highest: money.New(highest, money.CNY),
		DoubleTap: gate.Never, PassBack: gate.Never, VelocityWindow: gate.Never,
	}
	g, _, _, err := gate.Replay(config, gate.Ports{IDs: []gate.Identifier{IDs(t)}, Sealer: box, Log: d}, nil, gate.Head{}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	d.gate = g
	return d
}

// Append implements gate.Log.
func (d *Device) Append(record []byte) error {
	d.Log = append(d.Log, record...)
	return nil
}

// Deny sets the list that the gate asks.
func (d *Device) Deny(s *denylist.Snapshot) { d.list = s }

// Health is the device's next report.
func (d *Device) Health(at time.Time) gate.Health {
	d.told = max(d.told+1, uint64(at.UnixMilli())) // as a courier counts: also after a start from nothing
	h := gate.Health{Device: d.Name, Number: d.told, At: at, ListAge: -1, Epochs: d.held}
	if d.list != nil {
		h.ListAge, h.ListEpoch, h.ListSequence = 0, d.list.Epoch(), d.list.Position().Sequence
	}
	return h
}

// Take keeps the keys of an answer, as a courier does.
func (d *Device) Take(a gate.HealthAnswer) {
	d.Helper()
	for _, s := range a.Keys {
		k, err := gate.OpenEpochKey(d.Key, d.Name, s)
		if err != nil {
			d.Fatal(err)
		}
		d.Hold(append(slices.Clone(d.held), k.Epoch())...)
	}
}

// Hold sets the epochs whose keys the gate holds, at most the last two.
func (d *Device) Hold(epochs ...denylist.Epoch) {
	d.Helper()
	slices.Sort(epochs)
	d.held = epochs[max(0, len(epochs)-gate.MaxKeys):]
	var ids []gate.Identifier
	for _, e := range d.held {
		ids = append(ids, IDsOf(d.TB, e))
	}
	if err := d.gate.Identifiers(ids); err != nil {
		d.Fatal(err)
	}
}

// Read is what a kernel would give for the card's next tap.
func (c *Card) Read(direction gate.Direction) gate.Read {
	c.ATC++
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = !c.Purse, kernel.CVMNone, kernel.ODAPassed
	var data emv.Data
	data.Set(emv.TagPAN, c.Number.BCD())
	data.Set(emv.TagExpiryDate, append(packed(c.Expires.String()), 0x31))
	data.Set(emv.TagPANSequence, packed(c.Sequence))
	data.Set(emv.TagATC, binary.BigEndian.AppendUint16(nil, c.ATC))
	data.Set(emv.TagAC, []byte{1, 2, 3, 4, 5, 6, byte(c.ATC >> 8), byte(c.ATC)})
	amount := money.New(c.Pays, money.CNY)
	packedAmount, err := amount.BCD()
	if err != nil {
		panic("transittest: " + err.Error())
	}
	data.Set(emv.TagAmount, packedAmount[:])
	data.Set(emv.TagCurrency, []byte{0x01, 0x56})
	random := [4]byte{9, 8, byte(c.ATC >> 8), byte(c.ATC)}
	data.Set(emv.TagUnpredictableNumber, random[:])
	if c.Reference != "" {
		data.Set(emv.TagPAR, []byte(c.Reference))
	}
	o.Data = data
	return gate.Read{Outcome: o, Random: random, Direction: direction, Amount: amount}
}

// packed puts two digits into each octet.
func packed(digits string) (b []byte) {
	for i := 0; i+1 < len(digits); i += 2 {
		b = append(b, (digits[i]-'0')<<4|(digits[i+1]-'0'))
	}
	return b
}

// Tap lets a card tap and returns the decision.
func (d *Device) Tap(c *Card, direction gate.Direction, at time.Time) gate.Decision {
	d.Helper()
	decision, err := d.gate.Tap(c.Read(direction), d.list, at)
	if err != nil {
		d.Fatal(err)
	}
	return decision
}

// NotPassed takes a tap back.
func (d *Device) NotPassed(tap gate.Record, at time.Time) {
	d.Helper()
	if err := d.gate.NotPassed(tap, at); err != nil {
		d.Fatal(err)
	}
}

// Chunk is what the log has beyond the last chunk, at most so many records; 0 is all.
func (d *Device) Chunk(most int) gate.Chunk {
	d.Helper()
	log := d.Log[d.cut:]
	if most > 0 {
		end := 0
		for i := 0; i < most && end < len(log); i++ {
			end += int(binary.BigEndian.Uint16(log[end+4:]))
		}
		log = log[:end]
	}
	c, err := gate.NewChunk(d.Key, d.Name, d.Sent, log)
	if err != nil {
		d.Fatal(err)
	}
	head, err := c.Verify(d.Key, nil)
	if err != nil {
		d.Fatal(err)
	}
	d.Sent, d.cut = head, d.cut+len(c.Records)
	return c
}

// Left is the number of bytes that are in no chunk yet.
func (d *Device) Left() int { return len(d.Log) - d.cut }

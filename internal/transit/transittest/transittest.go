// Package transittest holds what the tests of the transit office share: a small city with a tariff, gates that write real tap logs, cards, and an acquirer
// that answers by a script and keeps its own books.
//
// It is for tests only. Its keys are public: nothing it makes protects anything. It runs no kernel: a card's read result is made up.
package transittest

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
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

// IDs makes the keyed hashes.
func IDs(t testing.TB) denylist.EpochKey {
	t.Helper()
	key, err := denylist.NewEpochKey(1, bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
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
	Reference string // payment account reference that the chip shows; empty for none
	ATC       uint16
	Purse     bool // pays by itself
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
	return &Card{Number: number}
}

// Expires is when the cards of the tests do.
var Expires, _ = pan.ParseExpiry("3012")

// ID is the card's keyed hash.
func (c *Card) ID(ids denylist.EpochKey) denylist.ID { return ids.Credential(c.Number, "01", Expires) }

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
}

// NewDevice makes a gate at a station.
func NewDevice(t testing.TB, box *Box, name string, station uint32) *Device {
	t.Helper()
	d := &Device{TB: t, Name: name, Key: ChainKey(t, name)}
	config := gate.Config{
		Device: name, Station: station, Amount: money.New(0, money.CNY), ChainKey: d.Key, Country: 156, Purse: true,
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

// Read is what a kernel would give for the card's next tap.
func (c *Card) Read(direction gate.Direction) gate.Read {
	c.ATC++
	o := kernel.NewOutcome(kernel.Approved, kernel.ReasonDeferred, kernel.ReasonDeferred.Term())
	o.Deferred, o.CVM, o.ODA.Status = !c.Purse, kernel.CVMNone, kernel.ODAPassed
	var data emv.Data
	data.Set(emv.TagPAN, c.Number.BCD())
	data.Set(emv.TagExpiryDate, []byte{0x30, 0x12, 0x31})
	data.Set(emv.TagPANSequence, []byte{1})
	data.Set(emv.TagATC, binary.BigEndian.AppendUint16(nil, c.ATC))
	data.Set(emv.TagAC, []byte{1, 2, 3, 4, 5, 6, byte(c.ATC >> 8), byte(c.ATC)})
	data.Set(emv.TagAmount, make([]byte, 6))
	data.Set(emv.TagCurrency, []byte{0x01, 0x56})
	random := [4]byte{9, 8, byte(c.ATC >> 8), byte(c.ATC)}
	data.Set(emv.TagUnpredictableNumber, random[:])
	if c.Reference != "" {
		data.Set(emv.TagPAR, []byte(c.Reference))
	}
	o.Data = data
	return gate.Read{Outcome: o, Random: random, Direction: direction}
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

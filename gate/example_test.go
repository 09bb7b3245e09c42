package gate_test

import (
	"bytes"
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
)

// flash is the device's storage: here in memory. A real Append returns when the record will survive a loss of power.
type flash struct {
	log  []byte
	key  gate.ChainKey
	sent gate.Head // what the back office has
}

func (f *flash) Append(record []byte) error { f.log = append(f.log, record...); return nil }

// Chunk, Acknowledge, Maintain and Backlog are gate.Uploads.
func (f *flash) Chunk() (gate.Chunk, bool, error) {
	if len(f.log) == 0 {
		return gate.Chunk{}, false, nil
	}
	chunk, err := gate.NewChunk(f.key, "GATE-07", f.sent, f.log)
	return chunk, err == nil, err
}

func (f *flash) Acknowledge(sealed []byte) error {
	receipt, err := gate.ParseReceipt(f.key, "GATE-07", sealed)
	if err == nil { // a device whose receipt ends in the middle keeps what stands behind it
		f.log, f.sent = nil, gate.Head{Sequence: receipt.Sequence, Link: receipt.Link}
	}
	return err
}

func (f *flash) Maintain(time.Time) error { return nil }
func (f *flash) Backlog() gate.Backlog    { return gate.Backlog{Bytes: int64(len(f.log))} }

// KeepBase and KeepDelta are gate.Lists.
func (f *flash) KeepBase([]byte, denylist.Position) error  { return nil }
func (f *flash) KeepDelta([]byte, denylist.Position) error { return nil }

// read is what the kernel says about a card that proved itself, and signed 7.00 and the number of this tap.
func read(random [4]byte) kernel.Outcome {
	o := kernel.Outcome{Kind: kernel.Approved, Deferred: true, ODA: kernel.ODAResult{Status: kernel.ODAPassed}}
	o.Data.Set(emv.TagPAN, []byte{0x62, 0x99, 0x99, 0, 0, 0, 0, 0, 0, 0x1F})
	o.Data.Set(emv.TagExpiryDate, []byte{0x30, 0x12, 0x31})
	o.Data.Set(emv.TagATC, []byte{0, 5})
	o.Data.Set(emv.TagAmount, []byte{0, 0, 0, 0, 0x07, 0})
	o.Data.Set(emv.TagCurrency, []byte{0x01, 0x56})
	o.Data.Set(emv.TagUnpredictableNumber, random[:])
	return o
}

// must ends an example at the first trouble; a device stays shut and says so.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ExampleGate starts a gate from its log, lets a card through, and brings the records to the back office.
func ExampleGate() {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.FixedZone("CST", 8*60*60)) // in the operator's zone
	key := must(gate.NewChainKey(bytes.Repeat([]byte{1}, 32)))                 // three keys out of the device's secure module
	ids := must(denylist.NewEpochKey(1, bytes.Repeat([]byte{2}, 32)))
	seal := must(gate.NewSealKey(bytes.Repeat([]byte{3}, 32), bytes.NewReader(make([]byte, 64)))) // crypto/rand.Reader in a device
	store := &flash{key: key}

	config := gate.Config{Device: "GATE-07", Station: 12, Amount: money.New(700, money.CNY), ChainKey: key, Country: 156}
	g, good, _, err := gate.Replay(config, gate.Ports{IDs: []gate.Identifier{ids}, Sealer: seal, Log: store}, store.log, gate.Head{}, now)
	if err != nil {
		panic(err)
	}
	store.log = store.log[:good] // what a loss of power tore off never opened the gate

	random := [4]byte{4, 3, 2, 1} // drawn for this tap
	tap := must(g.Tap(gate.Read{Outcome: read(random), Random: random, Direction: gate.In}, nil, now))
	fmt.Printf("open: %t, %v, record %d\n", tap.Open, tap.Reason(), tap.Record.Sequence)
	again := must(g.Tap(gate.Read{Outcome: read(random), Random: random, Direction: gate.In}, nil, now.Add(time.Second)))
	fmt.Printf("open: %t, %v\n", again.Open, again.Reason())

	courier := must(gate.NewCourier(gate.CourierConfig{Device: "GATE-07", Key: key}, store, store, nil, now))
	for now = now.Add(time.Minute); ; {
		ask, due := courier.Next(now)
		if !due {
			break
		}
		if ask.Kind != gate.AskChunk { // deny lists and reports go the same way
			courier.Done(ask, gate.Answer{}, fmt.Errorf("no answer"), now)
			continue
		}
		chunk := must(gate.ParseChunk(ask.Body)) // from here on the back office: it verifies, keeps, and gives a receipt
		head := must(chunk.Verify(key, func(r gate.Record) {
			fmt.Println("office:", r.Sequence, r.Kind == gate.StartRecord, r.Reason == gate.OK)
		}))
		receipt := gate.EncodeReceipt(key, gate.Receipt{Device: chunk.Device, Sequence: head.Sequence, Link: head.Link})
		courier.Done(ask, gate.Answer{Status: gate.Fine, Body: receipt}, nil, now)
	}
	fmt.Println("bytes to upload:", store.Backlog().Bytes)
	// Output:
	// open: true, welcome, record 2
	// open: false, already tapped
	// office: 1 true false
	// office: 2 false true
	// office: 3 false false
	// bytes to upload: 0
}

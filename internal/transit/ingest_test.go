package transit

import (
	"errors"
	"slices"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/internal/transit/transittest"
)

// logOf gives the chunks of a bus that was tapped n times, most records each.
func logOf(c *city, n, most int) []gate.Chunk {
	card := transittest.NewCard(c, 1)
	d := c.devices["bus"]
	for i := range n {
		d.Tap(card, gate.Ride, morning.Add(time.Duration(i)*time.Minute))
	}
	var chunks []gate.Chunk
	for d.Left() > 0 {
		chunks = append(chunks, d.Chunk(most))
	}
	return chunks
}

// TestForgedChunks: what was altered, made with another key, or cut is refused with a reason, and nothing else stops.
func TestForgedChunks(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "single"))
	chunks := logOf(c, 6, 3)
	good := chunks[0]
	for name, want := range map[string]struct {
		change func(*gate.Chunk)
		err    error
	}{
		"a byte changed":      {func(x *gate.Chunk) { x.Records = slices.Clone(x.Records); x.Records[60] ^= 1 }, gate.ErrForged},
		"the code changed":    {func(x *gate.Chunk) { x.MAC[0] ^= 1 }, gate.ErrForged},
		"another number":      {func(x *gate.Chunk) { x.First += 5 }, gate.ErrForged},
		"another device":      {func(x *gate.Chunk) { x.Device = "a" }, gate.ErrForged},
		"an unknown device":   {func(x *gate.Chunk) { x.Device = "nobody" }, ErrDevice},
		"the last record off": {func(x *gate.Chunk) { x.Records = x.Records[:len(x.Records)/2] }, gate.ErrForged},
	} {
		bad := good
		want.change(&bad)
		err, ok := c.ask(Ingest{Chunk: bad}).(error)
		if !ok || !errors.Is(err, want.err) {
			t.Errorf("%s: %v, want %v", name, err, want.err)
		}
	}
	if n := len(c.Rows()); n != 0 {
		t.Errorf("%d rows of refused chunks", n)
	}
	for _, chunk := range chunks {
		if got, ok := c.ask(Ingest{Chunk: chunk}).(Ingested); !ok || got.New == 0 {
			t.Fatalf("a good chunk is refused: %+v", got)
		}
	}
	if got := c.ask(Ingest{Chunk: good}).(Ingested); got.New != 0 || got.Known == 0 {
		t.Errorf("a chunk played again: %+v", got)
	}
}

// TestAGapIsAskedFor: what is missing is known and asked for until it comes.
func TestAGapIsAskedFor(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "single"))
	chunks := logOf(c, 9, 2)
	last := c.ask(Ingest{Chunk: chunks[4]}).(Ingested)
	if len(last.Missing) != 1 || last.Missing[0] != (Gap{First: 1, Last: chunks[4].First - 1}) || last.Receipt.Sequence != 0 {
		t.Fatalf("%+v", last)
	}
	first := c.ask(Ingest{Chunk: chunks[0]}).(Ingested)
	if first.Receipt.Sequence != 2 || len(first.Missing) != 1 || first.Missing[0].First != 3 {
		t.Fatalf("%+v", first)
	}
	for _, i := range []int{2, 1, 3} {
		c.ask(Ingest{Chunk: chunks[i]})
	}
	done := c.ask(Ingest{Chunk: chunks[0]}).(Ingested)
	if len(done.Missing) != 0 || done.Receipt.Sequence != 10 || done.Receipt.Link != chunks[4].After {
		t.Errorf("%+v", done)
	}
	if n := c.office.state.totals.Opened; n != 9 {
		t.Errorf("%d taps", n)
	}
}

// TestALogPutBack: a device whose log was set back to an earlier state contradicts what is known and is refused.
func TestALogPutBack(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "single"))
	for _, chunk := range logOf(c, 4, 0) {
		c.ask(Ingest{Chunk: chunk})
	}
	other := transittest.NewDevice(t, c.box, "bus", transittest.Bus)
	for i := range 8 {
		other.Tap(transittest.NewCard(t, 2), gate.Ride, morning.Add(time.Duration(i)*time.Hour))
	}
	err, ok := c.ask(Ingest{Chunk: other.Chunk(0)}).(error)
	if !ok || !errors.Is(err, ErrFork) {
		t.Errorf("another log of the device: %v", err)
	}
}

// TestOverlaps: chunks that were cut elsewhere bring in what is new, once.
func TestOverlaps(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "single"))
	d := c.devices["bus"]
	card := transittest.NewCard(t, 1)
	for i := range 5 {
		d.Tap(card, gate.Ride, morning.Add(time.Duration(i)*time.Minute))
	}
	from := gate.Head{}
	short := d.Chunk(0)
	for i := range 5 {
		d.Tap(card, gate.Ride, morning.Add(time.Duration(10+i)*time.Minute))
	}
	long, err := gate.NewChunk(d.Key, d.Name, from, d.Log)
	if err != nil {
		t.Fatal(err)
	}
	c.ask(Ingest{Chunk: short})
	if got := c.ask(Ingest{Chunk: long}).(Ingested); got.New != 5 || got.Known != 6 || got.Receipt.Sequence != 11 {
		t.Errorf("%+v", got)
	}
	if n := c.office.state.totals.Opened; n != 10 {
		t.Errorf("%d taps", n)
	}
}

// TestALogLost: a device that lost its log begins anew beyond its numbers; the numbers between are lost, and nobody waits for them.
func TestALogLost(t *testing.T) {
	var known []span
	link := func(b byte) gate.Link { return gate.Link{b} }
	pieces, err := fit(known, 1, gate.Link{}, []gate.Link{link(1), link(2)})
	if err != nil || len(pieces) != 1 {
		t.Fatal(pieces, err)
	}
	known = insert(known, span{first: 1, last: 2, after: link(2)})
	if pieces, err = fit(known, 1000, gate.Link{}, []gate.Link{link(9)}); err != nil || len(pieces) != 1 {
		t.Fatal(pieces, err)
	}
	known = insert(known, span{first: 1000, last: 1000, after: link(9), fresh: true})
	if got := gaps(known); len(got) != 1 || !got[0].Lost || got[0].Last != 999 {
		t.Errorf("gaps %v", got)
	}
	if got := reached(known); got.Sequence != 1000 || got.Link != link(9) {
		t.Errorf("reached %v", got)
	}
	if _, err := fit(known, 1001, link(8), []gate.Link{link(7)}); !errors.Is(err, ErrFork) {
		t.Errorf("a chunk that follows something else: %v", err)
	}
	if _, err := fit(known, 3, link(8), []gate.Link{link(7)}); !errors.Is(err, ErrFork) {
		t.Errorf("a chunk that follows something else: %v", err)
	}
}

// TestAClockAhead: a tap from the future is taken to be of when it came in.
func TestAClockAhead(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "aggregate"))
	card := transittest.NewCard(t, 1)
	c.at(0, 9, 0)
	c.tap(card, "bus", gate.Ride, morning.AddDate(3, 0, 0))
	c.upload("bus")
	c.closeDay(0)
	c.oneBill(Paid, 200)
	if c.office.state.devices[c.office.state.deviceBy["bus"]].ahead != 1 {
		t.Error("nobody is told of the clock")
	}
}

// TestTooLate: a tap whose weeks are over ends, and costs nothing.
func TestTooLate(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "aggregate"))
	card := transittest.NewCard(t, 1)
	c.tap(card, "bus", gate.Ride, morning.Add(-60*day))
	c.upload("bus")
	c.closeDay(0)
	if len(c.bills()) != 0 || c.office.state.totals.States[TapTooLate] != 1 {
		t.Errorf("%d bills, %v", len(c.bills()), c.office.state.totals.States)
	}
}

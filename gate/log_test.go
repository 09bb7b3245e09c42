package gate

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
)

// written is a log of some taps, and where its records begin.
func written(t testing.TB) (*post, []int) {
	t.Helper()
	p := newPost(t, nil)
	var starts []int
	mark := func() { starts = append(starts, len(p.log.durable)) }
	starts = append(starts, 0)
	first := p.want(p.read(number), OK)
	starts = append(starts, minRecord) // the StartRecord has no sealed data
	mark()
	if err := p.gate.NotPassed(first.Record, p.now); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		mark()
		p.now = p.now.Add(time.Hour)
		p.want(p.read(number), OK)
	}
	return p, starts
}

func TestEveryAlteredByteIsFound(t *testing.T) {
	p, starts := written(t)
	log := p.log.durable
	head, broken := Verify(log, p.config.ChainKey, Head{}, nil)
	if broken != nil || head != p.gate.Head() || int(head.Sequence) != len(starts) {
		t.Fatalf("%d records of %d: %v", head.Sequence, len(starts), broken)
	}
	for i := range log {
		altered := bytes.Clone(log)
		altered[i] ^= 1
		at, n := startOf(starts, i)
		_, broken := Verify(altered, p.config.ChainKey, Head{}, nil)
		if broken == nil || broken.Offset != at || broken.Sequence != n {
			t.Fatalf("byte %d: %v, want record at %d", i, broken, at)
		}
	}
}

// startOf gives the beginning of the record that holds a byte, and the number of records before it.
func startOf(starts []int, offset int) (at int, before uint64) {
	i, exact := slices.BinarySearch(starts, offset)
	if !exact {
		i--
	}
	return starts[i], uint64(i)
}

func TestDroppedAndReorderedRecordsAreFound(t *testing.T) {
	p, starts := written(t)
	log, key := p.log.durable, p.config.ChainKey
	one, two, three := log[:starts[1]], log[starts[1]:starts[2]], log[starts[2]:starts[3]]
	for name, c := range map[string]struct {
		log  []byte
		good uint64
	}{
		"first missing": {slices.Concat(two, three), 0},
		"one missing":   {slices.Concat(one, three), 1},
		"exchanged":     {slices.Concat(one, three, two), 1},
		"twice":         {slices.Concat(one, two, two), 2},
		"of zeros":      {slices.Concat(one, make([]byte, 200)), 1},
	} {
		if head, broken := Verify(c.log, key, Head{}, nil); broken == nil || broken.Torn || head.Sequence != c.good || broken.String() == "" {
			t.Errorf("%s: %d good, %v", name, head.Sequence, broken)
		}
	}
	other, err := NewChainKey(bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if head, broken := Verify(log, other, Head{}, nil); broken == nil || head.Sequence != 0 {
		t.Error("another device's key fits")
	}
	middle, broken := Verify(log[:starts[3]], key, Head{}, nil)
	if broken != nil {
		t.Fatal(broken)
	}
	if head, broken := Verify(log[starts[3]:], key, middle, nil); broken != nil || head != p.gate.Head() {
		t.Errorf("in two pieces: %v", broken)
	}
	if _, broken := Verify(log[starts[3]:], key, Head{Sequence: 3}, nil); broken == nil {
		t.Error("a piece follows from nothing")
	}
}

// TestPowerLoss cuts the power at every byte of the log. What was opened is in the log: the gate opens only after the whole record is
// there, so a cut inside a record is a gate that stayed shut.
func TestPowerLoss(t *testing.T) {
	p, starts := written(t)
	whole := p.log.durable
	for cut := range len(whole) + 1 {
		p.log.durable = bytes.Clone(whole[:cut])
		broken := p.start()
		at, n := startOf(starts, cut)
		if cut == len(whole) {
			at, n = cut, uint64(len(starts))
		}
		if (broken == nil) != (cut == at) || broken != nil && !broken.Torn || len(p.log.durable) != at || p.gate.Head().Sequence != n {
			t.Fatalf("cut at %d: %v, %d bytes kept, %d records", cut, broken, len(p.log.durable), p.gate.Head().Sequence)
		}
		if cut%97 == 0 { // it goes on from there
			p.want(p.read(token), OK)
			if _, broken := Verify(p.log.durable, p.config.ChainKey, Head{}, nil); broken != nil {
				t.Fatalf("cut at %d, then a tap: %v", cut, broken)
			}
		}
	}
}

// TestDamageIsNotCutOff: what a loss of power cannot have done is not thrown away.
func TestDamageIsNotCutOff(t *testing.T) {
	p, starts := written(t)
	ports := Ports{IDs: []Identifier{p.key}, Sealer: p.sealer, Log: p.log}
	log := slices.Concat(p.log.durable, make([]byte, maxRecord)) // a file that was longer than what was written
	log[starts[1]+atReason]++
	g, good, broken, err := Replay(p.config, ports, log, Head{}, p.now)
	if g != nil || good != starts[1] || broken == nil || !errors.Is(err, ErrBroken) {
		t.Fatalf("%d bytes good, %v, %v", good, broken, err)
	}
	if _, _, _, err := Replay(p.config, ports, log[:good], Head{}, p.now); err != nil {
		t.Error(err)
	}
}

// orderLog fails at a drawn append, and notes what was durable before each answer.
type orderLog struct {
	memoryLog
	failAt int
	count  int
}

func (l *orderLog) Append(record []byte) error {
	l.count++
	if l.count == l.failAt {
		l.fail = errors.New("power")
	}
	return l.memoryLog.Append(record)
}

// TestReplayRemembers drives a gate with any taps, times and losses of power: every opened gate is in the log, what Replay remembers is
// what the gate remembered, and a card never passes twice in one direction within the pass-back time, nor with a counter seen before.
func TestReplayRemembers(t *testing.T) {
	base := newPost(t, func(c *Config) { c.VelocityLimit = 4 })
	cards := []string{number, token, "6299980000000000020", "6299980000000000038", "6299980000000000046"}
	rapid.Check(t, func(r *rapid.T) {
		log := &orderLog{failAt: rapid.IntRange(1, 40).Draw(r, "power cut at append")}
		log.torn = rapid.IntRange(0, maxRecord).Draw(r, "bytes that got through")
		base.config.Remembered = rapid.SampledFrom([]int{3, len(cards)}).Draw(r, "remembered")
		ports := Ports{IDs: []Identifier{base.key}, Sealer: openSealer{}, Log: log}
		now := noon
		start := func() *Gate {
			g, good, _, err := Replay(base.config, ports, log.durable, Head{}, now)
			if err != nil {
				r.Fatal(err)
			}
			log.durable = log.durable[:good]
			return g
		}
		g, opened := start(), map[uint64]Record{}
		lastOpen := map[denylist.ID]Record{}
		for range rapid.IntRange(1, 40).Draw(r, "taps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400).Draw(r, "seconds")) * time.Second)
			base.now = now
			read := base.read(rapid.SampledFrom(cards).Draw(r, "card"))
			read.Direction = rapid.SampledFrom([]Direction{In, Out}).Draw(r, "direction")
			if rapid.Bool().Draw(r, "old counter") {
				read.Outcome.Data.Set(emv.TagATC, []byte{0, byte(rapid.IntRange(0, 255).Draw(r, "counter"))})
			}
			d, err := g.Tap(read, base.snapshot, now)
			if (err != nil) != (d.Reason() == LogFailed) || d.Open != (d.Reason() == OK) {
				r.Fatalf("open %v, %v: %v", d.Open, d.Reason(), err)
			}
			if d.Open {
				opened[d.Record.Sequence] = d.Record
				before, again := lastOpen[d.Record.ID]
				if again = again && g.memory.limit >= len(cards); again && d.Record.ATC <= before.ATC {
					r.Fatal("a counter seen before opened")
				}
				if again && d.Record.Direction == before.Direction && now.Sub(before.At) < base.gate.config.PassBack {
					r.Fatal("a card was passed back")
				}
				lastOpen[d.Record.ID] = d.Record
			}
			if err != nil { // the record may be in the log although the gate stayed shut
				delete(lastOpen, d.Record.ID)
			}
			if err != nil || rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
				log.fail = nil
				before := g
				g = start()
				if err == nil && !sameMemory(&before.memory, &g.memory) {
					r.Fatal("Replay remembers something else")
				}
			}
		}
		if _, broken := Verify(log.durable, base.config.ChainKey, Head{}, func(found Record) {
			if want, ok := opened[found.Sequence]; ok {
				if found.Reason != OK || found.ID != want.ID || !found.At.Equal(want.At) {
					r.Fatalf("record %d is not what was decided", found.Sequence)
				}
				delete(opened, found.Sequence)
			}
		}); broken != nil {
			r.Fatal(broken)
		}
		if len(opened) != 0 {
			r.Fatalf("opened and not in the log: %v", slices.Collect(maps.Keys(opened)))
		}
	})
}

func sameMemory(a, b *memory) bool {
	if a.order.Len() != b.order.Len() {
		return false
	}
	for x, y := a.order.Front(), b.order.Front(); x != nil; x, y = x.Next(), y.Next() {
		s, o := x.Value.(*sighting), y.Value.(*sighting)
		if s.id != o.id || s.hasATC != o.hasATC || s.atc != o.atc || s.open != o.open || !s.at.Equal(o.at) || s.direction != o.direction ||
			!s.trusted.Equal(o.trusted) || s.ride != o.ride || s.void != o.void || !slices.EqualFunc(s.taps, o.taps, time.Time.Equal) {
			return false
		}
	}
	return true
}

func TestRecordsHoldNoNumber(t *testing.T) {
	p := newPost(t, nil)
	d := p.want(p.read(number), OK)
	body := (&Record{ID: d.Record.ID}).body()
	if bytes.Contains(body, p.pan(number).BCD()) || bytes.Contains(d.Record.additional(), p.pan(number).BCD()) {
		t.Error("the number stands beside the seal")
	}
	if !bytes.Contains(d.Record.Sealed, p.pan(number).BCD()) {
		t.Error("the sealed data are not the card's")
	}
	debtor := newPost(t, nil)
	debtor.deny(debtor.entry(denylist.Credential, debtor.id(number), denylist.Debt))
	if d := debtor.want(debtor.read(number), DeniedDebt); len(d.Record.Sealed) == 0 {
		t.Error("a debt cannot be collected with this tap")
	}
	debtor.deny(debtor.entry(denylist.Credential, debtor.id(number), denylist.Lost))
	if d := debtor.want(debtor.read(number), DeniedBlocked); len(d.Record.Sealed) != 0 {
		t.Error("data are kept of a tap that nobody charges")
	}
}

func FuzzVerify(f *testing.F) {
	p, starts := written(f)
	f.Add(p.log.durable)
	f.Add(p.log.durable[:starts[2]+9])
	f.Add([]byte(recordMagic))
	f.Fuzz(func(t *testing.T, log []byte) {
		_, _ = Verify(log, p.config.ChainKey, Head{}, nil)
		if len(log) < atSealed || recordLength(log) != len(log)+chainBytes {
			return
		}
		r, err := parseRecord(log)
		if err != nil {
			return
		}
		if again := r.body(); !bytes.Equal(again, log) {
			t.Fatalf("%x was read, %x is written", log, again)
		}
	})
}

func TestBodyIsReadBack(t *testing.T) {
	r := Record{Kind: TapRecord, Sequence: 9, At: noon.UTC(), Device: "x", Station: 3, Direction: Out, Reason: PassBack, Flags: FlagPassBack,
		ID: denylist.ID{1}, Epoch: 4, ATC: 5, Random: [4]byte{6}, Amount: 700, Currency: 156, List: 8, Sealed: []byte{1, 2}}
	got, err := parseRecord(r.body())
	if err != nil || !bytes.Equal(got.body(), r.body()) || got.Device != "x" || got.Reason != PassBack || !got.At.Equal(r.At) {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, change := range map[string]func(*Record){
		"kind": func(r *Record) { r.Kind = kindEnd }, "no kind": func(r *Record) { r.Kind = 0 },
		"direction": func(r *Record) { r.Direction = directionEnd }, "reason": func(r *Record) { r.Reason = reasonEnd },
		"no reason": func(r *Record) { r.Reason = 0 }, "subject": func(r *Record) { r.Subject = 1 },
		"number": func(r *Record) { r.Sequence = 0 }, "amount": func(r *Record) { r.Amount = -1 },
		"flags": func(r *Record) { r.Flags = flagsEnd }, "device": func(r *Record) { r.Device = "a\x00b" },
		"time": func(r *Record) { r.At = time.UnixMilli(maxRecordClock + 1) }, "start with reason": func(r *Record) { r.Kind = StartRecord },
	} {
		bad := r
		change(&bad)
		if _, err := parseRecord(bad.body()); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func BenchmarkTap(b *testing.B) {
	p := newPost(b, func(c *Config) { c.DoubleTap, c.PassBack, c.VelocityWindow = Never, Never, Never })
	p.config.Amount = money.New(700, money.CNY)
	r := p.read(number)
	r.Outcome.Kind = kernel.Approved
	b.ReportAllocs()
	for b.Loop() {
		p.atc++
		r.Outcome.Data.Set(emv.TagATC, []byte{byte(p.atc >> 8), byte(p.atc)})
		if d, err := p.gate.Tap(r, p.snapshot, p.now); err != nil || strings.Contains(d.Record.Device, " ") {
			b.Fatal(err)
		}
		p.log.durable = p.log.durable[:0]
	}
}

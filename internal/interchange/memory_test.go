package interchange_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/clock"
	"tapnet/internal/interchange"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
)

// tiny are capacities at which nearly everything is forgotten at once, and a restart replays next to nothing.
var tiny = []journal.Capacity{{Ended: 1, Rows: 1}, {Ended: 2, Rows: 3}, {Ended: 4, Rows: 2}, {Ended: 1, Rows: 1000}}

// twins are a switch that remembers everything and one that remembers next to nothing. What goes in and out is the same.
type twins struct {
	*rapid.T
	*world
	large, small *interchange.Switch
	rig          *networktest.Rig
	capacity     journal.Capacity
	asked        []unionpay.Message // by the acquirer
	paid         []*unionpay.FinancialRequest
	onward       []unionpay.Message // to the issuer
}

// same lets both do something and compares what they sent.
func (w *twins) same(do func(*networktest.Rig) []networktest.Sent) {
	want, got := do(w.world.Rig), do(w.rig)
	w.compare(want, got)
}

func (w *twins) compare(want, got []networktest.Sent) {
	if len(got) != len(want) {
		w.T.Fatalf("%d messages left, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].To != want[i].To || !bytes.Equal(got[i].Bytes, want[i].Bytes) {
			w.T.Fatalf("message %d: %s to %s, want %s to %s", i, code(got[i]), got[i].To, code(want[i]), want[i].To)
		}
		if want[i].To == lantern {
			w.onward = append(w.onward, want[i].Message)
		}
	}
	if got, want := w.small.Outstanding(), w.large.Outstanding(); got != want {
		w.T.Fatalf("%d outstanding, want %d", got, want)
	}
}

func (w *twins) restart() {
	w.large, w.small = newSwitch(w.world, w.hsm), newBounded(w.world, w.hsm, w.capacity)
	w.world.Rig, w.rig = w.world.Restart(w.large), w.rig.Restart(w.small)
	w.compare(w.world.Out, w.rig.Out)
}

func (w *twins) ask(m unionpay.Message) {
	w.asked = append(w.asked, m)
	w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(acquirer, m) })
}

// hear lets the issuer answer something that was sent to it.
func (w *twins) hear(m unionpay.Message, code unionpay.ResponseCode) {
	answer := unionpay.Respond(m, unionpay.Answer{Response: code, AuthCode: "000007"})
	w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(lantern, answer) })
}

// foreign takes a payment back under a time and trace number of its own.
func (w *twins) foreign(m *unionpay.FinancialRequest) *unionpay.ReversalRequest {
	w.stan++
	taken := networktest.ReversalAtSwitch(m)
	taken.STAN = w.stan
	return taken
}

func (w *twins) step() {
	minor := rapid.Int64Range(1, 9_000).Draw(w.T, "minor")
	switch what := rapid.IntRange(0, 16).Draw(w.T, "what"); {
	case what < 4:
		m := w.world.request(minor)
		if what == 3 {
			m = w.upload(1 + minor%90)
		}
		w.paid = append(w.paid, m)
		if what == 2 && minor%3 == 0 { // the reversal comes before its request
			w.asked = append(w.asked, m)
			w.ask(networktest.ReversalAtSwitch(m))
			return
		}
		w.ask(m)
	case what < 8 && len(w.onward) > 0:
		m := w.onward[len(w.onward)-1]
		if what == 4 {
			m = rapid.SampledFrom(w.onward).Draw(w.T, "answered")
		}
		w.hear(m, rapid.SampledFrom([]unionpay.ResponseCode{"00", "00", "51", "96"}).Draw(w.T, "code"))
	case what < 11 && len(w.asked) > 0:
		w.ask(rapid.SampledFrom(w.asked).Draw(w.T, "repeat"))
	case what < 13 && len(w.paid) > 0:
		w.ask(networktest.ReversalAtSwitch(rapid.SampledFrom(w.paid).Draw(w.T, "reversed")))
	case what == 13 && len(w.paid) > 0:
		other := *rapid.SampledFrom(w.paid).Draw(w.T, "changed")
		other.Merchant = "301000054119999"
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(acquirer, &other) })
	case what == 14:
		wait := time.Duration(rapid.IntRange(1, 90).Draw(w.T, "seconds")) * time.Second
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Advance(wait) })
	case what == 15:
		w.restart()
	case what == 16 && len(w.paid) > 0:
		w.ask(w.foreign(rapid.SampledFrom(w.paid).Draw(w.T, "reversed")))
	}
}

// TestSmallMemory gives the same messages to a switch that remembers next to nothing, and to one that remembers everything, and restarts both now and then.
func TestSmallMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &twins{T: rt, world: newWorld(t), capacity: journal.Capacity{
			Ended: rapid.IntRange(1, 4).Draw(rt, "ended"), Rows: rapid.IntRange(1, 8).Draw(rt, "rows"),
		}}
		w.large = w.Role.(*interchange.Switch)
		w.small = newBounded(t, w.hsm, w.capacity)
		w.rig = networktest.NewRig(t, w.small, journal.NewMemStore(), clock.NewManual(networktest.Start), networktest.SwitchDialect)
		always := rapid.IntRange(0, 3).Draw(rt, "always restart") == 0
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			w.step()
			if always {
				w.restart()
			}
		}
		want, got := w.world.Rows(), w.rig.Rows()
		if len(want) != len(got) {
			rt.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range want {
			if text(&want[i]) != text(&got[i]) {
				rt.Fatalf("row %d:\n%s\nwant\n%s", i+1, text(&got[i]), text(&want[i]))
			}
		}
	})
}

// text is a row without what sealing makes different each time.
func text(r *journal.Row) string {
	again := *r
	again.Chain = [32]byte{}
	if n := again.Note; len(n) > 0 {
		from := 1 + int(n[0])
		again.Note = n[:from+1+int(n[from])]
	}
	return fmt.Sprintf("%+v", again)
}

// A reversal may name another reversal as its original. That one's key is a row's already and cannot be spent.
func TestAReversalOfAReversalSpendsNoKey(t *testing.T) {
	for _, capacity := range append(tiny, journal.Capacity{}) {
		w := newWorld(t)
		w.Rig = w.Restart(newBounded(t, w.hsm, capacity))
		first := networktest.ReversalAtSwitch(w.request(100))
		itself := *first
		again := *first
		for i, m := range []*unionpay.ReversalRequest{&itself, &again} {
			original := *first.Original
			original.Type = unionpay.TypeReversalRequest
			m.Original = &original
			m.STAN += uint32(i)
		}
		for _, m := range []*unionpay.ReversalRequest{&itself, first, &again} {
			w.Deliver(acquirer, m)
		}
		w.forwarded(w.request(100))
	}
}

// TestMemoryStaysBounded makes many payments, some of them reversed.
func TestMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	const payments, kept = 100_000, 64
	w := newWorld(t)
	s := newBounded(t, plainVault{w.hsm}, journal.Capacity{Ended: kept, Rows: 256})
	store := journal.NewMemStore()
	stepper, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: s, Store: store, Clock: w.Clock})
	if err != nil {
		t.Fatal(err)
	}
	var batch []journal.Event
	m := w.request(100)
	prepare := func(from string, message unionpay.Message) {
		ev := journal.Event{From: from, Message: message}
		s.Prepare(&ev)
		batch = append(batch, ev)
	}
	most := 0
	for n := range payments {
		next := *m
		next.STAN, next.TransmissionTime = uint32(n+1), networktest.Start.Add(time.Duration(n)*10*time.Millisecond).Format("0102150405")
		prepare(acquirer, &next)
		prepare(lantern, unionpay.Respond(&next, unionpay.Answer{Response: unionpay.Approved}))
		if n%10 == 0 {
			taken := networktest.ReversalAtSwitch(&next)
			prepare(acquirer, taken)
			prepare(lantern, unionpay.Respond(taken, unionpay.Answer{Response: unionpay.Approved}))
		}
		if n%20 == 19 {
			if _, err := stepper.StepAll(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
			most = max(most, s.Remembered())
		}
	}
	if most > 4*kept {
		t.Errorf("%d payments and reversals in memory", most)
	}
	cells := 0
	if err := store.Cells(t.Context(), func(*journal.Cell) error { cells++; return nil }); err != nil || cells > 8 {
		t.Errorf("%d cells, %v", cells, err)
	}
	last, _, err := store.Last(t.Context())
	if watermark, _ := store.Watermark(t.Context()); err != nil || last-watermark > 1024 {
		t.Errorf("a restart replays %d rows", last-watermark)
	}
	early := *m
	early.STAN, early.TransmissionTime = 2, networktest.Start.Format("0102150405")
	prepare(acquirer, &early)
	effects, err := stepper.StepAll(t.Context(), batch...)
	if err != nil || len(effects) != 1 || unionpay.PaymentOf(effects[0].Message).Response != unionpay.Approved {
		t.Errorf("a repeat of an early payment: %s, %v", unionpay.PaymentOf(effects[0].Message).Response, err)
	}
}

// plainVault seals nothing, because that takes time.
type plainVault struct{ interchange.Vault }

func (plainVault) SealData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }
func (plainVault) OpenData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }

// A look that fails must not turn a repeat into a payment.
func TestWithoutItsArchiveASwitchIsSilentAboutOldKeys(t *testing.T) {
	w := newWorld(t)
	s := newBounded(t, w.hsm, tiny[0])
	w.Rig = w.Restart(s)
	var requests []*unionpay.FinancialRequest
	for range 4 {
		m := w.request(100)
		w.answer(lantern, w.forwarded(m), unionpay.Approved)
		w.Deliver(acquirer, networktest.ReversalAtSwitch(m))
		requests = append(requests, m)
	}
	rows := w.Rows()
	if err := w.Store.Close(); err != nil {
		t.Fatal(err)
	}
	step := journal.NewStep(uint64(len(rows)) + 1)
	for _, m := range []unionpay.Message{requests[0], networktest.ReversalAtSwitch(requests[0])} {
		ev := journal.Event{From: acquirer, Message: m}
		s.Prepare(&ev)
		s.Handle(networktest.Start, &ev, step)
	}
	for _, e := range step.Effects {
		if e.Message != nil && e.To == acquirer && unionpay.PaymentOf(e.Message).Response == unionpay.ResponseLate {
			t.Errorf("an answer without knowledge: %+v", e)
		}
	}
	if len(step.Rows) != 0 {
		t.Errorf("%d rows", len(step.Rows))
	}
}

// A cell that names nothing stops the start.
func TestDamagedCellsAreNoticed(t *testing.T) {
	w := newWorld(t)
	w.Rig = w.Restart(newBounded(t, w.hsm, tiny[0]))
	w.forwarded(w.request(100))
	w.Deliver(acquirer, networktest.ReversalAtSwitch(w.request(200)))
	var ids []int64
	if err := w.Store.Cells(t.Context(), func(c *journal.Cell) error { ids = append(ids, c.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		for name, change := range map[string]func(*journal.Cell){
			"version": func(c *journal.Cell) { c.Data[0]++ },
			"key":     func(c *journal.Cell) { c.Data[5] ^= 1 },
		} {
			before, _, err := w.Store.FindCell(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			w.Store.TamperCell(id, change)
			_, _, err = journal.NewStepper(t.Context(), journal.Config{Machine: newBounded(t, w.hsm, tiny[0]), Store: w.Store.Reopen(), Clock: w.Clock})
			if err == nil {
				t.Errorf("cell %d: %s is not noticed", id, name)
			}
			w.Store.TamperCell(id, func(c *journal.Cell) { *c = before })
		}
	}
	if len(ids) != 2 {
		t.Errorf("%d cells", len(ids))
	}
}

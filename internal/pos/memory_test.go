package pos_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
)

// tiny are capacities at which a restart replays next to nothing.
var tiny = []journal.Capacity{{Rows: 1}, {Rows: 2}, {Rows: 3}, {Rows: 5}}

// twins are a till that replays its whole journal at a start and one that replays next to nothing. What goes in and out is the same.
type twins struct {
	*rapid.T
	*shop
	small    *pos.Till
	rig      *networktest.Rig
	capacity journal.Capacity
	onward   []unionpay.Message
}

// same lets both do something and compares what they sent.
func (w *twins) same(do func(*networktest.Rig) []networktest.Sent) {
	want, got := do(w.shop.Rig), do(w.rig)
	w.compare(want, got)
}

func (w *twins) compare(want, got []networktest.Sent) {
	if len(got) != len(want) {
		w.T.Fatalf("%d messages left, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].To != want[i].To || !bytes.Equal(got[i].Bytes, want[i].Bytes) {
			w.T.Fatalf("message %d: %X, want %X", i, got[i].Bytes, want[i].Bytes)
		}
		w.onward = append(w.onward, want[i].Message)
	}
	if got, want := w.small.Outstanding(), w.till.Outstanding(); got != want {
		w.T.Fatalf("%d outstanding, want %d", got, want)
	}
}

func (w *twins) restart() {
	w.till, w.small = newTill(w.shop, w.hsm, w.tap), newBounded(w.shop, w.hsm, w.tap, w.capacity)
	w.shop.Rig, w.rig = w.shop.Restart(w.till), w.rig.Restart(w.small)
	w.compare(w.shop.Out, w.rig.Out)
}

func (w *twins) command(c any) {
	w.same(func(r *networktest.Rig) []networktest.Sent { r.Command(c); return r.Out })
}

func (w *twins) step() {
	minor := rapid.Int64Range(1, 90).Draw(w.T, "minor")
	switch what := rapid.IntRange(0, 9).Draw(w.T, "what"); {
	case what < 2:
		w.command(pos.Authorize{Sale: 1, Request: *w.card.Pay(0, minor)})
	case what == 2:
		w.command(pos.Store{Request: *w.card.PayOffline(0, minor)})
	case what < 7 && len(w.onward) > 0:
		m := w.onward[len(w.onward)-1]
		if what > 4 {
			m = rapid.SampledFrom(w.onward).Draw(w.T, "answered")
		}
		reply := answer(m, rapid.SampledFrom([]unionpay.ResponseCode{"00", "00", "51", "96", "25"}).Draw(w.T, "code"))
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(bank, reply) })
	case what == 7:
		wait := time.Duration(rapid.IntRange(1, 90).Draw(w.T, "seconds")) * time.Second
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Advance(wait) })
	case what == 8:
		w.restart()
	}
}

// TestShortReplay gives the same sales and answers to a till that restarts from its cells, and to one that replays its whole journal.
func TestShortReplay(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &twins{T: rt, shop: newShop(t), capacity: journal.Capacity{Rows: rapid.IntRange(1, 8).Draw(rt, "rows")}}
		w.small = newBounded(t, w.hsm, w.tap, w.capacity)
		w.rig = networktest.NewRig(t, w.small, journal.NewMemStore(), clock.NewManual(networktest.Start), w.Dialect)
		always := rapid.IntRange(0, 3).Draw(rt, "always restart") == 0
		for range rapid.IntRange(10, 50).Draw(rt, "steps") {
			w.step()
			if always {
				w.restart()
			}
		}
		want, got := w.shop.Rows(), w.rig.Rows()
		if len(want) != len(got) {
			rt.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range want {
			for _, r := range []*journal.Row{&want[i], &got[i]} {
				r.Note, r.Chain = nil, [32]byte{} // sealing makes them different each time
			}
			if fmt.Sprint(want[i]) != fmt.Sprint(got[i]) {
				rt.Fatalf("row %d:\n%+v\nwant\n%+v", i+1, got[i], want[i])
			}
		}
	})
}

// TestMemoryStaysBounded makes many payments, some of which time out.
func TestMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	const payments = 30_000
	s := newShop(t)
	till := newBounded(t, plainVault{s.hsm}, s.tap, journal.Capacity{Rows: 256})
	store := journal.NewMemStore()
	stepper, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: till, Store: store, Clock: s.Clock})
	if err != nil {
		t.Fatal(err)
	}
	request := *s.card.Pay(0, 100)
	most := 0
	for n := range payments {
		effects, err := stepper.Step(t.Context(), journal.Event{Command: pos.Authorize{Sale: 1, Request: request}})
		if err == nil && n%10 == 0 {
			effects, err = stepper.Step(t.Context(), journal.Event{Timer: effects[1].Timer})
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stepper.Step(t.Context(), journal.Event{From: bank, Message: answer(effects[0].Message, unionpay.Approved)}); err != nil {
			t.Fatal(err)
		}
		most = max(most, till.Remembered())
	}
	if most > 8 {
		t.Errorf("%d payments in memory", most)
	}
	cells := 0
	if err := store.Cells(t.Context(), func(*journal.Cell) error { cells++; return nil }); err != nil || cells > 1_100 { // the batch, the batches left behind, and what is open
		t.Errorf("%d cells, %v", cells, err)
	}
	last, _, err := store.Last(t.Context())
	if watermark, _ := store.Watermark(t.Context()); err != nil || last-watermark > 512 {
		t.Errorf("a restart replays %d rows", last-watermark)
	}
}

// plainVault seals nothing, because that takes time.
type plainVault struct{ pos.Vault }

func (plainVault) SealData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }
func (plainVault) OpenData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }

// A damaged cell stops the start.
func TestDamagedCellsAreNoticed(t *testing.T) {
	s := newShop(t)
	s.Rig = s.Restart(newBounded(t, s.hsm, s.tap, tiny[0]))
	s.authorize(100, nil)
	var ids []int64
	if err := s.Store.Cells(t.Context(), func(c *journal.Cell) error { ids = append(ids, c.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		for name, change := range map[string]func(*journal.Cell){
			"version": func(c *journal.Cell) { c.Data[0]++ },
			"long":    func(c *journal.Cell) { c.Data = append(c.Data, 0) },
		} {
			before, _, err := s.Store.FindCell(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			s.Store.TamperCell(id, change)
			config := journal.Config{Machine: newBounded(t, s.hsm, s.tap, tiny[0]), Store: s.Store.Reopen(), Clock: s.Clock}
			if _, _, err = journal.NewStepper(t.Context(), config); err == nil {
				t.Errorf("cell %d: %s is not noticed", id, name)
			}
			s.Store.TamperCell(id, func(c *journal.Cell) { *c = before })
		}
	}
	if len(ids) != 3 {
		t.Errorf("%d cells", len(ids))
	}
}

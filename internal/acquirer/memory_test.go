package acquirer_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/acquirer"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// tiny are capacities at which nearly everything is forgotten at once, and a restart replays next to nothing.
var tiny = []journal.Capacity{{Ended: 1, Rows: 1}, {Ended: 2, Rows: 3}, {Ended: 4, Rows: 2}, {Ended: 1, Rows: 1000}}

// twins are an acquirer that remembers everything and one that remembers next to nothing. What goes in and out is the same.
type twins struct {
	*rapid.T
	*bank
	small    *acquirer.Acquirer
	rig      *networktest.Rig
	capacity journal.Capacity
	asked    []unionpay.Message // by terminals
	paid     []*unionpay.FinancialRequest
	onward   []unionpay.Message // to the switch
}

// same lets both do something and compares what they sent.
func (w *twins) same(do func(*networktest.Rig) []networktest.Sent) {
	want, got := do(w.bank.Rig), do(w.rig)
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
		if want[i].To == theSwitch {
			w.onward = append(w.onward, want[i].Message)
		}
	}
	if err := w.small.Book().Audit(); err != nil {
		w.T.Fatal(err)
	}
	if got, want := w.small.Book().Sheet(), w.acquirer.Book().Sheet(); !slices.Equal(got, want) {
		w.T.Fatalf("books %+v, want %+v", got, want)
	}
	if got, want := w.small.Outstanding(), w.acquirer.Outstanding(); got != want {
		w.T.Fatalf("%d outstanding, want %d", got, want)
	}
}

func (w *twins) restart() {
	w.acquirer, w.small = newAcquirer(w.bank, w.vault), newBounded(w.bank, w.vault, w.capacity)
	w.bank.Rig, w.rig = w.bank.Restart(w.acquirer), w.rig.Restart(w.small)
	w.compare(w.bank.Out, w.rig.Out)
}

func (w *twins) ask(m unionpay.Message) {
	w.asked = append(w.asked, m)
	w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(networktest.Terminal, m) })
}

// hear lets the switch answer something that was sent to it.
func (w *twins) hear(m unionpay.Message, code unionpay.ResponseCode) {
	answer := unionpay.Respond(m, unionpay.Answer{Response: code, AuthCode: "123456"})
	w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(theSwitch, answer) })
}

func (w *twins) step() {
	minor := rapid.Int64Range(1, 9_000).Draw(w.T, "minor")
	switch what := rapid.IntRange(0, 15).Draw(w.T, "what"); {
	case what < 4:
		m := w.request(minor)
		if what == 3 {
			m = w.upload(1 + minor%90)
		}
		if what == 2 && minor%2 == 0 {
			m.Merchant = "301000054110002" // refused
		}
		w.paid = append(w.paid, m)
		if what == 2 && minor%3 == 0 { // the reversal comes before its request
			w.asked = append(w.asked, m)
			w.ask(reversal(m))
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
		w.ask(reversal(rapid.SampledFrom(w.paid).Draw(w.T, "reversed")))
	case what == 13 && len(w.paid) > 0:
		other := *rapid.SampledFrom(w.paid).Draw(w.T, "changed")
		other.Amount = money.New(minor+9_000, money.CNY)
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Deliver(networktest.Terminal, &other) })
	case what == 14:
		wait := time.Duration(rapid.IntRange(1, 90).Draw(w.T, "seconds")) * time.Second
		w.same(func(r *networktest.Rig) []networktest.Sent { return r.Advance(wait) })
	case what == 15:
		w.restart()
	}
}

// TestSmallMemory gives the same messages to an acquirer that remembers next to nothing, and to one that remembers everything, and restarts both now and then.
func TestSmallMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &twins{T: rt, bank: newBank(t), capacity: journal.Capacity{
			Ended: rapid.IntRange(1, 4).Draw(rt, "ended"), Rows: rapid.IntRange(1, 8).Draw(rt, "rows"),
		}}
		w.small = newBounded(t, w.vault, w.capacity)
		w.rig = networktest.NewRig(t, w.small, journal.NewMemStore(), clock.NewManual(networktest.Start), dialect)
		always := rapid.IntRange(0, 3).Draw(rt, "always restart") == 0
		for range rapid.IntRange(10, 60).Draw(rt, "steps") {
			w.step()
			if always {
				w.restart()
			}
		}
		want, got := w.bank.Rows(), w.rig.Rows()
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
	if r.Kind == journal.Requested {
		again.Note = nil
	}
	return fmt.Sprintf("%+v", again)
}

// TestMemoryStaysBounded makes many payments, some of them reversed.
func TestMemoryStaysBounded(t *testing.T) {
	t.Parallel()
	const payments, kept = 100_000, 64
	b := newBank(t)
	a := newBounded(t, plainVault{b.vault}, journal.Capacity{Ended: kept, Rows: 256})
	step, last, durable := journal.NewStep(1), uint64(0), uint64(0)
	store := journal.NewMemStore()
	epoch, err := store.Claim(t.Context(), "test")
	if err == nil {
		err = a.Open(t.Context(), store, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	var chain journal.Chain
	back, cells := new(journal.Back), map[int64]bool{}
	handle := func(from string, m unionpay.Message) (sent unionpay.Message) {
		ev := journal.Event{From: from, Message: m}
		a.Prepare(&ev)
		a.Handle(networktest.Start, &ev, step)
		for _, e := range step.Effects {
			if e.To == theSwitch {
				sent = e.Message
			}
		}
		return sent
	}
	commit := func() {
		for i := range step.Rows {
			chain.Seal(&step.Rows[i])
		}
		back.Reset()
		a.WriteBack(back, len(step.Rows), durable)
		for i := range back.Cells {
			cells[back.Cells[i].ID] = true
		}
		if err := store.Commit(t.Context(), epoch, step.Rows, back); err != nil {
			t.Fatal(err)
		}
		last += uint64(len(step.Rows))
		durable = last
		step = journal.NewStep(last + 1)
	}
	m := b.request(100)
	for n := range payments {
		m.STAN = uint32(n + 1)
		onward := handle(networktest.Terminal, m)
		handle(theSwitch, unionpay.Respond(onward, unionpay.Answer{Response: unionpay.Approved}))
		if n%10 == 0 {
			taken := handle(networktest.Terminal, reversal(m))
			handle(theSwitch, acknowledgement(taken, unionpay.Approved))
		}
		if n%20 == 19 {
			commit()
		}
	}
	if got := a.Remembered(); got > 4*kept {
		t.Errorf("%d payments and reversals in memory", got)
	}
	if got := len(a.Book().Holds()); got > 2*kept {
		t.Errorf("%d holds in memory", got)
	}
	if len(cells) > 8 {
		t.Errorf("%d cells", len(cells))
	}
	if got, want := a.Book().Balance(acquirer.AccountScheme).DebitsPending, int64(payments*9/10*100); got != want {
		t.Errorf("claims %d, want %d", got, want)
	}
	m.STAN = 2
	if again := (journal.Event{From: networktest.Terminal, Message: m}); true {
		a.Prepare(&again)
		a.Handle(networktest.Start, &again, step)
		if len(step.Rows) != 0 || len(step.Effects) != 1 || unionpay.PaymentOf(step.Effects[0].Message).Response != unionpay.Approved {
			t.Errorf("a repeat of an early payment: %+v", step)
		}
	}
}

// plainVault seals nothing, because that takes time.
type plainVault struct{ acquirer.Vault }

func (plainVault) SealData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }
func (plainVault) OpenData(_, _ string, data []byte) ([]byte, error) { return bytes.Clone(data), nil }

// A look that fails, there or in the middle of a look, must not turn a repeat into a payment.
func TestWithoutItsArchiveAnAcquirerIsSilentAboutOldKeys(t *testing.T) {
	b := newBank(t)
	b.acquirer = newBounded(t, b.vault, tiny[0])
	b.Rig = b.Restart(b.acquirer)
	var requests []*unionpay.FinancialRequest
	for range 4 {
		m := b.request(100)
		b.answer(b.forwarded(m), unionpay.Approved)
		requests = append(requests, m)
	}
	rows := b.Rows()
	if err := b.Store.Close(); err != nil {
		t.Fatal(err)
	}
	step := journal.NewStep(uint64(len(rows)) + 1)
	for _, m := range []unionpay.Message{requests[0], reversal(requests[0])} {
		ev := journal.Event{From: networktest.Terminal, Message: m}
		b.acquirer.Prepare(&ev)
		b.acquirer.Handle(networktest.Start, &ev, step)
	}
	if len(step.Rows) != 0 || len(step.Effects) != 0 {
		t.Errorf("%d rows, %d effects", len(step.Rows), len(step.Effects))
	}
}

// A damaged cell stops the start.
func TestDamagedCellsAreNoticed(t *testing.T) {
	b := newBank(t)
	b.Rig = b.Restart(newBounded(t, b.vault, tiny[0]))
	b.answer(b.forwarded(b.request(100)), unionpay.Approved)
	b.forwarded(b.request(100))
	var ids []int64
	if err := b.Store.Cells(t.Context(), func(c *journal.Cell) error { ids = append(ids, c.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		for name, change := range map[string]func(*journal.Cell){
			"version": func(c *journal.Cell) { c.Data[0]++ },
			"short":   func(c *journal.Cell) { c.Data = c.Data[:len(c.Data)-1] },
			"long":    func(c *journal.Cell) { c.Data = append(c.Data, 0) },
		} {
			before, _, err := b.Store.FindCell(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			b.Store.TamperCell(id, change)
			_, _, err = journal.NewStepper(t.Context(), journal.Config{Machine: newBounded(t, b.vault, tiny[0]), Store: b.Store.Reopen(), Clock: b.Clock})
			if err == nil {
				t.Errorf("cell %d: %s is not noticed", id, name)
			}
			b.Store.TamperCell(id, func(c *journal.Cell) { *c = before })
		}
	}
	if len(ids) != 5 { // two accounts, counters, the terminal, what is open
		t.Errorf("%d cells", len(ids))
	}
}

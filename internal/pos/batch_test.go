package pos_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

func TestSettlementClosesTheBatch(t *testing.T) {
	for _, differ := range []bool{false, true} {
		c := newCounter(t, cardtest.Options{}, nil)
		c.host.differ = differ
		first := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(29_900)))
		second := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(1_000)))
		c.must(pos.ApprovedOnline)(c.till.Void(t.Context(), of(second)))
		sheet, r, err := c.till.Settle(t.Context(), money.CNY)
		if err != nil || sheet == nil {
			t.Fatalf("settlement: %v, %q", err, r.Refusal.Term().EN)
		}
		want := pos.Totals{DebitCount: 2, Debit: 30_900, CreditCount: 1, Credit: 1_000}
		if sheet.Batch != 1 || sheet.Totals != want || sheet.Agreed == differ {
			t.Errorf("sheet %+v", sheet)
		}
		text := c.text(c.till.SheetSlip(*sheet, money.CNY, shopSlip))
		if !strings.Contains(text, "SETTLEMENT") || !strings.Contains(text, "309.00") || strings.Contains(text, "DIFFER") != differ {
			t.Errorf("slip:\n%s", text)
		}
		next := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
		if next.Trace != (pos.Trace{Batch: 2, STAN: 1}) {
			t.Errorf("after settlement: %s", next.Trace)
		}
		if r := c.must(pos.NotBegun)(c.till.Void(t.Context(), of(first))); r.Refusal != pos.RefusedWithin {
			t.Errorf("refusal %q", r.Refusal.Term().EN)
		}
		if r := c.must(pos.NotBegun)(c.till.Refund(t.Context(), of(first), nil)); r.Refusal != pos.RefusedReference {
			t.Errorf("refusal %q", r.Refusal.Term().EN)
		}
		refund := c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), pos.Original{Trace: first.Trace, RRN: first.Answer.RRN}, nil))
		if refund.Amount.Minor() != 29_900 {
			t.Errorf("refund of %s", refund.Amount)
		}
	}
}

func TestNothingToSettle(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	if _, r, err := c.till.Settle(t.Context(), money.CNY); err != nil || r.Refusal != pos.RefusedEmpty {
		t.Errorf("refusal %q, %v", r.Refusal.Term().EN, err)
	}
}

// What waits is delivered first; while it cannot be, the batch stays open and sales go on.
func TestUploadsGoBeforeSettlement(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	upload := networktest.Adopt(t, c.host.issued, c.chip).PayOffline(0, 700)
	c.host.silent = func(unionpay.Message) bool { return true }
	c.Command(pos.Store{Request: *upload})
	c.pump(c.Out)
	if _, r, err := c.till.Settle(t.Context(), money.CNY); err != nil || r.Refusal != pos.RefusedUndelivered {
		t.Fatalf("refusal %q, %v", r.Refusal.Term().EN, err)
	}
	c.host.silent = nil
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
	sheet, r, err := c.till.Settle(t.Context(), money.CNY)
	if err != nil || sheet == nil || sheet.Totals != (pos.Totals{DebitCount: 2, Debit: 1_200}) {
		t.Fatalf("sheet %+v, %v, %q", sheet, err, r.Refusal.Term().EN)
	}
}

func TestSettlementWithoutAnswerLeavesTheBatchOpen(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
	c.host.silent = func(m unionpay.Message) bool { return m.Type() == unionpay.TypeSettlementRequest }
	if sheet, r, err := c.till.Settle(t.Context(), money.CNY); err != nil || sheet != nil || r.End != pos.Unanswered {
		t.Fatalf("end %d, %v", r.End, err)
	}
	c.host.silent = nil
	if r := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500))); r.Trace.Batch != 1 {
		t.Errorf("batch %d", r.Trace.Batch)
	}
	if sheet, _, err := c.till.Settle(t.Context(), money.CNY); err != nil || sheet.Totals.Debit != 1_000 {
		t.Errorf("sheet %+v, %v", sheet, err)
	}
}

// A full batch is followed by the next one; it is settled under its own number when somebody settles.
func TestATillNeverStops(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, func(d *pos.Deps) { d.BatchLimit = 3 })
	var traces []string
	for range 8 {
		r := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(100)))
		traces = append(traces, fmt.Sprint(r.Trace.Batch, r.Trace.STAN))
	}
	if got := fmt.Sprint(traces); got != "[1 1 1 2 1 3 2 1 2 2 2 3 3 1 3 2]" {
		t.Errorf("traces %s", got)
	}
	sheet, r, err := c.till.Settle(t.Context(), money.CNY)
	if err != nil || sheet == nil || sheet.Batch != 3 || sheet.Totals.Debit != 200 {
		t.Fatalf("sheet %+v, %v, %q", sheet, err, r.Refusal.Term().EN)
	}
	settled := map[uint32]int64{}
	for _, m := range c.host.heard {
		if s, ok := m.(*unionpay.SettlementRequest); ok {
			totals, err := unionpay.ParseSettlement(s.Additional)
			if err != nil {
				t.Fatal(err)
			}
			settled[s.Info.Batch] = totals.Domestic.Debit.Minor
		}
	}
	if len(settled) != 3 || settled[1] != 300 || settled[2] != 300 || settled[3] != 200 {
		t.Errorf("settled %v", settled)
	}
}

// killed is the till of a counter, killed after row n; got says whether the host heard what left with that row.
func (c *counter) killed(t *testing.T, n int, got bool, capacity journal.Capacity) *counter {
	t.Helper()
	again := &counter{chip: c.chip, host: newHost(t, c.host.issued), hsm: c.hsm, term: c.term}
	again.deps = func(d *pos.Deps) {
		if c.deps != nil {
			c.deps(d)
		}
		d.Capacity = capacity
	}
	again.host.code, again.host.script = c.host.code, c.host.script
	for _, s := range c.sent {
		if s.rows < n || got && s.rows == n {
			again.host.answer(s.message)
		}
	}
	again.till = again.newTill(t)
	again.Rig = networktest.NewRig(t, again.till, c.prefix(t, n, capacity), c.Clock, c.Dialect)
	again.attach()
	again.pump(again.Out)
	for round := 0; round < 10 && (again.till.Outstanding() > 0 || round < 2); round++ {
		again.pump(again.Advance(10 * time.Minute))
	}
	return again
}

// prefix is a store with the first n rows, and the cells that a till of that capacity has written back by then.
func (c *counter) prefix(t *testing.T, n int, capacity journal.Capacity) *journal.MemStore {
	t.Helper()
	writer := &counter{hsm: c.hsm, term: c.term, deps: func(d *pos.Deps) { d.Capacity = capacity }}
	till, store := writer.newTill(t), journal.NewMemStore()
	epoch, err := store.Claim(t.Context(), "prefix")
	if err == nil {
		err = till.Open(t.Context(), store, 0)
	}
	for i, row := range c.Rows()[:n] {
		var back journal.Back
		if err == nil {
			err = till.Replay(&row)
		}
		till.WriteBack(&back, 1, uint64(i))
		if err == nil {
			err = store.Commit(t.Context(), epoch, []journal.Row{row}, &back)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// agrees fails unless every transaction of the till has ended, stands at the host exactly when the till says so, and can be printed.
func (c *counter) agrees(t *testing.T, story string) {
	t.Helper()
	if c.till.Outstanding() != 0 {
		t.Errorf("%s: %d outstanding", story, c.till.Outstanding())
	}
	for key, b := range c.host.books {
		var batch, stan uint32
		if _, err := fmt.Sscanf(key[8:20], "%06d%06d", &batch, &stan); err != nil {
			t.Fatal(err)
		}
		found, ok := c.Command(pos.Look{Trace: pos.Trace{Batch: batch, STAN: stan}}).(pos.Found)
		if !ok || found.Trace.IsZero() {
			t.Errorf("%s: the host has %s, the till has not", story, key)
			continue
		}
		stands := b.approved && !b.reversed
		switch found.Status {
		case pos.StatusDone, pos.StatusVoided, pos.StatusPartRefunded, pos.StatusRefunded, pos.StatusCompleted:
			if !stands {
				t.Errorf("%s: %s %s is done at the till only", story, found.Verb, found.Trace)
			}
		case pos.StatusTakenBack, pos.StatusRefused:
			if stands && found.Status == pos.StatusTakenBack {
				t.Errorf("%s: %s %s stands at the host only", story, found.Verb, found.Trace)
			}
		case pos.StatusUnknown:
		default:
			if found.Batch == batch {
				t.Errorf("%s: %s %s has not ended: %s", story, found.Verb, found.Trace, found.Status.Term().EN)
			}
		}
		if found.Verb == pos.VerbCardAdvice {
			continue
		}
		slip, known, err := c.till.Reprint(t.Context(), found.Trace, shopSlip)
		if err != nil || !known || !strings.Contains(slip.Text(), "REPRINT") {
			t.Errorf("%s: the slip of %s %s: %v", story, found.Verb, found.Trace, err)
		}
	}
}

// TestKilledAtEveryRowOfEveryVerb tells every story, kills the till after each row of it, and looks what became of everything.
func TestKilledAtEveryRowOfEveryVerb(t *testing.T) {
	stories := map[string]func(t *testing.T, c *counter){
		"sale and void": func(t *testing.T, c *counter) {
			sold := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(29_900)))
			c.must(pos.ApprovedOnline)(c.till.Void(t.Context(), of(sold)))
		},
		"sale in the slot with scripts": func(t *testing.T, c *counter) {
			c.host.script = func(icc emv.Data, _ *unionpay.FinancialRequest) []byte {
				return c.host.putData(icc, emv.TagCTTAL, 60_000)
			}
			c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.slot(), c.sale(150_000)))
		},
		"card declines": func(t *testing.T, c *counter) {
			issued := *c.host.issued
			issued.CardKeys.AC = issued.CardKeys.MAC
			c.host.issued = &issued
			c.must(pos.TakenBack)(c.till.Sale(t.Context(), c.slot(), c.sale(150_000)))
		},
		"refunds": func(t *testing.T, c *counter) {
			sold := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(300)))
			part := money.New(100, money.CNY)
			c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), of(sold), &part))
			c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), of(sold), nil))
		},
		"offline sale and its refund": func(t *testing.T, c *counter) {
			c.Command(pos.Store{Request: *networktest.Adopt(t, c.host.issued, c.chip).PayOffline(0, 700)})
			c.pump(c.Out)
			back := c.must(pos.ApprovedOnline)(c.till.Refund(t.Context(), pos.Original{Trace: pos.Trace{Batch: 1, STAN: 1}}, nil))
			if m := last[*unionpay.FinancialRequest](c.host); m.Info.MessageType != unionpay.KindOfflineRefund || back.Amount.Minor() != 700 {
				t.Errorf("refund %+v", m.Payment)
			}
		},
		"pre-authorization": func(t *testing.T, c *counter) {
			held := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.slot(), c.sale(100_000)))
			taken := c.must(pos.ApprovedOnline)(c.till.Complete(t.Context(), of(held), nil, false))
			c.must(pos.ApprovedOnline)(c.till.VoidCompletion(t.Context(), of(taken)))
			other := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.tap(), c.sale(500)))
			c.must(pos.ApprovedOnline)(c.till.CancelPreAuth(t.Context(), of(other)))
			third := c.must(pos.ApprovedOnline)(c.till.PreAuthorize(t.Context(), c.tap(), c.sale(500)))
			c.must(pos.ApprovedOnline)(c.till.Complete(t.Context(), of(third), nil, true))
		},
		"loads": func(t *testing.T, c *counter) {
			c.host.script = func(icc emv.Data, m *unionpay.FinancialRequest) []byte { return c.host.fill(icc, m) }
			c.must(pos.ApprovedOnline)(c.till.LoadPurse(t.Context(), c.slot(), c.sale(1_000), pos.Loading{Verb: pos.VerbLoad}))
			cash := c.must(pos.ApprovedOnline)(c.till.LoadPurse(t.Context(), c.slot(), c.sale(500), pos.Loading{Verb: pos.VerbLoadCash}))
			c.must(pos.ApprovedOnline)(c.till.LoadPurse(t.Context(), c.slot(), c.sale(0), pos.Loading{Verb: pos.VerbLoadCashVoid, Original: of(cash)}))
			c.must(pos.ApprovedOnline)(c.till.LoadPurse(t.Context(), c.slot(), c.sale(0), pos.Loading{Verb: pos.VerbUnload}))
		},
		"balance and settlement": func(t *testing.T, c *counter) {
			c.must(pos.ApprovedOnline)(c.till.Balance(t.Context(), c.tap(), c.sale(0)))
			c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
			if sheet, _, err := c.till.Settle(t.Context(), money.CNY); err != nil || sheet == nil {
				t.Fatalf("settlement: %v", err)
			}
			c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
		},
		"silence": func(t *testing.T, c *counter) {
			c.host.silent = func(m unionpay.Message) bool { return m.Type() == unionpay.TypeFinancialRequest }
			c.must(pos.TakenBack)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
			c.host.silent = nil
			c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.tap(), c.sale(500)))
		},
	}
	for name, tell := range stories {
		c := newCounter(t, cardtest.Options{Change: roomy}, nil)
		tell(t, c)
		c.agrees(t, name)
		rows := len(c.Rows())
		for n := 1; n <= rows; n++ {
			for _, got := range []bool{false, true} {
				for _, capacity := range []journal.Capacity{{}, {Rows: 1}, {Rows: 3}} {
					c.killed(t, n, got, capacity).agrees(t, fmt.Sprintf("%s, killed after row %d of %d, heard %t, %v", name, n, rows, got, capacity.Rows))
				}
			}
		}
	}
}

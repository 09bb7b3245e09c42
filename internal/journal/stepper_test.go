package journal_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
	"tapnet/internal/ledger"
)

var start = time.Date(2026, 11, 21, 4, 0, 0, 123_456_789, time.FixedZone("", 8*3600))

func newStepper(t testing.TB, m journal.Machine, s journal.Store) *journal.Stepper {
	t.Helper()
	st, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: m, Store: s, Clock: clock.NewManual(start)})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestStepper(t *testing.T) {
	store, machine := journal.NewMemStore(), newAdder()
	var released []string
	manual := clock.NewManual(start)
	st, armed, err := journal.NewStepper(t.Context(), journal.Config{Machine: machine, Store: store, Clock: manual,
		Release: func(effects []journal.Effect) {
			for _, e := range effects {
				released = append(released, fmt.Sprint(e.To, " ", e.Trace))
			}
		}})
	if err != nil || len(armed) != 0 {
		t.Fatal(armed, err)
	}
	var replies []any
	effects, err := st.Step(t.Context(), journal.Event{From: "pos", Command: add{account: 5, amount: 100, legs: 2},
		Reply: func(v any) { replies = append(replies, v) }})
	if err != nil || len(effects) != 1 || st.LastSeq() != 2 {
		t.Fatal(effects, err, st.LastSeq())
	}
	if _, err := st.Step(t.Context(), journal.Event{From: "pos", Reply: func(v any) { replies = append(replies, v) }}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"pos 1", "pos at 2"}; !slices.Equal(released, want) {
		t.Errorf("released %q, want %q", released, want)
	}
	if want := []any{uint64(1), uint64(2)}; !slices.Equal(replies, want) {
		t.Errorf("replies %v, want %v", replies, want)
	}
	rows := journaltest.Load(t, store, 0)
	if len(rows) != 2 || rows[1].Linked != 1 {
		t.Fatalf("rows %+v", rows)
	}
	if at := rows[0].At; at.Location() != time.UTC || at.Nanosecond() != 123_456_000 || !machine.now.Equal(at) {
		t.Errorf("row dated %v, machine was told %v", at, machine.now)
	}
}

func TestReplayThenRearm(t *testing.T) {
	store := journal.NewMemStore()
	st := newStepper(t, newAdder(), store)
	for i := range 5 {
		if _, err := st.Step(t.Context(), journal.Event{Command: add{account: ledger.Account(i%2 + 1), amount: 10}}); err != nil {
			t.Fatal(err)
		}
	}
	again := newAdder()
	released := 0
	_, armed, err := journal.NewStepper(t.Context(), journal.Config{Machine: again, Store: store.Reopen(), Clock: clock.NewManual(start),
		Release: func(e []journal.Effect) { released += len(e) }})
	if err != nil || len(armed) != 1 || released != 1 || armed[0].Trace != "rearmed at 5" {
		t.Fatal(armed, released, err)
	}
	if again.sums[1] != 30 || again.sums[2] != 20 || again.handled != 0 {
		t.Fatalf("state after replay %v", again.sums)
	}
	// The first writer is fenced off from here on.
	if _, err := st.Step(t.Context(), journal.Event{Command: add{account: 1, amount: 10}}); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Fatalf("step of the old writer: %v", err)
	}
}

func TestStartErrors(t *testing.T) {
	store := journal.NewMemStore()
	st := newStepper(t, newAdder(), store)
	for range 3 {
		if _, err := st.Step(t.Context(), journal.Event{Command: add{account: 1, amount: 10}}); err != nil {
			t.Fatal(err)
		}
	}
	try := func(m journal.Machine, s journal.Store) error {
		_, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: m, Store: s, Clock: clock.NewManual(start)})
		return err
	}
	bad := newAdder()
	bad.bad = 2
	if err := try(bad, store.Reopen()); err == nil {
		t.Error("a replay that failed was ignored")
	}
	closed := store.Reopen()
	closed.Close()
	if err := try(newAdder(), closed); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("closed store: %v", err)
	}
	store.Tamper(2, func(r *journal.Row) { r.Amount = 11 })
	var broken *journal.ChainError
	if err := try(newAdder(), store.Reopen()); !errors.As(err, &broken) || broken.Seq != 2 {
		t.Errorf("tampered store: %v", err)
	}
	for name, cfg := range map[string]journal.Config{
		"machine": {Store: store, Clock: clock.Real()}, "store": {Machine: bad, Clock: clock.Real()}, "clock": {Machine: bad, Store: store},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("config without %s: no panic", name)
				}
			}()
			journal.NewWriter(cfg)
		}()
	}
}

func TestStepperFailStop(t *testing.T) {
	store, machine := journal.NewMemStore(), newAdder()
	st := newStepper(t, machine, store)
	full := errors.New("disk full")
	store.SetFaults(journal.Faults{BeforeCommit: func([]journal.Row) error { return full }})
	var replies []any
	ev := journal.Event{Command: add{account: 1, amount: 10}, Reply: func(v any) { replies = append(replies, v) }}
	if effects, err := st.Step(t.Context(), ev); !errors.Is(err, full) || len(effects) != 0 {
		t.Fatal(effects, err)
	}
	store.SetFaults(journal.Faults{})
	var stopped *journal.StoppedError
	if _, err := st.Step(t.Context(), ev); !errors.As(err, &stopped) || !errors.Is(err, full) {
		t.Fatalf("step after the stop: %v", err)
	}
	if machine.handled != 1 || len(replies) != 2 {
		t.Fatalf("handled %d, replies %v", machine.handled, replies)
	}
	for _, r := range replies {
		if _, ok := r.(*journal.StoppedError); !ok {
			t.Errorf("reply %v", r)
		}
	}
}

type misnumbering struct{ *adder }

func (misnumbering) Handle(_ time.Time, _ *journal.Event, step *journal.Step) {
	step.Rows = append(step.Rows, journal.Row{Seq: 7, Kind: journal.Noted})
}

func TestMisnumberedRowPanics(t *testing.T) {
	st := newStepper(t, misnumbering{newAdder()}, journal.NewMemStore())
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_, _ = st.Step(t.Context(), journal.Event{})
}

// A role is restarted at any moment, with a commit that may or may not have happened: the rebuilt state is always what
// the rows say, and what was released is always in the rows.
func TestRestartProperty(t *testing.T) {
	tt := t
	rapid.Check(t, func(t *rapid.T) {
		store, machine := journal.NewMemStore(), newAdder()
		released := map[string]bool{}
		open := func() *journal.Stepper {
			machine = newAdder()
			st, _, err := journal.NewStepper(tt.Context(), journal.Config{Machine: machine, Store: store, Clock: clock.NewManual(start),
				Release: func(effects []journal.Effect) {
					for _, e := range effects {
						if e.To == "pos" {
							released[e.Trace.(string)] = true
						}
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			return st
		}
		st := open()
		for i := range rapid.IntRange(1, 30).Draw(t, "steps") {
			crash := errors.New("power")
			fault := rapid.IntRange(0, 6).Draw(t, "fault")
			switch fault {
			case 0:
				store.SetFaults(journal.Faults{BeforeCommit: func([]journal.Row) error { return crash }})
			case 1:
				store.SetFaults(journal.Faults{AfterCommit: func([]journal.Row) error { return crash }})
			}
			events := make([]journal.Event, rapid.IntRange(1, 4).Draw(t, "events"))
			for j := range events {
				events[j] = journal.Event{From: "pos", Command: add{key: fmt.Sprintf("%06d-%d", i, j), account: ledger.Account(j + 1), amount: 7,
					legs: rapid.IntRange(1, 3).Draw(t, "legs")}}
			}
			if _, err := st.StepAll(tt.Context(), events...); (err != nil) != (fault <= 1) {
				t.Fatalf("fault %d: %v", fault, err)
			}
			if fault <= 2 {
				store = store.Reopen()
				st = open()
			}
		}
		sums := map[ledger.Account]int64{}
		firsts := map[string]bool{}
		for _, r := range journaltest.Load(tt, store, 0) {
			sums[r.Credit] += r.Amount
			firsts[fmt.Sprint(r.Linked)] = true
		}
		for a, sum := range sums {
			if machine.sums[a] != sum {
				t.Fatalf("account %d: %d in memory, %d in rows", a, machine.sums[a], sum)
			}
		}
		for seq := range released {
			if !firsts[seq] {
				t.Fatalf("the answer to row %s was released, the row is not durable", seq)
			}
		}
	})
}

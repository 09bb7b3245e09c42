package journal_test

import (
	"fmt"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// add is the command of the test machine: put amount on an account.
type add struct {
	key     string
	account ledger.Account
	amount  int64
	legs    int  // rows to make; 0 is 1
	silent  bool // no effects
}

// adder is a small role: every add is a row, an answer and a timer; state is a sum per account.
type adder struct {
	sums    map[ledger.Account]int64
	applied uint64 // last row seen
	handled int
	now     time.Time
	bad     uint64 // Replay fails at this row
}

func newAdder() *adder { return &adder{sums: map[ledger.Account]int64{}} }

func (a *adder) Handle(now time.Time, ev *journal.Event, step *journal.Step) {
	a.handled++
	a.now = now
	switch c := ev.Command.(type) {
	case add:
		first := step.NextSeq()
		for range max(c.legs, 1) {
			seq := step.Append(journal.Row{Kind: journal.Loaded, Key: c.key, Debit: -1, Credit: c.account, Amount: c.amount,
				Currency: 156, Linked: first})
			c.key = ""
			a.sums[c.account] += c.amount
			a.applied = seq
		}
		if !c.silent {
			step.Emit(journal.Effect{To: ev.From, Trace: fmt.Sprintf("%d", first)})
			step.Emit(journal.Effect{Reply: first})
		}
	case nil: // a question: no row
		step.Emit(journal.Effect{To: ev.From, Trace: fmt.Sprintf("at %d", a.applied), Reply: a.applied})
	}
}

func (a *adder) Replay(r *journal.Row) error {
	if r.Seq == a.bad {
		return fmt.Errorf("row %d makes no sense", r.Seq)
	}
	a.sums[r.Credit] += r.Amount
	a.applied = r.Seq
	return nil
}

func (a *adder) Rearm(time.Time) []journal.Effect {
	if a.applied == 0 {
		return nil
	}
	return []journal.Effect{{Timer: "resend", After: time.Second, Trace: fmt.Sprintf("rearmed at %d", a.applied)}}
}

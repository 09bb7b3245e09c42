package app

import (
	"context"
	"slices"
	"testing"

	"tapnet/internal/acquirer"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/sim"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// of finds rows of a kind with a reason.
func of(kind journal.Kind, reason issuer.Reason, change func(r *journal.Row)) func(r *journal.Row) bool {
	return func(r *journal.Row) bool {
		if r.Kind != kind || r.Reason != uint16(reason) {
			return false
		}
		change(r)
		return true
	}
}

// flipNote changes one byte of a row's note.
func flipNote(at int) func(r *journal.Row) {
	return func(r *journal.Row) {
		r.Note = slices.Clone(r.Note)
		r.Note[at] ^= 1
	}
}

// behindTheFlags is where the note of a sequel says what it gives back of the limits used.
const behindTheFlags = 2

// plantedSequels spoil rows about what follows an earlier payment.
func plantedSequels() []plantedLoad {
	begun := func(b acquirer.Business, change func(r *journal.Row)) func(r *journal.Row) bool {
		return func(r *journal.Row) bool {
			if r.Kind != journal.Requested || r.Reason != uint16(b) {
				return false
			}
			change(r)
			return true
		}
	}
	lessMoney := func(r *journal.Row) { r.Amount-- }
	list := []plantedLoad{
		{"a void gives too little back", verify.Issuer, of(journal.Refunded, issuer.VoidDone, lessMoney), true},
		{"a void gives the money to somebody else", verify.Issuer, of(journal.Refunded, issuer.VoidDone, func(r *journal.Row) { r.Credit += 10 }), true},
		{"a void keeps the limits used", verify.Issuer, of(journal.Refunded, issuer.VoidDone, flipNote(behindTheFlags+4)), false},
		{"a void of another payment", verify.Issuer, of(journal.Refunded, issuer.VoidDone, func(r *journal.Row) { r.Linked-- }), false},
		{"a refund of more than was paid", verify.Issuer, of(journal.Refunded, issuer.SaleRefunded, func(r *journal.Row) { r.Amount += 9_000_000 }), true},
		{"a refund to a purse", verify.Issuer, of(journal.Refunded, issuer.RefundDone, func(r *journal.Row) { r.Credit++ }), true},
		{"a refund that is forgotten", verify.Issuer, of(journal.Noted, issuer.SaleRefunded, lessMoney), false},
		{"a mark for another payment", verify.Issuer, of(journal.Noted, issuer.VoidDone, func(r *journal.Row) { r.Linked-- }), false},
		{"a cancellation that holds on", verify.Issuer, of(journal.Voided, issuer.PreAuthCancelled, func(r *journal.Row) {
			r.Phase, r.Resolves, r.Debit, r.Credit = ledger.Single, 0, 0, 0
		}), true},
		{"a completion above 115 per cent", verify.Issuer, of(journal.Completed, issuer.CompletionDone, func(r *journal.Row) { r.Amount = r.Amount*3 + 100 }), true},
		{"a completion that leaves the hold", verify.Issuer, of(journal.Voided, issuer.PreAuthGivesWay, func(r *journal.Row) { r.Resolves-- }), true},
		{"a completion that the bank pays", verify.Issuer, of(journal.Completed, issuer.CompletionDone, func(r *journal.Row) { r.Debit = 2 }), false},
		{"a void of a completion that pays nobody", verify.Issuer, of(journal.Refunded, issuer.CompletionVoidDone, func(r *journal.Row) { r.Debit, r.Credit = 0, 0 }), true},
		{"a pre-authorization that counts as a sale", verify.Issuer, of(journal.Approved, issuer.PreAuthHeld, func(r *journal.Row) { r.Reason = 0 }), true},
		{"another balance is told", verify.Issuer, of(journal.Noted, issuer.BalanceTold, flipNote(behindTheFlags)), false},
		{"an inquiry that spends no counter", verify.Issuer, of(journal.Noted, issuer.BalanceTold, func(r *journal.Row) {
			r.Note = slices.Clone(r.Note)
			r.Note[0] &^= 2
		}), false},
		{"a void that pays the merchant", verify.Acquirer, begun(acquirer.Void, func(r *journal.Row) { r.Reason = uint16(acquirer.Sale) }), true},
		{"a refund that is a void", verify.Acquirer, begun(acquirer.Refund, func(r *journal.Row) { r.Reason = uint16(acquirer.Void) }), true},
		{"a pre-authorization that pays the merchant", verify.Acquirer, begun(acquirer.PreAuth, func(r *journal.Row) { r.Reason = uint16(acquirer.Completion) }), true},
		{"a completion that pays nobody", verify.Acquirer, begun(acquirer.Completion, func(r *journal.Row) { r.Reason = uint16(acquirer.PreAuth) }), true},
		{"a notice that is a question", verify.Acquirer, begun(acquirer.CompletionNotice, func(r *journal.Row) { r.Reason = uint16(acquirer.Completion) }), true},
		{"an inquiry about money", verify.Acquirer, begun(acquirer.BalanceInquiry, func(r *journal.Row) { r.Amount = 100 }), true},
	}
	return append(list, plantedAtTill()...)
}

// plantedAtTill spoil rows of tills about their verbs.
func plantedAtTill() []plantedLoad {
	till := func(kind journal.Kind, fits func(r *journal.Row) bool, change func(r *journal.Row)) func(r *journal.Row) bool {
		return func(r *journal.Row) bool {
			if r.Kind != kind || fits != nil && !fits(r) {
				return false
			}
			change(r)
			return true
		}
	}
	verb := func(v byte) func(r *journal.Row) bool {
		return func(r *journal.Row) bool { return len(r.Note) > 2 && r.Note[1] == v }
	}
	spoil := func(r *journal.Row) { r.Note = slices.Clone(r.Note); r.Note[1] = 1 }
	return []plantedLoad{
		{"a till says that a void was a sale", verify.Till, till(journal.Requested, verb(3), spoil), false},
		{"a till says that a pre-authorization was a sale", verify.Till, till(journal.Requested, verb(5), spoil), false},
		{"a till says that a refund was a sale", verify.Till, till(journal.Advised, verb(4), spoil), false},
		{"a till forgets what a refund is of", verify.Till, till(journal.Advised, verb(4), func(r *journal.Row) { r.Note = slices.Clone(r.Note); r.Note[3]++ }), false},
		{"a till inquires about money", verify.Till, till(journal.Noted, nil, func(r *journal.Row) { r.Amount = 5 }), true},
		{"a till refunds more than its bank", verify.Till, till(journal.Advised, verb(4), func(r *journal.Row) { r.Amount++ }), false},
		{"a till settles another batch", verify.Till, till(journal.BatchClosed, nil, func(r *journal.Row) { r.Note = slices.Clone(r.Note); r.Note[0] += 2 }), false},
		{"a till's totals are wrong", verify.Till, till(journal.Cleared, nil, func(r *journal.Row) { r.Note = slices.Clone(r.Note); r.Note[len(r.Note)-1] ^= 1 }), false},
		{"a card that followed what was not asked", verify.Till, till(journal.Completed, nil, func(r *journal.Row) { r.Linked-- }), false},
		{"a script's result that nobody sent", verify.Till, till(journal.ScriptReported, nil, func(r *journal.Row) { r.Linked-- }), false},
	}
}

// TestPlantedSequelErrorsAreFound spoils the journals of a sound network, one row at a time.
func TestPlantedSequelErrorsAreFound(t *testing.T) {
	var sound verify.Snapshot
	report, err := sim.Run(t.Context(), sim.Options{Seed: 2, Taps: 450, Observe: func(s verify.Snapshot) { sound = s }})
	if err != nil || !report.Good() || !sound.Quiet {
		t.Fatalf("%v, %v", err, report.Findings)
	}
	for _, p := range plantedSequels() {
		t.Run(p.name, func(t *testing.T) { p.find(t, sound) })
	}
}

// find plants the error and looks for it.
func (p plantedLoad) find(t *testing.T, sound verify.Snapshot) {
	t.Helper()
	s, planted := sound, false
	s.Members = slices.Clone(sound.Members)
	for i := range s.Members {
		m := &s.Members[i]
		if m.Role != p.role || planted {
			continue
		}
		m.Rows = slices.Clone(m.Rows)
		approved := map[uint64]bool{}
		for at := range m.Rows {
			if r := &m.Rows[at]; r.Kind == journal.Answered && unionpay.UnpackResponseCode(r.Reason).Approved() {
				approved[r.Linked] = true
			}
		}
		for at := range m.Rows {
			r := &m.Rows[at]
			asked := r.Kind == journal.Requested || r.Kind == journal.Advised || r.Kind == journal.Noted
			if m.Role != verify.Issuer && asked && !approved[r.Seq] {
				continue
			}
			if planted = p.change(r); planted {
				break
			}
		}
	}
	if !planted {
		t.Fatal("there is no such row in this run")
	}
	dir, _ := simDir(t, s)
	found, err := verify.Dir(t.Context(), dir, verify.Options{Settled: true, Chips: func(context.Context) ([]verify.Chip, error) { return nil, nil }})
	if err != nil || found.Clean() {
		t.Errorf("the second look at the journals finds nothing: %v", err)
	}
	again := verify.Snapshot{Calendar: s.Calendar, Quiet: true, Members: s.Members}
	if p.quiet && len(verify.Check(again)) == 0 {
		t.Error("no invariant breaks")
	}
}

package app

import (
	"context"
	"slices"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/sim"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// plantedLoad spoils one row about a load, a notice or a batch. It is false when the row is not what it is looking for.
type plantedLoad struct {
	name   string
	role   string
	change func(r *journal.Row) bool
	quiet  bool // found by Check as well
}

func plantedLoads() []plantedLoad {
	approved := func(r *journal.Row) bool { return unionpay.UnpackResponseCode(r.Reason).Approved() }
	return []plantedLoad{
		{"a merchant is paid for a load", verify.Acquirer, func(r *journal.Row) bool {
			if r.Kind != journal.Answered || r.Debit != 0 || !approved(r) {
				return false
			}
			r.Debit, r.Credit, r.Phase = 1, 100, ledger.Pending
			return true
		}, true},
		{"cash is not owed", verify.Acquirer, func(r *journal.Row) bool {
			if r.Kind != journal.Answered || r.Debit < 1<<32 {
				return false
			}
			r.Debit, r.Credit, r.Phase = 0, 0, ledger.Single
			return true
		}, true},
		{"cash is owed by another merchant", verify.Acquirer, func(r *journal.Row) bool {
			if r.Kind != journal.Answered || r.Debit < 1<<32 {
				return false
			}
			r.Debit++
			return true
		}, true},
		{"cash is let go that the chip has", verify.Acquirer, func(r *journal.Row) bool {
			if r.Kind != journal.ScriptReported || r.Phase != ledger.Post {
				return false
			}
			r.Phase = ledger.Void
			return true
		}, true},
		{"a load is booked that was let go", verify.Issuer, func(r *journal.Row) bool {
			if r.Kind != journal.Loaded {
				return false
			}
			r.Amount++
			return true
		}, true},
		{"a load comes from somebody else's account", verify.Issuer, func(r *journal.Row) bool {
			if r.Kind != journal.Held || r.Reason != 120 {
				return false
			}
			r.Debit += 10
			return true
		}, true},
		{"a settlement that differs is said to agree", verify.Acquirer, func(r *journal.Row) bool {
			if r.Kind != journal.BatchClosed {
				return false
			}
			r.Note = slices.Clone(r.Note)
			r.Note[5]++
			return true
		}, false},
		{"a notice is not acknowledged", verify.Switch, func(r *journal.Row) bool {
			if r.Kind != journal.Acknowledged || len(r.Payment) == 0 || r.Payment[len(r.Payment)-1] != '2' {
				return false
			}
			r.Linked--
			return true
		}, true},
	}
}

// TestPlantedLoadErrorsAreFound spoils the journals of a sound network, one row at a time.
func TestPlantedLoadErrorsAreFound(t *testing.T) {
	var sound verify.Snapshot
	report, err := sim.Run(t.Context(), sim.Options{Seed: 3, Taps: 300, Observe: func(s verify.Snapshot) { sound = s }})
	if err != nil || !report.Good() || !sound.Quiet {
		t.Fatalf("%v, %v", err, report.Findings)
	}
	for _, p := range plantedLoads() {
		t.Run(p.name, func(t *testing.T) {
			s, planted := sound, false
			s.Members = slices.Clone(sound.Members)
			for i := range s.Members {
				m := &s.Members[i]
				if m.Role != p.role || planted {
					continue
				}
				m.Rows = slices.Clone(m.Rows)
				for at := range m.Rows {
					if planted = p.change(&m.Rows[at]); planted {
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
		})
	}
}

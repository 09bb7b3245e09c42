package sim

import (
	"testing"

	"tapnet/internal/pos"
)

// TestLoadsRunEndToEnd: with nothing going wrong a load ends with the new balance on the chip and on the books, and batches agree.
func TestLoadsRunEndToEnd(t *testing.T) {
	total := Counts{Ends: map[string]int{}}
	for _, seed := range []uint64{1, 2, 3} {
		r := run(t, Options{Seed: seed, Taps: 400})
		total.add(&r.Counts)
	}
	if total.Settled == 0 || total.Settled != total.Agreed {
		t.Errorf("%d batches settled, %d agreed", total.Settled, total.Agreed)
	}
	if total.Verbs[pos.VerbLoad] == 0 || total.Verbs[pos.VerbLoadCash] == 0 || total.Verbs[pos.VerbLoadCashVoid] == 0 || total.Verbs[pos.VerbUnload] == 0 {
		t.Errorf("loads %v", total.Verbs)
	}
	t.Logf("%+v", total)
}

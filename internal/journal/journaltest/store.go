// Package journaltest is what every journal store must pass, and rows to pass it with.
//
// It follows no standard. It is for tests only: it covers what journal.Store promises and can be seen through its
// interface. Damage to stored rows is each store's own test.
package journaltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// Open opens the store at a place. Opened twice, one place shows the same rows; the suite makes every place with
// t.TempDir.
type Open func(t testing.TB, place string) journal.Store

// Row is a row with every field set, different for every number, not sealed.
func Row(seq uint64) journal.Row {
	n := int(seq)
	return journal.Row{
		Kind: journal.Approved, At: time.Date(2026, 11, 21, 4, 5, 6, 0, time.UTC).Add(time.Duration(n) * time.Microsecond),
		BusinessDate: 20261121, Key: Key(seq), Content: [16]byte{1, 2, byte(n >> 8), byte(n)},
		Answer: fmt.Appendf(nil, "answer %d", n), Payment: fmt.Sprintf("P%011d", n), RRN: fmt.Sprintf("%012d", n),
		Terminal: "T0000001", STAN: uint32(n % 1_000_000), Card: 1 << 40, ATC: uint16(n), Reason: 17,
		Debit: 1001, Credit: -7, Amount: 29900, Currency: 156, Phase: ledger.Pending, Linked: seq, Note: []byte{0, 0xFF, byte(n)},
	}
}

// Key is the key of Row(seq): fixed width and ordered by time, as payment keys are.
func Key(seq uint64) string { return fmt.Sprintf("1121040506%06d00010299000001029900R", seq) }

// Seal returns the rows numbered and sealed to follow chain, which moves on.
func Seal(chain *journal.Chain, rows ...journal.Row) []journal.Row {
	for i := range rows {
		chain.Seal(&rows[i])
	}
	return rows
}

// Rows makes n sealed rows that follow chain.
func Rows(chain *journal.Chain, n int) []journal.Row {
	out := make([]journal.Row, n)
	for i := range out {
		out[i] = Row(chain.Seq + 1)
		chain.Seal(&out[i])
	}
	return out
}

// Load reads every row above after.
func Load(t testing.TB, s journal.Store, after uint64) []journal.Row {
	t.Helper()
	var out []journal.Row
	err := s.Load(t.Context(), after, func(r *journal.Row) error {
		out = append(out, *r)
		return nil
	})
	if err != nil {
		t.Fatalf("Load(%d): %v", after, err)
	}
	return out
}

// Store runs the suite.
func Store(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, open Open)
	}{
		{"Empty", testEmpty},
		{"CommitThenReopen", testReopen},
		{"BarestRow", testBarest},
		{"CloseWithoutCommit", testWithoutCommit},
		{"StaleEpoch", testStale},
		{"UnclaimedEpoch", testUnclaimed},
		{"DuplicateKey", testDuplicate},
		{"EmptyKeysAreNotKeys", testEmptyKeys},
		{"Sequence", testSequence},
		{"LargeBatch", testLarge},
		{"FindKey", testFindKey},
		{"LoadAfter", testLoadAfter},
		{"LoadStops", testLoadStops},
		{"CancelledContext", testCancelled},
		{"Closed", testClosed},
		{"ReadersWhileCommitting", testReaders},
		{"Cells", testCells},
		{"CellsThatAreRefused", testRefusedCells},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, open) })
	}
}

// fixture is an open, claimed store.
type fixture struct {
	journal.Store
	place string
	epoch uint64
	chain journal.Chain
}

func begin(t testing.TB, open Open) *fixture {
	t.Helper()
	f := &fixture{place: t.TempDir()}
	f.Store = open(t, f.place)
	t.Cleanup(func() { f.Store.Close() })
	f.claim(t)
	return f
}

func (f *fixture) claim(t testing.TB) {
	t.Helper()
	epoch, err := f.Claim(t.Context(), "suite")
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	f.epoch = epoch
}

func (f *fixture) commit(t testing.TB, rows []journal.Row) {
	t.Helper()
	if err := f.Commit(t.Context(), f.epoch, rows, nil); err != nil {
		t.Fatalf("Commit: %v", err)
	}
}

func (f *fixture) wantLast(t testing.TB, want journal.Chain) {
	t.Helper()
	seq, hash, err := f.Last(t.Context())
	if err != nil || seq != want.Seq || hash != want.Hash {
		t.Fatalf("Last = %d %x, %v; want %d %x", seq, hash, err, want.Seq, want.Hash)
	}
}

func testEmpty(t *testing.T, open Open) {
	f := begin(t, open)
	f.wantLast(t, journal.Chain{})
	if rows := Load(t, f, 0); len(rows) != 0 {
		t.Fatalf("Load of an empty store: %d rows", len(rows))
	}
	if _, found, err := f.FindKey(t.Context(), "K"); found || err != nil {
		t.Fatalf("FindKey in an empty store = %v, %v", found, err)
	}
	f.commit(t, nil)
	f.wantLast(t, journal.Chain{})
}

func testReopen(t *testing.T, open Open) {
	f := begin(t, open)
	var want []journal.Row
	for _, n := range []int{1, 3, 2} {
		rows := Rows(&f.chain, n)
		want = append(want, rows...)
		f.commit(t, rows)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Store = open(t, f.place)
	if diff := cmp.Diff(want, Load(t, f, 0)); diff != "" {
		t.Fatalf("rows after reopening (-want +got):\n%s", diff)
	}
	f.wantLast(t, f.chain)
	f.claim(t)
	f.commit(t, Rows(&f.chain, 1))
	f.wantLast(t, f.chain)
}

func testBarest(t *testing.T, open Open) {
	f := begin(t, open)
	rows := Seal(&f.chain, journal.Row{Kind: journal.Noted, At: time.UnixMicro(0).UTC()},
		journal.Row{Kind: journal.Noted, At: time.UnixMicro(-1).UTC(), BusinessDate: -1, Card: -1, Debit: -1, Amount: -1,
			STAN: 1<<32 - 1, ATC: 1<<16 - 1, Reason: 1<<16 - 1, Currency: 1<<16 - 1, Resolves: 1<<63 - 1, Linked: 1<<63 - 1})
	f.commit(t, rows)
	if diff := cmp.Diff(rows, Load(t, f, 0)); diff != "" {
		t.Fatalf("rows (-want +got):\n%s", diff)
	}
}

// testWithoutCommit is a crash between deciding and committing: what was only sealed is not there.
func testWithoutCommit(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 2))
	durable := f.chain
	Rows(&f.chain, 2)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Store = open(t, f.place)
	f.wantLast(t, journal.Chain{Seq: durable.Seq, Hash: durable.Hash})
}

func testStale(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 1))
	other := open(t, f.place)
	defer other.Close()
	epoch, err := other.Claim(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	if epoch <= f.epoch {
		t.Fatalf("second epoch %d is not above the first, %d", epoch, f.epoch)
	}
	before := f.chain
	rows := Rows(&f.chain, 1)
	if err := f.Commit(t.Context(), f.epoch, rows, nil); !errors.Is(err, journal.ErrStaleEpoch) {
		t.Fatalf("Commit with a stale epoch: %v", err)
	}
	f.wantLast(t, before)
	if err := other.Commit(t.Context(), epoch, rows, nil); err != nil {
		t.Fatalf("Commit by the new owner: %v", err)
	}
	f.wantLast(t, f.chain)
}

func testUnclaimed(t *testing.T, open Open) {
	place := t.TempDir()
	s := open(t, place)
	defer s.Close()
	var chain journal.Chain
	rows := Rows(&chain, 1)
	for _, epoch := range []uint64{0, 1, 99} {
		if err := s.Commit(t.Context(), epoch, rows, nil); !errors.Is(err, journal.ErrStaleEpoch) {
			t.Errorf("Commit with epoch %d before any claim: %v", epoch, err)
		}
	}
}

func testDuplicate(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 2))
	durable := f.chain
	for name, make := range map[string]func(*journal.Chain) []journal.Row{
		"stored": func(c *journal.Chain) []journal.Row {
			rows := []journal.Row{Row(3), Row(4)}
			rows[1].Key = Key(2)
			return Seal(c, rows...)
		},
		"same batch": func(c *journal.Chain) []journal.Row {
			rows := []journal.Row{Row(3), Row(4), Row(5)}
			rows[2].Key = Key(3)
			return Seal(c, rows...)
		},
	} {
		chain := durable
		rows := make(&chain)
		var dup *journal.DuplicateKeyError
		if err := f.Commit(t.Context(), f.epoch, rows, nil); !errors.As(err, &dup) {
			t.Fatalf("%s: Commit: %v", name, err)
		} else if dup.Key != rows[len(rows)-1].Key {
			t.Errorf("%s: error names key %q", name, dup.Key)
		}
		f.wantLast(t, durable)
	}
	f.commit(t, Rows(&f.chain, 1)) // the refused batches left nothing behind
}

func testEmptyKeys(t *testing.T, open Open) {
	f := begin(t, open)
	rows := []journal.Row{Row(1), Row(2), Row(3)}
	for i := range rows {
		rows[i].Key = ""
	}
	f.commit(t, Seal(&f.chain, rows...))
	if _, found, err := f.FindKey(t.Context(), ""); found || err != nil {
		t.Fatalf("FindKey of the empty key = %v, %v", found, err)
	}
}

func testSequence(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 3))
	for name, first := range map[string]uint64{"gap": 4, "again": 2, "first again": 0} {
		chain := journal.Chain{Seq: first}
		rows := Rows(&chain, 1)
		rows[0].Key = ""
		if err := f.Commit(t.Context(), f.epoch, rows, nil); !errors.Is(err, journal.ErrSequence) {
			t.Errorf("%s: Commit: %v", name, err)
		}
	}
	rows := Rows(&journal.Chain{Seq: 3}, 3)
	if err := f.Commit(t.Context(), f.epoch, []journal.Row{rows[0], rows[2]}, nil); !errors.Is(err, journal.ErrSequence) {
		t.Errorf("gap inside a batch: Commit: %v", err)
	}
	f.wantLast(t, f.chain)
}

func testLarge(t *testing.T, open Open) {
	f := begin(t, open)
	want := Rows(&f.chain, journal.DefaultMaxBatch)
	f.commit(t, want)
	f.commit(t, Rows(&f.chain, journal.DefaultMaxBatch))
	got := Load(t, f, 0)
	if len(got) != 2*journal.DefaultMaxBatch {
		t.Fatalf("%d rows", len(got))
	}
	if diff := cmp.Diff(want, got[:len(want)]); diff != "" {
		t.Fatalf("rows (-want +got):\n%s", diff)
	}
	big := Row(f.chain.Seq + 1)
	big.Answer, big.Note = make([]byte, journal.MaxBlobBytes), make([]byte, journal.MaxBlobBytes)
	f.commit(t, Seal(&f.chain, big))
	if got := Load(t, f, f.chain.Seq-1); len(got) != 1 || len(got[0].Answer) != journal.MaxBlobBytes {
		t.Fatal("the largest row did not come back")
	}
}

func testFindKey(t *testing.T, open Open) {
	f := begin(t, open)
	rows := Rows(&f.chain, 5)
	f.commit(t, rows)
	r, found, err := f.FindKey(t.Context(), Key(4))
	if err != nil || !found {
		t.Fatalf("FindKey = %v, %v", found, err)
	}
	if diff := cmp.Diff(&rows[3], r); diff != "" {
		t.Fatalf("row (-want +got):\n%s", diff)
	}
	for _, key := range []string{Key(6), Key(4)[:10], Key(4) + " ", "' OR 1=1 --"} {
		if _, found, err := f.FindKey(t.Context(), key); found || err != nil {
			t.Errorf("FindKey(%q) = %v, %v", key, found, err)
		}
	}
}

func testLoadAfter(t *testing.T, open Open) {
	f := begin(t, open)
	rows := Rows(&f.chain, 10)
	f.commit(t, rows)
	if diff := cmp.Diff(rows[7:], Load(t, f, 7)); diff != "" {
		t.Fatalf("rows after 7 (-want +got):\n%s", diff)
	}
	if got := Load(t, f, 10); len(got) != 0 {
		t.Fatalf("%d rows after the last", len(got))
	}
	for _, after := range []uint64{11, 1 << 63} {
		if err := f.Load(t.Context(), after, func(*journal.Row) error { return nil }); !errors.Is(err, journal.ErrSequence) {
			t.Errorf("Load after %d: %v", after, err)
		}
	}
}

func testLoadStops(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 5))
	enough, seen := errors.New("enough"), 0
	err := f.Load(t.Context(), 0, func(*journal.Row) error {
		if seen++; seen == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || seen != 3 {
		t.Fatalf("Load = %v after %d rows", err, seen)
	}
}

func testCancelled(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 2))
	before := f.chain
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := f.Commit(ctx, f.epoch, Rows(&f.chain, 1), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	if err := f.Load(ctx, 0, func(*journal.Row) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("Load: %v", err)
	}
	f.wantLast(t, before)
}

func testClosed(t *testing.T, open Open) {
	f := begin(t, open)
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	_, _, lastErr := f.Last(t.Context())
	_, _, findErr := f.FindKey(t.Context(), "K")
	_, claimErr := f.Claim(t.Context(), "late")
	for name, err := range map[string]error{
		"Last": lastErr, "FindKey": findErr, "Claim": claimErr,
		"Commit": f.Commit(t.Context(), f.epoch, Rows(&f.chain, 1), nil),
		"Load":   f.Load(t.Context(), 0, func(*journal.Row) error { return nil }),
	} {
		if !errors.Is(err, journal.ErrClosed) {
			t.Errorf("%s on a closed store: %v", name, err)
		}
	}
}

// testReaders reads while the writer commits: under the race detector this is the test of the store's locks.
func testReaders(t *testing.T, open Open) {
	f := begin(t, open)
	f.commit(t, Rows(&f.chain, 1))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	read := func(do func() error) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := do(); err != nil {
					t.Errorf("read while committing: %v", err)
					return
				}
			}
		})
	}
	read(func() error { _, _, err := f.Last(t.Context()); return err })
	read(func() error {
		if _, found, err := f.FindKey(t.Context(), Key(1)); err != nil || !found {
			return fmt.Errorf("FindKey = %v, %w", found, err)
		}
		return nil
	})
	read(func() error { return f.Load(t.Context(), 0, func(*journal.Row) error { return nil }) })
	for range 20 {
		f.commit(t, Rows(&f.chain, 4))
	}
	close(stop)
	wg.Wait()
	f.wantLast(t, f.chain)
}

package verify_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
)

func chipsOf(chips []verify.Chip) func(context.Context) ([]verify.Chip, error) {
	return func(context.Context) ([]verify.Chip, error) { return chips, nil }
}

func generate(t testing.TB, o verifytest.Options) (dir string, chips []verify.Chip) {
	t.Helper()
	dir = t.TempDir()
	chips, err := verifytest.Generate(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return dir, chips
}

func check(t testing.TB, dir string, o verify.Options) verify.Report {
	t.Helper()
	report, err := verify.Dir(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestACleanDirectoryHasNoFindings(t *testing.T) {
	dir, chips := generate(t, verifytest.Options{Payments: 10_000, Seed: 1})
	report := check(t, dir, verify.Options{Settled: true, Chips: chipsOf(chips)})
	for _, w := range report.Findings {
		t.Error(w)
	}
	if report.Payments != 10_000 || report.Rows < 65_000 || report.Underway != 0 || !report.Clean() {
		t.Errorf("%d payments, %d rows, %d under way", report.Payments, report.Rows, report.Underway)
	}
	t.Logf("%d rows in %v: %.0f rows/s", report.Rows, report.Elapsed, float64(report.Rows)/report.Elapsed.Seconds())
}

// BenchmarkVerify reports rows per second over a generated directory, chains, cards and payments together.
func BenchmarkVerify(b *testing.B) {
	dir, chips := generate(b, verifytest.Options{Payments: benchmarkPayments, Seed: 1, Every: 10 * time.Millisecond})
	b.ReportAllocs()
	var rows uint64
	for b.Loop() {
		report := check(b, dir, verify.Options{Settled: true, Chips: chipsOf(chips)})
		if !report.Clean() {
			b.Fatal(report.Findings)
		}
		rows += report.Rows
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}

const benchmarkPayments = 30_000

// TestReversalsOfPaymentsThatHaveLeftMemory: without tills a payment is settled long before its reversal comes, so that it must be brought back.
func TestReversalsOfPaymentsThatHaveLeftMemory(t *testing.T) {
	defer verify.SetKept(16)()
	dir, _ := generate(t, verifytest.Options{Payments: 1_500, Seed: 2, NoTills: true, Every: 50 * time.Millisecond})
	report := check(t, dir, verify.Options{Settled: true})
	for _, w := range report.Findings {
		t.Error(w)
	}
	reversed := uint64(0)
	for _, m := range report.Members {
		if m.Role == verify.Acquirer {
			reversed = m.Reversed
		}
	}
	if reversed < 10 || report.Underway != 0 {
		t.Errorf("%d payments reversed, %d under way", reversed, report.Underway)
	}
	rows, err := verifytest.Rows(t.Context(), dir, acquirer)
	if err != nil {
		t.Fatal(err)
	}
	var chain journal.Chain
	wrong := uint64(0)
	for i := range rows {
		if r := &rows[i]; r.Kind == journal.Reversed && wrong == 0 {
			r.Amount, wrong = r.Amount+1, r.Seq
		}
		chain.Seal(&rows[i])
	}
	if err := verifytest.Replace(dir, acquirer, rows); err != nil {
		t.Fatal(err)
	}
	report = check(t, dir, verify.Options{})
	if len(report.Findings) != 1 || report.Findings[0].Row != wrong || report.Findings[0].Field != "amount" {
		t.Errorf("row %d: found %v", wrong, report.Findings)
	}
}

// TestALiveStoreIsVerified: while somebody writes, what is under way is no finding, and what is wrong still is one.
func TestALiveStoreIsVerified(t *testing.T) {
	dir := t.TempDir()
	running, done := context.WithCancel(t.Context())
	var writer sync.WaitGroup
	ready := make(chan struct{})
	writer.Go(func() {
		_, err := verifytest.Generate(running, dir, verifytest.Options{Payments: 1 << 20, Seed: 4, Cells: true, Live: func() {
			select {
			case <-ready:
			default:
				close(ready)
			}
		}})
		if err != nil && running.Err() == nil {
			t.Error(err)
		}
	})
	<-ready
	underway := uint64(0)
	for range 12 {
		report := check(t, dir, verify.Options{})
		for _, w := range report.Findings {
			t.Errorf("%s", w)
		}
		underway += report.Underway
	}
	if underway == 0 {
		t.Error("nothing was ever under way: the store was not live")
	}
	done()
	writer.Wait()
}

func TestAnEarlierReportHoldsTheJournals(t *testing.T) {
	dir, _ := generate(t, verifytest.Options{Payments: 60, Seed: 5})
	before := check(t, dir, verify.Options{Settled: true})
	anchors := before.Anchors()
	if again := check(t, dir, verify.Options{Anchors: anchors}); !again.Clean() || len(anchors) != len(before.Members) {
		t.Fatalf("%d anchors, %v", len(anchors), again.Findings)
	}
	// An end cut off, and a history written anew that is sound in itself.
	for _, name := range []string{issuerA, acquirer} {
		rows, err := verifytest.Rows(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		cut := rows[:len(rows)-1]
		if name == acquirer {
			var chain journal.Chain
			for i := range rows {
				if rows[i].Content != ([16]byte{}) {
					rows[i].Content[0] ^= 1 // nobody else knows it
				}
				chain.Seal(&rows[i])
			}
			cut = rows
		}
		if err := verifytest.Replace(dir, name, cut); err != nil {
			t.Fatal(err)
		}
		report := check(t, dir, verify.Options{Anchors: anchors})
		if !slices.ContainsFunc(report.Findings, func(w verify.Wrong) bool { return w.Row == uint64(len(rows)) && w.Field == verify.FieldChain }) {
			t.Errorf("%s: %v", name, report.Findings)
		}
	}
}

func TestWhatIsNoDataDirectory(t *testing.T) {
	empty, file := t.TempDir(), filepath.Join(t.TempDir(), "file")
	write := func(path, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "x")
	garbage, worldOnly, badWorld := t.TempDir(), t.TempDir(), t.TempDir()
	write(verifytest.Path(garbage, "switch"), "this is no database, whatever its name says")
	write(filepath.Join(worldOnly, verify.WorldFile), `{"members":[{"journal":"switch","role":"switch","name":"1"}]}`)
	write(filepath.Join(badWorld, verify.WorldFile), `{"members":[{"journal":"../../etc/passwd","role":"switch","name":"1"}]}`)
	for _, c := range []struct {
		dir  string
		want error
	}{
		{filepath.Join(empty, "missing"), fs.ErrNotExist}, {file, verify.ErrNoJournals}, {empty, verify.ErrNoJournals},
		{garbage, journalsql.ErrNotJournal}, {worldOnly, verify.ErrNoJournals}, {badWorld, nil},
	} {
		if _, err := verify.Dir(t.Context(), c.dir, verify.Options{}); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.dir, err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := verify.Dir(cancelled, garbage, verify.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestNothingIsWritten: verifying leaves the directory as it was, files and bytes.
func TestNothingIsWritten(t *testing.T) {
	dir, _ := generate(t, verifytest.Options{Payments: 20, Seed: 7, Cells: true})
	list := func() (found []string) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				content, readErr := os.ReadFile(path)
				found, err = append(found, fmt.Sprintf("%s %x", path, sha256.Sum256(content))), readErr
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	before := list()
	check(t, dir, verify.Options{})
	if after := list(); !slices.Equal(before, after) {
		t.Errorf("before: %v\nafter: %v", before, after)
	}
}

func TestFindingsSpeakBothLanguages(t *testing.T) {
	w := verify.Wrong{Role: verify.Issuer, Member: "10010000", Row: 7, Kind: journal.Approved, Field: "amount",
		Found: glossary.Term{EN: "5", ZH: "5"}, Expected: glossary.Term{EN: "4", ZH: "4"}, Witness: verify.Witness{Role: verify.Switch, Member: "1", Row: 3}}
	if got := w.Term(); got.EN != "issuer 10010000 row 7 (approved): amount: found 5, expected 4 (by switch 1 row 3)" ||
		got.ZH != "发卡行10010000第7行（"+journal.Approved.Term().ZH+"）：金额：实为5，应为4（依据交换中心1第3行）" {
		t.Errorf("%+v", got)
	}
	text, err := json.Marshal(w)
	if want := `{"role":"issuer","member":"10010000","row":7,"kind":"approved","field":"amount","found":{"en":"5","zh":"5"},` +
		`"expected":{"en":"4","zh":"4"},"witness":{"role":"switch","member":"1","row":3}}`; err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

func TestProgressAndLimits(t *testing.T) {
	dir, _ := generate(t, verifytest.Options{Payments: 100, Seed: 8})
	var done, of uint64
	rows, err := verifytest.Rows(t.Context(), dir, switches)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		rows[i].Chain[0] ^= 1
	}
	if err := verifytest.Replace(dir, switches, rows); err != nil {
		t.Fatal(err)
	}
	report := check(t, dir, verify.Options{Most: 5, Progress: func(d, o uint64) { done, of = d, o }})
	if done != report.Rows || of != report.Rows {
		t.Errorf("progress ended at %d of %d, %d rows", done, of, report.Rows)
	}
	if len(report.Findings) != 5 || report.Total != len(rows) || report.Clean() {
		t.Errorf("%d findings kept of %d, want 5 of %d", len(report.Findings), report.Total, len(rows))
	}
	for i, w := range report.Findings {
		if w.Row != uint64(i+1) {
			t.Errorf("finding %d is about row %d", i, w.Row)
		}
	}
}

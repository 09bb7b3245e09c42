package app

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/glossary"
	"tapnet/internal/personalization"
	"tapnet/money"
)

// runDemo runs a demo and fails the test when its story or its books come out wrong.
func runDemo(t *testing.T, seed uint64) *DemoReport {
	t.Helper()
	report, err := Demo(t.Context(), DemoOptions{Seed: seed})
	if err != nil {
		t.Fatalf("demo with seed %d: %v", seed, err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: go run ./cmd/tapnet demo --seed %d", seed)
		}
	})
	for _, tap := range report.Taps {
		if !tap.OK {
			t.Errorf("tap %q ended %s %q: %s (%s)", tap.Name.EN, tap.Result.Outcome, tap.Result.ResponseCode, tap.Result.Reason.EN, tap.Result.Why.EN)
		}
	}
	for _, step := range report.Steps {
		if !step.OK {
			t.Errorf("step %q ended %s %q: %s (%s); %s", step.Name.EN, step.Result.Outcome, step.Result.ResponseCode, step.Result.Reason.EN, step.Result.Why.EN, step.Proof.EN)
		}
	}
	for _, chapter := range report.Chapters {
		for _, step := range chapter.Steps {
			if !step.OK {
				t.Errorf("%s, %q ended %s %q: %s (%s); %s", chapter.Title.EN, step.Name.EN, step.Result.Outcome, step.Result.ResponseCode, step.Result.Reason.EN,
					step.Result.Why.EN, step.Proof.EN)
			}
		}
	}
	for _, fault := range report.Faults {
		if !fault.OK {
			t.Errorf("fault %q: %s", fault.Name.EN, fault.Detail.EN)
		}
	}
	for _, law := range report.Invariants {
		if !law.OK {
			t.Errorf("invariant %q does not hold: %s", law.Name, law.Detail.EN)
		}
	}
	return report
}

func TestDemo(t *testing.T) {
	report := runDemo(t, 1)
	if len(report.Chapters) == 0 || len(report.Chapters[0].Steps) != len(phoneScenes()) {
		t.Errorf("%d chapters", len(report.Chapters))
	}
	if !report.Good() || len(report.Taps) < 10 || len(report.Steps) != len(chipScenes()) || len(report.Faults) < 6 || len(report.Invariants) < 8 {
		t.Errorf("%d taps, %d steps, %d faults, %d invariants, good %t", len(report.Taps), len(report.Steps), len(report.Faults), len(report.Invariants), report.Good())
	}
}

// TestSeedRepeats runs the same seed twice: every journal must be the same to the byte, and another seed must differ.
func TestSeedRepeats(t *testing.T) {
	first, again, other := runDemo(t, 7), runDemo(t, 7), runDemo(t, 8)
	if first.Digest != again.Digest {
		t.Errorf("seed 7 gave journals %s, then %s", first.Digest, again.Digest)
	}
	if first.Digest == other.Digest {
		t.Error("seeds 7 and 8 gave the same journals")
	}
	for i := range first.Taps {
		if a, b := first.Taps[i].Result, again.Taps[i].Result; a.RRN != b.RRN || a.AuthCode != b.AuthCode || a.Outcome != b.Outcome {
			t.Errorf("tap %d differs: %s %s and %s %s", i, a.RRN, a.AuthCode, b.RRN, b.AuthCode)
		}
	}
	for i := range first.Steps {
		if a, b := first.Steps[i].Result, again.Steps[i].Result; a.RRN != b.RRN || a.AuthCode != b.AuthCode || a.Slip != b.Slip {
			t.Errorf("step %d differs: %s %s and %s %s", i, a.RRN, a.AuthCode, b.RRN, b.AuthCode)
		}
	}
}

// TestPhoneOfTheDemo: each scene has its texts in both languages, and one whose proof is not found is told as such.
func TestPhoneOfTheDemo(t *testing.T) {
	for _, scene := range phoneScenes() {
		for _, text := range []glossary.Term{phoneChapter, scene.name, scene.proof} {
			if text.EN == "" || text.ZH == "" || text.EN == text.ZH {
				t.Errorf("%q: %+v", scene.name.EN, text)
			}
		}
	}
	report := DemoReport{Chapters: []DemoChapter{{Steps: []DemoStep{{OK: true}, {}}}}}
	if report.Good() {
		t.Error("a demo with a step that went wrong is good")
	}
}

// TestStepsOfTheDemo: each step has its texts in both languages, and one of which nothing was found is not OK.
func TestStepsOfTheDemo(t *testing.T) {
	for _, scene := range chipScenes() {
		for _, text := range []glossary.Term{scene.name, scene.proof} {
			if text.EN == "" || text.ZH == "" || text.EN == text.ZH {
				t.Errorf("%q: %+v", scene.name.EN, text)
			}
		}
		idle := &found{counterJob: &counterJob{amount: money.New(100, money.CNY)}}
		if scene.holds(idle) {
			t.Errorf("%q holds although nothing has happened", scene.name.EN)
		}
	}
}

// TestFirstTapIsAlone: the payment that the demo shows byte by byte has the records of one card at one till.
func TestFirstTapIsAlone(t *testing.T) {
	report := runDemo(t, 1)
	taps := map[string]bool{}
	for _, record := range report.Trace.Find(report.FirstTap) {
		for _, id := range record.IDs {
			if strings.HasPrefix(id, "tap:") {
				taps[id] = true
			}
		}
	}
	if len(taps) != 1 {
		t.Errorf("%d taps are joined to the first one", len(taps))
	}
}

// secrets lists everything of a profile that must never be seen: full numbers, packed and as text, and PINs.
func secrets(t testing.TB, profile *personalization.Profile) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, spec := range profile.Cards {
		issuer, _ := profile.Issuer(spec.Issuer)
		number, err := personalization.Number(issuer, spec)
		if err != nil {
			t.Fatal(err)
		}
		digits := number.Reveal()
		packed, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatal(err)
		}
		found["number of "+spec.Name] = []byte(digits)
		found["packed number of "+spec.Name] = packed
		found["PIN of "+spec.Name] = []byte(`"` + spec.PIN + `"`)
	}
	return found
}

// search looks for each secret as it is, in hexadecimal of either case, and written in groups.
func search(t testing.TB, where string, text []byte, secrets map[string][]byte) {
	t.Helper()
	upper := bytes.ToUpper(text)
	joined := bytes.ReplaceAll(upper, []byte(" "), nil)
	for name, secret := range secrets {
		if bytes.Contains(text, secret) || bytes.Contains(joined, bytes.ToUpper(secret)) {
			t.Errorf("%s shows the %s", where, name)
		}
		coded := fmt.Appendf(nil, "%X", secret)
		if bytes.Contains(upper, coded) || bytes.Contains(joined, coded) {
			t.Errorf("%s shows the %s in hexadecimal", where, name)
		}
	}
}

// TestNothingLeaks searches what a network leaves behind (report, trace, log, journals, card and key files) for numbers and PINs in the clear.
func TestNothingLeaks(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	hidden := secrets(t, profile)
	report := runDemo(t, 3)
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	search(t, "the report as JSON", text, hidden)
	search(t, "the report in print", fmt.Appendf(nil, "%v %+v %#v", report, report.Taps, report.Faults), hidden)
	search(t, "the steps in print", fmt.Appendf(nil, "%v %+v", report.Steps, report.Steps), hidden)

	var log bytes.Buffer
	dir := t.TempDir()
	network, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	for _, request := range []TapRequest{
		{Card: "lin", Merchant: "shop-1", AmountText: "299.00"},
		{Card: "lin", Merchant: "shop-1", AmountText: "1000.01", PINText: "246810"},
		{Card: "lin", Merchant: "canteen", AmountText: "12.50"},
		{Card: "zhao", Merchant: "shop-1", AmountText: "1000.00"},
	} {
		if err := request.fill(profile.Money()); err != nil {
			t.Fatal(err)
		}
		result, err := network.Tap(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		search(t, "a tap's result", fmt.Appendf(nil, "%+v", result), hidden)
		saved, err := network.TraceOf(t.Context(), result.Trace)
		if err != nil {
			t.Fatalf("trace of %s: %v", result.Trace, err)
		}
		search(t, "a saved trace", saved, hidden)
	}
	if err := network.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	search(t, "the log", log.Bytes(), hidden)
	searchFiles(t, dir, hidden)
}

func searchFiles(t testing.TB, dir string, hidden map[string][]byte) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			search(t, strings.TrimPrefix(path, dir), text, hidden)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestStateSurvivesRestart stops a network and starts it again: balances, counters and purses are as they were, and it goes on paying.
func TestStateSurvivesRestart(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	tap := func(network *Network, card, at, amount string) TapResult {
		t.Helper()
		request := TapRequest{Card: card, Merchant: at, AmountText: amount}
		if err := request.fill(profile.Money()); err != nil {
			t.Fatal(err)
		}
		result, err := network.Tap(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	books := func(network *Network) string {
		t.Helper()
		if err := network.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		lines, err := network.Books(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cards, err := network.Cards(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%+v %+v", lines, cards)
	}
	start := func() *Network {
		t.Helper()
		network, err := Start(t.Context(), Options{Profile: profile, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return network
	}
	first := start()
	if r := tap(first, "lin", "shop-1", "299.00"); r.Outcome != OutcomeApproved {
		t.Fatalf("first tap: %s %s", r.Outcome, r.Reason.EN)
	}
	if r := tap(first, "sun", "canteen", "20.00"); r.Outcome != OutcomeApprovedOffline {
		t.Fatalf("purse tap: %s %s", r.Outcome, r.Reason.EN)
	}
	before := books(first)
	if err := first.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := start()
	defer func() {
		if err := second.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if after := books(second); before != after {
		t.Errorf("after the restart:\n%s\nbefore:\n%s", after, before)
	}
	if r := tap(second, "lin", "shop-1", "1.00"); r.Outcome != OutcomeApproved {
		t.Errorf("tap after the restart: %s %s", r.Outcome, r.Reason.EN)
	}
}

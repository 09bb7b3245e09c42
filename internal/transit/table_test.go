package transit

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
)

var update = flag.Bool("update", false, "write the tables anew")

// TestTables keeps docs/transit-debts.md what the tables of the program say.
func TestTables(t *testing.T) {
	page := "# What becomes of a bill · 账单状态\n\nWritten by a test from the tables of `internal/transit`; do not edit.\n\n## Moves · 状态迁移\n\n" + BillTable() +
		"\n## Answers · 应答分类\n\n" + ClassTable()
	path := filepath.Join("..", "..", "docs", "transit-debts.md")
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := os.ReadFile(path)
	if err != nil || string(found) != page {
		t.Errorf("%s is not what the tables say; run the test with -update", path)
	}
}

// TestEveryCodeHasAClass: no response code is left to chance, and none has two classes.
func TestEveryCodeHasAClass(t *testing.T) {
	seen := map[unionpay.ResponseCode]bool{}
	for _, r := range rulings {
		for _, c := range r.codes {
			if seen[c] || !c.Known() || c.Approved() {
				t.Errorf("code %s stands there twice, is not known, or approves", c)
			}
			seen[c] = true
		}
	}
	for _, c := range unionpay.ResponseCodes() {
		if class, _ := ClassOf(c); c.Approved() != (class == ClassApproved) || !c.Approved() && !seen[c] {
			t.Errorf("code %s has no class", c)
		}
	}
}

// TestTheTableOfMoves: one move for a state and an event; every state but the first can be reached; every event is used.
func TestTheTableOfMoves(t *testing.T) {
	used := map[BillEvent]bool{}
	to := map[BillState]bool{Due: true}
	for i, m := range transitions {
		used[m.event], to[m.to] = true, true
		if slices.ContainsFunc(transitions[:i], func(o transition) bool { return o.from == m.from && o.event == m.event }) {
			t.Errorf("%s has two moves for %q", m.from, m.event)
		}
	}
	for s := Due; s < billStateEnd; s++ {
		if !to[s] {
			t.Errorf("nothing leads to %q", s)
		}
	}
	for e := EventAsk; e < billEventEnd; e++ {
		if !used[e] {
			t.Errorf("%q moves nothing", e)
		}
	}
}

// TestBothLanguages: whatever a person reads has English and Chinese.
func TestBothLanguages(t *testing.T) {
	var all []glossary.Term
	for s := Due; s < billStateEnd; s++ {
		all = append(all, s.Term())
	}
	for e := EventAsk; e < billEventEnd; e++ {
		all = append(all, e.Term())
	}
	for c := ClassApproved; c < classEnd; c++ {
		all = append(all, c.Term())
	}
	for s := TapPending; s < tapStateEnd; s++ {
		all = append(all, s.Term())
	}
	for r := ReasonClose; r < reasonEnd; r++ {
		all = append(all, r.Term())
	}
	for a := AskVerify; a <= AskUpload; a++ {
		all = append(all, a.Term())
	}
	for v := VerifyNothing; v <= VerifyMaximum; v++ {
		all = append(all, v.Term())
	}
	for p := AtClose; p <= EachJourney; p++ {
		all = append(all, p.Term())
	}
	for i, term := range all {
		if term.EN == "" || term.ZH == "" {
			t.Errorf("text %d is missing in one language: %+v", i, term)
		}
	}
}

// TestProfiles: the ones that come with the program can be used, and bad ones are refused.
func TestProfiles(t *testing.T) {
	for _, p := range Profiles() {
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	for name, change := range map[string]func(*Profile){
		"no name":          func(p *Profile) { p.Name = "" },
		"no maximum":       func(p *Profile) { p.MaximumMinor = 0 },
		"nominal nothing":  func(p *Profile) { p.VerifyMinor = 0 },
		"a refund":         func(p *Profile) { p.VerifyKind = unionpay.KindRefund },
		"no trust":         func(p *Profile) { p.Trust = 0 },
		"a month's window": func(p *Profile) { p.Window = 30 * day },
		"a wait of none":   func(p *Profile) { p.Retries = append(slices.Clone(p.Retries), 0) },
		"held as a sale":   func(p *Profile) { p.Verify, p.VerifyKind = VerifyMaximum, unionpay.KindSale },
	} {
		p := profileNamed(t, "aggregate")
		change(&p)
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

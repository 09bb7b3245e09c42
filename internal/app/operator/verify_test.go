package operator

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/networktest"
	"tapnet/internal/transit/transittest"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
)

// written makes data directories of rows, sealed anew, and verifies the operator's against the network's.
func written(t *testing.T, office, bank []journal.Row) verify.TransitReport {
	t.Helper()
	dir := t.TempDir()
	zone := verify.ZoneOf(networktest.Shanghai)
	for name, member := range map[string]struct {
		verify.WorldMember
		rows []journal.Row
	}{
		"metro": {verify.WorldMember{Journal: "transit", Role: verify.Operator, Name: theTerminal}, office},
		"net":   {verify.WorldMember{Journal: "acquirer", Role: verify.Acquirer, Name: transittest.Name}, bank},
	} {
		world := verify.World{Zone: zone, Members: []verify.WorldMember{member.WorldMember}}
		store, err := verifytest.NewStore(t.Context(), filepath.Join(dir, name), world)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.Add(t.Context(), member.Journal, member.rows...); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !verify.IsTransit(filepath.Join(dir, "metro")) || verify.IsTransit(filepath.Join(dir, "net")) {
		t.Fatal("the directories are taken for one another")
	}
	report, err := verify.TransitDir(t.Context(), filepath.Join(dir, "metro"), verify.TransitOptions{Network: filepath.Join(dir, "net")})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// copied are rows that may be changed.
func copied(rows []journal.Row) []journal.Row {
	out := slices.Clone(rows)
	for i := range out {
		out[i].Note, out[i].Answer = slices.Clone(out[i].Note), slices.Clone(out[i].Answer)
	}
	return out
}

// TestVerify: a sound operator has no findings, and what is planted is found, with the chain made anew over it.
func TestVerify(t *testing.T) {
	p, office, _ := fiveDays(t)
	rows, bank := p.office.Rows(), p.bank.Rows()
	sound := written(t, rows, bank)
	for _, w := range sound.Findings {
		t.Errorf("sound: %s", w)
	}
	if sound.Opened != 6 || sound.Riders != 6 || sound.ChargedMinor != 1200 || sound.PaidMinor != 1200 || sound.Compared == 0 || sound.Bills != 6 {
		t.Errorf("%+v", sound)
	}
	if err := office.Audit(); err != nil {
		t.Error(err)
	}
	paid := journal.Answered
	first := func(rows []journal.Row, fits func(*journal.Row) bool) *journal.Row {
		at := slices.IndexFunc(rows, func(r journal.Row) bool { return fits(&r) })
		if at < 0 {
			t.Fatal("no such row to spoil")
		}
		return &rows[at]
	}
	kind := func(k journal.Kind) func(*journal.Row) bool { return func(r *journal.Row) bool { return r.Kind == k } }
	for name, plant := range map[string]struct {
		spoil func(office, bank []journal.Row)
		finds string
	}{
		"a bill is dearer than its journeys": {func(o, _ []journal.Row) { first(o, kind(journal.Charged)).Amount += 100 }, "amount"},
		"a bill is of somebody else": {func(o, _ []journal.Row) {
			r := first(o, kind(journal.Charged))
			r.Card = r.Card%6 + 1
		}, "card"},
		"a bill without a tap": {func(o, _ []journal.Row) {
			r := first(o, kind(journal.Charged))
			r.Note[len(r.Note)-3] ^= 0x40
		}, "note"},
		"a payment is asked for twice": {func(o, _ []journal.Row) {
			first(o, func(r *journal.Row) bool { return r.Kind == journal.Requested && r.Linked != 0 }).Linked++
		}, "linked"},
		"a request is for more than the bill": {func(o, _ []journal.Row) {
			first(o, func(r *journal.Row) bool { return r.Kind == journal.Requested && r.Linked != 0 }).Amount++
		}, "amount"},
		"a payment is booked to fares": {func(o, _ []journal.Row) {
			first(o, func(r *journal.Row) bool { return r.Kind == paid && r.Debit != 0 }).Credit = ledger.Account(3)
		}, "credit"},
		"a refusal becomes a payment": {func(o, _ []journal.Row) {
			r := first(o, func(r *journal.Row) bool {
				return r.Kind == paid && r.Debit == 0 && r.Reason != 0x3030 && r.Amount == 200
			})
			r.Debit, r.Credit = 2, 1
		}, "debit"},
		"an answer says another code": {func(o, _ []journal.Row) { first(o, kind(paid)).Reason++ }, "reason"},
		"a trace number is skipped":   {func(o, _ []journal.Row) { first(o, kind(journal.Requested)).STAN += 7 }, "stan"},
		"records are altered": {func(o, _ []journal.Row) {
			r := first(o, kind(journal.Uploaded))
			r.Note[len(r.Note)-1] ^= 1
		}, "hash chain"},
		"records come twice": {func(o, _ []journal.Row) {
			r := first(o, kind(journal.Uploaded))
			r.Note = append(r.Note, r.Note[:len(r.Note)/6]...)
		}, "note"},
		"a day is closed twice": {func(o, _ []journal.Row) {
			first(o, func(r *journal.Row) bool { return r.Kind == journal.DayClosed && r.Reason == 2 }).Reason = 1
		}, "reason"},
		"the acquirer never heard of it": {func(_, b []journal.Row) { first(b, kind(journal.Requested)).Key += "x" }, "counterpart"},
		"the acquirer has less": {func(_, b []journal.Row) {
			first(b, func(r *journal.Row) bool { return r.Kind == journal.Requested && r.Amount == 200 }).Amount = 100
		}, "amount"},
		"the acquirer says it was refused": {func(_, b []journal.Row) {
			r := first(b, func(r *journal.Row) bool { return r.Kind == paid && r.Debit != 0 && r.Amount == 200 })
			r.Reason, r.Debit, r.Credit, r.Phase = r.Reason+1, 0, 0, 0
		}, "end of the payment"},
	} {
		o, b := copied(rows), copied(bank)
		plant.spoil(o, b)
		report := written(t, o, b)
		if !slices.ContainsFunc(report.Findings, func(w verify.Wrong) bool {
			return strings.Contains(w.String(), verify.FieldTerm(plant.finds).EN) || w.Field == plant.finds
		}) {
			t.Errorf("%s: found %v, not the %s", name, report.Findings, plant.finds)
		}
	}
}

func TestNothingToVerify(t *testing.T) {
	if verify.IsTransit(t.TempDir()) {
		t.Error("an empty directory is an operator's")
	}
	if _, err := verify.TransitDir(t.Context(), t.TempDir(), verify.TransitOptions{}); !errors.Is(err, verify.ErrNoJournals) {
		t.Errorf("an empty directory is verified: %v", err)
	}
}

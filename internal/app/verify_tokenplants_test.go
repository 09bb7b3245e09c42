package app

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/tsp"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// tokenWorldCopy is the books of tokenBooks while errors are planted into them. Rows are known by their address: their numbers change when others come and go.
type tokenWorldCopy struct {
	testing.TB
	origin string
	rows   map[string][]*journal.Row
	dirty  map[string]bool
	late   []func()
	files  []func(dir string)
	expect []plantedAt
	used   map[*journal.Row]bool
	was    map[*journal.Row]*journal.Row // before anything was planted
	// twice: two errors were planted into one row; moved: rows came or went, so that cells are as of other rows.
	twice, moved bool
}

// plantedAt is what must be found: a row, or a cell.
type plantedAt struct {
	role string
	row  *journal.Row
	cell int64
}

func readTokenBooks(t testing.TB, dir string) map[string][]journal.Row {
	t.Helper()
	all := map[string][]journal.Row{}
	for _, name := range [...]string{RoleTSP, RoleCloudSE} {
		rows, err := verifytest.Rows(t.Context(), dir, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = rows
	}
	return all
}

func copyTokenBooks(t testing.TB, dir string, rows map[string][]journal.Row) *tokenWorldCopy {
	w := &tokenWorldCopy{TB: t, origin: dir, rows: map[string][]*journal.Row{}, dirty: map[string]bool{}, used: map[*journal.Row]bool{}, was: map[*journal.Row]*journal.Row{}}
	for name, list := range rows {
		for i := range list {
			r := list[i]
			r.Answer, r.Note = slices.Clone(r.Answer), slices.Clone(r.Note)
			w.rows[name] = append(w.rows[name], &r)
			w.was[&r] = &list[i]
		}
	}
	return w
}

// write seals what was changed, numbers rows anew where some came or went, and makes a directory of it.
func (w *tokenWorldCopy) write() string {
	w.Helper()
	dir := w.TempDir()
	for _, sub := range [...]string{"journals"} {
		if err := os.CopyFS(filepath.Join(dir, sub), os.DirFS(filepath.Join(w.origin, sub))); err != nil {
			w.Fatal(err)
		}
	}
	world, err := os.ReadFile(filepath.Join(w.origin, verify.WorldFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, verify.WorldFile), world, 0o600)
	}
	if err != nil {
		w.Fatal(err)
	}
	for name := range w.dirty {
		moved := map[uint64]uint64{}
		for i, r := range w.rows[name] {
			moved[r.Seq] = uint64(i + 1)
		}
		var chain journal.Chain
		for _, r := range w.rows[name] {
			if to, ok := moved[r.Linked]; ok && r.Linked != 0 {
				r.Linked = to
			}
			chain.Seal(r)
		}
	}
	for _, late := range w.late {
		late()
	}
	for name, rows := range w.rows {
		if !w.dirty[name] && len(w.late) == 0 {
			continue
		}
		flat := make([]journal.Row, len(rows))
		for i, r := range rows {
			flat[i] = *r
		}
		if err := verifytest.Replace(dir, name, flat); err != nil {
			w.Fatal(err)
		}
	}
	for _, change := range w.files {
		change(dir)
	}
	return dir
}

// find is the n-th row that fits and that nothing was planted into, from 1.
func (w *tokenWorldCopy) find(name string, n int, fits func(r *journal.Row) bool) *journal.Row {
	w.Helper()
	for _, r := range w.rows[name] {
		if was := w.was[r]; was != nil && fits(was) {
			if n--; n == 0 {
				return r
			}
		}
	}
	w.Fatalf("%s has no such row", name)
	return nil
}

func (w *tokenWorldCopy) change(name string, r *journal.Row, change func(r *journal.Row)) {
	w.Helper()
	w.twice = w.twice || w.used[r]
	w.used[r] = true
	change(r)
	w.dirty[name] = true
	w.expect = append(w.expect, plantedAt{role: name, row: r})
}

// remove takes a row out; by is the row that tells.
func (w *tokenWorldCopy) remove(name string, r *journal.Row, by string, witness *journal.Row) {
	w.moved = true
	w.rows[name] = slices.DeleteFunc(w.rows[name], func(x *journal.Row) bool { return x == r })
	w.dirty[name] = true
	w.expect = append(w.expect, plantedAt{role: by, row: witness})
}

func (w *tokenWorldCopy) insert(name string, before *journal.Row, r journal.Row) *journal.Row {
	w.Helper()
	w.moved = true
	at := slices.Index(w.rows[name], before)
	r.At, r.Seq = before.At, 1<<40
	w.rows[name] = slices.Insert(w.rows[name], at, &r)
	w.dirty[name] = true
	return &r
}

func ofKind(kind journal.Kind, reason int) func(*journal.Row) bool {
	return func(r *journal.Row) bool { return r.Kind == kind && (reason < 0 || int(r.Reason) == reason) }
}

func withCard(kind journal.Kind, reason int) func(*journal.Row) bool {
	return func(r *journal.Row) bool { return ofKind(kind, reason)(r) && r.Card != 0 }
}

// recordParts gives the places of a record's parts in the note of a row; the record is the n-th of its kind there, from 1.
func recordParts(t testing.TB, note []byte, kind, n int) map[string]int {
	t.Helper()
	for at := 0; at < len(note); {
		cell, k := binary.Uvarint(note[at:])
		at += k
		size, k := binary.Uvarint(note[at:])
		at += k
		isKind := cell < 1<<39 && int(cell&3) == kind || kind == 4 && cell == 1<<40-1
		if isKind {
			if n--; n == 0 {
				return partsOf(t, note, at, kind)
			}
		}
		at += int(size)
	}
	t.Fatalf("no record of kind %d", kind)
	return nil
}

func partsOf(t testing.TB, b []byte, at, kind int) map[string]int {
	t.Helper()
	parts := map[string]int{}
	at++
	for _, part := range [...][]string{
		{"!id"}, {"#name", "!sealed", "!tenant", "epoch", "!expiry", "!sequence", "!last4", "*state", "par", "successor", "count", "first"},
		{"#name", "!reference", "requestor", "!owner", "*hardware", "sim", "*lost", "count", "first"},
		{"#name", "!sealed", "!masked", "card", "device", "requestor", "*storage", "*method", "*state", "*suspenders", "*idv", "!expiry", "created", "activated",
			"used", "*narrowed"},
		{"requestors", "cards", "devices", "tokens"},
	}[kind] {
		name := part
		parts[name[1:]], parts[name] = at, at
		switch name[0] {
		case '#':
			at += 16
		case '*':
			at++
		case '!':
			size, k := binary.Uvarint(b[at:])
			parts[name[1:]] = at + k
			at += k + int(size)
		default:
			_, k := binary.Uvarint(b[at:])
			at += k
		}
	}
	parts["end"] = at
	return parts
}

// patch changes one octet of a record in a row's note.
func (w *tokenWorldCopy) patch(r *journal.Row, kind, n int, part string, change func(b byte) byte) {
	w.Helper()
	w.change(RoleTSP, r, func(r *journal.Row) {
		at, known := recordParts(w, r.Note, kind, n)[part]
		if !known {
			w.Fatalf("no part %q", part)
		}
		r.Note[at] = change(r.Note[at])
	})
}

func to(v byte) func(byte) byte { return func(byte) byte { return v } }
func plus(b byte) byte          { return b + 1 }

// setReason gives a resolution another reason, in its answer too.
func setReason(r *journal.Row, reason unionpay.TokenReason, kind journal.Kind) {
	d, err := unionpay.ParseTokenData(unionpay.Opaque(r.Answer))
	if err != nil {
		panic(err)
	}
	d.Reason = reason
	answer, err := d.Opaque()
	if err != nil {
		panic(err)
	}
	r.Answer, r.Reason, r.Kind = []byte(answer), uint16(reason), kind
}

func changeAnswer(r *journal.Row, change func(d *unionpay.TokenData)) {
	d, err := unionpay.ParseTokenData(unionpay.Opaque(r.Answer))
	if err != nil {
		panic(err)
	}
	change(&d)
	answer, err := d.Opaque()
	if err != nil {
		panic(err)
	}
	r.Answer = []byte(answer)
}

// cellOf plants into the n-th cell of a member that fits.
func (w *tokenWorldCopy) cellOf(name string, n int, fits func(c *journal.Cell) bool, change func(c *journal.Cell)) {
	w.Helper()
	cells, _, err := verifytest.Cells(w.Context(), w.origin, name)
	if err != nil {
		w.Fatal(err)
	}
	for i := range cells {
		if c := &cells[i]; fits(c) {
			if n--; n > 0 {
				continue
			}
			c.Data = slices.Clone(c.Data)
			change(c)
			w.files = append(w.files, func(dir string) {
				if err := verifytest.PutCell(w.Context(), dir, name, *c); err != nil {
					w.Fatal(err)
				}
			})
			w.expect = append(w.expect, plantedAt{role: name, cell: c.ID})
			return
		}
	}
	w.Fatal("no such cell")
}

const (
	cloudNoteFlags  = 0
	cloudUsesFlag   = 2
	cloudWrongFlag  = 4
	cloudProvenFlag = 64
)

type tokenPlant struct {
	name  string
	plant func(w *tokenWorldCopy)
}

// tokenPlants are errors of every kind.
var tokenPlants = []tokenPlant{
	// The life of tokens.
	{"a token that is active before its holder is verified", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, withCard(journal.Opened, int(tsp.EventDecideYellow))), 3, 1, "state", to(byte(tsp.Active)))
	}},
	{"a suspender joins with an activation", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, ofKind(journal.CardChanged, int(tsp.EventActivate))), 3, 1, "suspenders", to(byte(tsp.ByRequestor)))
	}},
	{"a resumption that lifts nobody's suspension", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, ofKind(journal.CardChanged, int(tsp.EventResume))), 3, 1, "suspenders", to(byte(tsp.ByIssuer|tsp.ByRisk)))
	}},
	{"a resumption that leaves the token suspended by nobody", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 2, ofKind(journal.CardChanged, int(tsp.EventResume))), 3, 1, "state", to(byte(tsp.Suspended)))
	}},
	{"a suspension by two at once", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 2, withCard(journal.CardChanged, int(tsp.EventSuspend))), 3, 1, "suspenders", to(byte(tsp.ByIssuer|tsp.ByRisk|tsp.ByRequestor)))
	}},
	{"a deleted token that lives on", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, withCard(journal.CardChanged, int(tsp.EventDelete))), 3, 1, "state", to(byte(tsp.Active)))
	}},
	{"a better verification than there was", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, withCard(journal.CardChanged, int(tsp.EventSuspend))), 3, 1, "idv", to(4))
	}},
	{"a token number given out twice", func(w *tokenWorldCopy) {
		first, again := w.find(RoleTSP, 1, withCard(journal.Opened, -1)), w.find(RoleTSP, 2, withCard(journal.Opened, -1))
		w.change(RoleTSP, again, func(r *journal.Row) {
			copy(r.Note[recordParts(w, r.Note, 3, 1)["name"]:][:16], first.Note[recordParts(w, first.Note, 3, 1)["name"]:])
		})
	}},
	{"a token on another device", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 6, withCard(journal.Opened, -1)), 3, 1, "device", to(1))
	}},
	{"a device with tokens and no default", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 1, withCard(journal.Opened, -1))
		w.change(RoleTSP, r, func(r *journal.Row) { r.Note[recordParts(w, r.Note, 2, 1)["end"]] = 0 })
	}},
	{"a default that is not on the device", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 3, withCard(journal.Opened, -1))
		w.change(RoleTSP, r, func(r *journal.Row) { r.Note[recordParts(w, r.Note, 2, 1)["end"]] = 1 })
	}},
	{"a token in nobody's list", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 4, withCard(journal.Opened, -1)), 1, 1, "first", to(1))
	}},
	{"a token of a requestor without that storage", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 5, withCard(journal.Opened, -1)), 3, 1, "storage", to(2))
	}},
	{"a wrong code that costs nothing", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 1, withCard(journal.Refused, -1)), func(r *journal.Row) {
			at := recordParts(w, r.Note, 3, 1)["end"] + 1 // method
			_, k := binary.Uvarint(r.Note[at:])
			r.Note[at+k]++
		})
	}},
	{"a history that says otherwise", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 1, withCard(journal.Opened, -1)), func(r *journal.Row) { r.Note[historyAt(w, r.Note)]++ })
	}},
	{"a history of another change", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 2, withCard(journal.Opened, -1)), func(r *journal.Row) { r.Note[historyAt(w, r.Note)+1] ^= 1 })
	}},
	// Records and keys.
	{"a requestor's id", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 2, func(r *journal.Row) bool { return r.Kind == journal.Opened && r.Card == 0 })
		w.change(RoleTSP, r, func(r *journal.Row) { r.Note[recordParts(w, r.Note, 0, 1)["id"]+10]++ })
	}},
	{"a requestor with another certificate", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 1, ofKind(journal.ParameterChanged, -1))
		w.change(RoleTSP, r, func(r *journal.Row) { r.Note[recordParts(w, r.Note, 0, 1)["end"]+3]++ })
	}},
	{"an account reference that changes", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, ofKind(journal.CardChanged, int(tsp.EventRelink))), 1, 1, "par", plus)
	}},
	{"a replaced card that keeps its tokens", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, ofKind(journal.CardChanged, int(tsp.EventRelink))), 1, 1, "state", to(1))
	}},
	{"a re-key that leaves the epoch", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 1, func(r *journal.Row) bool { return r.Kind == journal.KeysChanged && r.Key == "" })
		w.patch(r, 1, 1, "epoch", to(1))
	}},
	{"more records than there are", func(w *tokenWorldCopy) {
		w.patch(w.find(RoleTSP, 1, func(r *journal.Row) bool { return r.Kind == journal.KeysChanged && r.Key != "" }), 4, 1, "tokens", plus)
	}},
	{"a change that cannot be read", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 1, ofKind(journal.CardChanged, 0)), func(r *journal.Row) { r.Note = r.Note[:len(r.Note)-1] })
	}},
	{"a command under a payment's key", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 3, ofKind(journal.CardChanged, -1)), func(r *journal.Row) { r.Key = "1" + r.Key[1:] })
	}},
	{"a command about another token", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 2, withCard(journal.CardChanged, int(tsp.EventResume)))
		w.change(RoleTSP, r, func(r *journal.Row) { r.Card = 1 })
	}},
	{"a row of another day", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 4, ofKind(journal.CardChanged, -1)), func(r *journal.Row) { r.BusinessDate++ })
	}},
	// Resolutions.
	{"a resolution of another amount", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 2, ofKind(journal.Answered, 1)), func(r *journal.Row) { r.Amount++ })
	}},
	{"a lost phone that pays", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 1, ofKind(journal.Declined, 108)), func(r *journal.Row) { setReason(r, unionpay.TokenResolved, journal.Answered) })
	}},
	{"a payment refused for a reason that does not apply", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 2, ofKind(journal.Declined, 210)), func(r *journal.Row) { setReason(r, unionpay.TokenExpired, journal.Declined) })
	}},
	{"an answer with another reason than its row", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 6, ofKind(journal.Answered, 1)), func(r *journal.Row) { r.Reason = 2 })
	}},
	{"a resolution of a token that was never given out", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 3, ofKind(journal.Answered, 1)), func(r *journal.Row) { r.Card = 999 })
	}},
	{"a verification that there was not", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 4, ofKind(journal.Answered, 1)), func(r *journal.Row) {
			changeAnswer(r, func(d *unionpay.TokenData) { d.Assurance = "13" })
		})
	}},
	{"a resolution without a cryptogram", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 5, ofKind(journal.Answered, 1)), func(r *journal.Row) {
			changeAnswer(r, func(d *unionpay.TokenData) { d.Verification = unionpay.NotVerified })
		})
	}},
	{"another account reference in an answer", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 3, ofKind(journal.Answered, 1)), func(r *journal.Row) {
			changeAnswer(r, func(d *unionpay.TokenData) { d.PAR = d.PAR[:28] + string(rune('A'+(d.PAR[28]+1)%26)) })
		})
	}},
	{"a copy of the phone without suspension", func(w *tokenWorldCopy) {
		w.change(RoleTSP, w.find(RoleTSP, 1, ofKind(journal.Declined, 210)), func(r *journal.Row) { setReason(r, unionpay.CounterRepeated, journal.Declined) })
	}},
	{"a missing resolution", func(w *tokenWorldCopy) {
		gone := w.find(RoleTSP, 2, ofKind(journal.Answered, 1))
		w.remove(RoleTSP, gone, RoleTSP, w.rows[RoleTSP][slices.Index(w.rows[RoleTSP], gone)+1])
		w.expect = w.expect[:len(w.expect)-1]
		w.expect = append(w.expect, plantedAt{role: RoleIssuer, cell: -1})
	}},
	// The cloud secure element.
	{"a counter used twice", func(w *tokenWorldCopy) {
		first, again := w.find(RoleCloudSE, 1, ofKind(journal.Approved, -1)), w.find(RoleCloudSE, 2, ofKind(journal.Approved, -1))
		w.change(RoleCloudSE, again, func(r *journal.Row) { r.ATC = first.ATC })
	}},
	{"a counter that was not given out", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 3, ofKind(journal.Approved, -1)), func(r *journal.Row) { r.ATC = 5000 })
	}},
	{"an approval that uses no counter", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 2, ofKind(journal.Approved, -1)), func(r *journal.Row) { r.Note[cloudNoteFlags] &^= cloudUsesFlag })
	}},
	{"an approval without a right cryptogram", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 3, ofKind(journal.Approved, -1)), func(r *journal.Row) { r.Note[cloudNoteFlags] &^= cloudProvenFlag })
	}},
	{"an approval above the limit of a tap", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.Approved, -1)), func(r *journal.Row) { r.Amount = 600_000 })
	}},
	{"a wrong cryptogram that is not counted", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.Declined, 210)), func(r *journal.Row) { r.Note[cloudNoteFlags] &^= cloudWrongFlag })
	}},
	{"a third wrong cryptogram that locks nothing", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 3, ofKind(journal.Declined, 210)), func(r *journal.Row) { r.Note[2] = 0 })
	}},
	{"a copy that is not an alarm", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.Declined, 208)), func(r *journal.Row) { r.Note[2] = 0 })
	}},
	{"a copy whose counter was not used", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.Declined, 208)), func(r *journal.Row) { r.ATC += 3 })
	}},
	{"a batch with another number", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 2, ofKind(journal.KeysChanged, -1)), func(r *journal.Row) { r.Note[grantBatchAt(w, r.Note)]++ })
	}},
	{"a counter given out twice", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.KeysChanged, -1)), func(r *journal.Row) {
			at := grantBatchAt(w, r.Note)
			for range 6 { // number, instant, life, revoked, confirmed, keys
				_, k := binary.Uvarint(r.Note[at:])
				at += k
			}
			r.Note[at] = 2 // the first key's counter
		})
	}},
	{"a ratchet that stands still", func(w *tokenWorldCopy) {
		opened := w.find(RoleCloudSE, 1, ofKind(journal.Opened, -1))
		granted := w.find(RoleCloudSE, 1, func(r *journal.Row) bool { return r.Kind == journal.KeysChanged && r.Payment == opened.Payment })
		w.change(RoleCloudSE, granted, func(r *journal.Row) {
			_, k := binary.Uvarint(r.Note)
			copy(r.Note[k:], opened.Note[:32])
		})
	}},
	{"a batch that is not the one sent", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 1, ofKind(journal.KeysChanged, -1)), func(r *journal.Row) { r.Answer[len(r.Answer)-1] ^= 1 })
	}},
	{"a confirmation of nothing", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 1, ofKind(journal.Acknowledged, -1))
		again := w.insert(RoleCloudSE, w.rows[RoleCloudSE][slices.Index(w.rows[RoleCloudSE], r)+1], *r)
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, row: again})
	}},
	{"a payment while the token is suspended", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 2, ofKind(journal.Approved, -1))
		w.insert(RoleCloudSE, r, journal.Row{Kind: journal.CardChanged, Card: r.Card, Payment: r.Payment, Reason: 1})
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, row: r})
	}},
	{"a payment with keys that were revoked", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 2, ofKind(journal.Approved, -1))
		w.insert(RoleCloudSE, r, journal.Row{Kind: journal.CardChanged, Card: r.Card, Payment: r.Payment, Reason: 3})
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, row: r})
	}},
	{"a resumption of what is not suspended", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 1, ofKind(journal.Approved, -1))
		added := w.insert(RoleCloudSE, r, journal.Row{Kind: journal.CardChanged, Card: r.Card, Payment: r.Payment, Reason: 2})
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, row: added})
	}},
	{"a payment with an unknown token", func(w *tokenWorldCopy) {
		w.change(RoleCloudSE, w.find(RoleCloudSE, 3, ofKind(journal.Approved, -1)), func(r *journal.Row) { r.Payment = "deadbeef" })
	}},
	{"keys for a token that was never given out", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 1, ofKind(journal.Opened, -1))
		w.change(RoleCloudSE, r, func(r *journal.Row) { r.Payment = "deadbeef" })
	}},
	{"a counter used for a payment that the token service does not know", func(w *tokenWorldCopy) {
		resolved := w.find(RoleTSP, 2, ofKind(journal.Answered, 1))
		gone := w.find(RoleCloudSE, 1, func(r *journal.Row) bool { return r.Key != "" && r.Key == resolved.Key })
		w.change(RoleCloudSE, gone, func(r *journal.Row) {
			r.Key = r.Key[:10] + "777777" + r.Key[16:]
			r.STAN = 777777
		})
		w.expect = w.expect[:len(w.expect)-1]
		w.expect = append(w.expect, plantedAt{role: RoleTSP, row: resolved})
	}},
	// What is beside the rows, and the chain.
	{"a token's cell", func(w *tokenWorldCopy) {
		w.cellOf(RoleTSP, 1, func(c *journal.Cell) bool { return c.ID < 1<<39 && c.ID&3 == 3 }, func(c *journal.Cell) { c.Data[partsOf(w, c.Data, 0, 3)["state"]] ^= 1 })
	}},
	{"the cell of the settings", func(w *tokenWorldCopy) {
		w.cellOf(RoleTSP, 1, func(c *journal.Cell) bool { return c.ID == 1<<40-1 }, func(c *journal.Cell) { c.Data[4]++ })
	}},
	{"a device's cell as of an earlier row", func(w *tokenWorldCopy) {
		w.cellOf(RoleTSP, 1, func(c *journal.Cell) bool { return c.ID < 1<<39 && c.ID&3 == 2 }, func(c *journal.Cell) { c.Seq-- })
	}},
	{"a cell of keys", func(w *tokenWorldCopy) {
		w.cellOf(RoleCloudSE, 1, func(c *journal.Cell) bool { return c.ID < journal.FirstBegun }, func(c *journal.Cell) { c.Data[2]++ })
	}},
	{"a cell that no row has made", func(w *tokenWorldCopy) {
		w.cellOf(RoleCloudSE, 2, func(c *journal.Cell) bool { return c.ID < journal.FirstBegun }, func(c *journal.Cell) { c.ID += 1000; c.Name[0] ^= 1 })
	}},
	{"an alarm that nobody raised", func(w *tokenWorldCopy) {
		w.files = append(w.files, func(dir string) {
			if err := verifytest.PutCell(w.Context(), dir, RoleCloudSE, journal.Cell{ID: journal.FirstBegun + 77, Seq: 3, Data: []byte("\x01\x01none/2/3")}); err != nil {
				w.Fatal(err)
			}
		})
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, cell: journal.FirstBegun + 77})
	}},
	{"a row of the token service that was changed", func(w *tokenWorldCopy) {
		r := w.find(RoleTSP, 5, ofKind(journal.CardChanged, -1))
		w.late = append(w.late, func() { r.Content[3] ^= 4 })
		w.expect = append(w.expect, plantedAt{role: RoleTSP, row: r})
	}},
	{"a row of the cloud secure element that was changed", func(w *tokenWorldCopy) {
		r := w.find(RoleCloudSE, 4, ofKind(journal.Approved, -1))
		w.late = append(w.late, func() { r.At = r.At.Add(time.Microsecond) })
		w.expect = append(w.expect, plantedAt{role: RoleCloudSE, row: r})
	}},
}

// historyAt is where the event of the first change stands in the first history of a note.
func historyAt(t testing.TB, note []byte) int {
	t.Helper()
	for at := 0; at < len(note); {
		cell, k := binary.Uvarint(note[at:])
		at += k
		size, k := binary.Uvarint(note[at:])
		at += k
		if cell < 1<<39 || cell == 1<<40-1 {
			at += int(size)
			continue
		}
		at++
		for range 4 { // dropped, count, row, instant
			_, k = binary.Uvarint(note[at:])
			at += k
		}
		return at
	}
	t.Fatal("no history")
	return 0
}

// grantBatchAt is where the batch begins in the note of a grant: behind next counter, ratchet, digest, request and what was reported.
func grantBatchAt(t testing.TB, note []byte) int {
	t.Helper()
	_, k := binary.Uvarint(note)
	at := k + 32 + 32 + 8 + 8
	_, k = binary.Uvarint(note[at:])
	at += k
	count, k := binary.Uvarint(note[at:])
	at += k
	for range count {
		_, k = binary.Uvarint(note[at:])
		at += k
	}
	return at
}

// missing are the expectations that a report does not meet.
func (w *tokenWorldCopy) missing(report *verify.Report) (missing []string) {
	for _, e := range w.expect {
		found := slices.ContainsFunc(report.Findings, func(f verify.Wrong) bool {
			switch {
			case e.cell == -1:
				return f.Role == e.role && f.Field == verify.FieldCounterpart
			case e.row != nil:
				return f.Role == e.role && f.Row == e.row.Seq
			}
			return f.Role == e.role && (f.Cell == e.cell || f.Cell >= journal.FirstBegun && e.cell >= journal.FirstBegun)
		})
		if !found {
			missing = append(missing, fmt.Sprintf("%s %v %d", e.role, e.row, e.cell))
		}
	}
	return missing
}

// TestTokenPlants plants each error alone, and each with some others: all are found where they are.
func TestTokenPlants(t *testing.T) {
	dir := tokenBooks(t)
	rows := readTokenBooks(t, dir)
	try := func(name string, plants ...tokenPlant) {
		t.Run(name, func(t *testing.T) {
			w := copyTokenBooks(t, dir, rows)
			for _, p := range plants {
				p.plant(w)
			}
			if len(plants) > 1 && (w.twice || w.moved && len(w.files) > 0) {
				return
			}
			report, err := verify.Dir(t.Context(), w.write(), verify.Options{Most: 10_000})
			if err != nil {
				t.Fatal(err)
			}
			if missing := w.missing(&report); len(missing) > 0 {
				t.Errorf("not found: %v\nfound: %v", missing, report.Findings)
			}
		})
	}
	for i, p := range tokenPlants {
		try(p.name, p)
		for _, step := range [...]int{1, 23} {
			other := tokenPlants[(i+step)%len(tokenPlants)]
			try(p.name+" and "+other.name, p, other)
		}
	}
	if len(tokenPlants) < 50 {
		t.Error(len(tokenPlants))
	}
}

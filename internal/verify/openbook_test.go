package verify_test

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// bookCells are the cells of a member as after its row of that number, by the test's own reading of what they hold.
type bookCells struct {
	cells map[int64]*journal.Cell
	open  map[string]byte
	mark  uint64
}

func (b *bookCells) put(id int64, data []byte) {
	b.cells[id] = &journal.Cell{ID: id, Seq: b.mark, Data: data}
}

func numbersOf(version byte, list ...uint64) []byte {
	dst := []byte{version}
	for _, v := range list {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func approvedRow(r *journal.Row) bool { return unionpay.UnpackResponseCode(r.Reason).Approved() }

// openAt folds what is open: a payment until it is answered or taken back, a reversal until it is acknowledged.
func openAt(role string, rows []journal.Row) map[string]byte {
	open, begun, sent := map[string]byte{}, map[uint64]string{}, map[string]string{}
	for i := range rows {
		r := &rows[i]
		begin := func(mark byte) { open[r.Key], begun[r.Seq], sent[r.Payment] = mark, r.Key, r.Key }
		switch r.Kind {
		case journal.Requested, journal.Queued:
			begin(1)
		case journal.Answered:
			delete(open, begun[r.Linked])
		case journal.TimedOut:
			if role == tillA {
				open[begun[r.Linked]] = 2
				continue
			}
			delete(open, begun[r.Linked])
			begin(2)
		case journal.Reversed:
			delete(open, begun[r.Linked])
			if role == switches && open[r.Payment] == 1 {
				delete(open, r.Payment)
			}
			if role == switches && len(r.Note) > 10 && r.Note[1+r.Note[0]] != 0 || role == acquirer && r.Linked != 0 && r.Payment != "" {
				begin(2)
			}
		case journal.Acknowledged:
			if role == acquirer {
				delete(open, sent[r.Payment])
			} else {
				delete(open, begun[r.Linked])
			}
		}
	}
	return open
}

func acquirerCellsAt(rows []journal.Row) *bookCells {
	b := &bookCells{cells: map[int64]*journal.Cell{}, mark: rows[len(rows)-1].Seq, open: openAt(acquirer, rows)}
	accounts, requests := map[ledger.Account]*[5]uint64{}, uint64(0)
	for i := range rows {
		r := &rows[i]
		if r.Kind == journal.Requested || r.Kind == journal.Declined {
			requests++
		}
		if r.Debit == 0 {
			continue
		}
		held, posted := uint64(0), uint64(0)
		switch r.Phase {
		case ledger.Single:
			posted = uint64(r.Amount)
		case ledger.Pending:
			held = uint64(r.Amount)
		default:
			held = -uint64(r.Amount)
		}
		for at, account := range [...]ledger.Account{r.Debit, r.Credit} {
			if accounts[account] == nil {
				accounts[account] = &[5]uint64{}
			}
			sums := accounts[account]
			sums[2*at], sums[2*at+1], sums[4] = sums[2*at]+held, sums[2*at+1]+posted, r.Seq
		}
	}
	for account, sums := range accounts {
		b.put(int64(account), numbersOf(1, sums[:]...))
	}
	b.put(1<<39, numbersOf(1, requests))
	return b
}

func tillCellsAt(t *testing.T, rows []journal.Row) *bookCells {
	b := &bookCells{cells: map[int64]*journal.Cell{}, mark: rows[len(rows)-1].Seq, open: openAt(tillA, rows)}
	put := func(id int64, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		b.put(id, append([]byte{2}, text...))
	}
	var stan uint32
	totals, begun := map[string]int64{"DebitCount": 0, "Debit": 0, "Credit": 0, "CreditCount": 0}, map[uint64]*journal.Row{}
	for i := range rows {
		switch r := &rows[i]; r.Kind {
		case journal.Requested, journal.Queued:
			stan, begun[r.Seq] = r.STAN, r
		case journal.Answered:
			if approvedRow(r) {
				totals["DebitCount"]++
				totals["Debit"] += r.Amount
			}
		}
	}
	put(1, map[string]any{"STAN": stan, "Batch": 1, "Newest": stan, "Since": 0, "Totals": totals, "Older": 0, "Last": nil, "Library": nil})
	for seq, r := range begun {
		stage, open := b.open[r.Key]
		if !open {
			stage = 4
		}
		verb := map[journal.Kind]int{journal.Requested: 1, journal.Queued: 2}[r.Kind]
		put(1<<20+int64(r.STAN), map[string]any{"Seq": seq, "Verb": verb, "Stage": stage, "Status": 0, "Trace": map[string]any{"Batch": 1, "STAN": r.STAN}, "Minor": r.Amount,
			"Begin": r.Kind, "Key": r.Key})
	}
	return b
}

// write puts the cells beside the rows.
func (b *bookCells) write(t *testing.T, dir, name string) {
	t.Helper()
	id := journal.FirstBegun
	for _, key := range slices.Sorted(func(yield func(string) bool) {
		for key := range b.open {
			if !yield(key) {
				return
			}
		}
	}) {
		b.cells[id] = &journal.Cell{ID: id, Seq: b.mark, Data: append([]byte{1, b.open[key]}, key...)}
		id++
	}
	cells := make([]journal.Cell, 0, len(b.cells))
	for _, c := range b.cells {
		cells = append(cells, *c)
	}
	slices.SortFunc(cells, func(x, y journal.Cell) int { return cmp.Compare(x.ID, y.ID) })
	if err := verifytest.SetCells(t.Context(), dir, name, cells, b.mark); err != nil {
		t.Fatal(err)
	}
}

// bookPlant is an error in the cells of a member.
type bookPlant struct {
	name, journal string
	plant         func(b *bookCells) (cell int64)
}

func turnNumber(id int64) func(*bookCells) int64 {
	return func(b *bookCells) int64 { b.cells[id].Data[len(b.cells[id].Data)-1] ^= 1; return id }
}

func replaceIn(id func(*bookCells) int64, from, to string) func(*bookCells) int64 {
	return func(b *bookCells) int64 {
		c := b.cells[id(b)]
		text := strings.Replace(string(c.Data), from, to, 1)
		if text == string(c.Data) {
			panic("nothing to replace: " + text)
		}
		c.Data = []byte(text)
		return c.ID
	}
}

func theCell(id int64) func(*bookCells) int64 { return func(*bookCells) int64 { return id } }

func anyEntry(b *bookCells) (id int64) {
	for other := range b.cells {
		if id = max(id, other); other >= 1<<20 && other < 1<<30 {
			id = other
		}
	}
	return id
}

func anyOpen(b *bookCells) string {
	keys := []string{}
	for key := range b.open {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys[0]
}

var bookPlants = []bookPlant{
	{"an account's last transfer", acquirer, turnNumber(1)},
	{"an account's money", acquirer, func(b *bookCells) int64 { b.cells[100].Data[1] ^= 1; return 100 }},
	{"the number of payments", acquirer, turnNumber(1 << 39)},
	{"a missing account", acquirer, func(b *bookCells) int64 { delete(b.cells, 101); return 101 }},
	{"an account of nobody", acquirer, func(b *bookCells) int64 { b.put(777, numbersOf(1, 1, 2, 3, 4, 5)); return 777 }},
	{"an open payment that is forgotten", acquirer, func(b *bookCells) int64 { delete(b.open, anyOpen(b)); return journal.FirstBegun }},
	{"an open payment of another kind", acquirer, func(b *bookCells) int64 { b.open[anyOpen(b)] ^= 3; return journal.FirstBegun }},
	{"something open that has ended", switches, func(b *bookCells) int64 { b.open["ended"] = 1; return journal.FirstBegun }},
	{"an open payment that a switch forgets", switches, func(b *bookCells) int64 { delete(b.open, anyOpen(b)); return journal.FirstBegun }},
	{"a cell that a switch does not have", switches, func(b *bookCells) int64 { b.put(9, []byte{1}); return 9 }},
	{"a till's trace number", tillA, replaceIn(theCell(1), `"STAN":`, `"STAN":1`)},
	{"a till's batch", tillA, replaceIn(theCell(1), `"Batch":1`, `"Batch":2`)},
	{"a till's totals", tillA, replaceIn(theCell(1), `"Debit":`, `"Debit":9`)},
	{"a till's batches left behind", tillA, replaceIn(theCell(1), `"Older":0`, `"Older":1`)},
	{"a till's counters that cannot be read", tillA, replaceIn(theCell(1), `{`, `[`)},
	{"the amount of a transaction", tillA, replaceIn(anyEntry, `"Minor":`, `"Minor":7`)},
	{"the stage of a transaction", tillA, replaceIn(anyEntry, `"Stage":`, `"Stage":1`)},
	{"the key of a transaction", tillA, replaceIn(anyEntry, `"Key":"T`, `"Key":"U`)},
	{"a transaction that is open in the till alone", tillA, func(b *bookCells) int64 { b.open["T0000001000001999999 2"] = 1; return journal.FirstBegun }},
	{"a watermark beyond the rows", switches, func(b *bookCells) int64 { b.mark = 1 << 30; return 0 }},
}

// TestCellsOfTillAcquirerAndSwitch: cells that say what the rows say have no findings, and each error in them is named.
func TestCellsOfTillAcquirerAndSwitch(t *testing.T) {
	origin, _ := generate(t, verifytest.Options{Payments: 300, Tills: 2, Cards: 8, Seed: 3})
	all := map[string][]journal.Row{}
	for _, name := range []string{acquirer, switches, tillA} {
		rows, err := verifytest.Rows(t.Context(), origin, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = rows
	}
	cells := func(name string) *bookCells {
		rows := all[name]
		// A row behind which something is open.
		for n := len(rows) / 2; ; n++ {
			var b *bookCells
			switch name {
			case acquirer:
				b = acquirerCellsAt(rows[:n])
			case tillA:
				b = tillCellsAt(t, rows[:n])
			default:
				b = &bookCells{cells: map[int64]*journal.Cell{}, mark: rows[n-1].Seq, open: openAt(name, rows[:n])}
			}
			if len(b.open) > 0 {
				return b
			}
		}
	}
	try := func(t *testing.T, plants ...bookPlant) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(origin)); err != nil {
			t.Fatal(err)
		}
		wanted := map[string][]int64{}
		for _, name := range []string{acquirer, switches, tillA} {
			b := cells(name)
			for _, p := range plants {
				if p.journal == name {
					wanted[name] = append(wanted[name], p.plant(b))
				}
			}
			b.write(t, dir, name)
		}
		report := check(t, dir, verify.Options{})
		for name, ids := range wanted {
			for _, id := range ids {
				if !slices.ContainsFunc(report.Findings, func(w verify.Wrong) bool {
					role := map[string]string{acquirer: verify.Acquirer, switches: verify.Switch, tillA: verify.Till}[name]
					return w.Role == role && (w.Cell == id || w.Cell >= journal.FirstBegun && id >= journal.FirstBegun)
				}) {
					t.Errorf("%s: cell %d is not named: %v", name, id, report.Findings)
				}
			}
		}
		if len(plants) == 0 && !report.Clean() {
			t.Error(report.Findings)
		}
	}
	t.Run("clean", func(t *testing.T) { try(t) })
	for i, p := range bookPlants {
		t.Run(p.name, func(t *testing.T) { try(t, p) })
		other := bookPlants[(i+9)%len(bookPlants)]
		if p.journal != other.journal {
			t.Run(fmt.Sprint(p.name, " and ", other.name), func(t *testing.T) { try(t, p, other) })
		}
	}
}

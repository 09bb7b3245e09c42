package verify_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/journal/celllog"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/verify"
	"tapnet/internal/verify/verifytest"
	"tapnet/iso8583/unionpay"
)

// early finds a reversal that came before its payment, and its marker.
func (w *planted) early() (issuer string, reversal, marker *journal.Row) {
	w.Helper()
	for _, issuer := range []string{issuerA, issuerB} {
		for i, r := range w.rows[issuer] {
			if r.Kind == journal.Reversed && r.Reason == 104 && !w.used[r.RRN] {
				w.used[r.RRN] = true
				return issuer, r, w.rows[issuer][i+1]
			}
		}
	}
	w.Fatal("no early reversal is left")
	return "", nil, nil
}

// earlyPlants are errors in what reversals say of their payments.
var earlyPlants = []plant{
	{"a reversal that gives back another date", func(w *planted) {
		p := w.take(issuerA, reversedByTill)
		w.change(issuerA, p.void, func(r *journal.Row) { r.Answer[3]-- })
	}},
	{"a reversal that gives back with PIN", func(w *planted) {
		p := w.take(issuerB, reversedByTill)
		w.change(issuerB, p.void, func(r *journal.Row) { r.Answer[4] ^= 1 })
	}},
	{"a reversal that does not say what it gives back", func(w *planted) {
		p := w.take(issuerA, reversedByTill)
		w.change(issuerA, p.void, func(r *journal.Row) { r.Answer = nil })
	}},
	{"a reversal of nothing that gives back", func(w *planted) {
		issuer, reversal, _ := w.early()
		w.change(issuer, reversal, func(r *journal.Row) { r.Answer = []byte{1, 2, 3, 4, 1} })
	}},
	{"a missing marker", func(w *planted) {
		issuer, reversal, marker := w.early()
		w.remove(issuer, marker, issuer, reversal)
	}},
	{"a missing marker at the end", func(w *planted) {
		last := w.last(issuerA)
		reversal := w.insert(issuerA, last, journal.Row{Kind: journal.Reversed, At: last.At, BusinessDate: last.BusinessDate, Reason: 104, Content: [16]byte{1},
			Key: "11210416158888880003001000000000010000" + "4", Payment: "11210416158888880003001000000030010000" + "2", STAN: 888888, Terminal: "T0000001",
			Note: []byte("11210416158888880003001000000030010000" + "2")})
		w.expect = append(w.expect, expected{journal: issuerA, row: reversal})
	}},
	{"a marker with another key", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Key = r.Key[:10] + "777777" + r.Key[16:] })
	}},
	{"a marker without a key", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Key = "" })
	}},
	{"a marker for another payment", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Payment = r.Payment[:10] + "777777" + r.Payment[16:] })
	}},
	{"a marker linked elsewhere", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Linked -= 2 })
	}},
	{"a marker of another kind", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Reason = 14 })
	}},
	{"a marker with content", func(w *planted) {
		issuer, _, marker := w.early()
		w.change(issuer, marker, func(r *journal.Row) { r.Content[0] = 1 })
	}},
	{"a marker without a reversal", func(w *planted) {
		issuer, reversal, marker := w.early()
		w.remove(issuer, reversal, issuer, marker)
	}},
	{"an answer at the switch under another key", func(w *planted) {
		p := w.take(issuerA, plainApproval)
		w.change(switches, p.at(switches, journal.Answered), func(r *journal.Row) { r.Key = "9" + r.Key[1:] })
	}},
	{"an answer at the acquirer without its key", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Key = "" })
	}},
	{"an answer at the acquirer under another key", func(w *planted) {
		p := w.take(issuerB, plainApproval)
		w.change(acquirer, p.at(acquirer, journal.Answered), func(r *journal.Row) { r.Key = "T9" + r.Key[2:] })
	}},
	{"a marker at the switch without a reversal", func(w *planted) {
		last := w.last(switches)
		marker := w.insert(switches, last, journal.Row{Kind: journal.Refused, At: last.At, BusinessDate: last.BusinessDate, Key: "spent", Payment: "spent",
			Reason: unionpay.ResponseLate.Pack(), Linked: 3})
		w.expect = append(w.expect, expected{journal: switches, row: marker})
	}},
	{"a reversal of nothing at the acquirer without a marker", func(w *planted) {
		last := w.last(acquirer)
		reversal := w.insert(acquirer, last, journal.Row{Kind: journal.Reversed, At: last.At, BusinessDate: last.BusinessDate, Content: [16]byte{1},
			Key: "T00000010000018888884", Note: []byte("T00000010000018888882"), Terminal: "T0000001", STAN: 888888, Reason: unionpay.ReasonTimeout.Pack()})
		w.expect = append(w.expect, expected{journal: acquirer, row: reversal})
	}},
	{"a payment decided although its key was spent", func(w *planted) {
		issuer, _, marker := w.early()
		p := w.take(issuer, plainApproval)
		forged := w.insert(issuer, w.last(issuer), *p.decide)
		forged.Key, forged.Payment, forged.RRN, forged.ATC = marker.Key, marker.Key, "632504888888", 60000
		forged.STAN = uint32(binary.BigEndian.Uint16([]byte{0, 1}))
		forged.At = w.rows[issuer][len(w.rows[issuer])-2].At
		forged.Answer = fmt.Appendf(nil, "%06d", len(w.rows[issuer]))
		w.expect = append(w.expect, expected{journal: issuer, row: forged})
	}},
}

// Cells that errors are planted into.
type cellWorld struct {
	cells []journal.Cell
	mark  uint64
}

func (w *planted) cellsOf(name string) cellWorld {
	w.Helper()
	cells, mark, err := verifytest.Cells(w.Context(), w.origin.dir, name)
	if err != nil {
		w.Fatal(err)
	}
	return cellWorld{cells, mark}
}

// cell finds a card's cell that nothing was planted into yet. It has days and is not the last of its issuer.
func (w *planted) cell() (issuer string, c journal.Cell) {
	w.Helper()
	for _, issuer := range []string{issuerA, issuerB} {
		for _, c := range w.cellsOf(issuer).cells[:7] {
			used := fmt.Sprintf("cell %s %d", issuer, c.ID)
			if !w.used[used] && fields(w, c.Data)["day amount"] != 0 {
				w.used[used] = true
				return issuer, c
			}
		}
	}
	w.Fatal("no cell is left")
	return "", journal.Cell{}
}

func (w *planted) must(err error) {
	if err != nil {
		w.Fatal(err)
	}
}

// put writes a cell when the directory is there.
func (w *planted) put(issuer string, c journal.Cell) {
	w.files = append(w.files, func(dir string) {
		if err := verifytest.PutCell(w.Context(), dir, issuer, c); err != nil {
			w.Fatal(err)
		}
	})
}

// fields gives the place of each field of a card's cell.
func fields(t testing.TB, data []byte) map[string]int {
	at, places := 20, map[string]int{"version": 0, "standing": 1, "PIN tries": 2, "flags": 3, "PIN reference": 4}
	number := func(name string) int {
		v, n := binary.Uvarint(data[at:])
		if n <= 0 {
			t.Fatal("a cell that cannot be read")
		}
		places[name], at = at, at+n
		return int(v)
	}
	for _, name := range []string{"online counter", "highest counter", "window"} {
		number(name)
	}
	for range number("days") {
		for _, name := range []string{"date", "day amount", "day amount without PIN", "day payments"} {
			number(name)
		}
	}
	for _, name := range []string{"tap limit", "day limit", "limit of payments", "limit without PIN", "credit line", "currency", "opening money", "opening purse",
		"account pending debits", "account posted debits", "account pending credits", "account posted credits", "account last transfer",
		"purse pending debits", "purse posted debits", "purse pending credits", "purse posted credits", "purse last transfer"} {
		number(name)
	}
	for _, name := range []string{"name", "masked number", "sequence", "expiry", "product"} {
		length := number(name)
		places[name] = at // the first letter
		at += length
	}
	if at != len(data) {
		t.Fatal("a cell with something behind it")
	}
	return places
}

// turned plants a bit into a field.
func turned(field string, bit byte) plant {
	return plant{"a bit of a cell's " + field, func(w *planted) {
		issuer, c := w.cell()
		at, known := fields(w, c.Data)[field]
		if !known {
			w.Fatalf("no %s", field)
		}
		c.Data[at] ^= bit
		e := expected{journal: issuer, cell: c.ID, at: c.Seq}
		if slices.Contains([]string{"credit line", "currency", "opening money", "opening purse", "name", "masked number", "sequence", "expiry",
			"product"}, field) {
			e.at = w.opened(issuer, c.ID).Seq
		}
		w.put(issuer, c)
		w.expect = append(w.expect, e)
	}}
}

// altered plants a change of the whole cell.
func altered(name string, change func(c *journal.Cell) (at uint64)) plant {
	return plant{name, func(w *planted) {
		issuer, c := w.cell()
		at := change(&c)
		w.put(issuer, c)
		w.expect = append(w.expect, expected{journal: issuer, cell: c.ID, at: at})
	}}
}

// touches tells the rows that change a card.
func touches(r *journal.Row, card int64) bool { return r.Card == card && r.Kind != journal.Refused }

var cellPlants = []plant{
	turned("version", 2), turned("standing", 2), turned("PIN tries", 1), turned("flags", 1), turned("flags", 2), turned("flags", 128),
	turned("PIN reference", 16), turned("online counter", 1), turned("highest counter", 1), turned("window", 2), turned("days", 1),
	turned("date", 1), turned("day amount", 1), turned("day amount without PIN", 1), turned("day payments", 1),
	turned("tap limit", 1), turned("day limit", 8), turned("limit of payments", 1), turned("limit without PIN", 4),
	turned("credit line", 64), turned("currency", 1), turned("opening money", 1), turned("opening purse", 1),
	turned("account pending debits", 1), turned("account posted debits", 1), turned("account pending credits", 1), turned("account posted credits", 1),
	turned("account last transfer", 1), turned("purse pending debits", 1), turned("purse posted debits", 1), turned("purse pending credits", 1),
	turned("purse posted credits", 1), turned("purse last transfer", 1),
	turned("name", 1), turned("masked number", 1), turned("sequence", 1), turned("expiry", 1), turned("product", 1),
	altered("another fingerprint of a cell", func(c *journal.Cell) uint64 {
		c.Name[7] ^= 4
		return 0
	}),
	altered("a cell without a fingerprint", func(c *journal.Cell) uint64 {
		c.Name = [16]byte{}
		return 0
	}),
	altered("an empty cell", func(c *journal.Cell) uint64 {
		c.Data = nil
		return c.Seq
	}),
	altered("a cell cut off", func(c *journal.Cell) uint64 {
		c.Data = c.Data[:len(c.Data)-1]
		return c.Seq
	}),
	altered("a cell with something behind it", func(c *journal.Cell) uint64 {
		c.Data = append(c.Data, 0)
		return c.Seq
	}),
	altered("a cell as of the row before", func(c *journal.Cell) uint64 {
		c.Seq--
		return 0
	}),
	altered("a cell beyond the journal", func(c *journal.Cell) uint64 {
		c.Seq = 1 << 40
		return c.Seq
	}),
	altered("a cell of a row that cannot be", func(c *journal.Cell) uint64 {
		c.Seq = 1 << 63
		return c.Seq
	}),
	altered("a cell of row 0", func(c *journal.Cell) uint64 {
		c.Seq = 0
		return 0
	}),
	{"the cell of another card", func(w *planted) {
		issuer, c := w.cell()
		all := w.cellsOf(issuer).cells
		other := all[slices.IndexFunc(all, func(o journal.Cell) bool { return o.ID == c.ID+1 })]
		c.Data, c.Seq = other.Data, other.Seq
		w.put(issuer, c)
		w.expect = append(w.expect, expected{journal: issuer, cell: c.ID, at: w.opened(issuer, c.ID).Seq})
	}},
	{"the cell of a card that nobody opened", func(w *planted) {
		issuer, c := w.cell()
		c.ID, c.Name = 77, [16]byte{77}
		w.put(issuer, c)
		w.expect = append(w.expect, expected{journal: issuer, cell: 77, at: c.Seq})
	}},
	{"a missing cell", func(w *planted) {
		issuer, c := w.cell()
		w.files = append(w.files, func(dir string) { w.must(verifytest.DropCell(w.Context(), dir, issuer, c.ID)) })
		w.expect = append(w.expect, expected{journal: issuer, cell: c.ID, at: w.opened(issuer, c.ID).Seq})
	}},
	{"a watermark above what a cell has", func(w *planted) {
		mark := len(w.rows[issuerA]) // rows of another plant are not numbered yet
		w.files = append(w.files, func(dir string) { w.must(verifytest.SetWatermark(w.Context(), dir, issuerA, uint64(mark))) })
		for _, c := range w.cellsOf(issuerA).cells {
			for _, r := range w.rows[issuerA] {
				if touches(r, c.ID) && r.Seq > c.Seq {
					w.expect = append(w.expect, expected{journal: issuerA, cell: c.ID, at: r.Seq})
					return
				}
			}
		}
		w.Fatal("every cell is as far as the rows")
	}},
	{"a watermark one too high", func(w *planted) {
		first, cell := uint64(0), int64(0)
		for _, c := range w.cellsOf(issuerB).cells {
			for _, r := range w.rows[issuerB] {
				if touches(r, c.ID) && r.Seq > c.Seq {
					if first == 0 || r.Seq < first {
						first, cell = r.Seq, c.ID
					}
					break
				}
			}
		}
		w.files = append(w.files, func(dir string) { w.must(verifytest.SetWatermark(w.Context(), dir, issuerB, first)) })
		w.expect = append(w.expect, expected{journal: issuerB, cell: cell, at: first})
	}},
	{"a watermark beyond the journal", func(w *planted) {
		w.files = append(w.files, func(dir string) { w.must(verifytest.SetWatermark(w.Context(), dir, issuerB, 1<<50)) })
		w.expect = append(w.expect, expected{journal: issuerB})
	}},
	{"another sum of the scheme", func(w *planted) {
		w.bank(issuerA, func(c *journal.Cell) { c.Data[3] ^= 1 })
	}},
	{"another sum of the funding account", func(w *planted) {
		w.bank(issuerB, func(c *journal.Cell) {
			at := 1
			for range 6 {
				_, n := binary.Uvarint(c.Data[at:])
				at += n
			}
			c.Data[at] ^= 1
		})
	}},
	{"a cell of the bank's own accounts that cannot be read", func(w *planted) {
		w.bank(issuerA, func(c *journal.Cell) { c.Data = c.Data[:5] })
	}},
	{"a cell of the bank's own accounts beyond the journal", func(w *planted) {
		w.bank(issuerB, func(c *journal.Cell) { c.Seq = 1 << 41 })
	}},
	{"a cell of the bank's own accounts behind the watermark", func(w *planted) {
		mark := w.cellsOf(issuerA).mark
		w.bank(issuerA, func(c *journal.Cell) { c.Seq = mark - 1 })
	}},
	{"the cell of the bank's own accounts missing", func(w *planted) {
		w.files = append(w.files, func(dir string) { w.must(verifytest.DropCell(w.Context(), dir, issuerB, verifytest.BankCell)) })
		w.expect = append(w.expect, expected{journal: issuerB, cell: verifytest.BankCell})
	}},
}

// cellFiles are errors that leave nothing for others to change.
var cellFiles = []plant{
	{"a damaged log of cells", func(w *planted) {
		w.files = append(w.files, func(dir string) {
			w.must(celllog.Damage(journalsql.CellsPath(verifytest.Path(dir, issuerA))))
		})
		w.expect = append(w.expect, expected{journal: issuerA})
	}},
}

// bank changes the cell of the bank's own accounts.
func (w *planted) bank(issuer string, change func(c *journal.Cell)) {
	cells := w.cellsOf(issuer).cells
	c := cells[len(cells)-1]
	if c.ID != verifytest.BankCell {
		w.Fatal("no cell of the bank's own accounts")
	}
	change(&c)
	w.put(issuer, c)
	w.expect = append(w.expect, expected{journal: issuer, cell: c.ID})
}

// TestCellsOfALargerWorld: a generated world with cells is clean, with and without tills, and while it is being written.
func TestCellsOfALargerWorld(t *testing.T) {
	for seed := range uint64(4) {
		dir, chips := generate(t, verifytest.Options{Payments: 1_500, Cards: 40, Seed: 20 + seed, Cells: true, Every: 4 * time.Minute})
		report := check(t, dir, verify.Options{Settled: true, Chips: chipsOf(chips)})
		for _, w := range report.Findings {
			t.Error(w)
		}
		cells, mark, err := verifytest.Cells(t.Context(), dir, issuerA)
		if err != nil || len(cells) != 41 || mark < 120 {
			t.Errorf("%d cells, watermark %d, %v", len(cells), mark, err)
		}
	}
}

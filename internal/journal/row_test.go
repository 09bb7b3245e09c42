package journal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
	"tapnet/internal/ledger"
)

// The encoding is stored and hashed: it must not change under an unchanged version byte.
func TestEncodingStands(t *testing.T) {
	var chain journal.Chain
	r := journaltest.Rows(&chain, 1)[0]
	const want = "01" + "0000000000000001" + "01" + "000660c177418081" + "01352901" + // version, seq, kind, at, business date
		"01020001000000000000000000000000" + "00000001" + "0000010000000000" + "0001" + "0011" + // content, stan, card, atc, reason
		"00000000000003e9" + "fffffffffffffff9" + "00000000000074cc" + "009c" + "01" + // debit, credit, amount, currency, phase
		"0000000000000000" + "0000000000000001" + // resolves, linked
		"25" + "31313231303430353036303030303031303030313032393930303030303130323939303052" + // key
		"0c503030303030303030303031" + "0c303030303030303030303031" + "085430303030303031" + // payment, rrn, terminal
		"00000008616e737765722031" + "0000000300ff01" // answer, note
	got := hex.EncodeToString(r.AppendBinary(nil))
	if got != want {
		t.Errorf("encoding\n%s\nwant\n%s", got, want)
	}
	const wantChain = "c79a78d2ec7c823342827bfbb35ed2ee07ce74168de06b30c47a02f0bae328c8" // SHA-256 of 32 zero bytes and the above
	if got := hex.EncodeToString(r.Chain[:]); got != wantChain {
		t.Errorf("chain %s, want %s", got, wantChain)
	}
}

func drawRow(t *rapid.T) journal.Row {
	text := rapid.StringN(0, 40, 60)
	blob := func(label string) []byte {
		b := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, label)
		if len(b) == 0 {
			return nil
		}
		return b
	}
	number := func(label string) uint64 { return rapid.Uint64Range(0, math.MaxInt64).Draw(t, label) }
	return journal.Row{
		Seq: max(number("seq"), 1), Kind: journal.Kind(rapid.IntRange(1, int(journal.Noted)).Draw(t, "kind")),
		At:           time.UnixMicro(rapid.Int64Range(-1<<52, 1<<52).Draw(t, "at")).UTC(),
		BusinessDate: rapid.Int32().Draw(t, "date"), Key: text.Draw(t, "key"), Content: [16]byte(append(blob("content"), make([]byte, 16)...)),
		Answer: blob("answer"), Payment: text.Draw(t, "payment"), RRN: text.Draw(t, "rrn"), Terminal: text.Draw(t, "terminal"),
		STAN: rapid.Uint32().Draw(t, "stan"), Card: rapid.Int64().Draw(t, "card"), ATC: rapid.Uint16().Draw(t, "atc"),
		Reason: rapid.Uint16().Draw(t, "reason"), Debit: ledger.Account(rapid.Int64().Draw(t, "debit")),
		Credit: ledger.Account(rapid.Int64().Draw(t, "credit")), Amount: rapid.Int64().Draw(t, "amount"),
		Currency: rapid.Uint16().Draw(t, "currency"), Phase: ledger.Phase(rapid.IntRange(0, 3).Draw(t, "phase")),
		Resolves: number("resolves"), Linked: number("linked"), Note: blob("note"),
	}
}

func TestRowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRow(t)
		got, err := journal.ParseRow(r.AppendBinary(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("row (-want +got):\n%s", diff)
		}
	})
}

func TestParseRowRefuses(t *testing.T) {
	r := journaltest.Row(1)
	r.Seq = 1
	good := r.AppendBinary(nil)
	if _, err := journal.ParseRow(good); err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	bad := map[string][]byte{
		"version":     change(0, 2),
		"seq sign":    change(1, 0x80),
		"seq zero":    change(8, 0),
		"kind zero":   change(9, 0),
		"kind":        change(9, 255),
		"trailing":    append(bytes.Clone(good), 0),
		"note length": change(len(good)-7, 0xFF),
	}
	for n := range good {
		bad["cut at "+string(rune('0'+n%10))] = good[:n]
		if _, err := journal.ParseRow(good[:n]); !errors.Is(err, journal.ErrRow) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for name, b := range bad {
		if _, err := journal.ParseRow(b); !errors.Is(err, journal.ErrRow) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRowsThatCannotBeStoredPanic(t *testing.T) {
	long := strings.Repeat("x", journal.MaxTextBytes+1)
	for name, change := range map[string]func(*journal.Row){
		"no seq":         func(r *journal.Row) { r.Seq = 0 },
		"seq too large":  func(r *journal.Row) { r.Seq = 1 << 63 },
		"resolves":       func(r *journal.Row) { r.Resolves = 1 << 63 },
		"linked":         func(r *journal.Row) { r.Linked = 1 << 63 },
		"no kind":        func(r *journal.Row) { r.Kind = 0 },
		"unknown kind":   func(r *journal.Row) { r.Kind = 200 },
		"unknown phase":  func(r *journal.Row) { r.Phase = 4 },
		"long key":       func(r *journal.Row) { r.Key = long },
		"long payment":   func(r *journal.Row) { r.Payment = long },
		"long reference": func(r *journal.Row) { r.RRN = long },
		"long terminal":  func(r *journal.Row) { r.Terminal = long },
		"long answer":    func(r *journal.Row) { r.Answer = make([]byte, journal.MaxBlobBytes+1) },
		"long note":      func(r *journal.Row) { r.Note = make([]byte, journal.MaxBlobBytes+1) },
	} {
		r := journaltest.Row(1)
		r.Seq = 1
		change(&r)
		if r.Check() == nil {
			t.Errorf("%s: Check is silent", name)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: AppendBinary did not panic", name)
				}
			}()
			r.AppendBinary(nil)
		}()
	}
}

func FuzzParseRow(f *testing.F) {
	for seq := uint64(1); seq < 4; seq++ {
		r := journaltest.Row(seq)
		r.Seq = seq
		f.Add(r.AppendBinary(nil))
	}
	bare := journal.Row{Seq: 1, Kind: journal.Noted, At: time.UnixMicro(0)}
	f.Add(bare.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := journal.ParseRow(b)
		if err != nil {
			return
		}
		if again := r.AppendBinary(nil); !bytes.Equal(again, b) {
			t.Fatalf("accepted %x, encodes to %x", b, again)
		}
	})
}

func TestChain(t *testing.T) {
	var sealed journal.Chain
	rows := journaltest.Rows(&sealed, 4)
	check := func(rows ...journal.Row) error {
		var c journal.Chain
		for i := range rows {
			r := rows[i]
			if err := c.Check(&r); err != nil {
				return err
			}
		}
		return nil
	}
	if err := check(rows...); err != nil {
		t.Fatal(err)
	}
	changed := rows[2]
	changed.Amount++
	for name, c := range map[string]struct {
		rows []journal.Row
		at   uint64
	}{
		"changed":  {[]journal.Row{rows[0], rows[1], changed}, 3},
		"missing":  {[]journal.Row{rows[0], rows[2]}, 2},
		"headless": {rows[1:], 1},
		"twice":    {[]journal.Row{rows[0], rows[0]}, 2},
	} {
		var broken *journal.ChainError
		if err := check(c.rows...); !errors.As(err, &broken) || broken.Seq != c.at {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSealDoesNotAllocate(t *testing.T) {
	var chain journal.Chain
	r := journaltest.Row(1)
	chain.Seal(&r) // grows the buffer
	if n := testing.AllocsPerRun(100, func() { chain.Seal(&r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestKindsHaveText(t *testing.T) {
	names := map[string]bool{}
	for k := journal.Approved; k <= journal.Noted; k++ {
		name, term := k.String(), k.Term()
		if name == "" || names[name] || term.EN == "" || term.ZH == "" {
			t.Errorf("kind %d: name %q, %v", k, name, term)
		}
		names[name] = true
	}
	for _, k := range []journal.Kind{0, journal.Noted + 1, 255} {
		if k.Valid() || k.String() != "unknown" || k.Term().ZH == "" {
			t.Errorf("kind %d is valid", k)
		}
	}
}

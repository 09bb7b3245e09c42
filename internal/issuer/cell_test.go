package issuer

import (
	"bytes"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// cells of all versions: a plain card, one with a chip, one with a change of the PIN under way, one with a second currency, and all of it.
func sampleCells(t testing.TB) [][]byte {
	t.Helper()
	var list [][]byte
	for what := range 5 {
		e := Enrolment{Card: 1, Fingerprint: Fingerprint{1}, Name: "MEI", Masked: "6299…", Sequence: "01", Expiry: "3012", Product: "debit", Currency: 156,
			PINReference: [16]byte{1, 2, 3}, NoPIN: true, PurseMinor: 5_000}
		if what >= 3 {
			e.Second = &SecondPurse{Currency: 344, OpeningMinor: 700, PurseMinor: 200}
		}
		c, err := newCard(e)
		if err != nil {
			t.Fatal(err)
		}
		s := newState(156, Capacity{})
		s.open(c.account, accountSpec(c))
		s.open(c.purse, purseSpec(c))
		s.openSecond(c, nil)
		if e.Second != nil {
			of, _ := c.side(344)
			if code := s.book.Apply(ledger.Transfer{ID: 1, Debit: of.funding, Credit: of.purse, Amount: 200, Currency: 344}); code != ledger.OK {
				t.Fatal(code)
			}
		}
		c.setChip(func(h *chip) {
			if what == 1 || what == 4 {
				h.auto = AutoLoad{1_000, 2_000}
			}
			if what == 2 || what == 4 {
				h.pin = pinChange{seq: 9, state: pinRefused, atc: 7, reference: [16]byte{9}}
			}
			if what == 4 {
				h.unloaded, h.emptiedSecond = waits{11, 200, 8}, 20261122
			}
		})
		list = append(list, s.appendCard(nil, c))
	}
	return list
}

// FuzzCell: a stored card is read back to the byte, or refused; nothing else happens.
func FuzzCell(f *testing.F) {
	for _, b := range sampleCells(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := readCard(&journal.Cell{ID: 1, Name: Fingerprint{1}, Data: data})
		if err != nil {
			return
		}
		s := newState(156, Capacity{})
		if k.card.Currency != 156 || k.card.Second != nil && k.card.Second.Currency == 0 {
			return
		}
		again := roundTrip(s, k)
		back, err := readCard(&journal.Cell{ID: 1, Name: Fingerprint{1}, Data: again})
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if twice := roundTrip(newState(156, Capacity{}), back); !bytes.Equal(twice, again) { // a number may have been written longer than it is
			t.Fatalf("%X became %X", again, twice)
		}
	})
}

// roundTrip takes a stored card in and writes it again. The books refuse balances that no transfers give: those stay out.
func roundTrip(s *state, k stored) []byte {
	k.account, k.purse = kept{}, kept{}
	if k.second != nil {
		k.second = &[2]kept{}
	}
	return s.appendCard(nil, s.admit(k))
}

func TestCellsOfAllVersions(t *testing.T) {
	for at, b := range sampleCells(t) {
		if want := []byte{1, 2, 3, 3, 3}[at]; b[0] != want {
			t.Errorf("card %d: version %d, want %d", at, b[0], want)
		}
		k, err := readCard(&journal.Cell{ID: 1, Name: Fingerprint{1}, Data: b})
		if err != nil {
			t.Fatal(err)
		}
		s := newState(156, Capacity{})
		if got := s.appendCard(nil, s.admit(k)); !bytes.Equal(got, b) {
			t.Errorf("card %d: %X became %X", at, b, got)
		}
		for cut := range len(b) {
			if _, err := readCard(&journal.Cell{ID: 1, Data: b[:cut]}); err == nil {
				t.Fatalf("card %d: %d bytes of %d are a card", at, cut, len(b))
			}
		}
		if _, err := readCard(&journal.Cell{ID: 1, Data: append(bytes.Clone(b), 0)}); err == nil {
			t.Errorf("card %d: a byte more is a card", at)
		}
	}
}

// The bank's own cell is of version 1 until there is another currency.
func TestTheBanksOwnCell(t *testing.T) {
	s := newState(156, Capacity{})
	plain := s.appendBank(nil)
	s.openOwn(446)
	s.openOwn(344)
	s.openOwn(344)
	b := s.appendBank(nil)
	if plain[0] != cellVersion || b[0] != cellVersionBanks {
		t.Errorf("versions %d and %d", plain[0], b[0])
	}
	_, _, others, err := readBank(&journal.Cell{ID: bankCell, Data: b})
	if err != nil || len(others) != 2 || others[0].currency != 344 || others[1].currency != 446 {
		t.Errorf("%+v, %v", others, err)
	}
	again := newState(156, Capacity{})
	again.restoreOwn(others)
	if !bytes.Equal(again.appendBank(nil), b) {
		t.Error("the cell became another one")
	}
}

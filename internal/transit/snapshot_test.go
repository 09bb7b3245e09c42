package transit

import (
	"errors"
	"testing"

	"tapnet/gate"
	"tapnet/internal/journal"
	"tapnet/internal/transit/transittest"
)

// keptCity is a city whose office has kept its state after each of two days, with rows after that.
func keptCity(t *testing.T) *city {
	t.Helper()
	c := newQuietCity(t, profileNamed(t, "aggregate"))
	card, other := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
	for day := range 2 {
		c.ride(card, "a", "c", c.at(day, 8, 10))
		c.ride(other, "b", "d", c.at(day, 8, 20))
		c.upload("a", "b", "c", "d")
		c.closeDay(day)
	}
	c.tap(card, "bus", gate.Ride, c.at(2, 9, 0))
	c.upload("bus")
	return c
}

// TestTheStateIsKept after each close, in two places by turns, and a start reads only the rows behind it.
func TestTheStateIsKept(t *testing.T) {
	c := keptCity(t)
	if k := c.office.kept; k.row == 0 || k.row >= c.office.state.last {
		t.Fatalf("kept as of row %d of %d", k.row, c.office.state.last)
	}
	for place := range byte(places) {
		if _, found, err := c.Store.FindCell(t.Context(), int64(place)+1); err != nil || !found {
			t.Errorf("place %d: %t, %v", place, found, err)
		}
	}
	again := c.newOffice()
	if err := again.Open(t.Context(), c.Store, c.office.kept.row); err != nil {
		t.Fatal(err)
	}
	if err := again.Audit(); err != nil {
		t.Error(err)
	}
	c.sameAfterReplay()
	c.restart()
	c.closeDay(2)
	c.sameAfterReplay()
	c.agrees()
}

// TestAKeptStateThatIsDamaged is refused: nobody is charged by guess.
func TestAKeptStateThatIsDamaged(t *testing.T) {
	for name, change := range map[string]func(data []byte, header bool) []byte{
		"an octet of a piece": func(data []byte, header bool) []byte {
			if !header {
				data[len(data)/2] ^= 1
			}
			return data
		},
		"a short piece": func(data []byte, header bool) []byte {
			if !header {
				return data[:len(data)-1]
			}
			return data
		},
		"a long piece": func(data []byte, header bool) []byte {
			if !header {
				return append(data, 0)
			}
			return data
		},
		"an empty piece": func(data []byte, header bool) []byte {
			if !header {
				return nil
			}
			return data
		},
		"the sum": func(data []byte, header bool) []byte {
			if header {
				data[len(data)-1] ^= 1
			}
			return data
		},
		"another version": func(data []byte, header bool) []byte {
			if header {
				data[0]++
			}
			return data
		},
		"more pieces than there are": func(data []byte, header bool) []byte {
			if header {
				data[17]++
			}
			return data
		},
		"another row": func(data []byte, header bool) []byte {
			if header {
				data[9]++
			}
			return data
		},
	} {
		c := keptCity(t)
		var back journal.Back
		for _, id := range []int64{int64(c.office.kept.place) + 1, pieceID(c.office.kept.place, 0)} {
			cell, found, err := c.Store.FindCell(t.Context(), id)
			if err != nil || !found {
				t.Fatalf("cell %d: %t, %v", id, found, err)
			}
			to := back.Add(id, [16]byte{}, cell.Seq)
			to.Data = change(append([]byte(nil), cell.Data...), id <= places)
		}
		store := c.Store.Reopen()
		epoch, err := store.Claim(t.Context(), "damage")
		if err == nil {
			err = store.Commit(t.Context(), epoch, nil, &back)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := c.newOffice().Open(t.Context(), store, c.office.kept.row); !errors.Is(err, errSnapshot) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestACrashWhileTheStateIsWritten: the one before is whole.
func TestACrashWhileTheStateIsWritten(t *testing.T) {
	c := keptCity(t)
	kept := c.office.kept
	var back journal.Back
	c.office.saveSoon = true
	c.office.saving = c.office.save()
	c.office.saving.pieces = append(c.office.saving.pieces, make([][]byte, piecesPerBatch)...)
	c.office.WriteBack(&back, 1, 0)
	if back.Watermark != 0 || len(back.Cells) != piecesPerBatch || c.office.kept != kept {
		t.Fatalf("%d cells, watermark %d", len(back.Cells), back.Watermark)
	}
	store := c.Store.Reopen()
	epoch, err := store.Claim(t.Context(), "crash")
	if err == nil {
		err = store.Commit(t.Context(), epoch, nil, &back)
	}
	if err != nil {
		t.Fatal(err)
	}
	again := c.newOffice()
	if _, _, err := journal.NewStepper(t.Context(), journal.Config{Machine: again, Store: store, Clock: c.Clock}); err != nil {
		t.Fatal(err)
	}
	if again.Digest() != c.office.Digest() {
		t.Error("another state")
	}
}

// TestIncompleteJourneysOfTheYear are counted when their taps have long been forgotten, after a start as well; those that the rider corrected are not.
func TestIncompleteJourneysOfTheYear(t *testing.T) {
	c := newQuietCity(t, profileNamed(t, "aggregate"))
	card, other := transittest.NewCard(t, 1), transittest.NewCard(t, 2)
	c.tap(card, "a", gate.In, c.at(-80, 8, 0))
	c.ride(other, "a", "b", c.at(-80, 9, 0))
	c.upload("a", "b")
	c.closeDay(-70)
	c.ride(card, "a", "c", c.at(0, 8, 0))
	c.ride(other, "b", "c", c.at(0, 9, 0))
	c.at(0, 12, 0)
	c.upload("a", "b", "c")
	c.closeDay(0)
	years := func(n int64) int {
		v, ok := c.office.viewAccount(c.Clock.Now(), c.office.state.accounts[n]).(AccountView)
		if !ok {
			t.Fatal("no such rider")
		}
		return v.Statement.Years[2026].Incomplete
	}
	for range 2 {
		if first, second := years(1), years(2); first != 1 || second != 0 {
			t.Errorf("%d and %d incomplete journeys", first, second)
		}
		if n := len(c.office.state.accounts[1].taps); n != 2 {
			t.Errorf("%d taps are remembered", n)
		}
		c.sameAfterReplay()
		c.restart()
	}
}

package transit

import (
	"bytes"
	"testing"

	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/money"
)

// FuzzAdvised: entries from outside of a damaged row never panic; what is taken says the same when it is written again.
func FuzzAdvised(f *testing.F) {
	id := func(b byte) denylist.ID { return denylist.ID{b} }
	f.Add(appendAdvised(nil, []denylist.Epoch{1}, []advised{{listing{denylist.Credential, denylist.Lost, 7}, []alias{{id(1), 1}}, []byte("sealed")}}))
	f.Add(appendAdvised(nil, []denylist.Epoch{1, 2}, []advised{
		{listing{denylist.Token, denylist.Stolen, 0}, []alias{{id(2), 1}, {id(3), 2}}, nil},
		{listing{denylist.PAR, denylist.Debt, 0}, []alias{{id(4), 1}, {id(5), 2}}, bytes.Repeat([]byte{9}, 300)},
	}))
	f.Add([]byte{2, 0, 0, 0, 1})
	f.Add([]byte{0})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := parseAdvised(b)
		if err != nil || len(entries) == 0 {
			return
		}
		var under []denylist.Epoch
		for _, a := range entries[0].called {
			under = append(under, a.epoch)
		}
		again, err := parseAdvised(appendAdvised(nil, under, entries))
		if err != nil || len(again) != len(entries) {
			t.Fatalf("%d entries become %d: %v", len(entries), len(again), err)
		}
		for i := range entries {
			if again[i].what != entries[i].what || !bytes.Equal(again[i].sealed, entries[i].sealed) || again[i].called[0] != entries[i].called[0] {
				t.Errorf("entry %d: %+v becomes %+v", i, entries[i], again[i])
			}
		}
	})
}

// FuzzCalled: the names of a damaged Uploaded row never panic and name no record that is not there.
func FuzzCalled(f *testing.F) {
	f.Add([]byte{}, true)
	f.Add(append([]byte{0}, make([]byte, linkBytes)...), false)
	f.Add(append([]byte{3, 1, 2}, make([]byte, linkBytes)...), true)
	f.Add([]byte{3, 9, 2}, true)
	f.Add([]byte{0x80}, true)
	f.Fuzz(func(t *testing.T, b []byte, kinds bool) {
		const records = 4
		found, err := parseCalled(b, kinds, records, 1)
		if err != nil {
			return
		}
		for at, names := range found {
			if at < 0 || at >= records || len(names) == 0 {
				t.Errorf("record %d has %d names", at, len(names))
			}
		}
	})
}

// FuzzKeysRow: a damaged row of a rotation is refused or followed, and never panics.
func FuzzKeysRow(f *testing.F) {
	f.Add(keysBegin, []byte{0, 0, 0, 2})
	f.Add(keysMoved, append([]byte{0, 0, 0, 2, movedCredential, 1}, make([]byte, linkBytes)...))
	f.Add(keysMoved, []byte{0, 0, 0, 2, movedMark, 0x80})
	f.Add(keysForce, []byte{0, 0, 0, 2})
	f.Fuzz(func(t *testing.T, reason uint16, note []byte) {
		s, err := newState(&Deps{Epoch: 1, Currency: money.CNY})
		if err != nil {
			t.Fatal(err)
		}
		s.newCredential(alias{denylist.ID{1}, 1})
		s.keys.next = 2
		_ = s.applyKeys(&journal.Row{Seq: 1, Kind: journal.KeysChanged, Reason: reason, Note: note}) // refused or not
		if k := s.keys; k.next != 0 && k.former != 0 {
			t.Errorf("three keys at a time: %+v", k)
		}
	})
}

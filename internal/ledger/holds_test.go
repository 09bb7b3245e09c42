package ledger

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestHoldsAreAMap: pages of holds are what a map of them is, close together and far apart.
func TestHoldsAreAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, model := newHolds(), map[uint64]hold{}
		id := rapid.OneOf(rapid.Uint64Range(1, 200), rapid.Uint64())
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			n := id.Draw(t, "id")
			if rapid.Bool().Draw(t, "put") {
				h := hold{amount: int64(len(model)) + 1}
				s.put(n, h)
				model[n] = h
			} else {
				_, open := model[n]
				if s.drop(n) != open {
					t.Fatalf("drop of %d: not %t", n, open)
				}
				delete(model, n)
			}
			got, ok := s.get(n)
			if want, open := model[n]; ok != open || got != want {
				t.Fatalf("hold %d: %v %t, want %v %t", n, got, ok, want, open)
			}
		}
		if s.len() != len(model) || !maps.Equal(maps.Collect(s.all()), model) {
			t.Fatalf("%d holds, want %d", s.len(), len(model))
		}
	})
}

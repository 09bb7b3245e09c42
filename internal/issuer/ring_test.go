package issuer

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestRingIsAMap: whatever comes and goes, the ring finds what a map and a queue hold, and nothing else.
func TestRingIsAMap(t *testing.T) {
	key := func(n int) (k paymentKey) {
		binary.BigEndian.PutUint64(k[:], uint64(n))
		return k
	}
	rapid.Check(t, func(t *rapid.T) {
		r := newRing()
		if rapid.Bool().Draw(t, "narrow") {
			r.slots = make([]slot, 4) // crowded from the start
		}
		model, next, first := map[int]uint64{}, 0, 0
		for range rapid.IntRange(1, 8).Draw(t, "phases") {
			for range rapid.IntRange(0, 2*blockEntries).Draw(t, "come") {
				e := r.add(key(next), reference{byte(next)})
				e.seq = uint64(next) * 3
				model[next] = e.seq
				next++
			}
			for range min(rapid.IntRange(0, 2*blockEntries).Draw(t, "go"), next-first) {
				if r.oldest().key != key(first) {
					t.Fatalf("oldest is not %d", first)
				}
				r.forget()
				delete(model, first)
				first++
			}
			if r.len() != len(model) {
				t.Fatalf("%d entries, want %d", r.len(), len(model))
			}
			for n := max(0, first-5); n < next+5; n++ {
				e, want := r.find(key(n)), model[n]
				if _, known := model[n]; known != (e != nil) || known && e.seq != want {
					t.Fatalf("entry %d: found %t, known %t", n, e != nil, known)
				}
			}
		}
		if last := r.findRRN(reference{byte(next - 1)}); r.len() > 0 && (last == nil || last.key != key(next-1)) {
			t.Fatal("the reference finds another than the last")
		}
	})
}

func TestRingDoesNotAllocate(t *testing.T) {
	r, n := newRing(), 0
	step := func() {
		var k paymentKey
		binary.BigEndian.PutUint64(k[:], uint64(n))
		if r.find(k) == nil {
			r.add(k, reference{})
		}
		if n++; r.len() > 2*blockEntries {
			r.forget()
		}
	}
	for range 5 * blockEntries {
		step()
	}
	if allocations := testing.AllocsPerRun(blockEntries, step); allocations != 0 {
		t.Errorf("%v allocations a payment", allocations)
	}
}

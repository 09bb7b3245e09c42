package denylist

import (
	"maps"
	"math/bits"
	"slices"
)

// bitsPerChange keeps the bitmap sparse: of sixteen hashes that did not change, one is looked up in vain.
const bitsPerChange = 16

// overlay is what deltas changed since the base. Nearly no hash that is asked for has changed: a bitmap that stays in the processor's cache says so
// without a look into the map. It never changes.
type overlay struct {
	changes map[uint64]Change
	bitmap  []uint64 // a bit for every value of a hash's leading bits; a power of two of words, none for no changes
	shift   uint8    // of a hash to its bit
}

func (o *overlay) find(hash uint64) (Change, bool) {
	if len(o.bitmap) == 0 {
		return Change{}, false
	}
	bit := hash >> o.shift
	if o.bitmap[bit/64]&(1<<(bit%64)) == 0 {
		return Change{}, false
	}
	c, changed := o.changes[hash]
	return c, changed
}

// with is the overlay after further changes.
func (o *overlay) with(changes []Change) overlay {
	all := make(map[uint64]Change, len(o.changes)+len(changes))
	maps.Copy(all, o.changes)
	for _, c := range changes {
		all[c.entry.hash] = c
	}
	next := overlay{changes: all}
	if len(all) == 0 {
		return next
	}
	width := max(6, bits.Len(uint(len(all)*bitsPerChange-1)))
	next.shift = uint8(64 - width)
	set := func(hash uint64) {
		bit := hash >> next.shift
		next.bitmap[bit/64] |= 1 << (bit % 64)
	}
	if next.shift == o.shift && len(o.bitmap) > 0 {
		next.bitmap = slices.Clone(o.bitmap)
		for _, c := range changes {
			set(c.entry.hash)
		}
		return next
	}
	next.bitmap = make([]uint64, 1<<(width-6))
	for hash := range all {
		set(hash)
	}
	return next
}

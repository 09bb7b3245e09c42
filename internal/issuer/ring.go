package issuer

import "hash/maphash"

// ring is the payments remembered, in the order in which they came, with an index by key. Millions of payments pass through it in an hour: entries are written
// and forgotten one behind the other, and what is looked up at random is one small table, not the payments. It holds no pointer but those to its blocks.
type ring struct {
	seed       maphash.Seed
	first, end uint64                 // entries first … end-1 are remembered
	blocks     []*[blockEntries]entry // entry n lies in block n/blockEntries modulo their number
	slots      []slot                 // a power of two of them, at most half of them full
}

// entry is a payment with what it is found by.
type entry struct {
	key paymentKey
	rrn reference
	payment
	since uint64 // row with which it came; payment.seq may be that of a later one
}

// slot of the index: the upper half is that of the key's hash, the lower half that of the entry's number plus one, so that zero is empty. Slots that do not
// find room where their hash points stand behind it; none is empty between.
type slot uint64

const (
	blockEntries = 1 << 12
	firstSlots   = 1 << 10
)

func newRing() ring { return ring{seed: maphash.MakeSeed(), slots: make([]slot, firstSlots)} }

func (r *ring) len() int { return int(r.end - r.first) }

func (r *ring) at(n uint64) *entry {
	return &r.blocks[n/blockEntries%uint64(len(r.blocks))][n%blockEntries]
}

// hash has a bit of its own in the upper half: no full slot is zero.
func (r *ring) hash(k *paymentKey) uint64 { return maphash.Bytes(r.seed, k[:]) | 1<<63 }

// place is the slot of the key: the one that holds it, or the empty one where it would go.
func (r *ring) place(k *paymentKey, hash uint64) int {
	mask := len(r.slots) - 1
	for i := int(hash>>32) & mask; ; i = (i + 1) & mask {
		s := r.slots[i]
		if s == 0 || uint64(s)>>32 == hash>>32 && r.of(s).key == *k {
			return i
		}
	}
}

// of is the entry of a full slot. The lower half of its number says which one it is: never more are remembered.
func (r *ring) of(s slot) *entry {
	behind := uint32(s) - 1 - uint32(r.first)
	return r.at(r.first + uint64(behind))
}

// find is the entry with that key, nil when none is remembered. It is valid until the next one is added or forgotten.
func (r *ring) find(k paymentKey) *entry {
	if s := r.slots[r.place(&k, r.hash(&k))]; s != 0 {
		return r.of(s)
	}
	return nil
}

// findRRN is the entry that came last with that reference; it looks at all of them.
func (r *ring) findRRN(rrn reference) *entry {
	for n := r.end; n > r.first; n-- {
		if e := r.at(n - 1); e.rrn == rrn {
			return e
		}
	}
	return nil
}

// add gives room for a payment whose key is not remembered.
func (r *ring) add(k paymentKey, rrn reference) *entry {
	if 2*r.len() >= len(r.slots) {
		r.widen()
	}
	if r.len() == len(r.blocks)*blockEntries {
		r.lengthen()
	}
	hash := r.hash(&k)
	r.slots[r.place(&k, hash)] = slotOf(hash, r.end)
	e := r.at(r.end)
	e.key, e.rrn = k, rrn
	r.end++
	return e
}

func slotOf(hash, n uint64) slot { return slot(hash>>32<<32 | uint64(uint32(n)+1)) }

// oldest is the entry that forget forgets.
func (r *ring) oldest() *entry { return r.at(r.first) }

// forget drops the oldest entry. The slots behind its own move up where they may.
func (r *ring) forget() {
	e := r.oldest()
	mask := len(r.slots) - 1
	hole := r.place(&e.key, r.hash(&e.key))
	for i := (hole + 1) & mask; r.slots[i] != 0; i = (i + 1) & mask {
		home := int(r.slots[i]>>32) & mask
		if (i-home)&mask >= (i-hole)&mask {
			r.slots[hole], hole = r.slots[i], i
		}
	}
	r.slots[hole] = 0
	r.first++
}

// widen doubles the index.
func (r *ring) widen() {
	old := r.slots
	r.slots = make([]slot, 2*len(old))
	mask := len(r.slots) - 1
	for _, s := range old {
		if s == 0 {
			continue
		}
		i := int(s>>32) & mask
		for r.slots[i] != 0 {
			i = (i + 1) & mask
		}
		r.slots[i] = s
	}
}

// lengthen adds a block. The numbers of the entries stay, and with them must their places: blocks are turned so that the oldest entry's comes where its number
// says, and entries of a block that is both first and last are divided.
func (r *ring) lengthen() {
	n := uint64(len(r.blocks))
	if n == 0 {
		r.blocks = []*[blockEntries]entry{new([blockEntries]entry)}
		return
	}
	longer := make([]*[blockEntries]entry, n+1)
	for b := r.first / blockEntries; b <= (r.end-1)/blockEntries; b++ {
		from := r.blocks[b%n]
		if b == r.first/blockEntries+n { // the last entries lie in the first block, before its own
			fresh := new([blockEntries]entry)
			copy(fresh[:r.end%blockEntries], from[:r.end%blockEntries])
			from = fresh
		}
		longer[b%(n+1)] = from
	}
	for i := range longer {
		if longer[i] == nil {
			longer[i] = new([blockEntries]entry)
		}
	}
	r.blocks = longer
}

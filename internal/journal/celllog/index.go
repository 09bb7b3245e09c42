package celllog

import (
	"encoding/binary"
	"math/bits"
)

// index finds cells in memory by number and by name: 16 bytes for each, and two tables of 4 bytes at a load of some 0.6, so ten million cells take 300 MB. No
// pointer is in it but those to its pieces, so the garbage collector does not look through it, and it grows a piece at a time.
//
// Numbers are exact. Of a name only 33 bits of a hash are here: the rest is compared in the record.
type index struct {
	pages  [][]entry
	count  uint32
	byID   table
	byName table
}

// entry is a cell: its number, and where its record stands.
type entry struct {
	id    int64
	where where
}

// where is a segment's slot (13 bits), the record's offset (22) and length (8) in units of alignBytes, and part of the hash of the name (21).
type where uint64

const (
	slotBits, offsetBits, lengthBits, tagBits = 13, 22, 8, 21

	// maxSegments may be there at once, maxSegmentBytes are in one at most: 1 TiB in all.
	maxSegments     = 1 << slotBits
	maxSegmentBytes = 1 << offsetBits * alignBytes

	pageCells = 1 << 10
	// A slot of a table holds an ordinal plus one, and 5 bits of the hash: other cells that stand in the way are passed without a look at them.
	ordinalBits = 27
	ordinalMask = 1<<ordinalBits - 1
	// maxCells is how many an index takes.
	maxCells = ordinalMask - 1
)

// hint is what a slot holds of a hash. The tag of a name holds it as well.
func hint(hash uint64) uint32 { return uint32(hash>>16) << ordinalBits }

var _ [1<<lengthBits - 1 - maxRecord/alignBytes]struct{} // the longest record's length fits

func newWhere(slot uint16, offset int64, length int, tag uint32) where {
	return where(slot)<<(64-slotBits) | where(offset/alignBytes)<<(lengthBits+tagBits) | where(length/alignBytes)<<tagBits | where(tag)
}

func (w where) slot() uint16  { return uint16(w >> (64 - slotBits)) }
func (w where) offset() int64 { return int64(w>>(lengthBits+tagBits)&(1<<offsetBits-1)) * alignBytes }
func (w where) length() int   { return int(w>>tagBits&(1<<lengthBits-1)) * alignBytes }
func (w where) tag() uint32   { return uint32(w & (1<<tagBits - 1)) }

// mix makes every bit of a hash depend on every bit of a number (the finisher of SplitMix64).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func hashID(id int64) uint64 { return mix(uint64(id)) }

func hashName(name []byte) uint64 {
	return mix(binary.LittleEndian.Uint64(name) ^ bits.RotateLeft64(mix(binary.LittleEndian.Uint64(name[8:])), 32))
}

// tagOf is the part of a hash that an entry holds. The tables choose the shard by other bits.
func tagOf(hash uint64) uint32 { return uint32(hash & (1<<tagBits - 1)) }

func (x *index) at(ordinal uint32) *entry { return &x.pages[ordinal/pageCells][ordinal%pageCells] }

// find gives the ordinal of a number.
func (x *index) find(id int64) (ordinal uint32, found bool) {
	hash := hashID(id)
	s := x.byID.shard(hash)
	if s == nil {
		return 0, false
	}
	hint, mask := hint(hash), s.mask()
	for i := uint32(hash); ; i++ {
		n := s.slots[i&mask]
		if n == 0 {
			return 0, false
		}
		if o := n&ordinalMask - 1; n&^ordinalMask == hint && x.at(o).id == id {
			return o, true
		}
	}
}

// findName gives the n-th cell whose name may have that hash.
func (x *index) findName(hash uint64, n int) (ordinal uint32, found bool) {
	s := x.byName.shard(hash)
	if s == nil {
		return 0, false
	}
	tag, hint, mask := tagOf(hash), hint(hash), s.mask()
	for i := tag; ; i++ {
		v := s.slots[i&mask]
		if v == 0 {
			return 0, false
		}
		if o := v&ordinalMask - 1; v&^ordinalMask == hint && x.at(o).where.tag() == tag {
			if n == 0 {
				return o, true
			}
			n--
		}
	}
}

// add takes in a cell that is not there yet; a hash of 0 is no name.
func (x *index) add(id int64, w where, nameHash uint64) {
	if x.count%pageCells == 0 {
		x.pages = append(x.pages, make([]entry, pageCells))
	}
	*x.at(x.count) = entry{id, w}
	x.count++
	x.byID.add(hashID(id), x.count, func(n uint32) uint32 { return uint32(hashID(x.at(n - 1).id)) })
	if nameHash != 0 {
		x.byName.add(nameHash, x.count, func(n uint32) uint32 { return x.at(n - 1).where.tag() })
	}
}

// table is a hash table. Its shards grow one by one, so that no insertion waits for a table of millions.
type table struct{ shards []*shard }

type shard struct {
	slots []uint32
	used  int
}

const (
	shardBits  = 12
	firstSlots = 8
)

// full reports whether shard i has to grow: between 9/16 and 13/16 of its slots, each at another point, so that not all grow within few commits.
func (s *shard) full(i uint64) bool { return s.used*64 >= len(s.slots)*int(36+i%17) }
func (s *shard) mask() uint32       { return uint32(len(s.slots) - 1) }

func (t *table) shard(hash uint64) *shard {
	if t.shards == nil {
		return nil
	}
	return t.shards[hash>>(64-shardBits)]
}

// add puts ordinal plus one, n. low gives the lower bits of the hash of what is there.
func (t *table) add(hash uint64, n uint32, low func(n uint32) uint32) {
	if t.shards == nil {
		t.shards = make([]*shard, 1<<shardBits)
	}
	i := hash >> (64 - shardBits)
	s := t.shards[i]
	if s == nil {
		s = &shard{slots: make([]uint32, firstSlots)}
		t.shards[i] = s
	}
	if s.full(i) {
		old := s.slots
		s.slots = make([]uint32, 2*len(old))
		for _, o := range old {
			if o != 0 {
				s.put(low(o&ordinalMask), o)
			}
		}
	}
	s.put(low(n), n|hint(hash))
	s.used++
}

func (s *shard) put(from, n uint32) {
	mask := s.mask()
	for i := from; ; i++ {
		if at := &s.slots[i&mask]; *at == 0 {
			*at = n
			return
		}
	}
}

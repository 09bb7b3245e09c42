package denylist

import (
	"encoding/binary"
	"math/bits"
)

// filter asks a binary fuse filter that stays in its image: the library that builds it wants the fingerprints as a slice of its own.
type filter struct {
	slots         []byte
	seed          uint64
	segmentLength uint32
	lengthMask    uint32
	firstEnd      uint32 // slots in which the first of the three may stand
}

func newFilter(slots []byte, seed uint64, length, segments uint32) filter {
	return filter{slots: slots, seed: seed, segmentLength: length, lengthMask: length - 1, firstEnd: length * segments}
}

// mix is the finalizer of Murmur 3, which the builder spreads keys with.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// mayContain is true for every key that the filter was built of, and for one in 65,536 others. The three slots lie in neighbouring
// segments, so inside the filter for any key: the shape was checked when the image was opened.
func (f *filter) mayContain(key uint64) bool {
	hash := mix(key + f.seed)
	start, _ := bits.Mul64(hash, uint64(f.firstEnd))
	first := uint32(start)
	second := (first + f.segmentLength) ^ uint32(hash>>18)&f.lengthMask
	third := (first + 2*f.segmentLength) ^ uint32(hash)&f.lengthMask
	return uint16(hash^hash>>32)^f.at(first)^f.at(second)^f.at(third) == 0
}

func (f *filter) at(slot uint32) uint16 {
	return binary.LittleEndian.Uint16(f.slots[int(slot)*fingerprintBytes:])
}

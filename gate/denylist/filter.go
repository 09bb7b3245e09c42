package denylist

import "math/bits"

// filter asks a binary fuse filter that stays in its image: the library that builds it wants the fingerprints as a slice of its own. The low
// bytes of all fingerprints stand in front of the high ones: of 256 hashes that are not listed, 255 are cleared by the low bytes, and half the
// memory stays in the processor's cache.
type filter struct {
	low, high     []byte
	seed          uint64
	segmentLength uint32
	lengthMask    uint32
	firstEnd      uint32 // slots in which the first of the three may stand
}

func newFilter(slots []byte, seed uint64, length, segments uint32) filter {
	half := len(slots) / fingerprintBytes
	return filter{low: slots[:half], high: slots[half:], seed: seed, segmentLength: length, lengthMask: length - 1, firstEnd: length * segments}
}

func appendFingerprints(b []byte, fingerprints []uint16) []byte {
	for _, f := range fingerprints {
		b = append(b, byte(f))
	}
	for _, f := range fingerprints {
		b = append(b, byte(f>>8))
	}
	return b
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
	fingerprint := uint16(hash ^ hash>>32)
	if byte(fingerprint)^f.low[first]^f.low[second]^f.low[third] != 0 {
		return false
	}
	return byte(fingerprint>>8)^f.high[first]^f.high[second]^f.high[third] == 0
}

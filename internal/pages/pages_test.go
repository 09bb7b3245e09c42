package pages

import (
	"bytes"
	"testing"
)

func TestAlloc(t *testing.T) {
	for _, n := range []int{0, 1, HugeBytes - 1, HugeBytes, 3*HugeBytes + 5} {
		b := Alloc[byte](n)
		if len(b) != n || bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			t.Fatalf("%d bytes: %d, or not zero", n, len(b))
		}
		for i := range b {
			b[i] = byte(i)
		}
		Prefetch(b)
		for i := range b {
			if b[i] != byte(i) {
				t.Fatalf("%d bytes: changed at %d", n, i)
			}
		}
		Free(b)
	}
}

func TestPrefetchOfPieces(t *testing.T) {
	b := Alloc[byte](256)
	for from := range b {
		Prefetch(b[from:])
	}
	Prefetch[byte](nil)
}

func TestWords(t *testing.T) {
	for _, n := range []int{3, HugeBytes / 8, HugeBytes} {
		b := Alloc[uint64](n)
		b[n-1] = 1 << 63
		if len(b) != n || b[0] != 0 || b[n-1] != 1<<63 {
			t.Error(n)
		}
		Free(b)
	}
}

package denylist

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

func digestOf(b []byte) Digest { return sha256.Sum256(b) }

// FuzzDelta reads anything as what a delta has signed: what is accepted is built of the same bytes again.
func FuzzDelta(f *testing.F) {
	for _, raw := range [][]byte{
		deltaBytes(f, 1, Digest{}),
		deltaBytes(f, 2, Digest{1}, Add(entry(f, 1, Lost, 0)), Add(entry(f, 2, Debt, 9000)), removal(f, 3)),
	} {
		f.Add(raw[:len(raw)-signatureBytes])
		f.Add(raw[:len(raw)-signatureBytes-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := parseDelta(b)
		if err != nil {
			return
		}
		again, err := BuildDelta(d.changes, d.info, d.previous, signer)
		if err != nil {
			t.Fatalf("accepted, and cannot be built: %v", err)
		}
		copy(again[atDeltaSigner:], b[atDeltaSigner:deltaHeader])
		if !bytes.Equal(again[:len(again)-signatureBytes], b) {
			t.Fatalf("%x was read, %x is written", b, again)
		}
	})
}

// FuzzBase opens anything behind a good signature and digest: no panic, and every entry is found again.
func FuzzBase(f *testing.F) {
	for _, n := range []int{0, 1, 5} {
		f.Add(build(f, spread(f, n, 2), 0, Digest{}))
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) < headerBytes {
			return
		}
		shape, err := parseShape(image)
		if err != nil {
			return
		}
		sum := digestOf(image[headerBytes:])
		copy(image[atDigest:], sum[:])
		b, err := openBody(image, shape)
		if err != nil {
			return
		}
		for i := range b.count {
			if at, found := b.find(b.hash(i)); !found || at != i {
				t.Fatalf("entry %d is found at %d", i, at)
			}
			b.Lookup(b.hash(i) + 1) // a signed filter may be wrong, never out of bounds
		}
	})
}

// FuzzReaders gives any stream to the readers.
func FuzzReaders(f *testing.F) {
	f.Add(build(f, spread(f, 3, 2), 0, Digest{}))
	f.Add(append(deltaBytes(f, 1, Digest{}), deltaBytes(f, 2, Digest{2})...))
	trust := trusted(f)
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = ReadBase(bytes.NewReader(b), trust)
		l := &List{}
		l.current.Store((&Base{}).snapshot())
		_, _ = l.ApplyLog(bytes.NewReader(b), trust)
		_, _ = CopySince(&bytes.Buffer{}, bytes.NewReader(b), 0)
	})
}

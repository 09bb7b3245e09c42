package denylist

import (
	"math/rand/v2"
	"sync"
	"testing"
)

const many = 10_000_000

// large is a base of 10⁷ entries, built once for all benchmarks.
var large = sync.OnceValues(func() ([]byte, error) {
	r := rand.New(rand.NewPCG(1, 1))
	entries := make([]Entry, many)
	for i := range entries {
		entries[i] = Entry{hash: r.Uint64(), kind: Credential, reason: Debt}
	}
	return BuildBase(entries, info(0), Digest{}, signer)
})

func largeBase(b *testing.B) *Base {
	b.Helper()
	image, err := large()
	if err != nil {
		b.Fatal(err)
	}
	return open(b, image)
}

func BenchmarkBuildFilter(b *testing.B) {
	entries := spread(b, many, 1)
	sortEntries(entries)
	for b.Loop() {
		if _, err := buildFilter(entries); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBuildBase(b *testing.B) {
	entries := spread(b, many, 1)
	for b.Loop() {
		if _, err := BuildBase(entries, info(0), Digest{}, signer); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenBase(b *testing.B) {
	image, err := large()
	if err != nil {
		b.Fatal(err)
	}
	base := open(b, image)
	for b.Loop() {
		open(b, image)
	}
	b.ReportMetric(float64(len(image))/many, "B/entry")
	b.ReportMetric(float64(base.FilterBytes())/1e6, "filter-MB")
}

func BenchmarkLookupAbsent(b *testing.B) {
	l := benchList(b)
	b.ReportAllocs()
	hash := uint64(99)
	for b.Loop() {
		hash = mix(hash + 1)
		if _, ok := l.Snapshot().Lookup(hash, today); ok {
			b.Fatal("stopped")
		}
	}
}

// BenchmarkFilter is what nearly every tap costs when no delta came yet.
func BenchmarkFilter(b *testing.B) {
	base := largeBase(b)
	b.ReportAllocs()
	hash, passed := uint64(99), 0
	for b.Loop() {
		hash = mix(hash + 1)
		if base.filter.mayContain(hash) {
			passed++
		}
	}
}

func BenchmarkLookupPresent(b *testing.B) {
	l := benchList(b)
	s := l.Snapshot()
	probes := make([]uint64, 1<<20)
	r := rand.New(rand.NewPCG(2, 2))
	for i := range probes {
		probes[i] = s.base.hash(r.IntN(many))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		if _, ok := s.Lookup(probes[i&(len(probes)-1)], today); !ok {
			b.Fatal("missed")
		}
	}
}

// benchList has a day of changes over the base.
func benchList(b *testing.B) *List {
	b.Helper()
	l, err := NewList(largeBase(b), Position{})
	if err != nil {
		b.Fatal(err)
	}
	changes := make([]Change, MaxChanges)
	for i := range changes {
		changes[i] = Add(Entry{hash: mix(uint64(i) + 1<<40), kind: Credential, reason: Debt})
	}
	if err := l.Apply(delta(b, 1, Digest{}, changes...)); err != nil {
		b.Fatal(err)
	}
	return l
}

// BenchmarkProbes looks every one of the 10⁷ entries up, and as many others: no false negative, no false stop.
func BenchmarkProbes(b *testing.B) {
	base := largeBase(b)
	for b.Loop() {
		for i := range base.Len() {
			if !base.filter.mayContain(base.hash(i)) {
				b.Fatal("false negative")
			}
		}
		passed := 0
		for i := range uint64(many) {
			if base.filter.mayContain(mix(i)) {
				if _, ok := base.Lookup(mix(i)); ok {
					b.Fatal("false stop")
				}
				passed++
			}
		}
		b.ReportMetric(float64(passed)/many*1e6, "false-positive-ppm")
	}
}

package celllog

import (
	"fmt"
	"path/filepath"
	"testing"

	"tapnet/internal/journal"
)

// BenchmarkFindName looks cells up in an order in which neighbours in number are not neighbours in time.
func BenchmarkFindName(b *testing.B) {
	for _, cells := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			l := filled(b, filepath.Join(b.TempDir(), "log"), cells)
			var c journal.Cell
			at := 0
			b.ReportAllocs()
			for b.Loop() {
				at = (at + 7_368_787) % cells
				if found, err := l.FindName(benchName(int64(at+1)), &c); !found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}

// BenchmarkPut writes back 64 cells a commit; the time is for one cell.
func BenchmarkPut(b *testing.B) {
	for _, cells := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(cells), func(b *testing.B) {
			l := filled(b, filepath.Join(b.TempDir(), "log"), cells)
			batch := make([]journal.Cell, 64)
			at, n := 0, 0
			for i := range batch {
				batch[i].Data = make([]byte, 150)
			}
			for b.Loop() {
				at = (at + 7_368_787) % cells
				batch[n].ID, batch[n].Name = int64(at+1), benchName(int64(at+1))
				if n++; n == len(batch) {
					if err := l.Put(batch, 0, l.last.last); err != nil {
						b.Fatal(err)
					}
					n = 0
				}
			}
		})
	}
}

// BenchmarkOpen opens a log of a million cells.
func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	if err := filled(b, dir, 1_000_000).Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := Open(dir)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

//go:build thirdparty && unix

package journalpg

import (
	"fmt"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalpg/postgrestest"
	"tapnet/internal/journal/journaltest"
)

// BenchmarkPostgreSQLCommit reports durable rows per second at the batch sizes a writer reaches under load.
func BenchmarkPostgreSQLCommit(b *testing.B) {
	server := postgrestest.Start(b)
	for _, size := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			s, chain, epoch := filled(b, server.DSN(), 1)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				rows := journaltest.Rows(chain, size)
				b.StartTimer()
				if err := s.Commit(b.Context(), epoch, rows, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkPostgreSQLWriteBack is a batch that writes one cell back for every four rows, as an issuer does.
func BenchmarkPostgreSQLWriteBack(b *testing.B) {
	const cells, slice = 10_000, 128
	server := postgrestest.Start(b)
	s, chain, epoch := filled(b, server.DSN(), 1)
	var back journal.Back
	prepare := func(from, n int) []journal.Row {
		rows := journaltest.Rows(chain, 4*n)
		back.Reset()
		for i := range n {
			id := (from+i)%cells + 1
			cell := back.Add(int64(id), [16]byte{byte(id), byte(id >> 8), 1}, rows[0].Seq)
			cell.Data = append(cell.Data, make([]byte, 200)...)
		}
		return rows
	}
	for from := 0; from < cells; from += 1000 {
		if err := s.Commit(b.Context(), epoch, prepare(from, 1000), &back); err != nil {
			b.Fatal(err)
		}
	}
	from := 0
	for b.Loop() {
		b.StopTimer()
		rows := prepare(from, slice)
		from += slice
		b.StartTimer()
		if err := s.Commit(b.Context(), epoch, rows, &back); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*4*slice/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkPostgreSQLLoad reports rows per second of a replay.
func BenchmarkPostgreSQLLoad(b *testing.B) {
	server := postgrestest.Start(b)
	s, chain, epoch := filled(b, server.DSN(), 1)
	for chain.Seq < 20_000 {
		if err := s.Commit(b.Context(), epoch, journaltest.Rows(chain, journal.DefaultMaxBatch), nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := s.Load(b.Context(), 0, func(*journal.Row) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(chain.Seq)/b.Elapsed().Seconds(), "rows/s")
}

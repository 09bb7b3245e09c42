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
				if err := s.Commit(b.Context(), epoch, rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkPostgreSQLLoad reports rows per second of a replay.
func BenchmarkPostgreSQLLoad(b *testing.B) {
	server := postgrestest.Start(b)
	s, chain, epoch := filled(b, server.DSN(), 1)
	for chain.Seq < 20_000 {
		if err := s.Commit(b.Context(), epoch, journaltest.Rows(chain, journal.DefaultMaxBatch)); err != nil {
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

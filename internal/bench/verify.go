package bench

import (
	"context"
	"fmt"
	"time"

	"tapnet/internal/verify"
)

// Verified is how fast the journals of a directory were verified: the median of the rounds.
type Verified struct {
	Rows      uint64  `json:"rows"`
	PerSecond float64 `json:"per_second"`
	Findings  int     `json:"findings"`
}

// Verify measures internal/verify on an existing data directory. It changes nothing there.
func Verify(ctx context.Context, o Options, dir string) (Verified, error) {
	o = o.complete()
	var found Verified
	var rates []float64
	for range o.Rounds {
		start := time.Now()
		report, err := verify.Dir(ctx, dir, verify.Options{})
		if err != nil {
			return Verified{}, fmt.Errorf("bench: %w", err)
		}
		found.Rows, found.Findings = report.Rows, report.Total
		rates = append(rates, float64(report.Rows)/time.Since(start).Seconds())
	}
	found.PerSecond = median(rates)
	return found, nil
}

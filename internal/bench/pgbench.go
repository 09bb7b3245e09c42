package bench

import (
	"errors"
	"regexp"
	"strconv"
)

// Pg is what pgbench reaches on the same file system: TPC-B, prepared statements, 32 clients, 2 threads, scale 50.
type Pg struct {
	Version   string  `json:"version"`
	PerSecond float64 `json:"per_second"`
}

var transactionsLine = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

func transactions(said string) (float64, error) {
	match := transactionsLine.FindStringSubmatch(said)
	if match == nil {
		return 0, errors.New("bench: pgbench did not say how many transactions")
	}
	return strconv.ParseFloat(match[1], 64)
}

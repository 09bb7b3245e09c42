//go:build !unix

package bench

import (
	"context"
	"errors"
)

// PgBench needs a Unix.
func PgBench(context.Context, Options) (Pg, error) {
	return Pg{}, errors.New("bench: pgbench is run on Unix systems only")
}

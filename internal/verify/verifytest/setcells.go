package verifytest

import (
	"context"

	"tapnet/internal/journal"
)

// SetCells gives a journal these cells in place of its own, and the watermark up to which they are complete.
func SetCells(ctx context.Context, dir, name string, cells []journal.Cell, watermark uint64) error {
	return rewrite(ctx, dir, name, func([]journal.Cell, uint64) ([]journal.Cell, uint64) { return cells, watermark })
}

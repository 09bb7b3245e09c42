package app

import (
	"context"
	"fmt"

	"tapnet/internal/pos"
)

// changePIN has the bank put a new PIN on the chip. The holder of a card of the world knows it from then on as everybody does: by remembering.
func (j *counterJob) changePIN(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	if j.fresh == nil {
		return fmt.Errorf("%w: a change needs the new PIN", errBadRequest)
	}
	j.took, err = j.till.core.ChangePIN(ctx, with, sale, *j.fresh)
	return err
}

// unblockPIN has the bank give the chip its tries back.
func (j *counterJob) unblockPIN(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	j.took, err = j.till.core.UnblockPIN(ctx, with, sale)
	return err
}

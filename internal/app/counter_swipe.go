package app

import (
	"context"
	"fmt"

	"tapnet/apdu"
	"tapnet/glossary"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/internal/trace"
)

// swiping are the verbs that take a stripe.
var swiping = map[POSVerb]bool{POSSale: true, POSPreAuth: true, POSBalance: true}

// checkSwipe refuses what no cashier can do with a stripe.
func (r *POSRequest) checkSwipe() error {
	switch {
	case !r.Swipe && !r.DeadChip:
		return nil
	case !r.Swipe:
		return fmt.Errorf("%w: dead chip: the card is swiped then", errBadRequest)
	case !swiping[r.Verb] || r.Insert || r.Reader != "":
		return fmt.Errorf("%w: swipe: a card of the world, for a sale, a pre-authorization or a balance", errBadRequest)
	}
	return nil
}

// swipe draws the holder's card through the reader. A chip that is dead is inserted first, as a till wants it.
func (j *counterJob) swipe(ctx context.Context, h *holder, run func(context.Context, pos.Presented, pos.Sale) error) error {
	sale := j.keyed(nil)
	if j.DeadChip {
		if err := run(ctx, pos.Presented{Entry: receipt.Contact, Reader: deadChip{}}, sale); err != nil {
			return err
		}
	}
	began, track := j.options.Clock.Now(), h.personal.Image.Applications[0].Track2
	err := run(ctx, pos.Presented{Entry: receipt.Stripe, Track: track}, sale)
	ids := []string{j.tap}
	if rrn := j.took.Answer.RRN; rrn != "" {
		ids = append(ids, "rrn:"+rrn)
	}
	j.trace.Add(trace.Record{At: began, Role: j.Merchant, Kind: trace.Screen, IDs: ids, Title: glossary.Term{
		EN: fmt.Sprintf("stripe of %s, service code %s", track.PAN().Masked(), track.ServiceCode()),
		ZH: fmt.Sprintf("磁条 %s，服务代码%s", track.PAN().Masked(), track.ServiceCode())}})
	return err
}

// deadChip is a chip that no longer answers.
type deadChip struct{}

// Transceive implements apdu.Transceiver.
func (deadChip) Transceive(context.Context, []byte) ([]byte, error) { return nil, apdu.ErrCardLost }

// plastic says of a card without a chip why no reader sees it.
func (h *holder) plastic(r *TapResult) {
	if h.personal.Product.Stripe && r.Outcome == OutcomeFailed {
		r.Why = glossary.Term{EN: "the card has a stripe and no chip", ZH: "此卡为纯磁条卡，没有芯片"}
		r.Next = glossary.Term{EN: "swipe it: tapnet pos sale --swipe", ZH: "请刷卡：tapnet pos sale --swipe"}
	}
}

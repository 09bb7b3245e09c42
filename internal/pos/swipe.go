package pos

import (
	"context"
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/pan"
	"tapnet/terminal"
)

// A stripe is copied with a reader from a flea market, so it is the last way in: the stripe of a card with a chip is refused as long as the chip can be read,
// the holder always enters the PIN, and the issuer decides. Entry modes and conditions are those of [REF 6.1]: field 22 is 02x for every stripe, and field 60.5
// says whether a chip failed before; the numbers 80 and 90 of other networks are not used here.

// fallbackWithin is how long after a chip that gave no answer the till takes a stripe in its place. It cannot know whether it is the same card's: long enough
// to turn the card round, not to serve the next customer.
const fallbackWithin = 2 * time.Minute

// The digits of a service code [ISO 7813].
const (
	serviceInternationalChip = '2' // first digit
	serviceNationalChip      = '6'
	servicePINMachines       = '3' // third digit: cash machines only
	serviceCashOnly          = '4'
)

// HasChip reports whether a stripe says that its card has a chip to be used where there is a reader for it [ISO 7813].
func HasChip(track pan.Track2) bool {
	code := track.ServiceCode()
	return code != "" && (code[0] == serviceInternationalChip || code[0] == serviceNationalChip)
}

// ForGoods reports whether a stripe says that its card pays for goods and services, not at cash machines alone [ISO 7813].
func ForGoods(track pan.Track2) bool {
	code := track.ServiceCode()
	return code != "" && code[2] != servicePINMachines && code[2] != serviceCashOnly
}

// chipFailed remembers a chip in the slot that never got as far as an application: the card's stripe may follow. A chip that answers and refuses, or is
// blocked, is no such chip.
func (t *Till) chipFailed(now time.Time, r *terminal.InsertResult) {
	reason := r.Outcome.Reason
	if r.AID == "" && (reason == contact.ReasonCardRemoved || reason == contact.ReasonCardAnswerMalformed) {
		t.mute = now
	}
}

// fallsBack reports whether a chip has just failed; only the presentation that follows may use it.
func (t *Till) fallsBack(now time.Time) bool {
	failed := t.mute
	t.mute = time.Time{}
	return !failed.IsZero() && !now.Before(failed) && now.Sub(failed) <= fallbackWithin
}

var (
	whyStripePIN = glossary.Term{EN: "a swiped card always needs its PIN", ZH: "刷卡交易须输入密码"}
	nextEnterPIN = glossary.Term{EN: "Swipe again and enter the PIN.", ZH: "请重新刷卡并输入密码。"}
)

// swiped runs a sale, a pre-authorization or an inquiry with the stripe of a card.
func (t *Till) swiped(ctx context.Context, track pan.Track2, i *insertion) (Receipt, error) {
	if t.ask == nil {
		return Receipt{}, errNoTerminal
	}
	now := i.sale.Now()
	fallback := t.fallsBack(now) && HasChip(track)
	refuse := func(why Refusal) (Receipt, error) {
		r := t.refused(i.verb, i.sale.Amount, why)
		r.Entry, r.PAN = receipt.Stripe, track.PAN()
		return r, nil
	}
	switch {
	case i.sale.OfflineOnly:
		return Receipt{End: Failed, Verb: i.verb, Entry: receipt.Stripe, Amount: i.sale.Amount, Why: noLine}, nil
	case track.IsZero():
		return refuse(RefusedStripe)
	case HasChip(track) && !fallback:
		return refuse(RefusedChip)
	case !ForGoods(track) && i.verb != VerbBalance:
		return refuse(RefusedGoods)
	}
	r := Receipt{End: PINMissing, Verb: i.verb, Entry: receipt.Stripe, Amount: i.sale.Amount, PAN: track.PAN(), Why: whyStripePIN, Next: nextEnterPIN,
		Slip: Slip{At: now.Unix()}}
	pin, entered := enterPIN(i.sale)
	if !entered {
		return r, nil
	}
	r.Slip.Verified = receipt.OnlinePIN
	r.Why, r.Next = glossary.Term{}, glossary.Term{}
	var data emv.Data
	data.Set(emv.TagTrack2, track.Packed())
	request, err := t.requestOf(record{&kernel.Outcome{Data: data}}, i.sale, i.verb, unionpay.EntryStripe, true)
	if err != nil {
		return r, fmt.Errorf("swipe: %w", err)
	}
	if fallback {
		request.Info.ICCondition = unionpay.ICConditionFallback
	}
	return t.concludeOnline(ctx, Authorize{Request: request, PIN: &pin, Slip: r.Slip}, r)
}

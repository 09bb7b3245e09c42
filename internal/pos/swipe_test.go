package pos_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/pinblock"
)

// stripe is the track of the counter's card with another service code.
func (c *counter) stripe(service string) pos.Presented {
	c.Helper()
	chip := c.host.issued.Image.Applications[0].Track2
	track, err := pan.NewTrack2(chip.PAN(), chip.Expiry(), service, chip.Discretionary())
	if err != nil {
		c.Fatal(err)
	}
	return pos.Presented{Entry: receipt.Stripe, Track: track}
}

// deadChip is a card in the slot that does not answer.
type deadChip struct{}

func (deadChip) Transceive(context.Context, []byte) ([]byte, error) { return nil, apdu.ErrCardLost }

func TestTheServiceCodeDecidesWhetherAStripePays(t *testing.T) {
	for _, s := range []struct {
		service string
		end     pos.End
		refusal pos.Refusal
	}{
		{"101", pos.ApprovedOnline, pos.NotRefused}, {"120", pos.ApprovedOnline, pos.NotRefused}, {"506", pos.ApprovedOnline, pos.NotRefused},
		{"701", pos.ApprovedOnline, pos.NotRefused},
		{"201", pos.NotBegun, pos.RefusedChip}, {"220", pos.NotBegun, pos.RefusedChip}, {"601", pos.NotBegun, pos.RefusedChip},
		{"626", pos.NotBegun, pos.RefusedChip},
		{"103", pos.NotBegun, pos.RefusedGoods}, {"504", pos.NotBegun, pos.RefusedGoods},
	} {
		c := newCounter(t, cardtest.Options{}, nil)
		r := c.must(s.end)(c.till.Sale(t.Context(), c.stripe(s.service), c.sale(100)))
		if r.Refusal != s.refusal || r.Entry != receipt.Stripe {
			t.Errorf("%s: refusal %q, entry %d", s.service, r.Refusal.Term().EN, r.Entry)
		}
		if (len(c.host.heard) > 0) != (s.end == pos.ApprovedOnline) {
			t.Errorf("%s: the host heard %d messages", s.service, len(c.host.heard))
		}
	}
}

func TestASwipeAlwaysHasItsPINAndItsWholeTrack(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	with := c.stripe("120")
	r := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), with, c.sale(100))) // far below the no-PIN limit
	m := last[*unionpay.FinancialRequest](c.host)
	if m.EntryMode != "021" || m.PINBlock == nil || m.Track2 != with.Track || m.PAN != with.Track.PAN() || m.CardSequence != "" || m.ICC.Len() != 0 {
		t.Errorf("field 22 %s, PIN block %t, track %s, sequence %q, %d chip elements", m.EntryMode, m.PINBlock != nil, m.Track2, m.CardSequence, m.ICC.Len())
	}
	if m.Info.ICCondition != unionpay.ICConditionNone || m.Expiry != with.Track.Expiry() {
		t.Errorf("field 60.5 %s, expiry %s", m.Info.ICCondition, m.Expiry)
	}
	slip := c.text(c.till.Slip(t.Context(), &r, shopSlip))
	if !strings.Contains(slip, "stripe") || !strings.Contains(slip, "PIN") || strings.Contains(slip, "ARQC") {
		t.Errorf("slip:\n%s", slip)
	}
	sale := c.sale(100)
	sale.EnterPIN = func() (pinblock.PIN, bool) { return pinblock.PIN{}, false }
	before := len(c.host.heard)
	if got := c.must(pos.PINMissing)(c.till.Sale(t.Context(), with, sale)); len(c.host.heard) != before || got.Why.ZH == "" {
		t.Error("a swipe without PIN went to the host")
	}
	sale = c.sale(100)
	sale.OfflineOnly = true
	c.must(pos.Failed)(c.till.Sale(t.Context(), with, sale))
	c.must(pos.Failed)(c.till.PreAuthorize(t.Context(), with, sale))
	c.must(pos.NotBegun)(c.till.Sale(t.Context(), pos.Presented{Entry: receipt.Stripe}, c.sale(100)))
}

func TestAStripeFollowsAChipThatFailed(t *testing.T) {
	dead := pos.Presented{Entry: receipt.Contact, Reader: deadChip{}}
	c := newCounter(t, cardtest.Options{}, nil)
	c.must(pos.Failed)(c.till.Sale(t.Context(), dead, c.sale(100)))
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.stripe("201"), c.sale(100)))
	if m := last[*unionpay.FinancialRequest](c.host); m.EntryMode != "021" || m.Info.ICCondition != unionpay.ICConditionFallback {
		t.Errorf("field 22 %s, 60.5 %s", m.EntryMode, m.Info.ICCondition)
	}
	// Once for each chip that failed, and not for long.
	c.must(pos.NotBegun)(c.till.Sale(t.Context(), c.stripe("201"), c.sale(100)))
	c.must(pos.Failed)(c.till.Sale(t.Context(), dead, c.sale(100)))
	c.Clock.Advance(3 * time.Minute)
	c.must(pos.NotBegun)(c.till.Sale(t.Context(), c.stripe("201"), c.sale(100)))
	// A chip that answers and refuses is no chip that failed.
	c.host.code = unionpay.InsufficientFunds
	if r, err := c.till.Sale(t.Context(), c.slot(), c.sale(150_000)); err != nil || r.End == pos.ApprovedOnline {
		t.Fatalf("end %d: %v", r.End, err)
	}
	c.host.code = ""
	c.must(pos.NotBegun)(c.till.Sale(t.Context(), c.stripe("201"), c.sale(100)))
	// A stripe without chip never says that a chip failed.
	c.must(pos.Failed)(c.till.Sale(t.Context(), dead, c.sale(100)))
	c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.stripe("120"), c.sale(100)))
	if m := last[*unionpay.FinancialRequest](c.host); m.Info.ICCondition != unionpay.ICConditionNone {
		t.Errorf("60.5 %s", m.Info.ICCondition)
	}
}

func TestASwipedSaleHasAnAfterlife(t *testing.T) {
	c := newCounter(t, cardtest.Options{}, nil)
	c.host.silent = func(m unionpay.Message) bool {
		_, request := m.(*unionpay.FinancialRequest)
		return request
	}
	c.must(pos.TakenBack)(c.till.Sale(t.Context(), c.stripe("120"), c.sale(700)))
	if r := last[*unionpay.ReversalRequest](c.host); r.EntryMode != "021" || !r.Track2.IsZero() || r.PINBlock != nil {
		t.Errorf("reversal: field 22 %s, track %s", r.EntryMode, r.Track2)
	}
	c.host.silent = nil
	r := c.must(pos.ApprovedOnline)(c.till.Sale(t.Context(), c.stripe("120"), c.sale(700)))
	c.must(pos.ApprovedOnline)(c.till.Void(t.Context(), of(r)))
	c.stands(r, true)
	c.NoSecrets([]pan.Number{c.stripe("120").Track.PAN()})
}

package sim

import (
	"context"

	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/money"
)

// Shares of what merchants do, in parts of a thousand.
const (
	preAuthShare = 80
	balanceShare = 30
	afterShare   = 180
)

// pastSale is something of a till that a merchant may go on with.
type pastSale struct {
	verb  pos.Verb
	of    pos.Original
	minor int64
}

// pastMost is how many a merchant keeps in mind.
const pastMost = 24

// remember keeps what was approved.
func (t *till) remember(r pos.Receipt) {
	verb := r.Verb
	if verb == 0 {
		verb = pos.VerbSale
	}
	if r.End == pos.ApprovedOffline {
		verb = pos.VerbOfflineSale
	}
	if r.End != pos.ApprovedOnline && r.End != pos.ApprovedOffline || r.Trace.IsZero() || len(sequels[verb]) == 0 {
		return
	}
	p := pastSale{verb, pos.Original{Trace: r.Trace, RRN: r.Answer.RRN, AuthCode: r.Answer.AuthCode, Date: r.Answer.LocalDate}, r.Amount.Minor()}
	if len(t.past) == pastMost {
		t.past = t.past[1:]
	}
	t.past = append(t.past, p)
}

var sequels = map[pos.Verb][]pos.Verb{
	pos.VerbSale:           {pos.VerbVoid, pos.VerbRefund},
	pos.VerbOfflineSale:    {pos.VerbOfflineRefund},
	pos.VerbPreAuth:        {pos.VerbPreAuthCancel, pos.VerbCompletion, pos.VerbCompletion, pos.VerbCompletionNote},
	pos.VerbCompletion:     {pos.VerbCompletionVoid, pos.VerbCompletionVoid, pos.VerbRefund},
	pos.VerbCompletionNote: {pos.VerbRefund},
}

// other does an errand that is neither a sale nor a load, with the card in the slot or in the field.
func (s *sale) other(sale pos.Sale) (pos.Receipt, error) {
	with := pos.Presented{Entry: receipt.Contactless}
	if s.holder.personal.Image.Applications[0].Contact != nil && s.world.random.IntN(2) == 0 {
		with.Entry, with.Reader = receipt.Contact, s.slot(s.holder)
	} else {
		sale.PresentAgain = s.presentAgain
		with.Reader = s.field(s.holder)
	}
	if s.verb == pos.VerbPreAuth {
		return s.till.core.PreAuthorize(context.Background(), with, sale)
	}
	return s.till.core.Balance(context.Background(), with, sale)
}

// goOn is a merchant who comes back to something earlier. Sometimes it is tried twice.
func (w *world) goOn() {
	t := w.freeTill()
	if t == nil || len(t.past) == 0 {
		return
	}
	at := max(w.random.IntN(len(t.past)), w.random.IntN(len(t.past))) // of the last ones rather
	p := t.past[at]
	verbs := sequels[p.verb]
	verb := verbs[w.random.IntN(len(verbs))]
	minor, part := p.minor, w.random.IntN(3)
	switch {
	case verb == pos.VerbRefund || verb == pos.VerbOfflineRefund:
		if part > 0 {
			minor = 1 + w.random.Int64N(p.minor)
		}
	case verb == pos.VerbCompletion || verb == pos.VerbCompletionNote:
		if part > 0 {
			minor = 1 + w.random.Int64N(p.minor*118/100) // now and then more than is allowed
		}
	}
	if w.random.IntN(3) > 0 && minor == p.minor {
		t.past = append(t.past[:at], t.past[at+1:]...)
	}
	troubles := w.counts.Unanswered
	t.use(func() {
		ctx, amount := context.Background(), w.money(minor)
		got, err := t.again(ctx, verb, p.of, &amount)
		switch {
		case w.over:
		case err == nil:
			t.remember(got)
			if got.End == pos.ApprovedOnline {
				w.counts.Verbs[got.Verb]++
			}
		case interrupted(err), w.counts.Unanswered > troubles:
		default:
			w.broken(err)
		}
	})
}

func (t *till) again(ctx context.Context, verb pos.Verb, of pos.Original, amount *money.Amount) (pos.Receipt, error) {
	switch verb {
	case pos.VerbVoid:
		return t.core.Void(ctx, of)
	case pos.VerbPreAuthCancel:
		return t.core.CancelPreAuth(ctx, of)
	case pos.VerbCompletion, pos.VerbCompletionNote:
		return t.core.Complete(ctx, of, amount, verb == pos.VerbCompletionNote)
	case pos.VerbCompletionVoid:
		return t.core.VoidCompletion(ctx, of)
	}
	return t.core.Refund(ctx, of, amount)
}

package pos

import (
	"context"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/terminal"
)

// Presented is what the reader reports: a card in the field, a card in the slot, a stripe, a code before the camera.
type Presented struct {
	Entry  receipt.Entry // Contactless, Contact, Stripe or QRCode
	Reader apdu.Transceiver
	Track  pan.Track2 // of the stripe, zero when it cannot be read
	Code   string     // the code's content
}

// Sale takes a payment, whatever the reader reports.
func (t *Till) Sale(ctx context.Context, with Presented, sale Sale) (Receipt, error) {
	return t.present(ctx, with, &insertion{sale: sale, verb: VerbSale})
}

// PreAuthorize holds money, for a hotel or a car.
func (t *Till) PreAuthorize(ctx context.Context, with Presented, sale Sale) (Receipt, error) {
	return t.present(ctx, with, &insertion{sale: sale, verb: VerbPreAuth})
}

// Balance asks for the account's balance. Amount only gives the currency.
func (t *Till) Balance(ctx context.Context, with Presented, sale Sale) (Receipt, error) {
	sale.Amount = money.New(0, sale.Amount.Currency())
	return t.present(ctx, with, &insertion{sale: sale, verb: VerbBalance})
}

func (t *Till) present(ctx context.Context, with Presented, i *insertion) (Receipt, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	if i.verb != VerbSale && i.sale.OfflineOnly {
		return Receipt{End: Failed, Verb: i.verb, Entry: with.Entry, Amount: i.sale.Amount, Why: noLine}, nil
	}
	switch with.Entry {
	case receipt.Contactless:
		return t.tapped(ctx, with.Reader, i.sale, i.verb)
	case receipt.Contact:
		return t.inserted(ctx, with.Reader, i)
	case receipt.Stripe:
		return t.swiped(ctx, with.Track, i)
	}
	return Receipt{End: Failed, Verb: i.verb, Entry: with.Entry, Amount: i.sale.Amount, Why: notYet}, nil
}

// Loading is a change of the chip's purse: VerbLoad, VerbLoadOther with its payer, VerbLoadCash, VerbLoadCashVoid with its original, VerbUnload.
type Loading struct {
	Verb     Verb
	Payer    *Payer
	Original Original
}

var errLoading = errors.New("pos: not a way to load a purse")

// LoadPurse changes the money on the chip in the slot, with its issuer's help [REF 5].
func (t *Till) LoadPurse(ctx context.Context, with Presented, sale Sale, how Loading) (Receipt, error) {
	_, known := purses[how.Verb]
	sound := (how.Verb == VerbLoadOther) == (how.Payer != nil) && (how.Verb == VerbLoadCashVoid) == (how.Original != Original{})
	if !known || !sound || with.Entry != receipt.Contact {
		return Receipt{}, errLoading
	}
	i := &insertion{sale: sale, verb: how.Verb, payer: how.Payer, original: how.Original}
	if how.Verb == VerbLoadCashVoid {
		p, found, err := t.recall(ctx, how.Original.Trace)
		if err != nil {
			return Receipt{}, err
		}
		if p == nil || found.Trace.Batch != found.Batch {
			return t.refused(how.Verb, sale.Amount, RefusedUnknown), nil
		}
		i.original = p.original()
		i.sale.Amount = p.request.Amount
	}
	if how.Verb == VerbUnload {
		i.sale.Amount = money.New(0, sale.Amount.Currency())
	}
	return t.present(ctx, with, i)
}

func (t *Till) refused(verb Verb, amount money.Amount, why Refusal) Receipt {
	return Receipt{End: NotBegun, Verb: verb, Amount: amount, Refusal: why, Why: why.Term(), Next: why.Next()}
}

// CashBalance reads the purses of a card, without a payment.
func (t *Till) CashBalance(ctx context.Context, with Presented) ([]terminal.CardApplication, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	reading, err := terminal.Read(ctx, with.Reader)
	if err != nil {
		return nil, fmt.Errorf("read the card: %w", err)
	}
	return reading.Applications, nil
}

// Original names what a void, a refund or a completion is about: a trace number of this batch, or what the slip of an earlier batch says.
type Original struct {
	Trace    Trace
	RRN      string
	AuthCode string
	Date     string // MMDD of the original
}

func (o Original) fill(p *unionpay.Payment) {
	if o.Trace.IsZero() {
		return
	}
	p.Original = &unionpay.Original{Batch: o.Trace.Batch, STAN: o.Trace.STAN, Date: o.Date}
	p.RRN, p.AuthCode = o.RRN, o.AuthCode
}

// original is a past transaction as a later one names it.
func (p *past) original() Original {
	return Original{Trace: p.Trace, RRN: p.reply.RRN, AuthCode: p.reply.AuthCode, Date: p.reply.LocalDate}
}

// Void takes a sale back in its batch.
func (t *Till) Void(ctx context.Context, of Original) (Receipt, error) {
	return t.after(ctx, VerbVoid, of, nil)
}

// Refund gives back all of a sale, or an amount; an offline sale's too.
func (t *Till) Refund(ctx context.Context, of Original, amount *money.Amount) (Receipt, error) {
	return t.after(ctx, VerbRefund, of, amount)
}

// CancelPreAuth lets held money go.
func (t *Till) CancelPreAuth(ctx context.Context, of Original) (Receipt, error) {
	return t.after(ctx, VerbPreAuthCancel, of, nil)
}

// Complete takes held money: all of it, or an amount up to 115 per cent. notice sends it without waiting for the issuer's word.
func (t *Till) Complete(ctx context.Context, of Original, amount *money.Amount, notice bool) (Receipt, error) {
	if notice {
		return t.after(ctx, VerbCompletionNote, of, amount)
	}
	return t.after(ctx, VerbCompletion, of, amount)
}

// VoidCompletion gives taken money back in its batch.
func (t *Till) VoidCompletion(ctx context.Context, of Original) (Receipt, error) {
	return t.after(ctx, VerbCompletionVoid, of, nil)
}

// scheme is field 63 of a refund: the card's scheme [REF 6.1].
const scheme = "CUP"

// after does a verb to an earlier transaction. The card need not be there: the till has its number in the journal.
func (t *Till) after(ctx context.Context, verb Verb, of Original, amount *money.Amount) (Receipt, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	if t.ask == nil {
		return Receipt{}, errNoTerminal
	}
	p, found, err := t.recall(ctx, of.Trace)
	if err != nil {
		return Receipt{}, err
	}
	if p == nil || of.Trace.STAN == 0 {
		return t.refused(verb, money.Amount{}, RefusedUnknown), nil
	}
	if verb == VerbRefund && p.Verb == VerbOfflineSale {
		verb = VerbOfflineRefund
	}
	sum := p.request.Amount
	if verb == VerbRefund || verb == VerbOfflineRefund {
		sum = money.New(p.Minor-p.Refunded, sum.Currency())
	}
	if amount != nil {
		sum = *amount
	}
	original := p.original()
	if p.Trace.Batch != found.Batch { // the answer is not at hand, the slip says it
		original.RRN, original.AuthCode, original.Date = of.RRN, of.AuthCode, of.Date
	}
	c := &cycles[verb]
	request := unionpay.FinancialRequest{Advice: c.advice, Authorization: c.authorize, Payment: unionpay.Payment{
		PAN: p.request.PAN, Expiry: p.request.Expiry, CardSequence: p.request.CardSequence, Processing: c.processing, Amount: sum,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryManual, false), Condition: c.condition,
		Info: unionpay.Info{MessageType: c.kind, NetworkCode: "000", ReadCapability: unionpay.ReadContactless, ICCondition: unionpay.ICConditionNone},
	}}
	original.fill(&request.Payment)
	if verb == VerbRefund || verb == VerbOfflineRefund {
		request.Reserved = scheme
	}
	r := Receipt{Verb: verb, Entry: receipt.Keyed, Amount: sum, PAN: p.request.PAN}
	if p.Trace.Batch == found.Batch && !contains(c.of, p.Verb) {
		return t.refused(verb, sum, RefusedKind), nil
	}
	return t.concludeOnline(ctx, Authorize{Request: request, Of: p.Trace, Slip: Slip{At: p.At.Unix()}}, r)
}

// Settle settles the batch with the acquirer. A nil sheet: the receipt says why not.
func (t *Till) Settle(ctx context.Context, currency money.Currency) (*Sheet, Receipt, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	r := Receipt{Verb: VerbSettlement, End: Failed}
	if t.ask == nil {
		return nil, r, errNoTerminal
	}
	id, end := t.expect()
	outcome, err := t.await(ctx, id, end, Settle{Sale: id, Currency: currency})
	if err != nil {
		return nil, r, err
	}
	if outcome.Refusal != NotRefused || outcome.Silent {
		r.learn(outcome)
		return nil, r, nil
	}
	r.End = ApprovedOnline
	return &outcome.Sheet, r, nil
}

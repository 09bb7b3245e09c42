package pos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// slipOf is what a card's data say that no message carries.
func slipOf(now time.Time, data, discretionary emv.Data, cid emv.CID) Slip {
	s := Slip{At: now.Unix(), Type: cid.String(), TSI: data.Get(emv.TagTSI)}
	if data.Len() == 0 || len(data.Get(emv.TagAC)) == 0 {
		s.Type = ""
	}
	if label, ok := discretionary.Value(emv.TagApplicationLabel); ok {
		s.Label = printable(string(label))
	}
	if aid, err := emv.ParseAID(data.Get(emv.TagDFName)); err == nil && s.Label == "" {
		if term, known := aid.Term(); known {
			s.Label = term.EN
		}
	}
	return s
}

func printable(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s))
}

func (s Slip) verified(v receipt.Verification) Slip {
	s.Verified = v
	return s
}

func (s *Slip) purse(after *money.Amount) {
	if after != nil {
		minor := after.Minor()
		s.Purse = &minor
	}
}

// Look is the command that asks for a transaction: of the batch by its trace number, of an earlier one by both, of no number the last one. The reply is Found.
type Look struct{ Trace Trace }

// Found is the reply to Look: nothing when Trace is zero.
type Found struct {
	Trace    Trace
	Batch    uint32 // that is open
	Verb     Verb
	Status   Status // 0 for one of an earlier batch: only the network knows
	Of       Trace
	At       time.Time
	Minor    int64
	Refunded int64
	Last     Sheet // the last settlement

	sealed, final, answer []byte
}

func (t *Till) look(c Look) any {
	s := t.state
	found := Found{Batch: s.batch, Last: s.last}
	wanted := c.Trace
	if wanted.STAN == 0 {
		wanted.STAN = s.newest
	}
	if wanted.Batch == 0 {
		wanted.Batch = s.batch
	}
	p := s.named(wanted)
	if p == nil && wanted.Batch != s.batch {
		p = t.archived(wanted)
	}
	if p == nil || wanted.STAN == 0 {
		return found
	}
	found.Trace, found.Verb, found.Of, found.At, found.Minor, found.Refunded = p.trace, p.verb, p.of, p.at, p.minor, p.refunded
	found.Status, found.sealed, found.final, found.answer = p.status, p.sealed, p.final, p.answer
	return found
}

// archived finds the beginning of a transaction of an earlier batch.
func (t *Till) archived(trace Trace) *payment {
	if t.state.archive == nil {
		return nil
	}
	for _, authorize := range [...]bool{false, true} {
		m := &unionpay.FinancialRequest{Authorization: authorize, Payment: unionpay.Payment{Terminal: t.deps.Terminal, STAN: trace.STAN,
			Info: unionpay.Info{Batch: trace.Batch}}}
		r, found, err := t.state.archive.FindKey(context.Background(), unionpay.TerminalKey(m))
		if err != nil || !found {
			continue
		}
		if p, err := paymentOf(r); err == nil {
			p.status = 0
			return p
		}
	}
	return nil
}

// past is a transaction as the cashier's side sees it.
type past struct {
	Found
	request *unionpay.FinancialRequest
	last    emv.Data
	slip    Slip
	reply   unionpay.Answer
}

var errNoSlip = errors.New("pos: the secure module cannot open the transaction")

// recall looks a transaction up; nil when there is none.
func (t *Till) recall(ctx context.Context, trace Trace) (*past, Found, error) {
	reply, err := t.ask(ctx, Look{trace})
	if err != nil {
		return nil, Found{}, err
	}
	found, ok := reply.(Found)
	if !ok || found.Trace.IsZero() || cycles[found.Verb].receipt == 0 {
		return nil, found, nil
	}
	p := &past{Found: found}
	m, slip, opened := t.open(found.sealed)
	if p.request, ok = m.(*unionpay.FinancialRequest); !opened || !ok {
		return nil, found, errNoSlip
	}
	p.slip, p.last = slip, p.request.ICC
	if p.reply, err = unionpay.ParseAnswer(found.answer); err != nil {
		return nil, found, err
	}
	if len(found.final) > 0 {
		last, lastSlip, opened := t.open(found.final)
		if !opened {
			return nil, found, errNoSlip
		}
		p.last, p.slip = unionpay.PaymentOf(last).ICC, lastSlip
	}
	return p, found, nil
}

// Shop is what slips say about the merchant.
type Shop struct {
	receipt.Merchant
	Acquirer  glossary.Term
	Cashier   string
	Languages []glossary.Lang // none: English
}

// Print is how a slip is wanted.
type Print struct {
	Shop   Shop
	Copy   receipt.Copy
	Issuer glossary.Term
}

// slip makes the receipt of a transaction that was begun.
func (t *Till) slip(p *past, how Print, reprint bool) (receipt.Receipt, error) {
	d := t.blank(how)
	zone := t.deps.Calendar.Zone
	if zone == nil {
		zone = time.UTC
	}
	d.Time = p.At.In(zone)
	d.Kind, d.Result, d.Reprint = cycles[p.Verb].receipt, resultOf(p.Status), reprint
	if p.Verb == VerbOfflineSale && p.Status == StatusAsked {
		d.Result = receipt.Approved // the card's word is enough
	}
	d.Card, d.Amount, d.Verification, d.Entry = p.request.PAN, p.request.Amount, p.slip.Verified, entryOf(p.request.EntryMode)
	d.Trace, d.Batch = fmt.Sprintf("%06d", p.Trace.STAN), fmt.Sprintf("%06d", p.Trace.Batch)
	d.Reference, d.AuthCode = p.reply.RRN, p.reply.AuthCode
	if p.Verb == VerbOfflineSale && p.slip.Purse == nil {
		d.Kind = receipt.Sale
	}
	if p.slip.Purse != nil {
		d.PurseBalance = money.New(*p.slip.Purse, p.request.Amount.Currency())
	}
	if b := p.reply.Balance; b != nil {
		d.Available = b.Amount
	}
	if o := p.request.Original; o != nil {
		d.Original = receipt.Original{Trace: fmt.Sprintf("%06d", o.STAN), Reference: p.request.RRN, AuthCode: p.request.AuthCode}
	}
	d.Chip = chipOf(p.last, p.slip)
	if code := p.reply.Response; code != "" && !code.Approved() {
		meaning := code.Term()
		if aid := d.Chip.AID; aid == emv.AIDElectronicCash && code == unionpay.InsufficientFunds {
			meaning = purseNote
		}
		d.Note = glossary.Term{EN: string(code) + " " + meaning.EN, ZH: string(code) + " " + meaning.ZH}
	}
	if d.Kind == 0 {
		return receipt.Receipt{}, fmt.Errorf("pos: a %s has no slip", p.Verb)
	}
	if cycles[p.Verb].receipt.Moneyless() {
		d.Amount = money.Amount{}
	}
	return receipt.New(d)
}

// purseNote is what a slip says when an issuer was asked for the money of a purse.
var purseNote = glossary.Term{EN: "this card is a purse: it pays offline only", ZH: "纯电子现金卡，仅限脱机消费"}

// blank is the head of a slip.
func (t *Till) blank(how Print) receipt.Data {
	d := receipt.Data{Copy: how.Copy, Merchant: how.Shop.Merchant, Terminal: t.deps.Terminal, Cashier: how.Shop.Cashier, Acquirer: how.Shop.Acquirer,
		Issuer: how.Issuer, Languages: how.Shop.Languages}
	if d.Merchant.Number == "" {
		d.Merchant.Number = t.deps.Merchant
	}
	if len(d.Languages) == 0 {
		d.Languages = []glossary.Lang{glossary.English}
	}
	return d
}

func resultOf(s Status) receipt.Result {
	switch s {
	case StatusAsked:
		return receipt.Pending
	case StatusRefused:
		return receipt.Declined
	case StatusTakenBack:
		return receipt.Reversed
	case StatusUnknown:
		return receipt.Uncertain
	case StatusVoided:
		return receipt.Cancelled
	}
	return receipt.Approved
}

func entryOf(m unionpay.EntryMode) receipt.Entry {
	switch m.Mode() {
	case unionpay.EntryContact:
		return receipt.Contact
	case unionpay.EntryManual:
		return receipt.Keyed
	case unionpay.EntryStripe:
		return receipt.Stripe
	case unionpay.EntryCode:
		return receipt.QRCode
	}
	return receipt.Contactless
}

// chipOf is what proves a transaction.
func chipOf(icc emv.Data, s Slip) (c receipt.Chip) {
	ac := icc.Get(emv.TagAC)
	if len(ac) != len(c.Cryptogram) {
		return c
	}
	c.Label, c.CryptogramType, c.ATC = s.Label, s.Type, counterOf(icc)
	copy(c.Cryptogram[:], ac)
	copy(c.TVR[:], icc.Get(emv.TagTVR))
	copy(c.TSI[:], s.TSI)
	c.AID, _ = emv.ParseAID(icc.Get(emv.TagDFName))
	return c
}

// Slip makes the receipt of what has just happened. A transaction that was never begun (no PIN, the card declined) has one too,
// only that it cannot be printed again.
func (t *Till) Slip(ctx context.Context, r *Receipt, how Print) (receipt.Receipt, error) {
	if r.STAN != 0 {
		p, _, err := t.recall(ctx, r.Trace)
		if err != nil {
			return receipt.Receipt{}, err
		}
		if p != nil {
			return t.slip(p, how, false)
		}
	}
	d := t.blank(how)
	d.Kind, d.Amount, d.Card, d.Entry, d.Result, d.Note = cycles[r.Verb].receipt, r.Amount, r.PAN, r.Entry, receipt.Cancelled, short(r.Why)
	if r.End == DeclinedOffline {
		d.Result = receipt.Declined
	}
	d.Time = time.Unix(r.Slip.At, 0).In(t.zone())
	d.Chip = chipOf(r.Kernel.Data, r.Slip)
	if cycles[r.Verb].receipt.Moneyless() {
		d.Amount = money.Amount{}
	}
	return receipt.New(d)
}

func (t *Till) zone() *time.Location {
	if t.deps.Calendar.Zone == nil {
		return time.UTC
	}
	return t.deps.Calendar.Zone
}

// short keeps a reason within what a slip's note may hold.
func short(why glossary.Term) glossary.Term {
	const most = 200
	cut := func(s string) string {
		if r := []rune(s); len(r) > most {
			return string(r[:most-1]) + "…"
		}
		return s
	}
	return glossary.Term{EN: cut(why.EN), ZH: cut(why.ZH)}
}

// Reprint makes a slip again, marked as a copy: of a trace number in the batch, or of the last transaction when it is zero. false: there is none.
func (t *Till) Reprint(ctx context.Context, trace Trace, how Print) (receipt.Receipt, bool, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	p, _, err := t.recall(ctx, trace)
	if err != nil || p == nil {
		return receipt.Receipt{}, false, err
	}
	slip, err := t.slip(p, how, true)
	return slip, err == nil, err
}

// SheetSlip is the slip of a settlement.
func (t *Till) SheetSlip(s Sheet, currency money.Currency, how Print) (receipt.Receipt, error) {
	d := t.blank(how)
	d.Kind, d.Time, d.Batch = receipt.Settlement, s.At.In(t.zone()), fmt.Sprintf("%06d", s.Batch)
	d.Totals = &receipt.Totals{DebitCount: s.Totals.DebitCount, CreditCount: s.Totals.CreditCount, Debit: money.New(s.Totals.Debit, currency),
		Credit: money.New(s.Totals.Credit, currency), Agreed: s.Agreed}
	return receipt.New(d)
}

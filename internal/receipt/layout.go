package receipt

import (
	"fmt"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/money"
)

// part is one line of meaning, for both renderers.
type part struct {
	form  form
	label glossary.Term
	value glossary.Term // one text for both languages has only EN
}

type form uint8

const (
	heading   form = iota // large, in the middle
	middle                // in the middle
	notice                // in the middle, stands out
	row                   // label and value
	total                 // a row that stands out
	rule                  // a line across
	signature             // a label and room to write
	code                  // a payload, as text
	small                 // text across
)

func plain(s string) glossary.Term { return glossary.Term{EN: s} }

const timeLayout = "2006-01-02 15:04:05"

// layout puts the parts in order.
func (r Receipt) layout() []part {
	d := r.data
	var parts []part
	add := func(f form, label, value glossary.Term) {
		if value != (glossary.Term{}) {
			parts = append(parts, part{f, label, value})
		}
	}
	line := func() { parts = append(parts, part{form: rule}) }
	mark := func(f form, t glossary.Term) { add(f, glossary.Term{}, t) }
	sum := func(f form, label glossary.Term, a money.Amount) {
		if !a.Currency().IsZero() {
			add(f, label, plain(a.String()))
		}
	}

	mark(heading, titleTerm)
	mark(middle, copyTerms[d.Copy])
	if d.Reprint {
		mark(notice, reprintTerm)
	}
	if d.Result != Approved {
		mark(notice, resultTerms[d.Result])
	}
	line()
	add(row, merchantTerm, d.Merchant.Name)
	add(row, merchantNoTrm, plain(d.Merchant.Number))
	add(row, addressTerm, plain(d.Merchant.Address))
	add(row, terminalTerm, plain(d.Terminal))
	add(row, cashierTerm, plain(d.Cashier))
	line()
	add(row, acquirerTerm, d.Acquirer)
	add(row, issuerTerm, d.Issuer)
	add(row, cardTerm, plain(d.Card.Masked()))
	if !d.Card.IsZero() {
		add(row, entryTerm, entryTerms[d.Entry])
	}
	add(total, kindTerm, d.Kind.Term())
	add(row, dateTerm, plain(d.Time.Format(timeLayout)))
	add(row, traceTerm, plain(d.Trace))
	add(row, batchTerm, plain(d.Batch))
	add(row, referenceTerm, plain(d.Reference))
	add(row, authTerm, plain(d.AuthCode))
	parts = d.Original.layout(parts)
	line()
	parts = append(parts, d.Totals.layout()...)
	parts = append(parts, d.figures()...)
	sum(row, purseTerm, d.PurseBalance)
	sum(total, availableTerm, d.Available)
	if d.verifies() && (d.Verification != NoVerification || !d.nothingPaid()) {
		add(row, verifiedTerm, verificationTerms[d.Verification])
	}
	parts = append(parts, d.Chip.layout()...)
	return append(parts, d.end()...)
}

// verifies: nobody is verified for a settlement, and a balance shows figures only.
func (d Data) verifies() bool { return d.Kind != Balance && d.Kind != Settlement }

// nothingPaid: what did not happen needed no verification either.
func (d Data) nothingPaid() bool {
	return d.Result == Declined || d.Result == Cancelled && d.Trace == ""
}

// layout shows what a batch adds up to, and whether the acquirer found the same.
func (t *Totals) layout() []part {
	if t == nil {
		return nil
	}
	line := func(count int64, a money.Amount) glossary.Term {
		return glossary.Term{EN: countTerm.Format(glossary.English, count, a.String()), ZH: countTerm.Format(glossary.Chinese, count, a.String())}
	}
	verdict := differTerm
	if t.Agreed {
		verdict = agreedTerm
	}
	return []part{{total, debitsTerm, line(t.DebitCount, t.Debit)}, {total, creditsTerm, line(t.CreditCount, t.Credit)}, {form: notice, value: verdict}}
}

// figures are the amount and, when there is a tip, the tip and both together. What goes back to the cardholder has a minus.
func (d Data) figures() []part {
	if d.Amount.Currency().IsZero() {
		return nil
	}
	show := func(f form, label glossary.Term, a money.Amount) part {
		sign := ""
		if d.Kind.negative() && !a.IsZero() {
			sign = "-"
		}
		return part{f, label, plain(a.Currency().Code() + " " + sign + bare(a))}
	}
	if d.Tip.Currency().IsZero() {
		return []part{show(total, amountTerm, d.Amount)}
	}
	both, err := d.sum()
	if err != nil {
		panic(fmt.Sprintf("receipt: amount and tip were added before: %v", err))
	}
	return []part{show(row, amountTerm, d.Amount), show(row, tipTerm, d.Tip), show(total, totalTerm, both)}
}

// bare is the amount with grouped digits and without the currency.
func bare(a money.Amount) string { return a.String()[len(a.Currency().Code())+1:] }

func (o Original) layout(parts []part) []part {
	if o == (Original{}) {
		return parts
	}
	parts = append(parts, part{form: rule}, part{form: middle, value: originalTerm})
	if !o.Date.IsZero() {
		parts = append(parts, part{row, dateTerm, plain(o.Date.Format(timeLayout))})
	}
	for _, p := range []part{{row, traceTerm, plain(o.Trace)}, {row, referenceTerm, plain(o.Reference)}, {row, authTerm, plain(o.AuthCode)}} {
		if p.value != (glossary.Term{}) {
			parts = append(parts, p)
		}
	}
	return parts
}

// layout shows what proves the transaction: whoever disputes it reads these values.
func (c Chip) layout() []part {
	if c == (Chip{}) {
		return nil
	}
	parts := []part{{form: rule}}
	if c.Label != "" {
		parts = append(parts, part{row, labelTerm, plain(c.Label)})
	}
	if c.AID != emv.AID("") {
		parts = append(parts, part{row, plain("AID"), plain(c.AID.String())})
	}
	parts = append(parts, part{row, plain("TVR"), plain(fmt.Sprintf("%X", c.TVR[:]))}, part{row, plain("TSI"), plain(fmt.Sprintf("%X", c.TSI[:]))},
		part{row, plain("ATC"), plain(fmt.Sprintf("%04X", c.ATC))})
	if c.CryptogramType != "" {
		parts = append(parts, part{row, plain(c.CryptogramType), plain(fmt.Sprintf("%X", c.Cryptogram[:]))})
	}
	return parts
}

// end is what stands below the figures. Only the merchant keeps a signature.
func (d Data) end() []part {
	parts := []part{{form: rule}}
	switch {
	case d.Kind.Moneyless():
	case d.Result == Declined || d.Result == Reversed:
		parts = append(parts, part{form: middle, value: notPaidTerm}, part{form: rule})
	case d.Result != Approved: // nobody signs for what is not certain
	case d.Verification.signed() && d.Copy == MerchantCopy:
		parts = append(parts, part{form: signature, label: signTerm}, part{form: small, value: agreeTerm}, part{form: rule})
	case !d.Verification.signed():
		parts = append(parts, part{form: middle, value: noSignTerm}, part{form: rule})
	}
	if d.QR != "" {
		parts = append(parts, part{form: code, label: codeTerm, value: plain(d.QR)}, part{form: rule})
	}
	if d.Note != (glossary.Term{}) {
		parts = append(parts, part{form: middle, value: d.Note})
	}
	if parts[len(parts)-1].form == rule {
		parts = parts[:len(parts)-1]
	}
	return parts
}

// languagesOf are the languages in which a term is printed: once when both texts are the same.
func (r Receipt) languagesOf(t glossary.Term) []glossary.Lang {
	languages := r.data.Languages
	if len(languages) == 2 && t.In(languages[0]) == t.In(languages[1]) {
		return languages[:1]
	}
	return languages
}

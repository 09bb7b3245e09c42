package pos

import (
	"context"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pinblock"
)

// A PIN is changed with the card in the slot: the issuer checks the old one, and its script writes the new one on the chip behind the last cryptogram
// [REF 3.4]. The account has the new PIN when the chip has it, and not before: the script notice (0620) tells the issuer, or the card's next cryptogram.

// ChangePIN has the issuer put a new PIN on the chip in the slot and on its account. Sale's EnterPIN gives the old one; its amount only gives the currency.
func (t *Till) ChangePIN(ctx context.Context, with Presented, sale Sale, fresh pinblock.PIN) (Receipt, error) {
	return t.managePIN(ctx, with, &insertion{sale: sale, verb: VerbPINChange, fresh: &fresh})
}

// UnblockPIN has the issuer give the chip in the slot its PIN tries back. Sale's EnterPIN gives the PIN that the bank knows.
func (t *Till) UnblockPIN(ctx context.Context, with Presented, sale Sale) (Receipt, error) {
	return t.managePIN(ctx, with, &insertion{sale: sale, verb: VerbPINUnblock})
}

func (t *Till) managePIN(ctx context.Context, with Presented, i *insertion) (Receipt, error) {
	i.sale.Amount = money.New(0, i.sale.Amount.Currency())
	refuse := func(why Refusal) (Receipt, error) { return t.refused(i.verb, i.sale.Amount, why), nil }
	switch {
	case with.Entry != receipt.Contact:
		return refuse(RefusedSlot)
	case i.fresh != nil && t.deps.SAM != nil:
		return refuse(RefusedPINPad)
	}
	return t.present(ctx, with, i)
}

// managesPIN: a script changes what the chip knows of the PIN, and no money moves.
func (v Verb) managesPIN() bool { return v == VerbPINChange || v == VerbPINUnblock }

// atRest is what the till keeps of a request: it has no PIN. Where the message must have one [REF 6.1], eight zeros stand in its place.
func atRest(m *unionpay.FinancialRequest) *unionpay.FinancialRequest {
	verb := verbOf(m)
	if !verb.managesPIN() {
		return m
	}
	kept := *m
	none, err := pinblock.FromBytes(make([]byte, pinBlockBytes))
	if err != nil {
		panic("pos: zeros are no block: " + err.Error())
	}
	kept.PINBlock = &none
	if verb == VerbPINChange {
		kept.NewPIN = &none
	}
	return &kept
}

const pinBlockBytes = 8

// scriptDone reads the results of scripts (DF31): whether the chip carried every command out [REF 6.1].
func scriptDone(last emv.Data) bool {
	const done = 2
	value, ok := last.Value(emv.TagScriptResults)
	return ok && len(value) > 0 && value[0]>>4 == done
}

var (
	whyPINKept = glossary.Term{EN: "the card did not take it: the old PIN stays", ZH: "卡片未接受，原密码仍有效"}
	whyPINGone = glossary.Term{EN: "the card was taken out too early: its next insertion tells the bank which PIN it has", ZH: "卡片过早拔出：下次插卡时银行即可得知以哪个密码为准"}
	nextPIN    = glossary.Term{EN: "Insert the card again and leave it in until the end.", ZH: "请重新插卡，完成前勿拔卡。"}
)

// pinWord is what a card made of an approved change of its PIN.
func (i *insertion) pinWord(o *contact.Outcome) CardEnd {
	r := &i.receipt
	switch {
	case o.Kind == kernel.Approved && scriptDone(o.Data):
		r.End = ApprovedOnline
		return CardFollowed
	case o.Kind == kernel.Approved && o.Uncertain:
		r.End, r.Why, r.Next = NotKnown, whyPINGone, nextPIN
		return CardGone
	case o.Kind == kernel.Approved:
		r.End, r.Why, r.Next = DeclinedOffline, whyPINKept, nextPIN
		return CardKeptOld
	}
	r.End = TakenBack
	return CardDeclined
}

package pos

import (
	"context"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/terminal"
	"tapnet/tlv"
)

// Inserter is a terminal with a slot.
type Inserter interface {
	Insert(ctx context.Context, reader apdu.Transceiver, r terminal.InsertRequest, people terminal.People) (terminal.InsertResult, error)
	Settle(ctx context.Context, reader apdu.Transceiver, u *terminal.Unsettled) (terminal.InsertResult, error)
}

// Payer is the card whose account pays for a load of another one. Its PIN is asked for.
type Payer struct {
	PAN    pan.Number
	Expiry pan.Expiry
}

// purses are the verbs about the chip's purse.
var purses = map[Verb]contact.PurseOperation{
	VerbLoad: contact.PurseLoad, VerbLoadOther: contact.PurseLoadFromAnother, VerbLoadCash: contact.PurseCashLoad, VerbLoadCashVoid: contact.PurseCashLoadVoid,
	VerbUnload: contact.PurseUnload,
}

// insertion is one dialogue with a card in the slot.
type insertion struct {
	till     *Till
	sale     Sale
	verb     Verb
	original Original
	payer    *Payer
	fresh    *pinblock.PIN // the new one
	receipt  Receipt
	pin      *pinblock.PIN
	noPIN    bool // asked for, and none was entered
	asked    bool // the acquirer was
	approved bool
	outcome  Outcome
}

// inserted runs a verb with a card in the slot.
func (t *Till) inserted(ctx context.Context, reader apdu.Transceiver, i *insertion) (Receipt, error) {
	slot, ok := t.tap.(Inserter)
	if t.ask == nil || !ok {
		return Receipt{}, errors.New("pos: the till's terminal has no slot or is not attached")
	}
	i.till = t
	i.receipt = Receipt{End: Failed, Verb: i.verb, Entry: receipt.Contact, Amount: i.sale.Amount}
	request := terminal.InsertRequest{
		Request: terminal.Request{Amount: i.sale.Amount, Other: money.New(0, i.sale.Amount.Currency()), Type: typeOf(i.verb), Now: i.sale.Now(),
			OfflineOnly: i.sale.OfflineOnly, Counter: t.counter()},
		Purse: purses[i.verb], ForceOnline: i.sale.ForceOnline || i.verb == VerbPreAuth || i.verb == VerbBalance || i.verb.managesPIN(),
	}
	result, surprise := slot.Insert(ctx, reader, request, terminal.People{Online: i.online, PIN: i.enter, Choose: i.sale.Choose, Document: i.sale.Document})
	for result.Unsettled != nil && i.sale.PresentAgain != nil {
		again := i.sale.PresentAgain()
		if again == nil {
			break
		}
		settled, err := slot.Settle(ctx, again, result.Unsettled)
		if err != nil {
			surprise = errors.Join(surprise, err)
			break
		}
		settled.Outcome.Data = settledResults(result.Outcome.Data, settled.Outcome.Kind == kernel.Approved)
		result = settled
	}
	t.chipFailed(i.sale.Now(), &result)
	err := i.conclude(ctx, &result.Outcome)
	if err = errors.Join(surprise, err); err != nil {
		return i.receipt, fmt.Errorf("card in the slot: %w", err)
	}
	return i.receipt, nil
}

// enter answers the dialogue's question for a PIN.
func (i *insertion) enter(_ context.Context, q contact.PINRequest) (contact.Event, error) {
	var pin pinblock.PIN
	ok := false
	switch {
	case q.Wrong && i.sale.PINAgain != nil:
		pin, ok = i.sale.PINAgain(q.TriesLeft)
	case !q.Wrong:
		pin, ok = enterPIN(i.sale)
	}
	if !ok {
		i.noPIN = !q.Wrong
		return contact.Cancelled{}, nil
	}
	if q.Online {
		i.pin = &pin
		i.receipt.Slip.Verified = receipt.OnlinePIN
		return contact.PINEntered{}, nil
	}
	i.receipt.Slip.Verified = receipt.OfflinePIN
	return contact.PINEntered{PIN: pin}, nil
}

// online asks the acquirer for the dialogue.
func (i *insertion) online(ctx context.Context, q contact.Online) (*contact.HostAnswer, error) {
	data := record{&kernel.Outcome{Data: q.Data}}
	track, _ := data.Track2()
	if i.pin == nil && i.wantsPIN(track) {
		pin, ok := enterPIN(i.sale)
		if !ok {
			i.noPIN = true
			return nil, nil //nolint:nilnil // no answer: nobody was asked
		}
		i.pin = &pin
		i.receipt.Slip.Verified = receipt.OnlinePIN
	}
	request, err := i.till.requestOf(data, i.sale, i.verb, unionpay.EntryContact, i.pin != nil)
	if err != nil {
		return nil, err
	}
	if amount, err := money.FromBCD(q.Data.Get(emv.TagAmount), i.sale.Amount.Currency()); err == nil && i.verb == VerbUnload {
		request.Amount, i.receipt.Amount = amount, amount // everything there is
	}
	i.original.fill(&request.Payment)
	if i.payer != nil {
		request.Additional = unionpay.NewLoadTarget(request.PAN)
		request.PAN, request.Expiry, request.Track2 = i.payer.PAN, i.payer.Expiry, emptyTrack // field 23 stays that of the chip, whose cryptogram it is
	}
	i.asked = true
	i.receipt.Slip = slipOf(i.sale.Now(), q.Data, emv.Data{}, emv.ARQC).verified(i.receipt.Slip.Verified)
	i.outcome, err = i.till.send(ctx, Authorize{Request: request, PIN: i.pin, NewPIN: i.fresh, Dialogue: i.verb != VerbBalance, Of: i.original.Trace,
		Slip: i.receipt.Slip})
	if err != nil {
		i.asked = false
		return nil, err
	}
	i.receipt.learn(i.outcome)
	i.receipt.PINEntered = i.pin != nil
	answer := i.outcome.Answer
	if len(answer.Response) != 2 {
		return nil, nil //nolint:nilnil // no answer came
	}
	i.approved = answer.Response.Approved()
	return hostAnswer(answer), nil
}

// wantsPIN: the issuer is asked with the PIN, whatever the card has said of it.
func (i *insertion) wantsPIN(track pan.Track2) bool {
	return i.sale.AskPIN || i.payer != nil || i.verb == VerbBalance || i.verb.managesPIN() || i.verb == VerbSale && AlwaysPIN(track, i.till.excluded())
}

// hostAnswer is an answer as the dialogue takes it.
func hostAnswer(answer unionpay.Answer) *contact.HostAnswer {
	h := &contact.HostAnswer{ARC: [2]byte{answer.Response[0], answer.Response[1]}, Approved: answer.Response.Approved(), Code: answer.AuthCode,
		IssuerAuth: answer.ICC.Get(emv.TagIssuerAuthData)}
	for _, tag := range [...]tagNumber{emv.TagScript1, emv.TagScript2} {
		if value, ok := answer.ICC.Value(tag); ok {
			h.Scripts = tlv.Append(h.Scripts, tag, value)
		}
	}
	return h
}

// conclude takes the end of a dialogue over.
func (i *insertion) conclude(ctx context.Context, o *contact.Outcome) error {
	r := &i.receipt
	r.Contact, r.Why, r.Next = o, joined(o.Reason.Term(), o.Detail), o.Reason.Next()
	r.Kernel = kernel.Outcome{Kind: o.Kind, Data: o.Data, Discretionary: o.Discretionary, Cryptogram: o.Cryptogram, ODA: o.ODA}
	r.PAN, _ = o.PAN()
	r.CashBefore, r.CashAfter = o.BalanceBefore, o.BalanceAfter
	verified := r.Slip.Verified
	if o.Signature {
		verified = receipt.Signature
		if i.receipt.Slip.Verified == receipt.OnlinePIN || i.receipt.Slip.Verified == receipt.OfflinePIN {
			verified = receipt.PINAndSignature
		}
	}
	r.Slip = slipOf(i.sale.Now(), o.Data, o.Discretionary, o.Cryptogram).verified(verified)
	r.Slip.TSI = o.TSI[:]
	r.Slip.purse(r.CashAfter)
	switch {
	case i.asked && i.approved && i.verb == VerbBalance:
		return i.report(ctx, o)
	case i.asked && i.approved:
		return i.cardsWord(ctx, o)
	case o.Kind == kernel.Approved && i.verb == VerbSale: // the card and the terminal approved by themselves
		receipt, err := i.till.offline(ctx, i.sale, *r)
		i.receipt = receipt
		return err
	case i.asked:
		return i.report(ctx, o)
	case i.noPIN:
		r.End = PINMissing
	case o.Kind == kernel.Declined:
		r.End = DeclinedOffline
	}
	return nil
}

// cardsWord tells the core what the card made of an approval.
func (i *insertion) cardsWord(ctx context.Context, o *contact.Outcome) error {
	end := CardDeclined
	switch {
	case o.Kind == kernel.Approved:
		end = CardFollowed
	case o.Uncertain && i.verb.isLoad():
		end = CardGone
	}
	i.receipt.End = ApprovedOnline
	switch {
	case i.verb.managesPIN():
		end = i.pinWord(o)
	case end == CardGone:
		i.receipt.End = NotKnown
	case end == CardDeclined && i.verb.isLoad():
		i.receipt.End = DeclinedOffline
	case end == CardDeclined:
		i.receipt.End = TakenBack
	}
	_, err := i.till.ask(ctx, Conclude{Trace: i.receipt.Trace, End: end, Last: o.Data, Slip: i.receipt.Slip})
	return err
}

// report tells the core what became of scripts that came with a refusal.
func (i *insertion) report(ctx context.Context, o *contact.Outcome) error {
	if _, scripts := o.Data.Value(emv.TagScriptResults); !scripts || i.receipt.STAN == 0 {
		return nil
	}
	_, err := i.till.ask(ctx, Conclude{Trace: i.receipt.Trace, End: CardDeclined, Last: o.Data, Slip: i.receipt.Slip})
	return err
}

// noLine is the answer to what only the issuer can decide.
var noLine = glossary.Term{EN: "this needs a line to the acquirer, and the till has none", ZH: "此交易须联机，本终端无线路"}

// notYet is the answer to a code: the menu has its place.
var notYet = glossary.Term{EN: "this till does not take codes yet", ZH: "本终端暂不支持扫码"}

// settledResults are the results of scripts (DF31) as the card that was presented again shows them to be: the first ones were given without its answer.
func settledResults(data emv.Data, followed bool) emv.Data {
	const resultBytes, done, failed = 5, 0x20, 0x11
	value, ok := data.Value(emv.TagScriptResults)
	if !ok || len(value) != resultBytes {
		return data
	}
	told := append([]byte{failed}, value[1:]...)
	if followed {
		told[0] = done
	}
	data = data.Clone()
	data.Set(emv.TagScriptResults, told)
	return data
}

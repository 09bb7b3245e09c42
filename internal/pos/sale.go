package pos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/terminal"
)

// Tapper is the terminal of the till.
type Tapper interface {
	Tap(ctx context.Context, reader apdu.Transceiver, r terminal.Request) (terminal.Result, error)
	Retap(ctx context.Context, reader apdu.Transceiver, torn *terminal.Torn, now time.Time) (terminal.Result, error)
}

// Sale is what the cashier keys in. EnterPIN is asked when a PIN is needed; nil, or false, means that none is entered.
type Sale struct {
	Amount      money.Amount
	Now         func() time.Time // the time at the till; asked again for every presentation of the card
	OfflineOnly bool             // the till has no line to the acquirer
	AskPIN      bool             // the cashier asks for the PIN whatever the amount
	EnterPIN    func() (pinblock.PIN, bool)
	// PresentAgain is asked as long as a torn payment is open: the card that comes, or nil when none does.
	PresentAgain func() apdu.Transceiver
}

// End says how a sale ended.
type End uint8

// The ends of a sale.
const (
	Failed          End = iota + 1 // no payment was made
	ApprovedOffline                // by the card; uploaded later
	ApprovedOnline                 // by the issuer
	DeclinedOffline                // by the card or the terminal
	DeclinedOnline                 // by the network
	TakenBack                      // no answer in time: reversed
	PINMissing                     // the terminal asked for a PIN and got none
)

// Receipt is what the till knows of a sale.
type Receipt struct {
	End         End
	Amount      money.Amount
	PAN         pan.Number // masks itself
	Kernel      kernel.Outcome
	Code        unionpay.ResponseCode
	Answer      unionpay.Answer
	STAN        uint32
	PINEntered  bool
	PINSkipped  bool // the kernel asked for a PIN and the small-amount rule took it back
	TornAndMade bool // the card left and came back: paid once
	Why         glossary.Term
	Next        glossary.Term
}

// asker submits a command to the till's writer and waits for the reply.
type asker func(ctx context.Context, command any) (any, error)

// Attach connects the till to the writer that runs it. It is called once, before the first sale.
func (t *Till) Attach(ask func(ctx context.Context, command any) (any, error)) { t.ask = ask }

// Sell runs one sale with a card in the field. The error is a surprise; whatever card, terminal and network decide is in the receipt.
func (t *Till) Sell(ctx context.Context, reader apdu.Transceiver, sale Sale) (Receipt, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	if t.ask == nil || t.deps.Tap == nil {
		return Receipt{}, errors.New("pos: the till has no terminal or is not attached")
	}
	result, err := t.deps.Tap.Tap(ctx, reader, terminal.Request{
		Amount: sale.Amount, Other: money.New(0, sale.Amount.Currency()), Now: sale.Now(), OfflineOnly: sale.OfflineOnly, Counter: t.counter(),
	})
	if err != nil {
		return Receipt{}, fmt.Errorf("tap: %w", err)
	}
	torn := result.Torn != nil
	// The same card settles a torn payment; another one is sent away and the payment stays open [REF 2.5].
	for result.Torn != nil && sale.PresentAgain != nil {
		again := sale.PresentAgain()
		if again == nil {
			break
		}
		if result, err = t.deps.Tap.Retap(ctx, again, result.Torn, sale.Now()); err != nil {
			return Receipt{}, fmt.Errorf("tap again: %w", err)
		}
	}
	receipt, err := t.conclude(ctx, sale, result.Outcome)
	receipt.TornAndMade = torn && receipt.End == ApprovedOffline
	return receipt, err
}

// counter numbers the taps of this process for tag 9F41.
func (t *Till) counter() uint32 {
	t.taps++
	return t.taps
}

// conclude carries a kernel's outcome on.
func (t *Till) conclude(ctx context.Context, sale Sale, outcome kernel.Outcome) (Receipt, error) {
	r := Receipt{End: Failed, Amount: sale.Amount, Kernel: outcome, Why: why(outcome), Next: outcome.Reason.Next()}
	r.PAN, _ = outcome.PAN()
	switch outcome.Kind {
	case kernel.OnlineRequest:
		return t.online(ctx, sale, r)
	case kernel.Approved:
		return t.offline(ctx, sale, r)
	case kernel.Declined:
		r.End = DeclinedOffline
	}
	return r, nil
}

// why joins the reason of an outcome with its detail.
func why(o kernel.Outcome) glossary.Term {
	reason := o.Reason.Term()
	if o.Detail.EN == "" {
		return reason
	}
	return glossary.Term{EN: reason.EN + ": " + o.Detail.EN, ZH: reason.ZH + "：" + o.Detail.ZH}
}

// SkipsPIN is the small-amount rule: an online PIN that the kernel asked for is skipped up to the no-PIN limit [REF 6.3]. The issuer checks it again.
func SkipsPIN(amount, limit money.Amount) bool {
	return amount.Currency() == limit.Currency() && amount.Minor() <= limit.Minor()
}

func (t *Till) online(ctx context.Context, sale Sale, r Receipt) (Receipt, error) {
	var pin *pinblock.PIN
	if sale.AskPIN || r.Kernel.CVM == kernel.CVMOnlinePIN {
		r.PINSkipped = !sale.AskPIN && SkipsPIN(sale.Amount, t.deps.NoPINLimit)
		if !r.PINSkipped {
			entered, ok := enterPIN(sale)
			if !ok {
				r.End = PINMissing
				r.Why = glossary.Term{
					EN: fmt.Sprintf("%s is above the no-PIN limit of %s; the card asked for the online PIN (CTQ byte 1 bit 8)", sale.Amount, t.deps.NoPINLimit),
					ZH: fmt.Sprintf("%s 超过免密限额 %s；卡片要求联机密码（CTQ 字节1 位8）", sale.Amount, t.deps.NoPINLimit),
				}
				return r, nil
			}
			pin = &entered
		}
	}
	return t.authorizeSale(ctx, sale, r, pin)
}

func enterPIN(sale Sale) (pinblock.PIN, bool) {
	if sale.EnterPIN == nil {
		return pinblock.PIN{}, false
	}
	return sale.EnterPIN()
}

// authorizeSale asks the acquirer and waits for the end: an answer, or the time-out that the core decides.
func (t *Till) authorizeSale(ctx context.Context, sale Sale, r Receipt, pin *pinblock.PIN) (Receipt, error) {
	request, err := t.requestOf(r.Kernel, sale, pin != nil)
	if err != nil {
		return r, err
	}
	outcome, err := t.Send(ctx, request, pin)
	if err != nil {
		return r, err
	}
	r.PINEntered, r.STAN, r.Answer, r.Code = pin != nil, outcome.STAN, outcome.Answer, outcome.Answer.Response
	switch {
	case outcome.Reversed:
		r.End, r.Code = TakenBack, unionpay.ReasonTimeout
	case outcome.Answer.Response.Approved():
		r.End = ApprovedOnline
	default:
		r.End = DeclinedOnline
	}
	return r, nil
}

// Send asks the acquirer for a payment and waits for its end. The till numbers the request.
func (t *Till) Send(ctx context.Context, request unionpay.FinancialRequest, pin *pinblock.PIN) (Outcome, error) {
	id, end := t.expect()
	if _, err := t.ask(ctx, Authorize{Sale: id, Request: request, PIN: pin}); err != nil {
		t.forget(id)
		return Outcome{}, err
	}
	select {
	case outcome := <-end:
		if outcome.Failed {
			return outcome, errors.New("pos: the secure module could not prepare the request")
		}
		return outcome, nil
	case <-ctx.Done():
		t.forget(id)
		return Outcome{}, fmt.Errorf("wait for the answer: %w", ctx.Err())
	}
}

// expect registers a sale whose end the core will tell.
func (t *Till) expect() (uint64, <-chan Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sales++
	end := make(chan Outcome, 1)
	t.waiting[t.sales] = end
	return t.sales, end
}

func (t *Till) forget(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.waiting, id)
}

// offline makes a payment durable that the card has approved, before the goods change hands.
func (t *Till) offline(ctx context.Context, sale Sale, r Receipt) (Receipt, error) {
	request, err := t.requestOf(r.Kernel, sale, false)
	if err != nil {
		return r, err
	}
	request.Info.MessageType = unionpay.KindOfflineUpload
	request.Reserved = "CUP"
	reply, err := t.ask(ctx, Store{Request: request})
	if err != nil {
		return r, err
	}
	if stored, ok := reply.(Stored); ok {
		r.STAN = stored.STAN
	}
	r.End = ApprovedOffline
	return r, nil
}

// onlineTags is field 55 of a request, in the order seen in the field [REF 6.1].
var onlineTags = []tagNumber{
	emv.TagAC, emv.TagCID, emv.TagIAD, emv.TagUnpredictableNumber, emv.TagATC, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount,
	emv.TagCurrency, emv.TagAIP, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities, emv.TagCVMResults, emv.TagTerminalType,
	emv.TagDeviceSerial, emv.TagDFName, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagCardProduct, emv.TagECAuthCode,
}

// requestOf builds the request of a sale from what the kernel collected.
func (t *Till) requestOf(outcome kernel.Outcome, sale Sale, pinEntered bool) (unionpay.FinancialRequest, error) {
	number, ok := outcome.PAN()
	if !ok {
		return unionpay.FinancialRequest{}, errors.New("pos: the kernel gave no card number")
	}
	p := unionpay.Payment{
		PAN: number, Processing: unionpay.ProcessingSale, Amount: sale.Amount, EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, pinEntered),
		Condition: unionpay.ConditionNormal,
		Info: unionpay.Info{MessageType: unionpay.KindSale, NetworkCode: "000", ReadCapability: unionpay.ReadContactless,
			ICCondition: unionpay.ICConditionNone},
	}
	p.Expiry, _ = outcome.Expiry()
	p.Track2, _ = outcome.Track2()
	if sequence := outcome.Sequence(); sequence != "" {
		p.CardSequence = "0" + sequence
	}
	if pinEntered {
		p.PINCapture, p.Security = "12", securityPIN
	}
	for _, tag := range onlineTags {
		if value, ok := outcome.Data.Value(tag); ok {
			p.ICC.Set(tag, value)
		}
	}
	return unionpay.FinancialRequest{Payment: p}, nil
}

// securityPIN is field 53: PIN block with account number, triple DES [REF 6.1].
const securityPIN = "2600000000000000"

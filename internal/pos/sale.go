package pos

import (
	"context"
	"errors"
	"fmt"
	"time"

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
)

// Tapper is the terminal of the till. One that is an Inserter too has a slot.
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

	// The rest concerns the slot. Each may be nil: then nobody is there to answer.
	ForceOnline bool // the cashier wants the issuer's word
	// PINAgain is asked when the card said that a PIN was wrong; nil: the holder gives up, so that no try is wasted.
	PINAgain func(triesLeft int) (pinblock.PIN, bool)
	Choose   func(context.Context, contact.Choice) (index int, ok bool, err error)
	Document func(context.Context, contact.Document) (matches bool, err error)
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
	TakenBack                      // no answer in time, or the card did not follow: reversed
	PINMissing                     // the terminal asked for a PIN and got none
	NotBegun                       // the till refuses: see Refusal
	Underway                       // repeated until it has arrived
	Unanswered                     // an inquiry without an answer
	NotKnown                       // only the card and its issuer know whether the purse changed
)

// Receipt is what the till knows of a transaction.
type Receipt struct {
	End         End
	Verb        Verb
	Entry       receipt.Entry
	Trace       Trace
	Amount      money.Amount
	PAN         pan.Number // masks itself
	Kernel      kernel.Outcome
	Contact     *contact.Outcome // of the slot
	Code        unionpay.ResponseCode
	Answer      unionpay.Answer
	STAN        uint32
	Refusal     Refusal
	PINEntered  bool
	PINSkipped  bool // the kernel asked for a PIN and the small-amount rule took it back
	TornAndMade bool // the card left and came back: paid once
	CashBefore  *money.Amount
	CashAfter   *money.Amount // of the purse
	Why         glossary.Term
	Next        glossary.Term
	Slip        Slip
}

// Application is the application that was used, empty when the card named none.
func (r *Receipt) Application() emv.AID {
	aid, err := emv.ParseAID(r.Kernel.Data.Get(emv.TagDFName))
	if err != nil {
		return ""
	}
	return aid
}

// asker submits a command to the till's writer and waits for the reply.
type asker func(ctx context.Context, command any) (any, error)

// Attach connects the till to the writer that runs it. It is called once, before the first sale.
func (t *Till) Attach(ask func(ctx context.Context, command any) (any, error)) { t.ask = ask }

var errNoTerminal = errors.New("pos: the till has no terminal or is not attached")

// Sell runs one sale with a card in the field. The error is a surprise; whatever card, terminal and network decide is in the receipt.
func (t *Till) Sell(ctx context.Context, reader apdu.Transceiver, sale Sale) (Receipt, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	return t.tapped(ctx, reader, sale, VerbSale)
}

// tapped runs a sale, a pre-authorization or an inquiry with a card in the field.
func (t *Till) tapped(ctx context.Context, reader apdu.Transceiver, sale Sale, verb Verb) (Receipt, error) {
	if t.ask == nil || t.tap == nil {
		return Receipt{}, errNoTerminal
	}
	result, err := t.tap.Tap(ctx, reader, terminal.Request{
		Amount: sale.Amount, Other: money.New(0, sale.Amount.Currency()), Type: typeOf(verb), Now: sale.Now(), OfflineOnly: sale.OfflineOnly,
		AskIssuer: sale.ForceOnline || verb != VerbSale, Counter: t.counter(),
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
		if result, err = t.tap.Retap(ctx, again, result.Torn, sale.Now()); err != nil {
			return Receipt{}, fmt.Errorf("tap again: %w", err)
		}
	}
	got, err := t.kernelEnded(ctx, sale, verb, result.Outcome)
	got.TornAndMade = torn && got.End == ApprovedOffline
	return got, err
}

// typeOf is tag 9C of a verb: the first two digits of its processing code [ISO 8583:1987].
func typeOf(v Verb) byte {
	code := cycles[v].processing
	return (code[0]-'0')<<4 | (code[1] - '0')
}

// counter numbers the taps of this process for tag 9F41.
func (t *Till) counter() uint32 {
	t.taps++
	return t.taps
}

// kernelEnded carries a kernel's outcome on.
func (t *Till) kernelEnded(ctx context.Context, sale Sale, verb Verb, outcome kernel.Outcome) (Receipt, error) {
	r := Receipt{End: Failed, Verb: verb, Entry: receipt.Contactless, Amount: sale.Amount, Kernel: outcome, Why: why(outcome), Next: outcome.Reason.Next()}
	r.PAN, _ = outcome.PAN()
	r.Slip = slipOf(sale.Now(), outcome.Data, outcome.Discretionary, outcome.Cryptogram)
	switch outcome.CVM {
	case kernel.CVMSignature:
		r.Slip.Verified = receipt.Signature
	case kernel.CVMConfirmationCode:
		r.Slip.Verified = receipt.OnDevice
	}
	switch outcome.Kind {
	case kernel.OnlineRequest:
		return t.online(ctx, sale, r)
	case kernel.Approved:
		if verb != VerbSale { // money that is only held cannot come out of a purse
			return r, nil
		}
		return t.offline(ctx, sale, r)
	case kernel.Declined:
		r.End = DeclinedOffline
	}
	return r, nil
}

// why joins the reason of an outcome with its detail.
func why(o kernel.Outcome) glossary.Term { return joined(o.Reason.Term(), o.Detail) }

func joined(reason, detail glossary.Term) glossary.Term {
	if detail.EN == "" {
		return reason
	}
	return glossary.Term{EN: reason.EN + ": " + detail.EN, ZH: reason.ZH + "：" + detail.ZH}
}

// SkipsPIN is the small-amount rule: an online PIN that the kernel asked for is skipped up to the no-PIN limit [REF 6.3]. The issuer checks it again.
func SkipsPIN(amount, limit money.Amount) bool {
	return amount.Currency() == limit.Currency() && amount.Minor() <= limit.Minor()
}

// AlwaysPIN reports whether a card wants its PIN whatever the amount: its service code says "PIN required" [ISO 7813], or it is of a product that the
// acquirer's parameters exclude from the small-amount rule (BIN blacklist C [REF 6.3]).
func AlwaysPIN(track pan.Track2, excluded []string) bool {
	const atAnyService, atMachines, forGoods = '0', '3', '5' // third digit
	if code := track.ServiceCode(); len(code) == 3 && (code[2] == atAnyService || code[2] == atMachines || code[2] == forGoods) {
		return true
	}
	for _, prefix := range excluded {
		if !track.IsZero() && track.PAN().HasPrefix(prefix) {
			return true
		}
	}
	return false
}

// noPINLimit is the amount up to which no PIN is asked.
func (t *Till) noPINLimit() money.Amount {
	if t.active != nil && t.active.NoPINLimit != nil {
		return *t.active.NoPINLimit
	}
	return t.deps.NoPINLimit
}

func (t *Till) excluded() []string {
	if t.active == nil {
		return nil
	}
	return t.active.AlwaysPIN
}

func (t *Till) online(ctx context.Context, sale Sale, r Receipt) (Receipt, error) {
	var pin *pinblock.PIN
	track, _ := r.Kernel.Track2()
	always := AlwaysPIN(track, t.excluded())
	if sale.AskPIN || always || r.Verb == VerbBalance || r.Kernel.CVM == kernel.CVMOnlinePIN {
		limit := t.noPINLimit()
		r.PINSkipped = !sale.AskPIN && !always && (r.Verb == VerbSale || r.Verb == VerbPreAuth) && SkipsPIN(sale.Amount, limit)
		if !r.PINSkipped {
			entered, ok := enterPIN(sale)
			if !ok {
				return t.withoutPIN(r, always, limit), nil
			}
			pin = &entered
			r.Slip.Verified = withPIN(r.Slip.Verified)
		}
	}
	r.Slip.Skipped = r.PINSkipped
	request, err := t.requestOf(record{&r.Kernel}, sale, r.Verb, unionpay.EntryContactless, pin != nil)
	if err != nil {
		return r, err
	}
	return t.concludeOnline(ctx, Authorize{Request: request, PIN: pin, Slip: r.Slip}, r)
}

func withPIN(v receipt.Verification) receipt.Verification {
	if v == receipt.Signature {
		return receipt.PINAndSignature
	}
	return receipt.OnlinePIN
}

func (t *Till) withoutPIN(r Receipt, always bool, limit money.Amount) Receipt {
	r.End = PINMissing
	switch {
	case always:
		r.Why = glossary.Term{EN: "this card always needs its PIN", ZH: "此卡始终凭密码交易"}
	case r.Verb == VerbBalance:
		r.Why = glossary.Term{EN: "a balance inquiry needs the PIN", ZH: "余额查询需输入密码"}
	default:
		r.Why = glossary.Term{
			EN: fmt.Sprintf("%s is above the no-PIN limit of %s; the card asked for the online PIN (CTQ byte 1 bit 8)", r.Amount, limit),
			ZH: fmt.Sprintf("%s 超过免密限额 %s；卡片要求联机密码（CTQ 字节1 位8）", r.Amount, limit),
		}
	}
	return r
}

func enterPIN(sale Sale) (pinblock.PIN, bool) {
	if sale.EnterPIN == nil {
		return pinblock.PIN{}, false
	}
	return sale.EnterPIN()
}

// concludeOnline asks the acquirer and waits for the end: an answer, or the time-out that the core decides.
func (t *Till) concludeOnline(ctx context.Context, c Authorize, r Receipt) (Receipt, error) {
	outcome, err := t.send(ctx, c)
	if err != nil {
		return r, err
	}
	r.PINEntered = c.PIN != nil
	r.learn(outcome)
	return r, nil
}

// learn takes over what the network said.
func (r *Receipt) learn(o Outcome) {
	r.STAN, r.Trace, r.Answer, r.Code, r.Refusal = o.STAN, Trace{o.Batch, o.STAN}, o.Answer, o.Answer.Response, o.Refusal
	switch {
	case o.Refusal != NotRefused:
		r.End, r.Why, r.Next = NotBegun, o.Refusal.Term(), o.Refusal.Next()
	case o.Reversed:
		r.End, r.Code = TakenBack, unionpay.ReasonTimeout
	case o.Underway:
		r.End = Underway
	case o.Silent:
		r.End = Unanswered
	case o.Answer.Response.Approved():
		r.End = ApprovedOnline
	default:
		r.End = DeclinedOnline
	}
}

// Send asks the acquirer for a payment and waits for its end. The till numbers the request.
func (t *Till) Send(ctx context.Context, request unionpay.FinancialRequest, pin *pinblock.PIN) (Outcome, error) {
	return t.send(ctx, Authorize{Request: request, PIN: pin})
}

func (t *Till) send(ctx context.Context, c Authorize) (Outcome, error) {
	id, end := t.expect()
	c.Sale = id
	return t.await(ctx, id, end, c)
}

// await gives the core a command and waits for the outcome that it tells.
func (t *Till) await(ctx context.Context, id uint64, end <-chan Outcome, command any) (Outcome, error) {
	if _, err := t.ask(ctx, command); err != nil {
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
	entry := unionpay.EntryContactless
	if r.Entry == receipt.Contact {
		entry = unionpay.EntryContact
	}
	request, err := t.requestOf(record{&r.Kernel}, sale, VerbOfflineSale, entry, false)
	if err != nil {
		return r, err
	}
	// Nobody answered in time, and the card paid after all: what was asked is taken back, and the upload names it, so that the issuer knows it is one payment.
	if !r.Trace.IsZero() {
		request.Original = &unionpay.Original{Batch: r.Trace.Batch, STAN: r.Trace.STAN}
	}
	r.CashAfter = purseAfter(r.Kernel.Data, sale.Amount.Currency())
	r.Slip.purse(r.CashAfter)
	reply, err := t.ask(ctx, Store{Request: request, Slip: r.Slip})
	if err != nil {
		return r, err
	}
	r.Verb = VerbOfflineSale
	if stored, ok := reply.(Stored); ok {
		r.STAN, r.Trace = stored.STAN, Trace{stored.Batch, stored.STAN}
	}
	r.End = ApprovedOffline
	return r, nil
}

// purseAfter is the balance that the card has signed for [REF 1.7].
func purseAfter(data emv.Data, currency money.Currency) *money.Amount {
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	if err != nil {
		return nil
	}
	minor, ok := iad.Balance()
	if !ok {
		return nil
	}
	after := money.New(minor, currency)
	return &after
}

// onlineTags is field 55 of a request, in the order seen in the field [REF 6.1].
var onlineTags = []tagNumber{
	emv.TagAC, emv.TagCID, emv.TagIAD, emv.TagUnpredictableNumber, emv.TagATC, emv.TagTVR, emv.TagTransactionDate, emv.TagTransactionType, emv.TagAmount,
	emv.TagCurrency, emv.TagAIP, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities, emv.TagCVMResults, emv.TagTerminalType,
	emv.TagDeviceSerial, emv.TagDFName, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagCardProduct, emv.TagECAuthCode,
}

// record is what a kernel collected, of the field or of the slot.
type record struct{ *kernel.Outcome }

var emptyTrack pan.Track2

// requestOf builds a request from what the kernel collected.
func (t *Till) requestOf(card record, sale Sale, verb Verb, entry string, pinEntered bool) (unionpay.FinancialRequest, error) {
	number, ok := card.PAN()
	if !ok {
		return unionpay.FinancialRequest{}, errors.New("pos: the kernel gave no card number")
	}
	c := &cycles[verb]
	p := unionpay.Payment{
		PAN: number, Processing: c.processing, Amount: sale.Amount, EntryMode: unionpay.NewEntryMode(entry, pinEntered), Condition: c.condition,
		Info: unionpay.Info{MessageType: c.kind, NetworkCode: "000", ReadCapability: unionpay.ReadContactless, ICCondition: unionpay.ICConditionNone},
	}
	if verb == VerbOfflineSale {
		p.Reserved = "CUP"
	}
	p.Expiry, _ = card.Expiry()
	p.Track2, _ = card.Track2()
	if sequence := card.Sequence(); sequence != "" {
		p.CardSequence = "0" + sequence
	}
	if pinEntered {
		p.PINCapture, p.Security = "12", securityPIN
	}
	for _, tag := range onlineTags {
		if value, ok := card.Data.Value(tag); ok {
			p.ICC.Set(tag, value)
		}
	}
	return unionpay.FinancialRequest{Payment: p, Advice: c.advice, Authorization: c.authorize}, nil
}

// securityPIN is field 53: PIN block with account number, triple DES [REF 6.1].
const securityPIN = "2600000000000000"

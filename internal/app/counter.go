package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// POSVerb is what a cashier asks of a till.
type POSVerb string

// The verbs, in the order of a story.
const (
	POSSale           POSVerb = "sale"
	POSVoid           POSVerb = "void"
	POSRefund         POSVerb = "refund"
	POSPreAuth        POSVerb = "preauth"
	POSCancel         POSVerb = "cancel"
	POSComplete       POSVerb = "complete"
	POSVoidCompletion POSVerb = "void-completion"
	POSBalance        POSVerb = "balance"
	POSCashBalance    POSVerb = "cash-balance"
	POSLoad           POSVerb = "load"
	POSVoidLoad       POSVerb = "void-load"
	POSUnload         POSVerb = "unload"
	POSSettle         POSVerb = "settle"
	POSReprint        POSVerb = "reprint"
	POSDownload       POSVerb = "download"
	POSRollback       POSVerb = "rollback"
	POSCollect        POSVerb = "collect"
	POSChangePIN      POSVerb = "change-pin"
	POSUnblockPIN     POSVerb = "unblock-pin"
)

// Ends of a verb that a tap does not have.
const (
	OutcomeRefusedByTill TapOutcome = "refused-by-till" // the till did not begin
	OutcomeUnderway      TapOutcome = "underway"        // repeated until it has arrived
	OutcomeUnanswered    TapOutcome = "unanswered"      // an inquiry without an answer
	OutcomeUnknown       TapOutcome = "unknown"         // only the card and its issuer know
	OutcomeDone          TapOutcome = "done"            // nothing was to be approved
)

// POSRequest asks a till for one verb.
type POSRequest struct {
	Verb     POSVerb `json:"verb"`
	Merchant string  `json:"merchant"`
	// The card: one of the world by its name, or the one at a reader. Insert puts it into the slot instead of the field.
	Card        string `json:"card,omitempty"`
	Reader      string `json:"reader,omitempty"`
	WaitSeconds int    `json:"wait_seconds,omitempty"`
	Insert      bool   `json:"insert,omitempty"`
	// Swipe draws its stripe through the reader instead; DeadChip: after its chip gave no answer in the slot.
	Swipe    bool `json:"swipe,omitempty"`
	DeadChip bool `json:"dead_chip,omitempty"`

	Amount string `json:"amount,omitempty"` // decimal; "": all of the original
	PIN    string `json:"pin,omitempty"`
	NewPIN string `json:"new_pin,omitempty"` // of a change
	AskPIN bool   `json:"ask_pin,omitempty"`
	Notice bool   `json:"notice,omitempty"` // completion as a notice
	From   string `json:"from,omitempty"`   // load: account, cash, or the name of the card that pays

	// What a later verb is about: a trace number of the batch, or what the slip of an earlier batch says.
	Trace    uint32 `json:"trace,omitempty"`
	Batch    uint32 `json:"batch,omitempty"`
	RRN      string `json:"rrn,omitempty"`
	AuthCode string `json:"auth_code,omitempty"`

	List         string `json:"list,omitempty"` // download: parameters, applications, keys
	MerchantCopy bool   `json:"merchant_copy,omitempty"`
	Lang         string `json:"lang,omitempty"` // of the slip
	HTML         bool   `json:"html,omitempty"` // the slip as a page too
}

// POSResult is what became of it.
type POSResult struct {
	TapResult
	Verb     POSVerb        `json:"verb"`
	Batch    uint32         `json:"batch,omitempty"`
	STAN     uint32         `json:"stan,omitempty"`
	Balance  *money.Amount  `json:"balance,omitempty"`
	Purses   []POSPurse     `json:"purses,omitempty"`
	Sheet    *POSSheet      `json:"sheet,omitempty"`
	Download *POSDownloaded `json:"download,omitempty"`
	// Held is how many payments a machine without a network has, Collected how many were taken from it.
	Held      *int   `json:"held,omitempty"`
	Collected *int   `json:"collected,omitempty"`
	Slip      string `json:"slip,omitempty"`
	HTML      string `json:"html,omitempty"`
}

// POSPurse is a purse of the card.
type POSPurse struct {
	AID     string        `json:"aid"`
	Label   string        `json:"label"`
	Balance *money.Amount `json:"balance,omitempty"`
	Limit   *money.Amount `json:"limit,omitempty"`
}

// POSSheet is a settled batch.
type POSSheet struct {
	Batch       uint32       `json:"batch"`
	DebitCount  int64        `json:"debit_count"`
	Debit       money.Amount `json:"debit"`
	CreditCount int64        `json:"credit_count"`
	Credit      money.Amount `json:"credit"`
	Agreed      bool         `json:"agreed"`
}

// POSDownloaded is what became of a list.
type POSDownloaded struct {
	List   string `json:"list"`
	Before uint32 `json:"before"`
	Now    uint32 `json:"now"`
	Parts  int    `json:"parts"`
	Fresh  bool   `json:"fresh"`
}

// TillWorld is what a world can do with its tills.
type TillWorld interface {
	// POS runs one verb of a till. Whatever card, till and network decide is in the result.
	POS(ctx context.Context, r POSRequest) (POSResult, error)
}

// POSLists are the names of the lists, by kind.
func POSLists() map[string]unionpay.DownloadKind {
	return map[string]unionpay.DownloadKind{"parameters": unionpay.DownloadParameters, "applications": unionpay.DownloadApplications,
		"keys": unionpay.DownloadCAKeys}
}

// counterJob is one verb under way.
type counterJob struct {
	*Network
	POSRequest
	till   *tillNode
	tap    string // what its trace is found by
	amount money.Amount
	given  *money.Amount // the amount, when one was given
	pin    *pinblock.PIN
	fresh  *pinblock.PIN // of a change
	holder *holder
	took   pos.Receipt
	result POSResult
}

// POS implements TillWorld.
func (n *Network) POS(ctx context.Context, r POSRequest) (POSResult, error) {
	j, err := n.counter(ctx, r)
	if err != nil {
		return POSResult{}, err
	}
	return j.result, nil
}

// counter runs a verb and keeps what the till has seen of the card beside the result.
func (n *Network) counter(ctx context.Context, r POSRequest) (*counterJob, error) {
	j := &counterJob{Network: n, POSRequest: r, result: POSResult{Verb: r.Verb}}
	j.POSRequest.PIN, j.POSRequest.NewPIN = "", ""
	if err := j.read(r); err != nil {
		return nil, err
	}
	run, ok := map[POSVerb]func(context.Context) error{
		POSSale: j.presented(j.sale), POSPreAuth: j.presented(j.preauth), POSBalance: j.presented(j.balance),
		POSCashBalance: j.presented(j.cashBalance),
		POSLoad:        j.presented(j.load), POSVoidLoad: j.presented(j.voidLoad), POSUnload: j.presented(j.unload),
		POSVoid: j.void, POSRefund: j.refund, POSCancel: j.cancel,
		POSComplete: j.complete, POSVoidCompletion: j.voidCompletion, POSSettle: j.settle, POSReprint: j.reprint, POSDownload: j.download, POSRollback: j.rollback,
		POSCollect: j.collect, POSChangePIN: j.presented(j.changePIN), POSUnblockPIN: j.presented(j.unblockPIN),
	}[r.Verb]
	if !ok {
		return nil, fmt.Errorf("%w: verb: there is no %q", errBadRequest, shown(string(r.Verb)))
	}
	tapID := n.beginTap(j.till.merchant.Terminal)
	j.tap = tapID
	began := time.Now()
	if !j.refuseAtMachine() {
		if err := run(ctx); err != nil {
			return nil, readerError(fmt.Errorf("%s at %s: %w", r.Verb, r.Merchant, err))
		}
	}
	j.finish(ctx, tapID)
	if err := j.tellHeld(ctx); err != nil {
		return nil, err
	}
	j.result.Duration = time.Since(began)
	return j, nil
}

// read checks the request.
func (j *counterJob) read(r POSRequest) error {
	var ok bool
	if j.till, ok = j.tills[r.Merchant]; !ok {
		return fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(r.Merchant))
	}
	if err := r.checkSwipe(); err != nil {
		return err
	}
	if r.Verb == POSSale && r.Amount == "" {
		r.Amount = j.till.merchant.Price
	}
	currency, err := j.options.Profile.MoneyOf(j.till.merchant)
	if err != nil {
		return err
	}
	j.amount = money.New(0, currency)
	if r.Amount != "" {
		a, err := money.Parse(r.Amount, currency)
		if err != nil || a.Sign() <= 0 {
			return fmt.Errorf("%w: amount: want a positive amount such as 299.00", errBadRequest)
		}
		j.amount, j.given = a, &a
	}
	if (r.Verb == POSSale || r.Verb == POSPreAuth || r.Verb == POSLoad) && j.given == nil {
		return fmt.Errorf("%w: amount: %s needs one", errBadRequest, r.Verb)
	}
	return errors.Join(readPIN("PIN", r.PIN, &j.pin), readPIN("new PIN", r.NewPIN, &j.fresh))
}

// readPIN reads what was entered; nothing stays nothing.
func readPIN(what, digits string, into **pinblock.PIN) error {
	if digits == "" {
		return nil
	}
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		return fmt.Errorf("%w: %s: want 4 to 12 digits", errBadRequest, what)
	}
	*into = &pin
	return nil
}

// keyed is what a cashier keys in.
func (j *counterJob) keyed(again func() apdu.Transceiver) pos.Sale {
	return pos.Sale{
		Amount: j.amount, Now: func() time.Time { return j.options.Clock.Now().In(clock.Shanghai()) }, OfflineOnly: j.till.merchant.Offline, AskPIN: j.AskPIN,
		EnterPIN: func() (pinblock.PIN, bool) {
			if j.pin == nil {
				return pinblock.PIN{}, false
			}
			return *j.pin, true
		},
		PresentAgain: again,
	}
}

// presented runs a verb with the card that is presented.
func (j *counterJob) presented(run func(context.Context, pos.Presented, pos.Sale) error) func(context.Context) error {
	return func(ctx context.Context) error {
		entry := receipt.Contactless
		if j.Insert {
			entry = receipt.Contact
		}
		if j.Reader != "" {
			within := DefaultReaderWait
			if j.WaitSeconds > 0 {
				within = min(time.Duration(j.WaitSeconds)*time.Second, maxReaderWait)
			}
			reader, _, err := openReader(ctx, j.Reader, within)
			if err != nil {
				return err
			}
			defer func() { _ = reader.Disconnect() }() // the verb has ended, however the card leaves
			again := j.readerSale(ctx, ReaderTap{}, j.till, reader).PresentAgain
			return run(ctx, pos.Presented{Entry: entry, Reader: reader}, j.keyed(again))
		}
		h, ok := j.holderNamed(j.Card)
		if !ok {
			return fmt.Errorf("%w: %q", ErrUnknownCard, shown(j.Card))
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		j.holder = h
		if j.Swipe {
			return j.swipe(ctx, h, run)
		}
		field := card.NewField(h.chip)
		if j.Insert {
			field = card.NewSlot(h.chip)
		}
		defer field.Remove()
		before := h.purse(j.amount.Currency())
		err := run(ctx, pos.Presented{Entry: entry, Reader: field}, j.keyed(func() apdu.Transceiver { field.Present(); return field }))
		if after := h.purse(j.amount.Currency()); before.Cmp(after) != 0 {
			j.result.PurseBefore, j.result.PurseAfter = &before, &after
		}
		return err
	}
}

func (j *counterJob) sale(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	j.took, err = j.till.core.Sale(ctx, with, sale)
	return err
}

func (j *counterJob) preauth(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	j.took, err = j.till.core.PreAuthorize(ctx, with, sale)
	return err
}

func (j *counterJob) balance(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	if j.took, err = j.till.core.Balance(ctx, with, sale); err == nil && j.took.Answer.Balance != nil {
		j.result.Balance = &j.took.Answer.Balance.Amount
	}
	return err
}

func (j *counterJob) cashBalance(ctx context.Context, with pos.Presented, _ pos.Sale) error {
	applications, err := j.till.core.CashBalance(ctx, with)
	for i := range applications {
		a := &applications[i]
		if a.Balance != nil {
			j.result.Purses = append(j.result.Purses, POSPurse{AID: a.AID.String(), Label: a.Label, Balance: a.Balance, Limit: a.BalanceLimit})
		}
		if a.SecondBalance != nil {
			j.result.Purses = append(j.result.Purses, POSPurse{AID: a.AID.String(), Label: a.Label, Balance: a.SecondBalance})
		}
	}
	j.result.Outcome = OutcomeDone
	return err
}

func (j *counterJob) load(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	how := pos.Loading{Verb: pos.VerbLoad}
	switch j.From {
	case "", "account":
	case "cash":
		how.Verb = pos.VerbLoadCash
	default:
		payer, ok := j.holderNamed(j.From)
		if !ok {
			return fmt.Errorf("%w: %q", ErrUnknownCard, shown(j.From))
		}
		expiry, err := pan.ParseExpiry(payer.personal.Spec.Expiry)
		if err != nil {
			return err
		}
		how.Verb, how.Payer = pos.VerbLoadOther, &pos.Payer{PAN: payer.personal.PAN, Expiry: expiry}
	}
	j.took, err = j.till.core.LoadPurse(ctx, with, sale, how)
	return err
}

func (j *counterJob) voidLoad(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	j.took, err = j.till.core.LoadPurse(ctx, with, sale, pos.Loading{Verb: pos.VerbLoadCashVoid, Original: j.original()})
	return err
}

func (j *counterJob) unload(ctx context.Context, with pos.Presented, sale pos.Sale) (err error) {
	j.took, err = j.till.core.LoadPurse(ctx, with, sale, pos.Loading{Verb: pos.VerbUnload})
	return err
}

func (j *counterJob) original() pos.Original {
	return pos.Original{Trace: pos.Trace{Batch: j.Batch, STAN: j.POSRequest.Trace}, RRN: j.RRN, AuthCode: j.AuthCode}
}

func (j *counterJob) void(ctx context.Context) (err error) {
	j.took, err = j.till.core.Void(ctx, j.original())
	return err
}

func (j *counterJob) refund(ctx context.Context) (err error) {
	j.took, err = j.till.core.Refund(ctx, j.original(), j.given)
	return err
}

func (j *counterJob) cancel(ctx context.Context) (err error) {
	j.took, err = j.till.core.CancelPreAuth(ctx, j.original())
	return err
}

func (j *counterJob) complete(ctx context.Context) (err error) {
	j.took, err = j.till.core.Complete(ctx, j.original(), j.given, j.Notice)
	return err
}

func (j *counterJob) voidCompletion(ctx context.Context) (err error) {
	j.took, err = j.till.core.VoidCompletion(ctx, j.original())
	return err
}

func (j *counterJob) settle(ctx context.Context) error {
	sheet, r, err := j.till.core.Settle(ctx, j.amount.Currency())
	j.took = r
	if err != nil || sheet == nil {
		return err
	}
	c := j.amount.Currency()
	j.result.Sheet = &POSSheet{Batch: sheet.Batch, DebitCount: sheet.Totals.DebitCount, Debit: money.New(sheet.Totals.Debit, c),
		CreditCount: sheet.Totals.CreditCount, Credit: money.New(sheet.Totals.Credit, c), Agreed: sheet.Agreed}
	j.result.Outcome, j.took = OutcomeDone, pos.Receipt{}
	return j.print(j.till.core.SheetSlip(*sheet, c, j.how()))
}

func (j *counterJob) reprint(ctx context.Context) error {
	slip, found, err := j.till.core.Reprint(ctx, pos.Trace{Batch: j.Batch, STAN: j.POSRequest.Trace}, j.how())
	if err != nil {
		return err
	}
	if !found {
		j.took = pos.Receipt{End: pos.NotBegun, Refusal: pos.RefusedUnknown, Why: pos.RefusedUnknown.Term(), Next: pos.RefusedUnknown.Next()}
		return nil
	}
	j.result.Outcome = OutcomeDone
	return j.print(slip, nil)
}

func (j *counterJob) list() (unionpay.DownloadKind, error) {
	kind, ok := POSLists()[j.List]
	if !ok {
		return 0, fmt.Errorf("%w: list: there is no %q", errBadRequest, shown(j.List))
	}
	return kind, nil
}

func (j *counterJob) download(ctx context.Context) error { return j.change(ctx, j.till.core.Download) }
func (j *counterJob) rollback(ctx context.Context) error { return j.change(ctx, j.till.core.Rollback) }

func (j *counterJob) change(ctx context.Context, do func(context.Context, unionpay.DownloadKind, money.Currency) (pos.DownloadResult, error)) error {
	kind, err := j.list()
	if err != nil {
		return err
	}
	r, err := do(ctx, kind, j.amount.Currency())
	if err == nil && j.Verb == POSDownload && r.Version == 0 && j.PublishList(ctx, kind, nil) == nil { // the first who asks
		r, err = do(ctx, kind, j.amount.Currency())
	}
	if errors.Is(err, pos.ErrList) {
		why := glossary.Term{EN: err.Error(), ZH: err.Error()}
		j.took = pos.Receipt{End: pos.NotBegun, Why: why, Next: glossary.Term{EN: "The list in use has not changed.", ZH: "正在使用的参数未改变。"}}
		return nil
	}
	j.result.Download = &POSDownloaded{List: j.List, Before: r.Before, Now: r.Version, Parts: r.Parts, Fresh: r.Fresh}
	j.result.Outcome = OutcomeDone
	return err
}

// how is how the slip is wanted.
func (j *counterJob) how() pos.Print {
	languages := []glossary.Lang{glossary.English}
	switch j.Lang {
	case "zh":
		languages = []glossary.Lang{glossary.Chinese}
	case "both":
		languages = []glossary.Lang{glossary.Chinese, glossary.English}
	}
	how := pos.Print{Shop: pos.Shop{Merchant: receipt.Merchant{Name: glossary.Term{EN: j.till.merchant.Label}, Number: j.till.merchant.ID},
		Acquirer: glossary.Term{EN: j.options.Profile.Acquirer.Name}, Languages: languages}}
	if j.MerchantCopy {
		how.Copy = receipt.MerchantCopy
	}
	if issuer, ok := j.issuerOf(); ok {
		how.Issuer = glossary.Term{EN: issuer.Name}
	}
	return how
}

func (j *counterJob) issuerOf() (personalization.Issuer, bool) {
	if j.holder == nil {
		return personalization.Issuer{}, false
	}
	return j.options.Profile.Issuer(j.holder.personal.Record.Issuer)
}

func (j *counterJob) print(slip receipt.Receipt, err error) error {
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	j.result.Slip = slip.Text()
	if j.HTML {
		var page strings.Builder
		if err := slip.HTML(&page); err != nil {
			return err
		}
		j.result.HTML = page.String()
	}
	return nil
}

// finish puts what happened into words and prints the slip.
func (j *counterJob) finish(ctx context.Context, tapID string) {
	if j.took.End == 0 { // nothing was to be decided
		j.result.Merchant, j.result.Trace = j.Merchant, tapID
		return
	}
	h := j.holder
	if h == nil {
		h = j.holderOf(j.took).holder
	}
	if j.Card == "" {
		j.Card = j.holderOf(j.took).name
	}
	j.took.Amount = orZero(j.took.Amount, j.amount)
	before, after := j.result.PurseBefore, j.result.PurseAfter
	j.result.TapResult = j.Network.result(TapRequest{Card: j.Card, Merchant: j.Merchant, Amount: j.took.Amount}, h, j.took, tapID)
	j.result.PurseBefore, j.result.PurseAfter = before, after
	h.plastic(&j.result.TapResult)
	if h.personal.PAN.IsZero() {
		j.result.Masked = ""
	}
	j.result.Batch, j.result.STAN = j.took.Trace.Batch, j.took.Trace.STAN
	switch j.took.End {
	case pos.NotBegun:
		j.result.Outcome, j.result.Reason = OutcomeRefusedByTill, j.took.Why
	case pos.Underway:
		j.result.Outcome, j.result.Reason = OutcomeUnderway, glossary.Term{EN: "not answered yet: the till repeats it until it is", ZH: "尚未应答：终端将重发直至应答"}
	case pos.Unanswered:
		j.result.Outcome, j.result.Reason = OutcomeUnanswered, glossary.Term{EN: "no answer in time", ZH: "超时无应答"}
	case pos.NotKnown:
		j.result.Outcome, j.result.Reason = OutcomeUnknown, j.took.Why
	case pos.TakenBack:
		if j.took.Contact != nil && j.took.Answer.Response.Approved() {
			j.result.Reason, j.result.Why, j.result.Next = j.took.Why, glossary.Term{}, j.took.Next
		}
	case pos.ApprovedOnline:
		if j.took.Contact != nil && j.took.Slip.Verified != receipt.NoVerification {
			j.result.Why = j.took.Slip.Verified.Term()
		}
	case pos.DeclinedOnline:
		if explained, err := j.explainDecline(ctx, h, j.result.TapResult); err == nil {
			j.result.TapResult = explained
		}
		explainPurse(&j.result.TapResult, &j.took)
	}
	if j.took.Refusal == pos.NotRefused && j.took.Verb != 0 && j.result.Slip == "" && j.took.Verb != pos.VerbSettlement {
		if err := j.print(j.till.core.Slip(ctx, &j.took, j.how())); err != nil {
			j.options.Log.Warn("no slip", "error", err)
		}
	}
}

func orZero(a, fallback money.Amount) money.Amount {
	if a.Currency().IsZero() {
		return money.New(0, fallback.Currency())
	}
	return a
}

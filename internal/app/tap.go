package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pinblock"
	"tapnet/terminal"
)

// Errors of a request that names what this world does not have.
var (
	ErrUnknownCard     = errors.New("no such card in this world")
	ErrUnknownMerchant = errors.New("no such merchant in this world")
)

// terminalTTQ is what the terminals of the test world can do: qPBOC, contact, online PIN, signature, dynamic signature version 01 [REF 1.4].
func terminalTTQ() emv.TTQ {
	var ttq emv.TTQ
	for _, bit := range []emv.TTQBit{emv.TTQQPBOC, emv.TTQContact, emv.TTQOnlinePIN, emv.TTQSignature, emv.TTQFDDA01} {
		ttq.Set(bit)
	}
	return ttq
}

// terminalConfig is the terminal of a merchant, as it is before anything was downloaded.
func (n *Network) terminalConfig(m personalization.Merchant) (terminal.Config, error) {
	p := n.options.Profile
	keys, err := oda.NewKeys(p.Authorities()...)
	if err != nil {
		return terminal.Config{}, err
	}
	currency, err := p.MoneyOf(m)
	if err != nil {
		return terminal.Config{}, fmt.Errorf("merchant %q: %w", m.Name, err)
	}
	limit := func(text string) (money.Amount, error) { return money.Parse(cmp.Or(text, "0"), currency) }
	floor, floorErr := limit(m.Floor)
	cvm, cvmErr := limit(m.CVMLimit)
	transaction, tapErr := limit(m.TapLimit)
	if err := errors.Join(floorErr, cvmErr, tapErr); err != nil {
		return terminal.Config{}, err
	}
	limits := terminal.Limits{Transaction: transaction, Floor: floor, CVM: cvm, ZeroAllowed: true} // an inquiry is of nothing
	var combinations []terminal.Combination
	for _, aid := range []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash} {
		combinations = append(combinations, terminal.Combination{AID: aid, Kernel: kernelQuickPass, Limits: limits})
	}
	category, err := packedText(m.Category)
	if err != nil {
		return terminal.Config{}, fmt.Errorf("merchant %q: category: %w", m.Name, err)
	}
	config := terminal.Config{
		Country: countryChina, Currency: currency, TTQ: terminalTTQ(), Combinations: combinations,
		Kernel: kernel.Config{
			Type: terminalTypeAttended, Capabilities: emv.TerminalCapabilities{0xE0, 0xF1, 0xC8}, SerialNumber: m.Terminal, TerminalID: m.Terminal,
			MerchantID: m.ID, MerchantName: m.Label, MerchantType: category, CAKeys: keys, FDDA00Allowed: true, SM: true,
		},
		Random: n.random.source("terminal " + m.Terminal), Observer: n.tapObserver(m),
	}
	if config.Contact, err = slotConfig(floor); err != nil {
		return terminal.Config{}, err
	}
	unattended(&config, m)
	return config, nil
}

const (
	kernelQuickPass      = 7
	countryChina         = 156
	terminalTypeAttended = 0x22 // attended, offline with online capability, of a merchant [EMV B4]
)

// packedText packs four digits into two BCD bytes.
func packedText(digits string) ([2]byte, error) {
	var out [2]byte
	if len(digits) != 4 {
		return out, fmt.Errorf("%q is not four digits", digits)
	}
	for i := range 4 {
		d := digits[i] - '0'
		if d > 9 {
			return out, fmt.Errorf("%q is not four digits", digits)
		}
		out[i/2] = out[i/2]<<4 | d
	}
	return out, nil
}

// tapOptions are what a story changes about a tap.
type tapOptions struct {
	// field prepares the card's field before the tap: where it is torn.
	field func(*card.Field)
	// presentAgain says that the holder holds the same card to the reader again after a torn tap.
	presentAgain bool
	offlineOnly  bool
	// wrap puts something between card and reader.
	wrap func(apdu.Transceiver) apdu.Transceiver
}

// Tap runs one payment: a card of the world is held to the reader of a merchant.
func (n *Network) Tap(ctx context.Context, r TapRequest) (TapResult, error) {
	return n.tap(ctx, r, tapOptions{})
}

func (n *Network) tap(ctx context.Context, r TapRequest, o tapOptions) (TapResult, error) {
	h, till, err := n.parties(r)
	if err != nil {
		return TapResult{}, err
	}
	if n.unsigned(till) {
		return TapResult{Card: r.Card, Merchant: r.Merchant, Masked: h.personal.PAN.Masked(), Amount: r.Amount, Outcome: OutcomeFailed, Reason: whyNotSignedOn,
			Next: nextNotSignedOn, Cause: terminal.CauseHost.Term()}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	field := card.NewField(h.chip)
	defer field.Remove()
	if o.field != nil {
		o.field(field)
	}
	var reader apdu.Transceiver = field
	if o.wrap != nil {
		reader = o.wrap(field)
	}
	before := h.purse(r.Amount.Currency())
	sale := pos.Sale{
		Amount: r.Amount, Now: func() time.Time { return n.options.Clock.Now().In(clock.Shanghai()) },
		OfflineOnly: o.offlineOnly || till.merchant.Offline, AskPIN: r.AskPIN,
		EnterPIN: func() (pinblock.PIN, bool) {
			if r.PIN == nil {
				return pinblock.PIN{}, false
			}
			return *r.PIN, true
		},
	}
	if o.presentAgain {
		sale.PresentAgain = func() apdu.Transceiver {
			field.Present()
			return field
		}
	}
	tapID := n.beginTap(till.merchant.Terminal)
	began := time.Now()
	receipt, err := till.core.Sell(ctx, reader, sale)
	if err != nil {
		return TapResult{}, fmt.Errorf("tap %s at %s: %w", r.Card, r.Merchant, err)
	}
	result := n.result(r, h, receipt, tapID)
	h.plastic(&result)
	result.Duration = time.Since(began)
	after := h.purse(r.Amount.Currency())
	if before.Cmp(after) != 0 {
		result.PurseBefore, result.PurseAfter = &before, &after
	}
	result, err = n.explainDecline(ctx, h, result)
	explainPurse(&result, &receipt)
	return result, err
}

func (n *Network) parties(r TapRequest) (*holder, *tillNode, error) {
	h, ok := n.holderNamed(r.Card)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q", ErrUnknownCard, shown(r.Card))
	}
	till, ok := n.tills[r.Merchant]
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(r.Merchant))
	}
	currency, err := n.options.Profile.MoneyOf(till.merchant)
	if err != nil {
		return nil, nil, err
	}
	if _, err := r.Amount.BCD(); err != nil || r.Amount.Minor() <= 0 || r.Amount.Currency() != currency {
		return nil, nil, fmt.Errorf("%w: amount: a tap takes a positive amount of at most twelve digits in %s", errBadRequest, currency)
	}
	return h, till, nil
}

// Limits on a name that an error repeats. A reference number has twelve digits, a card's number more.
const (
	maxShownName   = 64
	maxShownDigits = 12
)

// shown is what an error may repeat of a name that somebody asked for: not much of it, and nothing that could be an account number.
func shown(name string) string {
	digits := 0
	for i := range len(name) {
		if digits++; name[i] < '0' || name[i] > '9' {
			digits = 0
		}
		if digits > maxShownDigits {
			return "…"
		}
	}
	if len(name) > maxShownName {
		return strings.ToValidUTF8(name[:maxShownName], "") + "…"
	}
	return name
}

// result puts a receipt into words.
func (n *Network) result(r TapRequest, h *holder, receipt pos.Receipt, tapID string) TapResult {
	result := TapResult{
		Card: r.Card, Merchant: r.Merchant, Masked: h.personal.PAN.Masked(), Amount: r.Amount, ResponseCode: string(receipt.Code), Why: receipt.Why,
		Next: receipt.Next, Cause: causeOf(&receipt), RRN: receipt.Answer.RRN, AuthCode: receipt.Answer.AuthCode, PINEntered: receipt.PINEntered, Trace: tapID,
	}
	if result.RRN != "" {
		result.Trace = result.RRN
	}
	switch receipt.End {
	case pos.ApprovedOnline:
		result.Outcome, result.Reason = OutcomeApproved, receipt.Code.Term()
		result.Why, result.Next = approvedWhy(receipt), glossary.Term{}
	case pos.ApprovedOffline:
		result.Outcome, result.Reason = OutcomeApprovedOffline, glossary.Term{EN: "approved offline by the card", ZH: "卡片脱机批准"}
		result.Next = glossary.Term{}
	case pos.DeclinedOnline:
		result.Outcome, result.Reason = OutcomeDeclined, receipt.Code.Term()
		d := terminal.DiagnoseResponse(string(receipt.Code))
		result.Why, result.Next = d.Why, d.Next
	case pos.DeclinedOffline:
		result.Outcome, result.Reason = OutcomeDeclined, receipt.Why
	case pos.TakenBack:
		result.Outcome, result.Reason = OutcomeReversed, glossary.Term{EN: "no answer in time: reversed", ZH: "超时无应答，已冲正"}
		result.Why = glossary.Term{EN: "the acquirer did not answer within 60 s", ZH: "收单机构 60 秒内未应答"}
		result.Next = glossary.Term{EN: "tap again: nothing was taken", ZH: "请重新挥卡：未扣款"}
	case pos.PINMissing:
		result.Outcome, result.Reason = OutcomePINNeeded, glossary.Term{EN: "the terminal asks for the PIN", ZH: "终端要求输入密码"}
		result.Next = glossary.Term{EN: "give the PIN with --pin", ZH: "用 --pin 输入密码"}
	default:
		result.Outcome, result.Reason = OutcomeFailed, receipt.Why
	}
	return result
}

// causeOf says whose fault it is that nothing was paid [row A7]; empty when something was.
func causeOf(r *pos.Receipt) glossary.Term {
	cause := terminal.CauseNone
	switch {
	case r.End == pos.NotBegun && r.Why == whyNotSignedOn:
		return terminal.CauseHost.Term()
	case r.Refusal == pos.RefusedStripe, r.Refusal == pos.RefusedChip, r.Refusal == pos.RefusedGoods:
		return terminal.CauseCard.Term()
	}
	switch r.End {
	case pos.DeclinedOnline:
		cause = terminal.DiagnoseAnswer(string(r.Code), r.Application()).Cause
	case pos.TakenBack:
		cause = terminal.CauseNetwork
	case pos.PINMissing:
		cause = terminal.CauseHolder
	case pos.DeclinedOffline, pos.Failed:
		if cause = terminal.Diagnose(&r.Kernel).Cause; r.Contact != nil {
			cause = terminal.DiagnoseInsert(r.Contact).Cause
		}
	}
	if cause == terminal.CauseNone {
		return glossary.Term{}
	}
	return cause.Term()
}

// approvedWhy says which cardholder verification an approval rests on.
func approvedWhy(r pos.Receipt) glossary.Term {
	switch {
	case r.PINEntered:
		return glossary.Term{EN: "PIN checked by the issuer", ZH: "发卡行已验证密码"}
	case r.PINSkipped:
		return glossary.Term{EN: "no PIN: at or below the no-PIN limit, the till skipped what the card asked for", ZH: "小额免密：未超过免密限额，终端跳过卡片要求的密码"}
	case r.Kernel.CVM == kernel.CVMSignature:
		return glossary.Term{EN: "signature", ZH: "签名"}
	}
	return glossary.Term{EN: "no PIN, no signature", ZH: "免密免签"}
}

// explainDecline adds what the issuer's journal knows: the rule that refused, and the tries left. In a real network the cardholder would ask the bank; here
// the bank is in the same process, or the answer stays as the network gave it.
func (n *Network) explainDecline(ctx context.Context, h *holder, r TapResult) (TapResult, error) {
	node := n.issuers[h.personal.Record.Issuer]
	if r.Outcome != OutcomeDeclined || r.RRN == "" || node == nil {
		return r, nil
	}
	var reason issuer.Reason
	var found issuer.Card
	var available int64
	err := node.look(ctx, func() {
		reason = node.core.ReasonOf(r.RRN)
		found, _ = node.core.Card(h.personal.Record.Card)
		available = node.core.Available(h.personal.Record.Card)
	})
	if err != nil || reason == issuer.Approved {
		return r, err
	}
	place, of := reason.Position()
	r.Reason, r.Next = reason.Term(), reason.Next()
	r.Why = glossary.Term{EN: fmt.Sprintf("rule %d of %d", place, of), ZH: fmt.Sprintf("第 %d 条规则，共 %d 条", place, of)}
	switch reason {
	case issuer.NotEnoughMoney:
		left := money.New(available, r.Amount.Currency())
		r.Why.EN += fmt.Sprintf(", available %s, asked %s", left, r.Amount)
		r.Why.ZH += fmt.Sprintf("，可用 %s，请求 %s", left, r.Amount)
	case issuer.PINWrong:
		r.TriesLeft = &found.Tries
		r.Why.EN += fmt.Sprintf(", %d tries left", found.Tries)
		r.Why.ZH += fmt.Sprintf("，剩余 %d 次", found.Tries)
	}
	return r, nil
}

// explainPurse says of a purse without an account why its issuer had nothing to pay with: the bank's rule, true as it is, helps nobody at the till.
func explainPurse(r *TapResult, took *pos.Receipt) {
	if took.End != pos.DeclinedOnline || took.Application() != emv.AIDElectronicCash {
		return
	}
	d := terminal.DiagnoseAnswer(r.ResponseCode, took.Application())
	r.Why, r.Next, r.Cause = d.Why, d.Next, d.Cause.Term()
}

// Cards lists the cards of the world, in the order of the profile.
func (n *Network) Cards(context.Context) ([]CardInfo, error) {
	var cards []CardInfo
	for _, spec := range n.specs() {
		h, _ := n.holderNamed(spec.Name)
		h.mu.Lock()
		cards = append(cards, CardInfo{
			Name: spec.Name, Holder: spec.Holder, Masked: h.personal.PAN.Masked(), Product: spec.Product, Issuer: spec.Issuer, Expiry: spec.Expiry,
			ATC: h.state().Applications[0].ATC, Purse: h.purse(n.options.Profile.Money()), NoPIN: spec.NoPIN,
		})
		h.mu.Unlock()
	}
	return cards, nil
}

// Unanswered is the code of a tap that got no answer.
const Unanswered = unionpay.ReasonTimeout

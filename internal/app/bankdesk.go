package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/issuer"
	"tapnet/money"
	"tapnet/terminal"
)

// BankWorld is what a cardholder asks of the bank's counter.
type BankWorld interface {
	// ReportLoss blocks the account of a lost or stolen card. The purse on its chip cannot be blocked, and the answer says so.
	ReportLoss(ctx context.Context, r LossRequest) (LossResult, error)
	// PayOut pays out a purse that was unloaded, once its last payments have had the time to arrive, and closes the card.
	PayOut(ctx context.Context, r PayOutRequest) (PayOutResult, error)
	// SwitchCard switches a function of a card off or on, as its holder wants [rows A3, A5].
	SwitchCard(ctx context.Context, r SwitchRequest) (SwitchResult, error)
	// PurseLog reads what the chip remembers of its purse.
	PurseLog(ctx context.Context, name string) (PurseLog, error)
}

// LossRequest reports a card missing.
type LossRequest struct {
	Card   string `json:"card"`
	Stolen bool   `json:"stolen,omitempty"`
}

// LossResult says what the report achieved. Blocked is false when the bank refused it: Why says why.
type LossResult struct {
	Card    string        `json:"card"`
	Masked  string        `json:"masked"`
	Blocked bool          `json:"blocked"`
	Account glossary.Term `json:"account"`
	Purse   glossary.Term `json:"purse"`
	// AtRisk is what the bank believes to be on the chip, at most.
	AtRisk money.Amount `json:"at_risk"`
	// SecondAtRisk is the same of a purse in another currency.
	SecondAtRisk *money.Amount `json:"second_at_risk,omitempty"`
	Why          glossary.Term `json:"why"`
}

// PayOutRequest asks for what was unloaded from a card.
type PayOutRequest struct {
	Card string `json:"card"`
}

// PayOutResult says whether the money went to the account. Why is the bank's reason when it did not.
type PayOutResult struct {
	Card      string        `json:"card"`
	Paid      bool          `json:"paid"`
	Available money.Amount  `json:"available"` // on the account afterwards
	Why       glossary.Term `json:"why"`
}

// PurseLog is what a chip says of its purse: what it holds, what was paid from it and what was loaded, newest first.
type PurseLog struct {
	Card     string        `json:"card"`
	Balance  *money.Amount `json:"balance,omitempty"`
	Second   *money.Amount `json:"second,omitempty"` // of a purse in another currency
	Payments []LogReading  `json:"payments"`
	Loads    []LoadReading `json:"loads"`
}

// LoadReading is one change of the purse by a script.
type LoadReading struct {
	Date   string `json:"date"` // YYMMDD
	Time   string `json:"time"` // hhmmss
	Before string `json:"before"`
	After  string `json:"after"`
	ATC    string `json:"atc"`
}

// bankOf is the issuer of a card in this process, and the card.
func (n *Network) bankOf(name string) (*issuerNode, *holder, error) {
	h, ok := n.holderNamed(name)
	if !ok {
		return nil, nil, fmt.Errorf("%w: %q", ErrUnknownCard, shown(name))
	}
	node := n.issuers[h.personal.Record.Issuer]
	if node == nil {
		return nil, nil, errNoBank
	}
	return node, h, nil
}

var errNoBank = errors.New("the bank of this card does not run in this process")

// ReportLoss implements BankWorld.
func (n *Network) ReportLoss(ctx context.Context, r LossRequest) (LossResult, error) {
	node, h, err := n.bankOf(r.Card)
	if err != nil {
		return LossResult{}, err
	}
	result := LossResult{Card: r.Card, Masked: h.personal.PAN.Masked(), AtRisk: money.New(0, n.options.Profile.Money())}
	reply, err := node.ask(ctx, issuer.ReportLoss{Card: h.personal.Record.Card, Stolen: r.Stolen})
	if errors.Is(err, issuer.ErrChange) {
		result.Why = glossary.Term{EN: "the card's standing does not allow it: it is reported or closed already", ZH: "卡片当前状态不允许：已挂失或已销户"}
		return result, nil
	}
	if err != nil {
		return LossResult{}, err
	}
	report, _ := reply.(issuer.LossReport)
	result.Blocked, result.Account, result.Purse = true, report.Status.Term(), report.Purse.Term()
	result.AtRisk = money.New(max(0, report.PurseMinor), n.options.Profile.Money())
	if second := h.personal.Image.Applications[0].SecondCurrency; !second.IsZero() {
		other := money.New(max(0, report.SecondMinor), second)
		result.SecondAtRisk = &other
	}
	return result, nil
}

// PayOut implements BankWorld.
func (n *Network) PayOut(ctx context.Context, r PayOutRequest) (PayOutResult, error) {
	node, h, err := n.bankOf(r.Card)
	if err != nil {
		return PayOutResult{}, err
	}
	id := h.personal.Record.Card
	_, err = node.ask(ctx, issuer.PayOut{Card: id})
	if err != nil && !errors.Is(err, issuer.ErrChange) {
		return PayOutResult{}, err
	}
	result := PayOutResult{Card: r.Card, Paid: err == nil}
	if err != nil {
		result.Why = glossary.Term{EN: "the purse was not unloaded, or payments from it may still arrive: ten business days after unloading",
			ZH: "电子现金未圈提，或脱机交易仍可能到达：圈提后十个营业日方可返还"}
	}
	err = node.look(ctx, func() { result.Available = money.New(node.core.Available(id), n.options.Profile.Money()) })
	return result, err
}

// PurseLog implements BankWorld.
func (n *Network) PurseLog(ctx context.Context, name string) (PurseLog, error) {
	h, ok := n.holderNamed(name)
	if !ok {
		return PurseLog{}, fmt.Errorf("%w: %q", ErrUnknownCard, shown(name))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	field := card.NewField(h.chip)
	if h.personal.Image.Applications[0].Contact != nil {
		field = card.NewSlot(h.chip)
	}
	defer field.Remove()
	reading, err := terminal.Read(ctx, field)
	if err != nil {
		return PurseLog{}, fmt.Errorf("read card %q: %w", shown(name), err)
	}
	out := PurseLog{Card: name, Payments: []LogReading{}, Loads: []LoadReading{}}
	for i := range reading.Applications {
		a := &reading.Applications[i]
		if a.Balance == nil {
			continue
		}
		out.Balance, out.Second = a.Balance, a.SecondBalance
		for _, record := range a.Log.Records {
			out.Payments = append(out.Payments, logReading(record, a.Currency))
		}
		for _, l := range a.LoadLog.Records {
			text := func(minor int64) string { return money.New(minor, a.Balance.Currency()).Decimal() }
			out.Loads = append(out.Loads, LoadReading{Date: fmt.Sprintf("%X", l.Details.Get(emv.TagTransactionDate)),
				Time: fmt.Sprintf("%X", l.Details.Get(emv.TagTransactionTime)), ATC: fmt.Sprintf("%X", l.Details.Get(emv.TagATC)),
				Before: text(l.Before), After: text(l.After)})
		}
		break
	}
	return out, nil
}

// bankHandler adds the bank's counter to the control socket.
func (n *Network) bankHandler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("POST /v1/loss", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[LossRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.ReportLoss(r.Context(), request)
		answer(w, result, err)
	})
	mux.HandleFunc("POST /v1/payout", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[PayOutRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.PayOut(r.Context(), request)
		answer(w, result, err)
	})
	mux.HandleFunc("POST /v1/switch", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[SwitchRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.SwitchCard(r.Context(), request)
		answer(w, result, err)
	})
	mux.HandleFunc("GET /v1/purses/{name}", func(w http.ResponseWriter, r *http.Request) {
		log, err := n.PurseLog(r.Context(), r.PathValue("name"))
		answer(w, log, err)
	})
	return mux
}

func ask[T any](ctx context.Context, c *Client, path string, request any) (result T, err error) {
	text, err := c.post(ctx, path, request)
	if err != nil {
		return result, err
	}
	defer func() { _ = text.Close() }()
	return result, json.NewDecoder(io.LimitReader(text, maxTraceBytes)).Decode(&result)
}

// ReportLoss asks the running network.
func (c *Client) ReportLoss(ctx context.Context, r LossRequest) (LossResult, error) {
	return ask[LossResult](ctx, c, "/v1/loss", r)
}

// PayOut asks the running network.
func (c *Client) PayOut(ctx context.Context, r PayOutRequest) (PayOutResult, error) {
	return ask[PayOutResult](ctx, c, "/v1/payout", r)
}

// SwitchCard asks the running network.
func (c *Client) SwitchCard(ctx context.Context, r SwitchRequest) (SwitchResult, error) {
	return ask[SwitchResult](ctx, c, "/v1/switch", r)
}

// PurseLog asks the running network.
func (c *Client) PurseLog(ctx context.Context, name string) (PurseLog, error) {
	return get[PurseLog](ctx, c, "/v1/purses/"+url.PathEscape(name))
}

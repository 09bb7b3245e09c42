package transithttp

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/gate/denylist"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/money"
)

// Device is a gate as the operator sees it.
type Device struct {
	Device         string   `json:"device"`
	Records        uint64   `json:"records" doc:"of its log that are on disk here, without a gap"`
	Missing        []Gap    `json:"missing"`
	Taps           uint64   `json:"taps"`
	Opened         uint64   `json:"opened"`
	Refused        uint64   `json:"refused_chunks"`
	Why            string   `json:"refused_why,omitempty"`
	ClockAhead     uint64   `json:"taps_from_the_future"`
	ClockBehind    int64    `json:"clock_behind_seconds" doc:"its own clock at its last report, before it corrects it; less than zero: ahead"`
	Heard          string   `json:"heard,omitempty" format:"date-time"`
	ListSequence   uint64   `json:"list_sequence"`
	ListAgeSeconds int64    `json:"list_age_seconds" doc:"-1: it has no list, or has not said"`
	ListEpoch      uint32   `json:"list_epoch"`
	Keys           []uint32 `json:"keys" doc:"epochs of the deny list whose keys it holds"`
	Backlog        uint64   `json:"backlog_records"`
	Trouble        string   `json:"trouble,omitempty"`
}

// Gap is a run of records that the device has and the office does not.
type Gap struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	Lost  bool   `json:"lost,omitempty"`
}

// Report is what has become of everything.
type Report struct {
	Taps           uint64            `json:"taps"`
	Opened         uint64            `json:"opened"`
	TapStates      map[string]uint64 `json:"tap_states"`
	Accounts       int               `json:"accounts"`
	Bills          map[string]uint64 `json:"bills"`
	Listed         int               `json:"listed"`
	Currency       string            `json:"currency"`
	Charged        string            `json:"charged"`
	Credited       string            `json:"credited"`
	Paid           string            `json:"paid"`
	Settled        string            `json:"settled"`
	Refunded       string            `json:"refunded"`
	Owed           string            `json:"owed"`
	WrittenOff     string            `json:"written_off"`
	Acquirer       string            `json:"acquirer"`
	LossPerMillion string            `json:"loss_per_million_taps"`
	Troubles       uint64            `json:"riders_not_rated"`
	PurseRefused   uint64            `json:"purse_payments_refused" doc:"of cards that paid by themselves: rides that the acquirer does not pay"`
}

// Day is what a service day came to.
type Day struct {
	Day      string `json:"day" format:"date"`
	Closed   bool   `json:"closed"`
	Journeys int    `json:"journeys"`
	Amount   string `json:"amount" doc:"billed for journeys of that day, corrections included"`
	Bills    int    `json:"bills" doc:"made for that day"`
	Billed   string `json:"billed"`
	Paid     string `json:"paid"`
	Owed     string `json:"owed"`
	Lost     string `json:"written_off"`
	Open     string `json:"open"`
	Refunded string `json:"refunded"`
	Currency string `json:"currency"`
}

// Progress is how far a close is.
type Progress struct {
	Day      string `json:"day" format:"date"`
	Accounts int    `json:"accounts"`
	Done     int    `json:"done"`
}

type (
	devicesOutput  struct{ Body []Device }
	reportOutput   struct{ Body Report }
	billsOutput    struct{ Body []Bill }
	dayOutput      struct{ Body Day }
	progressOutput struct{ Body Progress }
	doneOutput     struct {
		Body struct {
			Amount string `json:"amount"`
		}
	}
	listOutput struct {
		Body struct {
			Sequence uint64 `json:"sequence"`
			Entries  int    `json:"entries"`
			Waiting  int    `json:"waiting" doc:"accounts and entries that change with the next delta"`
			At       string `json:"at,omitempty" format:"date-time"`
			Outside  int    `json:"outside" doc:"entries of somebody else's stop list"`
			Epoch    uint32 `json:"epoch" doc:"of the key in force"`
			Next     uint32 `json:"next_epoch,omitempty" doc:"of a rotation under way"`
			Former   uint32 `json:"former_epoch,omitempty" doc:"still understood"`
		}
	}
	accountInput struct {
		Account int64 `path:"account" minimum:"1"`
	}
	dayInput struct {
		Day string `path:"day" format:"date" maxLength:"10"`
	}
	debtsInput struct {
		After uint64 `query:"after"`
		Most  int    `query:"most" minimum:"1" maximum:"1000" default:"100"`
	}
	settleInput struct {
		Account int64 `path:"account" minimum:"1"`
		Body    struct {
			Bill uint64 `json:"bill,omitempty" doc:"0: all debts"`
		}
	}
	refundInput struct {
		Bill uint64 `path:"bill" minimum:"1"`
		Body struct {
			Amount string `json:"amount,omitempty" maxLength:"16" doc:"decimal; empty is all of it"`
		}
	}
	blockInput struct {
		Credential int64 `path:"credential" minimum:"1"`
		Body       struct {
			Reason string `json:"reason" enum:"counterfeit,stolen,lost,closed,operator"`
		}
	}
	unblockInput struct {
		Credential int64 `path:"credential" minimum:"1"`
	}
	enrolInput struct {
		Account int64 `path:"account" minimum:"1"`
		Body    struct {
			Category string `json:"category,omitempty" maxLength:"64"`
			Token    string `json:"token,omitempty" minLength:"16" maxLength:"128" doc:"the rider's new token; only its hash is kept"`
		}
	}
)

func (s *server) operators(api huma.API) {
	s.watching(api)
	s.transactions(api)
	s.history(api)
	s.deciding(api)
}

func operatorOperation(name, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: name, Method: method, Path: path, Summary: summary, Tags: []string{"operators"}, MaxBodyBytes: maxBody,
		Security: []map[string][]string{{operatorScheme: {}}}, Errors: []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusConflict},
	}
}

// watching registers what changes nothing.
func (s *server) watching(api huma.API) {
	huma.Register(api, operatorOperation("get-devices", http.MethodGet, "/v1/devices", "Every device: health, age of its list, what is missing of its log."),
		func(ctx context.Context, _ *struct{}) (*devicesOutput, error) {
			views, err := ask[[]transit.DeviceView](ctx, s, transit.ViewDevices{})
			out := &devicesOutput{Body: []Device{}}
			for _, v := range views {
				out.Body = append(out.Body, deviceOf(v))
			}
			return out, err
		})
	huma.Register(api, operatorOperation("get-report", http.MethodGet, "/v1/report", "What has become of everything; losses per million taps."),
		func(ctx context.Context, _ *struct{}) (*reportOutput, error) {
			r, err := ask[transit.Report](ctx, s, transit.ViewReport{})
			return &reportOutput{Body: s.reportOf(r)}, err
		})
	huma.Register(api, operatorOperation("get-debts", http.MethodGet, "/v1/debts", "Bills that keep cards on the deny list."),
		func(ctx context.Context, in *debtsInput) (*billsOutput, error) {
			views, err := ask[[]transit.BillView](ctx, s, transit.ViewDebts{After: in.After, Most: in.Most})
			out := &billsOutput{Body: []Bill{}}
			for _, v := range views {
				out.Body = append(out.Body, billOf(v, s.config.Currency))
			}
			return out, err
		})
	huma.Register(api, operatorOperation("get-account", http.MethodGet, "/v1/accounts/{account}", "A rider: journeys, bills, cards without their numbers."),
		func(ctx context.Context, in *accountInput) (*accountOutput, error) { return s.account(ctx, in.Account) })
	huma.Register(api, operatorOperation("get-day", http.MethodGet, "/v1/days/{day}", "What a service day came to: billed, paid, owed."),
		func(ctx context.Context, in *dayInput) (*dayOutput, error) {
			date, err := dayOf(in.Day)
			if err != nil {
				return nil, err
			}
			v, err := ask[transit.DayView](ctx, s, transit.ViewDay{Day: date})
			return &dayOutput{Body: s.dayView(v)}, err
		})
	huma.Register(api, operatorOperation("get-close", http.MethodGet, "/v1/close", "How far the close under way is, or the last one."),
		func(ctx context.Context, _ *struct{}) (*progressOutput, error) {
			c, err := ask[transit.Closing](ctx, s, transit.ViewProgress{})
			return &progressOutput{Body: Progress{Day: c.Day.String(), Accounts: c.Accounts, Done: c.Done}}, err
		})
	huma.Register(api, operatorOperation("get-list", http.MethodGet, "/v1/list", "How far the deny list is."),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			v, err := ask[transit.ListView](ctx, s, transit.ViewList{})
			out := &listOutput{}
			out.Body.Sequence, out.Body.Entries, out.Body.Waiting, out.Body.At = v.Sequence, v.Entries, v.Waiting, instant(v.At)
			out.Body.Outside, out.Body.Epoch, out.Body.Next, out.Body.Former = v.Outside, uint32(v.Epoch), uint32(v.Next), uint32(v.Former)
			return out, err
		})
}

// deciding registers what the operator decides.
func (s *server) deciding(api huma.API) {
	huma.Register(api, operatorOperation("post-close", http.MethodPost, "/v1/days/{day}/close", "Close a service day that is over."),
		func(ctx context.Context, in *dayInput) (*progressOutput, error) {
			date, err := dayOf(in.Day)
			if err != nil {
				return nil, err
			}
			c, err := ask[transit.Closing](ctx, s, transit.CloseDay{Day: date})
			return &progressOutput{Body: Progress{Day: c.Day.String(), Accounts: c.Accounts, Done: c.Done}}, err
		})
	huma.Register(api, operatorOperation("post-settlement", http.MethodPost, "/v1/accounts/{account}/settlements", "A rider has paid debts at the counter."),
		func(ctx context.Context, in *settleInput) (*doneOutput, error) {
			return s.done(ctx, transit.Settle{Account: in.Account, Bill: in.Body.Bill})
		})
	huma.Register(api, operatorOperation("post-retry", http.MethodPost, "/v1/bills/{bill}/retries", "Ask for a debt again now."),
		func(ctx context.Context, in *billInput) (*doneOutput, error) {
			return s.done(ctx, transit.Retry{Bill: in.Bill})
		})
	huma.Register(api, operatorOperation("post-refund", http.MethodPost, "/v1/bills/{bill}/refunds", "Give a paid bill back, or a part of it."),
		func(ctx context.Context, in *refundInput) (*doneOutput, error) {
			refund := transit.RefundBill{Bill: in.Bill}
			if in.Body.Amount != "" {
				amount, err := money.Parse(in.Body.Amount, s.config.Currency)
				if err != nil || amount.Sign() <= 0 {
					return nil, huma.Error422UnprocessableEntity("amount is not a decimal above zero")
				}
				refund.Minor = amount.Minor()
			}
			return s.done(ctx, refund)
		})
	huma.Register(api, operatorOperation("post-write-off", http.MethodPost, "/v1/bills/{bill}/write-offs", "Give a debt up; the card stays on the list."),
		func(ctx context.Context, in *billInput) (*doneOutput, error) {
			return s.done(ctx, transit.WriteOff{Bill: in.Bill})
		})
	huma.Register(api, operatorOperation("put-block", http.MethodPut, "/v1/credentials/{credential}/block", "Stop a card."),
		func(ctx context.Context, in *blockInput) (*doneOutput, error) {
			return s.done(ctx, transit.Block{Credential: in.Credential, Reason: stops[in.Body.Reason]})
		})
	huma.Register(api, operatorOperation("delete-block", http.MethodDelete, "/v1/credentials/{credential}/block", "Let a card ride again."),
		func(ctx context.Context, in *unblockInput) (*doneOutput, error) {
			return s.done(ctx, transit.Unblock{Credential: in.Credential})
		})
	huma.Register(api, operatorOperation("put-enrolment", http.MethodPut, "/v1/accounts/{account}/enrolment", "Connect a rider's app, set the category."),
		func(ctx context.Context, in *enrolInput) (*doneOutput, error) {
			enrol := transit.Enrol{Account: in.Account, Category: in.Body.Category}
			if in.Body.Token != "" {
				enrol.Token = sha256.Sum256([]byte(in.Body.Token))
			}
			return s.done(ctx, enrol)
		})
}

// stops are the reasons by which an operator may stop a card.
var stops = map[string]denylist.Reason{
	"counterfeit": denylist.Counterfeit, "stolen": denylist.Stolen, "lost": denylist.Lost, "closed": denylist.Closed, "operator": denylist.Operator,
}

func (s *server) done(ctx context.Context, command any) (*doneOutput, error) {
	done, err := ask[transit.Done](ctx, s, command)
	out := &doneOutput{}
	out.Body.Amount = s.decimal(done.Minor)
	return out, err
}

func (s *server) decimal(minor int64) string { return money.New(minor, s.config.Currency).Decimal() }

func dayOf(text string) (fares.Date, error) {
	date, err := fares.ParseDate(text)
	if err != nil {
		return 0, huma.Error422UnprocessableEntity("a day looks like 2026-01-31")
	}
	return date, nil
}

func deviceOf(v transit.DeviceView) Device {
	d := Device{
		Device: v.Device, Records: v.Reached.Sequence, Missing: []Gap{}, Taps: v.Taps, Opened: v.Opened, Refused: v.Refused, Why: v.Why, ClockAhead: v.Ahead,
		ClockBehind: int64(v.Clock.Round(time.Second).Seconds()),
		Heard:       instant(v.Heard), ListSequence: v.Health.ListSequence, ListEpoch: uint32(v.Health.ListEpoch), ListAgeSeconds: -1, Keys: []uint32{},
		Backlog: v.Health.Backlog, Trouble: v.Health.Trouble,
	}
	for _, e := range v.Health.Epochs {
		d.Keys = append(d.Keys, uint32(e))
	}
	if v.ListAge >= 0 {
		d.ListAgeSeconds = int64(v.ListAge.Seconds())
	}
	for _, g := range v.Missing {
		d.Missing = append(d.Missing, Gap(g))
	}
	return d
}

func (s *server) reportOf(r transit.Report) Report {
	t := &r.Totals
	out := Report{
		Taps: t.Taps, Opened: t.Opened, TapStates: map[string]uint64{}, Accounts: r.Accounts, Bills: map[string]uint64{}, Listed: r.Listed,
		Currency: s.config.Currency.Code(), Charged: s.decimal(t.Charged), Credited: s.decimal(t.Credited), Paid: s.decimal(t.Paid), Settled: s.decimal(t.Settled),
		Refunded: s.decimal(t.Refunded), Owed: s.decimal(t.Owed), WrittenOff: s.decimal(t.Lost), Acquirer: s.decimal(r.Acquirer),
		LossPerMillion: s.decimal(int64(r.LossPerMillion)), Troubles: r.Troubles, PurseRefused: r.PurseRefused,
	}
	for state, n := range t.States {
		out.TapStates[state.String()] = n
	}
	for state, n := range r.Bills {
		out.Bills[state.String()] = n
	}
	return out
}

func (s *server) dayView(v transit.DayView) Day {
	return Day{
		Day: v.Day.String(), Closed: v.Closed, Journeys: v.Journeys, Amount: s.decimal(v.Minor), Bills: v.Bills, Billed: s.decimal(v.Billed), Paid: s.decimal(v.Paid),
		Owed: s.decimal(v.Owed), Lost: s.decimal(v.Lost), Open: s.decimal(v.Open), Refunded: s.decimal(v.Refunded), Currency: s.config.Currency.Code(),
	}
}

package transithttp

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/glossary"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/money"
)

// Both is a text in both languages.
type Both struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

func both(t glossary.Term) Both { return Both(t) }

// Tap is one end of a journey.
type Tap struct {
	Device   string `json:"device,omitempty"`
	Sequence uint64 `json:"sequence,omitempty"`
	At       string `json:"at,omitempty" format:"date-time"`
	Place    string `json:"place,omitempty"`
	Medium   string `json:"medium,omitempty" doc:"which card or phone of the rider"`
	Tapped   bool   `json:"tapped" doc:"false: the tap is missing, or its place was filled in"`
	State    *Both  `json:"state,omitempty"`
}

// Reason is one step to an amount.
type Reason struct {
	Reason string `json:"reason"`
	Amount string `json:"amount" doc:"what the step adds or takes, as a decimal"`
	Both
}

// Journey is what a rider pays for.
type Journey struct {
	Day     string   `json:"day" format:"date"`
	Service string   `json:"service"`
	Route   string   `json:"route,omitempty"`
	State   string   `json:"state"`
	Start   Tap      `json:"start"`
	End     Tap      `json:"end"`
	Fare    string   `json:"fare"`
	Amount  string   `json:"amount"`
	Steps   []Reason `json:"steps"`
}

// Bill is a sum that was asked for.
type Bill struct {
	Bill       uint64 `json:"bill"`
	Account    int64  `json:"account"`
	Credential int64  `json:"credential"`
	Day        string `json:"day" format:"date"`
	State      Both   `json:"state"`
	Amount     string `json:"amount"`
	Refunded   string `json:"refunded"`
	Currency   string `json:"currency"`
	Next       string `json:"next,omitempty" format:"date-time" doc:"when it is asked for again"`
	Code       string `json:"code,omitempty" doc:"last answer of the acquirer, field 39"`
	Answer     *Both  `json:"answer,omitempty"`
}

// Credential is a card or phone of the rider.
type Credential struct {
	Credential int64  `json:"credential"`
	Medium     string `json:"medium"`
	ID         string `json:"id" doc:"the beginning of a keyed hash; no card number"`
	Approved   string `json:"approved,omitempty" format:"date-time"`
	Listed     bool   `json:"listed" doc:"gates do not let it in"`
	Stop       *Both  `json:"stop,omitempty"`
}

// Account is a rider as the operator sees one.
type Account struct {
	Account     int64        `json:"account"`
	Category    string       `json:"category,omitempty"`
	Currency    string       `json:"currency"`
	Credentials []Credential `json:"credentials"`
	Journeys    []Journey    `json:"journeys"`
	Inspections []Inspection `json:"inspections" doc:"what inspectors' devices found"`
	Bills       []Bill       `json:"bills"`
	Total       string       `json:"total"`
	Owed        string       `json:"owed"`
	Restricted  bool         `json:"restricted" doc:"too many incomplete journeys this year"`
}

type accountOutput struct{ Body Account }

type correctionInput struct {
	Body struct {
		Device   string `json:"device" maxLength:"64" minLength:"1"`
		Sequence uint64 `json:"sequence" minimum:"1"`
		Place    string `json:"place" maxLength:"64" minLength:"1"`
	}
}

type billInput struct {
	Bill uint64 `path:"bill" minimum:"1"`
}

func (s *server) riders(api huma.API) {
	operation := func(name, method, path, summary string) huma.Operation {
		return huma.Operation{
			OperationID: name, Method: method, Path: path, Summary: summary, Tags: []string{"riders"}, MaxBodyBytes: maxBody,
			Security: []map[string][]string{{riderScheme: {}}},
			Errors:   []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusTooManyRequests},
		}
	}
	huma.Register(api, operation("get-rider", http.MethodGet, "/v1/rider", "My journeys and bills, with the reason of every amount."),
		func(ctx context.Context, _ *struct{}) (*accountOutput, error) { return s.account(ctx, rider(ctx)) })
	correct := operation("post-correction", http.MethodPost, "/v1/rider/corrections", "State where the missing tap of a journey was.")
	correct.DefaultStatus = http.StatusNoContent
	huma.Register(api, correct, func(ctx context.Context, in *correctionInput) (*struct{}, error) {
		_, err := ask[transit.Done](ctx, s, transit.Correct{
			Account: rider(ctx), Journey: fares.TapID{Device: in.Body.Device, Sequence: in.Body.Sequence}, Place: in.Body.Place,
		})
		return nil, err
	})
	pay := operation("post-rider-payment", http.MethodPost, "/v1/rider/bills/{bill}/payments", "Have a debt asked for again now: there is money on the card.")
	pay.DefaultStatus = http.StatusAccepted
	huma.Register(api, pay, func(ctx context.Context, in *billInput) (*struct{}, error) {
		view, err := ask[transit.AccountView](ctx, s, transit.ViewAccount{Account: rider(ctx)})
		if err != nil {
			return nil, err
		}
		for i := range view.Bills {
			if view.Bills[i].Bill == in.Bill {
				_, err := ask[transit.Done](ctx, s, transit.Retry{Bill: in.Bill, Rider: true})
				return nil, err
			}
		}
		return nil, refusal(transit.ErrUnknown)
	})
}

// rider is whose token came along.
func rider(ctx context.Context) int64 {
	account, _ := ctx.Value(riderKey{}).(int64)
	return account
}

func (s *server) account(ctx context.Context, number int64) (*accountOutput, error) {
	view, err := ask[transit.AccountView](ctx, s, transit.ViewAccount{Account: number})
	if err != nil {
		return nil, err
	}
	return &accountOutput{Body: accountOf(&view)}, nil
}

func accountOf(v *transit.AccountView) Account {
	currency := v.Statement.Total.Currency()
	a := Account{
		Account: v.Account, Category: v.Category, Currency: currency.Code(), Credentials: []Credential{}, Journeys: []Journey{}, Bills: []Bill{},
		Total: v.Statement.Total.Decimal(), Restricted: v.Statement.Restricted,
	}
	for _, c := range v.Credentials {
		out := Credential{Credential: c.Credential, Medium: c.Medium, ID: c.ID.String(), Approved: instant(c.Approved), Listed: c.Listed}
		if c.Stop != 0 {
			why := both(c.Stop.Term())
			out.Stop = &why
		}
		a.Credentials = append(a.Credentials, out)
	}
	for i := range v.Statement.Journeys {
		a.Journeys = append(a.Journeys, journeyOf(v, &v.Statement.Journeys[i]))
	}
	a.Journeys, a.Inspections = withPaid(a.Journeys, v, currency), inspectionsOf(v)
	var owed int64
	for _, b := range v.Bills {
		a.Bills = append(a.Bills, billOf(b, currency))
		if b.State.Denies() && b.State != transit.WrittenOff {
			owed += b.Minor
		}
	}
	a.Owed = money.New(owed, currency).Decimal()
	return a
}

func journeyOf(v *transit.AccountView, j *fares.Journey) Journey {
	out := Journey{
		Day: j.Day.String(), Service: j.Service, Route: j.Route, State: string(j.State), Fare: j.Fare.Decimal(), Amount: j.Amount.Decimal(),
		Start: tapOf(v, j.Start), End: tapOf(v, j.End), Steps: []Reason{},
	}
	for _, step := range j.Steps {
		out.Steps = append(out.Steps, Reason{Reason: string(step.Reason), Amount: step.Amount.Decimal(),
			Both: Both{EN: step.Text(glossary.English), ZH: step.Text(glossary.Chinese)}})
	}
	return out
}

func tapOf(v *transit.AccountView, p fares.Point) Tap {
	t := Tap{Device: p.Tap.Device, Sequence: p.Tap.Sequence, At: instant(p.At), Place: p.Place, Medium: p.Medium, Tapped: p.Tapped}
	if state, ok := v.TapStates[p.Tap]; ok && p.Tapped {
		text := both(state.Term())
		t.State = &text
	}
	return t
}

func billOf(b transit.BillView, currency money.Currency) Bill {
	out := Bill{
		Bill: b.Bill, Account: b.Account, Credential: b.Credential, Day: b.Day.String(), State: both(b.State.Term()),
		Amount: money.New(b.Minor, currency).Decimal(), Refunded: money.New(b.Refunded, currency).Decimal(), Currency: currency.Code(), Next: instant(b.Next),
		Code: string(b.Code),
	}
	if b.Code != "" {
		text := both(b.Code.Term())
		out.Answer = &text
	}
	return out
}

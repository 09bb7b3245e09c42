package transithttp

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/internal/transit"
)

// Decision is one decision about a rider, with its reason and time.
type Decision struct {
	Row        uint64 `json:"row" doc:"of the journal: ask with after for what follows it"`
	At         string `json:"at" format:"date-time"`
	What       Both   `json:"what"`
	Credential int64  `json:"credential,omitempty"`
	Bill       uint64 `json:"bill,omitempty"`
	Amount     string `json:"amount,omitempty" doc:"less than zero: the rider is owed it"`
	Code       string `json:"code,omitempty" doc:"answer of the acquirer, field 39"`
	Class      *Both  `json:"class,omitempty" doc:"what the answer means for the bill"`
	Next       string `json:"next,omitempty" format:"date-time" doc:"when the bill is asked for again"`
}

// History is what was decided about a rider, oldest first.
type History struct {
	Account   int64      `json:"account"`
	Currency  string     `json:"currency"`
	Decisions []Decision `json:"decisions"`
	Read      uint64     `json:"read" doc:"last row of the journal that was looked at: ask with after for what follows it"`
	Last      uint64     `json:"last" doc:"last row there is: nothing follows when read is the same"`
}

type (
	historyInput struct {
		Account int64  `path:"account" minimum:"1"`
		After   uint64 `query:"after" doc:"row of the journal after which to begin"`
		Most    int    `query:"most" minimum:"1" maximum:"500" default:"100"`
	}
	riderHistoryInput struct {
		After uint64 `query:"after" doc:"row of the journal after which to begin"`
		Most  int    `query:"most" minimum:"1" maximum:"500" default:"100"`
	}
	historyOutput struct{ Body History }
)

// histories bounds the readers at work: each looks through a piece of the journal.
const histories = 2

// history registers the decisions about a rider: all for the operator, those about money for the rider.
func (s *server) history(api huma.API) {
	readers := make(chan struct{}, histories)
	all := operatorOperation("get-history", http.MethodGet, "/v1/accounts/{account}/history", "Every decision about a rider, with its reason and time.")
	huma.Register(api, all,
		func(ctx context.Context, in *historyInput) (*historyOutput, error) {
			return s.decisions(ctx, readers, in.Account, in.After, in.Most, func(*transit.Decision) bool { return true })
		})
	mine := operatorOperation("get-rider-history", http.MethodGet, "/v1/rider/history", "What was decided about my money, with reason and time.")
	mine.Tags, mine.Security = []string{"riders"}, []map[string][]string{{riderScheme: {}}}
	huma.Register(api, mine, func(ctx context.Context, in *riderHistoryInput) (*historyOutput, error) {
		return s.decisions(ctx, readers, rider(ctx), in.After, in.Most, (*transit.Decision).Money)
	})
}

func (s *server) decisions(
	ctx context.Context, readers chan struct{}, account int64, after uint64, most int, shown func(*transit.Decision) bool,
) (*historyOutput, error) {
	trail, err := ask[transit.Trail](ctx, s, transit.ViewHistory{Account: account})
	if err != nil {
		return nil, err
	}
	select {
	case readers <- struct{}{}:
		defer func() { <-readers }()
	case <-ctx.Done():
		return nil, refusal(ctx.Err())
	}
	archive := s.config.Archive()
	if archive == nil {
		return nil, refusal(nil)
	}
	found, err := transit.History(ctx, archive, trail, after, most)
	if err != nil {
		return nil, refusal(err)
	}
	out := &historyOutput{Body: History{Account: trail.Account, Currency: s.config.Currency.Code(), Decisions: []Decision{}, Read: found.Read, Last: trail.Last}}
	for i := range found.List {
		if shown(&found.List[i]) {
			out.Body.Decisions = append(out.Body.Decisions, s.decisionOf(&found.List[i]))
		}
	}
	return out, nil
}

func (s *server) decisionOf(d *transit.Decision) Decision {
	out := Decision{Row: d.Row, At: instant(d.At), What: both(d.What), Credential: d.Credential, Bill: d.Bill, Code: string(d.Code), Next: instant(d.Next)}
	if d.Minor != 0 {
		out.Amount = s.decimal(d.Minor)
	}
	if d.Class != 0 {
		class := both(d.Class.Term())
		out.Class = &class
	}
	return out
}

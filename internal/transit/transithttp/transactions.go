package transithttp

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
)

// Transactions are the journeys of riders as TIDES fare transactions.
type Transactions struct {
	Currency string              `json:"currency"`
	Riders   []RiderTransactions `json:"riders"`
	Next     int64               `json:"next" doc:"ask with after for what follows; 0: nothing does"`
}

// RiderTransactions are those of one account.
type RiderTransactions struct {
	Account      int64               `json:"account"`
	Transactions []fares.Transaction `json:"transactions" doc:"the amount stands in the last one of a journey; they add up to its charge as of now"`
}

type (
	transactionsInput struct {
		Day   string `query:"day" format:"date" maxLength:"10" doc:"only journeys of this service day"`
		After int64  `query:"after" minimum:"0" doc:"account after which to begin"`
		Most  int    `query:"most" minimum:"1" maximum:"500" default:"200" doc:"riders in one answer"`
	}
	transactionsOutput struct{ Body Transactions }
)

// transactions registers the export of journeys in bulk.
func (s *server) transactions(api huma.API) {
	huma.Register(api, operatorOperation("get-transactions", http.MethodGet, "/v1/transactions", "Journeys in bulk, as TIDES fare transactions."),
		func(ctx context.Context, in *transactionsInput) (*transactionsOutput, error) {
			day := fares.Date(0)
			if in.Day != "" {
				var err error
				if day, err = dayOf(in.Day); err != nil {
					return nil, err
				}
			}
			found, err := ask[transit.Statements](ctx, s, transit.ViewStatements{After: in.After, Most: in.Most})
			if err != nil {
				return nil, err
			}
			out := &transactionsOutput{Body: Transactions{Currency: s.config.Currency.Code(), Riders: []RiderTransactions{}, Next: found.Next}}
			for _, st := range found.List {
				if in.Day != "" {
					st = st.Of(day)
				}
				account, err := strconv.ParseInt(st.Account, 10, 64)
				if err != nil || len(st.Journeys) == 0 {
					continue
				}
				out.Body.Riders = append(out.Body.Riders, RiderTransactions{Account: account, Transactions: st.Transactions(nil)})
			}
			return out, nil
		})
}

package fares

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"tapnet/money"
)

// tidesHeader are the fields of fare_transactions in the order of the published schema.
var tidesHeader = []string{
	"transaction_id", "service_date", "event_timestamp", "amount", "currency_type", "fare_action", "trip_id_performed", "pattern_id",
	"stop_sequence", "vehicle_id", "device_id", "fare_id", "stop_id", "num_riders", "fare_media_id", "rider_category", "fare_product",
	"fare_period", "fare_capped", "token_id", "balance",
}

// The actions that journeys have.
const (
	tidesEnter         = "Enter"
	tidesExit          = "Exit"
	tidesTransferEnter = "Transfer entrance"
	tidesTransferExit  = "Transfer exit"
	tidesAdjust        = "Adjust"
)

// WriteTIDES writes statements as TIDES fare_transactions in CSV: a row for every tap of a journey and, where a tap is missing and something
// is charged, a row that adjusts. The amount stands in the last row of a journey, so that the column adds up to the charges. A token is the
// medium of a tap, which is never a card number. Trips, vehicles, patterns and balances are not known here and stay empty.
func WriteTIDES(w io.Writer, zone *time.Location, statements ...*Statement) error {
	if zone == nil {
		zone = time.UTC
	}
	out := csv.NewWriter(w)
	if err := out.Write(tidesHeader); err != nil {
		return fmt.Errorf("write fare transactions: %w", err)
	}
	for _, s := range statements {
		for i := range s.Journeys {
			if err := writeJourney(out, zone, s, &s.Journeys[i]); err != nil {
				return fmt.Errorf("write fare transactions: %w", err)
			}
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return fmt.Errorf("write fare transactions: %w", err)
	}
	return nil
}

func writeJourney(out *csv.Writer, zone *time.Location, s *Statement, j *Journey) error {
	has := func(reasons ...Reason) bool {
		return slices.ContainsFunc(j.Steps, func(x Step) bool { return slices.Contains(reasons, x.Reason) })
	}
	enter, exit := tidesEnter, tidesExit
	if has(ReasonTransfer) {
		enter, exit = tidesTransferEnter, tidesTransferExit
	}
	row := func(id string, p Point, action string, amount money.Amount) []string {
		stop := ""
		if j.Route != "" {
			stop = strconv.Itoa(p.Stop)
		}
		return []string{
			id, j.Day.String(), p.At.In(zone).Format(time.RFC3339), amount.Decimal(), amount.Currency().Code(), action, "", "", stop, "", p.Tap.Device,
			"", p.Place, "1", "", s.Category, j.Service, j.Timeframe, strconv.FormatBool(has(ReasonDayCap, ReasonWeekCap)), p.Medium, "",
		}
	}
	nothing := money.New(0, j.Amount.Currency())
	var rows [][]string
	switch {
	case j.Start.Tapped && j.End.Tapped && j.Start.Tap == j.End.Tap:
		rows = [][]string{row(j.Start.Tap.String(), j.Start, enter, j.Amount)}
	case j.Start.Tapped && j.End.Tapped:
		rows = [][]string{row(j.Start.Tap.String(), j.Start, enter, nothing), row(j.End.Tap.String(), j.End, exit, j.Amount)}
	case j.Start.Tapped:
		rows = [][]string{row(j.Start.Tap.String(), j.Start, enter, nothing)}
	default:
		rows = [][]string{row(j.End.Tap.String(), j.End, exit, nothing)}
	}
	if j.Start.Tapped != j.End.Tapped && j.Amount.Sign() != 0 {
		p := j.Start
		if !p.Tapped {
			p = j.End
		}
		rows = append(rows, row(j.ID.String()+"/adjust", p, tidesAdjust, j.Amount))
	}
	return out.WriteAll(rows)
}

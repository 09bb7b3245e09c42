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

// Transaction is one row of fare_transactions. Fields that are not known here are empty: trips, vehicles, patterns, fare classes, balances.
type Transaction struct {
	ID           string `json:"transaction_id"`
	ServiceDate  string `json:"service_date"`
	At           string `json:"event_timestamp"`
	Amount       string `json:"amount"`
	Currency     string `json:"currency_type"`
	Action       string `json:"fare_action"`
	StopSequence string `json:"stop_sequence,omitempty"`
	Device       string `json:"device_id"`
	Stop         string `json:"stop_id,omitempty"`
	Category     string `json:"rider_category,omitempty"`
	Product      string `json:"fare_product"`
	Period       string `json:"fare_period,omitempty"`
	Capped       bool   `json:"fare_capped"`
	Token        string `json:"token_id"`
}

func (t *Transaction) cells() []string {
	return []string{t.ID, t.ServiceDate, t.At, t.Amount, t.Currency, t.Action, "", "", t.StopSequence, "", t.Device, "", t.Stop, "1", "", t.Category, t.Product,
		t.Period, strconv.FormatBool(t.Capped), t.Token, ""}
}

// WriteTIDES writes statements as TIDES fare_transactions in CSV; see Transactions.
func WriteTIDES(w io.Writer, zone *time.Location, statements ...*Statement) error {
	out, err := NewTIDESWriter(w)
	if err != nil {
		return err
	}
	for _, s := range statements {
		if err := out.Write(s.Transactions(zone)...); err != nil {
			return err
		}
	}
	return out.Flush()
}

// TIDESWriter writes fare_transactions row by row.
type TIDESWriter struct{ csv *csv.Writer }

// NewTIDESWriter writes the header.
func NewTIDESWriter(w io.Writer) (*TIDESWriter, error) {
	out := &TIDESWriter{csv.NewWriter(w)}
	if err := out.csv.Write(tidesHeader); err != nil {
		return nil, fmt.Errorf("write fare transactions: %w", err)
	}
	return out, nil
}

// Write adds rows.
func (w *TIDESWriter) Write(transactions ...Transaction) error {
	for i := range transactions {
		if err := w.csv.Write(transactions[i].cells()); err != nil {
			return fmt.Errorf("write fare transactions: %w", err)
		}
	}
	return nil
}

// Flush hands on what was written.
func (w *TIDESWriter) Flush() error {
	w.csv.Flush()
	if err := w.csv.Error(); err != nil {
		return fmt.Errorf("write fare transactions: %w", err)
	}
	return nil
}

// Transactions gives a statement as fare transactions: one for every tap of a journey and, where a tap is missing and something is charged, one that adjusts.
// The amount stands in the last one of a journey, so that the amounts add up to the charges. A token is the medium of a tap, which is never a card number.
// Instants are written with the zone's offset; nil is UTC.
func (s *Statement) Transactions(zone *time.Location) []Transaction {
	if zone == nil {
		zone = time.UTC
	}
	var rows []Transaction
	for i := range s.Journeys {
		rows = s.Journeys[i].transactions(rows, s.Category, zone)
	}
	return rows
}

func (j *Journey) has(reasons ...Reason) bool {
	return slices.ContainsFunc(j.Steps, func(x Step) bool { return slices.Contains(reasons, x.Reason) })
}

func (j *Journey) transactions(rows []Transaction, category string, zone *time.Location) []Transaction {
	enter, exit := tidesEnter, tidesExit
	if j.has(ReasonTransfer) {
		enter, exit = tidesTransferEnter, tidesTransferExit
	}
	capped := j.has(ReasonDayCap, ReasonWeekCap)
	row := func(id string, p Point, action string, amount money.Amount) {
		stop := ""
		if j.Route != "" {
			stop = strconv.Itoa(p.Stop)
		}
		rows = append(rows, Transaction{
			ID: id, ServiceDate: j.Day.String(), At: p.At.In(zone).Format(time.RFC3339), Amount: amount.Decimal(), Currency: amount.Currency().Code(), Action: action,
			StopSequence: stop, Device: p.Tap.Device, Stop: p.Place, Category: category, Product: j.Service, Period: j.Timeframe, Capped: capped, Token: p.Medium,
		})
	}
	nothing := money.New(0, j.Amount.Currency())
	switch {
	case j.Start.Tapped && j.End.Tapped && j.Start.Tap == j.End.Tap:
		row(j.Start.Tap.String(), j.Start, enter, j.Amount)
	case j.Start.Tapped && j.End.Tapped:
		row(j.Start.Tap.String(), j.Start, enter, nothing)
		row(j.End.Tap.String(), j.End, exit, j.Amount)
	case j.Start.Tapped:
		row(j.Start.Tap.String(), j.Start, enter, nothing)
	default:
		row(j.End.Tap.String(), j.End, exit, nothing)
	}
	if j.Start.Tapped != j.End.Tapped && j.Amount.Sign() != 0 {
		p := j.Start
		if !p.Tapped {
			p = j.End
		}
		row(j.ID.String()+"/adjust", p, tidesAdjust, j.Amount)
	}
	return rows
}

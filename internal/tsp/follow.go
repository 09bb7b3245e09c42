package tsp

import (
	"context"
	"errors"
	"fmt"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
)

// Who keeps keys of tokens follows their states: the journal's row is the serial, and saying a state twice changes nothing.

// maxFollowed and maxScanned bound one answer: changes that it has, and rows that are looked at for it.
const (
	maxFollowed = 500
	maxScanned  = 20_000
)

// ChangesIn gives the tokens that a row has changed, as they were afterwards. It may be called at any time.
func (s *TSP) ChangesIn(r *journal.Row) (changes []tspapi.Followed, err error) {
	switch r.Kind {
	case journal.Opened, journal.CardChanged, journal.Declined:
	default:
		return nil, nil // payments and data keys change no token's state
	}
	if len(r.Note) == 0 {
		return nil, nil
	}
	records, err := parseRecords(r.Note)
	if err != nil {
		return nil, fmt.Errorf("row %d: %w", r.Seq, err)
	}
	for _, one := range records {
		if t, ok := one.(*Token); ok {
			reference, err := s.reference(t)
			if err != nil {
				return nil, err
			}
			changes = append(changes, tspapi.Followed{Serial: r.Seq, Token: reference, State: t.State.String()})
		}
	}
	return changes, nil
}

var errEnough = errors.New("tsp: enough for one answer")

// Changes gives the changes after a serial, in order. rows are those of the service's own store.
func (s *TSP) Changes(ctx context.Context, rows interface {
	Load(ctx context.Context, after uint64, fn func(*journal.Row) error) error
}, after uint64,
) (tspapi.Changes, error) {
	out := tspapi.Changes{Changes: []tspapi.Followed{}, Next: after}
	scanned := 0
	err := rows.Load(ctx, after, func(r *journal.Row) error {
		if scanned++; scanned > maxScanned || len(out.Changes) >= maxFollowed {
			out.More = true
			return errEnough
		}
		changes, err := s.ChangesIn(r)
		if err != nil {
			return err
		}
		out.Changes, out.Next = append(out.Changes, changes...), r.Seq
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return tspapi.Changes{}, fmt.Errorf("tsp: changes after %d: %w", after, err)
	}
	return out, nil
}

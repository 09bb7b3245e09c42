package journalsql

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
)

// TestPickGivesTheRowsOfCards: the same rows that a load gives, those of the cards and those of no card and the kinds, and nothing else.
func TestPickGivesTheRowsOfCards(t *testing.T) {
	s, chain, epoch := filled(t, 300)
	more := []journal.Row{{Kind: journal.Noted}, {Kind: journal.CardChanged, Card: 7}, {Kind: journal.Charged, Card: 8}, {Kind: journal.DayClosed}, {Kind: journal.Noted, Card: 9}}
	if err := s.Commit(t.Context(), epoch, journaltest.Seal(chain, more...), nil); err != nil {
		t.Fatal(err)
	}
	all := journaltest.Load(t, s, 0)
	for _, test := range []struct {
		after, last uint64
		cards       []int64
		kinds       []journal.Kind
	}{
		{0, 305, []int64{7, 8}, []journal.Kind{journal.Noted}}, {0, 305, nil, []journal.Kind{journal.Noted, journal.DayClosed}}, {0, 305, []int64{9}, nil},
		{301, 303, []int64{7, 8, 9}, nil}, {305, 400, []int64{7}, nil}, {0, 0, []int64{7}, nil}, {0, 1 << 63, []int64{7}, nil}, {17, 303, []int64{all[20].Card}, nil},
	} {
		var want, got []journal.Row
		for _, r := range all {
			if r.Seq > test.after && r.Seq <= test.last && (slices.Contains(test.cards, r.Card) || r.Card == 0 && slices.Contains(test.kinds, r.Kind)) {
				want = append(want, r)
			}
		}
		if test.last == 1<<63 { // far beyond the end: the last slice is enough to look at
			test.after, want = 300, want[len(want)-1:]
			test.last = 1 << 20
		}
		err := s.Pick(t.Context(), test.after, test.last, test.cards, test.kinds, func(r *journal.Row) error {
			got = append(got, *r)
			return nil
		})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: %d rows, want %d, %v", test, len(got), len(want), err)
		}
	}
	enough := errors.New("enough")
	n := 0
	if err := s.Pick(t.Context(), 0, 305, []int64{7, 8}, nil, func(*journal.Row) error { n++; return enough }); !errors.Is(err, enough) || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Pick(t.Context(), 0, 305, []int64{7}, nil, func(*journal.Row) error { return nil }); !errors.Is(err, journal.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
}

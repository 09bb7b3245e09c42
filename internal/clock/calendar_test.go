package clock

import (
	"testing"
	"time"
)

func TestBusinessDate(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	shanghai := Calendar{Zone: Shanghai()}
	evening := Calendar{Zone: Shanghai(), CutOff: 23 * time.Hour}
	for _, c := range []struct {
		calendar Calendar
		now      string
		want     int32
	}{
		{Calendar{}, "2026-11-21T23:59:59Z", 20261121},
		{Calendar{}, "2026-11-22T00:00:00+08:00", 20261121},
		{shanghai, "2026-11-21T15:59:59Z", 20261121},
		{shanghai, "2026-11-21T16:00:00Z", 20261122},
		{evening, "2026-11-21T14:59:59Z", 20261121},
		{evening, "2026-11-21T15:00:00Z", 20261122},
		{evening, "2026-11-30T15:00:00Z", 20261201},
		{evening, "2026-12-31T15:30:00Z", 20270101},
		{evening, "2028-02-28T15:00:00Z", 20280229},
		{evening, "2026-12-31T16:00:00Z", 20270101}, // local midnight: the new day, not the one after
	} {
		if got := c.calendar.BusinessDate(at(c.now)); got != c.want {
			t.Errorf("%s with cut-off %v: %d, want %d", c.now, c.calendar.CutOff, got, c.want)
		}
	}
}

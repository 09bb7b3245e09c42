package metro

import (
	"fmt"
	"slices"
	"time"

	"tapnet/internal/transit"
)

// Ages is how long changes took from the decision to a gate.
type Ages struct {
	Changes int           `json:"changes"` // at gates: a change at a thousand gates counts a thousand times
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
	// TwoMinutes and FiveMinutes are the parts that took no longer.
	TwoMinutes  float64 `json:"within_120_s"`
	FiveMinutes float64 `json:"within_300_s"`
}

// Report is what a run showed.
type Report struct {
	Options Options `json:"options"`
	Taps    int     `json:"taps"`
	Opened  int     `json:"opened"`
	Stopped int     `json:"stopped_by_list"`
	Claims  int     `json:"claims"`
	Lost    int     `json:"questions_without_answer"`
	Altered int     `json:"answers_altered"`
	Refused uint64  `json:"answers_refused"`
	Adds    Ages    `json:"adds"`
	Removes Ages    `json:"removals"`
	Behind  int     `json:"gates_behind_at_the_end"`
	// Of the credentials that nobody pays for.
	BadSeen     int     `json:"bad_credentials"`
	BadRides    int     `json:"bad_rides"`
	MostRides   int     `json:"most_rides_of_one"`
	LossMinor   int64   `json:"loss_minor"`
	PerMillion  float64 `json:"loss_per_million_taps_minor"`
	PerBad      float64 `json:"rides_per_bad_credential"`
	PerChaser   float64 `json:"rides_per_chasing_credential"`
	PerOrdinary float64 `json:"rides_per_ordinary_bad_credential"`

	// What the office's own books say after the day's close: riders were charged, the acquirer paid, riders owe.
	Charged   int64   `json:"charged_minor"`
	Paid      int64   `json:"paid_minor"`
	Owed      int64   `json:"owed_minor"`
	OwedTaps  float64 `json:"owed_per_million_taps_minor"`
	Bills     uint64  `json:"bills"`
	NotBilled uint64  `json:"taps_not_decided"`

	// Unsent are records that the office does not have at the end, minutes after their gate's last tap.
	Unsent   uint64    `json:"records_not_uploaded"`
	Rotation *Rotation `json:"rotation,omitempty"`
	Findings []string  `json:"findings"`
}

// maxFindings is how many are told.
const maxFindings = 20

func (r *Report) find(format string, args ...any) {
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

// Good reports whether everything held.
func (r *Report) Good() bool { return len(r.Findings) == 0 }

func ages(all []time.Duration) Ages {
	a := Ages{Changes: len(all)}
	if len(all) == 0 {
		a.TwoMinutes, a.FiveMinutes = 1, 1
		return a
	}
	slices.Sort(all)
	at := func(percent int) time.Duration {
		return all[min(len(all)-1, len(all)*percent/100)].Round(time.Millisecond)
	}
	within := func(d time.Duration) float64 {
		n, _ := slices.BinarySearch(all, d+1)
		return float64(n) / float64(len(all))
	}
	a.P50, a.P99, a.Max = at(50), at(99), at(100)
	a.TwoMinutes, a.FiveMinutes = within(2*time.Minute), within(5*time.Minute)
	return a
}

// underWay is how long a record may be on its way: what a device waits after failures.
const underWay = 4 * time.Minute // beside the outage itself

// finish adds everything up.
func (c *city) finish(books *transit.Report, now time.Time) {
	r := c.report
	t := &books.Totals
	r.Charged, r.Paid, r.Owed, r.OwedTaps, r.Bills, r.NotBilled = t.Charged, t.Paid, t.Owed, books.LossPerMillion, t.Bills, t.States[transit.TapPending]
	if t.Charged != t.Paid+t.Owed+t.Settled+t.Lost+c.desk.due(books) {
		r.find("charged %d, paid %d, owed %d, settled %d, written off %d", t.Charged, t.Paid, t.Owed, t.Settled, t.Lost)
	}
	r.Adds, r.Removes = ages(c.adds), ages(c.removes)
	for _, l := range c.lanes {
		r.Refused += l.courier.Strange
		if now.Sub(l.tapped) > underWay+r.Options.Outage {
			r.Unsent += l.gate.Head().Sequence - l.log.from.Sequence
		}
		if time.Duration(c.desk.at.Sequence-l.sequence)*r.Options.Publish > r.Options.Outage+settle/5 {
			r.Behind++
		}
	}
	chasers, chased, ordinary, ridden := 0, 0, 0, 0
	for _, rider := range c.riders {
		n := len(rider.opened)
		if !rider.bad || n == 0 {
			continue
		}
		r.BadSeen, r.BadRides, r.MostRides = r.BadSeen+1, r.BadRides+n, max(r.MostRides, n)
		if rider.chasing {
			chasers, chased = chasers+1, chased+n
		} else {
			ordinary, ridden = ordinary+1, ridden+n
		}
	}
	per := func(n, of int) float64 { return float64(n) / float64(max(1, of)) }
	r.LossMinor = int64(r.BadRides) * r.Options.Fare
	r.PerMillion = float64(r.LossMinor) * 1e6 / float64(max(1, r.Taps))
	r.PerBad, r.PerChaser, r.PerOrdinary = per(r.BadRides, r.BadSeen), per(chased, chasers), per(ridden, ordinary)
	if r.Unsent > 0 {
		r.find("%d records of gates are not at the office", r.Unsent)
	}
	if r.Behind > 0 {
		r.find("%d gates are behind at the end", r.Behind)
	}
}

package fares

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/glossary"
)

// taps reads "day hh:mm kind service place" lines; day 1 is Monday 2026-01-05. A place like 301/out/4 is route, direction and stop. A word
// after the place is the medium.
func taps(tb testing.TB, text string) []Tap {
	tb.Helper()
	var out []Tap
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		f := strings.Fields(line)
		day, err := strconv.Atoi(f[0])
		at, err2 := time.ParseInLocation("15:04", f[1], shanghai)
		var kind Kind
		if err3 := kind.UnmarshalText([]byte(f[2])); errors.Join(err, err2, err3) != nil {
			tb.Fatal(line, err, err2, err3)
		}
		t := Tap{ID: TapID{"gate", uint64(i)}, Kind: kind, Service: f[3], Place: f[4], Medium: "card"}
		t.At = time.Date(2026, 1, 4+day, at.Hour(), at.Minute(), 0, 0, shanghai)
		if parts := strings.Split(f[4], "/"); len(parts) == 3 {
			t.Place, t.Route, t.Direction = "", parts[0], parts[1]
			if t.Stop, err = strconv.Atoi(parts[2]); err != nil {
				tb.Fatal(err)
			}
		}
		if len(f) > 5 {
			t.Medium = f[5]
		}
		out = append(out, t)
	}
	return out
}

// later is long after every tap of the tests: nothing is open or held any more.
var later = time.Date(2026, 6, 1, 12, 0, 0, 0, shanghai)

func show(s *Statement) string {
	var b strings.Builder
	for _, j := range s.Journeys {
		fmt.Fprintf(&b, "%s %s %s:", j.Service, j.State, j.Amount.Decimal())
		for _, step := range j.Steps {
			fmt.Fprintf(&b, " %s %s", step.Reason, step.Amount.Decimal())
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

func TestJourneys(t *testing.T) {
	cases := []struct{ name, category, taps, want string }{
		{"there and back, the dearer way paid", "", "1 08:00 entry metro A\n1 08:30 exit metro C\n1 18:00 entry metro C\n1 18:20 exit metro A",
			"metro complete 5.00: table 5.00\nmetro complete 5.00: table 5.00"},
		{"student in the early hour", "student", "1 06:59 entry metro A\n1 07:30 exit metro C", "metro complete 2.00: table 5.00 category -2.50 timeframe -0.50"},
		{"early on a Saturday", "", "6 06:00 entry metro A\n6 06:30 exit metro C", "metro complete 5.00: table 5.00"},
		{"early on a holiday", "", "44 06:00 entry metro A\n44 06:30 exit metro C", "metro complete 5.00: table 5.00"},
		{"unknown category pays in full", "dog", "1 08:00 entry metro A\n1 08:30 exit metro B", "metro complete 3.00: table 3.00"},
		{"nobody pays nothing", "free", "1 08:00 entry metro A", "metro maximum 0.00: no-exit 0.00"},
		{"transfer to a bus", "", "1 08:00 entry metro A\n1 08:30 exit metro B\n1 08:40 single bus K", "metro complete 3.00: table 3.00\nbus complete 1.00: flat 2.00 transfer -1.00"},
		{"too late for a transfer", "", "1 08:00 entry metro A\n1 08:30 exit metro B\n1 10:01 single bus K", "metro complete 3.00: table 3.00\nbus complete 2.00: flat 2.00"},
		{"day cap", "", "1 08:00 entry metro A\n1 08:30 exit metro D\n1 12:00 entry metro D\n1 12:30 exit metro A\n1 16:00 single bus K",
			"metro complete 7.00: table 7.00\nmetro complete 5.00: table 7.00 day-cap -2.00\nbus complete 0.00: flat 2.00 day-cap -2.00"},
		{"after midnight is the day before", "", "1 08:00 entry metro A\n1 08:30 exit metro D\n1 12:00 entry metro D\n1 12:30 exit metro A\n2 01:00 single bus K",
			"metro complete 7.00: table 7.00\nmetro complete 5.00: table 7.00 day-cap -2.00\nbus complete 0.00: flat 2.00 day-cap -2.00"},
		{"same station", "", "1 08:00 entry metro A\n1 08:19 exit metro A", "metro complete 0.00: same-station 0.00"},
		{"same station, long", "", "1 08:00 entry metro A\n1 08:20 exit metro A", "metro complete 4.00: same-station-late 4.00"},
		{"no exit", "", "1 08:00 entry metro A", "metro maximum 15.00: no-exit 15.00"},
		{"no entry", "student", "1 08:00 exit metro A", "metro maximum 7.50: no-entry 7.50"},
		{"exit found at the next entry", "", "1 08:00 entry metro A\n1 18:00 entry metro C\n1 18:30 exit metro A",
			"metro completed 5.00: completed 0.00 table 5.00\nmetro complete 5.00: table 5.00"},
		{"entry found at the last exit", "", "1 08:00 entry metro A\n1 08:30 exit metro C\n1 18:00 exit metro A",
			"metro complete 5.00: table 5.00\nmetro completed 5.00: completed 0.00 table 5.00"},
		{"next entry where the journey began", "", "1 08:00 entry metro A\n1 18:00 entry metro A\n1 18:30 exit metro C",
			"metro maximum 15.00: no-exit 15.00\nmetro complete 5.00: table 5.00"},
		{"next entry too late", "", "1 08:00 entry metro A\n2 18:00 entry metro C\n2 18:30 exit metro A",
			"metro maximum 15.00: no-exit 15.00\nmetro complete 5.00: table 5.00"},
		{"exit after the longest time, both completed by nobody", "", "1 08:00 entry metro A\n1 12:01 exit metro C",
			"metro maximum 15.00: no-exit 15.00\nmetro maximum 15.00: no-entry 15.00"},
		{"the gate did not open", "", "1 08:00 entry metro A\n1 08:01 entry metro A\n1 08:30 exit metro B\n1 08:31 exit metro B", "metro complete 3.00: table 3.00"},
		{"card in, phone out", "", "1 08:00 entry metro A card\n1 08:30 exit metro B phone", "metro complete 3.00: other-medium 0.00 table 3.00"},
		{"card in, phone out where that is refused", "", "1 08:00 entry suburb S1 card\n1 08:30 exit suburb S3 phone",
			"suburb maximum 20.00: no-exit 20.00\nsuburb maximum 20.00: no-entry 20.00"},
		{"zones", "", "1 08:00 entry suburb S1\n1 08:30 exit suburb S3\n1 09:00 entry suburb S1\n1 09:30 exit suburb S2",
			"suburb complete 6.00: zone 6.00\nsuburb complete 3.00: zone 4.00 transfer -1.00"},
		{"a table for students", "student", "1 08:00 entry suburb S1\n1 08:30 exit suburb S3", "suburb complete 2.00: zone 2.00"},
		{"overtime", "", "1 08:00 entry suburb S1\n1 10:30 exit suburb S3", "suburb complete 9.00: zone 6.00 overtime 3.00"},
		{"segments", "", "1 08:00 board line 301/out/1\n1 08:30 alight line 301/out/5", "line complete 2.00: segment 2.00"},
		{"no tap off the bus", "", "1 08:00 board line 301/out/1", "line partial 4.00: terminus 4.00"},
		{"no tap onto the bus", "", "1 08:00 alight line 301/out/7", "line partial 3.00: first-stop 3.00"},
		{"off before on", "", "1 08:00 board line 301/out/9\n1 08:30 alight line 301/out/1", "line partial 2.00: terminus 2.00\nline partial 2.00: first-stop 2.00"},
		{"stop that is not there", "", "1 08:00 board line 301/out/50", "line unpriced 0.00: no-fare 0.00"},
		{"unknown station", "", "1 08:00 entry metro A\n1 08:30 exit metro Z", "metro unpriced 0.00: no-fare 0.00"},
		{"unknown service", "", "1 08:00 single boat A", "boat unpriced 0.00: no-service 0.00"},
		{"wrong kind", "", "1 08:00 entry bus A", "bus unpriced 0.00: wrong-kind 0.00"},
		{"before the first tariff", "", "-30 08:00 single bus A", "bus unpriced 0.00: no-tariff 0.00"},
		{"inspection costs nothing", "", "1 08:00 entry metro A\n1 08:10 inspection metro B\n1 08:30 exit metro B", "metro complete 3.00: table 3.00"},
	}
	b := city(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, err := b.Rate(Rider{Account: "r", Category: c.category}, taps(t, c.taps), later)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(s); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			for _, j := range s.Journeys {
				for _, step := range j.Steps {
					for _, l := range []glossary.Lang{glossary.English, glossary.Chinese} {
						if text := step.Text(l); text == "" || strings.Contains(text, "%!") || text == string(step.Reason) {
							t.Errorf("%s in %s: %q", step.Reason, l, text)
						}
					}
				}
			}
		})
	}
}

func TestWeekCap(t *testing.T) {
	var text []string
	for day := 1; day <= 8; day++ {
		text = append(text, fmt.Sprintf("%d 08:00 entry metro A\n%d 08:30 exit metro D\n%d 12:00 entry metro D\n%d 12:30 exit metro A", day, day, day, day))
	}
	s, err := city(t).Rate(Rider{Account: "r"}, taps(t, strings.Join(text, "\n")), later)
	if err != nil {
		t.Fatal(err)
	}
	// Four days at the day's cap, two yuan on Friday, nothing at the week-end, and a new week.
	for i, want := range []int64{1200, 1200, 1200, 1200, 200, 0, 0, 1200} {
		if got := s.Day(s.Journeys[2*i].Day).Minor(); got != want {
			t.Errorf("day %d: %d, want %d", i+1, got, want)
		}
	}
	if got := show(s); !strings.Contains(got, "week-cap -5.00") {
		t.Errorf("no week cap in\n%s", got)
	}
}

func TestGraceAndCorrection(t *testing.T) {
	b := city(t)
	entry := taps(t, "1 08:00 entry metro A")
	at := func(day, hour int) time.Time { return time.Date(2026, 1, 4+day, hour, 0, 0, 0, shanghai) }
	fix := func(day int, place string) []Correction {
		return []Correction{{Journey: entry[0].ID, Place: place, Made: at(day, 12)}}
	}
	cases := []struct {
		name        string
		asOf        time.Time
		corrections []Correction
		want        string
	}{
		{"under way", at(1, 11), nil, "metro open 0.00: open 0.00"},
		{"held", at(1, 13), nil, "metro held 0.00: held 0.00"},
		{"held until the night after the third day", at(5, 3), nil, "metro held 0.00: held 0.00"},
		{"then the maximum", at(5, 5), nil, "metro maximum 15.00: no-exit 15.00"},
		{"corrected in time", at(5, 5), fix(4, "B"), "metro corrected 3.00: corrected 0.00 table 3.00"},
		{"corrected too late", at(9, 5), fix(5, "B"), "metro maximum 15.00: no-exit 15.00"},
		{"not corrected yet", at(3, 5), fix(4, "B"), "metro held 0.00: held 0.00"},
		{"corrected to nowhere", at(9, 5), fix(2, "Z"), "metro maximum 15.00: no-exit 15.00"},
	}
	for _, c := range cases {
		s, err := b.Rate(Rider{Corrections: c.corrections}, entry, c.asOf)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(s); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestYearlyCounter(t *testing.T) {
	var text []string
	for day := 1; day <= 8; day++ {
		text = append(text, fmt.Sprintf("%d 08:00 entry metro A\n%d 18:00 entry metro C\n%d 18:30 exit metro A", day, day, day))
	}
	all := taps(t, strings.Join(text, "\n"))
	s, err := city(t).Rate(Rider{}, all, later)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Years[2026]; got != (YearCount{Incomplete: 8, Completed: 3}) || !s.Restricted {
		t.Errorf("counts %+v, restricted %t", got, s.Restricted)
	}
	if got := show(s); strings.Count(got, "completion-limit") != 5 {
		t.Errorf("want five journeys beyond the limit:\n%s", got)
	}
	// Counts of earlier statements go on, and are not written to.
	earlier := map[int]YearCount{2026: {Incomplete: 3, Completed: 2}}
	if s, err = city(t).Rate(Rider{Earlier: earlier}, all[:3], later); err != nil {
		t.Fatal(err)
	}
	if s.Years[2026] != (YearCount{4, 3}) || earlier[2026] != (YearCount{3, 2}) || s.Restricted {
		t.Errorf("counts %+v, given %+v", s.Years, earlier)
	}
}

func TestTariffsByDate(t *testing.T) {
	old := city(t).tariffs[0]
	s := citySpec(t)
	s.Name, s.From, s.Services[1].Fares[0].Flat, s.Caps[2].Amount = "city summer", "2026-01-07", "2.50", "5.00"
	next, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBook(Calendar{Zone: shanghai, DayStart: 4 * time.Hour}, next, old)
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.Rate(Rider{}, taps(t, "3 03:59 single bus K\n3 04:00 single bus K\n8 08:00 single bus K\n9 08:00 single bus K\n10 08:00 single bus K"), later)
	if err != nil {
		t.Fatal(err)
	}
	want := []int64{200, 250, 250, 250, 0}
	for i, j := range got.Journeys {
		if j.Amount.Minor() != want[i] {
			t.Errorf("journey %d: %s, want %d", i, j.Amount, want[i])
		}
	}
	if _, err := NewBook(Calendar{}, old, old); !errors.Is(err, ErrTariff) {
		t.Errorf("two tariffs from one day: %v", err)
	}
	if _, err := NewBook(Calendar{}); !errors.Is(err, ErrTariff) {
		t.Errorf("no tariff: %v", err)
	}
	if _, err := NewBook(Calendar{DayStart: 13 * time.Hour}, old); !errors.Is(err, ErrTariff) {
		t.Errorf("day from the afternoon: %v", err)
	}
}

func TestInspection(t *testing.T) {
	s, err := city(t).Rate(Rider{}, taps(t, `1 07:00 inspection metro A
1 08:00 entry metro A
1 08:10 inspection metro B
1 08:30 exit metro B
1 08:40 inspection metro B
1 09:00 single bus K
1 09:20 inspection bus K`), later)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false, true} {
		if s.Inspections[i].Valid != want {
			t.Errorf("inspection %d: %t, want %t", i, s.Inspections[i].Valid, want)
		}
	}
}

// TestALostClock: a tap of 1970 is not charged, and keeps nothing else from being charged.
func TestALostClock(t *testing.T) {
	all := taps(t, "1 08:00 entry metro A\n1 08:10 entry metro B\n1 08:30 exit metro B")
	for _, at := range []time.Time{time.UnixMilli(0), time.Unix(0, 0).In(zone(t, "America/New_York")), time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)} {
		all[1].At = at
		s, err := city(t).Rate(Rider{}, all, later)
		if err != nil {
			t.Fatal(err)
		}
		if got := show(s); got != "metro unpriced 0.00: no-tariff 0.00\nmetro complete 3.00: table 3.00" || s.Years[2026] != (YearCount{}) {
			t.Errorf("%s: %s, %v", at, got, s.Years)
		}
	}
}

// TestReaches: what a rider may state is where the tariff has a fare to, or from.
func TestReaches(t *testing.T) {
	b := city(t)
	for text, want := range map[string]bool{
		"1 08:00 entry metro A": true, "1 08:00 exit metro A": true, "1 08:00 entry metro Z": false, "1 08:00 entry suburb S1": false, "1 08:00 single bus K": false,
		"1 08:00 board line 301/out/1": false, "1 08:00 inspection metro A": false, "1 08:00 entry boat A": false, "-30 08:00 entry metro A": false,
	} {
		tap := taps(t, text)[0]
		if b.Reaches(tap, "C") != want || b.Reaches(tap, "nowhere") {
			t.Errorf("%s: %t", text, !want)
		}
	}
	if tap := taps(t, "1 08:00 exit suburb S1")[0]; !b.Reaches(tap, "S3") {
		t.Error("from S3 to S1")
	}
}

func TestTapsRefused(t *testing.T) {
	good := taps(t, "1 08:00 entry metro A")[0]
	cases := map[string]func(*Tap){
		"no device": func(t *Tap) { t.ID.Device = "" }, "no service": func(t *Tap) { t.Service = "" }, "no kind": func(t *Tap) { t.Kind = 0 },
		"another kind": func(t *Tap) { t.Kind = 9 }, "no time": func(t *Tap) { t.At = time.Time{} }, "no place": func(t *Tap) { t.Place = "" },
		"long place": func(t *Tap) { t.Place = strings.Repeat("x", 65) }, "no route": func(t *Tap) { t.Kind = Board },
		"negative stop": func(t *Tap) { t.Kind, t.Route, t.Stop = Board, "1", -1 },
	}
	for name, spoil := range cases {
		bad := good
		spoil(&bad)
		if _, err := city(t).Rate(Rider{}, []Tap{bad}, later); !errors.Is(err, ErrTap) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := good
	other.Place = "B"
	if _, err := city(t).Rate(Rider{}, []Tap{good, other}, later); !errors.Is(err, ErrTapConflict) {
		t.Errorf("one number, two taps: %v", err)
	}
	if _, err := city(t).Rate(Rider{}, make([]Tap, maxTaps+1), later); !errors.Is(err, ErrTap) {
		t.Errorf("too many taps: %v", err)
	}
}

func TestStatementJSON(t *testing.T) {
	s, err := city(t).Rate(Rider{Account: "r"}, taps(t, "1 08:00 single bus K"), later)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s.Journeys[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"day":"2026-01-05"`, `"amount":"2.00 CNY"`, `"reason":"flat"`, `"en":"flat fare of bus"`, `"zh":"bus 单一票价"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// TestReasons: every reason has a text in both languages.
func TestReasons(t *testing.T) {
	for reason, term := range reasonTerms {
		if term.EN == "" || term.ZH == "" || strings.Count(term.EN, "%[") != strings.Count(term.ZH, "%[") {
			t.Errorf("%s: %+v", reason, term)
		}
	}
}

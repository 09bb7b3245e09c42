package fares

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ErrTariff says that a tariff cannot be used.
var ErrTariff = errors.New("tariff cannot be used")

// maxTariffBytes bounds a tariff file; origin and destination tables are files of their own.
const maxTariffBytes = 1 << 20

// Spec describes a tariff, in a program or in a TOML file. Amounts are decimal strings of the currency, "" means that the rule is off.
// Durations are written as "90m" or "4h".
type Spec struct {
	Name       string          `toml:"name,omitempty"`
	Currency   string          `toml:"currency,omitempty"`
	From       string          `toml:"from,omitempty"`     // first service day, 2026-01-31
	Round      string          `toml:"round,omitempty"`    // amounts after a percentage are rounded to this, half up; "" is one minor unit
	Holidays   []string        `toml:"holidays,omitempty"` // days that count as Sundays
	Categories []CategorySpec  `toml:"category,omitempty"`
	Timeframes []TimeframeSpec `toml:"timeframe,omitempty"`
	Services   []ServiceSpec   `toml:"service,omitempty"`
	Transfers  []TransferSpec  `toml:"transfer,omitempty"`
	Caps       []CapSpec       `toml:"cap,omitempty"`
	Incomplete IncompleteSpec  `toml:"incomplete,omitempty"`
}

// CategorySpec is a class of riders. Percent is what they pay of the fare; a table for the category goes before it.
type CategorySpec struct {
	Name    string `toml:"name,omitempty"`
	Percent int    `toml:"percent,omitempty"`
}

// TimeframeSpec is a time of day in which journeys begin. The first one that matches counts. Percent is what is paid of the fare.
type TimeframeSpec struct {
	Name    string `toml:"name,omitempty"`
	Days    string `toml:"days,omitempty"`  // weekdays as digits, Monday is 1: "12345"; "" is every day
	Start   string `toml:"start,omitempty"` // 07:00
	End     string `toml:"end,omitempty"`   // 09:30, exclusive; 24:00 is midnight
	Percent int    `toml:"percent,omitempty"`
}

// ServiceSpec is a metro, a group of bus lines, a ferry, a machine: whatever has one way to find a fare.
type ServiceSpec struct {
	Name string `toml:"name,omitempty"`
	// Kind is "table" for origin and destination, "zone" for a table of zones, "flat" or "segment".
	Kind string `toml:"kind,omitempty"`
	// Pool is the set of services that share transfers and caps; "" is the pool without a name. A service outside every cap has its own.
	Pool string `toml:"pool,omitempty"`
	// Maximum is charged when a tap is missing and nothing completes the journey. No fare of the service may be above it.
	Maximum     string          `toml:"maximum,omitempty"`
	MaxJourney  string          `toml:"max_journey,omitempty"`
	Overtime    string          `toml:"overtime,omitempty"` // added to a journey that took longer; "" makes two incomplete journeys of it
	Repeat      string          `toml:"repeat,omitempty"`   // a second tap of the same kind at the same place within this time is ignored
	SameStation SameStationSpec `toml:"same_station,omitempty"`
	// SameMedium refuses to pair a card at the entry with a phone at the exit, even of one rider.
	SameMedium bool        `toml:"same_medium,omitempty"`
	Zones      []ZoneSpec  `toml:"zone,omitempty"`
	Fares      []FareSpec  `toml:"fares,omitempty"`
	Routes     []RouteSpec `toml:"route,omitempty"`
}

// SameStationSpec says what it costs to leave where one came in. Without it the table decides.
type SameStationSpec struct {
	Within string `toml:"within,omitempty"`
	Fare   string `toml:"fare,omitempty"`  // within that time
	After  string `toml:"after,omitempty"` // later; "" is the maximum
}

// ZoneSpec puts places into a zone.
type ZoneSpec struct {
	Name   string   `toml:"name,omitempty"`
	Places []string `toml:"places,omitempty"`
}

// FareSpec is a flat fare or a table, for one category and one timeframe or, where those are empty, for all.
type FareSpec struct {
	Category  string     `toml:"category,omitempty"`
	Timeframe string     `toml:"timeframe,omitempty"`
	Flat      string     `toml:"flat,omitempty"`
	Rows      [][]string `toml:"rows,omitempty,multiline"` // from, to, fare
	Both      bool       `toml:"both,omitempty"`           // rows hold in both directions
	File      string     `toml:"file,omitempty"`           // name of a table given to Parse
	Table     *Table     `toml:"-"`
}

// RouteSpec is one direction of a bus line with segmented fares.
type RouteSpec struct {
	Route     string     `toml:"route,omitempty"`
	Direction string     `toml:"direction,omitempty"`
	Stops     int        `toml:"stops,omitempty"`
	Sections  []int      `toml:"sections,omitempty"` // section of each stop; without it every stop is one
	Bands     []BandSpec `toml:"band,omitempty"`
}

// BandSpec is the fare for up to so many sections.
type BandSpec struct {
	UpTo int    `toml:"up_to,omitempty"`
	Fare string `toml:"fare,omitempty"`
}

// TransferSpec makes journeys that follow each other cheaper. A chain begins with a journey and holds every later one that starts within
// Window of the chain's first start (or end, with AfterExit). Its dearest journey is paid in full and the others are reduced: free, less Off,
// or Percent of their fare, or at most Fee. The window begins with the first journey and the dearest is paid, because otherwise one more tap
// could make a day cheaper. What chains there are is chosen so that the rider pays least.
type TransferSpec struct {
	Name           string   `toml:"name,omitempty"`
	From           []string `toml:"from,omitempty"` // services; none is all of the pool
	To             []string `toml:"to,omitempty"`
	Window         string   `toml:"window,omitempty"`
	AfterExit      bool     `toml:"after_exit,omitempty"`
	Most           int      `toml:"most,omitempty"` // transfers in a chain; 0 is as many as fit
	DifferentRoute bool     `toml:"different_route,omitempty"`
	Free           bool     `toml:"free,omitempty"`
	Off            string   `toml:"off,omitempty"`
	Percent        int      `toml:"percent,omitempty"`
	Fee            string   `toml:"fee,omitempty"`
}

// CapSpec is the most that a pool costs in a period. A cap for the rider's category goes before one for all.
type CapSpec struct {
	Name     string `toml:"name,omitempty"`
	Pool     string `toml:"pool,omitempty"`
	Period   string `toml:"period,omitempty"` // "day" or "week", which begins on Monday
	Category string `toml:"category,omitempty"`
	Amount   string `toml:"amount,omitempty"`
}

// IncompleteSpec says what becomes of a journey with a missing tap. A maximum fare stands outside transfers and caps: under a cap, a missing
// tap would cost nothing, and one more tap could move a fare into a day that has reached its cap.
type IncompleteSpec struct {
	// GraceDays is how long after its day a journey is held for a correction before the maximum is charged.
	GraceDays int `toml:"grace_days,omitempty"`
	// CompleteWithin finds the missing exit at the rider's next entry, and the missing entry at the last exit; "" does not.
	CompleteWithin  string `toml:"complete_within,omitempty"`
	CompletePerYear int    `toml:"complete_per_year,omitempty"` // so often in a calendar year; 0 is without limit
	RestrictAfter   int    `toml:"restrict_after,omitempty"`    // incomplete journeys in a year after which the rider is restricted; 0 is never
}

// Parse reads a tariff from TOML. Unknown keys are errors. The files are the CSV tables that the tariff names. Errors wrap ErrTariff or
// ErrTable.
func Parse(text []byte, files map[string][]byte) (*Tariff, error) {
	return Load(text, func(name string) ([]byte, error) {
		csv, ok := files[name]
		if !ok {
			return nil, errNotGiven
		}
		return csv, nil
	})
}

var errNotGiven = errors.New("it was not given")

// Load is Parse with a function that reads the tables which the tariff names: files beside it, without a path.
func Load(text []byte, read func(name string) ([]byte, error)) (*Tariff, error) {
	if len(text) > maxTariffBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTariff, len(text), maxTariffBytes)
	}
	var s Spec
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&s); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrTariff, tomlFault(err))
	}
	for i := range s.Services {
		for j := range s.Services[i].Fares {
			f := &s.Services[i].Fares[j]
			if f.File == "" {
				continue
			}
			if strings.ContainsAny(f.File, `/\`) {
				return nil, fmt.Errorf("%w: service %q: the file %q has a path", ErrTariff, s.Services[i].Name, clip(f.File))
			}
			csv, err := read(f.File)
			if err != nil {
				return nil, fmt.Errorf("%w: service %q names a file %q: %w", ErrTariff, s.Services[i].Name, clip(f.File), err)
			}
			table, err := ParseTable(csv, s.Currency)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", clip(f.File), err)
			}
			f.Table, f.File = table, ""
		}
	}
	return New(s)
}

// TOML writes the description as Parse reads it. Tables go by their file: one that is only in memory is an error that wraps ErrTariff.
func (s *Spec) TOML() ([]byte, error) {
	for i := range s.Services {
		for j := range s.Services[i].Fares {
			if f := &s.Services[i].Fares[j]; f.Table != nil && f.File == "" {
				return nil, fmt.Errorf("%w: service %q has a table without a file", ErrTariff, s.Services[i].Name)
			}
		}
	}
	text, err := toml.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write a tariff: %w", err)
	}
	return text, nil
}

func tomlFault(err error) string {
	var strict *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		row, _ := strict.Errors[0].Position()
		return fmt.Sprintf("line %d: unknown key", row)
	case errors.As(err, &wrong):
		row, _ := wrong.Position()
		return fmt.Sprintf("line %d: %v", row, err)
	}
	return err.Error()
}

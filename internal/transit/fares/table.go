package fares

import (
	"errors"
	"fmt"

	"tapnet/money"
)

// ErrTable says that a fare table cannot be used. The text names the line.
var ErrTable = errors.New("fare table cannot be used")

const (
	// maxPlaces bounds a table: the largest metro has about 500 stations, and a table is a square of four bytes a cell.
	maxPlaces = 1024
	// maxFare bounds one fare in minor units, so that the fares of all taps of a rider fit an amount.
	maxFare = 10_000_000
	noFare  = -1
)

// Table is the fare from every place to every place, in minor units. Places may be stations or zones. A pair may have no fare.
type Table struct {
	places []string
	index  map[string]int
	fares  []int32 // row by row, len(places) squared
	top    int32   // the highest fare
}

// fill is a table in the making: pairs by number of place.
type fill struct {
	places []string
	index  map[string]int
	pairs  map[[2]int]int32
}

func newFill() *fill { return &fill{index: map[string]int{}, pairs: map[[2]int]int32{}} }

func (f *fill) place(name string) (int, error) {
	if i, ok := f.index[name]; ok {
		return i, nil
	}
	switch {
	case name == "" || len(name) > maxNameBytes:
		return 0, fmt.Errorf("%w: place %q is empty or longer than %d bytes", ErrTable, clip(name), maxNameBytes)
	case len(f.places) == maxPlaces:
		return 0, fmt.Errorf("%w: more than %d places", ErrTable, maxPlaces)
	}
	f.index[name] = len(f.places)
	f.places = append(f.places, name)
	return len(f.places) - 1, nil
}

// set records a fare. A pair has one fare; to say the same twice is harmless, to contradict oneself is not.
func (f *fill) set(from, to string, fare int64) error {
	a, err := f.place(from)
	if err != nil {
		return err
	}
	b, err := f.place(to)
	if err != nil {
		return err
	}
	if fare < 0 || fare > maxFare {
		return fmt.Errorf("%w: fare from %q to %q is below 0 or above %d minor units", ErrTable, from, to, maxFare)
	}
	if old, ok := f.pairs[[2]int{a, b}]; ok && int64(old) != fare {
		return fmt.Errorf("%w: two fares from %q to %q", ErrTable, from, to)
	}
	f.pairs[[2]int{a, b}] = int32(fare)
	return nil
}

func (f *fill) table() (*Table, error) {
	if len(f.pairs) == 0 {
		return nil, fmt.Errorf("%w: it has no fare", ErrTable)
	}
	n := len(f.places)
	t := &Table{places: f.places, index: f.index, fares: make([]int32, n*n)}
	for i := range t.fares {
		t.fares[i] = noFare
	}
	for pair, fare := range f.pairs {
		t.fares[pair[0]*n+pair[1]] = fare
		t.top = max(t.top, fare)
	}
	return t, nil
}

// Places tells the places of the table.
func (t *Table) Places() []string { return append([]string(nil), t.places...) }

// Fare gives minor units from one place to another, and false when the table has no such fare.
func (t *Table) Fare(from, to string) (int64, bool) {
	a, okA := t.index[from]
	b, okB := t.index[to]
	if !okA || !okB {
		return 0, false
	}
	fare := t.fares[a*len(t.places)+b]
	return int64(fare), fare != noFare
}

// Top is the highest fare of the table in minor units.
func (t *Table) Top() int64 { return int64(t.top) }

// Pairs counts the pairs that have a fare, and those of them whose way back has another fare, or none.
func (t *Table) Pairs() (all, oneWay int) {
	n := len(t.places)
	for a := range n {
		for b := range n {
			if fare := t.fares[a*n+b]; fare != noFare {
				all++
				if t.fares[b*n+a] != fare {
					oneWay++
				}
			}
		}
	}
	return all, oneWay
}

// TableOptions says what a plain table has no column for.
type TableOptions struct {
	Name, From, Currency, Service string
	// Maximum is the fare of a journey with a missing tap; "" is the dearest fare of the table.
	Maximum string
	// File is the name the table has beside the tariff.
	File string
}

// Tariff describes a tariff of one service with the table. It names the file and holds the table, so both New and Spec.TOML take it.
func (t *Table) Tariff(o TableOptions) (*Spec, error) {
	c, err := money.ParseCurrency(o.Currency)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTariff, err)
	}
	if o.Maximum == "" {
		o.Maximum = money.New(t.Top(), c).Decimal()
	}
	s := &Spec{Name: o.Name, From: o.From, Currency: c.Code(), Services: []ServiceSpec{{Name: o.Service, Kind: "table", Maximum: o.Maximum,
		Fares: []FareSpec{{File: o.File, Table: t}}}}}
	check := *s
	check.Services = []ServiceSpec{s.Services[0]}
	check.Services[0].Fares = []FareSpec{{Table: t}}
	if _, err := New(check); err != nil {
		return nil, err
	}
	return s, nil
}

package fares

import (
	"errors"
	"fmt"
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

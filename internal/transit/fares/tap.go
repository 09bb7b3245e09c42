package fares

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// What can be wrong with taps. Tariffs and files have errors of their own.
var (
	ErrTap = errors.New("tap cannot be used")
	// ErrTapConflict says that one device gave one sequence number to two different taps.
	ErrTapConflict = errors.New("two taps under one number")
)

// Kind says what a device did with a tap.
type Kind uint8

// The kinds. Exits come before entries, so that a tap out and a tap in at one instant are two journeys.
const (
	Exit       Kind = iota + 1 // out of a paid area
	Alight                     // off a bus with segmented fares
	Inspection                 // looked at by an inspector; never charged
	Entry                      // into a paid area
	Board                      // onto a bus with segmented fares
	Single                     // one tap is the whole journey: bus with a flat fare, taxi, ferry, machine
)

var kindNames = [...]string{"", "exit", "alight", "inspection", "entry", "board", "single"}

// String gives the name of the kind.
func (k Kind) String() string {
	if int(k) >= len(kindNames) || k == 0 {
		return "kind " + strconv.Itoa(int(k))
	}
	return kindNames[k]
}

// MarshalText gives the name of the kind.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads the name of a kind.
func (k *Kind) UnmarshalText(text []byte) error {
	i := slices.Index(kindNames[:], string(text))
	if i <= 0 {
		return fmt.Errorf("%w: kind %q", ErrTap, clip(string(text)))
	}
	*k = Kind(i)
	return nil
}

// TapID names a tap for ever: the device and its running number.
type TapID struct {
	Device   string
	Sequence uint64
}

// String writes "device/sequence".
func (id TapID) String() string { return id.Device + "/" + strconv.FormatUint(id.Sequence, 10) }

// Tap is one use of a card or phone at a device. Instants are those of the device.
type Tap struct {
	ID      TapID
	At      time.Time
	Kind    Kind
	Service string // of the tariff
	Medium  string // which card, token or phone of the rider; never a card number
	// Place is the station or stop. A board or alight tap has Stop, Route and Direction instead, and may have a Place as well.
	Place     string
	Route     string
	Direction string
	Stop      int // from 0 in the order of travel
}

// A device that lost its clock says 1970. Such a tap is of no tariff and is not charged; it must not keep the rider's others from being rated.
const (
	firstYear = 1969 // west of Greenwich
	lastYear  = 2099
)

// Limits. A name is an identifier in somebody's system; a rider with more taps in one statement is a test card or an attack.
const (
	maxNameBytes = 64
	maxTaps      = 20_000
	maxStops     = 1000
)

func (t *Tap) check() error {
	names := [...]string{t.ID.Device, t.Service, t.Medium, t.Place, t.Route, t.Direction}
	for i, name := range names {
		if len(name) > maxNameBytes || i < 2 && name == "" {
			return fmt.Errorf("%w: number %d of device %q: a name is empty or longer than %d bytes", ErrTap, t.ID.Sequence, clip(t.ID.Device), maxNameBytes)
		}
	}
	switch {
	case t.Kind == 0 || int(t.Kind) >= len(kindNames):
		return fmt.Errorf("%w: %s has no kind", ErrTap, t.ID)
	case t.At.Year() < firstYear || t.At.Year() > lastYear:
		return fmt.Errorf("%w: %s is not of the years %d to %d", ErrTap, t.ID, firstYear, lastYear)
	case (t.Kind == Entry || t.Kind == Exit) && t.Place == "":
		return fmt.Errorf("%w: %s has no place", ErrTap, t.ID)
	case (t.Kind == Board || t.Kind == Alight) && (t.Route == "" || t.Stop < 0 || t.Stop >= maxStops):
		return fmt.Errorf("%w: %s has no route or a stop outside 0 to %d", ErrTap, t.ID, maxStops-1)
	}
	return nil
}

// same tells whether two reports are one tap.
func (t *Tap) same(o *Tap) bool {
	a, b := *t, *o
	a.At, b.At = time.Time{}, time.Time{}
	return a == b && t.At.Equal(o.At)
}

// settle gives the taps once each and in the order of events, whatever order they came in.
func settle(taps []Tap) ([]Tap, error) {
	if len(taps) > maxTaps {
		return nil, fmt.Errorf("%w: %d taps of one rider, at most %d", ErrTap, len(taps), maxTaps)
	}
	sorted := slices.Clone(taps)
	for i := range sorted {
		if err := sorted[i].check(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(sorted, byEvent)
	seen := make(map[TapID]*Tap, len(sorted))
	kept := sorted[:0]
	for i := range sorted {
		t := &sorted[i]
		if first, ok := seen[t.ID]; ok {
			if !first.same(t) {
				return nil, fmt.Errorf("%w: %s", ErrTapConflict, t.ID)
			}
			continue
		}
		kept = append(kept, *t)
		seen[t.ID] = &kept[len(kept)-1]
	}
	return kept, nil
}

func byEvent(a, b Tap) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID.Device, b.ID.Device), cmp.Compare(a.ID.Sequence, b.ID.Sequence))
}

// clip shortens what an error repeats of a text from outside.
func clip(s string) string {
	if len(s) > maxNameBytes {
		return s[:maxNameBytes] + "…"
	}
	return s
}

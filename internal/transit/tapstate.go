package transit

import (
	"time"

	"tapnet/gate"
	"tapnet/glossary"
	"tapnet/internal/transit/fares"
)

// TapState is what became of a tap. Every tap of a card ends in exactly one of the final ones.
type TapState uint8

// States of a tap.
const (
	TapPending   TapState = iota + 1 // not decided yet: the journey is under way, held, or its day is not closed
	TapCharged                       // end of a journey that was decided: charged, free or under a cap
	TapRepeated                      // the same tap again: the first counts
	TapInspected                     // at an inspector's device
	TapUnpriced                      // the tariff knows nothing about it
	TapPurse                         // paid by the card itself
	TapRefused                       // the gate stayed shut
	TapTakenBack                     // the rider did not go through
	TapTooLate                       // came after its weeks were over: not charged
	tapStateEnd
)

var tapStateTerms = [tapStateEnd]glossary.Term{
	TapPending:   {EN: "not decided yet", ZH: "待定"},
	TapCharged:   {EN: "part of a journey that was decided", ZH: "已计入行程"},
	TapRepeated:  {EN: "repeated: ignored", ZH: "重复刷卡，已忽略"},
	TapInspected: {EN: "inspected", ZH: "稽查"},
	TapUnpriced:  {EN: "unknown to the tariff: not charged", ZH: "票价表未定义，不收费"},
	TapPurse:     {EN: "paid by the card itself", ZH: "已由卡内电子现金支付"},
	TapRefused:   {EN: "the gate stayed shut", ZH: "闸机未开"},
	TapTakenBack: {EN: "the rider did not go through", ZH: "乘客未通行"},
	TapTooLate:   {EN: "came too late to be charged", ZH: "上送过晚，不收费"},
}

// Term is the state in both languages.
func (s TapState) Term() glossary.Term {
	if s == 0 || s >= tapStateEnd {
		return glossary.Term{}
	}
	return tapStateTerms[s]
}

// String is the state in English.
func (s TapState) String() string { return s.Term().EN }

// MarshalText is String.
func (s TapState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Final reports whether nothing is to be decided any more.
func (s TapState) Final() bool { return s > TapPending && s < tapStateEnd }

// tap is one opened gate, as small as it can be: there are tens of millions of them.
type tap struct {
	clock      int64 // milliseconds since 1970, by the corrected clock, above the chip's counter: see tapClock
	sequence   uint64
	device     int32
	credential int32
	station    uint32
	direction  gate.Direction
	state      TapState
	flags      gate.Flags
}

// counterBits of a tap's clock are the chip's counter. A record's clock ends below 2^45, so that both fit.
const counterBits = 16

func tapClock(at int64, atc uint16) int64 { return at<<counterBits | int64(atc) }

// at is the tap's instant in milliseconds since 1970.
func (t *tap) at() int64 { return t.clock >> counterBits }

// atc is the chip's counter; 0 when it showed none.
func (t *tap) atc() uint16 { return uint16(t.clock) }

func (t *tap) instant() time.Time { return time.UnixMilli(t.at()).UTC() }

// fareKind is what a direction is at a place.
func fareKind(d gate.Direction, p *Place) fares.Kind {
	segmented := p.Route != ""
	switch {
	case p.Inspects:
		return fares.Inspection
	case d == gate.In && segmented:
		return fares.Board
	case d == gate.In:
		return fares.Entry
	case d == gate.Out && segmented:
		return fares.Alight
	case d == gate.Out:
		return fares.Exit
	}
	return fares.Single
}

// unknownPlace stands for a station that the operator has not named: its taps are kept and not charged.
var unknownPlace = Place{Service: "?", Place: "?"}

// fareTap is the tap as package fares takes it.
func (s *state) fareTap(t *tap) fares.Tap {
	place, known := s.deps.Stations[t.station]
	if !known {
		place = unknownPlace
	}
	return fares.Tap{
		ID: fares.TapID{Device: s.devices[t.device].name, Sequence: t.sequence}, At: t.instant(), Kind: fareKind(t.direction, &place), Service: place.Service,
		Medium: s.credentials[t.credential].medium(), Place: place.Place, Route: place.Route, Direction: place.Direction, Stop: place.Stop,
	}
}

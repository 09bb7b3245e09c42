package validator

import (
	"encoding/binary"
	"fmt"
	"time"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/gate"
	"tapnet/money"
	"tapnet/pan"
)

// The operator's record on the purses of the test world: ten bytes. Two name the operator, four the station where the rider went in, 0 for a rider who is
// outside, and four the instant, in seconds since 1970.
const (
	journeyFile  = 0x15
	journeyBytes = 10
	journeyPlace = 2
	journeyTime  = 6
	smallestUnit = 1
)

var journeyID = [2]byte{'T', '1'}

// Journeys is the plan of a station's gate: who goes in leaves where and when on the card, and the tariff prices the journey where it ends.
type Journeys struct {
	Station uint32
	Highest money.Amount // of a journey without an entry, without an exit, or that the tariff does not know
	// Fare prices a journey that ends here; false when it cannot be one: unknown, or too long ago.
	Fare func(from uint32, entered, left time.Time) (money.Amount, bool)
}

var _ SegmentPlan = Journeys{}

// Enter implements SegmentPlan. Who is inside already stays outside as long as the journey may still end; afterwards it costs the highest fare.
func (j Journeys) Enter(record []byte, now time.Time) (due money.Amount, next []byte, reason gate.Reason) {
	from, entered, ok := parseJourney(record)
	if !ok {
		return due, nil, gate.NotReadable
	}
	due = money.New(smallestUnit, j.Highest.Currency())
	if from != 0 {
		if _, open := j.Fare(from, entered, now); open {
			return due, nil, gate.PassBack
		}
		due = j.Highest // the unit of the entry that was never followed by an exit is in it, as this entry's is
	}
	return due, journey(j.Station, now), gate.OK
}

// Leave implements SegmentPlan.
func (j Journeys) Leave(record []byte, now time.Time) (due money.Amount, next []byte, reason gate.Reason) {
	from, entered, ok := parseJourney(record)
	if !ok {
		return due, nil, gate.NotReadable
	}
	next, due = journey(0, now), j.Highest
	switch {
	case from == 0 && now.Sub(entered).Abs() < gate.DefaultPassBack: // who has just left pays nothing for holding the card out again
		return due, nil, gate.PassBack
	case from == 0:
		return due, next, gate.OK
	}
	if fare, known := j.Fare(from, entered, now); known {
		due = fare
	}
	return money.New(due.Minor()-smallestUnit, due.Currency()), next, gate.OK
}

func journey(station uint32, now time.Time) []byte {
	record := append([]byte(nil), journeyID[:]...)
	record = binary.BigEndian.AppendUint32(record, station)
	return binary.BigEndian.AppendUint32(record, uint32(now.Unix())) //nolint:gosec // until 2106
}

func parseJourney(record []byte) (from uint32, entered time.Time, ok bool) {
	if len(record) != journeyBytes || [2]byte(record) != journeyID {
		return 0, time.Time{}, false
	}
	return binary.BigEndian.Uint32(record[journeyPlace:]), time.Unix(int64(binary.BigEndian.Uint32(record[journeyTime:])), 0), true
}

// NewSegmented is the segmented deduction of the test world: its TEST keys, its file, and a gate's plan.
func NewSegmented(plan SegmentPlan) *Segmented {
	return &Segmented{Keys: recordKeys{}, SFI: journeyFile, ID: journeyID, Plan: plan}
}

// recordKeys are the TEST keys of the operator's records, each card's from one key: a real operator has that in a secure module.
type recordKeys struct{}

func (recordKeys) of(number pan.Number) (card.RecordKey, error) {
	master, err := cryptogram.NewKey([]byte("TEST journey key"))
	if err != nil {
		return card.RecordKey{}, fmt.Errorf("key of a record: %w", err)
	}
	return card.RecordKey(cryptogram.TDES().CardKey(master, number, "00").Reveal()), nil
}

// RecordMAC implements gate.SegmentKeys.
func (k recordKeys) RecordMAC(number []byte, atc uint16, message []byte) ([4]byte, error) {
	n, err := pan.FromBCD(number)
	if err != nil {
		return [4]byte{}, fmt.Errorf("number of the card: %w", err)
	}
	key, err := k.of(n)
	if err != nil {
		return [4]byte{}, err
	}
	return card.NewSoftCrypto(cryptogram.TDES(), cryptogram.CardKeys{}, oda.PrivateKey{}).RecordMAC(key, atc, message), nil
}

// withJourneys puts the operator's file on a purse, and unless outside is false a record that says its rider is outside.
func withJourneys(prefix string, registered bool) func(*card.Image) {
	return func(image *card.Image) {
		a := &image.Applications[0]
		a.PDOL = append(a.PDOL, emv.DOLEntry{Tag: emv.TagCAPPIndicator, Len: 1})
		a.Extended.Set(emv.EISegmented)
		a.Extended.Set(emv.EIRMAC)
		a.Files = []card.ExtendedFile{{SFI: journeyFile}}
		a.Objects.Set(emv.TagSegmentLimit, make([]byte, 6)) //nolint:mnd // nothing is advanced
		number, err := pan.CompleteLuhn(prefix)
		if err != nil || !registered {
			return
		}
		key, err := recordKeys{}.of(number)
		if err != nil {
			return
		}
		r := &image.State.Extended[0]
		r.SFI, r.Number, r.Length, r.Key = journeyFile, 1, journeyBytes, key
		copy(r.Bytes[:], journeyID[:])
	}
}

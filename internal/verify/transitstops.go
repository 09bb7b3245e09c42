package verify

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// Reasons of CardChanged rows by which the operator's office itself decides about a credential or an account.
const (
	reasonCopied = 15 // its counter contradicts itself: stopped
	reasonBarred = 16 // too many incomplete journeys in a year
	reasonFreed  = 17 // no more
	reasonUnited = 18 // two accounts turned out to be one
	reasonAgain  = 19 // the operator has a bill asked for again
	reasonAsks   = 20 // the rider does
)

// transitStops are accounts with too many incomplete journeys, and credentials that were taken for copied and released.
type transitStops struct {
	restricted map[int32]int // year, by account
	forgiven   map[int32]int // the year of which the operator forgave an account
	freed      map[int32]int64
}

func newTransitStops() transitStops {
	return transitStops{restricted: map[int32]int{}, forgiven: map[int32]int{}, freed: map[int32]int64{}}
}

// found follows what the office found out by itself.
func (t *transit) found(r *journal.Row, n int32, stop uint8, account int64, year int) {
	s, a := &t.stops, t.riders.account(n)
	switch r.Reason {
	case reasonCopied:
		if stop != denyCounterfeit {
			t.fault(r, "note", number(stop), number(denyCounterfeit))
			return
		}
		t.riders.all[n].stop = stop
	case reasonBarred:
		if account != int64(a) || s.restricted[a] == year || s.forgiven[a] == year || year == 0 {
			t.fault(r, "note", fill("account %d restricted in %d", "账户%d在%d年受限", account, year),
				fill("account %d, once a year, unless it was forgiven", "账户%d，每年一次，已豁免者除外", a))
		}
		s.restricted[a] = year
	case reasonFreed:
		if s.restricted[a] != year || year == 0 {
			t.fault(r, "note", number(year), number(s.restricted[a]))
		}
		delete(s.restricted, a)
	case reasonUnited:
		if t.riders.account(int32(account)) != a || account == int64(a) {
			t.fault(r, "note", fill("account %d", "账户%d", account), fill("one that became part of account %d", "已并入账户%d的账户", a))
		}
		return
	}
	t.unsettled(n)
}

// releases follows the operator's word that a credential may ride again.
func (t *transit) releases(r *journal.Row, n int32) {
	c := &t.riders.all[n]
	if c.stop == denyCounterfeit {
		subject := n
		if c.twin != 0 {
			subject = c.twin
		}
		t.stops.freed[subject] = r.At.UnixMilli()
	}
	c.stop, c.refused = 0, false
	if a := t.riders.account(n); t.stops.restricted[a] != 0 {
		t.stops.forgiven[a] = t.stops.restricted[a]
		delete(t.stops.restricted, a)
	}
	t.unsettled(n)
}

// joins makes the restriction of one account that of both.
func (s *transitStops) joins(older, younger int32) {
	for _, years := range []map[int32]int{s.restricted, s.forgiven} {
		if year := max(years[older], years[younger]); year != 0 {
			years[older] = year
		}
		delete(years, younger)
	}
}

// unites keeps the later release of two credentials that are one.
func (s *transitStops) unites(older, younger int32) {
	if at, freed := s.freed[younger]; freed {
		s.freed[older] = max(s.freed[older], at)
		delete(s.freed, younger)
	}
}

// barred is what is to be said of an account for its incomplete journeys: until the last day of the year.
func (s *transitStops) barred(account int32, kind uint8) transitListing {
	year := s.restricted[account]
	if year == 0 {
		return transitListing{}
	}
	const hoursPerDay = 24
	days := time.Date(year, time.December, 31, 0, 0, 0, 0, time.UTC).Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Hours() / hoursPerDay
	return transitListing{kind: kind, reason: denyOperator, until: uint16(days)}
}

// keptFreed: credentials that were released.
func (t *transit) keptFreed(r *keptReader) {
	freed := map[int32]int64{}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		n := r.n32()
		freed[n] = r.i()
	}
	if r.bad || maps.Equal(freed, t.stops.freed) {
		return
	}
	t.keptDiffers(FieldStanding, fill("credentials released", "已解除停用的凭证"), instants(freed), instants(t.stops.freed))
}

func instants(of map[int32]int64) glossary.Term {
	text := ""
	for _, n := range slices.Sorted(maps.Keys(of)) {
		text += " " + strconv.Itoa(int(n)) + ": " + time.UnixMilli(of[n]).UTC().Format(time.RFC3339)
	}
	return verbatim("[" + text + " ]")
}

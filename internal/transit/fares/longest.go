package fares

import "time"

// Longest is how long a journey that begins with a tap may take by the tariff of its day; 0 when time does not matter, or nothing is known of it.
func (b *Book) Longest(t Tap) time.Duration {
	tariff := b.on(b.calendar.ServiceDate(t.At))
	if tariff == nil || tariff.services[t.Service] == nil || tariff.services[t.Service].kind == byFlat {
		return 0
	}
	return tariff.services[t.Service].maxJourney
}

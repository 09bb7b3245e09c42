package fares

// Knows tells whether any tariff has a category of riders; all have "".
func (b *Book) Knows(category string) bool {
	for _, t := range b.tariffs {
		if _, ok := t.categories[category]; ok {
			return true
		}
	}
	return false
}

// Highest is what one journey can cost at most by any of the tariffs, in minor units.
func (b *Book) Highest() (minor int64) {
	for _, t := range b.tariffs {
		fare := int64(0)
		for _, s := range t.services {
			fare = max(fare, s.highest())
		}
		percent := wholePercent // a category pays no more than all
		for i := range t.timeframes {
			percent = max(percent, t.timeframes[i].percent)
		}
		minor = max(minor, t.share(fare, percent))
	}
	return minor
}

func (s *service) highest() int64 {
	fare := max(s.maximum, s.sameFare, s.sameAfter)
	for i := range s.fares {
		fare = max(fare, s.fares[i].flat)
		if table := s.fares[i].table; table != nil {
			fare = max(fare, int64(table.top))
		}
	}
	for _, r := range s.routes {
		for _, band := range r.bands {
			fare = max(fare, band.fare)
		}
	}
	return fare
}

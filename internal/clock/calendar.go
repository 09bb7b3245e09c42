package clock

import "time"

// Calendar turns instants into business dates: a zone and a cut-off. The zero Zone is UTC.
type Calendar struct {
	Zone   *time.Location
	CutOff time.Duration // after local midnight; later instants belong to the next date; 0 means midnight
}

// Shanghai is the default zone of business dates, as a fixed offset: China keeps no daylight saving time, and no zone file is needed.
func Shanghai() *time.Location { return time.FixedZone("Asia/Shanghai", 8*60*60) }

// BusinessDate gives the business date of an instant as yyyymmdd.
func (c Calendar) BusinessDate(now time.Time) int32 {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	local := now.In(zone)
	year, month, day := local.Date()
	midnight := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if c.CutOff > 0 && local.Sub(midnight) >= c.CutOff {
		year, month, day = local.AddDate(0, 0, 1).Date()
	}
	return int32(year*10000 + int(month)*100 + day)
}

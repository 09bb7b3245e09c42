package issuer

// noPINLimits are the limits up to which no PIN is asked, by the business date from which they hold, newest first [REF 6.3]. Minor units of CNY.
var noPINLimits = []struct {
	from  int32
	minor int64
}{
	{from: 20180601, minor: 100_000},
	{from: 20150101, minor: 30_000},
	{from: 0, minor: 0},
}

// NoPINLimitMinor gives the amount up to which a tap needs no PIN on a business date (yyyymmdd), in minor units.
func NoPINLimitMinor(businessDate int32) int64 {
	for _, row := range noPINLimits {
		if businessDate >= row.from {
			return row.minor
		}
	}
	return 0
}

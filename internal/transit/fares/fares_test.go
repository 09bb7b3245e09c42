package fares

import (
	"testing"
	"time"
)

// shanghai is a fixed offset, so that no zone file is needed.
var shanghai = time.FixedZone("Asia/Shanghai", 8*60*60)

const cityTOML = `
name = "city 2026"
currency = "CNY"
from = "2026-01-01"
round = "0.10"
holidays = ["2026-02-17"]

[[category]]
name = "student"
percent = 50
[[category]]
name = "free"
percent = 0

[[timeframe]]
name = "early"
days = "12345"
start = "05:00"
end = "07:00"
percent = 80

[[service]]
name = "metro"
kind = "table"
pool = "city"
maximum = "15.00"
max_journey = "4h"
repeat = "2m"
same_station = { within = "20m", fare = "0.00", after = "4.00" }
[[service.fares]]
both = true
rows = [
  ["A", "A", "2.00"], ["A", "B", "3.00"], ["A", "C", "5.00"], ["A", "D", "7.00"],
  ["B", "B", "2.00"], ["B", "C", "3.00"], ["B", "D", "5.00"],
  ["C", "C", "2.00"], ["C", "D", "3.00"], ["D", "D", "2.00"],
]

[[service]]
name = "bus"
kind = "flat"
pool = "city"
[[service.fares]]
flat = "2.00"

[[service]]
name = "line"
kind = "segment"
pool = "city"
[[service.route]]
route = "301"
direction = "out"
stops = 12
sections = [0,0,0,1,1,1,2,2,2,3,3,3]
[[service.route.band]]
up_to = 1
fare = "2.00"
[[service.route.band]]
up_to = 2
fare = "3.00"
[[service.route.band]]
up_to = 3
fare = "4.00"

[[service]]
name = "suburb"
kind = "zone"
maximum = "20.00"
overtime = "3.00"
max_journey = "2h"
same_medium = true
zone = [ { name = "1", places = ["S1", "S2"] }, { name = "2", places = ["S3"] } ]
[[service.fares]]
both = true
rows = [["1", "1", "4.00"], ["1", "2", "6.00"], ["2", "2", "4.00"]]
[[service.fares]]
category = "student"
both = true
rows = [["1", "1", "1.00"], ["1", "2", "2.00"], ["2", "2", "1.00"]]

[[transfer]]
name = "metro and bus"
window = "90m"
after_exit = true
off = "1.00"

[[cap]]
name = "day"
pool = "city"
period = "day"
amount = "12.00"
[[cap]]
name = "student day"
pool = "city"
period = "day"
category = "student"
amount = "6.00"
[[cap]]
name = "week"
pool = "city"
period = "week"
amount = "50.00"

[incomplete]
grace_days = 3
complete_within = "18h"
complete_per_year = 3
restrict_after = 7
`

// city is a book with one tariff, its days from 04:00.
func city(tb testing.TB, change ...func(*Spec)) *Book {
	tb.Helper()
	tariff, err := Parse([]byte(cityTOML), nil)
	if err != nil {
		tb.Fatal(err)
	}
	if len(change) > 0 {
		s := citySpec(tb)
		for _, f := range change {
			f(&s)
		}
		if tariff, err = New(s); err != nil {
			tb.Fatal(err)
		}
	}
	b, err := NewBook(Calendar{Zone: shanghai, DayStart: 4 * time.Hour}, tariff)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

package fares

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzTable: an accepted table, written and read again, is the same table with its places in another order at most.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"from,to,fare\nA,B,1.00\nB,A,2.00\n", ",A,B\nA,2.00,3.00\nB,4.00,\n", "\xEF\xBB\xBFfrom,to,fare\n\"A \",B,1\n", "from,to\n", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := ParseTable(text, "CNY")
		if err != nil {
			if !errors.Is(err, ErrTable) && !errors.Is(err, ErrFile) {
				t.Fatal(err)
			}
			return
		}
		out, err := table.AppendCSV(nil, "CNY")
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseTable(out, "CNY")
		if err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		for _, a := range table.Places() {
			for _, b := range table.Places() {
				x, okX := table.Fare(a, b)
				y, okY := again.Fare(a, b)
				if x != y || okX != okY {
					t.Fatalf("%q to %q: %d %t, then %d %t", a, b, x, okX, y, okY)
				}
			}
		}
	})
}

// FuzzTariff: what is accepted prices a day without a panic.
func FuzzTariff(f *testing.F) {
	f.Add([]byte(cityTOML))
	f.Add([]byte("name = \"x\"\ncurrency = \"CNY\"\nfrom = \"2026-01-01\"\n"))
	day := taps(f, "1 06:00 entry metro A\n1 08:30 exit metro C\n1 08:40 single bus K\n1 09:00 board line 301/out/1\n1 10:00 exit suburb S1\n1 11:00 entry metro B")
	f.Fuzz(func(t *testing.T, text []byte) {
		tariff, err := Parse(text, nil)
		if err != nil {
			return
		}
		b, err := NewBook(Calendar{Zone: shanghai}, tariff)
		if err != nil {
			t.Fatal(err)
		}
		for _, category := range []string{"", "student"} {
			s, err := b.Rate(Rider{Category: category}, day, later)
			if err != nil || s.Total.Sign() < 0 {
				t.Fatalf("total %s, %v", s.Total, err)
			}
		}
	})
}

// FuzzGTFS: what is accepted is a description that New takes or refuses with a reason, and always the same one.
func FuzzGTFS(f *testing.F) {
	names := []string{"areas.txt", "stop_areas.txt", "networks.txt", "rider_categories.txt", "fare_products.txt", "calendar.txt", "timeframes.txt",
		"fare_leg_rules.txt", "fare_transfer_rules.txt"}
	var parts []string
	for _, name := range names {
		parts = append(parts, string(feedFiles()[name]))
	}
	f.Add(strings.Join(parts, "\f"))
	f.Add("\f\f\f\ffare_product_id,amount,currency\nx,1.00,CNY\n\f\f\ffare_product_id\nx\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string][]byte{}
		for i, part := range strings.SplitN(text, "\f", len(names)) {
			files[names[i]] = []byte(part)
		}
		a, err := ImportGTFS(files, feedOptions)
		b, err2 := ImportGTFS(files, feedOptions)
		if (err == nil) != (err2 == nil) || !reflect.DeepEqual(a, b) {
			t.Fatalf("two runs differ: %v, %v", err, err2)
		}
		var refused *RefusedError
		if err != nil {
			if !errors.Is(err, ErrFile) && !errors.As(err, &refused) {
				t.Fatal(err)
			}
			return
		}
		if _, err := New(*a); err != nil && !errors.Is(err, ErrTariff) && !errors.Is(err, ErrTable) {
			t.Fatal(err)
		}
	})
}

// FuzzHangzhou: an accepted row has a tap that can be rated.
func FuzzHangzhou(f *testing.F) {
	f.Add([]byte(hangzhouHeader + "\n2019-01-07 06:41:33,C,63,2952,1,C0453c,2\n2019-01-07 07:01:00,B,3,100,0,C0453c,2\n"))
	f.Add([]byte("time\n"))
	book := madeBook(f, 8)
	f.Fuzz(func(t *testing.T, text []byte) {
		var all []Tap
		err := ReadHangzhou(bytes.NewReader(text), nil, "metro", func(r Record) error {
			all = append(all, r.Tap)
			return nil
		})
		if err != nil && !errors.Is(err, ErrRecord) {
			t.Fatal(err)
		}
		if len(all) > 1000 {
			return
		}
		if _, err := book.Rate(Rider{}, slices.Clone(all), later); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkRate rates made-up riders of a week in the shape of the metro data set; it reports journeys a second on one core.
func BenchmarkRate(b *testing.B) {
	book := madeBook(b, 80)
	day, _ := ParseDate("2019-01-07")
	riders := map[string][]Tap{}
	for d := range Date(7) {
		for user, all := range madeRiders(b, Made{Seed: uint64(d), Day: day + d, Riders: 2000, Stations: 80, Missing: 5}) {
			for _, tap := range all {
				tap.ID.Sequence += uint64(d) << 32
				riders[user] = append(riders[user], tap)
			}
		}
	}
	var users [][]Tap
	for _, all := range riders {
		users = append(users, all)
	}
	journeys := 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s, err := book.Rate(Rider{}, users[i%len(users)], later)
		if err != nil {
			b.Fatal(err)
		}
		journeys += len(s.Journeys)
	}
	b.ReportMetric(float64(journeys)/b.Elapsed().Seconds(), "journeys/s")
}

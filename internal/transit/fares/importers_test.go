package fares

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/money"
)

// feedFiles is a small feed with two networks, areas, a reduced category, an early timeframe and a free transfer.
func feedFiles() map[string][]byte {
	files := map[string]string{
		"areas.txt":            "area_id,area_name\nwest,West\neast,East\n",
		"stop_areas.txt":       "area_id,stop_id\nwest,W1\nwest,W2\neast,E1\n",
		"networks.txt":         "network_id\ntrain\nbus\n",
		"rider_categories.txt": "rider_category_id,rider_category_name,is_default_fare_category\nadult,Adult,1\nyouth,Youth,0\n",
		"fare_products.txt": "fare_product_id,fare_product_name,rider_category_id,fare_media_id,amount,currency\n" +
			"near,Near,adult,card,4.00,CNY\nnear,Near,youth,card,2.00,CNY\nfar,Far,adult,card,6.00,CNY\nfar,Far,youth,card,3.00,CNY\n" +
			"early,Early,adult,,3.00,CNY\nearly,Early,youth,,1.50,CNY\nride,Ride,,,2.00,CNY\nnear,Near,adult,paper,9.00,CNY\n",
		"calendar.txt":   "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\nwk,1,1,1,1,1,0,0,20260101,20261231\n",
		"timeframes.txt": "timeframe_group_id,start_time,end_time,service_id\nearly,5:00:00,7:00:00,wk\n",
		"fare_leg_rules.txt": "leg_group_id,network_id,from_area_id,to_area_id,from_timeframe_group_id,fare_product_id\n" +
			"t,train,west,west,,near\nt,train,east,east,,near\nt,train,west,east,,far\nt,train,east,west,,far\nt,train,west,east,early,early\nb,bus,,,,ride\n",
		"fare_transfer_rules.txt": "from_leg_group_id,to_leg_group_id,transfer_count,duration_limit,duration_limit_type,fare_transfer_type,fare_product_id\n" +
			"b,b,-1,3600,1,0,\n",
	}
	out := map[string][]byte{}
	for name, text := range files {
		out[name] = []byte(text)
	}
	return out
}

var feedOptions = GTFSOptions{Name: "feed", From: "2026-01-01", Medium: "card"}

func TestGTFS(t *testing.T) {
	spec, err := ImportGTFS(feedFiles(), feedOptions)
	if err != nil {
		t.Fatal(err)
	}
	tariff, err := New(*spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := NewBook(Calendar{Zone: shanghai}, tariff)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		category, taps string
		want           []int64
	}{
		{"", "1 08:00 entry train W1\n1 08:20 exit train W2\n1 09:00 entry train W1\n1 09:20 exit train E1\n2 08:00 entry train E1", []int64{400, 600, 600}},
		{"youth", "1 06:00 entry train W1\n1 06:20 exit train E1\n1 09:00 entry train W1\n1 09:20 exit train E1", []int64{150, 300}},
		{"", "1 06:00 entry train W1\n1 06:20 exit train E1\n6 06:00 entry train W1\n6 06:20 exit train E1", []int64{300, 600}},
		{"youth", "1 08:00 single bus K\n1 09:00 single bus K\n1 09:01 single bus K", []int64{200, 0, 200}},
	} {
		s, err := b.Rate(Rider{Category: c.category}, taps(t, c.taps), later)
		if err != nil {
			t.Fatal(err)
		}
		var got []int64
		for _, j := range s.Journeys {
			got = append(got, j.Amount.Minor())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v\n%s", c.taps, got, c.want, show(s))
		}
	}
}

// TestGTFSRefused spoils the feed by one replacement each; the refusal has a name.
func TestGTFSRefused(t *testing.T) {
	for _, c := range []struct{ name, file, old, replacement string }{
		{"stop-in-several-areas", "stop_areas.txt", "east,E1", "east,W1"},
		{"unknown-area", "stop_areas.txt", "east,E1", "north,E1"},
		{"several-defaults", "rider_categories.txt", "Youth,0", "Youth,1"},
		{"twice", "rider_categories.txt", "youth,Youth", "adult,Youth"},
		{"unknown-category", "fare_products.txt", "youth,card,2.00", "elder,card,2.00"},
		{"currency", "fare_products.txt", "2.00,CNY\nnear", "2.00,USD\nnear"},
		{"amount", "fare_products.txt", "4.00", "4.001"},
		{"several-amounts", "fare_products.txt", "adult,paper,9.00", "adult,card,9.00"},
		{"no-weekdays", "timeframes.txt", ",wk", ",xx"},
		{"calendar-dates", "calendar_dates.txt", "", "service_id,date,exception_type\nwk,20260217,2\n"},
		{"overlap", "timeframes.txt", "early,5:00:00,7:00:00,wk\n", "early,5:00:00,7:00:00,wk\nlate,6:59:00,8:00:00,wk\n"},
		{"rule-priority", "fare_leg_rules.txt", "fare_product_id\n", "rule_priority\n"},
		{"end-timeframe", "fare_leg_rules.txt", "from_timeframe_group_id", "to_timeframe_group_id"},
		{"unknown-timeframe", "fare_leg_rules.txt", "early,early", "night,early"},
		{"unknown-product", "fare_leg_rules.txt", ",ride", ",pass"},
		{"several-products", "fare_leg_rules.txt", "b,bus,,,,ride", "b,bus,,,,ride\nb,bus,,,,near"},
		{"no-general-fare", "fare_leg_rules.txt", "b,bus,,,,ride", "b,bus,,,early,ride"},
		{"dearer-timeframe", "fare_products.txt", "early,Early,adult,,3.00", "early,Early,adult,,7.00"},
		{"leg-joins", "fare_leg_join_rules.txt", "", "from_network_id,to_network_id\ntrain,train\n"},
		{"unknown-leg-group", "fare_transfer_rules.txt", "b,b,", "x,b,"},
		{"leg-group-within-network", "fare_leg_rules.txt", "t,train,west,west", "b,train,west,west"},
		{"no-duration-limit", "fare_transfer_rules.txt", "3600", ""},
		{"duration-until-arrival", "fare_transfer_rules.txt", "3600,1", "3600,0"},
		{"transfer-count", "fare_transfer_rules.txt", "-1,", "-2,"},
		{"dearer-next-leg", "fare_transfer_rules.txt", "b,b,", "b,t,"},
		{"transfer-type", "fare_transfer_rules.txt", "1,0,", "1,2,"},
		{"transfer-product", "fare_transfer_rules.txt", "1,0,", "1,0,near"},
	} {
		files := feedFiles()
		text := string(files[c.file])
		if c.old != "" && !strings.Contains(text, c.old) {
			t.Fatalf("%s: %q is not in %s", c.name, c.old, c.file)
		}
		if c.old == "" {
			text = c.replacement
		}
		files[c.file] = []byte(strings.Replace(text, c.old, c.replacement, 1))
		if c.old == "" {
			files[c.file] = []byte(c.replacement)
		}
		_, err := ImportGTFS(files, feedOptions)
		var refused *RefusedError
		if !errors.As(err, &refused) || !slices.ContainsFunc(refused.Refusals, func(r Refusal) bool { return r.Name == c.name }) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := ImportGTFS(nil, feedOptions); !errors.Is(err, ErrFile) {
		t.Errorf("no files: %v", err)
	}
}

// TestRefusalsInChinese: every name that an import can give has its text, and no text is left over.
func TestRefusalsInChinese(t *testing.T) {
	names := map[string]bool{}
	for _, file := range []string{"gtfs.go", "gtfsrules.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`refuse\([^"]*"([a-z-]+)"`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	for name := range names {
		if term := (Refusal{Name: name, Text: "english"}).Term(); term.EN != "english" || term.ZH == "" || term.ZH == term.EN {
			t.Errorf("%s: %+v", name, term)
		}
	}
	if len(names) != len(refusalTerms) {
		t.Errorf("%d names, %d texts", len(names), len(refusalTerms))
	}
}

func TestTableRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "header only": "from,to,fare\n", "no place": "from,to,fare\n,B,1.00\n", "negative": "from,to,fare\nA,B,-1.00\n",
		"contradiction": "from,to,fare\nA,B,1.00\nA,B,2.00\n", "three decimals": "from,to,fare\nA,B,1.000\n", "short row": "from,to,fare\nA,B\n",
		"column twice": "from,from,fare\nA,B,1.00\n", "too dear": "from,to,fare\nA,B,999999999.00\n", "long name": "from,to,fare\nA," + strings.Repeat("b", 65) + ",1.00\n",
		"square with words": ",A,B\nA,x,1.00\n", "open quote": "from,to,fare\n\"A,B,1.00\n", "too many columns": strings.Repeat("x,", 1100) + "y\n",
	} {
		if _, err := ParseTable([]byte(text), "CNY"); !errors.Is(err, ErrTable) && !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseTable([]byte("from,to,fare\nA,B,1.00\n"), "XXY"); !errors.Is(err, ErrTable) {
		t.Errorf("no currency: %v", err)
	}
	square, err := ParseTable([]byte("\xEF\xBB\xBF,A,B\nA,2.00,3.00\nB,4.00,\n"), "CNY")
	if err != nil {
		t.Fatal(err)
	}
	if fare, ok := square.Fare("B", "A"); fare != 400 || !ok {
		t.Errorf("B to A: %d %t", fare, ok)
	}
	if _, ok := square.Fare("B", "B"); ok {
		t.Error("B to B has a fare")
	}
}

func TestTariffRefused(t *testing.T) {
	for name, change := range map[string][2]string{
		"unknown key": {"name = \"city 2026\"", "nome = \"x\""}, "no name": {"name = \"city 2026\"", ""}, "currency": {"\"CNY\"", "\"XXY\""},
		"date": {"2026-01-01", "2026-13-01"}, "round": {"\"0.10\"", "\"0.00\""}, "percent": {"percent = 50", "percent = 101"},
		"category twice": {"name = \"free\"", "name = \"student\""}, "time of day": {"\"05:00\"", "\"25:00\""}, "time backwards": {"\"05:00\"", "\"08:00\""},
		"weekday": {"\"12345\"", "\"128\""}, "kind": {"kind = \"flat\"", "kind = \"taxi\""}, "no maximum": {"maximum = \"15.00\"", ""},
		"fare above the maximum": {"maximum = \"15.00\"", "maximum = \"6.90\""}, "maximum of a bus": {"kind = \"flat\"", "kind = \"flat\"\nmaximum = \"2.00\""},
		"negative fare": {"flat = \"2.00\"", "flat = \"-2.00\""}, "no fares": {"flat = \"2.00\"", ""}, "row of two": {"[\"A\", \"A\", \"2.00\"]", "[\"A\", \"A\"]"},
		"two fares": {"[\"A\", \"B\", \"3.00\"]", "[\"A\", \"A\", \"3.00\"]"}, "sections go down": {"[0,0,0,1", "[0,0,2,1"}, "sections missing": {"stops = 12", "stops = 11"},
		"bands too short": {"up_to = 3", "up_to = 2"}, "bands get cheaper": {"fare = \"4.00\"", "fare = \"1.00\""}, "place in two zones": {"\"S3\"] }", "\"S1\"] }"},
		"transfer of two sorts": {"off = \"1.00\"", "off = \"1.00\"\nfree = true"}, "transfer without window": {"window = \"90m\"", ""},
		"transfer to nowhere": {"off = \"1.00\"", "off = \"1.00\"\nto = [\"boat\"]"}, "period": {"period = \"week\"", "period = \"year\""},
		"cap twice": {"period = \"week\"", "period = \"day\""}, "cap for nobody": {"category = \"student\"\namount", "category = \"dog\"\namount"},
		"cap without amount": {"amount = \"50.00\"", ""}, "grace": {"grace_days = 3", "grace_days = 99"}, "same station above maximum": {"after = \"4.00\"", "after = \"16.00\""},
		"file not given": {"flat = \"2.00\"", "file = \"x.csv\""}, "duration": {"max_journey = \"4h\"", "max_journey = \"40h\""}, "no TOML": {"[[cap]]", "[[cap]"},
	} {
		text := strings.Replace(cityTOML, change[0], change[1], 1)
		if text == cityTOML {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := Parse([]byte(text), nil); !errors.Is(err, ErrTariff) && !errors.Is(err, ErrTable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(make([]byte, maxTariffBytes+1), nil); !errors.Is(err, ErrTariff) {
		t.Errorf("too long: %v", err)
	}
}

// madeBook has a distance-like fare between every two of n stations, in a CSV file.
func madeBook(tb testing.TB, n int) *Book {
	tb.Helper()
	table := "from,to,fare\n"
	for a := range n {
		for b := range n {
			table += fmt.Sprintf("%d,%d,%d.00\n", a, b, 2+min(max(a-b, b-a)/8, 8))
		}
	}
	const text = `name = "made"
currency = "CNY"
from = "2019-01-01"
[[service]]
name = "metro"
kind = "table"
maximum = "10.00"
fares = [{ file = "metro.csv" }]
[[cap]]
name = "day"
period = "day"
amount = "15.00"
`
	tariff, err := Parse([]byte(text), map[string][]byte{"metro.csv": []byte(table)})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := NewBook(Calendar{Zone: shanghai, DayStart: 4 * time.Hour}, tariff)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func madeRiders(tb testing.TB, made Made) map[string][]Tap {
	tb.Helper()
	var file bytes.Buffer
	if err := made.WriteHangzhou(&file); err != nil {
		tb.Fatal(err)
	}
	riders := map[string][]Tap{}
	err := ReadHangzhou(&file, nil, "metro", func(r Record) error {
		riders[r.User] = append(riders[r.User], r.Tap)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return riders
}

func TestMadeDay(t *testing.T) {
	day, _ := ParseDate("2019-01-07")
	made := Made{Seed: 1, Day: day, Riders: 2000, Stations: 80, Missing: 5}
	var a, b bytes.Buffer
	if err := errors.Join(made.WriteHangzhou(&a), made.WriteHangzhou(&b)); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Fatalf("two runs differ, or %v", err)
	}
	book, states := madeBook(t, 80), map[State]int{}
	var statements []*Statement
	total := int64(0)
	for user, all := range madeRiders(t, made) {
		s, err := book.Rate(Rider{Account: user}, all, later)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, s)
		total += s.Total.Minor()
		for _, j := range s.Journeys {
			states[j.State]++
		}
	}
	if states[Complete] < 3500 || states[Maximum] < 10 || states[Maximum] > 80 || states[Unpriced] > 0 {
		t.Errorf("states %v", states)
	}
	var out bytes.Buffer
	if err := WriteTIDES(&out, shanghai, statements...); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum, ids := int64(0), map[string]bool{}
	for _, row := range rows[1:] {
		amount, err := money.Parse(row[3], money.CNY)
		if err != nil || ids[row[0]] {
			t.Fatalf("row %v: %v", row, err)
		}
		ids[row[0]] = true
		sum += amount.Minor()
	}
	if sum != total || len(rows[0]) != 21 {
		t.Errorf("transactions add up to %d, charges to %d", sum, total)
	}
}

func TestTIDESRows(t *testing.T) {
	s, err := city(t).Rate(Rider{Account: "r"}, taps(t, "1 08:00 entry metro A\n1 08:30 exit metro B\n1 08:40 single bus K\n1 12:00 board line 301/out/1"), later)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := WriteTIDES(&out, shanghai, s); err != nil {
		t.Fatal(err)
	}
	want := strings.Join(tidesHeader, ",") + `
gate/0,2026-01-05,2026-01-05T08:00:00+08:00,0.00,CNY,Enter,,,,,gate,,A,1,,,metro,,false,card,
gate/1,2026-01-05,2026-01-05T08:30:00+08:00,3.00,CNY,Exit,,,,,gate,,B,1,,,metro,,false,card,
gate/2,2026-01-05,2026-01-05T08:40:00+08:00,1.00,CNY,Transfer entrance,,,,,gate,,K,1,,,bus,,false,card,
gate/3,2026-01-05,2026-01-05T12:00:00+08:00,0.00,CNY,Enter,,,1,,gate,,,1,,,line,,false,card,
gate/3/adjust,2026-01-05,2026-01-05T12:00:00+08:00,4.00,CNY,Adjust,,,1,,gate,,,1,,,line,,false,card,
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHangzhouRefused(t *testing.T) {
	const good = "2019-01-07 06:41:33,C,63,2952,1,C0453c,2"
	for name, text := range map[string]string{
		"empty": "", "other header": "time,line\n", "cells": hangzhouHeader + "\n1,2,3\n", "time": hangzhouHeader + "\n" + strings.Replace(good, "41", "61", 1),
		"status": hangzhouHeader + "\n" + strings.Replace(good, ",1,", ",2,", 1), "user": hangzhouHeader + "\n" + strings.Replace(good, "C0453c", "", 1),
		"payment": hangzhouHeader + "\n" + good + "x", "long line": hangzhouHeader + "\n" + good + strings.Repeat("0", 300),
		"station": hangzhouHeader + "\n" + strings.Replace(good, "63", "", 1), "century": hangzhouHeader + "\n" + strings.Replace(good, "2019", "1019", 1),
	} {
		if err := ReadHangzhou(strings.NewReader(text), nil, "metro", func(Record) error { return nil }); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stop := errors.New("stop")
	if err := ReadHangzhou(strings.NewReader(hangzhouHeader+"\r\n"+good+"\r\n"), nil, "metro", func(r Record) error {
		if r.Tap.Kind != Entry || r.Tap.Place != "63" || r.Tap.ID.Device != "63/2952" || r.Shared {
			t.Errorf("%+v", r)
		}
		return stop
	}); !errors.Is(err, stop) {
		t.Errorf("callback: %v", err)
	}
	if err := (Made{Riders: 1, Stations: 1}).WriteHangzhou(&bytes.Buffer{}); !errors.Is(err, ErrRecord) {
		t.Errorf("one station: %v", err)
	}
}

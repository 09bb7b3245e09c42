package fares

import "testing"

// TestHighest: no journey costs more, whatever the service, the category and the hour.
func TestHighest(t *testing.T) {
	for _, c := range []struct {
		name, tariff string
		want         int64
	}{
		{"the maximum of a table", `[[service]]
name = "metro"
kind = "table"
maximum = "15.00"
[[service.fares]]
rows = [["A", "B", "3.00"]]`, 1500},
		{"a flat fare above it, in an hour that costs more", `[[category]]
name = "tourist"
percent = 50
[[timeframe]]
name = "peak"
days = "1"
start = "07:00"
end = "09:00"
percent = 200
[[service]]
name = "taxi"
kind = "flat"
[[service.fares]]
flat = "20.00"`, 4000},
	} {
		tariff, err := Parse([]byte("name = \"x\"\ncurrency = \"CNY\"\nfrom = \"2026-01-01\"\n"+c.tariff), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		book, err := NewBook(Calendar{Zone: shanghai}, tariff)
		if err != nil {
			t.Fatal(err)
		}
		if got := book.Highest(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if !book.Knows("") || book.Knows("nobody") || book.Knows("tourist") != (c.want == 4000) {
			t.Errorf("%s: categories", c.name)
		}
	}
}

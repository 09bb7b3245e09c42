package fares

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
)

// TestTariffsAreWritten: what is written is read back as the same description, and makes the same tariff.
func TestTariffsAreWritten(t *testing.T) {
	feed, err := ImportGTFS(feedFiles(), feedOptions)
	if err != nil {
		t.Fatal(err)
	}
	whole := citySpec(t)
	for name, s := range map[string]*Spec{"city": &whole, "feed": feed} {
		text, err := s.TOML()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(text, nil)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		want, err := New(*s)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: another tariff after\n%s", name, text)
		}
	}
}

// TestTableTariff: a plain table and a name are a tariff whose table lies beside it.
func TestTableTariff(t *testing.T) {
	table, err := ParseTable([]byte("from,to,fare\nA,B,3.00\nB,A,3.00\nA,C,5.00\nA,A,2.00\n"), "CNY")
	if err != nil {
		t.Fatal(err)
	}
	if all, oneWay := table.Pairs(); all != 4 || oneWay != 1 || table.Top() != 500 {
		t.Errorf("%d pairs, %d one way, top %d", all, oneWay, table.Top())
	}
	o := TableOptions{Name: "plain", From: "2026-01-01", Currency: "CNY", Service: "metro", File: "metro.csv"}
	spec, err := table.Tariff(o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := spec.TOML()
	if err != nil || !strings.Contains(string(text), "metro.csv") {
		t.Fatalf("%s, %v", text, err)
	}
	csv, err := table.AppendCSV(nil, "CNY")
	if err != nil {
		t.Fatal(err)
	}
	tariff, err := Load(text, func(name string) ([]byte, error) {
		if name != "metro.csv" {
			t.Errorf("asks for %q", name)
		}
		return csv, nil
	})
	if err != nil || tariff.services["metro"].maximum != 500 {
		t.Fatalf("%+v, %v", tariff, err)
	}
	for name, spoil := range map[string]func(*TableOptions){
		"no name": func(o *TableOptions) { o.Name = "" }, "no service": func(o *TableOptions) { o.Service = "" }, "no day": func(o *TableOptions) { o.From = "soon" },
		"no currency": func(o *TableOptions) { o.Currency = "XXY" }, "maximum below a fare": func(o *TableOptions) { o.Maximum = "4.99" },
	} {
		bad := o
		spoil(&bad)
		if _, err := table.Tariff(bad); !errors.Is(err, ErrTariff) {
			t.Errorf("%s: %v", name, err)
		}
	}
	o.File = ""
	if spec, err = table.Tariff(o); err != nil {
		t.Fatal(err)
	}
	if _, err := spec.TOML(); !errors.Is(err, ErrTariff) {
		t.Errorf("a table without a file: %v", err)
	}
}

// TestLoadRefuses files that are not beside the tariff, and says which one is missing.
func TestLoadRefuses(t *testing.T) {
	text := func(name string) []byte {
		return []byte(strings.Replace(cityTOML, `flat = "2.00"`, `file = '`+name+`'`, 1))
	}
	missing := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	if _, err := Load(text("x.csv"), missing); !errors.Is(err, ErrTariff) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "x.csv") {
		t.Errorf("missing: %v", err)
	}
	for _, name := range []string{"../x.csv", "/etc/x.csv", `..\x.csv`} {
		if _, err := Load(text(name), func(string) ([]byte, error) { t.Errorf("%q is read", name); return nil, nil }); !errors.Is(err, ErrTariff) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestMadeTable(t *testing.T) {
	table, err := Made{Stations: 80}.Table()
	if err != nil {
		t.Fatal(err)
	}
	if far, _ := table.Fare("0", "79"); far != 1000 || len(table.Places()) != 80 {
		t.Errorf("%d between the ends of %d stations", far, len(table.Places()))
	}
	if _, err := (Made{Stations: maxPlaces + 1}).Table(); !errors.Is(err, ErrTable) {
		t.Errorf("too many stations: %v", err)
	}
}

package money

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	gomoney "github.com/Rhymond/go-money"
)

func mustCode(t testing.TB, code string) Currency {
	t.Helper()
	c, err := ParseCurrency(code)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCurrencies(t *testing.T) {
	for _, c := range []struct {
		currency Currency
		code     string
		number   int
		exponent int
	}{{CNY, "CNY", 156, 2}, {MOP, "MOP", 446, 2}, {HKD, "HKD", 344, 2}, {USD, "USD", 840, 2}, {mustCode(t, "JPY"), "JPY", 392, 0}, {mustCode(t, "KWD"), "KWD", 414, 3},
		{mustCode(t, "ALL"), "ALL", 8, 2}} {
		if c.currency.Code() != c.code || c.currency.Number() != c.number || c.currency.Exponent() != c.exponent || c.currency.String() != c.code {
			t.Errorf("%s: %d, %d", c.currency, c.currency.Number(), c.currency.Exponent())
		}
		if got := c.currency.NumberString(); got != fmt.Sprintf("%03d", c.number) {
			t.Errorf("%s: number %q", c.code, got)
		}
		if found, err := CurrencyByNumber(c.number); err != nil || found != c.currency || !found.Equal(c.currency) {
			t.Errorf("number %d: %v, %v", c.number, found, err)
		}
	}
	for _, code := range []string{"", "CN", "CNYY", "cny", "Cny", "XYZ", "156", "EEK", "C Y", "元"} {
		if c, err := ParseCurrency(code); !errors.Is(err, ErrCurrency) || !c.IsZero() {
			t.Errorf("accepted currency %q", code)
		}
	}
	for _, n := range []int{-156, 0, 1, 1000, 1156, math.MaxInt} {
		if c, err := CurrencyByNumber(n); !errors.Is(err, ErrCurrency) || !c.IsZero() {
			t.Errorf("accepted currency number %d", n)
		}
	}
}

// A number stands for one currency, whatever order the table is searched in.
func TestNumbersAreUnique(t *testing.T) {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	count := 0
	for i := range 26 * 26 * 26 {
		code := string([]byte{letters[i/676], letters[i/26%26], letters[i%26]})
		c, ok := fromTable(gomoney.GetCurrency(code))
		if !ok {
			continue
		}
		count++
		back, err := CurrencyByNumber(c.Number())
		if err != nil || back != c && numberOfSeveral[c.number] != back.code {
			t.Errorf("%s has number %d, which is %s (%v)", c, c.Number(), back, err)
		}
	}
	if count < 150 {
		t.Errorf("only %d currencies", count)
	}
}

func TestParse(t *testing.T) {
	jpy, kwd := mustCode(t, "JPY"), mustCode(t, "KWD")
	for _, c := range []struct {
		text     string
		currency Currency
		minor    int64
		person   string
	}{
		{"299.00", CNY, 29900, "CNY 299.00"}, {"299", CNY, 29900, "CNY 299.00"}, {"1,000.01", CNY, 100001, "CNY 1,000.01"},
		{"0", CNY, 0, "CNY 0.00"}, {"0.00", CNY, 0, "CNY 0.00"}, {"0.01", CNY, 1, "CNY 0.01"}, {"-5.00", MOP, -500, "MOP -5.00"}, {"-0.05", HKD, -5, "HKD -0.05"},
		{"1,234,567", jpy, 1234567, "JPY 1,234,567"}, {"1.005", kwd, 1005, "KWD 1.005"}, {"999", jpy, 999, "JPY 999"},
		{"92233720368547758.07", CNY, math.MaxInt64, "CNY 92,233,720,368,547,758.07"}, {"-92233720368547758.08", CNY, math.MinInt64, "CNY -92,233,720,368,547,758.08"},
	} {
		a, err := Parse(c.text, c.currency)
		if err != nil || a.Minor() != c.minor || a.Currency() != c.currency || a.String() != c.person {
			t.Errorf("%q = %d, %s, %v", c.text, a.Minor(), a, err)
		}
		back, err := Parse(a.Decimal(), c.currency)
		if err != nil || !back.Equal(a) {
			t.Errorf("%q does not come back: %v", a.Decimal(), err)
		}
	}
	for _, text := range []string{"", "-", ".", "-.", "1.", ".5", ".50", "1.5", "1.005", "1.0.0", "+1", "--1", "01", "007.00", "00", "-0", "-0.00", " 1", "1 ", "1e3", "0x10", "1_000",
		",1", "1,", "1,00", "1,0000", "1000,000", "1,000,00.00", "1,00,000", ",000", "1.0,0", "１.００", "¥1.00", "1.00 CNY", "NaN", "12-3",
		"92233720368547758.08", "-92233720368547758.09", "99999999999999999999", strings.Repeat("1", 40)} {
		if a, err := Parse(text, CNY); err == nil {
			t.Errorf("accepted %q as %s", text, a)
		} else if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrRange) {
			t.Errorf("%q: unknown error %v", text, err)
		}
	}
	if _, err := Parse("1.0", jpy); !errors.Is(err, ErrFormat) {
		t.Errorf("accepted a fraction of a yen: %v", err)
	}
	if _, err := Parse("1", Currency{}); !errors.Is(err, ErrCurrency) {
		t.Errorf("accepted an amount of no currency: %v", err)
	}
}

func TestAddSub(t *testing.T) {
	yuan := func(minor int64) Amount { return New(minor, CNY) }
	for _, c := range []struct{ a, b, sum int64 }{
		{1, 2, 3}, {-1, 1, 0}, {0, 0, 0}, {math.MaxInt64, 0, math.MaxInt64}, {math.MaxInt64, -1, math.MaxInt64 - 1}, {math.MaxInt64, math.MinInt64, -1},
		{math.MinInt64, 1, math.MinInt64 + 1}, {math.MaxInt64 - 1, 1, math.MaxInt64},
	} {
		sum, err := yuan(c.a).Add(yuan(c.b))
		if err != nil || sum != yuan(c.sum) {
			t.Errorf("%d + %d = %d, %v", c.a, c.b, sum.Minor(), err)
		}
		back, err := sum.Sub(yuan(c.b))
		if err != nil || back != yuan(c.a) {
			t.Errorf("%d - %d = %d, %v", c.sum, c.b, back.Minor(), err)
		}
	}
	for _, c := range [][2]int64{{math.MaxInt64, 1}, {1, math.MaxInt64}, {math.MinInt64, -1}, {math.MinInt64, math.MinInt64}, {math.MaxInt64, math.MaxInt64}} {
		if sum, err := yuan(c[0]).Add(yuan(c[1])); !errors.Is(err, ErrRange) || sum != (Amount{}) {
			t.Errorf("%d + %d = %d, %v", c[0], c[1], sum.Minor(), err)
		}
	}
	for _, c := range [][2]int64{{math.MinInt64, 1}, {0, math.MinInt64}, {math.MaxInt64, -1}, {-2, math.MaxInt64}} {
		if difference, err := yuan(c[0]).Sub(yuan(c[1])); !errors.Is(err, ErrRange) || difference != (Amount{}) {
			t.Errorf("%d - %d = %d, %v", c[0], c[1], difference.Minor(), err)
		}
	}
	if _, err := yuan(1).Add(New(1, HKD)); !errors.Is(err, ErrCurrency) {
		t.Errorf("added two currencies: %v", err)
	}
	if _, err := yuan(1).Sub(New(1, Currency{})); !errors.Is(err, ErrCurrency) {
		t.Errorf("subtracted no currency: %v", err)
	}
}

func TestCmp(t *testing.T) {
	a, b := New(1, CNY), New(2, CNY)
	if a.Cmp(b) != -1 || b.Cmp(a) != 1 || a.Cmp(a) != 0 || a.Sign() != 1 || New(-1, CNY).Sign() != -1 || !New(0, CNY).IsZero() || a.IsZero() {
		t.Error("order is wrong")
	}
	defer func() {
		if recover() == nil {
			t.Error("compared two currencies")
		}
	}()
	a.Cmp(New(1, MOP))
}

func TestFields(t *testing.T) {
	for minor, n12 := range map[int64]string{0: "000000000000", 1: "000000000001", 6580: "000000006580", MaxN12: "999999999999", 123456789012: "123456789012"} {
		a := New(minor, CNY)
		got, err := a.N12()
		if err != nil || got != n12 {
			t.Errorf("N12 of %d = %q, %v", minor, got, err)
		}
		back, err := FromN12(got, CNY)
		if err != nil || back != a {
			t.Errorf("%q does not come back: %v", got, err)
		}
		packed, err := a.BCD()
		if err != nil || fmt.Sprintf("%x", packed) != n12 {
			t.Errorf("BCD of %d = %x, %v", minor, packed, err)
		}
		back, err = FromBCD(packed[:], CNY)
		if err != nil || back != a {
			t.Errorf("%x does not come back: %v", packed, err)
		}
	}
	for _, minor := range []int64{-1, MaxN12 + 1, math.MinInt64, math.MaxInt64} {
		a := New(minor, CNY)
		if got, err := a.N12(); !errors.Is(err, ErrRange) || got != "" {
			t.Errorf("N12 of %d = %q, %v", minor, got, err)
		}
		if _, err := a.BCD(); !errors.Is(err, ErrRange) {
			t.Errorf("BCD of %d: %v", minor, err)
		}
		if dst, err := a.AppendN12([]byte("x")); err == nil || string(dst) != "x" {
			t.Errorf("AppendN12 of %d changes its argument: %q", minor, dst)
		}
	}
	for _, digits := range []string{"", "1", "00000000000", "0000000000000", "00000000000x", "-00000000001", "           1"} {
		if _, err := FromN12(digits, CNY); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %q", digits)
		}
	}
	for _, b := range [][]byte{nil, {1}, make([]byte, 5), make([]byte, 7), {0, 0, 0, 0, 0, 0x0A}, {0xA0, 0, 0, 0, 0, 0}, {0, 0, 0xFF, 0, 0, 0}} {
		if _, err := FromBCD(b, CNY); !errors.Is(err, ErrFormat) {
			t.Errorf("accepted %x", b)
		}
	}
	_, errBCD := FromBCD(make([]byte, 6), Currency{})
	_, errN12 := FromN12("000000000001", Currency{})
	if !errors.Is(errBCD, ErrCurrency) || !errors.Is(errN12, ErrCurrency) {
		t.Errorf("an amount of no currency: %v, %v", errBCD, errN12)
	}
}

func TestText(t *testing.T) {
	type invoice struct {
		Total Amount
		In    Currency
	}
	in := invoice{New(100001, CNY), MOP}
	text, err := json.Marshal(in)
	if err != nil || string(text) != `{"Total":"1000.01 CNY","In":"MOP"}` {
		t.Errorf("JSON %s, %v", text, err)
	}
	var out invoice
	if err := json.Unmarshal(text, &out); err != nil || out != in {
		t.Errorf("JSON does not come back: %v, %v", out, err)
	}
	text, err = json.Marshal(invoice{})
	if err != nil || json.Unmarshal(text, &out) != nil || out != (invoice{}) {
		t.Errorf("the zero value does not come back from %s: %v", text, err)
	}
	if _, err := json.Marshal(New(1, Currency{})); err == nil {
		t.Error("units of no currency are written")
	}
	for _, bad := range []string{`"1000.01"`, `"1000.01CNY"`, `"1000.01  CNY"`, `"CNY 1000.01"`, `"1000.01 cny"`, `"1000.01 XYZ"`, `" CNY"`, `"1.5 CNY"`, `1000.01`, `{}`} {
		var a Amount
		if err := json.Unmarshal([]byte(bad), &a); err == nil {
			t.Errorf("accepted %s", bad)
		}
	}
	if got := (Amount{}).String(); got != "0" {
		t.Errorf("the zero value prints %q", got)
	}
}

func TestNoAllocation(t *testing.T) {
	a := New(29900, CNY)
	buf := make([]byte, 0, 16)
	packed, _ := a.BCD()
	for name, f := range map[string]func(){
		"AppendN12":        func() { buf, _ = a.AppendN12(buf[:0]) },
		"BCD":              func() { packed, _ = a.BCD() },
		"FromBCD":          func() { a, _ = FromBCD(packed[:], CNY) },
		"Add":              func() { a, _ = a.Add(New(0, CNY)) },
		"CurrencyByNumber": func() { _, _ = CurrencyByNumber(446) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"299.00", "299", "1,000.01", "-5.00", "0.01", "1,00", "92233720368547758.07"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text, CNY)
		if err != nil {
			return
		}
		// Only grouping commas and an absent fraction may be lost.
		want := strings.ReplaceAll(text, ",", "")
		if !strings.Contains(want, ".") {
			want += ".00"
		}
		if a.Decimal() != want {
			t.Errorf("%q re-encodes to %q", text, a.Decimal())
		}
		if got := strings.TrimPrefix(a.String(), "CNY "); strings.Contains(text, ",") && strings.Contains(text, ".") && got != text {
			t.Errorf("%q prints as %q", text, got)
		}
	})
}

func FuzzFromBCD(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0x65, 0x80})
	f.Add([]byte{0x99, 0x99, 0x99, 0x99, 0x99, 0x99})
	f.Add([]byte{0, 0, 0, 0, 0, 0x0A})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := FromBCD(b, CNY)
		if err != nil {
			return
		}
		if packed, err := a.BCD(); err != nil || string(packed[:]) != string(b) {
			t.Errorf("%x re-encodes to %x, %v", b, packed, err)
		}
	})
}

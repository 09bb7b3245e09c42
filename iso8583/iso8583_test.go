package iso8583

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// packed is a dialect with every kind of field in packed form, text the same in ASCII.
func testSpec(t testing.TB, numbers Encoding) *Spec {
	t.Helper()
	digits := BCD
	if numbers == ASCII {
		digits = ASCII
	}
	left := PadLeft
	if digits == ASCII {
		left = PadRight
	}
	s, err := NewSpec(SpecConfig{Name: "test", Numbers: numbers, Fields: []FieldSpec{
		{Number: 2, Kind: Digits, Encoding: digits, Length: LL, Max: 19},
		{Number: 3, Kind: Digits, Encoding: digits, Length: Fixed, Max: 6},
		{Number: 4, Kind: Digits, Encoding: digits, Length: Fixed, Max: 12},
		{Number: 22, Kind: Digits, Encoding: digits, Length: Fixed, Max: 3},
		{Number: 23, Kind: Digits, Encoding: digits, Length: Fixed, Max: 3, Padding: left},
		{Number: 35, Kind: Track, Encoding: digits, Length: LL, Max: 37},
		{Number: 37, Kind: AlphaNumeric, Encoding: ASCII, Length: Fixed, Max: 12},
		{Number: 41, Kind: Printable, Encoding: ASCII, Length: Fixed, Max: 8},
		{Number: 44, Kind: AlphaNumeric, Encoding: ASCII, Length: LL, Max: 25},
		{Number: 52, Kind: Bytes, Encoding: Binary, Length: Fixed, Max: 8},
		{Number: 55, Kind: Bytes, Encoding: Binary, Length: LLL, Max: 255},
		{Number: 60, Kind: Digits, Encoding: digits, Length: LLL, Min: 8, Max: 17},
		{Number: 64, Kind: Bytes, Encoding: Binary, Length: Fixed, Max: 8},
		{Number: 70, Kind: Digits, Encoding: digits, Length: Fixed, Max: 3},
		{Number: 128, Kind: Bytes, Encoding: Binary, Length: Fixed, Max: 8},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func build(t testing.TB, s *Spec, fields map[int]string) *Message {
	t.Helper()
	m := new(Message)
	m.Reset(s)
	m.MTI = [4]byte{'0', '2', '0', '0'}
	for n := 2; n <= MaxField; n++ {
		if text, ok := fields[n]; ok {
			if err := m.Set(n, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

// TestWireForm is the odd-digit rules of both dialects byte for byte.
func TestWireForm(t *testing.T) {
	for _, c := range []struct {
		numbers Encoding
		number  int
		text    string
		wire    string
		units   int
		read    string // "" = text
	}{
		{BCD, 2, "6299990000000000017", "19 62999900000000000170", 19, ""},
		{BCD, 2, "629999000000000017", "18 629999000000000017", 18, ""},
		{BCD, 3, "310000", "310000", 6, ""},
		{BCD, 22, "051", "0510", 3, ""},
		{BCD, 23, "001", "0001", 3, ""},
		{BCD, 35, "6299990000000017=30122201", "25 6299990000000017D301222010", 25, ""},
		{BCD, 35, "62D1", "04 62D1", 4, "62=1"},
		{BCD, 44, "ab 1", "04 61622031", 4, ""},
		{BCD, 55, "\x95\x00", "0002 9500", 2, ""},
		{BCD, 60, "22000001003", "0011 220000010030", 11, ""},
		{BCD, 70, "301", "3010", 3, ""},
		{ASCII, 2, "629999000000017", "3135 363239393939303030303030303137", 15, ""},
		{ASCII, 22, "051", "303531", 3, ""},
		{ASCII, 23, "001", "303031", 3, ""},
		{ASCII, 35, "62=1", "3034 36323D31", 4, ""},
		{ASCII, 35, "62D1", "3034 36324431", 4, ""},
		{ASCII, 55, "\x95\x00", "303032 9500", 2, ""},
	} {
		s := testSpec(t, c.numbers)
		m := build(t, s, map[int]string{c.number: c.text})
		b, err := s.Append(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		_, last, err := s.Outline(b)
		if err != nil || last != c.number {
			t.Errorf("field %d: outline says %d, %v", c.number, last, err)
		}
		var got Message
		if err := s.Unpack(b, &got); err != nil {
			t.Fatalf("field %d: %v", c.number, err)
		}
		start, end := got.Range(c.number)
		if !bytes.Equal(b[start:end], unhex(t, c.wire)) || end != len(b) {
			t.Errorf("field %d on the wire: %X, want %s", c.number, b[start:end], c.wire)
		}
		want := c.text
		if c.read != "" {
			want = c.read
		}
		if text := string(got.Text(nil, c.number)); text != want || got.Units(c.number) != c.units {
			t.Errorf("field %d reads %q (%d), want %q (%d)", c.number, text, got.Units(c.number), want, c.units)
		}
	}
}

// TestUnpackRefuses: each input is a message with one thing wrong; field, offset and cause must be right.
func TestUnpackRefuses(t *testing.T) {
	packed, ascii := testSpec(t, BCD), testSpec(t, ASCII)
	for _, c := range []struct {
		name          string
		spec          *Spec
		hex           string
		field, offset int
		cause         error
	}{
		{"empty", packed, "", MTIField, 0, ErrTruncated},
		{"half a type", packed, "02", MTIField, 0, ErrTruncated},
		{"type not digits", packed, "0A00 0000000000000000", MTIField, 0, ErrContent},
		{"type not digits, ASCII", ascii, "30324130 0000000000000000", MTIField, 0, ErrContent},
		{"short type, ASCII", ascii, "303230", MTIField, 0, ErrTruncated},
		{"short bitmap", packed, "0200 00000000000000", BitmapField, 2, ErrTruncated},
		{"short second bitmap", packed, "0200 8000000000000000 00", BitmapField, 10, ErrTruncated},
		{"undefined field", packed, "0200 0800000000000000 00", 5, 10, ErrUndefined},
		{"third bitmap", packed, "0200 8000000000000000 8000000000000000 00", 65, 18, ErrUndefined},
		{"no length", packed, "0200 4000000000000000", 2, 10, ErrTruncated},
		{"length not digits", packed, "0200 4000000000000000 1A", 2, 10, ErrContent},
		{"length zero", packed, "0200 4000000000000000 00", 2, 10, ErrLength},
		{"length too long", packed, "0200 4000000000000000 20 62999900000000000170", 2, 10, ErrLength},
		{"length of three digits says four", packed, "0200 0000000000000200 1000" + strings.Repeat("00", 256), 55, 10, ErrLength},
		{"length below minimum", packed, "0200 0000000000000010 0007 00000000", 60, 10, ErrLength},
		{"stops in a field", packed, "0200 4000000000000000 16 62999900000000", 2, 10, ErrTruncated},
		{"stops in a fixed field", packed, "0200 1000000000000000 0000000100", 4, 10, ErrTruncated},
		{"no field at all", packed, "0200 1000000000000000", 4, 10, ErrTruncated},
		{"digit is hex", packed, "0200 2000000000000000 31000F", 3, 10, ErrContent},
		{"separator in a number", packed, "0200 2000000000000000 31D000", 3, 10, ErrContent},
		{"F in a track", packed, "0200 0000000020000000 04 62F1", 35, 10, ErrContent},
		{"padding right", packed, "0200 0000040000000000 0511", 22, 10, ErrPadding},
		{"padding left", packed, "0200 0000020000000000 1001", 23, 10, ErrPadding},
		{"padding right, var", packed, "0200 4000000000000000 03 1234", 2, 10, ErrPadding},
		{"control character", packed, "0200 0000000000800000 4142434445464700", 41, 10, ErrContent},
		{"point in an", packed, "0200 0000000008000000 30303030303030303030302E", 37, 10, ErrContent},
		{"second field wrong", packed, "0200 3000000000000000 310000 00000000010A", 4, 13, ErrContent},
		{"trailing byte", packed, "0200 2000000000000000 310000 00", EndField, 13, ErrTrailing},
		{"length not digits, ASCII", ascii, "30323030 4000000000000000 3141 36", 2, 12, ErrContent},
		{"half a length, ASCII", ascii, "30323030 4000000000000000 31", 2, 12, ErrTruncated},
		{"letter in digits, ASCII", ascii, "30323030 2000000000000000 333130303041", 3, 12, ErrContent},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Message
			err := c.spec.Unpack(unhex(t, c.hex), &m)
			var fe *FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("accepted or untyped: %v", err)
			}
			if fe.Field != c.field || fe.Offset != c.offset || !errors.Is(err, c.cause) {
				t.Errorf("got field %d offset %d: %v; want field %d offset %d: %v", fe.Field, fe.Offset, fe.Err, c.field, c.offset, c.cause)
			}
			if m.Next(1) != 0 {
				t.Error("message not empty after an error")
			}
		})
	}
}

func TestMessageTooLong(t *testing.T) {
	var m Message
	if err := testSpec(t, BCD).Unpack(make([]byte, maxMessageBytes+1), &m); !errors.Is(err, ErrTrailing) {
		t.Errorf("got %v", err)
	}
}

func TestSetRefuses(t *testing.T) {
	for _, c := range []struct {
		number int
		text   string
		cause  error
	}{
		{0, "1", ErrUndefined}, {1, "1", ErrUndefined}, {5, "1", ErrUndefined}, {65, "1", ErrUndefined},
		{129, "1", ErrUndefined}, {-1, "1", ErrUndefined},
		{3, "31000", ErrLength}, {3, "3100000", ErrLength}, {2, "", ErrLength}, {2, strings.Repeat("1", 20), ErrLength},
		{3, "31000A", ErrContent}, {3, "31 000", ErrContent}, {3, "3100=0", ErrContent},
		{35, "62F1", ErrContent}, {37, "00000000000.", ErrContent}, {41, "ABCDEFG\x1F", ErrContent},
		{60, "1234567", ErrLength}, {52, "1234567", ErrLength},
	} {
		m := new(Message)
		m.Reset(testSpec(t, BCD))
		err := m.Set(c.number, []byte(c.text))
		var fe *FieldError
		if !errors.Is(err, c.cause) || !errors.As(err, &fe) || fe.Field != c.number {
			t.Errorf("Set(%d, %d bytes) = %v, want %v", c.number, len(c.text), err, c.cause)
		}
		if err != nil && len(c.text) > 3 && strings.Contains(err.Error(), c.text) {
			t.Error("error holds content")
		}
		if m.Has(c.number) {
			t.Error("field is present after an error")
		}
	}
	unbound := new(Message)
	if err := unbound.Set(3, []byte("000000")); !errors.Is(err, ErrUndefined) {
		t.Errorf("a message without dialect took a field: %v", err)
	}
}

func TestSetWire(t *testing.T) {
	s := testSpec(t, BCD)
	m := new(Message)
	m.Reset(s)
	if err := m.SetWire(22, []byte{0x07, 0x20}, 3); err != nil {
		t.Fatal(err)
	}
	if got := string(m.Text(nil, 22)); got != "072" {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		number  int
		content []byte
		units   int
		cause   error
	}{
		{22, []byte{0x07}, 3, ErrLength}, {22, []byte{0x07, 0x21}, 3, ErrPadding}, {22, []byte{0x0A, 0x20}, 3, ErrContent},
		{22, []byte{0x07, 0x20}, 4, ErrLength}, {99, []byte{1}, 1, ErrUndefined},
	} {
		if err := m.SetWire(c.number, c.content, c.units); !errors.Is(err, c.cause) {
			t.Errorf("SetWire(%d, %X, %d) = %v, want %v", c.number, c.content, c.units, err, c.cause)
		}
	}
}

func TestAppendRefuses(t *testing.T) {
	s := testSpec(t, BCD)
	m := build(t, s, map[int]string{3: "000000"})
	if _, err := testSpec(t, ASCII).Append(nil, m); !errors.Is(err, ErrDialect) {
		t.Errorf("other dialect: %v", err)
	}
	m.MTI[1] = 'x'
	if out, err := s.Append([]byte("kept"), m); !errors.Is(err, ErrContent) || string(out) != "kept" {
		t.Errorf("bad type: %q, %v", out, err)
	}
}

func TestPresence(t *testing.T) {
	s := testSpec(t, BCD)
	m := build(t, s, map[int]string{3: "000000", 64: "12345678", 70: "301", 128: "12345678"})
	var got []int
	for n := m.Next(1); n != 0; n = m.Next(n) {
		got = append(got, n)
	}
	if fmt.Sprint(got) != "[3 64 70 128]" {
		t.Errorf("present: %v", got)
	}
	if m.Next(0) != 3 || m.Next(128) != 0 || m.Next(127) != 128 || m.Next(64) != 70 || m.Has(0) || m.Has(129) || m.Get(4) != nil {
		t.Error("Next, Has or Get is wrong at an end")
	}
	m.Clear(70)
	m.Clear(128)
	b, err := s.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	if want := unhex(t, "0200 2000000000000001 000000 3132333435363738"); !bytes.Equal(b, want) {
		t.Errorf("got %X", b)
	}
}

// TestEmptySecondaryBitmap: accepted, remembered, written again.
func TestEmptySecondaryBitmap(t *testing.T) {
	s := testSpec(t, BCD)
	in := unhex(t, "0200 A000000000000000 0000000000000000 000000")
	var m Message
	if err := s.Unpack(in, &m); err != nil {
		t.Fatal(err)
	}
	out, err := s.Append(nil, &m)
	if err != nil || !bytes.Equal(in, out) {
		t.Errorf("got %X, %v", out, err)
	}
	if start, end := m.Range(3); start != 18 || end != 21 {
		t.Errorf("field 3 at %d..%d", start, end)
	}
}

func TestNewSpecRefuses(t *testing.T) {
	good := FieldSpec{Number: 3, Kind: Digits, Encoding: BCD, Length: Fixed, Max: 6}
	change := func(f func(*FieldSpec)) []FieldSpec {
		c := good
		f(&c)
		return []FieldSpec{c}
	}
	for name, fields := range map[string][]FieldSpec{
		"twice":           {good, good},
		"number 1":        change(func(f *FieldSpec) { f.Number = 1 }),
		"number 65":       change(func(f *FieldSpec) { f.Number = 65 }),
		"number 129":      change(func(f *FieldSpec) { f.Number = 129 }),
		"no kind":         change(func(f *FieldSpec) { f.Kind = 0 }),
		"no encoding":     change(func(f *FieldSpec) { f.Encoding = 0 }),
		"no length":       change(func(f *FieldSpec) { f.Length = 0 }),
		"packed letters":  change(func(f *FieldSpec) { f.Kind = Printable }),
		"packed bytes":    change(func(f *FieldSpec) { f.Kind = Bytes }),
		"binary digits":   change(func(f *FieldSpec) { f.Encoding = Binary }),
		"empty":           change(func(f *FieldSpec) { f.Max = 0 }),
		"LL of 100":       change(func(f *FieldSpec) { f.Length, f.Max = LL, 100 }),
		"LLL of 1000":     change(func(f *FieldSpec) { f.Length, f.Max = LLL, 1000 }),
		"min above max":   change(func(f *FieldSpec) { f.Length, f.Min = LL, 7 }),
		"left padded var": change(func(f *FieldSpec) { f.Length, f.Padding = LL, PadLeft }),
		"odd padding":     change(func(f *FieldSpec) { f.Padding = 9 }),
	} {
		if _, err := NewSpec(SpecConfig{Name: "x", Numbers: BCD, Fields: fields}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewSpec(SpecConfig{Numbers: Binary}); err == nil {
		t.Error("binary numbers: accepted")
	}
}

func TestSpecAccessors(t *testing.T) {
	s := testSpec(t, BCD)
	f, ok := s.Field(60)
	if !ok || f.Min != 8 || f.Max != 17 || s.Name() != "test" || s.Numbers() != BCD {
		t.Errorf("got %+v, %v", f, ok)
	}
	for _, n := range []int{-1, 0, 1, 5, 65, 129} {
		if _, ok := s.Field(n); ok {
			t.Errorf("field %d exists", n)
		}
	}
}

// sample is a request of 18 fields with 135 bytes of chip data, as measured in the benchmark.
func sample(t testing.TB, s *Spec) []byte {
	m := build(t, s, map[int]string{
		2: "6299990000000017", 3: "000000", 4: "000000029900", 22: "072", 23: "001", 35: "6299990000000017=30122200000000000",
		37: "632517000001", 41: "POS00001", 44: "0102 0304", 52: "\x01\x02\x03\x04\x05\x06\x07\x08",
		55: strings.Repeat("\x9F", 135), 60: "22000001000600", 64: "ABCDEFGH",
	})
	b, err := s.Append(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNoAllocations(t *testing.T) {
	for _, numbers := range []Encoding{BCD, ASCII} {
		s := testSpec(t, numbers)
		in := sample(t, s)
		m, out := new(Message), make([]byte, 0, 1024)
		code := []byte("632517000002")
		var text [64]byte
		run := func() {
			if err := s.Unpack(in, m); err != nil {
				t.Fatal(err)
			}
			m.MTI[2] = '1'
			m.Clear(35)
			if err := m.Set(37, code); err != nil {
				t.Fatal(err)
			}
			_ = m.Text(text[:0], 2)
			var err error
			if out, err = s.Append(out[:0], m); err != nil {
				t.Fatal(err)
			}
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	packed, ascii := testSpec(f, BCD), testSpec(f, ASCII)
	f.Add(true, sample(f, packed))
	f.Add(false, sample(f, ascii))
	f.Add(true, unhex(f, "0200 A000000000000000 0000000000000000 000000"))
	f.Fuzz(func(t *testing.T, bcd bool, in []byte) {
		s := ascii
		if bcd {
			s = packed
		}
		var m Message
		if err := s.Unpack(in, &m); err != nil {
			var fe *FieldError
			if !errors.As(err, &fe) || fe.Offset < 0 || fe.Offset > len(in) {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		out, err := s.Append(nil, &m)
		if err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%X became %X, %v", in, out, err)
		}
		// Characters and wire say the same: setting the text gives the same bytes, but for 'D' and '=' in ASCII.
		again := new(Message)
		again.Reset(s)
		again.MTI = m.MTI
		if m.Has(1) {
			again.WriteSecondaryBitmap()
		}
		for n := m.Next(1); n != 0; n = m.Next(n) {
			if err := again.Set(n, m.Text(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		if out, err = s.Append(nil, again); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%X became %X through its text, %v", in, out, err)
		}
	})
}

func BenchmarkUnpackModifyPack(b *testing.B) {
	for name, numbers := range map[string]Encoding{"packed": BCD, "ascii": ASCII} {
		b.Run(name, func(b *testing.B) {
			s := testSpec(b, numbers)
			in, out, m := sample(b, s), make([]byte, 0, 1024), new(Message)
			code := []byte("632517000002")
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Unpack(in, m); err != nil {
					b.Fatal(err)
				}
				m.MTI[2] = '1'
				m.Clear(35)
				m.Clear(52)
				if err := m.Set(37, code); err != nil {
					b.Fatal(err)
				}
				var err error
				if out, err = s.Append(out[:0], m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

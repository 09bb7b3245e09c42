package pan

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

const (
	testDigits = "6299990000000017"
	testTrack  = "6299990000000017D30122010000012300000"
)

func mustParse(t testing.TB, digits string) Number {
	t.Helper()
	n, err := Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func mustTrack(t testing.TB, s string) Track2 {
	t.Helper()
	track, err := ParseTrack2String(s)
	if err != nil {
		t.Fatal(err)
	}
	return track
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParse(t *testing.T) {
	for _, digits := range []string{testDigits, "629999000000", "6299990000000000017", "6228000100001117"} {
		n := mustParse(t, digits)
		if n.Reveal() != digits || n.Len() != len(digits) || n.Last4() != digits[len(digits)-4:] {
			t.Errorf("a number of %d digits does not come back", len(digits))
		}
		if n != mustParse(t, strings.Clone(digits)) || !n.Equal(mustParse(t, digits)) {
			t.Error("equal numbers do not compare")
		}
	}
	for _, digits := range []string{"", "1", "62999900000", "62999900000000000017", "629999 00000000017", "62999900000000a7",
		"6299990000000017\n", "６２９９９９０００００", "-299990000000017", "6299990000000+17", "629999000000001D"} {
		n, err := Parse(digits)
		if !errors.Is(err, ErrInvalid) || !n.IsZero() {
			t.Errorf("accepted %q", digits)
		}
		if err != nil && digits != "" && len(digits) > 1 && strings.Contains(err.Error(), digits) {
			t.Errorf("the error repeats the input: %v", err)
		}
	}
}

func TestZeroNumberIsHarmless(t *testing.T) {
	var n Number
	if n.Reveal() != "" || n.Masked() != "" || n.Last4() != "" || n.Len() != 0 || n.LuhnValid() || n.HasPrefix("6") || len(n.BCD()) != 0 {
		t.Error("the zero number says something")
	}
	var track Track2
	if track.Reveal() != "" || track.Masked() != "" || track.ServiceCode() != "" || track.Discretionary() != "" || len(track.Packed()) != 0 {
		t.Error("the zero track says something")
	}
	var e Expiry
	if e.YYMM() != "" || !e.Expired(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) {
		t.Error("the zero expiry says something")
	}
}

func TestLuhn(t *testing.T) {
	n, err := CompleteLuhn("629999000000001")
	if err != nil {
		t.Fatal(err)
	}
	if !n.LuhnValid() || !n.HasPrefix("629999000000001") {
		t.Error("completed number is not valid")
	}
	// Every other check digit is wrong, and every single-digit change is seen.
	digits := []byte(n.Reveal())
	for i := range digits {
		for d := byte('0'); d <= '9'; d++ {
			changed := bytes.Clone(digits)
			changed[i] = d
			if got, want := mustParse(t, string(changed)).LuhnValid(), d == digits[i]; got != want {
				t.Errorf("digit %d changed: LuhnValid = %t", i, got)
			}
		}
	}
	for _, prefix := range []string{"", "6299990000", "6299990000000000017", "62999900000000x"} {
		if _, err := CompleteLuhn(prefix); !errors.Is(err, ErrInvalid) {
			t.Errorf("completed a prefix of %d characters", len(prefix))
		}
	}
}

func TestBCD(t *testing.T) {
	for _, c := range []struct{ packed, digits string }{
		{"6210948000000011", "6210948000000011"},       // V-8
		{"629999000000000017FF", "629999000000000017"}, // padded to the full field
		{"6299990000000000017F", "6299990000000000017"},
		{"629999000000FFFFFFFF", "629999000000"},
	} {
		n, err := FromBCD(unhex(t, c.packed))
		if err != nil || n.Reveal() != c.digits {
			t.Errorf("tag 5A %s: %v", c.packed[:6], err)
			continue
		}
		if want := strings.TrimSuffix(c.packed, strings.Repeat("F", len(c.packed)-len(c.digits)-len(c.digits)%2)); hex.EncodeToString(n.BCD()) != strings.ToLower(want) {
			t.Errorf("BCD = %X, want %s", n.BCD(), want)
		}
	}
	for _, packed := range []string{"", "FF", "FFFFFFFFFFFFFFFFFFFF", "6299990000F00017", "F299990000000017", "62999900000000D7", "629999000000001A",
		"62999900000000001700", "6299990000000000001700FF", "6299990000", "62999900000F"} {
		if _, err := FromBCD(unhex(t, packed)); !errors.Is(err, ErrInvalid) {
			t.Errorf("accepted tag 5A %s", packed)
		}
	}
}

func TestExpiry(t *testing.T) {
	e, err := ParseExpiry("2802")
	if err != nil {
		t.Fatal(err)
	}
	if e.YYMM() != "2802" || !e.LastDay().Equal(time.Date(2028, 2, 29, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("2802 = %s, last day %s", e, e.LastDay())
	}
	shanghai := time.FixedZone("CST", 8*3600)
	for _, c := range []struct {
		on      time.Time
		expired bool
	}{
		{time.Date(2028, 2, 29, 23, 59, 59, 0, time.UTC), false},
		{time.Date(2028, 3, 1, 0, 0, 0, 0, time.UTC), true},
		{time.Date(2028, 2, 29, 23, 59, 59, 0, shanghai), false},
		{time.Date(2028, 3, 1, 0, 0, 0, 0, shanghai), true}, // still February in UTC: the date where the terminal stands counts
		{time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), false},
	} {
		if e.Expired(c.on) != c.expired || e.After(c.on) == c.expired {
			t.Errorf("on %s: expired = %t", c.on, e.Expired(c.on))
		}
	}
	for _, c := range []struct {
		yymm string
		year int
	}{{"0001", 2000}, {"4912", 2049}, {"5001", 1950}, {"9912", 1999}} {
		if e, err := ParseExpiry(c.yymm); err != nil || e.LastDay().Year() != c.year {
			t.Errorf("%s is in %d, want %d (%v)", c.yymm, e.LastDay().Year(), c.year, err)
		}
	}
	for _, bad := range []string{"", "301", "30121", "3000", "3013", "30-1", "3a12", " 012", "３０"} {
		if _, err := ParseExpiry(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("accepted expiry %q", bad)
		}
	}
}

func TestTrack2(t *testing.T) {
	for _, c := range []string{testTrack, "6299990000000000017D3012201", "629999000000D4912220" + strings.Repeat("9", 17)} {
		track := mustTrack(t, c)
		if track.Reveal() != c || track.RevealASCII() != strings.Replace(c, "D", "=", 1) {
			t.Error("characters do not come back")
		}
		packed, err := ParseTrack2(track.Packed())
		if err != nil || packed != track {
			t.Errorf("packed form does not come back: %v", err)
		}
		if track != mustTrack(t, track.RevealASCII()) || !track.Equal(packed) {
			t.Error("'=' and 'D' differ")
		}
	}
	track := mustTrack(t, testTrack)
	if track.PAN().Reveal() != testDigits || track.Expiry().YYMM() != "3012" || track.ServiceCode() != "201" || track.Discretionary() != "0000012300000" {
		t.Error("parts are wrong")
	}
	if got, want := hex.EncodeToString(track.Packed()), "6299990000000017d30122010000012300000f"; got != want {
		t.Error("packed form has the wrong length or pad")
	}
}

func TestTrack2Refused(t *testing.T) {
	for _, s := range []string{"", "D", testDigits, testDigits + "D", testDigits + "D3012", testDigits + "D301220", testDigits + "D3013201",
		testDigits + "D3012D01", testDigits + "D3012201=", testDigits + "d3012201", testDigits + "D30122010000012300000F", testTrack + "00",
		"62999900000D3012201", ";" + testDigits + "=3012201?", testDigits + " D3012201", testDigits + "D3012201A"} {
		if _, err := ParseTrack2String(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("accepted %d characters %q", len(s), strings.ReplaceAll(s, testDigits, "<number>"))
		}
	}
	for _, packed := range []string{"", "FF", "6299990000000017D301220FFF", "6299990000000017D3012201FF", "6299990000000017D3012201FF00",
		"6299990000000017F3012201", "6299990000000017D3012201000001230000000F"} {
		if _, err := ParseTrack2(unhex(t, packed)); !errors.Is(err, ErrInvalid) {
			t.Errorf("accepted packed %s", strings.ReplaceAll(packed, testDigits, "<number>"))
		}
	}
	n, e := mustParse(t, testDigits), mustTrack(t, testTrack).Expiry()
	for name, err := range map[string]error{
		"no number":          second(NewTrack2(Number{}, e, "201", "")),
		"no expiry":          second(NewTrack2(n, Expiry{}, "201", "")),
		"short service":      second(NewTrack2(n, e, "20", "")),
		"letters in service": second(NewTrack2(n, e, "2x1", "")),
		"letters in data":    second(NewTrack2(n, e, "201", "12F")),
		"too long":           second(NewTrack2(n, e, "201", strings.Repeat("1", 14))),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ Track2, err error) error { return err }

// hidden and shown hold the sensitive values where fmt can and cannot call their methods.
type hidden struct {
	number Number
	track  Track2
	inner  struct{ list []Number }
}

type shown struct {
	Number Number
	Track  Track2
	Map    map[string]Number
	Ptr    *Number
	Any    any
}

// everyPrint collects every way of printing n and track.
func everyPrint(t testing.TB, n Number, track Track2) string {
	t.Helper()
	h := hidden{number: n, track: track}
	h.inner.list = []Number{n}
	s := shown{Number: n, Track: track, Map: map[string]Number{"k": n}, Ptr: &n, Any: track}
	var out strings.Builder
	for _, value := range []any{n, &n, track, &track, h, &h, s, &s, []Number{n}, map[Number]Track2{n: track}, [1]Track2{track}} {
		for _, verb := range "vsqxXdTpcbUtogeEfFGw" {
			for _, flags := range []string{"", "+", "#", "-40", "40", "040", ".3", " ", "[1]"} {
				fmt.Fprintf(&out, "%"+flags+string(verb)+"\n", value)
			}
		}
		fmt.Fprintln(&out, value)
		text, err := json.Marshal(value)
		fmt.Fprintln(&out, string(text), err)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		log := slog.New(handler)
		log.Info("card", "number", n, "track", track, "hidden", h, "shown", s, "ptr", &n, "any", []any{n, track})
		log.With("number", n).WithGroup("g").Info("card", slog.Any("track", &track))
	}
	_, err := NewTrack2(n, track.Expiry(), "x", "y")
	fmt.Fprintln(&out, err, fmt.Errorf("wrap %v %w", n, err))
	return out.String()
}

// leaks reports whether a text shows more than the first six and last four digits, in any of the usual spellings.
func leaks(text, digits string) bool {
	middle := digits[4 : len(digits)-2] // more than the mask may show on either side
	packed := string(pack(nil, digits))
	return strings.Contains(text, middle) ||
		strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(middle))) ||
		strings.Contains(text, packed[2:len(packed)-1]) ||
		strings.Contains(text, strings.Trim(fmt.Sprint([]byte(middle)), "[]"))
}

func TestNothingPrintsTheNumber(t *testing.T) {
	// Digits that occur nowhere else, so that a hit is a leak.
	n := mustParse(t, "6299991234567895")
	track, err := NewTrack2(n, mustTrack(t, testTrack).Expiry(), "201", "7719334455667")
	if err != nil {
		t.Fatal(err)
	}
	out := everyPrint(t, n, track)
	if leaks(out, n.Reveal()) {
		t.Error("the number is printed somewhere")
	}
	if strings.Contains(out, "7193344") || strings.Contains(strings.ToLower(out), hex.EncodeToString([]byte("7193344"))) {
		t.Error("the discretionary data are printed somewhere")
	}
	if !strings.Contains(out, "629999******7895D****") {
		t.Error("the masked track is printed nowhere")
	}
}

func TestMaskedForms(t *testing.T) {
	n, track := mustParse(t, testDigits), mustTrack(t, testTrack)
	const masked = "629999******0017"
	for format, want := range map[string]string{
		"%v": masked, "%+v": masked, "%s": masked, "%d": masked, "%x": masked, "%X": masked,
		"%q": `"` + masked + `"`, "%#v": `"` + masked + `"`, "%20s": "    " + masked, "%-20s|": masked + "    |", "%.2s": masked,
	} {
		if got := fmt.Sprintf(format, n); got != want {
			t.Errorf("%s = %q, want %q", format, got, want)
		}
	}
	if got := fmt.Sprint(track); got != masked+"D****" {
		t.Errorf("track prints %q", got)
	}
	text, err := json.Marshal(shown{Number: n, Track: track, Map: map[string]Number{"k": n}, Ptr: &n, Any: n})
	want := `{"Number":"` + masked + `","Track":"` + masked + `D****","Map":{"k":"` + masked + `"},"Ptr":"` + masked + `","Any":"` + masked + `"}`
	if err != nil || string(text) != want {
		t.Errorf("JSON = %s, want %s (%v)", text, want, err)
	}
	if got := mustParse(t, "629999000000").Masked(); got != "629999**0000" {
		t.Errorf("twelve digits are masked as %q", got)
	}
}

func FuzzPrint(f *testing.F) {
	f.Add(testDigits)
	f.Add("6299991234567895")
	f.Add("629999876543")
	f.Add("6299987654321098765")
	f.Fuzz(func(t *testing.T, digits string) {
		n, err := Parse(digits)
		if err != nil {
			if len(digits) >= MinDigits && strings.Contains(err.Error(), digits) {
				t.Error("the error repeats the input")
			}
			return
		}
		h := hidden{number: n}
		out := ""
		for _, value := range []any{n, &n, h, &h} {
			for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p"} {
				out += fmt.Sprintf(format, value)
			}
		}
		text, _ := json.Marshal(map[string]any{"n": n})
		if strings.Contains(out+string(text), digits) {
			t.Error("the number is printed somewhere")
		}
	})
}

func FuzzFromBCD(f *testing.F) {
	f.Add([]byte{0x62, 0x99, 0x99, 0x00, 0x00, 0x00, 0x00, 0x17})
	f.Add([]byte{0x62, 0x99, 0x99, 0x00, 0x00, 0x00, 0x00, 0x17, 0xFF, 0xFF})
	f.Add([]byte{0x62, 0x99, 0x99, 0x00, 0x00, 0x00, 0x1F})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := FromBCD(b)
		if err != nil {
			return
		}
		// The leniency is padding beyond the next full byte: what is left of the input is all F.
		packed := n.BCD()
		if !bytes.HasPrefix(b, packed) || len(bytes.Trim(b[len(packed):], "\xFF")) != 0 {
			t.Errorf("%d bytes do not come back", len(b))
		}
	})
}

func FuzzParseTrack2(f *testing.F) {
	f.Add(unhex(f, testTrack+"F"))
	f.Add(unhex(f, "629999000000D3012201"))
	f.Add(unhex(f, "6299990000000000017D3012201F"))
	f.Fuzz(func(t *testing.T, b []byte) {
		track, err := ParseTrack2(b)
		if err != nil {
			return
		}
		if !bytes.Equal(track.Packed(), b) {
			t.Errorf("%d bytes do not come back", len(b))
		}
		again, err := ParseTrack2String(track.RevealASCII())
		if err != nil || again != track {
			t.Errorf("characters do not come back: %v", err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(testDigits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseTrack2(b *testing.B) {
	packed := mustTrack(b, testTrack).Packed()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseTrack2(packed); err != nil {
			b.Fatal(err)
		}
	}
}

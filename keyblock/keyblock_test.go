package keyblock

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type vector struct {
	source, block string
	protection    []byte
	key           []byte
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/published.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "#") || strings.HasPrefix(line, "comment:") {
			continue
		}
		part := strings.Split(line, " | ")
		if len(part) != 4 {
			t.Fatalf("vector line %q", line)
		}
		all = append(all, vector{part[0], part[3], unhex(t, part[1]), unhex(t, part[2])})
	}
	return all
}

func protection(t testing.TB, v Version, key []byte) *ProtectionKey {
	t.Helper()
	p, err := NewProtectionKey(v, key)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPublished: blocks of the standard, of an HSM on sale and of an independent implementation open to the key they say. Wrapping again with the random
// bytes they had gives the same characters.
func TestPublished(t *testing.T) {
	all := vectors(t)
	if len(all) < 18 {
		t.Fatalf("%d vectors", len(all))
	}
	for _, v := range all {
		b, err := Parse(v.block)
		if err != nil {
			t.Errorf("%s: %s: %v", v.source, v.block[:16], err)
			continue
		}
		if b.String() != v.block {
			t.Errorf("%s: written again as %s", v.source, b)
		}
		p := protection(t, b.Header().Version, v.protection)
		key, err := p.Unwrap(b)
		if err != nil || !bytes.Equal(key, v.key) {
			t.Errorf("%s: %s opens to %X, %v", v.source, v.block[:16], key, err)
			continue
		}
		again, err := p.wrap(withoutPadding(b.Header()), key, bytes.NewReader(p.fill(b, len(key))), len(b.payload)-lengthBytes)
		if err != nil {
			t.Errorf("%s: %v", v.source, err)
			continue
		}
		// Others may take any data for the padding block: it is compared where it has the zeros that we write.
		if again.String() != v.block {
			t.Errorf("%s: made again as\n%s, want\n%s", v.source, again, v.block)
		}
	}
}

// fill is what a block has behind its key.
func (p *ProtectionKey) fill(b Block, keyBytes int) []byte {
	payload := make([]byte, len(b.payload))
	newCBC(p, b.code).CryptBlocks(payload, b.payload)
	return payload[lengthBytes+keyBytes:]
}

func withoutPadding(h Header) Header {
	var kept []Optional
	for _, o := range h.Optional {
		if o.ID != OptionalPadding {
			kept = append(kept, o)
		}
	}
	h.Optional = kept
	return h
}

func sample(v Version) Header {
	return Header{Version: v, Usage: "E0", Algorithm: AlgorithmTDES, Mode: 'X', KeyVersion: "00", Export: ExportTrusted}
}

// TestRefused: what is wrong is said by a reason, and nothing is opened.
func TestRefused(t *testing.T) {
	p := protection(t, VersionB, bytes.Repeat([]byte{1, 2}, 8))
	good, err := p.Wrap(sample(VersionB), bytes.Repeat([]byte{7}, 16), bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	text := good.String()
	set := func(at int, with string) string { return text[:at] + with + text[at+len(with):] }
	withOptional := func(o string, count string) string {
		long := text[:12] + count + text[14:16] + o + text[16:]
		return long[:1] + fmt.Sprintf("%04d", len(long)) + long[5:]
	}
	for name, c := range map[string]struct {
		text string
		want Reason
	}{
		"nothing":                      {"", TooShort},
		"half a header":                {text[:15], TooShort},
		"header only":                  {"B0016" + text[5:16], TooShort},
		"far too long":                 {strings.Repeat("B", maxBlockChars+1), TooLong},
		"a control character":          {set(30, "\n"), NotPrintable},
		"version A":                    {set(0, "A"), VariantVersion},
		"version C":                    {set(0, "C"), VariantVersion},
		"version E":                    {set(0, "E"), UnknownVersion},
		"length one off":               {set(1, "0095"), WrongLength},
		"length no number":             {set(1, "00X6"), WrongLength},
		"cut":                          {text[:len(text)-2], WrongLength},
		"one more":                     {text + "0", WrongLength},
		"usage in small letters":       {set(5, "e0"), BadUsage},
		"algorithm":                    {set(7, "*"), BadAlgorithm},
		"mode":                         {set(8, "Q"), BadMode},
		"key version":                  {set(9, "-1"), BadKeyVersion},
		"exportability":                {set(11, "X"), BadExport},
		"count of optional blocks":     {set(12, "0A"), BadCount},
		"reserved":                     {set(14, "01"), BadReserved},
		"optional block of no length":  {withOptional("KS010000", "01"), BadOptional},
		"optional block past the end":  {withOptional("KSFF0000", "01"), TooShort},
		"long form with a long length": {withOptional("KS0004000000000A", "01"), BadOptional},
		"long form past the end":       {withOptional("KS0002FFFF000000", "01"), TooShort},
		"optional block unaligned":     {withOptional("KS0600", "01"), BadAlignment},
		"small hexadecimal letters":    {strings.ToLower(text)[:0] + text[:16] + "a" + text[17:], BadHex},
		"payload unaligned":            {"B0094" + text[5:94], BadAlignment},
		"payload of one cipher block":  {"B0032" + text[5:32], TooShort},
		"a payload for no key":         {"B0416" + text[5:] + strings.Repeat("0", 320), TooLong},
	} {
		if _, err := Parse(c.text); !errors.Is(err, &Error{Reason: c.want}) {
			t.Errorf("%s: %v, want %q", name, err, c.want.Term().EN)
		}
	}
	for reason := TooShort; reason <= BadKeyLength; reason++ {
		if term := reason.Term(); term.EN == "" || term.ZH == "" {
			t.Errorf("reason %d has no text", reason)
		}
	}
}

// TestNotAuthentic: no character of a block can be changed, and no other protection key opens it.
func TestNotAuthentic(t *testing.T) {
	for _, v := range []Version{VersionB, VersionD} {
		p := protection(t, v, bytes.Repeat([]byte{3, 9}, 8))
		h := sample(v)
		h.Optional = []Optional{{ID: "LB", Data: "what it is"}}
		block, err := p.Wrap(h, bytes.Repeat([]byte{7}, 16), bytes.NewReader(bytes.Repeat([]byte{0x5A}, 64)))
		if err != nil {
			t.Fatal(err)
		}
		text := block.String()
		for at := range text {
			for _, with := range "0145ABDEFNSTX" {
				changed := text[:at] + string(with) + text[at+1:]
				b, err := Parse(changed)
				if changed == text || err != nil {
					continue
				}
				if key, err := p.Unwrap(b); err == nil {
					t.Fatalf("version %c: %q at %d opens to %X", v, with, at, key)
				}
			}
		}
		other := protection(t, v, bytes.Repeat([]byte{3, 8}, 8))
		if _, err := other.Unwrap(block); v == VersionD && !errors.Is(err, &Error{Reason: NotAuthentic}) {
			t.Errorf("another key: %v", err)
		}
		wrong := VersionB + VersionD - v
		if _, err := protection(t, wrong, make([]byte, 16)).Unwrap(block); !errors.Is(err, &Error{Reason: WrongProtection}) {
			t.Errorf("a key of the other version: %v", err)
		}
	}
}

// TestWrapRefuses: what no block may say is not written either.
func TestWrapRefuses(t *testing.T) {
	p := protection(t, VersionD, make([]byte, 32))
	key := make([]byte, 16)
	for name, c := range map[string]struct {
		change func(*Header)
		key    []byte
		want   Reason
	}{
		"version":          {func(h *Header) { h.Version = VersionB }, key, WrongProtection},
		"no version":       {func(h *Header) { h.Version = 0 }, key, UnknownVersion},
		"usage":            {func(h *Header) { h.Usage = "E" }, key, BadUsage},
		"mode":             {func(h *Header) { h.Mode = 0 }, key, BadMode},
		"exportability":    {func(h *Header) { h.Export = 0 }, key, BadExport},
		"key version":      {func(h *Header) { h.KeyVersion = "cc" }, key, BadKeyVersion},
		"key length":       {func(*Header) {}, make([]byte, 8), BadKeyLength},
		"no key":           {func(*Header) {}, nil, BadKeyLength},
		"identifier":       {func(h *Header) { h.Optional = []Optional{{ID: "a1"}} }, key, BadOptional},
		"data unprintable": {func(h *Header) { h.Optional = []Optional{{ID: "LB", Data: "密"}} }, key, NotPrintable},
		"data too long":    {func(h *Header) { h.Optional = []Optional{{ID: "LB", Data: strings.Repeat("x", 9990)}} }, key, TooLong},
	} {
		h := sample(VersionD)
		c.change(&h)
		if _, err := p.Wrap(h, c.key, bytes.NewReader(make([]byte, 64))); !errors.Is(err, &Error{Reason: c.want}) {
			t.Errorf("%s: %v, want %q", name, err, c.want.Term().EN)
		}
	}
	if _, err := p.Wrap(sample(VersionD), key, bytes.NewReader(nil)); err == nil {
		t.Error("wrapped without random bytes")
	}
	for _, n := range []int{0, 8, 15, 33} {
		for _, v := range []Version{VersionB, VersionD} {
			if _, err := NewProtectionKey(v, make([]byte, n)); !errors.Is(err, &Error{Reason: WrongProtection}) {
				t.Errorf("version %c, %d bytes: %v", v, n, err)
			}
		}
	}
}

// TestRoundTrip: what is wrapped opens again, with every attribute, whatever the optional blocks.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom([]Version{VersionB, VersionD}).Draw(t, "version")
		length := rapid.SampledFrom([]int{16, 24}).Draw(t, "protection")
		p, err := NewProtectionKey(v, rapid.SliceOfN(rapid.Byte(), length, length).Draw(t, "kbpk"))
		if err != nil {
			t.Fatal(err)
		}
		h := sample(v)
		h.Algorithm = rapid.SampledFrom([]byte{AlgorithmHMAC, AlgorithmAES, 'R'}).Draw(t, "algorithm")
		n := rapid.SampledFrom([]int{16, 24, 32}).Draw(t, "length")
		for range rapid.IntRange(0, 3).Draw(t, "blocks") {
			data := rapid.StringMatching(`[ -~]{0,260}`).Draw(t, "data")
			h.Optional = append(h.Optional, Optional{ID: rapid.StringMatching(`[A-OQ-Z0-9][A-Z0-9]`).Draw(t, "id"), Data: data})
		}
		key := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "key")
		block, err := p.Wrap(h, key, bytes.NewReader(rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "fill")))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := Parse(block.String())
		if err != nil {
			t.Fatalf("%s: %v", block, err)
		}
		if !parsed.header.same(block.header) {
			t.Fatalf("headers differ: %+v and %+v", parsed.header, block.header)
		}
		for _, o := range h.Optional {
			if _, found := parsed.Header().Find(o.ID); !found {
				t.Fatalf("no %s", o.ID)
			}
		}
		got, err := p.Unwrap(parsed)
		if err != nil || !bytes.Equal(got, key) {
			t.Fatalf("opens to %X, %v", got, err)
		}
	})
}

// TestHidden: an AES-128 and an AES-256 key make blocks of one length.
func TestHidden(t *testing.T) {
	p := protection(t, VersionD, make([]byte, 32))
	h := sample(VersionD)
	h.Algorithm = AlgorithmAES
	var lengths []int
	for _, n := range []int{16, 24, 32} {
		b, err := p.Wrap(h, make([]byte, n), bytes.NewReader(make([]byte, 64)))
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(b.String()))
	}
	if lengths[0] != lengths[1] || lengths[1] != lengths[2] {
		t.Errorf("lengths %v", lengths)
	}
}

func TestMasked(t *testing.T) {
	p := protection(t, VersionB, bytes.Repeat([]byte{0xAB, 0xCD, 0xEF}, 8))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if text := fmt.Sprintf(verb, p); !strings.Contains(text, "redacted") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.block)
	}
	keyB, keyD := protection(f, VersionB, make([]byte, 16)), protection(f, VersionD, make([]byte, 16))
	f.Fuzz(func(t *testing.T, text string) {
		b, err := Parse(text)
		if err != nil {
			if refused := new(Error); !errors.As(err, &refused) {
				t.Fatalf("%q: an error without a reason: %v", text, err)
			}
			return
		}
		if b.String() != text {
			t.Fatalf("%q is written again as %q", text, b)
		}
		_, _ = keyB.Unwrap(b)
		_, _ = keyD.Unwrap(b)
	})
}

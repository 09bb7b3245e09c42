package tlv

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// trace is the answer of a real card to SELECT, [REF 1.2].
const trace = "6F598408A000000333010101A54D500A50424F432044454249548701019F38189F66049F02069F03069F1A0295055F2A029A039C019F37045F2D027A68" +
	"9F1101019F120A50424F43204445424954BF0C0A9F4D020B0ADF4D020C0A"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("hex %q: %v", s, err)
	}
	return b
}

var faults = map[string]error{"truncated": ErrTruncated, "length": ErrLength, "tag": ErrTag, "deep": ErrTooDeep}

func shape(nodes []Node) string {
	parts := make([]string, 0, len(nodes))
	for _, n := range nodes {
		text := n.Tag.String()
		if n.Tag.Constructed() {
			text += "(" + strings.TrimPrefix(shape(n.Children), ".") + ")"
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return "."
	}
	return strings.Join(parts, ",")
}

func TestTreeVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors/tree.txt")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for i, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") || strings.HasSuffix(f[0], ":") {
			continue
		}
		input := unhex(t, strings.TrimPrefix(f[0], "-"))
		nodes, err := Tree(input)
		place, fault, refused := strings.Cut(f[1], ":")
		if !refused {
			good++
			if got := shape(nodes); err != nil || got != f[1] {
				t.Errorf("line %d: %s (%v), want %s", i+1, got, err, f[1])
			}
			checkPlaces(t, input, nodes)
			continue
		}
		bad++
		var at *PathError
		if !errors.As(err, &at) {
			t.Errorf("line %d: error %v, want a PathError", i+1, err)
			continue
		}
		if got := fmt.Sprintf("%s@%d", at.Path, at.Offset); got != place || !errors.Is(err, faults[fault]) {
			t.Errorf("line %d: %s %v, want %s %s", i+1, got, err, place, fault)
		}
	}
	if bad <= good {
		t.Errorf("%d refusals and %d acceptances: refusals should outnumber", bad, good)
	}
}

// checkPlaces checks that Offset and HeaderLen lead to the value.
func checkPlaces(t *testing.T, input []byte, nodes []Node) {
	t.Helper()
	for _, n := range nodes {
		start := n.Offset + n.HeaderLen
		if !bytes.Equal(input[start:start+len(n.Value)], n.Value) {
			t.Errorf("tag %s: offset %d and header %d do not lead to the value", n.Tag, n.Offset, n.HeaderLen)
		}
		if tag, _, err := ParseTag(input[n.Offset:]); err != nil || tag != n.Tag {
			t.Errorf("tag %s: offset %d does not lead to the tag", n.Tag, n.Offset)
		}
		checkPlaces(t, input, n.Children)
	}
}

func TestTag(t *testing.T) {
	for _, c := range []struct {
		tag         Tag
		text        string
		constructed bool
	}{
		{0x5A, "5A", false}, {0x6F, "6F", true}, {0x9F26, "9F26", false}, {0xBF0C, "BF0C", true}, {0xDF8101, "DF8101", false},
		{0xFF8101, "FF8101", true}, {0xDF818201, "DF818201", false}, {0x1F00, "1F00", false}, {0x80, "80", false}, {0xE1, "E1", true},
	} {
		if c.tag.String() != c.text || c.tag.Constructed() != c.constructed || c.tag.Len() != len(c.text)/2 || !c.tag.Valid() {
			t.Errorf("%s: string %s, constructed %t, len %d, valid %t", c.text, c.tag, c.tag.Constructed(), c.tag.Len(), c.tag.Valid())
		}
		if got := fmt.Sprintf("%X", c.tag.Append(nil)); got != c.text {
			t.Errorf("%s: bytes %s", c.text, got)
		}
		for _, text := range []string{c.text, strings.ToLower(c.text)} {
			if tag, err := ParseTagText(text); err != nil || tag != c.tag {
				t.Errorf("ParseTagText(%s) = %s, %v", text, tag, err)
			}
		}
		encoded, err := json.Marshal(c.tag)
		var back Tag
		if err != nil || json.Unmarshal(encoded, &back) != nil || back != c.tag {
			t.Errorf("%s does not come back from JSON %s", c.text, encoded)
		}
	}
	for _, tag := range []Tag{0, 0x9F, 0x1F, 0x5A5A, 0x9F81, 0x9F8001, 0x005A01, 0xDF8182, 0xDF818283} {
		if tag.Valid() {
			t.Errorf("%08X is valid", uint32(tag))
		}
	}
	for _, text := range []string{"", "9", "9F", "00", "5A5A", "9F2", "9F26 ", "0x5A", "ZZ", "9F8001", "DF81828301", "DF8182830102"} {
		if _, err := ParseTagText(text); err == nil {
			t.Errorf("accepted tag text %q", text)
		}
	}
	if _, _, err := ParseTag(nil); !errors.Is(err, ErrTruncated) {
		t.Errorf("no bytes: %v", err)
	}
}

func TestNextAndAll(t *testing.T) {
	b := unhex(t, "00005A0111"+"0000"+"9F260122"+"00")
	var got []string
	for rest := b; len(rest) > 0; {
		e, next, err := Next(rest)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s=%X", e.Tag, e.Value))
		rest = next
	}
	if want := []string{"5A=11", "9F26=22"}; !reflect.DeepEqual(got, want) {
		t.Errorf("walk gives %v, want %v", got, want)
	}
	for _, empty := range []string{"", "00", "000000"} {
		if e, rest, err := Next(unhex(t, empty)); e.Tag != 0 || len(rest) != 0 || err != nil {
			t.Errorf("Next(%q) = %v, %X, %v", empty, e, rest, err)
		}
	}
	count := 0
	var last error
	for e, err := range All(unhex(t, "5A01119F2601228002FF")) {
		count++
		last = err
		if err == nil && e.Tag == 0 {
			t.Error("All yields an element without a tag")
		}
	}
	if count != 3 || !errors.Is(last, ErrTruncated) {
		t.Errorf("All: %d steps, last error %v", count, last)
	}
	for range All(b) {
		break
	}
	// A value cannot grow over what follows it.
	e, _, _ := Next(unhex(t, "5A01119F2601228002FFFF"))
	if cap(e.Value) != len(e.Value) {
		t.Error("an append to a value writes over the input")
	}
}

func TestDecode(t *testing.T) {
	elements, err := Decode(unhex(t, "00"+"7003800122"+"00"+"5A00"))
	if err != nil || len(elements) != 2 || elements[0].Tag != 0x70 || elements[1].Tag != 0x5A || len(elements[1].Value) != 0 {
		t.Errorf("Decode = %v, %v", elements, err)
	}
	if elements, err := Decode(nil); err != nil || len(elements) != 0 {
		t.Errorf("Decode(nil) = %v, %v", elements, err)
	}
	var at *PathError
	if _, err := Decode(unhex(t, "5A01115A0211")); !errors.As(err, &at) || at.Offset != 3 || at.Path != "5A" || !errors.Is(err, ErrTruncated) {
		t.Errorf("Decode: %v", err)
	}
}

func TestLimits(t *testing.T) {
	full := bytes.Repeat([]byte{0x80, 0x00}, MaxElements)
	over := append(bytes.Clone(full), 0x80, 0x00)
	if elements, err := Decode(full); err != nil || len(elements) != MaxElements {
		t.Errorf("Decode at the limit: %d, %v", len(elements), err)
	}
	if nodes, err := Tree(full); err != nil || len(nodes) != MaxElements {
		t.Errorf("Tree at the limit: %d, %v", len(nodes), err)
	}
	var at *PathError
	if _, err := Decode(over); !errors.Is(err, ErrTooMany) || !errors.As(err, &at) || at.Offset != len(full) {
		t.Errorf("Decode over the limit: %v", err)
	}
	if _, err := Tree(Wrap(0x70, full)); !errors.Is(err, ErrTooMany) {
		t.Errorf("Tree over the limit, counted over levels: %v", err)
	}
	large := Append(nil, 0x80, make([]byte, MaxValueBytes))
	if e, rest, err := Next(large); err != nil || len(e.Value) != MaxValueBytes || len(rest) != 0 {
		t.Errorf("largest value: %v", err)
	}
	for _, n := range []int{-1, MaxValueBytes + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("length %d: no panic", n)
				}
			}()
			AppendLength(nil, n)
		}()
	}
}

func TestAppendLength(t *testing.T) {
	for n, want := range map[int]string{0: "00", 1: "01", 0x7F: "7F", 0x80: "8180", 0xFF: "81FF", 0x100: "820100", 0xFFFF: "82FFFF"} {
		if got := fmt.Sprintf("%X", AppendLength(nil, n)); got != want {
			t.Errorf("length %d = %s, want %s", n, got, want)
		}
		if lengthLen(n) != len(want)/2 {
			t.Errorf("length %d takes %d bytes", n, lengthLen(n))
		}
	}
	if got := fmt.Sprintf("%X", Wrap(0x6F, Append(nil, 0x84, []byte{1, 2}), nil, Wrap(0xA5))); got != "6F0684020102A500" {
		t.Errorf("Wrap = %s", got)
	}
}

func TestFind(t *testing.T) {
	fci := unhex(t, trace)
	for _, c := range []struct {
		path []Tag
		want string
	}{
		{[]Tag{0x6F, 0x84}, "A000000333010101"}, {[]Tag{0x6F, 0xA5, 0x87}, "01"},
		{[]Tag{0x6F, 0xA5, 0xBF0C, 0xDF4D}, "0C0A"}, {[]Tag{0x6F, 0xA5, 0xBF0C}, "9F4D020B0ADF4D020C0A"},
	} {
		if got, ok := Find(fci, c.path...); !ok || fmt.Sprintf("%X", got) != c.want {
			t.Errorf("Find %v = %X, %t", c.path, got, ok)
		}
	}
	for name, c := range map[string]struct {
		input string
		path  []Tag
	}{
		"no path":                {trace, nil},
		"absent":                 {trace, []Tag{0x6F, 0xA5, 0x5A}},
		"wrong level":            {trace, []Tag{0x87}},
		"through a primitive":    {"80048102AABB", []Tag{0x80, 0x81}},
		"empty input":            {"", []Tag{0x6F}},
		"padding only":           {"0000", []Tag{0x6F}},
		"malformed before":       {"8080005A0111", []Tag{0x5A}},
		"truncated":              {"5A0211", []Tag{0x5A}},
		"malformed inside":       {"700480035A01", []Tag{0x70, 0x5A}},
		"longer than its parent": {"70025A01115A0122", []Tag{0x70, 0x5A}},
	} {
		if got, ok := Find(unhex(t, c.input), c.path...); ok || got != nil {
			t.Errorf("%s: found %X", name, got)
		}
	}
	if got, ok := Find(unhex(t, "7003800111"+"7003800122"), 0x70, 0x80); !ok || got[0] != 0x11 {
		t.Errorf("Find does not follow the first: %X", got)
	}
}

func TestNoAllocation(t *testing.T) {
	fci := unhex(t, trace)
	buf := make([]byte, 0, 256)
	value := make([]byte, 200)
	var sink int
	for name, f := range map[string]func(){
		"Next": func() {
			for b := fci; len(b) > 0; {
				e, rest, err := Next(b)
				if err != nil {
					t.Error(err)
				}
				sink += len(e.Value)
				b = rest
			}
		},
		"Next on an error": func() { _, _, err := Next(fci[:10]); sink += len(err.Error()) },
		"Find":             func() { v, _ := Find(fci, 0x6F, 0xA5, 0xBF0C, 0xDF4D); sink += len(v) },
		"Find nothing":     func() { v, _ := Find(fci, 0x6F, 0xA5, 0x5A); sink += len(v) },
		"Append":           func() { buf = Append(buf[:0], 0x9F26, value) },
		"All": func() {
			for e := range All(fci) {
				sink += len(e.Value)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// checkErr checks that an error is one of the documented ones, with a place inside the input.
func checkErr(t *testing.T, b []byte, err error) {
	t.Helper()
	var at *PathError
	if !errors.As(err, &at) || at.Offset < 0 || at.Offset > len(b) {
		t.Fatalf("error without a place: %v", err)
	}
	for _, known := range []error{ErrTruncated, ErrLength, ErrTag, ErrTooDeep, ErrTooMany} {
		if errors.Is(err, known) {
			return
		}
	}
	t.Fatalf("unknown error %v", err)
}

// sameButPadding fails unless encoded is input without some 00 bytes.
func sameButPadding(t *testing.T, input, encoded []byte) {
	t.Helper()
	if len(encoded) > len(input) {
		t.Fatalf("%X grows to %X", input, encoded)
	}
	if len(encoded) == len(input) && !bytes.Equal(encoded, input) {
		t.Fatalf("%X re-encodes to %X", input, encoded)
	}
}

func seeds(f *testing.F) {
	f.Add(unhex(f, trace))
	f.Add(unhex(f, "00005A011100009F26012200"))
	f.Add(unhex(f, "700400800000"))
	f.Add(unhex(f, "E10EE20CE30AE408E506E604E702E800"))
	f.Add(unhex(f, "8082007F"))
	f.Add(unhex(f, "9F800100"))
	f.Add(bytes.Repeat([]byte{0x80, 0x00}, MaxElements+1))
	f.Add(Append(nil, 0x80, make([]byte, 0x100)))
}

func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		elements, err := Decode(b)
		if err != nil {
			checkErr(t, b, err)
			return
		}
		encoded := make([]byte, 0, len(b))
		at := 0
		for _, e := range elements {
			if !e.Tag.Valid() {
				t.Fatalf("tag %s is not valid", e.Tag)
			}
			start := len(encoded)
			encoded = Append(encoded, e.Tag, e.Value)
			// On one level what is dropped is exactly the 00 bytes between elements.
			for at < len(b) && b[at] == 0 {
				at++
			}
			if !bytes.HasPrefix(b[at:], encoded[start:]) {
				t.Fatalf("%X re-encodes to %X", b, encoded)
			}
			at += len(encoded) - start
		}
		if len(bytes.Trim(b[at:], "\x00")) != 0 {
			t.Fatalf("%X behind the last element", b[at:])
		}
		for i, e := range elements {
			if got, ok := Find(b, e.Tag); !ok {
				t.Fatalf("element %d is not found: %X", i, got)
			}
		}
	})
}

func FuzzTree(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		nodes, err := Tree(b)
		if err != nil {
			checkErr(t, b, err)
			return
		}
		checkPlaces(t, b, nodes)
		encoded := AppendTree(nil, nodes)
		sameButPadding(t, b, encoded)
		again, err := Tree(encoded)
		if err != nil {
			t.Fatalf("%X re-encodes to %X: %v", b, encoded, err)
		}
		if shape(again) != shape(nodes) || !bytes.Equal(AppendTree(nil, again), encoded) {
			t.Fatalf("%X re-encodes to %X, which is another tree", b, encoded)
		}
	})
}

func FuzzParseTag(f *testing.F) {
	f.Add([]byte{0x9F, 0x26})
	f.Add([]byte{0xDF, 0x81, 0x82, 0x01})
	f.Add([]byte{0x9F, 0x80, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		tag, n, err := ParseTag(b)
		if err != nil {
			return
		}
		if !bytes.Equal(tag.Append(nil), b[:n]) || tag.Len() != n || !tag.Valid() {
			t.Fatalf("%X reads as %s", b, tag)
		}
		if back, err := ParseTagText(tag.String()); err != nil || back != tag {
			t.Fatalf("%s does not come back from text", tag)
		}
	})
}

func BenchmarkFind(b *testing.B) {
	fci := unhex(b, trace)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Find(fci, 0x6F, 0xA5, 0xBF0C, 0xDF4D); !ok {
			b.Fatal("not found")
		}
	}
}

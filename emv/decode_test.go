package emv

import (
	"bytes"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// decoders read and write again.
var decoders = map[string]func([]byte) ([]byte, error){
	"iad": func(b []byte) ([]byte, error) {
		iad, err := ParseIAD(b)
		if err != nil {
			return nil, err
		}
		return iad.Bytes(), nil
	},
	"afl": func(b []byte) ([]byte, error) {
		afl, err := ParseAFL(b)
		return afl.Bytes(), err
	},
	"dol": func(b []byte) ([]byte, error) {
		dol, err := ParseDOL(b)
		return dol.Bytes(), err
	},
	"cvm": func(b []byte) ([]byte, error) {
		list, err := ParseCVMList(b)
		return list.Bytes(), err
	},
	"data": func(b []byte) ([]byte, error) {
		data, err := ParseData(b)
		return data.Bytes(), err
	},
}

type decodeCase struct {
	line    int
	decoder string
	ok      bool
	in      []byte
}

func decodeCases(t testing.TB) []decodeCase {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/decode.txt")
	if err != nil {
		t.Fatal(err)
	}
	var cases []decodeCase
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "#" {
			continue
		}
		cases = append(cases, decodeCase{i + 1, fields[0], fields[1] == "ok", unhex(t, strings.Join(fields[2:], ""))})
	}
	return cases
}

// TestDecoders: what is accepted encodes to itself; what is refused is an error.
func TestDecoders(t *testing.T) {
	for _, c := range decodeCases(t) {
		out, err := decoders[c.decoder](c.in)
		if c.ok && (err != nil || !bytes.Equal(out, c.in)) {
			t.Errorf("line %d: %s %X: got %X, %v", c.line, c.decoder, c.in, out, err)
		}
		if !c.ok && err == nil {
			t.Errorf("line %d: %s %X: accepted", c.line, c.decoder, c.in)
		}
	}
}

// fuzzDecoder: no input may panic, and what is accepted encodes to itself.
func fuzzDecoder(f *testing.F, name string) {
	for _, c := range decodeCases(f) {
		if c.decoder == name {
			f.Add(c.in)
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := decoders[name](in)
		if err == nil && !bytes.Equal(out, in) {
			t.Errorf("%X encodes to %X", in, out)
		}
	})
}

func FuzzIAD(f *testing.F)     { fuzzDecoder(f, "iad") }
func FuzzAFL(f *testing.F)     { fuzzDecoder(f, "afl") }
func FuzzDOL(f *testing.F)     { fuzzDecoder(f, "dol") }
func FuzzCVMList(f *testing.F) { fuzzDecoder(f, "cvm") }

// FuzzData: 00 padding between elements is dropped, nothing else changes: what is left decodes to an equal list. Nothing
// sensitive shows in prints.
func FuzzData(f *testing.F) {
	for _, c := range decodeCases(f) {
		if c.decoder == "data" {
			f.Add(c.in)
		}
	}
	f.Add(unhex(f, "0000 9A03140701 00 5A0862280001000011175713 0000"))
	f.Fuzz(func(t *testing.T, in []byte) {
		data, err := ParseData(in)
		if err != nil {
			return
		}
		out := data.Bytes()
		again, err := ParseData(out)
		if err != nil || !again.Equal(data) || len(out) > len(in) {
			t.Fatalf("%X encodes to %X, which decodes to %v, %v", in, out, again, err)
		}
		if len(out) == len(in) && !bytes.Equal(out, in) {
			t.Fatalf("%X encodes to %X", in, out)
		}
		for tag, value := range data.All() {
			entry, known := Lookup(tag)
			if known && entry.Sensitive && len(value) > 8 && strings.Contains(data.String(), hexString(value)) &&
				!sameValueElsewhere(data, value) {
				t.Fatalf("%v shows in %v", tag, data)
			}
		}
	})
}

// sameValueElsewhere: a fuzzer may put the sensitive bytes into an object that is not sensitive.
func sameValueElsewhere(data Data, value []byte) bool {
	for tag, other := range data.All() {
		if entry, known := Lookup(tag); (!known || !entry.Sensitive) && bytes.Contains(other, value) {
			return true
		}
	}
	return false
}

package unionpay

import (
	"bytes"
	"errors"
	"testing"

	"tapnet/iso8583"
)

// FuzzDecode: what is accepted can be encoded; that form decodes to the same message and encodes to itself.
func FuzzDecode(f *testing.F) {
	for _, d := range []Dialect{Terminal, Switch} {
		for _, m := range samples(f, d) {
			b, err := Encode(d, nil, m, nil)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(d == Switch, b)
		}
	}
	for _, v := range vectors(f, "switch.txt") {
		f.Add(true, v.body)
	}
	f.Fuzz(func(t *testing.T, atSwitch bool, in []byte) {
		d := Terminal
		if atSwitch {
			d = Switch
		}
		m, err := Decode(d, in)
		if err != nil {
			var fe *iso8583.FieldError
			if !errors.As(err, &fe) {
				t.Fatalf("error without field: %v", err)
			}
			return
		}
		first, err := Encode(d, nil, m, nil)
		if err != nil {
			t.Fatalf("decoded but cannot be encoded: %v", err)
		}
		again, err := Decode(d, first)
		if err != nil || !equal(t, m, again) || ContentHash(m) != ContentHash(again) {
			t.Fatalf("%v: %+v became %+v", err, m, again)
		}
		second, err := Encode(d, nil, again, nil)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%X became %X, %v", first, second, err)
		}
		_ = TerminalKey(m) + NetworkKey(m) + OriginalKey(m)
		if input, mac, err := MACInput(d, in); err != nil || len(input)+len(mac) != len(in) {
			t.Fatalf("MAC input: %v", err)
		}
	})
}

func FuzzParseAnswer(f *testing.F) {
	full := fullPayment(f, Terminal)
	f.Add(AnswerOf(&full).AppendBinary(nil))
	f.Add(Answer{Response: WrongPIN}.AppendBinary(nil))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := ParseAnswer(in)
		if err != nil {
			return
		}
		out := a.AppendBinary(nil)
		again, err := ParseAnswer(out)
		if err != nil || !bytes.Equal(again.AppendBinary(nil), out) {
			t.Fatalf("%X became %X, %v", in, out, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for _, d := range []Dialect{Terminal, Switch} {
		b.Run(d.String(), func(b *testing.B) {
			in, err := Encode(d, nil, request(b, d), nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(d, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, d := range []Dialect{Terminal, Switch} {
		b.Run(d.String(), func(b *testing.B) {
			var m Message = request(b, d)
			out := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if out, err = Encode(d, out[:0], m, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkAnswerField55 is the codec's share of an authorization: 0200 in, 0210 with field 55 out.
func BenchmarkAnswerField55(b *testing.B) {
	for _, d := range []Dialect{Terminal, Switch} {
		b.Run(d.String(), func(b *testing.B) {
			in, err := Encode(d, nil, request(b, d), nil)
			if err != nil {
				b.Fatal(err)
			}
			spec, out, raw := SpecOf(d), make([]byte, 0, 1024), new(iso8583.Message)
			icc, code, approved := unhex(b, "910A0102030405060708"+"3030"), []byte("632517000002"), []byte("00")
			b.ReportAllocs()
			for b.Loop() {
				if err := spec.Unpack(in, raw); err != nil {
					b.Fatal(err)
				}
				raw.MTI[2] = '1'
				raw.Clear(fieldTrack2)
				raw.Clear(fieldPIN)
				if raw.Set(fieldRRN, code) != nil || raw.Set(fieldResponse, approved) != nil || raw.Set(fieldICC, icc) != nil {
					b.Fatal("set")
				}
				if out, err = spec.Append(out[:0], raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

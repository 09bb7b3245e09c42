package pcsc

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"tapnet/apdu"
)

// TestWholeAnswers plays cards that hand out their answers in pieces: lines "command > answer", as they cross the wire.
func TestWholeAnswers(t *testing.T) {
	const selectName = "00A4040007A0000003330101"
	for name, c := range map[string]struct {
		protocol Protocol
		command  string
		lines    []string
		want     string
	}{
		"T=1 as it is":         {T1, selectName + "00", []string{selectName + "00 > 6F009000"}, "6F009000"},
		"T=0 fetches":          {T0, selectName + "00", []string{selectName + " > 6102", "00C0000002 > 6F009000"}, "6F009000"},
		"T=0 in pieces":        {T0, selectName + "00", []string{selectName + " > 6103", "00C0000003 > 6F6102", "00C0000002 > 01AA9000"}, "6F01AA9000"},
		"T=0 corrects Le":      {T0, "00B2010C00", []string{"00B2010C00 > 6C03", "00B2010C03 > 7001009000"}, "7001009000"},
		"T=0 corrects, fails":  {T0, "00B2010C00", []string{"00B2010C00 > 6C03", "00B2010C03 > 6A83"}, "6A83"},
		"T=0 no data, no Le":   {T0, "00440000", []string{"0044000000 > 9000"}, "9000"},
		"T=0 warning and data": {T0, selectName + "00", []string{selectName + " > 6102", "00C0000002 > 6F006283"}, "6F006283"},
		"T=0 other class":      {T0, "80A8000002830000", []string{"80A80000028300 > 6104", "00C0000004 > 800200009000"}, "800200009000"},
		"T=1 fetches too":      {T1, "80CA9F3600", []string{"80CA9F3600 > 6102", "00C0000002 > 9F369000"}, "9F369000"},
		"refused":              {T0, selectName + "00", []string{selectName + " > 6A82"}, "6A82"},
	} {
		lines := c.lines
		_, config := newDaemon(t, func(d *fakeDaemon) {
			d.protocol = c.protocol
			d.card = func(command []byte) ([]byte, Code) {
				if len(lines) == 0 {
					t.Errorf("%s: unexpected command %X", name, command)
					return []byte{0x6F, 0x00}, 0
				}
				want, answer, _ := strings.Cut(lines[0], " > ")
				if got := strings.ToUpper(hex.EncodeToString(command)); got != want {
					t.Errorf("%s: command %s, want %s", name, got, want)
				}
				lines = lines[1:]
				return hexBytes(t, answer), 0
			}
		})
		r := NewReader(config, "Reader A 00 00")
		if _, err := r.Connect(); err != nil {
			t.Fatal(err)
		}
		got, err := r.Transceive(t.Context(), hexBytes(t, c.command))
		if err != nil || !bytes.Equal(got, hexBytes(t, c.want)) || len(lines) != 0 {
			t.Errorf("%s: %X, %v, %d lines left", name, got, err, len(lines))
		}
		if err := r.Disconnect(); err != nil {
			t.Error(err)
		}
	}
}

func TestNoCommand(t *testing.T) {
	_, config := newDaemon(t, nil)
	r := NewReader(config, "Reader A 00 00")
	if _, err := r.Connect(); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"", "00", "00A40400000002AABB0000", "00A40400" + "05AABB"} {
		if _, err := r.Transmit(hexBytes(t, command)); !errors.Is(err, apdu.ErrFormat) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if err := r.Disconnect(); err != nil {
		t.Error(err)
	}
}

// FuzzShaped: whatever is a command goes out as one, with the same header and data.
func FuzzShaped(f *testing.F) {
	f.Add([]byte{0x00, 0xA4, 0x04, 0x00, 0x01, 0xA0, 0x00})
	f.Add([]byte{0x00, 0x44, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range []Protocol{T0, T1} {
			got, err := shaped(b, p)
			if err != nil {
				continue
			}
			was, _ := apdu.ParseCommand(b)
			is, err := apdu.ParseCommand(got)
			if err != nil || !bytes.Equal(is.Data, was.Data) || is.CLA != was.CLA || is.INS != was.INS || is.P1 != was.P1 || is.P2 != was.P2 {
				t.Fatalf("%v: %X became %X", p, b, got)
			}
			if p == T0 && (len(got) < 5 || len(is.Data) > 0 && is.Le != apdu.NoLe) {
				t.Fatalf("T=0 cannot carry %X", got)
			}
		}
	})
}

// FuzzDecode: whatever the daemon sends is read within the limits or refused.
func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, statesBytes))
	f.Add(words(nil, 5, 2, 16, 5, 2, 16, 2, 0))
	f.Add(append([]byte("Reader"), make([]byte, statesBytes-6)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if states, err := decodeStates(b); err == nil {
			for _, s := range states {
				if s.Name == "" || len(s.Name) >= MaxReaderNameBytes || len(s.ATR) > MaxATRBytes || strings.Contains(s.Name, "\x00") {
					t.Fatalf("%+v", s)
				}
			}
		}
		if answer, err := decodeTransmitted(b); err == nil && (answer.length < 0 || answer.length > maxAnswerBytes) {
			t.Fatalf("%+v", answer)
		}
	})
}

package iso8583

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFrames(t *testing.T) {
	body := []byte("0200 and so on")
	terminal := Frame{TPDU: []byte{0x60, 0, 1, 0, 2}, Header: []byte{0x60, 0x31, 0, 0x31, 0, 0}, Body: body}
	for _, c := range []struct {
		name    string
		framing Framing
		frame   Frame
		wire    string
	}{
		{"terminal", TerminalFraming, terminal, "\x00\x19\x60\x00\x01\x00\x02\x60\x31\x00\x31\x00\x00" + string(body)},
		{"switch", SwitchFraming, Frame{Body: body}, "0014" + string(body)},
		{"keep-alive", SwitchFraming, Frame{}, "0000"},
		{"longest", SwitchFraming, Frame{Body: make([]byte, MaxFrameBytes)}, "9999" + strings.Repeat("\x00", MaxFrameBytes)},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire, err := c.framing.AppendFrame(nil, c.frame)
			if err != nil || string(wire) != c.wire {
				t.Fatalf("wrote %d bytes, %v", len(wire), err)
			}
			// Two frames, one byte at a time, into a buffer that is too small.
			r := bufio.NewReader(iotest.OneByteReader(strings.NewReader(c.wire + c.wire)))
			for range 2 {
				got, err := c.framing.ReadFrame(r, make([]byte, 0, 3))
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.TPDU, c.frame.TPDU) || !bytes.Equal(got.Header, c.frame.Header) || !bytes.Equal(got.Body, c.frame.Body) {
					t.Errorf("read %+v", got)
				}
				if got.KeepAlive() != (len(c.frame.Body) == 0) {
					t.Error("keep-alive is wrong")
				}
			}
			if _, err := c.framing.ReadFrame(r, nil); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestReadFrameRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		framing Framing
		wire    string
		cause   error
		inStep  bool
	}{
		{"half a length", TerminalFraming, "\x00", io.ErrUnexpectedEOF, false},
		{"half a length, switch", SwitchFraming, "001", io.ErrUnexpectedEOF, false},
		{"no body", TerminalFraming, "\x00\x20", io.ErrUnexpectedEOF, false},
		{"half a body", SwitchFraming, "0010abc", io.ErrUnexpectedEOF, false},
		{"not digits", SwitchFraming, "00A0abc", ErrFrameLength, false},
		{"another protocol", SwitchFraming, "GET / HTTP/1.1\r\n", ErrFrameLength, false},
		{"too long", TerminalFraming, "\x27\x10", ErrFrameLong, false},
		{"far too long", TerminalFraming, "\xFF\xFF", ErrFrameLong, false},
		{"empty", TerminalFraming, "\x00\x00", ErrFrameShort, true},
		{"headers only", TerminalFraming, "\x00\x0B\x60\x00\x01\x00\x02\x60\x31\x00\x31\x00\x00", ErrFrameShort, true},
		{"wrong TPDU", TerminalFraming, "\x00\x0C\x61\x00\x01\x00\x02\x60\x31\x00\x31\x00\x00x", ErrFrameTPDU, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.framing.ReadFrame(bufio.NewReader(strings.NewReader(c.wire)), nil)
			if !errors.Is(err, c.cause) {
				t.Fatalf("got %v, want %v", err, c.cause)
			}
			var fe *FrameError
			if errors.As(err, &fe) && fe.InStep() != c.inStep {
				t.Errorf("in step: %v", fe.InStep())
			}
		})
	}
}

func TestAppendFrameRefuses(t *testing.T) {
	tpdu, header := []byte{0x60, 0, 1, 0, 2}, []byte{0x60, 0x31, 0, 0x31, 0, 0}
	for name, c := range map[string]struct {
		framing Framing
		frame   Frame
		cause   error
	}{
		"too long":        {SwitchFraming, Frame{Body: make([]byte, MaxFrameBytes+1)}, ErrFrameLong},
		"switch headers":  {SwitchFraming, Frame{TPDU: tpdu, Body: []byte("x")}, ErrFrameLong},
		"no TPDU":         {TerminalFraming, Frame{Header: header, Body: []byte("x")}, ErrFrameShort},
		"no header":       {TerminalFraming, Frame{TPDU: tpdu, Body: []byte("x")}, ErrFrameShort},
		"no body":         {TerminalFraming, Frame{TPDU: tpdu, Header: header}, ErrFrameShort},
		"not a TPDU":      {TerminalFraming, Frame{TPDU: header[1:], Header: header, Body: []byte("x")}, ErrFrameTPDU},
		"headers too big": {TerminalFraming, Frame{TPDU: tpdu, Header: header, Body: make([]byte, MaxFrameBytes-10)}, ErrFrameLong},
	} {
		if out, err := c.framing.AppendFrame([]byte("kept"), c.frame); !errors.Is(err, c.cause) || string(out) != "kept" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnswerTPDU(t *testing.T) {
	if got := AnswerTPDU([5]byte{0x60, 1, 2, 3, 4}); got != [5]byte{0x60, 3, 4, 1, 2} {
		t.Errorf("got %X", got)
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	wire, err := SwitchFraming.AppendFrame(nil, Frame{Body: make([]byte, 400)})
	if err != nil {
		t.Fatal(err)
	}
	source := bytes.NewReader(wire)
	r, buf, out := bufio.NewReader(source), make([]byte, 1024), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() {
		source.Reset(wire)
		frame, err := SwitchFraming.ReadFrame(r, buf)
		if err == nil {
			out, err = SwitchFraming.AppendFrame(out[:0], frame)
		}
		if err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(false, []byte("0003abc0000"))
	f.Add(true, []byte("\x00\x0C\x60\x00\x01\x00\x02\x60\x31\x00\x31\x00\x00x"))
	f.Add(true, []byte("\xFF\xFF"))
	f.Fuzz(func(t *testing.T, terminal bool, in []byte) {
		framing := SwitchFraming
		if terminal {
			framing = TerminalFraming
		}
		r := bufio.NewReader(bytes.NewReader(in))
		var out []byte
		for {
			frame, err := framing.ReadFrame(r, nil)
			if err != nil {
				break
			}
			if out, err = framing.AppendFrame(out, frame); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(in, out) {
			t.Fatalf("%X became %X", in, out)
		}
	})
}

package scp03

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tapnet/apdu"
)

// open is both ends of a session.
func open(t testing.TB, n int, option Option, level Level) (Session, State) {
	t.Helper()
	host, g := Challenge{1}, Greeting{Version: 1, Option: option, Challenge: Challenge{2}}
	keys := testKeys(t, n)
	g = keys.Greet(host, g)
	s := keys.Session(host, g.Challenge)
	c, st, err := s.Open(host, g, level)
	if err != nil {
		t.Fatal(err)
	}
	card, err := s.Accept(host, g, c)
	if err != nil || card != st {
		t.Fatalf("%v: %v", card, err)
	}
	return s, st
}

var options = []Option{0x00, 0x10, 0x20, 0x30, 0x60, 0x70}

func TestEveryVariant(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{16, 24, 32} {
		for _, option := range options {
			for _, level := range []Level{LevelNone, LevelMAC, LevelMACENC, LevelRMAC, LevelENCRMAC, LevelComplete} {
				if !option.Fits(level) {
					continue
				}
				s, host := open(t, n, option, level)
				card := host
				for i := range 20 {
					data := make([]byte, r.IntN(Room(level)+1))
					for at := range data {
						data[at] = byte(r.Uint32())
					}
					c := apdu.Command{CLA: 0x80, INS: 0xE2, P2: byte(i), Data: data, Le: apdu.NoLe}
					sent, after, err := s.Wrap(host, c)
					if err != nil {
						t.Fatal(err)
					}
					got, cardAfter, err := s.Unwrap(card, command(t, fmt.Sprintf("%X", sent.Bytes())))
					if err != nil || !bytes.Equal(got.Bytes(), c.Bytes()) || cardAfter != after {
						t.Fatalf("%d, %02X, %02X, command %d: %v", n, option, level, i, err)
					}
					host, card = after, cardAfter
					answer := apdu.Response{Data: data[:min(len(data), 200)], SW: apdu.OK}
					wrapped, err := s.WrapAnswer(card, answer)
					if err != nil {
						t.Fatal(err)
					}
					back, err := s.UnwrapAnswer(host, wrapped)
					if err != nil || !bytes.Equal(back.Data, answer.Data) || back.SW != answer.SW {
						t.Fatalf("%d, %02X, %02X, answer %d: %v", n, option, level, i, err)
					}
				}
			}
		}
	}
}

// TestCommandsRefused: a bit anywhere, a repeat, a gap or another session is refused, and the right command still goes through.
func TestCommandsRefused(t *testing.T) {
	for _, level := range []Level{LevelMAC, LevelMACENC, LevelComplete} {
		s, st := open(t, 16, 0x70, level)
		first, after, err := s.Wrap(st, command(t, "80E60C0005AABBCCDDEE"))
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := s.Wrap(after, command(t, "80E28000020102"))
		if err != nil {
			t.Fatal(err)
		}
		wire := first.Bytes()
		for at := range wire {
			for bit := range 8 {
				spoilt := bytes.Clone(wire)
				spoilt[at] ^= 1 << bit
				c, err := apdu.ParseCommand(spoilt)
				if err != nil {
					continue
				}
				if _, kept, err := s.Unwrap(st, c); err == nil || kept != st {
					t.Fatalf("level %02X: byte %d, bit %d changed: %v", level, at, bit, err)
				}
			}
		}
		if _, _, err := s.Unwrap(st, second); !errors.Is(err, ErrCode) {
			t.Errorf("a gap: %v", err)
		}
		if _, _, err := s.Unwrap(after, first); !errors.Is(err, ErrCode) {
			t.Errorf("a repeat: %v", err)
		}
		if _, _, err := s.Unwrap(st, command(t, "80E60C0005AABBCCDDEE")); !errors.Is(err, ErrFormat) {
			t.Errorf("in clear: %v", err)
		}
		if _, _, err := s.Unwrap(st, command(t, "84E60C0001AA")); !errors.Is(err, ErrFormat) {
			t.Errorf("too short for a code: %v", err)
		}
		if _, _, err := s.Unwrap(State{Level: level}, first); !errors.Is(err, ErrSession) {
			t.Errorf("without a session: %v", err)
		}
		other, _ := open(t, 32, 0x70, level)
		if _, _, err := other.Unwrap(st, first); !errors.Is(err, ErrCode) {
			t.Errorf("other keys: %v", err)
		}
		if _, _, err := s.Unwrap(st, first); err != nil {
			t.Errorf("the right one: %v", err)
		}
	}
	s, st := open(t, 16, 0, LevelNone)
	if _, _, err := s.Unwrap(st, command(t, "84E60C0001AA")); !errors.Is(err, ErrFormat) {
		t.Errorf("a code at level 00: %v", err)
	}
}

func TestAnswersRefused(t *testing.T) {
	for _, level := range []Level{LevelRMAC, LevelENCRMAC, LevelComplete} {
		s, st := open(t, 16, 0x60, level)
		_, after, err := s.Wrap(st, command(t, "80F28002024F00"))
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.WrapAnswer(after, apdu.Response{Data: []byte{1, 2, 3}, SW: apdu.OK})
		if err != nil {
			t.Fatal(err)
		}
		for at := range r.Data {
			spoilt := apdu.Response{Data: bytes.Clone(r.Data), SW: r.SW}
			spoilt.Data[at] ^= 1
			if _, err := s.UnwrapAnswer(after, spoilt); err == nil {
				t.Errorf("level %02X: byte %d changed", level, at)
			}
		}
		for name, c := range map[string]struct {
			st   State
			r    apdu.Response
			want error
		}{
			"another status word":  {after, apdu.Response{Data: r.Data, SW: 0x6283}, ErrCode},
			"of another command":   {State{Level: level, Open: true, Commands: 1}, r, ErrCode},
			"no code":              {after, apdu.Response{SW: apdu.OK}, ErrFormat},
			"a refusal with data":  {after, apdu.Response{Data: r.Data, SW: apdu.ConditionsNotSatisfied}, ErrFormat},
			"without a session":    {State{Level: level, Commands: 1}, r, ErrSession},
			"a code and no blocks": {after, apdu.Response{Data: r.Data[:CodeBytes], SW: apdu.OK}, ErrCode},
		} {
			if _, err := s.UnwrapAnswer(c.st, c.r); !errors.Is(err, c.want) {
				t.Errorf("level %02X, %s: %v, want %v", level, name, err, c.want)
			}
		}
		if refused, err := s.UnwrapAnswer(after, apdu.Response{SW: apdu.WrongData}); err != nil || refused.SW != apdu.WrongData {
			t.Errorf("a refusal: %v", err)
		}
		if _, err := s.WrapAnswer(after, apdu.Response{Data: make([]byte, 256), SW: apdu.OK}); !errors.Is(err, ErrLength) {
			t.Errorf("an answer too long: %v", err)
		}
	}
}

func TestHandshakeRefused(t *testing.T) {
	keys, host := testKeys(t, 16), Challenge{1}
	g := keys.Greet(host, Greeting{Option: 0x20, Challenge: Challenge{9}})
	s := keys.Session(host, g.Challenge)
	wrong := g
	wrong.Cryptogram[0] ^= 1
	if _, _, err := s.Open(host, wrong, LevelMAC); !errors.Is(err, ErrCryptogram) {
		t.Errorf("wrong cryptogram of the card: %v", err)
	}
	for _, level := range []Level{LevelComplete, 0x02, 0x10, 0x30, 0xFF} {
		if _, _, err := s.Open(host, g, level); !errors.Is(err, ErrOption) {
			t.Errorf("level %02X: %v", level, err)
		}
	}
	prove, _, err := s.Open(host, g, LevelMAC)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*apdu.Command)
		want   error
	}{
		"class":      {func(c *apdu.Command) { c.CLA = 0x80 }, ErrFormat},
		"length":     {func(c *apdu.Command) { c.Data = c.Data[:15] }, ErrFormat},
		"level":      {func(c *apdu.Command) { c.P1 = 0x33 }, ErrOption},
		"no level":   {func(c *apdu.Command) { c.P1 = 0x02 }, ErrOption},
		"downgraded": {func(c *apdu.Command) { c.P1 = 0 }, ErrCode},
		"cryptogram": {func(c *apdu.Command) { c.Data[0] ^= 1 }, ErrCode},
		"code":       {func(c *apdu.Command) { c.Data[15] ^= 1 }, ErrCode},
		"P2":         {func(c *apdu.Command) { c.P2 = 1 }, ErrFormat},
	} {
		spoilt := prove
		spoilt.Data = bytes.Clone(prove.Data)
		c.change(&spoilt)
		if st, err := s.Accept(host, g, spoilt); !errors.Is(err, c.want) || st != (State{}) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	bad, _ := s.seal([codeBlock]byte{}, apdu.Command{CLA: 0x84, INS: 0x82, P1: 1, Data: make([]byte, 8), Le: apdu.NoLe})
	if _, err := s.Accept(host, g, bad); !errors.Is(err, ErrCryptogram) {
		t.Errorf("wrong cryptogram of the host: %v", err)
	}
	for _, text := range []string{"", "00", strings.Repeat("00", 29), strings.Repeat("00", 11) + "0270" + strings.Repeat("00", 19),
		strings.Repeat("00", 11) + "0300" + strings.Repeat("00", 15), strings.Repeat("00", 11) + "0310" + strings.Repeat("00", 16)} {
		if _, err := ParseGreeting(unhex(t, text)); !errors.Is(err, ErrFormat) {
			t.Errorf("greeting %q: %v", text, err)
		}
	}
	for _, option := range []byte{0x40, 0x50, 0x01, 0x80, 0xFF} {
		b := unhex(t, strings.Repeat("00", 11)+"0300"+strings.Repeat("00", 16))
		b[12] = option
		if _, err := ParseGreeting(b); !errors.Is(err, ErrOption) {
			t.Errorf("variant %02X: %v", option, err)
		}
	}
	for _, text := range []string{"80500000", "8050000108" + strings.Repeat("00", 8), "8050000007" + strings.Repeat("00", 7), "0050000008" + strings.Repeat("00", 8)} {
		if _, _, err := ParseInitializeUpdate(command(t, text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, lengths := range [][3]int{{0, 0, 0}, {15, 15, 15}, {16, 16, 24}, {16, 24, 16}, {64, 64, 64}} {
		if _, err := NewKeys(make([]byte, lengths[0]), make([]byte, lengths[1]), make([]byte, lengths[2])); !errors.Is(err, ErrKey) {
			t.Errorf("keys of %v: %v", lengths, err)
		}
	}
	if _, err := Diversify(make([]byte, 17), Diversification{}); !errors.Is(err, ErrKey) {
		t.Errorf("master of 17 bytes: %v", err)
	}
	s, st := open(t, 16, 0x70, LevelMACENC)
	if _, _, err := s.Wrap(st, apdu.Command{Data: make([]byte, Room(LevelMACENC)+1)}); !errors.Is(err, ErrLength) {
		t.Errorf("too long: %v", err)
	}
	st.Commands = maxCommands
	if _, _, err := s.Wrap(st, apdu.Command{}); !errors.Is(err, ErrSession) {
		t.Errorf("counted to the end: %v", err)
	}
	k := testKeys(t, 24)
	if _, err := k.DataCipher(make([]byte, 17)); !errors.Is(err, ErrFormat) {
		t.Errorf("17 bytes: %v", err)
	}
	sealed, err := k.DataCipher([]byte("sixteen bytes...sixteen bytes..."))
	if err != nil {
		t.Fatal(err)
	}
	if back, err := k.DataDecipher(sealed); err != nil || string(back) != "sixteen bytes...sixteen bytes..." {
		t.Errorf("%q: %v", back, err)
	}
	if _, err := (Keys{}).DataCipher(nil); !errors.Is(err, ErrKey) {
		t.Errorf("no keys: %v", err)
	}
}

func TestNothingPrintsKeys(t *testing.T) {
	k := testKeys(t, 16)
	var out strings.Builder
	for _, v := range []any{k, &k, k.Session(Challenge{}, Challenge{})} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	if text := out.String(); strings.Contains(text, "0203") || strings.Contains(text, "\x01\x02") || strings.Contains(text, "1 2") || !strings.Contains(text, redacted) {
		t.Errorf("printed %s", text)
	}
}

// FuzzUnwrap feeds the card's end. What is accepted is what the host's end makes of it.
func FuzzUnwrap(f *testing.F) {
	s, st := open(f, 16, 0x70, LevelComplete)
	good, _, err := s.Wrap(st, command(f, "80E60C0005AABBCCDDEE"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{0x84, 0xE2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := apdu.ParseCommand(b)
		if err != nil {
			return
		}
		plain, after, err := s.Unwrap(st, c)
		if err != nil {
			if after != st {
				t.Error("a refusal changes the state")
			}
			return
		}
		again, afterHost, err := s.Wrap(st, plain)
		if err != nil || !bytes.Equal(again.Data, c.Data) || afterHost != after {
			t.Errorf("%X became %X: %v", b, again.Bytes(), err)
		}
	})
}

// FuzzUnwrapAnswer feeds the host's end.
func FuzzUnwrapAnswer(f *testing.F) {
	s, st := open(f, 16, 0x70, LevelComplete)
	st.Commands = 1
	good, err := s.WrapAnswer(st, apdu.Response{Data: []byte{1}, SW: apdu.OK})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte{0x90, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return
		}
		plain, err := s.UnwrapAnswer(st, r)
		if err != nil {
			return
		}
		again, err := s.WrapAnswer(st, plain)
		if err != nil || !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%X became %X: %v", b, again.Bytes(), err)
		}
	})
}

// FuzzParseGreeting: what is accepted is written as it was.
func FuzzParseGreeting(f *testing.F) {
	f.Add(unhex(f, "000000000000000000003003703EB51047495B249F66C484C1D2EF1948000002"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := ParseGreeting(b); err == nil && !bytes.Equal(g.Bytes(), b) {
			t.Errorf("%X became %X", b, g.Bytes())
		}
	})
}

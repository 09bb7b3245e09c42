package terminal_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/kernel"
	"tapnet/terminal"
)

// The sessions are whole taps with a test card, as text: ">" what the terminal sends, "<" what the card answers ("< gone" when it
// leaves), "=" the outcome. The terminal is tested against the text, which checks every byte; -record asks the card again.
var record = flag.Bool("record", false, "record the sessions again")

// plot is one session: the terminal and what the card goes through.
type plot struct {
	comment string
	options cardtest.Options
	config  func(*cardtest.Issued) terminal.Config
	minor   int64
	tear    func(*card.Field)
}

var plots = map[string]plot{
	"ecash":          {"an offline payment: the card pays at its last record [REF 2.4] and proves itself [REF 2.6]", cardtest.Options{}, config, 1250, nil},
	"ecash-long-key": {"the same with a card key of 1152 bits: the signature stands in the last record", cardtest.Options{LongKey: true}, config, 1250, nil},
	"online":         {"the issuer decides: one command after the selection", cardtest.Options{}, onlineConfig, 29900, nil},
	"online-pin":     {"at the limit for verification the card asks for the PIN", cardtest.Options{}, onlineConfig, 100_000, nil},
	"dual-tdes":      {"a card with two sets of algorithms and a terminal without SM2, SM3 and SM4 [REF 4.6]", cardtest.Options{SM: true}, config, 1250, nil},
	"dual-sm":        {"the same card at a terminal that knows them", cardtest.Options{SM: true}, smTerminal, 1250, nil},
	"ecash-torn":     {"the card leaves with its last record unread", cardtest.Options{}, config, 1250, func(f *card.Field) { f.TearBeforeCommand(7) }},
}

// tape is a reader that plays a session, or records one.
type tape struct {
	testing.TB
	live  apdu.Transceiver // nil: play
	lines []exchange
	next  int
}

type exchange struct{ command, answer []byte }

func (x *tape) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	if x.live != nil {
		answer, err := x.live.Transceive(ctx, command)
		x.lines = append(x.lines, exchange{command, answer})
		return answer, err
	}
	if x.next >= len(x.lines) {
		x.Fatalf("the session ends before command %X", command)
	}
	line := x.lines[x.next]
	x.next++
	if !bytes.Equal(command, line.command) {
		x.Fatalf("command %d: %X\nthe session has %X", x.next, command, line.command)
	}
	if line.answer == nil {
		return nil, apdu.ErrCardLost
	}
	return line.answer, nil
}

func (x *tape) write(path string, p plot, outcome string) {
	x.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "source: made with a card of package cardtest and TEST keys\ncomment: %s\n", p.comment)
	for _, line := range x.lines {
		c, err := apdu.ParseCommand(line.command)
		if err != nil {
			x.Fatal(err)
		}
		fmt.Fprintf(&b, "\n> %X # %s\n", line.command, apdu.InstructionName(c.INS).EN)
		if line.answer == nil {
			fmt.Fprintln(&b, "< gone")
		} else {
			fmt.Fprintf(&b, "< %X\n", line.answer)
		}
	}
	fmt.Fprintf(&b, "\n= %s\n", outcome)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		x.Fatal(err)
	}
}

func readTape(t testing.TB, path string) (x *tape, outcome string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	x = &tape{TB: t}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		body, _, _ := strings.Cut(line, " #")
		switch {
		case line == "< gone" || line == "":
		case line[0] == '>':
			x.lines = append(x.lines, exchange{command: unhex(t, body[1:])})
		case line[0] == '<':
			x.lines[len(x.lines)-1].answer = unhex(t, body[1:])
		case line[0] == '=':
			outcome = strings.TrimSpace(line[1:])
		}
	}
	return x, outcome
}

func sessionPath(name string) string { return filepath.Join("testdata", "sessions", name+".apdu") }

func describe(o kernel.Outcome) string {
	return fmt.Sprintf("%v | %v | verification: %v | shows: %v", o.Kind, o.Reason, o.CVM, o.UI.Message)
}

func TestSessions(t *testing.T) {
	for name, p := range plots {
		t.Run(name, func(t *testing.T) {
			c, issued := cardtest.New(t, p.options)
			var x *tape
			var wanted string
			if *record {
				field := card.NewField(c)
				if p.tear != nil {
					p.tear(field)
				}
				x = &tape{TB: t, live: field}
			} else {
				x, wanted = readTape(t, sessionPath(name))
			}
			got := describe(tap(t, newTerminal(t, p.config(issued)), x, request(p.minor)).Outcome)
			switch {
			case *record:
				x.write(sessionPath(name), p, got)
			case got != wanted:
				t.Errorf("%s\nwant %s", got, wanted)
			case x.next != len(x.lines):
				t.Errorf("%d commands of %d", x.next, len(x.lines))
			}
		})
	}
}

// FuzzHostileCard: whatever a card answers and whenever, a tap ends with an outcome in a bounded number of commands, and so does
// the re-tap of one that was torn.
func FuzzHostileCard(f *testing.F) {
	x, _ := readTape(f, sessionPath("ecash"))
	for n, line := range x.lines {
		f.Add(byte(n), byte(0), line.answer)
		f.Add(byte(n), byte(1), []byte{0x6A, 0x82})
		f.Add(byte(n), byte(2), []byte{})
	}
	_, issued := cardtest.New(f, cardtest.Options{})
	f.Fuzz(func(t *testing.T, at, mode byte, b []byte) {
		sent, limit := 0, terminal.MaxTapCommands
		hostile := reply(func(apdu.Command) []byte {
			if sent++; sent > limit {
				t.Fatalf("more than %d commands", limit)
			}
			n := sent - 1
			if n == int(at)%len(x.lines) || mode&1 != 0 && n > int(at)%len(x.lines) {
				if len(b) == 0 {
					return nil
				}
				return b
			}
			if n >= len(x.lines) {
				return []byte{0x6A, 0x83}
			}
			return x.lines[n].answer
		})
		term := newTerminal(t, config(issued))
		r := tap(t, term, hostile, request(1250))
		if r.Outcome.Kind == 0 || r.Outcome.Reason == kernel.ReasonNone {
			t.Fatalf("no outcome: %v, %v", r.Outcome.Kind, r.Outcome.Reason)
		}
		if r.Torn == nil {
			return
		}
		sent, limit = 0, terminal.MaxRetapCommands
		retap(t, term, hostile, r.Torn, 0)
	})
}

// FuzzRead: whatever a card answers, Read ends.
func FuzzRead(f *testing.F) {
	f.Add([]byte{0x90, 0x00}, byte(0))
	f.Add([]byte{0x6A, 0x83}, byte(3))
	x, _ := readTape(f, sessionPath("ecash"))
	f.Fuzz(func(t *testing.T, b []byte, at byte) {
		sent := 0
		hostile := reply(func(c apdu.Command) []byte {
			if sent++; sent > terminal.MaxReadCommands {
				t.Fatalf("more than %d commands", terminal.MaxReadCommands)
			}
			if sent-1 < int(at)%3 {
				return x.lines[sent-1].answer
			}
			if len(b) == 0 {
				return nil
			}
			return b
		})
		_, _ = terminal.Read(context.Background(), hostile) // an error is a card that left: all that matters is that it ends
	})
}

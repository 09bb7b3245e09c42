package kernel_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
)

// The sessions are conversations as text: header lines "key: value", then ">" what the kernel sends, "<" what the card answers
// ("< gone" when it leaves), "=" the outcome. The card of these tests checks every byte it is sent.
var record = flag.Bool("record", false, "record commands and outcomes of the sessions again")

// recorded are the sessions whose card is a scene of these tests: with -record its answers are recorded too.
var recorded = map[string]func(*scene){
	"ecash-fdda01":  func(*scene) {},
	"ecash-fdda00":  both(version(0, "0020"), allow00),
	"ecash-expired": expired,
	"ecash-cloned":  badSignature,
	"ecash-torn":    func(s *scene) { s.answer[5] = nil },
	"online-pin":    both(online, ctq(emv.CTQOnlinePIN), ttq(emv.TTQOnlineCryptogramRequired, emv.TTQCVMRequired)),
}

// session is one file.
type session struct {
	path    string
	header  []string
	values  map[string]string
	lines   []exchange
	outcome string
}

type exchange struct {
	command, answer []byte // answer nil: the card is gone
	note            string
}

func readSession(t testing.TB, path string) *session {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &session{path: path, values: map[string]string{}}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		body, note, _ := strings.Cut(line, " #")
		switch {
		case line == "":
		case line[0] == '>':
			s.lines = append(s.lines, exchange{command: unhex(t, body[1:]), note: strings.TrimSpace(note)})
		case line == "< gone":
		case line[0] == '<':
			s.lines[len(s.lines)-1].answer = unhex(t, line[1:])
		case line[0] == '=':
			s.outcome = strings.TrimSpace(line[1:])
		default:
			s.header = append(s.header, line)
			if key, value, ok := strings.Cut(line, ": "); ok {
				s.values[key] = value
			}
		}
	}
	return s
}

func (s *session) write(t testing.TB) {
	t.Helper()
	var b bytes.Buffer
	for _, line := range s.header {
		fmt.Fprintln(&b, line)
	}
	for _, x := range s.lines {
		c, err := apdu.ParseCommand(x.command)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n> %X # %s\n", x.command, apdu.InstructionName(c.INS).EN)
		if x.answer == nil {
			fmt.Fprintln(&b, "< gone")
		} else {
			fmt.Fprintf(&b, "< %X\n", x.answer)
		}
	}
	fmt.Fprintf(&b, "\n= %s\n", s.outcome)
	if err := os.WriteFile(s.path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// apply sets the scene as the header says.
func (s *session) apply(sc *scene) {
	sc.Helper()
	for key, value := range s.values {
		var err error
		switch key {
		case "fci":
			sc.sel.FCI = unhex(sc, value)
		case "ttq":
			sc.tx.TTQ, err = emv.ParseTTQ(unhex(sc, value))
		case "random":
			sc.tx.UnpredictableNumber = [4]byte(unhex(sc, value))
		case "date":
			sc.tx.Date, err = time.Parse("2006-01-02 15:04:05", value)
		case "amount":
			var minor int64
			minor, err = strconv.ParseInt(value, 10, 64)
			sc.tx.Amount = money.New(minor, money.CNY)
		}
		if err != nil {
			sc.Fatalf("%s: %s: %v", s.path, key, err)
		}
	}
}

// describe is the outcome as the sessions write it.
func describe(o kernel.Outcome) string {
	authentication := [...]string{"not performed", "passed", "failed"}[o.ODA.Status]
	if o.ODA.Failure != nil {
		authentication += " (" + o.ODA.Failure.Term().EN + ")"
	}
	return fmt.Sprintf("%v | %v | verification: %v | authentication: %s | shows: %v", o.Kind, o.Reason, o.CVM, authentication, o.UI.Message)
}

func TestSessions(t *testing.T) {
	paths, err := filepath.Glob("testdata/sessions/*.apdu")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no sessions: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file := readSession(t, path)
			sc := newScene(t)
			change, live := recorded[strings.TrimSuffix(filepath.Base(path), ".apdu")]
			if live {
				change(sc)
			}
			file.apply(sc)
			live = live && *record
			if live {
				sc.sign()
				if sc.late != nil {
					sc.late(sc)
				}
				file.lines = nil
			}
			file.play(t, sc, live)
			if *record {
				file.write(t)
			}
		})
	}
}

// play runs the kernel against the file, or, live, against the scene.
func (s *session) play(t *testing.T, sc *scene, live bool) {
	t.Helper()
	m := kernel.New(sc.cfg, sc.tx, sc.sel)
	a := m.Start()
	n := 0
	for ; a.Outcome == nil; n++ {
		command := a.Send.Bytes()
		switch {
		case live:
			s.lines = append(s.lines, exchange{command: command, answer: sc.reply(*a.Send)})
		case n >= len(s.lines):
			t.Fatalf("the session ends before command %d, %X", n+1, command)
		case *record:
			s.lines[n].command = command
		case !bytes.Equal(s.lines[n].command, command):
			t.Fatalf("command %d: %X\nthe session has %X", n+1, command, s.lines[n].command)
		}
		if answer := s.lines[n].answer; answer != nil {
			a = m.Next(kernel.Response{Data: answer})
		} else {
			a = m.Next(kernel.CardLost{})
		}
	}
	got := describe(*a.Outcome)
	switch {
	case *record:
		s.outcome, s.lines = got, s.lines[:n]
	case got != s.outcome:
		t.Errorf("%s\nwant %s", got, s.outcome)
	case n != len(s.lines):
		t.Errorf("%d commands, the session has %d", n, len(s.lines))
	}
}

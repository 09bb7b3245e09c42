package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

// streams are what a process has around it.
type streams struct {
	in       io.Reader
	out, err io.Writer
	getenv   lang.Getenv
	now      func() time.Time
	outTerm  bool // standard output is a terminal
	errTerm  bool // standard error is a terminal
	columns  int  // of the terminal; 0 when there is none
}

func systemStreams() streams {
	st := streams{
		in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv, now: time.Now,
		outTerm: term.IsTerminal(int(os.Stdout.Fd())), errTerm: term.IsTerminal(int(os.Stderr.Fd())),
	}
	if st.outTerm {
		st.columns, _, _ = term.GetSize(int(os.Stdout.Fd()))
	}
	return st
}

// session is one run of a command: whom it speaks to, and how.
type session struct {
	streams
	screen lang.Screen
	json   bool
	code   exitCode // of a command that ended without error
}

// Lines are laid out for the terminal, but not wider than is easy to read.
const (
	minColumns = 60
	maxColumns = 100
)

// newSession looks at the flags that decide how everything else is said, before the grammar is built in that language.
func newSession(args []string, st streams) (*session, error) {
	s := &session{streams: st, json: flagGiven(args, "--json")}
	// Without UTF-8 only ASCII is certain to be shown; NO_COLOR asks for it. JSON is UTF-8 by definition.
	s.screen.ASCII = !s.json && (st.getenv("NO_COLOR") != "" || !lang.UTF8(st.getenv))
	s.screen.Colour = st.outTerm && !s.screen.ASCII && st.getenv("TERM") != "dumb" && !s.json
	s.screen.Columns = lang.DefaultColumns
	if st.columns > 0 {
		s.screen.Columns = min(max(st.columns, minColumns), maxColumns)
	}
	wanted := flagValue(args, "--lang")
	var err error
	if s.screen.Lang, err = lang.Choose(wanted, st.getenv); err != nil {
		s.screen.Lang, _ = lang.Choose("", st.getenv)
		return s, &problem{
			code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--lang"),
			why: lang.UsageLang, next: lang.Verbatim("tapnet --lang en --help"),
		}
	}
	return s, nil
}

// flagGiven and flagValue read what comes before "--".
func flagGiven(args []string, name string) bool {
	for _, arg := range args {
		if arg == "--" {
			return false
		}
		if arg == name || arg == name+"=true" {
			return true
		}
	}
	return false
}

func flagValue(args []string, name string) string {
	for i, arg := range args {
		if arg == "--" {
			return ""
		}
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
		if arg == name && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// say writes a line in the reader's language.
func (s *session) say(t glossary.Term, args ...any) { s.line(s.screen.Say(t, args...)) }

// line writes a line as it stands.
func (s *session) line(text string) { fmt.Fprintln(s.out, strings.TrimRight(text, " ")) }

// text is a term in the reader's language, with the symbols the screen has.
func (s *session) text(t glossary.Term, args ...any) string { return s.screen.Say(t, args...) }

// table writes a table to the width of the screen.
func (s *session) table(t *lang.Table) { fmt.Fprint(s.out, t.Text(s.screen.Columns)) }

// printJSON writes one object. Text in it keeps its characters: it is not HTML.
func (s *session) printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}

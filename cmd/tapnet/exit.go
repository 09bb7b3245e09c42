package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

// exitCode is how the process ends.
type exitCode int

// The four ends.
const (
	exitDone        exitCode = 0
	exitNo          exitCode = 1
	exitUsage       exitCode = 2
	exitEnvironment exitCode = 3
)

// exitCodes is the table behind the generated reference.
func exitCodes() []glossary.Term {
	return []glossary.Term{exitDone: lang.ExitDone, exitNo: lang.ExitNo, exitUsage: lang.ExitUsage, exitEnvironment: lang.ExitEnvironment}
}

// problem is an error as a person needs it: what happened, why, and what to do next. It holds no secret: whoever makes
// one puts names and positions in, never values.
type problem struct {
	code            exitCode
	what, why, next glossary.Term
	err             error // behind it, if any
}

// Error is the English sentence.
func (p *problem) Error() string { return p.what.EN }

// Unwrap gives the error behind it.
func (p *problem) Unwrap() error { return p.err }

// asProblem gives any error the three parts.
func asProblem(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled):
		return &problem{code: exitEnvironment, what: lang.Interrupted, next: lang.RunAgain, err: err}
	}
	return &problem{code: exitEnvironment, what: lang.Unexpected, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
}

// problemJSON is an error for a program.
type problemJSON struct {
	Error struct {
		What string `json:"what"`
		Why  string `json:"why"`
		Next string `json:"next"`
		Code int    `json:"code"`
	} `json:"error"`
}

// fail reports an error and returns the exit code that goes with it.
func (s *session) fail(err error) exitCode {
	p := asProblem(err)
	if s.json {
		var out problemJSON
		out.Error.What, out.Error.Why, out.Error.Next = s.text(p.what), s.text(p.why), s.text(p.next)
		out.Error.Code = int(p.code)
		_ = s.printJSON(s.err, out) // nowhere to report that standard error is gone
		return p.code
	}
	s.explain(s.err, p)
	return p.code
}

// explain writes what, why and next.
func (s *session) explain(w io.Writer, p *problem) {
	fmt.Fprintln(w, strings.Join(lang.Wrap(s.text(p.what), s.screen.Columns), "\n"))
	s.because(w, p.why, p.next)
}

// because writes the two labelled lines. The command to copy is never broken over lines.
func (s *session) because(w io.Writer, why, next glossary.Term) {
	labels := lang.Table{Indent: 2, Gap: 2, Min: []int{lang.Width(s.text(lang.LabelNext))}}
	if why != (glossary.Term{}) {
		labels.Row(s.text(lang.LabelWhy), s.text(why))
		fmt.Fprint(w, labels.Text(s.screen.Columns))
	}
	if next != (glossary.Term{}) {
		labels := lang.Table{Indent: 2, Gap: 2, Min: labels.Min}
		labels.Row(s.text(lang.LabelNext), s.text(next))
		fmt.Fprint(w, labels.String())
	}
}

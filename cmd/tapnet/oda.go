package main

import (
	"errors"
	"fmt"
	"time"

	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/testkeys"
)

type odaCommand struct {
	File    string `arg:"" optional:"" help:"${oda_file}"`
	Date    string `placeholder:"YYYY-MM-DD" help:"${oda_date}"`
	Example bool   `help:"${oda_example}"`
	Show    bool   `help:"${oda_show}"`
}

const dayLayout = "2006-01-02"

// odaJSON is a report for a program.
type odaJSON struct {
	Date      string     `json:"date"`
	Authentic bool       `json:"authentic"`
	Reason    string     `json:"reason"`
	Steps     []stepJSON `json:"steps"`
}

type stepJSON struct {
	Step   string            `json:"step"`
	Name   string            `json:"name"`
	Status string            `json:"status"`
	Check  string            `json:"check,omitempty"`
	Detail string            `json:"detail,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
}

// Run verifies a dump. The answer is no when anything failed or nothing was proved.
func (c odaCommand) Run(s *session) error {
	text, err := c.read(s)
	if err != nil {
		return err
	}
	if c.Show {
		_, err := s.out.Write(text)
		return err
	}
	dump, err := oda.ParseDump(text)
	if err != nil {
		var bad *oda.DumpError
		why := lang.Verbatim(err.Error())
		if errors.As(err, &bad) {
			why = bad.Term()
		}
		return &problem{code: exitUsage, what: lang.Fill(lang.ODABad, why), next: lang.ODANextForm, err: err}
	}
	day, err := c.day(s, dump)
	if err != nil {
		return err
	}
	keys, err := authorities()
	if err != nil {
		return err
	}
	report := dump.Verify(keys, day)
	if !report.Authenticated() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, s.odaJSON(report, day))
	}
	s.printODA(report, day)
	return nil
}

func (c odaCommand) read(s *session) ([]byte, error) {
	switch {
	case c.Example && c.File != "":
		return nil, &problem{code: exitUsage, what: lang.Fill(lang.UsageExclusive, "--example", "FILE"), next: lang.Verbatim("tapnet oda --help")}
	case c.Example:
		return oda.ExampleDump(), nil
	case c.File == "":
		return nil, &problem{code: exitUsage, what: lang.ODANoFile, next: lang.Verbatim("tapnet oda --example")}
	}
	return s.readInput(c.File, oda.MaxDumpBytes)
}

func (c odaCommand) day(s *session, dump oda.Dump) (time.Time, error) {
	if c.Date != "" {
		day, err := time.Parse(dayLayout, c.Date)
		if err != nil {
			return time.Time{}, &problem{code: exitUsage, what: lang.ODADate, next: lang.ODADateNext, err: err}
		}
		return day, nil
	}
	if day, ok := dump.Date(); ok {
		return day, nil
	}
	return s.now().UTC(), nil
}

// authorities are the published CA keys and those of the test world.
func authorities() (*oda.Keys, error) {
	all := oda.PublishedCAKeys()
	for i := range testkeys.CACount {
		all = append(all, testkeys.CAKey(i))
	}
	keys, err := oda.NewKeys(all...)
	if err != nil {
		return nil, fmt.Errorf("collect CA keys: %w", err)
	}
	return keys, nil
}

// verdict is the last line of a report, and what can be done about it.
func verdict(report oda.Report) (answer, next glossary.Term) {
	var failure *oda.Failure
	switch {
	case report.Authenticated():
		return lang.ODAAuthentic, glossary.Term{}
	case errors.As(report.Err(), &failure) && failure.Check == oda.CheckExpired:
		return lang.Fill(lang.ODAFailed, failure.Term()), lang.ODANextDate
	case failure != nil:
		return lang.Fill(lang.ODAFailed, failure.Term()), lang.ODANextDecode
	}
	return lang.ODANothing, lang.ODANextForm
}

func (s *session) printODA(report oda.Report, day time.Time) {
	s.line(s.screen.Bold(s.text(lang.ODATitle, day.Format(dayLayout))))
	for _, step := range report.Steps {
		mark, detail := s.screen.Fold("·"), step.Note
		switch step.Status {
		case oda.Passed:
			mark = s.screen.Mark(true)
		case oda.Failed:
			mark, detail = s.screen.Mark(false), step.Failure.Check.Term()
		}
		head := lang.Table{Indent: 1, Gap: 1}
		title := lang.Pad(s.text(step.Step.Term()), odaStepColumn) + s.text(step.Status.Term())
		if detail != (glossary.Term{}) {
			title += ": " + s.text(detail)
		}
		head.Row(lang.Pad(mark, lang.Width(s.screen.Mark(false))), title)
		s.table(&head)
		fields := lang.Table{Indent: odaFieldIndent, Gap: 2}
		for _, f := range step.Fields {
			fields.Row(s.text(f.Name), s.screen.Fold(f.Value))
		}
		s.table(&fields)
	}
	answer, next := verdict(report)
	for _, line := range lang.Wrap(s.text(answer), s.screen.Columns) {
		s.line(line)
	}
	s.because(s.out, glossary.Term{}, next)
}

// Columns of a report.
const (
	odaStepColumn  = 34
	odaFieldIndent = 6
)

func (s *session) odaJSON(report oda.Report, day time.Time) odaJSON {
	answer, _ := verdict(report)
	out := odaJSON{Date: day.Format(dayLayout), Authentic: report.Authenticated(), Reason: s.text(answer), Steps: []stepJSON{}}
	for _, step := range report.Steps {
		j := stepJSON{Step: string(step.Step), Name: s.text(step.Step.Term()), Status: statusWord(step.Status), Detail: s.text(step.Note)}
		if step.Failure != nil {
			j.Check, j.Detail = string(step.Failure.Check), s.text(step.Failure.Check.Term())
		}
		for _, f := range step.Fields {
			if j.Fields == nil {
				j.Fields = map[string]string{}
			}
			j.Fields[f.Name.EN] = f.Value
		}
		out.Steps = append(out.Steps, j)
	}
	return out
}

// statusWord is the same in every language.
func statusWord(st oda.Status) string {
	switch st {
	case oda.Passed:
		return "passed"
	case oda.Failed:
		return "failed"
	}
	return "skipped"
}

package archtest

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed exempt.txt
var exemptText string

// Exemptions lists what the rules leave alone, each with its reason.
type Exemptions struct {
	rows []exemption
}

type exemption struct {
	rule, subject, reason string
	used                  *bool
}

// ParseExemptions reads lines of "rule subject reason…".
func ParseExemptions(text string) (Exemptions, error) {
	var e Exemptions
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 3 {
			return Exemptions{}, fmt.Errorf("exemption line %d: want rule, path or value, reason", i+1)
		}
		row := exemption{rule: fields[0], subject: fields[1], reason: strings.Join(fields[2:], " "), used: new(bool)}
		e.rows = append(e.rows, row)
	}
	return e, nil
}

// TheExemptions are the committed ones.
func TheExemptions() Exemptions {
	e, err := ParseExemptions(exemptText)
	if err != nil {
		panic(err) // the list is part of this package and its test reads it
	}
	return e
}

// covers reports whether a rule leaves a subject alone, and remembers that the line was needed.
func (e Exemptions) covers(rule, subject string) bool {
	for _, row := range e.rows {
		if row.rule == rule && row.subject == subject {
			*row.used = true
			return true
		}
	}
	return false
}

// Unused reports exemptions that no rule asked for since the tree was loaded: run it after every other rule.
func (e Exemptions) Unused() []Finding {
	var found []Finding
	for _, row := range e.rows {
		if !*row.used {
			found = append(found, Finding{Rule: "exempt", Path: "internal/archtest/exempt.txt",
				Text: fmt.Sprintf("nothing needs the exemption %s %s any more: delete the line", row.rule, row.subject)})
		}
	}
	return found
}

package lang

import (
	"strings"
	"unicode"

	"tapnet/glossary"
)

// DefaultColumns is the width that is always enough.
const DefaultColumns = 80

// Screen is how text reaches one reader. The zero value is English, with symbols, without colour, of no width.
type Screen struct {
	Lang    glossary.Lang
	ASCII   bool // no symbols outside ASCII; Chinese text stays when it was asked for
	Colour  bool
	Columns int
}

// plain is what stands for a symbol where there is only ASCII.
var plain = strings.NewReplacer(
	"✓", "ok", "✗", "NO", "·", "-", "→", "->", "←", "<-", "↔", "<->", "─", "-", "│", "|", "└", "`", "├", "|", "…", "...",
	"“", `"`, "”", `"`, "‘", "'", "’", "'", "–", "-", "—", "-", "×", "x", "≤", "<=", "≥", ">=", "µ", "u", "‖", "||", "•", "*",
)

// Fold replaces symbols in plain mode. In English, what has no replacement and is no letter becomes a question mark;
// Chinese keeps its punctuation, because whoever asked for Chinese in plain mode can see it.
func (s Screen) Fold(text string) string {
	if !s.ASCII {
		return text
	}
	text = plain.Replace(text)
	if s.Lang == glossary.Chinese {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII && !unicode.IsLetter(r) {
			return '?'
		}
		return r
	}, text)
}

// Say formats a term in the reader's language.
func (s Screen) Say(t glossary.Term, args ...any) string { return s.Fold(fill(t, s.Lang, args)) }

// Mark is the sign for a good or a bad result. Its shape says it, the colour only repeats it.
func (s Screen) Mark(ok bool) string {
	if ok {
		return s.Good(s.Fold("✓"))
	}
	return s.Bad(s.Fold("✗"))
}

// Escape sequences of ECMA-48.
const (
	escapeGood  = "\x1b[32m"
	escapeBad   = "\x1b[31m"
	escapeWarn  = "\x1b[33m"
	escapeDim   = "\x1b[2m"
	escapeBold  = "\x1b[1m"
	escapeReset = "\x1b[0m"
)

func (s Screen) paint(escape, text string) string {
	if !s.Colour || text == "" {
		return text
	}
	return escape + text + escapeReset
}

// Good is text in the colour of success.
func (s Screen) Good(text string) string { return s.paint(escapeGood, text) }

// Bad is text in the colour of failure.
func (s Screen) Bad(text string) string { return s.paint(escapeBad, text) }

// Warn is text in the colour of a warning.
func (s Screen) Warn(text string) string { return s.paint(escapeWarn, text) }

// Dim is text that steps back.
func (s Screen) Dim(text string) string { return s.paint(escapeDim, text) }

// Bold is text that stands out.
func (s Screen) Bold(text string) string { return s.paint(escapeBold, text) }

// leadRule is how many dashes stand before the title of a section.
const leadRule = 2

// Section is a title with a rule to the edge of the screen.
func (s Screen) Section(title string) string {
	dash := s.Fold("─")
	head := strings.Repeat(dash, leadRule) + " " + title + " "
	return s.Bold(head + strings.Repeat(dash, max(0, s.Columns-Width(head))))
}

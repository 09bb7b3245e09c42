package lang

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Width is the number of terminal cells of text: 2 for wide and full-width characters, 0 for marks, controls and escape
// sequences, 1 for the rest. Characters whose width Unicode calls ambiguous count 1, as terminals with a UTF-8 locale show them.
func Width(text string) int {
	cells := 0
	for text != "" {
		if n := escapeLength(text); n > 0 {
			text = text[n:]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		cells += runeWidth(r)
		text = text[n:]
	}
	return cells
}

// escapeLength is the length of the colour sequence that text starts with, 0 when there is none.
func escapeLength(text string) int {
	if !strings.HasPrefix(text, "\x1b[") {
		return 0
	}
	end := strings.IndexByte(text, 'm')
	return end + 1
}

func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc) {
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Pad fills text with blanks on the right up to cells. A longer text stays as it is.
func Pad(text string, cells int) string { return text + blanks(cells-Width(text)) }

// PadLeft fills text with blanks on the left up to cells.
func PadLeft(text string, cells int) string { return blanks(cells-Width(text)) + text }

func blanks(n int) string { return strings.Repeat(" ", max(0, n)) }

// Cut shortens text without escape sequences to at most cells, with an ellipsis when something is left out.
func Cut(text string, cells int, ellipsis string) string {
	if Width(text) <= cells {
		return text
	}
	room := cells - Width(ellipsis)
	for i, r := range text {
		if room -= runeWidth(r); room < 0 {
			return text[:i] + ellipsis
		}
	}
	return text
}

// noStart are characters that never begin a line in Chinese typesetting; they hang on to what stands before them.
const noStart = "，。；：！？、）】》」』”’,.;:!?)]}…"

// Wrap breaks text into lines of at most cells: at blanks, and between wide characters. A word that is longer than a line
// gets a line of its own. Blanks at the breaks go away; there is always at least one line.
func Wrap(text string, cells int) []string {
	var lines []string
	line := ""
	for _, piece := range pieces(text) {
		if line != "" && Width(line)+Width(piece.text)+piece.gap > cells {
			lines = append(lines, line)
			line = piece.text
			continue
		}
		if line != "" {
			line += blanks(piece.gap)
		}
		line += piece.text
	}
	return append(lines, line)
}

// piece is what a line break does not divide, with the number of blanks before it.
type piece struct {
	text string
	gap  int
}

func pieces(text string) []piece {
	var all []piece
	gap, joined := 0, false // joined: the next narrow character continues the last piece
	for _, r := range text {
		switch {
		case r == ' ' || r == '\n':
			gap, joined = gap+1, false
			continue
		case len(all) > 0 && gap == 0 && (joined && runeWidth(r) < 2 || strings.ContainsRune(noStart, r)):
			all[len(all)-1].text += string(r)
		default:
			all = append(all, piece{text: string(r), gap: gap})
		}
		gap, joined = 0, runeWidth(r) < 2
	}
	return all
}

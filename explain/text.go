package explain

import (
	"strings"
	"unicode"
)

// runeWidth is how many columns a character takes on a terminal: two for Chinese characters and full-width forms.
func runeWidth(r rune) int {
	switch {
	case r < 0x1100:
		return 1
	case r <= 0x115F, // Hangul initials
		r >= 0x2E80 && r <= 0x303E, // radicals, punctuation
		r >= 0x3041 && r <= 0xA4CF, // kana to Yi
		r >= 0xAC00 && r <= 0xD7A3, // Hangul
		r >= 0xF900 && r <= 0xFAFF, // compatibility ideographs
		r >= 0xFE30 && r <= 0xFE4F, // vertical forms
		r >= 0xFF00 && r <= 0xFF60, // full-width forms
		r >= 0xFFE0 && r <= 0xFFE6,
		r >= 0x20000 && r <= 0x3FFFD:
		return 2
	}
	return 1
}

// Width is how many columns a text takes on a terminal.
func Width(s string) int {
	columns := 0
	for _, r := range s {
		columns += runeWidth(r)
	}
	return columns
}

// Pad fills a text with blanks to a width.
func Pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(0, columns-Width(s)))
}

// Wrap breaks a text into lines of at most so many columns: at blanks, and between Chinese characters.
func Wrap(s string, columns int) []string {
	columns = max(columns, 2)
	var lines []string
	line, used := "", 0
	flush := func() {
		lines = append(lines, strings.TrimRight(line, " "))
		line, used = "", 0
	}
	for _, word := range words(s) {
		width := Width(word)
		if used+Width(strings.TrimRight(word, " ")) > columns && used > 0 {
			flush()
		}
		for width > columns && Width(strings.TrimRight(word, " ")) > columns {
			head := cut(word, columns)
			lines = append(lines, head)
			word = word[len(head):]
			width = Width(word)
		}
		line += word
		used += width
	}
	if line != "" || len(lines) == 0 {
		flush()
	}
	return lines
}

// words splits a text where a line may end: behind blanks and behind wide characters, but not before closing marks.
func words(s string) []string {
	var out []string
	start := 0
	s = strings.ToValidUTF8(s, ".")
	runes := []rune(s)
	at := 0
	for i, r := range runes {
		at += len(string(r))
		last := i == len(runes)-1
		breaks := r == ' ' && !last && runes[i+1] != ' ' ||
			(runeWidth(r) == 2 || !last && runeWidth(runes[i+1]) == 2) && !last && !closing(runes[i+1]) && !opening(r) && runes[i+1] != ' '
		if breaks || last {
			out = append(out, s[start:at])
			start = at
		}
	}
	return out
}

func closing(r rune) bool { return strings.ContainsRune("）】》，。：；、！？)],.:;", r) }
func opening(r rune) bool { return strings.ContainsRune("（【《([", r) }

// cut returns the longest start of a word that fits.
func cut(word string, columns int) string {
	used := 0
	for i, r := range word {
		if used += runeWidth(r); used > columns {
			return word[:i]
		}
	}
	return word
}

// plainASCII replaces what a terminal without UTF-8 cannot show.
func plainASCII(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '·':
			return '-'
		case r > unicode.MaxASCII:
			return '?'
		}
		return r
	}, s)
}

// Harmless takes control characters and broken UTF-8 out of a text, the last gate before a terminal.
func Harmless(s string) string { return harmless(s) }

func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return '.'
		}
		return r
	}, strings.ToValidUTF8(s, "."))
}

package receipt

import (
	"strings"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

const signatureLines = 3 // room to write

// Text returns the receipt in lines of at most Columns cells, each with its line feed.
func (r Receipt) Text() string {
	var b strings.Builder
	write := func(lines ...string) {
		for _, line := range lines {
			b.WriteString(strings.TrimRight(line, " "))
			b.WriteByte('\n')
		}
	}
	across := strings.Repeat("-", Columns)
	for _, p := range r.layout() {
		switch p.form {
		case rule:
			write(across)
		case heading, middle, notice:
			for _, l := range r.languagesOf(p.value) {
				for _, line := range fold(p.value.In(l), Columns) {
					write(center(line))
				}
			}
		case row, total:
			write(r.row(p)...)
		case signature:
			write(fold(r.joined(p.label)+":", Columns)...)
			for range signatureLines {
				write("")
			}
			write(strings.Repeat("_", Columns))
		case code:
			write(fold(r.joined(p.label)+":", Columns)...)
			write(fold(p.value.EN, Columns)...)
		case small:
			for _, l := range r.languagesOf(p.value) {
				write(fold(p.value.In(l), Columns)...)
			}
		}
	}
	return b.String()
}

// joined is a term in the languages of the receipt: "卡号/Card no.".
func (r Receipt) joined(t glossary.Term) string {
	var texts []string
	for _, l := range r.languagesOf(t) {
		texts = append(texts, t.In(l))
	}
	return strings.Join(texts, "/")
}

// row puts label and value on one line, the value at the right edge; when they do not fit, the value goes on lines of its own.
func (r Receipt) row(p part) []string {
	label, value := r.joined(p.label)+":", r.joined(p.value)
	if lang.Width(label)+1+lang.Width(value) <= Columns {
		return []string{label + lang.PadLeft(value, Columns-lang.Width(label))}
	}
	lines := fold(label, Columns)
	for _, line := range fold(value, Columns-1) {
		lines = append(lines, lang.PadLeft(line, Columns))
	}
	return lines
}

func center(line string) string { return strings.Repeat(" ", (Columns-lang.Width(line))/2) + line }

// fold breaks text into lines of at most cells, also inside words that are longer than a line.
func fold(text string, cells int) []string {
	var lines []string
	for _, line := range lang.Wrap(text, cells) {
		for lang.Width(line) > cells {
			at := 0
			for i := range line {
				if lang.Width(line[:i]) > cells {
					break
				}
				at = i
			}
			lines = append(lines, line[:at])
			line = line[at:]
		}
		lines = append(lines, line)
	}
	return lines
}

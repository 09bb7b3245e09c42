package trace

import (
	"fmt"
	"io"
	"strings"
	"time"

	"tapnet/explain"
	"tapnet/glossary"
)

// Columns of a timeline.
const (
	defaultWidth = 80
	minWidth     = 60
	numberWidth  = 4
	kindWidth    = 8
	middleWidth  = 24
)

func term(en, zh string) glossary.Term { return glossary.Term{EN: en, ZH: zh} }

// timeline prints one payment.
type timeline struct {
	w    io.Writer
	o    explain.Options
	lang glossary.Lang
	err  error
}

// Render prints a payment as one numbered timeline, a line or two for each step.
func Render(w io.Writer, records []Record, o explain.Options) error {
	return render(w, records, o, false)
}

// Full prints a payment with every byte explained.
func Full(w io.Writer, records []Record, o explain.Options) error { return render(w, records, o, true) }

func render(w io.Writer, records []Record, o explain.Options, full bool) error {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	t := &timeline{w: w, o: o, lang: o.Lang}
	if o.ASCII {
		t.lang = glossary.English
	}
	records = Explain(records, explain.Context{})
	t.head(records)
	steps := stepsOf(records)
	for _, s := range steps {
		t.step(s)
		if full {
			t.bytes(s)
		}
	}
	t.foot(records)
	return t.err
}

func (t *timeline) print(line string) {
	if t.err != nil {
		return
	}
	_, t.err = io.WriteString(t.w, strings.TrimRight(explain.Harmless(line), " ")+"\n")
}

// plain is a text as the terminal can show it, before it is laid out.
func (t *timeline) plain(s string) string {
	if t.o.ASCII {
		return asciiOnly(s)
	}
	return s
}

// asciiOnly replaces what a terminal without UTF-8 cannot show.
func asciiOnly(s string) string {
	s = strings.NewReplacer("→", "->", "…", "..", "·", "-", "─", "-", "µ", "u").Replace(s)
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, s)
}

// head names what the payment is known by: reference number, masked card, terminal.
func (t *timeline) head(records []Record) {
	var parts []string
	for _, r := range records {
		if number, ok := cardShown(r, t.o.Reveal); ok {
			parts = append(parts, term("card ", "卡 ").In(t.lang)+number)
			break
		}
	}
	for _, id := range idsOf(records) {
		for _, prefix := range []string{prefixRRN, prefixTap, prefixTerminal} {
			if rest, ok := strings.CutPrefix(id, prefix); ok {
				parts = append(parts, strings.TrimSuffix(prefix, ":")+" "+rest)
			}
		}
	}
	text := strings.Join(parts, " · ")
	if len(records) == 0 {
		text = term("nothing is remembered of it", "没有记录").In(t.lang)
	}
	for _, line := range explain.Wrap(t.plain(text), t.o.Width) {
		t.print(line)
	}
	t.print("")
}

// cardShown finds the account number a record shows.
func cardShown(r Record, reveal bool) (string, bool) {
	if r.Node == nil {
		return "", false
	}
	for _, key := range []string{"PAN", "5A", "F2"} {
		if n, ok := r.Node.Find(key); ok {
			_, value := n.Shown(reveal)
			return value, value != ""
		}
	}
	return "", false
}

func (t *timeline) foot(records []Record) {
	if len(records) == 0 {
		return
	}
	label, total := term("total ", "合计 "), records[len(records)-1].At.Sub(records[0].At)
	if total == 0 { // a simulated clock stood still; the card was measured all the same
		label = term("card ", "卡片 ")
		for _, r := range records {
			total += r.Elapsed
		}
	}
	if total > 0 {
		text := t.plain(label.In(t.lang) + duration(total))
		t.print(strings.Repeat(" ", max(0, t.o.Width-explain.Width(text))) + text)
	}
}

func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// step prints one step: number, kind, bytes or route, and what it says.
func (t *timeline) step(s step) {
	for i, l := range s.lines(t.lang, t.o.Reveal) {
		number := ""
		if i == 0 && s.number > 0 {
			number = fmt.Sprintf("%2d", s.number)
		}
		t.row(number, l)
	}
}

func (t *timeline) row(number string, l line) {
	width := t.o.Width - numberWidth - kindWidth - middleWidth
	texts := explain.Wrap(t.plain(l.text), width)
	if l.elapsed > 0 {
		texts = appendRight(texts, t.plain(duration(l.elapsed)), width)
	}
	middles := explain.Wrap(t.plain(l.middle), middleWidth-1)
	for i := range max(len(texts), len(middles)) {
		kind := l.kind
		if i > 0 {
			number, kind = "", ""
		}
		kind = t.plain(kind)
		t.print(explain.Pad(number, numberWidth) + explain.Pad(kind, kindWidth) + explain.Pad(at(middles, i), middleWidth) + at(texts, i))
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// appendRight puts a text at the right edge of the last line, or of a new one.
func appendRight(lines []string, s string, width int) []string {
	last := lines[len(lines)-1]
	gap := width - explain.Width(last) - explain.Width(s)
	if gap < 1 {
		return append(lines, strings.Repeat(" ", max(0, width-explain.Width(s)))+s)
	}
	lines[len(lines)-1] = last + strings.Repeat(" ", gap) + s
	return lines
}

// bytes prints every byte of a step.
func (t *timeline) bytes(s step) {
	if s.record.Node != nil && s.record.Node.Length > 0 {
		t.print("")
		if t.err == nil {
			t.err = explain.Render(t.w, *s.record.Node, t.o)
		}
		t.print("")
	}
}

package lang

import "strings"

// Table lays out rows in columns that are as wide as their widest cell. The last column wraps at the edge of the screen.
type Table struct {
	Indent int    // blanks before each line
	Gap    int    // blanks between columns
	Right  []bool // columns aligned to the right; missing entries are aligned to the left
	Min    []int  // least width of columns, to align one table with another
	rows   [][]string
}

// minimumLast is the least room the last column gets, however little the screen leaves it.
const minimumLast = 20

// Row adds a row. Rows may differ in length.
func (t *Table) Row(cells ...string) { t.rows = append(t.rows, cells) }

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Lines are the lines of the table for a screen of so many columns; 0 means that nothing wraps.
func (t *Table) Lines(columns int) []string {
	widths := t.widths()
	var lines []string
	for _, row := range t.rows {
		lines = append(lines, t.layout(row, widths, columns)...)
	}
	return lines
}

// String is the table with a line end after each line and without wrapping.
func (t *Table) String() string { return t.Text(0) }

// Text is Lines with a line end after each.
func (t *Table) Text(columns int) string {
	var b strings.Builder
	for _, line := range t.Lines(columns) {
		b.WriteString(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func (t *Table) widths() []int {
	widths := append([]int(nil), t.Min...)
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 || t.right(i) {
				widths[i] = max(widths[i], Width(cell))
			}
		}
	}
	return widths
}

func (t *Table) right(i int) bool { return i < len(t.Right) && t.Right[i] }

func (t *Table) layout(row []string, widths []int, columns int) []string {
	var b strings.Builder
	b.WriteString(blanks(t.Indent))
	at := t.Indent
	for i, cell := range row {
		if i > 0 {
			b.WriteString(blanks(t.Gap))
			at += t.Gap
		}
		switch {
		case t.right(i):
			b.WriteString(PadLeft(cell, widths[i]))
		case i == len(row)-1:
			return t.wrapped(b.String(), cell, at, columns)
		default:
			b.WriteString(Pad(cell, widths[i]))
		}
		at += max(widths[i], Width(cell))
	}
	return []string{strings.TrimRight(b.String(), " ")}
}

func (t *Table) wrapped(head, cell string, at, columns int) []string {
	if columns <= 0 || at+Width(cell) <= columns {
		return []string{strings.TrimRight(head+cell, " ")}
	}
	lines := Wrap(cell, max(minimumLast, columns-at))
	for i, line := range lines {
		if i == 0 {
			lines[i] = head + line
			continue
		}
		lines[i] = blanks(at) + line
	}
	return lines
}

package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"tapnet/glossary"
)

// Options say how to print. The zero value is English, masked, 80 columns, no colour.
type Options struct {
	Lang   glossary.Lang
	Reveal bool // show account numbers, tracks and names; never PIN blocks or keys
	Width  int  // columns; 0 is 80
	Colour bool
	ASCII  bool // no character beyond ASCII; the language is English then
	AllBit bool // also the bits that are not set
}

// Columns of a rendering.
const (
	defaultWidth = 80
	minWidth     = 48
	offsetWidth  = 5
	keyWidthMax  = 20
	hexWidthMax  = 24 // twelve bytes a line
	hexWidthMin  = 12
	gap          = 2
)

// Colours are names for terminals; never the only sign of anything.
const (
	colourOff  = "\x1b[0m"
	colourDim  = "\x1b[2m"
	colourBad  = "\x1b[31m"
	colourMask = "\x1b[33m"
)

type renderer struct {
	w        io.Writer
	o        Options
	keyWidth int
	hexWidth int
	err      error
}

func (o Options) language() glossary.Lang {
	if o.ASCII {
		return glossary.English
	}
	return o.Lang
}

// Render prints a tree as a table: offset, key, bytes, and what they say. Every byte of the input appears once.
func Render(w io.Writer, n Node, o Options) error {
	if o.Width == 0 {
		o.Width = defaultWidth
	}
	o.Width = max(o.Width, minWidth)
	r := &renderer{w: w, o: o}
	r.keyWidth = min(keysWidth(n, 0), keyWidthMax)
	left := o.Width - offsetWidth - r.keyWidth - 2*gap
	r.hexWidth = min(hexWidthMax, max(hexWidthMin, left/2)) / 4 * 4
	r.node(n, 0)
	return r.err
}

func keysWidth(n Node, depth int) int {
	width := depth + Width(n.Key)
	for _, child := range n.Children {
		width = max(width, keysWidth(child, depth+1))
	}
	return width
}

// node prints one node and what is below it. A header leaf is printed on its parent's line.
func (r *renderer) node(n Node, depth int) {
	if n.bit && n.Value == "0" && !r.o.AllBit {
		return
	}
	r.row(n, depth)
	for i, child := range n.Children {
		if i == 0 && child.Key == "header" && n.Header > 0 {
			continue
		}
		r.node(child, depth+1)
	}
}

func (r *renderer) row(n Node, depth int) {
	offset := ""
	if !n.Virtual() {
		offset = fmt.Sprintf("%d", n.Offset)
	}
	key := strings.Repeat(" ", min(depth, max(0, r.keyWidth-Width(n.Key)))) + n.Key
	hexLines := r.hexLines(n)
	keyLines := chunks(key, r.keyWidth)
	textLines := Wrap(r.text(n), r.o.Width-offsetWidth-r.keyWidth-r.hexWidth-2*gap)
	for i := range max(len(hexLines), len(textLines), len(keyLines)) {
		if i > 0 {
			offset = ""
		}
		line := fmt.Sprintf("%*s  %s%s%s", offsetWidth-gap, offset,
			Pad(at(keyLines, i), r.keyWidth+gap), r.paint(n, Pad(at(hexLines, i), r.hexWidth+gap)), at(textLines, i))
		r.print(strings.TrimRight(line, " "))
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// hexLines breaks hexadecimal into lines, tag and length apart from the value.
func (r *renderer) hexLines(n Node) []string {
	hex := n.hex(r.o.Reveal)
	header := n.Header * hexPerByte
	if n.Header > 0 && len(hex) > header {
		if len(hex)+1 <= r.hexWidth {
			return []string{hex[:header] + " " + hex[header:]}
		}
		return append([]string{hex[:header]}, chunks(hex[header:], r.hexWidth)...)
	}
	return chunks(hex, r.hexWidth)
}

func chunks(s string, size int) []string {
	var lines []string
	for len(s) > size {
		lines = append(lines, s[:size])
		s = s[size:]
	}
	return append(lines, s)
}

// text is name, value and meaning. The meaning of a bit field is left to its bits below.
func (r *renderer) text(n Node) string {
	lang := r.o.language()
	text := n.Name.In(lang)
	if n.bit {
		if n.Value == "0" {
			return "0 " + text
		}
		return text
	}
	separator := term(": ", "：").In(lang)
	add := func(s string) {
		if s != "" {
			text += separator + s
			separator = " · "
		}
	}
	add(n.value(r.o.Reveal))
	if !hasBits(n) {
		add(n.Meaning.In(lang))
	}
	if n.Broken {
		add(term("NOT WHOLE", "不完整").In(lang))
	}
	if r.o.ASCII {
		text = plainASCII(text)
	}
	return harmless(text)
}

// hasBits reports whether bits below say what the meaning sums up.
func hasBits(n Node) bool {
	for _, child := range n.Children {
		if child.bit && child.Value != "0" {
			return true
		}
	}
	return false
}

func (r *renderer) paint(n Node, s string) string {
	if !r.o.Colour || strings.TrimSpace(s) == "" {
		return s
	}
	colour := colourDim
	switch {
	case n.Broken:
		colour = colourBad
	case n.Sensitive:
		colour = colourMask
	}
	return colour + s + colourOff
}

func (r *renderer) print(line string) {
	if r.err == nil {
		_, r.err = io.WriteString(r.w, line+"\n")
	}
}

type jsonTerm struct {
	EN string `json:"en"`
	ZH string `json:"zh,omitempty"`
}

type jsonNode struct {
	Key       string     `json:"key"`
	Name      jsonTerm   `json:"name"`
	Offset    *int       `json:"offset,omitempty"`
	Length    int        `json:"length,omitempty"`
	Header    int        `json:"header,omitempty"`
	Hex       string     `json:"hex,omitempty"`
	Value     string     `json:"value,omitempty"`
	Meaning   *jsonTerm  `json:"meaning,omitempty"`
	Sensitive bool       `json:"sensitive,omitempty"`
	Broken    bool       `json:"broken,omitempty"`
	Bit       bool       `json:"bit,omitempty"`
	Children  []jsonNode `json:"children,omitempty"`
}

func (n Node) toJSON(reveal bool) jsonNode {
	out := jsonNode{Key: n.Key, Name: jsonTerm(n.Name), Length: n.Length, Header: n.Header, Hex: n.hex(reveal), Value: n.value(reveal),
		Sensitive: n.Sensitive, Broken: n.Broken, Bit: n.bit}
	if !n.Virtual() {
		offset := n.Offset
		out.Offset = &offset
	}
	if n.Meaning != (glossary.Term{}) {
		out.Meaning = (*jsonTerm)(&n.Meaning)
	}
	for _, child := range n.Children {
		out.Children = append(out.Children, child.toJSON(reveal))
	}
	return out
}

// MarshalJSON writes the tree, masked, with names in both languages.
func (n Node) MarshalJSON() ([]byte, error) { return json.Marshal(n.toJSON(false)) }

// UnmarshalJSON reads what MarshalJSON wrote. Nothing can be revealed in the result.
func (n *Node) UnmarshalJSON(b []byte) error {
	var in jsonNode
	if err := json.Unmarshal(b, &in); err != nil {
		return fmt.Errorf("read explained node: %w", err)
	}
	*n = in.node()
	return nil
}

func (in jsonNode) node() Node {
	n := Node{Key: harmless(in.Key), Name: glossary.Term(in.Name), Offset: virtualOffset, Length: in.Length, Header: max(0, in.Header),
		Hex: harmless(in.Hex), Value: harmless(in.Value), Sensitive: in.Sensitive, Broken: in.Broken, bit: in.Bit}
	if in.Offset != nil {
		n.Offset = max(virtualOffset, *in.Offset)
	}
	if in.Meaning != nil {
		n.Meaning = glossary.Term(*in.Meaning)
	}
	for _, child := range in.Children {
		n.Children = append(n.Children, child.node())
	}
	return n
}

// RenderJSON writes the tree as one indented JSON value; with Reveal as Render does.
func RenderJSON(w io.Writer, n Node, o Options) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(n.toJSON(o.Reveal))
}

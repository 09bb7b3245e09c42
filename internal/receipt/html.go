package receipt

import (
	_ "embed" // the page is part of the package
	"fmt"
	"html/template"
	"io"

	"tapnet/glossary"
)

//go:embed page.gohtml
var pageText string

var page = template.Must(template.New("receipt").Parse(pageText))

// marked is a text with the language it is in, "" when it is in none.
type marked struct{ Lang, Text string }

type pageRow struct {
	Total        bool
	Label, Value []marked
}

// block is one element of the page; rows that follow each other are one list.
type block struct {
	Rows                           []pageRow
	Rule, Heading, Signature, Code bool
	Class                          string
	Label, Value                   []marked
}

var classes = map[form]string{middle: "middle", notice: "middle notice", small: "small"}

// HTML writes the receipt as a page of its own: styles inside, no script, made to be read on a phone, read aloud and printed. The error is the writer's.
func (r Receipt) HTML(w io.Writer) error {
	first := r.data.Languages[0]
	data := struct {
		Lang, Title string
		Blocks      []block
	}{tag(first), r.joined(titleTerm) + " - " + r.joined(r.data.Kind.Term()), r.blocks()}
	if err := page.Execute(w, data); err != nil {
		return fmt.Errorf("write receipt page: %w", err)
	}
	return nil
}

func (r Receipt) blocks() []block {
	var blocks []block
	for _, p := range r.layout() {
		label, value := r.marked(p.label), r.marked(p.value)
		switch p.form {
		case row, total:
			if n := len(blocks); n == 0 || blocks[n-1].Rows == nil {
				blocks = append(blocks, block{})
			}
			last := &blocks[len(blocks)-1]
			last.Rows = append(last.Rows, pageRow{p.form == total, label, value})
		case middle, notice, small:
			blocks = append(blocks, block{Class: classes[p.form], Value: value})
		default:
			blocks = append(blocks, block{Rule: p.form == rule, Heading: p.form == heading, Signature: p.form == signature, Code: p.form == code,
				Label: label, Value: value})
		}
	}
	return blocks
}

// marked is a term in the languages of the receipt. A text that is the same in both is in none: a number, a name.
func (r Receipt) marked(t glossary.Term) []marked {
	if t == (glossary.Term{}) {
		return nil
	}
	if t.ZH == "" || t.EN == t.ZH {
		return []marked{{Text: t.EN}}
	}
	var texts []marked
	for _, l := range r.languagesOf(t) {
		texts = append(texts, marked{tag(l), t.In(l)})
	}
	return texts
}

// tag is the language as HTML names it.
func tag(l glossary.Lang) string {
	if l == glossary.Chinese {
		return "zh-CN"
	}
	return "en"
}

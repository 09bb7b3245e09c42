package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	"tapnet/emv"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/lang"
)

type decodeCommand struct {
	Input  []string `arg:"" name:"[kind] hex" help:"${decode_input}"`
	DOL    string   `name:"dol" placeholder:"HEX" help:"${decode_dol}"`
	Of     string   `placeholder:"HEX" help:"${decode_of}"`
	Reveal bool     `help:"${flag_reveal}"`
}

// maxDecodeText holds the longest input that is explained, written with three separators for each byte.
const maxDecodeText = explain.MaxInputBytes * 5

// tagKind marks a tag as the kind: tag:9F33.
const tagKind = "tag:"

// decoded is what decode found, for a program.
type decoded struct {
	Kind  string          `json:"kind"`
	Bytes int             `json:"bytes"`
	Tree  json.RawMessage `json:"tree"`
}

// Run explains bytes. What can be read is printed even when the rest cannot; then the input was wrong use.
func (c decodeCommand) Run(s *session) error {
	kind, text, err := c.split(s)
	if err != nil {
		return err
	}
	input, err := parseHex(text)
	if err != nil {
		return err
	}
	about, list, err := c.context()
	if err != nil {
		return err
	}
	kind, node, err := explainAs(about, kind, list, input)
	if printErr := s.printDecoded(kind, node, len(input), c.Reveal); printErr != nil {
		return printErr
	}
	if err != nil {
		return undecodable(err)
	}
	return nil
}

// split tells the kind from the digits. "8583" and "f55" are both; a first word that names a kind is one when digits follow.
func (c decodeCommand) split(s *session) (kind, text string, err error) {
	words := c.Input
	if len(words) > 1 {
		if name, ok := kindNamed(words[0]); ok {
			kind, words = name, words[1:]
		} else if !isHexText(words[0]) {
			return "", "", &problem{code: exitUsage, what: lang.Fill(lang.DecodeKind, printable(words[0])),
				why: lang.Fill(lang.DecodeKinds, decodeKinds()), next: lang.Verbatim("tapnet decode --help")}
		}
	}
	if len(words) == 1 && words[0] == "-" {
		input, err := s.readInput("-", maxDecodeText)
		return kind, string(input), err
	}
	text = strings.Join(words, " ")
	if len(text) > maxDecodeText {
		return "", "", &problem{code: exitUsage, what: lang.InputTooLong, why: lang.Fill(lang.LimitBytes, explain.MaxInputBytes)}
	}
	return kind, text, nil
}

func kindNamed(word string) (string, bool) {
	word = strings.ToLower(word)
	if tag, ok := strings.CutPrefix(word, tagKind); ok {
		return strings.ToUpper(tag), true
	}
	for _, k := range explain.Kinds() {
		if k.Name == word {
			return word, true
		}
	}
	return "", false
}

// decodeKinds lists the kinds for help and errors.
func decodeKinds() string {
	var names []string
	for _, k := range explain.Kinds() {
		names = append(names, k.Name)
	}
	return strings.Join(append(names, tagKind+"9F33"), ", ")
}

// maxShownWord bounds how much of a wrong word an error repeats.
const maxShownWord = 24

// maxShownDigits in a row cannot be a PIN, let alone an account number.
const maxShownDigits = 3

// printable is a word fit for an error: short, without control characters, and without digits that could be a PIN or an
// account number.
func printable(word string) string {
	var shown strings.Builder
	run := 0
	for _, r := range word {
		if run++; !unicode.IsDigit(r) {
			run = 0
		}
		if run > maxShownDigits || !unicode.IsPrint(r) {
			return lang.Cut(strings.TrimRight(shown.String(), "0123456789"), maxShownWord, "…") + "…"
		}
		shown.WriteRune(r)
	}
	return lang.Cut(shown.String(), maxShownWord, "…")
}

func separator(r rune) bool { return unicode.IsSpace(r) || r == ':' }

func isHexText(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return !separator(r) && !unicode.Is(unicode.ASCII_Hex_Digit, r) }) < 0
}

// parseHex reads digits with blanks and colons between them. Errors name a position, counted in characters from 1.
func parseHex(text string) ([]byte, error) {
	var digits strings.Builder
	position := 0
	for _, r := range text {
		position++
		switch {
		case separator(r):
		case unicode.Is(unicode.ASCII_Hex_Digit, r):
			digits.WriteRune(r)
		default:
			return nil, &problem{code: exitUsage, what: lang.Fill(lang.DecodeDigit, printable(string(r))),
				why: lang.Fill(lang.DecodeAt, position), next: lang.DecodeInput}
		}
	}
	switch {
	case digits.Len() == 0:
		return nil, &problem{code: exitUsage, what: lang.DecodeEmpty, next: lang.Verbatim("tapnet decode 9F2608AD03EE811AFAD484")}
	case digits.Len()%2 != 0:
		return nil, &problem{code: exitUsage, what: lang.Fill(lang.DecodeOdd, digits.Len()), next: lang.DecodeInput}
	case digits.Len() > 2*explain.MaxInputBytes:
		return nil, &problem{code: exitUsage, what: lang.InputTooLong, why: lang.Fill(lang.LimitBytes, explain.MaxInputBytes)}
	}
	input, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, &problem{code: exitUsage, what: lang.DecodeStops, err: err}
	}
	return input, nil
}

// context is what the flags tell about the bytes.
func (c decodeCommand) context() (about explain.Context, list emv.DOL, err error) {
	if about.CAKeys, err = authorities(); err != nil {
		return about, nil, err
	}
	if c.DOL != "" {
		text, err := parseHex(c.DOL)
		if err == nil {
			list, err = emv.ParseDOL(text)
		}
		if err != nil {
			return about, nil, badFlag(lang.DecodeDOL, err)
		}
		about.PDOL, about.CDOL1, about.CDOL2, about.DDOL = list, list, list, list
	}
	if c.Of != "" {
		if about.Answers, err = parseHex(c.Of); err != nil {
			return about, nil, badFlag(lang.DecodeOf, err)
		}
	}
	return about, list, nil
}

func badFlag(what glossary.Term, err error) error {
	p := &problem{code: exitUsage, what: what, why: lang.Verbatim(err.Error()), next: lang.Verbatim("tapnet decode --help"), err: err}
	var inner *problem
	if errors.As(err, &inner) {
		p.why = inner.what
	}
	return p
}

// dataKind is what data that a list describes is called.
const dataKind = "data"

// explainAs explains the bytes as the kind, as data of the list when they have its length, or as whatever they look like.
func explainAs(about explain.Context, kind string, list emv.DOL, input []byte) (string, explain.Node, error) {
	switch {
	case kind == "" && list != nil && len(input) == list.Length():
		node, err := about.DOLData(list, input)
		return dataKind, node, err
	case kind == "" && about.Answers != nil:
		node, err := about.Response(input)
		return "response", node, err
	case kind != "":
		node, err := about.Decode(kind, input)
		return kind, node, err
	}
	return about.Auto(input)
}

func (s *session) printDecoded(kind string, node explain.Node, size int, reveal bool) error {
	if s.json {
		var tree strings.Builder
		if err := explain.RenderJSON(&tree, node, s.explainOptions(reveal)); err != nil {
			return err
		}
		return s.printJSON(s.out, decoded{Kind: kind, Bytes: size, Tree: json.RawMessage(tree.String())})
	}
	name := kind
	for _, k := range explain.Kinds() {
		if k.Name == kind {
			name = kind + " · " + k.Term.In(s.screen.Lang)
		}
	}
	s.line(s.screen.Bold(s.screen.Fold(name + " · " + lang.DecodeBytes.Format(s.screen.Lang, size))))
	return explain.Render(s.out, node, s.explainOptions(reveal))
}

// explainOptions are the screen's properties as package explain takes them.
func (s *session) explainOptions(reveal bool) explain.Options {
	return explain.Options{
		Lang: s.screen.Lang, Reveal: reveal, Width: s.screen.Columns, Colour: s.screen.Colour,
		ASCII: s.screen.ASCII && s.screen.Lang == glossary.English,
	}
}

func undecodable(err error) error {
	p := &problem{code: exitUsage, what: lang.DecodeStops, why: lang.Verbatim(err.Error()), next: lang.DecodeNext, err: err}
	var known *explain.Error
	if errors.As(err, &known) {
		p.what, p.why = sentence(known.Term()), glossary.Term{}
	}
	return p
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(t glossary.Term) glossary.Term {
	if t.EN != "" {
		t.EN = strings.ToUpper(t.EN[:1]) + t.EN[1:] + "."
	}
	if t.ZH != "" {
		t.ZH += "。"
	}
	return t
}

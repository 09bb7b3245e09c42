// Package glossary holds a name or a sentence in English and in simplified
// Chinese side by side, so that neither language can be forgotten.
//
// Every text a person reads at run time is a Term. The package promises that a
// term always yields some text and that formatting works on the same arguments
// in both languages; it does not choose the language and loads no catalogue.
package glossary

import (
	"fmt"
	"strings"
)

// Lang is one of the two languages the project speaks. The zero value is English.
type Lang uint8

// The languages.
const (
	English Lang = iota
	Chinese
)

// maxLangBytes bounds what ParseLang repeats in an error: locale names are short, and the text
// comes from a command line, an environment or an HTTP header.
const maxLangBytes = 32

// ParseLang reads a language or locale name: "en", "zh", "zh-CN", "zh_CN.UTF-8", "en_US.UTF-8".
// "C" and "POSIX" are English. Case does not matter. Another language is an error.
func ParseLang(s string) (Lang, error) {
	name := strings.ToLower(s)
	if i := strings.IndexAny(name, "-_.@"); i >= 0 {
		name = name[:i]
	}
	switch name {
	case "en", "c", "posix":
		return English, nil
	case "zh":
		return Chinese, nil
	}
	if len(s) > maxLangBytes {
		s = s[:maxLangBytes]
	}
	return English, fmt.Errorf("parse language %q: want en or zh", s)
}

// String returns "en" or "zh".
func (l Lang) String() string {
	if l == Chinese {
		return "zh"
	}
	return "en"
}

// MarshalText returns the name that ParseLang reads.
func (l Lang) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a name as ParseLang does.
func (l *Lang) UnmarshalText(text []byte) error {
	parsed, err := ParseLang(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// Term is one text in both languages. It may hold fmt verbs; explicit argument indexes such as %[2]s
// let the two languages order the same arguments differently.
type Term struct {
	EN string
	ZH string
}

// In returns the text in l, or the English text when there is no Chinese one.
func (t Term) In(l Lang) string {
	if l == Chinese && t.ZH != "" {
		return t.ZH
	}
	return t.EN
}

// Format formats the text in l with args, as fmt.Sprintf does. Without args the text is returned
// as it stands, so that a term with a percent sign needs no escape until it takes arguments.
func (t Term) Format(l Lang, args ...any) string {
	text := t.In(l)
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// String returns the English text, for logs and test failures.
func (t Term) String() string { return t.EN }

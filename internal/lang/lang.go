// Package lang is what the command line says and how it is laid out: every sentence as a glossary.Term, the choice of
// the language from flags and environment, and columns that stay aligned when characters are two cells wide.
//
// It promises that every text exists in English and in simplified Chinese with the same verbs, that a measured width is
// the width on a terminal, and that plain mode uses no symbol outside ASCII. It reads no environment and writes nowhere:
// both come in as arguments. It does not translate what other packages say; their Terms pass through.
package lang

import (
	"strings"

	"tapnet/glossary"
)

// Getenv looks up an environment variable, as os.Getenv does.
type Getenv func(name string) string

// Choose picks the language: the flag when it is given, else LC_ALL, LC_MESSAGES and LANG in the order of POSIX. A
// locale in another language, and a Chinese one whose character set is not UTF-8, give English. Only a bad flag is an error.
func Choose(flag string, getenv Getenv) (glossary.Lang, error) {
	if flag != "" {
		return glossary.ParseLang(flag)
	}
	l, err := glossary.ParseLang(first(getenv, "LC_ALL", "LC_MESSAGES", "LANG"))
	if err != nil || !UTF8(getenv) {
		return glossary.English, nil
	}
	return l, nil
}

// UTF8 reports whether the locale's character set is UTF-8, by LC_ALL, LC_CTYPE and LANG in the order of POSIX.
func UTF8(getenv Getenv) bool {
	name := strings.ToLower(first(getenv, "LC_ALL", "LC_CTYPE", "LANG"))
	return strings.Contains(name, "utf-8") || strings.Contains(name, "utf8")
}

func first(getenv Getenv, names ...string) string {
	for _, name := range names {
		if value := getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// Fill formats both languages of t with the same arguments. An argument that is a Term goes in in the language of the sentence.
func Fill(t glossary.Term, args ...any) glossary.Term {
	return glossary.Term{EN: fill(t, glossary.English, args), ZH: fill(t, glossary.Chinese, args)}
}

func fill(t glossary.Term, l glossary.Lang, args []any) string {
	said := make([]any, len(args))
	for i, arg := range args {
		if term, ok := arg.(glossary.Term); ok {
			arg = term.In(l)
		}
		said[i] = arg
	}
	return t.Format(l, said...)
}

// Verbatim is a text that is the same in both languages: a name, a command, a number.
func Verbatim(text string) glossary.Term { return glossary.Term{EN: text, ZH: text} }

package emv

import (
	"fmt"
	"slices"

	"tapnet/glossary"
	"tapnet/tlv"
)

// Entry is one row of the dictionary: what a tag means.
type Entry struct {
	Tag       tlv.Tag
	Name      glossary.Term
	Format    Format
	Min, Max  int    // length of the value in bytes
	Source    Origin // who says it
	Template  string // tags of the templates it appears in, "77" or "70|77"; empty when none
	Ref       string // the clause, a key of docs/references.md
	Sensitive bool   // the value is masked in every print
	Access    Access // commands that reach it on a card, as far as the published card profile says [REF 1.3]
}

// Format is how a value is written [EMV B3 4.3]. It decides how a value is padded and cut in a DOL.
type Format uint8

// Formats.
const (
	FormatBinary              Format = iota // b
	FormatNumeric                           // n: BCD, right-justified, leading zeros
	FormatCompressedNumeric                 // cn: BCD, left-justified, trailing F
	FormatAlphabetic                        // a
	FormatAlphanumeric                      // an
	FormatAlphanumericSpecial               // ans
	FormatBits                              // b, each bit has a meaning: a type of this package
	FormatDOL                               // b, a data object list
	FormatTemplate                          // constructed
	formatCount
)

var formatNames = [formatCount]string{"b", "n", "cn", "a", "an", "ans", "b (bits)", "b (DOL)", "template"}

// String returns the abbreviation the books use.
func (f Format) String() string {
	if f < formatCount {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Origin says who a data object comes from.
type Origin uint8

// Origins.
const (
	OriginCard Origin = iota
	OriginTerminal
	OriginIssuer
	originCount
)

var originTerms = [originCount]glossary.Term{
	{EN: "card", ZH: "卡片"},
	{EN: "terminal", ZH: "终端"},
	{EN: "issuer", ZH: "发卡行"},
}

// Term names the origin.
func (o Origin) Term() glossary.Term {
	if o < originCount {
		return originTerms[o]
	}
	return glossary.Term{}
}

// String returns the English name.
func (o Origin) String() string { return o.Term().EN }

// Access says which commands reach a data object of a card.
type Access uint8

// Ways of access, a set of bits.
const (
	AccessGet Access = 1 << iota // readable by GET DATA
	AccessPut                    // writable by PUT DATA in an issuer script
)

// mark is the last column of a row: access and sensitivity.
type mark uint8

const (
	get    = mark(AccessGet)
	getPut = mark(AccessGet | AccessPut)
	secret = mark(1 << 7)
)

func entry(tag tlv.Tag, en, zh string, f Format, lo, hi int, from Origin, template, ref string, m mark) Entry {
	return Entry{
		Tag: tag, Name: glossary.Term{EN: en, ZH: zh}, Format: f, Min: lo, Max: hi, Source: from, Template: template,
		Ref: ref, Sensitive: m&secret != 0, Access: Access(m &^ secret),
	}
}

// dictionary is the one table, ordered by tag; its groups stand in dictionary_emv.go and dictionary_unionpay.go.
var dictionary = sortedEntries(emvEntries, unionPayEntries, parameterEntries)

var dictionaryIndex = indexEntries(dictionary)

func sortedEntries(groups ...[]Entry) []Entry {
	all := slices.Concat(groups...)
	slices.SortFunc(all, func(a, b Entry) int { return int(int64(a.Tag) - int64(b.Tag)) })
	return all
}

func indexEntries(entries []Entry) map[tlv.Tag]int {
	index := make(map[tlv.Tag]int, len(entries))
	for i, e := range entries {
		index[e.Tag] = i
	}
	return index
}

// Lookup returns the row of tag; false when the dictionary does not know it.
func Lookup(tag tlv.Tag) (Entry, bool) {
	i, known := dictionaryIndex[tag]
	if !known {
		return Entry{}, false
	}
	return dictionary[i], true
}

// Dictionary returns a copy of the table, ordered by tag.
func Dictionary() []Entry { return slices.Clone(dictionary) }

// CheckLength reports whether a value of n bytes has a length the dictionary allows for tag; true for unknown tags.
func CheckLength(tag tlv.Tag, n int) bool {
	e, known := Lookup(tag)
	return !known || n >= e.Min && n <= e.Max
}

package archtest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Where the citation keys and the clauses of our own notes are defined.
const (
	referencesPath = "docs/references.md"
	protocolPath   = "docs/protocol.md"
)

var (
	// A row of the table in docs/references.md: | `EMV B3` | …
	keyRow = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	// The number that a heading of docs/protocol.md starts with, and the vectors it names.
	headingNumber = regexp.MustCompile(`(?m)^#+ (?:Appendix )?([0-9A-Z]+(?:\.[0-9]+)*)[. ]`)
	headingVector = regexp.MustCompile(`(?m)^#+ .*$`)
	vectorName    = regexp.MustCompile(`V-[0-9]+`)
	// Anything in square brackets that begins like a standard.
	citation = regexp.MustCompile(`\[((?:EMV|EMVCo|JR/T|ISO|ISO/IEC|NIST|FIPS|RFC|GM/T|GB/T|REF|PCI|PBOC|ANSI|Q/CUP|B[1-4]|Book [A-D1-4]|X9\.[0-9]+)(?: [^\]\[]*)?)\]`)
)

// Keys are the citation keys that code may use and the clauses that REF may name.
type Keys struct {
	patterns []*regexp.Regexp
	clauses  []string
}

// ReadKeys collects the keys from docs/references.md and the clauses from docs/protocol.md.
func ReadKeys(t *Tree) (Keys, error) {
	var keys Keys
	for _, m := range keyRow.FindAllStringSubmatch(string(t.Read(referencesPath)), -1) {
		// A lone N or n in a key stands for any number: JR/T 0025.N, RFC n.
		parts := strings.Split(regexp.QuoteMeta(m[1]), " ")
		for i, part := range parts {
			if part == "n" {
				parts[i] = `[0-9.]+`
			}
			parts[i] = strings.Replace(parts[i], `\.N`, `\.[0-9]+`, 1)
		}
		pattern, err := regexp.Compile(`^` + strings.Join(parts, " ") + `(?:$| )`)
		if err != nil {
			return Keys{}, fmt.Errorf("citation key %q: %w", m[1], err)
		}
		keys.patterns = append(keys.patterns, pattern)
	}
	notes := string(t.Read(protocolPath))
	for _, m := range headingNumber.FindAllStringSubmatch(notes, -1) {
		keys.clauses = append(keys.clauses, m[1])
	}
	for _, heading := range headingVector.FindAllString(notes, -1) {
		keys.clauses = append(keys.clauses, vectorName.FindAllString(heading, -1)...)
	}
	if len(keys.patterns) == 0 {
		return Keys{}, fmt.Errorf("%s defines no citation key", referencesPath)
	}
	return keys, nil
}

// judge says what is wrong with one citation, or nothing.
func (k Keys) judge(text string) string {
	known := slices.ContainsFunc(k.patterns, func(p *regexp.Regexp) bool { return p.MatchString(text) })
	if !known && !strings.HasPrefix(text, "REF ") {
		return fmt.Sprintf("[%s] is not a key of %s", text, referencesPath)
	}
	if rest, ok := strings.CutPrefix(text, "REF "); ok || text == "REF" {
		clause, _, _ := strings.Cut(rest, " ")
		if !slices.Contains(k.clauses, strings.TrimRight(clause, ",;")) {
			return fmt.Sprintf("[%s] names no section of %s", text, protocolPath)
		}
	}
	return ""
}

// Citations checks every citation in comments and in Markdown.
func Citations(t *Tree, keys Keys) []Finding {
	var found []Finding
	check := func(path string, line int, text string) {
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			for _, one := range strings.Split(m[1], "; ") {
				if wrong := keys.judge(one); wrong != "" {
					found = append(found, Finding{Rule: "citation", Path: path, Line: line, Text: wrong})
				}
			}
		}
	}
	eachComment(t, func(file *File, line int, text string) { check(file.Path, line, text) })
	for _, file := range t.Text {
		if !isMarkdown(file) {
			continue
		}
		for i, text := range strings.Split(string(file.Text), "\n") {
			check(file.Path, i+1, inlineCode.ReplaceAllString(text, ""))
		}
	}
	return found
}

func isMarkdown(file *File) bool {
	return strings.HasSuffix(file.Path, ".md") && !inTestdata(file.Path)
}

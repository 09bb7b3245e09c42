package archtest

import (
	"path"
	"regexp"
	"strings"
)

// architecturePath is the page whose table names every package.
const architecturePath = "ARCHITECTURE.md"

var (
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)
	imageSource  = regexp.MustCompile(`(?:src|srcset|href)="([^"]+)"`)
	inlineCode   = regexp.MustCompile("`[^`]*`")
	packageRow   = regexp.MustCompile("^\\| `([a-z0-9/]+)` \\|")
)

// Links checks that relative links in Markdown lead to a file of the tree.
func Links(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Text {
		if !isMarkdown(file) {
			continue
		}
		eachProse(string(file.Text), func(line int, text string) {
			text = inlineCode.ReplaceAllString(text, "")
			targets := append(markdownLink.FindAllStringSubmatch(text, -1), imageSource.FindAllStringSubmatch(text, -1)...)
			for _, m := range targets {
				target, _, _ := strings.Cut(m[1], "#")
				if target == "" || strings.Contains(target, ":") {
					continue
				}
				if !t.Exists(path.Join(path.Dir(file.Path), target)) {
					found = append(found, Finding{Rule: "link", Path: file.Path, Line: line, Text: target + " does not exist"})
				}
			}
		})
	}
	return found
}

// eachProse visits the lines of a Markdown text outside fenced blocks.
func eachProse(text string, visit func(line int, text string)) {
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			visit(i+1, line)
		}
	}
}

// Map checks that the table in ARCHITECTURE.md names every package and nothing that is gone.
func Map(t *Tree) []Finding {
	var found []Finding
	rows := map[string]int{}
	eachProse(string(t.Read(architecturePath)), func(line int, text string) {
		if m := packageRow.FindStringSubmatch(text); m != nil {
			rows[m[1]] = line
		}
	})
	dirs := map[string]bool{}
	for _, p := range t.Packages {
		dirs[p.Dir] = true
		if _, ok := rows[p.Dir]; !ok && p.Dir != "." {
			found = append(found, Finding{Rule: "map", Path: p.Dir, Text: "package has no row in the table of " + architecturePath})
		}
	}
	for dir, line := range rows {
		if !dirs[dir] {
			found = append(found, Finding{Rule: "map", Path: architecturePath, Line: line, Text: dir + " is listed but holds no Go source"})
		}
	}
	return found
}

// conformancePath is the page that says which tests hold a clause in place.
const conformancePath = "docs/conformance.md"

var (
	testName     = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`")
	testFunction = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)\(`)
)

// Conformance checks that every test which the page names is there.
func Conformance(t *Tree) []Finding {
	known := map[string]bool{}
	for _, file := range t.Go {
		if !file.Test {
			continue
		}
		for _, m := range testFunction.FindAllSubmatch(file.Text, -1) {
			known[string(m[1])] = true
		}
	}
	var found []Finding
	eachProse(string(t.Read(conformancePath)), func(line int, text string) {
		for _, m := range testName.FindAllStringSubmatch(text, -1) {
			if !known[m[1]] {
				found = append(found, Finding{Rule: "conformance", Path: conformancePath, Line: line, Text: m[1] + " is no test; name the one that holds the clause"})
			}
		}
	})
	return found
}

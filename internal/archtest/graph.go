package archtest

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed graph.txt
var graphText string

// Edges is the import graph as graph.txt states it.
type Edges struct {
	rows    []edgeRow
	modules []moduleRow // modules that are not ours
	limited []moduleRow // standard packages that only some may import
}

type edgeRow struct {
	band, pattern string
	traits        []string
	imports       []string
}

type moduleRow struct {
	path  string
	users []string
}

// ParseEdges reads the table of graph.txt.
func ParseEdges(text string) (Edges, error) {
	var e Edges
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if fields[0] == "module" && len(fields) >= 3 {
			e.modules = append(e.modules, moduleRow{path: fields[1], users: fields[2:]})
			continue
		}
		if fields[0] == "std" && len(fields) >= 2 {
			e.limited = append(e.limited, moduleRow{path: fields[1], users: fields[2:]})
			continue
		}
		if len(fields) < 3 {
			return Edges{}, fmt.Errorf("graph line %d: want band, package, traits, imports", i+1)
		}
		row := edgeRow{band: fields[0], pattern: fields[1], traits: strings.Split(fields[2], ","), imports: fields[3:]}
		for _, trait := range row.traits {
			if !slices.Contains([]string{"pure", "io", "time", "random"}, trait) {
				return Edges{}, fmt.Errorf("graph line %d: unknown trait %q", i+1, trait)
			}
		}
		e.rows = append(e.rows, row)
	}
	return e, nil
}

// TheGraph is the committed import graph.
func TheGraph() Edges {
	e, err := ParseEdges(graphText)
	if err != nil {
		panic(err) // the table is part of this package and its test reads it
	}
	return e
}

// row finds the first line that speaks about a directory, exact names before patterns.
func (e Edges) row(dir string) (int, bool) {
	for i, row := range e.rows {
		if row.pattern == dir {
			return i, true
		}
	}
	for i, row := range e.rows {
		if matches(row.pattern, dir) {
			return i, true
		}
	}
	return 0, false
}

// matches compares a pattern of the table with a directory.
func matches(pattern, dir string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return strings.HasPrefix(dir, below+"/")
	}
	ok, err := path.Match(pattern, dir)
	return err == nil && ok
}

// trait reports whether a directory has a trait; directories that the table does not name have none.
func (e Edges) trait(dir, trait string) bool {
	i, ok := e.row(dir)
	return ok && slices.Contains(e.rows[i].traits, trait)
}

// allowed reports whether the package in dir may import the package in target.
func (e Edges) allowed(dir, target string) bool {
	from, ok := e.row(dir)
	if !ok {
		return false
	}
	to, known := e.row(target)
	for _, pattern := range e.rows[from].imports {
		switch {
		case pattern == "^":
			if known && to < from && e.rows[to].band == e.rows[from].band {
				return true
			}
		case pattern == "~":
			if parent := path.Dir(dir); target == parent || strings.HasPrefix(target, parent+"/") {
				return true
			}
		case strings.HasPrefix(pattern, "@"):
			if known && e.rows[to].band == pattern[1:] {
				return true
			}
		case matches(pattern, target):
			return true
		}
	}
	return false
}

// allowedInTest widens allowed for test files: a test may use any standard, actor or mechanism and the test helpers of other packages,
// but it must not tie a card to a kernel or one role to another, or the two could no longer be replaced one at a time.
func (e Edges) allowedInTest(dir, target string) bool {
	if target == dir || e.allowed(dir, target) {
		return true
	}
	to, ok := e.row(target)
	if !ok {
		return false
	}
	switch e.rows[to].band {
	case "standards", "mechanism", "outlet", "api":
		return true
	case "actors":
		return !(dir == "card" && target == "kernel" || dir == "kernel" && target == "card")
	default:
		return strings.HasSuffix(target, "test") || strings.HasPrefix(target, dir+"/")
	}
}

// forbiddenInPure are the standard packages that reach outside: sockets, databases, files, processes and randomness nobody passed in.
var forbiddenInPure = []string{"net", "database/sql", "os", "syscall", "crypto/rand", "math/rand", "math/rand/v2", "unsafe", "plugin"}

// Imports checks every import of the tree against the graph.
func Imports(t *Tree, e Edges) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		if _, ok := e.row(p.Dir); !ok {
			found = append(found, Finding{Rule: "imports", Path: p.Dir, Text: "package is not in internal/archtest/graph.txt"})
			continue
		}
		for _, file := range p.Files {
			for _, spec := range file.Syntax.Imports {
				target, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					continue
				}
				if text := e.judge(file, target); text != "" {
					found = append(found, Finding{Rule: "imports", Path: file.Path, Line: t.line(spec.Pos()), Text: text})
				}
				if spec.Name != nil && spec.Name.Name == "." {
					found = append(found, Finding{Rule: "imports", Path: file.Path, Line: t.line(spec.Pos()),
						Text: "dot import of " + target + " hides where names come from"})
				}
			}
		}
	}
	return found
}

// judge says what is wrong with one import, or nothing.
func (e Edges) judge(file *File, target string) string {
	dir := file.Dir()
	switch {
	case target == Module || strings.HasPrefix(target, Module+"/"):
		own := strings.TrimPrefix(strings.TrimPrefix(target, Module), "/")
		if file.Test && e.allowedInTest(dir, own) || e.allowed(dir, own) {
			return ""
		}
		return fmt.Sprintf("%s must not import %s: the arrow is not in graph.txt", dir, own)
	case strings.Contains(strings.Split(target, "/")[0], "."):
		return e.judgeModule(file, target)
	case testOnly(file):
		return ""
	}
	for _, banned := range forbiddenInPure {
		below := strings.HasPrefix(target, banned+"/") && banned != "unsafe"
		if (target == banned || below) && e.trait(dir, "pure") {
			return fmt.Sprintf("%s is pure and must not import %s: take the value, an io.Reader or a small interface instead", dir, target)
		}
	}
	for _, l := range e.limited {
		if target == l.path && !slices.ContainsFunc(l.users, func(user string) bool { return matches(user, dir) }) {
			return fmt.Sprintf("%s is not for %s: graph.txt lists who may import it", target, dir)
		}
	}
	if target == "crypto/rand" && !e.trait(dir, "random") {
		return dir + " must not import crypto/rand: take an io.Reader, so that a seed repeats the run"
	}
	return ""
}

func (e Edges) judgeModule(file *File, target string) string {
	for _, m := range e.modules {
		if target != m.path && !strings.HasPrefix(target, m.path+"/") {
			continue
		}
		for _, user := range m.users {
			if user == "test" && testOnly(file) || matches(user, file.Dir()) {
				return ""
			}
		}
		return fmt.Sprintf("%s is not for %s: graph.txt lists who may import it", m.path, file.Dir())
	}
	return target + " is not a module this project uses: each further one needs a page in docs/adr/ and a line in graph.txt"
}

// testOnly reports whether only tests compile the file: a _test.go file, or the conformance suites and fakes of a …test package.
func testOnly(file *File) bool { return file.Test || strings.HasSuffix(file.Dir(), "test") }

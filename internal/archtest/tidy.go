package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/token"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits that keep one screen of code one thought. They bind product code, not tests, whose tables may be long.
const (
	maxFunctionLines = 70
	maxFileLines     = 600
	maxLineColumns   = 160
	// A line whose longest word is this long cannot be broken: a key, a certificate.
	unbreakableWord = 100
)

// twoLanguages matches a line that holds Chinese text: a row with a sentence in two languages stays one row.
var twoLanguages = regexp.MustCompile(`\p{Han}`)

// bannedNames are package names that say nothing about what is inside.
var bannedNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "models", "types", "core", "base", "shared", "pkg"}

// Sizes checks the length of functions, files and lines.
func Sizes(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		if file.Test || file.Generated() {
			continue
		}
		lines := bytes.Count(file.Text, []byte("\n"))
		if lines > maxFileLines && !t.Exempt.covers("file-length", file.Path) {
			found = append(found, Finding{Rule: "file-length", Path: file.Path,
				Text: fmt.Sprintf("%d lines, at most %d: split it along its ideas", lines, maxFileLines)})
		}
		found = append(found, longFunctions(t, file)...)
		found = append(found, longLines(file)...)
	}
	return found
}

func longFunctions(t *Tree, file *File) []Finding {
	var found []Finding
	for _, decl := range file.Syntax.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok || f.Body == nil {
			continue
		}
		lines := t.line(f.End()) - t.line(f.Type.Func) + 1
		if lines > maxFunctionLines && !t.Exempt.covers("function-length", file.Path+":"+f.Name.Name) {
			found = append(found, Finding{Rule: "function-length", Path: file.Path, Line: t.line(f.Pos()),
				Text: fmt.Sprintf("%s has %d lines, at most %d", f.Name.Name, lines, maxFunctionLines)})
		}
	}
	return found
}

func longLines(file *File) []Finding {
	var found []Finding
	for i, line := range strings.Split(string(file.Text), "\n") {
		columns := utf8.RuneCountInString(line)
		if columns <= maxLineColumns || twoLanguages.MatchString(line) || slices.ContainsFunc(strings.Fields(line), unbreakable) {
			continue
		}
		found = append(found, Finding{Rule: "line-length", Path: file.Path, Line: i + 1,
			Text: fmt.Sprintf("%d columns, at most %d", columns, maxLineColumns)})
	}
	return found
}

func unbreakable(word string) bool { return len(word) >= unbreakableWord }

// Formatted checks that gofmt would change nothing.
func Formatted(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		want, err := format.Source(file.Text)
		if err == nil && !bytes.Equal(want, file.Text) {
			found = append(found, Finding{Rule: "gofmt", Path: file.Path, Text: "run gofmt -w on it"})
		}
	}
	return found
}

// Packages checks package comments and names.
func Packages(t *Tree) []Finding {
	var found []Finding
	dirOf := map[string]string{}
	for _, p := range t.Packages {
		if slices.Contains(bannedNames, p.Name) {
			found = append(found, Finding{Rule: "package-name", Path: p.Dir, Text: p.Name + " says nothing: name it after what it does"})
		}
		if first, taken := dirOf[p.Name]; taken && p.Name != "main" {
			found = append(found, Finding{Rule: "package-name", Path: p.Dir, Text: p.Name + " is also the name of " + first})
		}
		dirOf[p.Name] = p.Dir
		if p.hasProduct() && !documented(p) {
			found = append(found, Finding{Rule: "package-comment", Path: p.Dir,
				Text: "no package comment: say which standard it implements, what it promises and what it does not do"})
		}
	}
	return found
}

func documented(p *Package) bool {
	prefix := "Package " + p.Name
	if p.Name == "main" {
		prefix = "Command "
	}
	return slices.ContainsFunc(p.Files, func(f *File) bool {
		return !f.Test && f.Syntax.Doc != nil && strings.HasPrefix(f.Syntax.Doc.Text(), prefix)
	})
}

var (
	unfinished  = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)
	withIssue   = regexp.MustCompile(`^(TODO|FIXME|XXX)\(#[0-9]+\)`)
	skipMethods = []string{"Skip", "Skipf", "SkipNow"}
	testHandles = []string{"t", "tb", "b", "f"}
)

// Unfinished checks that whatever is left for later names its issue.
func Unfinished(t *Tree) []Finding {
	var found []Finding
	eachComment(t, func(file *File, line int, text string) {
		for _, at := range unfinished.FindAllStringIndex(text, -1) {
			if !withIssue.MatchString(text[at[0]:]) {
				found = append(found, Finding{Rule: "todo", Path: file.Path, Line: line, Text: "write it as TODO(#issue), or do it"})
			}
		}
	})
	return found
}

// eachComment calls visit for every line of every comment.
func eachComment(t *Tree, visit func(file *File, line int, text string)) {
	for _, file := range t.Go {
		for _, group := range file.Syntax.Comments {
			for _, comment := range group.List {
				for i, text := range strings.Split(comment.Text, "\n") {
					visit(file, t.line(comment.Pos())+i, text)
				}
			}
		}
	}
}

// SharedMaps checks that no package lets others write in a map of its own.
func SharedMaps(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		if file.Test {
			continue
		}
		for _, decl := range file.Syntax.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, spec := range group.Specs {
				for _, name := range exportedMaps(spec.(*ast.ValueSpec)) {
					found = append(found, Finding{Rule: "shared-map", Path: file.Path, Line: t.line(spec.Pos()),
						Text: name + " is a map anyone may change: keep it unexported behind a lookup function"})
				}
			}
		}
	}
	return found
}

func exportedMaps(spec *ast.ValueSpec) []string {
	var names []string
	for i, name := range spec.Names {
		isMap := isMapType(spec.Type)
		if i < len(spec.Values) {
			switch value := spec.Values[i].(type) {
			case *ast.CompositeLit:
				isMap = isMap || isMapType(value.Type)
			case *ast.CallExpr:
				isMap = isMap || len(value.Args) > 0 && isMapType(value.Args[0])
			}
		}
		if isMap && name.IsExported() {
			names = append(names, name.Name)
		}
	}
	return names
}

func isMapType(e ast.Expr) bool {
	_, ok := e.(*ast.MapType)
	return ok
}

// Skips checks that no test can leave itself out.
func Skips(t *Tree) []Finding {
	var found []Finding
	for _, file := range t.Go {
		ast.Inspect(file.Syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(skipMethods, sel.Sel.Name) {
				return true
			}
			if on, ok := sel.X.(*ast.Ident); ok && slices.Contains(testHandles, on.Name) {
				found = append(found, Finding{Rule: "skip", Path: file.Path, Line: t.line(sel.Pos()),
					Text: "a test that skips itself proves nothing: give it a build tag and a script that says what it left out"})
			}
			return true
		})
	}
	return found
}

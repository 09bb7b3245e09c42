package archtest

import (
	"go/ast"
	"slices"
	"strconv"
)

// clockReads are the functions of package time that look at the wall clock or wait for it.
var clockReads = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick"}

// Clock checks that only the packages with the trait "time" read the clock, so that a seed repeats a run on any day.
// Tests may read it to measure, but may not sleep, except inside a testing/synctest bubble where time is not real.
func Clock(t *Tree, e Edges) []Finding {
	var found []Finding
	for _, file := range t.Go {
		name := localName(file.Syntax, "time")
		if name == "" || e.trait(file.Dir(), "time") && !file.Test {
			continue
		}
		ast.Inspect(file.Syntax, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || !slices.Contains(clockReads, sel.Sel.Name) {
				return true
			}
			if on, ok := sel.X.(*ast.Ident); !ok || on.Name != name {
				return true
			}
			if file.Test && (sel.Sel.Name != "Sleep" || localName(file.Syntax, "testing/synctest") != "") {
				return true
			}
			text := "time." + sel.Sel.Name + " outside the packages that own time: take now as an argument or a clock.Clock"
			if file.Test {
				text = "a test that sleeps is slow or flaky: wait for the event, or use testing/synctest"
			}
			found = append(found, Finding{Rule: "clock", Path: file.Path, Line: t.line(sel.Pos()), Text: text})
			return true
		})
	}
	return found
}

// localName is the name under which a file knows an imported package, empty when it does not import it.
func localName(file *ast.File, importPath string) string {
	for _, spec := range file.Imports {
		if got, err := strconv.Unquote(spec.Path.Value); err != nil || got != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return importPath[lastSlash(importPath)+1:]
	}
	return ""
}

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}

package archtest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestTree runs every rule on the project itself.
func TestTree(t *testing.T) {
	tree, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	tree.Exempt = TheExemptions()
	keys, err := ReadKeys(tree)
	if err != nil {
		t.Fatal(err)
	}
	graph := TheGraph()
	report := func(name string, found []Finding) {
		t.Run(name, func(t *testing.T) {
			slices.SortFunc(found, func(a, b Finding) int { return strings.Compare(a.String(), b.String()) })
			for _, f := range found {
				t.Error(f)
			}
		})
	}
	report("parse", tree.Broken)
	report("imports", Imports(tree, graph))
	report("clock", Clock(tree, graph))
	report("sizes", Sizes(tree))
	report("gofmt", Formatted(tree))
	report("packages", Packages(tree))
	report("unfinished", Unfinished(tree))
	report("shared maps", SharedMaps(tree))
	report("skips", Skips(tree))
	report("citations", Citations(tree, keys))
	report("account numbers", AccountNumbers(tree))
	report("links", Links(tree))
	report("map", Map(tree))
	report("conformance", Conformance(tree))
	report("exemptions", tree.Exempt.Unused())
	if len(tree.Packages) == 0 {
		t.Error("no package found: the rules looked at nothing")
	}
}

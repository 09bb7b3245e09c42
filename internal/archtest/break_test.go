package archtest

import (
	"strings"
	"testing"
	"testing/fstest"
)

// tree builds a small source tree from path and text pairs.
func tree(t *testing.T, files ...string) *Tree {
	t.Helper()
	root := fstest.MapFS{}
	for i := 0; i+1 < len(files); i += 2 {
		root[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	loaded, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// wantFindings checks that each finding has its text, in order.
func wantFindings(t *testing.T, found []Finding, want ...string) {
	t.Helper()
	for i, f := range found {
		if i >= len(want) {
			t.Errorf("unexpected: %s", f)
		} else if !strings.Contains(f.String(), want[i]) {
			t.Errorf("finding %d is %q, want it to contain %q", i, f, want[i])
		}
	}
	for _, missing := range want[min(len(found), len(want)):] {
		t.Errorf("rule did not notice: %q", missing)
	}
}

func TestImportsBreak(t *testing.T) {
	cases := []struct{ name, path, source, want string }{
		{"ladder downwards", "emv/a.go", "package emv\nimport _ \"tapnet/tlv\"", ""},
		{"ladder upwards", "tlv/a.go", "package tlv\nimport _ \"tapnet/emv\"", "tlv must not import emv"},
		{"card to kernel", "card/a.go", "package card\nimport _ \"tapnet/kernel\"", "card must not import kernel"},
		{"kernel to card", "kernel/a.go", "package kernel\nimport _ \"tapnet/card\"", "kernel must not import card"},
		{"kernel test to card", "kernel/a_test.go", "package kernel\nimport _ \"tapnet/card\"", "kernel must not import card"},
		{"terminal test to card", "terminal/a_test.go", "package terminal\nimport _ \"tapnet/card\"", ""},
		{"standard to role", "money/a.go", "package money\nimport _ \"tapnet/internal/issuer\"", "money must not import internal/issuer"},
		{"role to role", "internal/issuer/a.go", "package issuer\nimport _ \"tapnet/internal/acquirer\"", "must not import internal/acquirer"},
		{"role test to role", "internal/issuer/a_test.go", "package issuer\nimport _ \"tapnet/internal/pos\"", "must not import internal/pos"},
		{"role to api of another", "internal/wallet/a.go", "package wallet\nimport _ \"tapnet/internal/tsp/tspapi\"", ""},
		{"role to adapter", "internal/issuer/a.go", "package issuer\nimport _ \"tapnet/internal/issuer/issuersql\"", "must not import internal/issuer/issuersql"},
		{"adapter to its role", "internal/issuer/issuersql/a.go", "package issuersql\nimport _ \"tapnet/internal/issuer\"", ""},
		{"adapter to another role", "internal/issuer/issuersql/a.go", "package issuersql\nimport _ \"tapnet/internal/pos\"", "must not import internal/pos"},
		{"role to store", "internal/issuer/a.go", "package issuer\nimport _ \"tapnet/internal/store\"", "must not import internal/store"},
		{"mechanism to role", "internal/ledger/a.go", "package ledger\nimport _ \"tapnet/internal/issuer\"", "must not import internal/issuer"},
		{"verify to role", "internal/verify/a.go", "package verify\nimport _ \"tapnet/internal/issuer\"", "must not import internal/issuer"},
		{"anything to app", "internal/issuer/a.go", "package issuer\nimport _ \"tapnet/internal/app\"", "must not import internal/app"},
		{"app to role", "internal/app/a.go", "package app\nimport _ \"tapnet/internal/issuer\"", ""},
		{"app to cmd", "internal/app/a.go", "package app\nimport _ \"tapnet/cmd/tapnet\"", "must not import cmd/tapnet"},
		{"pure to net/http", "card/a.go", "package card\nimport _ \"net/http\"", "card is pure"},
		{"pure to os", "internal/issuer/a.go", "package issuer\nimport _ \"os\"", "is pure"},
		{"pure to database/sql", "internal/ledger/a.go", "package ledger\nimport _ \"database/sql/driver\"", "is pure"},
		{"pure to math/rand", "kernel/a.go", "package kernel\nimport _ \"math/rand/v2\"", "is pure"},
		{"pure suite to math/rand", "card/cardtest/a.go", "package cardtest\nimport _ \"math/rand/v2\"", ""},
		{"pure test to os", "card/a_test.go", "package card\nimport _ \"os\"", ""},
		{"io to crypto/rand", "internal/hsm/a.go", "package hsm\nimport _ \"crypto/rand\"", "must not import crypto/rand"},
		{"app to crypto/rand", "internal/app/a.go", "package app\nimport _ \"crypto/rand\"", ""},
		{"weak cipher", "kernel/a.go", "package kernel\nimport _ \"crypto/des\"", "crypto/des is not for kernel"},
		{"weak cipher of its owner", "mac/a.go", "package mac\nimport _ \"crypto/des\"", ""},
		{"weak hash", "internal/hsm/a.go", "package hsm\nimport _ \"crypto/md5\"", "crypto/md5 is not for internal/hsm"},
		{"unlisted package", "spare/a.go", "package spare", "not in internal/archtest/graph.txt"},
		{"unknown module", "tlv/a.go", "package tlv\nimport _ \"example.org/x\"", "not a module this project uses"},
		{"module of another", "tlv/a.go", "package tlv\nimport _ \"github.com/alecthomas/kong\"", "is not for tlv"},
		{"test module in product", "tlv/a.go", "package tlv\nimport _ \"pgregory.net/rapid\"", "is not for tlv"},
		{"test module in test", "tlv/a_test.go", "package tlv\nimport _ \"pgregory.net/rapid\"", ""},
		{"test module in a suite", "internal/journal/journaltest/a.go", "package journaltest\nimport _ \"pgregory.net/rapid\"", ""},
		{"module of its owner", "cmd/tapnet/a.go", "package main\nimport _ \"github.com/alecthomas/kong\"", ""},
		{"dot import", "tlv/a.go", "package tlv\nimport . \"strings\"", "dot import of strings"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			found := Imports(tree(t, c.path, c.source), TheGraph())
			if c.want == "" {
				wantFindings(t, found)
			} else {
				wantFindings(t, found, c.want)
			}
		})
	}
}

func TestGraphTableBreak(t *testing.T) {
	for _, text := range []string{"standards tlv", "standards tlv wild", "module"} {
		if _, err := ParseEdges(text); err == nil {
			t.Errorf("table line %q was accepted", text)
		}
	}
}

func TestClockBreak(t *testing.T) {
	cases := []struct{ name, path, source, want string }{
		{"now", "internal/issuer/a.go", "package issuer\nimport \"time\"\nvar x = time.Now()", "time.Now outside"},
		{"function value", "internal/issuer/a.go", "package issuer\nimport \"time\"\nvar x = time.Now", "time.Now outside"},
		{"renamed", "internal/link/a.go", "package link\nimport stdtime \"time\"\nvar x = stdtime.Since", "time.Since outside"},
		{"timer", "internal/link/a.go", "package link\nimport \"time\"\nvar x = time.NewTimer(1)", "time.NewTimer outside"},
		{"other Now", "internal/issuer/a.go", "package issuer\nvar x = clock.Now()", ""},
		{"duration", "internal/issuer/a.go", "package issuer\nimport \"time\"\nvar x = time.Second", ""},
		{"clock", "internal/clock/a.go", "package clock\nimport \"time\"\nvar x = time.Now()", ""},
		{"app", "internal/app/a.go", "package app\nimport \"time\"\nvar x = time.Now()", ""},
		{"test measures", "tlv/a_test.go", "package tlv\nimport \"time\"\nvar x = time.Now()", ""},
		{"test sleeps", "tlv/a_test.go", "package tlv\nimport \"time\"\nfunc f() { time.Sleep(1) }", "a test that sleeps"},
		{"bubble sleeps", "tlv/a_test.go", "package tlv\nimport (\n\"testing/synctest\"\n\"time\"\n)\nfunc f() { synctest.Wait(); time.Sleep(1) }", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			found := Clock(tree(t, c.path, c.source), TheGraph())
			if c.want == "" {
				wantFindings(t, found)
			} else {
				wantFindings(t, found, c.want)
			}
		})
	}
}

func TestSizesBreak(t *testing.T) {
	long := func(lines int) string {
		return "package a\n\nfunc f() {\n" + strings.Repeat("\tf()\n", lines-2) + "}\n"
	}
	wantFindings(t, Sizes(tree(t, "a/a.go", long(maxFunctionLines))))
	wantFindings(t, Sizes(tree(t, "a/a.go", long(maxFunctionLines+1))), "f has 71 lines, at most 70")
	wantFindings(t, Sizes(tree(t, "a/a_test.go", long(maxFunctionLines+1))))

	wide := "package a\n" + strings.Repeat("\n", maxFileLines-1)
	wantFindings(t, Sizes(tree(t, "a/a.go", wide)))
	wantFindings(t, Sizes(tree(t, "a/a.go", wide+"\n")), "601 lines, at most 600")
	wantFindings(t, Sizes(tree(t, "a/a.go", "// Code generated by x. DO NOT EDIT.\n\n"+wide+"\n")))

	wantFindings(t, Sizes(tree(t, "a/a.go", "package a\n\n// "+strings.Repeat("ab ", 60)+"\n")), "a/a.go:3")
	wantFindings(t, Sizes(tree(t, "a/a.go", "package a\n\nvar key = \""+strings.Repeat("9F", 200)+"\"\n")))

	exempt, err := ParseExemptions("file-length a/a.go a table\nfunction-length a/a.go:f a table")
	if err != nil {
		t.Fatal(err)
	}
	broken := tree(t, "a/a.go", long(maxFileLines+9))
	broken.Exempt = exempt
	wantFindings(t, Sizes(broken))
	wantFindings(t, exempt.Unused())
}

func TestExemptionsBreak(t *testing.T) {
	exempt, err := ParseExemptions("# comment\n\npan 1 nobody needs it")
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, exempt.Unused(), "delete the line")
	if _, err := ParseExemptions("pan 1"); err == nil {
		t.Error("an exemption without a reason was accepted")
	}
}

func TestFormattedBreak(t *testing.T) {
	wantFindings(t, Formatted(tree(t, "a/a.go", "package a\n\nvar x = 1\n")))
	wantFindings(t, Formatted(tree(t, "a/a.go", "package a\nvar   x = 1\n")), "gofmt -w")
}

func TestPackagesBreak(t *testing.T) {
	wantFindings(t, Packages(tree(t, "a/a.go", "// Package a is here.\npackage a", "b/b_test.go", "package b")))
	wantFindings(t, Packages(tree(t, "a/a.go", "package a")), "no package comment")
	wantFindings(t, Packages(tree(t, "a/a.go", "// Something else.\npackage a")), "no package comment")
	wantFindings(t, Packages(tree(t, "cmd/x/a.go", "// Command x runs.\npackage main", "cmd/y/a.go", "// Command y runs.\npackage main")))
	wantFindings(t, Packages(tree(t, "a/util/a.go", "// Package util is bad.\npackage util")), "util says nothing")
	wantFindings(t, Packages(tree(t, "a/x/a.go", "// Package x is one.\npackage x", "b/x/a.go", "// Package x is two.\npackage x")), "also the name of a/x")
}

func TestUnfinishedBreak(t *testing.T) {
	word := "TO" + "DO"
	wantFindings(t, Unfinished(tree(t, "a/a.go", "package a\n\n// "+word+"(#12): later.\n")))
	wantFindings(t, Unfinished(tree(t, "a/a.go", "package a\n\n// "+word+": later.\n")), "a/a.go:3")
	wantFindings(t, Unfinished(tree(t, "a/a.go", "package a\n\n/* one\n"+word+"(me): later */\n")), "a/a.go:4")
}

func TestSharedMapsBreak(t *testing.T) {
	wantFindings(t, SharedMaps(tree(t, "a/a.go", "package a\nvar names = map[string]int{}")))
	wantFindings(t, SharedMaps(tree(t, "a/a.go", "package a\nvar Names = map[string]int{}")), "Names is a map")
	wantFindings(t, SharedMaps(tree(t, "a/a.go", "package a\nvar Names map[string]int")), "Names is a map")
	wantFindings(t, SharedMaps(tree(t, "a/a.go", "package a\nvar (\n\tA = 1\n\tB, Names = 2, make(map[string]int)\n)")), "Names is a map")
}

func TestSkipsBreak(t *testing.T) {
	wantFindings(t, Skips(tree(t, "a/a_test.go", "package a\nfunc TestA(t *testing.T) { t.Log() }")))
	skip := "t.Sk" + "ip"
	wantFindings(t, Skips(tree(t, "a/a_test.go", "package a\nfunc TestA(t *testing.T) { "+skip+"(1) }")), "skips itself")
	wantFindings(t, Skips(tree(t, "a/atest/a.go", "package atest\nfunc A(t testing.TB) { "+skip+"Now() }")), "skips itself")
	wantFindings(t, Skips(tree(t, "a/a.go", "package a\nfunc f(r reader) { r.Skip(1) }")))
}

func TestCitationsBreak(t *testing.T) {
	references := "| key | what |\n|---|---|\n| `EMV B3` | x |\n| `JR/T 0025.N` | x |\n| `RFC n` | x |\n| `REF n` | x |\n"
	notes := "# Notes\n\n## 2 Contactless\n\n### 2.2 Decision\n\n## Appendix B Vectors\n\n### V-1, V-2 Keys\n"
	cases := []struct{ comment, want string }{
		{"[EMV B3 10.6.2]", ""}, {"[EMV B3]", ""}, {"[JR/T 0025.12 6.3]", ""}, {"[RFC 6979 3.2]", ""}, {"[REF 2.2]", ""}, {"[REF 2]", ""},
		{"[REF B]", ""}, {"[REF V-2]", ""}, {"[EMV B3 1; REF 2.2]", ""}, {"a link to [Type.Method] and [4]byte", ""}, {"bytes [B..E)", ""},
		{"[EMV B5 1]", "not a key"}, {"[EMV B33]", "not a key"}, {"[B3 10.6.2]", "not a key"}, {"[ISO 1234]", "not a key"}, {"[JR/T 0025]", "not a key"},
		{"[PCI DSS 3]", "not a key"}, {"[RFC]", "not a key"}, {"[REF 2.9]", "names no section"}, {"[REF V-9]", "names no section"},
		{"[REF]", "not a key"}, {"[EMV B3 1; REF 9]", "names no section"}, {"[X9.99 1]", "not a key"},
	}
	for _, c := range cases {
		t.Run(c.comment, func(t *testing.T) {
			for _, holder := range [][2]string{{"a/a.go", "package a\n\n// See " + c.comment + ".\n"}, {"docs/a.md", "See " + c.comment + ".\n"}} {
				broken := tree(t, referencesPath, references, protocolPath, notes, holder[0], holder[1])
				keys, err := ReadKeys(broken)
				if err != nil {
					t.Fatal(err)
				}
				found := Citations(broken, keys)
				if c.want == "" {
					wantFindings(t, found)
				} else if len(found) == 0 || !strings.Contains(found[0].Text, c.want) {
					t.Errorf("%s: got %v, want %q", holder[0], found, c.want)
				}
			}
		})
	}
	if _, err := ReadKeys(tree(t, "a/a.go", "package a")); err == nil {
		t.Error("a tree without docs/references.md was accepted")
	}
}

func TestAccountNumbersBreak(t *testing.T) {
	real16 := "41111111" + "11111111" // the number every payment manual prints
	real13 := "42222222" + "22222"
	cases := []struct{ name, text, want string }{
		{"alone", `x := "` + real16 + `"`, "411111…1111"},
		{"thirteen", real13, "422222…2222"},
		{"track 2", real16 + "D2512101", "411111…1111"},
		{"track 2 as text", real16 + "=2512101", "411111…1111"},
		{"padded", "622200000" + "0000000012F", "622200…0012"},
		{"padded, not Luhn", "41111111" + "111111112F", ""},
		{"tag 5A", "70105A08" + real16 + "5F24", "411111…1111"},
		{"groups", "4111 1111" + " 1111 1111", "411111…1111"},
		{"dashes", "4111-1111" + "-1111-1111", "411111…1111"},
		{"not Luhn", "4111111111111112", ""},
		{"test range", "6299990000000017", ""},
		{"amount", "0000000000000000", ""},
		{"time", "2026112122000005", ""},
		{"inside hexadecimal", "9F" + real16 + "AB", ""},
		{"text in hexadecimal", "313030303030" + "3031", ""},
		{"too short", "411111111111", ""},
		{"too long", real16 + "1111", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"a/testdata/x.txt", "a/testdata/a.go", "docs/a.md", "a/a.go"} {
				text := c.text
				if path == "a/a.go" {
					text = "package a\n\n// " + c.text + "\n"
				}
				found := AccountNumbers(tree(t, path, text))
				if c.want == "" {
					wantFindings(t, found)
					continue
				}
				wantFindings(t, found, c.want)
				for _, f := range found {
					if strings.Contains(f.String(), real16) {
						t.Error("the finding prints the number it complains about")
					}
				}
			}
		})
	}
}

func TestLinksBreak(t *testing.T) {
	wantFindings(t, Links(tree(t, "docs/a.md", "[b](b.md#x) [up](../README.md) [web](https://example.org) [here](#a) `[no](x)`\n```\n[no](y)\n```\n",
		"docs/b.md", "", "README.md", "")))
	wantFindings(t, Links(tree(t, "docs/a.md", "[b](gone.md)")), "docs/a.md:1: [link] gone.md does not exist")
	wantFindings(t, Links(tree(t, "a.md", `<img src="docs/x.svg">`)), "docs/x.svg does not exist")
}

func TestMapBreak(t *testing.T) {
	table := "| package | what |\n|---|---|\n| `tlv` | x |\n"
	wantFindings(t, Map(tree(t, architecturePath, table, "tlv/a.go", "package tlv")))
	wantFindings(t, Map(tree(t, architecturePath, table, "tlv/a.go", "package tlv", "emv/a.go", "package emv")), "emv: [map] package has no row")
	wantFindings(t, Map(tree(t, architecturePath, table)), "ARCHITECTURE.md:3: [map] tlv is listed")
}

func TestConformanceBreak(t *testing.T) {
	code := []string{"tlv/a_test.go", "package tlv\n\nfunc TestTree(t *testing.T) {}\n\nfunc FuzzTree(f *testing.F) {}\n"}
	wantFindings(t, Conformance(tree(t, append(code, conformancePath, "| x | `tlv` | `TestTree`, `FuzzTree`, script `hsm` |\n")...)))
	wantFindings(t, Conformance(tree(t, append(code, conformancePath, "| x | `tlv` | `TestTree` |\n| y | `tlv` | `TestGone` |\n")...)),
		"docs/conformance.md:2: [conformance] TestGone is no test")
}

func TestLoadBreak(t *testing.T) {
	loaded := tree(t, "a/a.go", "package", "tools/go.mod", "module x", "tools/a.go", "package", "node_modules/a.go", "package")
	wantFindings(t, loaded.Broken, "a/a.go: [parse]")
}

package lang

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/glossary"
	"tapnet/money"
)

func env(pairs ...string) Getenv {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func TestChoose(t *testing.T) {
	for _, row := range []struct {
		flag string
		env  Getenv
		want glossary.Lang
	}{
		{"", env(), glossary.English},
		{"", env("LANG", "zh_CN.UTF-8"), glossary.Chinese},
		{"", env("LANG", "zh_CN.utf8"), glossary.Chinese},
		{"", env("LANG", "zh_CN.GB18030"), glossary.English}, // could not be shown
		{"", env("LANG", "zh_CN"), glossary.English},
		{"", env("LANG", "de_DE.UTF-8"), glossary.English},
		{"", env("LANG", "C"), glossary.English},
		{"", env("LC_ALL", "C.UTF-8", "LANG", "zh_CN.UTF-8"), glossary.English},
		{"", env("LC_ALL", "zh_CN.UTF-8", "LANG", "en_US.UTF-8"), glossary.Chinese},
		{"", env("LC_MESSAGES", "zh_CN", "LANG", "en_US.UTF-8"), glossary.Chinese},
		{"zh", env("LANG", "C"), glossary.Chinese}, // asked for
		{"en", env("LANG", "zh_CN.UTF-8"), glossary.English},
	} {
		got, err := Choose(row.flag, row.env)
		if err != nil || got != row.want {
			t.Errorf("Choose(%q, LANG=%q) = %v, %v; want %v", row.flag, row.env("LANG"), got, err, row.want)
		}
	}
	for _, flag := range []string{"de", "z", "英", " en"} {
		if _, err := Choose(flag, env()); err == nil {
			t.Errorf("Choose(%q) is no error", flag)
		}
	}
}

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "卡片": 4, "ＡＢ": 4, "✓ ok": 4, "e\u0301": 1, "a\u200bb": 2, "，": 2, "·": 1, "→": 1, "─": 1,
		"\x1b[32mok\x1b[0m": 2, "余额87.50元": 11, "\x1b[": 1,
	} {
		if got := Width(text); got != want {
			t.Errorf("Width(%q) = %d, want %d", text, got, want)
		}
	}
	if got := Pad("卡", 4) + "|" + PadLeft("卡", 4) + "|" + Pad("long", 2); got != "卡  |  卡|long" {
		t.Errorf("padding: %q", got)
	}
	for _, row := range []struct {
		text  string
		cells int
		want  string
	}{{"abcdef", 6, "abcdef"}, {"abcdefg", 6, "abcde…"}, {"应用交易计数器", 6, "应用…"}, {"应用", 4, "应用"}, {"x", 0, "…"}} {
		if got := Cut(row.text, row.cells, "…"); got != row.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", row.text, row.cells, got, row.want)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, row := range []struct {
		text  string
		cells int
		want  string
	}{
		{"one two three", 7, "one two|three"},
		{"one  two", 20, "one  two"},
		{"incomprehensible", 4, "incomprehensible"},
		{"终端要求输入密码。", 8, "终端要求|输入密|码。"},
		{"超过ARQC限额", 8, "超过ARQC|限额"},
		{"", 10, ""},
	} {
		lines := Wrap(row.text, row.cells)
		if got := strings.Join(lines, "|"); got != row.want {
			t.Errorf("Wrap(%q, %d) = %q, want %q", row.text, row.cells, got, row.want)
		}
	}
}

// Columns line up in cells whatever the language, so that a reader can run down them with a finger.
func TestTableAligns(t *testing.T) {
	table := Table{Indent: 1, Gap: 2, Right: []bool{false, true}}
	table.Row("lin", "299.00", "approved")
	table.Row("林女士的卡", "1,000.01", "需要输入密码，批准")
	table.Row("a̐e", "1", "")
	var columns []int
	for _, line := range table.Lines(0) {
		for _, end := range []string{"299.00", "1,000.01", " 1"} {
			if i := strings.Index(line, end); i >= 0 {
				columns = append(columns, Width(line[:i+len(end)]))
				break
			}
		}
	}
	if len(columns) != 3 || columns[0] != columns[1] || columns[1] != columns[2] {
		t.Errorf("the amounts end in columns %v:\n%v", columns, table.String())
	}
	for _, columns := range []int{45, 50, 80} {
		for _, line := range table.Lines(columns) {
			if Width(line) > columns {
				t.Errorf("%d columns: %q has %d", columns, line, Width(line))
			}
		}
	}
}

func TestScreen(t *testing.T) {
	plain := Screen{ASCII: true, Columns: 30}
	if got := plain.Fold("✓ a · b → c ☃ “d” 299.00…"); got != `ok a - b -> c ? "d" 299.00...` {
		t.Errorf("folded: %q", got)
	}
	if got := plain.Section("Taps"); got != "-- Taps "+strings.Repeat("-", 22) {
		t.Errorf("section: %q", got)
	}
	colour := Screen{Colour: true, Columns: 20, Lang: glossary.Chinese}
	if got := colour.Section("账目"); Width(got) != 20 {
		t.Errorf("section of %d cells: %q", Width(got), got)
	}
	if plain.Mark(true) == plain.Mark(false) || strings.Contains(plain.Mark(true), "\x1b") || !strings.Contains(colour.Mark(false), "\x1b") {
		t.Error("marks")
	}
}

func TestNumbers(t *testing.T) {
	amount := money.New(123456789, money.CNY)
	if en, zh := Amount(glossary.English, amount), Amount(glossary.Chinese, amount); en != "1,234,567.89 CNY" || zh != "1,234,567.89元" {
		t.Errorf("amounts: %q, %q", en, zh)
	}
	if got := Decimal(money.New(-99999, money.CNY)) + Int(-1234567) + Int(0) + Int(999); got != "-999.99-1,234,5670999" {
		t.Errorf("numbers: %q", got)
	}
	for d, want := range map[time.Duration]string{
		0: "0 µs", 99 * time.Microsecond: "99 µs", 2900 * time.Microsecond: "2.9 ms", 31 * time.Millisecond: "31 ms",
		310 * time.Millisecond: "0.3 s", 12 * time.Second: "12 s",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	inner := glossary.Term{EN: "hash", ZH: "哈希"}
	got := Fill(glossary.Term{EN: "wrong %s at %d", ZH: "%s错误，位置%d"}, inner, 3)
	if got != (glossary.Term{EN: "wrong hash at 3", ZH: "哈希错误，位置3"}) {
		t.Errorf("filled: %+v", got)
	}
	if got := Verbatim("100%"); got.EN != "100%" || got.ZH != "100%" {
		t.Errorf("verbatim: %+v", got)
	}
}

var verb = regexp.MustCompile(`%(?:\[\d+\])?[a-z%]`)

// Every text of the package exists in both languages, takes the same arguments and holds nothing a reader would stumble over.
func TestTermsAreComplete(t *testing.T) {
	terms := 0
	eachTerm(t, func(where, en, zh string) {
		terms++
		if en == "" || zh == "" {
			t.Errorf("%s: a language is missing", where)
		}
		if a, b := verbs(en), verbs(zh); !slices.Equal(a, b) {
			t.Errorf("%s: verbs differ: %v and %v", where, a, b)
		}
		for _, r := range en {
			if Width(string(r)) == 2 {
				t.Errorf("%s: wide character %c in the English text", where, r)
			}
		}
	})
	if terms < 100 {
		t.Errorf("only %d terms found", terms)
	}
}

// verbs are what a text takes, sorted when one of them says by its index which argument it is.
func verbs(text string) []string {
	found := verb.FindAllString(text, -1)
	for i := range found {
		found[i] = found[i][len(found[i])-1:]
	}
	if strings.Contains(text, "%[") {
		slices.Sort(found)
	}
	return found
}

func eachTerm(t *testing.T, visit func(where, en, zh string)) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	set := token.NewFileSet()
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.CompositeLit); ok && isTerm(literal.Type) {
				en, zh := text(literal, "EN"), text(literal, "ZH")
				if en != "\x00" {
					visit(fmt.Sprint(set.Position(literal.Pos())), en, zh)
				}
			}
			return true
		})
	}
}

func isTerm(e ast.Expr) bool {
	sel, ok := e.(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "Term"
}

// text is the string of a field of a literal, "\x00" when it is not a constant.
func text(literal *ast.CompositeLit, field string) string {
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok || pair.Key.(*ast.Ident).Name != field {
			continue
		}
		basic, ok := pair.Value.(*ast.BasicLit)
		if !ok {
			return "\x00"
		}
		s, _ := strconv.Unquote(basic.Value)
		return s
	}
	return ""
}

func TestHelpKeysAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range Help() {
		if seen[h.Key] || h.Key == "" {
			t.Errorf("key %q", h.Key)
		}
		seen[h.Key] = true
	}
	for command := range examples {
		for _, example := range Examples(command) {
			if !strings.HasPrefix(example.Line, "tapnet ") || Width(example.Line) > DefaultColumns-4 {
				t.Errorf("example %q", example.Line)
			}
		}
	}
}

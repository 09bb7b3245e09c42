package card

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"tapnet/apdu"
)

// The tests of this package are watched: every handler of the command set notes in which phase and on which side it was called, and with
// which status word it answered. TestMain then holds the notes against the table of commands and against the status words that the
// code of each handler mentions, so that a status word or a transition without a test is a failure.

type note struct {
	handler int
	phase   phase
	side    Interface
	sw      apdu.SW
}

var notes = struct {
	sync.Mutex
	seen map[note]bool
}{seen: map[note]bool{}}

func init() {
	for i := range handlers {
		run := handlers[i].run
		handlers[i].run = func(c *Card, cmd apdu.Command) (apdu.Response, error) {
			n := note{handler: i, phase: c.phase, side: c.powered}
			r, err := run(c, cmd)
			if n.sw = r.SW; err == nil {
				notes.Lock()
				notes.seen[n] = true
				notes.Unlock()
			}
			return r, err
		}
	}
}

// unreachable are status words that the code of a handler mentions and that it cannot answer, each with the reason.
var unreachable = map[string]string{
	"UPDATE CAPP DATA CACHE TooManyPreauthorizations": "GET PROCESSING OPTIONS has refused the fourth pre-authorisation already",
}

func TestMain(m *testing.M) {
	code := m.Run()
	all := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.fuzz").Value.String() == "" && flag.Lookup("test.list").Value.String() == "" &&
		flag.Lookup("test.skip").Value.String() == "" && flag.Lookup("test.fuzzworker").Value.String() == "false"
	if code == 0 && all {
		missing, err := untested()
		if err != nil {
			fmt.Println("command set:", err)
			code = 1
		}
		for _, line := range missing {
			fmt.Println("no test:", line)
			code = 1
		}
	}
	os.Exit(code)
}

// untested lists what the table and the code have and no test has seen.
func untested() (missing []string, err error) {
	code, err := readCode(".")
	if err != nil {
		return nil, err
	}
	if len(code.handlers) != len(handlers) {
		return nil, fmt.Errorf("%d handlers in the source, %d in the table", len(code.handlers), len(handlers))
	}
	used := map[string]bool{}
	for i, name := range code.handlers {
		command := apdu.InstructionName(handlers[i].instruction).EN
		words := code.words(name)
		if len(words) < 2 {
			return nil, fmt.Errorf("%s: the source of %s mentions %d status words", command, name, len(words))
		}
		for _, word := range words {
			row := command + " " + word
			if _, known := unreachable[row]; known {
				used[row] = true
				continue
			}
			if !seen(func(n note) bool { return n.handler == i && match(code.values[word], n.sw) }) {
				missing = append(missing, fmt.Sprintf("%s answers %s (%04X)", command, word, uint16(code.values[word])))
			}
		}
		for p := phase(1); p <= phaseCompleted; p <<= 1 {
			for _, side := range []Interface{Contact, Contactless} {
				if handlers[i].phases&p == 0 || handlers[i].interfaces&side == 0 || p == phaseInitiated && side == Contact {
					continue // on contact the phase of a contactless payment is passed through, and left with the same command
				}
				if !seen(func(n note) bool { return n.handler == i && n.phase == p && n.side == side }) {
					missing = append(missing, fmt.Sprintf("%s in phase %d on side %d", command, p, side))
				}
			}
		}
	}
	for row, why := range unreachable {
		if !used[row] || why == "" {
			missing = append(missing, "the exception "+row+" is not one")
		}
	}
	return missing, nil
}

func seen(is func(note) bool) bool {
	for n := range notes.seen {
		if is(n) {
			return true
		}
	}
	return false
}

// match: 63Cx counts tries.
func match(want, got apdu.SW) bool {
	if want == apdu.WrongPIN(0) {
		_, wrong := got.TriesLeft()
		return wrong
	}
	return want == got
}

// code is what the source of this package says: the handlers in order, and what each function and table mentions.
type code struct {
	handlers []string
	mentions map[string]map[string]bool // by function or table: names of functions, tables and status words
	values   map[string]apdu.SW
}

func readCode(dir string) (*code, error) {
	c := &code{mentions: map[string]map[string]bool{}, values: map[string]apdu.SW{"noDiagnosis": noDiagnosis, "WrongPIN": apdu.WrongPIN(0)}}
	if err := c.readWords(filepath.Join(dir, "..", "apdu", "status.go")); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			c.read(d)
		}
	}
	return c, nil
}

// readWords takes the status words out of their declaration.
func (c *code) readWords(path string) error {
	parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || len(spec.Names) != 1 {
			return true
		}
		if typed, ok := spec.Type.(*ast.Ident); ok && typed.Name == "SW" {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				sw, err := strconv.ParseUint(value.Value, 0, 16)
				if err == nil {
					c.values[spec.Names[0].Name] = apdu.SW(sw)
				}
			}
		}
		return true
	})
	return nil
}

func (c *code) read(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			c.note("."+d.Name.Name, d.Body)
		} else {
			c.note(d.Name.Name, d.Body)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			spec, ok := s.(*ast.ValueSpec)
			if !ok || d.Tok != token.VAR || len(spec.Values) != 1 {
				continue
			}
			if name := spec.Names[0].Name; name != "handlers" {
				c.note(name, spec.Values[0])
				continue
			}
			for _, row := range spec.Values[0].(*ast.CompositeLit).Elts {
				cells := row.(*ast.CompositeLit).Elts
				c.handlers = append(c.handlers, "."+cells[len(cells)-1].(*ast.SelectorExpr).Sel.Name)
			}
		}
	}
}

// note collects every name in a node, methods and fields with a dot in front. Too many is no harm: what is no function, table or status
// word leads nowhere.
func (c *code) note(name string, n ast.Node) {
	if c.mentions[name] == nil {
		c.mentions[name] = map[string]bool{}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && of.Name == "apdu" {
				c.mentions[name][n.Sel.Name] = true
				return false
			}
			c.mentions[name]["."+n.Sel.Name] = true
			ast.Inspect(n.X, func(n ast.Node) bool {
				if ident, ok := n.(*ast.Ident); ok {
					c.mentions[name][ident.Name] = true
				}
				return true
			})
			_, plain := n.X.(*ast.Ident)
			return !plain
		case *ast.Ident:
			c.mentions[name][n.Name] = true
		}
		return true
	})
}

// words are the status words in everything that a handler leads to.
func (c *code) words(handler string) []string {
	found, visited, queue := map[string]bool{}, map[string]bool{}, []string{handler}
	for len(queue) > 0 {
		name := queue[0]
		queue = queue[1:]
		if visited[name] {
			continue
		}
		visited[name] = true
		if _, word := c.values[name]; word {
			found[name] = true
			continue
		}
		for mentioned := range c.mentions[name] {
			queue = append(queue, mentioned)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

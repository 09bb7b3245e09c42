package hce_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"go/types"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// The binding generators for Java and Objective-C take few types, and leave out what they cannot take with a comment in the generated code:
// nobody notices before the application does not compile. So the exported functions are walked here. Beyond what the generator demands:
// no result carries bytes, because a returned slice can abort the process on some devices; the caller's buffer receives them.

// binder looks at one package.
type binder struct {
	fset  *gotoken.FileSet
	pkg   *types.Package
	found []string
}

func (b *binder) fault(at gotoken.Pos, text string, values ...any) {
	b.found = append(b.found, fmt.Sprintf("%s: %s", b.fset.Position(at), fmt.Sprintf(text, values...)))
}

// load type-checks the package's own files. Imports are not resolved: a type of another package must not be in the exported API anyway, and
// stands there as invalid.
func load(sources map[string]string) (*binder, error) {
	b := &binder{fset: gotoken.NewFileSet()}
	var files []*ast.File
	for name, text := range sources {
		file, err := parser.ParseFile(b.fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Error: func(error) {}, Importer: nobody{}, IgnoreFuncBodies: true}
	b.pkg, _ = config.Check("hce", b.fset, files, nil) // errors of imports are expected
	return b, nil
}

type nobody struct{}

func (nobody) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("%s is not resolved", path)
}

// walk looks at everything exported.
func (b *binder) walk() []string {
	scope := b.pkg.Scope()
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Const:
			if !b.basic(o.Type()) {
				b.fault(o.Pos(), "constant %s has a type that cannot be bound: %v", name, o.Type())
			}
		case *types.Var:
			b.fault(o.Pos(), "variable %s: a variable can be changed from outside", name)
		case *types.Func:
			b.signature(o, o.Signature())
		case *types.TypeName:
			b.typeName(o)
		}
	}
	return b.found
}

func (b *binder) typeName(o *types.TypeName) {
	named, ok := o.Type().(*types.Named)
	if !ok || named.TypeParams().Len() > 0 || o.IsAlias() {
		b.fault(o.Pos(), "type %s is an alias or generic", o.Name())
		return
	}
	for m := range named.Methods() {
		// fmt.State is for Go alone: the generator leaves Format out, and that is wanted.
		if m.Exported() && m.Name() != "Format" {
			b.signature(m, m.Signature())
		}
	}
	switch under := named.Underlying().(type) {
	case *types.Struct:
		for field := range under.Fields() {
			if field.Exported() && !b.parameter(field.Type()) {
				b.fault(field.Pos(), "field %s.%s has a type that cannot be bound: %v", o.Name(), field.Name(), field.Type())
			}
		}
	case *types.Interface:
		if under.NumEmbeddeds() > 0 {
			b.fault(o.Pos(), "interface %s embeds another", o.Name())
		}
		for m := range under.ExplicitMethods() {
			b.signature(m, m.Signature())
		}
	default:
		b.fault(o.Pos(), "type %s is neither a struct nor an interface", o.Name())
	}
}

func (b *binder) signature(o types.Object, s *types.Signature) {
	if s.Variadic() {
		b.fault(o.Pos(), "%s is variadic", o.Name())
	}
	for p := range s.Params().Variables() {
		if !b.parameter(p.Type()) {
			b.fault(p.Pos(), "%s: parameter %s has a type that cannot be bound: %v", o.Name(), p.Name(), p.Type())
		}
	}
	results := s.Results()
	if results.Len() > 2 {
		b.fault(o.Pos(), "%s has %d results, at most 2", o.Name(), results.Len())
	}
	for i := range results.Len() {
		t := results.At(i).Type()
		isError := types.Identical(t, types.Universe.Lookup("error").Type())
		switch {
		case i == 1 && !isError:
			b.fault(o.Pos(), "%s: the second result is %v, not error", o.Name(), t)
		case isBytes(t):
			b.fault(o.Pos(), "%s returns bytes: fill the caller's buffer", o.Name())
		case !isError && !b.parameter(t):
			b.fault(o.Pos(), "%s: result %v cannot be bound", o.Name(), t)
		}
	}
}

// parameter reports what can be passed: basic types, bytes, pointers to structs and interfaces of the package itself.
func (b *binder) parameter(t types.Type) bool {
	if b.basic(t) || isBytes(t) {
		return true
	}
	pointer, isPointer := t.(*types.Pointer)
	if isPointer {
		t = pointer.Elem()
	}
	named, ok := t.(*types.Named)
	if !ok || named.Obj().Pkg() != b.pkg || !named.Obj().Exported() {
		return false
	}
	switch named.Underlying().(type) {
	case *types.Struct:
		return isPointer
	case *types.Interface:
		return !isPointer
	}
	return false
}

// basic reports the types that have a counterpart everywhere. Unsigned numbers have none in Java.
func (b *binder) basic(t types.Type) bool {
	basic, ok := t.(*types.Basic)
	if !ok {
		return false
	}
	switch basic.Kind() {
	case types.Bool, types.Int, types.Int8, types.Int16, types.Int32, types.Int64, types.Float32, types.Float64, types.String,
		types.UntypedBool, types.UntypedInt, types.UntypedFloat, types.UntypedString, types.UntypedRune:
		return true
	}
	return false
}

func isBytes(t types.Type) bool {
	slice, ok := t.(*types.Slice)
	if !ok {
		return false
	}
	basic, ok := slice.Elem().(*types.Basic)
	return ok && basic.Kind() == types.Byte
}

// TestBindable walks this package.
func TestBindable(t *testing.T) {
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]string)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sources[name] = string(text)
	}
	b, err := load(sources)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range b.walk() {
		t.Error(fault)
	}
	// A walk that saw nothing finds nothing.
	engine, ok := b.pkg.Scope().Lookup("Engine").(*types.TypeName)
	if !ok {
		t.Fatal("there is no Engine")
	}
	seen := make(map[string]bool)
	for m := range engine.Type().(*types.Named).Methods() {
		seen[m.Name()] = true
	}
	for _, want := range []string{"Arm", "ProcessInto", "Deactivated", "StatusJSON", "Replenish", "AddToken", "RemoveToken", "SetDefault", "Pick"} {
		if !seen[want] {
			t.Errorf("Engine has no %s", want)
		}
	}
}

// TestBindableFindsFaults: each rule has something that breaks it.
func TestBindableFindsFaults(t *testing.T) {
	for name, text := range map[string]string{
		"bytes returned":       "func F() []byte { return nil }",
		"bytes and error":      "func F() ([]byte, error) { return nil, nil }",
		"unsigned":             "func F(x uint32) {}",
		"unsigned 64":          "type T struct{}\nfunc (t *T) F() uint64 { return 0 }",
		"slice of strings":     "func F(x []string) {}",
		"map":                  "func F(x map[string]string) {}",
		"array":                "func F(x [8]byte) {}",
		"function":             "func F(x func()) {}",
		"channel":              "func F(x chan int) {}",
		"three results":        "func F() (int, int, error) { return 0, 0, nil }",
		"second result":        "func F() (int, int) { return 0, 0 }",
		"variadic":             "func F(x ...int) {}",
		"struct by value":      "type T struct{}\nfunc F(x T) {}",
		"foreign type":         "import \"time\"\nfunc F(x time.Duration) {}",
		"foreign interface":    "import \"io\"\nfunc F(x io.Reader) {}",
		"empty interface":      "func F(x any) {}",
		"unexported type":      "type t struct{}\nfunc F(x *t) {}",
		"exported variable":    "var V int32",
		"exported field":       "type T struct{ X []string }",
		"callback's result":    "type I interface{ F() []byte }",
		"callback's parameter": "type I interface{ F(x uint64) }",
		"embedded interface":   "type J interface{ F() }\ntype I interface{ J }",
		"type of a number":     "type T int32",
		"generic":              "type T[X any] struct{}",
		"alias":                "type T = string",
		"constant of a type":   "import \"time\"\nconst C = time.Second",
		"pointer to interface": "type I interface{ F() }\nfunc F(x *I) {}",
	} {
		b, err := load(map[string]string{"x.go": "package hce\n" + text})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(b.walk()) == 0 {
			t.Errorf("%s is not found", name)
		}
	}
	b, err := load(map[string]string{"x.go": "package hce\ntype T struct{}\ntype I interface{ F(b []byte, out *T) int32 }\n" +
		"func New(i I, s string) (*T, error) { return nil, nil }\nfunc (t *T) Into(a, b []byte, n int64) int32 { return 0 }\nconst C int32 = 1"})
	if err != nil {
		t.Fatal(err)
	}
	if found := b.walk(); len(found) != 0 {
		t.Errorf("what can be bound is refused: %v", found)
	}
}

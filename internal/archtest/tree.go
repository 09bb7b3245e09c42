package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Module is the module path that marks an import as one of our own.
const Module = "tapnet"

// maxFileBytes bounds what is read of one file: nothing a person wrote is larger, and larger files are data.
const maxFileBytes = 4 << 20

// Finding is one broken rule at one place.
type Finding struct {
	Rule string // short name of the rule, for example "imports"
	Path string // slash-separated, relative to the root of the tree
	Line int    // 0 when the finding is about the whole file or directory
	Text string // what is wrong and what to do
}

// String prints a finding the way compilers do, so that editors jump to it.
func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: [%s] %s", f.Path, f.Rule, f.Text)
	}
	return fmt.Sprintf("%s:%d: [%s] %s", f.Path, f.Line, f.Rule, f.Text)
}

// File is one file of the tree. Syntax is nil unless it is Go source that parses.
type File struct {
	Path   string
	Text   []byte
	Syntax *ast.File
	Test   bool // ends in _test.go
}

// Dir is the slash-separated directory of the file, "." at the root.
func (f *File) Dir() string { return path.Dir(f.Path) }

// Generated reports whether a tool wrote the file.
func (f *File) Generated() bool {
	return f.Syntax != nil && ast.IsGenerated(f.Syntax)
}

// Package is a directory that holds Go source.
type Package struct {
	Dir   string
	Name  string // name in the package clause, without a _test suffix
	Files []*File
}

// Tree is the part of a source tree that the rules look at.
type Tree struct {
	Fset     *token.FileSet
	Go       []*File // Go source outside testdata, tests included
	Text     []*File // Markdown, scripts and everything in testdata, Go source there included
	Packages []*Package
	Broken   []Finding // files that do not parse
	Exempt   Exemptions

	root fs.FS
}

// skippedDirs are never ours to check: history, installed packages, built pages, caches.
var skippedDirs = []string{".git", "node_modules", "dist", ".cache", "bin", "vendor"}

// Load reads the tree below root.
func Load(root fs.FS) (*Tree, error) {
	t := &Tree{Fset: token.NewFileSet(), root: root}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (slices.Contains(skippedDirs, entry.Name()) || t.otherModule(name)) {
				return fs.SkipDir
			}
			return nil
		}
		return t.add(name, entry)
	})
	if err != nil {
		return nil, fmt.Errorf("read source tree: %w", err)
	}
	t.group()
	return t, nil
}

// otherModule reports whether dir is a module of its own, such as tools, and so has its own rules.
func (t *Tree) otherModule(dir string) bool {
	_, err := fs.Stat(t.root, path.Join(dir, "go.mod"))
	return err == nil
}

func (t *Tree) add(name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	if !entry.Type().IsRegular() || info.Size() > maxFileBytes {
		return nil
	}
	text, err := fs.ReadFile(t.root, name)
	if err != nil {
		return err
	}
	file := &File{Path: name, Text: text, Test: strings.HasSuffix(name, "_test.go")}
	if strings.HasSuffix(name, ".go") && !inTestdata(name) {
		t.parse(file)
		return nil
	}
	if !bytes.ContainsRune(text, 0) {
		t.Text = append(t.Text, file)
	}
	return nil
}

func (t *Tree) parse(file *File) {
	syntax, err := parser.ParseFile(t.Fset, file.Path, file.Text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Broken = append(t.Broken, Finding{Rule: "parse", Path: file.Path, Text: err.Error()})
		return
	}
	file.Syntax = syntax
	t.Go = append(t.Go, file)
}

func (t *Tree) group() {
	byDir := map[string]*Package{}
	for _, file := range t.Go {
		name := strings.TrimSuffix(file.Syntax.Name.Name, "_test")
		p := byDir[file.Dir()]
		if p == nil {
			p = &Package{Dir: file.Dir(), Name: name}
			byDir[file.Dir()] = p
			t.Packages = append(t.Packages, p)
		}
		p.Files = append(p.Files, file)
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Dir, b.Dir) })
}

// Exists reports whether a path of the tree names a file or directory.
func (t *Tree) Exists(name string) bool {
	_, err := fs.Stat(t.root, path.Clean(name))
	return err == nil
}

// Read returns the text of one file, nil when it is absent.
func (t *Tree) Read(name string) []byte {
	text, err := fs.ReadFile(t.root, name)
	if err != nil {
		return nil
	}
	return text
}

func (t *Tree) line(pos token.Pos) int { return t.Fset.Position(pos).Line }

func inTestdata(name string) bool {
	return strings.HasPrefix(name, "testdata/") || strings.Contains(name, "/testdata/")
}

// hasProduct reports whether the package holds more than tests.
func (p *Package) hasProduct() bool {
	return slices.ContainsFunc(p.Files, func(f *File) bool { return !f.Test })
}

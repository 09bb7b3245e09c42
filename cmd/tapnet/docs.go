package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapnet/internal/lang"
)

type docsCommand struct {
	Check bool   `help:"${docs_check}"`
	Dir   string `placeholder:"DIR" default:"." help:"${docs_dir}"`
}

// generatedDir is where the documents lie in the source tree.
const generatedDir = "docs/generated"

type docsReport struct {
	Current bool     `json:"current"`
	Files   []string `json:"files"`
	Stale   []string `json:"stale"`
}

// Run writes the documents, or compares them with what is there.
func (c docsCommand) Run(s *session) error {
	root, err := sourceTree(c.Dir)
	if err != nil {
		return err
	}
	documents, err := generate(root)
	if err != nil {
		return err
	}
	dir := filepath.Join(root, filepath.FromSlash(generatedDir))
	stale, err := staleDocuments(dir, documents)
	if err != nil {
		return err
	}
	report := docsReport{Current: len(stale) == 0, Stale: append([]string{}, stale...)}
	for _, d := range documents {
		report.Files = append(report.Files, generatedDir+"/"+d.name)
	}
	if !c.Check {
		if err := writeDocuments(dir, documents, stale); err != nil {
			return err
		}
		report.Current = true
	} else if len(stale) > 0 {
		s.code = exitNo
	}
	return s.reportDocs(c, report)
}

func (s *session) reportDocs(c docsCommand, report docsReport) error {
	switch {
	case s.json:
		return s.printJSON(s.out, report)
	case c.Check && !report.Current:
		s.explain(s.out, &problem{what: lang.Fill(lang.DocsStale, strings.Join(report.Stale, ", ")), why: lang.DocsWhy, next: lang.DocsNext})
	case c.Check || len(report.Stale) == 0:
		s.say(lang.DocsCurrent, len(report.Files))
	default:
		s.say(lang.DocsWritten, strings.Join(report.Stale, ", "))
	}
	return nil
}

// sourceTree is the directory, or the nearest one above it, that holds the module.
func sourceTree(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the source tree: %w", err)
	}
	for at := start; ; at = filepath.Dir(at) {
		text, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module tapnet\n")) {
			return at, nil
		}
		if filepath.Dir(at) == at {
			return "", &problem{code: exitEnvironment, what: lang.Fill(lang.DocsNoTree, dir), why: lang.DocsNoMod, next: lang.DocsGoThere}
		}
	}
}

// staleDocuments are the names of documents that are missing, differ, or should not be there.
func staleDocuments(dir string, documents []document) ([]string, error) {
	var stale []string
	for _, d := range documents {
		text, err := os.ReadFile(filepath.Join(dir, d.name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			stale = append(stale, d.name)
		case err != nil:
			return nil, unreadable(filepath.Join(dir, d.name), err)
		case !bytes.Equal(text, d.text):
			stale = append(stale, d.name)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(dir, err)
	}
	for _, entry := range entries {
		if !slices.ContainsFunc(documents, func(d document) bool { return d.name == entry.Name() }) {
			stale = append(stale, entry.Name())
		}
	}
	return stale, nil
}

// writeDocuments writes what is stale. A file that no longer belongs there is removed.
func writeDocuments(dir string, documents []document, stale []string) error {
	unwritable := func(name string, err error) error {
		return &problem{
			code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, name),
			why: reason(err), next: lang.Fill(lang.CheckPath, name), err: err,
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return unwritable(dir, err)
	}
	for _, name := range stale {
		path := filepath.Join(dir, name)
		i := slices.IndexFunc(documents, func(d document) bool { return d.name == name })
		if i < 0 {
			if err := os.Remove(path); err != nil {
				return unwritable(path, err)
			}
			continue
		}
		if err := os.WriteFile(path, documents[i].text, 0o644); err != nil {
			return unwritable(path, err)
		}
	}
	return nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

// readInput reads a file, or standard input for "-", up to a limit.
func (s *session) readInput(name string, limit int) ([]byte, error) {
	if name == "-" {
		text, err := io.ReadAll(io.LimitReader(s.in, int64(limit)+1))
		if err != nil {
			return nil, &problem{code: exitEnvironment, what: lang.InputUnreadable, why: reason(err), err: err}
		}
		if len(text) > limit {
			return nil, &problem{code: exitUsage, what: lang.InputTooLong, why: lang.Fill(lang.LimitBytes, limit)}
		}
		return text, nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, unreadable(name, err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, unreadable(name, err)
	}
	if len(text) > limit {
		return nil, &problem{code: exitUsage, what: lang.Fill(lang.FileTooLong, name), why: lang.Fill(lang.LimitBytes, limit)}
	}
	return text, nil
}

func unreadable(name string, err error) error {
	return &problem{
		code: exitEnvironment, what: lang.Fill(lang.FileUnreadable, name),
		why: reason(err), next: lang.Fill(lang.CheckPath, name), err: err,
	}
}

// reason is the cause of a file error without the path, which has been said.
func reason(err error) glossary.Term {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lang.ReasonMissing
	case errors.Is(err, fs.ErrPermission):
		return lang.ReasonPermission
	}
	return lang.Verbatim(fmt.Sprint(err))
}

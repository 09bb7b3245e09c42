//go:build !unix

package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Lock makes this process the only one to run a network on a data directory. After a crash the file must be removed by hand: this system has no lock that
// ends with the process in the standard library.
func Lock(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, lockFile)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s (if none runs, remove %s)", ErrInUse, dir, path)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	return func() error { return errors.Join(file.Close(), os.Remove(path)) }, nil
}

// syncDirectory has nothing to do: names are durable with their files here.
func syncDirectory(string) error { return nil }

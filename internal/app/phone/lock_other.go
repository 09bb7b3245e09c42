//go:build !unix

package phone

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// lock makes this process the only one to use a phone. A process that was killed leaves the file behind: delete it.
func lock(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, privateMode)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("lock the phone: %w", err)
	}
	return func() error { return errors.Join(file.Close(), os.Remove(path)) }, nil
}

// syncDirectory does nothing: the system orders renames itself.
func syncDirectory(string) error { return nil }

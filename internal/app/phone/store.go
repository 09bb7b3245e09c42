package phone

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// files is a directory of records. A record is replaced by renaming, after what is renamed is on the disk.
type files struct {
	dir      string
	unsynced bool // nobody waits for the disk
}

const (
	recordSuffix = ".record"
	privateMode  = 0o600
)

func (f files) path(key string) string {
	return filepath.Join(f.dir, hex.EncodeToString([]byte(key))+recordSuffix)
}

// Put implements soft.Store.
func (f files) Put(key string, value []byte) error {
	path := f.path(key)
	if len(value) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete record: %w", err)
		}
		return f.sync()
	}
	if err := f.write(path+".new", value); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("replace record: %w", err)
	}
	return f.sync()
}

// sync waits until the directory is on the disk.
func (f files) sync() error {
	if f.unsynced {
		return nil
	}
	return syncDirectory(f.dir)
}

func (f files) write(path string, value []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, privateMode)
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if _, err = file.Write(value); err == nil && !f.unsynced {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// Get implements soft.Store.
func (f files) Get(key string) ([]byte, bool, error) {
	value, err := os.ReadFile(f.path(key))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("read record: %w", err)
	}
	return value, true, nil
}

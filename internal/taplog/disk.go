package taplog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Disk is one directory as a log needs it: what a simulated disk can stand in for. Names have no path.
type Disk interface {
	Names() ([]string, error)
	Read(name string) ([]byte, error)
	// Create makes an empty file, in place of one that was there.
	Create(name string) (File, error)
	// Rename puts a file in the place of another, whole.
	Rename(from, to string) error
	Remove(name string) error
	// Sync makes names durable.
	Sync() error
}

// File is one file that grows.
type File interface {
	io.Writer
	// Sync makes what was written durable.
	Sync() error
	Close() error
}

// Dir is a directory of the operating system as a Disk. It is made when it is not there.
func Dir(path string) (Disk, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of a tap log: %w", err)
	}
	return dir(path), nil
}

type dir string

func (d dir) at(name string) string { return filepath.Join(string(d), name) }

func (d dir) Names() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

func (d dir) Read(name string) ([]byte, error) { return os.ReadFile(d.at(name)) }

func (d dir) Create(name string) (File, error) {
	return os.OpenFile(d.at(name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (d dir) Rename(from, to string) error { return os.Rename(d.at(from), d.at(to)) }

func (d dir) Remove(name string) error { return os.Remove(d.at(name)) }

func (d dir) Sync() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// temporary is what a file is called before it is whole.
const temporary = ".new"

// replace writes a file in one durable step, and leaves it open to grow when grow says so.
func replace(disk Disk, name string, content []byte, grow bool) (File, error) {
	f, err := disk.Create(name + temporary)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", name, err)
	}
	if _, err := f.Write(content); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, errors.Join(err, f.Close()))
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("write %s: %w", name, errors.Join(err, f.Close()))
	}
	if !grow {
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("close %s: %w", name, err)
		}
	}
	if err := errors.Join(disk.Rename(name+temporary, name), disk.Sync()); err != nil {
		if grow {
			err = errors.Join(err, f.Close())
		}
		return nil, fmt.Errorf("put %s in place: %w", name, err)
	}
	return f, nil
}

// Replace writes a whole file so that after a loss of power it is the old one or the new one.
func Replace(disk Disk, name string, content []byte) error {
	_, err := replace(disk, name, content, false)
	return err
}

package celllog

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"pgregory.net/rapid"
	"slices"
)

// sectorBytes is what this disk writes whole or not at all: smaller than a real one's, so that small writes are torn as well.
const sectorBytes = 64

var errPower = errors.New("the power is off")

// faultyDisk records what was written and what was synced, and may lose its power before any call.
type faultyDisk struct {
	files  map[string]*diskFile // by name; also those removed since the last sync of the directory
	calls  map[string]int
	budget int // calls before the power goes off; below zero never
}

type diskFile struct {
	synced  []byte
	pending []func(b []byte, keep func() bool) []byte
	removed bool
}

func newFaultyDisk() *faultyDisk {
	return &faultyDisk{files: map[string]*diskFile{}, calls: map[string]int{}, budget: -1}
}

// spend counts a call that changes something.
func (d *faultyDisk) spend(name string) error {
	d.calls[name]++
	if d.budget == 0 {
		return errPower
	}
	d.budget--
	return nil
}

func (d *faultyDisk) open(path string, flag int) (file, error) {
	if flag&os.O_CREATE != 0 {
		if err := d.spend("create"); err != nil {
			return nil, err
		}
	}
	f, err := realDisk{}.open(path, flag)
	if err != nil {
		return nil, err
	}
	if flag&os.O_CREATE != 0 {
		d.files[filepath.Base(path)] = &diskFile{}
	}
	return &faultyFile{file: f, disk: d, of: d.files[filepath.Base(path)]}, nil
}

func (d *faultyDisk) remove(path string) error {
	if err := d.spend("remove"); err != nil {
		return err
	}
	if f := d.files[filepath.Base(path)]; f != nil {
		f.removed = true
	}
	return os.Remove(path)
}

func (d *faultyDisk) syncDir(string) error {
	if err := d.spend("syncDir"); err != nil {
		return err
	}
	for name, f := range d.files {
		if f.removed {
			delete(d.files, name)
		}
	}
	return nil
}

type faultyFile struct {
	file
	disk *faultyDisk
	of   *diskFile
}

func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	err := f.disk.spend("write")
	written := append([]byte{}, b...)
	f.of.pending = append(f.of.pending, func(to []byte, keep func() bool) []byte {
		for from := 0; from < len(written); {
			end := min(from+sectorBytes-(int(at)+from)%sectorBytes, len(written))
			if keep() {
				if short := int(at) + end - len(to); short > 0 {
					to = append(to, make([]byte, short)...)
				}
				copy(to[int(at)+from:], written[from:end])
			}
			from = end
		}
		return to
	})
	if err != nil {
		return 0, err
	}
	return f.file.WriteAt(b, at)
}

func (f *faultyFile) Truncate(size int64) error {
	if err := f.disk.spend("truncate"); err != nil {
		return err
	}
	f.of.pending = append(f.of.pending, func(to []byte, keep func() bool) []byte {
		if keep() && int64(len(to)) > size {
			to = to[:size]
		}
		return to
	})
	return f.file.Truncate(size)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.spend("sync"); err != nil {
		return err
	}
	for _, apply := range f.of.pending {
		f.of.synced = apply(f.of.synced, func() bool { return true })
	}
	f.of.pending = nil
	return nil // the real disk is not asked: nobody pulls its plug
}

// image puts into a directory what the disk may hold after the power went off.
func (d *faultyDisk) image(t rapid.TB, dir string, keep, back func() bool) *faultyDisk {
	after := newFaultyDisk()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		f := d.files[name]
		if f.removed && !back() {
			continue
		}
		content := append([]byte{}, f.synced...)
		for _, apply := range f.pending {
			content = apply(content, keep)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		after.files[name] = &diskFile{synced: content}
	}
	return after
}

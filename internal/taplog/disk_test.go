package taplog

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

var errPower = errors.New("power cut")

// flash is a simulated disk. What was synced is certain; of the rest each sector has any of its versions, and a name that was made, moved or removed
// without a sync of the directory is there or not. After a number of operations the power fails.
type flash struct {
	now     map[string]*inode // while the power is on
	synced  map[string]*inode // what the directory was when it was last synced
	left    int               // operations until the power fails; below zero: never
	done    int
	failing error // what the next sync of a file returns, without syncing, once
}

type inode struct {
	durable []byte
	content []byte
}

func newFlash() *flash {
	return &flash{now: map[string]*inode{}, synced: map[string]*inode{}, left: -1}
}

// operation counts one, and reports whether the power is still on.
func (d *flash) operation() error {
	if d.left == 0 {
		return errPower
	}
	d.left--
	d.done++
	return nil
}

func (d *flash) Names() ([]string, error) { return slices.Sorted(maps.Keys(d.now)), nil }

func (d *flash) Read(name string) ([]byte, error) {
	f := d.now[name]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(f.content), nil
}

func (d *flash) Create(name string) (File, error) {
	if err := d.operation(); err != nil {
		return nil, err
	}
	f := &inode{}
	d.now[name] = f
	return &handle{d, f}, nil
}

func (d *flash) Rename(from, to string) error {
	if err := d.operation(); err != nil {
		return err
	}
	if d.now[from] == nil {
		return fs.ErrNotExist
	}
	d.now[to] = d.now[from]
	delete(d.now, from)
	return nil
}

func (d *flash) Remove(name string) error {
	if err := d.operation(); err != nil {
		return err
	}
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.now, name)
	return nil
}

func (d *flash) Sync() error {
	if err := d.operation(); err != nil {
		return err
	}
	d.synced = maps.Clone(d.now)
	return nil
}

type handle struct {
	disk *flash
	file *inode
}

func (h *handle) Write(b []byte) (int, error) {
	if err := h.disk.operation(); err != nil {
		h.file.content = append(h.file.content, b...) // some of it may get through
		return 0, err
	}
	h.file.content = append(h.file.content, b...)
	return len(b), nil
}

func (h *handle) Sync() error {
	if err := h.disk.operation(); err != nil {
		return err
	}
	if err := h.disk.failing; err != nil {
		h.disk.failing = nil
		return err
	}
	h.file.durable = bytes.Clone(h.file.content)
	return nil
}

func (h *handle) Close() error { return nil }

// The ways in which what was not synced survives.
const (
	nothing = iota
	everything
	torn
	anySector
	ways
)

const sectorBytes = 512

// after is the disk as the next start may find it.
func (d *flash) after(random *rand.Rand, way int) *flash {
	next := newFlash()
	names := d.now
	switch {
	case way == nothing:
		names = d.synced
	case way == torn, way == anySector:
		names = maps.Clone(d.synced)
		for _, name := range slices.Sorted(maps.Keys(d.now)) { // each change of the directory by itself
			if random.IntN(2) == 0 {
				names[name] = d.now[name]
			}
		}
		for _, name := range slices.Sorted(maps.Keys(d.synced)) {
			if d.now[name] == nil && random.IntN(2) == 0 {
				delete(names, name)
			}
		}
	}
	for name, f := range names {
		b := f.survives(random, way)
		next.now[name] = &inode{durable: b, content: bytes.Clone(b)}
	}
	next.synced = maps.Clone(next.now)
	return next
}

// survives is the file's content: files only grow, so that the durable part stays.
func (f *inode) survives(random *rand.Rand, way int) []byte {
	pending := f.content[len(f.durable):]
	if len(pending) == 0 || way == nothing {
		return bytes.Clone(f.durable)
	}
	b := bytes.Clone(f.content)
	switch way {
	case torn:
		b = b[:len(f.durable)+random.IntN(len(pending)+1)]
	case anySector:
		for at := len(f.durable); at < len(b); {
			end := min(len(b), at/sectorBytes*sectorBytes+sectorBytes)
			if random.IntN(2) == 0 {
				clear(b[at:end])
			}
			at = end
		}
		b = b[:len(f.durable)+random.IntN(len(pending)+1)]
	}
	return b
}

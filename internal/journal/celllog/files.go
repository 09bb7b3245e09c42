package celllog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// segmentSuffix is how the names of segments end, after eight digits or more.
const segmentSuffix = ".cells"

// file is a segment's file. Tests put themselves in between.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
	Close() error
}

// disk is what the log asks of the file system besides. Tests put themselves in between here as well.
type disk interface {
	open(path string, flag int) (file, error)
	remove(path string) error
	// syncDir makes names durable.
	syncDir(dir string) error
}

type realDisk struct{}

func (realDisk) open(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600) // what cardholders have: for its owner only
	if err != nil {
		return nil, err
	}
	return f, nil
}

func segmentPath(dir string, number uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", number, segmentSuffix))
}

// list gives the numbers of the segments in a directory, in order; none when there is no directory.
func list(dir string) (numbers []uint32, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		digits, found := strings.CutSuffix(e.Name(), segmentSuffix)
		if !found || len(digits) < 8 {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 32); err == nil && n > 0 {
			numbers = append(numbers, uint32(n))
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// stableList lists twice, until both agree: a list that was made while names came and went may lack both the segment that went and the one its cells went to.
func stableList(dir string) ([]uint32, error) {
	before, err := list(dir)
	for range looks {
		if err != nil {
			return nil, err
		}
		var now []uint32
		if now, err = list(dir); err == nil && slices.Equal(before, now) {
			return now, nil
		}
		before = now
	}
	return nil, errors.Join(err, errMoved)
}

func (realDisk) remove(path string) error { return os.Remove(path) }

// Where directories cannot be opened, the system keeps names in order itself.
func (realDisk) syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removedSuffix is how a directory is called whose log is being removed.
const removedSuffix = ".removed"

// Remove takes a log away, if there is one, as a whole: a part of its segments would look like a log whose other cells were moved.
func Remove(dir string) error {
	err := os.RemoveAll(dir + removedSuffix)
	if err == nil {
		err = os.Rename(dir, dir+removedSuffix)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = realDisk{}.syncDir(filepath.Dir(dir))
	}
	return errors.Join(err, os.RemoveAll(dir+removedSuffix))
}

// Size is the number of bytes that a log takes.
func Size(dir string) (size int64, err error) {
	numbers, err := list(dir)
	for _, n := range numbers {
		if info, err := os.Stat(segmentPath(dir, n)); err == nil {
			size += info.Size()
		}
	}
	return size, err
}

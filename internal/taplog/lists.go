package taplog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

// The files of the deny list: the base as it was published, the deltas after it one behind the other, and how far the device had come.
const (
	baseName     = "deny-base"
	deltasName   = "deny-deltas"
	positionName = "deny-position"

	positionBytes = 8 + sha256.Size + 4 + sha256.Size
)

// DenyFiles keeps a device's deny list, and the sealed keys of its epochs, over a loss of power. What it finds is verified like what comes over the line.
type DenyFiles struct {
	disk   Disk
	deltas File
	epoch  denylist.Epoch // of the list on the disk
	listed bool           // there is one
}

var _ gate.Lists = (*DenyFiles)(nil)

// OpenDenyFiles gives the list that was kept: nil when there is none or when what there is cannot be used, with an error in the second case. The
// position is how far the device had come, so that no older list is taken in either case.
func OpenDenyFiles(disk Disk, trust denylist.Trust) (*DenyFiles, *denylist.List, denylist.Position, error) {
	f := &DenyFiles{disk: disk}
	kept, err := f.position()
	if err != nil {
		return f, nil, denylist.Position{}, err
	}
	image, err := disk.Read(baseName)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil, kept, nil
	}
	if err != nil {
		return f, nil, kept, fmt.Errorf("read the kept base: %w", err)
	}
	base, err := denylist.OpenBase(image, trust)
	if err != nil {
		return f, nil, kept, fmt.Errorf("kept deny list: %w", err)
	}
	deltas, err := f.whole()
	if err != nil {
		return f, nil, kept, err
	}
	list, err := denylist.Restart(base, bytes.NewReader(deltas), trust, kept)
	if err != nil {
		return f, nil, kept, fmt.Errorf("kept deny list: %w", err)
	}
	f.epoch, f.listed = list.Snapshot().Epoch(), true
	f.deltas, err = replace(disk, deltasName, deltas, true)
	return f, list, kept, err
}

// whole is the deltas without what a loss of power tore off.
func (f *DenyFiles) whole() ([]byte, error) {
	b, err := f.disk.Read(deltasName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the kept deltas: %w", err)
	}
	rest := b
	for len(rest) > 0 {
		_, next, err := denylist.SplitDelta(rest)
		if err != nil {
			break
		}
		rest = next
	}
	return b[:len(b)-len(rest)], nil
}

// KeepBase replaces the base; the deltas begin anew. After a loss of power in between, the old deltas are passed over.
func (f *DenyFiles) KeepBase(image []byte, at denylist.Position) error {
	if err := Replace(f.disk, baseName, image); err != nil {
		return err
	}
	f.epoch, f.listed = at.Epoch, true
	deltas, err := replace(f.disk, deltasName, nil, true)
	if err != nil {
		return err
	}
	if f.deltas != nil {
		if err := f.deltas.Close(); err != nil {
			return fmt.Errorf("close the kept deltas: %w", err)
		}
	}
	f.deltas = deltas
	return f.keep(at)
}

// KeepDelta appends one.
func (f *DenyFiles) KeepDelta(delta []byte, at denylist.Position) error {
	if f.deltas == nil {
		return fmt.Errorf("keep a delta: %w", ErrFailed)
	}
	if _, err := f.deltas.Write(delta); err != nil {
		return f.broken(err)
	}
	if err := f.deltas.Sync(); err != nil {
		return f.broken(err)
	}
	return f.keep(at)
}

// broken gives the file up: the next base begins a new one.
func (f *DenyFiles) broken(err error) error {
	err = fmt.Errorf("keep a delta: %w: %w", ErrFailed, errors.Join(err, f.deltas.Close()))
	f.deltas = nil
	return err
}

// Close closes the file.
func (f *DenyFiles) Close() error {
	if f.deltas == nil {
		return nil
	}
	deltas := f.deltas
	f.deltas = nil
	return deltas.Close()
}

func (f *DenyFiles) keep(at denylist.Position) error {
	return Replace(f.disk, positionName, encodePosition(at))
}

func encodePosition(at denylist.Position) []byte {
	b := make([]byte, 0, positionBytes)
	b = binary.BigEndian.AppendUint64(b, at.Sequence)
	b = append(b, at.Digest[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(at.Epoch))
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func parsePosition(b []byte) (denylist.Position, error) {
	const sumAt = positionBytes - sha256.Size
	if len(b) != positionBytes {
		return denylist.Position{}, errState
	}
	if sum := sha256.Sum256(b[:sumAt]); !bytes.Equal(sum[:], b[sumAt:]) {
		return denylist.Position{}, errState
	}
	return denylist.Position{Sequence: binary.BigEndian.Uint64(b), Digest: denylist.Digest(b[8 : 8+sha256.Size]),
		Epoch: denylist.Epoch(binary.BigEndian.Uint32(b[8+sha256.Size:]))}, nil
}

func (f *DenyFiles) position() (denylist.Position, error) {
	b, err := f.disk.Read(positionName)
	if errors.Is(err, fs.ErrNotExist) {
		return denylist.Position{}, nil
	}
	if err != nil {
		return denylist.Position{}, fmt.Errorf("read the position of the deny list: %w", err)
	}
	at, err := parsePosition(b)
	if err != nil {
		return denylist.Position{}, fmt.Errorf("position of the deny list: %w", err)
	}
	return at, nil
}

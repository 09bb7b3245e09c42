package hsm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Open reads the key file at path. A missing file is an error for which errors.Is(err, fs.ErrNotExist) holds.
func Open(rand io.Reader, path string, passphrase []byte) (*HSM, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("hsm: opening the key file: %w", err)
	}
	defer func() { _ = f.Close() }()
	return Read(rand, f, passphrase)
}

// Save writes the key file so that a crash leaves either the old or the new one: a temporary file in the same directory, made durable,
// then renamed over the old, then the directory made durable.
func (h *HSM) Save(path string, passphrase []byte) error {
	return h.save(path, passphrase, defaultScryptLogN)
}

func (h *HSM) save(path string, passphrase []byte, logN byte) error {
	directory := filepath.Dir(path)
	f, err := os.CreateTemp(directory, filepath.Base(path)+".*.new") // CreateTemp makes it readable by the owner only
	if err != nil {
		return fmt.Errorf("hsm: saving the key file: %w", err)
	}
	if err := h.fill(f, path, passphrase, logN); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDirectory(directory)
}

func (h *HSM) fill(f *os.File, path string, passphrase []byte, logN byte) error {
	if err := h.write(f, passphrase, logN); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("hsm: saving the key file: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("hsm: saving the key file: %w", err)
	}
	return nil
}

func syncDirectory(directory string) error {
	d, err := os.Open(directory)
	if err != nil {
		return fmt.Errorf("hsm: saving the key file: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("hsm: saving the key file: %w", err)
	}
	return nil
}

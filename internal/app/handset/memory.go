package handset

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"tapnet/element"
)

// Files of a phone.
const (
	keyName     = "element.key"
	stateName   = "element.state"
	walletName  = "wallet"
	directory   = 0o700
	privateMode = 0o600
	keyBytes    = 32
)

// memory keeps the element's value in a file, enciphered: whoever copies the file alone has nothing.
type memory struct {
	path   string
	aead   cipher.AEAD
	random io.Reader
}

var _ element.Memory = (*memory)(nil)

// openMemory opens a phone's memory, or makes its key.
func openMemory(dir string, random io.Reader) (*memory, error) {
	path := filepath.Join(dir, keyName)
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, keyBytes)
		if _, err = io.ReadFull(random, key); err == nil {
			err = replace(path, key)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("key of the secure element's memory: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("key of the secure element's memory: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	return &memory{filepath.Join(dir, stateName), aead, random}, err
}

// used reports whether there is a value.
func (m *memory) used() (bool, error) {
	_, err := os.Stat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Load implements element.Memory.
func (m *memory) Load() ([]byte, error) {
	b, err := os.ReadFile(m.path)
	if err != nil {
		return nil, fmt.Errorf("read the secure element's memory: %w", err)
	}
	if len(b) < m.aead.NonceSize() {
		return nil, fmt.Errorf("secure element's memory: %w", element.ErrState)
	}
	value, err := m.aead.Open(nil, b[:m.aead.NonceSize()], b[m.aead.NonceSize():], []byte(stateName))
	if err != nil {
		return nil, fmt.Errorf("secure element's memory: %w", element.ErrState)
	}
	return value, nil
}

// Commit implements element.Memory. What fails before the rename has written nothing.
func (m *memory) Commit(value []byte) error {
	nonce := make([]byte, m.aead.NonceSize(), m.aead.NonceSize()+len(value)+m.aead.Overhead())
	if _, err := io.ReadFull(m.random, nonce); err != nil {
		return fmt.Errorf("write the secure element's memory: %w", err)
	}
	return replace(m.path, m.aead.Seal(nonce, nonce, value, []byte(stateName)))
}

// replace puts a file in the place of another in one durable step.
func replace(path string, content []byte) error {
	next := path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, privateMode)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

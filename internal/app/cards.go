package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"tapnet/card"
	"tapnet/internal/personalization"
	"tapnet/money"
)

// holder is a made-up person's card: the chip with its memory, and the PIN the person knows. One tap at a time.
type holder struct {
	mu       sync.Mutex
	personal *personalization.Card
	chip     *card.Card
}

// state reads the chip's memory, as the card itself would at power-on. The caller holds mu.
func (h *holder) state() card.State { return h.chip.State() }

// purse is the money on the chip: that of the second purse in its currency, of the first in any other.
func (h *holder) purse(currency money.Currency) money.Amount {
	purses, place := h.state().Applications[0].Purses, 0
	if a := h.personal.Image.Applications; len(a) > 0 && a[0].SecondCurrency == currency {
		place = 1
	}
	return money.New(purses[place].Balance, currency)
}

// chipFile is a card's memory as a file that is replaced whole: after a crash it holds the old state or the new one.
type chipFile struct {
	path    string
	initial card.State
	sealed  *card.Sealed // nil: read without PIN and keys, never written
}

// Load reads the file; a card that was never used has its initial state.
func (f *chipFile) Load() (card.State, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return f.initial, nil
	}
	if err != nil {
		return card.State{}, fmt.Errorf("read card memory: %w", err)
	}
	decode := card.DecodeOpen
	if f.sealed != nil {
		decode = f.sealed.Decode
	}
	s, err := decode(b)
	if err != nil {
		return card.State{}, fmt.Errorf("read card memory %s: %w", filepath.Base(f.path), err)
	}
	return s, nil
}

// Commit writes a new file, makes it durable, and puts it in the place of the old one.
func (f *chipFile) Commit(s *card.State) error {
	b, err := f.sealed.Encode(s)
	if err != nil {
		return err
	}
	return replaceFile(f.path, b)
}

// replaceFile writes a file in one atomic and durable step.
func replaceFile(path string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*")
	if err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Base(path), err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }()
	_, writeErr := temporary.Write(content)
	if err := errors.Join(writeErr, temporary.Sync(), temporary.Close()); err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Base(path), err)
	}
	if err := syncDirectory(filepath.Dir(path)); err != nil {
		return fmt.Errorf("replace %s: %w", filepath.Base(path), err)
	}
	return nil
}

package hsm

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// cheap is a scrypt cost for tests that open many files.
const cheap = 1

var passphrase = []byte("correct horse")

func keyFile(t testing.TB, h *HSM) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := h.write(&b, passphrase, cheap); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFileRoundTrip: saved and opened again, with the real cost, every key is there with its attributes and works.
func TestFileRoundTrip(t *testing.T) {
	h := everyKey(t)
	path := filepath.Join(t.TempDir(), "keys")
	if err := h.Save(path, passphrase); err != nil {
		t.Fatal(err)
	}
	again, err := Open(seeded(9), path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.Names(), again.Names()) {
		t.Fatalf("names: %v", again.Names())
	}
	for _, name := range h.Names() {
		a, _ := h.Info(name)
		b, _ := again.Info(name)
		if a != b || !bytes.Equal(h.keys[name].value, again.keys[name].value) {
			t.Errorf("%s: %+v became %+v", name, a, b)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if b, _ := os.ReadFile(path); bytes.Contains(b, h.keys["good/E0"].value[:8]) || bytes.Contains(b, []byte("good/E0")) {
		t.Error("the file shows a key or a name")
	}
}

// TestFileTampering: every altered byte, every cut and every wrong passphrase is detected.
func TestFileTampering(t *testing.T) {
	h := New(seeded(7))
	if _, err := h.Generate("k", UsageData, ModeBoth, AES256, NotExportable); err != nil {
		t.Fatal(err)
	}
	file := keyFile(t, h)
	open := func(b, p []byte) error { _, err := Read(seeded(8), bytes.NewReader(b), p); return err }
	if err := open(file, passphrase); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, flip := range []byte{0x01, 0x80} {
			altered := bytes.Clone(file)
			altered[i] ^= flip
			if i == len(fileMagic)+1 && altered[i] <= maxScryptLogN && altered[i] > 12 {
				continue // only slow
			}
			if err := open(altered, passphrase); err == nil {
				t.Fatalf("byte %d altered by %02X: opened", i, flip)
			}
		}
	}
	for n := range file {
		if err := open(file[:n], passphrase); !errors.Is(err, ErrSealed) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	for _, p := range [][]byte{nil, []byte("Correct horse"), append(bytes.Clone(passphrase), 1)} {
		if err := open(file, p); !errors.Is(err, ErrSealed) {
			t.Errorf("another passphrase: %v", err)
		}
	}
	if err := open(append(bytes.Clone(file), 0), passphrase); !errors.Is(err, ErrSealed) {
		t.Errorf("a byte more: %v", err)
	}
	costly := bytes.Clone(file)
	costly[len(fileMagic)+1] = 40
	if err := open(costly, passphrase); !errors.Is(err, ErrSealed) {
		t.Errorf("a cost of 2^40: %v", err)
	}
}

// TestSaveIsAtomic: a failed save leaves the old file and nothing else; a good one replaces it.
func TestSaveIsAtomic(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "keys")
	h := New(seeded(7))
	if err := h.save(path, passphrase, cheap); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	broken := New(bytes.NewReader(nil))
	if err := broken.save(path, passphrase, cheap); err == nil {
		t.Fatal("saved without random bytes")
	}
	after, _ := os.ReadFile(path)
	entries, _ := os.ReadDir(directory)
	if !bytes.Equal(before, after) || len(entries) != 1 {
		t.Errorf("after a failed save: %d files", len(entries))
	}
	if _, err := h.Generate("k", UsageData, ModeBoth, AES256, NotExportable); err != nil {
		t.Fatal(err)
	}
	if err := h.save(path, passphrase, cheap); err != nil {
		t.Fatal(err)
	}
	entries, _ = os.ReadDir(directory)
	again, err := Open(seeded(8), path, passphrase)
	if err != nil || len(again.Names()) != 1 || len(entries) != 1 {
		t.Errorf("after a second save: %v, %d files", err, len(entries))
	}
	if err := h.save(filepath.Join(directory, "absent", "keys"), passphrase, cheap); err == nil {
		t.Error("saved into a missing directory")
	}
	if _, err := Open(seeded(8), filepath.Join(directory, "absent"), passphrase); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening a missing file: %v", err)
	}
}

// FuzzKeys: the inside of a key file is accepted only if it writes back to the same bytes, up to order.
func FuzzKeys(f *testing.F) {
	f.Add([]byte{})
	f.Add(everyKey(f).appendKeys(nil))
	f.Add([]byte("\x01kD0B\x04N0123456789ABCDEF0123456789ABCDEF"))
	f.Add([]byte("\x01kD0B\x04N0123456789ABCDEF"))
	f.Add([]byte("\xFFkD0B\x04N"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h := New(seeded(1))
		if err := h.parseKeys(b); err != nil {
			return
		}
		again := New(seeded(1))
		written := h.appendKeys(nil)
		if err := again.parseKeys(written); err != nil || len(written) != len(b) || !bytes.Equal(again.appendKeys(nil), written) {
			t.Fatalf("accepted, but written differently: %v", err)
		}
	})
}

// FuzzRead: no input makes Read fail in another way than an error.
func FuzzRead(f *testing.F) {
	file := keyFile(f, New(seeded(1)))
	f.Add(file)
	f.Add(file[:headerBytes])
	f.Add([]byte(fileMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > len(fileMagic)+1 && b[len(fileMagic)+1] > 4 {
			return // only slow
		}
		_, _ = Read(seeded(1), bytes.NewReader(b), passphrase)
	})
}

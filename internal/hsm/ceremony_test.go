package hsm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestComponents: two or three parts make the key, whose check value is that of the parts added.
func TestComponents(t *testing.T) {
	h := New(seeded(41))
	var parts []Component
	for _, text := range []string{"0123 4567 89AB CDEF 0011 2233 4455 6677", "FEDCBA9876543210-8899AABBCCDDEEFF"} {
		c, err := ParseComponent(text)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, c)
	}
	info, err := h.ImportComponents("k", UsageKeyBlock, ModeBoth, AES128, NotExportable, parts...)
	if err != nil {
		t.Fatal(err)
	}
	want := importHex(t, New(seeded(41)), "k", UsageKeyBlock, ModeBoth, AES128, NotExportable, "FFFFFFFFFFFFFFFF8888888888888888")
	if info != want {
		t.Errorf("%+v, want %+v", info, want)
	}
	if kcv, err := parts[0].KCV(AES128); err != nil || kcv == [4]byte{} {
		t.Errorf("check value %X, %v", kcv, err)
	}
	for name, try := range map[string]func() error{
		"one part": func() error {
			_, err := h.ImportComponents("x", UsageKeyBlock, ModeBoth, AES128, NotExportable, parts[0])
			return err
		},
		"equal parts": func() error {
			_, err := h.ImportComponents("x", UsageKeyBlock, ModeBoth, AES128, NotExportable, parts[0], parts[0])
			return err
		},
		"other length": func() error {
			_, err := h.ImportComponents("x", UsageKeyBlock, ModeBoth, AES256, NotExportable, parts...)
			return err
		},
		"no digits":     func() error { _, err := ParseComponent("xy"); return err },
		"zeros":         func() error { _, err := ParseComponent(strings.Repeat("0", 32)); return err },
		"short":         func() error { _, err := ParseComponent("0123"); return err },
		"other purpose": func() error { _, err := parts[0].KCV(AES256); return err },
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if text := fmt.Sprintf("%v %+v %x %s", parts[0], parts, parts[0], parts[0]); strings.Contains(text, "0123") {
		t.Errorf("prints %s", text)
	}
	back, err := ParseComponent(parts[0].Reveal())
	if err != nil || back.Reveal() != parts[0].Reveal() {
		t.Errorf("revealed as %q", back.Reveal())
	}
}

// TestRoot: any two of three shares open the key file; one does not, and shares of another root do not.
func TestRoot(t *testing.T) {
	h := New(seeded(41))
	if _, err := h.Generate("k", UsageData, ModeBoth, AES256, NotExportable); err != nil {
		t.Fatal(err)
	}
	root, shares, err := NewRoot(seeded(41), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.hsm")
	if err := h.save(path, root, cheap); err != nil {
		t.Fatal(err)
	}
	for i := range shares {
		for j := range shares {
			joined, err := Root(shares[i], shares[j])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(seeded(41), path, joined); (err == nil) != (i != j) {
				t.Errorf("shares %d and %d: %v", i+1, j+1, err)
			}
		}
	}
	_, others, err := NewRoot(seeded(42), 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Root(shares[0], Share{number: 1, value: append([]byte{1}, others[0].value[1:]...)}); err == nil {
		t.Error("two shares with one number")
	}
	if _, err := Root(); err == nil {
		t.Error("no share")
	}
	if _, _, err := NewRoot(seeded(41), 1, 3); err == nil {
		t.Error("a root for one person")
	}
}

// TestAudit: every change of the log is noticed: a line altered, taken out, added, moved, cut off; a crash between line and save is not taken for one.
func TestAudit(t *testing.T) {
	h := New(seeded(41))
	if err := h.EnsureAuditKeys(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "audit.log")
	log, report, err := h.OpenAudit(path)
	if err != nil || report.Records != 0 || log.Next() != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	at := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for i := range 5 {
		if err := log.Append(AuditRecord{At: at.Add(time.Duration(i) * time.Hour), Actors: []string{"ann", "bo"}, Operation: "export", Key: fmt.Sprint("k", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if report, err = h.CheckAudit(path); err != nil || report.Records != 5 || report.Unsaved != 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
	for name, changed := range map[string]string{
		"altered":   strings.Replace(string(text), `"k2"`, `"k7"`, 1),
		"taken out": lines[0] + strings.Join(lines[2:], ""),
		"cut off":   strings.Join(lines[:4], ""),
		"all gone":  "",
		"twice":     string(text) + lines[4],
		"moved":     lines[1] + lines[0] + strings.Join(lines[2:], ""),
		"nonsense":  string(text) + "{}x\n",
		"unknown":   string(text) + `{"serial":6,"more":1}` + "\n",
		"forged":    string(text) + strings.Replace(lines[4], `"serial":5`, `"serial":6`, 1),
	} {
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.CheckAudit(path); !errors.Is(err, ErrAudit) {
			t.Errorf("%s: %v", name, err)
		}
		if _, _, err := h.OpenAudit(path); !errors.Is(err, ErrAudit) {
			t.Errorf("%s: opened: %v", name, err)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	head := h.keys[keyAuditHead]
	if err := log.Append(AuditRecord{At: at, Operation: "import"}); err != nil {
		t.Fatal(err)
	}
	h.keys[keyAuditHead] = head // the power went before the keys were saved
	if report, err := h.CheckAudit(path); err != nil || report.Records != 6 || report.Unsaved != 1 {
		t.Errorf("after a crash: %+v, %v", report, err)
	}
	n := 0
	if err := ReadAudit(path, func(AuditRecord) error { n++; return nil }); err != nil || n != 6 {
		t.Errorf("%d records, %v", n, err)
	}
}

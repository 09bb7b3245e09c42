package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestFeedInAZIPFile: a feed reads the same from a ZIP file as from a directory, and what else is in it is left alone.
func TestFeedInAZIPFile(t *testing.T) {
	files := map[string]string{
		"fare_products.txt": "fare_product_id,amount,currency\nride,2.00,CNY\n", "fare_leg_rules.txt": "fare_product_id\nride\n", "stops.txt": "stop_id\nK\n",
	}
	dir := t.TempDir()
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for name, text := range files {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "feed.zip")
	if err := os.WriteFile(archive, packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, archive} {
		got, err := readFeed(path)
		if err != nil || len(got) != 2 || string(got["fare_products.txt"]) != files["fare_products.txt"] {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if err := os.WriteFile(archive, packed.Bytes()[:60], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFeed(archive); err == nil {
		t.Error("half a ZIP file is a feed")
	}
}

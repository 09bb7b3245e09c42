//go:build thirdparty

package hce_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestShared builds the engine as a shared library with the C compiler and drives it from C: the calls, buffers and threads a binding uses.
// It needs gcc and the headers of the C library.
func TestShared(t *testing.T) {
	dir := t.TempDir()
	library := filepath.Join(dir, "libphone.so")
	run(t, append(os.Environ(), "CGO_ENABLED=1"), "go", "build", "-buildmode=c-shared", "-o", library, "./testdata/shared")
	if err := os.Rename(filepath.Join(dir, "libphone.h"), filepath.Join(dir, "phone.h")); err != nil {
		t.Fatal(err)
	}
	driver := filepath.Join(dir, "driver")
	run(t, os.Environ(), "gcc", "-Wall", "-Wextra", "-Werror", "-I", dir, "-o", driver, "testdata/driver.c", library, "-lpthread")
	out := run(t, append(os.Environ(), "LD_LIBRARY_PATH="+dir), driver)
	if !strings.HasPrefix(out, "ok: 25 taps") {
		t.Errorf("driver says %s", out)
	}
	t.Logf("measured: driven from C, %s", strings.TrimPrefix(strings.TrimSpace(out), "ok: "))
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = env
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tapnet": main})
}

// scripts runs the scripts of a directory below testdata, each in a directory of its own with nothing of the user's around it.
func scripts(t *testing.T, dir string) {
	t.Helper()
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// The address of a unix socket is short, so the data of a network cannot lie deep below the script.
			data, err := os.MkdirTemp("", "tapnet-")
			if err != nil {
				return err
			}
			e.Defer(func() { _ = os.RemoveAll(data) })
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("XDG_DATA_HOME", data)
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("SOURCE", source)
			return nil
		},
	})
}

func TestTools(t *testing.T) { scripts(t, "tools") }

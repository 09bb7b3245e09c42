//go:build thirdparty && unix

package bench

import (
	"os"
	"path/filepath"
	"testing"

	"tapnet/internal/journal/journalpg/postgrestest"
)

// TestPostgreSQL goes all the way on a server that is started for it, with pgbench, and on one that runs already.
func TestPostgreSQL(t *testing.T) {
	parent, err := os.MkdirTemp("", "tapnet-bench-") // not t.TempDir: the server's user has to reach it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o711); err != nil {
		t.Fatal(err)
	}
	o := quick(t)
	o.Dir, o.Store, o.Clients = parent, StorePostgres, []int{16}
	var pg Pg
	o.PgBench = func(found Pg) error { pg = found; return nil }
	var rates []Rate
	each := func(r Rate) error { rates = append(rates, r); return nil }
	if err := Authorize(t.Context(), o, each); err != nil {
		t.Fatal(err)
	}
	check := func(what string) {
		t.Helper()
		if len(rates) != 1 || rates[0].Store != StorePostgres || rates[0].PerSecond <= 0 || rates[0].BaselinePerSecond <= 0 || rates[0].Ratio <= 0 {
			t.Errorf("%s: %+v", what, rates)
		}
		rates = nil
		if left, err := filepath.Glob(filepath.Join(parent, "*")); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %v, %v", what, left, err)
		}
	}
	check("authorize, own server")
	if pg.PerSecond <= 0 || pg.Clients != 16 || pg.Ratio <= 0 {
		t.Errorf("pgbench: %+v", pg)
	}
	server := postgrestest.Start(t)
	o.DSN, o.PgBench = server.DSN(), nil
	if err := Store(t.Context(), o, each); err != nil {
		t.Fatal(err)
	}
	check("store, running server")
	if _, err := AuthorizeAt(t.Context(), o, 200); err != nil {
		t.Error(err)
	}
	if left := server.Query("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'tapnet_bench_%'"); left != "0" {
		t.Errorf("%s schemas left in the database", left)
	}
}

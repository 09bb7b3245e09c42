//go:build unix

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The measure of the trade: TPC-B of pgbench with prepared statements, 32 clients, 2 threads, scale 50. Durability is on.
const (
	pgbenchClients = "32"
	pgbenchThreads = "2"
	pgbenchScale   = "50"
	pgbenchConfig  = `
listen_addresses = ''
shared_buffers = 2GB
max_wal_size = 8GB
fsync = on
synchronous_commit = on
full_page_writes = on
`
)

// PgBench runs pgbench against a PostgreSQL server of its own, from the newest installed version, in a directory beside those of the stores. As root it runs
// with the rights of the user postgres or nobody, who must be able to reach the directory.
func PgBench(ctx context.Context, o Options) (found Pg, err error) {
	o = o.complete()
	dir, clean, err := o.workplace()
	if err != nil {
		return Pg{}, err
	}
	defer func() { err = errors.Join(err, clean()) }()
	if dir, err = filepath.Abs(dir); err != nil {
		return Pg{}, err
	}
	s := pgServer{home: dir, data: filepath.Join(dir, "data")}
	if err := s.prepare(); err != nil {
		return Pg{}, err
	}
	if _, err := s.run(ctx, "initdb", "--pgdata="+s.data, "--username=bench", "--auth=trust", "--no-locale", "--no-sync", "--no-instructions"); err != nil {
		return Pg{}, err
	}
	settings := pgbenchConfig + "unix_socket_directories = '" + s.home + "'\n"
	if err := appendFile(filepath.Join(s.data, "postgresql.conf"), settings); err != nil {
		return Pg{}, err
	}
	if _, err := s.run(ctx, "pg_ctl", "start", "--pgdata="+s.data, "--wait", "--silent", "--log="+filepath.Join(s.home, "log")); err != nil {
		return Pg{}, err
	}
	defer func() {
		_, stop := s.run(context.WithoutCancel(ctx), "pg_ctl", "stop", "--pgdata="+s.data, "--mode=immediate", "--silent")
		err = errors.Join(err, stop)
	}()
	connect := []string{"--host=" + s.home, "--username=bench"}
	if _, err := s.run(ctx, "pgbench", append(connect, "--initialize", "--quiet", "--scale="+pgbenchScale, "postgres")...); err != nil {
		return Pg{}, err
	}
	seconds := strconv.Itoa(max(1, int(o.Duration/time.Second)))
	var rates []float64
	for range o.Rounds {
		said, err := s.run(ctx, "pgbench", append(connect, "--protocol=prepared", "--client="+pgbenchClients, "--jobs="+pgbenchThreads,
			"--time="+seconds, "--no-vacuum", "postgres")...)
		if err != nil {
			return Pg{}, err
		}
		rate, err := transactions(said)
		if err != nil {
			return Pg{}, err
		}
		rates = append(rates, rate)
	}
	version, err := s.run(ctx, "pgbench", "--version")
	return Pg{Version: strings.TrimSpace(version), PerSecond: median(rates)}, err
}

// pgServer is one cluster.
type pgServer struct {
	home, data, programs string
	as                   *syscall.Credential
}

// prepare finds the programs and whose rights to use.
func (s *pgServer) prepare() error {
	var found []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			found = append(found, path)
		}
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // Debian keeps the server's programs out of PATH
	if err != nil {
		return err
	}
	slices.Sort(versions)
	if found = append(found, versions...); len(found) == 0 {
		return errors.New("bench: PostgreSQL is not installed: on Debian, apt-get install postgresql")
	}
	s.programs = filepath.Dir(found[len(found)-1])
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUser := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGroup := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUser, errGroup); err != nil {
			return err
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return os.Chown(s.home, int(uid), int(gid))
	}
	return errors.New("bench: PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// run gives what the program said on standard output. The server that pg_ctl starts keeps what it inherits, so output goes through files.
func (s *pgServer) run(ctx context.Context, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, filepath.Join(s.programs, name), args...)
	c.Dir, c.Env = s.home, append(os.Environ(), "LC_ALL=C")
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true} // an interrupt is ours, not the server's
	out, err := os.CreateTemp(s.home, name)
	if err != nil {
		return "", err
	}
	defer func() { _ = out.Close() }()
	c.Stdout, c.Stderr = out, out
	failed := c.Run()
	said, err := os.ReadFile(out.Name())
	if failed != nil {
		return "", fmt.Errorf("bench: %s: %w: %s", name, failed, strings.TrimSpace(string(said)))
	}
	return string(said), err
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

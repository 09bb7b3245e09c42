//go:build unix

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Server is one running server, or the means to run clients against one that somebody else runs.
type Server struct {
	dsn  string
	home string
	own  *cluster // nil: somebody else's
}

// cluster is a server that we started.
type cluster struct {
	programs, data string
	as             *syscall.Credential
	guard          *exec.Cmd
	wake           io.Closer
}

// Start makes a cluster in the directory home, which is made and which the unprivileged user must be able to reach, and starts it
// with further lines of postgresql.conf.
func Start(ctx context.Context, home string, settings ...string) (_ *Server, err error) {
	if home, err = filepath.Abs(home); err != nil {
		return nil, err
	}
	programs, err := directory()
	if err != nil {
		return nil, err
	}
	as, err := account()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	if as != nil {
		if err := os.Chown(home, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	s := &Server{home: home, own: &cluster{programs: programs, data: filepath.Join(home, "data"), as: as}}
	s.dsn = fmt.Sprintf("host=%s user=%s dbname=%s sslmode=disable", quoted(home), superuser, database)
	if _, err := s.server(ctx, "initdb", "--pgdata="+s.own.data, "--username="+superuser, "--auth=trust", "--encoding=UTF8", "--no-locale",
		"--no-sync", "--no-instructions"); err != nil {
		return nil, fmt.Errorf("%w (can the user that runs it reach %s?)", err, home)
	}
	text := durable + "unix_socket_directories = '" + home + "'\n" + strings.Join(settings, "\n") + "\n"
	if err := appendFile(filepath.Join(s.own.data, "postgresql.conf"), text); err != nil {
		return nil, err
	}
	if _, err := s.server(ctx, "pg_ctl", "start", "--pgdata="+s.own.data, "--wait", "--silent", "--log="+filepath.Join(home, "log")); err != nil {
		log, _ := os.ReadFile(filepath.Join(home, "log"))
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(log)))
	}
	if err := s.own.watch(ctx, home); err != nil {
		return nil, errors.Join(err, s.own.stop(ctx, s))
	}
	return s, nil
}

// quoted is a value of a keyword=value pair.
func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}

// watch starts a shell that outlives a killed caller just long enough to stop the server and remove its files.
func (c *cluster) watch(ctx context.Context, home string) error {
	c.guard = exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c",
		`read -r _; "$0" stop --pgdata="$1/data" --mode=immediate --silent; rm -rf "$1/data"`,
		filepath.Join(c.programs, "pg_ctl"), home)
	c.guard.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Setpgid: true}
	c.guard.Dir = "/"
	wake, err := c.guard.StdinPipe()
	if err != nil {
		return err
	}
	c.wake = wake
	return c.guard.Start()
}

func (c *cluster) stop(ctx context.Context, s *Server) error {
	_, err := s.server(ctx, "pg_ctl", "stop", "--pgdata="+c.data, "--mode=immediate", "--silent")
	return err
}

// Existing is a server that somebody else runs. Files that its clients make lie in home.
func Existing(dsn, home string) *Server { return &Server{dsn: dsn, home: home} }

// DSN is the connection string.
func (s *Server) DSN() string { return s.dsn }

// Stop stops a server that Start started and removes its files. Nil is no server.
func (s *Server) Stop(context.Context) error {
	if s == nil || s.own == nil {
		return nil
	}
	if err := s.own.wake.Close(); err != nil {
		return err
	}
	if err := s.own.guard.Wait(); err != nil {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return os.RemoveAll(s.home)
}

// Client runs one of PostgreSQL's client programs against the server, as the caller's own user. Search path "" is the server's. The
// connection travels in the environment, where other users do not see a password.
func (s *Server) Client(ctx context.Context, searchPath, name string, args ...string) (string, error) {
	programs, err := directory()
	if err != nil {
		return "", err
	}
	config, err := pgconn.ParseConfig(s.dsn)
	if err != nil {
		return "", errors.New("the connection string cannot be read") // its text may hold a password
	}
	environment := []string{"PGHOST=" + config.Host, "PGPORT=" + strconv.Itoa(int(config.Port)), "PGUSER=" + config.User, "PGDATABASE=" + config.Database}
	if config.Password != "" {
		environment = append(environment, "PGPASSWORD="+config.Password)
	}
	if searchPath != "" {
		environment = append(environment, "PGOPTIONS=-c search_path="+searchPath)
	}
	return s.run(ctx, nil, environment, filepath.Join(programs, name), args...)
}

// server runs a program with the rights of the server.
func (s *Server) server(ctx context.Context, name string, args ...string) (string, error) {
	return s.run(context.WithoutCancel(ctx), s.own.as, nil, filepath.Join(s.own.programs, name), args...)
}

// run gives what the program said. The server that pg_ctl starts keeps what it inherits, so output goes through files.
func (s *Server) run(ctx context.Context, as *syscall.Credential, environment []string, path string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, path, args...)
	c.Dir, c.Env = s.home, append(append(os.Environ(), "LC_ALL=C"), environment...)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true} // an interrupt is ours, not the server's
	out, err := os.CreateTemp(s.home, filepath.Base(path))
	if err != nil {
		return "", err
	}
	defer func() { _, _ = out.Close(), os.Remove(out.Name()) }()
	c.Stdout, c.Stderr = out, out
	failed := c.Run()
	said, err := os.ReadFile(out.Name())
	if failed != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(path), failed, strings.TrimSpace(string(said)))
	}
	return string(said), err
}

// account is whose rights a server runs with; nil is the caller's. PostgreSQL refuses to run as root.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUser := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGroup := strconv.ParseUint(u.Gid, 10, 32)
		if errUser == nil && errGroup == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

// directory finds PostgreSQL's programs: Debian keeps the server's out of PATH, one directory per version.
func directory() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real), nil
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", ErrMissing
	}
	slices.SortFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

// version is the number in /usr/lib/postgresql/15/bin/initdb.
func version(path string) int {
	number, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // zero where it is none
	return number
}

func appendFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

//go:build unix

package postgrestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Password is the one every server here accepts. Tests look for it where it must not be.
const Password = "s3cret-Pass/word@1"

// superuser is the database user and the database. It owns all, as the tests cut connections and promote.
const superuser = "tapnet"

// small keeps a server out of the way of whatever else runs on the machine, and durable.
const small = `
shared_buffers = 64MB
max_connections = 60
max_wal_size = 512MB
fsync = on
synchronous_commit = on
full_page_writes = on
wal_level = replica
hot_standby = on
max_wal_senders = 4
max_replication_slots = 4
wal_keep_size = 256MB
autovacuum_max_workers = 1
max_parallel_workers = 0
logging_collector = off
log_min_messages = warning
`

// Server is one running PostgreSQL.
type Server struct {
	Port int

	tb   testing.TB
	home string // the directory that goes away
	data string
}

// Start makes an empty cluster with further lines of postgresql.conf and starts it. It stops when the test ends.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	s := newServer(tb)
	passwords := filepath.Join(s.home, "password")
	if err := os.WriteFile(passwords, []byte(Password+"\n"), 0o644); err != nil {
		tb.Fatal(err)
	}
	s.run("initdb", "--pgdata="+s.data, "--username="+superuser, "--pwfile="+passwords, "--auth=scram-sha-256", "--encoding=UTF8",
		"--no-locale", "--no-instructions")
	s.configure(settings)
	s.start()
	s.Exec("postgres", "CREATE DATABASE "+superuser)
	return s
}

// Standby makes a copy of the server that follows it under a name the server's synchronous_standby_names can have.
func (s *Server) Standby(name string, settings ...string) *Server {
	s.tb.Helper()
	follower := newServer(s.tb)
	follower.run("pg_basebackup", "--pgdata="+follower.data, "--checkpoint=fast", "--write-recovery-conf",
		"--dbname="+s.DSN("application_name", name))
	follower.configure(settings)
	follower.start()
	return follower
}

func newServer(tb testing.TB) *Server {
	tb.Helper()
	home, err := os.MkdirTemp("", "tapnet-pg-") // not tb.TempDir: another user has to reach it
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Port: freePort(tb), tb: tb, home: home, data: filepath.Join(home, "data")}
	tb.Cleanup(func() {
		if err := os.RemoveAll(home); err != nil && !errors.Is(err, fs.ErrNotExist) {
			tb.Errorf("remove %s: %v", home, err)
		}
	})
	if err := os.Chmod(home, 0o755); err != nil {
		tb.Fatal(err)
	}
	if id := account(tb); id != nil {
		if err := os.Chown(home, int(id.Uid), int(id.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// freePort is a port nobody listened on a moment ago.
func freePort(tb testing.TB) int {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// account is whose rights a server runs with; nil is the test's own user. PostgreSQL refuses to run as root.
func account(tb testing.TB) *syscall.Credential {
	tb.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	tb.Fatal("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
	return nil
}

// directory finds PostgreSQL's programs once: Debian keeps the server's out of PATH, one directory per version.
var directory = sync.OnceValue(func() string {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(real)
		}
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.Sort(found)
	if len(found) == 0 {
		return ""
	}
	return filepath.Dir(found[len(found)-1])
})

func (s *Server) command(name string, args ...string) *exec.Cmd {
	s.tb.Helper()
	if directory() == "" {
		s.tb.Fatal("PostgreSQL is not installed: on Debian, apt-get install postgresql (scripts/thirdparty does)")
	}
	c := exec.Command(filepath.Join(directory(), name), args...)
	c.Dir = s.home
	c.Env = append(os.Environ(), "LC_ALL=C", "PGPASSWORD="+Password)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: account(s.tb), Setpgid: true} // Setpgid: an interrupt is the test's, not the server's
	return c
}

func (s *Server) run(name string, args ...string) {
	s.tb.Helper()
	// A file, not a pipe: pg_ctl's child keeps what it inherits open.
	out, err := os.CreateTemp(s.home, name)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer out.Close()
	c := s.command(name, args...)
	c.Stdout, c.Stderr = out, out
	if err := c.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		log, _ := os.ReadFile(filepath.Join(s.home, "log"))
		s.tb.Fatalf("%s: %v\n%s\n%s", name, err, said, log)
	}
}

// configure goes into the file that overrides postgresql.conf, so that a standby has its own port.
func (s *Server) configure(settings []string) {
	s.tb.Helper()
	text := small + fmt.Sprintf("port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\n", s.Port, s.home) +
		strings.Join(settings, "\n") + "\n"
	f, err := os.OpenFile(filepath.Join(s.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.tb.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		s.tb.Fatal(err)
	}
}

// start starts the server and, beside it, a shell that outlives a killed test just long enough to stop the server.
func (s *Server) start() {
	s.tb.Helper()
	s.run("pg_ctl", "start", "--pgdata="+s.data, "--wait", "--silent", "--log="+filepath.Join(s.home, "log"))
	guard := exec.Command("/bin/sh", "-c", `read -r _; "$0" stop --pgdata="$1/data" --mode=immediate --silent; rm -rf "$1"`,
		filepath.Join(directory(), "pg_ctl"), s.home)
	guard.SysProcAttr = &syscall.SysProcAttr{Credential: account(s.tb), Setpgid: true}
	guard.Dir = "/"
	wake, err := guard.StdinPipe()
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := guard.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(func() {
		wake.Close()
		if err := guard.Wait(); err != nil {
			s.tb.Errorf("stop PostgreSQL: %v", err)
		}
	})
}

// Kill stops the server at once, without a checkpoint and without a word to its clients: what is not on its disk is lost.
func (s *Server) Kill() {
	s.tb.Helper()
	s.run("pg_ctl", "stop", "--pgdata="+s.data, "--mode=immediate", "--silent", "--wait")
}

// Again starts a killed server, which recovers from its log.
func (s *Server) Again() {
	s.tb.Helper()
	s.run("pg_ctl", "start", "--pgdata="+s.data, "--wait", "--silent", "--log="+filepath.Join(s.home, "log"))
}

// Promote makes a standby a server that takes writes.
func (s *Server) Promote() {
	s.tb.Helper()
	s.Exec(superuser, "SELECT pg_promote(true, 60)")
}

// DSN is the connection string of the server, with the password and further parameters as name, value pairs.
func (s *Server) DSN(params ...string) string { return DSN([]*Server{s}, params...) }

// DSN is a connection string that names several servers.
func DSN(servers []*Server, params ...string) string {
	hosts := make([]string, len(servers))
	for i, s := range servers {
		hosts[i] = "127.0.0.1:" + strconv.Itoa(s.Port)
	}
	return DSNOf(strings.Join(hosts, ","), params...)
}

// DSNOf is a connection string for addresses that lead to a server of this package.
func DSNOf(hosts string, params ...string) string {
	query := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		query.Set(params[i], params[i+1])
	}
	if !query.Has("sslmode") {
		query.Set("sslmode", "disable")
	}
	return "postgres://" + url.UserPassword(superuser, Password).String() + "@" + hosts + "/" + superuser + "?" + query.Encode()
}

// Exec runs statements as one transaction and returns the first column of the last row, empty when there is none.
func (s *Server) Exec(database, statements string) string {
	s.tb.Helper()
	conn := s.Connect(database)
	defer conn.Close(context.Background())
	value, err := First(conn, statements)
	if err != nil {
		s.tb.Fatalf("%s: %v", statements, err)
	}
	return value
}

// Query is Exec in the tests' database.
func (s *Server) Query(statements string) string {
	s.tb.Helper()
	return s.Exec(superuser, statements)
}

// Connect opens a connection as the superuser.
func (s *Server) Connect(database string) *pgconn.PgConn {
	s.tb.Helper()
	config, err := pgconn.ParseConfig(s.DSN())
	if err != nil {
		s.tb.Fatal(err)
	}
	config.Database = database
	conn, err := pgconn.ConnectConfig(context.Background(), config)
	if err != nil {
		s.tb.Fatal(err)
	}
	return conn
}

// First runs statements on a connection and returns the first column of the last row.
func First(conn *pgconn.PgConn, statements string) (value string, err error) {
	results, err := conn.Exec(context.Background(), statements).ReadAll()
	for _, result := range results {
		for _, row := range result.Rows {
			value = string(row[0])
		}
	}
	return value, err
}

// WriteLog copies the server's log, for a test that failed.
func (s *Server) WriteLog(to io.Writer) {
	if log, err := os.ReadFile(filepath.Join(s.home, "log")); err == nil {
		_, _ = to.Write(log)
	}
}

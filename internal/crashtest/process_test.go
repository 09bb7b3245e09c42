//go:build unix

package crashtest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scratch holds the binary. It is removed at the end.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	var err error
	if scratch, err = os.MkdirTemp("", "tapnet-crash-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(scratch)
	os.Exit(code)
}

// built builds the program under test once.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "tapnet")
	if out, err := exec.Command("go", "build", "-o", path, "tapnet/cmd/tapnet").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build tapnet: %w\n%s", err, out)
	}
	return path, nil
})

func program(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// number reads a number that the caller of a long run sets.
func number(t testing.TB, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// seedOf is fresh for every run and said at once, since a run that is cut off says nothing at its end.
func seedOf(t testing.TB) uint64 {
	t.Helper()
	seed := number(t, "TAPNET_SEED", uint64(time.Now().UnixNano()))
	tags := ""
	if strings.HasPrefix(t.Name(), "TestStrace") {
		tags = " -tags thirdparty"
	}
	t.Logf("TAPNET_SEED=%d go test -count=1%s -run '^%s$' ./internal/crashtest", seed, tags, t.Name())
	return seed
}

// process is a tapnet that runs.
type process struct {
	t       testing.TB
	command *exec.Cmd
	ready   chan struct{} // closed when it has said that it runs
	ended   chan struct{} // closed when it is gone
	stderr  bytes.Buffer  // read after ended
	err     error         // of Wait, read after ended
}

// launch starts the command line and returns at once.
func launch(t testing.TB, command ...string) *process {
	t.Helper()
	p := &process{t: t, command: exec.Command(command[0], command[1:]...), ready: make(chan struct{}), ended: make(chan struct{})}
	p.command.Stderr, p.command.SysProcAttr = &p.stderr, attributes()
	out, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		lines := bufio.NewReader(out)
		if _, err := lines.ReadString('\n'); err == nil {
			close(p.ready)
		}
		_, _ = lines.WriteTo(discard{})
		p.err = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// kill ends the process as a power switch would, except that the kernel lives on.
func (p *process) kill() {
	if err := p.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	<-p.ended
}

// killed reports how a process ended that should have died of our signal only.
func (p *process) killed() error {
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
			return nil
		}
	}
	return fmt.Errorf("the process ended by itself: %v\n%s", p.err, p.stderr.String())
}

// patience is longer than anything healthy takes, also on a busy machine.
const patience = 60 * time.Second

// verified is what these tests read of `tapnet verify --json`.
type verified struct {
	OK       bool            `json:"ok"`
	Rows     uint64          `json:"rows"`
	Payments uint64          `json:"payments"`
	Underway uint64          `json:"underway"`
	Total    int             `json:"total"`
	Findings json.RawMessage `json:"findings"`
	Seconds  float64         `json:"seconds"`
	Members  []struct {
		Role      string `json:"role"`
		Name      string `json:"name"`
		HeldMinor int64  `json:"held_minor"`
		Approved  uint64 `json:"approved"`
		Reversed  uint64 `json:"reversed"`
	} `json:"members"`
}

// verifying runs the program's own check of a data directory.
func verifying(path, dir string, arguments ...string) (v verified, err error) {
	command := exec.Command(path, append([]string{"verify", dir, "--json"}, arguments...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if parse := json.Unmarshal(out, &v); parse != nil {
		return v, fmt.Errorf("verify: %w, %w\n%s%s", err, parse, out, stderr.Bytes())
	}
	if err != nil || !v.OK || v.Total != 0 {
		return v, fmt.Errorf("verify: %w: %d findings\n%s", err, v.Total, v.Findings)
	}
	return v, nil
}

func verify(t testing.TB, dir string, arguments ...string) verified {
	t.Helper()
	v, err := verifying(program(t), dir, arguments...)
	if err != nil {
		t.Error(err)
	}
	return v
}

// watch verifies the directory again and again while its processes live and die. What it returns ends that and gives the number of times.
func watch(t testing.TB, dir string) (end func() int) {
	t.Helper()
	path, stop, times := program(t), make(chan struct{}), make(chan int)
	go func() {
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for n := 0; ; n++ {
			select {
			case <-stop:
				times <- n
				return
			case <-again.C:
			}
			if _, err := verifying(path, dir); err != nil {
				t.Errorf("on the live store: %v", err)
			}
		}
	}()
	end = sync.OnceValue(func() int {
		close(stop)
		return <-times
	})
	t.Cleanup(func() { end() })
	return end
}

func within(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-c:
	case <-late.C:
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// awaitFile waits for a file that the process makes.
func awaitFile(t testing.TB, path string, p *process) {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-look.C:
		case <-p.ended:
			t.Fatalf("no %s: %v", filepath.Base(path), p.killed())
		case <-late.C:
			t.Fatalf("no %s within %v", filepath.Base(path), patience)
		}
	}
}

//go:build thirdparty

package thirdparty

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/internal/pcsc"
	"tapnet/internal/vpcd"
)

// Limits of the PC/SC suite. A client that hangs must not hang the suite.
const (
	daemonWithin = 20 * time.Second
	clientWithin = 20 * time.Second
	cardWithin   = 15 * time.Second

	driver    = "/usr/lib/pcsc/drivers/serial/libifdvpcd.so"
	socketDir = "/run/pcscd" // compiled into the daemon: one for each mount namespace
)

// daemon is a pcscd of our own with the virtual reader, which has two slots.
type daemon struct {
	ports [2]int
	log   strings.Builder
}

// startDaemon runs pcscd until the test ends.
func startDaemon(t testing.TB) *daemon {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), daemonWithin)
	defer cancel()
	if _, err := pcsc.Readers(ctx, pcsc.Config{}); !errors.Is(err, pcsc.NoService) {
		t.Fatalf("a PC/SC daemon runs here already, and its socket cannot be moved: stop it (%v)", err)
	}
	if err := os.RemoveAll(socketDir); err != nil { // of one that died
		t.Fatal(err)
	}
	d := &daemon{}
	d.ports[0] = freePorts(t)
	d.ports[1] = d.ports[0] + 1
	dir := t.TempDir()
	config := fmt.Sprintf("FRIENDLYNAME \"tapnet virtual\"\nDEVICENAME /dev/null:0x%X\nLIBPATH %s\nCHANNELID 0x%[1]X\n", d.ports[0], driver)
	if err := os.WriteFile(filepath.Join(dir, "vpcd"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.Command("pcscd", "--config", dir, "--foreground", "--info")
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	run.Stderr = run.Stdout
	if err := run.Start(); err != nil {
		t.Fatalf("pcscd: %v", err)
	}
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		lines, told := bufio.NewScanner(out), false
		for lines.Scan() {
			d.log.WriteString(lines.Text() + "\n")
			if !told && strings.Contains(lines.Text(), "daemon ready") {
				told = true
				close(ready)
			}
		}
	}()
	t.Cleanup(func() {
		_ = run.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(daemonWithin, func() { _ = run.Process.Kill() })
		defer kill.Stop()
		<-ended
		_ = run.Wait()
		_ = os.RemoveAll(socketDir)
		if t.Failed() {
			t.Logf("pcscd said:\n%s", d.log.String())
		}
	})
	select {
	case <-ready:
	case <-ended:
		t.Fatal("pcscd ended at once")
	case <-ctx.Done():
		t.Fatal("pcscd did not get ready")
	}
	d.listens(ctx, t)
	return d
}

// listens waits until the daemon shows both slots: it says that it is ready before its socket is.
func (d *daemon) listens(ctx context.Context, t testing.TB) {
	t.Helper()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		readers, err := pcsc.Readers(ctx, pcsc.Config{})
		if len(readers) == len(d.ports) {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("pcscd does not show its two slots: %v, %v", readers, err)
		}
	}
}

// freePorts finds two neighbouring free TCP ports. The driver takes no others than the one it is told and the next.
func freePorts(t testing.TB) int {
	t.Helper()
	for range 20 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.Addr().(*net.TCPAddr).Port
		second, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+1))
		_ = first.Close()
		if err == nil {
			_ = second.Close()
			return port
		}
	}
	t.Fatal("no two neighbouring ports are free")
	return 0
}

// address is where a card connects to a slot.
func (d *daemon) address(slot int) string { return "127.0.0.1:" + strconv.Itoa(d.ports[slot]) }

// reader is the daemon's name of a slot.
func (d *daemon) reader(slot int) string { return fmt.Sprintf("tapnet virtual 00 %02d", slot) }

// insert puts a card into a slot until the test ends, or until the function it returns is called, and waits until the daemon sees it.
func (d *daemon) insert(t testing.TB, slot int, chip vpcd.Chip, form vpcd.Form) (remove func()) {
	t.Helper()
	carrier, err := vpcd.NewCarrier(chip, vpcd.Dress{Form: form, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // that one ends before the clean-up lets the card go
	ended := make(chan error, 1)
	go func() { ended <- vpcd.Serve(ctx, vpcd.Config{Address: d.address(slot), Card: carrier}) }()
	done := false
	remove = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve the card: %v", err)
		}
		// The daemon looks a few times a second; the next card must not be taken for this one.
		if _, err := pcsc.WaitForRemoval(context.WithoutCancel(ctx), pcsc.Config{}, d.reader(slot), cardWithin); err != nil {
			t.Errorf("the card does not disappear: %v", err)
		}
	}
	t.Cleanup(remove)
	if _, err := pcsc.WaitForCard(t.Context(), pcsc.Config{}, d.reader(slot), cardWithin); err != nil {
		t.Fatalf("the card does not appear: %v", err)
	}
	return remove
}

// client runs a program and returns what it printed. It fails the test when the program fails or does not end.
func client(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), clientWithin)
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Stdin = strings.NewReader(stdin)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

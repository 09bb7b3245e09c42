//go:build thirdparty

package thirdparty

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/app/validator"
	"tapnet/internal/taplog"
	"tapnet/internal/vpcd"
)

// gateLine is a line that `tapnet gate run --json` prints: the first says that the gate is there, each further one is a tap.
type gateLine struct {
	Device     string      `json:"device"`
	Reader     string      `json:"reader"`
	Open       bool        `json:"open"`
	ReasonCode gate.Reason `json:"reason_code"`
	Record     uint64      `json:"record"`
}

// gateRun is the command as a process.
type gateRun struct {
	*program
	process   *exec.Cmd
	lines     chan gateLine
	complaint bytes.Buffer
}

// gateRun starts `tapnet gate run --reader`, and waits until it says that the gate is there.
func (p *program) gateRun(reader string) *gateRun {
	p.Helper()
	g := &gateRun{program: p, lines: make(chan gateLine, 16)}
	g.process = exec.Command(p.binary, "gate", "run", "--station", "7", "--dir", "in", "--amount", "0.00", "--reader", reader, "--data", p.data, "--json")
	g.process.Stderr = &g.complaint
	out, err := g.process.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	if err := g.process.Start(); err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { _ = g.process.Process.Kill() }) // harmless after its end
	go func() {
		defer close(g.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			var line gateLine
			if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
				p.Errorf("%v in %s", err, scan.Bytes())
			}
			g.lines <- line
		}
	}()
	if first := g.next(); first.Device != "GATE-7" || first.Reader != reader {
		p.Fatalf("the gate says %+v", first)
	}
	return g
}

// next is the next line.
func (g *gateRun) next() gateLine {
	g.Helper()
	late := time.NewTimer(cardWithin)
	defer late.Stop()
	select {
	case line, ok := <-g.lines:
		if !ok {
			g.Fatalf("the gate ended: %s", g.complaint.Bytes())
		}
		return line
	case <-late.C:
		g.Fatalf("the gate says nothing: %s", g.complaint.Bytes())
	}
	return gateLine{}
}

// tap holds a rider's card to the reader until the gate has answered.
func (g *gateRun) tap(d *daemon, rider string, t *testing.T) gateLine {
	t.Helper()
	memory, err := taplog.Dir(filepath.Join(g.data, "riders")) // the card counts its taps over both runs
	if err != nil {
		t.Fatal(err)
	}
	chip, _, err := validator.Card(rider, memory, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	remove := d.insert(t, 0, chip, vpcd.Contactless)
	defer remove()
	return g.next()
}

// stop tells the process to end, as a service manager does, and wants a clean end.
func (g *gateRun) stop() {
	g.Helper()
	if err := g.process.Process.Signal(syscall.SIGTERM); err != nil {
		g.Fatal(err)
	}
	late := time.AfterFunc(clientWithin, func() { _ = g.process.Process.Kill() })
	defer late.Stop()
	for line := range g.lines {
		g.Errorf("the gate says %+v at its end", line)
	}
	if err := g.process.Wait(); err != nil {
		g.Errorf("the gate did not end well: %v\n%s", err, g.complaint.Bytes())
	}
}

// gateCommand runs the command itself: a card opens the gate and stands in the log, the process ends when it is told to, and the next one goes on behind
// the last record.
func (d *daemon) gateCommand(t *testing.T) {
	p := buildProgram(t)
	p.TB = t
	first := p.gateRun(d.reader(0))
	began := time.Now()
	if tap := first.tap(d, "lin", t); !tap.Open || tap.ReasonCode != gate.OK || tap.Record != 2 { // behind the record of the start
		t.Fatalf("first tap: %+v", tap)
	}
	t.Logf("measured: a card at `tapnet gate run --reader` through pcscd: %v until the gate has answered", time.Since(began).Round(time.Millisecond))
	if tap := first.tap(d, "lin", t); tap.Open || tap.ReasonCode != gate.DoubleTap && tap.ReasonCode != gate.PassBack || tap.Record != 3 {
		t.Errorf("the same card again: %+v", tap)
	}
	first.stop()

	second := p.gateRun(d.reader(0))
	if tap := second.tap(d, "lin", t); tap.Open || tap.ReasonCode != gate.DoubleTap && tap.ReasonCode != gate.PassBack || tap.Record != 5 {
		t.Errorf("the same card after the gate was started again: %+v", tap)
	}
	if tap := second.tap(d, "wang", t); !tap.Open || tap.Record != 6 {
		t.Errorf("another card: %+v", tap)
	}
	if code, _, complaint := p.run("gate", "tap", "--station", "7", "--dir", "in", "--data", p.data); code == 0 {
		t.Errorf("a second process has the gate's log at the same time: %s", complaint)
	}
	second.stop()
	p.gateLog(t, map[uint64]gate.Reason{2: gate.OK, 6: gate.OK}, 6)
}

// gateLog reads the log that the processes have written, and wants the opened gates in it.
func (p *program) gateLog(t *testing.T, opened map[uint64]gate.Reason, last uint64) {
	t.Helper()
	home := filepath.Join(p.data, "gates", "GATE-7")
	keys, err := taplog.Dir(home)
	if err != nil {
		t.Fatal(err)
	}
	provision, err := validator.LoadProvision(keys, "GATE-7", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := gate.NewChainKey(provision.Chain)
	if err != nil {
		t.Fatal(err)
	}
	taps, err := taplog.Dir(filepath.Join(home, "taps"))
	if err != nil {
		t.Fatal(err)
	}
	names, err := taps.Names()
	if err != nil {
		t.Fatal(err)
	}
	const header = 128 // the most that stands in front of the first record
	found := map[uint64]gate.Reason{}
	var head gate.Head
	for _, name := range names {
		b, err := taps.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		at := bytes.Index(b, []byte("TG\x01"))
		if at < 0 || at > header {
			continue // the file of state
		}
		end, broken := gate.Verify(b[at:], key, head, func(r gate.Record) {
			if r.Kind == gate.TapRecord && r.Reason == gate.OK {
				found[r.Sequence] = r.Reason
			}
			if r.Epoch != denylist.Epoch(1) && r.Kind == gate.TapRecord {
				t.Errorf("record %d is of epoch %d", r.Sequence, r.Epoch)
			}
		})
		if broken != nil {
			t.Fatalf("%s: %v", name, broken)
		}
		head = end
	}
	if head.Sequence != last || len(found) != len(opened) {
		t.Errorf("%d records, opened %v, want %d and %v", head.Sequence, found, last, opened)
	}
	for n := range opened {
		if found[n] != gate.OK {
			t.Errorf("record %d did not open", n)
		}
	}
}

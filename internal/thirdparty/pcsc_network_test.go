//go:build thirdparty

package thirdparty

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/internal/pcsc"
)

// program is tapnet as a user has it: a binary and the directory of a network.
type program struct {
	testing.TB
	binary, data string
}

// buildProgram compiles tapnet. The directory has a short name, because the address of a unix socket is short.
func buildProgram(t testing.TB) *program {
	t.Helper()
	p := &program{TB: t, binary: filepath.Join(t.TempDir(), "tapnet")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p.binary, "tapnet/cmd/tapnet")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	var err error
	if p.data, err = os.MkdirTemp("", "tapnet-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(p.data) })
	return p
}

// background starts a command that runs until stop, and waits for the first line it prints that contains sign.
func (p *program) background(sign string, args ...string) (stop func()) {
	p.Helper()
	run := exec.Command(p.binary, append(args, "--data", p.data, "--json")...)
	out, err := run.StdoutPipe()
	if err != nil {
		p.Fatal(err)
	}
	var complaint bytes.Buffer
	run.Stderr = &complaint
	if err := run.Start(); err != nil {
		p.Fatal(err)
	}
	seen, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		lines, told := bufio.NewScanner(out), false
		for lines.Scan() {
			if !told && strings.Contains(lines.Text(), sign) {
				told = true
				close(seen)
			}
		}
	}()
	done := false
	stop = func() {
		if done {
			return
		}
		done = true
		_ = run.Process.Signal(os.Interrupt)
		kill := time.AfterFunc(clientWithin, func() { _ = run.Process.Kill() })
		defer kill.Stop()
		<-ended
		if err := run.Wait(); err != nil {
			p.Errorf("tapnet %s: %v\n%s", args[0], err, complaint.Bytes())
		}
	}
	p.Cleanup(stop)
	late := time.NewTimer(clientWithin)
	defer late.Stop()
	select {
	case <-seen:
	case <-ended:
		p.Fatalf("tapnet %s ended: %s", args[0], complaint.Bytes())
	case <-late.C:
		p.Fatalf("tapnet %s does not say %q: %s", args[0], sign, complaint.Bytes())
	}
	return stop
}

// run runs a command and returns its exit code and both its outputs.
func (p *program) run(args ...string) (code int, out, complaint string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), clientWithin)
	defer cancel()
	command := exec.CommandContext(ctx, p.binary, append(args, "--json")...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.Fatalf("tapnet %s: %v", strings.Join(args, " "), err)
	}
	return command.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// network has software of others read a personalised card of a running network, and our own commands pay with it through the reader.
func (d *daemon) network(t *testing.T) {
	p := buildProgram(t)
	stopUp := p.background(`"addresses"`, "up", "--listen", "acquirer=127.0.0.1:0,switch=127.0.0.1:0")
	stopServe := p.background(`"inserted"`, "card", "serve", "--vpcd", d.address(0), "--card", "lin")
	state, err := pcsc.WaitForCard(t.Context(), pcsc.Config{}, d.reader(0), cardWithin)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("clients", func(t *testing.T) { d.clients(t, state) })
	t.Run("commands", func(t *testing.T) { p.TB = t; p.payments(d) })
	t.Run("taken", func(t *testing.T) { p.TB = t; p.taken(d) })
	p.TB = t
	stopServe()
	if _, err := pcsc.WaitForRemoval(t.Context(), pcsc.Config{}, d.reader(0), cardWithin); err != nil {
		t.Fatal(err)
	}
	code, _, complaint := p.run("tap", "--reader", d.reader(0), "--at", "shop-1", "--amount", "5.00", "--wait", "1s", "--data", p.data)
	if code != 3 || !strings.Contains(complaint, "8010000C") {
		t.Errorf("tap without a card: exit code %d, %s", code, complaint)
	}
	stopUp()
	if code, out, complaint := p.run("verify", p.data); code != 0 {
		t.Errorf("verify: exit code %d\n%s%s", code, out, complaint)
	}
}

// payments pays online and offline, reads the card and looks at the reader.
func (p *program) payments(d *daemon) {
	p.Helper()
	for _, c := range []struct{ at, amount, outcome string }{
		{"shop-1", "299.00", "approved"}, {"canteen", "9.00", "approved-offline"}, {"shop-1", "1.00", "approved"},
	} {
		code, out, complaint := p.run("tap", "--reader", d.reader(0), "--at", c.at, "--amount", c.amount, "--data", p.data)
		var result struct {
			Card, Outcome, Reason string
			Microseconds          int64 `json:"duration_us"`
		}
		if err := json.Unmarshal([]byte(out), &result); err != nil || code != 0 || result.Outcome != c.outcome || result.Card != "lin" {
			p.Errorf("tap %s at %s: exit code %d, %+v\n%s", c.amount, c.at, code, result, complaint)
			continue
		}
		p.Logf("measured: a payment of %s at %s through pcscd: %s, %d µs", c.amount, c.at, result.Outcome, result.Microseconds)
	}
	code, out, complaint := p.run("card", "read", "--reader", d.reader(0))
	if code != 0 || !strings.Contains(out, `"applications":1`) || strings.Count(out, `"command":"READ RECORD`) < 3 || !strings.Contains(out, "9F79") {
		p.Errorf("card read: exit code %d\n%.500s%s", code, out, complaint)
	}
	code, out, complaint = p.run("doctor", "--reader", "--data", p.data)
	if code != 0 || !strings.Contains(out, `"id":"command-time"`) {
		p.Errorf("doctor: exit code %d\n%s%s", code, out, complaint)
	}
}

// taken asks for a card that another program has: that is said, with the code of PC/SC.
func (p *program) taken(d *daemon) {
	p.Helper()
	connect(p.TB, d, 0)
	code, _, complaint := p.run("tap", "--reader", "any", "--at", "shop-1", "--amount", "5.00", "--data", p.data)
	if code != 3 || !strings.Contains(complaint, "8010000B") {
		p.Errorf("exit code %d, %s", code, complaint)
	}
}

// clients has every program list the reader, select directory and application, and read the same records as our reader does.
func (d *daemon) clients(t *testing.T, state pcsc.State) {
	atr := hex.EncodeToString(state.ATR)
	selectDirectory, selectDebit := hexOf(apdu.Select(emv.PPSE.Bytes())), hexOf(apdu.Select(emv.AIDDebit.Bytes()))
	ours := d.ourRecords(t)
	t.Run("opensc-tool", func(t *testing.T) {
		if got := client(t, "", "opensc-tool", "--list-readers"); !strings.Contains(got, d.reader(0)) {
			t.Errorf("readers:\n%s", got)
		}
		if got := client(t, "", "opensc-tool", "-r", d.reader(0), "-a"); strings.ReplaceAll(strings.TrimSpace(got), ":", "") != atr {
			t.Errorf("ATR %s, want %s", got, atr)
		}
		got := client(t, "", "opensc-tool", "-r", d.reader(0), "-s", selectDirectory, "-s", selectDebit)
		if strings.Count(got, "SW1=0x90, SW2=0x00") != 2 || !strings.Contains(got, "2PAY.SYS.DDF") {
			t.Errorf("%s", got)
		}
	})
	t.Run("scriptor", func(t *testing.T) {
		got := client(t, "reset\n"+selectDirectory+"\n"+selectDebit+"\n00A4040005A00000999900\n", "scriptor", "-r", d.reader(0))
		if strings.Count(got, "Normal processing") != 2 || !strings.Contains(got, "6A 82") {
			t.Errorf("%s", got)
		}
	})
	t.Run("pcsc_scan", func(t *testing.T) {
		got := strings.ToLower(strings.ReplaceAll(client(t, "", "pcsc_scan", "-c"), " ", ""))
		if !strings.Contains(got, "cardinserted") || !strings.Contains(got, "atr:"+atr) {
			t.Errorf("%s", got)
		}
	})
	t.Run("pyscard", func(t *testing.T) {
		d.sameAs(t, atr, ours, client(t, "", "/usr/bin/python3", "pcsc/read.py", d.reader(0)))
	})
	t.Run("npm smartcard", func(t *testing.T) {
		if os.Getenv("TAPNET_SMARTCARD_MODULES") == "" {
			t.Fatal("TAPNET_SMARTCARD_MODULES is not set: run scripts/thirdparty")
		}
		d.sameAs(t, atr, ours, client(t, "", "node", "smartcard/read.js", d.reader(0)))
	})
}

// sameAs compares what a client read with what we read.
func (d *daemon) sameAs(t *testing.T, atr string, ours []string, printed string) {
	t.Helper()
	var got struct {
		Readers, Records []string
		ATR, AID         string
	}
	if err := json.Unmarshal([]byte(printed), &got); err != nil {
		t.Fatalf("%v in %.200s", err, printed)
	}
	if !slices.Contains(got.Readers, d.reader(0)) || got.ATR != atr || got.AID != hex.EncodeToString(emv.AIDDebit.Bytes()) {
		t.Errorf("readers %q, ATR %s, application %s", got.Readers, got.ATR, got.AID)
	}
	if len(ours) == 0 || !slices.Equal(got.Records, ours) {
		t.Errorf("the client read %d records, we read %d, and they are not the same", len(got.Records), len(ours))
	}
}

// ourRecords reads the files that the clients read.
func (d *daemon) ourRecords(t *testing.T) (records []string) {
	t.Helper()
	reader := pcsc.NewReader(pcsc.Config{}, d.reader(0))
	if _, err := reader.Connect(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := reader.Disconnect(); err != nil {
			t.Error(err)
		}
	}()
	send := func(c apdu.Command) apdu.Response {
		answer, err := reader.Transceive(t.Context(), c.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		r, err := apdu.ParseResponse(answer)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := send(apdu.Select(emv.AIDDebit.Bytes())); r.SW != apdu.OK {
		t.Fatal(r)
	}
	for file := byte(1); file <= 10; file++ {
		for number := byte(1); number <= 8; number++ {
			if r := send(apdu.ReadRecord(file, number)); r.SW == apdu.OK {
				records = append(records, hex.EncodeToString(r.Data))
			}
		}
	}
	return records
}

func hexOf(c apdu.Command) string { return strings.ToUpper(hex.EncodeToString(c.Bytes())) }

// TestPCSC runs everything against one daemon: it takes two seconds to stop.
func TestPCSC(t *testing.T) {
	d := startDaemon(t)
	t.Run("round trip", d.roundTrip)
	t.Run("forms", d.forms)
	t.Run("contacts", d.contacts)
	t.Run("network", d.network)
	t.Run("gate", d.gate)
	t.Run("gate command", d.gateCommand)
}

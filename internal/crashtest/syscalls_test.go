//go:build thirdparty && linux

package crashtest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tapnet/iso8583/unionpay"
)

// tracedCalls change files or send on sockets. Reads change nothing.
const tracedCalls = "open,openat,creat,close,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate," +
	"unlink,unlinkat,rename,renameat,renameat2,sendto,sendmsg"

// call is one system call. It began with line begin of the log and was over with line end: whatever has a later begin came after it.
type call struct {
	begin, end int
	name       string
	fd         int
	path       string // of the descriptor, or of the name
	other      string // what a rename renames to
	flags      string // of openat
	data       []byte // as much as was written
	offset     int64  // of pwrite64, size of ftruncate
	result     int64
}

// readTrace reads what strace wrote with -f -yy -xx.
func readTrace(path string) ([]call, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, 1<<20)
	var calls []call
	type begun struct {
		line int
		text string
	}
	open := map[string]begun{}
	for line := 1; ; line++ {
		text, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, err
		}
		process, rest, ok := strings.Cut(strings.TrimSuffix(text, "\n"), " ")
		rest = strings.TrimLeft(rest, " ")
		if !ok || strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
			continue
		}
		start := line
		if head, unfinished := strings.CutSuffix(rest, " <unfinished ...>"); unfinished {
			open[process] = begun{line, head}
			continue
		}
		if strings.HasPrefix(rest, "<... ") {
			_, tail, found := strings.Cut(rest, " resumed>")
			head, known := open[process]
			if !found || !known {
				return nil, fmt.Errorf("line %d resumes nothing", line)
			}
			delete(open, process)
			start, rest = head.line, head.text+tail
		}
		c, err := parseCall(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		c.begin, c.end = start, line
		calls = append(calls, c)
	}
}

// parseCall reads name(arguments) = result.
func parseCall(text string) (c call, err error) {
	var rest string
	var ok bool
	if c.name, rest, ok = strings.Cut(text, "("); !ok {
		return c, fmt.Errorf("no call: %.80s", text)
	}
	at := strings.LastIndex(rest, " = ")
	if at < 0 {
		return c, fmt.Errorf("no result: %.80s", text)
	}
	result, _, _ := strings.Cut(rest[at+len(" = "):], " ")
	result, _, _ = strings.Cut(result, "<")
	rest = strings.TrimSuffix(strings.TrimRight(rest[:at], " "), ")")
	if result == "?" { // the process ended inside
		c.result = -1
	} else if c.result, err = strconv.ParseInt(result, 0, 64); err != nil {
		return c, fmt.Errorf("result %q: %.80s", result, text)
	}
	arguments := splitArguments(rest)
	switch c.name {
	case "openat":
		if len(arguments) >= 3 {
			c.path, c.flags = unquote(arguments[1]), arguments[2]
		}
	case "open":
		c.path, c.flags = unquote(arguments[0]), arguments[1]
	case "creat":
		c.path, c.flags = unquote(arguments[0]), "O_CREAT|O_TRUNC"
	case "unlink":
		c.path = unquote(arguments[0])
	case "unlinkat":
		c.path = unquote(arguments[1])
	case "rename":
		c.path, c.other = unquote(arguments[0]), unquote(arguments[1])
	case "renameat", "renameat2":
		c.path, c.other = unquote(arguments[1]), unquote(arguments[3])
	default:
		if c.fd, c.path, err = descriptor(arguments[0]); err != nil {
			return c, err
		}
	}
	switch c.name {
	case "write", "pwrite64", "sendto":
		if c.result > 0 {
			c.data = []byte(unquote(arguments[1]))
			if int64(len(c.data)) < c.result {
				return c, fmt.Errorf("%s of %d bytes shows %d", c.name, c.result, len(c.data))
			}
			c.data = c.data[:c.result]
		}
		if c.name == "pwrite64" {
			c.offset, err = strconv.ParseInt(arguments[3], 0, 64)
		}
	case "ftruncate":
		c.offset, err = strconv.ParseInt(arguments[1], 0, 64)
	}
	return c, err
}

// splitArguments cuts at commas outside of quotes, brackets and braces.
func splitArguments(text string) (arguments []string) {
	depth, quoted, from := 0, false, 0
	for i := range len(text) {
		switch b := text[i]; {
		case b == '"':
			quoted = !quoted // -xx leaves no quote inside
		case quoted:
		case strings.IndexByte("[{<", b) >= 0:
			depth++
		case strings.IndexByte("]}", b) >= 0, b == '>' && i > 0 && text[i-1] != '-':
			depth--
		case b == ',' && depth == 0:
			arguments, from = append(arguments, strings.TrimSpace(text[from:i])), i+1
		}
	}
	return append(arguments, strings.TrimSpace(text[from:]))
}

// unquote reads a string of hexadecimal escapes.
func unquote(text string) string {
	text = strings.Trim(text, `".`)
	out := make([]byte, 0, len(text)/4)
	for i := 0; i < len(text); {
		if strings.HasPrefix(text[i:], `\x`) && i+4 <= len(text) {
			if b, err := strconv.ParseUint(text[i+2:i+4], 16, 8); err == nil {
				out, i = append(out, byte(b)), i+4
				continue
			}
		}
		out, i = append(out, text[i]), i+1
	}
	return string(out)
}

// descriptor reads 19</path> or 26<TCP:[…]>.
func descriptor(text string) (fd int, path string, err error) {
	number, rest, _ := strings.Cut(text, "<")
	fd, err = strconv.Atoi(number)
	return fd, unquote(strings.TrimSuffix(strings.TrimSuffix(rest, "(deleted)"), ">")), err
}

// traced is a bank whose every write was seen.
type traced struct {
	calls []call
	sent  []sent
	load  sums
	crowd *crowd
	bank  *bank
	dir   string
	path  string // of the journal
}

// sent is an answer that left: not before call began.
type sent struct {
	call  *call
	key   string
	class unionpay.MTI
	code  unionpay.ResponseCode
	auth  string
}

// Shape of the load of a traced bank: two floods and between them a trickle, which gives the log of the database the moment it needs to be carried over
// whole and begin anew, where the store does that after some eight thousand rows. The flood leaves little of the way to that for the trickle.
const (
	tracedCards   = 48
	tracedFlood   = 163
	tracedTrickle = 300 // at most
)

// trace runs a bank under strace, from an empty journal to its orderly end.
func trace(t testing.TB, seed uint64) *traced {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is not installed: on Debian, apt-get install strace (scripts/thirdparty does)")
	}
	b, chips := openBank(t, tracedCards)
	if err := os.RemoveAll(filepath.Join(b.dir, "journals")); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "strace.log")
	b.wrap = []string{"strace", "-f", "-yy", "-xx", "-s", "4194304", "-e", "signal=none", "-e", "trace=" + tracedCalls, "-o", log}
	p := b.up()
	load := newCrowd(b.hub, chips, seed, tracedFlood)
	flood := func() {
		load.begin()
		load.group.Wait()
	}
	flood()
	alone := load.holders[0]
	generation := walGeneration(t, b.dir)
	for range tracedTrickle {
		if walGeneration(t, b.dir) != generation {
			break
		}
		before := modified(t, b.dir)
		r, err := alone.next()
		if err == nil {
			err = alone.pay(r)
		}
		if err != nil {
			t.Fatal(err)
		}
		pause(t, p, 4*time.Millisecond)
		if modified(t, b.dir) != before { // it is being carried over: whole, if nothing comes between
			pause(t, p, time.Second/2)
		}
	}
	for _, h := range load.holders {
		h.most = len(h.records) + tracedFlood/3
	}
	flood()
	load.audit(8)
	terminate(t, p, log)
	b.hub.gone()
	b.wrap = nil
	found := &traced{load: load.sums(t), crowd: load, bank: b, dir: b.dir, path: journalPath(b.dir)}
	var err error
	if found.calls, err = readTrace(log); err != nil {
		t.Fatal(err)
	}
	found.collect(t)
	return found
}

// walGeneration is the number in the head of SQLite's log that rises when the log begins anew.
func walGeneration(t testing.TB, dir string) uint32 {
	t.Helper()
	file, err := os.Open(journalPath(dir) + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var head [16]byte
	if _, err := io.ReadFull(file, head[:]); err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint32(head[12:])
}

// modified is when the database itself was last written, which the bank does not do but in carrying over the log.
func modified(t testing.TB, dir string) time.Time {
	t.Helper()
	info, err := os.Stat(journalPath(dir))
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// terminate ends the traced process, whose number begins the log, so that strace ends by itself.
func terminate(t testing.TB, p *process, log string) {
	t.Helper()
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var child int
	if _, err := fmt.Fscan(file, &child); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(child, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	within(t, "the traced bank ends", p.ended)
	if p.err != nil {
		t.Fatalf("the traced bank ended with %v\n%s", p.err, p.stderr.String())
	}
}

// collect reads the answers out of what went onto sockets.
func (tr *traced) collect(t testing.TB) {
	t.Helper()
	streams := map[string][]byte{}
	for i := range tr.calls {
		c := &tr.calls[i]
		if !strings.HasPrefix(c.path, "TCP") || len(c.data) == 0 {
			continue
		}
		if c.name != "write" {
			t.Fatalf("%s on a socket: this test follows write only", c.name)
		}
		stream := append(streams[c.path], c.data...)
		for len(stream) >= 4 {
			length, err := strconv.Atoi(string(stream[:4]))
			if err != nil {
				t.Fatalf("a frame begins with %q", stream[:4])
			}
			if len(stream) < 4+length {
				break
			}
			m, err := unionpay.Decode(unionpay.Switch, stream[4:4+length])
			if err != nil {
				t.Fatalf("a frame of the bank: %v", err)
			}
			stream = stream[4+length:]
			switch m := m.(type) {
			case *unionpay.FinancialResponse:
				tr.sent = append(tr.sent, sent{call: c, key: unionpay.NetworkKey(m), class: m.Type(), code: m.Response, auth: m.AuthCode})
			case *unionpay.ReversalResponse:
				tr.sent = append(tr.sent, sent{call: c, key: unionpay.NetworkKey(m), class: m.Type(), code: m.Response})
			}
		}
		streams[c.path] = stream
	}
}

// TestStrace records one bank and looks at it twice.
func TestStrace(t *testing.T) {
	seed := seedOf(t)
	began := time.Now()
	tr := trace(t, seed)
	t.Logf("%v; %d answers and %d calls recorded in %v", tr.load, len(tr.sent), len(tr.calls), time.Since(began).Round(time.Millisecond))
	t.Run("Order", tr.testOrder)
	t.Run("PowerCut", func(t *testing.T) { tr.testPowerCut(t, seed) })
}

// testOrder: before an answer leaves, a page of the log with its row has been written, and the log synced after that.
func (tr *traced) testOrder(t *testing.T) {
	if wrong := tr.disorder(t, func(c *call) bool { return c.name == "fsync" || c.name == "fdatasync" }); len(wrong) > 0 {
		t.Errorf("%d answers left too early, the first: %s", len(wrong), wrong[0])
	}
	// The same trace without its syncs has no answer in order: the test can fail.
	if wrong := tr.disorder(t, func(*call) bool { return false }); len(wrong) != len(tr.sent) {
		t.Errorf("without syncs %d of %d answers are in order", len(tr.sent)-len(wrong), len(tr.sent))
	}
	count := map[string]int{}
	for i := range tr.calls {
		if strings.HasPrefix(tr.calls[i].path, tr.path) {
			count[tr.calls[i].name]++
		}
	}
	t.Logf("%d answers left in order; calls on the journal's files: %v", len(tr.sent), count)
}

// disorder finds the answers that left before their row was synced.
func (tr *traced) disorder(t testing.TB, isSync func(*call) bool) (wrong []string) {
	t.Helper()
	if len(tr.sent) == 0 {
		t.Fatal("no answers")
	}
	const timeAndTrace = 10 + 6 // what differs between the keys of these payments, with the class at the end
	common := tr.sent[0].key[timeAndTrace : len(tr.sent[0].key)-1]
	written := map[string]*call{} // the first write of a page with the key
	durable := map[string]int{}   // the line at which the log had been synced after it
	var pending []string
	for i := range tr.calls {
		c := &tr.calls[i]
		switch {
		case c.path != tr.path+"-wal":
		case c.name == "pwrite64":
			for rest := string(c.data); ; {
				at := strings.Index(rest, common)
				if at < 0 {
					break
				}
				if end := at + len(common) + 1; at >= timeAndTrace && end <= len(rest) {
					if key := rest[at-timeAndTrace : end]; written[key] == nil {
						written[key], pending = c, append(pending, key)
					}
				}
				rest = rest[at+1:]
			}
		case isSync(c) && c.result == 0:
			left := pending[:0]
			for _, key := range pending {
				if written[key].end < c.begin {
					durable[key] = c.end
				} else {
					left = append(left, key)
				}
			}
			pending = left
		}
	}
	for _, s := range tr.sent {
		if synced, ok := durable[s.key]; !ok || synced >= s.call.begin {
			wrong = append(wrong, fmt.Sprintf("%s %s left with line %d of the trace, its row was synced with line %d", s.class, s.key, s.call.begin, synced))
		}
	}
	return wrong
}

package vpcd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/internal/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// paper is a card that remembers what was done to it.
type paper struct {
	atr    []byte
	did    []string
	gone   bool // it leaves at the next command
	answer []byte
}

func newPaper() *paper {
	return &paper{atr: []byte{0x3B, 0x80, 0x80, 0x01, 0x01}, answer: []byte{0x90, 0x00}}
}

func (p *paper) ATR() []byte { return p.atr }
func (p *paper) PowerOn()    { p.did = append(p.did, "on") }
func (p *paper) PowerOff()   { p.did = append(p.did, "off") }
func (p *paper) Process(command []byte) ([]byte, bool) {
	p.did = append(p.did, "process")
	return p.answer, !p.gone
}

// driver is the reader's side: it accepts cards on TCP.
type driver struct {
	testing.TB
	net.Listener
}

func newDriver(t testing.TB) *driver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return &driver{t, l}
}

func (d *driver) accept() net.Conn {
	d.Helper()
	conn, err := d.Accept()
	if err != nil {
		d.Fatal(err)
	}
	return conn
}

// send writes length and body apart, as the driver does.
func (d *driver) send(conn net.Conn, message ...byte) {
	d.Helper()
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(message)))
	for _, part := range [][]byte{head[:], message} {
		if _, err := conn.Write(part); err != nil {
			d.Fatal(err)
		}
	}
}

func (d *driver) receive(conn net.Conn) []byte {
	d.Helper()
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		d.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		d.Fatal(err)
	}
	return b
}

// start serves a card until the returned function is called.
func start(t testing.TB, config Config) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, config) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func TestServe(t *testing.T) {
	d, card := newDriver(t), newPaper()
	var events []EventKind
	stop := start(t, Config{Address: d.Addr().String(), Card: card, Notify: func(e Event) { events = append(events, e.Kind) }})
	conn := d.accept()
	d.send(conn, controlATR)
	if got := d.receive(conn); !bytes.Equal(got, card.atr) {
		t.Errorf("ATR %X", got)
	}
	d.send(conn, controlOn)
	d.send(conn, controlATR)
	d.receive(conn)
	d.send(conn, controlReset)
	d.send(conn, 0x77) // unknown: no answer, no harm
	d.send(conn, 0x00, 0xA4, 0x04, 0x00)
	if got := d.receive(conn); !bytes.Equal(got, card.answer) {
		t.Errorf("answer %X", got)
	}
	d.send(conn, bytes.Repeat([]byte{1}, 5000)...)
	if got := d.receive(conn); !bytes.Equal(got, []byte{0x67, 0x00}) {
		t.Errorf("answer to a long command %X", got)
	}
	d.send(conn, controlOff)
	d.send(conn, controlATR)
	d.receive(conn)
	stop()
	if got := strings.Join(card.did, " "); got != "on on process off off" {
		t.Errorf("the card saw: %s", got)
	}
	want := []EventKind{Inserted, PoweredOn, PoweredOn, Exchanged, PoweredOff, Removed}
	if len(events) != len(want) {
		t.Fatalf("events %v", events)
	}
	for i := range want {
		if events[i] != want[i] {
			t.Errorf("event %d is %d, want %d", i, events[i], want[i])
		}
	}
	_ = conn.Close()
}

// TestComesBack: a card that left, a reader that breaks off and a message of nothing all end the connection, and a new one follows.
func TestComesBack(t *testing.T) {
	hands := clock.NewManual(time.Unix(0, 0))
	d, card := newDriver(t), newPaper()
	stop := start(t, Config{Address: d.Addr().String(), Card: card, Clock: hands})
	defer stop()
	for _, end := range []func(net.Conn){
		func(conn net.Conn) { card.gone = true; d.send(conn, 0x00, 0xA4, 0x04, 0x00) },
		func(conn net.Conn) { d.send(conn) },
		func(conn net.Conn) {
			card.gone, card.answer = false, make([]byte, maxAnswerBytes+1)
			d.send(conn, 0, 1, 2, 3)
		},
		func(conn net.Conn) { _, _ = conn.Write([]byte{0x00, 0x10, 0x01}); _ = conn.Close() },
	} {
		conn := d.accept()
		d.send(conn, controlATR)
		d.receive(conn)
		end(conn)
		if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("the card does not hang up: %v", err)
		}
		_ = conn.Close()
		waitFor(t, hands)
		hands.Advance(firstPause)
	}
	conn := d.accept()
	_ = conn.Close()
}

// waitFor returns when somebody waits on the clock.
func waitFor(t testing.TB, hands *clock.Manual) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		if hands.Pending() > 0 {
			return
		}
		<-tick.C
	}
	t.Fatal("nobody waits")
}

func TestPausesGrow(t *testing.T) {
	hands := clock.NewManual(time.Unix(0, 0))
	tried := make(chan struct{}, 16)
	waits := 0
	stop := start(t, Config{Card: newPaper(), Clock: hands,
		Notify: func(e Event) {
			if e.Kind == Waiting && e.Err != nil {
				waits++
			}
		},
		Dial: func(context.Context) (net.Conn, error) { tried <- struct{}{}; return nil, errors.New("nobody there") }})
	var pauses []time.Duration
	for range 9 {
		<-tried
		waitFor(t, hands)
		next, _ := hands.NextAt()
		pauses = append(pauses, next.Sub(hands.Now()))
		hands.Set(next)
	}
	<-tried
	stop()
	if pauses[0] != firstPause || pauses[1] != 2*firstPause || pauses[8] != lastPause {
		t.Errorf("pauses %v", pauses)
	}
	if waits != 1 {
		t.Errorf("told %d times that nobody is there", waits)
	}
}

func TestServeRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no card":    {Address: "127.0.0.1:1"},
		"no address": {Card: newPaper()},
		"no ATR":     {Address: "127.0.0.1:1", Card: &paper{}},
	} {
		if err := Serve(t.Context(), c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// FuzzServe: whatever the driver sends, the card's end answers, ignores or hangs up.
func FuzzServe(f *testing.F) {
	f.Add([]byte{0, 1, 4, 0, 1, 1, 0, 4, 0, 0xA4, 4, 0, 0, 1, 0})
	f.Add([]byte{0xFF, 0xFF, 0})
	f.Add([]byte{0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }()
		go func() {
			_, _ = far.Write(b)
			_ = far.Close()
		}()
		insert(t.Context(), Config{Card: newPaper(), Notify: func(Event) {}}, near)
	})
}

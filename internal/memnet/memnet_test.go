package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapnet/internal/clock"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestBothWriteFirst: two ends that write before they read do not wait for each other, as they would on net.Pipe.
func TestBothWriteFirst(t *testing.T) {
	a, b := Pipe(clock.NewManual(start))
	for _, c := range []*Conn{a, b} {
		_, err := c.Write([]byte("hello"))
		must(t, err)
	}
	for _, c := range []*Conn{a, b} {
		got := make([]byte, 5)
		_, err := io.ReadFull(c, got)
		must(t, err)
		if string(got) != "hello" {
			t.Errorf("read %q", got)
		}
	}
}

// TestStream: many bytes through a small buffer arrive in order, however they are cut.
func TestStream(t *testing.T) {
	a, b := Pipe(clock.NewManual(start))
	want := make([]byte, 5*BufferBytes+123)
	for i := range want {
		want[i] = byte(i * 7 >> 3)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for rest, n := want, 1; len(rest) > 0; n = n*3 + 1 {
			k := min(n, len(rest))
			if _, err := a.Write(rest[:k]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[k:]
		}
		must(t, a.Close())
	})
	got, err := io.ReadAll(b)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Error("the bytes differ")
	}
	group.Wait()
}

// TestClose: the peer reads what was sent, then EOF; the closed end fails; the peer's writes are a broken pipe.
func TestClose(t *testing.T) {
	a, b := Pipe(clock.NewManual(start))
	_, err := a.Write([]byte("last words"))
	must(t, err)
	must(t, a.Close())
	got, err := io.ReadAll(b)
	if string(got) != "last words" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a closed peer: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read from a closed end: %v", err)
	}
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to a closed end: %v", err)
	}
	for name, err := range map[string]error{"close": a.Close(), "deadline": a.SetDeadline(start)} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s of a closed end: %v", name, err)
		}
	}
}

// TestHalfClose: after CloseWrite the peer reads to the end and may still answer.
func TestHalfClose(t *testing.T) {
	a, b := Pipe(clock.NewManual(start))
	must(t, a.CloseWrite())
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v", err)
	}
	_, err := b.Write([]byte("answer"))
	must(t, err)
	got := make([]byte, 6)
	_, err = io.ReadFull(a, got)
	must(t, err)
	if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after CloseWrite: %v", err)
	}
}

// TestReset: both sides get an error and nothing that was under way.
func TestReset(t *testing.T) {
	a, b := Pipe(clock.NewManual(start))
	_, err := a.Write([]byte("lost"))
	must(t, err)
	a.Reset()
	for name, c := range map[string]*Conn{"a": a, "b": b} {
		if n, err := c.Read(make([]byte, 9)); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: read %d, %v", name, n, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: write %v", name, err)
		}
	}
}

// TestUnblocks: what ends a waiting Read and a waiting Write.
func TestUnblocks(t *testing.T) {
	ends := map[string]struct {
		end         func(near, far *Conn, c *clock.Manual)
		read, write error
	}{
		"deadline":   {func(near, _ *Conn, c *clock.Manual) { c.Advance(time.Second) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		"own close":  {func(near, _ *Conn, _ *clock.Manual) { _ = near.Close() }, net.ErrClosed, net.ErrClosed},
		"peer close": {func(_, far *Conn, _ *clock.Manual) { _ = far.Close() }, io.EOF, syscall.EPIPE},
		"reset":      {func(_, far *Conn, _ *clock.Manual) { far.Reset() }, syscall.ECONNRESET, syscall.ECONNRESET},
	}
	for name, v := range ends {
		for _, reading := range []bool{true, false} {
			c := clock.NewManual(start)
			near, far := Pipe(c)
			must(t, near.SetDeadline(start.Add(time.Second)))
			waiting, result := make(chan struct{}), make(chan error)
			go func() {
				close(waiting)
				var err error
				if reading {
					_, err = near.Read(make([]byte, 1))
				} else {
					_, err = near.Write(make([]byte, BufferBytes+1))
				}
				result <- err
			}()
			<-waiting
			v.end(near, far, c)
			want := v.read
			if !reading {
				want = v.write
			}
			if err := <-result; !errors.Is(err, want) {
				t.Errorf("%s, reading %t: %v, want %v", name, reading, err, want)
			}
		}
	}
}

// TestDeadlines: a deadline in the past fails at once, a new one counts instead of the old, none lets waiting go on.
func TestDeadlines(t *testing.T) {
	c := clock.NewManual(start)
	a, b := Pipe(c)
	must(t, a.SetReadDeadline(start))
	var netError net.Error
	if _, err := a.Read(make([]byte, 1)); !errors.As(err, &netError) || !netError.Timeout() {
		t.Errorf("past deadline: %v", err)
	}
	must(t, a.SetReadDeadline(start.Add(time.Second)))
	must(t, a.SetReadDeadline(start.Add(time.Minute)))
	c.Advance(2 * time.Second)
	_, err := b.Write([]byte("x"))
	must(t, err)
	_, err = a.Read(make([]byte, 1))
	must(t, err)
	must(t, a.SetReadDeadline(time.Time{}))
	c.Advance(time.Hour)
	_, err = b.Write([]byte("y"))
	must(t, err)
	_, err = a.Read(make([]byte, 1))
	must(t, err)
	if n := c.Pending(); n != 0 {
		t.Errorf("%d timers left", n)
	}
}

// TestListener: names, refusal, backlog and closing.
func TestListener(t *testing.T) {
	n := New(clock.NewManual(start))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if _, err := n.Dial(ctx, "host"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling nobody: %v", err)
	}
	l, err := n.Listen("host")
	must(t, err)
	if _, err := n.Listen("host"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	near, err := n.DialContext(ctx, "tcp", "host")
	must(t, err)
	far, err := l.Accept()
	must(t, err)
	if near.RemoteAddr().String() != "host" || far.LocalAddr().String() != "host" || far.RemoteAddr().String() != near.LocalAddr().String() ||
		l.Addr().Network() != "mem" {
		t.Errorf("addresses: %v %v %v %v", near.LocalAddr(), near.RemoteAddr(), far.LocalAddr(), far.RemoteAddr())
	}
	waiting := make([]*Conn, Backlog)
	for i := range waiting {
		waiting[i], err = n.Dial(ctx, "host")
		must(t, err)
	}
	full := make(chan error)
	go func() { _, err := n.Dial(ctx, "host"); full <- err }()
	cancel()
	if err := <-full; !errors.Is(err, context.Canceled) {
		t.Errorf("dialling a full backlog: %v", err)
	}
	accepting := make(chan error)
	must(t, l.Close())
	go func() { _, err := l.Accept(); accepting <- err }()
	if err := <-accepting; !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting on a closed listener: %v", err)
	}
	if _, err := waiting[0].Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection nobody accepted: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closing twice: %v", err)
	}
	again, err := n.Listen("host")
	must(t, err)
	must(t, again.Close())
}

// TestFaults: chosen frames are dropped, doubled, delayed; the caller is told.
func TestFaults(t *testing.T) {
	c := clock.NewManual(start)
	a, b := Pipe(c)
	type told struct {
		number int
		action string
	}
	var done []told
	a.SetFault(&Fault{
		Split: BinaryLengthPrefix,
		Decide: func(number int, frame []byte) Action {
			switch frame[2] {
			case 'd':
				return Drop
			case 't':
				return Duplicate
			case 'l':
				return Delay(time.Second)
			}
			return Pass
		},
		Done: func(number int, _ []byte, action Action) { done = append(done, told{number, action.String()}) },
	})
	frame := func(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }
	var stream []byte
	for _, s := range []string{"one", "drop", "late", "twice", "end"} {
		stream = append(stream, frame(s)...)
	}
	for cut := range stream { // a frame may come in pieces, pieces may hold many frames
		if cut%5 == 0 {
			_, err := a.Write(stream[cut:min(cut+5, len(stream))])
			must(t, err)
		}
	}
	c.Advance(time.Second)
	_, err := a.Write(frame("cut")[:2])
	must(t, err)
	must(t, a.Close())
	got, err := io.ReadAll(b)
	must(t, err)
	want := bytes.Join([][]byte{frame("one"), frame("twice"), frame("twice"), frame("end"), frame("late"), frame("cut")[:2]}, nil)
	if !bytes.Equal(got, want) {
		t.Errorf("arrived %q\nwant    %q", got, want)
	}
	wantTold := []told{{2, "drop"}, {3, "delay 1s"}, {4, "duplicate"}, {3, "pass"}}
	if len(done) != len(wantTold) {
		t.Fatalf("told %v", done)
	}
	for i := range done {
		if done[i] != wantTold[i] {
			t.Errorf("told %v, want %v", done[i], wantTold[i])
		}
	}
}

// TestFaultEdges: cutting, taking a fault away, and frames that never end.
func TestFaultEdges(t *testing.T) {
	c := clock.NewManual(start)
	a, b := Pipe(c)
	a.SetFault(&Fault{Split: DecimalLengthPrefix, Decide: func(int, []byte) Action { return Drop }})
	_, err := a.Write([]byte("0003ab"))
	must(t, err)
	a.SetFault(nil)
	if b.Buffered() != 6 {
		t.Errorf("%d bytes arrived of the frame that was held", b.Buffered())
	}
	a.SetFault(&Fault{Split: func([]byte) int { return 0 }})
	_, err = a.Write(make([]byte, BufferBytes))
	must(t, err)
	if b.Buffered() != 6 {
		t.Error("an incomplete frame passed")
	}
	a.SetFault(&Fault{Decide: func(int, []byte) Action { return Cut }})
	_, _ = a.Write([]byte("x"))
	if _, err := b.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after a cut: %v", err)
	}
	late, gone := Pipe(c)
	var fate []string
	late.SetFault(&Fault{
		Decide: func(int, []byte) Action { return Delay(time.Second) },
		Done:   func(_ int, _ []byte, a Action) { fate = append(fate, a.String()) },
	})
	_, err = late.Write([]byte("x"))
	must(t, err)
	must(t, gone.Close())
	c.Advance(time.Second)
	if len(fate) != 2 || fate[1] != "drop" {
		t.Errorf("a late frame to nobody: %v", fate)
	}
}

// TestSplitters: lengths that are complete, not yet, and none.
func TestSplitters(t *testing.T) {
	for _, v := range []struct {
		split func([]byte) int
		in    string
		want  int
	}{
		{BinaryLengthPrefix, "", 0}, {BinaryLengthPrefix, "\x00", 0}, {BinaryLengthPrefix, "\x00\x00", 2},
		{BinaryLengthPrefix, "\x00\x02a", 0}, {BinaryLengthPrefix, "\x00\x02abc", 4},
		{DecimalLengthPrefix, "000", 0}, {DecimalLengthPrefix, "0000", 4}, {DecimalLengthPrefix, "0002a", 0},
		{DecimalLengthPrefix, "0002abc", 6}, {DecimalLengthPrefix, "GET /", 5}, {DecimalLengthPrefix, "-001", 4},
	} {
		if got := v.split([]byte(v.in)); got != v.want {
			t.Errorf("%q: %d, want %d", v.in, got, v.want)
		}
	}
}

package link

import (
	"bufio"
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"tapnet/internal/memnet"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// TestSlowFrame: a frame that begins and does not end is not waited for, nor does a dribble keep it alive.
func TestSlowFrame(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		w.host.config.Limits.WriteTimeout = 20 * time.Second // so that the frame timer can be told apart
		host := w.onlyHost(t, a, b)
		must(t, checkAlive(t, w, host.Dialect(), a))
		whole := frame(t, host.Dialect(), sale(t, 1), nil)
		_, err := a.Write(whole[:1])
		must(t, err)
		eventually(t, "frame timer", func() bool {
			at, ok := w.clock.NextAt()
			return ok && at.Equal(start0.Add(10*time.Second))
		})
		for i := range 9 {
			w.clock.Advance(time.Second)
			_, err := a.Write(whole[1+i : 2+i])
			must(t, err)
		}
		w.clock.Advance(time.Second)
		if err := next(t, "end", w.host.down); !errors.Is(err, ErrSlowFrame) {
			t.Errorf("ended with %v", err)
		}
		if n := host.Stats().SlowFrames; n != 1 {
			t.Errorf("slow frames counted: %d", n)
		}
	})
}

// eventually waits for a condition that another goroutine brings about at once; it yields, it does not measure time.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !condition() {
		if ctx.Err() != nil {
			t.Fatalf("%s did not happen", what)
		}
		runtime.Gosched()
	}
}

// TestSlowReader: a peer that does not read fills the queue, which Send reports, and is cut off after the write time.
func TestSlowReader(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		w.host.config.Limits.Queue = 8
		w.host.config.Limits.EchoAfter, w.host.config.Limits.IdleClose, w.opener.config.Limits.EchoAfter = -1, -1, -1
		// The opener shares the clock: its own deadlines must not end it first.
		w.opener.config.Limits.FrameTimeout, w.opener.config.Limits.WriteTimeout = 24*time.Hour, 24*time.Hour
		w.opener.config.OnMessage = func(*Session, unionpay.Message, []byte) { <-t.Context().Done() }
		_, host := w.connect(t, a, b)
		answer := approval(t, sale(t, 1))
		for ended := false; !ended; { // until the writer is really stuck, the clock finds nothing to end
			eventually(t, "full queue", func() bool {
				err := host.Send(answer)
				return errors.Is(err, ErrQueueFull) || errors.Is(err, ErrClosed)
			})
			w.clock.Advance(10 * time.Second)
			select {
			case err := <-w.host.down:
				if ended = true; !errors.Is(err, ErrSlowReader) {
					t.Errorf("ended with %v", err)
				}
			default:
			}
		}
		if host.Stats().QueueFull == 0 {
			t.Error("full queue not counted")
		}
	})
}

// TestEcho: after silence the peer is asked; an answer keeps the session, silence ends it (a half-open connection).
func TestEcho(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	near, far := memnet.Pipe(w.clock)
	var cut bool // written before the clock moves, read by the writer of the frame after: the clock orders them
	lost := make(chan int, 10)
	w.opener.config.Limits.EchoAfter = -1 // one side asking is enough to see
	opener, host := w.connect(t, near, far)
	in := host.Stats().FramesIn
	w.clock.Advance(time.Minute)
	eventually(t, "echo answered", func() bool { return host.Stats().FramesIn == in+1 })
	w.clock.Advance(15 * time.Second)
	if !host.Up() || !opener.Up() {
		t.Fatal("an answered echo ended the session")
	}
	cut = true
	near.SetFault(&memnet.Fault{Split: memnet.DecimalLengthPrefix, Decide: func(n int, _ []byte) memnet.Action {
		if cut {
			lost <- n
			return memnet.Drop
		}
		return memnet.Pass
	}})
	w.clock.Advance(45 * time.Second)
	next(t, "lost answer", lost)
	w.clock.Advance(15 * time.Second)
	if err := next(t, "end", w.host.down); !errors.Is(err, ErrSilent) {
		t.Errorf("ended with %v", err)
	}
}

// TestEchoBothWays: both ends of a switch link ask.
func TestEchoBothWays(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	a, b := wires["memnet"](t, w.clock)
	opener, host := w.connect(t, a, b)
	eventually(t, "quiet", func() bool {
		return opener.Stats().FramesIn == host.Stats().FramesOut && host.Stats().FramesIn == opener.Stats().FramesOut
	})
	was := [2]uint64{opener.Stats().FramesIn, host.Stats().FramesIn}
	w.clock.Advance(time.Minute)
	eventually(t, "two echoes and answers", func() bool { return opener.Stats().FramesIn+host.Stats().FramesIn >= was[0]+was[1]+2 })
	w.clock.Advance(time.Minute)
	if !opener.Up() || !host.Up() {
		t.Error("down")
	}
}

// TestSilentTerminal: hosts do not ask terminals; a silent one is let go after the idle time.
func TestSilentTerminal(t *testing.T) {
	w := newWorld(t, unionpay.Terminal)
	w.opener.config.Limits.EchoAfter = -1
	a, b := wires["memnet"](t, w.clock)
	w.connect(t, a, b)
	w.clock.Advance(4 * time.Minute)
	none(t, "end", w.host.down)
	w.clock.Advance(time.Minute)
	if err := next(t, "end", w.host.down); !errors.Is(err, ErrSilent) {
		t.Errorf("ended with %v", err)
	}
}

// TestKeyChange: keys change while business goes on; a message under the old key is accepted until the grace ends, and not after.
func TestKeyChange(t *testing.T) {
	for _, choice := range []KeyChangeMAC{KeyInForce, NewKey} {
		w := newWorld(t, unionpay.Switch)
		w.host.config.KeyChangeMAC = choice
		w.opener.config.Limits.EchoAfter, w.host.config.Limits.EchoAfter = -1, -1
		a, b := wires["memnet"](t, w.clock)
		opener, host := w.connect(t, a, b)
		oldMAC := func(m uint32) []byte { return frame(t, unionpay.Switch, sale(t, m), computeWith(w.opener, switchID)) }
		before := oldMAC(1)
		w.clock.Advance(time.Minute) // the grace of the first key is over
		must(t, host.ChangeKeys())
		for stan := range uint32(20) {
			must(t, opener.Send(sale(t, stan+10)))
			must(t, host.Send(approval(t, sale(t, stan+10))))
		}
		for range 20 {
			next(t, "question", w.host.got)
			next(t, "answer", w.opener.got)
		}
		eventually(t, "key change done", func() bool {
			host.mu.Lock()
			defer host.mu.Unlock()
			return len(host.machine.todo) == 0
		})
		ours, _ := w.host.hsm.Info("key/" + acquirerID + "/pin")
		theirs, _ := w.opener.hsm.Info("key/" + switchID + "/pin")
		if ours.KCV != theirs.KCV {
			t.Error("the PIN keys differ")
		}
		inject(opener, before)
		next(t, "question under the old key", w.host.got)
		w.clock.Advance(time.Minute)
		inject(opener, before)
		if p := unionpay.PaymentOf(next(t, "refusal", w.opener.got).message); p.Response != unionpay.MACError {
			t.Errorf("old key after the grace: answered %q", p.Response)
		}
		none(t, "delivered", w.host.got)
		if n := host.Stats().BadMAC + opener.Stats().BadMAC; n != 1 {
			t.Errorf("bad MACs: %d", n)
		}
		finish(t, opener, host)
	}
}

func computeWith(s *side, peer string) unionpay.MACFunc {
	return func(input []byte) ([8]byte, error) { return s.ring.MAC(peer, input) }
}

// TestForgedKeyChange: a key exchange by somebody without the keys is refused and the session ends.
func TestForgedKeyChange(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	a, b := wires["memnet"](t, w.clock)
	opener, host := w.connect(t, a, b)
	keys, _, err := w.host.ring.Issue(acquirerID, true, false)
	must(t, err)
	forged := &unionpay.NetworkRequest{STAN: 9, Time: "1121010203", Institution: switchID, Code: unionpay.KeyExchange, Keys: &keys}
	inject(host, frame(t, unionpay.Switch, forged, wrongMAC))
	if err := next(t, "end", w.opener.down); !errors.Is(err, ErrKeyChange) {
		t.Errorf("ended with %v", err)
	}
	if n := opener.Stats().BadMAC; n != 1 {
		t.Errorf("bad MACs: %d", n)
	}
}

// TestSignOnAgain: an opener that signs on again gets new keys; the session stays.
func TestSignOnAgain(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		opener, host := w.connect(t, a, b)
		info, _ := w.opener.hsm.Info("key/" + host.Name() + "/pin")
		must(t, opener.SignOn())
		next(t, "up again", w.host.up)
		next(t, "up again", w.opener.up)
		again, _ := w.opener.hsm.Info("key/" + host.Name() + "/pin")
		if info.KCV == again.KCV {
			t.Error("the keys are the same")
		}
		must(t, opener.Send(sale(t, 6)))
		next(t, "question", w.host.got)
		if host.SignOn() == nil || host.SignOff() == nil || opener.ChangeKeys() == nil {
			t.Error("the wrong side may sign on, sign off or change keys")
		}
	})
}

// TestDialer: no listener, then one, then a cut: the pauses double up to the limit, begin again after a sign-on, and business goes on.
func TestDialer(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	network := memnet.New(w.clock)
	conns := make(chan *memnet.Conn, 10)
	network.OnConnect(func(dialler, _ *memnet.Conn) { conns <- dialler })
	pauses := make(chan time.Duration, 10)
	d, err := NewDialer(DialerConfig{
		Session:    w.opener.config,
		Dial:       func(ctx context.Context) (net.Conn, error) { return network.DialContext(ctx, "", "switch") },
		MinBackoff: time.Second, MaxBackoff: 4 * time.Second,
		OnRetry: func(_ error, pause time.Duration) { pauses <- pause },
	})
	must(t, err)
	server, err := NewServer(w.host.config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- d.Run(ctx) }()
	if err := d.Send(sale(t, 1)); !errors.Is(err, ErrNotConnected) {
		t.Errorf("sending without a connection: %v", err)
	}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 4 * time.Second} {
		if pause := next(t, "pause", pauses); pause != want {
			t.Errorf("pause %v, want %v", pause, want)
		}
		if want == 4*time.Second && len(pauses) == 0 && d.Session() == nil && w.clock.Now().Sub(start0) > 6*time.Second {
			break
		}
		w.clock.Advance(want)
	}
	l, err := network.Listen("switch")
	must(t, err)
	go func() { ended <- server.Serve(ctx, l) }()
	w.clock.Advance(4 * time.Second)
	next(t, "up", w.opener.up)
	s := next(t, "up", w.host.up)
	if got, ok := server.Session(acquirerID); !ok || got != s || len(server.Peers()) != 1 || !d.Up() {
		t.Error("the server does not know its peer")
	}
	must(t, d.Send(sale(t, 1)))
	next(t, "question", w.host.got)
	next(t, "connection", conns).Reset()
	if pause := next(t, "pause after a cut", pauses); pause != time.Second {
		t.Errorf("pause after a session that was up: %v", pause)
	}
	w.clock.Advance(time.Second)
	next(t, "up again", w.opener.up)
	next(t, "up again", w.host.up)
	must(t, d.Send(sale(t, 2)))
	next(t, "question", w.host.got)
	must(t, server.Send(acquirerID, approval(t, sale(t, 2))))
	next(t, "answer", w.opener.got)
	cancel()
	must(t, next(t, "end", ended))
	must(t, next(t, "end", ended))
	if server.Connections() != 0 || server.Send(acquirerID, sale(t, 3)) == nil {
		t.Error("the server still has connections")
	}
}

// TestServerReplaces: a peer that signs on over a second connection takes the place of the first. The limit on connections holds.
func TestServerReplaces(t *testing.T) {
	w := newWorld(t, unionpay.Terminal)
	network := memnet.New(w.clock)
	l, err := network.Listen("acquirer")
	must(t, err)
	w.host.config.Limits.MaxSessions = 2
	server, err := NewServer(w.host.config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	dial := func() net.Conn {
		c, err := network.Dial(ctx, "acquirer")
		must(t, err)
		return c
	}
	first, err := Open(dial(), w.opener.config)
	must(t, err)
	next(t, "up", w.host.up)
	second, err := Open(dial(), w.opener.config)
	must(t, err)
	newer := next(t, "up", w.host.up)
	if err := next(t, "end of the first", w.host.down); !errors.Is(err, ErrReplaced) {
		t.Errorf("ended with %v", err)
	}
	if s, _ := server.Session(terminalID); s != newer {
		t.Error("not the newer session")
	}
	next(t, "opener's end", w.opener.down)
	spare := dial()
	eventually(t, "second place taken", func() bool { return server.Connections() == 2 })
	third, err := Open(dial(), w.opener.config) // the spare has not signed on: it makes room
	must(t, err)
	next(t, "up", w.host.up)
	if _, err := spare.Read(make([]byte, 1)); err == nil {
		t.Error("the connection that never signed on was kept")
	}
	cancel()
	must(t, next(t, "end", ended))
	_ = spare.Close()
	finish(t, first, second, third)
}

// TestServerIsFull: peers that are signed on keep their places, whoever comes.
func TestServerIsFull(t *testing.T) {
	w := newWorld(t, unionpay.Terminal)
	network := memnet.New(w.clock)
	l, err := network.Listen("acquirer")
	must(t, err)
	w.host.config.Limits.MaxSessions = 1
	server, err := NewServer(w.host.config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	conn, err := network.Dial(ctx, "acquirer")
	must(t, err)
	peer, err := Open(conn, w.opener.config)
	must(t, err)
	next(t, "up", w.host.up)
	next(t, "opener's up", w.opener.up)
	for range 3 {
		refused, err := network.Dial(ctx, "acquirer")
		must(t, err)
		if _, err := refused.Read(make([]byte, 1)); err == nil {
			t.Error("a connection too many was served")
		}
		_ = refused.Close()
	}
	must(t, peer.Send(sale(t, 1)))
	next(t, "question", w.host.got)
	cancel()
	must(t, next(t, "end", ended))
	finish(t, peer)
}

// TestConfigErrors: what Open, NewDialer and NewServer refuse.
func TestConfigErrors(t *testing.T) {
	good := newWorld(t, unionpay.Switch).opener.config
	for name, change := range map[string]func(c *Config){
		"name":    func(c *Config) { c.Name = "" },
		"clock":   func(c *Config) { c.Clock = nil },
		"keys":    func(c *Config) { c.Keys = nil },
		"handler": func(c *Config) { c.OnMessage = nil },
		"dialect": func(c *Config) { c.Dialect = 9 },
		"peer":    func(c *Config) { c.Peer = "" },
	} {
		c := good
		change(&c)
		if _, err := Open(nil, c); err == nil {
			t.Errorf("Open without %s", name)
		}
		if _, err := NewServer(c); err == nil && name != "peer" {
			t.Errorf("NewServer without %s", name)
		}
		if _, err := NewDialer(DialerConfig{Session: c, Dial: func(context.Context) (net.Conn, error) { return nil, nil }}); err == nil {
			t.Errorf("NewDialer without %s", name)
		}
	}
	if _, err := NewDialer(DialerConfig{Session: good}); err == nil {
		t.Error("NewDialer without Dial")
	}
}

// FuzzSession: whatever a peer sends before sign-on, nothing is delivered, nothing panics and the session ends.
func FuzzSession(f *testing.F) {
	for _, d := range []unionpay.Dialect{unionpay.Terminal, unionpay.Switch} {
		f.Add(byte(d), frame(f, d, sale(f, 1), wrongMAC))
		f.Add(byte(d), frame(f, d, sale(f, 1), nil)[:20])
		f.Add(byte(d), []byte("0000"))
	}
	f.Fuzz(func(t *testing.T, d byte, b []byte) {
		if len(b) > iso8583.MaxFrameBytes {
			return
		}
		w := newWorld(t, unionpay.Dialect(d%2))
		near, far := memnet.Pipe(w.clock)
		host, err := Accept(far, w.host.config)
		must(t, err)
		_, _ = near.Write(b)
		_ = near.CloseWrite()
		_, _ = bufio.NewReader(near).WriteTo(discard{})
		next(t, "end", w.host.down)
		none(t, "delivered", w.host.got)
		finish(t, host)
	})
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

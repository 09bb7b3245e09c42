package link

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// TestSessions: sign-on, a question and its answer, sign-off, over memory and TCP, in both dialects.
func TestSessions(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		opener, host := w.connect(t, a, b)
		if host.Peer() != opener.Name() || opener.Peer() != host.Name() {
			t.Errorf("peers: host sees %q, opener sees %q", host.Peer(), opener.Peer())
		}
		for stan := range uint32(20) {
			must(t, opener.Send(sale(t, stan+1)))
		}
		for stan := range uint32(20) {
			g := next(t, "question", w.host.got)
			if p := unionpay.PaymentOf(g.message); p.STAN != stan+1 || p.Amount.Minor() != 29900 {
				t.Fatalf("question %d: %v", stan, p.STAN)
			}
			must(t, g.session.Send(approval(t, g.message)))
		}
		for stan := range uint32(20) {
			g := next(t, "answer", w.opener.got)
			if p := unionpay.PaymentOf(g.message); p.STAN != stan+1 || !p.Response.Approved() {
				t.Fatalf("answer %d: STAN %d", stan, p.STAN)
			}
		}
		must(t, opener.SignOff())
		for _, s := range []*side{w.opener, w.host} {
			if err := next(t, "end", s.down); !errors.Is(err, ErrSignedOff) {
				t.Errorf("ended with %v", err)
			}
		}
		if err := opener.Send(sale(t, 99)); !errors.Is(err, ErrClosed) {
			t.Errorf("sending after the end: %v", err)
		}
		if stats := host.Stats(); stats.BadMAC+stats.Malformed+stats.Refused != 0 || stats.FramesIn < 22 {
			t.Errorf("host's counts: %+v", stats)
		}
	})
}

// TestTrace: both sides trace each message once in each direction, decoded.
func TestTrace(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		opener, _ := w.connect(t, a, b)
		must(t, opener.Send(sale(t, 7)))
		next(t, "question", w.host.got)
		for _, s := range []*side{w.opener, w.host} {
			for {
				e := next(t, "trace of the sale", s.traces)
				if e.Err != nil || e.Message == nil {
					t.Fatalf("trace %v without message: %v", e.Direction, e.Err)
				}
				if _, ok := e.Message.(*unionpay.FinancialRequest); !ok {
					continue
				}
				if want := map[*side]Direction{w.opener: Out, w.host: In}[s]; e.Direction != want || !e.At.Equal(start0) {
					t.Errorf("trace %v at %v", e.Direction, e.At)
				}
				break
			}
		}
	})
}

// TestBadMAC: a request whose MAC is wrong or missing does not reach the role and is answered A0; an answer is dropped; too many close.
func TestBadMAC(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		w.host.config.Limits.MaxErrors = 3
		opener, host := w.connect(t, a, b)
		d := opener.Dialect()
		for i, compute := range []unionpay.MACFunc{wrongMAC, nil, wrongMAC} {
			inject(opener, frame(t, d, sale(t, uint32(i+1)), compute))
			g := next(t, "answer", w.opener.got)
			p := unionpay.PaymentOf(g.message)
			if p.Response != unionpay.MACError || p.STAN != uint32(i+1) {
				t.Fatalf("answered %q to %d", p.Response, p.STAN)
			}
		}
		must(t, opener.Send(sale(t, 50)))
		next(t, "a good question in between", w.host.got)
		inject(opener, frame(t, d, approval(t, sale(t, 9)), wrongMAC)) // the fourth error: a response, not answered
		if err := next(t, "end", w.host.down); !errors.Is(err, ErrTooManyErrors) {
			t.Errorf("ended with %v", err)
		}
		if n := host.Stats().BadMAC; n != 4 {
			t.Errorf("bad MACs counted: %d", n)
		}
		none(t, "delivered", w.host.got)
		none(t, "answered", w.opener.got)
	})
}

// inject writes a frame past the session's own encoding.
func inject(s *Session, b []byte) { s.out <- &outbound{bytes: bytes.Clone(b)} }

// TestForgiveness: errors long ago do not count.
func TestForgiveness(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	w.host.config.Limits.MaxErrors, w.host.config.Limits.ForgiveAfter = 1, 3
	a, b := wires["memnet"](t, w.clock)
	opener, host := w.connect(t, a, b)
	for range 5 {
		inject(opener, frame(t, unionpay.Switch, approval(t, sale(t, 9)), wrongMAC))
		for stan := range uint32(3) {
			must(t, opener.Send(sale(t, stan+1)))
			next(t, "question", w.host.got)
		}
	}
	if n := host.Stats().BadMAC; n != 5 || !host.Up() {
		t.Errorf("bad MACs: %d, up: %t", n, host.Up())
	}
}

// TestBusinessBeforeSignOn: a request before sign-on is answered A0 and not delivered; a late sign-on still works.
func TestBusinessBeforeSignOn(t *testing.T) {
	for _, d := range []unionpay.Dialect{unionpay.Terminal, unionpay.Switch} {
		w := newWorld(t, d)
		a, b := wires["memnet"](t, w.clock)
		host := w.onlyHost(t, a, b)
		_, err := a.Write(frame(t, d, sale(t, 5), wrongMAC))
		must(t, err)
		r := bufio.NewReader(a)
		if p := unionpay.PaymentOf(readMessage(t, d, r)); p.Response != unionpay.MACError || p.STAN != 5 {
			t.Errorf("%v: answered %q", d, p.Response)
		}
		if err := host.Send(sale(t, 1)); !errors.Is(err, ErrNotSignedOn) {
			t.Errorf("%v: the host sent before sign-on: %v", d, err)
		}
		none(t, "delivered", w.host.got)
		w.clock.Advance(29 * time.Second)
		opener, err := Open(a, w.opener.config)
		must(t, err)
		next(t, "late sign-on", w.opener.up)
		next(t, "late sign-on", w.host.up)
		must(t, opener.Send(sale(t, 6)))
		next(t, "question", w.host.got)
		finish(t, opener, host)
	}
}

func readMessage(t testing.TB, d unionpay.Dialect, r *bufio.Reader) unionpay.Message {
	t.Helper()
	framing := iso8583.TerminalFraming
	if d == unionpay.Switch {
		framing = iso8583.SwitchFraming
	}
	f, err := framing.ReadFrame(r, nil)
	must(t, err)
	m, err := unionpay.Decode(d, f.Body)
	must(t, err)
	return m
}

// TestAnswerAddresses: a terminal's answer comes back with the addresses of its TPDU swapped.
func TestAnswerAddresses(t *testing.T) {
	w := newWorld(t, unionpay.Terminal)
	a, b := wires["memnet"](t, w.clock)
	w.onlyHost(t, a, b)
	_, err := a.Write(frame(t, unionpay.Terminal, sale(t, 5), nil))
	must(t, err)
	f, err := iso8583.TerminalFraming.ReadFrame(bufio.NewReader(a), nil)
	must(t, err)
	if !bytes.Equal(f.TPDU, []byte{0x60, 0, 9, 0, 3}) {
		t.Errorf("TPDU = %X", f.TPDU)
	}
}

// TestNoSignOn: a peer that connects and says nothing is let go.
func TestNoSignOn(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		w.onlyHost(t, a, b)
		w.clock.Advance(30 * time.Second)
		if err := next(t, "end", w.host.down); !errors.Is(err, ErrSignOnTimeout) {
			t.Errorf("ended with %v", err)
		}
		if _, err := a.Read(make([]byte, 1)); err == nil {
			t.Error("the connection is open")
		}
	})
}

// TestSignOnRefused: an unknown peer is told 97 and let go; its opener says so.
func TestSignOnRefused(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		must(t, w.host.hsm.Delete("master/"+w.opener.config.Name))
		w.onlyHost(t, a, b)
		opener, err := Open(a, w.opener.config)
		must(t, err)
		if err := next(t, "opener's end", w.opener.down); !errors.Is(err, ErrSignOnRefused) {
			t.Errorf("opener ended with %v", err)
		}
		if err := next(t, "host's end", w.host.down); !errors.Is(err, ErrSignOnRefused) {
			t.Errorf("host ended with %v", err)
		}
		finish(t, opener)
	})
}

// TestWrongMasterKey: keys that do not unwrap are not installed and the session ends.
func TestWrongMasterKey(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		must(t, w.opener.hsm.Delete("master/"+w.host.config.Name))
		importMaster(t, w.opener, w.host.config.Name, "fedcba9876543210")
		w.onlyHost(t, a, b)
		opener, err := Open(a, w.opener.config)
		must(t, err)
		if err := next(t, "opener's end", w.opener.down); !errors.Is(err, ErrKeyChange) {
			t.Errorf("opener ended with %v", err)
		}
		next(t, "host's end", w.host.down)
		finish(t, opener)
	})
}

// TestFrames: what a broken or hostile peer can put on the port, before any sign-on.
func TestFrames(t *testing.T) {
	type verdict struct {
		reason error // nil: the session lives
		count  func(Stats) uint64
	}
	malformed := func(s Stats) uint64 { return s.Malformed }
	badFrames := func(s Stats) uint64 { return s.BadFrames }
	truncated := func(s Stats) uint64 { return s.Truncated }
	unknown := func(s Stats) uint64 { return s.UnknownType }
	for _, d := range []unionpay.Dialect{unionpay.Terminal, unionpay.Switch} {
		good := frame(t, d, sale(t, 1), nil)
		unknownType := append([]byte("0999"), body(t, d, good)[4:]...)
		tooLong, noLength := []byte("99999"), []byte("GET / HTTP/1.1\r\n")
		long := verdict{ErrTruncated, truncated} // four digits cannot say too long
		http := verdict{ErrFrame, badFrames}
		if d == unionpay.Terminal {
			unknownType = append([]byte{0x09, 0x99}, body(t, d, good)[2:]...)
			tooLong = []byte{0xFF, 0xFF, 0x60}
			long = verdict{ErrFrame, badFrames} // "GE" is a length of 18245
		}
		for name, v := range map[string]struct {
			bytes   []byte
			verdict verdict
		}{
			"too long":     {tooLong, long},
			"http":         {noLength, http},
			"cut short":    {good[:len(good)-3], verdict{ErrTruncated, truncated}},
			"cut length":   {good[:1], verdict{ErrTruncated, truncated}},
			"unknown type": {frameBody(t, d, unknownType), verdict{nil, unknown}},
			"cut message":  {frameBody(t, d, body(t, d, good)[:25]), verdict{nil, malformed}},
			"noise":        {frameBody(t, d, bytes.Repeat([]byte{0xA5}, 60)), verdict{nil, malformed}},
			"more behind":  {frameBody(t, d, append(body(t, d, good), 0)), verdict{nil, malformed}},
		} {
			t.Run(d.String()+"/"+name, func(t *testing.T) {
				w := newWorld(t, d)
				a, b := wires["memnet"](t, w.clock)
				host := w.onlyHost(t, a, b)
				_, err := a.Write(v.bytes)
				must(t, err)
				if v.verdict.reason == nil {
					must(t, checkAlive(t, w, d, a))
				} else {
					_ = a.(interface{ CloseWrite() error }).CloseWrite()
					if err := next(t, "end", w.host.down); !errors.Is(err, v.verdict.reason) {
						t.Errorf("ended with %v, want %v", err, v.verdict.reason)
					}
				}
				if n := v.verdict.count(host.Stats()); n != 1 {
					t.Errorf("counts: %+v", host.Stats())
				}
				none(t, "delivered", w.host.got)
			})
		}
	}
}

// checkAlive signs on over the same connection.
func checkAlive(t *testing.T, w *world, d unionpay.Dialect, a net.Conn) error {
	m := &SignOn{config: &w.opener.config, opener: true}
	full, err := w.opener.config.complete(true)
	if err != nil {
		return err
	}
	m.config = &full
	actions := m.Start(w.clock.Now())
	for _, action := range actions {
		if action.Kind == ActSend {
			if _, err := a.Write(frame(t, d, action.Message, nil)); err != nil {
				return err
			}
		}
	}
	r, ok := readMessage(t, d, bufio.NewReader(a)).(*unionpay.NetworkResponse)
	if !ok || !r.Response.Approved() {
		return errors.New("the sign-on was not approved")
	}
	return nil
}

// body takes the message out of a frame.
func body(t testing.TB, d unionpay.Dialect, f []byte) []byte {
	t.Helper()
	framing := iso8583.TerminalFraming
	if d == unionpay.Switch {
		framing = iso8583.SwitchFraming
	}
	got, err := framing.ReadFrame(bufio.NewReader(bytes.NewReader(f)), nil)
	must(t, err)
	return bytes.Clone(got.Body)
}

// TestTooMuchNoise: frames that are read but mean nothing close the connection after the limit.
func TestTooMuchNoise(t *testing.T) {
	eachWire(t, func(t *testing.T, w *world, a, b net.Conn) {
		host := w.onlyHost(t, a, b)
		noise := frameBody(t, host.Dialect(), bytes.Repeat([]byte{0xA5}, 60))
		for range 11 {
			_, _ = a.Write(noise)
		}
		if err := next(t, "end", w.host.down); !errors.Is(err, ErrTooManyErrors) {
			t.Errorf("ended with %v", err)
		}
		if n := host.Stats().Malformed; n != 11 {
			t.Errorf("%d counted", n)
		}
	})
}

// TestKeepAlive: the switch's empty frame is no message and no error.
func TestKeepAlive(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	a, b := wires["memnet"](t, w.clock)
	host := w.onlyHost(t, a, b)
	_, err := io.WriteString(a, "00000000")
	must(t, err)
	must(t, checkAlive(t, w, unionpay.Switch, a))
	if s := host.Stats(); s.KeepAlives != 2 || s.Malformed != 0 {
		t.Errorf("counts: %+v", s)
	}
}

package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"tapnet/internal/clock"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// Session is one connection with a peer. Open and Accept start it; Done tells when it and its goroutines have ended.
type Session struct {
	config Config
	conn   net.Conn
	opener bool

	mu      sync.Mutex // guards machine and timers, and the order in which the machine's actions are carried out
	machine *SignOn
	timers  [timerCount]clock.Timer
	ended   bool

	up    atomic.Bool
	peer  atomic.Pointer[string]
	tpdu  atomic.Pointer[[iso8583.TPDUBytes]byte] // what our frames carry
	heard atomic.Int64                            // when the last frame arrived, in nanoseconds

	out      chan *outbound
	closing  chan struct{} // closed: write what is queued, then close the connection
	traces   chan *TraceEvent
	finished chan struct{}
	reason   error // valid once finished is closed, guarded by mu before
	onEnd    func(*Session)
	stats    counters
	errors   int   // reading goroutine only: errors not yet forgiven
	good     int   // reading goroutine only: good messages since the last error
	ahead    ahead // reading goroutine only
}

// Open starts a session as the side that signs on. The session owns conn from now on.
func Open(conn net.Conn, c Config) (*Session, error) { return start(conn, c, true, nil, nil) }

// Accept starts a session as the side that is signed on to.
func Accept(conn net.Conn, c Config) (*Session, error) { return start(conn, c, false, nil, nil) }

// start begins a session. beforeUp and onEnd are the Server's: who is signed on, and that it is over.
func start(conn net.Conn, c Config, opener bool, beforeUp, onEnd func(*Session)) (*Session, error) {
	c, err := c.complete(opener)
	if err != nil {
		return nil, err
	}
	if beforeUp != nil {
		after := c.OnUp
		c.OnUp = func(s *Session) {
			beforeUp(s)
			if after != nil {
				after(s)
			}
		}
	}
	s := &Session{
		config: c, conn: conn, opener: opener, out: make(chan *outbound, c.Limits.Queue),
		closing: make(chan struct{}), finished: make(chan struct{}), onEnd: onEnd,
	}
	s.machine = newSignOn(&s.config, opener)
	s.peer.Store(&c.Peer)
	s.tpdu.Store(&c.TPDU)
	s.heard.Store(c.Clock.Now().UnixNano())
	if c.Trace != nil {
		s.traces = make(chan *TraceEvent, c.Limits.TraceQueue) // of pointers: a connection that says nothing must cost little
	}
	s.perform(func() []Action { return s.machine.Start(c.Clock.Now()) })
	go s.run()
	return s, nil
}

// run owns the session's goroutines: it returns when the last of them has.
func (s *Session) run() {
	var writing, tracing sync.WaitGroup
	writing.Go(s.writeLoop)
	if s.traces != nil {
		tracing.Go(s.traceLoop)
	}
	err := s.readLoop(bufio.NewReaderSize(s.conn, strangerBytes))
	s.shut(err, true) // the writer sends what is queued, as far as the peer still takes it, and closes the connection
	writing.Wait()
	if s.traces != nil {
		close(s.traces) // nobody traces any more: reader and writer have ended, and Send does not trace
		tracing.Wait()
	}
	s.mu.Lock()
	reason := s.reason
	s.mu.Unlock()
	s.config.Log.Info("link closed", "link", s.config.Name, "peer", s.Peer(), "reason", reason)
	if s.onEnd != nil {
		s.onEnd(s)
	}
	if s.config.OnDown != nil {
		s.config.OnDown(s, reason)
	}
	close(s.finished)
}

// Send queues a business message, with its MAC. Nil means queued, not delivered: with the connection a queued message may be lost.
// ErrNotSignedOn, ErrQueueFull and ErrClosed mean that nothing was sent.
func (s *Session) Send(m unionpay.Message) error {
	if !s.up.Load() {
		select {
		case <-s.closing:
			return ErrClosed
		default:
			return ErrNotSignedOn
		}
	}
	return s.send(m, s.Peer(), signWhenWritten)
}

func (s *Session) send(m unionpay.Message, peer string, sign Signing) error {
	f, err := s.encode(m, peer, sign)
	if err != nil {
		return err
	}
	select {
	case <-s.closing:
		putFrame(f)
		return ErrClosed
	default:
	}
	select {
	case s.out <- f:
		return nil
	default:
		putFrame(f)
		s.stats.queueFull.Add(1)
		return ErrQueueFull
	}
}

// encode gives the whole frame of a message.
func (s *Session) encode(m unionpay.Message, peer string, sign Signing) (*outbound, error) {
	var compute unionpay.MACFunc
	switch sign {
	case SignInForce:
		compute = func(input []byte) ([8]byte, error) { return s.config.Keys.MAC(peer, input) }
	case SignPending:
		compute = func(input []byte) ([8]byte, error) { return s.config.Keys.MACPending(peer, input) }
	case signWhenWritten:
		compute = roomForMAC
	}
	body, out := getFrame(), getFrame()
	defer putFrame(body)
	var err error
	if body.bytes, err = unionpay.Encode(s.config.Dialect, body.bytes, m, compute); err != nil {
		putFrame(out)
		return nil, fmt.Errorf("link: encoding %s: %w", m.Type(), err)
	}
	f := iso8583.Frame{Body: body.bytes}
	if s.config.Dialect == unionpay.Terminal {
		tpdu := s.tpdu.Load()
		f.TPDU, f.Header = tpdu[:], s.config.Header[:]
	}
	if out.bytes, err = s.config.framing().AppendFrame(out.bytes, f); err != nil {
		putFrame(out)
		return nil, fmt.Errorf("link: framing %s: %w", m.Type(), err)
	}
	out.message, out.peer, out.unsigned = m, peer, sign == signWhenWritten
	return out, nil
}

// roomForMAC leaves zeros where sign writes the MAC.
func roomForMAC([]byte) (zero [8]byte, err error) { return zero, nil }

// Up reports whether business may pass.
func (s *Session) Up() bool { return s.up.Load() }

// Peer is who the other side is, empty while a host does not know.
func (s *Session) Peer() string { return *s.peer.Load() }

// Name is who this side is.
func (s *Session) Name() string { return s.config.Name }

// Dialect is what is spoken.
func (s *Session) Dialect() unionpay.Dialect { return s.config.Dialect }

// SignOn makes an opener sign on again and get new keys, as after a MAC or PIN format error. Until OnUp no business passes.
func (s *Session) SignOn() error {
	if !s.opener {
		return errors.New("link: a host does not sign on")
	}
	s.perform(func() []Action { return s.machine.Start(s.config.Clock.Now()) })
	return nil
}

// SignOff makes an opener take its leave; the session ends when the host has answered.
func (s *Session) SignOff() error {
	if !s.opener {
		return errors.New("link: a host does not sign off")
	}
	s.perform(func() []Action { return s.machine.SignOff(s.config.Clock.Now()) })
	return nil
}

// ChangeKeys makes a host of the switch give its peer new working keys while business goes on.
func (s *Session) ChangeKeys() error {
	var err error
	s.perform(func() (actions []Action) {
		actions, err = s.machine.ChangeKeys(s.config.Clock.Now())
		return actions
	})
	return err
}

// Close sends what is queued and ends the session. It does not wait; Wait does.
func (s *Session) Close() error {
	s.shut(ErrClosed, true)
	return nil
}

// Done is closed when the session has ended and its goroutines are gone.
func (s *Session) Done() <-chan struct{} { return s.finished }

// Wait waits for Done and gives the reason of the end.
func (s *Session) Wait(ctx context.Context) error {
	select {
	case <-s.finished:
		return s.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Err is why the session ended, nil while it lives.
func (s *Session) Err() error {
	select {
	case <-s.finished:
		return s.reason
	default:
		return nil
	}
}

// shut ends the session once. Gracefully means that what is queued is still written.
func (s *Session) shut(reason error, gracefully bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shutLocked(reason, gracefully)
}

func (s *Session) shutLocked(reason error, gracefully bool) {
	if !s.ended {
		s.ended = true
		s.reason = reason
		s.up.Store(false)
		for i, t := range s.timers {
			if t != nil {
				t.Stop()
				s.timers[i] = nil
			}
		}
		close(s.closing)
	}
	if !gracefully {
		_ = s.conn.Close() // ends reader and writer; what a dead connection says about closing is of no use
	}
}

// perform runs one event through the machine and carries its actions out in order. Callbacks run after the lock is given back.
func (s *Session) perform(event func() []Action) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	up := false
	for _, a := range event() {
		switch a.Kind {
		case ActSend:
			if err := s.send(a.Message, s.machine.Peer(), a.Sign); err != nil {
				s.config.Log.Warn("link: own message not sent", "link", s.config.Name, "peer", s.Peer(), "error", err)
				s.shutLocked(err, false)
			}
		case ActTimer:
			s.setTimer(a.Timer, a.After)
		case ActUp:
			peer := s.machine.Peer()
			s.peer.Store(&peer)
			s.up.Store(true)
			up = true
		case ActDown:
			s.up.Store(false)
			up = false
		case ActBadMAC:
			s.stats.badMAC.Add(1)
		case ActClose:
			s.shutLocked(a.Err, true)
		}
	}
	up = up && !s.ended
	s.mu.Unlock()
	if up {
		s.config.Log.Info("link up", "link", s.config.Name, "peer", s.Peer())
		if s.config.OnUp != nil {
			s.config.OnUp(s)
		}
	}
}

func (s *Session) setTimer(t Timer, after time.Duration) {
	if s.timers[t] != nil {
		s.timers[t].Stop()
		s.timers[t] = nil
	}
	if after <= 0 || s.ended {
		return
	}
	s.timers[t] = s.config.Clock.AfterFunc(after, func() {
		s.perform(func() []Action {
			return s.machine.Expire(s.config.Clock.Now(), time.Unix(0, s.heard.Load()), t)
		})
	})
}

package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"tapnet/iso8583/unionpay"
)

// DialerConfig is what a Dialer needs.
type DialerConfig struct {
	Session Config
	// Dial makes a connection. Its context ends after DialTimeout.
	Dial        func(ctx context.Context) (net.Conn, error)
	DialTimeout time.Duration // default 10 s
	// MinBackoff is the pause after the first failure; each further failure doubles it, up to MaxBackoff. A sign-on that completes
	// sets it back. Defaults 500 ms and 30 s.
	MinBackoff, MaxBackoff time.Duration
	// Jitter may change a pause, so that many terminals do not return at the same instant. Nil keeps it.
	Jitter func(time.Duration) time.Duration
	// OnRetry is told, after the pause has been set on the clock, why the last attempt or session ended. It may be nil.
	OnRetry func(reason error, pause time.Duration)
}

// Dialer keeps one session with one peer alive: it dials, signs on, and begins again when the session ends.
type Dialer struct {
	config  DialerConfig
	mu      sync.Mutex
	current *Session
	wasUp   bool
}

// NewDialer checks the configuration.
func NewDialer(c DialerConfig) (*Dialer, error) {
	if c.Dial == nil {
		return nil, errors.New("link: dialer: Dial is missing")
	}
	if _, err := c.Session.complete(true); err != nil {
		return nil, err
	}
	orDefault := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	orDefault(&c.DialTimeout, 10*time.Second)
	orDefault(&c.MinBackoff, 500*time.Millisecond)
	orDefault(&c.MaxBackoff, 30*time.Second)
	if c.MaxBackoff < c.MinBackoff {
		return nil, fmt.Errorf("link: dialer: MaxBackoff %v is below MinBackoff %v", c.MaxBackoff, c.MinBackoff)
	}
	return &Dialer{config: c}, nil
}

// Run keeps the session until ctx ends; then it sends what is queued and closes it. It always returns nil or a configuration error.
func (d *Dialer) Run(ctx context.Context) error {
	pause := d.config.MinBackoff
	for {
		up, reason, err := d.once(ctx)
		if err != nil || ctx.Err() != nil {
			return err
		}
		if up {
			pause = d.config.MinBackoff
		}
		wait := pause
		if d.config.Jitter != nil {
			wait = d.config.Jitter(wait)
		}
		if !d.pause(ctx, wait, reason) {
			return nil
		}
		pause = min(2*pause, d.config.MaxBackoff)
	}
}

// once makes one connection and holds its session. up tells whether it was ever signed on.
func (d *Dialer) once(ctx context.Context) (up bool, reason, err error) {
	conn, reason := d.dial(ctx)
	if reason != nil {
		return false, reason, nil
	}
	c := d.config.Session
	after := c.OnUp
	c.OnUp = func(s *Session) {
		d.mu.Lock()
		d.wasUp = true
		d.mu.Unlock()
		if after != nil {
			after(s)
		}
	}
	d.mu.Lock()
	d.wasUp = false
	s, err := Open(conn, c)
	d.current = s
	d.mu.Unlock()
	if err != nil {
		return false, nil, errors.Join(err, conn.Close())
	}
	select {
	case <-s.Done():
	case <-ctx.Done():
		_ = s.Close()
		<-s.Done()
	}
	d.mu.Lock()
	d.current = nil
	up = d.wasUp
	d.mu.Unlock()
	return up, s.Err(), nil
}

func (d *Dialer) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	timer := d.config.Session.Clock.AfterFunc(d.config.DialTimeout, cancel)
	defer timer.Stop()
	conn, err := d.config.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("link: dialling: %w", err)
	}
	return conn, nil
}

// pause waits on the clock; false when ctx ended.
func (d *Dialer) pause(ctx context.Context, wait time.Duration, reason error) bool {
	over := make(chan struct{})
	timer := d.config.Session.Clock.AfterFunc(wait, func() { close(over) })
	defer timer.Stop()
	session := &d.config.Session
	session.log().Info("link: retrying", "link", session.Name, "peer", session.Peer, "pause", wait, "reason", reason)
	if d.config.OnRetry != nil {
		d.config.OnRetry(reason, wait)
	}
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// Session gives the session of the moment, signed on or not; nil between connections.
func (d *Dialer) Session() *Session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.current
}

// Up reports whether business may pass.
func (d *Dialer) Up() bool {
	s := d.Session()
	return s != nil && s.Up()
}

// Send sends over the session of the moment; without one it is ErrNotConnected.
func (d *Dialer) Send(m unionpay.Message) error {
	s := d.Session()
	if s == nil {
		return ErrNotConnected
	}
	return s.Send(m)
}

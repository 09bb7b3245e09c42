package link

import (
	"container/list"
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"tapnet/iso8583/unionpay"
)

// acceptPause is how long a Server waits after Accept failed, for instance for want of file descriptors.
const acceptPause = time.Second

// Server is the host's side for many peers: it accepts connections and knows who is signed on.
type Server struct {
	config Config
	mu     sync.Mutex
	all    map[*Session]*list.Element // its place among the strangers, nil once it was signed on
	byPeer map[string]*Session
	// strangers are the connections that have not signed on yet, the oldest first.
	strangers list.List
	closed    bool
	live      sync.WaitGroup
}

// NewServer checks the configuration, which every session gets a copy of.
func NewServer(c Config) (*Server, error) {
	c, err := c.complete(false) // now, so that all sessions share one count of trace numbers
	if err != nil {
		return nil, err
	}
	return &Server{config: c, all: make(map[*Session]*list.Element), byPeer: make(map[string]*Session)}, nil
}

// Serve accepts on l until ctx ends, then closes l and every session, and waits for them.
func (v *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer v.shutdown()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err != nil:
			v.config.log().Warn("link: accepting", "link", v.config.Name, "error", err)
			if !v.wait(ctx, acceptPause) {
				return nil
			}
		default:
			v.accept(conn)
		}
	}
}

func (v *Server) wait(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := v.config.Clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

func (v *Server) accept(conn net.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed || len(v.all) >= v.config.Limits.MaxSessions && !v.makeRoom() {
		v.config.log().Warn("link: connection refused", "link", v.config.Name, "reason", ErrTooManySessions)
		_ = conn.Close()
		return
	}
	s, err := start(conn, v.config, false, v.signedOn, v.ended)
	if err != nil { // the configuration was checked: this is a bug in NewServer
		panic(err)
	}
	v.all[s] = v.strangers.PushBack(s)
	v.live.Add(1)
}

// makeRoom closes the connection that has waited longest without signing on: a peer signs on at once, somebody who only wants to take up the room does
// not. A connection that was closed still counts until its goroutines are gone, so the number may pass MaxSessions by a quarter. The caller holds mu.
func (v *Server) makeRoom() bool {
	oldest := v.strangers.Front()
	if limit := v.config.Limits.MaxSessions; oldest == nil || len(v.all) > limit+limit/4 {
		return false
	}
	s := oldest.Value.(*Session) // nothing else is ever put in
	v.forget(s)
	s.shut(ErrTooManySessions, false)
	return true
}

// forget takes a session off the list of strangers. The caller holds mu.
func (v *Server) forget(s *Session) {
	if place := v.all[s]; place != nil {
		v.strangers.Remove(place)
		v.all[s] = nil
	}
}

// signedOn makes s the session of its peer. An earlier one is closed: a terminal that lost its connection comes back before the host
// notices.
func (v *Server) signedOn(s *Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.all[s]; !ok {
		return
	}
	v.forget(s)
	if old := v.byPeer[s.Peer()]; old != nil && old != s {
		old.shut(ErrReplaced, true)
	}
	v.byPeer[s.Peer()] = s
}

func (v *Server) ended(s *Session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forget(s)
	delete(v.all, s)
	if v.byPeer[s.Peer()] == s {
		delete(v.byPeer, s.Peer())
	}
	v.live.Done()
}

func (v *Server) shutdown() {
	v.mu.Lock()
	v.closed = true
	for s := range v.all {
		_ = s.Close()
	}
	v.mu.Unlock()
	v.live.Wait()
}

// Session gives the session of a peer that is signed on.
func (v *Server) Session(peer string) (*Session, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, ok := v.byPeer[peer]
	return s, ok
}

// Peers lists who is signed on, in order.
func (v *Server) Peers() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	peers := make([]string, 0, len(v.byPeer))
	for peer := range v.byPeer {
		peers = append(peers, peer)
	}
	slices.Sort(peers)
	return peers
}

// Connections is the number of connections, signed on or not.
func (v *Server) Connections() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.all)
}

// Send sends to a peer; ErrNotConnected when it is not signed on.
func (v *Server) Send(peer string, m unionpay.Message) error {
	s, ok := v.Session(peer)
	if !ok {
		return ErrNotConnected
	}
	return s.Send(m)
}

// Package memnet is a network inside one process: listeners and connections with names instead of ports, behind net.Listener and
// net.Conn. It lets the demo and the tests run the same sessions as TCP does, without a socket.
//
// It promises what callers rely on with TCP: bytes are buffered, so that two sides may write at the same time; a full buffer blocks the
// writer; Close ends the peer's reading only after it has read what was sent; deadlines work in both directions and follow the clock
// of the network, so that a manual clock decides when they pass. It follows no standard. It does not lose, reorder or corrupt anything
// unless a Fault says so, and the Fault is told of each frame it changed.
package memnet

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"

	"tapnet/internal/clock"
)

const (
	// BufferBytes is what one direction holds before the writer blocks: the usual size of a TCP receive window.
	BufferBytes = 64 << 10
	// Backlog is how many dialled connections may wait for Accept before Dial blocks, as with a listening socket.
	Backlog = 128
)

// Network is a set of named listeners. The zero value is not usable; make it with New.
type Network struct {
	clock     clock.Clock
	mu        sync.Mutex
	listeners map[string]*Listener
	dialled   int
	onConnect func(dialler, listener *Conn)
}

// New makes a network whose deadlines and delays follow c.
func New(c clock.Clock) *Network { return &Network{clock: c, listeners: make(map[string]*Listener)} }

// OnConnect has f called with both ends of each new connection before either side gets its end: the place to set faults.
func (n *Network) OnConnect(f func(dialler, listener *Conn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onConnect = f
}

// Addr is the name of an end.
type Addr string

// Network is "mem".
func (Addr) Network() string { return "mem" }

// String is the name.
func (a Addr) String() string { return string(a) }

// Listener accepts connections under a name.
type Listener struct {
	network *Network
	name    Addr
	backlog chan *Conn
	closed  chan struct{}
	once    sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen takes a name. A name in use is an error, as a port in use is.
func (n *Network) Listen(name string) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.listeners[name]; ok || name == "" {
		return nil, opError("listen", Addr(name), syscall.EADDRINUSE)
	}
	l := &Listener{network: n, name: Addr(name), backlog: make(chan *Conn, Backlog), closed: make(chan struct{})}
	n.listeners[name] = l
	return l, nil
}

// Dial connects to a listener by name. Nobody listening is "connection refused".
func (n *Network) Dial(ctx context.Context, name string) (*Conn, error) {
	n.mu.Lock()
	l := n.listeners[name]
	n.dialled++
	local := Addr(fmt.Sprintf("dial-%d", n.dialled))
	onConnect := n.onConnect
	n.mu.Unlock()
	if l == nil {
		return nil, opError("dial", Addr(name), syscall.ECONNREFUSED)
	}
	near, far := pair(n.clock, local, l.name)
	if onConnect != nil {
		onConnect(near, far)
	}
	select {
	case <-l.closed: // checked first: with room in the backlog select would choose at random
		return nil, opError("dial", l.name, syscall.ECONNREFUSED)
	default:
	}
	select {
	case l.backlog <- far:
		l.sweepIfClosed()
		return near, nil
	case <-l.closed:
		return nil, opError("dial", l.name, syscall.ECONNREFUSED)
	case <-ctx.Done():
		return nil, opError("dial", l.name, ctx.Err())
	}
}

// DialContext is Dial in the shape of net.Dialer; the network's name is ignored.
func (n *Network) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	c, err := n.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, opError("accept", l.name, net.ErrClosed)
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.closed:
		return nil, opError("accept", l.name, net.ErrClosed)
	}
}

// Close frees the name and resets the connections that nobody accepted.
func (l *Listener) Close() error {
	err := opError("close", l.name, net.ErrClosed)
	l.once.Do(func() {
		err = nil
		l.network.mu.Lock()
		delete(l.network.listeners, string(l.name))
		l.network.mu.Unlock()
		close(l.closed)
		l.sweepIfClosed()
	})
	return err
}

// sweepIfClosed resets what lies in the backlog of a closed listener. Dial calls it too, for a connection that arrived during Close.
func (l *Listener) sweepIfClosed() {
	select {
	case <-l.closed:
	default:
		return
	}
	for {
		select {
		case c := <-l.backlog:
			c.Reset()
		default:
			return
		}
	}
}

// Addr is the listener's name.
func (l *Listener) Addr() net.Addr { return l.name }

// Pipe gives two connected ends without a listener.
func Pipe(c clock.Clock) (a, b *Conn) { return pair(c, "pipe-a", "pipe-b") }

func opError(operation string, addr Addr, err error) error {
	return &net.OpError{Op: operation, Net: addr.Network(), Addr: addr, Err: err}
}

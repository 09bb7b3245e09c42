package memnet

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"tapnet/internal/clock"
)

// Conn is one end of a connection. All methods may be called at the same time.
type Conn struct {
	local, remote Addr
	in, out       *half
	faultMu       sync.Mutex // serialises writes while a fault is set, so that frames stay whole
	fault         *faulty
	once          sync.Once
	clock         clock.Clock
}

var _ net.Conn = (*Conn)(nil)

func pair(c clock.Clock, near, far Addr) (a, b *Conn) {
	toFar, toNear := newHalf(c), newHalf(c)
	a = &Conn{local: near, remote: far, in: toNear, out: toFar, clock: c}
	b = &Conn{local: far, remote: near, in: toFar, out: toNear, clock: c}
	return a, b
}

// Read gives what the peer wrote, waiting for at least one byte. After the peer's Close it gives the rest, then io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.in.read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = opError("read", c.local, err)
	}
	return n, err
}

// Write sends p, waiting while the peer's buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	c.faultMu.Lock()
	f := c.fault
	if f != nil {
		defer c.faultMu.Unlock()
		if err := f.write(c, p); err != nil {
			return 0, opError("write", c.local, err)
		}
		return len(p), nil
	}
	c.faultMu.Unlock()
	n, err := c.out.write(p)
	if err != nil {
		err = opError("write", c.local, err)
	}
	return n, err
}

// Close ends both directions. The peer still reads what was sent before; its writes fail.
func (c *Conn) Close() error {
	err := opError("close", c.local, net.ErrClosed)
	c.once.Do(func() {
		err = nil
		c.flushFault()
		c.out.closeWriter()
		c.in.closeReader()
	})
	return err
}

// CloseWrite ends only the sending direction: the peer reads to the end, and may still answer.
func (c *Conn) CloseWrite() error {
	c.flushFault()
	c.out.closeWriter()
	return nil
}

// Reset cuts the connection as a crash or a pulled cable with a reset does: what is under way is lost and both sides get an error.
func (c *Conn) Reset() {
	c.in.reset()
	c.out.reset()
}

// Buffered is the number of bytes this end has received and not yet read.
func (c *Conn) Buffered() int {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.size
}

// LocalAddr is the name of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the name of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errorsFirst(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline makes a Read that waits past t fail with os.ErrDeadlineExceeded; the zero time takes the deadline away.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.in.setDeadline(&c.in.readers, t, c.local) }

// SetWriteDeadline does the same for Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.out.setDeadline(&c.out.writers, t, c.local)
}

func errorsFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// half is one direction: a ring of bytes with a writer's and a reader's side.
type half struct {
	clock            clock.Clock
	mu               sync.Mutex
	changed          *sync.Cond
	ring             []byte
	start, size      int
	writeClosed      bool // the writer closed: the reader gets the rest, then EOF
	readClosed       bool // the reader closed: writing is a broken pipe
	broken           bool // reset
	readers, writers deadline
}

type deadline struct {
	timer   clock.Timer
	expired bool
	set     int // generation: a timer that fires late must not expire a later deadline
}

func newHalf(c clock.Clock) *half {
	h := &half{clock: c}
	h.changed = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.readClosed:
			return 0, net.ErrClosed
		case h.broken:
			return 0, syscall.ECONNRESET
		case h.readers.expired:
			return 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return 0, nil
		case h.size > 0:
			n := h.take(p)
			h.changed.Broadcast()
			return n, nil
		case h.writeClosed:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) write(p []byte) (written int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.writeClosed:
			return written, net.ErrClosed
		case h.broken:
			return written, syscall.ECONNRESET
		case h.readClosed:
			return written, syscall.EPIPE
		case h.writers.expired:
			return written, os.ErrDeadlineExceeded
		}
		if n := h.put(p[written:]); n > 0 {
			written += n
			h.changed.Broadcast()
		}
		if written == len(p) {
			return written, nil
		}
		h.changed.Wait()
	}
}

// offer writes all of p at once or not at all, without waiting.
func (h *half) offer(p []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writeClosed || h.broken || h.readClosed || BufferBytes-h.size < len(p) {
		return false
	}
	h.put(p)
	h.changed.Broadcast()
	return true
}

// put copies what fits; the ring is made on first use and is not given back, like a socket buffer.
func (h *half) put(p []byte) (n int) {
	if h.ring == nil && len(p) > 0 {
		h.ring = make([]byte, BufferBytes)
	}
	for len(p) > 0 && h.size < len(h.ring) {
		at := (h.start + h.size) % len(h.ring)
		free := min(len(h.ring)-h.size, len(h.ring)-at)
		c := copy(h.ring[at:at+free], p)
		h.size += c
		n += c
		p = p[c:]
	}
	return n
}

func (h *half) take(p []byte) (n int) {
	for n < len(p) && h.size > 0 {
		c := copy(p[n:], h.ring[h.start:min(h.start+h.size, len(h.ring))])
		h.start = (h.start + c) % len(h.ring)
		h.size -= c
		n += c
	}
	return n
}

func (h *half) closeWriter() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writeClosed = true
	h.writers.stop()
	h.changed.Broadcast()
}

func (h *half) closeReader() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readClosed = true
	h.size = 0
	h.readers.stop()
	h.changed.Broadcast()
}

func (h *half) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken = true
	h.size = 0
	h.readers.stop()
	h.writers.stop()
	h.changed.Broadcast()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
}

func (h *half) setDeadline(d *deadline, t time.Time, local Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if (d == &h.readers && h.readClosed) || (d == &h.writers && h.writeClosed) {
		return opError("set", local, net.ErrClosed)
	}
	d.stop()
	d.expired = false
	if t.IsZero() {
		return nil
	}
	wait := t.Sub(h.clock.Now())
	if wait <= 0 {
		d.expired = true
		h.changed.Broadcast()
		return nil
	}
	generation := d.set
	d.timer = h.clock.AfterFunc(wait, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if d.set == generation {
			d.expired = true
			h.changed.Broadcast()
		}
	})
	return nil
}

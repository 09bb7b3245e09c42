package pcsc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"tapnet/internal/clock"
)

// DefaultSocket is where pcscd listens on Debian and most other systems.
const DefaultSocket = "/run/pcscd/pcscd.comm"

// socketVariable names another place, for the daemon's own library and for us.
const socketVariable = "PCSCLITE_CSOCK_NAME"

// Socket is where the daemon of this machine is looked for.
func Socket() string {
	if path := os.Getenv(socketVariable); path != "" {
		return path
	}
	return DefaultSocket
}

// Deadlines of calls. The daemon lets a card ask for more time; a card of ours never needs a second.
const (
	defaultCallWithin = 5 * time.Second
	defaultCardWithin = 15 * time.Second // connecting resets the card; a command may make it compute
)

// Config says where the daemon is. The zero value is the usual place and the machine's clock.
type Config struct {
	Socket string      // path of the daemon's socket; empty: Socket()
	Clock  clock.Clock // nil: the machine's
	// CallWithin bounds a call that the daemon answers by itself, CardWithin one that the card answers; 0: the defaults.
	CallWithin, CardWithin time.Duration
}

func (c Config) filled() Config {
	if c.Socket == "" {
		c.Socket = Socket()
	}
	if c.Clock == nil {
		c.Clock = clock.Real()
	}
	if c.CallWithin <= 0 {
		c.CallWithin = defaultCallWithin
	}
	if c.CardWithin <= 0 {
		c.CardWithin = defaultCardWithin
	}
	return c
}

// client is one connection to the daemon, which is one context of PC/SC. It is not safe for concurrent use, and after a call that did
// not end well it is closed: nobody knows what the next bytes would belong to.
type client struct {
	config  Config
	conn    net.Conn
	in      *bufio.Reader
	minor   uint32
	context uint32
	scratch [transmitBytes]byte
}

// dial connects and agrees on a version.
func dial(ctx context.Context, config Config) (*client, error) {
	config = config.filled()
	minor := uint32(versionMinor)
	for range 2 {
		c, spoken, err := dialVersion(ctx, config, minor)
		if err != nil || c != nil {
			return c, err
		}
		if spoken < versionMinorLow || spoken > versionMinorHigh || spoken == minor {
			return nil, failure("agree with the daemon on a version", ServiceStopped,
				fmt.Errorf("the daemon speaks version %d:%d of its protocol, tapnet %d:%d to %[3]d:%d", versionMajor, spoken, versionMajor, versionMinorLow,
					versionMinorHigh))
		}
		minor = spoken // an older daemon takes nothing but its own version
	}
	return nil, failure("agree with the daemon on a version", ServiceStopped, errProtocol)
}

// dialVersion asks for one version. Without a client and without an error, the daemon wants the version it spoke.
func dialVersion(ctx context.Context, config Config, minor uint32) (c *client, spoken uint32, err error) {
	const doing = "connect to the PC/SC daemon"
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	defer config.Clock.AfterFunc(config.CallWithin, cancel).Stop()
	conn, err := new(net.Dialer).DialContext(dialing, "unix", config.Socket)
	if err != nil {
		return nil, 0, failure(doing, NoService, dialReason(config.Socket, err))
	}
	c = &client{config: config, conn: conn, in: bufio.NewReaderSize(conn, statesBytes), minor: minor}
	answer, err := c.call(ctx, doing, commandVersion, words(nil, versionMajor, minor, 0), versionBytes)
	if err != nil {
		return nil, 0, err
	}
	major, spoken, code := word(answer, 0), word(answer, 1), Code(word(answer, 2))
	switch {
	case major != versionMajor:
		c.drop()
		return nil, 0, failure(doing, ServiceStopped, fmt.Errorf("the daemon speaks version %d:%d of its protocol", major, spoken))
	case code != 0:
		c.drop()
		return nil, spoken, nil
	}
	return c, spoken, nil
}

// dialReason says why nobody answers at the socket.
func dialReason(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no socket %s", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens on the socket %s: it is left from a daemon that died", path)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not open the socket %s", path)
	}
	return err
}

// establish opens the context.
func (c *client) establish(ctx context.Context) error {
	const doing = "open a context of PC/SC"
	const scopeSystem = 2
	answer, err := c.call(ctx, doing, commandEstablish, words(nil, scopeSystem, 0, 0), contextBytes)
	if err != nil {
		return err
	}
	if code := Code(word(answer, 2)); code != 0 {
		c.drop()
		return failure(doing, code, nil)
	}
	c.context = word(answer, 1)
	return nil
}

// states asks for the table of readers.
func (c *client) states(ctx context.Context) ([]State, error) {
	const doing = "list the readers"
	answer, err := c.call(ctx, doing, commandStates, nil, statesBytes)
	if err != nil {
		return nil, err
	}
	states, err := decodeStates(answer)
	if err != nil {
		c.drop()
		return nil, failure(doing, ServiceStopped, err)
	}
	return states, nil
}

// call sends a request and reads an answer of a known length, within the time of a call.
func (c *client) call(ctx context.Context, doing string, what command, body []byte, length int) ([]byte, error) {
	return c.callWithin(ctx, doing, request(what, body), length, c.config.CallWithin)
}

func (c *client) callWithin(ctx context.Context, doing string, message []byte, length int, within time.Duration) ([]byte, error) {
	g := c.guard(ctx, within)
	defer g.stop()
	if _, err := c.conn.Write(message); err != nil {
		return nil, g.broken(doing, err)
	}
	answer := c.scratch[:]
	if length > len(answer) {
		answer = make([]byte, length)
	}
	answer = answer[:length]
	if _, err := io.ReadFull(c.in, answer); err != nil {
		return nil, g.broken(doing, err)
	}
	return answer, nil
}

// guard closes the connection when a call takes too long or nobody wants its answer any more.
type guard struct {
	client *client
	late   atomic.Bool
	ctx    context.Context
	timer  clock.Timer
	undo   func() bool
}

func (c *client) guard(ctx context.Context, within time.Duration) *guard {
	g := &guard{client: c, ctx: ctx}
	g.timer = c.config.Clock.AfterFunc(within, func() {
		g.late.Store(true)
		_ = c.conn.Close()
	})
	g.undo = context.AfterFunc(ctx, func() { _ = c.conn.Close() })
	return g
}

func (g *guard) stop() {
	g.timer.Stop()
	g.undo()
}

// broken is the error of a connection that failed under a call. The connection is of no use afterwards.
func (g *guard) broken(doing string, err error) error {
	g.client.drop()
	switch {
	case g.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, g.ctx.Err())
	case g.late.Load():
		return failure(doing, Timeout, nil)
	}
	return failure(doing, ServiceStopped, err)
}

// drop closes the connection; the daemon then releases the context and everything in it.
func (c *client) drop() { _ = c.conn.Close() }

// close releases the context in due form.
func (c *client) close(ctx context.Context) error {
	defer c.drop()
	const doing = "close the context of PC/SC"
	answer, err := c.call(ctx, doing, commandRelease, words(nil, c.context, 0), releaseBytes)
	if err != nil {
		return err
	}
	if code := Code(word(answer, 1)); code != 0 {
		return failure(doing, code, nil)
	}
	return nil
}

// Readers lists the readers of the machine and the cards in them.
func Readers(ctx context.Context, config Config) ([]State, error) {
	c, err := dial(ctx, config)
	if err != nil {
		return nil, err
	}
	defer c.drop()
	return c.states(ctx)
}

// Choose finds a reader: by its whole name, or by a part of it, upper and lower case alike. Of several that fit, it is the only one with a
// card. Nothing wanted fits all. The error names those there are.
func Choose(readers []State, wanted string) (State, error) {
	doing := "choose a reader"
	if wanted != "" {
		doing = fmt.Sprintf("find the reader %q", wanted)
	}
	if len(readers) == 0 {
		return State{}, failure(doing, NoReaders, nil)
	}
	var matching, withCard []State
	for _, r := range readers {
		switch {
		case r.Name == wanted:
			return r, nil
		case !strings.Contains(strings.ToLower(r.Name), strings.ToLower(wanted)):
			continue
		case r.Present():
			withCard = append(withCard, r)
		}
		matching = append(matching, r)
	}
	if len(matching) > 1 {
		matching = withCard
	}
	if len(matching) == 1 {
		return matching[0], nil
	}
	var list []string
	for _, r := range readers {
		list = append(list, fmt.Sprintf("%q", r.Name))
	}
	return State{}, failure(doing, UnknownReader, fmt.Errorf("say which one with --reader: %s", strings.Join(list, ", ")))
}

package link

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/memnet"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/mac"
	"tapnet/money"
	"tapnet/pan"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits in real time for something that happens at once; it passes only when the test fails.
const patience = 5 * time.Second

const (
	terminalID = "10000001"
	merchantID = "629999000000001"
	acquirerID = "48990001"
	switchID   = "00010344"
)

var start0 = time.Date(2026, 11, 21, 1, 2, 3, 0, time.UTC)

// got is a message a handler was given.
type got struct {
	session *Session
	message unionpay.Message
	raw     []byte
}

// side is one end's configuration with everything it reports.
type side struct {
	config Config
	ring   *keyring.Ring
	hsm    *hsm.HSM
	got    chan got
	up     chan *Session
	down   chan error
	traces chan TraceEvent
}

// world is two sides that share a master key, and a clock.
type world struct {
	clock        *clock.Manual
	opener, host *side
}

func newWorld(t testing.TB, d unionpay.Dialect) *world {
	t.Helper()
	w := &world{clock: clock.NewManual(start0)}
	openerName, hostName, algorithm := terminalID, acquirerID, hsm.LegacyECB
	openerMode, hostMode := hsm.ModeEncrypt, hsm.ModeDecrypt
	if d == unionpay.Switch {
		openerName, hostName, algorithm = acquirerID, switchID, hsm.X99CBC
		openerMode, hostMode = hsm.ModeBoth, hsm.ModeBoth
	}
	w.opener = newSide(t, w.clock, d, openerName, 1, algorithm, openerMode)
	w.host = newSide(t, w.clock, d, hostName, 2, algorithm, hostMode)
	w.opener.config.Peer, w.opener.config.Merchant = hostName, merchantID
	master := []byte("0123456789abcdef")
	for _, k := range []struct {
		side *side
		peer string
		mode hsm.Mode
	}{{w.opener, hostName, hsm.ModeDecrypt}, {w.host, openerName, hsm.ModeEncrypt}} {
		_, err := k.side.hsm.ImportClear("master/"+k.peer, hsm.UsageKeyEncryption, k.mode, hsm.TDES, hsm.NotExportable, master)
		must(t, err)
	}
	return w
}

func newSide(t testing.TB, c clock.Clock, d unionpay.Dialect, name string, seed byte, a hsm.MACAlgorithm, pin hsm.Mode) *side {
	t.Helper()
	s := &side{
		hsm: hsm.New(rand.NewChaCha8([32]byte{seed})),
		got: make(chan got, 1000), up: make(chan *Session, 100), down: make(chan error, 100), traces: make(chan TraceEvent, 1000),
	}
	var err error
	s.ring, err = keyring.New(keyring.Config{HSM: s.hsm, Prefix: "key/", MasterKey: func(peer string) string { return "master/" + peer },
		MAC: a, PINMode: pin})
	must(t, err)
	s.config = Config{
		Name: name, Dialect: d, Clock: c, Keys: s.ring,
		OnMessage: func(x *Session, m unionpay.Message, raw []byte) { s.got <- got{x, m, append([]byte(nil), raw...)} },
		OnUp:      func(x *Session) { s.up <- x },
		OnDown:    func(_ *Session, reason error) { s.down <- reason },
		Trace: func(e TraceEvent) {
			select {
			case s.traces <- e:
			default: // the test does not look
			}
		},
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// next waits for what must come.
func next[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
	}
	return v
}

// none asserts that nothing has come; the caller has made sure that it would have.
func none[T any](t testing.TB, what string, c <-chan T) {
	t.Helper()
	select {
	case v := <-c:
		t.Fatalf("%s: unexpected %v", what, v)
	default:
	}
}

// wires are the two kinds of connection every test of behaviour runs over.
var wires = map[string]func(t testing.TB, c clock.Clock) (a, b net.Conn){
	"memnet": func(_ testing.TB, c clock.Clock) (net.Conn, net.Conn) { return memnet.Pipe(c) },
	"tcp": func(t testing.TB, _ clock.Clock) (net.Conn, net.Conn) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		defer l.Close()
		a, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		b, err := l.Accept()
		must(t, err)
		return a, b
	},
}

// eachWire runs f for both dialects over both wires.
func eachWire(t *testing.T, f func(t *testing.T, w *world, a, b net.Conn)) {
	for _, d := range []unionpay.Dialect{unionpay.Terminal, unionpay.Switch} {
		for name, wire := range wires {
			t.Run(fmt.Sprintf("%s/%s", d, name), func(t *testing.T) {
				w := newWorld(t, d)
				a, b := wire(t, w.clock)
				f(t, w, a, b)
			})
		}
	}
}

// connect brings both sides up.
func (w *world) connect(t testing.TB, a, b net.Conn) (opener, host *Session) {
	t.Helper()
	host, err := Accept(b, w.host.config)
	must(t, err)
	opener, err = Open(a, w.opener.config)
	must(t, err)
	t.Cleanup(func() { finish(t, opener, host) })
	next(t, "host up", w.host.up)
	next(t, "opener up", w.opener.up)
	return opener, host
}

// onlyHost starts the host with the test at the other end of the wire.
func (w *world) onlyHost(t testing.TB, a, b net.Conn) *Session {
	t.Helper()
	host, err := Accept(b, w.host.config)
	must(t, err)
	t.Cleanup(func() { _ = a.Close(); finish(t, host) })
	return host
}

// finish closes sessions and waits for their goroutines.
func finish(t testing.TB, sessions ...*Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, s := range sessions {
		_ = s.Close()
	}
	for _, s := range sessions {
		if err := s.Wait(ctx); errors.Is(err, context.DeadlineExceeded) {
			t.Fatal("a session did not end")
		}
	}
}

// sale is a business message.
func sale(t testing.TB, stan uint32) *unionpay.FinancialRequest {
	t.Helper()
	n, err := pan.Parse("6299990000000017")
	must(t, err)
	return &unionpay.FinancialRequest{Payment: unionpay.Payment{
		PAN: n, Processing: unionpay.ProcessingSale, Amount: money.New(29900, money.CNY), TransmissionTime: "1121010203", STAN: stan,
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), Condition: unionpay.ConditionNormal,
		Acquirer: acquirerID, Forwarder: acquirerID, RRN: "632501000001", Terminal: terminalID, Merchant: merchantID,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1},
	}}
}

func approval(t testing.TB, m unionpay.Message) unionpay.Message {
	t.Helper()
	return unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved, AuthCode: "123456"})
}

// frame gives a message as it lies on the wire, without a MAC when compute is nil.
func frame(t testing.TB, d unionpay.Dialect, m unionpay.Message, compute unionpay.MACFunc) []byte {
	t.Helper()
	body, err := unionpay.Encode(d, nil, m, compute)
	must(t, err)
	return frameBody(t, d, body)
}

func frameBody(t testing.TB, d unionpay.Dialect, body []byte) []byte {
	t.Helper()
	f, framing := iso8583.Frame{Body: body}, iso8583.SwitchFraming
	if d == unionpay.Terminal {
		f.TPDU, f.Header, framing = []byte{0x60, 0, 3, 0, 9}, defaultHeader[:], iso8583.TerminalFraming
	}
	b, err := framing.AppendFrame(nil, f)
	must(t, err)
	return b
}

// wrongMAC is the MAC of somebody without the key.
func wrongMAC(input []byte) ([8]byte, error) { return mac.RetailZeroPad([16]byte{1}, input), nil }

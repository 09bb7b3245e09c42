package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/personalization"
	"tapnet/internal/verify"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"

	"go.uber.org/goleak"
)

// The intruder's own identities: a terminal and a member that the network knows and whose keys it has, but that nobody runs.
const (
	evilTerminal = "T0000666"
	evilMerchant = "301000058120666"
	evilMember   = "10660000"
	evilPrefix   = "62999966"
)

// patience is how long a test waits for what happens at once; it passes only when the test fails.
const patience = 10 * time.Second

// journalText is a log that several goroutines write.
type journalText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journalText) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journalText) take() []byte {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Clone(j.text.Bytes())
}

// arena is a network as it runs in earnest: the switch, the banks and the tills as three processes would be, over TCP, with a clock that the test moves.
type arena struct {
	testing.TB
	dir                  string
	clock                *clock.Manual
	centre, banks, shops *Network
	log                  *journalText
	overheard            *journalText // what the tills sent, byte for byte
	hidden               map[string][]byte
}

// arenaProfile is the demo's world with cards that a test does not exhaust.
func arenaProfile(t testing.TB) *personalization.Profile {
	t.Helper()
	p, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	for i := range p.Cards {
		c := &p.Cards[i]
		c.DayLimit, c.DayCount, c.NoPINDayLimit, c.TapLimit = "", 0, "", ""
		if c.Balance != "" && c.Name != "zhao" {
			c.Balance = "9000000.00"
		}
	}
	return p
}

func newArena(t testing.TB) *arena {
	t.Helper()
	existing := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, existing) })
	a := &arena{TB: t, dir: t.TempDir(), clock: clock.NewManual(demoStart), log: &journalText{}, overheard: &journalText{}}
	honest := arenaProfile(t)
	banks := *honest
	banks.Merchants = append(append([]personalization.Merchant(nil), honest.Merchants...), personalization.Merchant{
		Name: "evil", ID: evilMerchant, Label: "EVIL SHOP", Category: "5812", Terminal: evilTerminal, Floor: "0", CVMLimit: "1000.00", TapLimit: "50000.00",
	})
	centre := banks
	centre.Issuers = append(append([]personalization.Issuer(nil), honest.Issuers...), personalization.Issuer{
		Institution: evilMember, Name: "Evil Bank", Prefix: evilPrefix,
	})
	a.hidden = secrets(t, honest)
	start := func(p *personalization.Profile, listen map[string]string, roles ...string) *Network {
		t.Helper()
		n, err := Start(t.Context(), Options{Profile: p, Dir: a.dir, Clock: a.clock, Roles: roles, Listen: listen, Quiet: true,
			Log: slog.New(slog.NewTextHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := n.Stop(context.WithoutCancel(t.Context())); err != nil {
				t.Errorf("stop: %v", err)
			}
		})
		return n
	}
	const any = "127.0.0.1:0"
	a.centre = start(&centre, map[string]string{RoleSwitch: any}, RoleSwitch)
	toSwitch := a.centre.Addresses()[RoleSwitch]
	a.banks = start(&banks, map[string]string{RoleSwitch: toSwitch, RoleAcquirer: any}, RoleIssuer, RoleAcquirer)
	a.shops = start(honest, map[string]string{RoleAcquirer: a.wiretap(a.banks.Addresses()[RoleAcquirer])}, RolePOS)
	return a
}

// wiretap listens in on the way from the tills to the acquirer.
func (a *arena) wiretap(to string) string {
	a.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		a.Fatal(err)
	}
	var wires sync.WaitGroup
	a.Cleanup(func() { _ = listener.Close(); wires.Wait() })
	carry := func(to, from net.Conn, copies ...io.Writer) {
		_, _ = io.Copy(io.MultiWriter(append(copies, to)...), from)
		_, _ = to.Close(), from.Close()
	}
	wires.Go(func() {
		for {
			till, err := listener.Accept()
			if err != nil {
				return
			}
			host, err := net.Dial("tcp", to)
			if err != nil {
				_ = till.Close()
				continue
			}
			wires.Go(func() { carry(host, till, a.overheard) })
			wires.Go(func() { carry(till, host) })
		}
	})
	return listener.Addr().String()
}

// in is the same arena for a part of a test.
func (a *arena) in(t testing.TB) *arena {
	part := *a
	part.TB = t
	return &part
}

// pay makes an honest payment, which must be approved whatever else goes on.
func (a *arena) pay(card, at, amount string) TapResult {
	a.Helper()
	result, err := a.tryPay(a.Context(), card, at, amount)
	if err != nil {
		a.Fatal(err)
	}
	if !result.Paid() {
		a.Fatalf("honest tap of %s at %s: %s %s: %s (%s)", card, at, result.Outcome, result.ResponseCode, result.Reason.EN, result.Why.EN)
	}
	return result
}

func (a *arena) tryPay(ctx context.Context, card, at, amount string) (TapResult, error) {
	request := TapRequest{Card: card, Merchant: at, AmountText: amount}
	if err := request.fill(a.shops.options.Profile.Money()); err != nil {
		return TapResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return a.shops.Tap(ctx, request)
}

// networks in the order in which obligations travel.
func (a *arena) networks() []*Network { return []*Network{a.shops, a.banks, a.centre} }

// snapshot joins what the processes know.
func (a *arena) snapshot() verify.Snapshot {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), patience)
	defer cancel()
	var joined verify.Snapshot
	for _, n := range a.networks() {
		if err := n.Settle(ctx); err != nil {
			a.Fatalf("settle: %v", err)
		}
	}
	for _, n := range a.networks() {
		s, err := n.Snapshot(ctx)
		if err != nil {
			a.Fatal(err)
		}
		if joined.Members == nil {
			joined = s
			continue
		}
		joined.Members = append(joined.Members, s.Members...)
	}
	return joined
}

// checkBooks tries every law on what all members hold.
func (a *arena) checkBooks() {
	a.Helper()
	for _, finding := range verify.Check(a.snapshot()) {
		a.Errorf("invariant %v", finding)
	}
}

// books prints every account of every bank.
func (a *arena) books() string {
	a.Helper()
	lines, err := a.banks.Books(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	return fmt.Sprintf("%+v", lines)
}

// checkSilence searches log, traces and files for what must stay hidden.
func (a *arena) checkSilence() {
	a.Helper()
	search(a, "the log", a.log.take(), a.hidden)
	for _, n := range a.networks() {
		payments := n.trace.Payments()
		for i := 0; i < len(payments); i += 1 + len(payments)/200 { // reversals of nothing come in thousands and are all alike
			saved, err := n.TraceOf(a.Context(), payments[i].ID)
			if err != nil {
				a.Fatal(err)
			}
			search(a, "a trace", saved, a.hidden)
		}
	}
	searchFiles(a, a.dir, a.hidden)
}

// heap is what the process holds after a collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// intruder is one connection of somebody who writes what he likes.
type intruder struct {
	*arena
	conn     net.Conn
	reader   *bufio.Reader
	dialect  unionpay.Dialect
	ring     *keyring.Ring // nil: no keys
	name     string        // terminal or member
	merchant string
	peer     string
	stan     uint32
}

// intrude connects to the acquirer's terminal port or the switch's member port.
func (a *arena) intrude(role string) *intruder {
	a.Helper()
	i := &intruder{arena: a, dialect: unionpay.Terminal, name: evilTerminal, merchant: evilMerchant, peer: a.banks.options.Profile.Acquirer.Institution}
	at := a.banks.Addresses()[RoleAcquirer]
	if role == RoleSwitch {
		i.dialect, i.name, i.merchant, i.peer = unionpay.Switch, evilMember, "", a.centre.options.Profile.Switch
		at = a.centre.Addresses()[RoleSwitch]
	}
	var err error
	if i.conn, err = net.DialTimeout("tcp", at, patience); err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { _ = i.conn.Close() })
	i.reader = bufio.NewReader(i.conn)
	return i
}

// withKeys gives the intruder the keys of an identity that the network knows.
func (i *intruder) withKeys(name, merchant string) *intruder {
	i.Helper()
	i.name, i.merchant = name, merchant
	side, algorithm, mode := sideTerminal, hsm.LegacyECB, hsm.ModeEncrypt
	if i.dialect == unionpay.Switch {
		side, algorithm, mode = sideNetwork, hsm.X99CBC, hsm.ModeBoth
	}
	var err error
	if i.ring, err = i.centre.vaults.ring(name, side, algorithm, mode); err != nil {
		i.Fatal(err)
	}
	return i
}

func (i *intruder) write(b []byte) {
	i.Helper()
	if _, err := i.conn.Write(b); err != nil && !hungUp(err) {
		i.Fatalf("write: %v", err)
	}
}

// hungUp tells that the other side has closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (i *intruder) framing() iso8583.Framing {
	if i.dialect == unionpay.Switch {
		return iso8583.SwitchFraming
	}
	return iso8583.TerminalFraming
}

// frame puts a body into a frame that is in order.
func (i *intruder) frame(body []byte) []byte {
	i.Helper()
	f := iso8583.Frame{Body: body}
	if i.dialect == unionpay.Terminal {
		f.TPDU, f.Header = []byte{0x60, 0, 0, 0, 0}, []byte{0x60, 0x31, 0, 0x31, 0, 0}
	}
	out, err := i.framing().AppendFrame(nil, f)
	if err != nil {
		i.Fatal(err)
	}
	return out
}

// mac signs with the key of the intruder's session, or with nonsense.
func (i *intruder) mac(input []byte) ([8]byte, error) {
	if i.ring == nil {
		return [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, nil
	}
	return i.ring.MAC(i.peer, input)
}

func (i *intruder) encode(m unionpay.Message, mac unionpay.MACFunc) []byte {
	i.Helper()
	body, err := unionpay.Encode(i.dialect, nil, m, mac)
	if err != nil {
		i.Fatalf("encode: %v", err)
	}
	return body
}

func (i *intruder) send(m unionpay.Message) { i.Helper(); i.write(i.frame(i.encode(m, i.mac))) }

func (i *intruder) sendUnsigned(m unionpay.Message) {
	i.Helper()
	i.write(i.frame(i.encode(m, nil)))
}

// read gives the next message, nil when the connection has been closed.
func (i *intruder) read() unionpay.Message {
	i.Helper()
	if err := i.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		i.Fatal(err)
	}
	frame, err := i.framing().ReadFrame(i.reader, nil)
	if hungUp(err) {
		return nil
	}
	if err != nil {
		i.Fatalf("read: %v", err)
	}
	m, err := unionpay.Decode(i.dialect, frame.Body)
	if err != nil {
		i.Fatalf("the answer does not decode: %v", err)
	}
	return m
}

// code reads an answer and gives its response code, "closed" when the connection was closed instead.
func (i *intruder) code() unionpay.ResponseCode {
	i.Helper()
	switch m := i.read().(type) {
	case nil:
		return closed
	case *unionpay.NetworkResponse:
		if m.Code == unionpay.Echo {
			return silence
		}
		return m.Response
	default:
		if p := unionpay.PaymentOf(m); p != nil {
			return p.Response
		}
		return unionpay.ResponseCode(m.Type())
	}
}

// What code can also say.
const (
	closed  unionpay.ResponseCode = "closed"
	silence unionpay.ResponseCode = "silence"
)

// echo asks for a sign of life; its answer shows that nothing was said before it.
func (i *intruder) echo() { i.Helper(); i.sendUnsigned(i.network(unionpay.Echo)) }

func (i *intruder) network(code unionpay.NetworkCode) *unionpay.NetworkRequest {
	i.stan++
	m := &unionpay.NetworkRequest{STAN: i.stan, Code: code}
	if i.dialect == unionpay.Switch {
		m.Time, m.Institution = "1121020000", i.name
		return m
	}
	m.Terminal, m.Merchant, m.Batch = i.name, i.merchant, 1
	if code == unionpay.SignOn {
		m.Operator = "001"
	}
	return m
}

// signOn goes through the whole exchange with the intruder's own keys.
func (i *intruder) signOn() *intruder {
	i.Helper()
	i.ring.Reset(i.peer)
	i.sendUnsigned(i.network(unionpay.SignOn))
	answer, ok := i.read().(*unionpay.NetworkResponse)
	if !ok || !answer.Response.Approved() {
		i.Fatalf("sign-on of %s: %+v", i.name, answer)
	}
	take := func(keys *unionpay.WrappedKeys) {
		i.Helper()
		if keys == nil {
			i.Fatal("no keys")
		}
		if ok, err := i.ring.Install(i.peer, *keys); !ok || err != nil {
			i.Fatalf("keys: %v %v", ok, err)
		}
		if len(keys.MAC) > 0 {
			if err := i.ring.Confirm(i.peer); err != nil {
				i.Fatal(err)
			}
		}
	}
	if i.dialect == unionpay.Terminal {
		take(answer.Keys)
		return i
	}
	for range 2 {
		m, ok := i.read().(*unionpay.NetworkRequest)
		if !ok {
			i.Fatal("no key exchange")
		}
		take(m.Keys)
		i.send(m.Answer(unionpay.Approved))
	}
	return i
}

// terminalLength writes a terminal frame's length before whatever follows.
func terminalLength(length int, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(length)), rest...)
}

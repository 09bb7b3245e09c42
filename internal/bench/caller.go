package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/link"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

const (
	// signOnPatience is how long a caller waits to be signed on, answerPatience for the next bytes of the host.
	signOnPatience = 10 * time.Second
	answerPatience = 20 * time.Second
	// checkEvery: of so many answers one is checked in full, MAC and response cryptogram; of every other one the bitmap, the response code and that
	// field 55 has the length of issuer authentication data.
	checkEvery = 64
	// perSecond is how many requests of a caller carry the same transmission time.
	perSecond = 1000
	maxSTAN   = 999999
	bufferKiB = 64
)

// caller is one connection of the load generator: a member of the network that signs on as any other and then sends what it has prepared.
type caller struct {
	name    string
	conn    *net.TCPConn
	session *link.Session
	held    *heldConn
	ring    *keyring.Ring
	reader  *bufio.Reader
	suite   cryptogram.Suite
	deck    deck
	sent    int // requests ever prepared
	buffer  []byte
	message iso8583.Message
}

// heldConn lends a connection to a session for the sign-on; then the session reads no more and the caller has the connection for itself.
type heldConn struct {
	*net.TCPConn
	mu     sync.Mutex
	taken  bool
	closed chan struct{}
	once   sync.Once
	idle   chan struct{} // closed when the session's reader has let go
}

func (c *heldConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.isTaken() {
		close(c.idle)
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *heldConn) isTaken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.taken
}

// take makes the session's reader let go of the connection.
func (c *heldConn) take() error {
	c.mu.Lock()
	c.taken = true
	c.mu.Unlock()
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return err
	}
	<-c.idle
	return c.SetReadDeadline(time.Time{})
}

func (c *heldConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}

// newCaller connects to the host, which gets a master key for it, and signs on.
func newCaller(ctx context.Context, h *host, vault *hsm.HSM, name string, cards deck) (*caller, error) {
	own := hsm.New(rand.Reader)
	if err := h.share(vault, own, name); err != nil {
		return nil, fmt.Errorf("bench: master key of %s: %w", name, err)
	}
	ring, err := keyring.New(keyring.Config{HSM: own, Prefix: "network/", MasterKey: masterKeyOf, MAC: hsm.X99CBC, PINMode: hsm.ModeBoth})
	if err != nil {
		return nil, err
	}
	c := &caller{name: name, ring: ring, suite: cryptogram.TDES(), deck: cards, buffer: make([]byte, 0, iso8583.MaxFrameBytes)}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", h.address)
	if err != nil {
		return nil, fmt.Errorf("bench: connect: %w", err)
	}
	c.conn = conn.(*net.TCPConn)
	c.held = &heldConn{TCPConn: c.conn, closed: make(chan struct{}), idle: make(chan struct{})}
	up := h.expect(name)
	c.session, err = link.Open(c.held, link.Config{
		Name: name, Peer: hostName, Dialect: unionpay.Switch, Clock: clock.Real(), Keys: ring, Limits: link.Limits{EchoAfter: -1, IdleClose: -1},
		OnMessage: func(*link.Session, unionpay.Message, []byte) {},
	})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	patience := time.NewTimer(signOnPatience)
	defer patience.Stop()
	select {
	case <-up:
	case <-c.session.Done():
		return nil, fmt.Errorf("bench: sign-on of %s: %w", name, c.session.Err())
	case <-patience.C:
		return nil, errors.Join(fmt.Errorf("bench: sign-on of %s takes too long", name), c.close())
	}
	if err := c.held.take(); err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.reader = bufio.NewReaderSize(c.conn, bufferKiB<<10)
	return c, nil
}

func (c *caller) close() error {
	_ = c.session.Close()
	_ = c.held.Close()
	<-c.session.Done()
	return nil
}

// request is one prepared message.
type request struct {
	frame []byte
	card  *chip
	arqc  [8]byte
	atc   uint16
	done  bool // answered
}

// prepare makes n requests, with cryptograms and MACs, so that none of that work is measured.
func (c *caller) prepare(n int) ([]request, error) {
	requests := make([]request, n)
	amount := money.New(tapMinor, money.CNY)
	packed, err := amount.BCD()
	if err != nil {
		return nil, err
	}
	arena := make([]byte, 0, n*512)
	// Transmission times rise from one run to the next, over all callers, as they do on a network.
	before := c.deck.p.sent.Load()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(before/perSecond+1) * time.Second)
	settlement := time.Now().In(clock.Shanghai()).Format("0102")
	sign := func(input []byte) ([8]byte, error) { return c.ring.MAC(hostName, input) }
	body := make([]byte, 0, 1024)
	m := c.template(amount)
	m.SettlementDate = settlement
	for i := range requests {
		card, err := c.deck.draw()
		if err != nil {
			return nil, err
		}
		at := start.Add(time.Duration(i/perSecond) * time.Second)
		if err := c.fill(m, card, packed[:], at); err != nil {
			return nil, err
		}
		if body, err = unionpay.Encode(unionpay.Switch, body[:0], m, sign); err != nil {
			return nil, err
		}
		from := len(arena)
		if arena, err = iso8583.SwitchFraming.AppendFrame(arena, iso8583.Frame{Body: body}); err != nil {
			return nil, err
		}
		requests[i] = request{frame: arena[from:len(arena):len(arena)], card: card, arqc: [8]byte(m.ICC.Get(emv.TagAC)), atc: card.atc}
		c.sent++
	}
	c.deck.p.sent.Add(uint64(n))
	return requests, nil
}

// template is what all requests of a caller have in common.
func (c *caller) template(amount money.Amount) *unionpay.FinancialRequest {
	return &unionpay.FinancialRequest{Payment: unionpay.Payment{
		Processing: unionpay.ProcessingSale, Amount: amount, MerchantType: "5411",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Condition: unionpay.ConditionNormal,
		Acquirer: c.name, Forwarder: c.name, Terminal: "T" + c.name[1:], Merchant: "629999000000001", MerchantName: "CANTEEN ONE            SHANGHAI",
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1, NetworkCode: "000", ReadCapability: unionpay.ReadContactless},
	}}
}

// fill makes the template the next tap of a card.
func (c *caller) fill(m *unionpay.FinancialRequest, card *chip, amount []byte, at time.Time) (err error) {
	if m.PAN, err = card.number(); err != nil {
		return err
	}
	if m.Track2, err = card.track(); err != nil {
		return err
	}
	m.STAN, m.RRN = uint32(c.sent%maxSTAN)+1, fmt.Sprintf("%012d", c.sent)
	m.TransmissionTime, m.LocalTime, m.LocalDate = at.Format("0102150405"), at.Format("150405"), at.Format("0102")
	return card.tap(c.suite, amount, &m.ICC)
}

// first is the trace number of the first of the last n requests prepared.
func (c *caller) first(n int) int { return (c.sent - n) % maxSTAN }

// errAnswer says that the host did not answer as it must; a benchmark of wrong answers is worth nothing.
var errAnswer = errors.New("bench: wrong answer")

// answer reads the next answer and gives the place of its request among the n under way.
func (c *caller) answer(requests []request, first, count int) (int, error) {
	if c.reader.Buffered() == 0 { // a read may wait
		if err := c.conn.SetReadDeadline(time.Now().Add(answerPatience)); err != nil {
			return 0, err
		}
	}
	frame, err := iso8583.SwitchFraming.ReadFrame(c.reader, c.buffer)
	if err != nil {
		return 0, fmt.Errorf("bench: reading an answer: %w", err)
	}
	if err := unionpay.SpecOf(unionpay.Switch).Unpack(frame.Body, &c.message); err != nil {
		return 0, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if code := c.message.Get(39); c.message.MTI != [4]byte([]byte("0210")) || string(code) != string(unionpay.Approved) {
		return 0, fmt.Errorf("%w: type %s, response code %q", errAnswer, c.message.MTI, code)
	}
	stan := 0
	for _, digit := range c.message.Get(11) {
		stan = stan*10 + int(digit-'0')
	}
	at := (stan - 1 - first + maxSTAN) % maxSTAN
	if at < 0 || at >= len(requests) {
		return 0, fmt.Errorf("%w: to trace number %d, which was not sent", errAnswer, stan)
	}
	if requests[at].done {
		return 0, fmt.Errorf("%w: a second one to trace number %d", errAnswer, stan)
	}
	requests[at].done = true
	const issuerDataBytes = 2 + 10 // tag 91, its length, response cryptogram, response code
	icc := c.message.Get(55)
	if len(icc) != issuerDataBytes {
		return 0, fmt.Errorf("%w: %d bytes of chip data", errAnswer, len(icc))
	}
	if count%checkEvery == 0 {
		return at, c.check(&requests[at], frame.Body, icc)
	}
	return at, nil
}

// check looks at an answer as the card and the switch would.
func (c *caller) check(r *request, body, icc []byte) error {
	input, code, err := unionpay.MACInput(unionpay.Switch, body)
	if err != nil || len(code) != 8 {
		return fmt.Errorf("%w: without a MAC", errAnswer)
	}
	if ok, err := c.ring.VerifyMAC(hostName, input, [8]byte(code)); err != nil || !ok {
		return fmt.Errorf("%w: MAC does not match: %w", errAnswer, err)
	}
	data, err := emv.ParseData(icc)
	if err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	if !r.card.answers(c.suite, r.atc, r.arqc, data.Get(emv.TagIssuerAuthData)) {
		return fmt.Errorf("%w: response cryptogram does not match", errAnswer)
	}
	return nil
}

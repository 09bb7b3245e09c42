//go:build unix

package crashtest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/link"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// The institutions of the world whose bank is killed.
const (
	switchID    = "00010000"
	acquirerID  = "30010000"
	issuerID    = "10010000"
	sequence    = "01"
	tapMinor    = 12_50
	openingYuan = 1_000_000_000
)

// worldOf writes the profile of a network with so many cards, all debit and without limits.
func worldOf(t testing.TB, cards int, merchants string) string {
	t.Helper()
	text := fmt.Sprintf(`name = "crash"
currency = "CNY"
authority = 0
switch = %q
%s
[acquirer]
institution = %q
name = "Harbour Merchant Bank"

[[issuer]]
institution = %q
name = "Lantern Bank"
prefix = "62999910"
key = 0
`, switchID, merchants, acquirerID, issuerID)
	for i := range cards {
		text += fmt.Sprintf(`
[[card]]
name = "%s"
holder = "CRASH/TEST"
issuer = %q
product = "debit"
serial = %d
sequence = %q
expiry = "3012"
pin = "246810"
balance = "%d.00"
no_pin = true
`, cardName(i), issuerID, i+1, sequence, openingYuan)
	}
	path := filepath.Join(t.TempDir(), "crash.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func cardName(i int) string { return fmt.Sprintf("card-%d", i+1) }

// loadWorld reads the profile as the program does.
func loadWorld(t testing.TB, path string) *personalization.Profile {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	profile, err := personalization.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return profile
}

// vaultOf opens an institution's security module in a data directory, as a party to the key ceremony may.
func vaultOf(t testing.TB, dir, institution string) *hsm.HSM {
	t.Helper()
	passphrase, err := os.ReadFile(filepath.Join(dir, "passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := hsm.Open(rand.Reader, filepath.Join(dir, "keys", institution+".hsm"), passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return vault
}

// chip makes the cryptograms of a card.
type chip struct {
	id     int64
	number pan.Number
	track  pan.Track2
	suite  cryptogram.Suite
	key    cryptogram.Key
	atc    uint16
}

// chipsOf makes the cards of the world.
func chipsOf(t testing.TB, profile *personalization.Profile, vault *hsm.HSM) []*chip {
	t.Helper()
	issuer, _ := profile.Issuer(issuerID)
	loader, err := vault.CardLoader("card-transport")
	if err != nil {
		t.Fatal(err)
	}
	var chips []*chip
	for _, spec := range profile.Cards {
		c := &chip{id: int64(spec.Serial), suite: cryptogram.TDES(), atc: 1}
		expiry, err := pan.ParseExpiry(spec.Expiry)
		if err != nil {
			t.Fatal(err)
		}
		if c.number, err = personalization.Number(issuer, spec); err != nil {
			t.Fatal(err)
		}
		if c.track, err = pan.NewTrack2(c.number, expiry, "201", "0000000"); err != nil {
			t.Fatal(err)
		}
		sealed, err := vault.SealCardKeys(hsm.CardKeyRequest{
			ACMaster: "imk-ac", MACMaster: "imk-mac", ENCMaster: "imk-enc", Transport: "card-transport", PAN: c.number, Sequence: sequence, Suite: c.suite,
		})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := loader.Unseal(sealed, c.number, sequence)
		if err != nil {
			t.Fatal(err)
		}
		c.key = keys.AC
		chips = append(chips, c)
	}
	return chips
}

// tap gives the chip's next online cryptogram with what a terminal sends about it. [REF 6.1]
func (c *chip) tap(amount money.Amount) (emv.Data, error) {
	c.atc++
	packed, err := amount.BCD()
	if err != nil {
		return emv.Data{}, err
	}
	counter := binary.BigEndian.AppendUint16(nil, c.atc)
	unpredictable := binary.BigEndian.AppendUint32(nil, uint32(c.id)<<16|uint32(c.atc))
	iad := emv.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: emv.CVR{0x03, 0xA0, 0x00, 0x00}, Algorithm: c.suite.AlgorithmID()}
	var icc emv.Data
	icc.Set(emv.TagAmount, packed[:])
	icc.Set(emv.TagAmountOther, make([]byte, 6))
	icc.Set(emv.TagTerminalCountry, []byte{0x01, 0x56})
	icc.Set(emv.TagTVR, make([]byte, 5))
	icc.Set(emv.TagCurrency, []byte{0x01, 0x56})
	icc.Set(emv.TagTransactionDate, []byte{0x26, 0x11, 0x21})
	icc.Set(emv.TagTransactionType, []byte{0x00})
	icc.Set(emv.TagUnpredictableNumber, unpredictable)
	icc.Set(emv.TagAIP, []byte{0x7C, 0x00})
	icc.Set(emv.TagATC, counter)
	icc.Set(emv.TagIAD, iad.Bytes())
	data, err := c.suite.AppendData(nil, iad.CVN, iad.CVR, icc)
	if err != nil {
		return emv.Data{}, err
	}
	ac := c.suite.Cryptogram(c.suite.SessionKey(c.key, c.atc), data)
	icc.Set(emv.TagAC, ac[:])
	return icc, nil
}

// hub plays the switch: the bank dials it, signs on, and gets the requests of the cardholders.
type hub struct {
	address string
	server  *link.Server

	mu      sync.Mutex
	session *link.Session          // of the bank, while it is signed on
	change  chan struct{}          // closed when session changes
	waiting map[string]chan answer // by key of the request
	strays  []string               // answers that nobody waits for
}

// answer is what came back: the message, and its bytes without the MAC at the end.
type answer struct {
	message unionpay.Message
	bytes   string
}

// macBytes is field 128, the last of every message of the switch's dialect.
const macBytes = 8

// openHub listens. The working keys are in the switch's security module.
func openHub(t testing.TB, vault *hsm.HSM) *hub {
	t.Helper()
	ring, err := keyring.New(keyring.Config{
		HSM: vault, Prefix: "network/", MasterKey: func(peer string) string { return "master/network/" + peer }, MAC: hsm.X99CBC, PINMode: hsm.ModeBoth,
	})
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{change: make(chan struct{}), waiting: map[string]chan answer{}}
	h.server, err = link.NewServer(link.Config{
		Name: switchID, Dialect: unionpay.Switch, Clock: clock.Real(), Keys: ring, OnMessage: h.receive, OnUp: h.set,
		OnDown: func(s *link.Session, _ error) { h.down(s) }, Limits: link.Limits{Queue: 1 << 14},
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(ctx, listener) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hub) set(s *link.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.session = s
	close(h.change)
	h.change = make(chan struct{})
}

func (h *hub) down(s *link.Session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session == s {
		h.session = nil
	}
}

// gone returns once the session of a bank that is dead has ended, so that nobody takes it for the next one's.
func (h *hub) gone() {
	if s, _ := h.current(); s != nil {
		<-s.Done()
		h.down(s)
	}
}

// current is the bank's session, nil while there is none; then change tells of the next one.
func (h *hub) current() (s *link.Session, change <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.session, h.change
}

// up waits until the bank has signed on. It is false when the process ended before.
func (h *hub) up(t testing.TB, p *process) bool {
	t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		s, change := h.current()
		if s != nil {
			return true
		}
		select {
		case <-change:
		case <-p.ended:
			return false
		case <-late.C:
			t.Fatalf("the bank has not signed on within %v", patience)
		}
	}
}

func (h *hub) receive(_ *link.Session, m unionpay.Message, raw []byte) {
	key := unionpay.NetworkKey(m)
	a := answer{message: m, bytes: string(raw[:max(0, len(raw)-macBytes)])}
	h.mu.Lock()
	waiting := h.waiting[key]
	delete(h.waiting, key)
	if waiting == nil {
		h.strays = append(h.strays, key)
	}
	h.mu.Unlock()
	if waiting != nil {
		waiting <- a
	}
}

// Errors of an exchange.
var (
	errBroken = errors.New("the connection ended before the answer")
	errSilent = errors.New("the bank is up and does not answer")
)

// exchange sends a message once the bank is up and waits for the answer. errBroken leaves its outcome unknown.
func (h *hub) exchange(m unionpay.Message) (answer, error) {
	late := time.NewTimer(patience)
	defer late.Stop()
	var s *link.Session
	for s == nil {
		var change <-chan struct{}
		if s, change = h.current(); s != nil {
			break
		}
		select {
		case <-change:
		case <-late.C:
			return answer{}, errSilent
		}
	}
	key, came := unionpay.NetworkKey(m), make(chan answer, 1)
	h.mu.Lock()
	h.waiting[key] = came
	h.mu.Unlock()
	err := s.Send(m)
	if err == nil || !errors.Is(err, link.ErrQueueFull) {
		err = errBroken
		select {
		case a := <-came:
			return a, nil
		case <-s.Done():
			h.down(s)
		case <-late.C:
			err = errSilent
		}
	}
	h.mu.Lock()
	delete(h.waiting, key)
	h.mu.Unlock()
	select {
	case a := <-came: // it came with the end of the connection
		return a, nil
	default:
		return answer{}, err
	}
}

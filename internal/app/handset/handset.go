package handset

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tapnet/apdu"
	"tapnet/element"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/scp03"
)

// Options of a phone.
type Options struct {
	Dir     string // of this phone alone
	Random  io.Reader
	Service Service
	Wallet  string // profile of a new phone's wallet
	// Inject gives a new element its keys, in the factory.
	Inject func(serial scp03.Diversification) (scp03.Keys, error)
	// Between stands between the software and the element; nil: nothing does.
	Between func(apdu.Transceiver) apdu.Transceiver
}

// What every element of this factory has: a first version of keys, challenges from a counter, answers with code and encipherment.
const (
	keyVersion = 0x30
	channel    = scp03.Option(0x70)
)

// ErrTorn says that the element was lost within a session. What was half done is cleared away by the next one.
var ErrTorn = errors.New("the connection with the secure element was lost: do it again")

// Failed is a session that ended before its aim.
type Failed struct{ Reason string }

func (f *Failed) Error() string { return "the session with the secure element failed: " + f.Reason }

// maxSteps bounds a session: a personalization of the slowest wallet takes about twenty steps.
const maxSteps = 200

// Handset is a phone that is switched on. One goroutine uses it.
type Handset struct {
	o       Options
	element *element.Element
	seid    string
}

// Open switches a phone on, or makes one.
func Open(o Options) (*Handset, error) {
	if err := os.MkdirAll(o.Dir, directory); err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	m, err := openMemory(o.Dir, o.Random)
	if err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	if used, err := m.used(); err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	} else if !used {
		if err := produce(m, o); err != nil {
			return nil, fmt.Errorf("make a secure element: %w", err)
		}
	}
	h := &Handset{o: o}
	wallet, err := os.ReadFile(filepath.Join(o.Dir, walletName))
	if err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	h.o.Wallet = string(wallet)
	if h.element, err = element.New(m, o.Random); err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	serial := h.element.Serial()
	h.seid = strings.ToUpper(hex.EncodeToString(serial[:]))
	return h, nil
}

// produce makes a new element: a serial that nobody has, and the keys that its master gives to that serial.
func produce(m *memory, o Options) error {
	var serial scp03.Diversification
	if _, err := io.ReadFull(o.Random, serial[:]); err != nil {
		return err
	}
	keys, err := o.Inject(serial)
	if err != nil {
		return err
	}
	value, err := element.Blank{Serial: serial, Keys: keys, Version: keyVersion, Option: channel}.Bytes()
	if err != nil {
		return err
	}
	if err := replace(filepath.Join(o.Dir, walletName), []byte(o.Wallet)); err != nil {
		return err
	}
	return m.Commit(value) // last: its presence says that the phone is whole
}

// SEID names the element.
func (h *Handset) SEID() string { return h.seid }

// Applications are those on the element, in the order of selection. It is what the element itself says.
func (h *Handset) Applications() []element.Standing { return h.element.Applications() }

// Life is the element's state.
func (h *Handset) Life() element.Life { return h.element.Life() }

// Field holds the phone to a reader. leave takes it away again.
func (h *Handset) Field() (reader apdu.Transceiver, leave func()) {
	f := element.NewField(h.element)
	return f, f.Remove
}

// Register makes the element known to the service manager. Again changes nothing.
func (h *Handset) Register(ctx context.Context) error {
	return h.o.Service.register(ctx, tsmapi.Element{SEID: h.seid, KeyVersion: keyVersion, Wallet: h.o.Wallet})
}

// Standing is what the service manager knows of the element.
func (h *Handset) Standing(ctx context.Context) (tsmapi.Standing, error) {
	return h.o.Service.standing(ctx, h.seid)
}

// Run relays one session to its end and gives the name of the application. The error is ErrTorn, ErrNoService, a *Refused or a *Failed.
func (h *Handset) Run(ctx context.Context, kind tsmapi.Kind, token string) (aid string, err error) {
	const randomBytes = 16
	key := make([]byte, randomBytes)
	if _, err := io.ReadFull(h.o.Random, key); err != nil {
		return "", fmt.Errorf("begin a session: %w", err)
	}
	host := element.NewHost(h.element)
	defer host.Remove()
	var chip apdu.Transceiver = host
	if h.o.Between != nil {
		chip = h.o.Between(host)
	}
	p, err := h.o.Service.open(ctx, kind, hex.EncodeToString(key), h.seid, token)
	for range maxSteps {
		if err != nil {
			return "", err
		}
		if p.Done {
			break
		}
		var answers []string
		if answers, err = relay(ctx, chip, p.Commands); err == nil {
			p, err = h.o.Service.step(ctx, p.Session, p.Number, answers)
		}
	}
	switch {
	case err != nil:
		return "", err
	case p.Failed != "":
		return p.AID, &Failed{p.Failed}
	case !p.Done:
		return "", &Failed{fmt.Sprintf("more than %d steps", maxSteps)}
	}
	return p.AID, nil
}

// relay hands commands to the element, all of them whatever it answers.
func relay(ctx context.Context, chip apdu.Transceiver, commands []string) ([]string, error) {
	answers := make([]string, 0, len(commands))
	for _, text := range commands {
		command, err := hex.DecodeString(text)
		if err != nil {
			return nil, &Failed{"a command is not hexadecimal"}
		}
		answer, err := chip.Transceive(ctx, command)
		switch {
		case errors.Is(err, apdu.ErrCardLost):
			return nil, ErrTorn
		case err != nil:
			return nil, fmt.Errorf("relay: %w", err)
		}
		answers = append(answers, strings.ToUpper(hex.EncodeToString(answer)))
	}
	return answers, nil
}

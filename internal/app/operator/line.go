package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/link"
	"tapnet/iso8583/unionpay"
)

// Where `tapnet up` keeps the keys of its terminals, and how it calls them.
const (
	keyDirectory   = "keys"
	keySuffix      = ".hsm"
	passphraseFile = "passphrase"
	terminalSide   = "terminal/"
	masterPrefix   = "master/terminal/"
)

// connect keeps a session with the acquirer alive, as any terminal does.
func (op *Operator) connect(ctx context.Context) error {
	c := op.plan.Config.Acquirer
	if op.line != nil || c.Address == "" {
		return nil
	}
	passphrase, err := os.ReadFile(filepath.Join(c.Keys, passphraseFile))
	if err != nil {
		return fmt.Errorf("keys of the terminal %s: %w", c.Terminal, err)
	}
	defer clear(passphrase)
	vault, err := hsm.Open(rand.Reader, filepath.Join(c.Keys, keyDirectory, c.Terminal+keySuffix), passphrase)
	if err != nil {
		return fmt.Errorf("keys of the terminal %s: %w", c.Terminal, err)
	}
	ring, err := keyring.New(keyring.Config{HSM: vault, Prefix: terminalSide, MasterKey: func(peer string) string { return masterPrefix + peer },
		MAC: hsm.LegacyECB, PINMode: hsm.ModeEncrypt})
	if err != nil {
		return err
	}
	dialer, err := link.NewDialer(link.DialerConfig{
		Session: link.Config{
			Name: c.Terminal, Merchant: c.Merchant, Peer: c.Institution, Dialect: unionpay.Terminal, Clock: op.plan.clock, Keys: ring, Log: op.plan.log,
			OnMessage: func(_ *link.Session, m unionpay.Message, _ []byte) { op.Receive(m) },
			OnUp:      func(*link.Session) { op.Reached() },
		},
		Dial: func(ctx context.Context) (net.Conn, error) {
			var tcp net.Dialer
			return tcp.DialContext(ctx, "tcp", c.Address)
		},
	})
	if err != nil {
		return err
	}
	op.line = dialer
	op.group.Go(func() {
		if err := dialer.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			op.plan.log.Error("line to the acquirer stopped", "error", err)
		}
	})
	return nil
}

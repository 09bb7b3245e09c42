package validator

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"tapnet/apdu"
	"tapnet/gate"
	"tapnet/internal/pcsc"
)

// AnyReader in place of a reader's name takes the only reader with a card, or the only reader.
const AnyReader = "any"

// Times of a lane with a reader.
const (
	waitForCard = 10 * time.Second
	// cardStays is how long a card may lie on the reader before it counts as a new tap.
	cardStays = time.Minute
	// sickReader is how long a lane waits after trouble with its reader.
	sickReader = 2 * time.Second
)

// Lane is a reader in front of a validator.
type Lane struct {
	Reader string // its name, a part of it, or AnyReader
	Tap    gate.Read
	PCSC   pcsc.Config
	Told   func(Result) // hears of each tap
	Log    *slog.Logger
}

// Serve takes card after card at a reader until the context ends. Trouble with the reader is logged and tried again.
func (v *Validator) Serve(ctx context.Context, l Lane) error {
	trouble := ""
	for ctx.Err() == nil {
		err := v.serveOne(ctx, &l)
		if err == nil || ctx.Err() != nil || errors.Is(err, errNoCard) {
			trouble = ""
			continue
		}
		if said := err.Error(); said != trouble && l.Log != nil { // once for each kind of trouble
			trouble = said
			l.Log.Warn("reader", "error", err)
		}
		waited := make(chan struct{})
		timer := v.options.Clock.AfterFunc(sickReader, func() { close(waited) })
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-waited:
		}
	}
	return nil
}

var errNoCard = errors.New("no card came")

// serveOne waits for a card, lets it tap, and waits until it has gone: a card that stays taps once.
func (v *Validator) serveOne(ctx context.Context, l *Lane) error {
	name := l.Reader
	if name == AnyReader {
		name = ""
	}
	readers, err := pcsc.Readers(ctx, l.PCSC)
	if err != nil {
		return err
	}
	chosen, err := pcsc.Choose(readers, name)
	if err != nil {
		return err
	}
	if !chosen.Present() {
		if _, err := pcsc.WaitForCard(ctx, l.PCSC, chosen.Name, waitForCard); err != nil {
			if errors.Is(err, pcsc.NoSmartcard) {
				return errNoCard
			}
			return err
		}
	}
	reader := pcsc.NewReader(l.PCSC, chosen.Name)
	if _, err := reader.ConnectContext(ctx); err != nil {
		return err
	}
	result, err := v.Tap(ctx, apdu.Transceiver(reader), l.Tap)
	if err != nil {
		return errors.Join(err, reader.Disconnect())
	}
	_ = reader.Disconnect() // the tap has ended, however the card leaves
	if l.Told != nil {
		l.Told(result)
	}
	_, err = pcsc.WaitForRemoval(ctx, l.PCSC, chosen.Name, cardStays)
	return err
}

// Device is the name of the device.
func (v *Validator) Device() string { return v.options.Gate.Device }

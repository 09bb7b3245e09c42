//go:build thirdparty

package thirdparty

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/internal/pcsc"
	"tapnet/internal/vpcd"
	"tapnet/terminal"
)

// connect takes the card in a slot for the test.
func connect(t testing.TB, d *daemon, slot int) *pcsc.Reader {
	t.Helper()
	reader := pcsc.NewReader(pcsc.Config{}, d.reader(slot))
	atr, err := reader.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reader.Disconnect(); err != nil {
			t.Errorf("let the card go: %v", err)
		}
	})
	if err := vpcd.CheckATR(atr); err != nil {
		t.Errorf("ATR %X: %v", atr, err)
	}
	return reader
}

// roundTrip asserts what is promised: a command through the daemon takes at most a millisecond.
func (d *daemon) roundTrip(t *testing.T) {
	const commands, atMost = 500, time.Millisecond
	for _, form := range []vpcd.Form{vpcd.Contactless, vpcd.ContactT0} {
		chip, _ := cardtest.New(t, cardtest.Options{})
		remove := d.insert(t, 1, chip, form)
		reader := connect(t, d, 1)
		send := apdu.Select(emv.AIDDebit.Bytes()).Bytes()
		times := make([]time.Duration, commands)
		for i := range times {
			began := time.Now()
			if answer, err := reader.Transmit(send); err != nil || len(answer) < 2 {
				t.Fatalf("command %d: %X, %v", i+1, answer, err)
			}
			times[i] = time.Since(began)
		}
		slices.Sort(times)
		median := times[commands/2]
		t.Logf("measured: SELECT through pcscd, %v: median %v, 99 %% below %v, the slowest %v, of %d", reader.Protocol(), median, times[commands*99/100],
			times[commands-1], commands)
		if median > atMost {
			t.Errorf("median %v, at most %v", median, atMost)
		}
		if err := reader.Disconnect(); err != nil {
			t.Error(err)
		}
		remove()
	}
}

// forms reads the same data over every form of card.
func (d *daemon) forms(t *testing.T) {
	for _, c := range []struct {
		form     vpcd.Form
		protocol pcsc.Protocol
	}{{vpcd.Contactless, pcsc.T1}, {vpcd.ContactT0, pcsc.T0}, {vpcd.ContactT1, pcsc.T1}} {
		chip, _ := cardtest.New(t, cardtest.Options{})
		remove := d.insert(t, 1, chip, c.form)
		reader := connect(t, d, 1)
		if reader.Protocol() != c.protocol {
			t.Errorf("form %d: %v, want %v", c.form, reader.Protocol(), c.protocol)
		}
		for _, send := range []apdu.Command{apdu.Select(emv.AIDDebit.Bytes()), apdu.GetData(emv.TagATC)} {
			bare, err := reader.Transmit(send.Bytes())
			if pieces := len(bare) == 2 && (bare[0] == 0x61 || bare[0] == 0x6C); err != nil || pieces != (c.form == vpcd.ContactT0) {
				t.Errorf("form %d: %v answers %X, %v", c.form, send, bare, err)
			}
			answer, err := terminal.OverReader(reader).Transceive(t.Context(), send.Bytes())
			if err != nil || !strings.HasSuffix(string(answer), "\x90\x00") || len(answer) == 2 {
				t.Errorf("form %d: %v answers %X, %v", c.form, send, answer, err)
			}
		}
		if c.form == vpcd.Contactless {
			reading, err := terminal.Read(t.Context(), reader)
			if err != nil || len(reading.Applications) == 0 || reading.Applications[0].PAN.IsZero() {
				t.Errorf("reading: %v, %v", reading, err)
			}
		}
		if err := reader.Disconnect(); err != nil {
			t.Error(err)
		}
		remove()
	}
}

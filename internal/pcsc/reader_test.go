package pcsc

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/apdu"
	"tapnet/internal/clock"
	"tapnet/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func hexBytes(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOnePayment(t *testing.T) {
	d, config := newDaemon(t, func(d *fakeDaemon) {
		d.card = func(command []byte) ([]byte, Code) { return append([]byte{0x6F, command[1]}, 0x90, 0x00), 0 }
	})
	r := NewReader(config, "Reader A 00 00")
	atr, err := r.Connect()
	if err != nil || !bytes.Equal(atr, contactlessATR) || r.Protocol() != T1 || r.Name() != "Reader A 00 00" {
		t.Fatalf("connect: %X, %v, %v", atr, r.Protocol(), err)
	}
	answer, err := r.Transmit(hexBytes(t, "00A4040007A000000333010100"))
	if err != nil || !bytes.Equal(answer, []byte{0x6F, 0xA4, 0x90, 0x00}) {
		t.Errorf("transmit: %X, %v", answer, err)
	}
	for range 2 {
		if err := r.Disconnect(); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	}
	if _, err := r.Transmit([]byte{0, 0xB2, 1, 0x0C, 0}); !errors.Is(err, apdu.ErrCardLost) {
		t.Errorf("transmit without a card: %v", err)
	}
	want := []command{commandVersion, commandEstablish, commandConnect, commandStates, commandTransmit, commandDisconnect, commandRelease}
	if fmt.Sprint(d.asked) != fmt.Sprint(want) {
		t.Errorf("the daemon was asked %v, want %v", d.asked, want)
	}
	for range 2 { // the second time with the card still connected
		if _, err := r.Connect(); err != nil {
			t.Errorf("connect again: %v", err)
		}
	}
	if err := r.Disconnect(); err != nil {
		t.Error(err)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		major, minor uint32
		strict, ok   bool
	}{{4, 3, true, true}, {4, 4, true, true}, {4, 5, true, true}, {4, 5, false, true}, {4, 2, true, false}, {4, 6, true, false}, {5, 0, true, false}} {
		_, config := newDaemon(t, func(d *fakeDaemon) { d.major, d.minor, d.strict = c.major, c.minor, c.strict })
		readers, err := Readers(t.Context(), config)
		if c.ok && (err != nil || len(readers) != 1) {
			t.Errorf("version %d:%d: %v, %v", c.major, c.minor, readers, err)
		}
		if !c.ok && (!errors.Is(err, ServiceStopped) || !strings.Contains(err.Error(), fmt.Sprintf("%d:%d", c.major, c.minor))) {
			t.Errorf("version %d:%d: %v", c.major, c.minor, err)
		}
	}
}

// TestRefusals has every call refused with every code that has words.
func TestRefusals(t *testing.T) {
	for code := range meanings {
		for _, at := range []command{commandEstablish, commandConnect, commandTransmit, commandDisconnect, commandRelease} {
			_, config := newDaemon(t, func(d *fakeDaemon) { d.refuse = map[command]Code{at: code} })
			r := NewReader(config, "Reader A 00 00")
			_, err := r.Connect()
			if at == commandTransmit && err == nil {
				_, err = r.Transmit(hexBytes(t, "80CA9F3600"))
			}
			if left := r.Disconnect(); err == nil {
				err = left
			}
			if at == commandDisconnect && code.lost() {
				if err != nil {
					t.Errorf("a card that is gone cannot be let go: %v", err)
				}
				continue
			}
			if !errors.Is(err, code) || errors.Is(err, apdu.ErrCardLost) != code.lost() ||
				errors.Is(err, terminal.ErrNoCard) != (code == NoSmartcard) {
				t.Errorf("command %02X refused with %08X: %v", at, uint32(code), err)
				continue
			}
			what, _, next := Explain(err)
			number := fmt.Sprintf("%08X", uint32(code))
			if !strings.Contains(what.EN, number) || !strings.Contains(what.ZH, number) || next.EN == "" || next.ZH == "" || next.EN == next.ZH {
				t.Errorf("%v is explained as %v, next %v", err, what, next)
			}
		}
	}
}

func TestUnknownCode(t *testing.T) {
	what, _, next := Explain(failure("x", 0x80100099, nil))
	if !strings.Contains(what.ZH, "80100099") || next.EN == "" {
		t.Errorf("unknown code: %v, %v", what, next)
	}
	if what, why, _ := Explain(errors.New("strange")); what.EN == "" || why.EN != "strange" {
		t.Errorf("foreign error: %v, %v", what, why)
	}
}

func TestNoDaemon(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	listener, err := net.Listen("unix", stale)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = listener.Close()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{filepath.Join(dir, "none"): "there is no socket", stale: "left from a daemon that died", plain: "daemon"} {
		_, err := Readers(t.Context(), Config{Socket: path})
		if !errors.Is(err, NoService) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}

func TestSocketFromEnvironment(t *testing.T) {
	_, config := newDaemon(t, nil)
	t.Setenv(socketVariable, config.Socket)
	if readers, err := Readers(t.Context(), Config{}); err != nil || len(readers) != 1 {
		t.Errorf("%v, %v", readers, err)
	}
	t.Setenv(socketVariable, "")
	if Socket() != DefaultSocket {
		t.Error(Socket())
	}
}

// TestDeadlines: a daemon or card that says nothing costs the time of the call, not for ever.
func TestDeadlines(t *testing.T) {
	for _, at := range []command{commandVersion, commandEstablish, commandConnect, commandStates, commandTransmit, commandDisconnect, commandRelease} {
		hands := clock.NewManual(time.Unix(0, 0))
		_, config := newDaemon(t, func(d *fakeDaemon) { d.silent = map[command]bool{at: true} })
		config.Clock = hands
		r := NewReader(config, "Reader A 00 00")
		ended := make(chan error, 1)
		go func() {
			_, err := r.Connect()
			if err == nil {
				_, err = r.Transmit([]byte{0x80, 0xCA, 0x9F, 0x36, 0x00})
			}
			if left := r.Disconnect(); err == nil {
				err = left
			}
			ended <- err
		}()
		err := advanceUntil(t, hands, ended)
		if !errors.Is(err, Timeout) {
			t.Errorf("command %02X is not answered: %v", at, err)
		}
	}
}

// advanceUntil moves the clock whenever somebody waits on it, until the result is there.
func advanceUntil(t testing.TB, hands *clock.Manual, ended <-chan error) error {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			hands.Advance(time.Second)
		}
	}
	t.Fatal("the call does not end")
	return nil
}

func TestContextEnds(t *testing.T) {
	_, config := newDaemon(t, func(d *fakeDaemon) { d.silent = map[command]bool{commandTransmit: true} })
	r := NewReader(config, "Reader A 00 00")
	if _, err := r.Connect(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Transceive(ctx, []byte{0x80, 0xCA, 0x9F, 0x36, 0x00})
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := r.Disconnect(); err != nil {
		t.Error(err)
	}
}

// TestHostileAnswers: whatever comes instead of the right answer is an error, without much memory and without waiting.
func TestHostileAnswers(t *testing.T) {
	table := make([]byte, statesBytes)
	longATR, endless := bytes.Clone(table), bytes.Clone(table)
	table[0] = 'x'
	copy(longATR, "Reader")
	order.PutUint32(longATR[MaxReaderNameBytes+3*wordBytes+atrPadded:], 200)
	copy(endless, strings.Repeat("n", MaxReaderNameBytes))
	for name, c := range map[string]struct {
		at     command
		answer []byte
	}{
		"nothing to version":  {commandVersion, nil},
		"half a version":      {commandVersion, words(nil, 4)},
		"no context":          {commandEstablish, words(nil, 2)},
		"half a connect":      {commandConnect, make([]byte, 10)},
		"no protocol":         {commandConnect, make([]byte, connectBytes)},
		"half a table":        {commandStates, table[:100]},
		"reader gone":         {commandStates, table},
		"long ATR":            {commandStates, longATR},
		"endless name":        {commandStates, endless},
		"huge response":       {commandTransmit, words(nil, 5, 2, 16, 5, 2, 16, 0xFFFFFFFF, 0)},
		"response cut":        {commandTransmit, append(words(nil, 5, 2, 16, 5, 2, 16, 20, 0), 1, 2)},
		"empty response":      {commandTransmit, words(nil, 5, 2, 16, 5, 2, 16, 0, 0)},
		"one byte":            {commandTransmit, append(words(nil, 5, 2, 16, 5, 2, 16, 1, 0), 0x90)},
		"response header cut": {commandTransmit, words(nil, 5, 2)},
		"half a goodbye":      {commandDisconnect, words(nil, 5)},
		"half a release":      {commandRelease, words(nil, 5)},
	} {
		_, config := newDaemon(t, func(d *fakeDaemon) { d.instead = map[command][]byte{c.at: c.answer} })
		r := NewReader(config, "Reader A 00 00")
		_, err := r.Connect()
		if err == nil {
			var answer []byte
			answer, err = r.Transmit(hexBytes(t, "80CA9F3600"))
			if err == nil && len(answer) < 2 {
				t.Errorf("%s: answer %X", name, answer)
			}
		}
		if left := r.Disconnect(); err == nil {
			err = left
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestChoose(t *testing.T) {
	card := State{Name: "Beta 00 00", bits: statePresent}
	all := []State{{Name: "Alpha 00 00", bits: stateAbsent}, card, {Name: "Alpha 01 00", bits: stateAbsent}}
	for wanted, want := range map[string]string{"": "Beta 00 00", "beta": "Beta 00 00", "Alpha 01 00": "Alpha 01 00", "00 00": "Beta 00 00", "gamma": "", "alpha": ""} {
		got, err := Choose(all, wanted)
		if (err == nil) != (want != "") || got.Name != want {
			t.Errorf("choose %q: %q, %v", wanted, got.Name, err)
		}
		if err != nil && (!errors.Is(err, UnknownReader) || !strings.Contains(err.Error(), "Alpha 01 00")) {
			t.Errorf("choose %q: %v", wanted, err)
		}
	}
	if _, err := Choose(nil, ""); !errors.Is(err, NoReaders) {
		t.Error(err)
	}
	if got, err := Choose(all[:1], ""); err != nil || got.Name != "Alpha 00 00" {
		t.Errorf("the only reader: %v", err)
	}
	if _, err := Choose([]State{all[0], all[2]}, ""); err == nil {
		t.Error("two empty readers: one was chosen")
	}
}

func TestStates(t *testing.T) {
	_, config := newDaemon(t, func(d *fakeDaemon) {
		d.slots = []slot{
			{name: "empty", bits: stateAbsent},
			{name: "mute", bits: statePresent | stateSwallowed},
			{name: "taken", bits: statePresent | statePowered, shared: sharingExclusive, atr: contactlessATR},
		}
	})
	readers, err := Readers(t.Context(), config)
	if err != nil || len(readers) != 3 {
		t.Fatalf("%v, %v", readers, err)
	}
	empty, mute, taken := readers[0], readers[1], readers[2]
	if empty.Present() || empty.Mute() || empty.InUse() || !mute.Present() || !mute.Mute() || mute.Powered() ||
		!taken.Present() || taken.Mute() || !taken.Powered() || !taken.Exclusive() || !taken.InUse() || !bytes.Equal(taken.ATR, contactlessATR) {
		t.Errorf("%+v", readers)
	}
	long := NewReader(config, strings.Repeat("n", MaxReaderNameBytes))
	if _, err := long.Connect(); !errors.Is(err, UnknownReader) {
		t.Errorf("a name that fits nowhere: %v", err)
	}
}

package operator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tapnet/gate"
	"tapnet/internal/clock"
	"tapnet/internal/transit"
	"tapnet/internal/transit/transittest"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bankLine is an acquirer at the other end of a wire: what passes is written and read again.
type bankLine struct {
	testing.TB
	bank *transittest.Bank
	to   func(unionpay.Message)
	done chan struct{}
}

func (l *bankLine) Send(m unionpay.Message) error {
	wire, err := unionpay.Encode(unionpay.Terminal, nil, m, nil)
	if err != nil {
		return err
	}
	read, err := unionpay.Decode(unionpay.Terminal, wire)
	if err != nil {
		return err
	}
	if reply := l.bank.Answer(read); reply != nil {
		go func() {
			l.to(reply)
			l.done <- struct{}{}
		}()
	}
	return nil
}

// start runs an operator in a directory, with a bank.
func start(t *testing.T, dir string, manual *clock.Manual) (*Operator, *bankLine) {
	t.Helper()
	line := &bankLine{TB: t, bank: &transittest.Bank{}, done: make(chan struct{}, 64)}
	op, err := Start(t.Context(), Options{Dir: dir, Listen: "127.0.0.1:0", Clock: manual, Line: line})
	if err != nil {
		t.Fatal(err)
	}
	line.to = op.Receive
	return op, line
}

func get(t *testing.T, op *Operator, method, path string, body []byte) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, op.Where().URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+op.Where().Token)
	request.Header.Set("Content-Type", "application/octet-stream")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// gateOf makes a gate of the operator's with the operator's own keys.
func gateOf(t *testing.T, s Secret, name string, station uint32) (*gate.Gate, *memoryLog) {
	t.Helper()
	key, err := s.Device(name)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := s.IDs(1)
	if err != nil {
		t.Fatal(err)
	}
	box, err := s.Box()
	if err != nil {
		t.Fatal(err)
	}
	log := &memoryLog{}
	g, _, _, err := gate.Replay(gate.Config{Device: name, Station: station, Amount: money.New(0, money.CNY), ChainKey: key, Country: 156},
		gate.Ports{IDs: []gate.Identifier{ids}, Sealer: box, Log: log}, nil, gate.Head{}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return g, log
}

type memoryLog struct{ b []byte }

func (l *memoryLog) Append(record []byte) error {
	l.b = append(l.b, record...)
	return nil
}

// TestAnOperator: taps over HTTP become a bill that the acquirer pays; after a stop and a start nothing is different.
func TestAnOperator(t *testing.T) {
	dir := t.TempDir()
	evening := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	manual := clock.NewManual(evening)
	op, line := start(t, dir, manual)
	secret, err := OpenSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	key, err := secret.Device("bus-7")
	if err != nil {
		t.Fatal(err)
	}
	g, log := gateOf(t, secret, "bus-7", 7)
	read := transittest.NewCard(t, 1).Read(gate.Ride)
	if d, err := g.Tap(read, nil, evening.Add(-time.Hour)); err != nil || !d.Open {
		t.Fatalf("%v, %v", d.Reason(), err)
	}
	chunk, err := gate.NewChunk(key, "bus-7", gate.Head{}, log.b)
	if err != nil {
		t.Fatal(err)
	}
	if status, answer := get(t, op, http.MethodPost, "/v1/gates/bus-7/chunks", gate.EncodeChunk(chunk)); status != http.StatusOK {
		t.Fatalf("chunk: %d %s", status, answer)
	}
	<-line.done // the verification
	<-line.done // and its reversal
	closed := func(op *Operator) string {
		_, answer := get(t, op, http.MethodGet, "/v1/days/2026-11-23", nil)
		return string(answer)
	}
	for i := 0; !strings.Contains(closed(op), `"closed":true`); i++ {
		if manual.Advance(time.Hour); i == 100 {
			t.Fatal("the day is not closed by itself")
		}
	}
	<-line.done // the bill
	day := closed(op)
	if !strings.Contains(day, `"paid":"2.00"`) || line.bank.Minor != 200 {
		t.Errorf("%s; the acquirer owes %d", day, line.bank.Minor)
	}
	found, err := Find(dir)
	if err != nil || found != op.Where() {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := op.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _ := start(t, dir, manual)
	if now := closed(again); now != day {
		t.Errorf("after a start the day is %s, was %s", now, day)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{journals + "/" + journalFile, tokenFile, secretFile, whereFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || name != journals+"/"+journalFile && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestConfigurations: what cannot be used is refused with a reason.
func TestConfigurations(t *testing.T) {
	tariff := func(string) ([]byte, error) { return cityTariff, nil }
	if c, _, _, err := parseConfig(cityConfig, tariff); err != nil || c.Operator == "" {
		t.Fatalf("the city that comes with the program: %v", err)
	}
	for name, text := range map[string]string{
		"no TOML": "operator", "an unknown key": "colour = 1", "no tariff": `currency = "CNY"`, "a bad zone": `zone = "Nowhere/Here"`, "a bad day": `day_start = "soon"`,
	} {
		if _, _, _, err := parseConfig([]byte(text), tariff); !errors.Is(err, ErrConfig) && err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := Start(t.Context(), Options{Dir: t.TempDir(), Config: "/nowhere/metro.toml"}); !errors.Is(err, ErrConfig) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Find(t.TempDir()); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestTheSecretMasksItself in every print, and is read as it was saved.
func TestTheSecretMasksItself(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, secretFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		if shown := fmt.Sprintf(format, s); strings.Contains(string(text), shown) || shown != s.String() {
			t.Errorf("%s shows %q", format, shown)
		}
	}
	again, err := OpenSecret(dir)
	if err != nil || again != s {
		t.Errorf("read again: %v", err)
	}
	if _, err := ParseSecret("12"); !errors.Is(err, ErrSecret) {
		t.Errorf("a short secret: %v", err)
	}
}

var (
	_ transit.Opener = Box{}
	_ gate.Sealer    = Box{}
)

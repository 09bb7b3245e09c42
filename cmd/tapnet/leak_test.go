package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/internal/app"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// secret is bytes that no output may show, and whether --reveal may.
type secret struct {
	name     string
	forms    [][]byte // in upper case, without blanks
	revealed bool
}

// lookout runs commands and searches everything they write.
type lookout struct {
	*testing.T
	home    string
	profile *personalization.Profile
	secrets []secret
	outputs int
	runs    int
}

func newLookout(t *testing.T) *lookout {
	t.Helper()
	home, err := os.MkdirTemp("", "tn") // short: the address of a unix socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	l := &lookout{T: t, home: home}
	if l.profile, err = personalization.Load(profileName); err != nil {
		t.Fatal(err)
	}
	for _, spec := range l.profile.Cards {
		number := l.number(spec.Name)
		packed, err := hex.DecodeString(number.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		l.secrets = append(l.secrets, secret{"number of " + spec.Name, [][]byte{[]byte(number.Reveal()), packed, fmt.Appendf(nil, "%X", number.Reveal())}, true})
		pin, err := pinblock.ParsePIN(spec.PIN)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range []pinblock.Block{pinblock.Format0(pin, number), pinblock.FormatWithoutPAN(pin), pinblock.Format2(pin)} {
			b := block.Reveal()
			l.secrets = append(l.secrets, secret{"PIN block of " + spec.Name, [][]byte{b[:], fmt.Appendf(nil, "%X", b)}, false})
		}
	}
	return l
}

func (l *lookout) number(card string) pan.Number {
	l.Helper()
	for _, spec := range l.profile.Cards {
		if spec.Name == card {
			issuer, _ := l.profile.Issuer(spec.Issuer)
			n, err := personalization.Number(issuer, spec)
			if err != nil {
				l.Fatal(err)
			}
			return n
		}
	}
	l.Fatalf("no card %s", card)
	return pan.Number{}
}

// search looks for the secrets in a text. With reveal the numbers may be there.
func (l *lookout) search(where string, text []byte, reveal bool) {
	l.Helper()
	l.outputs++
	folded := bytes.ToUpper(text)
	for _, blank := range []string{" ", "\n", "│", "-"} {
		folded = bytes.ReplaceAll(folded, []byte(blank), nil)
	}
	for _, s := range l.secrets {
		if reveal && s.revealed {
			continue
		}
		for _, form := range s.forms {
			if bytes.Contains(text, form) || bytes.Contains(folded, form) {
				l.Errorf("%s shows the %s", where, s.name)
				break
			}
		}
	}
	for _, spec := range l.profile.Cards {
		if standsAlone(text, spec.PIN) {
			l.Errorf("%s shows the PIN of %s", where, spec.Name)
		}
	}
}

// standsAlone finds digits that are not part of a longer word or number.
func standsAlone(text []byte, digits string) bool {
	part := func(at int) bool {
		if at < 0 || at >= len(text) {
			return false
		}
		c := text[at]
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.'
	}
	for at := 0; ; at++ {
		next := bytes.Index(text[at:], []byte(digits))
		if next < 0 {
			return false
		}
		if at += next; !part(at-1) && !part(at+len(digits)) {
			return true
		}
	}
}

// buffer is an output that a command may still write while it is read.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}

// streams of a command: everything goes into one buffer.
func (l *lookout) streams(out *buffer) streams {
	environment := map[string]string{
		"HOME": l.home, "XDG_DATA_HOME": filepath.Join(l.home, "data"), "XDG_CACHE_HOME": filepath.Join(l.home, "cache"), "LANG": "C.UTF-8",
	}
	return streams{in: strings.NewReader(""), out: out, err: out, getenv: func(name string) string { return environment[name] }, now: time.Now}
}

// run runs a command with --json, and in English or in Chinese in turn, and searches what it says.
func (l *lookout) run(args ...string) {
	l.Helper()
	l.runs++
	l.once(append([]string{"--lang", []string{"en", "zh"}[l.runs%2]}, args...)...)
	l.once(append([]string{"--json"}, args...)...)
}

func (l *lookout) once(args ...string) exitCode {
	l.Helper()
	var out buffer
	code := run(l.Context(), args, l.streams(&out))
	text := out.take()
	if len(text) == 0 {
		l.Errorf("tapnet %v says nothing", args)
	}
	reveal := false
	for _, arg := range args {
		reveal = reveal || arg == "--reveal"
	}
	l.search("tapnet "+strings.Join(args, " ")[:min(80, len(strings.Join(args, " ")))], text, reveal)
	return code
}

// files searches every file that was left.
func (l *lookout) files() {
	l.Helper()
	count := 0
	err := filepath.WalkDir(l.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || entry.Name() == "passphrase" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			count++
			l.search(strings.TrimPrefix(path, l.home), text, false)
		}
		return err
	})
	if err != nil || count < 10 {
		l.Errorf("%d files, %v", count, err)
	}
}

// failingTaps are ways to get a tap wrong, most with a card number where none belongs.
func (l *lookout) failingTaps() {
	l.Helper()
	number := l.number("lin").Reveal()
	spaced := number[:4] + " " + number[4:8] + " " + number[8:12] + " " + number[12:]
	tap := func(args ...string) { l.run(append([]string{"tap"}, args...)...) }
	tap("--card", "lin", "--at", "shop-1", "--amount", number)
	tap("--card", "lin", "--at", "shop-1", "--amount", "-1", "--pin", "246810")
	tap("--card", number, "--at", "shop-1", "--amount", "x")
	tap("--card", "lin", "--at", "shop-1", "--amount", "1.00", "--pin", "246810246810246810")
	tap("--card", "lin", "--at", "shop-1", "--amount", "1.00", "--pin", "24681x")
	tap("--card", "lin", "--at", "shop-1", "--amount", "1.00", "--pin", number)
	tap("--card", "lin", "--at", "shop-1", "--amount", "1.00", "--pni", "246810")
	l.run("tap", number)
	l.run(number)
	l.run("trace", number)
	l.run("trace", spaced)
	l.run("decode", number+"X")
	l.run("decode", "pan", number)
	l.run("decode", number)
	l.run("decode", spaced)
	l.run("decode", "--of", number+"X", "9000")
	l.run("oda", filepath.Join(l.home, "none"))
}

// taps are payments and what is seen of them, in the network that runs or in a world for each.
func (l *lookout) taps() {
	l.Helper()
	number := l.number("lin").Reveal()
	for _, args := range [][]string{
		{"--card", "lin", "--at", "shop-1", "--amount", "299.00"},
		{"--card", "lin", "--at", "shop-1", "--amount", "1000.01", "--pin", "246810"},
		{"--card", "lin", "--at", "shop-1", "--amount", "1000.01", "--pin", "135790"},
		{"--card", "zhao", "--at", "shop-1", "--amount", "1000.00"},
		{"--card", "chen", "--at", "canteen", "--amount", "5.00"},
		{"--card", number, "--at", "shop-1", "--amount", "1.00"},
		{"--card", "lin", "--at", number, "--amount", "1.00"},
	} {
		l.run(append([]string{"tap"}, args...)...)
		l.run("trace", "last", "--full")
		l.once("trace", "last", "--full", "--reveal")
	}
}

// messages are payments in both dialects, with everything secret in them, even a PIN block in the clear.
func (l *lookout) messages() (messages [][]byte) {
	l.Helper()
	number := l.number("lin")
	expiry, err := pan.ParseExpiry("3012")
	if err != nil {
		l.Fatal(err)
	}
	track, err := pan.NewTrack2(number, expiry, "220", "0000012300000")
	if err != nil {
		l.Fatal(err)
	}
	pin, err := pinblock.ParsePIN("246810")
	if err != nil {
		l.Fatal(err)
	}
	block := pinblock.Format0(pin, number)
	packed, err := hex.DecodeString(number.Reveal())
	if err != nil {
		l.Fatal(err)
	}
	var icc emv.Data
	icc.Set(emv.TagPAN, packed)
	icc.Set(emv.TagTrack2, track.Packed())
	icc.Set(emv.TagAmount, []byte{0, 0, 0, 0, 1, 0})
	icc.Set(0xDF01, packed) // nobody knows what this is
	p := unionpay.Payment{
		PAN: number, Processing: unionpay.ProcessingSale, Amount: money.New(100, money.CNY), STAN: 1, Expiry: expiry, CardSequence: "001",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, true), Condition: unionpay.ConditionNormal, PINCapture: "12", Track2: track,
		Terminal: "T0000001", Merchant: "301000054110001", PINBlock: &block, Security: "2600000000000000", ICC: icc,
		Info: unionpay.Info{MessageType: unionpay.KindSale, Batch: 1},
	}
	terminal, err := unionpay.Encode(unionpay.Terminal, nil, &unionpay.FinancialRequest{Payment: p}, nil)
	if err != nil {
		l.Fatal(err)
	}
	p.TransmissionTime, p.Acquirer, p.Forwarder, p.RRN, p.MerchantName = "1121020000", "30010000", "30010000", "632502000001", "SHOP "+number.Reveal()
	onward, err := unionpay.Encode(unionpay.Switch, nil, &unionpay.FinancialRequest{Payment: p}, nil)
	if err != nil {
		l.Fatal(err)
	}
	return [][]byte{terminal, onward, icc.AppendTo(nil)}
}

// decodes shows messages whole, cut short everywhere and damaged, and as something that they are not.
func (l *lookout) decodes() {
	l.Helper()
	for dialect, message := range l.messages() {
		text := fmt.Sprintf("%X", message)
		l.run("decode", text)
		l.once("decode", strings.ToLower(text))
		l.once("decode", "--reveal", text)
		l.once("--json", "decode", "--reveal", text)
		for cut := 1; cut < len(message); cut += 29 {
			l.once("decode", text[:2*cut])
			l.once("--json", "decode", "--reveal", text[:2*cut])
		}
		for at := 4; at < len(message) && dialect < 2; at += 29 { // behind the message type, without which nothing can be told about the rest
			damaged := bytes.Clone(message)
			damaged[at] ^= 0x80
			l.once("decode", "8583", fmt.Sprintf("%X", damaged))
		}
	}
	payment, icc := l.messages()[0], l.messages()[2]
	for _, kind := range []string{"tlv", "f55", "apdu", "response", "dol", "frame"} {
		l.once("decode", kind, fmt.Sprintf("%X", payment[:60])) // up to the track: in unnamed bytes a PIN block looks like any others
		l.once("decode", kind, fmt.Sprintf("%X", icc))
	}
}

// phones are the actions with phones: what the wallet, the token service and the cloud secure element leave behind is searched with the rest.
func (l *lookout) phones() {
	l.Helper()
	number := l.number("lin").Reveal()
	l.run("phone", "show")
	l.run("phone", "add", "DEBIT", "--card", "lin", "--password", "147258")
	l.run("phone", "add", "CREDIT", "--card", "liu")
	l.run("phone", "add", "DEBIT", "--card", number)
	for _, args := range [][]string{
		{"tap", "--amount", "299.00", "--verify", "password", "--password", "147258"},
		{"tap", "--amount", "12.00", "--verify", "none", "--no-network"},
		{"tap", "--amount", "12.00", "--at", number},
		{"tap", "--amount", "12.00", "--token", number},
		{"pay", "--amount", "88.00", "--verify", "password", "--password", "147258"},
		{"pay", "--amount", "88.00", "--merchant", number},
		{"refresh"}, {"lose"},
		{"tap", "--amount", "12.00"},
		{"find"}, {"default", number}, {"remove", number},
	} {
		l.run(append([]string{"phone"}, args...)...)
	}
	l.once("trace", "last", "--full")
	l.once("--json", "phone", "drill", "replay")
	l.run("phone", "drill", number)
}

// up runs the network for as long as work takes.
func (l *lookout) up(work func()) {
	l.Helper()
	ctx, stop := context.WithCancel(l.Context())
	var out buffer
	ended := make(chan exitCode, 1)
	go func() {
		ended <- run(ctx, []string{"up", "--listen", "acquirer=127.0.0.1:0,switch=127.0.0.1:0"}, l.streams(&out))
	}()
	dir := filepath.Join(l.home, "data", "tapnet")
	for began := time.Now(); ; {
		if _, err := app.Dial(ctx, dir, currency); err == nil {
			break
		}
		if time.Since(began) > 20*time.Second {
			stop()
			l.Fatalf("the network does not come up: %s", out.take())
		}
	}
	work()
	stop()
	if code := <-ended; code != exitDone {
		l.Errorf("up ended with %d: %s", code, out.take())
	}
	l.search("tapnet up", out.take(), false)
}

// TestNothingLeaks runs every command that comes near a card, and searches all it says and all it leaves.
func TestNothingLeaks(t *testing.T) {
	l := newLookout(t)
	l.once("demo", "--seed", "3")
	l.once("--json", "demo", "--seed", "4")
	l.once("--lang", "zh", "demo", "--seed", "5", "--reveal")
	l.once("trace", "last", "--full")
	l.decodes()
	l.once("tap", "--card", "lin", "--at", "shop-1", "--amount", "1000.01", "--pin", "246810")
	l.once("trace", "--full")
	l.up(func() {
		l.taps()
		l.phones()
		l.once("--json", "tap", "--card", "wang", "--at", "kiosk", "--amount", "1.00", "--pin", "246810")
		l.failingTaps()
		l.run("card", "list")
		for _, spec := range l.profile.Cards {
			l.run("card", "read", spec.Name)
		}
		l.run("card", "read", l.number("lin").Reveal())
		l.run("card", "read", "../"+l.number("lin").Reveal()+"?x")
	})
	l.files()
	t.Logf("%d outputs and files were searched", l.outputs)
}

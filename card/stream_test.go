package card_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
)

// commandsOf takes the commands out of a session: what a fuzzer bends.
func commandsOf(t testing.TB, path string) (commands [][]byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if body, ok := strings.CutPrefix(line, "> "); ok {
			hex, _, _ := strings.Cut(body, " #")
			commands = append(commands, unhex(t, hex))
		}
	}
	return commands
}

// pack puts commands behind one another, each with its length in front; a length of 0 takes the card away and back.
func pack(commands [][]byte) (stream []byte) {
	for _, c := range commands {
		stream = append(append(stream, byte(len(c))), c...)
	}
	return stream
}

const streamCommands = 64 // bounds one run

// stream plays commands against a card with everything on it, on the interface that the first byte says. The card answers each with a
// status word and keeps its laws: a counter that only rises, a purse that grows by loads under a MAC only, a PIN that is not given back.
func stream(t testing.TB, b []byte) {
	if len(b) == 0 {
		return
	}
	c, _ := cardtest.New(t, cardtest.Options{Contact: true, Change: func(image *card.Image) {
		a := &image.Applications[0]
		a.AIP, a.Contact.AIP, a.Contact.CashAIP, a.Contact.FullAIP = emv.AIP{}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0x80} // signing is slow
		a.Extended, a.Files = emv.ExtendedIndicator{0x82}, []card.ExtendedFile{{SFI: merchantFile}}
		a.Objects.Set(emv.TagSegmentLimit, bcd(500))
	}})
	on := card.Contactless
	if b[0]&1 != 0 {
		on = card.Contact
	}
	c.PowerOn(on)
	b = b[1:]
	for n := 0; len(b) > 0 && n < streamCommands; n++ {
		length := min(int(b[0]), len(b)-1)
		command := b[1 : 1+length]
		b = b[1+length:]
		if length == 0 {
			c.PowerOn(on)
			continue
		}
		before := c.State()
		answer, err := c.Process(command)
		if err != nil {
			t.Fatalf("%X: %v", command, err)
		}
		response, err := apdu.ParseResponse(answer)
		if err != nil || len(response.Data) > card.MaxRecordBytes {
			t.Fatalf("%X answered %X", command, answer)
		}
		lawful(t, command, response.SW, &before.Applications[0], c.State().Applications[0])
	}
}

func lawful(t testing.TB, command []byte, sw apdu.SW, before *card.ApplicationState, now card.ApplicationState) {
	t.Helper()
	script := command[0]&4 != 0 && sw == apdu.OK
	was, is := before.Purses[0], now.Purses[0]
	switch {
	case is.Balance < 0 || is.Balance > is.BalanceLimit:
		t.Fatalf("%X: balance %d", command, is.Balance)
	case is.Balance > was.Balance && !script && now.Preauths == before.Preauths:
		t.Fatalf("%X: the purse grew", command)
	case now.ATC < before.ATC || int(now.ATC) > int(before.ATC)+1:
		t.Fatalf("%X: counter from %d to %d", command, before.ATC, now.ATC)
	case now.PINTries > before.PINTries && !script && !(command[1] == apdu.InsVerify && sw == apdu.OK):
		t.Fatalf("%X: PIN tries from %d to %d", command, before.PINTries, now.PINTries)
	case (now.PIN != before.PIN || now.Settings != before.Settings || now.Blocked != before.Blocked && !now.BlockedByPIN) && !script:
		t.Fatalf("%X: changed without the issuer", command)
	}
}

func FuzzStream(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "sessions", "*.apdu"))
	if err != nil || len(files) == 0 {
		f.Fatalf("no sessions: %v", err)
	}
	for _, file := range files {
		commands := pack(commandsOf(f, file))
		f.Add(append([]byte{0}, commands...))
		f.Add(append([]byte{1}, commands...))
	}
	f.Fuzz(func(t *testing.T, b []byte) { stream(t, b) })
}

// TestBentStreams runs the fuzz target on sessions with bytes bent, lost, doubled and swapped, the same on every run.
func TestBentStreams(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "sessions", "*.apdu"))
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		for _, file := range files {
			source := rand.New(rand.NewPCG(seed, 20261122))
			commands := commandsOf(t, file)
			for range 1 + source.IntN(6) {
				at := source.IntN(len(commands))
				switch c := bytes.Clone(commands[at]); source.IntN(4) {
				case 0:
					c[source.IntN(len(c))] ^= byte(1 << source.IntN(8))
					commands[at] = c
				case 1:
					commands[at] = c[:1+source.IntN(len(c))]
				case 2:
					commands = append(commands[:at+1:at+1], append([][]byte{c}, commands[at+1:]...)...)
				default:
					other := source.IntN(len(commands))
					commands[at], commands[other] = commands[other], commands[at]
				}
			}
			stream(t, append([]byte{byte(source.IntN(2))}, pack(commands)...))
			if t.Failed() {
				t.Fatalf("seed %d, %s; repeat with go test -run TestBentStreams ./card", seed, file)
			}
		}
	}
}

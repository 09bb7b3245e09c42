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
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
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

// streamSuites are the algorithms of the cards that streams are played against; the last has two sets.
var streamSuites = [...]cardtest.Options{{}, {Suite: cryptogram.SM4()}, {Suite: cryptogram.AES()}, {SM: true}}

// streamCard is a card with everything on it, under the algorithms and on the side that a byte says.
func streamCard(t testing.TB, kind byte) (*card.Card, *cardtest.Issued, card.Interface) {
	o := streamSuites[kind>>1&3]
	o.Contact = true
	o.Change = func(image *card.Image) {
		a := &image.Applications[0]
		a.AIP, a.Contact.AIP, a.Contact.CashAIP, a.Contact.FullAIP = emv.AIP{}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0x80} // signing is slow
		if a.SM != nil {
			a.SM.AIP, a.SM.Contact.AIP, a.SM.Cash.AIP, a.SM.Full.AIP = emv.AIP{}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0}, emv.AIP{0x1C, 0x80}
		}
		a.Extended, a.Files = emv.ExtendedIndicator{0x82}, []card.ExtendedFile{{SFI: merchantFile}}
		a.Objects.Set(emv.TagSegmentLimit, bcd(500))
	}
	c, issued := cardtest.New(t, o)
	if kind&1 != 0 {
		return c, issued, card.Contact
	}
	return c, issued, card.Contactless
}

// stream plays commands against a card; the first byte says which card, and on which side. The card answers each with a status word and keeps
// its laws: a counter that only rises, a purse that grows by loads under a MAC only, a PIN that is not given back, and no cryptogram
// that its issuer would not honour.
func stream(t testing.TB, b []byte) {
	if len(b) == 0 {
		return
	}
	c, issued, on := streamCard(t, b[0])
	c.PowerOn(on)
	b = b[1:]
	w := witness{TB: t, issued: issued, on: on}
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
		w.hear(command, response)
	}
}

// witness hears what terminal and card say, and checks cryptograms as the issuer does.
type witness struct {
	testing.TB
	issued      *cardtest.Issued
	on          card.Interface
	pdol, first emv.Data
	aip         []byte
	asked       bool // the first cryptogram was one for the issuer
}

func (w *witness) hear(command []byte, r apdu.Response) {
	cmd, err := apdu.ParseCommand(command)
	if err != nil || r.SW != apdu.OK {
		return
	}
	a := &w.issued.Image.Applications[0]
	switch {
	case cmd.INS == apdu.InsGPO && cmd.CLA == apdu.ClaProprietary:
		list := a.PDOL
		if w.on == card.Contact {
			list = a.Contact.PDOL
		}
		value, _ := tlv.Find(cmd.Data, emv.TagCommandTemplate)
		if w.pdol, err = list.Split(value); err != nil {
			w.Fatalf("%X was accepted", command)
		}
		w.first, w.asked = emv.Data{}, false
		if body, ok := tlv.Find(r.Data, emv.TagResponse1); ok {
			w.aip = body[:2]
			return
		}
		body, _ := tlv.Find(r.Data, emv.TagResponse2)
		answer, err := emv.ParseData(body)
		if err != nil {
			w.Fatalf("%X answered %X", command, r.Data)
		}
		if answer.Has(emv.TagAC) {
			w.honour(answer, w.pdol)
		}
	case cmd.INS == apdu.InsGenerateAC && cmd.CLA == apdu.ClaProprietary:
		body, ok := tlv.Find(r.Data, emv.TagResponse1)
		if !ok || len(body) < 11 {
			w.Fatalf("%X answered %X", command, r.Data)
		}
		var answer emv.Data
		for tag, value := range map[tlv.Tag][]byte{emv.TagCID: body[:1], emv.TagATC: body[1:3], emv.TagAC: body[3:11], emv.TagIAD: body[11:], emv.TagAIP: w.aip} {
			answer.Set(tag, value)
		}
		told := w.list(map[bool]tlv.Tag{false: emv.TagCDOL1, true: emv.TagCDOL2}[w.asked], cmd.Data)
		w.honour(answer, told, w.first, w.pdol)
		w.first, w.asked = told, true
	}
}

// list reads data by a list of the card's records.
func (w *witness) list(tag tlv.Tag, data []byte) emv.Data {
	for _, r := range w.issued.Image.Applications[0].Records {
		if value, ok := tlv.Find(r.Body, tag); ok {
			dol, err := emv.ParseDOL(value)
			if err != nil {
				w.Fatal(err)
			}
			if d, err := dol.Split(data); err == nil {
				return d
			}
		}
	}
	w.Fatalf("%v: %X was accepted", tag, data)
	return emv.Data{}
}

// honour: the issuer verifies the cryptogram over what the terminal said.
func (w *witness) honour(answer emv.Data, terminal ...emv.Source) {
	iad, err := emv.ParseIAD(answer.Get(emv.TagIAD))
	if err != nil {
		w.Fatal(err)
	}
	suite, keys := w.issued.Suite, w.issued.CardKeys
	if iad.Algorithm == cryptogram.AlgorithmSM4 && w.issued.Image.Applications[0].SM != nil {
		suite, keys = cryptogram.SM4(), w.issued.SM
	}
	sources := append([]emv.Source{answer}, terminal...)
	input, err := suite.AppendData(nil, iad.CVN, iad.CVR, sources...)
	if err != nil {
		w.Fatal(err)
	}
	atc := answer.Get(emv.TagATC)
	if !suite.Verify(suite.SessionKey(keys.AC, uint16(atc[0])<<8|uint16(atc[1])), input, [8]byte(answer.Get(emv.TagAC))) {
		w.Fatalf("the issuer would not honour the cryptogram of counter %X", atc)
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
		for kind := range byte(2 * len(streamSuites)) {
			f.Add(append([]byte{kind}, commands...))
		}
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
			stream(t, append([]byte{byte(source.IntN(2 * len(streamSuites)))}, pack(commands)...))
			if t.Failed() {
				t.Fatalf("seed %d, %s; repeat with go test -run TestBentStreams ./card", seed, file)
			}
		}
	}
}

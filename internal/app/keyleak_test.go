package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"

	"tapnet/emv/cryptogram"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
	"tapnet/internal/trace"
	"tapnet/pinblock"
)

// checker is a security module that tells the check value of any bytes taken as a key.
type checker struct {
	*hsm.HSM
	testing.TB
}

// usageOf gives each algorithm a usage and a mode that go with it; the check value depends on neither.
var usageOf = map[hsm.Algorithm]struct {
	usage hsm.Usage
	mode  hsm.Mode
}{
	hsm.DES: {hsm.LegacyECB.Usage(), hsm.ModeGenerateVerify}, hsm.TDES: {hsm.UsageKeyEncryption, hsm.ModeBoth},
	hsm.AES256: {hsm.UsageData, hsm.ModeBoth}, hsm.HMAC: {hsm.UsageHMAC, hsm.ModeGenerateVerify},
	hsm.AES128: {hsm.UsageEMVAC, hsm.ModeDerive}, hsm.SM4: {hsm.UsageEMVAC, hsm.ModeDerive},
}

func (c checker) kcv(a hsm.Algorithm, key []byte) (kcv [4]byte, ok bool) {
	c.Helper()
	info, err := c.ImportClear("candidate", usageOf[a].usage, usageOf[a].mode, a, hsm.NotExportable, key)
	if errors.Is(err, hsm.ErrWeakKey) {
		return kcv, false
	}
	if err != nil {
		c.Fatal(err)
	}
	if err := c.Delete("candidate"); err != nil {
		c.Fatal(err)
	}
	return info.KCV, true
}

// withParity is a DES key as it is kept.
func withParity(b []byte) []byte {
	key := bytes.Clone(b)
	for i, octet := range key {
		ones := 0
		for bit := range 8 {
			ones += int(octet >> bit & 1)
		}
		if ones%2 == 0 {
			key[i] ^= 1
		}
	}
	return key
}

// streamBytes of each random source are searched for keys.
const streamBytes = 1200

// knownKeys finds the bytes of every key of every security module of a world: no module gives a key away, but all come from sources that follow from the
// seed, and a key is recognised by its check value.
func knownKeys(t testing.TB, n *Network) map[string][]byte {
	t.Helper()
	type mark struct {
		algorithm hsm.Algorithm
		kcv       [4]byte
	}
	wanted := map[mark]string{}
	var labels []string
	for id, vault := range n.vaults {
		labels = append(labels, "hsm "+id)
		for _, name := range vault.Names() {
			info, err := vault.Info(name)
			if err != nil {
				t.Fatal(err)
			}
			wanted[mark{info.Algorithm, info.KCV}] = id + " " + name
		}
	}
	p := n.options.Profile
	for _, other := range append([]string{p.Acquirer.Institution}, issuerIDsOf(p)...) {
		labels = append(labels, "master "+p.Switch+" "+other)
	}
	for _, pair := range [][2]string{{p.Switch, TokenService}, {TokenService, CloudSE}, {TokenService, ElementService}} {
		labels = append(labels, "master "+pair[0]+" "+pair[1], "master "+pair[1]+" "+pair[0])
	}
	for _, m := range p.Merchants {
		labels = append(labels, "master "+p.Acquirer.Institution+" "+m.Terminal)
	}
	keys := map[string][]byte{}
	check := checker{hsm.New(bytes.NewReader(nil)), t}
	for _, label := range labels {
		stream := make([]byte, streamBytes)
		if _, err := io.ReadFull(n.random.source(label), stream); err != nil {
			t.Fatal(err)
		}
		for algorithm := range usageOf {
			size := algorithm.Bytes()
			for at := 0; at+size <= len(stream); at++ {
				candidate := stream[at : at+size]
				if algorithm == hsm.DES || algorithm == hsm.TDES {
					candidate = withParity(candidate)
				}
				kcv, ok := check.kcv(algorithm, candidate)
				if !ok {
					continue
				}
				if name, ok := wanted[mark{algorithm, kcv}]; ok {
					keys["key "+name] = bytes.Clone(candidate)
					delete(wanted, mark{algorithm, kcv})
				}
			}
		}
	}
	for _, name := range wanted {
		t.Errorf("the bytes of key %s are not known: nothing can be said about it", name)
	}
	return keys
}

func issuerIDsOf(p *personalization.Profile) (ids []string) {
	for _, i := range p.Issuers {
		ids = append(ids, i.Institution)
	}
	return ids
}

// cardKeys adds what follows from the masters: the keys in the chips and those of their first payments, and the clear PIN blocks.
func cardSecrets(t testing.TB, n *Network, keys map[string][]byte) {
	t.Helper()
	suite := cryptogram.TDES()
	for _, h := range n.holders {
		spec, number := h.personal.Spec, h.personal.PAN
		for _, master := range []string{keyMasterAC, keyMasterMAC, keyMasterENC} {
			bytesOf, ok := keys["key "+spec.Issuer+" "+master]
			if !ok {
				t.Fatalf("no %s of %s", master, spec.Issuer)
			}
			key, err := cryptogram.NewKey(bytesOf)
			if err != nil {
				t.Fatal(err)
			}
			card := suite.CardKey(key, number, spec.Sequence)
			revealed := card.Reveal()
			keys[master+" of card "+spec.Name] = bytes.Clone(revealed[:])
			for atc := uint16(1); atc <= 4; atc++ {
				session := suite.SessionKey(card, atc).Reveal()
				keys[fmt.Sprintf("%s of card %s, session %d", master, spec.Name, atc)] = bytes.Clone(session[:])
			}
		}
		pin, err := pinblock.ParsePIN(spec.PIN)
		if err != nil {
			t.Fatal(err)
		}
		block := pinblock.Format0(pin, number).Reveal()
		keys["PIN block of "+spec.Name] = bytes.Clone(block[:])
		without := pinblock.FormatWithoutPAN(pin).Reveal()
		keys["PIN block without number of "+spec.Name] = bytes.Clone(without[:])
	}
}

// searchPINs looks for PINs that stand by themselves in a text; six digits inside a longer number are something else.
func searchPINs(t testing.TB, where string, text []byte, p *personalization.Profile) {
	t.Helper()
	part := func(at int) bool {
		if at < 0 || at >= len(text) {
			return false
		}
		c := text[at]
		return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '.'
	}
	for _, spec := range p.Cards {
		for at := 0; ; at++ {
			next := bytes.Index(text[at:], []byte(spec.PIN))
			if next < 0 {
				break
			}
			if at += next; !part(at-1) && !part(at+len(spec.PIN)) {
				t.Errorf("%s shows the PIN of %s", where, spec.Name)
				break
			}
		}
	}
}

// TestNoKeyLeaks runs the whole story of the demo and searches every form in which it can be seen, and every file it leaves, for every key of the world, for
// PINs, for clear PIN blocks and for card numbers.
func TestNoKeyLeaks(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	var log journalText
	dir, seed := t.TempDir(), uint64(5)
	s := &story{clock: clock.NewManual(demoStart), tell: func(glossary.Term) {}, wires: newWires()}
	s.Network, err = start(t.Context(), Options{Profile: profile, Dir: dir, Seed: &seed, Roles: EveryRole(), Clock: s.clock, Quiet: true, byHand: true,
		Log: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, s.wires.connected)
	if err != nil {
		t.Fatal(err)
	}
	s.report = &DemoReport{Seed: seed, Trace: s.Trace()}
	hidden := knownKeys(t, s.Network)
	if len(hidden) < 30 {
		t.Errorf("only %d keys", len(hidden))
	}
	cardSecrets(t, s.Network, hidden)
	for name, secret := range secrets(t, profile) {
		hidden[name] = secret
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	look := func(where string, text []byte) {
		t.Helper()
		search(t, where, text, hidden)
		searchPINs(t, where, text, profile)
	}
	for _, p := range s.Trace().Payments() {
		records := s.Trace().Find(p.ID)
		var seen bytes.Buffer
		err := errors.Join(trace.Save(&seen, records), trace.JSON(&seen, records))
		for _, language := range []glossary.Lang{glossary.English, glossary.Chinese} {
			err = errors.Join(err, trace.Full(&seen, records, explain.Options{Lang: language}), trace.Render(&seen, records, explain.Options{Lang: language}))
		}
		if err != nil {
			t.Fatal(err)
		}
		look("the trace of "+p.ID, seen.Bytes())
		var revealed bytes.Buffer
		if err := trace.Full(&revealed, records, explain.Options{Reveal: true, AllBit: true}); err != nil {
			t.Fatal(err)
		}
		never := map[string][]byte{}
		for name, secret := range hidden {
			if !bytes.Contains([]byte(name), []byte("number of")) {
				never[name] = secret
			}
		}
		search(t, "the revealed trace of "+p.ID, revealed.Bytes(), never)
		searchPINs(t, "the revealed trace of "+p.ID, revealed.Bytes(), profile)
	}
	text, err := json.Marshal(s.report)
	if err != nil {
		t.Fatal(err)
	}
	look("the report", append(text, fmt.Sprintf("%v %+v %#v", s.report, s.report.Taps, s.Network.vaults)...))
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("the log", log.take())
	searchFiles(t, dir, hidden)
}

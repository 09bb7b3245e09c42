package tsmhttp

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card/cardtest"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsm"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/scp03"
	"tapnet/sdk/hce/hcetest"
)

// tokens knows the tests' tokens.
type tokens map[string]tsm.Token

func (t tokens) Token(ref string) (tsm.Token, error) {
	if token, ok := t[ref]; ok {
		return token, nil
	}
	return tsm.Token{}, tsm.ErrNoToken
}

// whole is a service manager behind its HTTP interface, and a phone with an element that reaches it there.
type whole struct {
	testing.TB
	vault   *hsm.HSM
	tokens  tokens
	store   *journal.MemStore
	stepper *journal.Stepper
	service *tsm.Service
	handler http.Handler
	element *element.Element
	host    *element.Field
	seen    []byte // everything that crossed the interface
	sent    []journal.Effect
	stan    uint32
	banks   tsm.Certifier // nil: applications do not sign
}

var master = bytes.Repeat([]byte{0xA5, 0x17}, 16)

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func newWhole(t testing.TB, option scp03.Option, wallet string) *whole {
	t.Helper()
	w := &whole{TB: t, banks: bank{}, vault: hsm.New(random(1)), store: journal.NewMemStore(), tokens: make(tokens)}
	if _, err := w.vault.ImportClear("elements", hsm.UsageElementMaster, hsm.ModeDerive, hsm.AES256, hsm.NotExportable, master); err != nil {
		t.Fatal(err)
	}
	if _, err := w.vault.Generate("sign", hsm.UsageElementSign, hsm.ModeDerive, hsm.AES256, hsm.NotExportable); err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		name  string
		usage hsm.Usage
	}{{"ac", hsm.UsageEMVAC}, {"mac", hsm.UsageEMVMAC}, {"enc", hsm.UsageEMVENC}} {
		for _, algorithm := range []hsm.Algorithm{hsm.TDES, hsm.SM4, hsm.AES128} {
			if _, err := w.vault.Generate(fmt.Sprintf("%s-%s", k.name, algorithm), k.usage, hsm.ModeDerive, algorithm, hsm.NotExportable); err != nil {
				t.Fatal(err)
			}
		}
	}
	for ref, suite := range map[string]cryptogram.Suite{"tok1": cryptogram.TDES(), "tok2": cryptogram.SM4(), "tok3": cryptogram.AES()} {
		w.tokens[ref] = token(t, ref, suite)
	}
	w.start()
	w.element = newElement(t, option, serial)
	if status, body := w.post("/v1/tsm/se-profiles", "", tsmapi.Element{SEID: hex20(serial), KeyVersion: 0x30, Wallet: wallet}); status != 204 {
		t.Fatalf("register: %d %s", status, body)
	}
	return w
}

var serial = scp03.Diversification{0x53, 0x45, 1}

func hex20(d scp03.Diversification) string { return strings.ToUpper(hex.EncodeToString(d[:])) }

func newElement(t testing.TB, option scp03.Option, serial scp03.Diversification) *element.Element {
	t.Helper()
	keys, err := scp03.Diversify(master, serial)
	if err != nil {
		t.Fatal(err)
	}
	value, err := element.Blank{Serial: serial, Keys: keys, Version: 0x30, Option: option}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	e, err := element.New(element.NewVolatile(value), random(2))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func token(t testing.TB, ref string, suite cryptogram.Suite) tsm.Token {
	t.Helper()
	number, err := pan.CompleteLuhn("62999855500000" + ref[len(ref)-1:])
	if err != nil {
		t.Fatal(err)
	}
	expiry, err := pan.ParseExpiry("3111")
	if err != nil {
		t.Fatal(err)
	}
	return tsm.Token{Number: number, Sequence: "01", Expiry: expiry, Service: "201", Algorithm: suite.AlgorithmID(), DKI: 1, CVN: cryptogram.CVN01, Currency: money.CNY}
}

// start starts the service from its journal, as after a crash.
func (w *whole) start() {
	w.Helper()
	var err error
	w.service, err = tsm.New(tsm.Deps{Institution: "00000091", Vault: w.vault, Tokens: w.tokens, Certifier: w.banks, Keys: tsm.KeyNames{Elements: "elements", Sign: "sign",
		Masters: func(a byte) (ac, mac, enc string) {
			suite, _ := cryptogram.Standard(a)
			name := hsm.AlgorithmOf(suite).String()
			return "ac-" + name, "mac-" + name, "enc-" + name
		}}})
	if err != nil {
		w.Fatal(err)
	}
	w.stepper, _, err = journal.NewStepper(context.Background(), journal.Config{Machine: w.service, Store: w.store, Clock: clock.NewManual(cardtest.Today),
		Release: func(all []journal.Effect) {
			for _, e := range all {
				if e.Message != nil {
					w.sent = append(w.sent, e)
				}
			}
		}})
	if err != nil {
		w.Fatal(err)
	}
	if w.handler, err = New(Config{Ask: w.ask}); err != nil {
		w.Fatal(err)
	}
}

// ask is what a node does with a command.
func (w *whole) ask(ctx context.Context, command any) (reply any, err error) {
	ev := journal.Event{Command: command, Reply: func(v any) { reply = v }}
	w.service.Prepare(&ev)
	_, err = w.stepper.Step(ctx, ev)
	return reply, err
}

func (w *whole) post(path, key string, body any) (int, string) {
	w.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		w.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, path, bytes.NewReader(b))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	w.seen = append(append(w.seen, b...), out.Body.Bytes()...)
	return out.Code, out.Body.String()
}

func (w *whole) progress(status int, body string) (p tsmapi.Progress) {
	w.Helper()
	if status != 200 {
		w.Fatalf("%d %s", status, body)
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		w.Fatal(err)
	}
	return p
}

func (w *whole) open(kind, ref, key string) (int, string) {
	w.Helper()
	path := "/v1/tsm/sessions"
	if kind != "" {
		path += ":" + kind
	}
	return w.post(path, key, map[string]string{"seid": hex20(serial), "token": ref})
}

// relay is what the phone does with commands.
func (w *whole) relay(commands []string) (answers []string) {
	w.Helper()
	for _, text := range commands {
		c, err := hex.DecodeString(text)
		if err != nil {
			w.Fatal(err)
		}
		b, err := w.host.Transceive(context.Background(), c)
		if err != nil {
			w.Fatal(err)
		}
		answers = append(answers, strings.ToUpper(hex.EncodeToString(b)))
	}
	return answers
}

func (w *whole) step(p tsmapi.Progress, answers []string) (int, string) {
	w.Helper()
	return w.post("/v1/tsm/sessions/"+p.Session+"/step", "", map[string]any{"number": p.Number, "answers": answers})
}

// run relays a session to its end.
func (w *whole) run(kind, ref, key string) tsmapi.Progress {
	w.Helper()
	w.host = element.NewHost(w.element)
	defer w.host.Remove()
	p := w.progress(w.open(kind, ref, key))
	for range 100 {
		if p.Done {
			return p
		}
		p = w.progress(w.step(p, w.relay(p.Commands)))
	}
	w.Fatal("the session does not end")
	return p
}

// pay pays at a terminal and asks the issuer's security module.
func (w *whole) pay(ref string, minor int64) string {
	w.Helper()
	field := element.NewField(w.element)
	defer field.Remove()
	o := hcetest.Tap(w, hcetest.Terminal(w), field, minor)
	return w.verify(ref, o.Data)
}

func (w *whole) verify(ref string, icc emv.Data) string {
	w.Helper()
	t := w.tokens[ref]
	suite, _ := cryptogram.Standard(t.Algorithm)
	iad, err := emv.ParseIAD(icc.Get(emv.TagIAD))
	atc, ac := icc.Get(emv.TagATC), icc.Get(emv.TagAC)
	if err != nil || len(atc) != 2 || len(ac) != 8 {
		return "no cryptogram"
	}
	data, err := suite.AppendData(nil, iad.CVN, iad.CVR, icc)
	if err != nil {
		return err.Error()
	}
	result, err := w.vault.VerifyCryptogram(hsm.CryptogramCheck{MasterKey: "ac-" + hsm.AlgorithmOf(suite).String(), PAN: t.Number, Sequence: t.Sequence,
		ATC: uint16(atc[0])<<8 | uint16(atc[1]), Data: data, AC: [8]byte(ac), Suite: suite})
	if err != nil || !result.OK {
		return "cryptogram is wrong"
	}
	return ""
}

// TestWhole: a token is put on an element through the phone, pays, is locked, unlocked, joined by others and deleted.
func TestWhole(t *testing.T) {
	for _, c := range []struct {
		option scp03.Option
		wallet string
	}{{0x00, "phone"}, {0x10, "phone"}, {0x30, "phone"}, {0x60, "phone"}, {0x70, "phone"}, {0x70, "wearable"}} {
		w := newWhole(t, c.option, c.wallet)
		for i, ref := range []string{"tok1", "tok2", "tok3"} {
			if p := w.run("", ref, "personalize-"+ref); p.Failed != "" {
				t.Fatalf("%02X, %s, %s: %s", c.option, c.wallet, ref, p.Failed)
			}
			if c.wallet == "wearable" && i > 0 {
				if p := w.run("default", ref, "default-"+ref); p.Failed != "" {
					t.Fatal(p.Failed)
				}
			}
			for minor := int64(100); minor <= 10_000_000; minor *= 100 {
				if why := w.pay(ref, min(minor, 4_000_000)); why != "" {
					t.Fatalf("%02X, %s, %s, %d: %s", c.option, c.wallet, ref, minor, why)
				}
			}
		}
		for _, step := range []struct{ kind, ref, pays string }{
			{"lock", "tok3", "tok2"}, {"unlock", "tok3", "tok3"}, {"default", "tok1", "tok1"}, {"delete", "tok1", "tok3"}, {"delete", "tok3", "tok2"},
			{"delete", "tok2", ""},
		} {
			if p := w.run(step.kind, step.ref, step.kind+step.ref+"-key"); p.Failed != "" {
				t.Errorf("%s %s: %s", step.kind, step.ref, p.Failed)
			}
			if step.pays != "" && c.wallet == "phone" {
				if why := w.pay(step.pays, 100); why != "" {
					t.Errorf("after %s %s: %s", step.kind, step.ref, why)
				}
			}
		}
		if len(w.element.Applications()) != 0 {
			t.Errorf("left: %v", w.element.Applications())
		}
		w.nothingSecret()
	}
}

// nothingSecret looks for numbers in whatever crossed the interface or stands in the journal.
func (w *whole) nothingSecret() {
	w.Helper()
	var rows []byte
	if err := w.store.Load(context.Background(), 0, func(r *journal.Row) error {
		rows = append(rows, r.AppendBinary(nil)...)
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	for ref, token := range w.tokens {
		for _, form := range [][]byte{[]byte(token.Number.Reveal()), token.Number.BCD()} {
			if bytes.Contains(rows, form) || bytes.Contains(w.seen, form) {
				w.Errorf("the number of %s is in the clear", ref)
			}
		}
	}
}

// subject is the element as a subject of the conformance suite, personalized over HTTP.
type subject struct {
	*whole
	ref   string
	field *element.Field
}

func (s *subject) Present() apdu.Transceiver  { s.field.Present(); return s.field }
func (s *subject) Remove()                    { s.field.Remove() }
func (s *subject) AID() emv.AID               { return emv.AIDDebit }
func (s *subject) Verify(icc emv.Data) string { return s.whole.verify(s.ref, icc) }
func (s *subject) Authorities() *oda.Keys     { return authorities(s) }

func TestConformance(t *testing.T) {
	for _, ref := range []string{"tok1", "tok2"} {
		t.Run(ref, func(t *testing.T) {
			w := newWhole(t, 0x70, "phone") // one for all: making a key takes longer than the suite
			if p := w.run("", ref, "personalize"); p.Failed != "" {
				t.Fatal(p.Failed)
			}
			hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
				own := *w
				own.TB = t
				return &subject{&own, ref, element.NewField(w.element)}
			})
		})
	}
}

// TestCrashBetweenSteps: the service starts again before every step, and every step is asked twice.
func TestCrashBetweenSteps(t *testing.T) {
	w := newWhole(t, 0x70, "wearable")
	w.host = element.NewHost(w.element)
	p := w.progress(w.open("", "tok1", "personalize"))
	if again := w.progress(w.open("", "tok1", "personalize")); !same(p, again) {
		t.Error("opened again it is another session")
	}
	if status, body := w.open("", "tok2", "personalize"); status != 409 {
		t.Errorf("the key with another content: %d %s", status, body)
	}
	for !p.Done {
		w.start()
		answers := w.relay(p.Commands)
		next := w.progress(w.step(p, answers))
		w.start()
		if again := w.progress(w.step(p, answers)); !same(next, again) {
			t.Fatalf("step %d again: %v, %v", p.Number, next, again)
		}
		if !next.Done {
			if status, body := w.step(p, slices.Repeat([]string{"9000"}, len(answers))); status != 409 || !strings.Contains(body, "应答") {
				t.Errorf("step %d with other answers: %d %s", p.Number, status, body)
			}
		}
		p = next
	}
	if p.Failed != "" {
		t.Fatal(p.Failed)
	}
	w.host.Remove()
	if why := w.pay("tok1", 100); why != "" {
		t.Error(why)
	}
}

// TestTornSessions: lock, unlock, default and delete are torn after each of their commands, and the same session begun anew comes to its end: what the element
// did already is no hindrance.
func TestTornSessions(t *testing.T) {
	w := newWhole(t, 0x70, "wearable")
	if p := w.run("", "tok1", "personalize"); p.Failed != "" {
		t.Fatal(p.Failed)
	}
	for _, kind := range []string{"lock", "unlock", "default", "delete"} {
		for torn := 1; torn <= 4; torn++ {
			w.host = element.NewHost(w.element)
			p := w.progress(w.open(kind, "tok1", fmt.Sprintf("%s-torn-%d", kind, torn)))
			for left := torn; left > 0; {
				answers := w.relay(p.Commands[:min(left, len(p.Commands))])
				if left -= len(answers); left > 0 {
					p = w.progress(w.step(p, answers))
				}
			}
			w.host.Remove()
		}
		if p := w.run(kind, "tok1", kind+"-again"); p.Failed != "" {
			t.Errorf("%s: %s", kind, p.Failed)
		}
	}
	if len(w.element.Applications()) != 0 {
		t.Error("not deleted")
	}
}

func same(a, b tsmapi.Progress) bool {
	return a.Session == b.Session && a.Number == b.Number && a.Done == b.Done && a.Failed == b.Failed && slices.Equal(a.Commands, b.Commands)
}

// TestHostilePhone: what the phone may do to a script on its way, at every step. The session fails, nothing half done answers taps, and the next session
// goes through.
func TestHostilePhone(t *testing.T) {
	flip := func(text string, at int) string {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		return strings.ToUpper(hex.EncodeToString(b))
	}
	for name, spoil := range map[string]func(commands, before []string) []string{
		"altered":   func(c, _ []string) []string { c[0] = flip(c[0], 8); return c },
		"reordered": func(c, _ []string) []string { slices.Reverse(c); return c },
		"repeated":  func(c, _ []string) []string { return append(c[:1:1], c...) },
		"left out":  func(c, _ []string) []string { return c[1:] },
		"replayed":  func(_, before []string) []string { return before },
	} {
		for at := 2; at <= 3; at++ {
			w := newWhole(t, 0x70, "wearable")
			w.host = element.NewHost(w.element)
			p := w.progress(w.open("", "tok1", "personalize"))
			var before []string
			for p.Number < at {
				before = p.Commands
				p = w.progress(w.step(p, w.relay(p.Commands)))
			}
			answers := w.relay(spoil(slices.Clone(p.Commands), before))
			for len(answers) < len(p.Commands) {
				answers = append(answers, "6982")
			}
			p = w.progress(w.step(p, answers[:len(p.Commands)]))
			if !p.Done || p.Failed == "" {
				t.Errorf("%s at step %d: %v", name, at, p)
			}
			w.host.Remove()
			for _, a := range w.element.Applications() {
				if a.Life != element.Selectable {
					t.Errorf("%s at step %d: %v", name, at, a)
				}
			}
			if p = w.run("", "tok1", "personalize-2"); p.Failed != "" {
				t.Errorf("%s at step %d, again: %s", name, at, p.Failed)
			}
		}
	}
}

// TestHostileAnswers: answers that were altered on their way are noticed.
func TestHostileAnswers(t *testing.T) {
	for name, spoil := range map[string]func(answers []string) []string{
		"success of the last": func(a []string) []string { a[len(a)-1] = "9000"; return a },
		"code": func(a []string) []string {
			a[0] = strings.Repeat("00", scp03.CodeBytes) + "9000"
			return a
		},
		"swapped": func(a []string) []string { a[0], a[1] = a[1], a[0]; return a },
		"refusal with data": func(a []string) []string {
			a[0] = a[0][:len(a[0])-4] + "6985"
			return a
		},
	} {
		w := newWhole(t, 0x70, "wearable")
		w.host = element.NewHost(w.element)
		p := w.progress(w.open("", "tok1", "personalize"))
		p = w.progress(w.step(p, w.relay(p.Commands)))
		p = w.progress(w.step(p, w.relay(p.Commands)))
		if p = w.progress(w.step(p, spoil(w.relay(p.Commands)))); !p.Done || p.Failed != tsmapi.Tampered.Term().EN {
			t.Errorf("%s: %v", name, p)
		}
		if status, _ := w.step(tsmapi.Progress{Session: p.Session, Number: p.Number}, nil); status != 409 {
			t.Errorf("%s: after the end: %d", name, status)
		}
	}
	other := newElement(t, 0x70, scp03.Diversification{9})
	for name, c := range map[string]struct {
		element *element.Element
		wallet  string
		want    tsmapi.Reason
	}{"another element": {other, "phone", tsmapi.NotAuthentic}, "no protected answers": {newElement(t, 0x00, serial), "wearable", tsmapi.WeakChannel}} {
		w := newWhole(t, 0x70, c.wallet)
		w.element = c.element
		if p := w.run("", "tok1", "personalize"); p.Failed != c.want.Term().EN {
			t.Errorf("%s: %v", name, p)
		}
	}
}

func TestRequestsRefused(t *testing.T) {
	w := newWhole(t, 0x70, "phone")
	if p := w.run("", "tok1", "personalize"); p.Failed != "" {
		t.Fatal(p.Failed)
	}
	element := tsmapi.Element{SEID: hex20(serial), KeyVersion: 0x30, Wallet: "phone"}
	with := func(change func(*tsmapi.Element)) tsmapi.Element { e := element; change(&e); return e }
	for name, c := range map[string]struct {
		path, key string
		body      any
		status    int
	}{
		"the same element":      {"/v1/tsm/se-profiles", "", element, 204},
		"with another wallet":   {"/v1/tsm/se-profiles", "", with(func(e *tsmapi.Element) { e.Wallet = "wearable" }), 409},
		"an unknown wallet":     {"/v1/tsm/se-profiles", "", with(func(e *tsmapi.Element) { e.Wallet = "x" }), 400},
		"a short serial":        {"/v1/tsm/se-profiles", "", with(func(e *tsmapi.Element) { e.SEID = "00" }), 422},
		"a domain of one byte":  {"/v1/tsm/se-profiles", "", with(func(e *tsmapi.Element) { e.SEID, e.Domain = "00000000000000000001", "A0" }), 400},
		"personalized twice":    {"/v1/tsm/sessions", "another-key", map[string]string{"seid": hex20(serial), "token": "tok1"}, 409},
		"no such token":         {"/v1/tsm/sessions", "another-key", map[string]string{"seid": hex20(serial), "token": "tok9"}, 404},
		"no such element":       {"/v1/tsm/sessions", "another-key", map[string]string{"seid": "00", "token": "tok2"}, 404},
		"no key":                {"/v1/tsm/sessions", "", map[string]string{"seid": hex20(serial), "token": "tok2"}, 422},
		"unlock what is not":    {"/v1/tsm/sessions:unlock", "another-key", map[string]string{"seid": hex20(serial), "token": "tok1"}, 409},
		"lock what is not here": {"/v1/tsm/sessions:lock", "another-key", map[string]string{"seid": hex20(serial), "token": "tok2"}, 409},
		"no such session":       {"/v1/tsm/sessions/00/step", "", map[string]any{"number": 1, "answers": []string{}}, 404},
		"not hexadecimal":       {"/v1/tsm/sessions/00/step", "", map[string]any{"number": 1, "answers": []string{"xy"}}, 400},
		"too long":              {"/v1/tsm/sessions/00/step", "", map[string]any{"number": 1, "answers": []string{strings.Repeat("0", maxBody)}}, 413},
	} {
		if status, body := w.post(c.path, c.key, c.body); status != c.status {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	p := w.progress(w.open("", "tok2", "personalize-2"))
	if status, body := w.step(p, []string{"9000"}); status != 409 {
		t.Errorf("too few answers: %d %s", status, body)
	}
	if status, body := w.step(p, []string{"90", "9000"}); status != 400 {
		t.Errorf("half an answer: %d %s", status, body)
	}
	later := w.progress(w.open("", "tok2", "personalize-3"))
	if status, _ := w.step(p, []string{"9000", "9000"}); status != 404 {
		t.Errorf("the earlier session goes on: %d", status)
	}
	if p := w.progress(w.step(later, []string{"6A82", "6D00"})); p.Failed != tsmapi.ElementRefused.Term().EN {
		t.Errorf("refused: %v", p)
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/tsm/se-profiles/"+hex20(serial), nil)
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	if text := out.Body.String(); out.Code != 200 || !strings.Contains(text, `"state":"active"`) || !strings.Contains(text, `"state":"loading"`) {
		t.Errorf("standing: %d %s", out.Code, text)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("without a service")
	}
}

// TestOpenAPI compares the document with the one committed. TAPNET_UPDATE=1 writes it.
func TestOpenAPI(t *testing.T) {
	have, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	const name = "testdata/openapi.yaml"
	if os.Getenv("TAPNET_UPDATE") != "" {
		if err := os.WriteFile(name, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s is out of date", name)
	}
}

package tsphttp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tapnet/internal/clock"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/tsp"
	"tapnet/pan"
)

// core runs a token service for the interface.
type core struct {
	*tsp.TSP
	mu      sync.Mutex
	stepper *journal.Stepper
	hooks   []*tsp.Webhook
	peers   []string
}

func (c *core) Ask(ctx context.Context, command *tsp.Command) (reply any, err error) {
	ev := journal.Event{Command: command, Reply: func(v any) { reply = v }}
	c.Prepare(&ev)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err = c.stepper.Step(ctx, ev)
	return reply, err
}

func newCore(t testing.TB) *core {
	t.Helper()
	h := hsm.New(rand.Reader)
	for name, k := range map[string]struct {
		usage hsm.Usage
		mode  hsm.Mode
		a     hsm.Algorithm
	}{
		"f": {hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC}, "d": {hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256}, "s": {hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	} {
		if _, err := h.Generate(name, k.usage, k.mode, k.a, hsm.NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	v, _, err := hsm.NewVault(rand.Reader, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	c := &core{}
	c.TSP, err = tsp.New(tsp.Deps{
		Institution: "19000001", Switch: "10000000", Code: "629", Controller: "6299", Vault: h, Numbers: v, Calendar: networktest.Shanghai,
		Keys:    tsp.KeyNames{Fingerprint: "f", Hash: "f", Digits: "d", Names: "d", TokenSeal: "s", PINKey: func(p string) string { return p }},
		Ranges:  []tsp.Range{{Prefix: "62999811", Issuer: "30000001", IssuerPrefix: "6299991", Storage: 1, Method: tsp.MethodRandom, Digits: 16}},
		Issuers: []tsp.Issuer{{Institution: "30000001", Terms: "t", Methods: []string{"bank-app", "otp"}, Webhook: "https://bank.example", Certificate: "bank"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.stepper, _, err = journal.NewStepper(t.Context(), journal.Config{
		Machine: c.TSP, Store: journal.NewMemStore(), Clock: clock.NewManual(networktest.Start),
		Release: func(effects []journal.Effect) {
			for _, e := range effects {
				if w, ok := e.Message.(*tsp.Webhook); ok {
					c.hooks, c.peers = append(c.hooks, w), append(c.peers, e.To)
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// authority signs the certificates of a test.
type authority struct {
	testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB) *authority {
	a := &authority{TB: t, key: newKey(t), pool: x509.NewCertPool()}
	a.cert = a.issue("TEST authority", a.key, true)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) issue(name string, key *ecdsa.PrivateKey, ca bool) *x509.Certificate {
	a.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IsCA: ca,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: []string{"example.com"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	parent := template
	if a.cert != nil {
		parent = a.cert
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.Fatal(err)
	}
	return cert
}

// party is somebody who calls.
type party struct {
	testing.TB
	client *http.Client
	key    *ecdsa.PrivateKey
	url    string
	calls  int
}

type world struct {
	testing.TB
	core *core
	key  *ecdsa.PrivateKey
	ca   *authority
	url  string
}

func newWorld(t *testing.T) *world {
	w := &world{TB: t, core: newCore(t), key: newKey(t), ca: newAuthority(t)}
	s, err := New(Config{Core: w.core, Key: w.key, Operators: []string{"operator"}})
	if err != nil {
		t.Fatal(err)
	}
	own := newKey(t)
	server := httptest.NewUnstartedServer(s)
	server.TLS = s.HTTPServer("", tls.Certificate{Certificate: [][]byte{w.ca.issue("tsp", own, false).Raw}, PrivateKey: own}, w.ca.pool).TLSConfig
	server.StartTLS()
	t.Cleanup(server.Close)
	w.url = server.URL
	return w
}

func (w *world) party(name string) *party {
	key := newKey(w)
	cert := tls.Certificate{Certificate: [][]byte{w.ca.issue(name, key, false).Raw}, PrivateKey: key}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.pool, ServerName: "example.com", Certificates: []tls.Certificate{cert}}}
	w.Cleanup(transport.CloseIdleConnections)
	return &party{TB: w, client: &http.Client{Transport: transport}, key: key, url: w.url}
}

func (p *party) do(method, path, key string, in any) (int, http.Header, map[string]any) {
	p.Helper()
	var body io.Reader
	if in != nil {
		text, ok := in.([]byte)
		if !ok {
			var err error
			if text, err = json.Marshal(in); err != nil {
				p.Fatal(err)
			}
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(p.Context(), method, p.url+path, body)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	reply, err := p.client.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = reply.Body.Close() }()
	out := map[string]any{}
	if err := json.NewDecoder(reply.Body).Decode(&out); err != nil {
		p.Fatalf("%s %s: %d, %v", method, path, reply.StatusCode, err)
	}
	return reply.StatusCode, reply.Header, out
}

// post succeeds.
func (p *party) post(path string, in any) map[string]any {
	p.Helper()
	p.calls++
	status, _, out := p.do(http.MethodPost, path, fmt.Sprintf("key-%06d", p.calls), in)
	if status != http.StatusOK {
		p.Fatalf("%s: %d %v", path, status, out)
	}
	return out
}

func (w *world) payload(s secrets) string {
	w.Helper()
	text, err := seal(&w.key.PublicKey, s)
	if err != nil {
		w.Fatal(err)
	}
	return text
}

const cardDigits = "6299991000000012"

func requestor() map[string]any {
	return map[string]any{
		"entity": "Wallet", "use_cases": []string{"HCE"}, "certificate": "wallet", "domain": map[string]any{},
		"policy": map[string]any{"cooling_minor": 0, "cooling_hours": 0, "limited_minor": 0, "token_months": 36, "device_tokens": 3, "watched_tokens": 0},
	}
}

// give gives a token to a wallet.
func (w *world) give() (wallet *party, token map[string]any, request map[string]any) {
	w.Helper()
	n, err := pan.CompleteLuhn(cardDigits[:15])
	if err != nil {
		w.Fatal(err)
	}
	w.party("operator").post("/v1/token-requestors", requestor())
	wallet = w.party("wallet")
	device := map[string]any{"reference": "phone", "attestation": "hardware"}
	eligible := wallet.post("/v1/eligibility", map[string]any{
		"payload": w.payload(secrets{Number: n.Reveal()}), "request": map[string]any{"storage": "HCE", "device": device, "expiry": "3012"},
	})
	request = map[string]any{
		"payload": w.payload(secrets{Number: n.Reveal()}),
		"request": map[string]any{"eligibility": eligible["eligibility"], "terms": eligible["terms"], "storage": "HCE", "device": device, "expiry": "3012",
			"source": "manual", "score": 5},
	}
	return wallet, wallet.post("/v1/tokens", request), request
}

func TestATokenOverHTTPS(t *testing.T) {
	w := newWorld(t)
	wallet, out, request := w.give()
	object, err := jose.ParseEncryptedCompact(out["payload"].(string), keyAlgorithms, contentAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := object.Decrypt(wallet.key)
	if err != nil || !strings.Contains(string(plain), `"62999811`) {
		t.Error("the caller cannot read its token number", err)
	}
	if status, _, again := wallet.do(http.MethodPost, "/v1/tokens", fmt.Sprintf("key-%06d", wallet.calls), request); status != http.StatusOK ||
		fmt.Sprint(again["token"]) != fmt.Sprint(out["token"]) {
		t.Error("a repeat gets another token", again)
	}
	reference := out["token"].(map[string]any)["token"].(string)
	bank := w.party("bank")
	if active := bank.post("/v1/tokens/"+reference+"/assertions", map[string]any{"method": "bank-app"}); active["state"] != "ACTIVE" {
		t.Error(active)
	}
	status, _, happened := wallet.do(http.MethodGet, "/v1/tokens/"+reference+"/history", "", nil)
	if changes, ok := happened["changes"].([]any); !ok || status != http.StatusOK || len(changes) != 2 || !strings.Contains(fmt.Sprint(changes[1]), "actor:issuer") {
		t.Error(status, happened)
	}
	if status, _, body := w.party("stranger2").do(http.MethodGet, "/v1/tokens/"+reference+"/history", "", nil); status != http.StatusForbidden {
		t.Error(status, body)
	}
	for _, path := range []string{"/v1/tokens/" + reference, "/v1/tokens?limit=5", "/v1/keys", "/openapi.json"} {
		if status, _, body := wallet.do(http.MethodGet, path, "", nil); status != http.StatusOK {
			t.Errorf("%s: %d %v", path, status, body)
		}
	}
	if status, _, body := w.party("bank").do(http.MethodGet, "/v1/tokens", "", nil); status != http.StatusOK || len(body["tokens"].([]any)) != 1 {
		t.Error(status, body)
	}
}

func TestRefusedAtTheDoor(t *testing.T) {
	w := newWorld(t)
	wallet, _, request := w.give()
	stranger := w.party("stranger")
	for name, c := range map[string]struct {
		who    *party
		path   string
		key    string
		in     any
		status int
		code   string
	}{
		"unknown certificate":   {stranger, "/v1/tokens", "key-00000001", request, 403, "unknown-caller"},
		"no idempotency key":    {wallet, "/v1/tokens", "", request, 422, "invalid"},
		"not an operator":       {wallet, "/v1/token-requestors", "key-0000000x", requestor(), 403, "not-allowed"},
		"no such path":          {wallet, "/v1/tokens/x/suspend", "key-00000002", map[string]any{}, 422, "invalid"},
		"garbage":               {wallet, "/v1/tokens", "key-00000003", []byte("{"), 400, "malformed"},
		"unknown member":        {wallet, "/v1/par/inquire", "key-00000004", map[string]any{"request": map[string]any{}, "payload": "x", "pan": "1"}, 422, "invalid"},
		"payload in clear":      {wallet, "/v1/par/inquire", "key-00000005", map[string]any{"request": map[string]any{}, "payload": cardDigits}, 422, "payload"},
		"payload to another":    {wallet, "/v1/par/inquire", "key-00000006", map[string]any{"request": map[string]any{}, "payload": foreign(t)}, 422, "payload"},
		"a body without bounds": {wallet, "/v1/par/inquire", "key-00000007", bytes.Repeat([]byte{' '}, MaxBodyBytes+10), 413, "too-large"},
	} {
		status, header, body := c.who.do(http.MethodPost, c.path, c.key, c.in)
		if status != c.status || body["code"] != c.code || header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %v %s", name, status, body, header.Get("Content-Type"))
		}
		if strings.Contains(fmt.Sprint(body), cardDigits) {
			t.Errorf("%s: a problem repeats what was sent: %v", name, body)
		}
	}
	plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.ca.pool, ServerName: "example.com"}}}
	if reply, err := plain.Get(w.url + "/v1/keys"); err == nil {
		_ = reply.Body.Close()
		t.Error("a caller without certificate was served")
	}
	recorder := httptest.NewRecorder()
	s, err := New(Config{Core: w.core, Key: w.key})
	if err != nil {
		t.Fatal(err)
	}
	if s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v1/keys", nil)); recorder.Code != http.StatusUnauthorized {
		t.Error(recorder.Code)
	}
}

func foreign(t *testing.T) string {
	text, err := seal(&newKey(t).PublicKey, secrets{Number: cardDigits})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestOpenAPI: whatever changes something asks for an idempotency key, and no schema has a member that could be a number in clear.
func TestOpenAPI(t *testing.T) {
	s, err := New(Config{Core: newCore(t), Key: newKey(t)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name     string
				Required bool
			}
		}
	}
	if err := json.Unmarshal(text, &document); err != nil || len(document.Paths) < 18 {
		t.Fatalf("%d paths, %v", len(document.Paths), err)
	}
	for path, operations := range document.Paths {
		post, has := operations["post"]
		keyed := false
		for _, p := range post.Parameters {
			keyed = keyed || p.Name == "Idempotency-Key" && p.Required
		}
		if has && !keyed {
			t.Errorf("%s takes requests without idempotency key", path)
		}
	}
	for _, member := range []string{`"number"`, `"pan"`, `"account"`} {
		if bytes.Contains(text, []byte(member)) {
			t.Errorf("the interface has a member %s", member)
		}
	}
}

func TestWebhooksAreSigned(t *testing.T) {
	w := newWorld(t)
	wallet, out, _ := w.give()
	reference := out["token"].(map[string]any)["token"].(string)
	wallet.post("/v1/tokens/"+reference+"/idv/challenges", map[string]any{"method": "otp"})
	hook, peer := w.core.hooks[len(w.core.hooks)-1], w.core.peers[len(w.core.peers)-1]
	bankKey := newKey(t)
	var got []byte
	status := http.StatusOK
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		if err := CheckSignature(&w.key.PublicKey, got, r.Header.Get(SignatureHeader)); err != nil {
			t.Error(err)
		}
		if err := CheckSignature(&w.key.PublicKey, append(got, ' '), r.Header.Get(SignatureHeader)); err == nil {
			t.Error("an altered body was taken")
		}
		rw.WriteHeader(status)
	}))
	defer receiver.Close()
	delivered := make(chan string, 1)
	hooks := (&Webhooks{
		Key: w.key, Client: receiver.Client(), Address: func(string) string { return receiver.URL }, OpenCode: w.core.OpenCode,
		Recipient: func(string) crypto.PublicKey { return &bankKey.PublicKey }, Delivered: func(_, id string) { delivered <- id },
		Log: func(_ string, err error) { t.Error(err) },
	}).Open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { hooks.Run(ctx); close(done) }()
	if err := hooks.Send(peer, hook); err != nil {
		t.Fatal(err)
	}
	if id := <-delivered; id != hook.ID {
		t.Error(id)
	}
	cancel()
	<-done
	var b body
	if err := json.Unmarshal(got, &b); err != nil || b.Token != reference || b.Payload == "" {
		t.Fatalf("%v: %s", err, got)
	}
	object, err := jose.ParseEncryptedCompact(b.Payload, keyAlgorithms, contentAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := object.Decrypt(bankKey); err != nil || !strings.Contains(string(plain), `"code"`) {
		t.Error("the bank cannot read the code", err)
	}
	status = http.StatusInternalServerError
	if err := hooks.Deliver(t.Context(), peer, hook); err == nil {
		t.Error("a receiver in trouble has taken it")
	}
	hooks.Address = func(string) string { return "http://plain.example" }
	if err := hooks.Deliver(t.Context(), peer, hook); err == nil {
		t.Error("sent without TLS")
	}
}

// TestWebhooksInOrder: what follows waits until what came before is taken, whoever repeats what, and one receiver in trouble holds up nobody else.
func TestWebhooksInOrder(t *testing.T) {
	var mu sync.Mutex
	var got []string
	trouble := 3
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/bad" && trouble > 0 {
			trouble--
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		got = append(got, r.URL.Path+" "+r.Header.Get("Idempotency-Key"))
	}))
	defer receiver.Close()
	told, again := make(chan string, 100), make(chan time.Time)
	hooks := (&Webhooks{
		Key: newKey(t), Client: receiver.Client(), Address: func(peer string) string { return receiver.URL + "/" + peer },
		Delivered: func(peer, id string) { told <- peer + " " + id }, Log: func(string, error) {}, Again: func(int) <-chan time.Time { return again },
	}).Open()
	for _, id := range []string{"1", "2", "3"} {
		for _, peer := range []string{"bad", "good"} {
			for range 2 { // the role repeats
				if err := hooks.Send(peer, &tsp.Webhook{ID: id}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { hooks.Run(ctx); close(done) }()
	for _, want := range []string{"good 1", "good 2", "good 3"} {
		if have := <-told; have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
	for range 3 {
		again <- time.Time{}
	}
	for _, want := range []string{"bad 1", "bad 2", "bad 3"} {
		if have := <-told; have != want {
			t.Errorf("%s, want %s", have, want)
		}
	}
	cancel()
	<-done
	if len(got) != 6 {
		t.Error(got)
	}
}

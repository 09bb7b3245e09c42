package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/internal/tsp/tsphttp"
)

// servedNetwork is a network with its interfaces on TCP.
func servedNetwork(t *testing.T, dir string) *Network {
	t.Helper()
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), Options{Profile: profile, Dir: dir, Roles: []string{RoleSwitch, RoleIssuer, RoleTSP, RoleCloudSE}, Listen: map[string]string{
		RoleSwitch: loopback, RoleTSP: loopback, APITokens: loopback, APIPhones: loopback, APIKeys: loopback,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// strangerCertificate has the operator's name and another authority.
func strangerCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: certOperator}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTheDoorsOfTheTokenRoles: real TLS; who shows no certificate, or one of another authority, or is not who he must be, is refused.
func TestTheDoorsOfTheTokenRoles(t *testing.T) {
	n := servedNetwork(t, t.TempDir())
	defer stopped(t, n)
	p, err := n.openCertificates()
	if err != nil {
		t.Fatal(err)
	}
	own := func(name string) []tls.Certificate {
		t.Helper()
		c, err := n.certificate(name)
		if err != nil {
			t.Fatal(err)
		}
		return []tls.Certificate{c}
	}
	const keys, token, change, refill = "/v1/keys", "/v1/tokens/00000000000000000000000000000000", "/v1/changes", "/v1/tokens/none/keys:replenish"
	for _, c := range []struct {
		name, api, path string
		shows           []tls.Certificate
		trusts          *x509.CertPool
		most            uint16
		status          int // 0: the connection is refused
	}{
		{"operator", APITokens, keys, own(certOperator), p.callers, 0, 200},
		{"operator follows", APITokens, change, own(certOperator), p.callers, 0, 200},
		{"wallet", APITokens, keys, own(walletName), p.callers, 0, 200},
		{"wallet may not follow", APITokens, change, own(walletName), p.callers, 0, 403},
		{"nobody registered", APITokens, keys, own(certService), p.callers, 0, 403},
		{"no certificate", APITokens, keys, nil, p.callers, 0, 0},
		{"another authority", APITokens, keys, []tls.Certificate{strangerCertificate(t)}, p.callers, 0, 0},
		{"a service that is not trusted", APITokens, keys, own(certOperator), x509.NewCertPool(), 0, 0},
		{"an old protocol", APITokens, keys, own(certOperator), p.callers, tls.VersionTLS12, 0},
		{"operator of keys", APIKeys, token + "/keys", own(certOperator), p.callers, 0, 404},
		{"wallet at the keys", APIKeys, token + "/keys", own(walletName), p.callers, 0, 403},
		{"no certificate at the keys", APIKeys, token + "/keys", nil, p.callers, 0, 0},
		{"another authority at the keys", APIKeys, token + "/keys", []tls.Certificate{strangerCertificate(t)}, p.callers, 0, 0},
		{"a phone without a signature", APIPhones, refill, nil, p.callers, 0, 400},
		{"a phone that trusts somebody else", APIPhones, refill, nil, x509.NewCertPool(), 0, 0},
		{"a phone with an old protocol", APIPhones, refill, nil, p.callers, tls.VersionTLS12, 0},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.trusts, Certificates: c.shows, MaxVersion: c.most}}
		client := &http.Client{Transport: transport, Timeout: patience}
		method := http.MethodGet
		if c.path == refill {
			method = http.MethodPost
		}
		request, err := http.NewRequestWithContext(t.Context(), method, "https://"+n.Addresses()[c.api]+c.path, bytes.NewReader(nil))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/octet-stream")
		reply, err := client.Do(request)
		switch {
		case err != nil && c.status != 0:
			t.Errorf("%s: %v", c.name, err)
		case err == nil && reply.StatusCode != c.status:
			t.Errorf("%s: %d, want %d", c.name, reply.StatusCode, c.status)
		}
		if err == nil {
			_, _ = io.Copy(io.Discard, reply.Body)
			_ = reply.Body.Close()
		}
		transport.CloseIdleConnections()
	}
	for _, api := range []string{APITokens, APIPhones, APIKeys} {
		reply, err := http.Get("http://" + n.Addresses()[api] + keys)
		if err == nil {
			if reply.StatusCode != http.StatusBadRequest {
				t.Errorf("%s answers without TLS: %d", api, reply.StatusCode)
			}
			_ = reply.Body.Close()
		}
	}
}

// hookReceiver is a requestor's server: it lets nobody in but the token service, and may be in trouble.
type hookReceiver struct {
	*testing.T
	key *ecdsa.PublicKey

	mu      sync.Mutex
	refuse  int // so many attempts are answered with an error
	cut     int // so many are taken, and the connection is lost before the answer
	calls   int // attempts
	notices []tspapi.Notice
	bodies  map[string][]byte
	heard   chan struct{}
}

func (h *hookReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		h.Error(err)
	}
	if r.TLS.PeerCertificates[0].Subject.CommonName != certService {
		h.Error("somebody else calls")
	}
	if err := tsphttp.CheckSignature(h.key, body, r.Header.Get(tsphttp.SignatureHeader)); err != nil {
		h.Error(err)
	}
	n := tspapi.Notice{}
	if err := json.Unmarshal(body, &n); err != nil || n.ID != r.Header.Get("Idempotency-Key") {
		h.Errorf("%s: %v", body, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	if h.refuse > 0 {
		h.refuse--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if earlier, twice := h.bodies[n.ID]; twice {
		if !bytes.Equal(earlier, body) {
			h.Errorf("notice %s says something else the second time", n.ID)
		}
	} else {
		h.bodies[n.ID], h.notices = body, append(h.notices, n)
	}
	if h.cut > 0 {
		h.cut--
		panic(http.ErrAbortHandler)
	}
	select {
	case h.heard <- struct{}{}:
	default:
	}
}

// wait waits for so many different notices.
func (h *hookReceiver) wait(many int) []tspapi.Notice {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), 2*patience)
	defer cancel()
	for {
		h.mu.Lock()
		have := slices.Clone(h.notices)
		h.mu.Unlock()
		if len(have) >= many {
			return have
		}
		select {
		case <-h.heard:
		case <-ctx.Done():
			h.Fatalf("%d notices of %d", len(have), many)
		}
	}
}

// TestWebhooksOfARunningNetwork: notices come signed, in order, again until they are taken, and after a restart those that nobody took.
func TestWebhooksOfARunningNetwork(t *testing.T) {
	dir := t.TempDir()
	n := servedNetwork(t, dir)
	p, err := n.openCertificates()
	if err != nil {
		t.Fatal(err)
	}
	shown, err := n.certificate(walletName)
	if err != nil {
		t.Fatal(err)
	}
	h := &hookReceiver{T: t, key: p.service.PrivateKey.(*ecdsa.PrivateKey).Public().(*ecdsa.PublicKey), bodies: map[string][]byte{}, heard: make(chan struct{}, 1)}
	receiver := httptest.NewUnstartedServer(h)
	receiver.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{shown}, ClientCAs: p.callers, ClientAuth: tls.RequireAndVerifyClientCert}
	receiver.Config.ErrorLog = nil
	receiver.StartTLS()
	defer receiver.Close()
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	do := func(c *tsp.Command) tsp.Reply {
		t.Helper()
		reply, err := n.tokens.service.Ask(t.Context(), c)
		r, ok := reply.(tsp.Reply)
		if err != nil || !ok {
			t.Fatalf("%v, %v", reply, err)
		}
		return r
	}
	read := func(r tsp.Reply, into any) {
		t.Helper()
		if err := json.Unmarshal(r.Body, into); err != nil {
			t.Fatal(err)
		}
	}
	var q tspapi.Requestor
	read(do(&tsp.Command{Caller: tokenOperator, Key: "register", Body: &tspapi.RegisterRequestor{Entity: "Shop", UseCases: []string{"COF"}, Certificate: "shop",
		Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 5}, Webhook: "https://127.0.0.1:" + port + "/notices"}}), &q)
	shop := tsp.Caller{Role: tsp.CallerRequestor, ID: q.ID}
	number, device := n.holders["lin"].personal.PAN, tspapi.Device{Reference: "shop", Attestation: "hardware"}
	var e tspapi.Eligible
	read(do(&tsp.Command{Caller: shop, Body: &tspapi.Eligibility{Storage: "COF", Device: device, Expiry: "4912"}, Number: number}), &e)
	var given tspapi.Provisioned
	read(do(&tsp.Command{Caller: shop, Key: "provision", Number: number, Body: &tspapi.Provision{Eligibility: e.ID, Terms: e.Terms, Storage: "COF", Device: device,
		Expiry: "4912", Source: "issuer-app", Score: 5}}), &given)
	h.wait(1)
	suspend := func(key string, resume bool) {
		do(&tsp.Command{Caller: shop, Key: key, Token: given.Token.Reference, Body: &tsp.Suspension{Suspender: "REQUESTOR", Reason: "OTHER", Resume: resume}})
	}
	h.mu.Lock()
	h.refuse, h.cut = 1, 1 // the next is refused once, taken with the connection lost, and comes a third time
	h.mu.Unlock()
	for _, key := range []string{"a", "b", "c", "d"} {
		suspend(key, key == "b" || key == "d")
	}
	got := h.wait(5)
	h.mu.Lock()
	if h.calls < 7 {
		t.Errorf("%d attempts", h.calls)
	}
	h.refuse = 1 << 20 // in trouble until it is restarted
	h.mu.Unlock()
	suspend("e", false)
	stopped(t, n)
	h.mu.Lock()
	h.refuse = 0
	h.mu.Unlock()
	n = servedNetwork(t, dir)
	defer stopped(t, n)
	got = append(got[:0], h.wait(6)...)
	suspend("f", true)
	got = append(got[:0], h.wait(7)...)
	want := []string{"ACTIVE", "SUSPENDED", "ACTIVE", "SUSPENDED", "ACTIVE", "SUSPENDED", "ACTIVE"}
	for i, notice := range got {
		if notice.State != want[i] || notice.Token != given.Token.Reference || i > 0 && notice.ID <= got[i-1].ID {
			t.Errorf("notice %d: %+v", i, notice)
		}
	}
}

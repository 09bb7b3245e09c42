package tsmhttp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"

	"tapnet/card/cardtest"
	"tapnet/internal/tsm/tsmapi"
)

// authority signs the tests' certificates.
type authority struct {
	testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{TB: t}
	a.cert = a.template("authority", 1)
	a.cert.IsCA, a.cert.KeyUsage = true, x509.KeyUsageCertSign
	own := a.issue(a.cert)
	a.key = own.PrivateKey.(*ecdsa.PrivateKey) //nolint:forcetypeassert // made below
	var err error
	if a.cert, err = x509.ParseCertificate(own.Certificate[0]); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) template(name string, serial int64) *x509.Certificate {
	now := cardtest.Today
	return &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: now.AddDate(-50, 0, 0), NotAfter: now.AddDate(50, 0, 0),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, DNSNames: []string{"localhost"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
}

// issue makes a key and certifies it; the first one certifies itself.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// TestMutualTLS: who shows no certificate, one of another authority, or one with a name that may not call, hears nothing; who may is told why he is refused.
func TestMutualTLS(t *testing.T) {
	w, ours, theirs := newWhole(t, 0x70, "phone"), newAuthority(t), newAuthority(t)
	server := HTTPServer(w.handler, ours.issue(ours.template("service", 2)), ours.pool(), "wallet", "operator")
	server.ErrorLog = log.New(io.Discard, "", 0)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	body, err := json.Marshal(tsmapi.Element{SEID: hex20(serial), KeyVersion: 0x30, Wallet: "wearable"})
	if err != nil {
		t.Fatal(err)
	}
	call := func(own *tls.Certificate) (int, string, error) {
		config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: ours.pool(), ServerName: "localhost"}
		if own != nil {
			config.Certificates = []tls.Certificate{*own}
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		r, err := client.Post("https://"+listener.Addr().String()+"/v1/tsm/se-profiles", "application/json", bytes.NewReader(body))
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = r.Body.Close() }()
		text, err := io.ReadAll(r.Body)
		return r.StatusCode, string(text), err
	}
	for name, own := range map[string]tls.Certificate{
		"of another authority": theirs.issue(theirs.template("wallet", 3)), "of another caller": ours.issue(ours.template("service", 4)),
	} {
		if status, text, err := call(&own); err == nil {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if status, text, err := call(nil); err == nil {
		t.Errorf("without a certificate: %d %s", status, text)
	}
	for _, name := range []string{"wallet", "operator"} {
		own := ours.issue(ours.template(name, 5))
		if status, text, err := call(&own); err != nil || status != http.StatusConflict || !strings.Contains(text, "该安全单元已以其他数据登记") {
			t.Errorf("%s: %d %s: %v", name, status, text, err)
		}
	}
}

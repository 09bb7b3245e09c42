package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tapnet/internal/cloudse/cloudsehttp"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/internal/tsp/tsphttp"
)

// The interfaces of the token roles, as Options.Listen names them. A network in memory has none.
const (
	APITokens = "tsp-api"     // requestors, banks and operators, over mutual TLS
	APIPhones = "cloudse-api" // phones, whose requests are signed, over TLS
	APIKeys   = "cloudse-ops" // the cloud secure element's own people, over mutual TLS
)

// Certificates of the interface lie with the keys: the authority, the service, and a caller of each kind.
const (
	certAuthority = "token-authority"
	certService   = "token-service"
	certOperator  = "token-operator"
	certSuffix    = ".pem"
	certYears     = 10
	apiWithin     = 10 * time.Second
	loopback      = "127.0.0.1:0"
)

// tokenCore is the running token service as its interface sees it.
type tokenCore struct {
	*tsp.TSP
	node *TokenNode
}

// Ask implements tsphttp.Core.
func (c tokenCore) Ask(ctx context.Context, command *tsp.Command) (any, error) {
	return c.node.Ask(ctx, command)
}

// serveTokens opens the token service's interface on its address, loopback unless told otherwise.
func (n *Network) serveTokens(ctx context.Context) error {
	if n.options.Listen == nil {
		return nil
	}
	p, err := n.openCertificates()
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleTSP, err)
	}
	service := n.tokens.service
	key, ok := p.service.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("interface of %s: %w", RoleTSP, errCertificate)
	}
	api, err := tsphttp.New(tsphttp.Config{Core: tokenCore{service.core, service}, Key: key, Operators: []string{certOperator},
		Changes: func(ctx context.Context, after uint64) (tspapi.Changes, error) {
			return service.core.Changes(ctx, service.store, after)
		}})
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleTSP, err)
	}
	server := api.HTTPServer("", p.service, p.callers)
	return n.serveHTTP(ctx, APITokens, server, func(l net.Listener) error { return server.ServeTLS(l, "", "") })
}

// serveCloud opens the interfaces for phones and for the service's own people. Phones' requests carry their own proof; the connection proves the service only.
func (n *Network) serveCloud(ctx context.Context) error {
	if n.options.Listen == nil {
		return nil
	}
	p, err := n.openCertificates()
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleCloudSE, err)
	}
	config := cloudsehttp.Config{Ask: n.tokens.cloud.ask, Now: n.options.Clock.Now}
	phones, err := cloudsehttp.Phones(config)
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleCloudSE, err)
	}
	operators, err := cloudsehttp.Operators(config)
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleCloudSE, err)
	}
	overTLS := func(name string, handler http.Handler, callers *x509.CertPool) error {
		settings := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.service}}
		if callers != nil {
			settings.ClientCAs, settings.ClientAuth = callers, tls.RequireAndVerifyClientCert
		}
		server := &http.Server{Handler: handler, ReadTimeout: apiWithin, ReadHeaderTimeout: apiWithin, WriteTimeout: apiWithin, MaxHeaderBytes: maxControlBytes,
			TLSConfig: settings}
		return n.serveHTTP(ctx, name, server, func(l net.Listener) error { return server.ServeTLS(l, "", "") })
	}
	return errors.Join(overTLS(APIPhones, phones, nil), overTLS(APIKeys, onlyFor(certOperator, operators), p.callers))
}

// onlyFor lets a caller of that certificate in and nobody else, whoever has signed his.
func onlyFor(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || r.TLS.PeerCertificates[0].Subject.CommonName != name {
			http.Error(w, "not for this certificate", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (n *Network) serveHTTP(ctx context.Context, name string, server *http.Server, serve func(net.Listener) error) error {
	address := n.options.Listen[name]
	if address == "" {
		address = loopback
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for %s: %w", name, err)
	}
	n.addresses[name] = listener.Addr().String()
	server.ErrorLog = slog.NewLogLogger(n.options.Log.Handler(), slog.LevelDebug) // who is refused at the door is nobody's emergency
	n.background.group.Go(func() {
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			n.options.Log.Error("interface stopped", "interface", name, "error", err)
		}
	})
	n.background.group.Go(func() {
		<-n.background.ctx.Done()
		_ = server.Close() // who is cut off asks again under the same idempotency key
	})
	return nil
}

var errCertificate = errors.New("a certificate of the interface is damaged")

// papers are what the interface shows and trusts.
type papers struct {
	service tls.Certificate
	callers *x509.CertPool
}

// openCertificates reads the certificates, or makes them: TEST certificates of an authority of this data directory's own.
func (n *Network) openCertificates() (papers, error) {
	dir := filepath.Join(n.options.Dir, keyDirectory)
	path := func(name string) string { return filepath.Join(dir, name+certSuffix) }
	if _, err := os.Stat(path(certService)); errors.Is(err, fs.ErrNotExist) {
		if err := makeCertificates(n.options.Clock.Now(), path); err != nil {
			return papers{}, err
		}
	}
	service, err := tls.LoadX509KeyPair(path(certService), path(certService))
	if err != nil {
		return papers{}, fmt.Errorf("read certificate: %w", err)
	}
	authority, err := os.ReadFile(path(certAuthority))
	if err != nil {
		return papers{}, fmt.Errorf("read certificate: %w", err)
	}
	p := papers{service: service, callers: x509.NewCertPool()}
	if !p.callers.AppendCertsFromPEM(authority) {
		return papers{}, errCertificate
	}
	return p, nil
}

// certificate reads a certificate of this data directory with its key.
func (n *Network) certificate(name string) (tls.Certificate, error) {
	path := filepath.Join(n.options.Dir, keyDirectory, name+certSuffix)
	c, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return c, fmt.Errorf("read certificate: %w", err)
	}
	return c, nil
}

// makeCertificates writes the authority's certificate and, with their keys, those of the service and its callers. The authority's key is not kept.
func makeCertificates(now time.Time, path func(string) string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	template := func(name string, serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"tapnet TEST"}}, NotBefore: now.Add(-time.Hour),
			NotAfter: now.AddDate(certYears, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
			DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		}
	}
	authority := template(certAuthority, 1)
	authority.IsCA, authority.KeyUsage = true, x509.KeyUsageCertSign
	block := func(c *x509.Certificate, public *ecdsa.PublicKey) ([]byte, error) {
		der, err := x509.CreateCertificate(rand.Reader, c, authority, public, key)
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
	}
	text, err := block(authority, &key.PublicKey)
	if err == nil {
		err = os.WriteFile(path(certAuthority), text, 0o600)
	}
	// The service's own comes last: its presence says that all are there.
	for i, name := range []string{certOperator, walletName, certService} {
		if err != nil {
			break
		}
		var own *ecdsa.PrivateKey
		var der []byte
		if own, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			text, err = block(template(name, int64(i)+2), &own.PublicKey)
		}
		if err == nil {
			der, err = x509.MarshalPKCS8PrivateKey(own)
		}
		if err == nil {
			err = os.WriteFile(path(name), append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), 0o600)
		}
	}
	if err != nil {
		return fmt.Errorf("make certificates: %w", err)
	}
	return nil
}

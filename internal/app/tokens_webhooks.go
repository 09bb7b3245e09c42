package app

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tsphttp"
)

// A notice that was not taken is sent again after a wait that doubles.
const (
	hookFirst = 500 * time.Millisecond
	hookMost  = time.Minute
)

// newWebhooks makes the sender of notices: it shows the service's certificate and trusts receivers of this data directory's authority and of the system's.
func (n *Network) newWebhooks() (*tsphttp.Webhooks, error) {
	p, err := n.openCertificates()
	if err != nil {
		return nil, fmt.Errorf("webhooks of %s: %w", RoleTSP, err)
	}
	key, ok := p.service.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("webhooks of %s: %w", RoleTSP, errCertificate)
	}
	trusted := p.callers
	if system, err := x509.SystemCertPool(); err == nil {
		authority, err := os.ReadFile(filepath.Join(n.options.Dir, keyDirectory, certAuthority+certSuffix))
		if err != nil || !system.AppendCertsFromPEM(authority) {
			return nil, fmt.Errorf("webhooks of %s: %w", RoleTSP, errors.Join(errCertificate, err))
		}
		trusted = system
	}
	hooks := &tsphttp.Webhooks{
		Key: key, Recipient: n.recipient,
		Again: func(attempts int) <-chan time.Time { return time.After(min(hookFirst<<min(attempts-1, 10), hookMost)) },
		Client: &http.Client{Timeout: apiWithin, Transport: &http.Transport{
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: trusted, Certificates: []tls.Certificate{p.service}},
		}},
		Log: func(peer string, err error) { n.options.Log.Warn("webhook not taken", "peer", peer, "error", err) },
	}
	return hooks.Open(), nil
}

// recipient is the public key of a bank, which lies with the keys as bank-ID.pem; nil when there is none, and then one-time codes do not travel.
func (n *Network) recipient(peer string) crypto.PublicKey {
	for i := range n.options.Profile.Issuers {
		bank := n.options.Profile.Issuers[i].Institution
		if peer != tsp.WebhookPeer+bank {
			continue
		}
		text, err := os.ReadFile(filepath.Join(n.options.Dir, keyDirectory, "bank-"+bank+certSuffix))
		if err != nil {
			return nil
		}
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
				return c.PublicKey
			}
		}
	}
	return nil
}

// startWebhooks sends what the running service has for webhooks.
func (n *Network) startWebhooks(hooks *tsphttp.Webhooks, service *TokenNode) {
	hooks.Delivered = func(peer, id string) { service.submit(journal.Event{Command: tsp.Delivered{Peer: peer, ID: id}}) }
	n.background.group.Go(func() { hooks.Run(n.background.ctx) })
}

// withWebhooks runs the token service with a sender of its own, unless notices are somebody else's to take.
func (n *Network) withWebhooks(ctx context.Context) (*TokenNode, error) {
	if n.options.hooks != nil || n.options.Listen == nil {
		return n.StartTokenService(ctx, TokenServiceOptions{Webhook: n.options.hooks})
	}
	hooks, err := n.newWebhooks()
	if err != nil {
		return nil, err
	}
	hooks.Address = func(peer string) string {
		if core := n.tokens.heard.core.Load(); core != nil {
			return core.WebhookAddress(peer)
		}
		return ""
	}
	hooks.OpenCode = func(w *tsp.Webhook) (string, error) { return n.tokens.heard.core.Load().OpenCode(w) }
	service, err := n.StartTokenService(ctx, TokenServiceOptions{Webhook: hooks.Send})
	if err == nil {
		n.startWebhooks(hooks, service)
	}
	return service, err
}

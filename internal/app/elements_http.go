package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"

	"tapnet/internal/tsm/tsmhttp"
)

// APIElements is the service manager's interface, over mutual TLS: wallets' servers relay there what their phones' elements say.
const APIElements = "tsm-api"

// elementLine is the way from the phones of this process to the interface.
type elementLine struct {
	base   string
	client *http.Client
}

// serveElements opens the interface, on loopback unless told otherwise, and calls it as a wallet does. A network in memory has the same one without a network.
func (n *Network) serveElements(ctx context.Context) error {
	handler, err := tsmhttp.New(tsmhttp.Config{Ask: n.elements.node.ask})
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleTSM, err)
	}
	if n.options.Listen == nil {
		n.elements.line = elementLine{"http://" + RoleTSM, &http.Client{Transport: handlerTransport{handler}}}
		return nil
	}
	p, err := n.openCertificates()
	if err != nil {
		return fmt.Errorf("interface of %s: %w", RoleTSM, err)
	}
	server := tsmhttp.HTTPServer(handler, p.service, p.callers, walletName, certOperator)
	if err := n.serveHTTP(ctx, APIElements, server, func(l net.Listener) error { return server.ServeTLS(l, "", "") }); err != nil {
		return err
	}
	path := filepath.Join(n.options.Dir, keyDirectory, walletName+certSuffix)
	own, err := tls.LoadX509KeyPair(path, path)
	if err != nil {
		return fmt.Errorf("interface of %s: read certificate: %w", RoleTSM, err)
	}
	n.elements.line = elementLine{"https://" + n.addresses[APIElements], &http.Client{Timeout: apiWithin, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, RootCAs: p.callers, ServerName: "localhost"},
	}}}
	n.background.group.Go(func() {
		<-n.background.ctx.Done()
		n.elements.line.client.CloseIdleConnections()
	})
	return nil
}

// handlerTransport calls a handler of the same process.
type handlerTransport struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	out := &answerBuffer{header: make(http.Header), status: http.StatusOK}
	t.handler.ServeHTTP(out, r)
	return &http.Response{
		StatusCode: out.status, Status: http.StatusText(out.status), Header: out.header, Body: io.NopCloser(&out.body),
		ContentLength: int64(out.body.Len()), Request: r,
	}, nil
}

// answerBuffer is an http.ResponseWriter that keeps what is written.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *answerBuffer) Header() http.Header            { return b.header }
func (b *answerBuffer) WriteHeader(status int)         { b.status = status }
func (b *answerBuffer) Write(text []byte) (int, error) { return b.body.Write(text) }

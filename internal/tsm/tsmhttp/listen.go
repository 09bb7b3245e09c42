package tsmhttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"time"
)

const requestWithin = 10 * time.Second

// errCaller is what a stranger's handshake ends with.
var errCaller = errors.New("tsmhttp: the certificate is of nobody who may call")

// HTTPServer is the handler behind mutual TLS: callers sign the certificates that are taken, and names are the common names of those who may call.
func HTTPServer(handler http.Handler, own tls.Certificate, callers *x509.CertPool, names ...string) *http.Server {
	return &http.Server{
		Handler: handler, ReadTimeout: requestWithin, ReadHeaderTimeout: requestWithin, WriteTimeout: requestWithin, IdleTimeout: time.Minute,
		MaxHeaderBytes: maxBody,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: callers, ClientAuth: tls.RequireAndVerifyClientCert,
			VerifyConnection: func(state tls.ConnectionState) error {
				if len(state.PeerCertificates) == 0 || !slices.Contains(names, state.PeerCertificates[0].Subject.CommonName) {
					return errCaller
				}
				return nil
			},
		},
	}
}

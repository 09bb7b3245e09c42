package tsphttp

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapnet/internal/problem"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
)

// Core is what the interface needs of the running role.
type Core interface {
	// Ask gives the role a command and waits for what it says once that is durable.
	Ask(ctx context.Context, c *tsp.Command) (any, error)
	Caller(certificate string) (tsp.Caller, bool)
	OpenToken(sealed []byte) (pan.Number, error)
}

// Config is what a Server is made of.
type Config struct {
	Core Core
	// Key opens payloads and signs webhooks.
	Key *ecdsa.PrivateKey
	// Changes gives the changes of tokens after a serial; nil is an interface that nobody follows.
	Changes func(ctx context.Context, after uint64) (tspapi.Changes, error)
	// Operators are the common names of the certificates of the service's own people.
	Operators []string
}

const (
	// MaxBodyBytes bounds a request: the largest has a domain of some 2 KB and a payload of 4.
	MaxBodyBytes = 16 << 10
	// readWithin and answerWithin bound how long a caller may take and how long it waits.
	readWithin   = 10 * time.Second
	answerWithin = 15 * time.Second
	idleWithin   = time.Minute
)

// Server is the interface.
type Server struct {
	config  Config
	api     huma.API
	handler http.Handler
}

// New makes the interface.
func New(c Config) (*Server, error) {
	if c.Core == nil || c.Key == nil {
		return nil, errors.New("tsphttp: a role and a key are needed")
	}
	s := &Server{config: c}
	mux := http.NewServeMux()
	s.api = humago.New(mux, problem.Config("tapnet token service", ""))
	s.operations()
	s.handler = s.authenticate(mux)
	return s, nil
}

// ServeHTTP answers a request of a caller who has shown a certificate.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// OpenAPI describes the interface.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

// HTTPServer is a server with limits for that certificate, open to callers whose certificates an authority of the pool has signed.
func (s *Server) HTTPServer(address string, own tls.Certificate, callers *x509.CertPool) *http.Server {
	return &http.Server{
		Addr: address, Handler: s, ReadTimeout: readWithin, ReadHeaderTimeout: readWithin, WriteTimeout: answerWithin, IdleTimeout: idleWithin,
		MaxHeaderBytes: MaxBodyBytes,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientCAs: callers, ClientAuth: tls.RequireAndVerifyClientCert,
		},
	}
}

// identity is who calls, and the key that answers are enciphered to.
type identity struct {
	caller tsp.Caller
	key    crypto.PublicKey
}

type identityKey struct{}

// authenticate finds the caller of a request by its certificate, whose chain TLS has checked.
func (s *Server) authenticate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			writeProblem(w, http.StatusUnauthorized, "certificate", "a certificate is needed")
			return
		}
		leaf := r.TLS.PeerCertificates[0]
		caller, known := s.config.Core.Caller(leaf.Subject.CommonName)
		if slices.Contains(s.config.Operators, leaf.Subject.CommonName) {
			caller, known = tsp.Caller{Role: tsp.CallerOperator, ID: leaf.Subject.CommonName}, true
		}
		if !known {
			writeProblem(w, http.StatusForbidden, "unknown-caller", "nobody is registered with that certificate")
			return
		}
		ctx := context.WithValue(r.Context(), identityKey{}, identity{caller, leaf.PublicKey})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func writeProblem(w http.ResponseWriter, status int, code, reason string) {
	problem.Write(w, problem.New(status, code, reason))
}

// call is the input of most operations: whose idempotency key, which token.
type call struct {
	key    string
	token  string
	number pan.Number
	other  pan.Number
}

// ask sends a command and reads its reply into out. It gives the sealed token number of the reply, if there is one.
func (s *Server) ask(ctx context.Context, c call, body, out any) (sealed []byte, err error) {
	who, ok := ctx.Value(identityKey{}).(identity)
	if !ok {
		return nil, refuse(http.StatusUnauthorized, "certificate", "a certificate is needed")
	}
	reply, err := s.config.Core.Ask(ctx, &tsp.Command{Caller: who.caller, Key: c.key, Body: body, Token: c.token, Number: c.number, Other: c.other})
	if err != nil {
		return nil, unavailable("the token service does not answer")
	}
	switch r := reply.(type) {
	case *tspapi.Problem:
		return nil, problemOf(r)
	case tsp.Reply:
		return r.TokenNumber, json.Unmarshal(r.Body, out)
	}
	return nil, refuse(http.StatusInternalServerError, "error", "the token service answered something else")
}

// unavailable asks to come again in a moment.
func unavailable(reason string) error {
	return problemOf(&tspapi.Problem{Status: http.StatusServiceUnavailable, Code: "unavailable", Reason: reason, RetryAfter: 5})
}

// sealFor enciphers a token number to the caller.
func (s *Server) sealFor(ctx context.Context, sealed []byte) (string, error) {
	who, ok := ctx.Value(identityKey{}).(identity)
	if !ok || sealed == nil {
		return "", nil
	}
	number, err := s.config.Core.OpenToken(sealed)
	if err != nil {
		return "", unavailable("the security module does not answer")
	}
	return seal(who.key, secrets{Number: number.Reveal()})
}

// open gives the numbers of a payload.
func (s *Server) open(payload string) (number, other pan.Number, err error) {
	if number, other, err = openPayload(s.config.Key, payload); err != nil {
		return number, other, refuse(http.StatusUnprocessableEntity, "payload", errPayload.Error())
	}
	return number, other, nil
}

package transithttp

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapnet/gate"
	"tapnet/internal/journal"
	"tapnet/internal/problem"
	"tapnet/internal/transit"
	"tapnet/money"
)

// Config is what a server needs.
type Config struct {
	// Ask gives the office a command and waits for its reply, which comes after the commit. A refusal comes as the error.
	Ask      func(ctx context.Context, command any) (any, error)
	Archive  func() journal.Archive // where deltas are read
	Devices  map[string]gate.ChainKey
	Signer   crypto.Signer // of the deny list
	Currency money.Currency
	Operator string // token of the operator, at least minToken bytes
}

// minToken is the least length of a token: shorter ones can be guessed.
const minToken = 16

// The two kinds of callers with a token, as the OpenAPI document names them.
const (
	operatorScheme = "operator"
	riderScheme    = "rider"
)

// Limits of a body: a chunk, and anything else.
const (
	maxChunkBody = int64(gate.MaxEncodedChunk)
	maxBody      = int64(8 << 10)
)

// server answers requests.
type server struct {
	config   Config
	operator [sha256.Size]byte
	base     baseCache
}

// ErrConfig is returned by New for a configuration without a way to the office, or with a token that can be guessed.
var ErrConfig = errors.New("transithttp: the office, an archive, a signer and an operator's token of 16 bytes are needed")

// New makes the handler.
func New(c Config) (http.Handler, error) {
	mux, _, err := build(c)
	return mux, err
}

// OpenAPI is the document that describes the interface.
func OpenAPI() ([]byte, error) {
	_, api, err := build(Config{})
	if err != nil && !errors.Is(err, ErrConfig) {
		return nil, err
	}
	return api.OpenAPI().YAML()
}

func build(c Config) (http.Handler, huma.API, error) {
	mux := http.NewServeMux()
	config := problem.Config("tapnet transit", "Back office of a transit operator: gates, riders, operators. 公交地铁后台：闸机、乘客、运营方。")
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		operatorScheme: {Type: "http", Scheme: "bearer", Description: "the operator's token"},
		riderScheme:    {Type: "http", Scheme: "bearer", Description: "a rider's token: opens that rider's account"},
	}
	api := humago.New(mux, config)
	s := &server{config: c, operator: sha256.Sum256([]byte(c.Operator))}
	api.UseMiddleware(func(ctx huma.Context, next func(huma.Context)) { s.authorize(api, ctx, next) })
	s.gates(api)
	s.riders(api)
	s.operators(api)
	s.denying(api)
	if c.Ask == nil || c.Archive == nil || c.Signer == nil || len(c.Operator) < minToken {
		return nil, api, ErrConfig
	}
	return http.MaxBytesHandler(mux, maxChunkBody), api, nil
}

type riderKey struct{}

// authorize lets a request through to whom it is meant for.
func (s *server) authorize(api huma.API, ctx huma.Context, next func(huma.Context)) {
	security := ctx.Operation().Security
	if len(security) == 0 {
		next(ctx)
		return
	}
	token, ok := strings.CutPrefix(ctx.Header("Authorization"), "Bearer ")
	hash := sha256.Sum256([]byte(token))
	if !ok || len(token) < minToken {
		s.refuse(api, ctx, http.StatusUnauthorized, "a bearer token is needed")
		return
	}
	if _, operators := security[0][operatorScheme]; operators {
		if subtle.ConstantTimeCompare(hash[:], s.operator[:]) != 1 {
			s.refuse(api, ctx, http.StatusForbidden, "this is for the operator")
			return
		}
		next(ctx)
		return
	}
	reply, err := s.config.Ask(ctx.Context(), transit.FindToken{Hash: hash})
	account, found := reply.(int64)
	if err != nil || !found {
		s.refuse(api, ctx, http.StatusForbidden, "the token opens no account")
		return
	}
	next(huma.WithValue(ctx, riderKey{}, account))
}

func (s *server) refuse(api huma.API, ctx huma.Context, status int, why string) {
	if status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", "Bearer")
	}
	_ = huma.WriteErr(api, ctx, status, why) // nobody is left to be told
}

// refusal turns what the office says into a status.
func refusal(err error) error {
	switch {
	case errors.Is(err, transit.ErrUnknown), errors.Is(err, transit.ErrDevice):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, transit.ErrRefused), errors.Is(err, transit.ErrClosed), errors.Is(err, transit.ErrFork):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, transit.ErrTooOften):
		return huma.Error429TooManyRequests(err.Error())
	case errors.Is(err, transit.ErrEntry):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, gate.ErrForged), errors.Is(err, gate.ErrBroken), errors.Is(err, gate.ErrChunk), errors.Is(err, gate.ErrMessage):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	// What else goes wrong inside is nobody's business outside.
	return huma.Error503ServiceUnavailable("the office cannot answer now")
}

// ask gives the office a command and expects a reply of a kind.
func ask[T any](ctx context.Context, s *server, command any) (T, error) {
	var none T
	reply, err := s.config.Ask(ctx, command)
	if err != nil {
		return none, refusal(err)
	}
	value, ok := reply.(T)
	if !ok {
		return none, refusal(nil)
	}
	return value, nil
}

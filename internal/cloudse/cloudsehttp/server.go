package cloudsehttp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/problem"
)

// Config is what a server needs.
type Config struct {
	// Ask gives the service a command and waits for its reply, which comes after the commit. A refusal comes as the error.
	Ask func(ctx context.Context, command any) (any, error)
	Now func() time.Time
}

// ErrConfig is returned for a configuration without a way to the service or without a clock.
var ErrConfig = errors.New("cloudsehttp: the service and a clock are needed")

// maxBody bounds what is read of a request.
const maxBody = cloudkey.MaxRequestBytes

// busyTries is how often a request is made again that another one of the same token overtook.
const busyTries = 4

type server struct{ config Config }

// Phones makes the handler for phones.
func Phones(c Config) (http.Handler, error) {
	handler, _, err := build(c, "tapnet cloud secure element", "For phones: keys for the next taps. 面向手机：下发后续挥卡所用密钥。", (*server).phones)
	return handler, err
}

// Operators makes the handler for the token service and its operators. It asks nobody who he is: serve it over mutual TLS only.
func Operators(c Config) (http.Handler, error) {
	handler, _, err := build(c, "tapnet cloud secure element, operation", "For operators, over mutual TLS. 面向运营人员，须使用双向 TLS。", (*server).operators)
	return handler, err
}

// OpenAPI is the two documents that describe the interfaces.
func OpenAPI() (phones, operators []byte, err error) {
	for _, d := range []struct {
		to       *[]byte
		register func(*server, huma.API)
	}{{&phones, (*server).phones}, {&operators, (*server).operators}} {
		_, api, buildErr := build(Config{}, "", "", d.register)
		if buildErr != nil && !errors.Is(buildErr, ErrConfig) {
			return nil, nil, buildErr
		}
		if *d.to, err = api.OpenAPI().YAML(); err != nil {
			return nil, nil, err
		}
	}
	return phones, operators, nil
}

func build(c Config, title, description string, register func(*server, huma.API)) (http.Handler, huma.API, error) {
	mux := http.NewServeMux()
	api := humago.New(mux, problem.Config(title, description))
	register(&server{config: c}, api)
	if c.Ask == nil || c.Now == nil {
		return nil, api, ErrConfig
	}
	return http.MaxBytesHandler(mux, maxBody), api, nil
}

// signed is a request of a phone: the token in the path, and the bytes that its device key signed.
type signed struct {
	Token   string `path:"token" maxLength:"64" doc:"reference of the token"`
	RawBody []byte `contentType:"application/octet-stream"`
}

// batch is a batch as it travels.
type batch struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (s *server) phones(api huma.API) {
	huma.Register(api, operation("replenish", http.MethodPost, "/v1/tokens/{token}/keys:replenish",
		"Keys for the next taps: a signed request, answered by a sealed batch. The same request gets the same batch until it is confirmed."), s.replenish)
	huma.Register(api, operation("confirm", http.MethodPost, "/v1/tokens/{token}/keys:confirm",
		"The batch is durable on the phone: the keys before it end. It may be said again."), s.confirm)
}

func operation(id, method, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}}
}

func (s *server) replenish(ctx context.Context, in *signed) (*batch, error) {
	q, _, err := cloudkey.ParseReplenish(in.RawBody)
	if err != nil || q.Token != in.Token {
		return nil, refusal(&cloudseapi.Refusal{Reason: cloudseapi.Malformed})
	}
	reply, err := ask[cloudseapi.Batch](ctx, s, cloudseapi.Replenish{Request: in.RawBody, At: s.config.Now()})
	if err != nil {
		return nil, err
	}
	return &batch{ContentType: "application/octet-stream", Body: reply.Wire}, nil
}

func (s *server) confirm(ctx context.Context, in *signed) (*struct{}, error) {
	q, _, err := cloudkey.ParseConfirm(in.RawBody)
	if err != nil || q.Token != in.Token {
		return nil, refusal(&cloudseapi.Refusal{Reason: cloudseapi.Malformed})
	}
	_, err = ask[cloudseapi.Done](ctx, s, cloudseapi.Confirm{Request: in.RawBody})
	return nil, err
}

// named is a request about a token.
type named struct {
	Token string `path:"token" maxLength:"64" doc:"reference of the token"`
}

type standing struct{ Body cloudseapi.Standing }

func (s *server) operators(api huma.API) {
	huma.Register(api, operation("keys", http.MethodGet, "/v1/tokens/{token}/keys", "What is known of a token's keys."),
		func(ctx context.Context, in *named) (*standing, error) {
			reply, err := ask[cloudseapi.Standing](ctx, s, cloudseapi.Inquire{Token: in.Token})
			return &standing{reply}, err
		})
	for _, o := range []struct {
		id, summary string
		command     func(token string) any
	}{
		{"suspend", "The keys stop at once, with the phone off.", func(t string) any { return cloudseapi.Suspend{Token: t} }},
		{"resume", "The keys work again, unless there are other reasons.", func(t string) any { return cloudseapi.Resume{Token: t} }},
		{"revoke", "Every key that was given out ends; the phone asks for new ones.", func(t string) any { return cloudseapi.Revoke{Token: t} }},
	} {
		huma.Register(api, operation(o.id, http.MethodPost, "/v1/tokens/{token}/keys:"+o.id, o.summary),
			func(ctx context.Context, in *named) (*struct{}, error) {
				_, err := ask[cloudseapi.Done](ctx, s, o.command(in.Token))
				return nil, err
			})
	}
}

// ask gives the service a command and expects a reply of a kind. One that was overtaken is made again.
func ask[T any](ctx context.Context, s *server, command any) (T, error) {
	var none T
	var err error
	for range busyTries {
		var reply any
		reply, err = s.config.Ask(ctx, command)
		if refused, ok := reply.(*cloudseapi.Refusal); ok && err == nil {
			err = refused
		}
		if value, ok := reply.(T); ok && err == nil {
			return value, nil
		}
		if !errors.Is(err, &cloudseapi.Refusal{Reason: cloudseapi.Busy}) {
			break
		}
	}
	return none, refusal(err)
}

// refusal turns what the service says into a status. What else goes wrong inside is nobody's business outside.
func refusal(err error) error {
	var refused *cloudseapi.Refusal
	if !errors.As(err, &refused) {
		return huma.Error503ServiceUnavailable("the service cannot answer now")
	}
	text := refused.Reason.Term()
	message := text.EN + " / " + text.ZH
	switch refused.Reason {
	case cloudseapi.Malformed, cloudseapi.BadEnrolment:
		return huma.Error400BadRequest(message)
	case cloudseapi.UnknownToken:
		return huma.Error404NotFound(message)
	case cloudseapi.NotAuthentic, cloudseapi.Suspended, cloudseapi.Copied:
		return huma.Error403Forbidden(message)
	case cloudseapi.Repeated, cloudseapi.NeedsEnrolment, cloudseapi.NotGiven:
		return huma.Error409Conflict(message)
	}
	return huma.Error503ServiceUnavailable(message)
}

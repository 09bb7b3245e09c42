package tsmhttp

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapnet/internal/problem"
	"tapnet/internal/tsm/tsmapi"
)

// Config is what a server needs.
type Config struct {
	// Ask gives the service a command and waits for its reply, which comes after the commit. A refusal comes as the reply or as the error.
	Ask func(ctx context.Context, command any) (any, error)
}

// ErrConfig is returned for a configuration without a way to the service.
var ErrConfig = errors.New("tsmhttp: the service is needed")

const (
	// maxBody bounds a request: 64 answers of 258 bytes, in hexadecimal.
	maxBody = 48 << 10
	// busyTries is how often a command is given again that another one of the same element overtook.
	busyTries = 4
)

type server struct{ config Config }

// New makes the handler.
func New(c Config) (http.Handler, error) {
	handler, _ := build(c)
	if c.Ask == nil {
		return nil, ErrConfig
	}
	return handler, nil
}

// OpenAPI is the document that describes the interface.
func OpenAPI() ([]byte, error) {
	_, api := build(Config{})
	return api.OpenAPI().YAML()
}

func build(c Config) (http.Handler, huma.API) {
	mux := http.NewServeMux()
	api := humago.New(mux, problem.Config("tapnet trusted service manager",
		"For wallets: secure elements are managed through the phone that holds them. 面向钱包：经由手机管理其安全单元。"))
	(&server{config: c}).operations(api)
	return http.MaxBytesHandler(mux, maxBody), api
}

type registration struct{ Body tsmapi.Element }

type named struct {
	SEID string `path:"seid" maxLength:"20" doc:"the element's key diversification data, hexadecimal"`
}

type standing struct{ Body tsmapi.Standing }

type opening struct {
	Key  string `header:"Idempotency-Key" required:"true" minLength:"8" maxLength:"64" doc:"the same for every repeat of a request"`
	Body struct {
		SEID  string `json:"seid" maxLength:"20" doc:"a registered element"`
		Token string `json:"token" minLength:"1" maxLength:"64" doc:"reference of the token"`
	}
}

type stepping struct {
	ID   string `path:"id" maxLength:"32" doc:"name of the session"`
	Body struct {
		Number  int      `json:"number" minimum:"1" doc:"that of the commands that are answered"`
		Answers []string `json:"answers" maxItems:"64" doc:"one for each command, in order, hexadecimal with status word"`
	}
}

type progress struct{ Body tsmapi.Progress }

func (s *server) operations(api huma.API) {
	huma.Register(api, operation("register", "/v1/tsm/se-profiles", "A secure element that may be managed. Saying the same again changes nothing."),
		func(ctx context.Context, in *registration) (*struct{}, error) {
			_, err := ask[tsmapi.Done](ctx, s, tsmapi.Register{Element: in.Body})
			return nil, err
		})
	look := operation("element", "/v1/tsm/se-profiles/{seid}", "What is known of a secure element.")
	look.Method = http.MethodGet
	huma.Register(api, look, func(ctx context.Context, in *named) (*standing, error) {
		reply, err := ask[tsmapi.Standing](ctx, s, tsmapi.Inquire{SEID: in.SEID})
		return &standing{reply}, err
	})
	for _, o := range []struct {
		kind          tsmapi.Kind
		path, summary string
	}{
		{tsmapi.Personalize, "", "Puts a token on an element: the first commands to relay."},
		{tsmapi.Default, ":default", "Makes a token the default one."},
		{tsmapi.Lock, ":lock", "Locks a token on its element."},
		{tsmapi.Unlock, ":unlock", "Unlocks it."},
		{tsmapi.Delete, ":delete", "Deletes a token with its keys."},
	} {
		huma.Register(api, operation(string(o.kind), "/v1/tsm/sessions"+o.path, o.summary), func(ctx context.Context, in *opening) (*progress, error) {
			reply, err := ask[tsmapi.Progress](ctx, s, tsmapi.Open{Key: in.Key, SEID: in.Body.SEID, Kind: o.kind, Token: in.Body.Token})
			return &progress{reply}, err
		})
	}
	huma.Register(api, operation("step", "/v1/tsm/sessions/{id}/step",
		"The element's answers, for the next commands. The same answers get the same commands."), s.step)
}

func operation(id, path, summary string) huma.Operation {
	return huma.Operation{OperationID: id, Method: http.MethodPost, Path: path, Summary: summary, MaxBodyBytes: maxBody,
		Errors: []int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable}}
}

func (s *server) step(ctx context.Context, in *stepping) (*progress, error) {
	command := tsmapi.Step{Session: in.ID, Number: in.Body.Number}
	for _, text := range in.Body.Answers {
		b, err := hex.DecodeString(text)
		if err != nil {
			return nil, refusal(&tsmapi.Refusal{Reason: tsmapi.Malformed})
		}
		command.Answers = append(command.Answers, b)
	}
	reply, err := ask[tsmapi.Progress](ctx, s, command)
	return &progress{reply}, err
}

// ask gives the service a command and expects a reply of a kind. One that was overtaken is given again.
func ask[T any](ctx context.Context, s *server, command any) (T, error) {
	var none T
	var err error
	for range busyTries {
		var reply any
		reply, err = s.config.Ask(ctx, command)
		if refused, ok := reply.(*tsmapi.Refusal); ok && err == nil {
			err = refused
		}
		if value, ok := reply.(T); ok && err == nil {
			return value, nil
		}
		if !errors.Is(err, &tsmapi.Refusal{Reason: tsmapi.Busy}) {
			break
		}
	}
	return none, refusal(err)
}

// refusal turns what the service says into a status. What else goes wrong inside is nobody's business outside.
func refusal(err error) error {
	var refused *tsmapi.Refusal
	if !errors.As(err, &refused) {
		return huma.Error503ServiceUnavailable("the service cannot answer now / 服务暂不可用")
	}
	text := refused.Reason.Term()
	message := text.EN + " / " + text.ZH
	switch refused.Reason {
	case tsmapi.Malformed, tsmapi.UnknownWallet:
		return huma.Error400BadRequest(message)
	case tsmapi.UnknownElement, tsmapi.UnknownToken, tsmapi.UnknownSession:
		return huma.Error404NotFound(message)
	case tsmapi.OtherElement, tsmapi.OtherContent, tsmapi.WrongState, tsmapi.Full, tsmapi.SessionEnded, tsmapi.OutOfOrder:
		return huma.Error409Conflict(message)
	}
	return huma.Error503ServiceUnavailable(message)
}

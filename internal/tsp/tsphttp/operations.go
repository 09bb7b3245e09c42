package tsphttp

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// Keyed is the part of a request that changes something.
type Keyed struct {
	Key string `header:"Idempotency-Key" required:"true" minLength:"8" maxLength:"64" doc:"the same for every repeat of a request"`
}

// The inputs of operations: with a body, with one and an encrypted payload, about one token.
type bodyInput[T any] struct {
	Keyed
	Body T
}

type payloadBody[T any] struct {
	Request T      `json:"request"`
	Payload string `json:"payload" minLength:"1" maxLength:"4096" doc:"JWE, compact: number, and other where a card is replaced"`
}

type payloadInput[T any] struct {
	Keyed
	Body payloadBody[T]
}

type tokenInput[T any] struct {
	Keyed
	Token string `path:"token" minLength:"32" maxLength:"32" doc:"token reference"`
	Body  T
}

type output[T any] struct{ Body T }

// provisioned is an answer with the token number for the caller's eyes only.
type provisioned struct {
	tspapi.Provisioned
	Payload string `json:"payload" doc:"JWE to the key of the caller's certificate: number"`
}

type nothing struct{}

// post registers an operation that changes something.
func post[I, O any](s *Server, id, path, summary string, do func(context.Context, *I) (*output[O], error)) {
	huma.Register(s.api, huma.Operation{
		OperationID: id, Method: http.MethodPost, Path: path, Summary: summary, MaxBodyBytes: MaxBodyBytes, BodyReadTimeout: readWithin,
	}, do)
}

// operations registers everything.
func (s *Server) operations() {
	s.requestorOperations()
	s.tokenOperations()
	s.bankOperations()
	s.readOperations()
}

// simple is an operation whose body is the command.
func simple[T, O any](s *Server) func(context.Context, *bodyInput[T]) (*output[O], error) {
	return func(ctx context.Context, in *bodyInput[T]) (*output[O], error) {
		out := &output[O]{}
		_, err := s.ask(ctx, call{key: in.Key}, &in.Body, &out.Body)
		return out, err
	}
}

// about is an operation on one token; to makes the command of the body.
func about[T, O any](s *Server, to func(*T) any) func(context.Context, *tokenInput[T]) (*output[O], error) {
	return func(ctx context.Context, in *tokenInput[T]) (*output[O], error) {
		out := &output[O]{}
		_, err := s.ask(ctx, call{key: in.Key, token: in.Token}, to(&in.Body), &out.Body)
		return out, err
	}
}

// sealed is an operation with an encrypted payload.
func sealed[T, O any](s *Server, to func(*T) any) func(context.Context, *payloadInput[T]) (*output[O], error) {
	return func(ctx context.Context, in *payloadInput[T]) (*output[O], error) {
		number, other, err := s.open(in.Body.Payload)
		if err != nil {
			return nil, err
		}
		out := &output[O]{}
		_, err = s.ask(ctx, call{key: in.Key, number: number, other: other}, to(&in.Body.Request), &out.Body)
		return out, err
	}
}

// question is an operation with an encrypted payload that changes nothing.
func question[T, O any](s *Server, to func(*T) any) func(context.Context, *payloadInput[T]) (*output[O], error) {
	return func(ctx context.Context, in *payloadInput[T]) (*output[O], error) {
		in.Key = ""
		return sealed[T, O](s, to)(ctx, in)
	}
}

func same[T any](b *T) any { return b }

func (s *Server) requestorOperations() {
	post(s, "register-requestor", "/v1/token-requestors", "Register a token requestor", simple[tspapi.RegisterRequestor, tspapi.Requestor](s))
	type suspendInput struct {
		Keyed
		ID   string `path:"requestor" minLength:"11" maxLength:"11"`
		Body tspapi.SuspendRequestor
	}
	post(s, "suspend-requestor", "/v1/token-requestors/{requestor}/suspension", "Stop or restart all tokens of a requestor",
		func(ctx context.Context, in *suspendInput) (*output[tspapi.Requestor], error) {
			out := &output[tspapi.Requestor]{}
			_, err := s.ask(ctx, call{key: in.Key, token: in.ID}, &in.Body, &out.Body)
			return out, err
		})
	post(s, "rekey", "/v1/vault/rekey", "Move a bank's numbers to a new data key", simple[tsp.Rekey, map[string]any](s))
}

func (s *Server) tokenOperations() {
	post(s, "eligibility", "/v1/eligibility", "Can a card be tokenised?", question[tspapi.Eligibility, tspapi.Eligible](s, same))
	post(s, "provision", "/v1/tokens", "Give out a token", func(ctx context.Context, in *payloadInput[tspapi.Provision]) (*output[provisioned], error) {
		number, _, err := s.open(in.Body.Payload)
		if err != nil {
			return nil, err
		}
		out := &output[provisioned]{}
		sealed, err := s.ask(ctx, call{key: in.Key, number: number}, &in.Body.Request, &out.Body.Provisioned)
		if err == nil {
			out.Body.Payload, err = s.sealFor(ctx, sealed)
		}
		return out, err
	})
	post(s, "challenge", "/v1/tokens/{token}/idv/challenges", "Have the holder verified", about[tspapi.Challenge, tspapi.Challenged](s, same))
	post(s, "activate", "/v1/tokens/{token}/activate", "Activate with a one-time code", about[tspapi.Activate, tspapi.Token](s, same))
	post(s, "suspend", "/v1/tokens/{token}/suspend", "Suspend", about[tspapi.Change, tspapi.Token](s, func(c *tspapi.Change) any {
		return &tsp.Suspension{Suspender: c.Suspender, Reason: c.Reason}
	}))
	post(s, "resume", "/v1/tokens/{token}/resume", "Resume", about[tspapi.Change, tspapi.Token](s, func(c *tspapi.Change) any {
		return &tsp.Suspension{Suspender: c.Suspender, Reason: c.Reason, Resume: true}
	}))
	post(s, "default", "/v1/tokens/{token}/default", "Make it the device's default", about[nothing, tspapi.Token](s, func(*nothing) any { return &tsp.Default{} }))
	post(s, "delete", "/v1/tokens/{token}/delete", "Delete", about[tspapi.Change, tspapi.Token](s, func(c *tspapi.Change) any {
		return &tsp.Deletion{Reason: c.Reason}
	}))
	type deviceInput struct {
		Keyed
		Device string `path:"device" minLength:"1" maxLength:"48" doc:"device reference"`
	}
	for path, lost := range map[string]bool{"lost": true, "found": false} {
		post(s, "device-"+path, "/v1/devices/{device}/"+path, "The device is "+path, func(ctx context.Context, in *deviceInput) (*output[tspapi.Affected], error) {
			out := &output[tspapi.Affected]{}
			_, err := s.ask(ctx, call{key: in.Key}, &tsp.DeviceChange{Device: in.Device, Lost: lost}, &out.Body)
			return out, err
		})
	}
}

func (s *Server) bankOperations() {
	post(s, "assert", "/v1/tokens/{token}/assertions", "The bank's word that it has verified the holder", about[tspapi.Assert, tspapi.Token](s, same))
	post(s, "relink", "/v1/pans/update", "A card was replaced", sealed[tspapi.Relink, tspapi.Affected](s, same))
	post(s, "close", "/v1/pans/close", "A card's account was closed", sealed[tspapi.CloseCard, tspapi.Affected](s, same))
}

func (s *Server) readOperations() {
	get := func(id, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary}
	}
	huma.Register(s.api, get("token", "/v1/tokens/{token}", "A token"), func(ctx context.Context, in *struct {
		Token string `path:"token" minLength:"32" maxLength:"32"`
	},
	) (*output[tspapi.Token], error) {
		out := &output[tspapi.Token]{}
		_, err := s.ask(ctx, call{token: in.Token}, &tsp.Read{}, &out.Body)
		return out, err
	})
	huma.Register(s.api, get("history", "/v1/tokens/{token}/history", "What happened to a token: when, by whom and why"),
		func(ctx context.Context, in *struct {
			Token string `path:"token" minLength:"32" maxLength:"32"`
		},
		) (*output[tspapi.History], error) {
			out := &output[tspapi.History]{}
			_, err := s.ask(ctx, call{token: in.Token}, &tsp.History{}, &out.Body)
			return out, err
		})
	huma.Register(s.api, get("tokens", "/v1/tokens", "Tokens, in the order in which they were given out"), func(ctx context.Context, in *struct {
		Device string `query:"device" maxLength:"48"`
		PAR    string `query:"par" maxLength:"29"`
		Cursor string `query:"cursor" maxLength:"20"`
		Limit  int    `query:"limit" minimum:"0" maximum:"100"`
	},
	) (*output[tspapi.Tokens], error) {
		out := &output[tspapi.Tokens]{}
		_, err := s.ask(ctx, call{}, &tsp.List{Device: in.Device, PAR: in.PAR, Cursor: in.Cursor, Limit: in.Limit}, &out.Body)
		return out, err
	})
	type search struct {
		Cursor string `json:"cursor,omitempty" maxLength:"20"`
	}
	post(s, "search", "/v1/tokens/search", "Tokens of a card", question[search, tspapi.Tokens](s, func(in *search) any { return &tsp.List{Cursor: in.Cursor} }))
	post(s, "par", "/v1/par/inquire", "The payment account reference of a card", question[nothing, tspapi.PAR](s, func(*nothing) any {
		return &tsp.AccountReference{}
	}))
	huma.Register(s.api, get("changes", "/v1/changes", "States of tokens after a serial, for who keeps their keys"),
		func(ctx context.Context, in *struct {
			After uint64 `query:"after" doc:"0 is from the beginning"`
		},
		) (*output[tspapi.Changes], error) {
			out := &output[tspapi.Changes]{}
			var err error
			switch who, _ := ctx.Value(identityKey{}).(identity); {
			case who.caller.Role != tsp.CallerOperator:
				return nil, refuse(http.StatusForbidden, "not-allowed", "the caller may not do that")
			case s.config.Changes == nil:
				return nil, unavailable("nobody can follow here")
			}
			if out.Body, err = s.config.Changes(ctx, in.After); err != nil {
				return nil, unavailable("the journal does not answer")
			}
			return out, nil
		})
	huma.Register(s.api, get("keys", "/v1/keys", "The service's public keys"), func(context.Context, *struct{}) (*output[any], error) {
		return &output[any]{Body: publicKeys(s.config.Key)}, nil
	})
}

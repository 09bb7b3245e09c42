package handset

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"tapnet/internal/tsm/tsmapi"
)

// Service is the way to the service manager: its HTTP interface.
type Service struct {
	Base string // without a slash at the end
	HTTP *http.Client
}

// ErrNoService says that the service manager did not answer. Nothing is known about what it did.
var ErrNoService = errors.New("the service manager does not answer")

// Refused is what the service manager will not do. Nothing has changed.
type Refused struct {
	Status int
	Detail string
}

func (r *Refused) Error() string { return "the service manager refuses: " + r.Detail }

const (
	maxAnswerBytes = 256 << 10
	tries          = 3
)

// call asks, and asks again under the same key when no answer comes.
func (s Service) call(ctx context.Context, method, path, key string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	for range tries {
		if err = s.once(ctx, method, path, key, text, into); !errors.Is(err, ErrNoService) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (s Service) once(ctx context.Context, method, path, key string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, s.Base+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the service manager: %w", err)
	}
	if request.Header.Set("Content-Type", "application/json"); key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := s.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoService, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	switch {
	case err != nil || response.StatusCode >= http.StatusInternalServerError:
		return fmt.Errorf("%w: status %d", ErrNoService, response.StatusCode)
	case response.StatusCode >= http.StatusBadRequest:
		refused := &Refused{Status: response.StatusCode, Detail: response.Status}
		var p struct { // a problem document says why in the one or the other member [RFC 9457]
			Detail string `json:"detail"`
			Reason string `json:"reason"`
		}
		if json.Unmarshal(answer, &p) == nil && p.Detail+p.Reason != "" {
			refused.Detail = cmp.Or(p.Detail, p.Reason)
		}
		return refused
	case into == nil:
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("the service manager's answer: %w", err)
	}
	return nil
}

func (s Service) register(ctx context.Context, e tsmapi.Element) error {
	return s.call(ctx, http.MethodPost, "/v1/tsm/se-profiles", "", e, nil)
}

func (s Service) standing(ctx context.Context, seid string) (k tsmapi.Standing, err error) {
	return k, s.call(ctx, http.MethodGet, "/v1/tsm/se-profiles/"+url.PathEscape(seid), "", nil, &k)
}

func (s Service) open(ctx context.Context, kind tsmapi.Kind, key, seid, token string) (p tsmapi.Progress, err error) {
	path := "/v1/tsm/sessions"
	if kind != tsmapi.Personalize {
		path += ":" + string(kind)
	}
	return p, s.call(ctx, http.MethodPost, path, key, map[string]string{"seid": seid, "token": token}, &p)
}

func (s Service) step(ctx context.Context, session string, number int, answers []string) (p tsmapi.Progress, err error) {
	return p, s.call(ctx, http.MethodPost, "/v1/tsm/sessions/"+url.PathEscape(session)+"/step", "", map[string]any{"number": number, "answers": answers}, &p)
}

package tsphttp

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/internal/tsp/tspapi"
)

// problem is a refusal as it leaves [RFC 9457].
type problem struct {
	Status     int    `json:"status"`
	Title      string `json:"title"`
	Code       string `json:"code" doc:"fixed, for programs"`
	Reason     string `json:"reason"`
	RetryAfter int    `json:"retryAfter,omitempty" doc:"seconds"`
}

func (p *problem) Error() string  { return p.Code + ": " + p.Reason }
func (p *problem) GetStatus() int { return p.Status }

// ContentType is that of problem documents.
func (p *problem) ContentType(string) string { return "application/problem+json" }

func problemOf(p *tspapi.Problem) error {
	out := &problem{Status: p.Status, Title: http.StatusText(p.Status), Code: p.Code, Reason: p.Reason, RetryAfter: p.RetryAfter}
	if p.RetryAfter == 0 {
		return out
	}
	return huma.ErrorWithHeaders(out, http.Header{"Retry-After": {strconv.Itoa(p.RetryAfter)}})
}

func refuse(status int, code, reason string) error {
	return &problem{Status: status, Title: http.StatusText(status), Code: code, Reason: reason}
}

// codes are those of what is refused before the role sees it.
var codes = map[int]string{
	http.StatusBadRequest: "malformed", http.StatusUnprocessableEntity: "invalid", http.StatusRequestEntityTooLarge: "too-large",
	http.StatusNotFound: "not-found", http.StatusUnsupportedMediaType: "media-type",
}

// plainProblems makes what huma refuses itself look like every other problem: it would repeat the values it refuses.
var plainProblems = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := &problem{Status: status, Title: http.StatusText(status), Code: codes[status], Reason: message}
		if p.Code == "" {
			p.Code = "error"
		}
		for _, err := range errs {
			if d, ok := err.(huma.ErrorDetailer); ok {
				p.Reason += "; " + d.ErrorDetail().Location + ": " + d.ErrorDetail().Message
			}
		}
		return p
	}
})

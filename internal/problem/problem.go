// Package problem is how the HTTP interfaces of the roles refuse: a problem document [RFC 9457] with a code for programs and a reason for people.
//
// It promises that every interface refuses in the same form, whatever else runs in the process, and that what is refused before a role sees it repeats
// nothing of what was sent. It knows no role: which status and code a refusal has is the interface's to say.
package problem

import (
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

const contentType = "application/problem+json"

// Problem is a refusal as it leaves.
type Problem struct {
	Status     int    `json:"status"`
	Title      string `json:"title"`
	Code       string `json:"code" doc:"fixed, for programs"`
	Reason     string `json:"reason"`
	RetryAfter int    `json:"retryAfter,omitempty" doc:"seconds"`
}

func (p *Problem) Error() string { return p.Code + ": " + p.Reason }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return contentType }

// New makes a refusal.
func New(status int, code, reason string) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Code: code, Reason: reason}
}

// Later makes a refusal that asks the caller to come again after some seconds; with 0 it is New.
func Later(status int, code, reason string, retryAfterSeconds int) error {
	p := New(status, code, reason)
	if p.RetryAfter = retryAfterSeconds; p.RetryAfter == 0 {
		return p
	}
	return huma.ErrorWithHeaders(p, http.Header{"Retry-After": {strconv.Itoa(retryAfterSeconds)}})
}

// Write answers with a refusal outside of an operation.
func Write(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the caller is gone when this fails
}

// codes are those of refusals that were given a status only.
var codes = map[int]string{
	http.StatusBadRequest: "malformed", http.StatusUnprocessableEntity: "invalid", http.StatusRequestEntityTooLarge: "too-large",
	http.StatusNotFound: "not-found", http.StatusUnsupportedMediaType: "media-type", http.StatusUnauthorized: "unauthorized",
	http.StatusForbidden: "not-allowed", http.StatusConflict: "conflict", http.StatusServiceUnavailable: "unavailable",
}

// install replaces the problem documents that huma makes: it has one way to make them for the process, and its own repeat the values that they refuse.
// Interfaces get it with Config, so there is none that was described before it.
var install = sync.OnceFunc(func() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := New(status, codes[status], message)
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

// Config is what every HTTP interface begins with.
func Config(title, description string) huma.Config {
	install()
	c := huma.DefaultConfig(title, "1")
	c.Info.Description = description
	c.DocsPath = "" // the document itself is enough: its page loads scripts from elsewhere
	c.CreateHooks = nil
	return c
}

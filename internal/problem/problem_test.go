package problem_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tapnet/internal/problem"
)

// TestProblems: what an operation refuses, what huma refuses before it, and what is refused outside of it have one form, and repeat nothing.
func TestProblems(t *testing.T) {
	mux := http.NewServeMux()
	api := humago.New(mux, problem.Config("test", "a test"))
	type input struct {
		Body struct {
			Name string `json:"name" maxLength:"4"`
		}
	}
	huma.Register(api, huma.Operation{OperationID: "say", Method: http.MethodPost, Path: "/say", Errors: []int{http.StatusConflict}},
		func(_ context.Context, in *input) (*struct{}, error) {
			switch in.Body.Name {
			case "own":
				return nil, problem.New(http.StatusConflict, "taken", "the name is taken")
			case "late":
				return nil, problem.Later(http.StatusServiceUnavailable, "unavailable", "not now", 5)
			case "now":
				return nil, problem.Later(http.StatusTooManyRequests, "tries", "too many", 0)
			case "huma":
				return nil, huma.Error403Forbidden("not for you")
			case "odd":
				return nil, huma.NewError(http.StatusTeapot, "short and stout")
			}
			return nil, errors.New("inside 6299990000000000")
		})
	mux.HandleFunc("GET /out", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.New(http.StatusUnauthorized, "certificate", "a certificate is needed"))
	})
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		code, retry        string
	}{
		"its own":       {"POST", "/say", `{"name":"own"}`, 409, "taken", ""},
		"later":         {"POST", "/say", `{"name":"late"}`, 503, "unavailable", "5"},
		"not later":     {"POST", "/say", `{"name":"now"}`, 429, "tries", ""},
		"status only":   {"POST", "/say", `{"name":"huma"}`, 403, "not-allowed", ""},
		"no code":       {"POST", "/say", `{"name":"odd"}`, 418, "error", ""},
		"too long":      {"POST", "/say", `{"name":"6299990000000000"}`, 422, "invalid", ""},
		"nonsense":      {"POST", "/say", `6299990000000000`, 422, "invalid", ""},
		"no JSON":       {"POST", "/say", `{`, 400, "malformed", ""},
		"a surprise":    {"POST", "/say", `{"name":"x"}`, 500, "error", ""},
		"outside of it": {"GET", "/out", "", 401, "certificate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			mux.ServeHTTP(w, r)
			var p problem.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.status || p.Status != c.status || p.Code != c.code || p.Reason == "" || p.Title != http.StatusText(c.status) ||
				w.Header().Get("Retry-After") != c.retry || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
			if strings.Contains(w.Body.String(), "6299990000000000") {
				t.Errorf("repeats what was sent, or what went wrong inside: %s", w.Body)
			}
		})
	}
	document, err := api.OpenAPI().YAML()
	if err != nil || !strings.Contains(string(document), "schemas/Problem") || strings.Contains(string(document), "ErrorModel") {
		t.Errorf("%v\n%s", err, document)
	}
}

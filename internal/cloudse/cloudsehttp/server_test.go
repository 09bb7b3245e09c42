package cloudsehttp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
)

// service answers commands by a script.
type service struct {
	replies  []any
	commands []any
}

func (s *service) ask(_ context.Context, command any) (any, error) {
	s.commands = append(s.commands, command)
	reply := s.replies[0]
	s.replies = s.replies[1:]
	if err, failed := reply.(error); failed {
		return nil, err
	}
	return reply, nil
}

func request(token string) []byte {
	q := cloudkey.ReplenishRequest{Token: token, Device: "D1"}
	return cloudkey.Signed{Body: q.Bytes(), Signature: []byte("signature")}.Bytes()
}

func confirmation(token string) []byte {
	return cloudkey.Signed{Body: cloudkey.ConfirmRequest{Token: token, Device: "D1", BSEQ: 1}.Bytes(), Signature: []byte("signature")}.Bytes()
}

func call(t testing.TB, h http.Handler, method, path string, body []byte) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/octet-stream")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

var instant = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func TestPhones(t *testing.T) {
	refusal := func(r cloudseapi.Reason) any { return &cloudseapi.Refusal{Reason: r, Detail: "inside"} }
	for name, c := range map[string]struct {
		path    string
		body    []byte
		replies []any
		status  int
		text    string
	}{
		"a batch":         {"/v1/tokens/T1/keys:replenish", request("T1"), []any{cloudseapi.Batch{Wire: []byte{1, 2, 0, 255}}}, 200, "\x01\x02\x00\xff"},
		"overtaken twice": {"/v1/tokens/T1/keys:replenish", request("T1"), []any{refusal(cloudseapi.Busy), refusal(cloudseapi.Busy), cloudseapi.Batch{Wire: []byte("b")}}, 200, "b"},
		"overtaken again and again": {"/v1/tokens/T1/keys:replenish", request("T1"),
			[]any{refusal(cloudseapi.Busy), refusal(cloudseapi.Busy), refusal(cloudseapi.Busy), refusal(cloudseapi.Busy)}, 503, "ask again"},
		"a copy":                {"/v1/tokens/T1/keys:replenish", request("T1"), []any{refusal(cloudseapi.Copied)}, 403, "复制"},
		"suspended":             {"/v1/tokens/T1/keys:replenish", request("T1"), []any{refusal(cloudseapi.Suspended)}, 403, "suspended"},
		"unknown":               {"/v1/tokens/T1/keys:replenish", request("T1"), []any{refusal(cloudseapi.UnknownToken)}, 404, "no such token"},
		"delayed":               {"/v1/tokens/T1/keys:replenish", request("T1"), []any{refusal(cloudseapi.Repeated)}, 409, "answered before"},
		"dead":                  {"/v1/tokens/T1/keys:replenish", request("T1"), []any{errors.New("disk on fire")}, 503, "cannot answer"},
		"another token's":       {"/v1/tokens/T2/keys:replenish", request("T1"), nil, 400, "malformed"},
		"nonsense":              {"/v1/tokens/T1/keys:replenish", []byte("hello"), nil, 400, "malformed"},
		"nothing":               {"/v1/tokens/T1/keys:replenish", nil, nil, 400, ""},
		"too long":              {"/v1/tokens/T1/keys:replenish", make([]byte, maxBody+1), nil, 413, ""},
		"confirmed":             {"/v1/tokens/T1/keys:confirm", confirmation("T1"), []any{cloudseapi.Done{}}, 204, ""},
		"not given":             {"/v1/tokens/T1/keys:confirm", confirmation("T1"), []any{refusal(cloudseapi.NotGiven)}, 409, "no such batch"},
		"confirming a request":  {"/v1/tokens/T1/keys:confirm", request("T1"), nil, 400, "malformed"},
		"an operator's request": {"/v1/tokens/T1/keys:suspend", nil, nil, 404, ""},
	} {
		s := &service{replies: c.replies}
		h, err := Phones(Config{Ask: s.ask, Now: func() time.Time { return instant }})
		if err != nil {
			t.Fatal(err)
		}
		status, text := call(t, h, http.MethodPost, c.path, c.body)
		if status != c.status || !strings.Contains(text, c.text) {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if strings.Contains(text, "fire") || strings.Contains(text, "inside") {
			t.Errorf("%s: tells what goes on inside: %s", name, text)
		}
		if len(s.replies) != 0 {
			t.Errorf("%s: asked %d times", name, len(s.commands))
		}
		for _, command := range s.commands {
			if q, ok := command.(cloudseapi.Replenish); ok && (!q.At.Equal(instant) || !bytes.Equal(q.Request, c.body)) {
				t.Errorf("%s: asked for %v", name, q)
			}
		}
	}
}

func TestOperators(t *testing.T) {
	s := &service{replies: []any{cloudseapi.Standing{Token: "T1", KeysLeft: 7}, cloudseapi.Done{}, cloudseapi.Done{}, cloudseapi.Done{},
		&cloudseapi.Refusal{Reason: cloudseapi.UnknownToken}}}
	h, err := Operators(Config{Ask: s.ask, Now: func() time.Time { return instant }})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := call(t, h, http.MethodGet, "/v1/tokens/T1/keys", nil); status != 200 || !strings.Contains(text, `"keys_left":7`) {
		t.Errorf("%d %s", status, text)
	}
	for i, want := range []any{cloudseapi.Suspend{Token: "T1"}, cloudseapi.Resume{Token: "T1"}, cloudseapi.Revoke{Token: "T1"}} {
		if status, text := call(t, h, http.MethodPost, "/v1/tokens/T1/keys:"+[]string{"suspend", "resume", "revoke"}[i], nil); status != 204 {
			t.Errorf("%T: %d %s", want, status, text)
		}
		if s.commands[i+1] != want {
			t.Errorf("asked %v, want %v", s.commands[i+1], want)
		}
	}
	if status, _ := call(t, h, http.MethodPost, "/v1/tokens/T9/keys:revoke", nil); status != 404 {
		t.Errorf("unknown token: %d", status)
	}
	if _, err := Operators(Config{}); !errors.Is(err, ErrConfig) {
		t.Errorf("without a service: %v", err)
	}
}

// TestOpenAPI compares the documents with those committed. TAPNET_UPDATE=1 writes them.
func TestOpenAPI(t *testing.T) {
	phones, operators, err := OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	for name, have := range map[string][]byte{"testdata/phones.yaml": phones, "testdata/operators.yaml": operators} {
		if os.Getenv("TAPNET_UPDATE") != "" {
			if err := os.WriteFile(name, have, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is out of date", name)
		}
	}
}

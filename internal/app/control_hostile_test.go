package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapnet/money"

	"go.uber.org/goleak"
)

// controlled is a network with its control socket, and somebody who talks to the socket as he likes.
type controlled struct {
	testing.TB
	network *Network
	path    string
	client  *http.Client
	hidden  map[string][]byte
	log     *journalText
}

func newControlled(t testing.TB) *controlled {
	t.Helper()
	existing := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, existing) })
	dir, err := os.MkdirTemp("", "tn") // short: the address of a unix socket is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	profile := arenaProfile(t)
	c := &controlled{TB: t, path: filepath.Join(dir, controlFile), hidden: secrets(t, profile), log: &journalText{}}
	log := slog.New(slog.NewTextHandler(c.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if c.network, err = Start(t.Context(), Options{Profile: profile, Dir: dir, Log: log}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- c.network.ServeControl(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-served, c.network.Stop(context.WithoutCancel(t.Context()))); err != nil {
			t.Error(err)
		}
	})
	c.client = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return c.dial()
	}}}
	for {
		conn, err := c.dial()
		if err == nil {
			_ = conn.Close()
			return c
		}
		select {
		case err := <-served:
			t.Fatalf("control socket: %v", err)
		default:
		}
	}
}

func (c *controlled) dial() (net.Conn, error) { return net.Dial("unix", c.path) }

// call makes a request and gives status and body.
func (c *controlled) call(method, path string, body io.Reader) (int, []byte) {
	c.Helper()
	request, err := http.NewRequestWithContext(c.Context(), method, "http://tapnet", body)
	if err != nil {
		c.Fatal(err)
	}
	request.URL.Opaque = path // as it stands, not cleaned
	response, err := c.client.Do(request)
	if err != nil {
		c.Fatalf("%s %.80s: %v", method, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return response.StatusCode, text
}

// honest is a tap through the socket, as `tapnet tap` makes it.
func (c *controlled) honest() {
	c.Helper()
	client, err := Dial(c.Context(), filepath.Dir(c.path), money.CNY)
	if err != nil {
		c.Fatal(err)
	}
	defer client.http.CloseIdleConnections()
	result, err := client.Tap(c.Context(), TapRequest{Card: "lin", Merchant: "shop-1", Amount: money.New(100, money.CNY)})
	if err != nil || !result.Paid() {
		c.Fatalf("honest tap: %+v %v", result, err)
	}
}

// TestHostileControl sends to the control socket what no command does.
func TestHostileControl(t *testing.T) {
	c := newControlled(t)
	number := string(c.hidden["number of lin"])
	tap := func(fields string) string { return `{"card":"lin","merchant":"shop-1","amount":"1.00"` + fields + `}` }
	c.honest()
	before, err := c.network.Books(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/tap", "", 422}, {"POST", "/v1/tap", "{", 422}, {"POST", "/v1/tap", "null", 422}, {"POST", "/v1/tap", "[]", 422}, {"POST", "/v1/tap", "{}", 422},
		{"POST", "/v1/tap", "\x00\xff\xfe", 422}, {"POST", "/v1/tap", strings.Repeat("[", 60_000), 422}, {"POST", "/v1/tap", tap(`,"surprise":1`), 422},
		{"POST", "/v1/tap", `{"card":"` + strings.Repeat("A", 1<<20) + `"}`, 422}, {"POST", "/v1/tap", strings.Repeat(" ", 1<<20), 422},
		{"POST", "/v1/tap", tap(`,"pin":246810`), 422}, {"POST", "/v1/tap", tap(`,"pin":"246810246810246810"`), 422}, {"POST", "/v1/tap", tap(`,"pin":"24681x"`), 422},
		{"POST", "/v1/tap", tap(`,"pin":"1"`), 422}, {"POST", "/v1/tap", tap(`} {"card":"liu"`), 422},
		{"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"-1.00"}`, 422}, {"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"0"}`, 422},
		{"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"1e9"}`, 422}, {"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"NaN"}`, 422},
		{"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"` + strings.Repeat("9", 400) + `"}`, 422},
		{"POST", "/v1/tap", `{"card":"lin","merchant":"shop-1","amount":"` + number + `"}`, 422},
		{"POST", "/v1/tap", `{"card":"` + number + `","merchant":"shop-1","amount":"1.00"}`, 422},
		{"POST", "/v1/tap", `{"card":"lin","merchant":"` + number + `","amount":"1.00"}`, 422},
		{"POST", "/v1/tap", `{"card":"../../keys\u0000\u001b[2J","merchant":"shop-1","amount":"1.00"}`, 422},
		{"GET", "/v1/tap", "", 405}, {"PUT", "/v1/tap", tap(""), 405}, {"DELETE", "/v1/cards", "", 405}, {"POST", "/v1/status", "{}", 405},
		{"GET", "/", "", 404}, {"GET", "/v1", "", 404}, {"GET", "/v2/cards", "", 404}, {"GET", "/v1/cards/", "", 404}, {"GET", "/debug/pprof/", "", 404},
		{"GET", "/v1/cards/nobody", "", 422}, {"GET", "/v1/cards/%2e%2e%2fkeys", "", 422}, {"GET", "/v1/cards/%00", "", 422}, {"GET", "/v1/cards/lin%0d%0aX:%20y", "", 422},
		{"GET", "/v1/cards/" + number, "", 422}, {"GET", "/v1/cards/" + strings.Repeat("a", 5000), "", 422},
		{"GET", "/v1/trace/nothing", "", 422}, {"GET", "/v1/trace/" + number, "", 422}, {"GET", "/v1/trace/%2e%2e%2f%2e%2e%2fpassphrase", "", 422},
	} {
		status, text := c.call(k.method, k.path, strings.NewReader(k.body))
		if status != k.want {
			t.Errorf("%s %.60s %.60q: %d, want %d: %.200s", k.method, k.path, k.body, status, k.want, text)
		}
		search(t, fmt.Sprintf("the answer to %s %.60s %.60q", k.method, k.path, k.body), text, c.hidden)
		if bytes.Contains(text, []byte("246810")) || len(text) > 2000 || bytes.ContainsAny(text, "\x00\x1b") {
			t.Errorf("%s %.60s %.60q is answered %.300q (%d bytes)", k.method, k.path, k.body, text, len(text))
		}
		if status == 422 {
			var p problem
			if err := json.Unmarshal(text, &p); err != nil || p.Kind == "" || p.What == "" {
				t.Errorf("%s %.60s: not a problem: %.200s", k.method, k.path, text)
			}
		}
	}
	c.rawConnections()
	c.honest()
	after, err := c.network.Books(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if moved := len(after) != len(before); moved {
		t.Error("accounts were opened")
	}
	if err := c.network.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	snapshot, err := c.network.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, law := range invariants(snapshot) {
		if !law.OK {
			t.Errorf("%s: %s", law.Name, law.Detail.EN)
		}
	}
	search(t, "the log", c.log.take(), c.hidden)
	info, err := os.Stat(c.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v", info.Mode(), err)
	}
}

// rawConnections talk something else than HTTP, or stop in the middle, and are still open while an honest command runs.
func (c *controlled) rawConnections() {
	c.Helper()
	for _, text := range []string{
		"", "\x00\x00\x00\x00", "0200", "GET", "GET /v1/status HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/9.9\r\n\r\n",
		"POST /v1/tap HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{", "POST /v1/tap HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
		"GET /v1/status HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("b", 1000)+"\r\n", 200),
	} {
		for range 5 {
			conn, err := c.dial()
			if err != nil {
				c.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, text) // the last one is cut off before it is done
		}
	}
	c.honest()
}

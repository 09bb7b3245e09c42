package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tapnet/internal/app/phone"
	"tapnet/money"
	"tapnet/pinblock"
)

// World is a running network as commands see it: in this process, or behind a control socket.
type World interface {
	ReaderWorld
	TillWorld
	BankWorld
	MerchantWorld
	PhoneWorld
	Tap(ctx context.Context, r TapRequest) (TapResult, error)
	Cards(ctx context.Context) ([]CardInfo, error)
	ReadCard(ctx context.Context, name string) (CardReading, error)
	// TraceOf gives the records of one payment, saved and masked, as trace.Load reads them.
	TraceOf(ctx context.Context, id string) ([]byte, error)
}

var (
	_ World = (*Network)(nil)
	_ World = (*Client)(nil)
)

// Limits of the control socket. Its peers are commands of the same user, but a limit costs nothing.
const (
	controlFile         = "control.sock"
	lockFile            = "lock"
	maxControlBytes     = 64 << 10
	controlHeaderWithin = 5 * time.Second
	controlReadWithin   = 10 * time.Second // a request whole; how long the answer takes is another matter
	// maxSocketPath is what the address of a unix socket holds on the systems we know, with room for the terminating zero.
	maxSocketPath = 100
)

// Errors of the data directory.
var (
	ErrInUse      = errors.New("another tapnet runs on this data directory")
	ErrNotRunning = errors.New("no network runs on this data directory")
)

// ServeControl answers commands on the control socket of the data directory until ctx ends.
func (n *Network) ServeControl(ctx context.Context) error {
	path := filepath.Join(n.options.Dir, controlFile)
	if len(path) > maxSocketPath {
		return fmt.Errorf("control socket: the path has %d bytes, at most %d: use a shorter data directory", len(path), maxSocketPath)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("control socket: %w", err)
	}
	var local net.ListenConfig
	listener, err := local.Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("control socket: %w", err), listener.Close())
	}
	server := &http.Server{
		Handler:           n.readerHandler(ctx, n.phoneHandler(n.elementHandler(n.fieldHandler(n.bureauHandler(n.tillHandler(n.merchantHandler(n.bankHandler(n.controlHandler())))))))),
		ReadHeaderTimeout: controlHeaderWithin, ReadTimeout: controlReadWithin, MaxHeaderBytes: maxControlBytes,
		ErrorLog: slog.NewLogLogger(n.options.Log.Handler(), slog.LevelWarn),
	}
	var stopped sync.WaitGroup
	stopped.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer stopped.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // whoever has not ended by now is cut off; what a dead connection says about closing is of no use
		}
	})
	err = server.Serve(listener)
	if !stop() {
		stopped.Wait()
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// drainWithin is how long commands that are under way may take to end.
const drainWithin = 10 * time.Second

func (n *Network) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { reply200(w, n.Addresses()) })
	mux.HandleFunc("POST /v1/tap", n.controlTap)
	mux.HandleFunc("GET /v1/cards", func(w http.ResponseWriter, r *http.Request) {
		cards, err := n.Cards(r.Context())
		answer(w, cards, err)
	})
	mux.HandleFunc("GET /v1/cards/{name}", func(w http.ResponseWriter, r *http.Request) {
		reading, err := n.ReadCard(r.Context(), r.PathValue("name"))
		answer(w, reading, err)
	})
	mux.HandleFunc("GET /v1/trace/{id}", func(w http.ResponseWriter, r *http.Request) {
		saved, err := n.TraceOf(r.Context(), r.PathValue("id"))
		if err != nil {
			answer(w, nil, err)
			return
		}
		_, _ = w.Write(saved)
	})
	return mux
}

func (n *Network) controlTap(w http.ResponseWriter, r *http.Request) {
	var request TapRequest
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if _, more := decoder.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("something follows the request")
	}
	if err == nil {
		err = request.fill(n.options.Profile.Money())
	}
	if err != nil {
		answer(w, nil, fmt.Errorf("%w: %w", errBadRequest, err))
		return
	}
	result, err := n.Tap(r.Context(), request)
	answer(w, result, err)
}

var errBadRequest = errors.New("the request cannot be read")

// fill reads the texts of a request.
func (r *TapRequest) fill(currency money.Currency) error {
	var err error
	if r.Amount, err = money.Parse(r.AmountText, currency); err != nil {
		return fmt.Errorf("amount: %w", err)
	}
	if r.PINText == "" {
		return nil
	}
	pin, err := pinblock.ParsePIN(r.PINText)
	r.PINText = ""
	if err != nil {
		return fmt.Errorf("PIN: %w", err)
	}
	r.PIN = &pin
	return nil
}

// problem is an error on the control socket.
type problem struct {
	Kind string `json:"kind"`
	What string `json:"what"`
}

// kinds of problems that the client turns back into errors to test for.
var problemKinds = map[string]error{
	"unknown-card": ErrUnknownCard, "unknown-merchant": ErrUnknownMerchant, "no-trace": ErrNoTrace, "bad-request": errBadRequest,
	"no-tokens": ErrNoTokens, "unknown-token": phone.ErrUnknownToken, "phone-password": phone.ErrPassword, "phone-in-use": phone.ErrInUse,
	"no-elements": ErrNoElements, "element-torn": ErrElementTorn, "unknown-element-token": ErrElementToken, "element-token-exists": ErrElementExists,
}

func answer(w http.ResponseWriter, value any, err error) {
	if err == nil {
		reply200(w, value)
		return
	}
	p, status := problem{Kind: "internal", What: err.Error()}, http.StatusInternalServerError
	for kind, known := range problemKinds {
		if errors.Is(err, known) {
			p.Kind, status = kind, http.StatusUnprocessableEntity
		}
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(p)
}

func reply200(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// Client talks to a running network through the control socket of its data directory.
type Client struct {
	http     *http.Client
	currency money.Currency
}

// Dial finds the network that runs on a data directory, ErrNotRunning when there is none.
func Dial(ctx context.Context, dir string, currency money.Currency) (*Client, error) {
	path := filepath.Join(dir, controlFile)
	c := &Client{currency: currency, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
	if _, err := c.call(ctx, http.MethodGet, "/v1/status", nil); err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNotRunning, dir)
	}
	return c, nil
}

func (c *Client) call(ctx context.Context, method, path string, body io.Reader) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://tapnet"+path, body)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxTraceBytes))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return text, nil
	}
	var p problem
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, fmt.Errorf("control socket: status %s", response.Status)
	}
	if known, ok := problemKinds[p.Kind]; ok {
		return nil, &remoteError{known, p.What}
	}
	return nil, errors.New(p.What)
}

// remoteError is a known error that came through the socket, with its own words.
type remoteError struct {
	kind error
	what string
}

func (e *remoteError) Error() string { return e.what }
func (e *remoteError) Unwrap() error { return e.kind }

// maxTraceBytes bounds one answer of the socket: a payment's trace with every byte explained is far below.
const maxTraceBytes = 8 << 20

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var value T
	text, err := c.call(ctx, http.MethodGet, path, nil)
	if err == nil {
		err = json.Unmarshal(text, &value)
	}
	return value, err
}

// Cards lists the cards of the world.
func (c *Client) Cards(ctx context.Context) ([]CardInfo, error) {
	return get[[]CardInfo](ctx, c, "/v1/cards")
}

// ReadCard reads a card as a stranger's reader would.
func (c *Client) ReadCard(ctx context.Context, name string) (CardReading, error) {
	return get[CardReading](ctx, c, "/v1/cards/"+url.PathEscape(name))
}

// TraceOf gives the records of one payment.
func (c *Client) TraceOf(ctx context.Context, id string) ([]byte, error) {
	return c.call(ctx, http.MethodGet, "/v1/trace/"+url.PathEscape(id), nil)
}

// Tap runs one payment.
func (c *Client) Tap(ctx context.Context, r TapRequest) (TapResult, error) {
	r.AmountText = r.Amount.Decimal()
	if r.PIN != nil {
		r.PINText = r.PIN.Reveal()
	}
	body, writer := io.Pipe()
	go func() { writer.CloseWithError(json.NewEncoder(writer).Encode(r)) }()
	text, err := c.call(ctx, http.MethodPost, "/v1/tap", body)
	if err != nil {
		return TapResult{}, err
	}
	var result TapResult
	return result, json.Unmarshal(text, &result)
}

// ErrNoTrace says that nothing is remembered under an id.
var ErrNoTrace = errors.New("no such payment in the trace")

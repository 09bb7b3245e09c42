package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// readerHandler adds what concerns readers to the control socket. Serving a card lasts until the client goes or until stop ends.
func (n *Network) readerHandler(stop context.Context, others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("POST /v1/reader/tap", n.controlTapReader)
	mux.HandleFunc("POST /v1/reader/serve", func(w http.ResponseWriter, r *http.Request) { n.controlServe(stop, w, r) })
	return mux
}

// readRequest reads one JSON object and nothing behind it.
func readRequest[T any](w http.ResponseWriter, r *http.Request) (T, error) {
	var request T
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&request)
	if _, more := decoder.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("something follows the request")
	}
	if err != nil {
		return request, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return request, nil
}

func (n *Network) controlTapReader(w http.ResponseWriter, r *http.Request) {
	request, err := readRequest[ReaderTap](w, r)
	if err == nil {
		if filled := request.fill(n.options.Profile.Money()); filled != nil {
			err = fmt.Errorf("%w: %w", errBadRequest, filled)
		}
	}
	if err != nil {
		answer(w, nil, err)
		return
	}
	result, err := n.TapReader(r.Context(), request)
	readerAnswer(w, result, err)
}

// readerAnswer is answer with the words of trouble at the reader.
func readerAnswer(w http.ResponseWriter, value any, err error) {
	var trouble *ReaderError
	if !errors.As(err, &trouble) {
		answer(w, value, err)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(trouble)
}

// eventWithin is how long a client may take to read an event. It reads at once, or it hangs and holds the card up.
const eventWithin = 5 * time.Second

// controlServe answers with one event a line, for as long as the card is served.
func (n *Network) controlServe(stop context.Context, w http.ResponseWriter, r *http.Request) {
	request, err := readRequest[ServeRequest](w, r)
	if err != nil {
		answer(w, nil, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(stop, cancel)()
	events, flow := json.NewEncoder(w), http.NewResponseController(w)
	begun := false
	err = n.ServeCard(ctx, request, func(e ServeEvent) {
		begun = true
		_ = flow.SetWriteDeadline(time.Now().Add(eventWithin))
		if errors.Join(events.Encode(e), flow.Flush()) != nil {
			cancel()
		}
	})
	if !begun {
		answer(w, nil, err)
	}
}

// TapReader runs a payment with the card at a reader of the network's machine.
func (c *Client) TapReader(ctx context.Context, r ReaderTap) (TapResult, error) {
	r.AmountText = r.Amount.Decimal()
	if r.PIN != nil {
		r.PINText = r.PIN.Reveal()
	}
	var result TapResult
	text, err := c.post(ctx, "/v1/reader/tap", r)
	if err != nil {
		return result, err
	}
	defer func() { _ = text.Close() }()
	return result, json.NewDecoder(io.LimitReader(text, maxTraceBytes)).Decode(&result)
}

// ServeCard keeps a card in a virtual reader that the network's machine can reach.
func (c *Client) ServeCard(ctx context.Context, r ServeRequest, told func(ServeEvent)) error {
	body, err := c.post(ctx, "/v1/reader/serve", r)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxControlBytes)
	for lines.Scan() {
		var e ServeEvent
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("control socket: %w", err)
		}
		told(e)
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(ErrNetworkGone, lines.Err())
}

// ErrNetworkGone says that the network ended before the command did.
var ErrNetworkGone = errors.New("the network has stopped")

// post sends a request and returns the body of a good answer.
func (c *Client) post(ctx context.Context, path string, value any) (io.ReadCloser, error) {
	request, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tapnet"+path, bytes.NewReader(request))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxControlBytes))
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return nil, problemIn(response, text)
}

// problemIn reads the answer that says no.
func problemIn(response *http.Response, text []byte) error {
	if response.StatusCode == http.StatusServiceUnavailable {
		trouble := &ReaderError{}
		if err := json.Unmarshal(text, trouble); err == nil && trouble.What.EN != "" {
			return trouble
		}
	}
	var p problem
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("control socket: status %s", response.Status)
	}
	if known, ok := problemKinds[p.Kind]; ok {
		return &remoteError{known, p.What}
	}
	return errors.New(p.What)
}

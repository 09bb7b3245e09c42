package app

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv/oda"
)

// A reader of another process gets at a card of the world through the control socket: the connection is taken over, and commands and responses go over
// it, two octets of length before each. It is how a transit gate, which is no box of this network, taps a card of its banks.

// Limits of a card in somebody else's field.
const (
	fieldProtocol = "tapnet-card"
	// maxFieldBytes bounds a command or response; a short APDU is below it.
	maxFieldBytes = 512
	// fieldWithin is how long a reader may think between two commands. The card belongs to it meanwhile.
	fieldWithin   = 10 * time.Second
	fieldCommands = 256
)

// fieldHandler adds cards in another's field, and whom their certificates come from.
func (n *Network) fieldHandler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("POST /v1/cards/{name}/field", n.controlField)
	mux.HandleFunc("GET /v1/authorities", func(w http.ResponseWriter, _ *http.Request) { reply200(w, n.options.Profile.Authorities()) })
	return mux
}

func (n *Network) controlField(w http.ResponseWriter, r *http.Request) {
	h, ok := n.holderNamed(r.PathValue("name"))
	if !ok {
		answer(w, nil, fmt.Errorf("%w: %q", ErrUnknownCard, shown(r.PathValue("name"))))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	field := card.NewField(h.chip)
	defer field.Remove()
	lendField(w, r, field)
}

// lendField takes the connection over: what is in the field is the reader's of the other process until that one goes.
func lendField(w http.ResponseWriter, r *http.Request, field apdu.Transceiver) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(fieldWithin))
	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + fieldProtocol + "\r\n\r\n")
	if buffered.Flush() != nil {
		return
	}
	for range fieldCommands {
		_ = conn.SetDeadline(time.Now().Add(fieldWithin))
		command, err := readFrame(buffered.Reader)
		if err != nil {
			return // the reader has gone, and with it the field
		}
		response, err := field.Transceive(r.Context(), command)
		if err != nil || writeFrame(conn, response) != nil {
			return
		}
	}
}

func readFrame(r io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int(binary.BigEndian.Uint16(head[:]))
	if length == 0 || length > maxFieldBytes {
		return nil, fmt.Errorf("a frame of %d bytes, at most %d", length, maxFieldBytes)
	}
	b := make([]byte, length)
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeFrame(w io.Writer, b []byte) error {
	if len(b) > maxFieldBytes {
		return fmt.Errorf("a frame of %d bytes, at most %d", len(b), maxFieldBytes)
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(b)), uint16(len(b))), b...))
	return err
}

// Field is a card of a running network in the field of a reader in this process.
type Field struct {
	conn   io.ReadWriteCloser
	reader *bufio.Reader
}

// Transceive implements apdu.Transceiver.
func (f *Field) Transceive(_ context.Context, command []byte) ([]byte, error) {
	if err := writeFrame(f.conn, command); err != nil {
		return nil, fmt.Errorf("%w: %w", apdu.ErrCardLost, err)
	}
	response, err := readFrame(f.reader)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", apdu.ErrCardLost, err)
	}
	return response, nil
}

// Close takes the card out of the field.
func (f *Field) Close() error { return f.conn.Close() }

// Field holds a card of the network to a reader of this process, ErrUnknownCard when there is none of that name. The card is the reader's until Close.
func (c *Client) Field(ctx context.Context, name string) (*Field, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://tapnet/v1/cards/"+url.PathEscape(name)+"/field", nil)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", fieldProtocol)
	response, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if conn, ok := response.Body.(io.ReadWriteCloser); ok && response.StatusCode == http.StatusSwitchingProtocols {
		return &Field{conn, bufio.NewReader(conn)}, nil
	}
	defer func() { _ = response.Body.Close() }()
	var p problem
	if err := json.NewDecoder(io.LimitReader(response.Body, maxControlBytes)).Decode(&p); err != nil {
		return nil, fmt.Errorf("control socket: status %s", response.Status)
	}
	if known, ok := problemKinds[p.Kind]; ok {
		return nil, &remoteError{known, p.What}
	}
	return nil, fmt.Errorf("control socket: %s", p.What)
}

// Authorities are the certification authorities behind the cards of the network.
func (c *Client) Authorities(ctx context.Context) ([]oda.CAKey, error) {
	return get[[]oda.CAKey](ctx, c, "/v1/authorities")
}

package app

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
)

// tillHandler adds the tills to the control socket.
func (n *Network) tillHandler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("POST /v1/pos", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[POSRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.POS(r.Context(), request)
		readerAnswer(w, result, err)
	})
	return mux
}

// POS asks a till of the running network.
func (c *Client) POS(ctx context.Context, r POSRequest) (result POSResult, err error) {
	text, err := c.post(ctx, "/v1/pos", r)
	if err != nil {
		return result, err
	}
	defer func() { _ = text.Close() }()
	return result, json.NewDecoder(io.LimitReader(text, maxTraceBytes)).Decode(&result)
}

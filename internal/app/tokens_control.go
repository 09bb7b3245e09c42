package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// phoneHandler takes actions with phones from the control socket.
func (n *Network) phoneHandler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/phones", func(w http.ResponseWriter, r *http.Request) {
		var request PhoneRequest
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBytes))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&request); err != nil {
			answer(w, nil, fmt.Errorf("%w: %w", errBadRequest, err))
			return
		}
		result, err := n.Phone(r.Context(), request)
		answer(w, result, err)
	})
	mux.Handle("/", next)
	return mux
}

// Phone implements PhoneWorld.
func (c *Client) Phone(ctx context.Context, r PhoneRequest) (PhoneResult, error) {
	body, writer := io.Pipe()
	go func() { writer.CloseWithError(json.NewEncoder(writer).Encode(r)) }()
	text, err := c.call(ctx, http.MethodPost, "/v1/phones", body)
	if err != nil {
		return PhoneResult{}, err
	}
	var result PhoneResult
	return result, json.Unmarshal(text, &result)
}

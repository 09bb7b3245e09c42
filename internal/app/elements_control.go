package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// ElementCards begins the names under which phones with secure elements are held to a reader of another process, as cards of the world are.
const ElementCards = "element:"

// elementHandler takes actions with secure elements from the control socket, and lends such phones to readers.
func (n *Network) elementHandler(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/elements", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[ElementRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.Element(r.Context(), request)
		answer(w, result, err)
	})
	mux.HandleFunc("POST /v1/cards/{name}/field", func(w http.ResponseWriter, r *http.Request) {
		phone, is := strings.CutPrefix(r.PathValue("name"), ElementCards)
		if !is {
			next.ServeHTTP(w, r)
			return
		}
		h, release, err := n.openHandset(ElementRequest{Phone: phone}, elementOptions{})
		if err != nil {
			answer(w, nil, err)
			return
		}
		defer release()
		reader, leave := h.Field()
		defer leave()
		lendField(w, r, reader)
	})
	mux.Handle("/", next)
	return mux
}

// Element implements ElementWorld.
func (c *Client) Element(ctx context.Context, r ElementRequest) (ElementResult, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return ElementResult{}, fmt.Errorf("control socket: %w", err)
	}
	text, err := c.call(ctx, http.MethodPost, "/v1/elements", bytes.NewReader(body))
	if err != nil {
		return ElementResult{}, err
	}
	var result ElementResult
	return result, json.Unmarshal(text, &result)
}

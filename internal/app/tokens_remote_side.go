package app

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"tapnet/internal/tsp/tspapi"
)

// remoteTokens is a token service in another process, over its interface and mutual TLS.
type remoteTokens struct {
	client  *http.Client
	address string
}

// maxChangesBytes bounds what is read of an answer: 500 changes, and those of a row that has many.
const maxChangesBytes = 1 << 20

// remoteTokens is where the options say that the token service's interface is; nil when they do not.
func (n *Network) remoteTokens() (tokenSide, error) {
	address := n.options.Listen[APITokens]
	if address == "" || strings.HasSuffix(address, ":0") || n.options.byHand {
		return nil, nil
	}
	p, err := n.openCertificates()
	if err != nil {
		return nil, fmt.Errorf("interface of %s: %w", RoleTSP, err)
	}
	own, err := n.certificate(certOperator)
	if err != nil {
		return nil, err
	}
	return &remoteTokens{address: "https://" + address, client: &http.Client{Timeout: apiWithin, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: p.callers, Certificates: []tls.Certificate{own}},
	}}}, nil
}

func (r *remoteTokens) Changes(ctx context.Context, after uint64) (out tspapi.Changes, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.address+"/v1/changes?after="+strconv.FormatUint(after, 10), nil)
	if err != nil {
		return out, err
	}
	return out, r.do(request, &out)
}

func (r *remoteTokens) Suspend(ctx context.Context, key, token, suspender string) error {
	body, err := json.Marshal(tspapi.Change{Suspender: suspender, Reason: "FRAUD"})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.address+"/v1/tokens/"+token+"/suspend", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	return r.do(request, new(tspapi.Token))
}

// do makes a request. A refusal is a *tspapi.Problem.
func (r *remoteTokens) do(request *http.Request, out any) error {
	reply, err := r.client.Do(request)
	if err != nil {
		return fmt.Errorf("token service: %w", err)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(reply.Body, maxChangesBytes))
	if err != nil {
		return fmt.Errorf("token service: %w", err)
	}
	if reply.StatusCode != http.StatusOK {
		refused := &tspapi.Problem{}
		if json.Unmarshal(text, refused) != nil || refused.Code == "" {
			return fmt.Errorf("token service: answered %d", reply.StatusCode)
		}
		return refused
	}
	return json.Unmarshal(text, out)
}

package tsphttp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// SignatureHeader carries the detached signature of a webhook's body.
const SignatureHeader = "Tapnet-Signature"

// Webhooks sends notices. The role repeats what nobody has taken, so that a full queue or a failure loses nothing.
type Webhooks struct {
	Key *ecdsa.PrivateKey
	// Client calls the receivers; it brings the service's certificate along.
	Client *http.Client
	// Address is where a peer wants to be told.
	Address func(peer string) string
	// Recipient is the public key of a bank, for one-time codes; nil is none.
	Recipient func(peer string) crypto.PublicKey
	// OpenCode opens a one-time code.
	OpenCode func(*tsp.Webhook) (string, error)
	// Delivered is told of what was taken.
	Delivered func(peer, id string)
	// Log is told why something was not.
	Log func(peer string, err error)

	queue chan queued
}

type queued struct {
	peer string
	hook *tsp.Webhook
}

const (
	// maxQueued notices wait; more are dropped and come again.
	maxQueued = 1 << 10
	// deliverWithin is less than the wait between two attempts.
	deliverWithin = 10 * time.Second
	maxReplyBytes = 4 << 10
)

// Run sends what Send queues until the context ends.
func (w *Webhooks) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-w.queue:
			if err := w.Deliver(ctx, q.peer, q.hook); err != nil {
				w.Log(q.peer, err)
				continue
			}
			w.Delivered(q.peer, q.hook.ID)
		}
	}
}

// Open makes the queue. It is called once, before Send and Run.
func (w *Webhooks) Open() *Webhooks {
	w.queue = make(chan queued, maxQueued)
	return w
}

var errFull = errors.New("tsphttp: too many webhooks wait")

// Send queues a notice. It does not wait.
func (w *Webhooks) Send(peer string, hook *tsp.Webhook) error {
	select {
	case w.queue <- queued{peer, hook}:
		return nil
	default:
		return errFull
	}
}

// body is what a webhook carries.
type body struct {
	tspapi.Notice
	Payload string `json:"payload,omitempty"` // JWE to the bank: code
}

// Deliver sends one notice and waits until it was taken.
func (w *Webhooks) Deliver(ctx context.Context, peer string, hook *tsp.Webhook) error {
	address := w.Address(peer)
	if !strings.HasPrefix(address, "https://") {
		return fmt.Errorf("tsphttp: webhook %s: no https address", hook.ID)
	}
	b := body{Notice: hook.Notice}
	if hook.Code != nil {
		code, err := w.OpenCode(hook)
		if err != nil {
			return fmt.Errorf("tsphttp: webhook %s: %w", hook.ID, err)
		}
		if to := w.Recipient(peer); to != nil {
			if b.Payload, err = seal(to, secrets{Code: code}); err != nil {
				return fmt.Errorf("tsphttp: webhook %s: %w", hook.ID, err)
			}
		}
	}
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("tsphttp: webhook %s: %w", hook.ID, err)
	}
	signature, err := sign(w.Key, text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("tsphttp: webhook %s: %w", hook.ID, err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(SignatureHeader, signature)
	request.Header.Set("Idempotency-Key", hook.ID)
	reply, err := w.Client.Do(request)
	if err != nil {
		return fmt.Errorf("tsphttp: webhook %s: %w", hook.ID, err)
	}
	defer func() { _ = reply.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(reply.Body, maxReplyBytes)) // so that the connection can be used again
	if reply.StatusCode/100 != 2 {
		return fmt.Errorf("tsphttp: webhook %s: answered %d", hook.ID, reply.StatusCode)
	}
	return nil
}

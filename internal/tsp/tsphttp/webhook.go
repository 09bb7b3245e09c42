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
	"slices"
	"strings"
	"sync"
	"time"

	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// SignatureHeader carries the detached signature of a webhook's body.
const SignatureHeader = "Tapnet-Signature"

// Webhooks sends notices: signed, in order, again until they are taken. A receiver may get one twice, with the same id and idempotency key. The role repeats
// what nobody has taken, so that a full queue or a restart loses nothing.
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

	// Again gives the wait before the next attempt, after so many; nil leaves every further attempt to the role.
	Again func(attempts int) <-chan time.Time

	mu    sync.Mutex
	peers map[string]*receiver
	waits int
	wake  chan string // peers that have something to deliver
	group sync.WaitGroup
}

// receiver is a peer's notices in order, the first of which is under way.
type receiver struct{ hooks []*tsp.Webhook }

const (
	// maxQueued notices wait; more are dropped and come again, then not always in order.
	maxQueued = 1 << 16
	// deliverWithin is less than the wait between two of the role's attempts.
	deliverWithin = 10 * time.Second
	maxReplyBytes = 4 << 10
)

// Open makes the queues. It is called once, before Send and Run.
func (w *Webhooks) Open() *Webhooks {
	w.peers, w.wake = map[string]*receiver{}, make(chan string, maxQueued)
	return w
}

// Run sends what Send queues until the context ends: to each receiver one notice after the other, in the order of their ids, so that what follows waits until
// what came before was taken. A receiver in trouble holds up nobody else.
func (w *Webhooks) Run(ctx context.Context) {
	defer w.group.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case peer := <-w.wake:
			w.group.Go(func() { w.serve(ctx, peer) })
		}
	}
}

// serve delivers what waits for a peer, and ends when nothing does.
func (w *Webhooks) serve(ctx context.Context, peer string) {
	for attempts := 1; ; {
		hook := w.first(peer)
		if hook == nil {
			return
		}
		err := w.Deliver(ctx, peer, hook)
		if err == nil {
			w.taken(peer)
			w.Delivered(peer, hook.ID)
			attempts = 1
			continue
		}
		if ctx.Err() != nil {
			return
		}
		w.Log(peer, err)
		if w.Again == nil {
			w.drop(peer)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-w.Again(attempts):
			attempts++
		}
	}
}

// first is what a peer is to be told next; nil when nothing is, and then it has no queue any more.
func (w *Webhooks) first(peer string) *tsp.Webhook {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.peers[peer]
	if len(r.hooks) == 0 {
		delete(w.peers, peer)
		return nil
	}
	return r.hooks[0]
}

func (w *Webhooks) taken(peer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.peers[peer]
	r.hooks = r.hooks[1:]
	w.waits--
}

// drop forgets what waits for a peer: the role comes with it again.
func (w *Webhooks) drop(peer string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits -= len(w.peers[peer].hooks)
	delete(w.peers, peer)
}

var errFull = errors.New("tsphttp: too many webhooks wait")

// Send queues a notice, unless it waits already: the role repeats what nobody has taken. It does not wait.
func (w *Webhooks) Send(peer string, hook *tsp.Webhook) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.peers[peer]
	if r == nil {
		r = &receiver{}
	}
	at, waits := slices.BinarySearchFunc(r.hooks, hook.ID, func(h *tsp.Webhook, id string) int { return strings.Compare(h.ID, id) })
	if waits {
		return nil
	}
	if w.waits == maxQueued {
		return errFull
	}
	w.waits++
	if at == 0 && len(r.hooks) > 0 {
		at = 1 // the first is under way
	}
	r.hooks = slices.Insert(slices.Clip(r.hooks), at, hook)
	if w.peers[peer] == nil {
		w.peers[peer] = r
		w.wake <- peer // there is room: no more peers than notices
	}
	return nil
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

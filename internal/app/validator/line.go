package validator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

// uploads is the log of the validator, whichever it is now.
type uploads struct{ v *Validator }

func (u uploads) Chunk() (gate.Chunk, bool, error) { return u.v.log.Load().Chunk() }
func (u uploads) Acknowledge(sealed []byte) error  { return u.v.log.Load().Acknowledge(sealed) }
func (u uploads) Maintain(now time.Time) error     { return u.v.log.Load().Maintain(now) }
func (u uploads) Backlog() gate.Backlog            { return u.v.log.Load().Backlog() }

// idle is how long the line looks away when nothing is due: what comes due in between waits so long at most.
const idle = 250 * time.Millisecond

// Run carries taps and lists until the context ends. Trouble on the line is no error.
func (v *Validator) Run(ctx context.Context) error {
	for {
		ran, err := v.Step(ctx)
		if err != nil {
			return err
		}
		if ran {
			continue
		}
		waited := make(chan struct{})
		timer := v.options.Clock.AfterFunc(idle, func() { close(waited) })
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-waited:
		}
	}
}

// Step asks one question that is due, false when none is. The error is of the log: it could not be started again.
func (v *Validator) Step(ctx context.Context) (bool, error) {
	if ctx.Err() != nil {
		return false, nil
	}
	v.line.Lock()
	v.tell()
	ask, ok := v.courier.Next(v.options.Clock.Now())
	v.line.Unlock()
	if !ok {
		return false, nil
	}
	within, cancel := context.WithTimeout(ctx, ask.Timeout)
	answer, err := v.options.Line.Ask(within, v.options.Gate.Device, ask)
	cancel()
	v.line.Lock()
	v.courier.Done(ask, answer, err, v.options.Clock.Now())
	v.list.Store(v.courier.List())
	v.offset.Store(int64(v.courier.Offset()))
	news, lost := v.courier.Approvals(), v.courier.Lost() != nil
	v.line.Unlock()
	v.news.Lock()
	v.approved = append(v.approved, news...)
	v.news.Unlock()
	if lost {
		return true, v.behind(answer.Body)
	}
	return true, nil
}

// behind starts the log again behind what the back office has: this device's disk was wiped or exchanged.
func (v *Validator) behind(sealed []byte) error {
	receipt, err := gate.ParseReceipt(v.options.Gate.ChainKey, v.options.Gate.Device, sealed)
	if err != nil {
		return nil // Lost stays set, and the next receipt tells
	}
	v.tapping.Lock()
	defer v.tapping.Unlock()
	v.options.Log.After = max(receipt.Sequence, v.gate.Head().Sequence+1)
	err = v.restart()
	v.options.Log.After = 0
	return err
}

type noLine struct{}

func (noLine) Ask(context.Context, string, gate.Ask) (gate.Answer, error) {
	return gate.Answer{}, ErrNoLine
}
func (noLine) Claim(context.Context, string, []byte) ([]byte, error) { return nil, ErrNoLine }

// HTTP is a line to the back office's HTTP interface. Base is its address, without a path.
type HTTP struct {
	Base   string
	Client *http.Client
	Trust  denylist.Trust // of the base image, whose length is believed only when its header is signed
}

// maxDeltas bounds one answer with deltas: an hour's worth of the largest ones.
const maxDeltas = 64 << 20

// Ask sends one question.
func (l HTTP) Ask(ctx context.Context, device string, ask gate.Ask) (gate.Answer, error) {
	switch ask.Kind {
	case gate.AskChunk:
		return l.do(ctx, http.MethodPost, l.device(device, "chunks"), ask.Body, gate.MaxMessage)
	case gate.AskHealth:
		return l.do(ctx, http.MethodPost, l.device(device, "health"), ask.Body, gate.MaxMessage)
	case gate.AskDeltas:
		return l.do(ctx, http.MethodGet, "/v1/deny/deltas?after="+strconv.FormatUint(ask.After, 10), nil, maxDeltas)
	case gate.AskBase:
		return l.do(ctx, http.MethodGet, "/v1/deny/base", nil, 0)
	}
	return gate.Answer{}, fmt.Errorf("ask %v: %w", ask.Kind, errors.ErrUnsupported)
}

// Claim asks for a first ride.
func (l HTTP) Claim(ctx context.Context, device string, claim []byte) ([]byte, error) {
	answer, err := l.do(ctx, http.MethodPost, l.device(device, "claims"), claim, gate.MaxMessage)
	if err == nil && answer.Status != gate.Fine {
		err = fmt.Errorf("claim: status %d: %w", answer.Status, ErrNoLine)
	}
	return answer.Body, err
}

func (HTTP) device(name, what string) string { return "/v1/gates/" + url.PathEscape(name) + "/" + what }

// do sends a request. limit bounds the answer; 0: a base, bounded by its own signed header.
func (l HTTP) do(ctx context.Context, method, path string, body []byte, limit int64) (gate.Answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, l.Base+path, bytes.NewReader(body))
	if err != nil {
		return gate.Answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/octet-stream")
	}
	response, err := l.Client.Do(request)
	if err != nil {
		return gate.Answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := gate.Answer{Status: gate.Status(response.StatusCode)}
	switch {
	case limit == 0 && answer.Status == gate.Fine:
		answer.Body, err = denylist.FetchBase(response.Body, l.Trust)
	default:
		answer.Body, err = io.ReadAll(io.LimitReader(response.Body, max(limit, gate.MaxMessage)))
	}
	if err != nil {
		return gate.Answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	return answer, nil
}

// Exchange carries everything that waits, at once, until nothing more does or the line fails.
func (v *Validator) Exchange(ctx context.Context) error {
	v.line.Lock()
	v.courier.Hurry(v.options.Clock.Now())
	v.line.Unlock()
	for {
		if ran, err := v.Step(ctx); err != nil || !ran {
			return err
		}
	}
}

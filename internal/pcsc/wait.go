package pcsc

import (
	"context"
	"errors"
	"io"
	"time"

	"tapnet/internal/clock"
)

// WaitForCard returns as soon as a card is in the named reader. After within it gives up with NoSmartcard; a reader that is not there
// ends it at once with UnknownReader.
func WaitForCard(ctx context.Context, config Config, reader string, within time.Duration) (State, error) {
	return wait(ctx, config, reader, within, State.Present, NoSmartcard)
}

// WaitForRemoval returns as soon as the named reader has no card. After within it gives up with Timeout.
func WaitForRemoval(ctx context.Context, config Config, reader string, within time.Duration) (State, error) {
	return wait(ctx, config, reader, within, func(s State) bool { return !s.Present() }, Timeout)
}

// wait asks the daemon to tell of changes until one fits. It has a connection of its own: what the daemon sends to somebody who stops
// waiting differs between its versions, and closing the connection is understood by all of them.
func wait(ctx context.Context, config Config, reader string, within time.Duration, enough func(State) bool, late Code) (State, error) {
	config = config.filled()
	const doing = "wait for the reader"
	patience, cancel := context.WithCancel(ctx)
	defer cancel()
	defer config.Clock.AfterFunc(within, cancel).Stop()
	c, err := dial(patience, config)
	if err != nil {
		return State{}, err
	}
	defer c.drop()
	for {
		states, err := c.watch(patience, doing)
		if err == nil {
			found := false
			for _, s := range states {
				if s.Name != reader {
					continue
				}
				if found = true; enough(s) {
					return s, nil
				}
			}
			if !found {
				return State{}, failure(doing, UnknownReader, nil)
			}
			err = c.change(patience, doing)
		}
		switch {
		case err == nil:
		case errors.Is(err, context.Canceled) && ctx.Err() == nil:
			return State{}, failure(doing, late, nil)
		default:
			return State{}, err
		}
	}
}

// watch registers for the next change and returns the readers as they are now, in one step so that no change is missed. An old daemon
// has no such step and is asked again and again.
func (c *client) watch(ctx context.Context, doing string) ([]State, error) {
	if c.minor >= waitsWithStates {
		answer, err := c.call(ctx, doing, commandWait, nil, statesBytes)
		if err != nil {
			return nil, err
		}
		states, err := decodeStates(answer)
		if err != nil {
			return nil, failure(doing, ServiceStopped, err)
		}
		return states, nil
	}
	return c.states(ctx)
}

// change waits for the daemon's word that something has changed, for as long as the context lasts.
func (c *client) change(ctx context.Context, doing string) error {
	if c.minor < waitsWithStates {
		return pause(ctx, c.config.Clock, pollEvery)
	}
	undo := context.AfterFunc(ctx, c.drop)
	defer undo()
	var told [waitBytes]byte
	if _, err := io.ReadFull(c.in, told[:]); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return failure(doing, ServiceStopped, err)
	}
	if code := Code(word(told[:], 1)); code != 0 {
		return failure(doing, code, nil)
	}
	return nil
}

// pollEvery is how often an old daemon is asked: a person notices no less.
const pollEvery = 100 * time.Millisecond

func pause(ctx context.Context, c clock.Clock, d time.Duration) error {
	over := make(chan struct{})
	defer c.AfterFunc(d, func() { close(over) }).Stop()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

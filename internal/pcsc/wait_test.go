package pcsc

import (
	"context"
	"errors"
	"testing"
	"time"

	"tapnet/internal/clock"
)

func TestWait(t *testing.T) {
	empty := slot{name: "R", bits: stateAbsent}
	full := slot{name: "R", bits: statePresent, atr: contactlessATR}
	for _, minor := range []uint32{3, 4, 5} {
		d, config := newDaemon(t, func(d *fakeDaemon) { d.minor, d.strict, d.slots = minor, true, []slot{empty} })
		hands := clock.NewManual(time.Unix(0, 0))
		config.Clock = hands
		type result struct {
			State
			error
		}
		ended := make(chan result, 1)
		begin := func(wait func(context.Context, Config, string, time.Duration) (State, error)) {
			go func() {
				s, err := wait(t.Context(), config, "R", time.Hour)
				ended <- result{s, err}
			}()
			<-d.polled
		}
		await := func() result {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case r := <-ended:
					return r
				case <-d.polled:
				case <-tick.C:
					hands.Advance(pollEvery)
				}
			}
		}
		begin(WaitForCard)
		d.change(full)
		if r := await(); r.error != nil || !r.Present() {
			t.Errorf("4:%d: card: %+v", minor, r)
		}
		begin(WaitForRemoval)
		d.change(empty)
		if r := await(); r.error != nil || r.Present() {
			t.Errorf("4:%d: removal: %+v", minor, r)
		}
		begin(WaitForCard)
		d.change(slot{name: "other", bits: stateAbsent})
		if r := await(); !errors.Is(r.error, UnknownReader) {
			t.Errorf("4:%d: the reader goes: %v", minor, r.error)
		}
	}
}

func TestWaitGivesUp(t *testing.T) {
	for _, minor := range []uint32{3, 4} {
		d, config := newDaemon(t, func(d *fakeDaemon) { d.minor, d.strict, d.slots = minor, true, []slot{{name: "R", bits: stateAbsent}} })
		hands := clock.NewManual(time.Unix(0, 0))
		config.Clock = hands
		ended := make(chan error, 1)
		go func() {
			_, err := WaitForCard(t.Context(), config, "R", 10*time.Second)
			ended <- err
		}()
		<-d.polled
		go func() {
			for range d.polled { //nolint:revive // an old daemon is polled, and nobody else drains this
			}
		}()
		if err := advanceUntil(t, hands, ended); !errors.Is(err, NoSmartcard) {
			t.Errorf("4:%d: %v", minor, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := WaitForRemoval(ctx, config, "missing", time.Hour)
			ended <- err
		}()
		if err := <-ended; !errors.Is(err, UnknownReader) {
			t.Errorf("4:%d: %v", minor, err)
		}
		go func() {
			_, err := WaitForCard(ctx, config, "R", time.Hour)
			ended <- err
		}()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("4:%d: %v", minor, err)
		}
		_ = d.listener.Close()
		d.clients.Wait()
		close(d.polled)
	}
}

package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/journal"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
)

// The cloud secure element follows the states of tokens: their keys work while they are active. What it has followed is a serial in a file, written after the
// keys have; at its start it asks for the states since. A crash at any point makes it ask for some of them again, which changes nothing.

// heard is what this process has heard of the token service's rows.
type heard struct {
	core   atomic.Pointer[tsp.TSP]
	serial atomic.Uint64 // every change up to it is in the queue or was
	missed atomic.Bool   // the queue was full
}

// tokenSide is the token service as the cloud secure element's follower knows it: in this process, or over its interface.
type tokenSide interface {
	// Changes gives the states after a serial.
	Changes(ctx context.Context, after uint64) (tspapi.Changes, error)
	// Suspend suspends a token, once for each key.
	Suspend(ctx context.Context, key, token, suspender string) error
}

// tokenRows hears of the token service's rows as they become durable.
func (n *Network) tokenRows(node *node, rows []journal.Row) {
	core := n.tokens.heard.core.Load()
	if node.name != RoleTSP || core == nil || len(rows) == 0 {
		return
	}
	for i := range rows {
		changes, err := core.ChangesIn(&rows[i])
		if err != nil {
			n.tokens.heard.missed.Store(true)
		}
		for _, c := range changes {
			select {
			case n.tokens.changed <- c.Token:
			default: // the token service refuses the token itself; its keys follow when the journal is read
				n.tokens.heard.missed.Store(true)
			}
		}
	}
	n.tokens.heard.serial.Store(rows[len(rows)-1].Seq)
}

const followFile = "token-follower"

// follower keeps the keys where the tokens are.
type follower struct {
	n      *Network
	side   tokenSide
	live   bool // this process hears of the changes itself; otherwise it asks again and again
	path   string
	serial uint64 // everything up to it has been followed
}

// followFrom begins to follow; nil is nobody.
func (n *Network) followFrom(side tokenSide, err error) error {
	if side == nil || err != nil {
		return err
	}
	_, local := side.(*localTokens)
	f := &follower{n: n, side: side, live: local, path: filepath.Join(n.options.Dir, followFile)}
	text, err := os.ReadFile(f.path)
	if err == nil {
		f.serial, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	}
	if err != nil {
		f.serial = 0 // from the beginning: slower, and as right
	}
	n.background.group.Go(func() { f.run(n.background.ctx) })
	return nil
}

// run passes on what one of the two roles decides and the other must know, until ctx ends.
func (f *follower) run(ctx context.Context) {
	tokens := f.n.tokens
	again := map[string]bool{}
	retry := time.NewTicker(tokenAgain)
	defer retry.Stop()
	behind := f.catchUp(ctx) != nil
	for {
		select {
		case <-ctx.Done():
			return
		case reference := <-tokens.changed:
			if f.n.mirror(ctx, reference) != nil {
				again[reference] = true
			}
		case a := <-tokens.alarms:
			if err := f.alarmed(ctx, a); err != nil {
				f.n.options.Log.Warn("alarm of the cloud secure element not passed on yet", "error", err)
			}
		case <-retry.C:
			for reference := range again {
				if f.n.mirror(ctx, reference) == nil {
					delete(again, reference)
				}
			}
			if behind || !f.live || tokens.heard.missed.Swap(false) {
				behind = f.catchUp(ctx) != nil
				continue
			}
			if at := tokens.heard.serial.Load(); len(tokens.changed) == 0 && len(again) == 0 && at > f.serial {
				f.reached(at)
			}
		}
	}
}

// catchUp follows every change after the serial.
func (f *follower) catchUp(ctx context.Context) error {
	for {
		page, err := f.side.Changes(ctx, f.serial)
		if err != nil {
			return err
		}
		for _, c := range page.Changes {
			if err := f.n.stand(ctx, c.Token, c.State); err != nil {
				return err
			}
		}
		if page.Next > f.serial {
			f.reached(page.Next)
		}
		if !page.More {
			return nil
		}
	}
}

// reached keeps the serial. A file that cannot be written makes the next start slower, no more.
func (f *follower) reached(serial uint64) {
	f.serial = serial
	text := f.path + ".new"
	err := os.WriteFile(text, strconv.AppendUint(nil, serial, 10), 0o600)
	if err == nil {
		err = os.Rename(text, f.path)
	}
	if err != nil {
		f.n.options.Log.Warn("place of the follower not kept", "error", err)
	}
}

// mirror brings a token's keys to where the token is now.
func (n *Network) mirror(ctx context.Context, reference string) error {
	view, err := askToken[tspapi.Token](ctx, n.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: reference})
	if err != nil {
		return err
	}
	return n.stand(ctx, reference, view.State)
}

// stand lets a token's keys work, or not. One that is not active yet has none, or gets them now: the token service refuses it.
func (n *Network) stand(ctx context.Context, reference, state string) error {
	var command any
	switch state {
	case tsp.Active.String():
		command = cloudseapi.Resume{Token: reference}
	case tsp.Suspended.String(), tsp.Deactivated.String():
		command = cloudseapi.Suspend{Token: reference}
	default:
		return nil
	}
	_, err := n.tokens.cloud.ask(ctx, command)
	if errors.Is(err, &cloudseapi.Refusal{Reason: cloudseapi.UnknownToken}) {
		return nil // it has no keys
	}
	return err
}

// tokenOperator is who speaks for the cloud secure element.
var tokenOperator = tsp.Caller{Role: tsp.CallerOperator, ID: certOperator}

// alarmed passes an alarm on in this process.
func (n *Network) alarmed(ctx context.Context, a cloudseapi.Alarm) error {
	return (&follower{n: n, side: &localTokens{n.tokens.service}}).alarmed(ctx, a)
}

// alarmed suspends a token whose keys the cloud secure element has stopped, and says that it knows.
func (f *follower) alarmed(ctx context.Context, a cloudseapi.Alarm) error {
	who := "TSP_RISK"
	if a.Cause == cloudseapi.CausePassword {
		who = "PASSWORD_LOCKED"
	}
	err := f.side.Suspend(ctx, a.Key, a.Token, who)
	var refused *tspapi.Problem
	if err != nil && (!errors.As(err, &refused) || refused.RetryAfter > 0) {
		return err
	}
	_, err = f.n.tokens.cloud.ask(ctx, cloudseapi.AlarmHandled{Key: a.Key})
	return err
}

// localTokens is a token service in this process.
type localTokens struct{ service *TokenNode }

func (l *localTokens) Changes(ctx context.Context, after uint64) (tspapi.Changes, error) {
	return l.service.core.Changes(ctx, l.service.store, after)
}

func (l *localTokens) Suspend(ctx context.Context, key, token, suspender string) error {
	_, err := askToken[tspapi.Token](ctx, l.service, &tsp.Command{Caller: tokenOperator, Key: key, Token: token,
		Body: &tsp.Suspension{Suspender: suspender, Reason: "FRAUD"}})
	return err
}

// askToken gives the token service a command and reads its reply. A refusal is the error.
func askToken[T any](ctx context.Context, service *TokenNode, c *tsp.Command) (T, error) {
	value, _, err := askTokenSealed[T](ctx, service, c)
	return value, err
}

// askTokenSealed gives the token's sealed number as well.
func askTokenSealed[T any](ctx context.Context, service *TokenNode, c *tsp.Command) (value T, sealed []byte, err error) {
	reply, err := service.Ask(ctx, c)
	if err != nil {
		return value, nil, err
	}
	switch r := reply.(type) {
	case *tspapi.Problem:
		return value, nil, r
	case tsp.Reply:
		return value, r.TokenNumber, json.Unmarshal(r.Body, &value)
	}
	return value, nil, fmt.Errorf("the token service answers %T with %T", c.Body, reply)
}

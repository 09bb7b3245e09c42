package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"tapnet/gate"
	"tapnet/internal/app/validator"
	"tapnet/internal/lang"
)

type gateRunCommand struct {
	laneFlags
	Reader string `placeholder:"NAME" help:"${gate_reader}"`
}

// gateRuns says for a program that the gate is there.
type gateRuns struct {
	Device  string `json:"device"`
	Station uint32 `json:"station"`
	Reader  string `json:"reader,omitempty"`
}

// Run keeps a gate running until ctx ends.
func (c gateRunCommand) Run(ctx context.Context, s *session) (err error) {
	v, _, shut, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	if s.json {
		if err := s.printJSON(s.out, gateRuns{v.Device(), c.Station, c.Reader}); err != nil {
			return err
		}
	} else {
		s.say(lang.GateRuns, v.Device())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	var lineErr, laneErr error
	group.Go(func() {
		defer cancel()
		lineErr = v.Run(ctx)
	})
	if c.Reader != "" {
		group.Go(func() {
			defer cancel()
			laneErr = c.lane(ctx, s, v)
		})
	}
	group.Wait()
	if err := errors.Join(lineErr, laneErr); err != nil {
		return gateProblem(err)
	}
	if !s.json {
		s.say(lang.GateStopped)
	}
	return nil
}

// lane serves the reader. Trouble with it is no end: readers are pulled out and put back.
func (c gateRunCommand) lane(ctx context.Context, s *session, v *validator.Validator) error {
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var shown sync.Mutex
	return v.Serve(ctx, validator.Lane{
		Reader: c.Reader, Tap: gate.Read{Direction: c.direction()}, Log: log,
		Told: func(r validator.Result) {
			shown.Lock()
			defer shown.Unlock()
			if s.json {
				tap := gateTapCommand{laneFlags: c.laneFlags}
				_ = s.printJSON(s.out, tap.report(s, v, r, "")) // whoever read has gone; the gate goes on
				return
			}
			mark := s.screen.Mark(r.Open)
			record := s.text(lang.GateRecord, r.Record.Sequence, v.Device())
			s.line(fmt.Sprintf("%s %s  %s  %s", mark, r.Record.At.Format(time.TimeOnly), s.text(r.Reason().Term()), record))
		},
	})
}

package journal

import "context"

// Stepper is the Writer without goroutines: every call handles, commits and releases before it returns. The simulator
// drives roles with it. It is not safe for use by several goroutines, but Release and Reply may call Step.
type Stepper struct {
	engine
	err error
}

// NewStepper claims and replays the journal, releases what the machine rearms, and returns that as well.
func NewStepper(ctx context.Context, cfg Config) (*Stepper, []Effect, error) {
	s := &Stepper{engine: newEngine(cfg)}
	effects, err := s.start(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(effects) > 0 {
		s.cfg.Release(effects)
	}
	return s, effects, nil
}

// Step handles one event and returns its effects, which have been given to Release. After a failed commit it returns
// that error, and every later call a *StoppedError.
func (s *Stepper) Step(ctx context.Context, ev Event) ([]Effect, error) {
	return s.StepAll(ctx, ev)
}

// StepAll handles several events as one batch: one commit, then all their effects.
func (s *Stepper) StepAll(ctx context.Context, events ...Event) ([]Effect, error) {
	b := new(batch)
	if s.err != nil {
		stopped := &StoppedError{Cause: s.err}
		for i := range events {
			if events[i].Reply != nil {
				events[i].Reply(stopped)
			}
		}
		return nil, stopped
	}
	for i := range events {
		s.handle(&events[i], b)
	}
	s.complete(b)
	if err := s.commit(ctx, b); err != nil {
		s.err = err
		b.reject(&StoppedError{Cause: err})
		return nil, err
	}
	s.release(b)
	return b.effects, nil
}

// LastSeq is the number of the last row.
func (s *Stepper) LastSeq() uint64 { return s.chain.Seq }

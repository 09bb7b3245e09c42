package main

import (
	"context"
	"fmt"
	"time"

	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/sim/metro"
)

// rotateAfter is when the simulated city goes to a new key of the deny list: riders have come and gone, and some are denied.
const rotateAfter = 20 * time.Minute

// rotation runs the city once, with a new key of the deny list on the way. The answer is no when a law breaks.
func (c gateSimCommand) rotation(ctx context.Context, s *session, o metro.Options) error {
	o.Rotate, o.Force = rotateAfter, c.Force
	progress := s.progress()
	progress.tell(lang.Fill(lang.GateSimRun, 1, 1))
	r, err := metro.Run(ctx, o)
	progress.end()
	if err != nil {
		return gateSimProblem(ctx, err)
	}
	if !r.Good() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, r)
	}
	s.line(s.wrapped(lang.Fill(lang.GateTurnTitle, lang.Int(int64(r.Options.Gates)), lang.Int(int64(r.Taps)), c.Seed, int(o.Rotate.Minutes()))))
	turn := r.Rotation
	t := &lang.Table{Indent: 2, Gap: 2}
	row := func(label, text glossary.Term) { t.Row(s.text(label), s.text(text)) }
	row(lang.GateTurnKey, lang.Fill(lang.GateTurnHalf, turnTime(turn.HalfKey), turnTime(turn.AllKey)))
	row(lang.GateTurnForce, turnTime(turn.InForce))
	row(lang.GateTurnList, lang.Fill(lang.GateTurnHalf, turnTime(turn.HalfOn), turnTime(turn.AllOn)))
	row(lang.GateTurnChanges, lang.Fill(lang.GateTurnPace, turnTime(r.Adds.P99), turnTime(r.Removes.P99)))
	row(lang.GateTurnStopped, lang.Fill(lang.GateTurnCarried, lang.Int(int64(turn.Stopped)), lang.Int(int64(turn.Carried))))
	row(lang.GateTurnUnsent, lang.Verbatim(fmt.Sprint(r.Unsent)))
	s.table(t)
	for _, finding := range r.Findings {
		s.explain(s.out, &problem{what: lang.GateSimBroke, why: lang.Verbatim(finding), next: lang.Verbatim("tapnet gate sim --rotate --json")})
	}
	return nil
}

// turnTime is a time of the rotation, below zero: it did not come.
func turnTime(d time.Duration) glossary.Term {
	if d < 0 {
		return lang.GateTurnNever
	}
	return lang.Verbatim(lang.Duration(d.Round(time.Second)))
}

package tsphttp

import (
	"tapnet/internal/problem"
	"tapnet/internal/tsp/tspapi"
)

// problemOf is a refusal of the role as it leaves.
func problemOf(p *tspapi.Problem) error {
	return problem.Later(p.Status, p.Code, p.Reason, p.RetryAfter)
}

func refuse(status int, code, reason string) error { return problem.New(status, code, reason) }

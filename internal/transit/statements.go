package transit

import (
	"fmt"
	"slices"
	"time"

	"tapnet/internal/transit/fares"
)

// ViewStatements asks for what fares says of the riders with account numbers above After, so many: the reply is Statements. It is how journeys leave in bulk.
type ViewStatements struct {
	After int64
	Most  int
}

// Statements are those of riders in the order of their accounts. The account of each is its name.
type Statements struct {
	List []*fares.Statement
	Next int64 // to ask for what follows; 0 when nothing does
}

// maxStatements bounds one answer, for which the writer works some milliseconds; maxStatementTaps what it looks at, because riders differ.
const (
	maxStatements    = 500
	maxStatementTaps = 20_000
)

// statements rates riders as of now. One with impossible taps has no statement, like at the close.
func (o *Office) statements(now time.Time, c ViewStatements) Statements {
	s := o.state
	most := c.Most
	if most <= 0 || most > maxStatements {
		most = maxStatements
	}
	var out Statements
	looked := 0
	for at := max(c.After, 0) + 1; at < int64(len(s.accounts)); at++ {
		if len(out.List) == most || looked > maxStatementTaps {
			out.Next = at - 1
			break
		}
		a := s.accounts[at]
		if a.merged != 0 || len(a.taps) == 0 {
			continue
		}
		taps := s.fareTaps(a)
		looked += len(taps)
		rider := fares.Rider{Account: fmt.Sprint(a.number), Category: a.category, Corrections: slices.Clone(a.corrections), Earlier: a.earlier}
		if statement, err := s.deps.Book.Rate(rider, taps, now); err == nil {
			out.List = append(out.List, statement)
		}
	}
	return out
}

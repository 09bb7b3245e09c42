package trace

import (
	"errors"
	"slices"
	"strings"

	"tapnet/explain"
	"tapnet/glossary"
)

// Explain returns the records with Node set: what a card said about later commands is remembered from record to record.
// Records that are explained already, because they were loaded, stay as they are.
func Explain(records []Record, c explain.Context) []Record {
	sessions := make(map[string]*explain.Session)
	out := slices.Clone(records)
	for i := range out {
		r := &out[i]
		if r.Node != nil || len(r.Raw) == 0 {
			continue
		}
		var node explain.Node
		var err error
		switch {
		case r.Kind.isMessage():
			node, err = c.Message(r.Dialect, r.Raw)
		case r.Kind == Command:
			node, err = sessionOf(sessions, r, c).Command(r.Raw)
		case r.Kind == Response:
			node, err = sessionOf(sessions, r, c).Response(r.Raw)
		default:
			continue
		}
		r.Node = &node
		var problem *explain.Error
		if errors.As(err, &problem) {
			r.Problem = problem.Term()
		}
	}
	return out
}

// sessionOf keeps the conversations of different taps apart.
func sessionOf(sessions map[string]*explain.Session, r *Record, c explain.Context) *explain.Session {
	key := r.Role
	for _, id := range r.IDs {
		if strings.HasPrefix(id, prefixTap) {
			key = id
		}
	}
	if sessions[key] == nil {
		sessions[key] = explain.NewSession(c)
	}
	return sessions[key]
}

// titleOf is what a record says in one line: what its role wrote, or else the row's own words.
func titleOf(r Record) glossary.Term {
	if r.Title.EN != "" || r.Row == nil {
		return r.Title
	}
	return r.Row.Kind.Term()
}

package journalpg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrOutcomeUnknown is wrapped by Commit's error when the statement was sent and its answer was lost, or the server warned
// that what it committed may not survive a failover. The rows may be durable or not. Until Claim has read what is
// there, the store refuses further commits.
var ErrOutcomeUnknown = errors.New("journalpg: it is not known whether the rows are durable")

// The conditions this package tells apart, by SQLSTATE and never by text, which the server translates.
const (
	serializationFailure       = "40001"
	statementCompletionUnknown = "40003"
	deadlockDetected           = "40P01"
	uniqueViolation            = "23505"
	undefinedTable             = "42P01"
	duplicateTable             = "42P07"
	duplicateObject            = "42710"
	classConnection            = "08"
)

// sqlState is the server's code in err, empty when it is not the server's error.
func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// notDone reports whether err proves that the statement of the session left nothing behind: it was never sent, or the
// server answered that it is rolled back and is still there. After an error that ends the session, a FATAL one included,
// nothing is proved.
func (sn *session) notDone(err error) bool {
	var connecting *connectError
	if errors.As(err, &connecting) || pgconn.SafeToRetry(err) {
		return true
	}
	code := sqlState(err)
	return code != "" && code != statementCompletionUnknown && code[:2] != classConnection && !sn.lost()
}

// connectError says why there is no connection. pgconn's own error carries the whole configuration, the password too;
// this one keeps its text, which has none, and of its causes only those that are known to be clean.
type connectError struct {
	text  string
	cause error
}

func newConnectError(err error) *connectError {
	e := &connectError{text: err.Error()}
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		e.cause = refused
	case errors.Is(err, ErrUnfit):
		e.cause = ErrUnfit
	case errors.Is(err, context.Canceled):
		e.cause = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.cause = context.DeadlineExceeded
	}
	return e
}

func (e *connectError) Error() string { return e.text }

func (e *connectError) Unwrap() error { return e.cause }

//go:build !unix

package pgserver

import (
	"context"
	"errors"
)

// Server needs a Unix.
type Server struct{ dsn string }

var errUnix = errors.New("PostgreSQL is started on Unix systems only")

// Start needs a Unix.
func Start(context.Context, string, ...string) (*Server, error) { return nil, errUnix }

// Existing is a server that somebody else runs.
func Existing(dsn, _ string) *Server { return &Server{dsn: dsn} }

// DSN is the connection string.
func (s *Server) DSN() string { return s.dsn }

// Stop has nothing to stop.
func (s *Server) Stop(context.Context) error { return nil }

// Client needs a Unix.
func (s *Server) Client(context.Context, string, string, ...string) (string, error) {
	return "", errUnix
}

// Package postgrestest runs real PostgreSQL servers for tests: small ones, on loopback, in directories that go away.
//
// It follows no standard. It promises that a server is a real one (fsync and write-ahead log on, SCRAM passwords), that
// it runs as an unprivileged user even when the test is root, and that it stops and its files vanish when the test ends,
// also when the test is killed. It needs the programs of Debian's package postgresql and fails the test where they are
// missing; only tests that were asked for by a build tag should use it.
package postgrestest

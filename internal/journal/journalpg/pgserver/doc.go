// Package pgserver runs a PostgreSQL server of this machine's packages for as long as it is needed, and its client programs
// against any server.
//
// It follows no standard. It promises that the server is durable (fsync, synchronous_commit and full_page_writes are on), that
// it runs as an unprivileged user even when the caller is root, that only that user and root can reach it, over a socket in a
// directory of its own, and that it stops and its files vanish when it is stopped or its caller ends, however that ends. It
// needs the programs of Debian's package postgresql and a Unix. It is for measurements and trials: nobody backs it up.
package pgserver

import "errors"

// ErrMissing says that PostgreSQL's programs are not installed.
var ErrMissing = errors.New("PostgreSQL is not installed: on Debian, apt-get install postgresql")

// durable are the settings of a careful operator with memory to spare; further ones come behind them.
const durable = `
listen_addresses = ''
shared_buffers = 2GB
max_wal_size = 8GB
fsync = on
synchronous_commit = on
full_page_writes = on
`

// superuser owns the server; its database is always there.
const (
	superuser = "tapnet"
	database  = "postgres"
)

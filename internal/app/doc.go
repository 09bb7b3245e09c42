// Package app puts the network together: which roles run, with which keys, journals, connections and clock.
//
// It is the only place that knows all roles. A node runs one role: its journal writer, its timers, what it sends and receives. A Network is all nodes of
// this process with the cards and tills of a test world. Demo drives a network through the story that `tapnet demo` tells; control.go serves a running
// network to other processes.
//
// It decides nothing: every rule is in a role, an actor or a standard.
package app

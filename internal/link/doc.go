// Package link carries ISO 8583 messages over one connection: framing, sign-on, key change, echo, message authentication, limits on
// what a peer may do. It does not know what the messages mean.
//
// A Session lives on a net.Conn, in memory or TCP, and speaks one of the two dialects of package unionpay [REF 6.1] [REF 6.4]. The
// opener signs on; the host is signed on to and learns from the sign-on who the peer is: the terminal number, or the institution
// number. Before that nothing but network messages pass. Working keys come and go through the Keys port; no key is seen here. What is
// answered, logged, counted and closed when a peer misbehaves is docs/connection-policy.md.
//
// # Promises
//
//   - A message that reaches OnMessage was well formed, came after sign-on and carried a right MAC.
//   - The handler of one session is called by one goroutine, in the order of arrival.
//   - Memory is bounded: two frames being read, Limits.Queue frames to be written, Limits.TraceQueue traces.
//   - All waiting follows the clock of the configuration; conn deadlines are not used.
//
// # What it does not do
//
// It does not match answers to questions, repeat anything or remember anything beyond the connection: a message that was queued may
// be lost with the connection, or with the key it was to be signed under, and the role that sent it decides what then. One connection
// serves one terminal; concentrators that join many terminals on one connection are not supported.
package link

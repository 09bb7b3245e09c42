// Package tsphttp is the token service's interface over HTTPS: JSON for requestors, banks and operators, with certificates on both sides.
//
// It promises that a caller is who its certificate says and nobody else; that account and token numbers are in no body but inside encrypted payloads
// [RFC 7516]; that every request that changes something carries an idempotency key; that bodies are bounded before they are read; and that a refusal is a
// problem document [RFC 9457] with a code for programs, which repeats nothing of what was sent. Webhooks are signed [RFC 7515].
//
// It decides nothing: every call is a command to the role. It does not terminate TLS by itself, keep sessions or rate-limit callers.
package tsphttp

// Package tsmhttp lets wallets reach the trusted service manager over HTTP: they register secure elements, begin sessions and relay answers.
//
// A wallet sends what its element answered and relays what comes back; it need not understand either. The interface asks nobody who he is: serve it over mutual
// TLS to wallets' servers. A session's name is random and known to who began it.
//
// It promises a body limit before anything is read, an idempotency key on whatever begins something, one status and one reason for each refusal, and an OpenAPI
// document that a test compares with the code. It decides nothing.
package tsmhttp

// Package cloudsehttp lets phones reach the cloud secure element, and the token service's operators beside them, over HTTP.
//
// A phone posts what its device key signed, as bytes, and gets a batch as bytes: signature and sealing are the phone's own, so the interface needs TLS for
// privacy only. Operators come through a handler of their own, which belongs behind mutual TLS: they suspend, resume, revoke and look.
//
// It promises a body limit before anything is read, one status and one reason for each refusal, and an OpenAPI document that a test compares with the code.
// It decides nothing.
package cloudsehttp

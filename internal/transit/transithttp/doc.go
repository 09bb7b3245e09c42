// Package transithttp lets gates, riders and operators talk to the transit office over HTTP and JSON: an adapter, described by an OpenAPI document that it
// serves itself.
//
// Gates send pieces of their logs and reports about themselves, authentic by their own key, and fetch the signed deny list. Riders see journeys with the
// reason of each amount, state where a missing tap was, and have a debt asked for again. Operators see devices, debts and losses, close days, and decide
// about bills and cards. A rider's token opens that rider's account alone; the operator's opens everything but the gates' messages. Errors are problem details
// [RFC 9457]. Bodies are bounded. No card number is known here, so none can leave.
//
// It decides nothing: every rule is in package transit. It does not terminate TLS.
package transithttp

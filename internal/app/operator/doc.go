// Package operator runs a transit operator: the office of package transit on a journal file, its interface over HTTP, its line to an acquirer as a terminal,
// the secret that its gates and it share, and the clock that closes its days.
//
// It decides nothing. It does not run gates, and it keeps the acquirer's keys where `tapnet up` made them.
package operator

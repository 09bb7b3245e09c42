// Package validator puts a transit validator together: the reader and kernel of package terminal, the decision of package gate, its log and its deny list
// on files, and the line to the back office.
//
// It promises that a tap never waits for the line, unless the rule for the card says that a first ride does; that lists are exchanged while riders tap;
// and that a log that failed is replayed before the gate opens again. Riders tap in one goroutine, the line runs in another.
//
// The profile is an operator's choice: offline data authentication for an online cryptogram [REF 2.7], the card's own purse [REF 2.8], or both.
// It decides nothing itself.
package validator

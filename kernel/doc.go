// Package kernel is kernel 7, the reader's side of a QuickPass payment after the application is selected: GET PROCESSING
// OPTIONS, the records, and the decision what becomes of the tap [EMV C-7] [REF 2.7].
//
// A Machine is pure: Start and Next take what the card said and return one Action, a command for the card or the Outcome.
// It promises an outcome after at most MaxCommands commands, whatever the card answers, and never panics on card data. Each
// outcome says why (Reason, with the next thing to do) in English and Chinese, and carries the data record for the acquirer.
//
// It does not select applications, show anything, read a clock or talk to a host: that is package terminal and its callers.
// It does not hold the full dialogue with GENERATE AC over contactless, and ignores issuer scripts: the card is gone by then.
// Terminal verification results stay zero, as the card saw them in its PDOL: later findings are reasons, not bits.
package kernel

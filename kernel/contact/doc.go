// Package contact is the terminal's side of a chip payment with contacts, and of the same dialogue over the air: application
// selection [EMV B1 12], everything from GET PROCESSING OPTIONS to the second GENERATE AC and the issuer's scripts [EMV B3 10]
// [REF 3], electronic cash [REF 2.9] and the loading of the purse [REF 5].
//
// A Machine is pure: Start and Next take what the card, the cardholder or the host said and return one Action, a command for the
// card, a question, or the Outcome. It promises an outcome after at most MaxCommands commands and MaxQuestions questions, whatever
// anybody answers, and never panics on card or host data. Verification results and status information (95, 9B) are kept exactly.
// An approval without the host means that the card gave a TC that the terminal's and the issuer's action codes allowed.
//
// It does not show anything, read a clock, draw randomness or talk to a host: that is package terminal and its callers. It does not
// retry a declined payment, hold referrals by voice, or print. TDES and SM card keys make no difference here: the terminal never
// checks a cryptogram.
package contact

package terminal

import (
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
)

// goOn holds the full dialogue with a card that has opened it instead of a QuickPass payment [REF 2.1]. The card stays in the field until
// the end, and what the dialogue asks is answered by Request.Dialogue.
func (s *session) goOn(aid emv.AID, fci []byte, tx kernel.Transaction, opened kernel.Opened) (kernel.Outcome, error) {
	all := contact.Transaction{Transaction: tx, OfflineOnly: s.request.OfflineOnly}
	if _, err := io.ReadFull(s.terminal.config.Random, all.Seed[:]); err != nil {
		return kernel.Outcome{}, fmt.Errorf("draw randomness for the dialogue: %w", err)
	}
	dialogue := &slot{people: *s.request.Dialogue, tx: all,
		session: session{line: line{s.ctx, WholeAnswers(s.reader), s.observer}, terminal: s.terminal, request: s.request}}
	m := contact.New(s.terminal.config.Contact, all)
	held, err := dialogue.finish(m, dialogue.dialogue(m, m.StartOpened(aid, fci, opened)))
	s.result.UI = append(s.result.UI, held.UI...)
	s.result.Dialogue = &held
	s.result.Outcome = repeated(&held.Outcome)
	return s.result.Outcome, err
}

// repeated is the end of a dialogue in the terms of a tap.
func repeated(o *contact.Outcome) kernel.Outcome {
	out := kernel.NewOutcome(o.Kind, kernel.ReasonDialogueHeld, o.Reason.Term())
	out.UI, out.Cryptogram, out.Data, out.Discretionary, out.ODA, out.Removed = o.UI, o.Cryptogram, o.Data, o.Discretionary, o.ODA, o.Removed
	switch {
	case o.OnlinePIN:
		out.CVM = kernel.CVMOnlinePIN
	case o.Signature:
		out.CVM, out.Receipt = kernel.CVMSignature, true
	case o.Kind == kernel.Approved:
		out.CVM = kernel.CVMNone
	}
	return out
}

package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
)

// InsertRequest is one payment, or one purse operation, with the card in the slot.
type InsertRequest struct {
	Request
	Purse       contact.PurseOperation // not a sale; Amount is what is loaded, and nothing for an unload
	ForceOnline bool                   // the merchant wants the issuer's word
	// Previous is what a card has paid here before, in this batch; may be nil.
	Previous func(pan.Number) money.Amount
	// Contactless holds the same dialogue with a card in the field: cards that offer the full dialogue without contact answer a
	// reader that does not offer qPBOC with it [REF 2.1]. The card stays in the field until the end.
	Contactless bool
}

// People answer what the dialogue asks. Each function may be nil: then nobody is there to answer. An error is a surprise; the
// dialogue is brought to its end as if nobody had answered, and the error is returned with the result.
type People struct {
	// Online asks the issuer. A nil answer: none came.
	Online func(context.Context, contact.Online) (*contact.HostAnswer, error)
	// Choose returns an index, or false for "cancel". nil: the card's order.
	Choose func(context.Context, contact.Choice) (index int, ok bool, err error)
	// PIN returns contact.PINEntered, PINBypassed, PINPadFailed or Cancelled. nil: there is no PIN pad.
	PIN func(context.Context, contact.PINRequest) (contact.Event, error)
	// Document says whether the holder's document is the one named. nil: nobody looks.
	Document func(context.Context, contact.Document) (matches bool, err error)
}

// InsertResult is how an insertion ended.
type InsertResult struct {
	Outcome   contact.Outcome
	AID       emv.AID            // the selected application; empty when none was
	Unsettled *Unsettled         // set when only the card knows whether its purse changed: present the same card to Settle
	UI        []kernel.UIRequest // everything the Observer was asked to show, in order
}

// Insert runs one payment or purse operation with a card in the slot, from the directory to the last script [EMV B3 8] [REF 5]. The
// error is a surprise: the reader or somebody's answer failed, the request is impossible. Whatever card and host do is an outcome.
func (t *Terminal) Insert(ctx context.Context, reader apdu.Transceiver, r InsertRequest, people People) (InsertResult, error) {
	if len(t.config.Contact.Applications) == 0 {
		return InsertResult{}, fmt.Errorf("%w: this terminal has no reader with contacts", ErrRequest)
	}
	if err := t.checkRequest(&r.Request); err != nil {
		return InsertResult{}, err
	}
	tx := contact.Transaction{
		Transaction: kernel.Transaction{Amount: r.Amount, Other: r.Other, Type: r.Type, Date: r.Now, Country: t.config.Country, Counter: r.Counter},
		Purse:       r.Purse, OfflineOnly: r.OfflineOnly, ForceOnline: r.ForceOnline, Previous: r.Previous,
	}
	if r.Contactless {
		tx.TTQ = t.fullTTQ(r.OfflineOnly)
	}
	if err := tx.Check(); err != nil {
		return InsertResult{}, fmt.Errorf("%w: %w", ErrRequest, err)
	}
	for _, b := range [...][]byte{tx.UnpredictableNumber[:], tx.Seed[:]} {
		if _, err := io.ReadFull(t.config.Random, b); err != nil {
			return InsertResult{}, fmt.Errorf("draw the unpredictable number: %w", err)
		}
	}
	s := &slot{session: session{line: line{ctx, WholeAnswers(reader), t.config.Observer}, terminal: t, request: r.Request}, people: people, tx: tx}
	if r.Contactless {
		return s.tapFull()
	}
	s.show(kernel.UIRequest{Message: kernel.MessageProcessing, Status: kernel.StatusProcessing})
	m := contact.New(t.config.Contact, tx)
	return s.finish(m, s.dialogue(m, m.Start()))
}

// fullTTQ are the qualifiers of a reader that wants the full dialogue: what the terminal can do, without qPBOC [REF 2.1].
func (t *Terminal) fullTTQ(offline bool) emv.TTQ {
	ttq := t.config.TTQ
	ttq.Set(emv.TTQFullContactless)
	ttq.Clear(emv.TTQQPBOC)
	ttq.Clear(emv.TTQMSD)
	if offline {
		ttq.Set(emv.TTQOfflineOnly)
		ttq.Clear(emv.TTQOnlinePIN)
	}
	return ttq
}

// slot is one insertion.
type slot struct {
	session
	people  People
	tx      contact.Transaction
	trouble error // the first surprise
}

func (s *slot) surprise(err error) {
	if s.trouble == nil {
		s.trouble = err
	}
}

// dialogue carries the machine's actions out.
func (s *slot) dialogue(m *contact.Machine, a contact.Action) contact.Outcome {
	for a.Outcome == nil {
		switch {
		case a.Send != nil:
			a = m.Next(s.exchange(*a.Send))
		case a.Choose != nil:
			a = m.Next(s.choose(*a.Choose))
		case a.PIN != nil:
			a = m.Next(s.pin(*a.PIN))
		case a.Document != nil:
			a = m.Next(s.document(*a.Document))
		default:
			a = m.Next(s.online(*a.Online))
		}
	}
	return *a.Outcome
}

// exchange asks the card. When the reader itself fails the machine is told that the card is gone, so that nothing is forgotten.
func (s *slot) exchange(c apdu.Command) contact.Event {
	b, err := s.raw(c)
	if err != nil {
		if !errors.Is(err, apdu.ErrCardLost) {
			s.surprise(err)
		}
		return contact.CardLost{}
	}
	return contact.Response{Data: b}
}

func (s *slot) choose(c contact.Choice) contact.Event {
	if s.people.Choose == nil {
		return contact.Chosen{}
	}
	index, ok, err := s.people.Choose(s.ctx, c)
	if err != nil {
		s.surprise(fmt.Errorf("choose an application: %w", err))
	}
	if err != nil || !ok || index < 0 || index >= len(c.Candidates) {
		return contact.Cancelled{}
	}
	return contact.Chosen{Index: index}
}

func (s *slot) pin(p contact.PINRequest) contact.Event {
	if s.people.PIN == nil {
		return contact.PINPadFailed{}
	}
	s.show(kernel.UIRequest{Message: kernel.MessageEnterPIN, Status: kernel.StatusProcessing})
	ev, err := s.people.PIN(s.ctx, p)
	if err != nil {
		s.surprise(fmt.Errorf("ask for the PIN: %w", err))
		return contact.PINPadFailed{}
	}
	switch e := ev.(type) {
	case contact.PINBypassed, contact.PINPadFailed, contact.Cancelled:
		return e
	case contact.PINEntered:
		if p.Online || !e.PIN.IsZero() {
			return e
		}
	}
	s.surprise(fmt.Errorf("%w: %T does not answer the question for a PIN", ErrRequest, ev))
	return contact.PINPadFailed{}
}

func (s *slot) document(d contact.Document) contact.Event {
	if s.people.Document == nil {
		return contact.DocumentChecked{}
	}
	matches, err := s.people.Document(s.ctx, d)
	if err != nil {
		s.surprise(fmt.Errorf("check the document: %w", err))
	}
	return contact.DocumentChecked{Matches: matches && err == nil}
}

func (s *slot) online(q contact.Online) contact.Event {
	if s.people.Online == nil {
		return contact.HostSilent{}
	}
	s.show(kernel.UIRequest{Message: kernel.MessageAuthorising, Status: kernel.StatusProcessing})
	answer, err := s.people.Online(s.ctx, q)
	if err != nil {
		s.surprise(fmt.Errorf("ask the issuer: %w", err))
	}
	if err != nil || answer == nil {
		return contact.HostSilent{}
	}
	return *answer
}

// finish shows the outcome and remembers what is unsettled.
func (s *slot) finish(m *contact.Machine, o contact.Outcome) (InsertResult, error) {
	s.show(o.UI)
	r := InsertResult{Outcome: o, AID: m.AID()}
	if o.Uncertain && o.BalanceBefore != nil {
		identity, known := m.Identity()
		r.Unsettled = &Unsettled{AID: m.AID(), Purse: s.tx.Purse, Before: *o.BalanceBefore, amount: s.request.Amount, identity: identity, known: known, outcome: o}
	}
	r.UI = s.result.UI
	return r, s.trouble
}

// end concludes an insertion whose machine never ran.
func (s *slot) end(kind kernel.OutcomeKind, why contact.Reason, detail glossary.Term) (InsertResult, error) {
	o := contact.NewOutcome(kind, why, detail)
	s.show(o.UI)
	return InsertResult{Outcome: o, UI: s.result.UI}, s.trouble
}

// tapFull finds an application in the field and holds the full dialogue with it.
func (s *slot) tapFull() (InsertResult, error) {
	s.show(kernel.UIRequest{Message: kernel.MessagePresentCard, Status: kernel.StatusReadyToRead})
	r, err := s.send(apdu.Select([]byte(emv.PPSE)))
	if err != nil {
		return s.fieldTrouble(err)
	}
	entries, ok := parseDirectory(r.Data)
	switch {
	case r.SW == apdu.FunctionNotSupported:
		return s.end(kernel.EndApplication, contact.ReasonCardBlocked, r.SW.Term())
	case r.SW != apdu.OK:
		return s.end(kernel.EndApplication, contact.ReasonNoCommonApplication, r.SW.Term())
	case !ok:
		return s.end(kernel.EndApplication, contact.ReasonCardAnswerMalformed, glossary.Term{})
	}
	s.show(kernel.UIRequest{Message: kernel.MessageProcessing, Status: kernel.StatusProcessing})
	sortEntries(entries)
	for i := range entries {
		aid := entries[i].aid
		if r, err = s.send(apdu.Select(aid.Bytes())); err != nil {
			return s.fieldTrouble(err)
		}
		if r.SW != apdu.OK {
			continue
		}
		m := contact.New(s.terminal.config.Contact, s.tx)
		if o := s.dialogue(m, m.StartSelected(aid, r.Data)); o.Kind != kernel.SelectNext {
			return s.finish(m, o)
		}
	}
	return s.end(kernel.EndApplication, contact.ReasonNoCommonApplication, glossary.Term{})
}

func (s *slot) fieldTrouble(err error) (InsertResult, error) {
	switch {
	case errors.Is(err, apdu.ErrCardLost):
		return s.end(kernel.TryAgain, contact.ReasonCardRemoved, glossary.Term{})
	case errors.Is(err, errMalformed):
		return s.end(kernel.EndApplication, contact.ReasonCardAnswerMalformed, glossary.Term{})
	}
	s.surprise(err)
	return s.end(kernel.EndApplication, contact.ReasonCardRemoved, glossary.Term{})
}

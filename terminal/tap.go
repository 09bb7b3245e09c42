package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
)

// line is a card in the field, watched.
type line struct {
	ctx      context.Context
	reader   apdu.Transceiver
	observer Observer
}

// errMalformed says that the card's answer is no response.
var errMalformed = errors.New("answer is no response")

// raw sends a command. The error wraps apdu.ErrCardLost when the card is gone, anything else is the reader's trouble.
func (l *line) raw(c apdu.Command) ([]byte, error) {
	command := c.Bytes()
	response, err := l.reader.Transceive(l.ctx, command)
	if l.observer != nil {
		l.observer.Exchange(command, response, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", apdu.InstructionName(c.INS).EN, err)
	}
	return response, nil
}

// send sends a command and reads the answer's form.
func (l *line) send(c apdu.Command) (apdu.Response, error) {
	b, err := l.raw(c)
	if err != nil {
		return apdu.Response{}, err
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return apdu.Response{}, errMalformed
	}
	return r, nil
}

// session is one tap.
type session struct {
	line
	terminal *Terminal
	request  Request
	result   Result
}

func (t *Terminal) session(ctx context.Context, reader apdu.Transceiver, r Request) *session {
	return &session{line: line{ctx, reader, t.config.Observer}, terminal: t, request: r}
}

// show asks for a screen.
func (s *session) show(u kernel.UIRequest) {
	if u.IsZero() {
		return
	}
	s.result.UI = append(s.result.UI, u)
	if s.observer != nil {
		s.observer.Screen(u)
	}
}

// end concludes the session with an outcome and shows it. The beep comes before anything that takes time: the card may leave.
func (s *session) end(o kernel.Outcome) {
	s.result.Outcome = o
	switch o.Kind {
	case kernel.Approved, kernel.Declined, kernel.OnlineRequest:
		s.show(kernel.UIRequest{Message: kernel.MessageCardReadOK, Status: kernel.StatusCardRead})
	}
	s.show(o.UI)
}

func (s *session) stop(kind kernel.OutcomeKind, why kernel.Reason) {
	s.end(kernel.NewOutcome(kind, why, glossary.Term{}))
}

// trouble turns a failed exchange before the kernel started into an outcome; what is not the card's doing stays an error.
func (s *session) trouble(err error) error {
	switch {
	case errors.Is(err, apdu.ErrCardLost):
		s.stop(kernel.TryAgain, kernel.ReasonCardRemoved)
		return nil
	case errors.Is(err, errMalformed):
		s.stop(kernel.EndApplication, kernel.ReasonCardAnswerMalformed)
		return nil
	}
	return err
}

func (t *Terminal) tap(ctx context.Context, reader apdu.Transceiver, r Request) (Result, error) {
	if err := t.checkRequest(&r); err != nil {
		return Result{}, err
	}
	s := t.session(ctx, reader, r)
	err := s.pay()
	return s.result, err
}

// pay is the entry point from Start A on [EMV BookB 3].
func (s *session) pay() error {
	ready, why := s.terminal.prepare(&s.request)
	if len(ready) == 0 {
		s.stop(s.otherInterface(), why)
		return nil
	}
	s.show(kernel.UIRequest{Message: kernel.MessagePresentCard, Status: kernel.StatusReadyToRead})
	r, err := s.send(apdu.Select([]byte(emv.PPSE)))
	if err != nil {
		return s.trouble(err)
	}
	s.show(kernel.UIRequest{Message: kernel.MessageProcessing, Status: kernel.StatusProcessing})
	if r.SW != apdu.OK {
		why := kernel.ReasonNoDirectory
		if r.SW == apdu.FunctionNotSupported {
			why = kernel.ReasonCardBlocked
		}
		s.end(kernel.NewOutcome(s.otherInterface(), why, r.SW.Term()))
		return nil
	}
	entries, ok := parseDirectory(r.Data)
	if !ok {
		s.stop(kernel.EndApplication, kernel.ReasonCardAnswerMalformed)
		return nil
	}
	return s.try(candidates(ready, entries))
}

// try selects one candidate after another until a kernel has an outcome other than Select Next.
func (s *session) try(list []candidate) error {
	why, detail := kernel.ReasonNoCommonApplication, glossary.Term{}
	for i := range list {
		c := &list[i]
		r, err := s.send(apdu.Select(c.name()))
		if err != nil {
			return s.trouble(err)
		}
		if r.SW != apdu.OK {
			detail = r.SW.Term()
			why = kernel.ReasonCardRefused
			if r.SW == apdu.ApplicationBlocked {
				why = kernel.ReasonApplicationBlocked
			}
			continue
		}
		o, err := s.activate(c, r.Data)
		if err != nil {
			return err
		}
		if o.Kind != kernel.SelectNext {
			return nil
		}
		why, detail = o.Reason, o.Detail
	}
	s.end(kernel.NewOutcome(s.otherInterface(), why, detail))
	return nil
}

// activate runs the kernel for one candidate. An outcome other than Select Next is the session's.
func (s *session) activate(c *candidate, fci []byte) (kernel.Outcome, error) {
	tx := kernel.Transaction{
		Amount: s.request.Amount, Other: s.request.Other, Type: s.request.Type, Date: s.request.Now,
		Country: s.terminal.config.Country, TTQ: c.ttq, Counter: s.request.Counter,
	}
	if _, err := io.ReadFull(s.terminal.config.Random, tx.UnpredictableNumber[:]); err != nil {
		return kernel.Outcome{}, fmt.Errorf("draw the unpredictable number: %w", err)
	}
	m := kernel.New(s.terminal.config.Kernel, tx, kernel.Selection{AID: c.aid, FCI: fci})
	o, err := s.run(m, m.Start())
	if o.Kind == kernel.SelectNext {
		return o, err
	}
	s.result.AID = c.aid
	if opened, ok := m.FullDialogue(); ok && err == nil && s.request.Dialogue != nil && s.terminal.config.Contact.Takes(c.aid) {
		return s.goOn(c.aid, fci, tx, opened)
	}
	if m.Torn() {
		s.result.Torn = &Torn{At: s.request.Now, AID: c.aid, request: s.request, machine: m}
	}
	s.end(o)
	return o, err
}

// run carries the kernel's commands to the card. When the reader itself fails the kernel is told that the card is lost, so that
// nothing is forgotten, and the error is passed on as well.
func (s *session) run(m *kernel.Machine, a kernel.Action) (kernel.Outcome, error) {
	var trouble error
	for a.Outcome == nil {
		b, err := s.raw(*a.Send)
		switch {
		case err == nil:
			a = m.Next(kernel.Response{Data: b})
		case errors.Is(err, apdu.ErrCardLost):
			a = m.Next(kernel.CardLost{})
		default:
			trouble = err
			a = m.Next(kernel.CardLost{})
		}
	}
	return *a.Outcome, trouble
}

// otherInterface is the end where the reader can do nothing more without contact [REF 7.1].
func (s *session) otherInterface() kernel.OutcomeKind {
	c := &s.terminal.config
	for i := range c.Combinations {
		if ttq := c.Combinations[i].ttq(c); ttq.Has(emv.TTQContact) {
			return kernel.TryAnotherInterface
		}
	}
	return kernel.EndApplication
}

// Torn is a payment whose end only the card knows: it left after it had approved and before the terminal had everything.
// Present the same card to Retap. Torn belongs to the terminal that made it, and to one goroutine.
type Torn struct {
	AID emv.AID
	At  time.Time // Request.Now of the torn tap: the windows count from here

	request Request
	machine *kernel.Machine
}

// ATC is the card's counter of the torn payment.
func (t *Torn) ATC() uint16 {
	atc, _ := t.machine.ATC()
	return atc
}

// Format prints application and counter only: a torn payment holds card data.
func (t *Torn) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "torn payment of %s, counter %d", t.AID, t.ATC())
}

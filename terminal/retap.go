package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/tlv"
)

// answer is what evidence says to a question.
type answer uint8

const (
	unknown answer = iota
	yes
	no
)

func (t *Terminal) retap(ctx context.Context, reader apdu.Transceiver, torn *Torn, now time.Time) (Result, error) {
	if torn == nil || !torn.machine.Torn() {
		return Result{}, fmt.Errorf("%w: the payment is not torn, or it is settled already", ErrRequest)
	}
	s := t.session(ctx, reader, torn.request)
	s.result.AID = torn.AID
	age := now.Sub(torn.At)
	if age > t.config.RetapProcess {
		s.abandon(torn)
		return s.result, nil
	}
	fresh, err := s.recover(torn)
	if err != nil {
		return s.result, s.tornTrouble(torn, err)
	}
	if !fresh {
		return s.result, nil
	}
	if age > t.config.RetapWindow {
		s.abandon(torn)
		return s.result, nil
	}
	again := torn.request
	again.Now = now
	next := t.session(ctx, reader, again)
	next.result.UI = s.result.UI
	err = next.pay()
	return next.result, err
}

func (s *session) abandon(torn *Torn) {
	s.end(*torn.machine.Abandon(kernel.ReasonInterrupted).Outcome)
}

// again asks for the same card once more; the question stays open.
func (s *session) again(torn *Torn, why kernel.Reason) {
	s.result.Torn = torn
	s.stop(kernel.TryAgain, why)
}

// tornTrouble keeps the question open when the card left again or said nothing sensible, and passes the reader's trouble on.
func (s *session) tornTrouble(torn *Torn, err error) error {
	s.again(torn, kernel.ReasonTorn)
	if errors.Is(err, apdu.ErrCardLost) || errors.Is(err, errMalformed) {
		return nil
	}
	return err
}

// recover finds out whether the card has paid [REF 2.5]. fresh: it has not, and a new payment may follow; otherwise the session
// has its outcome.
func (s *session) recover(torn *Torn) (fresh bool, err error) {
	m := torn.machine
	asked := m.LastAsked()
	s.show(kernel.UIRequest{Message: kernel.MessageProcessing, Status: kernel.StatusProcessing})
	fci, err := s.send(m.Select())
	if err != nil {
		return false, err
	}
	if fci.SW != apdu.OK && fci.SW != apdu.ApplicationBlocked {
		s.again(torn, kernel.ReasonOtherCard)
		return false, nil
	}
	same, err := s.sameCard(m)
	if err != nil {
		return false, err
	}
	if same == no {
		s.again(torn, kernel.ReasonOtherCard)
		return false, nil
	}
	counter, err := s.sameCounter(torn)
	if err != nil {
		return false, err
	}
	if counter == no {
		return s.afterAnotherPayment(torn, asked, fci.Data)
	}
	paid, err := s.balanceSays(torn, counter)
	if err != nil {
		return false, err
	}
	if paid == no {
		return true, nil
	}
	return s.readOn(torn, asked, same, paid, fci.Data)
}

// readOn reads what is missing, the last record above all: a card shows it after a tear only if it has paid [REF 2.4].
func (s *session) readOn(torn *Torn, asked bool, same, paid answer, fci []byte) (fresh bool, err error) {
	m := torn.machine
	o, err := s.run(m, m.Resume())
	switch {
	case m.Torn(): // gone again
		s.result.Torn = torn
		s.end(o)
		return false, err
	case o.Reason == kernel.ReasonRecordRefused:
		m.Tear()
		return s.withoutRecord(torn, asked, paid, fci)
	case same == unknown && o.Reason == kernel.ReasonContradictoryData:
		m.Tear()
		s.again(torn, kernel.ReasonOtherCard)
		return false, nil
	case paid != yes && !m.LastProves():
		// The record is the same for every payment: it shows nothing, and neither does the balance.
		m.Tear()
		return s.withoutRecord(torn, asked, unknown, fci)
	}
	if o.Kind == kernel.Approved && o.Reason == kernel.ReasonApproved {
		o.Reason = kernel.ReasonRecovered
	}
	s.end(o)
	return false, nil
}

// withoutRecord decides when the last record is not to be had or shows nothing.
func (s *session) withoutRecord(torn *Torn, asked bool, paid answer, fci []byte) (fresh bool, err error) {
	switch {
	case paid == yes && !s.terminal.config.RetapNeedsSignature:
		s.end(*torn.machine.Settle(kernel.ReasonRecoveredByBalance).Outcome)
	case paid == unknown && !asked:
		return true, nil // the record that pays was never asked for
	case paid == unknown:
		return false, s.byLog(torn, fci)
	default:
		s.abandon(torn)
	}
	return false, nil
}

// byLog ends a torn payment with what the card's log says, if it keeps one: a payment that is not there may have been made all the same.
func (s *session) byLog(torn *Torn, fci []byte) error {
	found, err := s.logSays(torn, fci)
	if err != nil {
		return err
	}
	if found && !s.terminal.config.RetapNeedsSignature {
		s.end(*torn.machine.Settle(kernel.ReasonRecoveredByLog).Outcome)
		return nil
	}
	s.abandon(torn)
	return nil
}

// afterAnotherPayment: the card's counter has moved on since. Only its log can tell, if it keeps one.
func (s *session) afterAnotherPayment(torn *Torn, asked bool, fci []byte) (fresh bool, err error) {
	if !asked {
		return true, nil
	}
	return false, s.byLog(torn, fci)
}

// sameCard reads the record with the account number again. A card that withholds it outside a payment leaves the question to
// the signature.
func (s *session) sameCard(m *kernel.Machine) (answer, error) {
	identity, ok := m.Identity()
	if !ok {
		return unknown, nil
	}
	r, err := s.send(apdu.ReadRecord(identity.Record.SFI, identity.Record.Number))
	switch {
	case err != nil:
		return unknown, err
	case r.SW == apdu.OK && bytes.Equal(r.Data, identity.Raw):
		return yes, nil
	case r.SW == apdu.OK, r.SW == apdu.FileNotFound, r.SW == apdu.RecordNotFound:
		return no, nil
	}
	return unknown, nil
}

// sameCounter compares the card's counter with that of the torn payment.
func (s *session) sameCounter(torn *Torn) (answer, error) {
	b, err := s.getData(emv.TagATC)
	switch {
	case err != nil || len(b) != 2:
		return unknown, err
	case uint16(b[0])<<8|uint16(b[1]) == torn.ATC():
		return yes, nil
	}
	return no, nil
}

// balanceSays compares the card's money with what it said it would hold after the payment. With another counter, or an unknown
// one, equal amounts mean nothing.
func (s *session) balanceSays(torn *Torn, counter answer) (answer, error) {
	after, known := torn.machine.BalanceAfter()
	amount := torn.request.Amount.Minor()
	if counter != yes || !known || amount == 0 {
		return unknown, nil
	}
	for _, tag := range [...]tlv.Tag{emv.TagECBalance, emv.TagAvailableOffline} {
		b, err := s.getData(tag)
		if err != nil {
			return unknown, err
		}
		switch now, ok := kernel.Minor(b); {
		case ok && now == after:
			decides, err := s.purseDecides(torn.request.Amount.Currency())
			if err != nil || !decides {
				return unknown, err
			}
			return yes, nil
		case ok && now == after+amount:
			return no, nil
		}
	}
	return unknown, nil
}

// purseDecides reports whether the card pays from its purse or not at all: then what the purse holds shows what the card did. A card that
// may pay from its cumulative limit instead, or in a foreign currency, says the same amount before and after [REF 1.6] [REF 2.2].
func (s *session) purseDecides(c money.Currency) (bool, error) {
	b, err := s.getData(emv.TagAdditionalProcessing)
	if err != nil {
		return false, err
	}
	processing, invalid := emv.ParseAdditionalProcessing(b)
	if invalid != nil || !processing.Has(emv.APLowValue) && !processing.Has(emv.APLowValueAndCTTA) {
		return false, nil
	}
	for _, tag := range [...]tlv.Tag{emv.TagECCurrency, emv.TagSecondECCurrency} {
		if told, err := s.currency(tag); err != nil || told == c {
			return err == nil, err
		}
	}
	return false, nil
}

// logSays looks for the torn payment in the card's log: its counter and its amount.
func (s *session) logSays(torn *Torn, fci []byte) (bool, error) {
	log, err := s.readLog(fci, emv.TagLogEntry, emv.TagLogFormat)
	if err != nil {
		return false, err
	}
	for i := range log.Records {
		r := &log.Records[i]
		atc := r.Get(emv.TagATC)
		minor, ok := kernel.Minor(r.Get(emv.TagAmount))
		if ok && len(atc) == 2 && uint16(atc[0])<<8|uint16(atc[1]) == torn.ATC() && minor == torn.request.Amount.Minor() {
			return true, nil
		}
	}
	return false, nil
}

// getData asks for one object; nil when the card does not tell it.
func (l *line) getData(tag tlv.Tag) ([]byte, error) {
	r, err := l.send(apdu.GetData(tag))
	if err != nil || r.SW != apdu.OK {
		return nil, err
	}
	value, _ := tlv.Find(r.Data, tag)
	return value, nil
}

// amount asks for an amount; nil when the card does not tell it.
func (l *line) amount(tag tlv.Tag, c money.Currency) (*money.Amount, error) {
	b, err := l.getData(tag)
	if err != nil || b == nil {
		return nil, err
	}
	a, err := money.FromBCD(b, c)
	if err != nil {
		return nil, nil //nolint:nilerr // not an amount: as good as not told
	}
	return &a, nil
}

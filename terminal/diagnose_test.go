package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
)

// Every reason that is not a success names somebody and says what to do.
func TestAPurseAloneIsNotOutOfMoney(t *testing.T) {
	d := terminal.DiagnoseAnswer("51", emv.AIDElectronicCash)
	if d.Cause != terminal.CauseTerminal || d.Why.EN == "" || d.Why.ZH == "" || d.Next.EN == "" || d.Next.ZH == "" {
		t.Errorf("%+v", d)
	}
	for _, c := range []struct {
		code string
		aid  emv.AID
	}{{"51", emv.AIDDebit}, {"51", ""}, {"55", emv.AIDElectronicCash}, {"00", emv.AIDElectronicCash}} {
		if got := terminal.DiagnoseAnswer(c.code, c.aid); got != terminal.DiagnoseResponse(c.code) {
			t.Errorf("%s of %s: %+v", c.code, c.aid, got)
		}
	}
}

func TestEveryReasonHasACause(t *testing.T) {
	fine := map[kernel.Reason]bool{kernel.ReasonNone: true, kernel.ReasonApproved: true, kernel.ReasonIssuerDecides: true, kernel.ReasonDeferred: true,
		kernel.ReasonExpiredOnline: true, kernel.ReasonODAFailedOnline: true, kernel.ReasonPINOnline: true, kernel.ReasonRecovered: true,
		kernel.ReasonRecoveredByBalance: true, kernel.ReasonRecoveredByLog: true, kernel.ReasonDialogueHeld: true}
	for _, r := range kernel.Reasons() {
		o := kernel.NewOutcome(kernel.Declined, r, glossary.Term{})
		if d := terminal.Diagnose(&o); (d.Cause == terminal.CauseNone) != fine[r] || d.Why.ZH == "" || d.Next.ZH == "" || d.Next.EN == "" {
			t.Errorf("%v: %v, %v, %v", r, d.Cause, d.Why, d.Next)
		}
	}
	approved := map[contact.Reason]bool{contact.ReasonNone: true, contact.ReasonApproved: true, contact.ReasonCashApproved: true, contact.ReasonIssuerApproved: true,
		contact.ReasonApprovedWithoutHost: true, contact.ReasonLoaded: true, contact.ReasonUnloaded: true}
	for _, r := range contact.Reasons() {
		o := contact.NewOutcome(kernel.Declined, r, glossary.Term{})
		if d := terminal.DiagnoseInsert(&o); (d.Cause == terminal.CauseNone) != approved[r] || d.Why.ZH == "" || d.Next.ZH == "" || d.Next.EN == "" {
			t.Errorf("%v: %v, %v, %v", r, d.Cause, d.Why, d.Next)
		}
	}
}

func TestDiagnoseError(t *testing.T) {
	for err, want := range map[error]terminal.Cause{
		nil: terminal.CauseNone, fmt.Errorf("tap: %w", apdu.ErrCardLost): terminal.CauseCarrier, terminal.ErrNoCard: terminal.CauseCarrier,
		fmt.Errorf("%w: limit", terminal.ErrConfig): terminal.CauseParameters, context.DeadlineExceeded: terminal.CauseNetwork, errReader: terminal.CauseTerminal,
	} {
		if d := terminal.DiagnoseError(err); d.Cause != want || d.Why.EN == "" || d.Why.ZH == "" {
			t.Errorf("%v: %v", err, d)
		}
	}
	if d := terminal.DiagnoseError(errors.Join(errReader, apdu.ErrCardLost)); d.Cause != terminal.CauseCarrier {
		t.Errorf("%v", d)
	}
}

// The same outcome has another cause when the terminal lacks the key.
func TestDiagnoseLooksBehindTheReason(t *testing.T) {
	o := kernel.NewOutcome(kernel.Declined, kernel.ReasonODAFailed, glossary.Term{})
	o.ODA = kernel.ODAResult{Status: kernel.ODAFailed, Failure: &oda.Failure{Step: oda.StepCAKey, Check: oda.CheckUnknownKey}}
	if d := terminal.Diagnose(&o); d.Cause != terminal.CauseParameters {
		t.Errorf("unknown CA key: %v", d)
	}
	o.ODA.Failure = &oda.Failure{Step: oda.StepFDDA, Check: oda.CheckHash}
	if d := terminal.Diagnose(&o); d.Cause != terminal.CauseCard {
		t.Errorf("forged signature: %v", d)
	}
	i := contact.NewOutcome(kernel.Declined, contact.ReasonIssuerDeclined, glossary.Term{})
	for arc, want := range map[string]terminal.Cause{"91": terminal.CauseNetwork, "97": terminal.CauseParameters, "51": terminal.CauseHolder, "05": terminal.CauseHost, "00": terminal.CauseNone} {
		i.Data.Set(emv.TagARC, []byte(arc))
		if d := terminal.DiagnoseInsert(&i); d.Cause != want || d.Next.ZH == "" {
			t.Errorf("%s: %v", arc, d)
		}
	}
	p := contact.NewOutcome(kernel.Declined, contact.ReasonTerminalDeclined, glossary.Term{})
	for bit, want := range map[emv.TVRBit]terminal.Cause{emv.TVRPINPadMissing: terminal.CauseTerminal, emv.TVRExpired: terminal.CauseCard,
		emv.TVRPINTriesExceeded: terminal.CauseHolder, emv.TVRFloorLimitExceeded: terminal.CauseParameters} {
		p.TVR = emv.TVR{}
		p.TVR.Set(bit)
		if d := terminal.DiagnoseInsert(&p); d.Cause != want {
			t.Errorf("%v: %v", p.TVR, d)
		}
	}
}

func TestReadAll(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	b.script = fill
	term := newTerminal(t, contactConfig(issued))
	insert(t, term, card.NewSlot(c), purse(contact.PurseLoad, 5000), people(b))
	tap(t, term, card.NewField(c), request(1250))
	for name, reader := range map[string]apdu.Transceiver{"slot": card.NewSlot(c), "field": card.NewField(c)} {
		before := c.State()
		all, err := terminal.ReadAll(context.Background(), reader)
		if err != nil || len(all.Applications) != 1 || name == "field" && !all.Contactless {
			t.Fatalf("%s: %d applications, %v, %v", name, len(all.Applications), all.Reason, err)
		}
		if c.State() != before {
			t.Errorf("%s: reading changed the card", name)
		}
		d := &all.Applications[0]
		if d.PAN != issued.PAN || d.Balance == nil || *d.Balance != yuan(12_500) || len(d.Log.Records) == 0 {
			t.Errorf("%s: %v %v, %d records", name, d.PAN, d.Balance, len(d.Log.Records))
		}
		if name == "slot" && len(d.LoadLog.Records) != 1 {
			t.Errorf("%s: %d loads", name, len(d.LoadLog.Records))
		}
		named := map[string]bool{}
		for _, item := range d.Items() {
			named[item.Tag.String()] = true
			if item.Where.ZH == "" || item.Tag != 0 && item.Name.EN == "" {
				t.Errorf("%s: %v has no name", name, item.Tag)
			}
		}
		for _, tag := range []string{"84", "5A", "9F46", "90", "9F79", "9F36", "9F4F"} {
			if !named[tag] {
				t.Errorf("%s: no %s", name, tag)
			}
		}
	}
	empty, err := terminal.ReadAll(context.Background(), reply(func(apdu.Command) []byte { return apdu.FileNotFound.Append(nil) }))
	if err != nil || empty.Reason != kernel.ReasonNoDirectory {
		t.Errorf("a card with nothing: %v, %v", empty.Reason, err)
	}
}

// blocks is a T=0 card: answers in pieces, and a wrong Le first.
type blocks struct {
	whole   []byte
	pending []byte
	asked   []string
}

func (x *blocks) Transceive(_ context.Context, command []byte) ([]byte, error) {
	c, err := apdu.ParseCommand(command)
	if err != nil {
		return nil, err
	}
	x.asked = append(x.asked, fmt.Sprintf("%02X %d", c.INS, c.Le))
	switch {
	case c.INS == apdu.InsReadRecord && c.Le != 6:
		return []byte{0x6C, 6}, nil
	case c.INS == apdu.InsReadRecord:
		return apdu.OK.Append(append([]byte(nil), x.whole[:6]...)), nil
	case c.INS == apdu.InsGetResponse:
		n := min(c.Le, 4, len(x.pending))
		answer := append([]byte(nil), x.pending[:n]...)
		if x.pending = x.pending[n:]; len(x.pending) > 0 {
			return append(answer, 0x61, byte(len(x.pending))), nil
		}
		return apdu.OK.Append(answer), nil
	}
	x.pending = x.whole
	return []byte{0x61, byte(len(x.whole))}, nil
}

func TestWholeAnswers(t *testing.T) {
	x := &blocks{whole: []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}
	whole := terminal.WholeAnswers(x)
	for _, tt := range []struct {
		command apdu.Command
		want    string
	}{{apdu.Select(emv.AIDDebit.Bytes()), "0102030405060708090A9000"}, {apdu.ReadRecord(1, 1), "0102030405069000"}} {
		b, err := whole.Transceive(context.Background(), tt.command.Bytes())
		if got := fmt.Sprintf("%X", b); err != nil || got != tt.want {
			t.Errorf("%v: %s, %v after %v", tt.command, got, err, x.asked)
		}
	}
	endless := terminal.WholeAnswers(reply(func(apdu.Command) []byte { return []byte{0, 0x61, 0x10} }))
	if b, err := endless.Transceive(context.Background(), apdu.GetData(emv.TagATC).Bytes()); err != nil || fmt.Sprintf("%X", b) != "6700" {
		t.Errorf("endless card: %X, %v", b, err)
	}
	stubborn := terminal.WholeAnswers(reply(func(apdu.Command) []byte { return []byte{0x6C, 0x10} }))
	if b, err := stubborn.Transceive(context.Background(), apdu.GetData(emv.TagATC).Bytes()); err != nil || fmt.Sprintf("%X", b) != "6C10" {
		t.Errorf("stubborn card: %X, %v", b, err)
	}
}

// slotReader is a terminal.Reader over a simulated slot.
type slotReader struct {
	field *card.Field
	on    bool
}

func (s *slotReader) Name() string { return "slot" }
func (s *slotReader) Connect() ([]byte, error) {
	s.field.Present()
	s.on = true
	return []byte{0x3B, 0x00}, nil
}
func (s *slotReader) Transmit(b []byte) ([]byte, error) {
	if !s.on {
		return nil, errReader
	}
	return s.field.Transceive(context.Background(), b)
}
func (s *slotReader) Disconnect() error { s.on = false; return nil }

func TestOverReader(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	r := &slotReader{field: card.NewSlot(c)}
	if _, err := r.Connect(); err != nil {
		t.Fatal(err)
	}
	result := insert(t, newTerminal(t, contactConfig(issued)), terminal.OverReader(r), terminal.InsertRequest{Request: request(1250)}, people(b))
	ends(t, result.Outcome, kernel.Approved, contact.ReasonCashApproved)
	if err := r.Disconnect(); err != nil {
		t.Fatal(err)
	}
	if _, err := terminal.OverReader(r).Transceive(context.Background(), apdu.GetData(emv.TagATC).Bytes()); !errors.Is(err, errReader) {
		t.Errorf("%v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := terminal.OverReader(r).Transceive(cancelled, apdu.GetData(emv.TagATC).Bytes()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

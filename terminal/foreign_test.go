package terminal_test

import (
	"context"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/terminal"
	"tapnet/tlv"
)

// foreignCard is a card that nobody here has personalised, made by hand: two applications of other providers, tags that no dictionary has,
// a number where none is expected, a record that is no TLV, a log in its own form.
func foreignCard(t testing.TB) reply {
	names := map[string]string{"A0000000041010": "FOREIGN", "F000000042": "OPERATOR"}
	records := map[string]string{
		"A0000000041010/1.1": "7026 5A086299990089604111 5F2403301231 9F6B136299990089604111D30122010000000000000F",
		"A0000000041010/1.2": "700C DF8111020102 9F7D03010203",
		"A0000000041010/2.1": "7016 C20812345678ABCDEF01 C30A6299990000000000FFFF",
		"A0000000041010/3.1": "0102030405",
		"F000000042/1.1":     "7008 DF6A0101 DF550142",
		"F000000042/21.1":    "261122000100FF",
	}
	selected := ""
	return func(c apdu.Command) []byte {
		refused := func(sw apdu.SW) []byte { return sw.Append(nil) }
		switch c.INS {
		case apdu.InsSelect:
			name := fmt.Sprintf("%X", c.Data)
			if emv.AID(c.Data) == emv.PPSE {
				entries := tlv.Wrap(emv.TagApplicationTemplate, tlv.Append(nil, emv.TagAID, unhex(t, "A0000000041010")))
				entries = append(entries, tlv.Wrap(emv.TagApplicationTemplate, tlv.Append(nil, emv.TagAID, unhex(t, "F000000042")))...)
				return apdu.OK.Append(tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, c.Data),
					tlv.Wrap(emv.TagFCIProprietary, tlv.Wrap(emv.TagFCIDiscretionary, entries))))
			}
			label, known := names[name]
			if !known {
				return refused(apdu.FileNotFound)
			}
			selected = name
			return apdu.OK.Append(tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, c.Data),
				tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, emv.TagApplicationLabel, []byte(label)), unhex(t, "9F5D020102"), unhex(t, "BF0C05 DF3E020A0B"))))
		case apdu.InsReadRecord:
			if body, ok := records[fmt.Sprintf("%s/%d.%d", selected, c.P2>>3, c.P1)]; ok {
				return apdu.OK.Append(unhex(t, body))
			}
			return refused(apdu.RecordNotFound)
		case apdu.InsGetData:
			if c.P1 == 0x9F && c.P2 == 0x36 {
				return apdu.OK.Append(unhex(t, "9F36020042"))
			}
			return refused(apdu.DataNotFound)
		}
		return refused(apdu.InstructionNotSupported)
	}
}

// TestReadForeignCard: everything readable of a card never seen before has a place and a name, also where the name is that there is none;
// the scheme's own tags are not taken for another scheme's; and what could be an account number is marked, wherever it stands.
func TestReadForeignCard(t *testing.T) {
	all, err := terminal.ReadAll(context.Background(), foreignCard(t))
	if err != nil || len(all.Applications) != 2 {
		t.Fatalf("%d applications, %v, %v", len(all.Applications), all.Reason, err)
	}
	type seen struct {
		name      string
		sensitive bool
	}
	want := map[string]seen{
		"A0000000041010 5A": {"application primary account number", true}, "A0000000041010 5F24": {"application expiration date", false},
		"A0000000041010 9F6B": {"data object of another scheme", true}, "A0000000041010 9F7D": {"unknown data object", false},
		"A0000000041010 DF8111": {"unknown data object", false}, "A0000000041010 C2": {"unknown data object", false},
		"A0000000041010 C3": {"unknown data object", true}, "A0000000041010 9F5D": {"data object of another scheme", false},
		"A0000000041010 9F36": {"application transaction counter", false}, "A0000000041010 DF3E": {"unknown data object", false},
		"A0000000041010 0": {"", true}, "F000000042 DF6A": {"unknown data object", false}, "F000000042 9F5D": {"available offline", false}, "F000000042 0": {"", true},
	}
	for i := range all.Applications {
		d := &all.Applications[i]
		bytes := 0
		for _, item := range d.Items() {
			key := fmt.Sprintf("%v %v", d.AID, item.Tag)
			if item.Tag == 0 {
				key = fmt.Sprintf("%v 0", d.AID)
			}
			bytes += len(item.Value)
			if w, expected := want[key]; expected {
				if item.Sensitive != w.sensitive || len(item.Name.EN) < len(w.name) || item.Name.EN[:len(w.name)] != w.name || item.Tag != 0 && item.Name.ZH == "" {
					t.Errorf("%s: %q, sensitive %v", key, item.Name.EN, item.Sensitive)
				}
				delete(want, key)
			}
			if item.Where.EN == "" || item.Where.ZH == "" {
				t.Errorf("%s: nowhere", key)
			}
		}
		if bytes == 0 {
			t.Errorf("%v: nothing", d.AID)
		}
	}
	for key := range want {
		t.Errorf("%s is not there", key)
	}
}

// TestEachCauseIsReached: of a payment that fails, a dialogue with a real card or reader leads to each of the six causes, and to a next
// step in both languages.
func TestEachCauseIsReached(t *testing.T) {
	c, issued, b := insertion(t, cardtest.Options{})
	term := newTerminal(t, contactConfig(issued))
	diagnosed := map[terminal.Cause]terminal.Diagnosis{}
	add := func(want terminal.Cause, d terminal.Diagnosis) {
		if d.Cause != want || d.Why == (glossary.Term{}) || d.Why.ZH == "" || d.Next.EN == "" || d.Next.ZH == "" {
			t.Errorf("%v: %v, %q, %q", want, d.Cause, d.Why.EN, d.Next.EN)
		}
		diagnosed[d.Cause] = d
	}
	tapped := func(cfg terminal.Config, reader apdu.Transceiver, r terminal.Request) terminal.Diagnosis {
		result := tap(t, newTerminal(t, cfg), reader, r)
		if result.Outcome.Kind == kernel.Approved {
			t.Errorf("approved: %v", result.Outcome.Reason)
		}
		return result.Diagnose()
	}
	inField := func() apdu.Transceiver { return card.NewField(c) }

	// The card: it has expired, as it says itself in a record that is signed.
	late := request(1250)
	late.Now = late.Now.AddDate(5, 0, 0)
	add(terminal.CauseCard, tapped(config(issued), inField(), late))
	// The carrier: taken away after the selection.
	gone := card.NewField(c)
	gone.TearBeforeCommand(3)
	add(terminal.CauseCarrier, tapped(config(issued), gone, request(1250)))
	// The terminal: its reader fails.
	_, err := newTerminal(t, config(issued)).Tap(context.Background(), &broken{inField(), 2}, request(1250))
	add(terminal.CauseTerminal, terminal.DiagnoseError(err))
	// The parameters: the CA key is not there.
	keyless := config(issued)
	keyless.Kernel.CAKeys = nil
	add(terminal.CauseParameters, tapped(keyless, inField(), request(1250)))
	// The network: the host does not answer, and the amount is too high to go without it.
	p := people(b)
	p.Online = nil
	r := insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, p)
	d := terminal.DiagnoseInsert(&r.Outcome)
	if r.Outcome.Kind == kernel.Approved {
		t.Errorf("approved: %v", r.Outcome.Reason)
	}
	add(terminal.CauseNetwork, d)
	// The host: it declines without a reason of the card's.
	b.arc = "05"
	r = insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, people(b))
	ends(t, r.Outcome, kernel.Declined, contact.ReasonIssuerDeclined)
	add(terminal.CauseHost, terminal.DiagnoseInsert(&r.Outcome))
	// And the holder: the PIN is wrong, says the host.
	b.arc = "55"
	r = insert(t, term, card.NewSlot(c), terminal.InsertRequest{Request: request(150_000)}, people(b))
	add(terminal.CauseHolder, terminal.DiagnoseInsert(&r.Outcome))
	if len(diagnosed) != 7 {
		t.Errorf("%d causes", len(diagnosed))
	}
}

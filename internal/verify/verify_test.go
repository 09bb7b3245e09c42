package verify

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

var noon = time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC)

// Places of the members in the sound snapshot.
const (
	theIssuer = iota
	theAcquirer
	theSwitch
	theTill
)

// world builds a sound snapshot: two cards, one payment approved, one declined, one reversed after approval, one timed out at the acquirer, one offline
// payment accepted.
type world struct {
	testing.TB
	Snapshot
}

func (w *world) add(member int, r journal.Row) uint64 {
	m := &w.Members[member]
	r.Seq = uint64(len(m.Rows) + 1)
	r.At, r.BusinessDate = noon.Add(time.Duration(r.Seq)*time.Second), 20261121
	if r.Amount != 0 && r.Currency == 0 {
		r.Currency = 156
	}
	m.Rows = append(m.Rows, r)
	return r.Seq
}

// seal makes the chains whole again and the books what the rows add up to.
func (w *world) seal() {
	for i := range w.Members {
		m := &w.Members[i]
		var chain journal.Chain
		for at := range m.Rows {
			chain.Seal(&m.Rows[at])
		}
		m.Balances = derive(m).balances
	}
}

const scheme, funding ledger.Account = 1, 2

func (w *world) open(card int64, account, purse int64, more string) {
	note := fmt.Sprintf(`{"card":%d,"limits":{"tap_minor":50000,"day_minor":60000,"day_count":3,"no_pin_day_minor":60000}%s}`, card, more)
	if !json.Valid([]byte(note)) {
		w.Fatal(note)
	}
	w.add(theIssuer, journal.Row{Kind: journal.Opened, Card: card, Note: []byte(note)})
	w.add(theIssuer, journal.Row{Kind: journal.Posted, Card: card, Debit: funding, Credit: cardAccount(card), Amount: account})
	w.add(theIssuer, journal.Row{Kind: journal.Posted, Card: card, Debit: funding, Credit: purseAccount(card), Amount: purse})
}

var (
	yes = unionpay.Approved.Pack()
	no  = unionpay.WrongPIN.Pack()
)

// request adds a payment at till, acquirer and switch, and gives the rows.
func (w *world) request(n int, amount int64, upload bool) (till, acquirer, atSwitch uint64) {
	base := journal.Row{Kind: journal.Requested, RRN: rrn(n), Amount: amount}
	r := base
	r.Key = terminalKey(n)
	if r.RRN = ""; upload {
		r.Kind = journal.Queued
	}
	till = w.add(theTill, r)
	r = base
	r.Key, r.Payment = terminalKey(n), key(n)
	if upload {
		r.Reason = 1
	}
	acquirer = w.add(theAcquirer, r)
	r = base
	r.Key = key(n)
	atSwitch = w.add(theSwitch, r)
	return till, acquirer, atSwitch
}

func rrn(n int) string         { return fmt.Sprintf("63250400000%d", n) }
func key(n int) string         { return fmt.Sprintf("payment %d/2", n) }
func terminalKey(n int) string { return fmt.Sprintf("terminal %d", n) }
func reversalKey(n int) string { return fmt.Sprintf("reversal %d", n) }

func (w *world) answer(n int, till, acquirer, atSwitch uint64, reason uint16, amount int64, phase ledger.Phase) {
	w.add(theSwitch, journal.Row{Kind: journal.Answered, Linked: atSwitch, Payment: key(n), Reason: reason, Amount: amount})
	r := journal.Row{Kind: journal.Answered, Linked: acquirer, Payment: key(n), RRN: rrn(n), Reason: reason, Amount: amount}
	if reason == yes {
		r.Debit, r.Credit, r.Phase = 1, 100, phase
	}
	w.add(theAcquirer, r)
	w.add(theTill, journal.Row{Kind: journal.Answered, Linked: till, Payment: terminalKey(n), Reason: reason, Amount: amount})
}

func (w *world) decide(n int, kind journal.Kind, card int64, atc uint16, amount int64, reason uint16, note ...byte) uint64 {
	r := journal.Row{Kind: kind, Key: key(n), Payment: key(n), RRN: rrn(n), Card: card, ATC: atc, Amount: amount, Reason: reason, Note: note}
	switch kind {
	case journal.Approved:
		r.Debit, r.Credit, r.Phase = cardAccount(card), scheme, ledger.Pending
	case journal.Uploaded:
		r.Debit, r.Credit = purseAccount(card), scheme
	}
	return w.add(theIssuer, r)
}

func sound(t testing.TB) *world {
	w := &world{TB: t, Snapshot: Snapshot{Quiet: true, Calendar: clock.Calendar{Zone: clock.Shanghai()}, At: noon.Add(time.Hour), Members: []Member{
		{Role: Issuer, Name: "lantern"}, {Role: Acquirer, Name: "harbour"}, {Role: Switch, Name: "switch"}, {Role: Till, Name: "T1"},
	}}}
	w.open(1, 100_000, 8_000, "")
	w.open(2, 10_000, 1_000, `,"credit_minor":5000`)
	// 1: approved.
	till, acq, sw := w.request(1, 30_000, false)
	w.decide(1, journal.Approved, 1, 5, 30_000, 0, 0, 3)
	w.answer(1, till, acq, sw, yes, 30_000, ledger.Pending)
	// 2: declined for a wrong PIN.
	till, acq, sw = w.request(2, 400, false)
	w.decide(2, journal.Declined, 2, 7, 400, reasonPINWrong, 1, 2)
	w.answer(2, till, acq, sw, no, 400, 0)
	// 3: approved, then reversed by the till, whose answer got lost.
	till, acq, sw = w.request(3, 20_000, false)
	hold := w.decide(3, journal.Approved, 1, 6, 20_000, 0, 0, 3)
	w.add(theSwitch, journal.Row{Kind: journal.Answered, Linked: sw, Payment: key(3), Reason: yes, Amount: 20_000})
	acqHold := w.add(theAcquirer, journal.Row{Kind: journal.Answered, Linked: acq, Payment: key(3), RRN: rrn(3), Reason: yes, Amount: 20_000, Debit: 1, Credit: 100,
		Phase: ledger.Pending})
	w.add(theTill, journal.Row{Kind: journal.TimedOut, Linked: till, Payment: terminalKey(3), Amount: 20_000})
	w.add(theAcquirer, journal.Row{Kind: journal.Reversed, Key: "terminal reversal 3", Linked: acq, Payment: reversalKey(3), Resolves: acqHold, Phase: ledger.Void,
		Debit: 1, Credit: 100, Amount: 20_000})
	w.add(theTill, journal.Row{Kind: journal.Acknowledged, Linked: till, Payment: terminalKey(3)})
	reversal := w.add(theSwitch, journal.Row{Kind: journal.Reversed, Key: reversalKey(3), Payment: key(3), Note: []byte("\x01a\x01i")})
	w.add(theAcquirer, journal.Row{Kind: journal.Acknowledged, Payment: reversalKey(3)})
	w.add(theIssuer, journal.Row{Kind: journal.Reversed, Key: reversalKey(3), Payment: key(3), Note: []byte(key(3)), Reason: reasonReversed, Resolves: hold,
		Phase: ledger.Void, Debit: cardAccount(1), Credit: scheme, Amount: 20_000, Card: 1, Answer: append(binary.BigEndian.AppendUint32(nil, 20261121), 1)})
	w.add(theSwitch, journal.Row{Kind: journal.Acknowledged, Linked: reversal, Payment: key(3)})
	// 4: an offline payment.
	till, acq, sw = w.request(4, 500, true)
	w.decide(4, journal.Uploaded, 1, 4, 500, 110, 2, 3)
	w.answer(4, till, acq, sw, yes, 500, ledger.Single)
	// 5: the switch timed out; the issuer never saw the request, only the reversal.
	till, acq, sw = w.request(5, 900, false)
	late := w.add(theSwitch, journal.Row{Kind: journal.TimedOut, Key: reversalKey(5), Linked: sw, Payment: key(5), Amount: 900, Reason: unionpay.IssuerTimeout.Pack()})
	w.add(theAcquirer, journal.Row{Kind: journal.Answered, Linked: acq, Payment: key(5), RRN: rrn(5), Reason: unionpay.IssuerTimeout.Pack(), Amount: 900})
	w.add(theTill, journal.Row{Kind: journal.Answered, Linked: till, Payment: terminalKey(5), Reason: unionpay.IssuerTimeout.Pack(), Amount: 900})
	early := w.add(theIssuer, journal.Row{Kind: journal.Reversed, Key: reversalKey(5), Payment: key(5), Note: []byte(key(5)), Reason: reasonEarly})
	w.add(theIssuer, journal.Row{Kind: journal.Refused, Key: key(5), Payment: key(5), Reason: reasonKeySpent, Linked: early})
	w.add(theSwitch, journal.Row{Kind: journal.Acknowledged, Linked: late, Payment: key(5)})
	w.Cards = []CardState{{"lantern", 1, 6, 7_500}, {"lantern", 2, 7, 1_000}}
	w.seal()
	w.keep()
	return w
}

// keep gives the issuer the cells and the cards that its rows give.
func (w *world) keep() {
	m := &w.Members[theIssuer]
	b := w.derive(m).bank
	w.derived = nil
	last := map[int64]uint64{}
	notes := map[int64]opening{}
	for _, r := range m.Rows {
		if r.Kind != journal.Refused && r.Card != 0 {
			last[r.Card] = r.Seq
		}
		if r.Kind == journal.Opened {
			var o opening
			if err := json.Unmarshal(r.Note, &o); err != nil {
				w.Fatal(err)
			}
			notes[r.Card] = o
		}
	}
	m.Watermark = uint64(len(m.Rows))
	for _, id := range b.inOrder() {
		h := b.cards[id]
		m.Cells = append(m.Cells, journal.Cell{ID: id, Seq: last[id], Data: appendCell(notes[id], &h.cellState)})
		m.Shown = append(m.Shown, h.shown(id))
	}
	m.Cells = append(m.Cells, journal.Cell{ID: bankCell, Seq: m.Watermark, Data: appendSums(appendSums([]byte{cellVersion}, b.scheme), b.funding)})
}

func appendSums(b []byte, s sums) []byte {
	for _, v := range []int64{s.debitsPending, s.debitsPosted, s.creditsPending, s.creditsPosted, int64(s.last)} {
		b = binary.AppendUvarint(b, uint64(v))
	}
	return b
}

func appendCell(o opening, s *cellState) []byte {
	b := append([]byte{cellVersion, byte(s.status), byte(s.tries), 0}, o.PINReference[:]...)
	numbers := []uint64{uint64(s.online), uint64(s.window.highest), s.window.seen, 1}
	for _, d := range s.days[:1] {
		numbers = append(numbers, uint64(d.date), uint64(d.minor), uint64(d.noPINMinor), uint64(d.count))
	}
	numbers = append(numbers, uint64(s.limits.TapMinor), uint64(s.limits.DayMinor), uint64(s.limits.DayCount), uint64(s.limits.NoPINDayMinor),
		uint64(o.CreditMinor), uint64(o.Currency), uint64(o.OpeningMinor), uint64(o.PurseMinor))
	if s.days[0].date == 0 {
		numbers = slices.Delete(numbers, 3, 8)
		numbers = slices.Insert(numbers, 3, 0)
	}
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	b = appendSums(appendSums(b, s.account), s.purse)
	for _, text := range []string{o.Name, o.Masked, o.Sequence, o.Expiry, o.Product} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return b
}

func TestASoundSnapshotHasNoFindings(t *testing.T) {
	w := sound(t)
	if findings := Check(w.Snapshot); len(findings) != 0 {
		t.Fatalf("findings: %v", findings)
	}
	w.Quiet = false
	if findings := Check(w.Snapshot); len(findings) != 0 {
		t.Fatalf("not quiet: %v", findings)
	}
}

// row finds the nth row of a kind.
func (w *world) row(member int, kind journal.Kind, nth int) *journal.Row {
	w.Helper()
	rows := w.Members[member].Rows
	for i := range rows {
		if rows[i].Kind == kind {
			if nth--; nth < 0 {
				return &rows[i]
			}
		}
	}
	w.Fatalf("no %s row", kind)
	return nil
}

func (w *world) drop(member int, kind journal.Kind, nth int) {
	w.Helper()
	at := w.row(member, kind, nth).Seq - 1
	m := &w.Members[member]
	m.Rows = slices.Delete(m.Rows, int(at), int(at)+1)
	moved := func(seq uint64) uint64 {
		if seq > at {
			return seq - 1
		}
		return seq
	}
	for i := range m.Rows {
		m.Rows[i].Linked, m.Rows[i].Resolves = moved(m.Rows[i].Linked), moved(m.Rows[i].Resolves)
	}
}

// plants are errors; each is found by the invariant it is listed under. sealed plants are covered up: chains and books are made to fit again.
var plants = []struct {
	invariant, name string
	sealed          bool
	plant           func(*world)
}{
	{"hash-chain", "an amount was changed", false, func(w *world) { w.row(theIssuer, journal.Approved, 0).Amount-- }},
	{"hash-chain", "a row was removed", false, func(w *world) { w.drop(theTill, journal.Answered, 1) }},
	{"hash-chain", "the last hash was changed", false, func(w *world) { w.Members[theSwitch].Rows[0].Chain[5] ^= 1 }},
	{"one-key-one-content", "a key was used twice", true, func(w *world) {
		w.row(theAcquirer, journal.Requested, 1).Key = w.row(theAcquirer, journal.Requested, 0).Key
	}},
	{"one-key-one-content", "members disagree on the amount", true, func(w *world) { w.row(theSwitch, journal.Requested, 1).Amount++ }},
	{"one-key-one-content", "members disagree on the reference", true, func(w *world) { w.row(theIssuer, journal.Approved, 0).RRN = "000000000000" }},
	{"ledger-balanced", "money appeared", false, func(w *world) {
		b := w.Members[theIssuer].Balances[cardAccount(1)]
		b.CreditsPosted += 5
		w.Members[theIssuer].Balances[cardAccount(1)] = b
	}},
	{"ledger-balanced", "a hold has one side", false, func(w *world) {
		b := w.Members[theAcquirer].Balances[100]
		b.CreditsPending++
		w.Members[theAcquirer].Balances[100] = b
	}},
	{"ledger-balanced", "a hold is released twice", true, func(w *world) {
		r := *w.row(theIssuer, journal.Reversed, 0)
		r.Key = "again"
		w.add(theIssuer, r)
	}},
	{"balances-from-rows", "money moved between accounts without a row", false, func(w *world) {
		b := w.Members[theIssuer].Balances
		x, y := b[cardAccount(1)], b[cardAccount(2)]
		x.CreditsPosted, y.CreditsPosted = x.CreditsPosted-7, y.CreditsPosted+7
		b[cardAccount(1)], b[cardAccount(2)] = x, y
	}},
	{"balances-from-rows", "an account is missing", false, func(w *world) { delete(w.Members[theAcquirer].Balances, 100) }},
	{"no-overdraft", "a payment beyond the money", true, func(w *world) { w.row(theIssuer, journal.Posted, 0).Amount = 29_999 }},
	{"no-overdraft", "a payment beyond the credit line", true, func(w *world) { w.decide(9, journal.Approved, 2, 8, 15_001, 0, 0, 2) }},
	{"counter-once", "a tap was honoured twice", true, func(w *world) { w.decide(9, journal.Approved, 1, 5, 1, 0, 0, 3) }},
	{"counter-once", "an offline tap was honoured online too", true, func(w *world) { w.row(theIssuer, journal.Uploaded, 0).ATC = 5 }},
	{"counter-of-chip", "a counter the chip has not reached", true, func(w *world) { w.Cards[0].ATC = 5 }},
	{"counter-of-chip", "a card of nobody", true, func(w *world) { w.Cards[0].Issuer = "willow" }},
	{"pin-tries", "four tries", true, func(w *world) { w.row(theIssuer, journal.Approved, 0).Note = []byte{0, 4} }},
	{"pin-tries", "a wrong PIN took none", true, func(w *world) { w.row(theIssuer, journal.Declined, 0).Note = []byte{1, 3} }},
	{"pin-tries", "tries came back by themselves", true, func(w *world) { w.decide(9, journal.Approved, 2, 8, 1, 0, 0, 3) }},
	{"pin-tries", "an operator gave too many", true, func(w *world) {
		w.add(theIssuer, journal.Row{Kind: journal.CardChanged, Card: 1, Note: []byte(`{"card":1,"pin_tries":9}`)})
	}},
	{"day-limits", "above the tap limit", true, func(w *world) { w.decide(9, journal.Approved, 1, 8, 50_001, 0, 0, 3) }},
	{"day-limits", "above the day's amount", true, func(w *world) { w.decide(9, journal.Approved, 1, 8, 30_001, 0, 1, 3) }},
	{"day-limits", "above the day's count", true, func(w *world) {
		for n := range 3 {
			w.decide(6+n, journal.Approved, 1, uint16(8+n), 1, 0, 0, 3)
		}
	}},
	{"day-limits", "a limit that had been lowered", true, func(w *world) {
		w.add(theIssuer, journal.Row{Kind: journal.CardChanged, Card: 1, Note: []byte(`{"card":1,"limits":{"no_pin_day_minor":30000}}`)})
		w.decide(9, journal.Approved, 1, 8, 1, 0, 0, 3)
	}},
	{"business-date", "the wrong date at the acquirer", true, func(w *world) { w.row(theAcquirer, journal.Answered, 0).BusinessDate = 20261122 }},
	{"business-date", "a date far off at the issuer", true, func(w *world) { w.row(theIssuer, journal.Approved, 0).BusinessDate = 20261123 }},
	{"business-date", "a row from the future", true, func(w *world) { w.row(theTill, journal.Answered, 0).At = noon.Add(2 * time.Hour) }},
	{"payment-ends-once", "never", true, func(w *world) { w.drop(theSwitch, journal.Answered, 1) }},
	{"payment-ends-once", "twice", true, func(w *world) {
		r := *w.row(theSwitch, journal.TimedOut, 0)
		r.Key = "second"
		w.add(theSwitch, r)
	}},
	{"payment-ends-once", "without a beginning", true, func(w *world) { w.row(theTill, journal.Answered, 0).Linked = 99 }},
	{"payment-ends-once", "approved without money", true, func(w *world) {
		r := w.row(theAcquirer, journal.Answered, 0)
		r.Debit, r.Credit, r.Phase = 0, 0, 0
	}},
	{"payment-ends-once", "reversed, but the hold stands", true, func(w *world) {
		r := w.row(theIssuer, journal.Reversed, 0)
		r.Debit, r.Credit, r.Phase, r.Resolves, r.Amount = 0, 0, 0, 0, 0
	}},
	{"payment-ends-once", "a reversal acknowledged twice", true, func(w *world) { w.add(theAcquirer, *w.row(theAcquirer, journal.Acknowledged, 0)) }},
	{"outcomes-agree", "the till sold what nobody approved", true, func(w *world) { w.row(theTill, journal.Answered, 1).Reason = yes }},
	{"outcomes-agree", "the switch approved what the issuer declined", true, func(w *world) { w.row(theSwitch, journal.Answered, 1).Reason = yes }},
	{"outcomes-agree", "the till kept what was reversed", true, func(w *world) {
		r := w.row(theTill, journal.TimedOut, 0)
		r.Kind, r.Reason = journal.Answered, yes
		w.drop(theTill, journal.Acknowledged, 0)
	}},
	{"holds-equal-claims", "the issuer holds what the acquirer reversed", true, func(w *world) { w.drop(theIssuer, journal.Reversed, 0) }},
	{"holds-equal-claims", "the acquirer claims more", true, func(w *world) {
		w.row(theAcquirer, journal.Requested, 0).Amount++
		w.row(theAcquirer, journal.Answered, 0).Amount++
	}},
	{"holds-equal-claims", "the issuer never booked an upload", true, func(w *world) { w.drop(theIssuer, journal.Uploaded, 0) }},
	{"purse-conserved", "a chip has too much", true, func(w *world) { w.Cards[0].PurseMinor++ }},
	{"purse-conserved", "a chip lost money", true, func(w *world) { w.Cards[1].PurseMinor -= 10 }},
	{"purse-conserved", "an offline payment was never kept", true, func(w *world) {
		w.drop(theIssuer, journal.Uploaded, 0)
		w.drop(theTill, journal.Queued, 0)
	}},
	{"early-reversals", "another date is given back", true, func(w *world) { w.row(theIssuer, journal.Reversed, 0).Answer[3]-- }},
	{"early-reversals", "given back as with PIN", true, func(w *world) { w.row(theIssuer, journal.Reversed, 0).Answer[4] = 0 }},
	{"early-reversals", "what is given back is not said", true, func(w *world) { w.row(theIssuer, journal.Reversed, 0).Answer = nil }},
	{"early-reversals", "the key was not spent", true, func(w *world) { w.drop(theIssuer, journal.Refused, 0) }},
	{"early-reversals", "another key was spent", true, func(w *world) { w.row(theIssuer, journal.Refused, 0).Key = key(7) }},
	{"early-reversals", "the marker of another reversal", true, func(w *world) { w.row(theIssuer, journal.Refused, 0).Linked-- }},
	{"early-reversals", "a marker of nothing", true, func(w *world) {
		w.add(theIssuer, journal.Row{Kind: journal.Refused, Key: key(8), Payment: key(8), Reason: reasonKeySpent, Linked: 3})
	}},
	{"early-reversals", "a spent key was decided", true, func(w *world) { w.decide(5, journal.Approved, 1, 9, 900, 0, 0, 3) }},
	{CellsFromRows, "a balance was changed", false, func(w *world) { w.flip(0, -12) }},
	{CellsFromRows, "tries were given", false, func(w *world) { w.flip(1, 2) }},
	{CellsFromRows, "a cell is old", false, func(w *world) { w.Members[theIssuer].Cells[0].Seq-- }},
	{CellsFromRows, "a cell is missing", false, func(w *world) {
		m := &w.Members[theIssuer]
		m.Cells = slices.Delete(m.Cells, 1, 2)
	}},
	{CellsFromRows, "the watermark is beyond the rows", false, func(w *world) { w.Members[theIssuer].Watermark++ }},
	{CardsFromRows, "more is available than is there", false, func(w *world) { w.Members[theIssuer].Shown[0].AvailableMinor++ }},
	{CardsFromRows, "a card was forgotten", false, func(w *world) { w.Members[theIssuer].Shown = w.Members[theIssuer].Shown[1:] }},
	{CardsFromRows, "a card of nobody is shown", false, func(w *world) { w.Members[theIssuer].Shown[0].Card = 9 }},
	{"deliveries-acknowledged", "a reversal of the acquirer", true, func(w *world) { w.drop(theAcquirer, journal.Acknowledged, 0) }},
	{"deliveries-acknowledged", "a reversal of the switch", true, func(w *world) { w.drop(theSwitch, journal.Acknowledged, 1) }},
	{"deliveries-acknowledged", "a reversal of the till", true, func(w *world) { w.drop(theTill, journal.Acknowledged, 0) }},
	{"deliveries-acknowledged", "an upload of the till", true, func(w *world) { w.drop(theTill, journal.Answered, 2) }},
	{"deliveries-acknowledged", "an upload of the acquirer", true, func(w *world) { w.drop(theAcquirer, journal.Answered, 3) }},
}

// flip turns a bit of a cell, counted from the front or from the end.
func (w *world) flip(cell, at int) {
	data := w.Members[theIssuer].Cells[cell].Data
	if at < 0 {
		at += len(data)
	}
	data[at] ^= 1
}

func TestPlantedErrorsAreFound(t *testing.T) {
	found := map[string]bool{}
	for _, p := range plants {
		w := sound(t)
		p.plant(w)
		if p.sealed {
			w.seal()
		}
		findings := Check(w.Snapshot)
		if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Name == p.invariant }) {
			t.Errorf("%s: %s: not found; findings: %v", p.invariant, p.name, findings)
			continue
		}
		found[p.invariant] = true
		for _, f := range findings {
			if f.Detail.EN == "" || f.Detail.ZH == "" {
				t.Errorf("%s: a detail lacks a language: %+v", f.Name, f.Detail)
			}
		}
	}
	for _, v := range Invariants() {
		if !found[v.Name] {
			t.Errorf("no planted error shows that %q finds one", v.Name)
		}
		if v.Title.EN == "" || v.Title.ZH == "" {
			t.Errorf("%s: the title lacks a language", v.Name)
		}
	}
}

// What is still under way is no finding while the network is not quiet.
func TestPaymentsUnderWayAreNoFindings(t *testing.T) {
	for name, plant := range map[string]func(*world){
		"the answer is on its way to the till": func(w *world) { w.drop(theTill, journal.Answered, 0) },
		"… to the acquirer": func(w *world) {
			w.drop(theTill, journal.Answered, 0)
			w.drop(theAcquirer, journal.Answered, 0)
		},
		"the reversal is on its way to the issuer": func(w *world) {
			w.drop(theIssuer, journal.Reversed, 0)
			w.drop(theSwitch, journal.Acknowledged, 0)
		},
		"an upload waits at the till": func(w *world) {
			till := w.add(theTill, journal.Row{Kind: journal.Queued, Key: terminalKey(8), Amount: 60})
			w.Cards[1].PurseMinor -= 60
			w.Cards[1].ATC, _ = 9, till
		},
	} {
		w := sound(t)
		plant(w)
		w.seal()
		w.Members[theIssuer].Cells, w.Members[theIssuer].Shown = nil, nil
		w.keep()
		w.Quiet = false
		if findings := Check(w.Snapshot); len(findings) != 0 {
			t.Errorf("%s: %v", name, findings)
		}
		w.Quiet = true
		if findings := Check(w.Snapshot); len(findings) == 0 {
			t.Errorf("%s: no finding although quiet", name)
		}
	}
}

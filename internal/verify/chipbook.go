package verify

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// chipBook is what an issuer's rows say of a card's chip beyond the counters: commands that wait for it and those on their way, the last load and the last
// change of the PIN until somebody knows what became of them. Most cards have none.
type chipBook struct {
	algorithms []byte
	auto       autoLoad
	cash       uint64
	emptied    int32
	queue      []chipOrder
	sentATC    uint16
	sent       int
	load       chipLoad
	pin        pinScript
	// Of the second purse: the unload that was done and waits to be paid out, and the date on which the purse was empty.
	unloaded      chipLoad
	emptiedSecond int32
}

type autoLoad struct {
	ThresholdMinor int64 `json:"threshold_minor"`
	AmountMinor    int64 `json:"amount_minor"`
}

// chipCommand is a command that the bank wants carried out.
type chipCommand struct {
	Command uint8  `json:"command"`
	Tag     uint16 `json:"tag"`
	Value   []byte `json:"value"`
}

type chipOrder struct {
	chipCommand
	tries int
}

// chipLoad is the last change of the chip's balance. The row that held the money is its number; zero is none.
type chipLoad struct {
	seq, parent                         uint64
	reason                              uint16
	state                               uint8
	atc                                 uint16
	before, after, minor, debit, credit int64
}

// How far a load is booked.
const (
	loadHeldOnly uint8 = iota + 1
	loadBooked
	loadReturned
)

// pinScript is the last script about the PIN while its outcome is open.
type pinScript struct {
	seq       uint64
	state     uint8
	atc       uint16
	unblock   bool
	reference [16]byte
}

// What is known of a PIN script.
const (
	pinScriptSent uint8 = iota + 1
	pinScriptFailed
	pinScriptUnknown
)

// Reasons of an issuer about scripts, as its rows store them.
const (
	reasonChipInDoubt  = 45
	reasonNewPINFormat = 51
	reasonPINNeeded    = 59
	reasonPINSent      = 160
	reasonUnblockSent  = 161
	reasonPINDone      = 162
	reasonPINProven    = 163
	reasonPINFailed    = 164
	reasonPINDisproven = 165
	reasonPINUnknown   = 166
)

// grantsPIN tells the rows that begin a change of the PIN.
func grantsPIN(r *journal.Row) bool {
	return r.Kind == journal.Noted && (r.Reason == reasonPINSent || r.Reason == reasonUnblockSent)
}

// Scripts in an answer: mark, kind, number of commands, counter; then of each: command, tag, length, value.
const (
	scriptsOrdered   = 1
	scriptsOfLoad    = 2
	scriptsOfPIN     = 3
	scriptsHead      = 5
	scriptHead       = 4
	scriptUnblockPIN = 5
	scriptChangePIN  = 7
	scriptDone       = 2
	mostOrders       = 16
	mostOrderTries   = 3

	cellVersionPIN = 3
)

// scriptsIn reads what an answer carries for the chip.
func scriptsIn(b []byte) (kind uint8, atc uint16, list []chipCommand, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, true
	}
	if len(b) < scriptsHead || b[0] != scriptMark {
		return 0, 0, nil, false
	}
	rest := b[scriptsHead:]
	for len(rest) >= scriptHead && len(rest) >= scriptHead+int(rest[3]) {
		end := scriptHead + int(rest[3])
		list = append(list, chipCommand{rest[0], binary.BigEndian.Uint16(rest[1:]), rest[scriptHead:end]})
		rest = rest[end:]
	}
	return b[1], binary.BigEndian.Uint16(b[3:]), list, len(rest) == 0 && len(list) == int(b[2]) && len(list) > 0
}

func (c *chipBook) empty() bool {
	return len(c.algorithms) == 0 && c.auto == autoLoad{} && c.cash == 0 && c.emptied == 0 && len(c.queue) == 0 && c.sentATC == 0 && c.sent == 0 &&
		c.load == chipLoad{} && c.pin == pinScript{} && c.unloaded == chipLoad{} && c.emptiedSecond == 0
}

// book is the card's, made when it is needed first.
func (h *holder) book() *chipBook {
	if h.chip == nil {
		h.chip = &chipBook{}
	}
	return h.chip
}

// followChip brings what is known of the chip to where the row left it. It comes behind everything else that the row says.
func (m *member) followChip(r *journal.Row, h *holder) {
	switch r.Kind {
	case journal.CardChanged, journal.Held, journal.ScriptReported:
	case journal.Approved, journal.Declined, journal.Uploaded, journal.Noted:
		if h.chip == nil && len(r.Answer) <= authChars && !grantsPIN(r) {
			return
		}
	default:
		if h.chip == nil {
			return
		}
	}
	before := h.chip
	c := h.book()
	switch r.Kind {
	case journal.CardChanged:
		m.ordered(r, c)
	case journal.Approved, journal.Declined, journal.Uploaded, journal.Noted:
		if r.Kind != journal.Noted || answers(r) {
			m.sends(r, c)
		}
	case journal.Held:
		if r.Reason != reasonHeldAgain {
			m.chipLoads(r, h, c)
		}
	case journal.Loaded, journal.Voided, journal.Adjusted, journal.Completed:
		if !isSequel(r) {
			c.loadEnds(r, h)
		}
	case journal.Reversed:
		if r.Resolves != 0 && c.load.seq == r.Resolves {
			c.load.state = loadReturned
		}
	case journal.ScriptReported:
		m.reports(r, h, c)
	}
	if before == nil && c.empty() {
		h.chip = nil
	}
	h.settleTail()
}

// ordered puts commands behind those that wait. What of an enrolment or change does not concern the chip was read before.
func (m *member) ordered(r *journal.Row, c *chipBook) {
	a := m.bank.altered
	if a == nil {
		return
	}
	for _, s := range a.Scripts {
		c.queue = append(slices.Clip(c.queue), chipOrder{chipCommand: s})
	}
	if a.AutoLoad != nil {
		c.auto = *a.AutoLoad
	}
	if len(c.queue) > mostOrders {
		m.fault(r, FieldScripts, number(len(c.queue)), fill("at most %d that wait", "最多%d条待执行", mostOrders))
	}
}

// sends is a decision: its answer may carry the first commands of the queue, or a script about the PIN; its cryptogram may have confirmed the last load.
func (m *member) sends(r *journal.Row, c *chipBook) {
	_, carriedBytes := carried(r.Answer)
	kind, atc, list, ok := scriptsIn(carriedBytes)
	if !ok {
		m.fault(r, FieldScripts, wordUnfit, wordReadable)
		return
	}
	settles := len(r.Note) > 0 && r.Note[0]&flagSettles != 0
	switch {
	case kind == scriptsOrdered:
		first := c.queue[:min(len(list), len(c.queue))]
		if atc != r.ATC || !slices.EqualFunc(list, first, func(s chipCommand, o chipOrder) bool { return s.same(&o.chipCommand) }) {
			m.fault(r, FieldScripts, fill("%d commands", "%d条命令", len(list)), fill("the first of the %d that wait", "待执行的%d条中的前几条", len(c.queue)))
		}
		c.sentATC, c.sent = atc, len(list)
	case grantsPIN(r):
		want := chipCommand{Command: scriptChangePIN}
		if r.Reason == reasonUnblockSent {
			want.Command = scriptUnblockPIN
		}
		if kind != scriptsOfPIN || atc != r.ATC || len(list) != 1 || list[0].Command != want.Command {
			m.fault(r, FieldScripts, fill("scripts of kind %d", "脚本类别%d", kind), fill("one command about the PIN", "一条密码命令"))
			break
		}
		c.pin = pinScript{seq: r.Seq, state: pinScriptSent, atc: atc, unblock: r.Reason == reasonUnblockSent}
		if copied := copy(c.pin.reference[:], list[0].Value); copied != map[bool]int{true: 0, false: len(c.pin.reference)}[c.pin.unblock] {
			m.fault(r, FieldScripts, wordUnfit, fill("the reference of the new PIN", "新密码的参考值"))
		}
	case kind != 0:
		m.fault(r, FieldScripts, fill("scripts of kind %d", "脚本类别%d", kind), wordNothing)
	}
	if settles {
		c.load = chipLoad{}
	}
}

func (s *chipCommand) same(o *chipCommand) bool {
	return s.Command == o.Command && s.Tag == o.Tag && bytes.Equal(s.Value, o.Value)
}

// chipLoads is a load whose money is held: what the chip proved, and what the script sets.
func (m *member) chipLoads(r *journal.Row, h *holder, c *chipBook) {
	before, after, ok := balances(r.Note)
	if !ok || before > math.MaxInt64 || after > math.MaxInt64 {
		return // said before
	}
	l := chipLoad{seq: r.Seq, parent: r.Linked, reason: r.Reason, state: loadHeldOnly, atc: r.ATC, before: int64(before), after: int64(after), minor: r.Amount,
		debit: int64(r.Debit), credit: int64(r.Credit)}
	want := l.before + l.minor
	switch r.Reason {
	case reasonLoadCashVoid:
		want = l.before - l.minor
	case reasonUnload:
		want = 0
	}
	same(m, r, FieldPurse, l.after, want)
	side := h.side(r.Card, r.Currency)
	if shadow := side.inPurse.balance(); l.before > shadow {
		m.fault(r, FieldPurse, number(l.before), fill("at most %d, loaded less spent", "不超过%d（圈存减消费）", shadow))
	}
	if c.load.state == loadHeldOnly {
		m.fault(r, FieldPurse, fill("a load while that of row %d is open", "第%d行圈存未决时再次圈存", c.load.seq), fill("one load at a time", "同时只有一笔圈存"))
	}
	c.load = l
}

// loadEnds is what became of a load: on a terminal's word it is remembered until a cryptogram has confirmed it.
func (c *chipBook) loadEnds(r *journal.Row, h *holder) {
	if r.Kind == journal.Completed {
		if c.unloaded.seq == r.Linked {
			c.unloaded = chipLoad{}
		} else {
			c.load = chipLoad{}
		}
		return
	}
	if c.load.seq != r.Linked {
		return
	}
	l := c.load
	happened := r.Kind == journal.Loaded || r.Kind == journal.Adjusted && r.Reason == reasonLoadProven
	if c.load.state = loadReturned; happened {
		c.load.state = loadBooked
	}
	if r.Reason == reasonLoadProven || r.Reason == reasonLoadDisproven {
		c.load = chipLoad{}
	}
	switch {
	case l.reason == reasonLoadCash && happened:
		c.cash = l.seq
	case l.reason == reasonLoadCash && c.cash == l.seq, l.reason == reasonLoadCashVoid && happened:
		c.cash = 0
	case l.reason == reasonUnload && !l.second(h):
		c.emptied = 0
	}
}

// second reports whether a load is of the second purse.
func (l *chipLoad) second(h *holder) bool {
	return h.second != nil && (l.debit%accountPlaces == secondPurseAt || l.credit%accountPlaces == secondPurseAt)
}

// reports is what became of scripts: of the PIN's, of an unload's, or of the commands on their way.
func (m *member) reports(r *journal.Row, h *holder, c *chipBook) {
	const reportBytes = 2
	if len(r.Note) != reportBytes {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	aboutPIN := r.Reason >= reasonPINDone && r.Reason <= reasonPINUnknown
	switch {
	case aboutPIN && (c.pin.seq == 0 || c.pin.seq != r.Linked):
		m.fault(r, "linked", number(r.Linked), fill("row %d, the PIN script whose outcome is open", "第%d行，即结果未决的密码脚本", c.pin.seq))
	case aboutPIN:
		m.pinReported(r, h, c)
	case c.load.seq != 0 && c.load.seq == r.Linked && c.load.second(h): // it waits beside the load, which may be another's
		c.unloaded = chipLoad{seq: c.load.seq, minor: c.load.minor, atc: c.load.atc}
		c.emptiedSecond, c.load = r.BusinessDate, chipLoad{}
	case c.load.seq != 0 && c.load.seq == r.Linked:
		c.load.state, c.emptied = loadBooked, r.BusinessDate
	case r.Linked != 0:
		m.fault(r, "linked", number(r.Linked), fill("row %d, the load whose outcome is open", "第%d行，即结果未决的圈存", c.load.seq))
	default:
		c.carriedOut(r.Note[0], int(r.Note[1]))
	}
}

// pinReported: the new PIN counts once the terminal or the chip says that it is there.
func (m *member) pinReported(r *journal.Row, h *holder, c *chipBook) {
	done := r.Note[0] == scriptDone
	if counts := r.Reason == reasonPINDone || r.Reason == reasonPINProven; counts != done {
		m.fault(r, "reason", number(r.Reason), fill("what follows from status %d", "由状态%d得出的理由", r.Note[0]))
	}
	switch r.Reason {
	case reasonPINDone, reasonPINProven:
		if !c.pin.unblock {
			h.pinReference = c.pin.reference
		}
		c.pin = pinScript{}
	case reasonPINFailed:
		c.pin.state = pinScriptFailed
	case reasonPINUnknown:
		c.pin.state = pinScriptUnknown
	default:
		c.pin = pinScript{}
	}
}

// carriedOut: commands before the one that failed are done; that one is tried again, a few times; the rest stays.
func (c *chipBook) carriedOut(status uint8, failed int) {
	n := min(c.sent, len(c.queue))
	c.sentATC, c.sent = 0, 0
	switch {
	case status == scriptDone:
		c.queue = slices.Clone(c.queue[n:])
	case failed > 0 && failed <= n:
		c.queue = slices.Clone(c.queue[failed-1:])
		if c.queue[0].tries++; c.queue[0].tries >= mostOrderTries {
			c.queue = c.queue[1:]
		}
	}
}

// tail is what a cell has behind version 1, with its version before it; nothing for a card of which all this is empty.
func (c *chipBook) tail(second *secondSide) string {
	if c.empty() && second == nil {
		return ""
	}
	n := binary.AppendUvarint
	version := byte(cellVersionChip)
	if c.pin.seq != 0 || second != nil {
		version = cellVersionPIN
	}
	dst := append(n([]byte{version}, uint64(len(c.algorithms))), c.algorithms...)
	dst = n(n(n(n(dst, uint64(c.auto.ThresholdMinor)), uint64(c.auto.AmountMinor)), c.cash), uint64(c.emptied))
	dst = n(dst, uint64(len(c.queue)))
	for _, o := range c.queue {
		dst = n(n(append(dst, o.Command), uint64(o.Tag)), uint64(o.tries))
		dst = append(n(dst, uint64(len(o.Value))), o.Value...)
	}
	dst = n(n(n(dst, uint64(c.sentATC)), uint64(c.sent)), c.load.seq)
	if l := &c.load; l.seq != 0 {
		dst = append(n(n(dst, l.parent), uint64(l.reason)), l.state)
		for _, v := range [...]int64{int64(l.atc), l.before, l.after, l.minor, l.debit, l.credit} {
			dst = n(dst, uint64(v))
		}
	}
	if version == cellVersionPIN {
		p := &c.pin
		if dst = n(dst, p.seq); p.seq != 0 {
			dst = append(n(append(dst, p.state), uint64(p.atc)), byte(boolean(p.unblock)))
			dst = append(dst, p.reference[:]...)
		}
		dst = c.appendSecond(dst, second)
	}
	return string(dst)
}

// chipTail reads what is behind a card's cell of version 1, as its description has it: algorithms (a text); automatic load: threshold, amount; row of the last
// cash load; date on which the purse was emptied; number of waiting commands, then of each: command, tag, times refused, value (a text); batch on its way:
// counter, commands; last load: row, and unless that is zero: row of its payment, reason, state, counter, balance before, balance after, amount, two accounts.
// Version 3 goes on with the open change of the PIN: row, and unless that is zero: state, counter, whether it only unblocks, reference; and with the second
// currency, see appendSecond.
func (r *cellReader) chipTail(version byte) (c chipBook) {
	c.algorithms = []byte(r.text())
	c.auto = autoLoad{r.minor(), r.minor()}
	c.cash, c.emptied = r.upTo(math.MaxUint64), int32(r.upTo(math.MaxInt32))
	for range r.upTo(mostOrders) {
		o := chipOrder{chipCommand: chipCommand{Command: r.octet(), Tag: uint16(r.upTo(math.MaxUint16))}, tries: int(r.upTo(mostOrderTries))}
		o.Value = []byte(r.text())
		c.queue = append(c.queue, o)
	}
	c.sentATC, c.sent = uint16(r.upTo(math.MaxUint16)), int(r.upTo(mostOrders))
	if c.load.seq = r.upTo(math.MaxUint64); c.load.seq != 0 {
		l := &c.load
		l.parent, l.reason, l.state, l.atc = r.upTo(math.MaxUint64), uint16(r.upTo(math.MaxUint16)), r.octet(), uint16(r.upTo(math.MaxUint16))
		l.before, l.after, l.minor, l.debit, l.credit = r.minor(), r.minor(), r.minor(), r.minor(), r.minor()
	}
	if version != cellVersionPIN {
		return c
	}
	if c.pin.seq = r.upTo(math.MaxUint64); c.pin.seq != 0 {
		c.pin.state, c.pin.atc, c.pin.unblock = r.octet(), uint16(r.upTo(math.MaxUint16)), r.flag()
		c.pin.reference = r.fixed()
	}
	r.secondTail(&c)
	return c
}

// chipTerm is what a cell says of a chip, for people. References of PINs are left out.
func chipTerm(tail string) glossary.Term {
	if tail == "" {
		return wordNothing
	}
	r := cellReader{b: []byte(tail)[1:]}
	c := r.chipTail(tail[0])
	var queue string
	for _, o := range c.queue {
		queue += fmt.Sprintf(" %d/%04X/%d", o.Command, o.Tag, o.tries)
	}
	l := &c.load
	return fill("algorithms %X, automatic load %d %d, cash load %d, emptied %d, waiting%s, on their way %d at %d, "+
		"load %d state %d at %d from %d to %d, PIN script %d state %d",
		"算法%X，自动圈存%d %d，现金圈存%d，清空%d，待执行%s，已下发%d（计数器%d），圈存%d状态%d计数器%d由%d至%d，密码脚本%d状态%d",
		c.algorithms, c.auto.ThresholdMinor, c.auto.AmountMinor, c.cash, c.emptied, queue, c.sent, c.sentATC,
		l.seq, l.state, l.atc, l.before, l.after, c.pin.seq, c.pin.state)
}

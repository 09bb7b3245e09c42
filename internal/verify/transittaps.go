package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// A gate's record as it stands in rows: fixed places, big endian, a link behind it. See the layout in package gate.
const (
	recordHead      = "TG\x01"
	recordKindAt    = 3
	recordLengthAt  = 4
	recordSeqAt     = 6
	recordDeviceAt  = 22
	recordDevice    = 16
	recordReasonAt  = recordDeviceAt + recordDevice + 5
	recordFlagsAt   = recordReasonAt + 1
	recordSubjectAt = recordFlagsAt + 2
	recordIDAt      = recordSubjectAt + 8
	idBytes         = 32
	recordEpochAt   = recordIDAt + idBytes
	recordATCAt     = recordEpochAt + 4
	recordAmountAt  = recordATCAt + 2 + 4
	recordSealedAt  = recordAmountAt + 8 + 2 + 8
	recordLink      = 32
	recordLeast     = recordSealedAt + recordLink

	recordTap       = 1
	recordNotPassed = 2
	recordOpened    = 1        // reason
	recordDebt      = 10       // reason
	recordCopy      = 16       // reason: the counter did not advance
	recordNoProof   = 1 << 1   // flag: the card did not prove to be genuine
	recordPurse     = 1 << 7   // flag
	keyNumberChars  = 20       // in the key of an Uploaded row
	keyOfRecords    = "c/"     // begins it
	reasonClaim     = 14       // of CardChanged
	reasonOperator  = 5        // of Charged
	mostStates      = 10       // of a tap
	rowRecords      = 1 << 16  // at most, in a row
	statePending    = uint8(1) // of a tap
	stateCharged    = uint8(2)
	statePurse      = uint8(6)
	stateRefused    = uint8(7)
	stateTakenBack  = uint8(8)
)

// transitTap names a tap: the device's number in order of appearance, and the record's.
type transitTap struct {
	device   int32
	sequence uint64
}

// tapStand is what is known of a tap that opened.
type tapStand struct {
	credential int32
	state      uint8
	atc        uint16 // the chip's counter
}

// transitSeen counts the taps of a device: all of cards, and those that opened.
type transitSeen struct{ taps, opened uint64 }

// transitSpan is an unbroken piece of a device's log.
type transitSpan struct {
	first, last   uint64
	before, after [recordLink]byte
}

func (t *transit) device(name string) int32 {
	at, known := t.devices[name]
	if !known {
		at = int32(len(t.names))
		t.devices[name], t.names, t.seen = at, append(t.names, name), append(t.seen, transitSeen{})
	}
	return at
}

// uploaded takes the records of a device.
func (t *transit) uploaded(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	d := t.device(r.Terminal)
	if len(r.Answer) < 2*recordLink {
		t.fault(r, "answer", number(len(r.Answer)), fill("two links", "两个链值"))
		return
	}
	sp := transitSpan{before: [recordLink]byte(r.Answer), after: [recordLink]byte(r.Answer[recordLink:])}
	named := t.beside(r)
	rest, next := r.Note, uint64(0)
	for at := 0; len(rest) > 0; at++ {
		length := 0
		if len(rest) >= recordLeast {
			length = int(binary.BigEndian.Uint16(rest[recordLengthAt:]))
		}
		if length < recordLeast || length > len(rest) || string(rest[:len(recordHead)]) != recordHead {
			t.fault(r, "note", fill("octets that are no record behind record %d", "第%d条记录之后的数据无效", next), wordReadable)
			return
		}
		record := rest[:length]
		rest = rest[length:]
		sequence := binary.BigEndian.Uint64(record[recordSeqAt:])
		if sp.first == 0 {
			sp.first = sequence
		} else if sequence != next+1 {
			t.fault(r, "note", fill("record %d", "第%d条记录", sequence), fill("record %d", "第%d条记录", next+1))
		}
		next = sequence
		sp.last, sp.after = sequence, [recordLink]byte(record[length-recordLink:])
		cards, pars := named.at(at)
		t.record(r, d, record, sequence, cards, pars)
	}
	if want := fmt.Sprintf("%s%s/%0*d", keyOfRecords, r.Terminal, keyNumberChars, sp.first); r.Key != want {
		t.fault(r, "key", quoted(r.Key), quoted(want))
	}
	if !bytes.Equal(sp.after[:], r.Answer[recordLink:2*recordLink]) {
		t.fault(r, FieldChain, fill("another link behind record %d", "第%d条记录之后的链值不符", sp.last), fill("the last record's", "最后一条记录的链值"))
	}
	t.fits(r, d, sp)
}

// heard is a name that stands beside a record: of its card under another key, or of the payment account.
type heard struct {
	record int
	kind   uint8
	name   transitName
}

// beside are the names of a row, in order of records.
type beside []heard

// at takes the names of a record.
func (f *beside) at(record int) (cards, pars []transitName) {
	for len(*f) > 0 && (*f)[0].record <= record {
		switch h := &(*f)[0]; {
		case h.record != record:
		case h.kind == kindCredential:
			cards = append(cards, h.name)
		default:
			pars = append(pars, h.name)
		}
		*f = (*f)[1:]
	}
	return cards, pars
}

// Forms of what stands behind the links of a row, as its reason says.
const (
	besideReferences = 0 // the record's number, a reference under the first key
	besideNames      = 1 // the record's number, kind, epoch, name
)

// beside reads what stands behind the links of a row.
func (t *transit) beside(r *journal.Row) (all beside) {
	bad := func() beside {
		t.fault(r, "answer", wordUnfit, fill("names beside records, in order", "按记录顺序排列的名称"))
		return nil
	}
	for rest := r.Answer[2*recordLink:]; len(rest) > 0; {
		at, n := binary.Uvarint(rest)
		if n <= 0 || at >= rowRecords || len(all) > 0 && int(at) < all[len(all)-1].record {
			return bad()
		}
		h := heard{record: int(at), kind: kindPAR}
		rest = rest[n:]
		if r.Reason == besideNames {
			if len(rest) == 0 {
				return bad()
			}
			h.kind, rest = rest[0], rest[1:]
			epoch, n := binary.Uvarint(rest)
			if n <= 0 || epoch == 0 || epoch > math.MaxUint32 || h.kind != kindCredential && h.kind != kindPAR {
				return bad()
			}
			h.name.epoch, rest = uint32(epoch), rest[n:]
			t.wasInUse(r, h.name.epoch)
		}
		if len(rest) < idBytes {
			return bad()
		}
		h.name.id, rest = keyed(rest), rest[idBytes:]
		all = append(all, h)
	}
	return all
}

// fits holds a piece of a log against those around it: no record twice, and links that meet.
func (t *transit) fits(r *journal.Row, d int32, sp transitSpan) {
	known := t.spans[d]
	kept := known[:0:0]
	for _, k := range known {
		switch {
		case sp.first <= k.last && k.first <= sp.last:
			t.fault(r, "note", fill("records %d to %d of %s again", "%[3]s第%[1]d至%[2]d条记录重复", sp.first, sp.last, r.Terminal), wordNone)
			return
		case k.last+1 == sp.first && k.after == sp.before:
			sp.first, sp.before = k.first, k.before
		case k.last+1 == sp.first && sp.before != [recordLink]byte{}, k.first == sp.last+1 && k.before != sp.after && k.before != [recordLink]byte{}:
			t.fault(r, FieldChain, fill("links that do not meet at record %d", "第%d条记录处链值不衔接", sp.first), fill("one log", "同一日志"))
			kept = append(kept, k)
		case k.first == sp.last+1 && k.before == sp.after:
			sp.last, sp.after = k.last, k.after
		default:
			kept = append(kept, k)
		}
	}
	t.spans[d] = append(kept, sp)
}

// record takes one record.
func (t *transit) record(r *journal.Row, d int32, record []byte, sequence uint64, cards, pars []transitName) {
	if name := string(bytes.TrimRight(record[recordDeviceAt:recordDeviceAt+recordDevice], "\x00")); name != r.Terminal {
		t.fault(r, "terminal", quoted(r.Terminal), quoted(name))
	}
	name := transitName{binary.BigEndian.Uint32(record[recordEpochAt:]), keyed(record[recordIDAt:])}
	switch record[recordKindAt] {
	case recordNotPassed:
		key := transitTap{d, binary.BigEndian.Uint64(record[recordSubjectAt:])}
		stand := t.taps[key]
		if stand.state == statePurse { // what the card has paid stays paid
			return
		}
		stand.state = stateTakenBack // it may come later, and is taken back already then
		t.taps[key] = stand
		return
	case recordTap:
	default:
		return
	}
	t.report.Taps++
	t.seen[d].taps++
	reason := record[recordReasonAt]
	copied := reason == recordCopy && binary.BigEndian.Uint16(record[recordFlagsAt:])&recordNoProof == 0
	flags := binary.BigEndian.Uint16(record[recordFlagsAt:])
	paid := flags&recordPurse != 0 && binary.BigEndian.Uint64(record[recordAmountAt:]) > 0 && len(record) > recordLeast
	if reason != recordOpened && (reason != recordDebt && !copied && !paid || name.id.none()) {
		return
	}
	n := int32(0)
	if len(cards) == 0 {
		n = t.credential(name)
	} else {
		n = t.credential(append([]transitName{name}, cards...)...)
	}
	t.riders.all[n].atc = max(t.riders.all[n].atc, binary.BigEndian.Uint16(record[recordATCAt:]))
	if reason != recordOpened {
		if paid { // the card has paid all the same
			t.purses++
		}
		return
	}
	t.report.Opened++
	t.seen[d].opened++
	key := transitTap{d, sequence}
	stand := t.taps[key]
	stand.credential, stand.atc = n, binary.BigEndian.Uint16(record[recordATCAt:])
	if stand.state == 0 {
		stand.state = statePending
	}
	if len(pars) > 0 {
		if pars[0].epoch == 0 {
			pars[0].epoch = t.epochs.first
		}
		t.belongs(stand.credential, pars...)
	}
	if flags&recordPurse != 0 && (stand.state == statePending || stand.state == stateTakenBack) {
		stand.state = statePurse
		if paid {
			t.purses++
		}
	}
	t.taps[key] = stand
}

// idText is a keyed hash as hexadecimal text.
type idText [idBytes]byte

// UnmarshalText reads it.
func (id *idText) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != idBytes {
		return fmt.Errorf("%d octets of a keyed hash", len(b))
	}
	*id = idText(b)
	return nil
}

// transitLine is one journey in a bill.
type transitLine struct {
	state      uint8
	minor, day int64
	tap, other transitTap
}

// transitLines reads the lines of a bill; false when they are damaged.
func transitLines(b []byte) (lines []transitLine, ok bool) {
	for len(b) > 0 {
		l := transitLine{state: b[0]}
		b = b[1:]
		ok = l.state > 0 && l.state < mostStates
		signed := func() int64 {
			v, n := binary.Varint(b)
			if n <= 0 {
				ok, n = false, len(b)
			}
			b = b[n:]
			return v
		}
		unsigned := func() uint64 {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				ok, n = false, len(b)
			}
			b = b[n:]
			return v
		}
		l.minor, l.day = signed(), signed()
		l.tap = transitTap{int32(unsigned()), unsigned()}
		l.other = transitTap{int32(unsigned()), unsigned()}
		if !ok {
			return lines, false
		}
		lines = append(lines, l)
	}
	return lines, true
}

// charged holds a bill against the taps that it is for.
func (t *transit) charged(r *journal.Row) {
	card := int32(r.Card)
	t.rider(r)
	if r.Reason == reasonOperator { // a refund by grace: no journey has changed
		t.moves(r, operatorFares, operatorRiders, r.Amount)
		t.owed[card] += r.Amount
		t.report.CreditedMinor += r.Amount
		return
	}
	lines, ok := transitLines(r.Note)
	if !ok {
		t.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	var sum int64
	ridden := dayOf(r.BusinessDate)
	for _, l := range lines {
		if sum += l.minor; l.minor != 0 {
			ridden = min(ridden, l.day)
		}
		t.line(r, card, l)
	}
	switch {
	case sum > 0:
		t.moves(r, operatorRiders, operatorFares, sum)
	case sum < 0:
		t.moves(r, operatorFares, operatorRiders, -sum)
		t.owed[card] -= sum
		t.report.CreditedMinor -= sum
		return
	default:
		t.moves(r, 0, 0, 0)
	}
	t.report.ChargedMinor += sum
	off := min(sum, t.owed[card])
	t.owed[card] -= off
	if sum > off {
		t.bills[r.Seq] = &transitBill{credential: card, minor: sum - off, state: billDue, day: dayOf(r.BusinessDate), ridden: ridden}
	}
}

// line holds one line against its taps.
func (t *transit) line(r *journal.Row, card int32, l transitLine) {
	stand, known := t.taps[l.tap]
	name := func(k transitTap) string {
		if k.device >= 0 && int(k.device) < len(t.names) {
			return t.names[k.device]
		}
		return "?"
	}
	switch {
	case !known || stand.credential == 0:
		t.fault(r, "note", fill("a journey of record %d of %s", "%[2]s第%[1]d条记录的行程", l.tap.sequence, name(l.tap)), fill("a tap that opened a gate", "已开门的刷卡记录"))
	case stand.credential != card:
		t.fault(r, "card", number(card), number(stand.credential))
	case stand.state == statePurse && l.minor != 0:
		t.fault(r, "note", fill("%d for a tap that the card itself paid", "对卡内已支付的刷卡收取%d", l.minor), number(0))
	}
	if now := t.journeys[l.tap] + l.minor; now < 0 {
		t.fault(r, "note", fill("%d in all for the journey of record %d", "第%[2]d条记录的行程累计%[1]d", now, l.tap.sequence), fill("nothing or more", "不小于零"))
	} else if t.journeys[l.tap] = now; now == 0 {
		delete(t.journeys, l.tap)
	}
	for _, key := range [...]transitTap{l.tap, l.other} {
		if stand, known := t.taps[key]; known && stand.state != stateTakenBack {
			stand.state = l.state
			t.taps[key] = stand
		}
	}
}

// term says what is known of a tap.
func (s tapStand) term() glossary.Term {
	return fill("credential %d, counter %d, state %d", "凭证%d，计数器%d，状态%d", s.credential, s.atc, s.state)
}

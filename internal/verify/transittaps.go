package verify

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"

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
	recordAmountAt  = recordIDAt + idBytes + 4 + 2 + 4
	recordSealedAt  = recordAmountAt + 8 + 2 + 8
	recordLink      = 32
	recordLeast     = recordSealedAt + recordLink

	recordTap       = 1
	recordNotPassed = 2
	recordOpened    = 1        // reason
	recordDebt      = 10       // reason
	recordPurse     = 1 << 7   // flag
	keyNumberChars  = 20       // in the key of an Uploaded row
	keyOfRecords    = "c/"     // begins it
	reasonClaim     = 14       // of CardChanged
	reasonOperator  = 5        // of Charged
	mostStates      = 10       // of a tap
	statePending    = uint8(1) // of a tap
	stateCharged    = uint8(2)
	statePurse      = uint8(6)
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
}

// transitSpan is an unbroken piece of a device's log.
type transitSpan struct {
	first, last   uint64
	before, after [recordLink]byte
}

func (t *transit) device(name string) int32 {
	at, known := t.devices[name]
	if !known {
		at = int32(len(t.names))
		t.devices[name], t.names = at, append(t.names, name)
	}
	return at
}

// credential is the number of a credential: they count from 1 in order of appearance.
func (t *transit) credential(id [idBytes]byte) int32 {
	at, known := t.credentials[id]
	if !known {
		at = int32(len(t.credentials) + 1)
		t.credentials[id] = at
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
	rest, next := r.Note, uint64(0)
	for len(rest) > 0 {
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
		t.record(r, d, record, sequence)
	}
	if want := fmt.Sprintf("%s%s/%0*d", keyOfRecords, r.Terminal, keyNumberChars, sp.first); r.Key != want {
		t.fault(r, "key", quoted(r.Key), quoted(want))
	}
	if !bytes.Equal(sp.after[:], r.Answer[recordLink:2*recordLink]) {
		t.fault(r, FieldChain, fill("another link behind record %d", "第%d条记录之后的链值不符", sp.last), fill("the last record's", "最后一条记录的链值"))
	}
	t.fits(r, d, sp)
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
func (t *transit) record(r *journal.Row, d int32, record []byte, sequence uint64) {
	if name := string(bytes.TrimRight(record[recordDeviceAt:recordDeviceAt+recordDevice], "\x00")); name != r.Terminal {
		t.fault(r, "terminal", quoted(r.Terminal), quoted(name))
	}
	id := [idBytes]byte(record[recordIDAt:])
	switch record[recordKindAt] {
	case recordNotPassed:
		key := transitTap{d, binary.BigEndian.Uint64(record[recordSubjectAt:])}
		stand := t.taps[key]
		stand.state = stateTakenBack // it may come later, and is taken back already then
		t.taps[key] = stand
		return
	case recordTap:
	default:
		return
	}
	t.report.Taps++
	switch record[recordReasonAt] {
	case recordOpened:
	case recordDebt:
		if id != [idBytes]byte{} {
			t.credential(id)
		}
		return
	default:
		return
	}
	t.report.Opened++
	key := transitTap{d, sequence}
	stand := t.taps[key]
	if stand.credential = t.credential(id); stand.state == 0 {
		stand.state = statePending
	}
	flags := binary.BigEndian.Uint16(record[recordFlagsAt:])
	if flags&recordPurse != 0 && stand.state == statePending {
		stand.state = statePurse
		if binary.BigEndian.Uint64(record[recordAmountAt:]) > 0 && len(record) > recordLeast {
			t.purses++
		}
	}
	t.taps[key] = stand
}

// changed follows what is said about credentials, as far as their numbers go.
func (t *transit) changed(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	if r.Reason == reasonClaim {
		var note struct {
			ID *idText `json:"i"`
		}
		if json.Unmarshal(r.Note, &note) == nil && note.ID != nil {
			t.credential(*note.ID)
			return
		}
	}
	if r.Card <= 0 || r.Card > int64(len(t.credentials)) {
		t.fault(r, "card", number(r.Card), fill("a credential that has tapped", "已刷过卡的凭证"))
	}
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
	if r.Card <= 0 || r.Card > int64(len(t.credentials)) {
		t.fault(r, "card", number(r.Card), fill("a credential that has tapped", "已刷过卡的凭证"))
	}
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
	for _, l := range lines {
		sum += l.minor
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
		t.bills[r.Seq] = &transitBill{credential: card, minor: sum - off, state: billDue}
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

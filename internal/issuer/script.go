package issuer

import (
	"encoding/binary"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

// ScriptCommand is what a script command makes of the card [REF 3.1]. The numbers are stored.
type ScriptCommand uint8

// The commands. A balance is no order: only loads set it.
const (
	ScriptPutData            ScriptCommand = iota + 1 // limits and counters' bounds, by their tag
	ScriptBlockApplication                            //
	ScriptUnblockApplication                          //
	ScriptBlockCard                                   // for good
	ScriptUnblockPIN                                  // the PIN gets its tries back
	scriptSetBalance                                  // of a load only: PUT DATA of the balance
	scriptChangePIN                                   // of a change of the PIN only; the value is the reference, the chip gets the PIN enciphered
)

// Script is one command that the bank wants carried out on a chip.
type Script struct {
	Command ScriptCommand `json:"command"`
	Tag     uint16        `json:"tag,omitempty"`   // of PUT DATA
	Value   []byte        `json:"value,omitempty"` // of PUT DATA
}

const (
	// queueMax bounds what waits for one card: a bank that wants more has lost sight of it.
	queueMax = 16
	// scriptTriesMax is how often a card may refuse a command before the bank gives it up.
	scriptTriesMax = 3
	// templateMax is the longest script template: what every terminal must take [EMV B3 10.10], and what field 55 has room for at the switch.
	templateMax = 128

	templateHead  = 2 + 7     // the template's tag and length; 9F18 with its four bytes
	commandHead   = 2 + 5     // tag and length of 86; the command's header
	scriptMAC     = 4         // [REF 3.4]
	classClear    = 0x04      // data in clear
	classSecured  = 0x84      // no data, or enciphered ones
	batchMark     = 0x72      // first byte of what a row says of the scripts in its answer
	amountBytes   = 6         // of an amount in PUT DATA
	batchHead     = 1 + 4     // mark and identifier
	batchCommand  = 1 + 2 + 1 // command, tag, length
	orderedScript = 0x01      // first byte of a script's identifier: commands of the queue
	loadingScript = 0x02      // the balance
	pinScript     = 0x03      // the PIN
	resultBytes   = 5         // of one result in DF31
	resultDone    = 2         // high half of its first byte
	statusShift   = 4         //
	failedMask    = 1<<4 - 1  // low half: which command failed
)

// puttable are the data objects that may be ordered, with their lengths [REF 1.3].
var puttable = map[uint16]int{
	uint16(emv.TagConsecutiveIntlCurrency): 1, uint16(emv.TagCTTAL): amountBytes, uint16(emv.TagCTTAUL): amountBytes,
	uint16(emv.TagLowerConsecutiveLimit): 1, uint16(emv.TagUpperConsecutiveLimit): 1, uint16(emv.TagConsecutiveIntlCountry): 1,
	uint16(emv.TagDualCurrencyLimit): amountBytes, uint16(emv.TagCardCVMLimit): amountBytes, uint16(emv.TagECResetThreshold): amountBytes,
	uint16(emv.TagECSingleLimit): amountBytes, uint16(emv.TagECBalanceLimit): amountBytes,
	uint16(emv.TagSecondCVMLimit): amountBytes, uint16(emv.TagSecondResetThreshold): amountBytes, uint16(emv.TagSecondSingleLimit): amountBytes,
	uint16(emv.TagSecondBalanceLimit): amountBytes,
}

// ErrScript says that a script command cannot be ordered.
var ErrScript = errors.New("not a script command")

func (s Script) check() error {
	switch s.Command {
	case ScriptBlockApplication, ScriptUnblockApplication, ScriptBlockCard, ScriptUnblockPIN:
		if s.Tag != 0 || len(s.Value) != 0 {
			return fmt.Errorf("%w: command %d has no data", ErrScript, s.Command)
		}
		return nil
	case ScriptPutData:
	default:
		return fmt.Errorf("%w: command %d", ErrScript, s.Command)
	}
	length, known := puttable[s.Tag]
	if !known || len(s.Value) != length {
		return fmt.Errorf("%w: tag %04X with %d bytes", ErrScript, s.Tag, len(s.Value))
	}
	if length != amountBytes {
		return nil
	}
	minor := int64(0)
	for _, b := range s.Value {
		if b>>4 > 9 || b&15 > 9 {
			return fmt.Errorf("%w: tag %04X is no amount", ErrScript, s.Tag)
		}
		minor = minor*100 + int64(b>>4)*10 + int64(b&15)
	}
	if (s.Tag == uint16(emv.TagECBalanceLimit) || s.Tag == uint16(emv.TagSecondBalanceLimit)) && minor > purseLimitMinor {
		return fmt.Errorf("%w: a purse holds at most %d", ErrScript, purseLimitMinor)
	}
	return nil
}

// header is the command's, its length counting the MAC [REF 3.4].
func (s Script) header() [5]byte {
	length := byte(len(s.Value) + scriptMAC)
	switch s.Command {
	case ScriptBlockApplication:
		return [5]byte{classSecured, byte(apdu.InsApplicationBlock), 0, 0, length}
	case ScriptUnblockApplication:
		return [5]byte{classSecured, byte(apdu.InsApplicationUnblock), 0, 0, length}
	case ScriptBlockCard:
		return [5]byte{classSecured, byte(apdu.InsCardBlock), 0, 0, length}
	case ScriptUnblockPIN:
		return [5]byte{classSecured, byte(apdu.InsPINChange), 0, apdu.PINUnblock, length}
	case scriptChangePIN:
		return [5]byte{classSecured, byte(apdu.InsPINChange), 0, apdu.PINChange, length}
	}
	return [5]byte{classClear, byte(apdu.InsPutData), byte(s.Tag >> 8), byte(s.Tag), length}
}

// scripts are the commands that leave with one answer, as its row has them: mark 72, identifier (4), then of each command its kind, tag (2), length and value.
// They have no MAC: that is made when they leave, and the same each time, for it depends on the payment's cryptogram only.
type scripts []byte

func newScripts(kind byte, atc uint16, list []Script) scripts {
	b := scripts{batchMark, kind, byte(len(list)), byte(atc >> 8), byte(atc)}
	for _, s := range list {
		b = append(b, byte(s.Command), byte(s.Tag>>8), byte(s.Tag), byte(len(s.Value)))
		b = append(b, s.Value...)
	}
	return b
}

func (b scripts) commands() (list []Script) {
	for rest := b[batchHead:]; len(rest) >= batchCommand; {
		end := batchCommand + int(rest[3])
		list = append(list, Script{Command: ScriptCommand(rest[0]), Tag: binary.BigEndian.Uint16(rest[1:]), Value: rest[batchCommand:end]})
		rest = rest[end:]
	}
	return list
}

// sound reports whether the bytes are scripts; they come from our own journal.
func (b scripts) sound() bool {
	if len(b) < batchHead || b[0] != batchMark {
		return false
	}
	rest := b[batchHead:]
	for len(rest) >= batchCommand && len(rest) >= batchCommand+int(rest[3]) {
		rest = rest[batchCommand+int(rest[3]):]
	}
	return len(rest) == 0
}

// ordered is the batch of the queue that the scripts are; zero for a load's.
func (b scripts) ordered() batch {
	if len(b) < batchHead || b[1] != orderedScript {
		return batch{}
	}
	return batch{atc: binary.BigEndian.Uint16(b[3:]), count: int(b[2])}
}

// splitAnswer takes the answer of a row apart: an authorization code of six digits, scripts, both or neither.
func splitAnswer(answer []byte) (code string, s scripts) {
	if len(answer) > 0 && answer[0] != batchMark {
		n := min(len(answer), len(approvalCode{}))
		return string(answer[:n]), answer[n:]
	}
	return "", answer
}

// next are the orders that go with the answer to a payment, as many as one template holds.
func (c *Card) nextScripts(atc uint16) scripts {
	length := templateHead
	var list []Script
	for _, o := range c.chipNow().queue {
		if length += commandHead + len(o.Value) + scriptMAC; length > templateMax {
			break
		}
		list = append(list, o.Script)
	}
	if len(list) == 0 {
		return nil
	}
	return newScripts(orderedScript, atc, list)
}

// closing is what Finish needs to answer the chip.
type closing struct {
	finding *Finding
	scripts scripts
}

// sign makes the template that the terminal passes on to the card, behind its last cryptogram [REF 3.3].
func (f *Finding) sign(s scripts) ([]byte, error) {
	body := tlv.Append(nil, emv.TagScriptID, s[1:batchHead])
	for _, command := range s.commands() {
		header := command.header()
		if command.Command == scriptChangePIN {
			if string(command.Value) != string(f.newReference[:]) {
				return nil, errPINChanged
			}
			command.Value = f.enciphered[:]
		}
		code, err := f.check.ScriptMAC(header, command.Value)
		if err != nil {
			return nil, err
		}
		wire := append(append(header[:], command.Value...), code[:]...)
		body = tlv.Append(body, emv.TagScriptCommand, wire)
	}
	return body, nil
}

// result is what a terminal says about one script [REF 5].
type result struct {
	id     [4]byte
	status byte
	failed int // number of the command that failed, from 1
}

// readResults takes DF31 apart. Half a result ends it: nobody knows what it would have said.
func readResults(p *unionpay.Payment) (list []result) {
	value, _ := p.ICC.Value(emv.TagScriptResults)
	for ; len(value) >= resultBytes; value = value[resultBytes:] {
		list = append(list, result{id: [4]byte(value[1:]), status: value[0] >> statusShift, failed: int(value[0] & failedMask)})
	}
	return list
}

// applyReport folds what became of the commands on their way: those before the one that failed are done; that one is tried again, a few times; those that
// were not carried out stay.
func (s *state) applyReport(r *journal.Row) error {
	if len(r.Note) != 2 {
		return fmt.Errorf("row %d: note of %d bytes, want 2", r.Seq, len(r.Note))
	}
	c, fresh, err := s.rowCard(r)
	if err != nil || !fresh {
		return err
	}
	s.changed(c, r.Seq)
	if p := c.chipNow().pin; p.seq != 0 && p.seq == r.Linked {
		s.applyPIN(c, r)
		return nil
	}
	status, failed := r.Note[0], int(r.Note[1])
	c.setChip(func(h *chip) {
		if h.load.seq != 0 && h.load.seq == r.Linked { // of an unload: the chip is empty, the money stays where it is
			if l := h.load; c.sideOf(l).second {
				h.unloaded, h.emptiedSecond, h.load = waits{l.seq, l.minor, l.atc}, r.BusinessDate, load{}
				return
			}
			h.load.state, h.emptied = loadBooked, r.BusinessDate
			return
		}
		n := min(h.sent.count, len(h.queue))
		h.sent = batch{}
		switch {
		case status == resultDone:
			h.queue = h.queue[n:]
		case failed > 0 && failed <= n:
			h.queue = h.queue[failed-1:]
			if h.queue[0].tries++; h.queue[0].tries >= scriptTriesMax {
				h.queue = h.queue[1:]
			}
		}
	})
	return nil
}

var scriptTerms = map[ScriptCommand]glossary.Term{
	ScriptPutData: {EN: "set data", ZH: "设置数据"}, ScriptBlockApplication: {EN: "block the application", ZH: "锁定应用"},
	ScriptUnblockApplication: {EN: "unblock the application", ZH: "解锁应用"}, ScriptBlockCard: {EN: "block the card", ZH: "锁卡"},
	ScriptUnblockPIN: {EN: "unblock the PIN", ZH: "解锁密码"}, scriptChangePIN: {EN: "change the PIN", ZH: "修改密码"}, scriptSetBalance: {EN: "set the purse's balance", ZH: "设置电子现金余额"},
}

// Term names the command.
func (c ScriptCommand) Term() glossary.Term { return scriptTerms[c] }

package unionpay

import (
	"crypto/sha256"
	"encoding/binary"
)

// Sizes of the fixed-width keys.
const (
	terminalChars = 8
	batchDigits   = 6
)

// TerminalKey identifies a message between a terminal and its acquirer: terminal 8, batch 6, trace number 6, class
// 1. A request and its answer have the same key; a payment and its reversal differ in the class.
func TerminalKey(m Message) string {
	if p := PaymentOf(m); p != nil {
		return terminalKey(p.Terminal, p.Info.Batch, p.STAN, m.Type().Class())
	}
	v := networkOf(m)
	return terminalKey(v.Terminal, v.Batch, v.STAN, m.Type().Class())
}

func terminalKey(terminal string, batch, stan uint32, class byte) string {
	key := make([]byte, 0, terminalChars+2*batchDigits+1)
	key = append(key, terminal...)
	for len(key) < terminalChars {
		key = append(key, ' ')
	}
	key = appendNumber(key, uint64(batch%(maxSTAN+1)), batchDigits)
	key = appendNumber(key, uint64(stan%(maxSTAN+1)), batchDigits)
	return string(append(key, class))
}

// NetworkKey identifies a message onward of the acquirer: transmission time 10, trace number 6, acquirer 11,
// forwarder 11, class 1, all of fixed width, so that keys sort by time within a year. A request and its answer
// have the same key.
func NetworkKey(m Message) string {
	if p := PaymentOf(m); p != nil {
		return networkKey(p.TransmissionTime, p.STAN, p.Acquirer, p.Forwarder, m.Type().Class())
	}
	v := networkOf(m)
	return networkKey(v.Time, v.STAN, "", v.Institution, m.Type().Class())
}

func networkKey(at string, stan uint32, acquirer, forwarder string, class byte) string {
	key := make([]byte, 0, 10+6+2*maxInstitution+1)
	for range 10 - len(at) {
		key = append(key, '0')
	}
	key = append(key, at...)
	key = appendNumber(key, uint64(stan%(maxSTAN+1)), 6)
	key = appendInstitution(appendInstitution(key, acquirer), forwarder)
	return string(append(key, class))
}

// OriginalKey is the key of the payment that m names as its original, "" when it names none. Field 90 gives a
// NetworkKey. A reversal in the terminal's dialect repeats batch and trace number of what it reverses, and a
// field 61 beside them names the original of that one; every other message names its original in field 61; both
// give a TerminalKey.
func OriginalKey(m Message) string {
	p := PaymentOf(m)
	if p == nil {
		return ""
	}
	if o := p.Original; o != nil && o.Type != "" {
		return networkKey(o.TransmissionTime, o.STAN, o.Acquirer, o.Forwarder, o.Type.Class())
	}
	switch m.(type) {
	case *ReversalRequest, *ReversalResponse:
		class := TypeFinancialRequest.Class()
		if p.Info.MessageType == KindPreAuth || p.Info.MessageType == KindPreAuthCancel {
			class = TypeAuthorizationRequest.Class()
		}
		return terminalKey(p.Terminal, p.Info.Batch, p.STAN, class)
	}
	if p.Original == nil {
		return ""
	}
	class := TypeFinancialRequest.Class()
	switch p.Info.MessageType {
	case KindPreAuthCancel, KindCompletion, KindCompletionNote:
		class = TypeAuthorizationRequest.Class()
	case KindSale: // of a transit operator, after a pre-authorization that was a verification only
		if p.Condition == ConditionPreAuth {
			class = TypeAuthorizationRequest.Class()
		}
	}
	return terminalKey(p.Terminal, p.Original.Batch, p.Original.STAN, class)
}

// OriginalOf describes m as an Original, for the reversal, void or refund that will name it.
func OriginalOf(m Message) *Original {
	p := PaymentOf(m)
	if p == nil {
		return nil
	}
	o := &Original{
		Batch: p.Info.Batch, STAN: p.STAN, Date: p.LocalDate,
		TransmissionTime: p.TransmissionTime, Acquirer: p.Acquirer, Forwarder: p.Forwarder,
	}
	if p.TransmissionTime != "" {
		o.Type = m.Type()
	}
	return o
}

// OriginalAt is what field 90 says of the payment with a NetworkKey and a type; nil when the key is none.
func OriginalAt(key string, t MTI) *Original {
	const stanAt, acquirerAt, forwarderAt, classAt = 10, 16, 16 + maxInstitution, 16 + 2*maxInstitution
	if len(key) != classAt+1 || t.Class() != key[classAt] || !isDigits(key[:classAt], classAt) {
		return nil
	}
	return &Original{Type: t, STAN: parseNumber([]byte(key[stanAt:acquirerAt])), TransmissionTime: key[:stanAt],
		Acquirer: key[acquirerAt:forwarderAt], Forwarder: key[forwarderAt:classAt]}
}

// ContentHash is SHA-256, cut to 16 bytes, over the type and every field except MAC and PIN blocks, which change
// when keys do: a repeat has the hash of the first message. It does not depend on the dialect, but fields that a
// dialect does not carry are not in what was received.
func ContentHash(m Message) [16]byte {
	w := workspaces.Get().(*workspace)
	defer w.release()
	content := append(make([]byte, 0, 1024), m.Type()...)
	if p := PaymentOf(m); p != nil {
		for i := range bindings {
			if bindings[i].number == fieldPIN || bindings[i].number == fieldNewPIN {
				continue
			}
			content = appendHashed(content, bindings[i].number, bindings[i].content(p, w.text[:0]))
		}
	} else {
		content = networkOf(m).appendContent(content)
	}
	sum := sha256.Sum256(content)
	clear(content)
	return [16]byte(sum[:16])
}

// content gives the characters of the field; what cannot be encoded counts as far as it went, since only messages
// that were decoded or will be encoded are compared.
func (b *binding) content(p *Payment, dst []byte) []byte {
	if b.text != nil {
		return append(dst, *b.text(p)...)
	}
	content, _ := b.put(p, dst)
	return content
}

// appendHashed leaves out absent fields, so that a new field does not change old hashes.
func appendHashed(dst []byte, number int, content []byte) []byte {
	if len(content) == 0 {
		return dst
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(number))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(content)))
	return append(dst, content...)
}

func (v *Network) appendContent(dst []byte) []byte {
	for i := range networkTexts {
		dst = appendHashed(dst, networkTexts[i].number, []byte(*networkTexts[i].text(v)))
	}
	dst = binary.BigEndian.AppendUint32(dst, v.STAN)
	dst = binary.BigEndian.AppendUint32(dst, v.Batch)
	dst = append(dst, byte(v.Code))
	dst = appendHashed(dst, fieldCustom, []byte(v.Data))
	dst = appendHashed(dst, fieldSecurity, []byte(v.Security))
	if k := v.Keys; k != nil {
		for number, part := range [...][]byte{k.PIN, k.PINKCV[:], k.MAC, k.MACKCV[:], k.Track, k.TrackKCV[:]} {
			dst = appendHashed(dst, number, part)
		}
	}
	return dst
}

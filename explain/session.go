package explain

import (
	"bytes"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// Session explains a conversation with a card. It remembers what one message says about the next: the lists behind command
// data, the layout of the log, the currency, and the issuer's key. The zero value is a conversation that has not begun.
// It belongs to one goroutine.
type Session struct {
	Context
	keys        certificates
	generatedAC bool
}

// NewSession begins a conversation with what is known beforehand.
func NewSession(c Context) *Session { return &Session{Context: c} }

func (s *Session) decoder(b []byte, ctx Context, command bool) *decoder {
	whole := wholeResponse
	if command {
		whole = wholeCommand
	}
	d := newDecoder(b, ctx, whole)
	d.keys = &s.keys
	return d
}

// Command explains the next command.
func (s *Session) Command(b []byte) (Node, error) {
	s.Answers = bytes.Clone(b[:min(len(b), MaxInputBytes)])
	command, err := apdu.ParseCommand(b)
	if err == nil && command.INS == apdu.InsSelect {
		s.reset()
		s.Foreign = foreignName(command.Data)
	}
	ctx := s.Context
	if err == nil && command.INS == apdu.InsGenerateAC && s.generatedAC {
		ctx.CDOL1 = s.CDOL2
	}
	d := s.decoder(b, ctx, true)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	n := d.commandNode()
	if err == nil && command.INS == apdu.InsGenerateAC {
		s.generatedAC = true
	}
	if !d.money.IsZero() { // the list named the transaction's currency
		s.Currency = d.money
	}
	return d.result(n)
}

// Response explains the answer to the last command.
func (s *Session) Response(b []byte) (Node, error) {
	d := s.decoder(b, s.Context, false)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	n := d.responseNode()
	if response, err := apdu.ParseResponse(b); err == nil {
		s.learn(response.Data)
	}
	return d.result(n)
}

// foreignName: the name of an application that a kernel other than that of [EMV C-7] serves.
func foreignName(name []byte) bool {
	aid, err := emv.ParseAID(name)
	if err != nil {
		return false
	}
	kernel, known := aid.Kernel()
	return known && kernel != emv.KernelUnionPay
}

// reset forgets the application before.
func (s *Session) reset() {
	s.PDOL, s.CDOL1, s.CDOL2, s.DDOL, s.LogFormat, s.LogSFI, s.LoadLogFormat, s.LoadLogSFI = nil, nil, nil, nil, nil, 0, nil, 0
	s.keys, s.generatedAC = certificates{rid: s.keys.rid}, false
}

// learn picks up lists and log layout from an answer.
func (s *Session) learn(data []byte) {
	lists := []struct {
		tag tlv.Tag
		dol *emv.DOL
	}{{emv.TagPDOL, &s.PDOL}, {emv.TagCDOL1, &s.CDOL1}, {emv.TagCDOL2, &s.CDOL2}, {emv.TagDDOL, &s.DDOL}, {emv.TagLogFormat, &s.LogFormat},
		{emv.TagLoadLogFormat, &s.LoadLogFormat}}
	for _, list := range lists {
		if value, ok := deepFind(data, list.tag, 0); ok {
			if dol, err := emv.ParseDOL(bytes.Clone(value)); err == nil {
				*list.dol = dol
			}
		}
	}
	if entry, ok := deepFind(data, emv.TagLogEntry, 0); ok && len(entry) == 2 {
		s.LogSFI = entry[0]
	}
	if entry, ok := deepFind(data, emv.TagLoadLogEntry, 0); ok && len(entry) == 2 {
		s.LoadLogSFI = entry[0]
	}
	if c, ok := scanCurrency(data); ok && s.Currency.IsZero() {
		s.Currency = c
	}
}

package pos

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"tapnet/internal/journal"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
)

// Trace names a transaction of this till: its batch and trace number. The zero value is none.
type Trace struct{ Batch, STAN uint32 }

// IsZero reports whether it names nothing.
func (t Trace) IsZero() bool { return t == Trace{} }

// String is batch and trace number as a slip shows them.
func (t Trace) String() string { return fmt.Sprintf("%06d/%06d", t.Batch, t.STAN) }

// header is what a row says in clear about what it begins: nothing that identifies a card.
type header struct {
	verb     Verb
	dialogue bool // the card in the slot has the last word
	of       Trace
}

const (
	headerMark   = 'T'
	flagDialogue = 1
	// maxPaper keeps a transaction, with what the card said last, within one cell; a request with chip data and slip takes half of it.
	maxPaper = 1100
)

func (h header) bytes(sealed []byte) []byte {
	flags := byte(0)
	if h.dialogue {
		flags = flagDialogue
	}
	b := []byte{headerMark, byte(h.verb), flags}
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(h.of.Batch)), uint64(h.of.STAN))
	return append(b, sealed...)
}

var errHeader = errors.New("not the note of a till's row")

// readHeader splits a note. One without header is of a till that knew sales only.
func readHeader(r *journal.Row) (header, []byte, error) {
	if len(r.Note) == 0 || r.Note[0] != headerMark {
		h := header{verb: VerbSale}
		if r.Kind == journal.Queued {
			h.verb = VerbOfflineSale
		}
		return h, append([]byte(nil), r.Note...), nil
	}
	var batch, stan uint64
	n, m := 0, 0
	if len(r.Note) > 3 {
		if batch, n = binary.Uvarint(r.Note[3:]); n > 0 {
			stan, m = binary.Uvarint(r.Note[3+n:])
		}
	}
	if n <= 0 || m <= 0 || batch > traceModulus || stan > traceModulus || r.Note[1] == 0 || Verb(r.Note[1]) >= verbCount {
		return header{}, nil, fmt.Errorf("row %d: %w", r.Seq, errHeader)
	}
	h := header{verb: Verb(r.Note[1]), dialogue: r.Note[2]&flagDialogue != 0, of: Trace{uint32(batch), uint32(stan)}}
	return h, append([]byte(nil), r.Note[3+n+m:]...), nil
}

// Slip is what a receipt shows and no message carries. It is sealed with the message.
type Slip struct {
	At       int64                `json:"at,omitempty"`       // seconds since 1970
	Label    string               `json:"label,omitempty"`    // of the application
	TSI      []byte               `json:"tsi,omitempty"`      // tag 9B
	Type     string               `json:"type,omitempty"`     // of the cryptogram: TC, ARQC, AAC
	Verified receipt.Verification `json:"verified,omitempty"` // how
	Purse    *int64               `json:"purse,omitempty"`    // what is left on the chip, minor units
	Skipped  bool                 `json:"skipped,omitempty"`  // the small-amount rule took the PIN back
}

// seal puts a message and its slip away for rest, nil when the secure module cannot do it now.
func (t *Till) seal(m unionpay.Message, s Slip) []byte {
	plain, err := unionpay.Encode(unionpay.Terminal, make([]byte, 2, 1024), m, nil)
	if err != nil {
		return nil
	}
	extra, err := json.Marshal(s)
	if err != nil || len(plain)+len(extra) > maxPaper {
		return nil
	}
	binary.BigEndian.PutUint16(plain, uint16(len(plain)-2))
	sealed, err := t.deps.Vault.SealData(t.deps.SealKey, paperContext, append(plain, extra...))
	if err != nil {
		return nil
	}
	return sealed
}

// open is the inverse of seal; false when the secure module cannot do it now.
func (t *Till) open(sealed []byte) (unionpay.Message, Slip, bool) {
	plain, err := t.deps.Vault.OpenData(t.deps.SealKey, paperContext, sealed)
	if err != nil {
		m := t.envelope.Open(sealed) // of a till that knew sales only
		return m, Slip{}, m != nil
	}
	if len(plain) < 2 || int(binary.BigEndian.Uint16(plain))+2 > len(plain) {
		return nil, Slip{}, false
	}
	end := 2 + int(binary.BigEndian.Uint16(plain))
	m, err := unionpay.Decode(unionpay.Terminal, plain[2:end])
	if err != nil {
		return nil, Slip{}, false
	}
	var s Slip
	if json.Unmarshal(plain[end:], &s) != nil {
		return nil, Slip{}, false
	}
	return m, s, true
}

// openRequest is open for a payment's request.
func (t *Till) openRequest(sealed []byte) *unionpay.FinancialRequest {
	m, _, _ := t.open(sealed)
	request, _ := m.(*unionpay.FinancialRequest)
	return request
}

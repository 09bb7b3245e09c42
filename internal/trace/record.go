package trace

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Kind says what a record is about.
type Kind uint8

// The kinds.
const (
	Command    Kind = iota + 1 // a command to the card
	Response                   // the card's answer
	Screen                     // what the terminal showed
	MessageIn                  // a message received
	MessageOut                 // a message sent
	Decision                   // a journal row with its reason
	Posting                    // a journal row that moves or holds money
	lastKind   = Posting
)

type kindText struct {
	name  string
	label glossary.Term // at most seven columns
}

var kinds = [...]kindText{
	Command:    {"command", glossary.Term{EN: "C-APDU", ZH: "C-APDU"}},
	Response:   {"response", glossary.Term{EN: "R-APDU", ZH: "R-APDU"}},
	Screen:     {"screen", glossary.Term{EN: "screen", ZH: "屏显"}},
	MessageIn:  {"message_in", glossary.Term{EN: "in", ZH: "收到"}},
	MessageOut: {"message_out", glossary.Term{EN: "out", ZH: "发出"}},
	Decision:   {"decision", glossary.Term{EN: "decided", ZH: "决定"}},
	Posting:    {"posting", glossary.Term{EN: "money", ZH: "账务"}},
}

// Valid reports whether k is one of the kinds above.
func (k Kind) Valid() bool { return k >= Command && k <= lastKind }

// String is a short fixed name.
func (k Kind) String() string {
	if !k.Valid() {
		return "unknown"
	}
	return kinds[k].name
}

// Term is the label in both languages.
func (k Kind) Term() glossary.Term {
	if !k.Valid() {
		return glossary.Term{EN: "unknown", ZH: "未知"}
	}
	return kinds[k].label
}

func kindNamed(name string) (Kind, bool) {
	for k := Command; k <= lastKind; k++ {
		if kinds[k].name == name {
			return k, true
		}
	}
	return 0, false
}

func (k Kind) isAPDU() bool    { return k == Command || k == Response }
func (k Kind) isMessage() bool { return k == MessageIn || k == MessageOut }

// Bytes are bytes that hold account numbers: they print as their length.
type Bytes []byte

// String is the length.
func (b Bytes) String() string { return fmt.Sprintf("[%d bytes]", len(b)) }

// Format prints the length whatever the verb.
func (b Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(b.String())) }

// LogValue logs the length.
func (b Bytes) LogValue() slog.Value { return slog.StringValue(b.String()) }

// MarshalJSON writes the length.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// Line is one more thing to say about a record, with a name in both languages. Values are masked like everything else.
type Line struct {
	Name  glossary.Term
	Value string
}

// Record is one thing that happened. Add takes it over with everything it points to.
type Record struct {
	At      time.Time
	Elapsed time.Duration // how long the card took; 0 when not measured
	Role    string        // who saw it
	Peer    string        // with whom, for messages
	Kind    Kind
	Dialect unionpay.Dialect
	Raw     Bytes    // APDU, or message without frame
	IDs     []string // what joins it to others; the store adds those it finds in Raw and Row
	Title   glossary.Term
	Row     *journal.Row // answers and notes are not kept
	Detail  []Line

	// Node is Raw explained. It is made when a record is shown or saved and is all there is of a record that was loaded.
	Node *explain.Node
	// Problem says what in Raw could not be explained.
	Problem glossary.Term

	seq uint64
}

// FromMessage makes a record of a message; raw is as on the wire, without frame.
func FromMessage(at time.Time, role, peer string, d unionpay.Dialect, raw []byte, out bool) Record {
	kind := MessageIn
	if out {
		kind = MessageOut
	}
	return Record{At: at, Role: role, Peer: peer, Kind: kind, Dialect: d, Raw: raw}
}

// FromRow makes a record of a committed row. title is what the role says about it, empty for the row's own words.
func FromRow(role string, row *journal.Row, title glossary.Term, detail ...Line) Record {
	kind := Decision
	if row.Debit != 0 && row.Credit != 0 || row.Resolves != 0 {
		kind = Posting
	}
	return Record{At: row.At, Role: role, Kind: kind, Row: row, Title: title, Detail: detail}
}

// Limits on one record. Nothing real comes near them; they keep what is remembered bounded.
const (
	maxIDs      = 16
	maxIDBytes  = 96
	maxDetail   = 32
	maxText     = 512
	recordBytes = 256 // what a record takes beside its texts and bytes
)

// trim copies the row without what a trace need not keep, and cuts what is too long.
func (r *Record) trim() {
	if len(r.Raw) > explain.MaxInputBytes {
		r.Raw = r.Raw[:explain.MaxInputBytes]
	}
	if r.Row != nil {
		row := *r.Row
		row.Answer, row.Note = nil, nil
		r.Row = &row
	}
	r.IDs = append([]string(nil), r.IDs...)
	r.Title = glossary.Term{EN: clean(r.Title.EN), ZH: clean(r.Title.ZH)}
	detail := make([]Line, 0, min(len(r.Detail), maxDetail))
	for _, line := range r.Detail[:min(len(r.Detail), maxDetail)] {
		detail = append(detail, Line{glossary.Term{EN: clean(line.Name.EN), ZH: clean(line.Name.ZH)}, clean(line.Value)})
	}
	r.Detail = detail
	r.Role, r.Peer = clean(r.Role), clean(r.Peer)
	r.Node = nil
}

func (r *Record) addIDs(ids ...string) {
	for _, id := range ids {
		known := false
		for _, have := range r.IDs {
			known = known || have == id
		}
		if !known && id != "" && len(id) <= maxIDBytes && len(r.IDs) < maxIDs {
			r.IDs = append(r.IDs, id)
		}
	}
}

func (r *Record) size() int {
	n := recordBytes + len(r.Raw) + len(r.Role) + len(r.Peer) + len(r.Title.EN) + len(r.Title.ZH)
	for _, id := range r.IDs {
		n += 2*len(id) + 48 // in the record and in the index
	}
	for _, line := range r.Detail {
		n += len(line.Name.EN) + len(line.Name.ZH) + len(line.Value) + 64
	}
	if r.Row != nil {
		n += 512
	}
	return n
}

// clean cuts a text, takes control characters out and stars what could be an account number: roles write the texts, but a
// trace must not depend on every one of them being careful.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return maskNumbers(explain.Harmless(s))
}

const (
	accountDigitsMin  = 13
	accountDigitsSure = 16
	accountHead       = 6
	accountTail       = 4
)

// maskNumbers stars the middle of digit runs that could be account numbers: all of sixteen digits and more, shorter ones when
// their check digit is right [ISO 7812]. Fifteen digits are a merchant's number more often than a card's.
func maskNumbers(s string) string {
	out := []byte(s)
	for i := 0; i < len(s); {
		end := i
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if n := end - i; n >= accountDigitsSure || n >= accountDigitsMin && luhn(s[i:end]) {
			for at := i + accountHead; at < end-accountTail; at++ {
				out[at] = '*'
			}
		}
		i = max(end, i+1)
	}
	return string(out)
}

func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

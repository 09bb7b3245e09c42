package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// Limits on what Load reads.
const (
	maxLineBytes = 4 << 20 // the longest message, explained to the bit
	maxLoaded    = 50000
	fileVersion  = 1
)

// ErrFile is wrapped by every error of Load that is about the content.
var ErrFile = errors.New("trace: not a saved trace")

type savedTerm struct {
	EN string `json:"en"`
	ZH string `json:"zh,omitempty"`
}

type savedLine struct {
	Name  savedTerm `json:"name"`
	Value string    `json:"value,omitempty"`
}

type savedRow struct {
	Seq      uint64 `json:"seq"`
	Kind     uint8  `json:"kind"`
	Name     string `json:"name"`
	RRN      string `json:"rrn,omitempty"`
	Terminal string `json:"terminal,omitempty"`
	STAN     uint32 `json:"stan,omitempty"`
	ATC      uint16 `json:"atc,omitempty"`
	Reason   uint16 `json:"reason,omitempty"`
	Debit    int64  `json:"debit,omitempty"`
	Credit   int64  `json:"credit,omitempty"`
	Amount   int64  `json:"amount,omitempty"`
	Currency uint16 `json:"currency,omitempty"`
	Phase    uint8  `json:"phase,omitempty"`
	Resolves uint64 `json:"resolves,omitempty"`
}

// saved is one line.
type saved struct {
	At      time.Time     `json:"at"`
	Elapsed int64         `json:"elapsed_us,omitempty"`
	Role    string        `json:"role"`
	Peer    string        `json:"peer,omitempty"`
	Kind    string        `json:"kind"`
	Dialect string        `json:"dialect,omitempty"`
	IDs     []string      `json:"ids,omitempty"`
	Title   *savedTerm    `json:"title,omitempty"`
	Detail  []savedLine   `json:"detail,omitempty"`
	Row     *savedRow     `json:"row,omitempty"`
	Problem *savedTerm    `json:"problem,omitempty"`
	Node    *explain.Node `json:"node,omitempty"` // masked by its own MarshalJSON
}

type fileHead struct {
	Version int `json:"tapnet_trace"`
}

// JSON writes one line of JSON for each record: masked, explained, with names in both languages.
func JSON(w io.Writer, records []Record) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for _, r := range Explain(records, explain.Context{}) {
		if err := encoder.Encode(toSaved(r)); err != nil {
			return fmt.Errorf("write trace: %w", err)
		}
	}
	return nil
}

// Save writes records for Load: masked and explained, so that nothing of a full account number, PIN block or key remains.
func Save(w io.Writer, records []Record) error {
	if err := json.NewEncoder(w).Encode(fileHead{fileVersion}); err != nil {
		return fmt.Errorf("save trace: %w", err)
	}
	return JSON(w, records)
}

func toSavedTerm(t glossary.Term) *savedTerm {
	if t == (glossary.Term{}) {
		return nil
	}
	return &savedTerm{clean(t.EN), clean(t.ZH)}
}

func toSaved(r Record) saved {
	s := saved{At: r.At, Elapsed: r.Elapsed.Microseconds(), Role: clean(r.Role), Peer: clean(r.Peer), Kind: r.Kind.String(),
		Title: toSavedTerm(r.Title), Problem: toSavedTerm(r.Problem), Node: r.Node}
	for _, id := range r.IDs {
		s.IDs = append(s.IDs, clean(id))
	}
	if r.Kind.isMessage() {
		s.Dialect = r.Dialect.String()
	}
	for _, d := range r.Detail {
		s.Detail = append(s.Detail, savedLine{savedTerm{clean(d.Name.EN), clean(d.Name.ZH)}, clean(d.Value)})
	}
	if row := r.Row; row != nil {
		s.Row = &savedRow{row.Seq, uint8(row.Kind), row.Kind.String(), clean(row.RRN), clean(row.Terminal), row.STAN, row.ATC, row.Reason,
			int64(row.Debit), int64(row.Credit), row.Amount, row.Currency, uint8(row.Phase), row.Resolves}
	}
	return s
}

// Load reads what Save wrote. The bytes themselves are not in it: records are shown as they were explained.
func Load(r io.Reader) ([]Record, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	var head fileHead
	if !lines.Scan() {
		return nil, loadError(0, lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil || head.Version != fileVersion {
		return nil, fmt.Errorf("%w: version %d", ErrFile, head.Version)
	}
	var records []Record
	for n := 2; lines.Scan(); n++ {
		if len(records) == maxLoaded {
			return nil, fmt.Errorf("%w: more than %d records", ErrFile, maxLoaded)
		}
		var s saved
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			return nil, loadError(n, err)
		}
		record, err := s.record()
		if err != nil {
			return nil, loadError(n, err)
		}
		records = append(records, record)
	}
	if err := lines.Err(); err != nil {
		return nil, loadError(len(records)+2, err)
	}
	return records, nil
}

// loadError names the line, never its content.
func loadError(line int, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return fmt.Errorf("%w: empty", ErrFile)
	case errors.As(err, &syntax), errors.As(err, &kind):
		return fmt.Errorf("%w: line %d", ErrFile, line)
	}
	return fmt.Errorf("%w: line %d: %w", ErrFile, line, err)
}

func (s saved) record() (Record, error) {
	kind, ok := kindNamed(s.Kind)
	if !ok {
		return Record{}, errors.New("unknown kind of record")
	}
	r := Record{At: s.At, Elapsed: time.Duration(s.Elapsed) * time.Microsecond, Role: s.Role, Peer: s.Peer, Kind: kind, Node: s.Node}
	if s.Dialect == unionpay.Switch.String() {
		r.Dialect = unionpay.Switch
	}
	if s.Title != nil {
		r.Title = glossary.Term(*s.Title)
	}
	if s.Problem != nil {
		r.Problem = glossary.Term(*s.Problem)
	}
	for _, d := range s.Detail {
		r.Detail = append(r.Detail, Line{glossary.Term(d.Name), d.Value})
	}
	if row := s.Row; row != nil {
		r.Row = &journal.Row{Seq: row.Seq, Kind: journal.Kind(row.Kind), At: s.At, RRN: row.RRN, Terminal: row.Terminal, STAN: row.STAN, ATC: row.ATC,
			Reason: row.Reason, Debit: ledger.Account(row.Debit), Credit: ledger.Account(row.Credit), Amount: row.Amount, Currency: row.Currency,
			Phase: ledger.Phase(row.Phase), Resolves: row.Resolves}
	}
	r.addIDs(s.IDs...)
	return r, nil
}

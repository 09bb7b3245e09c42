package tsp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"tapnet/internal/hsm"
	"tapnet/internal/tsp/tspapi"
)

// A record's bytes are the same in its cell and in the row that made it: version 1, then its members in the order of their declaration. Numbers are unsigned
// varints, texts and byte strings have their length before them, lists their count, truth values and small enumerations are one octet.
const recordVersion = 1

// Limits on the lists of a record, which are those of the interface.
const (
	maxListed = 64
	maxText   = 255
	maxKeys   = 40
)

type writer []byte

func (w *writer) number(v uint64)  { *w = binary.AppendUvarint(*w, v) }
func (w *writer) octet(b byte)     { *w = append(*w, b) }
func (w *writer) fixed(b [16]byte) { *w = append(*w, b[:]...) }
func (w *writer) bytes(b []byte)   { w.number(uint64(len(b))); *w = append(*w, b...) }
func (w *writer) text(s string)    { w.number(uint64(len(s))); *w = append(*w, s...) }
func (w *writer) flag(b bool) {
	if b {
		w.octet(1)
		return
	}
	w.octet(0)
}

func (w *writer) texts(list []string) {
	w.number(uint64(len(list)))
	for _, s := range list {
		w.text(s)
	}
}

func (w *writer) numbers(list []uint64) {
	w.number(uint64(len(list)))
	for _, n := range list {
		w.number(n)
	}
}

func (w *writer) domain(d *tspapi.Domain) {
	for _, list := range [...][]string{d.Presentments, d.Merchants, d.Categories, d.Countries, d.Currencies} {
		w.texts(list)
	}
}

func (r *Requestor) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	w.text(r.ID)
	w.text(r.Entity)
	w.text(r.Certificate)
	w.octet(r.UseCases)
	w.domain(&r.Domain)
	p := &r.Policy
	for _, v := range [...]int64{p.CoolingMinor, int64(p.CoolingHours), p.LimitedMinor, int64(p.TokenMonths), int64(p.DeviceTokens), int64(p.WatchedTokens)} {
		w.number(uint64(v))
	}
	w.text(r.Webhook)
	w.flag(r.Suspended)
	return w
}

func (c *Card) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	w.fixed(c.Name)
	w.bytes(c.Sealed)
	w.text(c.Tenant)
	w.number(uint64(c.Epoch))
	w.text(c.Expiry)
	w.text(c.Sequence)
	w.text(c.Last4)
	w.octet(byte(c.State))
	w.number(c.PAR)
	w.number(c.Successor)
	w.numbers(c.Tokens)
	return w
}

func (d *Device) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	w.fixed(d.Name)
	w.text(d.Reference)
	w.number(d.Requestor)
	w.text(d.Owner)
	w.flag(d.Hardware)
	w.number(uint64(d.SIM))
	w.flag(d.Lost)
	w.numbers(d.Tokens)
	w.number(d.Default)
	return w
}

func (t *Token) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	w.fixed(t.Name)
	w.bytes(t.Sealed)
	w.text(t.Masked)
	w.number(t.Card)
	w.number(t.Device)
	w.number(t.Requestor)
	for _, b := range [...]byte{t.Storage, byte(t.Method), byte(t.State), byte(t.Suspenders), byte(t.IDV)} {
		w.octet(b)
	}
	w.text(t.Expiry)
	w.number(uint64(t.Created))
	w.number(uint64(t.Activated))
	w.number(uint64(t.Used))
	w.flag(t.Narrowed)
	if t.Narrowed {
		w.domain(&t.Domain)
	}
	w.octet(byte(t.Challenge.Method))
	if t.Challenge.Method != 0 {
		w.number(uint64(t.Challenge.Expires))
		w.octet(t.Challenge.Tries)
		w.fixed(t.Challenge.Code)
	}
	w.text(t.Reference)
	w.flag(t.Account != nil)
	if a := t.Account; a != nil {
		w.fixed(a.Name)
		w.bytes(a.Sealed)
		w.text(a.Tenant)
		w.number(uint64(a.Epoch))
		w.text(a.Expiry)
		w.text(a.Sequence)
		w.number(a.PAR)
	}
	return w
}

func (s *settings) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	for _, n := range s.Count {
		w.number(n)
	}
	w.number(uint64(len(s.Keys)))
	for _, k := range s.Keys {
		w.text(k.Tenant)
		w.number(uint64(k.Epoch))
		w.bytes(k.Wrapped)
	}
	w.text(s.Rekey.Tenant)
	w.number(s.Rekey.Done)
	return w
}

var errRecord = errors.New("tsp: stored record is damaged")

// reader takes members off the front; the first that does not fit ends it.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) upTo(most uint64) uint64 {
	v := r.number()
	if v > most {
		r.bad = true
		return 0
	}
	return v
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) flag() bool { return r.octet() == 1 }

func (r *reader) fixed() (b [16]byte) {
	copy(b[:], r.take(uint64(len(b))))
	return b
}

func (r *reader) text() string { return string(r.take(r.upTo(maxText))) }

func (r *reader) bytes() []byte {
	if b := r.take(r.upTo(maxText)); len(b) > 0 {
		return append([]byte(nil), b...)
	}
	return nil
}

func (r *reader) texts() (list []string) {
	for range r.upTo(maxListed) {
		list = append(list, r.text())
	}
	return list
}

func (r *reader) numbers() (list []uint64) {
	for range r.upTo(maxListed) {
		list = append(list, r.upTo(maxRecords))
	}
	return list
}

func (r *reader) domain() (d tspapi.Domain) {
	for _, list := range [...]*[]string{&d.Presentments, &d.Merchants, &d.Categories, &d.Countries, &d.Currencies} {
		*list = r.texts()
	}
	return d
}

// parseRecord reads what append wrote for the cell of that number.
func parseRecord(cell int64, b []byte) (record, error) {
	r := &reader{b: b}
	if r.octet() != recordVersion {
		return nil, fmt.Errorf("cell %d: %w: unknown version", cell, errRecord)
	}
	var out record
	number := uint64(cell) >> kindBits
	switch {
	case cell == settingsCell:
		out = r.settings()
	case isHistory(cell):
		out = r.history(uint64(cell - historyBase))
	case kindOf(cell) == kindRequestor:
		out = r.requestor(number)
	case kindOf(cell) == kindCard:
		out = &Card{
			Number: number, Name: r.fixed(), Sealed: r.bytes(), Tenant: r.text(), Epoch: uint32(r.upTo(math.MaxUint32)), Expiry: r.text(), Sequence: r.text(),
			Last4: r.text(), State: cardState(r.octet()), PAR: r.upTo(maxRecords), Successor: r.upTo(maxRecords), Tokens: r.numbers(),
		}
	case kindOf(cell) == kindDevice:
		out = &Device{
			Number: number, Name: r.fixed(), Reference: r.text(), Requestor: r.upTo(maxRecords), Owner: r.text(), Hardware: r.flag(),
			SIM: int64(r.upTo(math.MaxInt64)), Lost: r.flag(), Tokens: r.numbers(), Default: r.upTo(maxRecords),
		}
	default:
		out = r.token(number)
	}
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("cell %d: %w", cell, errRecord)
	}
	return out, nil
}

func (r *reader) requestor(number uint64) *Requestor {
	q := &Requestor{Number: number, ID: r.text(), Entity: r.text(), Certificate: r.text(), UseCases: r.octet(), Domain: r.domain()}
	small := func() int { return int(r.upTo(math.MaxInt32)) }
	q.Policy = tspapi.Policy{CoolingMinor: int64(r.upTo(math.MaxInt64)), CoolingHours: small(), LimitedMinor: int64(r.upTo(math.MaxInt64)),
		TokenMonths: small(), DeviceTokens: small(), WatchedTokens: small()}
	q.Webhook, q.Suspended = r.text(), r.flag()
	return q
}

func (r *reader) token(number uint64) *Token {
	t := &Token{Number: number, Name: r.fixed(), Sealed: r.bytes(), Masked: r.text()}
	t.Card, t.Device, t.Requestor = r.upTo(maxRecords), r.upTo(maxRecords), r.upTo(maxRecords)
	t.Storage, t.Method, t.State, t.Suspenders, t.IDV = r.octet(), Method(r.octet()), State(r.octet()), Suspenders(r.octet()), idvMethod(r.octet())
	t.Expiry = r.text()
	t.Created, t.Activated, t.Used = int64(r.upTo(math.MaxInt64)), int64(r.upTo(math.MaxInt64)), int32(r.upTo(math.MaxInt32))
	if t.Narrowed = r.flag(); t.Narrowed {
		t.Domain = r.domain()
	}
	if t.Challenge.Method = idvMethod(r.octet()); t.Challenge.Method != 0 {
		t.Challenge.Expires, t.Challenge.Tries, t.Challenge.Code = int64(r.upTo(math.MaxInt64)), r.octet(), r.fixed()
	}
	t.Reference = r.text()
	if r.flag() {
		t.Account = &Account{
			Name: r.fixed(), Sealed: r.bytes(), Tenant: r.text(), Epoch: uint32(r.upTo(math.MaxUint32)), Expiry: r.text(), Sequence: r.text(), PAR: r.upTo(maxRecords),
		}
	}
	if t.State < Requested || t.State > Deactivated || t.IDV >= idvEnd || t.Challenge.Method >= idvEnd {
		r.bad = true
	}
	return t
}

func (r *reader) settings() *settings {
	s := &settings{}
	for i := range s.Count {
		s.Count[i] = r.upTo(maxRecords)
	}
	for range r.upTo(maxKeys) {
		s.Keys = append(s.Keys, hsm.DataKey{Tenant: r.text(), Epoch: uint32(r.upTo(math.MaxUint32)), Wrapped: r.bytes()})
	}
	s.Rekey = rekey{Tenant: r.text(), Done: r.upTo(maxRecords)}
	return s
}

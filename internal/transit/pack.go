package transit

import (
	"encoding/binary"
	"encoding/json"
	"hash"
	"time"

	"tapnet/internal/transit/fares"
)

// packer writes varints and texts into pieces of one size.
type packer struct {
	pieces [][]byte
	b      []byte
	hash   hash.Hash
}

func (p *packer) u(values ...uint64) {
	for _, v := range values {
		p.b = binary.AppendUvarint(p.b, v)
	}
	p.cut()
}

func (p *packer) i(values ...int64) {
	for _, v := range values {
		p.b = binary.AppendVarint(p.b, v)
	}
	p.cut()
}

func (p *packer) flag(on bool) {
	v := uint64(0)
	if on {
		v = 1
	}
	p.u(v)
}

func (p *packer) raw(b []byte) {
	p.b = append(p.b, b...)
	p.cut()
}

func (p *packer) text(s string) {
	p.u(uint64(len(s)))
	p.raw([]byte(s))
}

func (p *packer) json(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic("transit: " + err.Error()) // of the package's own types
	}
	p.text(string(text))
}

func (p *packer) key(k tapKey) { p.u(uint64(k.device), k.sequence) }

func (p *packer) material(m *material) {
	p.u(uint64(m.device), m.row, m.sequence)
	p.i(m.at)
	p.flag(m.used)
	p.flag(m.shown)
}

// cut takes whole pieces off.
func (p *packer) cut() {
	for len(p.b) >= pieceBytes {
		piece := make([]byte, pieceBytes)
		copy(piece, p.b)
		p.hash.Write(piece)
		p.pieces = append(p.pieces, piece)
		p.b = p.b[:copy(p.b, p.b[pieceBytes:])]
	}
}

// end gives all pieces.
func (p *packer) end() [][]byte {
	if len(p.b) > 0 {
		p.hash.Write(p.b)
		p.pieces = append(p.pieces, p.b)
	}
	return p.pieces
}

// unpacker reads them; the first thing that does not fit ends it.
type unpacker struct {
	b    []byte
	more func() ([]byte, error)
	err  error
}

func (u *unpacker) fail() {
	if u.err == nil {
		u.err = errSnapshot
	}
}

// fill makes sure that so many bytes are there, as far as there are any.
func (u *unpacker) fill(n int) {
	for u.err == nil && len(u.b) < n {
		next, err := u.more()
		if err != nil {
			if len(u.b) == 0 || n > binary.MaxVarintLen64 {
				u.err = err
			}
			return
		}
		u.b = append(u.b[:len(u.b):len(u.b)], next...)
	}
}

func (u *unpacker) u() uint64 {
	v, n := binary.Uvarint(u.b)
	if n == 0 { // cut within
		u.fill(binary.MaxVarintLen64)
		v, n = binary.Uvarint(u.b)
	}
	if n <= 0 || u.err != nil {
		u.fail()
		return 0
	}
	u.b = u.b[n:]
	return v
}

func (u *unpacker) i() int64 {
	v := u.u()
	x := int64(v >> 1)
	if v&1 != 0 {
		x = ^x
	}
	return x
}

// count is how many of something follow: more than fits is damage.
func (u *unpacker) count() int {
	const most = 1 << 40
	n := u.u()
	if n > most {
		u.fail()
	}
	if u.err != nil {
		return 0
	}
	return int(n)
}

func (u *unpacker) flag() bool { return u.u() == 1 }

func (u *unpacker) date() fares.Date { return fares.Date(u.i()) }

func (u *unpacker) raw(into []byte) {
	if u.fill(len(into)); u.err != nil || len(u.b) < len(into) {
		u.fail()
		return
	}
	u.b = u.b[copy(into, u.b):]
}

// maxText bounds one text: a person's corrections.
const maxText = 1 << 24

func (u *unpacker) text() string {
	n := u.u()
	if n > maxText {
		u.fail()
		return ""
	}
	b := make([]byte, n)
	u.raw(b)
	return string(b)
}

func (u *unpacker) json(v any) {
	text := u.text()
	if u.err == nil && json.Unmarshal([]byte(text), v) != nil {
		u.fail()
	}
}

func (u *unpacker) key() tapKey { return tapKey{int32(u.u()), u.u()} }

func (u *unpacker) material() material {
	return material{device: int32(u.u()), row: u.u(), sequence: u.u(), at: u.i(), used: u.flag(), shown: u.flag()}
}

// packedPayment is a request under way.
type packedPayment struct {
	Seq        uint64    `json:"seq"`
	At         time.Time `json:"at"`
	Key        string    `json:"key"`
	Ask        Ask       `json:"ask"`
	Credential int32     `json:"credential"`
	Bill       uint64    `json:"bill"`
	Minor      int64     `json:"minor"`
	Status     status    `json:"status"`
	Chip       bool      `json:"chip"`
	Sealed     []byte    `json:"sealed"`
	STAN       uint32    `json:"stan"`
	Batch      uint32    `json:"batch"`
	Date       string    `json:"date"`
	Auth       string    `json:"auth"`
	RRN        string    `json:"rrn"`
}

// packedPerson is what a rider has told.
type packedPerson struct {
	PAR         int32                   `json:"par"`
	Corrections []fares.Correction      `json:"corrections,omitempty"`
	Category    string                  `json:"category,omitempty"`
	Token       [32]byte                `json:"token"`
	Earlier     map[int]fares.YearCount `json:"earlier,omitempty"`
	Restricted  int                     `json:"restricted,omitempty"`
	Forgiven    int                     `json:"forgiven,omitempty"`
	Paid        []paid                  `json:"paid,omitempty"`
}

func (p *person) packed() packedPerson {
	return packedPerson{PAR: p.par, Corrections: p.corrections, Category: p.category, Token: p.token, Earlier: p.earlier, Restricted: p.restricted,
		Forgiven: p.forgiven, Paid: p.paid}
}

func (v *packedPerson) person() *person {
	return &person{par: v.PAR, corrections: v.Corrections, category: v.Category, token: v.Token, earlier: v.Earlier, restricted: v.Restricted,
		forgiven: v.Forgiven, paid: v.Paid}
}

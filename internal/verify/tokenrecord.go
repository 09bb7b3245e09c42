package verify

import (
	"fmt"
	"hash/maphash"
	"math"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// A token service's records, read a second time from their description: each is a cell, and the rows that make or change records carry them in the same bytes,
// each behind the number of its cell and its length. A record begins with version 1; numbers are unsigned varints, texts and byte strings have their length
// before them, lists their count, truth values and small enumerations are one octet. A record counts its kind from 1; its cell is number<<2 | kind. The
// settings are a cell of their own, and the history of token n is the cell historyBase + n.
const (
	kindRequestor = 0
	kindCard      = 1
	kindDevice    = 2
	kindToken     = 3

	recordKinds              = 4
	recordBits               = 2
	settingsCell       int64 = 1<<40 - 1
	historyBase        int64 = 1 << 39
	mostLived                = 32
	recordVersion            = 1
	mostListed               = 64
	mostRecords              = 1<<37 - 1
	mostText                 = 255
	mostDataKeys             = 40
	requestorIDDigits        = 11
	requestorSerialAt        = 3
	domainLists              = 5
	domainOfCurrencies       = 4
)

// requestorRecord is a requestor. What never changes is kept as a hash.
type requestorRecord struct {
	id           string
	certificate  string
	useCases     uint8
	currencies   []string
	coolingMinor int64
	coolingHours int64
	limitedMinor int64
	suspended    bool
	rest         uint64
}

// vaultCard is an account number as the vault has it: hashes stand for what is sealed.
type vaultCard struct {
	name           [16]byte
	sealed         uint64 // 0: nothing
	tenant         string
	epoch          uint64
	expiry         string
	sequence       string
	last4          string
	state          uint8
	par, successor uint64
	tokens         []uint64
}

// Standings of a card at a token service.
const (
	vaultCardOpen uint8 = iota + 1
	vaultCardReplaced
	vaultCardClosed
)

// vaultDevice is where tokens are.
type vaultDevice struct {
	name      [16]byte
	reference string
	requestor uint64
	owner     string
	hardware  bool
	sim       uint64
	lost      bool
	tokens    []uint64
	byDefault uint64
}

// vaultToken stands for a card on a device.
type vaultToken struct {
	tokenFixed
	card       uint64
	state      tokenState
	suspenders uint8
	idv        uint8
	activated  int64
	used       int32
	challenge  tokenChallenge
	account    tokenAccount
	currencies string // of its own domain, a comma behind each; "" without
}

// tokenFixed is what of a token never changes.
type tokenFixed struct {
	name              [16]byte
	sealed            uint64
	masked            string
	device, requestor uint64
	storage, method   uint8
	expiry            string
	created           int64
	narrowed          bool
	domain            uint64
	reference         string
}

type tokenChallenge struct {
	method  uint8
	expires int64
	tries   uint8
	code    [16]byte
}

// tokenAccount is the copy of its card's account number that a token carries. The zero value is none.
type tokenAccount struct {
	name             [16]byte
	sealed           uint64
	tenant           string
	epoch            uint64
	expiry, sequence string
	par              uint64
}

// vaultSettings is what there is one of.
type vaultSettings struct {
	count [recordKinds]uint64
	keys  []dataKey
	rekey struct {
		tenant string
		done   uint64
	}
}

type dataKey struct {
	tenant  string
	epoch   uint64
	wrapped string
}

func (r *cellReader) short() string { return string(r.take(r.upTo(mostText))) }

func (r *cellReader) hashed(seed maphash.Seed) uint64 {
	b := r.take(r.upTo(mostText))
	if len(b) == 0 {
		return 0
	}
	return maphash.Bytes(seed, b)
}

func (r *cellReader) flag() bool {
	b := r.octet()
	r.bad = r.bad || b > 1
	return b == 1
}

func (r *cellReader) fixed() (b [16]byte) {
	copy(b[:], r.take(uint64(len(b))))
	return b
}

func (r *cellReader) serials() (list []uint64) {
	for range r.upTo(mostListed) {
		list = append(list, r.upTo(mostRecords))
	}
	return list
}

// domain reads the lists of a domain and keeps the currencies.
func (r *cellReader) domain() (currencies []string) {
	for at := range domainLists {
		for range r.upTo(mostListed) {
			if text := r.short(); at == domainOfCurrencies {
				currencies = append(currencies, text)
			}
		}
	}
	return currencies
}

// record is one record as a row or a cell has it.
type record struct {
	cell int64
	name [16]byte
	body []byte
	one  any // *requestorRecord, *vaultCard, *vaultDevice, *vaultToken or *vaultSettings
}

// kind is the record's, below zero for settings and histories.
func (r *record) kind() int64 {
	if r.cell >= historyBase {
		return -1
	}
	return r.cell & (1<<recordBits - 1)
}

func (r *record) number() uint64 { return uint64(r.cell) >> recordBits }

// readRecords reads the records of a row; false when one of them cannot be read.
func readRecords(seed maphash.Seed, note []byte) (list []record, ok bool) {
	r := cellReader{b: note}
	for len(r.b) > 0 {
		cell := int64(r.upTo(uint64(settingsCell)))
		body := r.take(r.upTo(journal.MaxCellBytes))
		if r.bad {
			return list, false
		}
		one, readable := readRecord(seed, cell, body)
		if !readable {
			return list, false
		}
		list = append(list, one)
	}
	return list, !r.bad
}

// readRecord reads the record of a cell.
func readRecord(seed maphash.Seed, cell int64, body []byte) (out record, ok bool) {
	r := &cellReader{b: body}
	out = record{cell: cell, body: body}
	r.bad = r.octet() != recordVersion || cell != settingsCell && cell>>recordBits == 0
	switch {
	case cell == settingsCell:
		out.one = r.settingsRecord()
	case cell >= historyBase:
		out.one = r.historyRecord(uint64(cell - historyBase))
	case out.kind() == kindRequestor:
		out.one = r.requestorRecord(seed, body)
	case out.kind() == kindCard:
		c := &vaultCard{name: r.fixed(), sealed: r.hashed(seed), tenant: r.short(), epoch: r.upTo(math.MaxUint32), expiry: r.short(), sequence: r.short(),
			last4: r.short(), state: r.octet(), par: r.upTo(mostRecords), successor: r.upTo(mostRecords), tokens: r.serials()}
		r.bad = r.bad || c.state < vaultCardOpen || c.state > vaultCardClosed
		out.one, out.name = c, c.name
	case out.kind() == kindDevice:
		d := &vaultDevice{name: r.fixed(), reference: r.short(), requestor: r.upTo(mostRecords), owner: r.short(), hardware: r.flag(),
			sim: r.upTo(math.MaxInt64), lost: r.flag(), tokens: r.serials(), byDefault: r.upTo(mostRecords)}
		out.one, out.name = d, d.name
	default:
		t := r.tokenRecord(seed)
		out.one, out.name = t, t.name
	}
	return out, !r.bad && len(r.b) == 0
}

func (r *cellReader) requestorRecord(seed maphash.Seed, body []byte) *requestorRecord {
	q := &requestorRecord{id: r.short()}
	r.short() // entity
	q.certificate, q.useCases = r.short(), r.octet()
	q.currencies = r.domain()
	q.coolingMinor, q.coolingHours, q.limitedMinor = r.minor(), int64(r.upTo(math.MaxInt32)), r.minor()
	for range 3 { // months of a token, tokens of a device, and from how many on a device is watched
		r.upTo(math.MaxInt32)
	}
	r.short() // webhook
	q.suspended = r.flag()
	q.rest = maphash.Bytes(seed, body[:max(0, len(body)-1)])
	return q
}

func (r *cellReader) tokenRecord(seed maphash.Seed) *vaultToken {
	t := &vaultToken{}
	t.name, t.sealed, t.masked = r.fixed(), r.hashed(seed), r.short()
	t.card, t.device, t.requestor = r.upTo(mostRecords), r.upTo(mostRecords), r.upTo(mostRecords)
	t.storage, t.method, t.state, t.suspenders, t.idv = r.octet(), r.octet(), tokenState(r.octet()), r.octet(), r.octet()
	t.expiry = r.short()
	t.created, t.activated, t.used = int64(r.upTo(math.MaxInt64)), int64(r.upTo(math.MaxInt64)), int32(r.upTo(math.MaxInt32))
	if t.narrowed = r.flag(); t.narrowed {
		before := r.b
		for _, currency := range r.domain() {
			t.currencies += currency + ","
		}
		t.domain = maphash.Bytes(seed, before[:len(before)-len(r.b)])
	}
	if t.challenge.method = r.octet(); t.challenge.method != 0 {
		t.challenge.expires, t.challenge.tries, t.challenge.code = int64(r.upTo(math.MaxInt64)), r.octet(), r.fixed()
	}
	t.reference = r.short()
	if r.flag() {
		t.account = tokenAccount{name: r.fixed(), sealed: r.hashed(seed), tenant: r.short(), epoch: r.upTo(math.MaxUint32), expiry: r.short(), sequence: r.short(),
			par: r.upTo(mostRecords)}
	}
	r.bad = r.bad || t.state < tokenRequested || t.state > tokenDeactivated || t.suspenders >= 1<<suspenderBits || t.idv >= idvEnd || t.challenge.method >= idvEnd
	return t
}

func (r *cellReader) settingsRecord() *vaultSettings {
	s := &vaultSettings{}
	for i := range s.count {
		s.count[i] = r.upTo(mostRecords)
	}
	for range r.upTo(mostDataKeys) {
		s.keys = append(s.keys, dataKey{r.short(), r.upTo(math.MaxUint32), r.short()})
	}
	s.rekey.tenant, s.rekey.done = r.short(), r.upTo(mostRecords)
	return s
}

// tokenHistory is what happened to a token.
type tokenHistory struct {
	token, dropped uint64
	lived          []livedChange
}

// livedChange is one change.
type livedChange struct {
	row               uint64
	at                int64
	event             tokenEvent
	state             tokenState
	suspenders, actor uint8
	who, reason       string
}

func (r *cellReader) historyRecord(token uint64) *tokenHistory {
	h := &tokenHistory{token: token, dropped: r.upTo(math.MaxInt64)}
	for range r.upTo(mostLived) {
		h.lived = append(h.lived, livedChange{r.upTo(math.MaxInt64), int64(r.upTo(math.MaxInt64)), tokenEvent(r.octet()), tokenState(r.octet()), r.octet(),
			r.octet(), r.short(), r.short()})
	}
	return h
}

// term is a record for people: what of it its holders would ask about.
func (r *record) term() glossary.Term {
	switch one := r.one.(type) {
	case *vaultToken:
		state := one.state.term()
		return glossary.Term{
			EN: fmt.Sprintf("%s by %06b, card %d, device %d, verified by %d, used %d", state.EN, one.suspenders, one.card, one.device, one.idv, one.used),
			ZH: fmt.Sprintf("%s（%06b），卡%d，设备%d，验证方式%d，最近使用%d", state.ZH, one.suspenders, one.card, one.device, one.idv, one.used),
		}
	case *vaultCard:
		return fill("standing %d, key epoch %d, tokens %d", "状态%d，密钥版本%d，令牌%d", one.state, one.epoch, one.tokens)
	case *vaultDevice:
		return fill("lost %t, tokens %d, default %d", "挂失%t，令牌%d，默认%d", one.lost, one.tokens, one.byDefault)
	case *requestorRecord:
		return fill("requestor %s, suspended %t", "请求方%s，暂停%t", one.id, one.suspended)
	case *tokenHistory:
		return fill("history of token %d: %d changes and %d dropped", "令牌%d的历史：%d项变更，已略去%d项", one.token, len(one.lived), one.dropped)
	case *vaultSettings:
		return fill("records %d, keys %d, re-key %q %d", "记录%d，密钥%d，换密%q %d", one.count, len(one.keys), one.rekey.tenant, one.rekey.done)
	}
	return wordUnfit
}

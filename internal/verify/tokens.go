package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// vault is what a token service's rows add up to: every record as its last row left it.
type vault struct {
	records  map[int64]*vaultRecord
	settings vaultSettings
	known    bool // there are settings: something was changed
	changed  uint64

	requestors map[string]uint64   // by id
	callers    map[string]uint64   // by certificate
	burnt      map[[16]byte]uint64 // every token number that was ever given out
	cards      map[[16]byte]uint64
	devices    map[[16]byte]uint64
	twins      map[twin]uint64 // tokens that live, by what there may be one of
	histories  map[uint64]*tokenHistory

	notices    map[uint64]string // that nobody has taken yet: keys by their rows
	references map[uint64]uint64 // by token, a hash of the name on interfaces
	tokenOf    map[uint64]uint64 // the other way round
	pars       map[uint64]uint64 // by account, a hash of the account reference
}

// vaultRecord is a record as its last row left it.
type vaultRecord struct {
	seq uint64
	sum uint64 // of its bytes
	one any
}

// twin is what there may be one token of.
type twin struct{ card, device, requestor uint64 }

func newVault() *vault {
	return &vault{records: map[int64]*vaultRecord{}, requestors: map[string]uint64{}, callers: map[string]uint64{}, burnt: map[[16]byte]uint64{},
		cards: map[[16]byte]uint64{}, devices: map[[16]byte]uint64{}, twins: map[twin]uint64{}, histories: map[uint64]*tokenHistory{},
		notices: map[uint64]string{}, references: map[uint64]uint64{},
		tokenOf: map[uint64]uint64{}, pars: map[uint64]uint64{}}
}

func cellNumber(kind int64, number uint64) int64 { return int64(number)<<recordBits | kind }

// at is the row that left a record as it is.
func (v *vault) at(kind int64, number uint64) uint64 {
	if r := v.records[cellNumber(kind, number)]; r != nil {
		return r.seq
	}
	return 0
}

func recordOf[T any](v *vault, kind int64, number uint64) T {
	var none T
	if r := v.records[cellNumber(kind, number)]; r != nil {
		one, _ := r.one.(T)
		return one
	}
	return none
}

func (v *vault) token(number uint64) *vaultToken { return recordOf[*vaultToken](v, kindToken, number) }
func (v *vault) card(number uint64) *vaultCard   { return recordOf[*vaultCard](v, kindCard, number) }
func (v *vault) device(number uint64) *vaultDevice {
	return recordOf[*vaultDevice](v, kindDevice, number)
}
func (v *vault) requestor(number uint64) *requestorRecord {
	return recordOf[*requestorRecord](v, kindRequestor, number)
}

func (v *vault) lost(device uint64) bool {
	d := v.device(device)
	return d != nil && d.lost
}

// Keys of a token service that are no payment's.
const (
	apiKeyPrefix    = "!api "
	noticeKeyPrefix = "!notice "
)

// tokenService follows a token service's rows.
func (a *auditor) tokenService(m *member, r *journal.Row, j join) {
	v := m.vault
	switch r.Kind {
	case journal.Queued:
		sameText(m, r, "key", r.Key, fmt.Sprintf("%s%016d", noticeKeyPrefix, r.Seq))
		if !json.Valid(r.Note) {
			m.fault(r, "note", wordUnfit, wordReadable)
		}
		v.notices[r.Seq] = strings.Clone(r.Key)
	case journal.Acknowledged:
		if _, waits := v.notices[r.Linked]; !waits {
			m.fault(r, "linked", number(r.Linked), fill("a notice that nobody has taken yet", "尚未签收的通知"))
		}
		delete(v.notices, r.Linked)
	case journal.Answered, journal.Declined:
		before := v.token(uint64(r.Card))
		a.resolution(m, r, j, before)
		a.recordsChange(m, r)
	default:
		if r.Key != "" && !strings.HasPrefix(r.Key, apiKeyPrefix) {
			m.fault(r, "key", quoted(r.Key), fill("an idempotency key", "幂等键"))
		}
		a.recordsChange(m, r)
		m.named(r)
	}
}

// named holds the names of tokens on interfaces together: one of each, for ever.
func (m *member) named(r *journal.Row) {
	if r.Card == 0 || r.Kind == journal.Refused && len(r.Note) == 0 {
		return
	}
	reference := r.Payment
	if r.Kind == journal.Opened {
		var reply struct {
			Token struct {
				Token string `json:"token"`
				PAR   string `json:"par"`
			} `json:"token"`
		}
		if json.Unmarshal(r.Answer, &reply) != nil || reply.Token.Token == "" {
			m.fault(r, "answer", wordUnfit, wordReadable)
			return
		}
		reference = reply.Token.Token
	}
	m.refers(r, "payment", uint64(r.Card), reference)
}

// refers holds a reference against the token it stands for.
func (m *member) refers(r *journal.Row, field string, token uint64, reference string) {
	v, hash := m.vault, m.auditor.hash(strings.ToLower(reference))
	known, named := v.references[token]
	switch other, taken := v.tokenOf[hash]; {
	case named && known != hash:
		m.fault(r, field, quoted(reference), fill("the reference of token %d", "令牌%d的参考号", token))
	case taken && other != token:
		m.fault(r, field, quoted(reference), fill("a reference that is not token %d's", "不属于令牌%d的参考号", other))
	default:
		v.references[token], v.tokenOf[hash] = hash, token
	}
}

// recordsChange takes in the records that a row carries, and holds each against what it was.
func (a *auditor) recordsChange(m *member, r *journal.Row) {
	if len(r.Note) == 0 {
		return
	}
	list, ok := readRecords(a.seed, r.Note)
	if !ok || len(list) == 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
	}
	row := &tokenRow{Row: r, member: m, event: tokenEvent(r.Reason)}
	var touched []uint64
	for i := range list {
		one := &list[i]
		row.changesRecord(one)
		m.vault.put(a.seed, one, r.Seq)
		if one.kind() == kindToken {
			touched = append(touched, one.number())
		}
	}
	for i := range list {
		row.related(&list[i])
	}
	row.recorded(list)
	if row.Kind == journal.Opened && r.Card != 0 && !slices.Contains(touched, uint64(r.Card)) {
		m.fault(r, "card", number(r.Card), fill("the token that was given out", "所发放的令牌"))
	}
}

// put makes a record what it is now.
func (v *vault) put(seed maphash.Seed, one *record, seq uint64) {
	if s, ok := one.one.(*vaultSettings); ok {
		v.settings, v.known, v.changed = *s, true, seq
		return
	}
	v.records[one.cell] = &vaultRecord{seq: seq, sum: sumOf(seed, one.name, one.body), one: one.one}
	if n := one.number(); one.kind() >= 0 && n > v.settings.count[one.kind()] {
		v.settings.count[one.kind()], v.known, v.changed = n, true, seq
	}
}

// sumOf is what is kept of a cell: name and content.
func sumOf(seed maphash.Seed, name [16]byte, data []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.Write(name[:])
	_, _ = h.Write(data)
	return h.Sum64()
}

// changesRecord holds one record against the one before.
func (r *tokenRow) changesRecord(one *record) {
	m, v := r.member, r.member.vault
	if s, ok := one.one.(*vaultSettings); ok {
		r.settings(s)
		return
	}
	if one.kind() < 0 {
		return // a history
	}
	old := v.records[one.cell]
	if want := v.settings.count[one.kind()] + 1; old == nil && one.number() != want {
		m.fault(r.Row, FieldRecord, fill("record %d of kind %d", "第%d条记录（类别%d）", one.number(), one.kind()), number(want))
	}
	if old == nil && r.Kind != journal.Opened && (one.kind() != kindCard || r.event != eventRelink) {
		m.fault(r.Row, FieldRecord, fill("a new record of kind %d", "新记录（类别%d）", one.kind()), fill("a record that was there", "已有的记录"))
	}
	switch x := one.one.(type) {
	case *requestorRecord:
		before, _ := oldOf[*requestorRecord](old)
		r.requestor(one.number(), before, x)
	case *vaultCard:
		before, _ := oldOf[*vaultCard](old)
		r.card(one.number(), before, x)
	case *vaultDevice:
		before, _ := oldOf[*vaultDevice](old)
		r.device(one.number(), before, x)
	case *vaultToken:
		before, known := oldOf[*vaultToken](old)
		if !known {
			r.givenOut(one.number(), x)
			return
		}
		r.lives(one.number(), before, x)
		r.twins(one.number(), before, x)
	}
}

func oldOf[T any](r *vaultRecord) (one T, known bool) {
	if r == nil {
		return one, false
	}
	one, known = r.one.(T)
	return one, known
}

func (r *tokenRow) wrong(kind int64, number uint64, what, whatZH string) {
	r.member.fault(r.Row, FieldRecord, fill("record %d of kind %d", "第%d条记录（类别%d）", number, kind), glossary.Term{EN: what, ZH: whatZH})
}

// requestor: ids count on, and only its suspension may change.
func (r *tokenRow) requestor(number uint64, old, q *requestorRecord) {
	v := r.member.vault
	switch {
	case old != nil && (r.Kind != journal.ParameterChanged || old.rest != q.rest):
		r.wrong(kindRequestor, number, "a requestor of which only the suspension changes", "只变更暂停状态的请求方")
	case old == nil:
		serial, ok := digits(tail(q.id, requestorIDDigits-requestorSerialAt))
		if len(q.id) != requestorIDDigits || !ok || serial != number {
			r.member.fault(r.Row, FieldRecord, quoted(q.id), fill("a requestor id that ends in %d", "以%d结尾的请求方标识", number))
		}
		if _, taken := v.callers[q.certificate]; taken {
			r.wrong(kindRequestor, number, "a certificate that is nobody else's", "未被使用的证书")
		}
		v.requestors[q.id], v.callers[q.certificate] = number, number
	}
}

// card: its number, bank and account reference never change; its key does in a re-key alone.
func (r *tokenRow) card(number uint64, old, c *vaultCard) {
	v := r.member.vault
	if old == nil {
		if _, taken := v.cards[c.name]; taken {
			r.wrong(kindCard, number, "an account number that the vault does not have", "保险库中没有的账号")
		}
		v.cards[c.name] = number
		if r.Kind == journal.Opened && c.par != number || c.state != vaultCardOpen || c.sealed == 0 || c.successor != 0 {
			r.wrong(kindCard, number, "a new card", "新的卡")
		}
		return
	}
	fixed := old.name == c.name && old.tenant == c.tenant && old.par == c.par && old.last4 == c.last4
	sealed := old.sealed == c.sealed && old.epoch == c.epoch
	dated := old.expiry == c.expiry && old.sequence == c.sequence
	sound := fixed
	switch {
	case r.Kind == journal.Opened:
		sound = sound && sealed && old.state == vaultCardOpen && c.state == vaultCardOpen
	case r.Kind == journal.KeysChanged:
		sound = sound && dated && c.state == old.state && c.epoch > old.epoch && c.sealed != old.sealed && slices.Equal(c.tokens, old.tokens)
	case r.event == eventRelink:
		sound = sound && dated && old.state == vaultCardOpen && c.state == vaultCardReplaced && c.successor != 0 && c.sealed == 0 && len(c.tokens) == 0
	case r.event == eventDelete:
		closing := c.state == vaultCardClosed && len(c.tokens) == 0
		sound = sound && dated && sealed && old.state == vaultCardOpen && (closing || c.state == old.state && len(c.tokens) == len(old.tokens)-1)
	default:
		sound = false
	}
	if !sound {
		r.wrong(kindCard, number, "a change that this row may make to a card", "该行可对卡作的变更")
	}
}

// device: it is found by a hash of requestor and reference.
func (r *tokenRow) device(number uint64, old, d *vaultDevice) {
	v := r.member.vault
	if old == nil {
		q := v.requestor(d.requestor)
		if q == nil {
			r.wrong(kindDevice, number, "a device of a requestor", "属于请求方的设备")
		} else if sum := sha256.Sum256([]byte("tapnet device 1\x00" + q.id + "\x00" + d.reference)); d.name != [16]byte(sum[:16]) {
			r.wrong(kindDevice, number, "the name that follows from requestor and reference", "由请求方与参考号得出的名称")
		}
		v.devices[d.name] = number
		return
	}
	sound := old.name == d.name && old.reference == d.reference && old.requestor == d.requestor && old.owner == d.owner
	switch {
	case r.Kind == journal.Opened:
		sound = sound && old.lost == d.lost
	case r.Kind == journal.CardChanged && (r.event == eventSuspend || r.event == eventNone || r.event == eventDelete || r.event == eventFound):
		sound = sound && old.hardware == d.hardware && old.sim == d.sim && (r.event != eventDelete || old.lost == d.lost)
		sound = sound && (r.event == eventDelete || slices.Equal(old.tokens, d.tokens))
	default:
		sound = false
	}
	if !sound {
		r.wrong(kindDevice, number, "a change that this row may make to a device", "该行可对设备作的变更")
	}
}

// givenOut is a new token: its number was never anybody's, and its life begins as the decision says.
func (r *tokenRow) givenOut(number uint64, t *vaultToken) {
	m, v := r.member, r.member.vault
	if by, burnt := v.burnt[t.name]; burnt {
		m.fault(r.Row, FieldBurnt, fill("token %d has the number of token %d", "令牌%d与令牌%d号码相同", number, by), fill("a number that was never given out", "从未发放的号码"))
	} else {
		v.burnt[t.name] = number
	}
	want, activated, idv := tokenInactive, int64(0), t.idv == idvNone
	switch r.event {
	case eventGreen:
		want, activated, idv = tokenActive, r.At.Unix(), t.idv == idvRisk || t.idv == idvIssuer
	case eventYellow:
	default:
		m.fault(r.Row, "reason", verbatim(fmt.Sprint(r.Reason)), fill("a token given out: %d or %d", "发放令牌：%d或%d", eventGreen, eventYellow))
	}
	if t.state != want {
		m.fault(r.Row, FieldState, t.state.term(), want.term())
	}
	if t.suspenders != 0 {
		m.fault(r.Row, FieldSuspenders, suspenderTerm(t.suspenders), suspenderTerm(0))
	}
	d, q := v.device(t.device), v.requestor(t.requestor)
	if !idv || t.activated != activated || t.created != r.At.Unix() || t.used != 0 || t.challenge != (tokenChallenge{}) {
		r.wrong(kindToken, number, "a new token", "新的令牌")
	}
	if uint64(r.Card) != number || d == nil || q == nil || d.requestor != t.requestor || d.reference != t.reference || t.storage == 0 ||
		q.useCases&(1<<(t.storage-1)) == 0 {
		r.wrong(kindToken, number, "a token of a device of its requestor, in a storage allowed to it", "请求方名下设备的令牌，且存储方式获准")
	}
	r.twins(number, nil, t)
}

// twins: one token per card, device and requestor.
func (r *tokenRow) twins(number uint64, old, t *vaultToken) {
	v := r.member.vault
	if old != nil {
		if key := (twin{old.card, old.device, old.requestor}); v.twins[key] == number {
			delete(v.twins, key)
		}
	}
	if t.state == tokenDeactivated {
		return
	}
	key := twin{t.card, t.device, t.requestor}
	if other, taken := v.twins[key]; taken && other != number {
		r.member.fault(r.Row, FieldTwin, fill("tokens %d and %d", "令牌%d与%d", other, number), fill("one token of card %d on device %d", "卡%d在设备%d上只有一个令牌", t.card, t.device))
		return
	}
	v.twins[key] = number
}

// settings: counts only follow the records, keys only rise.
func (r *tokenRow) settings(s *vaultSettings) {
	m, v := r.member, r.member.vault
	if s.count != v.settings.count {
		m.fault(r.Row, FieldRecord, fill("%d records", "记录数%d", s.count), fill("%d", "%d", v.settings.count))
	}
	grown := len(s.keys) > len(v.settings.keys)
	switch {
	case r.Kind == journal.Opened:
		grown = grown && s.rekey == v.settings.rekey
	case r.Kind == journal.KeysChanged && r.Key != "":
		grown = grown && v.settings.rekey.tenant == "" && s.rekey.tenant != "" && s.rekey.done == 0
	case r.Kind == journal.KeysChanged:
		ended := s.rekey.tenant == "" && s.rekey.done == 0
		grown = v.settings.rekey.tenant != "" && (ended || s.rekey.tenant == v.settings.rekey.tenant && s.rekey.done >= v.settings.rekey.done)
	default:
		grown = false
	}
	if !grown {
		m.fault(r.Row, FieldRecord, (&record{one: s}).term(), fill("settings that go on from %s", "由%s延续的设置", (&record{one: &v.settings}).term().EN))
	}
}

// related holds what belongs together: a token that lives is in the lists of its card and its device, and has their copies; a device with tokens has one
// default.
func (r *tokenRow) related(one *record) {
	m, v := r.member, r.member.vault
	lists := func(kind int64, tokens []uint64, owns func(*vaultToken) bool) {
		for at, n := range tokens {
			t := v.token(n)
			if t == nil || t.state == tokenDeactivated || !owns(t) || slices.Contains(tokens[:at], n) {
				m.fault(r.Row, FieldList, fill("token %d in the list of record %d of kind %d", "令牌%d在第%d条记录（类别%d）的列表中", n, one.number(), kind),
					fill("tokens that live and are its own", "其名下有效的令牌"))
			}
		}
	}
	switch x := one.one.(type) {
	case *vaultCard:
		lists(kindCard, x.tokens, func(t *vaultToken) bool { return t.card == one.number() })
		for _, n := range x.tokens {
			r.copied(n, v.token(n), x)
		}
	case *vaultDevice:
		lists(kindDevice, x.tokens, func(t *vaultToken) bool { return t.device == one.number() })
		if (x.byDefault != 0) != (len(x.tokens) > 0) || x.byDefault != 0 && !slices.Contains(x.tokens, x.byDefault) {
			m.fault(r.Row, FieldDefault, number(x.byDefault), fill("exactly one of the tokens %d of device %d", "设备%[2]d的令牌%[1]d之一", x.tokens, one.number()))
		}
	case *vaultToken:
		c, d := v.card(x.card), v.device(x.device)
		lives := x.state != tokenDeactivated
		if c == nil || d == nil || slices.Contains(c.tokens, one.number()) != lives || slices.Contains(d.tokens, one.number()) != lives {
			m.fault(r.Row, FieldList, fill("token %d: %s", "令牌%d：%s", one.number(), x.state.term().EN),
				fill("in the lists of its card and its device as long as it lives", "有效期间列于其卡与设备"))
			return
		}
		r.copied(one.number(), x, c)
	}
}

// copied: a token that lives carries its card's account number as the vault has it; one that is deleted carries none.
func (r *tokenRow) copied(number uint64, t *vaultToken, c *vaultCard) {
	if t == nil || c == nil {
		return
	}
	want := tokenAccount{}
	if t.state != tokenDeactivated {
		want = tokenAccount{name: c.name, sealed: c.sealed, tenant: c.tenant, epoch: c.epoch, expiry: t.account.expiry, sequence: t.account.sequence, par: c.par}
	}
	if t.account != want {
		r.member.fault(r.Row, FieldAccount, fill("token %d with another account than card %d", "令牌%d的账户与卡%d不符", number, t.card),
			fill("the card's own, or none once it is deleted", "与该卡一致，删除后为空"))
	}
}

// settingsBytes are the settings as their cell has them.
func (s *vaultSettings) bytes() []byte {
	dst := []byte{recordVersion}
	n := binary.AppendUvarint
	text := func(s string) { dst = append(n(dst, uint64(len(s))), s...) }
	for _, count := range s.count {
		dst = n(dst, count)
	}
	dst = n(dst, uint64(len(s.keys)))
	for _, k := range s.keys {
		text(k.tenant)
		dst = n(dst, k.epoch)
		text(k.wrapped)
	}
	text(s.rekey.tenant)
	return n(dst, s.rekey.done)
}

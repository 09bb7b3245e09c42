package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"tapnet/emv/cloudkey"
	"tapnet/glossary"
	"tapnet/internal/journal"
)

// clouds is what a cloud secure element's rows add up to.
type clouds struct {
	tokens map[string]*cloudToken // by reference
	byID   map[int64]*cloudToken
	alarms map[string]bool // that nobody has taken notice of
	pairs  []sameCounter   // payments that were answered alike for one counter
}

// sameCounter is a counter for which two payments got a yes, because the second was taken for the first one come again: rows of the cloud secure element.
type sameCounter struct{ first, again uint64 }

func newClouds() *clouds {
	return &clouds{tokens: map[string]*cloudToken{}, byID: map[int64]*cloudToken{}, alarms: map[string]bool{}}
}

// cloudToken is a token's keys as the last row left them. What is long and nobody looks into is a hash.
type cloudToken struct {
	ref      string
	id       int64
	seq      uint64
	causes   uint8
	wrong    uint64
	nextATC  uint64
	bseq     uint64
	taps     uint64
	minor    int64
	days     [2]cloudDay // at home, abroad
	ratchet  [32]byte
	digest   [32]byte
	answered []answeredRequest
	wire     uint64 // the last batch until it is confirmed, 0: none
	batches  []cloudBatch
	profile  cloudProfile
}

type cloudDay struct {
	date  int32
	count uint64
	minor int64
}

type answeredRequest struct {
	body, signed [8]byte
	at           int64
}

// cloudBatch is a batch of keys and what became of its counters.
type cloudBatch struct {
	bseq                           uint64
	grantedAt, notAfter, revokedAt int64
	confirmed                      bool
	keys                           []cloudKey
	used                           []cloudUse
	reported                       []uint64
}

type cloudKey struct {
	atc         uint16
	uses, class uint8
	index       string
}

type cloudUse struct {
	atc    uint16
	at     int64
	reason uint16
	hash   [10]byte
	row    uint64 // 0 in a cell
}

// cloudProfile is what an enrolment says of a token, as far as it decides anything; sum stands for all of it.
type cloudProfile struct {
	sum                        uint64
	cvm                        uint8
	scheme                     uint8
	software                   bool
	currency                   uint16
	openTap, tap, day, foreign int64
	dayCount, contactTaps      uint64
	contactMinor               int64
	keysCVM, keysOpen          uint64
	ref, device, sequence      string
	fingerprint                [16]byte
}

// What the institution decides, as published [REF 8]; an enrolment may set other limits.
const (
	cloudConfirmGrace   = 2 * 60 * 60
	cloudLateGrace      = 24 * 60 * 60
	cloudKeyLife        = 7 * 24 * 60 * 60
	cloudSoftwareLife   = 72 * 60 * 60
	cloudWrongMost      = 3
	cloudOpenTapMinor   = 100_000
	cloudTapMinor       = 500_000
	cloudDayMinor       = 2_000_000
	cloudDayCount       = 50
	cloudForeignMinor   = 500_000
	cloudContactTaps    = 13
	cloudContactMinor   = 2_000_000
	cloudBatchesKept    = 3
	cloudAnswersKept    = 8
	cloudCellVersion    = 1
	cloudTokenNameLabel = "tapnet cloud token\x00"
)

// Causes for which a token's keys do not work: one bit each.
const (
	causeService uint8 = 1 << iota
	causeClone
	causePassword
	causeDevice
)

// What a CardChanged row of a cloud secure element says.
const (
	cloudSuspends = 1
	cloudResumes  = 2
	cloudRevokes  = 3
)

func cloudName(ref string) [16]byte {
	sum := sha256.Sum256([]byte(cloudTokenNameLabel + ref))
	return [16]byte(sum[:16])
}

func (r *cellReader) hash32() (b [32]byte) {
	copy(b[:], r.take(uint64(len(b))))
	return b
}

// cloudProfile reads what an enrolment says.
func (r *cellReader) cloudProfile(seed maphash.Seed) (p cloudProfile) {
	before := r.b
	p.scheme = r.octet()
	r.take(3) // algorithm, generation of the master, version of the cryptogram
	p.cvm, p.software = r.octet(), r.flag()
	p.fingerprint = r.fixed()
	p.currency = uint16(r.upTo(999))
	p.openTap, p.tap, p.day, p.dayCount, p.foreign = r.minor(), r.minor(), r.minor(), r.upTo(math.MaxInt32), r.minor()
	p.contactTaps, p.contactMinor = r.upTo(math.MaxInt32), r.minor()
	p.keysCVM, p.keysOpen = r.upTo(cloudkey.MaxKeys), r.upTo(cloudkey.MaxKeys)
	p.ref, p.device, p.sequence = r.text(), r.text(), r.text()
	for range 4 { // the sealed number, the device's two keys, the sealed password
		r.text()
	}
	if !r.bad {
		p.sum = maphash.Bytes(seed, before[:len(before)-len(r.b)])
	}
	r.bad = r.bad || !cloudkey.Class(p.cvm).CVM() || p.keysCVM+p.keysOpen < 1 || p.keysCVM+p.keysOpen > cloudkey.MaxKeys
	return p
}

// limits with the published ones where the enrolment sets none.
func (p *cloudProfile) limits() cloudProfile {
	l := *p
	for _, x := range [...]struct {
		is *int64
		or int64
	}{{&l.openTap, cloudOpenTapMinor}, {&l.tap, cloudTapMinor}, {&l.day, cloudDayMinor}, {&l.foreign, cloudForeignMinor}, {&l.contactMinor, cloudContactMinor}} {
		if *x.is == 0 {
			*x.is = x.or
		}
	}
	if l.dayCount == 0 {
		l.dayCount = cloudDayCount
	}
	if l.contactTaps == 0 {
		l.contactTaps = cloudContactTaps
	}
	return l
}

func (r *cellReader) answeredRequest() (a answeredRequest) {
	copy(a.body[:], r.take(uint64(len(a.body))))
	copy(a.signed[:], r.take(uint64(len(a.signed))))
	a.at = r.minor()
	return a
}

func (r *cellReader) cloudBatch() (b cloudBatch) {
	b.bseq, b.grantedAt = r.upTo(cloudkey.MaxBSEQ), r.minor()
	b.notAfter = b.grantedAt + int64(r.upTo(math.MaxInt32))
	b.revokedAt, b.confirmed = r.minor(), r.upTo(1) == 1
	for range r.upTo(cloudkey.MaxKeys) {
		b.keys = append(b.keys, cloudKey{atc: uint16(r.upTo(math.MaxUint16)), uses: r.octet(), class: r.octet(), index: r.text()})
	}
	for range r.upTo(cloudkey.MaxTaps) {
		u := cloudUse{atc: uint16(r.upTo(math.MaxUint16)), at: r.minor(), reason: uint16(r.upTo(math.MaxUint16))}
		copy(u.hash[:], r.take(uint64(len(u.hash))))
		b.used = append(b.used, u)
	}
	for range r.upTo(cloudkey.MaxUses) {
		b.reported = append(b.reported, r.upTo(math.MaxUint16))
	}
	return b
}

// readCloudCell reads a token's cell: version 1, causes, wrong cryptograms, next counter, last batch, taps and amount since contact; at home and abroad: date,
// count, amount; ratchet, digest of the last batch, the requests answered last, the last batch as it went out when it is not confirmed, the batches, the
// profile.
func readCloudCell(seed maphash.Seed, cell *journal.Cell) (t *cloudToken, ok bool) {
	r := &cellReader{b: cell.Data}
	r.bad = r.octet() != cloudCellVersion
	t = &cloudToken{id: cell.ID, seq: cell.Seq, causes: r.octet()}
	t.wrong, t.nextATC, t.bseq = r.upTo(math.MaxInt32), r.upTo(math.MaxUint16), r.upTo(cloudkey.MaxBSEQ)
	t.taps, t.minor = r.upTo(math.MaxInt32), r.minor()
	for i := range t.days {
		t.days[i] = cloudDay{int32(r.upTo(math.MaxInt32)), r.upTo(math.MaxInt32), r.minor()}
	}
	t.ratchet, t.digest = r.hash32(), r.hash32()
	for range r.upTo(cloudAnswersKept) {
		t.answered = append(t.answered, r.answeredRequest())
	}
	if wire := r.take(r.upTo(journal.MaxCellBytes)); len(wire) > 0 {
		t.wire = maphash.Bytes(seed, wire)
	}
	for range r.upTo(cloudBatchesKept) {
		t.batches = append(t.batches, r.cloudBatch())
	}
	t.profile = r.cloudProfile(seed)
	t.ref = t.profile.ref
	return t, !r.bad && len(r.b) == 0
}

// sum is the token as its cell must have it: two that say the same have the same.
func (t *cloudToken) sum(seed maphash.Seed) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	maphash.WriteComparable(&h, struct {
		causes                           uint8
		wrong, nextATC, bseq, taps, wire uint64
		minor                            int64
		days                             [2]cloudDay
		ratchet, digest                  [32]byte
		profile                          uint64
	}{t.causes, t.wrong, t.nextATC, t.bseq, t.taps, t.wire, t.minor, t.days, t.ratchet, t.digest, t.profile.sum})
	for _, a := range t.answered {
		maphash.WriteComparable(&h, a)
	}
	for i := range t.batches {
		_, _ = h.Write(t.batches[i].bytes())
	}
	return h.Sum64()
}

func (b *cloudBatch) bytes() []byte {
	n := binary.AppendUvarint
	dst := n(n(n(n(nil, b.bseq), uint64(b.grantedAt)), uint64(b.notAfter)), uint64(b.revokedAt))
	dst = append(dst, byte(boolean(b.confirmed)), byte(len(b.keys)), byte(len(b.used)), byte(len(b.reported)))
	for _, k := range b.keys {
		dst = append(append(n(dst, uint64(k.atc)), k.uses, k.class, byte(len(k.index))), k.index...)
	}
	for _, u := range b.used {
		dst = append(n(n(n(dst, uint64(u.atc)), uint64(u.at)), uint64(u.reason)), u.hash[:]...)
	}
	for _, atc := range b.reported {
		dst = n(dst, atc)
	}
	return dst
}

// term is a token's keys for people.
func (t *cloudToken) term() glossary.Term {
	var used, batches string
	for i := range t.batches {
		b := &t.batches[i]
		batches += fmt.Sprintf(" %d:%t/%d", b.bseq, b.confirmed, b.revokedAt)
		for _, u := range b.used {
			used += fmt.Sprintf(" %d", u.atc)
		}
	}
	return fill("causes %04b, %d wrong, next counter %d, batches%s, used%s, %d taps and %d since contact, days %v", "原因%04b，错误%d次，下一计数器%d，批次%s，已用%s，联系后%d笔共%d，当日%v",
		t.causes, t.wrong, t.nextATC, batches, used, t.taps, t.minor, t.days)
}

// find is the batch and the key of a counter.
func (t *cloudToken) find(atc uint16) (b *cloudBatch, k *cloudKey) {
	for i := range t.batches {
		b := &t.batches[i]
		for at := range b.keys {
			if k := &b.keys[at]; atc >= k.atc && int(atc) < int(k.atc)+int(k.uses) {
				return b, k
			}
		}
	}
	return nil, nil
}

func (b *cloudBatch) use(atc uint16) *cloudUse {
	if at := slices.IndexFunc(b.used, func(u cloudUse) bool { return u.atc == atc }); at >= 0 {
		return &b.used[at]
	}
	return nil
}

func (t *cloudToken) last() *cloudBatch {
	if len(t.batches) == 0 {
		return nil
	}
	return &t.batches[len(t.batches)-1]
}

func (t *cloudToken) waits() bool { return len(t.batches) > 0 && !t.last().confirmed }

func (t *cloudToken) revoke(at int64) {
	for i := range t.batches {
		if b := &t.batches[i]; b.revokedAt == 0 || b.revokedAt > at {
			b.revokedAt = at
		}
	}
}

// stop is what an alarm does: keys that are in two places work nowhere any more.
func (t *cloudToken) stop(causes uint8, at int64) {
	if t.causes |= causes; causes&(causeClone|causeDevice) != 0 {
		t.revoke(at)
	}
}

// confirm ends the life of the batches before the last.
func (t *cloudToken) confirm(at int64) {
	for i := range t.batches {
		switch b := &t.batches[i]; {
		case i == len(t.batches)-1:
			b.confirmed = true
		case b.revokedAt == 0:
			b.revokedAt = at
		}
	}
	t.wire = 0
}

func alarmKey(ref string, cause uint8, row uint64) string {
	return fmt.Sprintf("%s/%d/%d", ref, cause, row)
}

// cloudElement follows a cloud secure element's rows.
func (a *auditor) cloudElement(m *member, r *journal.Row, j join) {
	c := m.clouds
	switch r.Kind {
	case journal.Answered:
		delete(c.alarms, string(r.Note))
		return
	case journal.Refused:
		same(m, r, "reason", r.Reason, reasonTokenKeyReused)
		return
	case journal.Approved, journal.Declined:
		a.cloudPayment(m, r, j)
		return
	case journal.Opened:
		m.cloudEnrolled(r)
		return
	}
	t := m.cloudToken(r)
	if t == nil {
		return
	}
	at := r.At.Unix()
	switch r.Kind {
	case journal.KeysChanged:
		m.cloudGranted(r, t)
	case journal.Acknowledged:
		if !t.waits() {
			m.fault(r, FieldBatch, fill("a confirmation of batch %d", "确认批次%d", t.bseq), fill("a batch that is not confirmed", "尚未确认的批次"))
		}
		t.confirm(at + cloudConfirmGrace)
	case journal.Noted:
		same(m, r, "reason", r.Reason, uint16(causeClone))
		t.stop(uint8(r.Reason), at)
		c.alarms[alarmKey(t.ref, uint8(r.Reason), r.Seq)] = true
	case journal.CardChanged:
		m.cloudChanged(r, t)
	}
	t.seq = r.Seq
}

const reasonTokenKeyReused = 100

// cloudToken is the token of a row, with a finding where there is none.
func (m *member) cloudToken(r *journal.Row) *cloudToken {
	t := m.clouds.tokens[r.Payment]
	if t == nil {
		m.fault(r, "payment", quoted(r.Payment), fill("a token that was enrolled", "已登记的令牌"))
		return nil
	}
	same(m, r, "card", r.Card, t.id)
	return t
}

func (m *member) cloudChanged(r *journal.Row, t *cloudToken) {
	suspended := t.causes&causeService != 0
	switch r.Reason {
	case cloudSuspends:
		t.causes |= causeService
	case cloudResumes:
		t.causes &^= causeService
	case cloudRevokes:
		t.revoke(r.At.Unix())
		return
	}
	if r.Reason > cloudRevokes || suspended == (t.causes&causeService != 0) {
		m.fault(r, FieldState, fill("change %d, suspended %t", "变更%d，已暂停%t", r.Reason, suspended), fill("a change that changes something", "有效的变更"))
	}
}

// cloudEnrolled binds a token to a device. One that is bound anew goes on with its counters, unless its card key is another.
func (m *member) cloudEnrolled(r *journal.Row) {
	c := m.clouds
	rd := &cellReader{b: r.Note}
	t := &cloudToken{ref: strings.Clone(r.Payment), id: r.Card, seq: r.Seq, nextATC: 1, ratchet: rd.hash32(), profile: rd.cloudProfile(m.auditor.seed)}
	if rd.bad || len(rd.b) != 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
	}
	sameText(m, r, "payment", r.Payment, t.profile.ref)
	if old := c.tokens[r.Payment]; old != nil {
		same(m, r, "card", r.Card, old.id)
		t.days, t.causes = old.days, old.causes&causeService
		if old.profile.sequence == t.profile.sequence {
			t.nextATC = old.nextATC
		}
	} else {
		same(m, r, "card", r.Card, int64(r.Seq))
	}
	c.tokens[t.ref], c.byID[t.id] = t, t
}

// cloudGranted is a batch of keys that goes to the phone.
func (m *member) cloudGranted(r *journal.Row, t *cloudToken) {
	rd := &cellReader{b: r.Note}
	next := rd.upTo(math.MaxUint16)
	ratchet, digest, request := rd.hash32(), rd.hash32(), rd.answeredRequest()
	var reported []uint64
	for range rd.upTo(cloudkey.MaxUses) {
		reported = append(reported, rd.upTo(math.MaxUint16))
	}
	b := rd.cloudBatch()
	if rd.bad || len(rd.b) != 0 {
		m.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	m.cloudKeys(r, t, &b, next)
	m.cloudWire(r, &b, digest)
	if t.causes != 0 {
		m.fault(r, FieldState, fill("causes %04b", "原因%04b", t.causes), fill("keys for a token that is not suspended", "仅向未暂停的令牌下发密钥"))
	}
	if ratchet == t.ratchet || slices.ContainsFunc(t.answered, func(a answeredRequest) bool { return a.body == request.body }) {
		m.fault(r, FieldRatchet, fill("a request that was answered before", "已答复过的请求"), fill("a new one, and a ratchet that goes on", "新的请求，且棘轮前进"))
	}
	for _, atc := range reported {
		if atc == 0 || atc >= t.nextATC {
			m.fault(r, FieldCounter, number(atc), fill("a counter that was given out: below %d", "已下发的计数器：小于%d", t.nextATC))
		}
	}
	if last := t.last(); last != nil {
		last.reported = reported
		if !last.confirmed {
			t.confirm(r.At.Unix() + cloudConfirmGrace)
		}
	}
	t.batches = append(slices.Clip(t.batches), b)
	t.batches = t.batches[max(0, len(t.batches)-cloudBatchesKept):]
	t.bseq, t.nextATC, t.ratchet, t.digest, t.wire = b.bseq, next, ratchet, digest, maphash.Bytes(m.auditor.seed, r.Answer)
	t.answered = append(slices.Clip(t.answered), request)
	t.answered = t.answered[max(0, len(t.answered)-cloudAnswersKept):]
	t.taps, t.minor = 0, 0
}

// cloudKeys: batches are numbered without gaps, and their counters go on where those of the last one ended: no counter is ever given out twice.
func (m *member) cloudKeys(r *journal.Row, t *cloudToken, b *cloudBatch, next uint64) {
	same(m, r, FieldBatch, b.bseq, t.bseq+1)
	life := int64(cloudKeyLife)
	if t.profile.software {
		life = cloudSoftwareLife
	}
	same(m, r, FieldBatch, b.notAfter-b.grantedAt, life)
	at := t.nextATC
	var verified, open uint64
	for i, k := range b.keys {
		if uint64(k.atc) != at {
			m.fault(r, FieldCounter, number(k.atc), fill("%d, the next that was not given out", "%d，即下一个未下发的", at))
		}
		at = uint64(k.atc) + uint64(k.uses)
		switch {
		case k.class == t.profile.cvm && open == 0:
			verified += uint64(k.uses)
		case k.class == uint8(cloudkey.ClassOpen):
			open += uint64(k.uses)
		default:
			m.fault(r, FieldBatch, fill("key %d of class %d", "第%d个密钥类别%d", i+1, k.class), fill("class %d, and then without verification", "类别%d，其后为免验证", t.profile.cvm))
		}
	}
	same(m, r, FieldCounter, next, at)
	same(m, r, FieldBatch, verified, t.profile.keysCVM)
	same(m, r, FieldBatch, open, t.profile.keysOpen)
	if b.confirmed || b.revokedAt != 0 || len(b.used) != 0 || len(b.reported) != 0 || b.grantedAt > r.At.Unix() || at-1 > cloudkey.LastATC {
		m.fault(r, FieldBatch, wordUnfit, fill("a new batch", "新的批次"))
	}
}

// cloudWire holds the batch as it went out against what the row says of it.
func (m *member) cloudWire(r *journal.Row, b *cloudBatch, digest [32]byte) {
	if sha256.Sum256(r.Answer) != digest {
		m.fault(r, "answer", wordUnfit, fill("the batch of the digest in the row", "与行中摘要一致的批次"))
		return
	}
	wire, err := cloudkey.ParseBatch(bytes.Clone(r.Answer))
	if err != nil || uint64(wire.BSEQ) != b.bseq || !slices.EqualFunc(wire.Keys, b.keys, func(w cloudkey.Key, k cloudKey) bool {
		return w.ATC == k.atc && w.Uses == k.uses && uint8(w.Class) == k.class && w.NotAfter == b.notAfter
	}) {
		m.fault(r, "answer", wordUnfit, fill("the keys that the row says", "与该行所列密钥一致"))
	}
}

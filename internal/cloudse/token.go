package cloudse

import (
	"crypto/sha256"
	"slices"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/iso8583/unionpay"
)

// name is how a token is found: a hash of its reference.
type name [16]byte

func nameOf(ref string) name {
	sum := sha256.Sum256([]byte("tapnet cloud token\x00" + ref))
	return name(sum[:16])
}

// profile is what does not change between enrolments.
type profile struct {
	ref, device  string
	fingerprint  [16]byte // of the token's number
	sealedNumber []byte
	sequence     string
	signing      []byte
	agreement    []byte
	scheme       cloudkey.SchemeID
	algorithm    byte
	dki, cvn     byte
	currency     int
	cvm          cloudkey.Class
	password     []byte // sealed
	software     bool
	limits       cloudseapi.Limits
	keys         cloudseapi.Keys
}

// suite is the cryptogram suite of the token.
func (p *profile) suite() cryptogram.Suite {
	s, ok := cryptogram.Standard(p.algorithm)
	if !ok {
		panic("cloudse: the algorithm was checked")
	}
	return s
}

// token is everything known of a token. A value is never changed once others can see it: the writer makes a changed copy, and Prepare may read while it does.
type token struct {
	id  int64
	seq uint64 // last row folded into it
	*profile
	causes   cloudseapi.Cause
	nextATC  uint16 // the first counter not yet given out
	bseq     uint32 // of the last batch
	ratchet  [32]byte
	answered []answered // the requests answered last, newest last
	wire     []byte     // the last batch, until it is confirmed
	digest   [32]byte   // of the last batch
	batches  []batch    // oldest first
	wrong    int
	contact  contact
	days     [2]day // at home, abroad
}

// contact is what was paid since the phone was last heard of.
type contact struct {
	taps  int
	minor int64
}

// day is what was paid on a business date.
type day struct {
	date  int32
	count int
	minor int64
}

// requestHash recognises a request: a repeat has the same, word for word.
type requestHash [8]byte

// answered is a request that was answered. Each time a phone sends it, it signs it anew: that tells a phone from the network, which repeats signatures.
type answered struct {
	body, signed requestHash
	at           int64
}

// findAnswered is the place of a request among those answered; -1 when it is new.
func (t *token) findAnswered(body requestHash) int {
	return slices.IndexFunc(t.answered, func(a answered) bool { return a.body == body })
}

func hashRequest(body []byte) requestHash {
	sum := sha256.Sum256(body)
	return requestHash(sum[:8])
}

// answeredMost is how many answered requests are remembered: one that comes again over the network is refused, but no alarm.
const answeredMost = 8

// batch is the server's side of a batch: every counter of it, and what became of it.
type batch struct {
	bseq      uint32
	grantedAt int64 // seconds since 1970
	notAfter  int64
	revokedAt int64 // zero: not revoked
	confirmed bool
	keys      []key
	used      []use
	reported  []uint16 // counters the phone said it used
}

// key is one key of a batch.
type key struct {
	atc   uint16
	uses  byte
	class cloudkey.Class
	index cloudkey.Index
}

// use is a counter that is used up.
type use struct {
	atc    uint16
	at     int64
	reason unionpay.TokenReason // what was answered
	hash   paymentHash
}

// paymentHash recognises the payment that used a counter.
type paymentHash [10]byte

// batchesMost is how many batches are kept: the one in use, the one before in its grace, and one more whose payments may come late.
const batchesMost = 3

// slot is the key that serves a counter.

type slot struct {
	found bool
	bseq  uint32
	class cloudkey.Class
	slot  cloudkey.Slot
}

// find looks for the key of a counter.
func (t *token) find(atc uint16) (b *batch, s slot) {
	for i := range t.batches {
		b := &t.batches[i]
		for _, k := range b.keys {
			if atc >= k.atc && int(atc) < int(k.atc)+int(k.uses) {
				return b, slot{true, b.bseq, k.class, cloudkey.Slot{ATC: k.slotATC(atc, t.scheme), Index: k.index}}
			}
		}
	}
	return nil, slot{}
}

// slotATC is the counter from which the key of another is derived: its own, or of a key for several the first.
func (k *key) slotATC(atc uint16, scheme cloudkey.SchemeID) uint16 {
	if scheme == cloudkey.SchemeLUK {
		return k.atc
	}
	return atc
}

// findUse is what used a counter.
func (b *batch) findUse(atc uint16) (use, bool) {
	for _, u := range b.used {
		if u.atc == atc {
			return u, true
		}
	}
	return use{}, false
}

// taps is how many counters a batch has.
func (b *batch) taps() (n int) {
	for _, k := range b.keys {
		n += int(k.uses)
	}
	return n
}

// last is the newest batch.
func (t *token) last() *batch {
	if len(t.batches) == 0 {
		return nil
	}
	return &t.batches[len(t.batches)-1]
}

// before is the batch given out before the newest.
func (t *token) before() *batch {
	if len(t.batches) < 2 {
		return nil
	}
	return &t.batches[len(t.batches)-2]
}

// copy is a token of its own, except for what is never changed in place.
func (t *token) copy() *token {
	c := *t
	c.batches = slices.Clone(t.batches)
	return &c
}

// waiting says that the last batch is not confirmed.
func (t *token) waiting() bool {
	b := t.last()
	return b != nil && !b.confirmed
}

// standing is the token as people see it.
func (t *token) standing() cloudseapi.Standing {
	s := cloudseapi.Standing{Token: t.ref, Device: t.device, BSEQ: t.bseq, Waiting: t.waiting(), NextATC: int(t.nextATC), Wrong: t.wrong}
	for _, term := range t.causes.Terms() {
		s.Suspended = append(s.Suspended, term.EN)
	}
	if b := t.last(); b != nil {
		if b.revokedAt == 0 {
			s.KeysLeft = b.taps() - len(b.used)
		}
		s.NotAfter = unix(b.notAfter)
	}
	return s
}

func unix(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }

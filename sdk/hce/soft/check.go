package soft

import (
	"fmt"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/pan"
)

// cardKey is the token's card key.
func (c *Cloud) cardKey(t *tokenRecord) (cryptogram.Key, error) {
	n, err := pan.Parse(t.Number)
	if err != nil {
		return cryptogram.Key{}, err
	}
	return c.o.Suite.CardKey(c.master, n, sequence), nil
}

// batch makes the next batch of a token and remembers its counters.
func (c *Cloud) batch(t *tokenRecord, d *deviceRecord, q *cloudkey.ReplenishRequest) (*cloudkey.Batch, error) {
	now := c.o.Now()
	o := cloudkey.Order{
		Scheme: c.o.Scheme.ID(), Token: t.Ref, BSEQ: t.BSEQ + 1, ServerTime: now.Unix(), Device: d.Agree,
		Thresholds: cloudkey.Thresholds{RefillAt: 3, RefillPercent: 70, ArmSeconds: 60, Taps: 10, Amount: c.o.AmountCap},
		Ratchet:    cloudkey.NextRatchet(c.base, t.Ref, t.BSEQ+1, q.Ratchet, q.Nonce),
	}
	next := t.NextATC
	add := func(class cloudkey.Class, n int) {
		k := cloudkey.Key{Class: class, NotAfter: now.Add(c.o.Life).Unix(), Uses: 1}
		if c.o.Scheme.ID() == cloudkey.SchemeLUK {
			k.Index, k.Uses = cloudkey.IndexAt(now, byte(t.BSEQ%99)+1), byte(n)
			n = min(n, 1)
		}
		for range n {
			k.ATC = uint16(next) //nolint:gosec // Seal checks the range
			o.Keys = append(o.Keys, k)
			next += int(k.Uses)
		}
	}
	add(cloudkey.ClassDevice, c.o.Device)
	add(cloudkey.ClassPassword, c.o.Password)
	add(cloudkey.ClassOpen, c.o.Open)
	card, err := c.cardKey(t)
	if err != nil {
		return nil, err
	}
	ephemeral, err := cloudkey.NewEphemeral(c.o.Random)
	if err != nil {
		return nil, err
	}
	batch, err := cloudkey.Seal(o, cloudkey.Material{
		Master: cloudkey.CardKeyMaster(c.o.Suite, card), Password: t.Password, Ephemeral: ephemeral,
		Binding: func(class cloudkey.Class) cloudkey.Secret { return cloudkey.BindingKey(c.base, t.Device, t.Ref, class) },
	})
	if err != nil {
		return nil, err
	}
	t.BSEQ, t.NextATC, t.Ratchet = o.BSEQ, next, o.Ratchet
	for _, k := range batch.Keys {
		for i := range uint16(k.Uses) {
			t.issued[k.ATC+i] = issued{bseq: o.BSEQ, slot: k.Slot(), class: k.Class, notAfter: k.NotAfter}
		}
	}
	return batch, nil
}

// Verdict is what the cloud makes of a tap. Reason is empty when it is good.
type Verdict struct {
	Token    string
	Reason   string
	Replay   bool // the same tap again: the same answer
	ATC      uint16
	Evidence cloudkey.Evidence
}

// OK reports whether the tap is good.
func (v Verdict) OK() bool { return v.Reason == "" }

// Reasons of a refusal, in the order they are checked.
const (
	ReasonUnknown   = "token is not known"
	ReasonSuspended = "token is suspended"
	ReasonEvidence  = "issuer data are no phone's"
	ReasonCounter   = "counter was never issued, or is revoked"
	ReasonExpired   = "key is too old"
	ReasonWrong     = "cryptogram is wrong"
	ReasonTag       = "device tag is wrong: the key is used off its device"
	ReasonClone     = "counter was used by another tap"
	ReasonClass     = "key does not stand for the verification that is claimed or needed"
)

// wrongLimit is how many wrong cryptograms in a row suspend a token: a password is guessed, or a key.
const wrongLimit = 3

// Verify checks a tap: field 55 and the number. It uses the counter up.
func (c *Cloud) Verify(number pan.Number, icc emv.Data) Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	var t *tokenRecord
	for _, candidate := range c.tokens {
		if candidate.Number == number.Reveal() {
			t = candidate
		}
	}
	if t == nil {
		return Verdict{Reason: ReasonUnknown}
	}
	v := Verdict{Token: t.Ref}
	v.Reason = c.verify(t, icc, &v)
	return v
}

func (c *Cloud) verify(t *tokenRecord, icc emv.Data, v *Verdict) string {
	if t.Suspended != "" {
		return ReasonSuspended
	}
	iad, err := cloudkey.ParseIAD(icc.Get(emv.TagIAD))
	atc := icc.Get(emv.TagATC)
	ac := icc.Get(emv.TagAC)
	if err != nil || len(atc) != 2 || len(ac) != 8 || len(icc.Get(emv.TagAmount)) != 6 {
		return ReasonEvidence
	}
	v.ATC, v.Evidence = uint16(atc[0])<<8|uint16(atc[1]), iad.Evidence
	k, ok := t.issued[v.ATC]
	switch {
	case !ok || k.bseq != iad.BSEQ:
		return ReasonCounter
	case c.o.Now().Unix() > k.notAfter+int64((2*time.Hour).Seconds()): // deferred authorisations come late
		return ReasonExpired
	}
	card, err := c.cardKey(t)
	if err != nil {
		return ReasonUnknown
	}
	data, err := c.o.Suite.AppendData(nil, iad.CVN, iad.CVR, icc)
	if err != nil {
		return ReasonEvidence
	}
	good, err := cloudkey.Verify(c.o.Scheme, cloudkey.CardKeyMaster(c.o.Suite, card), k.slot, c.o.Suite, data, [8]byte(ac))
	if err != nil || !good {
		if t.wrong++; t.wrong >= wrongLimit {
			t.Suspended = SuspendedGuessed
		}
		return ReasonWrong
	}
	t.wrong = 0
	in := cloudkey.TagInput{ATC: v.ATC, Evidence: iad.Evidence, Cryptogram: [8]byte(ac)}
	copy(in.UnpredictableNumber[:], icc.Get(emv.TagUnpredictableNumber))
	copy(in.Amount[:], icc.Get(emv.TagAmount))
	copy(in.Currency[:], icc.Get(emv.TagCurrency))
	if in.Merchant = strings.TrimRight(string(icc.Get(emv.TagMerchant)), " "); len(in.Merchant) > cloudkey.MaxMerchantBytes {
		return ReasonEvidence
	}
	if !cloudkey.CheckTag(cloudkey.TagKey(cloudkey.BindingKey(c.base, t.Device, t.Ref, k.class), v.ATC), t.Ref, in, iad.Tag) {
		t.Suspended = SuspendedClone + "device tag"
		return ReasonTag
	}
	print := fmt.Sprintf("%X %X %X", ac, icc.Get(emv.TagUnpredictableNumber), icc.Get(emv.TagAmount))
	if seen, twice := t.used[v.ATC]; twice {
		if seen == print {
			v.Replay = true
			return ""
		}
		t.Suspended = SuspendedClone + "counter twice"
		return ReasonClone
	}
	t.used[v.ATC] = print
	if k.class.CVM() != (iad.CVM != cloudkey.CVMTypeNone) || !k.class.CVM() && amount(icc) > c.o.OpenLimit {
		return ReasonClass
	}
	return ""
}

func amount(icc emv.Data) (v int64) {
	for _, b := range icc.Get(emv.TagAmount) {
		v = v*100 + int64(b>>4)*10 + int64(b&0xF)
	}
	return v
}

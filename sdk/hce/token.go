package hce

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
)

// token is one token with its keys. It is replaced as a whole by what was stored: next := t.clone(), change, save, then *t = *next.
type token struct {
	profile *cloudkey.Profile
	suite   cryptogram.Suite
	scheme  cloudkey.Scheme
	layout  *layout // what of the profile a tap needs, ready

	record
}

// record is what changes. Its form is the stored one.
type record struct {
	BSEQ       uint32
	Ratchet    cloudkey.Secret `json:"-"`
	ServerTime int64           // of the batch, seconds
	Expires    int64           // of its last key, seconds
	ReceivedMs int64           // by the phone's clock
	LastMs     int64           // the latest time the phone's clock has shown
	Thresholds cloudkey.Thresholds
	Keys       []storedKey
	Used       []cloudkey.Use // since the last report that was answered
	Pending    []byte         // nonce of a request that has not been answered
	Reported   int            // how many of Used that request tells
	Confirm    []byte         // digest of a batch that has not been confirmed
	Taps       int            // answered or not, since the last contact
	Amount     int64          // of answered taps since then, in minor units of the token's currency
}

// storedKey is a key of the batch in use, masked, and sealed once more by the platform.
type storedKey struct {
	ATC      uint16
	Uses     byte
	Spent    byte // counters given up
	Class    cloudkey.Class
	NotAfter int64
	Sealed   []byte
}

func (k *storedKey) left() int { return int(k.Uses) - int(k.Spent) }

// storedToken is the record as written, inside a seal.
type storedToken struct {
	Profile json.RawMessage
	Ratchet []byte
	Record  record
}

// maxStoredUses: what a request may report.
const maxStoredUses = cloudkey.MaxUses

func newToken(p *cloudkey.Profile) (*token, error) {
	suite, err := p.Suite()
	if err != nil {
		return nil, err
	}
	scheme, err := cloudkey.SchemeOf(p.Scheme)
	if err != nil {
		return nil, err
	}
	l, err := newLayout(p, suite)
	if err != nil {
		return nil, err
	}
	return &token{profile: p, suite: suite, scheme: scheme, layout: l, record: record{Ratchet: p.Ratchet}}, nil
}

func (e *Engine) loadToken(ref string) (*token, error) {
	plain, found, err := e.read(recordPrefix + ref)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("token record is missing")
	}
	defer clear(plain)
	var stored storedToken
	if err := json.Unmarshal(plain, &stored); err != nil {
		return nil, errors.New("token record is damaged") // the cause may quote it
	}
	profile, err := cloudkey.ParseProfile(stored.Profile)
	if err != nil {
		return nil, err
	}
	if profile.Token != ref || profile.Device != e.config.Device {
		return nil, errors.New("token record is of another token or device")
	}
	t, err := newToken(profile)
	if err != nil {
		return nil, err
	}
	t.record = stored.Record
	if t.Ratchet, err = cloudkey.NewSecret(stored.Ratchet); err != nil {
		return nil, err
	}
	if t.Reported < 0 || t.Reported > len(t.Used) || len(t.Used) > maxStoredUses || len(t.Keys) > cloudkey.MaxKeys {
		return nil, errors.New("token record is damaged")
	}
	return t, nil
}

// save makes a token durable.
func (e *Engine) save(t *token) error {
	profile, err := t.profile.Bytes()
	if err != nil {
		return err
	}
	ratchet := t.Ratchet.Reveal()
	plain, err := json.Marshal(storedToken{profile, ratchet[:], t.record})
	if err != nil {
		return fmt.Errorf("encode token record: %w", err)
	}
	defer clear(plain)
	return e.write(recordPrefix+t.profile.Token, plain)
}

func (t *token) clone() *token {
	next := *t
	next.Keys, next.Used = slices.Clone(t.Keys), slices.Clone(t.Used)
	return &next
}

// choose finds the next key of a class that is not too old; nil when there is none.
func (t *token) choose(class cloudkey.Class, nowMs int64) *storedKey {
	for i := range t.Keys {
		k := &t.Keys[i]
		if k.Class == class && k.left() > 0 && nowMs < k.NotAfter*1000 {
			return k
		}
	}
	return nil
}

// spend gives up the next counter of a key.
func (t *token) spend(k *storedKey) (atc uint16) {
	atc = k.ATC + uint16(k.Spent)
	k.Spent++
	if k.left() == 0 {
		k.Sealed = nil // the record forgets the key with its last counter
	}
	t.Used = append(t.Used, cloudkey.Use{ATC: atc, State: cloudkey.UseArmed})
	t.Taps++
	return atc
}

// count tells how many taps are left, of keys with and without verification.
func (t *token) count(nowMs int64) (cvm, open int) {
	for i := range t.Keys {
		k := &t.Keys[i]
		switch {
		case nowMs >= k.NotAfter*1000:
		case k.Class.CVM():
			cvm += k.left()
		default:
			open += k.left()
		}
	}
	return cvm, open
}

// tapLimit is how many taps may follow one another without contact.
func (t *token) tapLimit() int {
	if t.Thresholds.Taps > 0 {
		return int(t.Thresholds.Taps)
	}
	return cloudkey.MaxTaps
}

// why says why the phone should speak to the cloud; "" when it need not. blocked: it cannot pay before it has.
func (t *token) why(nowMs int64) (reason string, blocked bool) {
	cvm, open := t.count(nowMs)
	life := (t.Expires - t.ServerTime) * 1000
	switch {
	case t.BSEQ == 0:
		return "first", true
	case cvm+open == 0:
		return "keys", true
	case t.Taps >= t.tapLimit() || len(t.Used) >= maxStoredUses:
		return "taps", true
	case t.Thresholds.Amount > 0 && t.Amount >= t.Thresholds.Amount:
		return "amount", true
	case cvm+open <= int(t.Thresholds.RefillAt):
		return "keys", false
	case nowMs-t.ReceivedMs >= life*int64(t.Thresholds.RefillPercent)/100:
		return "age", false
	case len(t.Confirm) > 0:
		return "unconfirmed", false
	case len(t.Pending) > 0:
		return "unanswered", false
	}
	return "", false
}

// risk is what the phone admits about itself.
func (e *Engine) risk(t *token, nowMs int64) (r cloudkey.Risk) {
	if e.config.SoftwareKeys {
		r |= cloudkey.RiskSoftwareKeys
	}
	if e.config.NotPreferred {
		r |= cloudkey.RiskNotPreferred
	}
	if nowMs < t.LastMs {
		r |= cloudkey.RiskClock
	}
	if len(t.Confirm) > 0 {
		r |= cloudkey.RiskUnconfirmed
	}
	return r
}

// agreement is the device's agreement key in the key store.
func (e *Engine) agreement() cloudkey.Agreement { return storeAgreement{e.platform} }

type storeAgreement struct{ platform Platform }

func (s storeAgreement) Agree(peer []byte) ([]byte, error) {
	var out Buffer
	if code := s.platform.AgreeInto(AliasAgree, peer, &out); code < 0 {
		return nil, fmt.Errorf("agree on a key: platform says %d", code)
	}
	return out.b, nil
}

package cloudse

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
)

// refusal is short for what a command is refused with.
func refusal(r cloudseapi.Reason, err error) *cloudseapi.Refusal {
	out := &cloudseapi.Refusal{Reason: r}
	if err != nil {
		out.Detail = err.Error()
	}
	return out
}

// signedBy checks a device's signature.
func signedBy(point []byte, signed cloudkey.Signed) bool {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	return err == nil && signed.By(public)
}

// refill is what Prepare found out about a request for keys.
type refill struct {
	request cloudkey.ReplenishRequest
	hash    requestHash // of what was signed
	signed  requestHash // with the signature
	at      time.Time
	seen    *token // the token the batch was made for
	grant   *grant
	wire    []byte
	refused *cloudseapi.Refusal
}

// prepareRefill checks the signature and, when the request looks as if it would be granted, lets the security module make the batch. Whether the phone gets it,
// Handle decides.
func (s *Service) prepareRefill(c cloudseapi.Replenish) *refill {
	r := &refill{at: c.At.UTC()}
	q, signed, err := cloudkey.ParseReplenish(c.Request)
	if err != nil {
		r.refused = refusal(cloudseapi.Malformed, err)
		return r
	}
	r.request, r.hash, r.signed = q, hashRequest(signed.Body), hashRequest(c.Request)
	t, err := s.state.cache.look(nameOf(q.Token))
	switch {
	case err != nil:
		r.refused = refusal(cloudseapi.Unavailable, nil)
	case t == nil || t.device != q.Device:
		r.refused = refusal(cloudseapi.UnknownToken, nil)
	case !signedBy(t.signing, signed):
		r.refused = refusal(cloudseapi.NotAuthentic, nil)
	}
	if r.refused != nil {
		return r
	}
	r.seen = t
	if s.ask(t, r).verdict == granted {
		r.refused = s.makeBatch(t, r)
	}
	return r
}

// verdict is what becomes of a request.
type verdict uint8

const (
	refused verdict = iota
	granted
	repeated // the last batch goes out again
	forked   // two phones have asked from one state
)

type answerTo struct {
	verdict verdict
	reason  cloudseapi.Reason
}

// ask judges a request whose signature is right. It reads nothing but its arguments.
func (s *Service) ask(t *token, r *refill) answerTo {
	q := &r.request
	if t.causes != 0 {
		return answerTo{refused, cloudseapi.Suspended}
	}
	last := len(t.answered) - 1
	switch at := t.findAnswered(r.hash); {
	case at >= 0 && at == last && t.wire != nil:
		return answerTo{verdict: repeated}
	case at >= 0 && t.answered[at].signed != r.signed && r.at.Unix()-t.answered[at].at > int64(s.policy.RepeatWindow.Seconds()):
		// A phone goes on once it was answered, and the network makes no signatures: another phone has the same request.
		return answerTo{forked, cloudseapi.Copied}
	case at >= 0:
		return answerTo{refused, cloudseapi.Repeated}
	}
	if q.BSEQ != t.bseq || q.Ratchet.Digest() != t.ratchet {
		// The device signed it, so it is the phone's own state of another time: one of two copies.
		return answerTo{forked, cloudseapi.Copied}
	}
	if s.hides(t, q) {
		return answerTo{forked, cloudseapi.Copied}
	}
	if int(t.nextATC)+s.tapsOf(t)-1 > cloudkey.LastATC || t.bseq >= cloudkey.MaxBSEQ {
		return answerTo{refused, cloudseapi.NeedsEnrolment}
	}
	return answerTo{verdict: granted}
}

// hides reports whether the phone leaves out taps that it must know of. A request may have waited for a network while the phone paid on, so the taps it must
// know are those we saw before it got the batch with which it asks now: they are in its report of then or of now.
func (s *Service) hides(t *token, q *cloudkey.ReplenishRequest) bool {
	before, last := t.before(), t.last()
	if before == nil || last.bseq != q.BSEQ {
		return false
	}
	for _, u := range before.used {
		told := slices.Contains(before.reported, u.atc) || slices.ContainsFunc(q.Used, func(v cloudkey.Use) bool { return v.ATC == u.atc })
		if u.at < last.grantedAt && !told {
			return true
		}
	}
	return false
}

// tapsOf is how many counters the next batch takes.
func (s *Service) tapsOf(t *token) int { return t.keys.CVM + t.keys.Open }

// keysFor lays out the next batch: keys with verification first. A key of the limited-use scheme serves all counters of its class.
func (s *Service) keysFor(t *token, at time.Time) []cloudkey.Key {
	life := s.policy.KeyLife
	if t.software {
		life = s.policy.SoftwareLife
	}
	notAfter := at.Add(life).Unix()
	next := t.nextATC
	var keys []cloudkey.Key
	for i, kind := range [...]struct {
		class cloudkey.Class
		count int
	}{{t.cvm, t.keys.CVM}, {cloudkey.ClassOpen, t.keys.Open}} {
		if kind.count > 0 && t.scheme == cloudkey.SchemeLUK {
			const indexes = 49 // two for each batch, so that no hour has an index twice
			index := cloudkey.IndexAt(at, byte(2*(int(t.bseq)%indexes)+i+1))
			keys = append(keys, cloudkey.Key{ATC: next, Uses: byte(kind.count), Class: kind.class, NotAfter: notAfter, Index: index})
			next += uint16(kind.count)
			continue
		}
		for range kind.count {
			keys = append(keys, cloudkey.Key{ATC: next, Uses: 1, Class: kind.class, NotAfter: notAfter})
			next++
		}
	}
	return keys
}

// makeBatch asks the security module for the batch.
func (s *Service) makeBatch(t *token, r *refill) *cloudseapi.Refusal {
	number, err := s.deps.Vault.OpenPAN(s.deps.Keys.Data, t.sealedNumber)
	if err != nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	l := limitsOr(t.limits, s.policy.Limits)
	order := cloudkey.Order{
		Scheme: t.scheme, BSEQ: t.bseq + 1, ServerTime: r.at.Unix(), Keys: s.keysFor(t, r.at), Device: t.agreement,
		Thresholds: cloudkey.Thresholds{RefillAt: s.policy.RefillAt, RefillPercent: s.policy.RefillPercent, ArmSeconds: s.policy.ArmSeconds,
			Taps: byte(min(l.ContactTaps, 255)), Amount: l.ContactMinor},
	}
	made, err := s.deps.Vault.DeriveCloudBatch(hsm.CloudOrder{
		Keys: s.keys(t.algorithm), Token: hsm.CloudToken{Number: number, Sequence: t.sequence, Suite: t.suite(), Token: t.ref, Device: t.device},
		Order: order, Current: r.request.Ratchet, Nonce: r.request.Nonce, Password: t.password,
	})
	if err != nil {
		return refusal(cloudseapi.Unavailable, err)
	}
	g := &grant{ratchet: made.Ratchet, digest: made.Batch.Digest(), request: answered{r.hash, r.signed, r.at.Unix()}, next: t.nextATC + uint16(s.tapsOf(t)),
		batch: batch{bseq: order.BSEQ, grantedAt: order.ServerTime, notAfter: order.Keys[0].NotAfter}}
	for _, k := range order.Keys {
		g.batch.keys = append(g.batch.keys, key{k.ATC, k.Uses, k.Class, k.Index})
	}
	for _, u := range r.request.Used {
		g.reported = append(g.reported, u.ATC)
	}
	r.grant, r.wire = g, made.Batch.Bytes()
	return nil
}

// replenish decides a request for keys.
func (s *Service) replenish(now time.Time, ev *journal.Event, step *journal.Step) any {
	r, _ := ev.Finding.(*refill)
	if r == nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	if r.refused != nil {
		return r.refused
	}
	t, err := s.state.cache.token(nameOf(r.request.Token))
	switch {
	case err != nil:
		return refusal(cloudseapi.Unavailable, nil)
	case t == nil:
		return refusal(cloudseapi.UnknownToken, nil)
	case t.enrolment() != r.seen.enrolment():
		return refusal(cloudseapi.Busy, nil) // another device has it by now
	}
	verdict := s.ask(t, r)
	switch verdict.verdict {
	case repeated:
		return cloudseapi.Batch{Wire: t.wire}
	case forked:
		serial := step.NextSeq()
		s.decideRow(now, journal.Row{Kind: journal.Noted, Card: t.id, Payment: t.ref, Reason: uint16(cloudseapi.CauseClone)}, step)
		s.raise(alarmKey(t.ref, cloudseapi.CauseClone, serial), step)
		return refusal(cloudseapi.Copied, nil)
	case granted:
		if r.grant == nil || r.grant.batch.bseq != t.bseq+1 || r.grant.next != t.nextATC+uint16(s.tapsOf(t)) {
			return refusal(cloudseapi.Busy, nil) // the batch was made for what the token was
		}
		s.decideRow(now, journal.Row{Kind: journal.KeysChanged, Card: t.id, Payment: t.ref, Note: r.grant.note(), Answer: r.wire}, step)
		return cloudseapi.Batch{Wire: r.wire}
	}
	return refusal(verdict.reason, nil)
}

// enrolment tells two enrolments of a token apart.
func (t *token) enrolment() string {
	return t.device + "\x00" + string(t.signing) + "\x00" + string(t.sealedNumber)
}

// confirmation is what Prepare found out about a confirmation.
type confirmation struct {
	request cloudkey.ConfirmRequest
	seen    *token
	refused *cloudseapi.Refusal
}

func (s *Service) prepareConfirm(c cloudseapi.Confirm) *confirmation {
	q, signed, err := cloudkey.ParseConfirm(c.Request)
	if err != nil {
		return &confirmation{refused: refusal(cloudseapi.Malformed, err)}
	}
	t, err := s.state.cache.look(nameOf(q.Token))
	switch {
	case err != nil:
		return &confirmation{refused: refusal(cloudseapi.Unavailable, nil)}
	case t == nil || t.device != q.Device:
		return &confirmation{refused: refusal(cloudseapi.UnknownToken, nil)}
	case !signedBy(t.signing, signed):
		return &confirmation{refused: refusal(cloudseapi.NotAuthentic, nil)}
	}
	return &confirmation{request: q, seen: t}
}

// confirm ends the life of the batch before. A confirmation that comes again is acknowledged again.
func (s *Service) confirm(now time.Time, ev *journal.Event, step *journal.Step) any {
	c, _ := ev.Finding.(*confirmation)
	if c == nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	if c.refused != nil {
		return c.refused
	}
	t, err := s.state.cache.token(nameOf(c.request.Token))
	switch {
	case err != nil:
		return refusal(cloudseapi.Unavailable, nil)
	case t == nil || t.enrolment() != c.seen.enrolment():
		return refusal(cloudseapi.UnknownToken, nil)
	case c.request.BSEQ < t.bseq && c.request.BSEQ > 0:
		return cloudseapi.Done{} // late: the phone has asked on since
	case t.bseq == 0 || c.request.BSEQ != t.bseq || c.request.Batch != t.digest:
		return refusal(cloudseapi.NotGiven, nil)
	case !t.waiting():
		return cloudseapi.Done{}
	}
	s.decideRow(now, journal.Row{Kind: journal.Acknowledged, Card: t.id, Payment: t.ref}, step)
	return cloudseapi.Done{}
}

// enrolling is what Prepare found out about an enrolment.
type enrolling struct {
	profile  *profile
	ratchet  [32]byte
	enrolled cloudseapi.Enrolled
	refused  *cloudseapi.Refusal
}

var errPoint = errors.New("a device key is no point of P-256")

// prepareEnrolment checks an enrolment and lets the security module derive what the device needs.
func (s *Service) prepareEnrolment(e cloudseapi.Enrolment) *enrolling {
	p := &profile{
		ref: e.Token, device: e.Device, sequence: e.Sequence, signing: e.Signing, agreement: e.Agreement, scheme: e.Scheme, algorithm: e.Algorithm, dki: e.DKI,
		cvn: e.CVN, currency: e.Currency, cvm: e.CVM, software: e.Software, limits: e.Limits, keys: e.Keys,
	}
	if p.keys == (cloudseapi.Keys{}) {
		p.keys = cloudseapi.Keys{CVM: s.policy.CVMKeys, Open: s.policy.OpenKeys}
	}
	if err := checkEnrolment(p, e); err != nil {
		return &enrolling{refused: refusal(cloudseapi.BadEnrolment, err)}
	}
	vault, keys := s.deps.Vault, s.deps.Keys
	var err error
	if p.fingerprint, err = vault.PANFingerprint(keys.Fingerprint, e.Number); err != nil {
		return &enrolling{refused: refusal(cloudseapi.Unavailable, err)}
	}
	if p.sealedNumber, err = vault.SealPAN(keys.Data, e.Number); err != nil {
		return &enrolling{refused: refusal(cloudseapi.Unavailable, err)}
	}
	made, err := vault.EnrolCloudDevice(hsm.CloudEnrolment{
		Keys: s.keys(e.Algorithm), Token: hsm.CloudToken{Number: e.Number, Sequence: e.Sequence, Suite: p.suite(), Token: e.Token, Device: e.Device},
		Agreement: e.Agreement, Classes: []cloudkey.Class{cloudkey.ClassOpen, e.CVM}, Password: e.Password, Nonce: e.Nonce,
	})
	if err != nil {
		return &enrolling{refused: refusal(cloudseapi.BadEnrolment, err)}
	}
	p.password = made.Password
	return &enrolling{profile: p, ratchet: made.Ratchet.Digest(), enrolled: cloudseapi.Enrolled{Ratchet: made.Ratchet, Bindings: made.Bindings}}
}

func checkEnrolment(p *profile, e cloudseapi.Enrolment) error {
	if err := p.check(); err != nil {
		return err
	}
	for _, point := range [...][]byte{e.Signing, e.Agreement} {
		if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err != nil {
			return errPoint
		}
	}
	l := e.Limits
	switch {
	case e.Number.IsZero() || e.Currency < 0 || e.Currency > maxCurrency:
		return fmt.Errorf("token %s: number or currency is missing", e.Token)
	case min(l.OpenTapMinor, l.TapMinor, l.DayMinor, l.ForeignDayMinor, l.ContactMinor, int64(l.DayCount), int64(l.ContactTaps)) < 0:
		return fmt.Errorf("token %s: a limit is negative", e.Token)
	case (e.CVM == cloudkey.ClassPassword) != (len(e.Password) > 0):
		return fmt.Errorf("token %s: a password's verifier goes with keys of %v", e.Token, cloudkey.ClassPassword)
	}
	return nil
}

// enrol binds a token to a device.
func (s *Service) enrol(now time.Time, ev *journal.Event, step *journal.Step) any {
	e, _ := ev.Finding.(*enrolling)
	if e == nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	if e.refused != nil {
		return e.refused
	}
	t, err := s.state.cache.token(nameOf(e.profile.ref))
	if err != nil {
		return refusal(cloudseapi.Unavailable, nil)
	}
	id := int64(step.NextSeq())
	if t != nil {
		id = t.id
		if t.bseq == 0 && t.ratchet == e.ratchet && t.device == e.profile.device && string(t.signing) == string(e.profile.signing) {
			return e.enrolled // the same enrolment, asked again
		}
	}
	note := e.profile.append(append([]byte(nil), e.ratchet[:]...))
	s.decideRow(now, journal.Row{Kind: journal.Opened, Card: id, Payment: e.profile.ref, Note: note}, step)
	return e.enrolled
}

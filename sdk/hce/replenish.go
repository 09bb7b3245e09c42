package hce

import (
	"errors"
	"fmt"
	"time"

	"tapnet/emv/cloudkey"
)

// Paths of the service. The token's reference stands between the two parts.
const (
	pathTokens    = "/v1/tokens/"
	pathReplenish = "/keys:replenish"
	pathConfirm   = "/keys:confirm"
)

// HTTP statuses the engine tells apart.
const (
	httpOK        = 200
	httpMultiple  = 300
	httpForbidden = 403
)

// errRefused is wrapped when the service refuses: the token is suspended or deleted, or the service holds the phone for a copy.
var errRefused = errors.New("the service refuses")

// Replenish gets new keys for every token that needs some, and confirms what it got. It waits for the network: never call it on the thread of
// the reader. What was begun before a crash is finished. Several errors are joined.
func (e *Engine) Replenish() (err error) {
	defer rescue("replenish", &err)
	e.network.Lock()
	defer e.network.Unlock()
	now := e.platform.NowMs()
	e.store.Lock()
	var refs []string
	for _, t := range e.tokens {
		if reason, _ := t.why(now); reason != "" {
			refs = append(refs, t.profile.Token)
		}
	}
	e.store.Unlock()
	var failed []error
	for _, ref := range refs {
		failed = append(failed, e.replenish(ref))
	}
	return errors.Join(failed...)
}

// ReplenishToken gets new keys for one token, needed or not.
func (e *Engine) ReplenishToken(tokenRef string) (err error) {
	defer rescue("replenish", &err)
	e.network.Lock()
	defer e.network.Unlock()
	return e.replenish(tokenRef)
}

// replenish finishes a confirmation that is due, asks, keeps what came, confirms.
func (e *Engine) replenish(ref string) error {
	if err := e.confirm(ref); err != nil {
		return fmt.Errorf("confirm keys: %w", err)
	}
	body, err := e.request(ref)
	if err != nil {
		return fmt.Errorf("ask for keys: %w", err)
	}
	var answer Buffer
	if err := e.post(pathTokens+ref+pathReplenish, body, &answer); err != nil {
		return fmt.Errorf("ask for keys: %w", err)
	}
	if err := e.accept(ref, answer.b); err != nil {
		return fmt.Errorf("take keys: %w", err)
	}
	if err := e.confirm(ref); err != nil {
		return fmt.Errorf("confirm keys: %w", err)
	}
	return nil
}

func (e *Engine) post(path string, body []byte, out *Buffer) error {
	switch code := e.platform.PostInto(path, body, out); {
	case code < 0:
		return errors.New("no answer from the service")
	case code == httpForbidden:
		return errRefused
	case code < httpOK || code >= httpMultiple:
		return fmt.Errorf("status %d: %w", code, errRefused)
	}
	return nil
}

var errNoToken = errors.New("there is no such token")

// request makes the request, or the one that was not answered again, word for word. What makes it unlike any other is durable before it is
// sent: a phone that crashes repeats it, and a copy of the phone that asks by itself has another nonce. Taps made meanwhile are told in the
// next request.
func (e *Engine) request(ref string) ([]byte, error) {
	e.store.Lock()
	defer e.store.Unlock()
	t := e.find(ref)
	if t == nil {
		return nil, errNoToken
	}
	if len(t.Pending) != cloudkey.NonceBytes {
		var nonce Buffer
		if code := e.platform.RandomInto(cloudkey.NonceBytes, &nonce); code < 0 || len(nonce.b) != cloudkey.NonceBytes {
			return nil, fmt.Errorf("draw a nonce: platform says %d", code)
		}
		next := t.clone()
		next.Pending, next.Reported = nonce.b, len(t.Used)
		if err := e.save(next); err != nil {
			return nil, err
		}
		*t = *next
	}
	q := cloudkey.ReplenishRequest{
		Token: ref, Device: e.config.Device, BSEQ: t.BSEQ, Ratchet: t.Ratchet, Nonce: [cloudkey.NonceBytes]byte(t.Pending), Used: t.Used[:t.Reported],
	}
	if t.BSEQ == 0 { // later batches are bound by the ratchet
		q.Attestation = e.platform.AttestJSON(fmt.Sprintf("%X", t.Pending))
		if len(q.Attestation) > cloudkey.MaxAttestationBytes {
			return nil, errors.New("attestation is too long")
		}
	}
	return e.sign(q.Bytes())
}

func (e *Engine) sign(body []byte) ([]byte, error) {
	var signature Buffer
	if code := e.platform.SignInto(AliasSign, body, &signature); code < 0 {
		return nil, fmt.Errorf("sign: platform says %d", code)
	}
	return cloudkey.Signed{Body: body, Signature: signature.b}.Bytes(), nil
}

// keyData is the associated data of a key at rest.
func keyData(ref string, bseq uint32, atc uint16) []byte {
	return fmt.Appendf(nil, "key/%s/%d/%d", ref, bseq, atc)
}

// accept opens a batch and makes it durable in one step, in place of the old one. The ratchet and the keys are in the same record: a phone
// that crashes has the old state, and gets this batch again, or the new one.
func (e *Engine) accept(ref string, wire []byte) error {
	batch, err := cloudkey.ParseBatch(wire)
	if err != nil {
		return err
	}
	var public Buffer
	if code := e.platform.PublicInto(AliasAgree, &public); code < 0 {
		return fmt.Errorf("platform says %d", code)
	}
	opened, err := batch.Open(e.agreement(), public.b)
	if err != nil {
		return err
	}
	defer clear(opened.Masked)
	e.store.Lock()
	defer e.store.Unlock()
	t := e.find(ref)
	switch {
	case t == nil:
		return errNoToken
	case batch.Token != ref || batch.Scheme != t.profile.Scheme:
		return errors.New("batch is of another token or scheme")
	case batch.BSEQ != t.BSEQ+1:
		return fmt.Errorf("batch %d does not follow batch %d", batch.BSEQ, t.BSEQ)
	case len(t.Pending) == 0:
		return errors.New("batch was not asked for")
	}
	next := t.clone()
	next.Keys, next.Expires = nil, 0
	for i := range batch.Keys {
		k := &batch.Keys[i]
		var sealed Buffer
		masked := opened.Masked[i].Reveal()
		if code := e.platform.SealInto(AliasRest, masked[:], keyData(ref, batch.BSEQ, k.ATC), &sealed); code < 0 {
			return fmt.Errorf("seal key: platform says %d", code)
		}
		clear(masked[:])
		next.Keys = append(next.Keys, storedKey{ATC: k.ATC, Uses: k.Uses, Class: k.Class, NotAfter: k.NotAfter, Sealed: sealed.b})
		next.Expires = max(next.Expires, k.NotAfter)
	}
	digest := batch.Digest()
	now := e.platform.NowMs()
	next.BSEQ, next.ServerTime, next.Thresholds, next.Ratchet = batch.BSEQ, batch.ServerTime, batch.Thresholds, opened.Ratchet
	next.ReceivedMs, next.LastMs = now, now
	next.Used = append([]cloudkey.Use(nil), t.Used[t.Reported:]...)
	next.Pending, next.Reported, next.Confirm = nil, 0, digest[:]
	next.Taps, next.Amount = len(next.Used), 0
	if err := e.save(next); err != nil {
		return err
	}
	*t = *next
	return nil
}

// confirm says that the batch is durable here. It may be said again.
func (e *Engine) confirm(ref string) error {
	e.store.Lock()
	t := e.find(ref)
	if t == nil || len(t.Confirm) == 0 {
		e.store.Unlock()
		if t == nil {
			return errNoToken
		}
		return nil
	}
	c := cloudkey.ConfirmRequest{Token: ref, Device: e.config.Device, BSEQ: t.BSEQ}
	copy(c.Batch[:], t.Confirm)
	e.store.Unlock()
	body, err := e.sign(c.Bytes())
	if err != nil {
		return err
	}
	var answer Buffer
	if err := e.post(pathTokens+ref+pathConfirm, body, &answer); err != nil {
		return err
	}
	e.store.Lock()
	defer e.store.Unlock()
	if t = e.find(ref); t == nil || t.BSEQ != c.BSEQ {
		return nil
	}
	next := t.clone()
	next.Confirm = nil
	if err := e.save(next); err != nil {
		return err
	}
	*t = *next
	return nil
}

// instant writes seconds since 1970 for a person and a program; "" for never.
func instant(seconds int64) string {
	if seconds == 0 {
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.RFC3339)
}

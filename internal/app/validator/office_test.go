package validator

import (
	"bytes"
	"crypto/ed25519"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/clock"
)

var signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

const device = "METRO-12-03"

// office is a back office behind HTTP.
type office struct {
	testing.TB
	mu      sync.Mutex
	key     gate.ChainKey
	epoch   denylist.EpochKey
	trust   denylist.Trust
	clock   *clock.Manual
	base    []byte
	deltas  []byte
	at      denylist.Position
	head    gate.Head
	records []gate.Record
	claimed map[denylist.ID]bool
	news    []denylist.ID
	skew    time.Duration
	health  gate.Health
	keys    []denylist.EpochKey // of which a device gets those that it does not hold
	forge   bool                // answers with a wrong key
	server  *httptest.Server
}

func newOffice(t testing.TB, c *clock.Manual) *office {
	t.Helper()
	key, err := gate.NewChainKey(bytes.Repeat([]byte{2}, 32))
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := denylist.NewEpochKey(1, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	trust, err := denylist.NewTrust(signer.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	o := &office{TB: t, key: key, epoch: epoch, trust: trust, clock: c, claimed: map[denylist.ID]bool{}, at: denylist.Position{Epoch: 1}}
	if o.base, err = denylist.BuildBase(nil, o.info(), denylist.Digest{}, signer); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/deny/base", o.reply(func(*http.Request, []byte) (int, []byte) { return 200, o.base }))
	mux.HandleFunc("GET /v1/deny/deltas", o.reply(o.since))
	mux.HandleFunc("POST /v1/gates/{device}/chunks", o.reply(o.chunk))
	mux.HandleFunc("POST /v1/gates/{device}/health", o.reply(o.report))
	mux.HandleFunc("POST /v1/gates/{device}/claims", o.reply(o.claim))
	o.server = httptest.NewServer(mux)
	t.Cleanup(o.server.Close)
	return o
}

func (o *office) info() denylist.Info {
	return denylist.Info{Epoch: o.at.Epoch, Sequence: o.at.Sequence, Created: o.clock.Now(), NotAfter: o.clock.Now().Add(time.Hour)}
}

func (o *office) reply(answer func(*http.Request, []byte) (int, []byte)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			o.Error(err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		status, b := answer(r, body)
		w.WriteHeader(status)
		_, _ = w.Write(b)
	}
}

func (o *office) since(r *http.Request, _ []byte) (int, []byte) {
	after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
	if err != nil {
		return 400, nil
	}
	var b bytes.Buffer
	if _, err := denylist.CopySince(&b, bytes.NewReader(o.deltas), after); err != nil {
		return 410, nil
	}
	return 200, b.Bytes()
}

// publish makes the next delta.
func (o *office) publish(changes ...denylist.Change) {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	info := o.info()
	info.Sequence++
	b, err := denylist.BuildDelta(changes, info, o.at.Digest, signer)
	if err != nil {
		o.Fatal(err)
	}
	d, err := denylist.OpenDelta(b, o.trust)
	if err != nil {
		o.Fatal(err)
	}
	o.deltas = append(o.deltas, b...)
	o.at = denylist.Position{Sequence: info.Sequence, Digest: d.Digest(), Epoch: info.Epoch}
}

// offer gives a new epoch's key to whoever asks.
func (o *office) offer(epoch denylist.Epoch) denylist.EpochKey {
	o.Helper()
	k, err := denylist.NewEpochKey(epoch, bytes.Repeat([]byte{byte(epoch), 7}, 16))
	if err != nil {
		o.Fatal(err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys = append(o.keys, k)
	return k
}

// inForce makes a list of an epoch with some entries. Its first delta follows the last of the former epoch, and is of no use to who has that.
func (o *office) inForce(epoch denylist.Epoch, entries ...denylist.Entry) {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	info := o.info()
	info.Epoch, info.Sequence = epoch, info.Sequence+1
	b, err := denylist.BuildDelta(nil, info, o.at.Digest, signer)
	if err != nil {
		o.Fatal(err)
	}
	d, err := denylist.OpenDelta(b, o.trust)
	if err != nil {
		o.Fatal(err)
	}
	o.at, o.deltas = denylist.Position{Sequence: info.Sequence, Digest: d.Digest(), Epoch: epoch}, b
	image, err := denylist.BuildBase(entries, o.info(), o.at.Digest, signer)
	if err != nil {
		o.Fatal(err)
	}
	o.base = image
}

func (o *office) receipt() []byte {
	key := o.key
	if o.forge {
		key, _ = gate.NewChainKey(bytes.Repeat([]byte{9}, 32))
	}
	return gate.EncodeReceipt(key, gate.Receipt{Device: device, Sequence: o.head.Sequence, Link: o.head.Link})
}

func (o *office) chunk(r *http.Request, body []byte) (int, []byte) {
	c, err := gate.ParseChunk(body)
	if err != nil || c.Device != r.PathValue("device") {
		return 422, nil
	}
	var records []gate.Record
	head, err := c.Verify(o.key, func(r gate.Record) {
		r.Sealed = bytes.Clone(r.Sealed)
		records = append(records, r)
	})
	switch {
	case err != nil:
		return 422, nil
	case c.First > o.head.Sequence+1 && c.Before != (gate.Link{}), c.First == 1 && o.head.Sequence > 0 && c.After != o.head.Link:
		return 409, o.receipt()
	}
	for _, rec := range records {
		if rec.Sequence > o.head.Sequence {
			o.records = append(o.records, rec)
		}
	}
	if head.Sequence > o.head.Sequence {
		o.head = head
	}
	return 200, o.receipt()
}

func (o *office) report(_ *http.Request, body []byte) (int, []byte) {
	h, err := gate.ParseHealth(o.key, device, body)
	if err != nil {
		return 422, nil
	}
	o.health = h
	a := gate.HealthAnswer{Device: device, Number: h.Number, Time: o.clock.Now().Add(o.skew), Approved: o.news}
	for _, k := range o.keys {
		if slices.Contains(h.Epochs, k.Epoch()) {
			continue
		}
		s, err := gate.SealEpochKey(o.key, device, k, rand.NewChaCha8([32]byte{byte(k.Epoch())}))
		if err != nil {
			o.Error(err)
		}
		a.Keys = append(a.Keys, s)
	}
	o.news = nil
	return 200, gate.EncodeHealthAnswer(o.key, a)
}

func (o *office) claim(_ *http.Request, body []byte) (int, []byte) {
	c, err := gate.ParseClaim(o.key, device, body)
	if err != nil {
		return 422, nil
	}
	granted := !o.claimed[c.ID]
	o.claimed[c.ID] = true
	return 200, gate.EncodeClaimAnswer(o.key, gate.ClaimAnswer{Device: device, Number: c.Number, Granted: granted})
}

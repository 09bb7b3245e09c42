package gate

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"tapnet/gate/denylist"
)

func chunkOf(t testing.TB) (Chunk, *post) {
	t.Helper()
	p, _ := written(t)
	c, err := NewChunk(p.config.ChainKey, p.config.Device, Head{}, p.log.durable)
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

func TestChunkTravels(t *testing.T) {
	c, p := chunkOf(t)
	encoded := EncodeChunk(c)
	got, err := ParseChunk(encoded)
	if err != nil || !bytes.Equal(EncodeChunk(got), encoded) || got.Device != c.Device || got.First != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	var numbers []uint64
	head, err := got.Verify(p.config.ChainKey, func(r Record) { numbers = append(numbers, r.Sequence) })
	if err != nil || head != p.gate.Head() || !slices.Equal(numbers, []uint64{1, 2, 3, 4, 5, 6}) {
		t.Fatalf("%v: %v, %v", head, numbers, err)
	}
}

// TestChunksFollow cuts a long log into chunks that fit, and reads them back as the whole.
func TestChunksFollow(t *testing.T) {
	p := newPost(t, nil)
	for range 1500 {
		p.now = p.now.Add(time.Hour)
		p.want(p.read(number), OK)
	}
	log, from, n := p.log.durable, Head{}, 0
	for len(log) > 0 {
		c, err := NewChunk(p.config.ChainKey, p.config.Device, from, log)
		if err != nil || len(EncodeChunk(c)) > MaxEncodedChunk {
			t.Fatal(err)
		}
		if from, err = c.Verify(p.config.ChainKey, nil); err != nil {
			t.Fatal(err)
		}
		log, n = log[len(c.Records):], n+1
	}
	if from != p.gate.Head() || n < 2 {
		t.Fatalf("%d chunks lead to record %d", n, from.Sequence)
	}
}

func TestEveryAlteredByteOfAChunkIsRefused(t *testing.T) {
	c, p := chunkOf(t)
	encoded := EncodeChunk(c)
	for i := range encoded {
		altered := bytes.Clone(encoded)
		altered[i] ^= 1
		got, err := ParseChunk(altered)
		if err == nil {
			_, err = got.Verify(p.config.ChainKey, nil)
		}
		if !errors.Is(err, ErrChunk) && !errors.Is(err, ErrForged) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for cut := range encoded {
		if _, err := ParseChunk(encoded[:cut]); !errors.Is(err, ErrChunk) {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	if _, err := ParseChunk(append(bytes.Clone(encoded), 0)); !errors.Is(err, ErrChunk) {
		t.Errorf("a byte too many: %v", err)
	}
	other, err := NewChainKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(other, nil); !errors.Is(err, ErrForged) {
		t.Errorf("another device's key: %v", err)
	}
	if _, err := c.Verify(ChainKey{}, nil); !errors.Is(err, ErrForged) {
		t.Errorf("no key: %v", err)
	}
}

// TestSealedChunksThatAreNoLog: a device that was taken over can seal what it likes, and still its records must be its chain.
func TestSealedChunksThatAreNoLog(t *testing.T) {
	good, p := chunkOf(t)
	_, starts := written(t)
	for name, change := range map[string]func(*Chunk){
		"dropped":      func(c *Chunk) { c.Records = slices.Concat(c.Records[:starts[1]], c.Records[starts[2]:]) },
		"later number": func(c *Chunk) { c.First++ },
		"other before": func(c *Chunk) { c.Before[3]++ },
		"other after":  func(c *Chunk) { c.After[3]++ },
		"other device": func(c *Chunk) { c.Device = "GATE-08" },
		"changed":      func(c *Chunk) { c.Records = bytes.Clone(c.Records); c.Records[atReason]++ },
	} {
		c := good
		change(&c)
		c.MAC = p.config.ChainKey.seal(purposeChunk, c.unsealed())
		if _, err := c.Verify(p.config.ChainKey, nil); !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, log := range map[string][]byte{"nothing": nil, "torn": good.Records[:starts[1]-1], "noise": make([]byte, 1000)} {
		if _, err := NewChunk(p.config.ChainKey, "GATE-07", Head{}, log); !errors.Is(err, ErrChunk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewChunk(p.config.ChainKey, "GATE-08", Head{}, good.Records); !errors.Is(err, ErrBroken) {
		t.Errorf("another device's records: %v", err)
	}
}

func TestMessages(t *testing.T) {
	key, other := testChainKey(t, 2), testChainKey(t, 3)
	receipt := EncodeReceipt(key, Receipt{Device: "G", Sequence: 7, Link: Link{1}})
	health := EncodeHealth(key, Health{Device: "G", Number: 3, At: noon})
	answer := EncodeHealthAnswer(key, HealthAnswer{Device: "G", Number: 3, Time: noon, Approved: []denylist.ID{{4}}})
	claim := EncodeClaim(key, Claim{Device: "G", Number: 4, ID: denylist.ID{5}, Epoch: 2})
	granted := EncodeClaimAnswer(key, ClaimAnswer{Device: "G", Number: 4, Granted: true})
	if r, err := ParseReceipt(key, "G", receipt); err != nil || r.Sequence != 7 || r.Link != (Link{1}) {
		t.Errorf("%+v, %v", r, err)
	}
	if h, err := ParseHealth(key, "G", health); err != nil || !h.At.Equal(noon) {
		t.Errorf("%+v, %v", h, err)
	}
	if a, err := ParseHealthAnswer(key, "G", 3, answer); err != nil || a.Approved[0] != (denylist.ID{4}) {
		t.Errorf("%+v, %v", a, err)
	}
	if c, err := ParseClaim(key, "G", claim); err != nil || c.ID != (denylist.ID{5}) {
		t.Errorf("%+v, %v", c, err)
	}
	if a, err := ParseClaimAnswer(key, "G", 4, granted); err != nil || !a.Granted {
		t.Errorf("%+v, %v", a, err)
	}
	for name, bad := range map[string]error{
		"other key":       second(ParseReceipt(other, "G", receipt)),
		"other kind":      second(ParseReceipt(key, "G", answer)),
		"a question":      second(ParseHealthAnswer(key, "G", 3, health)),
		"changed":         second(ParseReceipt(key, "G", bytes.Replace(receipt, []byte("7"), []byte("9"), 1))),
		"cut":             second(ParseReceipt(key, "G", receipt[:20])),
		"not from device": second(ParseHealth(other, "G", health)),
	} {
		if !errors.Is(bad, ErrForged) {
			t.Errorf("%s: %v", name, bad)
		}
	}
	for name, bad := range map[string]error{
		"other device":  second(ParseReceipt(key, "H", receipt)),
		"old answer":    second(ParseHealthAnswer(key, "G", 4, answer)),
		"old grant":     second(ParseClaimAnswer(key, "G", 5, granted)),
		"not JSON":      second(ParseReceipt(key, "G", key.sealed(purposeAnswer+" receipt", []byte("x")))),
		"bad link":      second(ParseReceipt(key, "G", key.sealed(purposeAnswer+" receipt", []byte(`{"device":"G","link":"00"}`)))),
		"link no hex":   second(ParseReceipt(key, "G", key.sealed(purposeAnswer+" receipt", []byte(`{"link":"`+string(bytes.Repeat([]byte("zz"), 32))+`"}`)))),
		"too long":      second(ParseClaim(key, "G", make([]byte, MaxMessage+1))),
		"other claimer": second(ParseClaim(key, "H", claim)),
	} {
		if !errors.Is(bad, ErrMessage) {
			t.Errorf("%s: %v", name, bad)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func testChainKey(t testing.TB, fill byte) ChainKey {
	t.Helper()
	key, err := NewChainKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func FuzzParseChunk(f *testing.F) {
	c, p := chunkOf(f)
	f.Add(EncodeChunk(c))
	f.Add(EncodeChunk(c)[:chunkHeader])
	f.Add([]byte(chunkMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseChunk(b)
		if err != nil {
			return
		}
		if again := EncodeChunk(c); !bytes.Equal(again, b) {
			t.Fatalf("%x was read, %x is written", b, again)
		}
		_, _ = c.Verify(p.config.ChainKey, nil)
	})
}

func FuzzMessages(f *testing.F) {
	key := testChainKey(f, 2)
	f.Add([]byte(`{"device":"G","sequence":7}`))
	f.Add([]byte(`{"device":"G","number":1,"time":"2026-11-22T12:00:00Z","approved":["00"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, _ = ParseReceipt(key, "G", text)
		if r, err := ParseReceipt(key, "G", key.sealed(purposeAnswer+" receipt", bytes.Clone(text))); err == nil && r.Device != "G" {
			t.Fatal("another device's receipt")
		}
		if a, err := ParseHealthAnswer(key, "G", 1, key.sealed(purposeAnswer+" health", bytes.Clone(text))); err == nil && a.Number != 1 {
			t.Fatal("another answer")
		}
	})
}

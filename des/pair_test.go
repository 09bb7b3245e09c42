package des

import "testing"

// TestPairs: two blocks at once are the same two blocks one by one, which crypto/des has judged.
func TestPairs(t *testing.T) {
	r := random(t)
	for range 2000 {
		var k, q Triple
		var key [TripleKeyBytes]byte
		fill(r, key[:])
		k.Set(&key)
		fill(r, key[:])
		q.Set(&key)
		a, b := Enter(r.Uint64()), Enter(r.Uint64())
		one, two := EncryptPair(a, b, &k.Left, &q.Right)
		if one != a.Encrypt(&k.Left) || two != b.Encrypt(&q.Right) {
			t.Fatal("EncryptPair is not Encrypt twice")
		}
		one, two = EncryptTriplePair(a, b, &k)
		if one != a.EncryptTriple(&k) || two != b.EncryptTriple(&k) {
			t.Fatal("EncryptTriplePair is not EncryptTriple twice")
		}
		if one, two = DecryptTriplePair(one, two, &k); one != a || two != b {
			t.Fatal("DecryptTriplePair is not the inverse of EncryptTriplePair")
		}
	}
}

func BenchmarkPair(b *testing.B) {
	var k, q Schedule
	k.Set([]byte("01234567"))
	q.Set([]byte("76543210"))
	one, two := Enter(1), Enter(2)
	for b.Loop() {
		one, two = EncryptPair(one, two, &k, &q)
	}
}

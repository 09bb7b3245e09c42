// Package testkeys is a committed pool of TEST keys. RSA keys have the sizes of a payment network: certification authorities
// of 1408 bits, issuers of 1152, cards of 1024, and a few cards of 1152 bits whose signature no longer fits into the
// answer to GET PROCESSING OPTIONS [REF 2.3]. Most have the exponent 3, the last of each kind 65537.
//
// The standard library makes no keys with exponent 3 and none from a seed, hence the pool. The program
// testdata/generate.go writes keys.txt, the same on every run. The private halves are public: nothing that matters may rest on them.
//
// Beside them is a pool of SM2 keys, made from labels alone (keys-sm2.txt).
//
// The pools are not for production, and they do not make new keys.
package testkeys

import (
	_ "embed"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"sync"

	"tapnet/emv"
	"tapnet/emv/oda"
)

// How many keys there are of each kind.
const (
	CACount       = 4
	IssuerCount   = 6
	ICCCount      = 32
	ICCLargeCount = 4
)

//go:embed keys.txt
var text string

// pool maps a label to its key. Keys are checked when first asked for: testing primes takes time.
var pool = sync.OnceValue(func() map[string]func() oda.PrivateKey {
	keys := make(map[string]func() oda.PrivateKey)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		keys[fields[0]] = sync.OnceValue(func() oda.PrivateKey {
			k, err := parse(fields)
			if err != nil {
				panic("testkeys: " + fields[0] + ": " + err.Error())
			}
			return k
		})
	}
	return keys
})

func parse(fields []string) (oda.PrivateKey, error) {
	if len(fields) != 4 || !strings.HasPrefix(fields[0], "TEST-") {
		return oda.PrivateKey{}, fmt.Errorf("%d fields", len(fields))
	}
	e, err := strconv.Atoi(fields[1])
	if err != nil {
		return oda.PrivateKey{}, err
	}
	p, okP := new(big.Int).SetString(fields[2], 16)
	q, okQ := new(big.Int).SetString(fields[3], 16)
	if !okP || !okQ {
		return oda.PrivateKey{}, fmt.Errorf("a prime is not hexadecimal")
	}
	return oda.NewPrivateKey(p.Bytes(), q.Bytes(), e)
}

// get wraps i around the pool, so that a run with many cards shares keys instead of failing.
func get(kind string, bits, count, i int) oda.PrivateKey {
	if i < 0 {
		panic("testkeys: negative index")
	}
	return pool()[fmt.Sprintf("TEST-%s-%d-%02d", kind, bits, i%count)]()
}

// CA is the i-th certification authority key, 1408 bits. i wraps around CACount.
func CA(i int) oda.PrivateKey { return get("CA", 1408, CACount, i) }

// Issuer is the i-th issuer key, 1152 bits. i wraps around IssuerCount.
func Issuer(i int) oda.PrivateKey { return get("ISSUER", 1152, IssuerCount, i) }

// ICC is the i-th card key, 1024 bits. i wraps around ICCCount: cards of a large test share keys.
func ICC(i int) oda.PrivateKey { return get("ICC", 1024, ICCCount, i) }

// ICCLarge is the i-th card key of 1152 bits. i wraps around ICCLargeCount.
func ICCLarge(i int) oda.PrivateKey { return get("ICC", 1152, ICCLargeCount, i) }

// firstCAIndex is where the test authorities' indexes begin; the published keys of the provider end at 85.
const firstCAIndex = 0xE0

// CAKey is the public half of CA(i) as a terminal is configured with it: UnionPay's provider identifier, index E0 + i,
// marked as a test key, good to the end of 2049.
func CAKey(i int) oda.CAKey {
	public := CA(i).Public()
	k := oda.CAKey{RID: emv.RIDUnionPay, Index: byte(firstCAIndex + i%CACount), Modulus: public.Modulus(),
		Exponent: public.Exponent(), Expiry: "20491231", Role: "test"}
	k.SHA1 = k.Checksum()
	return k
}

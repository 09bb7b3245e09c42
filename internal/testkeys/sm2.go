package testkeys

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"tapnet/emv"
	"tapnet/emv/oda"
)

// How many SM2 keys there are of each kind.
const (
	SM2CACount     = 4
	SM2IssuerCount = 6
	SM2ICCCount    = 16
)

//go:embed keys-sm2.txt
var sm2Text string

// sm2Pool maps a label to its key. Making the public half of one costs a tenth of a millisecond, so they are all made at once.
var sm2Pool = sync.OnceValue(func() map[string]oda.PrivateKey {
	keys := make(map[string]oda.PrivateKey)
	for line := range strings.Lines(sm2Text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		k, err := parseSM2(fields)
		if err != nil {
			panic("testkeys: " + fields[0] + ": " + err.Error())
		}
		keys[fields[0]] = k
	}
	return keys
})

func parseSM2(fields []string) (oda.PrivateKey, error) {
	if len(fields) != 2 || !strings.HasPrefix(fields[0], "TEST-SM2-") {
		return oda.PrivateKey{}, fmt.Errorf("%d fields", len(fields))
	}
	d, err := hex.DecodeString(fields[1])
	if err != nil {
		return oda.PrivateKey{}, fmt.Errorf("not hexadecimal")
	}
	return oda.NewSM2PrivateKey(d, oda.SM2Profile{})
}

func getSM2(kind string, count, i int) oda.PrivateKey {
	if i < 0 {
		panic("testkeys: negative index")
	}
	return sm2Pool()[fmt.Sprintf("TEST-SM2-%s-%02d", kind, i%count)]
}

// SM2CA is the i-th certification authority key of SM2. i wraps around SM2CACount.
func SM2CA(i int) oda.PrivateKey { return getSM2("CA", SM2CACount, i) }

// SM2Issuer is the i-th issuer key of SM2. i wraps around SM2IssuerCount.
func SM2Issuer(i int) oda.PrivateKey { return getSM2("ISSUER", SM2IssuerCount, i) }

// SM2ICC is the i-th card key of SM2. i wraps around SM2ICCCount: cards of a large test share keys.
func SM2ICC(i int) oda.PrivateKey { return getSM2("ICC", SM2ICCCount, i) }

// firstSM2Index is where the indexes of the SM2 test authorities begin, behind those of RSA.
const firstSM2Index = 0xE8

// SM2CAKey is the public half of SM2CA(i) as a terminal is configured with it: UnionPay's provider identifier, index E8 + i, marked as a test key, good to the
// end of 2049.
func SM2CAKey(i int) oda.CAKey {
	return oda.NewCAKey(emv.RIDUnionPay, byte(firstSM2Index+i%SM2CACount), SM2CA(i).Public(), "20491231", "test")
}

// Under gives a test authority's key under another provider's identifier, for applications that an operator names itself.
func Under(rid [5]byte, k oda.CAKey) oda.CAKey {
	k.RID = rid
	k.SHA1 = k.Checksum()
	return k
}

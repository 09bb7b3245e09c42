package testkeys

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"tapnet/emv/oda"
)

func TestSM2Pool(t *testing.T) {
	total, seen := 0, map[oda.PublicKey]string{}
	for _, kind := range []struct {
		name  string
		get   func(int) oda.PrivateKey
		count int
	}{{"CA", SM2CA, SM2CACount}, {"issuer", SM2Issuer, SM2IssuerCount}, {"ICC", SM2ICC, SM2ICCCount}} {
		for i := range kind.count {
			k := kind.get(i)
			total++
			if k.Public().Algorithm() != oda.SM2 {
				t.Errorf("%s %d is %v", kind.name, i, k.Public())
			}
			if other, ok := seen[k.Public()]; ok {
				t.Errorf("%s %d is %s", kind.name, i, other)
			}
			seen[k.Public()] = fmt.Sprint(kind.name, i)
			if !kind.get(i + kind.count).Equal(k) {
				t.Errorf("%s %d does not wrap around", kind.name, i)
			}
		}
	}
	if total != len(sm2Pool()) {
		t.Errorf("the file holds %d keys, %d are reachable", len(sm2Pool()), total)
	}
}

// Every key is the hash of its label: nothing is hidden in the file.
func TestSM2KeysFollowFromTheirLabels(t *testing.T) {
	lines := 0
	for line := range strings.Lines(sm2Text) {
		label, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if label == "#" {
			continue
		}
		lines++
		if want := fmt.Sprintf("%X", sha256.Sum256([]byte("tapnet "+label))); value != want {
			t.Errorf("%s is not the hash of its label", label)
		}
	}
	if lines != SM2CACount+SM2IssuerCount+SM2ICCCount {
		t.Errorf("%d keys", lines)
	}
	for _, bad := range [][]string{{"TEST-SM2-X"}, {"SM2-CA-00", "00"}, {"TEST-SM2-CA-00", "zz"}, {"TEST-SM2-CA-00", "00"}} {
		if _, err := parseSM2(bad); err == nil {
			t.Errorf("%v: accepted", bad)
		}
	}
}

func TestSM2CAKeys(t *testing.T) {
	var keys []oda.CAKey
	for i := range SM2CACount {
		keys = append(keys, SM2CAKey(i), Under([5]byte{0xF0, 1, 2, 3, 4}, SM2CAKey(i)), Under([5]byte{0xF0, 1, 2, 3, 4}, CAKey(i)))
	}
	for _, k := range keys {
		if err := k.Verify(); err != nil || k.Role != "test" {
			t.Errorf("index %02X: %v, role %s", k.Index, err, k.Role)
		}
	}
	if _, err := oda.NewKeys(keys...); err != nil {
		t.Error(err)
	}
}

package testkeys

import (
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"tapnet/emv/oda"
)

func TestPoolHasTheStatedKeys(t *testing.T) {
	kinds := []struct {
		name  string
		get   func(int) oda.PrivateKey
		count int
		bits  int
	}{
		{"CA", CA, CACount, 1408},
		{"issuer", Issuer, IssuerCount, 1152},
		{"ICC", ICC, ICCCount, 1024},
		{"large ICC", ICCLarge, ICCLargeCount, 1152},
	}
	total := 0
	seen := make(map[oda.PublicKey]string)
	for _, kind := range kinds {
		large := 0
		for i := range kind.count {
			k := kind.get(i)
			total++
			if got := k.Public().BitLen(); got != kind.bits {
				t.Errorf("%s %d has %d bits, want %d", kind.name, i, got, kind.bits)
			}
			if other, ok := seen[k.Public()]; ok {
				t.Errorf("%s %d is %s", kind.name, i, other)
			}
			seen[k.Public()] = fmt.Sprint(kind.name, i)
			if len(k.Public().Exponent()) == 3 {
				large++
			}
			if !kind.get(i + kind.count).Equal(k) {
				t.Errorf("%s %d does not wrap around", kind.name, i)
			}
		}
		if large == 0 || large == kind.count {
			t.Errorf("%s: %d of %d keys have the exponent 65537", kind.name, large, kind.count)
		}
	}
	if total != len(pool()) {
		t.Errorf("keys.txt holds %d keys, %d are reachable", len(pool()), total)
	}
}

// Every prime stands at most a prime gap after the starting point that its label gives: the file is the generator's.
func TestPrimesFollowFromTheirLabels(t *testing.T) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if fields[0] == "#" {
			continue
		}
		if !strings.HasPrefix(fields[0], "TEST-") {
			t.Errorf("label %q is not marked TEST", fields[0])
		}
		for i, name := range []string{"p", "q"} {
			prime, ok := new(big.Int).SetString(fields[2+i], 16)
			if !ok {
				t.Fatalf("%s %s is not hexadecimal", fields[0], name)
			}
			gap := prime.Sub(prime, startingPoint(fields[0]+" "+name, prime.BitLen()))
			if gap.Sign() < 0 || gap.Cmp(big.NewInt(1<<16)) > 0 {
				t.Errorf("%s %s does not follow from the label: gap %v", fields[0], name, gap)
			}
		}
	}
}

func startingPoint(label string, bits int) *big.Int {
	var stream []byte
	for counter := 0; len(stream) < bits/8; counter++ {
		sum := sha256.Sum256(fmt.Appendf(nil, "tapnet %s %d", label, counter))
		stream = append(stream, sum[:]...)
	}
	stream = stream[:bits/8]
	stream[0] |= 0xC0
	stream[len(stream)-1] |= 1
	return new(big.Int).SetBytes(stream)
}

func TestCAKeysVerify(t *testing.T) {
	keys := new(oda.Keys)
	for i := range CACount {
		if err := keys.Add(CAKey(i)); err != nil {
			t.Errorf("CA %d: %v", i, err)
		}
	}
}

func TestParseRefusesBadLines(t *testing.T) {
	good := strings.Fields(strings.Split(text, "\n")[2])
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{
		"no label mark": strings.Join(append([]string{"CA-1"}, good[1:]...), " "),
		"three fields":  strings.Join(good[:3], " "),
		"exponent text": strings.Join([]string{good[0], "x", good[2], good[3]}, " "),
		"exponent 5":    strings.Join([]string{good[0], "5", good[2], good[3]}, " "),
		"same primes":   strings.Join([]string{good[0], good[1], good[2], good[2]}, " "),
		"not hex":       strings.Join([]string{good[0], good[1], "zz", good[3]}, " "),
		"not prime":     strings.Join([]string{good[0], good[1], good[2][:len(good[2])-1] + "0", good[3]}, " "),
	} {
		if _, err := parse(strings.Fields(line)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestNegativeIndexPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	CA(-1)
}

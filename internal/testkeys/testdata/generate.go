// Command generate writes the pool of TEST RSA keys to standard output, the same on every run:
//
//	go run ./internal/testkeys/testdata/generate.go > internal/testkeys/keys.txt
//
// Every prime is the first suitable number at or after a starting point that SHA-256 makes from the key's label, so
// that anybody gets the same file and can see that nothing is hidden in it. Keys made from public labels protect
// nothing: they are for tests and demonstrations.
package main

import (
	"crypto/sha256"
	"fmt"
	"math/big"
)

const heading = `# TEST RSA keys. Their private halves are public: they protect nothing. Made by testdata/generate.go; do not edit.
# One key a line: label, e (decimal), p, q. The label tells the use, the modulus bits and the place in the pool.
`

// The kinds of keys. The last ones of each kind, large in number, have the exponent 65537.
var kinds = []struct {
	name               string
	bits, count, large int
}{
	{"CA", 1408, 4, 1},
	{"ISSUER", 1152, 6, 1},
	{"ICC", 1024, 32, 2},
	{"ICC", 1152, 4, 1},
}

func main() {
	fmt.Print(heading)
	for _, kind := range kinds {
		for i := range kind.count {
			e := int64(3)
			if i >= kind.count-kind.large {
				e = 65537
			}
			label := fmt.Sprintf("TEST-%s-%d-%02d", kind.name, kind.bits, i)
			fmt.Printf("%s %d %X %X\n", label, e, prime(label+" p", kind.bits/2, e), prime(label+" q", kind.bits/2, e))
		}
	}
}

// prime finds the first prime at or after the starting point with which e is a usable exponent.
func prime(label string, bits int, e int64) *big.Int {
	candidate := start(label, bits)
	one, two, exponent := big.NewInt(1), big.NewInt(2), big.NewInt(e)
	for {
		less := new(big.Int).Sub(candidate, one)
		if new(big.Int).GCD(nil, nil, less, exponent).Cmp(one) == 0 && candidate.ProbablyPrime(32) {
			return candidate
		}
		candidate.Add(candidate, two)
	}
}

// start is bits of SHA-256(label, counter) with the top two bits and the last one set: two such primes multiply to a
// modulus of exactly twice the bits.
func start(label string, bits int) *big.Int {
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

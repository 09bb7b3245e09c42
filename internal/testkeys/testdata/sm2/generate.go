// Command generate writes the pool of TEST SM2 keys to standard output, the same on every run:
//
//	go run ./internal/testkeys/testdata/sm2 > internal/testkeys/keys-sm2.txt
//
// A private key is SHA-256 of its label, so that anybody gets the same file. Keys made from public labels protect nothing: they are for tests and
// demonstrations. A hash that is no private key of the curve would be refused when the pool is read.
package main

import (
	"crypto/sha256"
	"fmt"
)

const heading = `# TEST SM2 keys. Their private halves are public: they protect nothing. Made by testdata/sm2/generate.go; do not edit.
# One key a line: label, d. The label tells the use and the place in the pool.
`

func main() {
	fmt.Print(heading)
	for _, kind := range []struct {
		name  string
		count int
	}{{"CA", 4}, {"ISSUER", 6}, {"ICC", 16}} {
		for i := range kind.count {
			label := fmt.Sprintf("TEST-SM2-%s-%02d", kind.name, i)
			fmt.Printf("%s %X\n", label, sha256.Sum256([]byte("tapnet "+label)))
		}
	}
}

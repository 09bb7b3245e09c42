package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"time"

	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/lang"
	"tapnet/internal/testkeys"
	"tapnet/mac"
	"tapnet/pan"
	"tapnet/pinblock"
)

// selfTest is one published value that the program must reproduce.
type selfTest struct {
	name string
	got  func() []byte
	want string
}

// selfTests touch every primitive once: session key and cryptogram, ARPC, retail MAC, PIN block, RSA and SHA-1. The full
// lists of vectors are in the packages' tests; this is what a damaged binary would get wrong.
func selfTests() []selfTest {
	suite := cryptogram.TDES()
	return []selfTest{
		{"cryptogram, version 01 [REF V-3]", func() []byte {
			ac := suite.Cryptogram(mustKey("D4102725E6E5AD329E55AAB50BF23DA9"),
				mustHex("000000000001000000000000015600800460000156140701001E78EEBC7D00024003A04002"))
			return ac[:]
		}, "5D016C91005E7CC2"},
		{"cryptogram, version 17 [REF V-3]", func() []byte {
			ac := suite.Cryptogram(mustKey("D4102725E6E5AD329E55AAB50BF23DA9"), mustHex("0000000000011E78EEBC0240A0"))
			return ac[:]
		}, "816E9C8F9BF2BE92"},
		{"retail MAC [REF V-3]", func() []byte {
			sum := mac.Retail([16]byte(mustHex("29B33180E567CE38EA4CBC9D753B0E61")), mustHex("0123456789ABCDEF0123456789ABCDEF"))
			return sum[:]
		}, "FA624250B008B59A"},
		{"PIN block", func() []byte {
			pin, err := pinblock.ParsePIN("123456")
			number, panErr := pan.Parse("6228000100001117")
			if err != nil || panErr != nil {
				return nil
			}
			block := pinblock.Format0(pin, number).Reveal()
			return block[:]
		}, "0612B456EFFFFEEE"},
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("self-test: " + err.Error())
	}
	return b
}

func mustKey(s string) cryptogram.Key {
	k, err := cryptogram.NewKey(mustHex(s))
	if err != nil {
		panic("self-test: " + err.Error())
	}
	return k
}

// checkVectors reproduces published values and recomputes the checksums of the CA keys.
func checkVectors() finding {
	tests := selfTests()
	for _, test := range tests {
		if !bytes.Equal(test.got(), mustHex(test.want)) {
			return brokenVector(test.name)
		}
	}
	published := oda.PublishedCAKeys()
	for _, key := range published {
		if err := key.Verify(); err != nil {
			return brokenVector(fmt.Sprintf("CA key %X, index %02X", key.RID, key.Index))
		}
	}
	for i := range testkeys.CACount {
		if testkeys.CAKey(i).Verify() != nil {
			return brokenVector(fmt.Sprintf("test CA key %d", i))
		}
	}
	keys, err := authorities()
	if err != nil {
		return brokenVector("CA keys")
	}
	dump, err := oda.ParseDump(oda.ExampleDump())
	day, _ := dump.Date()
	if err != nil || day.Equal(time.Time{}) || !dump.Verify(keys, day).Authenticated() {
		return brokenVector("certificates and signatures [REF V-8]")
	}
	return fine(lang.Fill(lang.VectorsOK, len(tests)+1, len(published)+testkeys.CACount))
}

func brokenVector(name string) finding {
	return failed(lang.Fill(lang.VectorsBad, name), lang.VectorsWhy, lang.VectorsNext)
}

package oda

import (
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tapnet/emv"
)

//go:embed cakeys-sm2.txt
var publishedSM2Text string

var publishedSM2 = sync.OnceValue(func() []CAKey {
	keys, err := parseSM2CAKeys(publishedSM2Text)
	if err != nil {
		panic("oda: cakeys-sm2.txt: " + err.Error())
	}
	return keys
})

// PublishedSM2CAKeys returns the SM2 keys of RID A000000333 that are public, with the confidence each deserves. All are test keys:
// terminals download the others [REF A]. Their expiry dates are configuration: set Expiry before Keys.Add to go on with one.
func PublishedSM2CAKeys() []CAKey {
	keys := slices.Clone(publishedSM2())
	for i := range keys {
		keys[i].Modulus = slices.Clone(keys[i].Modulus)
	}
	return keys
}

func parseSM2CAKeys(text string) ([]CAKey, error) {
	var keys []CAKey
	for number, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 5 {
			return nil, fmt.Errorf("line %d: %d fields", number+1, len(fields))
		}
		index, err := hex.DecodeString(fields[0])
		if err != nil || len(index) != 1 {
			return nil, fmt.Errorf("line %d: the index is not one byte", number+1)
		}
		point, err := hex.DecodeString(fields[4])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		key, err := NewSM2PublicKey(point, SM2Profile{})
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		ca := NewCAKey(emv.RIDUnionPay, index[0], key, fields[3], fields[1])
		ca.Confidence = fields[2]
		if err := ca.Verify(); err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		keys = append(keys, ca)
	}
	return keys, nil
}

package oda

import (
	_ "embed" // the published trace
	"strings"
)

//go:embed testdata/trace-v8.txt
var exampleDump string

//go:embed testdata/sm2-published.txt
var exampleSM2Dump string

// ExampleSM2Dump is the dump of a published test card with an SM2 chain, under key 57 of PublishedSM2CAKeys, in the same form.
func ExampleSM2Dump() []byte { return []byte(strings.Clone(exampleSM2Dump)) }

// ExampleDump is the dump of a published trace of a real contact card in the form that ParseDump reads [REF V-8].
func ExampleDump() []byte { return []byte(strings.Clone(exampleDump)) }

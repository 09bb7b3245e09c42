package oda

import (
	_ "embed" // the published trace
	"strings"
)

//go:embed testdata/trace-v8.txt
var exampleDump string

// ExampleDump is the dump of a published trace of a real contact card in the form that ParseDump reads [REF V-8].
func ExampleDump() []byte { return []byte(strings.Clone(exampleDump)) }

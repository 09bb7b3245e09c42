// Package archtest keeps the shape of the source: who may import whom, and the tidy rules a reader relies on.
//
// It follows no external standard; ARCHITECTURE.md says why each rule exists and graph.txt holds the import graph as a table.
// It reads files with go/parser and never compiles, so it also works on a tree that does not build. Every rule is a function from
// a Tree to findings, and every rule has a test that feeds it a small broken tree.
//
// It does not judge meaning: a name can be wrong, a comment untrue and a test empty without any rule here noticing.
package archtest

package explain

import (
	"encoding/hex"
	"iter"
	"strings"

	"tapnet/glossary"
)

// Node is one named piece of the input. A node with an Offset of at least 0 and no such children is a leaf and owns its
// bytes; all leaves together are the input. A virtual node (Offset -1) explains a part of a leaf that is not whole bytes:
// a bit, a digit, a field of recovered data.
//
// Hex and Value are masked. What a caller may reveal is kept out of every print and JSON form of the node.
type Node struct {
	Key       string        // "F55", "9F26", "B1b8": short, the same in both languages
	Name      glossary.Term // what it is
	Offset    int           // bytes from the start of the input; -1 for a virtual node
	Length    int           // bytes, header included; 0 for a virtual node
	Header    int           // leading bytes that are tag and length
	Hex       string        // upper case, masked; of a node with leaves below it only the header
	Value     string        // decoded, the same in both languages: an amount, a date, a number
	Meaning   glossary.Term // what the value says
	Sensitive bool          // masked by default
	Broken    bool          // could not be read to its end
	Children  []Node

	clear *clear
	bit   bool // one bit, Value "0" or "1", or a few with their meaning in the name
}

// clear is what Reveal shows. It hangs on a pointer so that no print of a Node contains it.
type clear struct{ hex, value string }

const virtualOffset = -1

func term(en, zh string) glossary.Term { return glossary.Term{EN: en, ZH: zh} }

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// virtual makes a node that owns no bytes.
func virtual(key string, name glossary.Term, value string) Node {
	return Node{Key: key, Name: name, Offset: virtualOffset, Value: value}
}

// Virtual reports whether the node owns no bytes.
func (n Node) Virtual() bool { return n.Offset < 0 }

// Leaf reports whether the node owns its bytes itself.
func (n Node) Leaf() bool { return !n.Virtual() && !ownsBytes(n.Children) }

func ownsBytes(children []Node) bool {
	for i := range children {
		if !children[i].Virtual() {
			return true
		}
	}
	return false
}

// Leaves yields the leaves in the order of their bytes.
func (n Node) Leaves() iter.Seq[Node] {
	return func(yield func(Node) bool) { n.leaves(yield) }
}

func (n Node) leaves(yield func(Node) bool) bool {
	if n.Leaf() {
		return yield(n)
	}
	for _, child := range n.Children {
		if !child.Virtual() && !child.leaves(yield) {
			return false
		}
	}
	return true
}

// All yields the node and everything below it, from the outside inwards.
func (n Node) All() iter.Seq[Node] {
	return func(yield func(Node) bool) { n.all(yield) }
}

func (n Node) all(yield func(Node) bool) bool {
	if !yield(n) {
		return false
	}
	for _, child := range n.Children {
		if !child.all(yield) {
			return false
		}
	}
	return true
}

// Find returns the first node with the key, this one or one below it.
func (n Node) Find(key string) (Node, bool) {
	for found := range n.All() {
		if found.Key == key {
			return found, true
		}
	}
	return Node{}, false
}

// Masked returns the whole input as hexadecimal with its sensitive parts starred out.
func (n Node) Masked() string {
	var s strings.Builder
	for leaf := range n.Leaves() {
		s.WriteString(leaf.Hex)
	}
	return s.String()
}

func (n Node) hex(reveal bool) string {
	if reveal && n.clear != nil {
		return n.clear.hex
	}
	return n.Hex
}

func (n Node) value(reveal bool) string {
	if reveal && n.clear != nil {
		return n.clear.value
	}
	return n.Value
}

// Shown returns hexadecimal and value as Render prints them, masked or not.
func (n Node) Shown(reveal bool) (hex, value string) { return n.hex(reveal), n.value(reveal) }

// String is the key, the value and the English meaning, masked.
func (n Node) String() string {
	return strings.Join(strings.Fields(n.Key+" "+n.Value+" "+n.Meaning.EN), " ")
}

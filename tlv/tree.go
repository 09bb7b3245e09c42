package tlv

import "strings"

// Node is an element with its place in the input and, when its tag is constructed, its children.
type Node struct {
	Tag       Tag
	Offset    int    // bytes from the start of the input to the tag
	HeaderLen int    // bytes of tag and length
	Value     []byte // aliases the input
	Children  []Node // nil for a primitive tag
}

// Tree decodes all levels, at most MaxDepth deep and MaxElements in all. The error is a *PathError.
//
// Whether a value is itself TLV is taken from the tag alone. Tag lists such as a DOL are primitive and stay bytes.
func Tree(b []byte) ([]Node, error) {
	t := treeReader{}
	return t.read(b, 0)
}

// treeReader counts elements over all levels and knows the templates it is inside of.
type treeReader struct {
	path  [MaxDepth]Tag
	depth int
	count int
}

func (t *treeReader) read(b []byte, base int) ([]Node, error) {
	var nodes []Node
	for rest := skipPadding(b); len(rest) > 0; {
		offset := base + len(b) - len(rest)
		h, err := parseHeader(rest)
		if err != nil {
			return nil, t.fail(h.tag, offset, err)
		}
		if t.count == MaxElements {
			return nil, t.fail(h.tag, offset, ErrTooMany)
		}
		t.count++
		end := h.bytes + h.length
		node := Node{Tag: h.tag, Offset: offset, HeaderLen: h.bytes, Value: rest[h.bytes:end:end]}
		if h.tag.Constructed() {
			if t.depth == MaxDepth-1 {
				return nil, t.fail(h.tag, offset, ErrTooDeep)
			}
			t.path[t.depth] = h.tag
			t.depth++
			if node.Children, err = t.read(node.Value, offset+h.bytes); err != nil {
				return nil, err
			}
			t.depth--
		}
		nodes = append(nodes, node)
		rest = skipPadding(rest[end:])
	}
	return nodes, nil
}

// fail names the templates around the fault and, when it could be read, the tag at fault.
func (t *treeReader) fail(tag Tag, offset int, err error) error {
	names := make([]string, 0, MaxDepth)
	for _, outer := range t.path[:t.depth] {
		names = append(names, outer.String())
	}
	if tag != 0 {
		names = append(names, tag.String())
	}
	return &PathError{Path: strings.Join(names, "/"), Offset: offset, Err: err}
}

// AppendTree appends the encoding of nodes to dst: the children of a constructed tag, the value of a primitive one.
// Offset and HeaderLen are not read.
func AppendTree(dst []byte, nodes []Node) []byte {
	for _, node := range nodes {
		if !node.Tag.Constructed() {
			dst = Append(dst, node.Tag, node.Value)
			continue
		}
		dst = node.Tag.Append(dst)
		dst = AppendLength(dst, encodedLen(node.Children))
		dst = AppendTree(dst, node.Children)
	}
	return dst
}

func encodedLen(nodes []Node) int {
	total := 0
	for _, node := range nodes {
		length := len(node.Value)
		if node.Tag.Constructed() {
			length = encodedLen(node.Children)
		}
		total += node.Tag.Len() + lengthLen(length) + length
	}
	return total
}

func lengthLen(n int) int {
	switch {
	case n < 0x80:
		return 1
	case n <= 0xFF:
		return 2
	}
	return 3
}

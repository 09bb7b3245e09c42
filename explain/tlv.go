package explain

import (
	"fmt"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/tlv"
)

var paddingName = term("padding", "填充")

// elements explains the bytes from offset to end as TLV [EMV B3 Annex B]. The nodes are exactly these bytes.
func (d *decoder) elements(offset, end, depth int, in glossary.Term) []Node {
	var nodes []Node
	for offset < end {
		if d.in[offset] == 0 {
			stop := offset
			for stop < end && d.in[stop] == 0 {
				stop++
			}
			nodes = append(nodes, d.node("00", paddingName, offset, stop-offset))
			offset = stop
			continue
		}
		node, ok := d.element(offset, end, depth, in)
		nodes = append(nodes, node)
		if !ok {
			return nodes
		}
		offset += node.Length
	}
	return nodes
}

// element explains the element at offset; false when what follows it cannot be found.
func (d *decoder) element(offset, end, depth int, in glossary.Term) (Node, bool) {
	tag, size, err := tlv.ParseTag(d.in[offset:end])
	if err != nil {
		d.fail(offset, term(in.EN+": no valid tag", in.ZH+"：标签无效"))
		return d.rest(offset, end), false
	}
	d.enter(tag.String())
	defer d.leave()
	length, lengthSize, problem := readLength(d.in[offset+size : end])
	if problem != nil {
		d.fail(offset, term(fmt.Sprintf("%s: tag %v: %s", in.EN, tag, problem.EN), fmt.Sprintf("%s：标签 %v：%s", in.ZH, tag, problem.ZH)))
		return d.rest(offset, end), false
	}
	if depth >= tlv.MaxDepth {
		d.fail(offset, term(in.EN+": templates nest too deep", in.ZH+"：模板嵌套过深"))
		return d.rest(offset, end), false
	}
	header := size + lengthSize
	stop := offset + header + length
	whole := stop <= end
	if !whole {
		d.short(in, tagTerm(tag), length, end-offset-header, offset)
		stop = end
	}
	n := d.node(tag.String(), d.tagName(tag), offset, stop-offset)
	n.Header, n.Broken = header, !whole
	if whole || tag.Constructed() {
		d.adopt(&n, d.content(&n, tag, offset+header, stop, depth))
	} else {
		veil(&n, tag)
	}
	return n, whole
}

var (
	noLength    = term("no length", "缺少长度")
	wrongLength = term("length is indefinite, not in its shortest form or too large", "长度为不定长、非最短形式或过大")
)

// readLength reads a BER length as package tlv does, but tells a missing one from a wrong one.
func readLength(b []byte) (length, size int, problem *glossary.Term) {
	if len(b) == 0 {
		return 0, 0, &noLength
	}
	switch first := b[0]; {
	case first < 0x80:
		return int(first), 1, nil
	case first != 0x81 && first != 0x82:
		return 0, 0, &wrongLength
	case len(b) < 1+int(first&3):
		return 0, 0, &noLength
	case first == 0x81:
		length, size = int(b[1]), 2
	default:
		length, size = int(b[1])<<8|int(b[2]), 3
	}
	if length < 0x80 || size == 3 && length <= 0xFF {
		return 0, 0, &wrongLength
	}
	return length, size, nil
}

// content explains the value of a tag; children that own bytes cover it exactly.
func (d *decoder) content(n *Node, tag tlv.Tag, offset, end, depth int) []Node {
	if tag.Constructed() {
		return d.elements(offset, end, depth+1, term("template "+tag.String(), "模板 "+tag.String()))
	}
	if !d.foreign(tag) && !emv.CheckLength(tag, end-offset) && n.Header > 0 {
		entry, _ := emv.Lookup(tag)
		n.Broken = true
		d.fail(n.Offset, term(
			fmt.Sprintf("tag %v has %s, want %s", tag, countEN(end-offset), rangeText(entry.Min, entry.Max)),
			fmt.Sprintf("标签 %v 有 %d 字节，应为 %s", tag, end-offset, rangeText(entry.Min, entry.Max))))
		veil(n, tag)
		return nil
	}
	return d.tagValue(n, tag, offset, end, depth)
}

func rangeText(low, high int) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d-%d", low, high)
}

// list explains a data object list: one leaf per entry [EMV B3 5.4].
func (d *decoder) list(offset, end int) []Node {
	var nodes []Node
	for offset < end {
		tag, size, err := tlv.ParseTag(d.in[offset:end])
		if err != nil || offset+size >= end {
			what := term("data object list: no valid tag", "数据对象列表：标签无效")
			if err == nil {
				what = term(fmt.Sprintf("data object list: tag %v has no length", tag), fmt.Sprintf("数据对象列表：标签 %v 缺少长度", tag))
			}
			d.fail(offset, what)
			return append(nodes, d.rest(offset, end))
		}
		length := int(d.in[offset+size])
		n := d.node(tag.String(), d.tagName(tag), offset, size+1)
		n.Meaning = term("asks for "+countEN(length), fmt.Sprintf("要求 %d 字节", length))
		nodes = append(nodes, n)
		offset += size + 1
	}
	return nodes
}

// listData explains data laid out by a list: one leaf or subtree per entry, and what is too much or too little.
func (d *decoder) listData(dol emv.DOL, offset, end int, in glossary.Term) []Node {
	if c, ok := listCurrency(dol, d.in[offset:end]); ok {
		d.money = c
	}
	var nodes []Node
	for _, entry := range dol {
		if entry.Len == 0 {
			continue
		}
		if offset+entry.Len > end {
			d.short(in, term("the list entry "+entry.Tag.String(), "列表项 "+entry.Tag.String()), entry.Len, end-offset, offset)
			break
		}
		n := d.node(entry.Tag.String(), d.tagName(entry.Tag), offset, entry.Len)
		d.enter(n.Key)
		if entry.Tag.Constructed() {
			scrubNode(&n)
		} else {
			d.adopt(&n, d.tagValue(&n, entry.Tag, offset, offset+entry.Len, 0))
		}
		d.leave()
		nodes = append(nodes, n)
		offset += entry.Len
	}
	if offset < end {
		d.fail(offset, term(fmt.Sprintf("%s: %s more than the list asks for", in.EN, countEN(end-offset)),
			fmt.Sprintf("%s：比列表要求多 %d 字节", in.ZH, end-offset)))
		nodes = append(nodes, d.rest(offset, end))
	}
	return nodes
}

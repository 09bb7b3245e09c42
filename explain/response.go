package explain

import (
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/tlv"
)

const statusBytes = 2

// Response explains a response APDU; Context.Answers says to which command [ISO 7816-4 5.1].
func (c Context) Response(b []byte) (Node, error) {
	d := newDecoder(b, c, wholeResponse)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	return d.result(d.responseNode())
}

func (d *decoder) responseNode() Node {
	root := Node{Key: "R-APDU", Name: term("response", "响应"), Length: len(d.in)}
	end := len(d.in) - statusBytes
	if end < 0 {
		d.fail(0, term(fmt.Sprintf("response stops short: %s, at least %d", countEN(len(d.in)), statusBytes),
			fmt.Sprintf("响应不完整：%d 字节，至少 %d 字节", len(d.in), statusBytes)))
		if len(d.in) > 0 {
			root.Children = []Node{d.rest(0, len(d.in))}
		}
		return root
	}
	d.prepare(d.in[:end])
	if end > 0 {
		root.Children = d.responseData(end)
	}
	sw := d.statusWord(end)
	root.Meaning = sw.Meaning
	root.Children = append(root.Children, sw)
	return root
}

// prepare gathers what the data say about themselves before they are explained.
func (d *decoder) prepare(data []byte) {
	if c, ok := scanCurrency(data); ok {
		d.money = c
	}
	d.keys.gather(data, d.ctx.CAKeys)
}

func (d *decoder) statusWord(offset int) Node {
	sw := apdu.SW(d.in[offset])<<8 | apdu.SW(d.in[offset+1])
	n := d.node("SW", term("status word", "状态字"), offset, statusBytes)
	n.Meaning = sw.Term()
	return n
}

func (d *decoder) responseData(end int) []Node {
	command, err := apdu.ParseCommand(d.ctx.Answers)
	if err != nil {
		return d.unaskedData(end)
	}
	switch command.INS {
	case apdu.InsGetChallenge:
		return []Node{d.node("RND", term("card's random number", "卡片随机数"), 0, end)}
	case apdu.InsGetTransProve:
		return []Node{d.node(emv.TagAC.String(), tagName(emv.TagAC), 0, end)}
	case apdu.InsReadRecord:
		if command.P2>>3 == d.ctx.LoadLogSFI && d.ctx.LoadLogSFI != 0 && command.P1 != 0 && d.ctx.LoadLogFormat != nil && end >= loadHeadBytes {
			return d.loadRecord(end)
		}
		if command.P2>>3 == d.ctx.LogSFI && d.ctx.LogSFI != 0 && d.ctx.LogFormat != nil {
			return d.listData(d.ctx.LogFormat, 0, end, term("log record", "日志记录"))
		}
		if d.in[0] != byte(emv.TagRecord) {
			return []Node{d.opaque("REC", term("record without template", "无模板记录"), 0, end)}
		}
	case apdu.InsReadCAPPData:
		return []Node{d.opaque("REC", term("extended application record", "扩展应用记录"), 0, end)}
	}
	return d.elements(0, end, 0, wholeResponse)
}

// loadHeadBytes is what a record of the load log begins with: tag, balance before and after [REF 3.4].
const loadHeadBytes = 2 + 6 + 6

// loadRecord explains a record of the load log: which balance it was, what it held, and what DF4F lists.
func (d *decoder) loadRecord(end int) []Node {
	purse := tlv.Tag(d.in[0])<<8 | tlv.Tag(d.in[1])
	which := d.node("TAG", term("data object that was set", "被写入的数据对象"), 0, 2)
	which.Value, which.Meaning = purse.String(), tagName(purse)
	nodes := []Node{which}
	if c, ok := listCurrency(d.ctx.LoadLogFormat, d.in[loadHeadBytes:end]); ok {
		d.money = c
	}
	for i, name := range [...]glossary.Term{term("balance before", "圈存前余额"), term("balance after", "圈存后余额")} {
		n := d.node([...]string{"OLD", "NEW"}[i], name, 2+6*i, 6)
		simpleValue(&n, kindAmount, d.in[n.Offset:n.Offset+n.Length], d.money)
		nodes = append(nodes, n)
	}
	return append(nodes, d.listData(d.ctx.LoadLogFormat, loadHeadBytes, end, term("load log record", "圈存日志记录"))...)
}

// unaskedData explains data whose command is not known: TLV if it looks so, else nothing is said about them.
func (d *decoder) unaskedData(end int) []Node {
	if _, err := tlv.Decode(d.in[:end]); err != nil && !d.knownTagFirst(end) {
		return []Node{d.opaque("DATA", term("data", "数据"), 0, end)}
	}
	return d.elements(0, end, 0, wholeResponse)
}

func (d *decoder) knownTagFirst(end int) bool {
	tag, _, err := tlv.ParseTag(d.in[:end])
	if err != nil {
		return false
	}
	_, known := emv.Lookup(tag)
	return known
}

// format1 explains tag 80, whose layout depends on the command: AIP and AFL, a cryptogram, or a signature [EMV B3 6.5].
func (d *decoder) format1(offset, end int) []Node {
	ins := byte(0)
	if command, err := apdu.ParseCommand(d.ctx.Answers); err == nil {
		ins = command.INS
	}
	_, aflErr := emv.ParseAFL(d.in[min(offset+2, end):end])
	switch {
	case ins == apdu.InsGPO && end-offset > 2, ins == 0 && aflErr == nil:
		return d.parts(offset, end, part{emv.TagAIP, 2}, part{emv.TagAFL, end - offset - 2})
	case (ins == apdu.InsGenerateAC || ins == 0) && end-offset >= 11 && end-offset <= 43:
		return d.parts(offset, end, part{emv.TagCID, 1}, part{emv.TagATC, 2}, part{emv.TagAC, 8}, part{emv.TagIAD, end - offset - 11})
	case ins == apdu.InsInternalAuthenticate:
		return d.parts(offset, end, part{emv.TagSDAD, end - offset})
	}
	return []Node{d.opaque("DATA", term("data", "数据"), offset, end)}
}

type part struct {
	tag    tlv.Tag
	length int
}

// parts explains values that stand behind each other without tags; their lengths add up to end.
func (d *decoder) parts(offset, end int, layout ...part) []Node {
	var nodes []Node
	for _, p := range layout {
		if p.length == 0 {
			continue
		}
		n := d.node(p.tag.String(), tagName(p.tag), offset, p.length)
		d.adopt(&n, d.tagValue(&n, p.tag, offset, offset+p.length, 0))
		nodes = append(nodes, n)
		offset += p.length
	}
	return nodes
}

package explain

import (
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/tlv"
)

const (
	commandHeader  = 4
	scriptMACBytes = 4 // secure messaging cuts its MAC to so many bytes [REF 3.4]
)

// Command explains a command APDU [ISO 7816-4 5.1].
func (c Context) Command(b []byte) (Node, error) {
	d := newDecoder(b, c, wholeCommand)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	return d.result(d.commandNode())
}

func (d *decoder) commandNode() Node {
	root := Node{Key: "C-APDU", Name: term("command", "命令"), Length: len(d.in)}
	root.Children = d.commandBytes(0, len(d.in), 0)
	if len(d.in) >= commandHeader {
		root.Meaning = apdu.InstructionName(d.in[1])
	}
	return root
}

// commandBytes explains a command from offset to end; in a script it is a part of something larger.
func (d *decoder) commandBytes(offset, end, depth int) []Node {
	name := term("command", "命令")
	if end-offset < commandHeader {
		d.fail(offset, term(fmt.Sprintf("command stops short: %s, at least %d", countEN(end-offset), commandHeader),
			fmt.Sprintf("命令不完整：%d 字节，至少 %d 字节", end-offset, commandHeader)))
		if end == offset {
			return nil
		}
		return []Node{d.rest(offset, end)}
	}
	nodes := d.commandHeader(offset)
	at := offset + commandHeader
	switch left := end - at; {
	case left == 0:
		return nodes
	case left == 1:
		return append(nodes, d.expected(at))
	}
	length := int(d.in[at])
	lc := d.node("Lc", term("length of the data", "数据长度"), at, 1)
	lc.Value = fmt.Sprint(length)
	nodes = append(nodes, lc)
	at++
	stop := at + length
	if length == 0 || stop > end || end-stop > 1 {
		if stop > end {
			d.short(name, term("Lc", "Lc"), length, end-at, at-1)
		} else {
			d.fail(at-1, term(fmt.Sprintf("command: Lc says %s, %d follow", countEN(length), end-at), fmt.Sprintf("命令：Lc 声明 %d 字节，其后有 %d 字节", length, end-at)))
		}
		rest := d.rest(at, end)
		if holdsPIN(d.in[offset+1]) {
			redact(&rest)
		}
		return append(nodes, rest)
	}
	nodes = append(nodes, d.commandData(offset, at, stop, depth)...)
	if stop < end {
		nodes = append(nodes, d.expected(stop))
	}
	return nodes
}

func holdsPIN(ins byte) bool { return ins == apdu.InsVerify || ins == apdu.InsPINChange }

func (d *decoder) expected(at int) Node {
	n := d.node("Le", term("length wanted", "期望长度"), at, 1)
	n.Value = fmt.Sprint(d.in[at])
	if d.in[at] == 0 {
		n.Value = fmt.Sprint(apdu.MaxLe)
	}
	return n
}

func (d *decoder) commandHeader(offset int) []Node {
	h := d.in[offset : offset+commandHeader]
	cla := d.node("CLA", term("class", "类别"), offset, 1)
	cla.Meaning = classTerm(h[0])
	ins := d.node("INS", term("instruction", "指令"), offset+1, 1)
	ins.Meaning = apdu.InstructionName(h[1])
	p1 := d.node("P1", term("parameter 1", "参数 1"), offset+2, 1)
	p2 := d.node("P2", term("parameter 2", "参数 2"), offset+3, 1)
	p1.Meaning, p2.Meaning = parameterTerms(h[1], h[2], h[3])
	return []Node{cla, ins, p1, p2}
}

func classTerm(cla byte) glossary.Term {
	switch cla {
	case apdu.ClaInterindustry:
		return term("interindustry", "行业间")
	case apdu.ClaProprietary:
		return term("proprietary", "专有")
	case apdu.ClaInterindustryMAC:
		return term("interindustry, with MAC", "行业间，带 MAC")
	case apdu.ClaProprietaryMAC:
		return term("proprietary, with MAC", "专有，带 MAC")
	}
	return term("another class", "其他类别")
}

// parameterTerms says what P1 and P2 mean, where they mean something [EMV B3 6.5].
func parameterTerms(ins, p1, p2 byte) (first, second glossary.Term) {
	switch ins {
	case apdu.InsSelect:
		second = term("first or only", "首个或唯一")
		if p2 == 2 {
			second = term("next", "下一个")
		}
		return term("by name", "按名称"), second
	case apdu.InsReadRecord, apdu.InsUpdateRecord, apdu.InsAppendRecord, apdu.InsReadCAPPData, apdu.InsUpdateCAPPDataCache:
		return term(fmt.Sprintf("record %d", p1), fmt.Sprintf("记录 %d", p1)), term(fmt.Sprintf("SFI %d", p2>>3), fmt.Sprintf("SFI %d", p2>>3))
	case apdu.InsGetData, apdu.InsPutData:
		return tagName(parameterTag(p1, p2)), glossary.Term{}
	case apdu.InsGenerateAC:
		return term("asks for "+emv.CID(p1).String(), "请求 "+emv.CID(p1).String()), glossary.Term{}
	case apdu.InsVerify:
		second = term("plaintext PIN", "明文 PIN")
		if p2 == apdu.VerifyEnciphered {
			second = term("enciphered PIN", "加密 PIN")
		}
		return glossary.Term{}, second
	case apdu.InsPINChange:
		return glossary.Term{}, map[byte]glossary.Term{
			apdu.PINUnblock: term("unblock", "解锁"), apdu.PINChangeWithOldPIN: term("change, with the old PIN", "修改（含旧 PIN）"),
			apdu.PINChange: term("change", "修改"),
		}[p2]
	}
	return glossary.Term{}, glossary.Term{}
}

// parameterTag is the tag that P1 and P2 name; a tag of one byte has P1 00.
func parameterTag(p1, p2 byte) tlv.Tag { return tlv.Tag(p1)<<8 | tlv.Tag(p2) }

// commandData explains the data field; a MAC at its end is split off first.
func (d *decoder) commandData(header, offset, end, depth int) []Node {
	h := d.in[header : header+commandHeader]
	var mac []Node
	if (apdu.Command{CLA: h[0]}).SecureMessaging() && end-offset >= scriptMACBytes {
		end -= scriptMACBytes
		mac = []Node{d.node("MAC", term("secure messaging MAC", "安全报文 MAC"), end, scriptMACBytes)}
	}
	if offset == end {
		return mac
	}
	return append(d.namedData(h, offset, end, depth), mac...)
}

func (d *decoder) namedData(h []byte, offset, end, depth int) []Node {
	switch h[1] {
	case apdu.InsSelect:
		n := d.node(emv.TagDFName.String(), tagName(emv.TagDFName), offset, end-offset)
		setName(&n, d.in[offset:end])
		return []Node{n}
	case apdu.InsGPO:
		return d.elements(offset, end, depth, term("GET PROCESSING OPTIONS data", "取处理选项数据"))
	case apdu.InsGenerateAC:
		return d.listOrOpaque(d.ctx.CDOL1, "CDOL", term("CDOL data, list not known", "CDOL 数据（列表未知）"), offset, end)
	case apdu.InsInternalAuthenticate:
		return d.listOrOpaque(d.ctx.DDOL, "DDOL", term("DDOL data, list not known", "DDOL 数据（列表未知）"), offset, end)
	case apdu.InsExternalAuthenticate:
		return d.authData(offset, end)
	case apdu.InsVerify, apdu.InsPINChange:
		n := d.node("PIN", term("PIN block", "PIN 块"), offset, end-offset)
		redact(&n)
		return []Node{n}
	case apdu.InsPutData:
		tag := parameterTag(h[2], h[3])
		n := d.node(tag.String(), tagName(tag), offset, end-offset)
		if tag.Valid() && !tag.Constructed() {
			d.adopt(&n, d.tagValue(&n, tag, offset, end, depth))
		} else {
			scrubNode(&n)
		}
		return []Node{n}
	case apdu.InsGetTransProve:
		n := d.node(emv.TagATC.String(), tagName(emv.TagATC), offset, end-offset)
		setNumber(&n, d.in[offset:end])
		return []Node{n}
	case apdu.InsUpdateRecord, apdu.InsAppendRecord, apdu.InsUpdateCAPPDataCache:
		if d.in[offset] == byte(emv.TagRecord) {
			return d.elements(offset, end, depth, term("record", "记录"))
		}
	}
	return []Node{d.opaque("DATA", term("data", "数据"), offset, end)}
}

// listOrOpaque explains data by their list, or leaves them in one piece when the list is not known. Such data come from
// the terminal and hold amounts and dates; an account number in them would have to be asked for by the unknown list.
func (d *decoder) listOrOpaque(dol emv.DOL, key string, unknown glossary.Term, offset, end int) []Node {
	if dol == nil {
		return []Node{d.opaque(key, unknown, offset, end)}
	}
	return d.listData(dol, offset, end, term(key+" data", key+" 数据"))
}

// processingOptions is the value of template 83 [EMV B3 6.5.8].
func (d *decoder) processingOptions(offset, end int) []Node {
	if d.ctx.PDOL == nil {
		return []Node{d.node("PDOL", term("PDOL data, list not known", "PDOL 数据（列表未知）"), offset, end-offset)}
	}
	return d.listData(d.ctx.PDOL, offset, end, term("PDOL data", "PDOL 数据"))
}

package explain

import (
	"fmt"
	"slices"
	"strings"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/tlv"
)

// Kind is a way to read bytes.
type Kind struct {
	Name string
	Term glossary.Term
	read func(c Context, b []byte) (Node, error)
}

// kindTable lists the kinds as people ask for them. Any tag of the dictionary is a kind as well: "9F33".
func kindTable() []Kind {
	of := func(name string, tag tlv.Tag) Kind {
		return Kind{Name: name, Term: tagName(tag), read: func(c Context, b []byte) (Node, error) { return c.Value(tag, b) }}
	}
	return []Kind{
		{Name: "apdu", Term: term("command or response", "命令或响应"), read: Context.apdu},
		{Name: "command", Term: term("command APDU", "命令 APDU"), read: Context.Command},
		{Name: "response", Term: term("response APDU", "响应 APDU"), read: Context.Response},
		{Name: "tlv", Term: term("TLV data", "TLV 数据"), read: Context.TLV},
		{Name: "f55", Term: term("field 55", "55 域"), read: Context.Field55},
		{Name: "8583", Term: term("message of either dialect, framed or not", "8583 报文（自动识别）"), read: Context.Frame},
		{Name: "8583-terminal", Term: term("message, terminal dialect", "终端报文"), read: dialectReader(unionpay.Terminal)},
		{Name: "8583-switch", Term: term("message, switch dialect", "转接报文"), read: dialectReader(unionpay.Switch)},
		{Name: "dol", Term: term("data object list", "数据对象列表"), read: Context.DOL},
		of("tvr", emv.TagTVR), of("tsi", emv.TagTSI), of("ttq", emv.TagTTQ), of("ctq", emv.TagCTQ), of("aip", emv.TagAIP),
		{Name: "cvr", Term: term("card verification results (CVR)", "卡片验证结果（CVR）"), read: Context.CVR},
		of("iad", emv.TagIAD), of("cid", emv.TagCID), of("afl", emv.TagAFL), of("cvm", emv.TagCVMList), of("track2", emv.TagTrack2),
		{Name: "sw", Term: term("status word", "状态字"), read: Context.StatusWord},
	}
}

func dialectReader(d unionpay.Dialect) func(Context, []byte) (Node, error) {
	return func(c Context, b []byte) (Node, error) { return c.Message(d, b) }
}

// Kinds lists the kinds in the order people look for them.
func Kinds() []Kind { return kindTable() }

// Decode explains bytes as a kind: a name of Kinds, in either case, or a tag such as "9F33".
func (c Context) Decode(kind string, b []byte) (Node, error) {
	name := strings.ToLower(kind)
	table := kindTable()
	if i := slices.IndexFunc(table, func(k Kind) bool { return k.Name == name }); i >= 0 {
		return table[i].read(c, b)
	}
	if tag, err := tlv.ParseTagText(kind); err == nil {
		return c.Value(tag, b)
	}
	if len(kind) > 32 {
		kind = kind[:32]
	}
	return Node{}, fmt.Errorf("explain: no kind %q", kind)
}

// TLV explains TLV data [EMV B3 Annex B].
func (c Context) TLV(b []byte) (Node, error) {
	return c.whole(b, "TLV", term("TLV data", "TLV 数据"), wholeInput, func(d *decoder, _ *Node) []Node {
		d.prepare(b)
		return d.elements(0, len(b), 0, wholeInput)
	})
}

// Field55 explains the content of field 55, without its length.
func (c Context) Field55(b []byte) (Node, error) {
	return c.whole(b, "F55", term("chip data", "IC卡数据域"), term("field", "域"), func(d *decoder, _ *Node) []Node {
		d.prepare(b)
		return d.elements(0, len(b), 0, fieldTerm(55))
	})
}

// DOL explains a data object list.
func (c Context) DOL(b []byte) (Node, error) {
	return c.whole(b, "DOL", term("data object list", "数据对象列表"), wholeInput, func(d *decoder, _ *Node) []Node { return d.list(0, len(b)) })
}

// DOLData explains data laid out by a list.
func (c Context) DOLData(dol emv.DOL, b []byte) (Node, error) {
	return c.whole(b, "DATA", term("data of a list", "列表数据"), wholeInput, func(d *decoder, _ *Node) []Node {
		return d.listData(dol, 0, len(b), term("list data", "列表数据"))
	})
}

// Value explains bytes as the value of a tag.
func (c Context) Value(tag tlv.Tag, b []byte) (Node, error) {
	return c.whole(b, tag.String(), tagName(tag), wholeInput, func(d *decoder, n *Node) []Node {
		if !emv.CheckLength(tag, len(b)) {
			entry, _ := emv.Lookup(tag)
			d.fail(0, term(fmt.Sprintf("%s has %s, want %s", tagName(tag).EN, countEN(len(b)), rangeText(entry.Min, entry.Max)),
				fmt.Sprintf("%s 有 %d 字节，应为 %s", tagName(tag).ZH, len(b), rangeText(entry.Min, entry.Max))))
			veil(n, tag)
			n.Broken = true
			return nil
		}
		if tag.Constructed() {
			return d.elements(0, len(b), 0, tagTerm(tag))
		}
		return d.tagValue(n, tag, 0, len(b), 0)
	})
}

// CVR explains card verification results: four bytes as they stand in the issuer application data [REF 1.8].
func (c Context) CVR(b []byte) (Node, error) {
	return c.whole(b, "CVR", term("card verification results", "卡片验证结果"), wholeInput, func(d *decoder, n *Node) []Node {
		cvr, err := emv.ParseCVR(b)
		if err != nil {
			d.fail(0, term("card verification results: want 4 bytes, the first 03", "卡片验证结果：应为 4 字节，首字节 03"))
			n.Broken = true
			return nil
		}
		return showBits(n, cvr.Bits())
	})
}

// StatusWord explains two bytes [ISO 7816-4 5.1.3].
func (c Context) StatusWord(b []byte) (Node, error) {
	if len(b) == statusBytes {
		d := newDecoder(b, c, wholeInput)
		return d.result(d.statusWord(0))
	}
	return c.whole(b, "SW", term("status word", "状态字"), wholeInput, func(d *decoder, n *Node) []Node {
		d.fail(0, term(fmt.Sprintf("status word has %s, want 2", countEN(len(b))), fmt.Sprintf("状态字有 %d 字节，应为 2", len(b))))
		n.Broken = true
		scrubNode(n)
		return nil
	})
}

// whole explains all of an input in one node.
func (c Context) whole(b []byte, key string, name, what glossary.Term, read func(*decoder, *Node) []Node) (Node, error) {
	d := newDecoder(b, c, what)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	if len(b) == 0 {
		d.fail(0, term("no bytes", "没有字节"))
		return d.result(Node{Key: key, Name: name})
	}
	n := d.node(key, name, 0, len(b))
	d.adopt(&n, read(d, &n))
	return d.result(n)
}

// apdu tells a command from a response by its first and last bytes.
func (c Context) apdu(b []byte) (Node, error) {
	if looksLikeCommand(b) || !looksLikeResponse(b) && len(b) >= commandHeader && b[0]&0x7B == 0 {
		return c.Command(b)
	}
	return c.Response(b)
}

func looksLikeCommand(b []byte) bool {
	command, err := apdu.ParseCommand(b)
	if err != nil {
		return false
	}
	known := apdu.InstructionName(command.INS).EN != "unknown command"
	return known && command.CLA&0x7B == 0
}

func looksLikeResponse(b []byte) bool {
	if len(b) < statusBytes {
		return false
	}
	sw := apdu.SW(b[len(b)-2])<<8 | apdu.SW(b[len(b)-1])
	named := slices.Contains(apdu.StatusWords(), sw)
	_, tries := sw.TriesLeft()
	_, more := sw.MoreData()
	_, le := sw.CorrectLe()
	if len(b) == statusBytes {
		return named || tries || more || le
	}
	elements, err := tlv.Decode(b[:len(b)-2])
	return named && err == nil && len(elements) == 1
}

// Auto finds out what the bytes are and explains them. When several kinds fit, the one that names more wins.
func (c Context) Auto(b []byte) (kind string, n Node, err error) {
	kind = c.guess(b)
	n, err = c.Decode(kind, b)
	return kind, n, err
}

func (c Context) guess(b []byte) string {
	dol, dolErr := emv.ParseDOL(b)
	switch {
	case len(b) == 0:
		return "tlv"
	case looksLikeMessage(b):
		return "8583"
	case looksLikeTrack2(b):
		return "track2"
	case len(b) == statusBytes && looksLikeResponse(b):
		return "sw"
	case looksLikeCommand(b):
		return "command"
	case looksLikeResponse(b):
		return "response"
	case knownTLV(b):
		return "tlv"
	case dolErr == nil && knownDOL(dol):
		return "dol"
	}
	if tag, _, err := tlv.ParseTag(b); err == nil && tagName(tag) != unknownTag {
		return "tlv" // cut short or with one wrong length: the error says where
	}
	if _, err := tlv.Decode(b); err == nil {
		return "tlv"
	}
	if len(b) > 2*commandHeader && b[0] == tpduID {
		return "8583"
	}
	return "apdu"
}

func looksLikeMessage(b []byte) bool {
	dialect, length, headers := frameLayout(b)
	at := length + headers
	if at >= len(b) {
		return length == 4
	}
	mti, _, err := unionpay.SpecOf(dialect).Outline(b[at:])
	return err == nil && messageTypes[string(mti[:])].EN != ""
}

func looksLikeTrack2(b []byte) bool {
	_, err := pan.ParseTrack2(b)
	return err == nil
}

func knownTLV(b []byte) bool {
	elements, err := tlv.Decode(b)
	if err != nil || len(elements) == 0 {
		return false
	}
	for _, e := range elements {
		if _, known := emv.Lookup(e.Tag); !known || !emv.CheckLength(e.Tag, len(e.Value)) {
			return false
		}
	}
	return true
}

func knownDOL(dol emv.DOL) bool {
	for _, e := range dol {
		if _, known := emv.Lookup(e.Tag); !known || !emv.CheckLength(e.Tag, e.Len) {
			return false
		}
	}
	return len(dol) > 0
}

package explain

import (
	"fmt"
	"strings"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/money"
	"tapnet/tlv"
)

// MaxInputBytes bounds what is explained at once: the longest frame is 9999 bytes and its length.
const MaxInputBytes = 16 << 10

// Context is what bytes do not say about themselves. The zero value is fine: data without their list stay unnamed.
type Context struct {
	PDOL, CDOL1, CDOL2 emv.DOL        // lists behind GET PROCESSING OPTIONS and GENERATE AC data
	DDOL               emv.DOL        // list behind INTERNAL AUTHENTICATE data
	LogFormat          emv.DOL        // 9F4F: how log records are laid out
	LogSFI             byte           // file of the log, from 9F4D
	LoadLogFormat      emv.DOL        // DF4F: how load log records end
	LoadLogSFI         byte           // file of the load log, from DF4D
	Foreign            bool           // another scheme's application: the scheme's own tags have other meanings there
	Currency           money.Currency // of amounts beside which no currency stands
	Answers            []byte         // the command that a response answers
	CAKeys             *oda.Keys      // to recover certificates; nil leaves them closed
}

// Error says what could not be read and where. It never holds content.
type Error struct {
	Field  string // path of keys, "F55/9F10"
	Offset int    // bytes from the start of the input
	text   glossary.Term
}

// Error is the English sentence.
func (e *Error) Error() string { return e.text.EN }

// Term is the sentence in both languages.
func (e *Error) Term() glossary.Term { return e.text }

// decoder walks one input. It notes the first thing that is wrong and goes on.
type decoder struct {
	in    []byte
	ctx   Context
	whole glossary.Term // what the input is, for errors
	path  []string
	err   *Error
	money money.Currency // of the amounts in this input
	keys  *certificates
}

var (
	wholeInput    = term("input", "输入")
	wholeCommand  = term("command", "命令")
	wholeResponse = term("response", "响应")
	wholeMessage  = term("message", "报文")
)

func newDecoder(in []byte, ctx Context, whole glossary.Term) *decoder {
	d := &decoder{in: in, ctx: ctx, whole: whole, money: ctx.Currency, keys: &certificates{}}
	if len(in) > MaxInputBytes {
		d.fail(0, term(fmt.Sprintf("%d bytes, at most %d", len(in), MaxInputBytes), fmt.Sprintf("%d 字节，上限 %d", len(in), MaxInputBytes)))
	}
	return d
}

// tooLong gives the one leaf an input beyond MaxInputBytes gets, without its bytes.
func (d *decoder) tooLong() (Node, bool) {
	if len(d.in) <= MaxInputBytes {
		return Node{}, false
	}
	return Node{Key: "?", Name: term("too long to explain", "过长，不予解析"), Length: len(d.in), Broken: true}, true
}

func (d *decoder) result(n Node) (Node, error) {
	if d.err != nil {
		return n, d.err
	}
	return n, nil
}

func (d *decoder) enter(key string) { d.path = append(d.path, key) }
func (d *decoder) leave()           { d.path = d.path[:len(d.path)-1] }

// fail notes the first error; what says what is wrong, without the place.
func (d *decoder) fail(offset int, what glossary.Term) {
	if d.err != nil {
		return
	}
	d.err = &Error{Field: strings.Join(d.path, "/"), Offset: offset, text: term(
		fmt.Sprintf("%s (offset %d of the %s)", what.EN, offset, d.whole.EN),
		fmt.Sprintf("%s（%s偏移 %d）", what.ZH, d.whole.ZH, offset))}
}

// short notes that what announces says bytes and fewer are left in the container around it.
func (d *decoder) short(in, what glossary.Term, says, left, offset int) {
	d.fail(offset, term(
		fmt.Sprintf("%s stops short: %s says %s, %s left", in.EN, what.EN, countEN(says), leftEN(left)),
		fmt.Sprintf("%s不完整：%s 声明 %d 字节，剩余 %d 字节", in.ZH, what.ZH, says, left)))
}

func countEN(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

func leftEN(n int) string {
	switch n {
	case 0:
		return "none are"
	case 1:
		return "1 is"
	}
	return fmt.Sprintf("%d are", n)
}

// node makes a node over n bytes of the input.
func (d *decoder) node(key string, name glossary.Term, offset, n int) Node {
	return Node{Key: key, Name: name, Offset: offset, Length: n, Hex: upperHex(d.in[offset : offset+n])}
}

// rest is a leaf for bytes that could not be read.
func (d *decoder) rest(offset, end int) Node {
	n := d.node("?", term("not understood", "无法解析"), offset, end-offset)
	n.Broken = true
	scrubNode(&n)
	return n
}

// opaque is a leaf for bytes that are not for us to read.
func (d *decoder) opaque(key string, name glossary.Term, offset, end int) Node {
	n := d.node(key, name, offset, end-offset)
	scrubNode(&n)
	return n
}

// adopt hangs children into a node. When they own bytes, the header becomes a leaf before them and the node's own
// hexadecimal shrinks to it: the children show the rest, masked.
func (d *decoder) adopt(n *Node, children []Node) {
	n.Children = children
	if !ownsBytes(children) {
		return
	}
	n.clear = nil
	if n.Header == 0 {
		n.Hex = ""
		return
	}
	header := d.node("header", term("tag and length", "标签和长度"), n.Offset, n.Header)
	header.Header = n.Header
	n.Hex = header.Hex
	n.Children = append([]Node{header}, children...)
}

func tagTerm(tag tlv.Tag) glossary.Term { return term("tag "+tag.String(), "标签 "+tag.String()) }

var unknownTag = term("unknown tag", "未知标签")

var foreignTag = term("data object of another scheme", "其他卡组织专用数据对象")

// foreign: the tag is one of those that every scheme gives a meaning of its own, and the application is another's.
func (d *decoder) foreign(tag tlv.Tag) bool {
	if !d.ctx.Foreign {
		return false
	}
	entry, known := emv.Lookup(tag)
	return known && strings.HasPrefix(entry.Ref, "REF")
}

func (d *decoder) tagName(tag tlv.Tag) glossary.Term {
	if d.foreign(tag) {
		return foreignTag
	}
	return tagName(tag)
}

func tagName(tag tlv.Tag) glossary.Term {
	if entry, known := emv.Lookup(tag); known {
		return entry.Name
	}
	return unknownTag
}

// sensitiveTag reports whether a tag's value is masked. Certificates of the card are, because the account number inside
// can be recovered from them with public keys.
func sensitiveTag(tag tlv.Tag) bool {
	if tag == emv.TagICCCertificate || tag == emv.TagPINKeyCertificate {
		return true
	}
	entry, known := emv.Lookup(tag)
	return known && entry.Sensitive
}

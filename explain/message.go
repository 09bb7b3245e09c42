package explain

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"tapnet/glossary"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// Message explains a message of a dialect, without its frame [ISO 8583:1987], [REF 6].
func (c Context) Message(dialect unionpay.Dialect, b []byte) (Node, error) {
	d := newDecoder(b, c, wholeMessage)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	return d.result(d.messageNode(dialect, 0, len(b)))
}

// fieldWalk is the state of one message.
type fieldWalk struct {
	*decoder
	dialect unionpay.Dialect
	spec    *iso8583.Spec
	base    int // where the message begins
	end     int
	mti     string
	present []int
	after   int  // where the first field begins
	network bool // network management: fields 48, 53, 62 and 96 carry keys
	code    unionpay.NetworkCode
}

func (d *decoder) messageNode(dialect unionpay.Dialect, base, end int) Node {
	w := &fieldWalk{decoder: d, dialect: dialect, spec: unionpay.SpecOf(dialect), base: base, end: end}
	root := Node{Key: "8583", Name: term("message", "报文"), Offset: base, Length: end - base}
	name := map[unionpay.Dialect]glossary.Term{unionpay.Terminal: term("terminal dialect", "终端报文"), unionpay.Switch: term("switch dialect", "转接报文")}
	root.Meaning = name[dialect]
	nodes, at := w.head()
	root.Children = nodes
	if at < 0 {
		return root
	}
	w.after = at
	w.prepareFields()
	for _, number := range w.present {
		var ok bool
		var n Node
		if n, at, ok = w.field(number, at); n.Key != "" {
			root.Children = append(root.Children, n)
		}
		if !ok {
			return root
		}
	}
	if at < end {
		w.fail(at, term(fmt.Sprintf("%s after the last field", countEN(end-at)), fmt.Sprintf("最后一个域之后还有 %d 字节", end-at)))
		root.Children = append(root.Children, w.remains(at))
	}
	return root
}

// head explains type indicator and bitmaps; the offset is -1 when they are not whole.
func (w *fieldWalk) head() ([]Node, int) {
	size := 4
	if w.spec.Numbers() == iso8583.BCD {
		size = 2
	}
	if w.end-w.base < size {
		w.short(term("message", "报文"), term("the message type", "报文类型"), size, w.end-w.base, w.base)
		if w.end == w.base {
			return nil, -1
		}
		return []Node{w.remains(w.base)}, -1
	}
	mti := w.node("MTI", term("message type", "报文类型"), w.base, size)
	mti.Value = mti.Hex
	if size == 4 {
		mti.Value = printable(w.in[w.base : w.base+size])
	}
	w.mti = mti.Value
	mti.Meaning = messageTypes[w.mti]
	if mti.Meaning.EN == "" {
		w.fail(w.base, term("message type unknown", "报文类型未知"))
		mti.Broken = true
	}
	nodes := []Node{mti}
	at := w.base + size
	for part := 0; ; part++ {
		if w.end-at < 8 {
			w.short(term("message", "报文"), term("the bitmap", "位图"), 8, w.end-at, at)
			if at < w.end {
				nodes = append(nodes, w.remains(at))
			}
			return nodes, -1
		}
		bitmap := w.bitmap(part, at)
		nodes = append(nodes, bitmap)
		at += 8
		if part == 1 || w.in[at-8]&0x80 == 0 {
			return nodes, at
		}
	}
}

func (w *fieldWalk) bitmap(part, at int) Node {
	n := w.node("bitmap", term("fields present", "位图"), at, 8)
	if part == 1 {
		n.Key = "F1"
		n.Name = term("fields present, 65 to 128", "扩展位图（65-128）")
	}
	var numbers []string
	for i := range 64 {
		number := part*64 + i + 1
		if w.in[at+i/8]&(0x80>>(i%8)) != 0 {
			numbers = append(numbers, fmt.Sprint(number))
			if number != 1 {
				w.present = append(w.present, number)
			}
		}
	}
	n.Value = strings.Join(numbers, " ")
	return n
}

// prepareFields looks ahead for what other fields need: the currency, and what a message about keys is for. It goes as far as
// lengths can be read, so that a message that is cut short still has its currency.
func (w *fieldWalk) prepareFields() {
	w.network = strings.HasPrefix(w.mti, "08")
	at := w.after
	for _, number := range w.present {
		info, known := unionpay.FieldOf(w.dialect, number)
		if !known {
			return
		}
		units, header, problem := w.units(info.Spec, at)
		if problem != nil {
			return
		}
		size := units
		if info.Spec.Encoding == iso8583.BCD {
			size = (units + 1) / 2
		}
		stop := min(at+header+size, w.end)
		w.peek(number, w.in[at+header:max(at+header, stop)])
		if at = stop; at == w.end {
			return
		}
	}
}

// peek takes in one of the fields that others need.
func (w *fieldWalk) peek(number int, content []byte) {
	code := ""
	switch number {
	case 49:
		if c, ok := currencyOf(string(content)); ok {
			w.money = c
		}
	case 55:
		if c, ok := scanCurrency(content); ok && w.money.IsZero() {
			w.money = c
		}
	case 60:
		if digits := upperHex(content); w.dialect == unionpay.Terminal && len(digits) >= 11 {
			code = digits[8:11]
		}
	case 70:
		code = string(content)
	}
	if found, ok := unionpay.ParseNetworkCode(w.dialect, code); ok {
		w.code = found
	}
}

// remains is what is left of a broken message. When a PIN block or a key may be in it, nothing of it is shown.
func (w *fieldWalk) remains(at int) Node {
	n := w.rest(at, w.end)
	secret := func(number int) bool { return slices.Contains([]int{52, 96, 62, 48}, number) }
	if len(w.present) == 0 || slices.ContainsFunc(w.present, secret) {
		redact(&n)
	}
	return n
}

func fieldTerm(number int) glossary.Term {
	return term(fmt.Sprintf("field %d", number), fmt.Sprintf("%d 域", number))
}

// field explains one field; false when the next one cannot be found.
func (w *fieldWalk) field(number, at int) (Node, int, bool) {
	key := fmt.Sprintf("F%d", number)
	w.enter(key)
	defer w.leave()
	info, known := unionpay.FieldOf(w.dialect, number)
	if !known {
		w.fail(at, term(fieldTerm(number).EN+" is not defined in this dialect", fieldTerm(number).ZH+"在此报文规范中未定义"))
		if at == w.end {
			return Node{}, at, false
		}
		return w.remains(at), at, false
	}
	units, header, problem := w.units(info.Spec, at)
	if problem != nil {
		w.fail(at, term(fieldTerm(number).EN+": "+problem.EN, fieldTerm(number).ZH+"："+problem.ZH))
		if at == w.end {
			return Node{}, at, false
		}
		return w.remains(at), at, false
	}
	size := units
	if info.Spec.Encoding == iso8583.BCD {
		size = (units + 1) / 2
	}
	stop := at + header + size
	if stop > w.end {
		w.short(term("message", "报文"), fieldTerm(number), size, w.end-at-header, at)
		return w.cutField(key, info, at, header)
	}
	n := w.node(key, info.Name, at, stop-at)
	n.Header = header
	f := fieldContent{walk: w, number: number, offset: at + header, end: stop, units: units, spec: info.Spec}
	f.text = f.characters()
	w.adopt(&n, f.explain(&n, info.Sensitive))
	w.checkCharacters(&n, number)
	return n, stop, true
}

// cutField explains what is there of a field that the message is too short for.
func (w *fieldWalk) cutField(key string, info unionpay.FieldInfo, at, header int) (Node, int, bool) {
	if at == w.end {
		return Node{}, at, false
	}
	n := w.node(key, info.Name, at, w.end-at)
	n.Header, n.Broken = min(header, w.end-at), true
	switch {
	case info.Number == 55 && at+header < w.end:
		w.adopt(&n, w.elements(at+header, w.end, 0, fieldTerm(55)))
	case info.Number == 52 || w.network && info.Sensitive:
		redact(&n)
	case info.Sensitive:
		conceal(&n)
	default:
		scrubNode(&n)
	}
	return n, w.end, false
}

// units reads a field's length: digits when packed, else bytes, and how many bytes say so.
func (w *fieldWalk) units(spec iso8583.FieldSpec, at int) (units, header int, problem *glossary.Term) {
	digits := 0
	switch spec.Length {
	case iso8583.LL:
		digits = 2
	case iso8583.LLL:
		digits = 3
	default:
		return spec.Max, 0, nil
	}
	header = digits
	if w.spec.Numbers() == iso8583.BCD {
		header = (digits + 1) / 2
	}
	if w.end-at < header {
		return 0, 0, &noLength
	}
	text := string(w.in[at : at+header])
	if w.spec.Numbers() == iso8583.BCD {
		text = upperHex(w.in[at : at+header])
	}
	if !isDecimal(text) {
		t := term("length is not digits", "长度不是数字")
		return 0, 0, &t
	}
	for _, c := range text {
		units = units*10 + int(c-'0')
	}
	if units < spec.Min || units > spec.Max {
		t := term(fmt.Sprintf("length %d not allowed, %s", units, rangeText(spec.Min, spec.Max)), fmt.Sprintf("长度 %d 超出范围 %s", units, rangeText(spec.Min, spec.Max)))
		return 0, 0, &t
	}
	return units, header, nil
}

// checkCharacters lets the codec judge the field's characters, on a message that holds only this field.
func (w *fieldWalk) checkCharacters(n *Node, number int) {
	var m iso8583.Message
	m.Reset(w.spec)
	f, _ := w.spec.Field(number)
	units := n.Length - n.Header
	if f.Encoding == iso8583.BCD {
		units, _, _ = w.units(f, n.Offset)
	}
	err := m.SetWire(number, w.in[n.Offset+n.Header:n.Offset+n.Length], units)
	if err == nil {
		return
	}
	n.Broken = true
	what := term("character or value not allowed", "字符或值无效")
	if errors.Is(err, iso8583.ErrPadding) {
		what = term("padding is not zero", "填充位不为零")
	}
	w.fail(n.Offset, term(fieldTerm(number).EN+": "+what.EN, fieldTerm(number).ZH+"："+what.ZH))
}

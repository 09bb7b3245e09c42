package explain

import (
	"fmt"
	"strings"

	"tapnet/glossary"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// fieldContent is one field of a message: its bytes from offset to end, and their characters.
type fieldContent struct {
	walk   *fieldWalk
	number int
	offset int
	end    int
	units  int
	spec   iso8583.FieldSpec
	text   string // characters; digits of a packed field without padding, '=' for the separator of a track
}

func (f *fieldContent) characters() string {
	b := f.walk.in[f.offset:f.end]
	if f.spec.Encoding != iso8583.BCD {
		return string(b)
	}
	digits := upperHex(b)
	if f.units%2 == 1 {
		if f.spec.Padding == iso8583.PadLeft {
			digits = digits[1:]
		} else {
			digits = digits[:f.units]
		}
	}
	return strings.ReplaceAll(digits, "D", "=")
}

// maskAs masks the node with the stars of a masked form of its text.
func (f *fieldContent) maskAs(n *Node, masked string) {
	n.Value = printable([]byte(f.text))
	content := n.Hex[n.Header*hexPerByte:]
	var hex string
	if f.spec.Encoding == iso8583.BCD {
		hex = strings.ReplaceAll(masked, "=", "D")
		if f.units%2 == 1 {
			hex += content[f.units:] // the padding digit
		}
	} else {
		hex = maskASCII(content, masked)
	}
	hide(n, n.Hex[:n.Header*hexPerByte]+hex, masked)
}

// explain gives value, meaning and sub-fields.
func (f *fieldContent) explain(n *Node, sensitive bool) []Node {
	if children, done := f.secret(n); done {
		return children
	}
	if children, done := f.compound(n); done {
		return children
	}
	f.simple(n)
	if sensitive {
		conceal(n)
	} else if f.spec.Kind == iso8583.Bytes && f.number != 64 && f.number != 128 {
		scrubNode(n)
	}
	return nil
}

// secret explains the fields whose content is masked in a way of its own.
func (f *fieldContent) secret(n *Node) ([]Node, bool) {
	switch f.number {
	case 2:
		f.maskAs(n, maskDigits(f.text))
	case 35:
		f.maskAs(n, maskTrack2(f.text))
		if t, err := pan.ParseTrack2String(f.text); err == nil {
			return trackParts(t), true
		}
	case 14:
		f.maskAs(n, strings.Repeat(star, len(f.text)))
	case 52:
		redact(n)
		n.Meaning = term("enciphered", "密文")
	case 96:
		redact(n)
		n.Meaning = term("a key under a key", "密钥（加密）")
	case 48:
		if f.walk.network {
			redact(n)
			return nil, true
		}
		return nil, false
	case 62:
		return f.keys(n)
	default:
		return nil, false
	}
	return nil, true
}

// keys explains field 62 of a sign-on answer: keys under a key, each with its check value [REF 6.1].
func (f *fieldContent) keys(n *Node) ([]Node, bool) {
	size := f.end - f.offset
	if !f.walk.network {
		return nil, false
	}
	keyBytes := map[int]int{24: 8, 40: 16, 60: 16}[size]
	if keyBytes == 0 || !f.walk.code.SignsOn() || !unionpay.MTI(f.walk.mti).IsResponse() {
		redact(n) // parameters or keys of a form not known
		return nil, true
	}
	names := []glossary.Term{term("PIN key, enciphered", "PIN 密钥（密文）"), term("MAC key, enciphered", "MAC 密钥（密文）"),
		term("track key, enciphered", "磁道密钥（密文）")}
	var nodes []Node
	for i, at := 0, f.offset; at < f.end; i++ {
		key := f.walk.node([]string{"PIK", "MAK", "TDK"}[i], names[i], at, keyBytes)
		redact(&key)
		nodes = append(nodes, key, f.walk.node("KCV", term("check value", "密钥校验值"), at+keyBytes, 4))
		at += keyBytes + 4
	}
	return nodes, true
}

// sub is a sub-field given by its digits.
type sub struct {
	size  int
	key   string
	name  glossary.Term
	table map[string]glossary.Term
}

// digits cuts the characters of the field into virtual sub-fields; the last may be missing.
func (f *fieldContent) digits(subs ...sub) []Node {
	var nodes []Node
	rest := f.text
	for _, s := range subs {
		if len(rest) < s.size {
			break
		}
		n := virtual(s.key, s.name, printable([]byte(rest[:s.size])))
		n.Meaning = s.table[rest[:s.size]]
		nodes = append(nodes, n)
		rest = rest[s.size:]
	}
	if rest != "" {
		nodes = append(nodes, virtual("rest", term("further digits", "其余数字"), printable([]byte(rest))))
	}
	return nodes
}

// compound explains fields with sub-fields.
func (f *fieldContent) compound(n *Node) ([]Node, bool) {
	switch f.number {
	case 22:
		return f.digits(sub{2, "22.1", term("how the card was read", "读卡方式"), entryModes},
			sub{1, "22.2", term("PIN", "密码"), byDigit(entryPINs)}), true
	case 53:
		if f.walk.network {
			return f.digits(sub{1, "53.1", term("which key", "密钥种类"), byDigit(keyKinds)},
				sub{1, "53.2", term("length", "密钥长度"), byDigit(keyLengths)}), true
		}
		return f.digits(sub{1, "53.1", term("PIN format", "PIN 格式"), byDigit(pinFormats)},
			sub{1, "53.2", term("algorithm", "加密算法"), byDigit(pinAlgorithms)},
			sub{1, "53.3", term("track encryption", "磁道加密"), nil}), true
	case 54:
		return f.balance(n), true
	case 55:
		return f.walk.elements(f.offset, f.end, 0, fieldTerm(55)), true
	case 60:
		return f.information(), true
	case 61:
		if f.walk.dialect == unionpay.Terminal {
			return f.digits(sub{6, "61.1", term("original batch", "原批次号"), nil}, sub{6, "61.2", term("original trace number", "原流水号"), nil},
				sub{4, "61.3", term("original date", "原交易日期"), nil}), true
		}
	case 90:
		return f.digits(sub{4, "90.1", term("original message type", "原报文类型"), messageTypes},
			sub{6, "90.2", term("original trace number", "原流水号"), nil}, sub{10, "90.3", term("original transmission time", "原传输时间"), nil},
			sub{11, "90.4", term("original acquirer", "原受理机构"), nil}, sub{11, "90.5", term("original forwarder", "原发送机构"), nil}), true
	}
	return nil, false
}

// information explains field 60 [REF 6.1].
func (f *fieldContent) information() []Node {
	nodes := f.digits(sub{2, "60.1", term("kind of transaction", "交易类型"), messageKinds}, sub{6, "60.2", term("batch", "批次号"), nil},
		sub{3, "60.3", term("network management code", "网络管理信息码"), nil}, sub{1, "60.4", term("terminal reads", "终端读取能力"), readCapabilities},
		sub{1, "60.5", term("chip condition", "IC 卡条件"), chipConditions}, sub{1, "60.6", term("partial approval", "部分授权"), partialAuths},
		sub{3, "60.7", term("account type", "账户类型"), nil})
	for i := range nodes {
		if nodes[i].Key == "60.3" && f.walk.network {
			if code, ok := unionpay.ParseNetworkCode(f.walk.dialect, nodes[i].Value); ok {
				nodes[i].Meaning = code.Term()
			}
		}
	}
	return nodes
}

// balance explains field 54; the amount is the account's, so it is masked.
func (f *fieldContent) balance(n *Node) []Node {
	if len(f.text) == 20 && isDecimal(f.text[4:7]) {
		if c, ok := currencyOf(f.text[4:7]); ok {
			if a, err := money.FromN12(f.text[8:], c); err == nil {
				n.Value = strings.TrimPrefix(f.text[7:8], "C") + a.String()
				n.Value = strings.Replace(n.Value, "D", "-", 1)
			}
			n.Meaning = balanceTypes[f.text[2:4]]
		}
	}
	if n.Value == "" {
		n.Value = printable([]byte(f.text))
	}
	conceal(n)
	return nil
}

func byDigit(table map[byte]glossary.Term) map[string]glossary.Term {
	out := make(map[string]glossary.Term, len(table))
	for digit, t := range table {
		out[string(rune(digit))] = t
	}
	return out
}

// simple explains fields that are one value.
func (f *fieldContent) simple(n *Node) {
	n.Value = strings.TrimRight(printable([]byte(f.text)), " ")
	switch f.number {
	case 3:
		n.Meaning = processingCodes[f.text]
	case 4:
		setAmount(n, f.text, f.walk.money)
	case 7:
		setShortTime(n, f.text)
	case 12:
		setTime(n, f.text)
	case 13, 15:
		if len(f.text) == 4 && isDecimal(f.text) {
			n.Value = f.text[:2] + "-" + f.text[2:]
		}
	case 25:
		n.Meaning = conditions[f.text]
	case 28:
		setFee(n, f.text, f.walk.money)
	case 39:
		n.Meaning = unionpay.ResponseCode(f.text).Term()
	case 43:
		scrubText(n)
	case 49:
		setCurrency(n, f.text)
	case 64, 128:
		f.mac(n)
	case 70:
		if code, ok := unionpay.ParseNetworkCode(unionpay.Switch, f.text); ok {
			n.Meaning = code.Term()
		}
	default:
		if f.spec.Kind == iso8583.Bytes && !isPrintable([]byte(f.text)) {
			n.Value = ""
		}
	}
}

// mac shows the characters of the terminal's MAC, which are hexadecimal themselves [REF 6.1].
func (f *fieldContent) mac(n *Node) {
	n.Value = ""
	if f.number == 64 && isPrintable([]byte(f.text)) {
		n.Value = f.text
	}
}

func setShortTime(n *Node, mmddhhmmss string) {
	if len(mmddhhmmss) == 10 && isDecimal(mmddhhmmss) {
		s := mmddhhmmss
		n.Value = fmt.Sprintf("%s-%s %s:%s:%s UTC", s[:2], s[2:4], s[4:6], s[6:8], s[8:])
	}
}

// setFee reads a sign and eight digits [ISO 8583:1987 4.4].
func setFee(n *Node, text string, currency money.Currency) {
	if len(text) != 9 || !isDecimal(text[1:]) || !setAmount(n, text[1:], currency) {
		return
	}
	if text[0] == 'D' {
		n.Value = "-" + n.Value
	}
}

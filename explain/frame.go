package explain

import (
	"encoding/binary"
	"fmt"

	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

// Frame explains a message of either dialect with whatever stands before it: length, TPDU and header. It finds out itself
// which of them are there [REF 6.1], [REF 6.4].
func (c Context) Frame(b []byte) (Node, error) {
	d := newDecoder(b, c, wholeMessage)
	if n, long := d.tooLong(); long {
		return d.result(n)
	}
	if len(b) == 0 {
		d.fail(0, term("no bytes", "没有字节"))
		return d.result(Node{Key: "8583", Name: term("message", "报文")})
	}
	return d.result(d.frameNode())
}

const tpduID = 0x60

func (d *decoder) frameNode() Node {
	b := d.in
	dialect, length, headers := frameLayout(b)
	if length+headers == 0 {
		return d.messageNode(dialect, 0, len(b))
	}
	root := Node{Key: "frame", Name: term("frame", "帧"), Length: len(b)}
	at := 0
	if length > 0 {
		n := d.node("length", term("length of what follows", "其后长度"), 0, length)
		n.Value = fmt.Sprint(announced(b, length))
		root.Children = append(root.Children, n)
		at = length
		if says := announced(b, length); says != len(b)-length {
			d.short(term("frame", "帧"), term("its length", "长度"), says, len(b)-length, 0)
			n.Broken = true
		}
	}
	if headers > 0 {
		root.Children = append(root.Children, d.tpdu(at), d.applicationHeader(at+iso8583.TPDUBytes))
		at += headers
	}
	if at < len(b) {
		root.Children = append(root.Children, d.messageNode(dialect, at, len(b)))
	} else {
		root.Meaning = term("keep-alive, no message", "链路检测，无报文")
	}
	return root
}

// frameLayout tells dialect, bytes of length and bytes of TPDU and header.
func frameLayout(b []byte) (dialect unionpay.Dialect, length, headers int) {
	digits := func(from, to int) bool { return len(b) >= to && isDecimal(string(b[from:to])) }
	const heads = iso8583.TPDUBytes + iso8583.HeaderBytes
	switch {
	case digits(0, 8) || digits(0, 4) && announced(b, 4) == len(b)-4:
		return unionpay.Switch, 4, 0
	case digits(0, 4):
		return unionpay.Switch, 0, 0
	case len(b) > 2+heads && b[2] == tpduID && (announced(b, 2) == len(b)-2 || b[0] == 0 && b[1] >= heads):
		return unionpay.Terminal, 2, heads
	case len(b) > heads && b[0] == tpduID:
		return unionpay.Terminal, 0, heads
	}
	return unionpay.Terminal, 0, 0
}

func announced(b []byte, size int) int {
	if size == 2 {
		return int(binary.BigEndian.Uint16(b))
	}
	n := 0
	for _, c := range b[:size] {
		n = n*10 + int(c-'0')
	}
	return n
}

func (d *decoder) tpdu(at int) Node {
	n := Node{Key: "TPDU", Name: term("TPDU", "TPDU"), Offset: at, Length: iso8583.TPDUBytes}
	n.Children = []Node{d.node("ID", term("identifier", "标识"), at, 1), d.node("DST", term("destination", "目的地址"), at+1, 2),
		d.node("SRC", term("source", "源地址"), at+3, 2)}
	return n
}

// applicationHeader is twelve digits: kind 2, software version 2, terminal state 1, processing requirement 1, version 6 [REF 6.1].
func (d *decoder) applicationHeader(at int) Node {
	n := Node{Key: "header6", Name: term("header", "报文头"), Offset: at, Length: iso8583.HeaderBytes}
	state := d.node("STATE", term("terminal state and processing requirement", "终端状态和处理要求"), at+2, 1)
	state.Children = []Node{virtual("state", term("terminal state", "终端状态"), state.Hex[:1]), virtual("need", term("processing requirement", "处理要求"), state.Hex[1:])}
	kind := d.node("APP", term("kind of application", "应用类别"), at, 1)
	if kind.Hex == "60" || kind.Hex == "61" {
		kind.Meaning = term("financial payment", "金融支付类")
	}
	n.Children = []Node{kind, d.node("SW", term("software version", "软件总版本号"), at+1, 1), state, d.node("VER", term("software sub-version", "软件分版本号"), at+3, 3)}
	return n
}

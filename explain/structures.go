package explain

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/pan"
)

// showBits hangs the bits of a field into its leaf and sums up those that are set.
func showBits(n *Node, infos []emv.BitInfo) []Node {
	var en, zh []string
	nodes := make([]Node, 0, len(infos))
	for _, info := range infos {
		key := fmt.Sprintf("B%db%d", info.Byte, info.Bit)
		if info.Width > 1 {
			key += fmt.Sprintf("-%d", info.Bit-info.Width+1)
		}
		bit := virtual(key, info.Name, "")
		bit.bit = true
		if info.Width == 1 {
			bit.Value = fmt.Sprint(info.Value)
		}
		nodes = append(nodes, bit)
		if info.Set {
			en, zh = append(en, info.Name.EN), append(zh, info.Name.ZH)
		}
	}
	n.Meaning = term(strings.Join(en, " · "), strings.Join(zh, " · "))
	if len(en) == 0 {
		n.Meaning = term("no bit set", "无置位")
	}
	return nodes
}

// locator explains tag 94: four bytes per entry [EMV B3 10.2].
func (d *decoder) locator(offset, end int) []Node {
	var nodes []Node
	for i := 1; offset < end; i++ {
		stop := min(offset+4, end)
		n := d.node(fmt.Sprint(i), term("file entry", "文件入口"), offset, stop-offset)
		if stop-offset < 4 {
			d.short(term("application file locator", "应用文件定位器"), term("an entry", "入口"), 4, stop-offset, offset)
			n.Broken = true
		} else if entries, err := emv.ParseAFL(d.in[offset:stop]); err != nil {
			d.fail(offset, term("application file locator: entry not allowed", "应用文件定位器：入口无效"))
			n.Broken = true
		} else {
			e := entries[0]
			n.Meaning = term(
				fmt.Sprintf("SFI %d, records %d-%d, %d signed", e.SFI, e.First, e.Last, e.ODA),
				fmt.Sprintf("SFI %d，记录 %d-%d，%d 条参与脱机认证", e.SFI, e.First, e.Last, e.ODA))
		}
		nodes = append(nodes, n)
		offset = stop
	}
	return nodes
}

// cvmList explains tag 8E: amounts X and Y, then rules [EMV B3 10.5].
func (d *decoder) cvmList(offset, end int) []Node {
	if end-offset < 8 {
		d.short(term("CVM list", "CVM 列表"), term("its head", "列表头"), 8, end-offset, offset)
		return []Node{d.rest(offset, end)}
	}
	nodes := make([]Node, 0, 2+(end-offset)/2)
	for i, key := range []string{"X", "Y"} {
		n := d.node(key, term("amount "+key, "金额 "+key), offset+4*i, 4)
		setAmount(&n, fmt.Sprint(binary.BigEndian.Uint32(d.in[offset+4*i:])), d.money)
		nodes = append(nodes, n)
	}
	for at, i := offset+8, 1; at < end; at, i = at+2, i+1 {
		if at+2 > end {
			d.short(term("CVM list", "CVM 列表"), term("a rule", "规则"), 2, 1, at)
			return append(nodes, d.rest(at, end))
		}
		n := d.node(fmt.Sprint(i), term("rule", "规则"), at, 2)
		code, condition := emv.CVMCode(d.in[at]), emv.CVMCondition(d.in[at+1])
		failure := term("else fail", "否则失败")
		if code.ApplyNextOnFailure() {
			failure = term("else next", "否则下一条")
		}
		n.Meaning = term(code.Term().EN+", "+condition.Term().EN+", "+failure.EN, code.Term().ZH+"，"+condition.Term().ZH+"，"+failure.ZH)
		nodes = append(nodes, n)
	}
	return nodes
}

// issuerData explains tag 9F10 in the form of UnionPay and PBOC; any other form is its issuer's own [REF 1.7].
func (d *decoder) issuerData(n *Node, offset, end int) []Node {
	iad, err := emv.ParseIAD(d.in[offset:end])
	if err != nil {
		n.Meaning = term("not in the form of UnionPay", "非银联格式")
		scrubNode(n)
		return nil
	}
	n.Value = iad.CryptogramType().String()
	if second, requested := iad.CVR.Second(); requested {
		n.Value = second.String()
	}
	one := func(at int, key string, name glossary.Term) Node { return d.node(key, name, offset+at, 1) }
	nodes := []Node{one(0, "L", term("length of the fixed part", "固定部分长度")), one(1, "DKI", term("derivation key index", "分散密钥索引")),
		one(2, "CVN", term("cryptogram version number", "密文版本号"))}
	cvr := d.node("CVR", term("card verification results", "卡片验证结果"), offset+3, 4)
	cvr.Children = showBits(&cvr, iad.CVR.Bits())
	algorithm := one(7, "ALG", term("algorithm", "算法标识"))
	algorithm.Meaning = map[byte]glossary.Term{1: term("triple DES", "3DES"), 4: term("SM4", "SM4")}[iad.Algorithm]
	nodes = append(nodes, cvr, algorithm)
	if len(iad.IDD) == 0 {
		return nodes
	}
	nodes = append(nodes, one(8, "IDL", term("length of the issuer discretionary data", "发卡行自定义数据长度")))
	id := one(9, "IDD", term("issuer discretionary data", "发卡行自定义数据"))
	parts, known := discretionary[iad.IDD[0]]
	id.Meaning = parts.term
	nodes = append(nodes, id)
	at, stop := offset+10, end-4
	for i := 0; at < stop; i++ {
		value := d.node(fmt.Sprintf("V%d", i+1), term("value", "值"), at, min(5, stop-at))
		if known && isDecimal(value.Hex) && i < len(parts.names) {
			value.Name = parts.names[i]
			setAmount(&value, value.Hex, d.money)
		}
		nodes = append(nodes, value)
		at += value.Length
	}
	return append(nodes, d.node("MAC", term("MAC of the discretionary data", "自定义数据 MAC"), stop, 4))
}

type discretionaryParts struct {
	term  glossary.Term
	names []glossary.Term
}

var (
	partBalance   = term("e-cash balance", "电子现金余额")
	partTotal     = term("cumulative offline amount", "累计脱机金额")
	partLimit     = term("limit of the cumulative amount", "累计金额上限")
	partAvailable = term("available offline amount", "可用脱机金额")

	// discretionary names the forms of issuer discretionary data [REF 1.7].
	discretionary = map[byte]discretionaryParts{
		emv.IDDBalance:        {partBalance, []glossary.Term{partBalance}},
		emv.IDDCTTA:           {partTotal, []glossary.Term{partTotal}},
		emv.IDDBalanceAndCTTA: {term("balance and cumulative amount", "余额和累计金额"), []glossary.Term{partBalance, partTotal}},
		emv.IDDCTTAAndCTTAL:   {term("cumulative amount and limit", "累计金额和上限"), []glossary.Term{partTotal, partLimit}},
		emv.IDDAvailable:      {partAvailable, []glossary.Term{partAvailable}},
	}
)

var (
	nameARPC = term("authorisation response cryptogram (ARPC)", "授权响应密文（ARPC）")
	nameARC  = term("authorisation response code (ARC)", "授权响应码（ARC）")
)

// authData explains tag 91: ARPC and response code [REF 4.4].
func (d *decoder) authData(offset, end int) []Node {
	if end-offset < 8 {
		return []Node{d.opaque("ARPC", nameARPC, offset, end)}
	}
	nodes := []Node{d.node("ARPC", nameARPC, offset, 8)}
	if end-offset > 8 {
		n := d.node("ARC", nameARC, offset+8, end-offset-8)
		if n.Length == 2 {
			n.Value, n.Meaning = printable(d.in[offset+8:end]), authorisationResponse(string(d.in[offset+8:end]))
		}
		nodes = append(nodes, n)
	}
	return nodes
}

// scriptResults explains DF31: five bytes per script, result and sequence in the first [REF 5].
func (d *decoder) scriptResults(offset, end int) []Node {
	var nodes []Node
	for i := 1; offset+5 <= end; i++ {
		result := d.node(fmt.Sprintf("R%d", i), term("script result", "脚本结果"), offset, 1)
		sequence := d.in[offset] & 0xF
		switch d.in[offset] >> 4 {
		case 0:
			result.Meaning = term("not performed", "未执行")
		case 1:
			result.Meaning = term(fmt.Sprintf("failed at command %d", sequence), fmt.Sprintf("第 %d 条命令失败", sequence))
		case 2:
			result.Meaning = term("successful", "成功")
		}
		nodes = append(nodes, result, d.node(fmt.Sprintf("ID%d", i), tagName(emv.TagScriptID), offset+1, 4))
		offset += 5
	}
	if offset < end {
		nodes = append(nodes, d.rest(offset, end))
	}
	return nodes
}

// cardAuthData explains 9F69 for fDDA version 01 [REF 2.6].
func (d *decoder) cardAuthData(offset, end int) []Node {
	if end-offset < 8 || d.in[offset] != 1 {
		return []Node{d.opaque("DATA", term("version and data", "版本和数据"), offset, end)}
	}
	ctq := d.node(emv.TagCTQ.String(), tagName(emv.TagCTQ), offset+5, 2)
	if infos, ok := bitsOf(emv.TagCTQ, d.in[offset+5:offset+7]); ok {
		ctq.Children = showBits(&ctq, infos)
	}
	return []Node{
		d.node("VER", term("fDDA version", "fDDA 版本"), offset, 1),
		d.node("CRN", term("card's unpredictable number", "卡片不可预知数"), offset+1, 4), ctq,
		d.node("RFU", term("reserved", "保留"), offset+7, end-offset-7),
	}
}

// packedPAN masks tag 5A.
func packedPAN(n *Node, value []byte) {
	digits := upperHex(value)
	number := strings.TrimRight(digits, "F")
	n.Value = number
	masked := maskDigits(number)
	header := n.Hex[:n.Header*hexPerByte]
	hide(n, header+masked+digits[len(number):], masked)
}

// packedTrack2 masks tag 57 and names its parts [ISO 7813].
func (d *decoder) packedTrack2(n *Node, value []byte) []Node {
	digits := upperHex(value)
	track := strings.TrimSuffix(digits, "F")
	header := n.Hex[:n.Header*hexPerByte]
	parsed, err := pan.ParseTrack2(value)
	if err != nil {
		n.Broken = true
		d.fail(n.Offset, term("track 2: not a number, D and a date", "二磁道：不是主账号、D 和日期"))
		n.Value = track
		hide(n, header+maskTrack2(track)+digits[len(track):], maskTrack2(track))
		return nil
	}
	n.Value = parsed.Reveal()
	hide(n, header+maskTrack2(track)+digits[len(track):], parsed.Masked())
	return trackParts(parsed)
}

func trackParts(t pan.Track2) []Node {
	secret := func(key string, name glossary.Term, value, masked string) Node {
		n := virtual(key, name, value)
		hide(&n, "", masked)
		return n
	}
	stars := func(s string) string { return strings.Repeat(star, len(s)) }
	number, expiry := t.PAN().Reveal(), t.Expiry().YYMM()
	nodes := []Node{
		secret("PAN", term("account number", "主账号"), number, t.PAN().Masked()),
		secret("EXP", term("expiry YYMM", "有效期 YYMM"), expiry, stars(expiry)),
	}
	if code := t.ServiceCode(); code != "" {
		nodes = append(nodes, secret("SVC", term("service code", "服务码"), code, stars(code)))
	}
	if rest := t.Discretionary(); rest != "" {
		nodes = append(nodes, secret("DISC", term("discretionary data", "自定义数据"), rest, stars(rest)))
	}
	return nodes
}

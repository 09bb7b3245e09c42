package explain

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/tlv"
)

// tagValue explains the bytes from offset to end as the value of a primitive tag.
func (d *decoder) tagValue(n *Node, tag tlv.Tag, offset, end, depth int) []Node {
	value := d.in[offset:end]
	if len(value) == 0 {
		return nil
	}
	if d.foreign(tag) {
		unknownValue(n, value)
		return nil
	}
	if infos, ok := bitsOf(tag, value); ok {
		return showBits(n, infos)
	}
	kind := tagKinds[tag]
	if children, done := d.compoundValue(n, kind, offset, end, depth); done {
		return children
	}
	if !simpleValue(n, kind, value, d.money) {
		formatValue(n, tag, value)
	}
	return nil
}

// compoundValue reads the values that have parts.
func (d *decoder) compoundValue(n *Node, kind valueKind, offset, end, depth int) (children []Node, done bool) {
	value := d.in[offset:end]
	switch kind {
	case kindList:
		return d.list(offset, end), true
	case kindLocator:
		return d.locator(offset, end), true
	case kindCVMList:
		return d.cvmList(offset, end), true
	case kindTrack2:
		return d.packedTrack2(n, value), true
	case kindPAN:
		packedPAN(n, value)
		return nil, true
	case kindPIN:
		redact(n)
		return nil, true
	case kindIAD:
		return d.issuerData(n, offset, end), true
	case kindAuthData:
		return d.authData(offset, end), true
	case kindScript:
		return d.commandBytes(offset, end, depth), true
	case kindScriptResults:
		return d.scriptResults(offset, end), true
	case kindCardAuth:
		return d.cardAuthData(offset, end), true
	case kindFormat1:
		return d.format1(offset, end), true
	case kindCommandData:
		return d.processingOptions(offset, end), true
	case kindIssuerCertificate:
		return d.issuerCertificate(n, value), true
	case kindCardCertificate:
		return d.cardCertificate(n, value), true
	}
	return nil, false
}

// simpleValue reads the values that are one thing; false when the bytes do not fit.
func simpleValue(n *Node, kind valueKind, b []byte, currency money.Currency) bool {
	digits := upperHex(b)
	switch kind {
	case kindAmount:
		return isDecimal(digits) && len(b) == 6 && setAmount(n, digits, currency)
	case kindAmountBinary:
		return len(b) == 4 && setAmount(n, fmt.Sprint(binary.BigEndian.Uint32(b)), currency)
	case kindCurrency:
		return setCurrency(n, strings.TrimPrefix(digits, "0"))
	case kindCountry:
		n.Meaning = countryTerm(strings.TrimPrefix(digits, "0"))
		n.Value = strings.TrimPrefix(digits, "0")
	case kindDate:
		return setDate(n, digits)
	case kindTime:
		return setTime(n, digits)
	case kindNumber:
		return setNumber(n, b)
	case kindName:
		return setName(n, b)
	case kindSignature:
		n.Meaning = term(fmt.Sprintf("signature, %d bits", len(b)*8), fmt.Sprintf("签名，%d 位", len(b)*8))
	case kindVersion:
		n.Value = digits
		n.Meaning = versions[digits]
	case kindResponseCode:
		n.Value, n.Meaning = printable(b), authorisationResponse(string(b))
	default:
		return len(b) == 1 && setByte(n, kind, b[0]) || len(b) == 2 && kind == kindLogEntry && setLogEntry(n, b)
	}
	return true
}

// setByte reads one-byte values.
func setByte(n *Node, kind valueKind, b byte) bool {
	switch kind {
	case kindCID:
		n.Value, n.Meaning = emv.CID(b).String(), emv.CID(b).Term()
		if cid := emv.CID(b); cid.Advice() {
			n.Meaning = term(n.Meaning.EN+", asks for an advice", n.Meaning.ZH+"，要求通知")
		}
	case kindTransactionType:
		n.Value, n.Meaning = fmt.Sprintf("%02X", b), transactionTypes[b]
	case kindTerminalType:
		n.Value, n.Meaning = fmt.Sprintf("%02X", b), terminalType(b)
	case kindPriority:
		n.Value = fmt.Sprint(b & 0xF)
		if b&0x80 != 0 {
			n.Meaning = term("cardholder must confirm", "须持卡人确认")
		}
	case kindFile:
		n.Value = fmt.Sprint(b)
	case kindDocument:
		n.Meaning = documents[b]
	case kindCAPP:
		n.Meaning = cappIndicators[b]
	case kindYesNo:
		n.Meaning = term("no", "否")
		if b == 1 {
			n.Meaning = term("yes", "是")
		}
	case kindEntryMode:
		n.Value, n.Meaning = fmt.Sprintf("%02X", b), entryModes[fmt.Sprintf("%02X", b)]
	default:
		return false
	}
	return true
}

// formatValue falls back to the dictionary's format.
func formatValue(n *Node, tag tlv.Tag, b []byte) {
	entry, known := emv.Lookup(tag)
	switch {
	case !known:
		unknownValue(n, b)
	case entry.Format == emv.FormatNumeric || entry.Format == emv.FormatCompressedNumeric:
		n.Value = strings.TrimRight(upperHex(b), "F")
	case entry.Format == emv.FormatAlphabetic || entry.Format == emv.FormatAlphanumeric || entry.Format == emv.FormatAlphanumericSpecial:
		n.Value = strings.TrimRight(printable(b), " ")
	}
	if sensitiveTag(tag) {
		conceal(n)
	} else if known && entry.Format != emv.FormatNumeric {
		scrubText(n)
	}
}

// unknownValue shows text as text, and nothing that could be an account number.
func unknownValue(n *Node, b []byte) {
	if isPrintable(b) && len(b) > 1 {
		n.Value = printable(b)
	}
	scrubNode(n)
}

// setAmount reads minor units. Without a currency two decimals are taken for granted and the node says so.
func setAmount(n *Node, minor string, currency money.Currency) bool {
	assumed := currency.IsZero()
	if assumed {
		currency = money.CNY
	}
	a, err := money.FromN12(strings.Repeat("0", max(0, 12-len(minor)))+minor, currency)
	if err != nil {
		return false
	}
	n.Value = a.String()
	if assumed {
		n.Value = a.Decimal()
		n.Meaning = term("currency not stated, two decimals assumed", "未注明币种，按两位小数")
	}
	return true
}

func setCurrency(n *Node, digits string) bool {
	c, ok := currencyOf(digits)
	if !ok {
		n.Value, n.Meaning = printable([]byte(digits)), term("unknown currency", "未知币种")
		return true
	}
	n.Value, n.Meaning = c.Code(), term("currency "+digits, "货币代码 "+digits)
	return true
}

// currencyOf reads three digits.
func currencyOf(digits string) (money.Currency, bool) {
	if len(digits) != 3 || !isDecimal(digits) {
		return money.Currency{}, false
	}
	c, err := money.CurrencyByNumber(int(digits[0]-'0')*100 + int(digits[1]-'0')*10 + int(digits[2]-'0'))
	return c, err == nil
}

func setDate(n *Node, yymmdd string) bool {
	if len(yymmdd) != 6 || !isDecimal(yymmdd) {
		return false
	}
	n.Value = "20" + yymmdd[:2] + "-" + yymmdd[2:4] + "-" + yymmdd[4:]
	if yymmdd[2:4] == "00" || yymmdd[2:4] > "12" || yymmdd[4:] == "00" || yymmdd[4:] > "31" {
		n.Meaning = term("not a date", "不是日期")
	}
	return true
}

func setTime(n *Node, hhmmss string) bool {
	if len(hhmmss) != 6 || !isDecimal(hhmmss) {
		return false
	}
	n.Value = hhmmss[:2] + ":" + hhmmss[2:4] + ":" + hhmmss[4:]
	if hhmmss[:2] > "23" || hhmmss[2:4] > "59" || hhmmss[4:] > "59" {
		n.Meaning = term("not a time", "不是时间")
	}
	return true
}

func setNumber(n *Node, b []byte) bool {
	if len(b) > 4 {
		return false
	}
	number := uint32(0)
	for _, c := range b {
		number = number<<8 | uint32(c)
	}
	n.Value = fmt.Sprint(number)
	return true
}

func setName(n *Node, b []byte) bool {
	aid, err := emv.ParseAID(b)
	if err != nil {
		return false
	}
	if isPrintable(b) {
		n.Value = printable(b)
	}
	n.Meaning, _ = aid.Term()
	return true
}

func setLogEntry(n *Node, b []byte) bool {
	n.Meaning = term(fmt.Sprintf("file %d, %d records", b[0], b[1]), fmt.Sprintf("文件 %d，%d 条记录", b[0], b[1]))
	return true
}

// authorisationResponse explains tag 8A: a response code of the network, or what a terminal writes when it decided alone
// [EMV B4 Annex A6].
func authorisationResponse(code string) glossary.Term {
	switch code {
	case "Y1":
		return term("offline approved", "脱机批准")
	case "Z1":
		return term("offline declined", "脱机拒绝")
	case "Y3":
		return term("unable to go online, offline approved", "无法联机，脱机批准")
	case "Z3":
		return term("unable to go online, offline declined", "无法联机，脱机拒绝")
	}
	return unionpay.ResponseCode(code).Term()
}

// scanCurrency looks for the currency of the amounts in TLV bytes, at any depth: the transaction's before the card's.
func scanCurrency(b []byte) (money.Currency, bool) {
	for _, tag := range []tlv.Tag{emv.TagCurrency, emv.TagECCurrency, emv.TagApplicationCurrency} {
		if value, ok := deepFind(b, tag, 0); ok && len(value) == 2 {
			if c, ok := currencyOf(strings.TrimPrefix(upperHex(value), "0")); ok {
				return c, true
			}
		}
	}
	return money.Currency{}, false
}

// listCurrency is scanCurrency for data laid out by a list.
func listCurrency(dol emv.DOL, data []byte) (money.Currency, bool) {
	for _, e := range dol {
		if e.Len > len(data) {
			break
		}
		if e.Tag == emv.TagCurrency && e.Len == 2 {
			return currencyOf(strings.TrimPrefix(upperHex(data[:2]), "0"))
		}
		data = data[e.Len:]
	}
	return money.Currency{}, false
}

// deepFind returns the first value of tag at any depth.
func deepFind(b []byte, tag tlv.Tag, depth int) ([]byte, bool) {
	for e, err := range tlv.All(b) {
		if err != nil {
			break
		}
		if e.Tag == tag {
			return e.Value, true
		}
		if e.Tag.Constructed() && depth < tlv.MaxDepth {
			if value, ok := deepFind(e.Value, tag, depth+1); ok {
				return value, true
			}
		}
	}
	return nil, false
}

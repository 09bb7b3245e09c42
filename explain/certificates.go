package explain

import (
	"fmt"
	"slices"
	"strings"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/tlv"
)

// certificates is what is needed to open the certificates of a card, gathered over its records [EMV B2 5.3].
type certificates struct {
	rid         [5]byte
	parts       map[tlv.Tag][]byte
	issuer      oda.PublicKey
	issuerBlock []byte // the issuer's certificate, opened
}

var certificateTags = []tlv.Tag{emv.TagCAIndex, emv.TagIssuerCertificate, emv.TagIssuerRemainder, emv.TagIssuerExponent}

// gather remembers the parts of the issuer's certificate in b and opens it when they are complete.
func (c *certificates) gather(b []byte, keys *oda.Keys) {
	if keys == nil || c.issuerBlock != nil {
		return
	}
	if c.parts == nil {
		c.parts = make(map[tlv.Tag][]byte, len(certificateTags))
	}
	if name, ok := deepFind(b, emv.TagDFName, 0); ok && len(name) >= len(c.rid) {
		c.rid = [5]byte(name)
	}
	for _, tag := range certificateTags {
		if value, ok := deepFind(b, tag, 0); ok {
			c.parts[tag] = slices.Clone(value)
		}
	}
	index := c.parts[emv.TagCAIndex]
	if len(index) != 1 || c.parts[emv.TagIssuerCertificate] == nil {
		return
	}
	rid := c.rid
	if rid == [5]byte{} {
		rid = emv.RIDUnionPay
	}
	ca, ok := keys.Lookup(rid, index[0])
	if !ok {
		return
	}
	if key, err := oda.NewPublicKey(ca.Modulus, ca.Exponent); err == nil {
		c.open(key)
	}
}

// Layout of a recovered certificate: where the fields of an issuer's begin, and how many bytes surround the key
// [EMV B2 5.3], [EMV B2 6.4].
const (
	formatIssuerKey   = 0x02
	formatCardKey     = 0x04
	issuerFixedBytes  = 15
	cardFixedBytes    = 21
	certificateTail   = 21
	certificateHeader = 0x6A
)

func (c *certificates) open(key oda.PublicKey) {
	block, err := oda.Recover(key, c.parts[emv.TagIssuerCertificate])
	if err != nil || len(block) < issuerFixedBytes+certificateTail || block[0] != certificateHeader || block[1] != formatIssuerKey {
		return
	}
	c.issuerBlock = block
	modulus := slices.Concat(block[issuerFixedBytes:len(block)-certificateTail], c.parts[emv.TagIssuerRemainder])
	length := int(block[13])
	if length > len(modulus) {
		return
	}
	if issuer, err := oda.NewPublicKey(modulus[:length], c.parts[emv.TagIssuerExponent]); err == nil {
		c.issuer = issuer
	}
}

func closedCertificate(n *Node, value []byte, signer glossary.Term) {
	n.Meaning = term(
		fmt.Sprintf("certificate, %d bits, closed: the %s is not at hand", len(value)*8, signer.EN),
		fmt.Sprintf("证书，%d 位，未打开：缺少%s", len(value)*8, signer.ZH))
}

// issuerCertificate explains tag 90: what is in it when the CA key is known.
func (d *decoder) issuerCertificate(n *Node, value []byte) []Node {
	block := d.keys.issuerBlock
	if block == nil || len(block) != len(value) {
		closedCertificate(n, value, term("CA public key", "认证中心公钥"))
		return nil
	}
	n.Meaning = term("recovered with the CA public key", "已用认证中心公钥恢复")
	return slices.Concat([]Node{
		virtual("FMT", term("certificate format", "证书格式"), upperHex(block[1:2])),
		virtual("IIN", term("issuer identifier", "发卡行标识"), strings.TrimRight(upperHex(block[2:6]), "F")),
	}, certifiedFields(block[6:issuerFixedBytes]))
}

// cardCertificate explains tag 9F46. The account number inside is masked, and the certificate with it: whoever has the
// public keys can read the number out of the bytes.
func (d *decoder) cardCertificate(n *Node, value []byte) []Node {
	conceal(n)
	if d.keys.issuer.IsZero() {
		closedCertificate(n, value, term("issuer public key", "发卡行公钥"))
		return nil
	}
	block, err := oda.Recover(d.keys.issuer, value)
	if err != nil || len(block) < cardFixedBytes+certificateTail || block[0] != certificateHeader || block[1] != formatCardKey {
		n.Meaning = term("does not open with the issuer public key", "无法用发卡行公钥打开")
		return nil
	}
	n.Meaning = term("recovered with the issuer public key", "已用发卡行公钥恢复")
	digits := strings.TrimRight(upperHex(block[2:12]), "F")
	account := virtual("PAN", tagName(emv.TagPAN), digits)
	hide(&account, "", maskDigits(digits))
	return slices.Concat([]Node{virtual("FMT", term("certificate format", "证书格式"), upperHex(block[1:2])), account},
		certifiedFields(block[12:cardFixedBytes]))
}

// certifiedFields reads what both kinds have in common: expiry 2, serial 3, algorithms 1 and 1, key length 1, exponent length 1.
func certifiedFields(b []byte) []Node {
	return []Node{
		virtual("EXP", term("expires MMYY", "失效月年 MMYY"), upperHex(b[:2])),
		virtual("SER", term("serial number", "序列号"), upperHex(b[2:5])),
		virtual("HASH", term("hash algorithm", "哈希算法"), algorithmName(b[5], "SHA-1", "SM3")),
		virtual("ALG", term("public key algorithm", "公钥算法"), algorithmName(b[6], "RSA", "SM2")),
		virtual("LEN", term("key length in bits", "密钥位数"), fmt.Sprint(int(b[7])*8)),
		virtual("EXPLEN", term("exponent length in bytes", "指数字节数"), fmt.Sprint(b[8])),
	}
}

// algorithmName names 01 and 04, the values of RSA and of the Chinese algorithms [REF 1.3].
func algorithmName(b byte, one, four string) string {
	switch b {
	case 1:
		return one
	case 4:
		return four
	}
	return fmt.Sprintf("%02X", b)
}

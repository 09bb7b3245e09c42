package personalization

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/internal/testkeys"
	"tapnet/pan"
	"tapnet/tlv"
)

// The values of crypto: which cipher makes cryptograms, and which algorithm certifies and signs.
const (
	CryptoRSA = "rsa-3des" // what cards have unless they say otherwise
	CryptoSM  = "sm"       // SM2, SM3 and SM4 [REF 4.6]
	CryptoAES = "rsa-aes"  // RSA, and AES with option C
	// CryptoBoth is RSA with 3DES, and SM2 with SM4 beside it: the terminal decides by DF69 [REF 4.6].
	CryptoBoth = "rsa-3des+sm"
)

// crypto is one of them.
type crypto struct {
	suite     cryptogram.Suite
	algorithm oda.Algorithm
	second    bool // SM2 and SM4 besides
}

// Cryptos are the values of crypto.
func Cryptos() []string { return []string{CryptoRSA, CryptoSM, CryptoAES, CryptoBoth} }

func cryptoOf(name string) (crypto, error) {
	switch name {
	case "", CryptoRSA:
		return crypto{suite: cryptogram.TDES(), algorithm: oda.RSA}, nil
	case CryptoSM:
		return crypto{suite: cryptogram.SM4(), algorithm: oda.SM2}, nil
	case CryptoAES:
		return crypto{suite: cryptogram.AES(), algorithm: oda.RSA}, nil
	case CryptoBoth:
		return crypto{suite: cryptogram.TDES(), algorithm: oda.RSA, second: true}, nil
	}
	return crypto{}, unknown(name, glossary.Term{EN: "set of algorithms", ZH: "算法组合"}, Cryptos())
}

// chain is the TEST keys from authority to card.
type chain struct {
	authority           oda.CAKey
	ca, issuer, private oda.PrivateKey
}

// chain picks the keys of an application. Places wrap around the pools, whose last keys have another exponent and are left out, as they always were.
func (p *Profile) chain(algorithm oda.Algorithm, rid [5]byte, issuer Issuer, place int, long bool) chain {
	var c chain
	switch {
	case algorithm == oda.SM2:
		c = chain{testkeys.SM2CAKey(p.AuthorityKey), testkeys.SM2CA(p.AuthorityKey), testkeys.SM2Issuer(issuer.Key), testkeys.SM2ICC(place)}
	case long:
		c = chain{testkeys.CAKey(p.AuthorityKey), testkeys.CA(p.AuthorityKey), testkeys.Issuer(issuer.Key), testkeys.ICCLarge(place % (testkeys.ICCLargeCount - 1))}
	default:
		c = chain{testkeys.CAKey(p.AuthorityKey), testkeys.CA(p.AuthorityKey), testkeys.Issuer(issuer.Key), testkeys.ICC(place % (testkeys.ICCCount - 2))}
	}
	c.authority = testkeys.Under(rid, c.authority)
	return c
}

// Authority is the TEST certification authority of the profile, as terminals know it.
func (p *Profile) Authority() oda.CAKey { return testkeys.CAKey(p.AuthorityKey) }

// Authorities are the TEST authorities of every algorithm, under UnionPay's identifier and under those that operators of the products chose themselves.
func (p *Profile) Authorities() []oda.CAKey {
	rids := [][5]byte{emv.RIDUnionPay}
	for _, product := range append(slices.Clone(p.Products), Products()...) {
		for _, a := range product.Applications {
			if rid := ridOf(a.aid()); !slices.Contains(rids, rid) {
				rids = append(rids, rid)
			}
		}
	}
	var keys []oda.CAKey
	for _, rid := range rids {
		keys = append(keys, testkeys.Under(rid, testkeys.CAKey(p.AuthorityKey)), testkeys.Under(rid, testkeys.SM2CAKey(p.AuthorityKey)))
	}
	return keys
}

func ridOf(aid emv.AID) [5]byte { return [5]byte(aid.Bytes()) }

// issuerCertificates remembers what is the same for all cards of an issuer: signing takes longer than everything else.
var issuerCertificates sync.Map // of certified to []byte

type certified struct {
	ca, issuer     oda.PublicKey
	prefix, expiry string
	index          byte
}

// issuerRecord holds the issuer's certificate under the TEST authority [EMV B2 6.4]. Chains of SM2 have neither exponent nor remainder [REF 4.6].
func issuerRecord(c chain, issuer Issuer, valid pan.Expiry) ([]byte, error) {
	public := c.issuer.Public()
	key := certified{c.ca.Public(), public, issuer.Prefix, valid.YYMM(), c.authority.Index}
	if known, ok := issuerCertificates.Load(key); ok {
		return slices.Clone(known.([]byte)), nil
	}
	certificate, remainder, err := oda.MakeIssuerCertificate(c.ca, oda.IssuerCertSpec{
		IIN: issuer.Prefix, Expiry: valid, Serial: [3]byte{0, 0, byte(issuer.Key + 1)}, Public: public,
	})
	if err != nil {
		return nil, err
	}
	body := tlv.Append(nil, emv.TagCAIndex, []byte{c.authority.Index})
	if exponent := public.Exponent(); len(exponent) > 0 {
		body = tlv.Append(body, emv.TagIssuerExponent, exponent)
	}
	if len(remainder) > 0 {
		body = tlv.Append(body, emv.TagIssuerRemainder, remainder)
	}
	body = tlv.Append(body, emv.TagIssuerCertificate, certificate)
	issuerCertificates.Store(key, slices.Clone(body))
	return body, nil
}

// cardRecord holds the card's certificate over static data.
func cardRecord(c chain, number pan.Number, valid pan.Expiry, serial int, static []byte) ([]byte, error) {
	certificate, remainder, err := oda.MakeICCCertificate(c.issuer, oda.ICCCertSpec{
		PAN: number, Expiry: valid, Serial: [3]byte{0, 1, byte(serial)}, Public: c.private.Public(), Static: static,
	})
	if err != nil {
		return nil, err
	}
	own := tlv.Append(nil, emv.TagICCCertificate, certificate)
	if exponent := c.private.Public().Exponent(); len(exponent) > 0 {
		own = tlv.Append(own, emv.TagICCExponent, exponent)
	}
	if len(remainder) > 0 {
		own = tlv.Append(own, emv.TagICCRemainder, remainder)
	}
	return own, nil
}

// withoutEnciphered takes the rules for an enciphered offline PIN out of a verification list: nobody says how SM2 would do it.
func withoutEnciphered(list []byte) []byte {
	const amounts, rule, code, enciphered, encipheredSigned = 8, 2, 0x3F, 0x04, 0x05
	if len(list) < amounts {
		return list
	}
	out := slices.Clone(list[:amounts])
	for rest := list[amounts:]; len(rest) >= rule; rest = rest[rule:] {
		if method := rest[0] & code; method != enciphered && method != encipheredSigned {
			out = append(out, rest[:rule]...)
		}
	}
	return out
}

// MasterNames names an issuer's three master keys of one cipher.
type MasterNames struct{ AC, MAC, ENC string }

func (m MasterNames) complete() bool { return m.AC != "" && m.MAC != "" && m.ENC != "" }

// masters are the names of the master keys for a suite.
func (k KeyNames) masters(suite cryptogram.Suite) (MasterNames, error) {
	names := MasterNames{k.MasterAC, k.MasterMAC, k.MasterENC}
	switch suite.Cipher() {
	case cryptogram.CipherSM4:
		names = k.SM4
	case cryptogram.CipherAES:
		names = k.AES
	}
	if names.complete() {
		return names, nil
	}
	cipher := strings.ToUpper(suite.Cipher().String())
	return names, &Fault{
		What: glossary.Term{EN: fmt.Sprintf("the card needs keys for %s", cipher), ZH: fmt.Sprintf("该卡需要%s密钥", cipher)},
		Why:  glossary.Term{EN: "the issuer has no master keys of that cipher", ZH: "发卡行没有该算法的主密钥"},
		Next: glossary.Term{EN: "choose crypto " + CryptoRSA + ", or an issuer that has such keys", ZH: "请选用" + CryptoRSA + "，或选择具备该密钥的发卡行"},
	}
}

package kernel

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/pan"
	"tapnet/tlv"
)

// Chain recovers a card's public keys out of what the card has sent, on any interface [EMV B2 5] [EMV B2 6].
type Chain struct {
	Keys    *oda.Keys // nil: no key is known
	Cache   KeyCache  // nil: recover every time
	RID     [5]byte   // the registered provider of the selected application
	Date    time.Time // local to the terminal
	PAN     pan.Number
	AIP     emv.AIP
	Records emv.Data     // contents of the records
	Signed  []oda.Record // the records that take part in authentication, in AFL order
}

func missing(s oda.Step) *oda.Failure { return &oda.Failure{Step: s, Check: oda.CheckMissing} }

// Static is the data that an ICC certificate and signed static data cover. Errors are *oda.Failure, here and below.
func (c *Chain) Static() ([]byte, error) {
	return oda.StaticData(c.Signed, c.AIP[:], c.Records.Get(emv.TagSDATagList))
}

// Issuer recovers the issuer's key, or finds it in the cache. A key on the revocation list is no key, cached or not.
func (c *Chain) Issuer() (oda.IssuerKey, error) {
	if c.PAN.IsZero() {
		return oda.IssuerKey{}, missing(oda.StepIssuerCertificate)
	}
	key, _, err := c.issuer()
	return key, err
}

// ICC recovers the card's key.
func (c *Chain) ICC() (oda.ICCKey, error) {
	if c.PAN.IsZero() {
		return oda.ICCKey{}, missing(oda.StepICCCertificate)
	}
	static, err := c.Static()
	if err != nil {
		return oda.ICCKey{}, err
	}
	return c.card(oda.StepICCCertificate, c.certificate(emv.TagICCCertificate), static)
}

// PIN recovers the key that a PIN is enciphered with for the card: one of its own where the card has one, else the card's ordinary
// key [EMV B2 7.1].
func (c *Chain) PIN() (oda.ICCKey, error) {
	if !c.Records.Has(emv.TagPINKeyCertificate) {
		return c.ICC()
	}
	if c.PAN.IsZero() {
		return oda.ICCKey{}, missing(oda.StepPINKey)
	}
	return c.card(oda.StepPINKey, c.certificate(emv.TagPINKeyCertificate), nil)
}

// card recovers a key that the issuer has certified for this card.
func (c *Chain) card(step oda.Step, cert oda.Certificate, static []byte) (oda.ICCKey, error) {
	issuer, issuerID, err := c.issuer()
	if err != nil {
		return oda.ICCKey{}, err
	}
	if len(cert.Certificate) == 0 || len(cert.Exponent) == 0 && issuer.PublicKey().Algorithm() == oda.RSA {
		return oda.ICCKey{}, missing(step)
	}
	if c.Cache == nil {
		return oda.RecoverICCKey(issuer, cert.Certificate, cert.Remainder, cert.Exponent, c.PAN, static, c.Date)
	}
	id := c.cacheKey(issuerID[:], cert.Certificate, cert.Remainder, cert.Exponent, c.PAN.BCD(), static)
	if key, ok := c.Cache.ICC(id); ok {
		return key, nil
	}
	key, err := oda.RecoverICCKey(issuer, cert.Certificate, cert.Remainder, cert.Exponent, c.PAN, static, c.Date)
	if err == nil {
		c.Cache.StoreICC(id, key)
	}
	return key, err
}

// certificate collects the tags of one public key.
func (c *Chain) certificate(tag tlv.Tag) oda.Certificate {
	remainder, exponent := emv.TagIssuerRemainder, emv.TagIssuerExponent
	switch tag {
	case emv.TagICCCertificate:
		remainder, exponent = emv.TagICCRemainder, emv.TagICCExponent
	case emv.TagPINKeyCertificate:
		remainder, exponent = emv.TagPINKeyRemainder, emv.TagPINKeyExponent
	}
	return oda.Certificate{
		Certificate: c.Records.Get(tag), Remainder: c.Records.Get(remainder), Exponent: c.Records.Get(exponent), PAN: c.PAN,
	}
}

func (c *Chain) issuer() (key oda.IssuerKey, id CacheKey, err error) {
	index := c.Records.Get(emv.TagCAIndex)
	cert := c.certificate(emv.TagIssuerCertificate)
	if len(index) != 1 || len(cert.Certificate) == 0 {
		return key, id, missing(oda.StepIssuerCertificate)
	}
	if c.Keys == nil {
		return key, id, &oda.Failure{Step: oda.StepCAKey, Check: oda.CheckUnknownKey}
	}
	ca, ok := c.Keys.Lookup(c.RID, index[0])
	if !ok {
		return key, id, &oda.Failure{Step: oda.StepCAKey, Check: oda.CheckUnknownKey}
	}
	if len(cert.Exponent) == 0 && ca.Algorithm == oda.RSA {
		return key, id, missing(oda.StepIssuerCertificate)
	}
	if c.Cache == nil {
		key, err = c.Keys.RecoverIssuerKey(c.RID, index[0], cert, c.Date)
		return key, id, err
	}
	const iinDigits = 8 // the certificate names at most this much of the number
	prefix := c.PAN.Reveal()[:iinDigits]
	id = c.cacheKey(c.RID[:], index, ca.SHA1[:], []byte(ca.Expiry), cert.Certificate, cert.Remainder, cert.Exponent, []byte(prefix))
	if key, ok = c.Cache.Issuer(id); ok {
		if c.Keys.Revoked(c.RID, index[0], key.Serial()) {
			return oda.IssuerKey{}, id, &oda.Failure{Step: oda.StepIssuerCertificate, Check: oda.CheckRevoked}
		}
		return key, id, nil
	}
	if key, err = c.Keys.RecoverIssuerKey(c.RID, index[0], cert, c.Date); err == nil {
		c.Cache.StoreIssuer(id, key)
	}
	return key, id, err
}

// cacheKey hashes everything a recovery depends on, and the day, since certificates expire.
func (c *Chain) cacheKey(parts ...[]byte) (k CacheKey) {
	h := sha256.New()
	y, mo, d := c.Date.Date()
	writePart(h, packed(uint64(y)*10000+uint64(mo)*100+uint64(d), 4))
	for _, part := range parts {
		writePart(h, part)
	}
	h.Sum(k[:0])
	return k
}

// writePart separates parts by their length, so that no two lists hash alike.
func writePart(h hash.Hash, b []byte) {
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(b)))
	_, _ = h.Write(n[:])
	_, _ = h.Write(b)
}

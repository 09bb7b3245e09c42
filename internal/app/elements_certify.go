package app

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/personalization"
	"tapnet/internal/testkeys"
	"tapnet/internal/tsm"
	"tapnet/iso8583/unionpay"
	"tapnet/tlv"
)

// tokenCertifier is the certification of the test world's banks for tokens on secure elements: the TEST keys of their cards, and an issuer's certificate of
// the token's own range.
type tokenCertifier struct {
	profile *personalization.Profile
	made    sync.Map // issuerCertificateKey to []byte: what is the same for all tokens of a bank
}

var _ tsm.Certifier = (*tokenCertifier)(nil)

var errRange = errors.New("no bank has tokens of that range")

type issuerCertificateKey struct {
	algorithm   oda.Algorithm
	aid         emv.AID
	iin, expiry string
}

// Certify implements tsm.Certifier.
func (c *tokenCertifier) Certify(q tsm.Certification) (tsm.Certificates, error) {
	bank, iin, err := c.bank(q)
	if err != nil {
		return tsm.Certificates{}, err
	}
	ca, authority, signer := testkeys.CA(c.profile.AuthorityKey), testkeys.CAKey(c.profile.AuthorityKey), testkeys.Issuer(bank.Key)
	if q.Algorithm == oda.SM2 {
		ca, authority, signer = testkeys.SM2CA(c.profile.AuthorityKey), testkeys.SM2CAKey(c.profile.AuthorityKey), testkeys.SM2Issuer(bank.Key)
	}
	issuer, err := c.issuerRecord(q, iin, ca, authority.Index, signer.Public(), bank.Key)
	if err != nil {
		return tsm.Certificates{}, fmt.Errorf("certificate of the bank: %w", err)
	}
	certificate, remainder, err := oda.MakeICCCertificate(signer, oda.ICCCertSpec{
		PAN: q.Number, Expiry: q.Expiry, Serial: q.Serial, Public: q.Public, Static: q.Static,
	})
	if err != nil {
		return tsm.Certificates{}, fmt.Errorf("certificate of the application: %w", err)
	}
	own := tlv.Append(nil, emv.TagICCCertificate, certificate)
	own = appendPresent(own, emv.TagICCExponent, q.Public.Exponent())
	return tsm.Certificates{Issuer: issuer, Card: appendPresent(own, emv.TagICCRemainder, remainder)}, nil
}

func appendPresent(dst []byte, tag tlv.Tag, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return tlv.Append(dst, tag, value)
}

// bank finds whose token it is, and the eight digits that its range begins with.
func (c *tokenCertifier) bank(q tsm.Certification) (personalization.Issuer, string, error) {
	for at, i := range c.profile.Issuers {
		if prefix := tokenRange(unionpay.StorageSE, at); q.Number.HasPrefix(prefix) {
			return i, prefix, nil
		}
	}
	return personalization.Issuer{}, "", errRange
}

// tokenRange begins the numbers of a bank's tokens of a storage.
func tokenRange(storage unionpay.TokenStorage, bank int) string {
	return fmt.Sprintf("%s%d%d", tokenPrefix, storage, bank+1)
}

// issuerRecord holds the bank's certificate under the TEST authority [EMV B2 6.4].
func (c *tokenCertifier) issuerRecord(q tsm.Certification, iin string, ca oda.PrivateKey, index byte, public oda.PublicKey, serial int) ([]byte, error) {
	key := issuerCertificateKey{q.Algorithm, q.AID, iin, q.Expiry.YYMM()}
	if known, ok := c.made.Load(key); ok {
		return slices.Clone(known.([]byte)), nil //nolint:forcetypeassert // nothing else is stored
	}
	certificate, remainder, err := oda.MakeIssuerCertificate(ca, oda.IssuerCertSpec{
		IIN: iin, Expiry: q.Expiry, Serial: [3]byte{0, 1, byte(serial + 1)}, Public: public,
	})
	if err != nil {
		return nil, err
	}
	body := tlv.Append(nil, emv.TagCAIndex, []byte{index})
	body = appendPresent(body, emv.TagIssuerExponent, public.Exponent())
	body = appendPresent(body, emv.TagIssuerRemainder, remainder)
	body = tlv.Append(body, emv.TagIssuerCertificate, certificate)
	c.made.Store(key, slices.Clone(body))
	return body, nil
}

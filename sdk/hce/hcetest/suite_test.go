package hcetest_test

import (
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/sdk/hce/hcetest"
)

func TestPhone(t *testing.T) {
	hcetest.Suite(t, func(t testing.TB) hcetest.Subject { return hcetest.NewPhone(t, hcetest.Options{}) })
}

func TestPhoneSM4(t *testing.T) {
	hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
		return hcetest.NewPhone(t, hcetest.Options{Suite: cryptogram.SM4()})
	})
}

func TestPhoneAES(t *testing.T) {
	hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
		return hcetest.NewPhone(t, hcetest.Options{Suite: cryptogram.AES()})
	})
}

func TestPhoneEMVSession(t *testing.T) {
	hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
		return hcetest.NewPhone(t, hcetest.Options{Scheme: cloudkey.QCK1EMV})
	})
}

func TestPhoneLimitedUse(t *testing.T) {
	hcetest.Suite(t, func(t testing.TB) hcetest.Subject { return hcetest.NewPhone(t, hcetest.Options{Scheme: cloudkey.LUK}) })
}

// chip is a chip card as a subject: the suite is one for all.
type chip struct {
	*cardtest.Issued
	field *card.Field
}

func (c *chip) Present() apdu.Transceiver { c.field.Present(); return c.field }
func (c *chip) Remove()                   { c.field.Remove() }
func (c *chip) AID() emv.AID              { return c.Image.Applications[0].AID }

func (c *chip) Verify(icc emv.Data) string {
	iad, err := emv.ParseIAD(icc.Get(emv.TagIAD))
	atc := icc.Get(emv.TagATC)
	if err != nil || len(atc) != 2 {
		return "issuer data are malformed"
	}
	data, err := c.Suite.AppendData(nil, iad.CVN, iad.CVR, icc)
	if err != nil {
		return err.Error()
	}
	if !c.Suite.Verify(c.Suite.SessionKey(c.CardKeys.AC, uint16(atc[0])<<8|uint16(atc[1])), data, [8]byte(icc.Get(emv.TagAC))) {
		return "cryptogram is wrong"
	}
	return ""
}

func (c *chip) Authorities() *oda.Keys { return c.CAKeys }

func TestChip(t *testing.T) {
	for name, o := range map[string]cardtest.Options{
		"3DES": {}, "AES": {Suite: cryptogram.AES()}, "SM4": {Suite: cryptogram.SM4()}, "long key": {LongKey: true}, "contact, too": {Contact: true},
	} {
		o.Change = func(image *card.Image) { image.Applications[0].Extended.Set(emv.EIODAForOnline) }
		t.Run(name, func(t *testing.T) {
			hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
				c, issued := cardtest.New(t, o)
				return &chip{issued, card.NewField(c)}
			})
		})
	}
}
